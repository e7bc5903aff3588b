"""The distributor of a GICv3: its frame, and the routing of SPIs by affinity.

Room:    beside the redistributors, which hold INTIDs 0..31; above dist.
Owns:    GICD_CTLR, GICD_IROUTER<n>.
Never:   knows a CPU interface's priorities, or what a PE runs.
Holds:   affinity routing is always on (ARE reads as one), so INTIDs 0..31 are not here.

Registers that are not in the table of physirq or named here are RAZ/WI, as are accesses of the
wrong width or alignment.

Source: IHI 0069H, GICD_*.
"""

from typing import Final, final

from hw.arch import (
    GICD_CTLR,
    GICD_CTLR_ARE,
    GICD_CTLR_ARE_NS,
    GICD_CTLR_DS,
    GICD_CTLR_E1NWF,
    GICD_CTLR_ENABLE_GRP0,
    GICD_CTLR_ENABLE_GRP1,
    GICD_CTLR_ENABLE_GRP1S,
    GICD_IIDR,
    GICD_IROUTER,
    GICD_TYPER,
    GICD_TYPER_A3V,
    GICD_TYPER_IDBITS_SHIFT,
    GICD_TYPER_LPIS,
    GICD_TYPER_RSS,
    GICD_TYPER_SECURITY_EXTN,
    IIDR_ARM,
    IROUTER_IRM,
)
from hw.arch4 import GICD_TYPER2, GICD_TYPER2_NASSGICAP, GICD_TYPER2_VIL, GICD_TYPER_DVIS
from hw.config import PhysConfig
from hw.config4 import V4Config
from hw.dist import Distributor
from hw.physirq import ROUTE_ANY, W32, W64, PhysIrq, merge, part

ENABLES_ONE_STATE: Final = GICD_CTLR_ENABLE_GRP0 | GICD_CTLR_ENABLE_GRP1
ENABLES_SECURE: Final = ENABLES_ONE_STATE | GICD_CTLR_ENABLE_GRP1S


@final
class DistributorV3(Distributor):
    """The distributor of a machine with a GICv3."""

    def __init__(self, config: PhysConfig, v4: V4Config | None = None) -> None:
        """Reset state: every group disabled, every SPI idle and routed to 0.0.0.0."""
        super().__init__(config)
        self.v4 = v4
        self.e1nwf = False  # storage: 1-of-N never wakes a PE here

    def read(self, offset: int, size: int, secure: bool = False) -> int:
        """Read `size` bytes at `offset` of the GICD frame, from Secure or Non-secure state."""
        self.cost.mmio_reads += 1
        if size == W32:
            if offset == GICD_CTLR:
                return self.ctlr(secure)
            if offset == GICD_TYPER:
                return self.typer()
            if offset == GICD_IIDR:
                return IIDR_ARM
            if offset == GICD_TYPER2:
                return self.typer2()
        irq = self._routed(offset, size)
        if irq is not None:
            return 0 if self.hidden(irq, secure) else part(irouter(irq), offset % W64, size)
        return self.read_irqs(offset, size, secure)

    def write(self, offset: int, size: int, value: int, secure: bool = False) -> None:
        """Write `size` bytes at `offset` of the GICD frame, from Secure or Non-secure state."""
        self.cost.mmio_writes += 1
        irq = self._routed(offset, size)
        if offset == GICD_CTLR:
            if size == W32:
                self._write_ctlr(value, secure)
        elif irq is None:
            self.write_irqs(offset, size, value, secure)
        elif not self.hidden(irq, secure):
            set_irouter(irq, merge(irouter(irq), offset % W64, size, value))
        self.notify()

    def ctlr(self, secure: bool) -> int:
        """GICD_CTLR as each security state sees it.  RWP is 0: every write takes effect at once."""
        if self.one_state:
            return self.enables | GICD_CTLR_ARE | GICD_CTLR_DS | (GICD_CTLR_E1NWF if self.e1nwf else 0)
        if secure:
            return self.enables | GICD_CTLR_ARE | GICD_CTLR_ARE_NS | (GICD_CTLR_E1NWF if self.e1nwf else 0)
        return self.enables & GICD_CTLR_ENABLE_GRP1 | GICD_CTLR_ARE  # EnableGrp1A and ARE_NS

    def typer(self) -> int:
        """GICD_TYPER: what exists."""
        return (
            self.config.it_lines_number
            | (0 if self.one_state else GICD_TYPER_SECURITY_EXTN)
            | GICD_TYPER_LPIS
            | (self.config.lpi_id_bits - 1) << GICD_TYPER_IDBITS_SHIFT
            | (GICD_TYPER_A3V if self.config.a3v else 0)
            | GICD_TYPER_RSS
            | (GICD_TYPER_DVIS if self.v4 is not None else 0)
        )

    def typer2(self) -> int:
        """GICD_TYPER2: the width of vPEIDs, if it is not 16; whether SGIs can be without active state."""
        v4 = self.v4
        if v4 is None or not v4.v41:
            return 0
        width = GICD_TYPER2_VIL | (v4.vpeid_bits - 1) if v4.vpeid_bits != 16 else 0
        return width | (GICD_TYPER2_NASSGICAP if v4.has_vsgi else 0)

    def _write_ctlr(self, value: int, secure: bool) -> None:
        """DS is fixed by the configuration, ARE by this model: neither can be written."""
        if self.one_state or secure:
            self.enables = value & (ENABLES_ONE_STATE if self.one_state else ENABLES_SECURE)
            self.e1nwf = value & GICD_CTLR_E1NWF != 0
        else:
            self.enables = self.enables & ~GICD_CTLR_ENABLE_GRP1 | value & GICD_CTLR_ENABLE_GRP1

    def _routed(self, offset: int, size: int) -> PhysIrq | None:
        """The SPI whose IROUTER is at `offset`, if it may be accessed with `size` bytes there."""
        intid = (offset - GICD_IROUTER) // W64
        if not self.has(intid) or size not in (W32, W64) or offset % size:
            return None
        return self.irq(intid)


def irouter(irq: PhysIrq) -> int:
    """GICD_IROUTER<n>: Aff3 is at bit 32, the rest of the affinity at bit 0."""
    if irq.route == ROUTE_ANY:
        return IROUTER_IRM
    return (irq.route & 0xFF00_0000) << 8 | irq.route & 0xFF_FFFF


def set_irouter(irq: PhysIrq, value: int) -> None:
    """Route an SPI.  With IRM the affinity is not stored: it is UNKNOWN then, and reads as zero."""
    irq.route = ROUTE_ANY if value & IROUTER_IRM else value >> 8 & 0xFF00_0000 | value & 0xFF_FFFF
