"""More interrupts than list registers: which of them the guest gets to see.

Room:    between ap_list and run: Linux 6.12's decisions, when to sort, by what, and what to ask of the hardware.
Never:   touches a list register or an interrupt.

Linux 6.19 decides otherwise (pending before active, EOIcount replayed).  That policy begins here.
"""

from hw.arch import HCR_UIE
from vgic.irq import Irq


def overflows(ap_list: list[Irq], nr_lr: int) -> bool:
    """Whether the list must be sorted: more entries want a list register than there are: compute_ap_list_depth().

    Enabled or not does not matter, nor whether the oracle would deliver them here.  One list register an
    interrupt: GICv2's SGIs with several sources are counted by the GICv2 room.
    """
    if len(ap_list) <= nr_lr:
        return False
    depth = 0
    for irq in ap_list:
        if irq.active or irq.pending_latch or (irq.level and irq.line_level):
            depth += 1
            if depth > nr_lr:
                return True
    return False


def urgency(irq: Irq) -> int:
    """Sort key, lower first: active ones; then enabled and pending by priority; then the rest: vgic_irq_cmp().

    Active interrupts come first because one outside the list registers cannot be deactivated by the guest.
    Among themselves they keep their order whatever their priority.
    """
    if irq.active:
        return -1
    if irq.enabled and (irq.pending_latch or (irq.level and irq.line_level)):
        return irq.priority
    return 256


def arrange(ap_list: list[Irq]) -> None:
    """Sort the list in place, stably and for good: later arrivals still go to the tail."""
    ap_list.sort(key=urgency)


def underflow_request(hcr: int) -> int:
    """Return `hcr` with what makes the guest exit when the list registers run empty: vgic_set_underflow()."""
    return hcr | HCR_UIE
