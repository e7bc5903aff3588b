"""GICv4.1's VLPI frame: residency by vPEID, default doorbells, and the query for pending virtual SGIs.

Room:    above vlpi; chosen when the machine is built.
Owns:    the layouts of GICR_VPROPBASER and GICR_VPENDBASER in GICv4.1, GICR_VSGIR and GICR_VSGIPENDR.
Holds:   the redistributors of a group that have a vPE table have the same one, and other groups another.

Source: IHI 0069H, GICR_VPROPBASER, GICR_VPENDBASER, GICR_VSGIR, GICR_VSGIPENDR.
"""

from typing import final

from hw.arch import NR_SGIS
from hw.arch4 import (
    BASER_SHAREABILITY,
    PA_4K,
    VALID,
    VPENDBASER_DIRTY,
    VPENDBASER_DOORBELL,
    VPENDBASER_PENDING_LAST,
    VPENDBASER_VALID,
    VPENDBASER_VGRP0EN,
    VPENDBASER_VGRP1EN,
    VPENDBASER_VPEID_MASK,
    VPROPBASER_41_MASK,
    VPROPBASER_ENTRY_SIZE_SHIFT,
    VPROPBASER_INDIRECT,
    VPROPBASER_PAGE_SIZE_SHIFT,
    VPROPBASER_SIZE_MASK,
    VPROPBASER_Z,
    VSGIPENDR_BUSY,
)
from hw.ich import Ich
from hw.redist import Redistributor
from hw.tables import Table
from hw.vlpi import VlpiFrame
from hw.vpes import VPECT_ENTRY, Vpes


@final
class Vlpi41(VlpiFrame):
    """The frame of one redistributor."""

    def __init__(self, redist: Redistributor, virt: Ich, vpes: Vpes) -> None:
        """Reset state."""
        super().__init__(redist, virt, vpes)
        self.vpeid = 0  # VPENDBASER as last written, while Valid is 0 too
        self.enables = 0  # VGrp0En, VGrp1En
        self.doorbell = False
        self._sgis = 0  # what the last query found
        self._answer_due = 0

    # GICR_VPROPBASER

    def read_vpropbaser(self) -> int:
        """GICR_VPROPBASER: Z reads as zero, Entry_Size is fixed."""
        return self.vpropbaser | (VPECT_ENTRY // 8 - 1) << VPROPBASER_ENTRY_SIZE_SHIFT

    def write_vpropbaser(self, value: int) -> None:
        """Write GICR_VPROPBASER: give the group its vPE table, or take it away; while Valid no other change."""
        new = value & VPROPBASER_41_MASK
        if new >> VPROPBASER_PAGE_SIZE_SHIFT & 3 == 3:
            new &= ~(1 << VPROPBASER_PAGE_SIZE_SHIFT)
        if not self.fabric.phys.coherent:
            new &= ~BASER_SHAREABILITY
        if self.vpropbaser & VALID:
            if not new & VALID:
                self._take_table_away()
            elif new != self.vpropbaser:
                self.misuse.report("M-06")
        elif not new & VALID or self._take_table(new, value & VPROPBASER_Z != 0):
            self.vpropbaser = new
        else:
            self.vpropbaser = new & ~VALID

    def _take_table(self, value: int, zeroed: bool) -> bool:
        """Use the table that `value` describes, unless the rules of the groups forbid it."""
        page_bits = 12 + 2 * (value >> VPROPBASER_PAGE_SIZE_SHIFT & 3)
        base = value & PA_4K & -(1 << page_bits)
        indirect = value & VPROPBASER_INDIRECT != 0
        what = f"the vPE table of {self.redist.name}"
        pages = (value & VPROPBASER_SIZE_MASK) + 1
        table = Table(self.fabric, base, pages, page_bits, indirect, VPECT_ENTRY, what)
        group = {redist.number for redist in self.redist.group}
        for number, other in self.vpes.tables.items():
            if (number in group) != table.same(other) and (number in group or other.base == base):
                self.misuse.report("M-13" if number in group else "M-12", f"GICR{number} has {other.base:#x}")
                table.release()
                return False
        lost = table.content() if zeroed else 0
        if lost:
            self.misuse.report("M-05", f"GICR_VPROPBASER.Z with {lost} bits set")
            if not self.vpes.by_key:
                table.zero()
        self.vpes.tables[self.redist.number] = self.vpes.use(table)
        return True

    def _take_table_away(self) -> None:
        """Clear VPROPBASER.Valid; with the last table go the vPEs."""
        if self.valid or self.dirty:
            self.misuse.report("M-06", f"vPE {self.key} is resident")
            return
        self.vpropbaser &= ~VALID
        self.vpes.tables.pop(self.redist.number).release()
        if not self.vpes.tables:
            self.vpes.forget_all()

    # GICR_VPENDBASER

    def read_vpendbaser(self) -> int:
        """GICR_VPENDBASER.  Doorbell and PendingLast are UNKNOWN while Valid is 1: zero."""
        value = self.vpeid | (VPENDBASER_DIRTY if self.dirty else 0)
        value |= (VPENDBASER_VGRP0EN if self.enables & 1 else 0) | (VPENDBASER_VGRP1EN if self.enables & 2 else 0)
        if self.valid:
            return value | VPENDBASER_VALID
        value |= VPENDBASER_DOORBELL if self.doorbell else 0
        return value | (VPENDBASER_PENDING_LAST if self.pending_last else 0)

    def _write_vpendbaser(self, value: int) -> None:
        vpeid = value & VPENDBASER_VPEID_MASK
        enables = (1 if value & VPENDBASER_VGRP0EN else 0) | (2 if value & VPENDBASER_VGRP1EN else 0)
        doorbell = value & VPENDBASER_DOORBELL != 0
        will_return = value & VPENDBASER_PENDING_LAST != 0
        if self.valid:
            if not value & VPENDBASER_VALID:
                self.doorbell = doorbell
                self.deschedule(doorbell, will_return)
            elif vpeid != self.vpeid or enables != self.enables:
                self.misuse.report("M-08")
            return
        self.vpeid = vpeid
        self.enables = enables
        self.doorbell = doorbell
        if value & VPENDBASER_VALID:
            self._make_resident(vpeid, enables)

    def _make_resident(self, vpeid: int, enables: int) -> None:
        """That vPE, if it may be."""
        vpe = self.vpes.by_key.get(vpeid)
        code = ""
        if self.virt is None:
            code = "M-32"
        elif not self.vpropbaser & VALID:
            code = "M-02"
        elif vpe is None:
            code = "M-01"
        elif vpe.redist not in self.redist.group:
            code = "M-03"
        elif vpe.frame is not None:
            code = "M-04"
        else:
            self.schedule(vpeid, vpe, enables)
        if code:
            self.misuse.report(code, f"vPE {vpeid}")

    # GICR_VSGIR, GICR_VSGIPENDR

    def query_sgis(self, vpeid: int) -> None:
        """Write GICR_VSGIR: ask which SGIs are pending for that vPE."""
        if self.fabric.now < self._answer_due:
            self.misuse.report("M-23", f"vPE {vpeid}")
            return
        vpe = self.vpes.by_key.get(vpeid)
        self._answer_due = self.fabric.now + self.v4.t_query
        self._sgis = 0
        if vpe is None or vpe.redist not in self.redist.group:
            self.misuse.report("M-22", f"vPE {vpeid}")
            return
        for vintid in range(NR_SGIS):
            if vintid in vpe.pending:
                self._sgis |= 1 << vintid

    def read_sgis(self) -> int:
        """GICR_VSGIPENDR."""
        return VSGIPENDR_BUSY if self.fabric.now < self._answer_due else self._sgis
