"""A redistributor with direct injection: the VLPI frame, and what virtual interrupts add to the others.

Room:    above redist and vlpi.
Owns:    the VLPI frame's place and access widths.
Never:   sleeps, or stops its LPIs, while a vPE is resident.

Source: IHI 0069H, GICR_* in GICv4.
"""

from typing import final

from hw.arch4 import (
    GICR_TYPER_COMMON_SHIFT,
    GICR_TYPER_DIRTY,
    GICR_TYPER_RVPEID,
    GICR_TYPER_VLPIS,
    GICR_TYPER_VSGI,
    GICR_VLPI_BASE,
    GICR_VPENDBASER,
    GICR_VPROPBASER,
    GICR_VSGIPENDR,
    GICR_VSGIR,
    INVLPIR_V,
    INVLPIR_VPEID_SHIFT,
    U32,
)
from hw.cost import Cost
from hw.dist import Distributor
from hw.fabric import Fabric
from hw.ich import Ich
from hw.physirq import W32, W64, merge, part
from hw.redist import Redistributor
from hw.vlpi import VlpiFrame
from hw.vlpi40 import Vlpi40
from hw.vlpi41 import Vlpi41
from hw.vpe import Vpe
from hw.vpes import Vpes

VPEID_MASK = 0xFFFF


@final
class RedistributorV4(Redistributor):
    """The redistributor of one PE of a machine with GICv4."""

    def __init__(
        self, number: int, aff: int, dist: Distributor, virt: Ich, fabric: Fabric, cost: Cost, vpes: Vpes
    ) -> None:
        """Reset state."""
        super().__init__(number, aff, dist, virt, fabric, cost)
        assert fabric.v4 is not None, "GICv4 without its configuration"
        self.v4 = fabric.v4
        self.vpes = vpes
        self.vlpi: VlpiFrame = Vlpi41(self, virt, vpes) if self.v4.v41 else Vlpi40(self, virt, vpes)

    def read(self, offset: int, size: int, secure: bool = False) -> int:
        """Read `size` bytes at `offset` of the GICR frames; VLPI_base is at 0x20000."""
        if offset < GICR_VLPI_BASE:
            return Redistributor.read(self, offset, size, secure)
        self.cost.mmio_reads += 1
        register = offset & ~7
        if register == GICR_VPENDBASER and self._fits(offset, size):
            return part(self.vlpi.read_vpendbaser(), offset % W64, size)
        if register == GICR_VPROPBASER and self._fits(offset, size):
            return part(self.vlpi.read_vpropbaser(), offset % W64, size)
        if offset == GICR_VSGIPENDR and self.v4.has_vsgi and self._fits(offset, size):
            return self.vlpi.read_sgis()
        return 0

    def write(self, offset: int, size: int, value: int, secure: bool = False) -> None:
        """Write `size` bytes at `offset` of the GICR frames; VLPI_base is at 0x20000."""
        if offset < GICR_VLPI_BASE:
            Redistributor.write(self, offset, size, value, secure)
            return
        self.cost.mmio_writes += 1
        misuse = self.fabric.misuse
        misuse.doing(self.name, offset, value)
        register = offset & ~7
        vlpi = self.vlpi
        if register == GICR_VPENDBASER and self._fits(offset, size):
            if size == W32:
                value = merge(vlpi.read_vpendbaser(), offset % W64, size, value)
            vlpi.write_vpendbaser(value)
        elif register == GICR_VPROPBASER and self._fits(offset, size):
            vlpi.write_vpropbaser(merge(vlpi.read_vpropbaser(), offset % W64, size, value))
        elif offset == GICR_VSGIR and self.v4.has_vsgi and self._fits(offset, size):
            vlpi.query_sgis(value & VPEID_MASK)
        self.dist.notify()
        misuse.done()

    def invalidate(self, value: int) -> None:
        """Write GICR_INVLPIR; with V, of GICv4.1, for an interrupt of a vPE."""
        if self.v4.v41 and value & INVLPIR_V:
            vpe = self._named(value)
            if vpe is not None:
                vpe.invalidate(value & U32)
        else:
            self.lpis.invalidate(value & U32)

    def invalidate_all(self, value: int) -> None:
        """Write GICR_INVALLR; with V, of GICv4.1, for a vPE."""
        if self.v4.v41 and value & INVLPIR_V:
            vpe = self._named(value)
            if vpe is not None:
                vpe.invalidate_all()
        else:
            self.lpis.invalidate_all()

    def enable_lpis(self, on: bool) -> None:
        """Write GICR_CTLR.EnableLPIs; not cleared while a vPE is resident."""
        if not on and self.lpis.enabled and self.vlpi.valid:
            self.fabric.misuse.report("M-26", f"vPE {self.vlpi.key}")
        else:
            super().enable_lpis(on)

    def sleep(self, asleep: bool) -> None:
        """Write GICR_WAKER.ProcessorSleep; not set while a vPE is resident."""
        if asleep and self.vlpi.valid:
            self.fabric.misuse.report("M-26", f"vPE {self.vlpi.key}")
        else:
            self.asleep = asleep

    def typer(self) -> int:
        """GICR_TYPER."""
        v4 = self.v4
        value = super().typer() | GICR_TYPER_VLPIS | v4.common_lpi_aff << GICR_TYPER_COMMON_SHIFT
        value |= GICR_TYPER_DIRTY if v4.dirty else 0
        return value | (GICR_TYPER_RVPEID if v4.v41 else 0) | (GICR_TYPER_VSGI if v4.has_vsgi else 0)

    def check(self) -> None:
        """Assert what always holds."""
        super().check()
        self.vlpi.check()

    def _named(self, value: int) -> Vpe | None:
        """The vPE that a write of INVLPIR or INVALLR names; it has to be mapped in this group."""
        vpeid = value >> INVLPIR_VPEID_SHIFT & VPEID_MASK
        vpe = self.vpes.by_key.get(vpeid)
        if vpe is None or vpe.redist not in self.group:
            self.fabric.misuse.report("M-17", f"vPE {vpeid}")
            return None
        return vpe

    def _fits(self, offset: int, size: int) -> bool:
        """Whether a register of that frame has this width there."""
        if size in (W32, W64) and offset % size == 0:
            return True
        self.fabric.misuse.doing(self.name, offset, size)
        self.fabric.misuse.report("ACCESS_SIZE", f"{size} bytes")
        self.fabric.misuse.done()
        return False
