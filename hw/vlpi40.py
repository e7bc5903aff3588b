"""GICv4.0's VLPI frame: residency by the addresses of a pending table and of a configuration table.

Room:    above vlpi; chosen when the machine is built.
Owns:    the layouts of GICR_VPROPBASER and GICR_VPENDBASER in GICv4.0.
Holds:   a vPE that no ITS maps exists while it is resident, and no longer.

Source: IHI 0069E and later, GICv4.0 forms of GICR_VPROPBASER and GICR_VPENDBASER.
"""

from typing import Final, final

from hw.arch import PROPBASER_ADDRESS_MASK, PROPBASER_IDBITS_MASK
from hw.arch4 import (
    PA_64K,
    VPENDBASER_40_MASK,
    VPENDBASER_DIRTY,
    VPENDBASER_IDAI,
    VPENDBASER_PENDING_LAST,
    VPENDBASER_VALID,
    VPROPBASER_40_MASK,
)
from hw.ich import Ich
from hw.redist import Redistributor
from hw.vlpi import VlpiFrame
from hw.vpe import Vpe
from hw.vpes import Vpes

GROUP1: Final = 2  # of the bits for groups: every vLPI is in Group 1, and there is no enable


@final
class Vlpi40(VlpiFrame):
    """The frame of one redistributor."""

    def __init__(self, redist: Redistributor, virt: Ich, vpes: Vpes) -> None:
        """Reset state."""
        super().__init__(redist, virt, vpes)
        self.vpendbaser = 0  # address and attributes
        self.idai = False  # VPENDBASER.IDAI, as software or, after descheduling, hardware has it

    def write_vpropbaser(self, value: int) -> None:
        """Write GICR_VPROPBASER; ignored while a vPE is resident."""
        if self.valid:
            self.misuse.report("M-06")
        else:
            self.vpropbaser = value & VPROPBASER_40_MASK

    def read_vpendbaser(self) -> int:
        """GICR_VPENDBASER."""
        value = self.vpendbaser | (VPENDBASER_IDAI if self.idai else 0) | (VPENDBASER_DIRTY if self.dirty else 0)
        if self.valid:
            return value | VPENDBASER_VALID
        return value | (VPENDBASER_PENDING_LAST if self.pending_last else 0)

    def _write_vpendbaser(self, value: int) -> None:
        if self.valid:
            if not value & VPENDBASER_VALID:
                self.deschedule(False, False)
                self.idai = False  # this GIC's use of the first KiB is always up to date
            elif value & VPENDBASER_40_MASK != self.vpendbaser:
                self.misuse.report("M-08")
            return
        self.vpendbaser = value & VPENDBASER_40_MASK
        self.idai = value & VPENDBASER_IDAI != 0
        self.pending_last = value & VPENDBASER_PENDING_LAST != 0
        if value & VPENDBASER_VALID:
            self._make_resident(value & PA_64K)

    def _make_resident(self, vpt: int) -> None:
        """The vPE with that pending table; PendingLast as written promises an empty one with 0."""
        if self.virt is None:
            self.misuse.report("M-32")
            return
        vpe = self.vpes.by_key.get(vpt)
        if vpe is None:
            bits = (self.vpropbaser & PROPBASER_IDBITS_MASK) + 1
            if not 14 <= bits <= 24 or not self.vpes.readable(vpt, bits):
                self.misuse.report("M-01", f"no pending table of {bits}-bit INTIDs at {vpt:#x}")
                return
            vpe = Vpe(self.fabric, -1, self.redist, vpt, -1, bits)
            self.vpes.create(vpt, vpe, False)
        elif vpe.frame is not None:
            self.misuse.report("M-04", f"pending table {vpt:#x}")
            return
        elif vpe.redist not in self.redist.group:
            self.misuse.report("M-03", f"pending table {vpt:#x} is mapped to {vpe.redist.name}")
            return
        vpe.set_vct(self.vpropbaser & PROPBASER_ADDRESS_MASK)
        self.blind = not self.pending_last
        if self.blind and vpe.ready1:
            self.misuse.report("M-05", f"PendingLast 0, but {len(vpe.ready1)} interrupts are pending")
        self.schedule(vpt, vpe, GROUP1)

    def consider(self, rank: int) -> None:
        """An interrupt of that rank became ready for the resident vPE."""
        if self.blind:
            self.reconsider()
        else:
            super().consider(rank)

    def left(self, vpe: Vpe) -> None:
        """`vpe` is no longer resident."""
        if not vpe.maps:
            self.vpes.end(vpe.vpt, vpe)
