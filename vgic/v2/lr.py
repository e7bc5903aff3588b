"""SGIs of a GICv2 guest in list registers: each has a source CPU, and may wait from several at once.

Room:    beside lr, whose rules hold for everything else.
Owns:    Irq.source and active_source between entry and exit.
Holds:   one list register an SGI, whatever its sources: no INTID stands in two.
         While an SGI is active from one source, no other source of it is pending in the list register.
"""

from typing import Final, final

from hw.ich import Ich
from vgic.ids import NR_SGIS
from vgic.irq import Irq
from vgic.lr import LrRules
from vgic.overflow import arrange, overflows

_CPUID_SHIFT = 10
_CPUID_MASK = 7


@final
class LrRulesV2(LrRules):
    """How a GICv2 guest's interrupts use list registers."""

    __slots__ = ()

    def arrange(self, ap_list: list[Irq], nr_lr: int) -> LrRules:
        """Sort the list if more is wanted than there are list registers, or an SGI waits from several CPUs.

        The rules returned are those without SGIs where none is listed, and `several` where one waits from several:
        nothing less urgent may then overtake the sources that are left.
        KVM: compute_ap_list_depth().
        """
        rules = _NO_SGI
        for irq in ap_list:
            if irq.intid < NR_SGIS:
                rules = _ONE_SOURCE
                source = irq.source
                if source and (source & source - 1 or irq.active):
                    arrange(ap_list)
                    return _SEVERAL
        if len(ap_list) > nr_lr and overflows(ap_list, nr_lr):  # each wants one
            arrange(ap_list)
        return rules

    def populate(self, virt: Ich, i: int, irq: Irq) -> None:
        """Write list register `i`: vgic_v2_populate_lr(), vgic_v3_populate_lr() for a GICv2 guest.

        active  sources     LR state, CPUID           flags  the SGI afterwards
        no      one, s      pending, s                -      no source, latch cleared
        no      several     pending, the lowest       EOI    without the lowest, still latched
        yes     none        active, active_source     -      unchanged
        yes     some        active, active_source     EOI    unchanged
        no      none        left empty                -      latch cleared: its only source had no bit
        """
        if irq.intid >= NR_SGIS:
            LrRules.populate(self, virt, i, irq)
            return
        source = irq.source
        if irq.active:
            vintid = irq.intid | (irq.active_source & _CPUID_MASK) << _CPUID_SHIFT
            virt.write_lr(i, vintid, False, True, irq.priority, irq.group, False, 0, source != 0)
            return
        if not source:
            irq.pending_latch = False
            return
        lowest = source & -source
        irq.source = source ^ lowest
        irq.pending_latch = irq.source != 0
        vintid = irq.intid | (lowest.bit_length() - 1) << _CPUID_SHIFT
        virt.write_lr(i, vintid, True, False, irq.priority, irq.group, False, 0, irq.source != 0)

    def fold(self, irq: Irq, vintid: int, lr_pending: bool, lr_active: bool) -> None:
        """Take back one interrupt; an SGI's source stands beside its INTID: vgic_v2_fold_lr_state()."""
        if irq.intid >= NR_SGIS:
            LrRules.fold(self, irq, vintid, lr_pending, lr_active)
            return
        cpuid = vintid >> _CPUID_SHIFT & _CPUID_MASK
        irq.active = lr_active
        if lr_active:
            irq.active_source = cpuid
        if lr_pending:
            irq.pending_latch = True
            irq.source |= 1 << cpuid


_NO_SGI: Final = LrRules()
_ONE_SOURCE: Final = LrRulesV2()
_SEVERAL: Final = LrRulesV2(several=True)
