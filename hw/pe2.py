"""A PE of a machine with a GICv2: every register of the GIC is memory-mapped.

Room:    above gicc, gich and gicv; adds to pe which frames the PE has.
Owns:    nothing of its own.
Never:   has GIC system registers: ICC_* and ICH_* encodings are UNDEFINED at every level.
Holds:   physical interrupts named by an LR of this PE are deactivated through this PE.

The banked GICD registers of this PE are those that its number, `cpu`, reads in the distributor's frame.
Source: IHI 0048B.
"""

from typing import final

from hw.arch import NR_SGIS
from hw.config import V2Config, V2Profile
from hw.cost import Cost
from hw.dist2 import DistributorV2, PrivateV2
from hw.gicc import Gicc
from hw.gich import Gich, RecordedGich
from hw.gicv import Gicv, RecordedGicv
from hw.ich import PhysicalDeactivator
from hw.pe import Pe
from hw.physirq import LineListener


@final
class PeV2(Pe):
    """A PE with frames `gicc`, `gich` (which is `virt`) and `gicv`."""

    def __init__(self, index: int, aff: int, dist: DistributorV2, config: V2Config) -> None:
        """Reset state."""
        cost = Cost()
        recorded = config.profile is V2Profile.RECORDED
        gich = RecordedGich(config.gich, cost) if recorded else Gich(config.gich, cost)
        gicv = RecordedGicv(gich, config.iidr) if recorded else Gicv(gich, config.iidr)
        private = PrivateV2(index, dist, gich, cost)
        super().__init__(index, aff, dist, private, gich, gicv, 0)
        self.gicc = Gicc(private, dist, config.iidr, cost)
        self.gich = gich
        gich.deactivate_port = _Forwarded(self.gicc)

    def physical_line(self) -> int:
        """The physical CPU interface's LINE_IRQ, LINE_FIQ or LINE_NONE."""
        return self.gicc.line()

    def listen(self, listener: LineListener | None) -> None:
        """Have the frames of this PE alone tell `listener` of accesses."""
        super().listen(listener)
        self.gicc.listener = listener
        self.gich.listener = listener

    def check(self) -> None:
        """Assert what always holds."""
        super().check()
        self.gicc.check()


@final
class _Forwarded(PhysicalDeactivator):
    """Deactivates what the guest's LRs name, as a write of GICC_DIR by this PE would; never an SGI."""

    def __init__(self, gicc: Gicc) -> None:
        self.gicc = gicc

    def deactivate(self, pintid: int) -> None:
        if pintid >= NR_SGIS:
            self.gicc.deactivate(pintid)
