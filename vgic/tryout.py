"""The next entry of a vCPU, tried out on copies, and what is true of an interrupt while its guest runs.

Room:    below explain, above the rules of run, which it follows on copies of interrupts and a spare CPU interface.
Never:   changes or counts anything that is not its own.
Holds:   what is tried out is what happens, if nothing else does before: the order comes from overflow and ap_list's
         oracle, the list registers from the model's LrRules.
"""

from dataclasses import replace
from typing import Final, final

from hw.icv import Icv
from hw.lr import ListReg
from vgic.irq import Irq, oracle
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
    twin.source, twin.active_source = irq.source, irq.active_source
    lr, holder = _lr(irq), irq.queued_on
    if lr is not None and holder is not None:
        # not marked as mapped yet: the copy must neither ask nor change what is physical
        holder.lr_rules.fold(twin, lr.vintid, lr.pending, lr.active)
        if irq.level and lr.pending and irq.hw and not irq.sw_resample:
            twin.line_level = True  # the device will be asked; take it that it has not let go
    twin.mapped_by, twin.host_irq, twin.sw_resample = irq.mapped_by, irq.host_irq, irq.sw_resample
    return twin


def replica(vcpu: VcpuGic, with_lrs: bool) -> Icv:
    """Return a spare CPU interface in the state of `vcpu`'s: the live one where there is one, else the saved."""
    virt = vcpu.pe.virt
    state = virt.snapshot()
    if vcpu.mode == PUT:
        words = virt.config.ap_words
        sre = vcpu.sre and vcpu.dist.host.is_gicv3
        state = replace(state, sre=sre, vmcr=vcpu.vmcr, ap0r=tuple(vcpu.ap0r[:words]), ap1r=tuple(vcpu.ap1r[:words]))
    if not with_lrs:
        state = replace(state, hcr=0, lrs=(0,) * len(state.lrs))
    copy = virt.spare()  # the host's kind: a GICv2's has one active-priority register
    assert isinstance(copy, Icv)
    copy.restore(state)
    return copy


@final
class Entry:
    """The next entry of one vCPU, tried out: vgic.run.flush() on copies; after an exit, if it is in the guest."""

    __slots__ = ("cpu", "given", "order", "stopper")

    def __init__(self, vcpu: VcpuGic) -> None:
        rules = vcpu.lr_rules
        twins = [_twin(irq) for irq in vcpu.ap_list]
        if vcpu.mode == IN_GUEST:
            twins = [twin for twin in twins if oracle(twin) is vcpu]  # the exit prunes
        several = rules.arrange(twins, vcpu.nr_lr).several
        self.order = [twin.intid for twin in twins if oracle(twin) is vcpu]  # all that want a list register
        self.given: list[int] = []  # those that get one, in this order
        self.stopper: int | None = None  # GICv2: the SGI whose other sources nothing less urgent may overtake
        self.cpu = replica(vcpu, False)
        least_urgent = 0xFF
        for twin in twins:
            if len(self.given) == vcpu.nr_lr or twin.priority > least_urgent:
                break
            if oracle(twin) is vcpu:
                rules.populate(self.cpu, len(self.given), twin)
                self.given.append(twin.intid)
                if several and twin.source:
                    least_urgent = twin.priority
                    self.stopper = twin.intid
        if self.given:
            self.cpu.write_hcr(vcpu.hcr)
