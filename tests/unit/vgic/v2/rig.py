"""A small GICv2 VM to try the rules on, on either host; its interrupts are put into any state directly.

Room:    under the unit tests of vgic.v2.
Never:   computes an expected value.
Holds:   the VM is a real one, made through the public API; what is set directly is what registers would set.
         Frames are accessed as if the access had just trapped: nothing is entered, folded or pruned around it.
"""

from typing import Final

from hw import Machine, V2Config, VirtConfig
from hw.arch import GICC_EOIR, GICC_IAR, VMCR_VENG0, VMCR_VENG1, VMCR_VPMR_SHIFT
from tests.unit.vgic.rig import VmRig
from vgic import Device, Group, Host, Vgic
from vgic.lock import NO_LOCK
from vgic.mmio import Frame
from vgic.v2.groups import GROUPS_V2
from vgic.vm import GICC_BASE, GICD_BASE

__all__ = [
    "BOTH_HOSTS",
    "GICC_BASE",
    "GICD_BASE",
    "GICV2",
    "GICV3",
    "OPEN",
    "Rig",
    "make_host",
]

GICV2: Final = "a GICv2 host"
GICV3: Final = "a GICv3 host"
BOTH_HOSTS: Final = (GICV2, GICV3)
"""Where a GICv2 guest can run: parameters of tests."""

OPEN: Final = 0xF8 << VMCR_VPMR_SHIFT | VMCR_VENG1 | VMCR_VENG0
"""A VMCR that lets everything of priority 0xF0 or better through, all as IRQ; AckCtl is 0."""


def make_host(kind: str = GICV2, *, cpus: int = 8, lrs: int = 4, gicv_trap: bool = False, bits: int = 5) -> Host:
    """Return a host of its own machine; `bits` priority and preemption bits where a GICv3's can be chosen."""
    if kind == GICV2:
        return Host(Machine(cpus, gic=V2Config(n_lr=lrs)), gicv_trap=gicv_trap)
    virt = VirtConfig(n_lr=lrs, sre_legacy=True, pri_bits=bits, pre_bits=bits)
    return Host(Machine(cpus, virt=virt), gicv_trap=gicv_trap)


class Rig(VmRig):
    """A GICv2 VM, open to interrupts of both groups."""

    group = 0

    def __init__(
        self, vcpus: int = 1, *, spis: int = 64, host: str = GICV2, lrs: int = 4, gicv_trap: bool = False
    ) -> None:
        vm = Vgic.gicv2(vcpus, spis, host=make_host(host, lrs=lrs, gicv_trap=gicv_trap), threads=False)
        super().__init__(vm, OPEN)
        self.device = Device(self.dist, GROUPS_V2, NO_LOCK)

    # -- the distributor -------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """The distributor's frame."""
        assert self.dist.frame is not None
        return self.dist.frame

    def gicd(self, offset: int, size: int = 4, by: int = 0) -> int:
        """Read as the guest."""
        return self.frame.read(self.vcpus[by], offset, size)

    def set_gicd(self, offset: int, value: int, size: int = 4, by: int = 0) -> None:
        """Write as the guest."""
        self.frame.write(self.vcpus[by], offset, size, value)

    def user(self, offset: int, of: int = 0, group: int = Group.DIST_REGS) -> int:
        """Read as user space."""
        return self.device.get_attr(group, of << 32 | offset)

    def set_user(self, offset: int, value: int, of: int = 0, group: int = Group.DIST_REGS) -> None:
        """Write as user space."""
        self.device.set_attr(group, of << 32 | offset, value)

    def put(self, who: str, offset: int, value: int, of: int = 0) -> None:
        """Write a word as "guest" or "user"."""
        if who == "guest":
            self.set_gicd(offset, value, by=of)
        else:
            self.set_user(offset, value, of)

    def get(self, who: str, offset: int, of: int = 0) -> int:
        """Read a word as "guest" or "user"."""
        return self.gicd(offset, by=of) if who == "guest" else self.user(offset, of)

    # -- the CPU interface, of a vCPU in the guest -------------------------------------------------

    def gicc(self, offset: int, of: int = 0) -> int:
        """Read GICC as the guest."""
        return self.vcpus[of].read(GICC_BASE + offset, 4)

    def set_gicc(self, offset: int, value: int, of: int = 0) -> None:
        """Write GICC as the guest."""
        assert self.vcpus[of].write(GICC_BASE + offset, 4, value)

    def acknowledge(self, of: int = 0) -> int:
        """The guest reads IAR."""
        return self.gicc(GICC_IAR, of)

    def end(self, iar: int, of: int = 0) -> None:
        """The guest writes EOIR."""
        self.set_gicc(GICC_EOIR, iar, of)
