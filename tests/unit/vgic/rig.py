"""A small VM to try the rules on: built in one call, its interrupts put into any state directly.

Room:    under the unit tests of vgic's rooms.
Never:   computes an expected value.
Holds:   the VM is a real one, made through the public API; what is set directly is what registers would set.
"""

from collections.abc import Callable
from typing import Final, ParamSpec

from hw.arch import ICC_EOIR1_EL1, ICC_IAR1_EL1, VMCR_VENG0, VMCR_VENG1, VMCR_VFIQEN, VMCR_VPMR_SHIFT
from hw.lr import ListReg
from tests.support import make_vm
from vgic import TracePort, Vcpu, Vgic, VgicError
from vgic.dist import Dist
from vgic.irq import Irq

OPEN: Final = 0xF8 << VMCR_VPMR_SHIFT | VMCR_VENG1 | VMCR_VENG0 | VMCR_VFIQEN
"""A VMCR that lets everything of priority 0xF0 or better through."""

EDGE: Final = False
LEVEL: Final = True

P = ParamSpec("P")


class VmRig:
    """A VM with its distributor enabled and its CPU interfaces set to `vmcr`, and a list of the kicks it sent."""

    group = 1
    """The group of an interrupt of which a test does not say it."""

    def __init__(self, vm: Vgic, vmcr: int) -> None:
        self.vm = vm
        self.kicks: list[int] = []
        vm.kick = self.kicks.append
        self.vcpus: list[Vcpu] = list(vm.vcpus)
        self.vcpu = self.vcpus[0]
        self.dist: Dist = self.vcpu.dist
        self.dist.enabled = True
        for vcpu in self.vcpus:
            vcpu.vmcr = vmcr

    def irq(
        self,
        intid: int,
        *,
        vcpu: int = 0,
        level: bool | None = None,
        enabled: bool = True,
        latch: bool = False,
        line: bool = False,
        active: bool = False,
        sources: int = 0,
        active_source: int = 0,
        priority: int = 0xA0,
        group: int | None = None,
    ) -> Irq:
        """Return the interrupt `intid` of a vCPU, put into this state; an SPI is routed to that vCPU."""
        irq = self.found(intid, vcpu)
        if level is not None:
            irq.level = level
        irq.target = self.vcpus[vcpu]
        irq.enabled = enabled
        irq.pending_latch = latch or sources != 0
        irq.line_level = line
        irq.active = active
        irq.source = sources
        irq.active_source = active_source
        irq.priority = priority
        irq.group = self.group if group is None else group
        return irq

    def found(self, intid: int, vcpu: int = 0) -> Irq:
        """Return the interrupt `intid` as a vCPU sees it."""
        irq = self.vcpus[vcpu].find_irq(intid)
        assert irq is not None, f"no INTID {intid}"
        return irq

    def listed(self, vcpu: int = 0) -> list[int]:
        """Return the INTIDs on a vCPU's ap_list, head first."""
        return [irq.intid for irq in self.vcpus[vcpu].ap_list]

    def lrs(self, vcpu: int = 0) -> list[ListReg]:
        """Return the live list registers that the last flush filled."""
        owner = self.vcpus[vcpu]
        return owner.pe.virt.lrs[: owner.used_lrs]


class Rig(VmRig):
    """A GICv3 VM, open to interrupts of both groups."""

    def __init__(self, vcpus: int = 1, *, spis: int = 64, lrs: int = 4, cpus: int | None = None) -> None:
        super().__init__(make_vm(vcpus, cpus=cpus, spis=spis, lrs=lrs), OPEN)
        self.machine = self.vm.host.machine

    def lr_intids(self, vcpu: int = 0) -> list[int]:
        """Return the INTIDs in those list registers."""
        return [lr.vintid for lr in self.lrs(vcpu)]


def acknowledge(vcpu: Vcpu) -> int:
    """The guest reads ICC_IAR1_EL1."""
    return vcpu.mrs(ICC_IAR1_EL1)


def end(vcpu: Vcpu, intid: int) -> None:
    """The guest writes ICC_EOIR1_EL1."""
    assert vcpu.msr(ICC_EOIR1_EL1, intid)


def spent(vcpu: Vcpu, doing: Callable[[], object]) -> dict[str, int]:
    """Return what `doing` cost on the vCPU's physical CPU: the counters that moved, by name."""
    cost = vcpu.pe.cost
    before = cost.copy()
    doing()
    return {name: count for name, count in cost.diff(before).as_dict().items() if count}


def take(vcpu: Vcpu) -> int:
    """The guest acknowledges and ends one interrupt; return its INTID."""
    intid = acknowledge(vcpu)
    end(vcpu, intid)
    return intid


def outcome(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> int:
    """0, or the errno of what it raises."""
    try:
        call(*args, **kwargs)
    except VgicError as error:
        return error.errno
    return 0


class Tracer(TracePort):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def vgic_update_irq_pending(self, vcpu: int, intid: int, level: bool) -> None:
        self.seen.append(("update", vcpu, intid, level))

    def kvm_irq_line(self, kind: int, vcpu_id: int, number: int, level: int) -> None:
        self.seen.append(("line", kind, vcpu_id, number, level))

    def kvm_set_irq(self, gsi: int, level: bool) -> None:
        self.seen.append(("set", gsi, level))

    def kvm_ack_irq(self, irqchip: int, pin: int) -> None:
        self.seen.append(("ack", irqchip, pin))
