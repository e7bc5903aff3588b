"""Irq to list register, for a GICv3 guest.

Room:    below run: what one list register is given, and what giving it does to the interrupt.
Never:   decides which interrupts get one.
"""

from hw.ich import Ich
from vgic.irq import Irq


def populate(virt: Ich, i: int, irq: Irq) -> None:
    """Write list register `i` for `irq`: vgic_v3_populate_lr().

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
    hw = irq.hw
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
        irq.hwintid if linked else 0,
        level and not linked,
    )
