"""Irq to list register and back: what one list register is given, and what the guest leaves in it.

Room:    below run, which walks the list; above ap_list's neighbours, whose rules it applies to one interrupt.
Never:   decides which interrupts get a list register; touches one that it was not handed.
Holds:   populate then fold, with the guest changing nothing, leaves an interrupt as it was (mapped level lines,
         which are sampled anew, excepted).

`LrRules` is the whole of a GICv3 guest, and GICv2's but for SGIs, which the GICv2 room adds.
"""

from hw.ich import Ich
from vgic.irq import Irq
from vgic.mapped import resample
from vgic.overflow import arrange, overflows


class LrRules:
    """How a guest's interrupts use list registers; one object for each model, chosen when the VGIC is created."""

    __slots__ = ("several",)

    def __init__(self, several: bool = False) -> None:
        """Say whether they are for a list in which one interrupt would want several list registers."""
        self.several = several

    def arrange(self, ap_list: list[Irq], nr_lr: int) -> "LrRules":
        """Sort the list if it must be; return the rules for one entry with it."""
        if len(ap_list) > nr_lr and overflows(ap_list, nr_lr):
            arrange(ap_list)
        return self

    def populate(self, virt: Ich, i: int, irq: Irq) -> None:
        """Write list register `i` for `irq`: vgic_v3_populate_lr(), vgic_v2_populate_lr().

            trigger  mapped  active   LR state           flags  the interrupt afterwards
            edge     no      no       pending            -      latch cleared
            edge     no      yes      active (+pending)  -      latch cleared if it went in
            edge     yes     no       pending            HW     latch cleared
            edge     yes     yes      active             HW     unchanged: hardware keeps pending on its own side
            level    no      no       pending            EOI    unchanged
            level    no      yes      active             EOI    unchanged: a new sample is taken after the EOI
            level    yes     no       pending            HW     line dropped, sampled again after the exit
            level    yes     yes      active             HW     unchanged

        `sw_resample` (a host without hardware deactivation) asks for EOI instead of HW.
        """
        active = irq.active
        level = irq.level
        hw = irq.mapped_by is not None
        linked = hw and not irq.sw_resample
        pending = (irq.pending_latch or (level and irq.line_level)) and not (active and (linked or level))
        if pending:
            if not level:
                irq.pending_latch = False
            elif hw:
                irq.line_level = False
        virt.write_lr(
            i,
            irq.intid,
            pending,
            active,
            irq.priority,
            irq.group,
            linked,
            irq.host_irq if linked else 0,
            level and not linked,
        )

    def fold(self, irq: Irq, vintid: int, lr_pending: bool, lr_active: bool) -> None:
        """Take back one interrupt from its list register.

            trigger  LR.pending  LR.active   pending_latch  active
            edge     yes         -           set            LR
            edge     no          -           kept           LR
            level    no          no          cleared        no
            level    (any other pair)        kept           LR

        vintid  as the list register had it: a GICv2 SGI's source stands in bits 12:10.
        Never:   writes `line_level`: the wire belongs to the device; mapped ones are sampled anew by `resample`.
        Source:  IHI 0069, ICH_LR<n>_EL2.State.  KVM: vgic_v3_fold_lr_state().
        """
        deactivated = irq.active and not lr_active
        irq.active = lr_active
        if not irq.level:
            if lr_pending:
                irq.pending_latch = True
        else:
            if not (lr_pending or lr_active):
                irq.pending_latch = False
            if irq.mapped_by is not None:
                resample(irq, deactivated, lr_pending)
