"""The next entry of a vCPU, tried out on copies, and what is true of an interrupt while its guest runs.

Room:    below explain, above the rules of run, which it follows on copies of interrupts and a spare CPU interface.
Never:   changes or counts anything that is not its own.
Holds:   what is tried out is what happens, if nothing else does before: the order comes from overflow and ap_list's
         oracle, the list registers from v3.lr.
"""

from dataclasses import replace
from typing import Final, final

from hw.cost import Cost
from hw.icv import Icv
from hw.lr import ListReg
from vgic.irq import Irq, oracle
from vgic.overflow import arrange, overflows
from vgic.v3.lr import populate
from vgic.vcpu import IN_GUEST, PUT, VcpuGic

NOT_LISTED: Final = -1


@final
class Case:
    """One interrupt, asked about for one vCPU: where it is, and its state including its list register's."""

    __slots__ = ("active", "group", "home", "irq", "lr", "pending", "priority", "slot", "spent", "twin", "vcpu")

    def __init__(self, irq: Irq, vcpu: VcpuGic | None) -> None:
        self.irq = irq
        self.slot = _slot(irq)
        lr = _lr(irq)
        self.spent = lr is not None and not (lr.pending or lr.active)  # the guest has completed it
        self.lr: ListReg | None = None if self.spent else lr  # the live one, pending or active
        self.twin = _twin(irq)
        self.active = self.twin.active
        self.pending = self.twin.is_pending() or (lr is not None and lr.pending)
        # a list register keeps what it was given at the entry
        self.priority = irq.priority if self.lr is None else self.lr.priority
        self.group = irq.group if self.lr is None else self.lr.group
        # where it is signalled: fixed while active or in a list register
        held = self.active or self.lr is not None
        self.home = irq.queued_on if held and irq.queued_on is not None else irq.target
        self.vcpu = self.home if vcpu is None else vcpu

    @property
    def underway(self) -> bool:
        """Whether it is pending in a list register already: what the distributor says comes too late."""
        return self.lr is not None and self.lr.pending


def _slot(irq: Irq) -> int:
    """The list register that the vCPU's last entry gave `irq`, or NOT_LISTED."""
    holder = irq.queued_on
    if holder is not None:
        for i in range(holder.used_lrs):
            if holder.lr_irqs[i] is irq:
                return i
    return NOT_LISTED


def _lr(irq: Irq) -> ListReg | None:
    slot, holder = _slot(irq), irq.queued_on
    return None if slot == NOT_LISTED or holder is None else holder.pe.virt.lrs[slot]


def _twin(irq: Irq) -> Irq:
    """Return a copy of `irq` as it will be when its list register, if it has one, has been folded."""
    twin = Irq(irq.intid, irq.level, irq.enabled, irq.target)
    twin.active, twin.line_level, twin.pending_latch = irq.active, irq.line_level, irq.pending_latch
    twin.priority, twin.group, twin.queued_on = irq.priority, irq.group, irq.queued_on
    twin.hw, twin.hwintid, twin.sw_resample = irq.hw, irq.hwintid, irq.sw_resample
    lr = _lr(irq)
    if lr is not None:
        twin.active = lr.active
        if not irq.level:
            twin.pending_latch = irq.pending_latch or lr.pending
        elif not (lr.pending or lr.active):
            twin.pending_latch = False
        elif lr.pending and irq.hw and not irq.sw_resample:
            twin.line_level = True  # the device will be asked; take it that it has not let go
    return twin


def replica(vcpu: VcpuGic, with_lrs: bool) -> Icv:
    """Return a spare CPU interface in the state of `vcpu`'s: the live one where there is one, else the saved."""
    virt = vcpu.pe.virt
    state = virt.snapshot()
    if vcpu.mode == PUT:
        words = virt.config.ap_words
        state = replace(state, vmcr=vcpu.vmcr, ap0r=tuple(vcpu.ap0r[:words]), ap1r=tuple(vcpu.ap1r[:words]))
    if not with_lrs:
        state = replace(state, hcr=0, lrs=(0,) * len(state.lrs))
    copy = Icv(virt.config, Cost())
    copy.restore(state)
    return copy


@final
class Entry:
    """The next entry of one vCPU, tried out: vgic.run.flush() on copies; after an exit, if it is in the guest."""

    __slots__ = ("cpu", "order")

    def __init__(self, vcpu: VcpuGic) -> None:
        twins = [_twin(irq) for irq in vcpu.ap_list]
        if vcpu.mode == IN_GUEST:
            twins = [twin for twin in twins if oracle(twin) is vcpu]  # the exit prunes
        if overflows(twins, vcpu.nr_lr):
            arrange(twins)
        wanting = [twin for twin in twins if oracle(twin) is vcpu]
        self.order = [twin.intid for twin in wanting]  # the first `nr_lr` get a list register each
        self.cpu = replica(vcpu, False)
        for i, twin in enumerate(wanting[: vcpu.nr_lr]):
            populate(self.cpu, i, twin)
        if wanting:
            self.cpu.write_hcr(vcpu.hcr)
