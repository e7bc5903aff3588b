"""The physical distributor: SPIs, and the group enables of the whole GIC.

Room:    above physirq; a CPU interface asks it for its best SPI.  dist2 and dist3 give it their GIC's frame.
Owns:    GICD_CTLR.EnableGrp<n> and every SPI.
Never:   knows a CPU interface's priorities, or what a PE runs.
Holds:   as Bank.

Source: IHI 0069H and IHI 0048B, GICD_*.
"""

from hw.arch import FIRST_SPI
from hw.config import PhysConfig
from hw.cost import Cost
from hw.physirq import Bank, LineListener


class Distributor(Bank):
    """The one distributor of a machine.

    `read` and `write` raise here because each GIC version has its own registers: DistributorV2, DistributorV3.
    A plain base, no ABC, keeps calls direct when compiled.
    """

    def __init__(self, config: PhysConfig) -> None:
        """Reset state: every group disabled, every SPI idle."""
        super().__init__(FIRST_SPI, config.nr_spis, config)
        for irq in self.irqs:
            irq.route = 0
        self.config = config
        self.enables = 0  # GICD_CTLR.EnableGrp0, EnableGrp1NS, EnableGrp1S
        self.listeners: list[LineListener] = []  # the PEs whose lines are watched
        self.cost = Cost()  # counts mmio_reads and mmio_writes only

    def set_line(self, intid: int, level: bool) -> None:
        """A device drives the wire of SPI `intid`."""
        self.drive(self.irq(intid), level)
        self.notify()

    def notify(self) -> None:
        """State behind any PE's lines may have changed."""
        for listener in self.listeners:
            listener.poll_lines()

    def read(self, offset: int, size: int, secure: bool = False) -> int:
        """Read `size` bytes at `offset` of the GICD frame, from Secure or Non-secure state."""
        raise NotImplementedError

    def write(self, offset: int, size: int, value: int, secure: bool = False) -> None:
        """Write `size` bytes at `offset` of the GICD frame, from Secure or Non-secure state."""
        raise NotImplementedError
