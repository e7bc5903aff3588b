"""Which vCPU holds which interrupt, and in what order list registers receive them.

Room:    between whatever makes an interrupt pending (inject, perirq) and run.
Owns:    VcpuGic.ap_list and Irq.queued_on; nobody else writes either.
Never:   touches a list register, reads guest memory, logs.
Holds:   irq in v.ap_list  <=>  irq.queued_on is v.
         An active interrupt stays queued where it is until the guest deactivates it.
"""

from vgic.ids import FIRST_LPI
from vgic.irq import Irq, oracle
from vgic.vcpu import VcpuGic


def queue(irq: Irq) -> None:
    """Put `irq` on the list of the vCPU the oracle names, and kick that vCPU: vgic_queue_irq_unlock().

        listed  oracle   effect
        no      a vCPU   appended at that vCPU's tail; kicked
        yes     a vCPU   kicked; the list is left alone, its holder moves the interrupt when it prunes
        -       nobody   nothing

    Call after every change that may have made the interrupt deliverable.
    """
    if not irq.active and not (irq.enabled and (irq.pending_latch or (irq.level and irq.line_level))):
        return  # the oracle's usual answer, without the call
    vcpu = oracle(irq)
    if vcpu is None:
        return
    if irq.queued_on is None:
        irq.queued_on = vcpu
        irq.refs += 1
        vcpu.ap_list.append(irq)
    vcpu.kick()


def prune(vcpu: VcpuGic) -> None:
    """Drop what no longer belongs on the list of `vcpu` and hand over what belongs elsewhere: vgic_prune_ap_list().

    Run by the vCPU that holds the list, at its exit.  Afterwards the oracle names `vcpu` for every entry.
    """
    enabled = vcpu.dist.enabled
    for irq in vcpu.ap_list:
        if irq.active:
            continue
        if irq.enabled and (irq.pending_latch or (irq.level and irq.line_level)) and irq.target is vcpu and enabled:
            continue
        _prune_for_real(vcpu)
        return


def _prune_for_real(vcpu: VcpuGic) -> None:
    """Rebuild the list: something in it has to go."""
    kept: list[Irq] = []
    moved: list[Irq] = []
    for irq in vcpu.ap_list:
        target = oracle(irq)
        if target is vcpu:
            kept.append(irq)
        elif target is None:
            irq.queued_on = None
            _drop(irq, vcpu)
        else:
            moved.append(irq)
    vcpu.ap_list = kept
    for irq in moved:
        irq.queued_on = irq.target
        if irq.target is not None:
            irq.target.ap_list.append(irq)
    # Kicks come last: they run the embedder's code, which may look at any list.
    for irq in moved:
        if irq.target is not None:
            irq.target.kick()


def _drop(irq: Irq, vcpu: VcpuGic) -> None:
    """Give up the list's reference: vgic_put_irq().  Only an LPI can lose its last one."""
    irq.refs -= 1
    if not irq.refs:
        vcpu.dist.lpis.forget(irq)


def flush_lpis(vcpu: VcpuGic) -> None:
    """Take every LPI off the list and clear its latch; the active state stays: vgic_flush_pending_lpis()."""
    kept = []
    for irq in vcpu.ap_list:
        if irq.intid < FIRST_LPI:
            kept.append(irq)
        else:
            irq.pending_latch = False
            irq.queued_on = None
            _drop(irq, vcpu)
    vcpu.ap_list = kept


def forget(vcpu: VcpuGic) -> None:
    """Empty the list of a vCPU that will not run again."""
    flush_lpis(vcpu)
    for irq in vcpu.ap_list:
        irq.queued_on = None
    vcpu.ap_list = []


def rebuild(vcpu: VcpuGic, irqs: list[Irq]) -> None:
    """Make `irqs`, which are on no list, the list of `vcpu`: a snapshot is restored.  Nobody is kicked."""
    for irq in irqs:
        irq.queued_on = vcpu
        irq.refs += 1
    vcpu.ap_list = irqs


def check(vcpu: VcpuGic) -> None:
    """Assert the room's invariants for one vCPU."""
    seen: set[int] = set()
    for irq in vcpu.ap_list:
        assert irq.queued_on is vcpu, f"INTID {irq.intid} is listed on vCPU {vcpu.index} but thinks otherwise"
        assert irq.intid not in seen, f"INTID {irq.intid} is listed twice on vCPU {vcpu.index}"
        seen.add(irq.intid)
    for irq in vcpu.private:
        assert irq.queued_on is None or irq.queued_on is vcpu, f"private INTID {irq.intid} is listed elsewhere"
        assert (irq.queued_on is vcpu) == (irq.intid in seen), f"INTID {irq.intid} lost its list"
    for irq in vcpu.dist.spis:
        assert (irq.queued_on is vcpu) == (irq.intid in seen), f"INTID {irq.intid} lost its list"
