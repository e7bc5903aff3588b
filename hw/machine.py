"""A machine: its CPUs, the distributor between them, and physical memory.

Room:    the top of hw; what an embedder of the hardware model builds.
Owns:    the way of an SGI from one PE to others.
Never:   schedules anything, decides what a PE runs.
Holds:   no two PEs have the same affinity.
"""

from collections.abc import Sequence
from typing import Final, final

from hw.arch import (
    SGIR_AFF1_SHIFT,
    SGIR_AFF2_SHIFT,
    SGIR_AFF3_SHIFT,
    SGIR_AFF_MASK,
    SGIR_INTID_MASK,
    SGIR_INTID_SHIFT,
    SGIR_IRM,
    SGIR_RS_MASK,
    SGIR_RS_SHIFT,
    SGIR_TARGETS_MASK,
)
from hw.config import PhysConfig, VirtConfig
from hw.dist import Distributor
from hw.icc import SgiPort
from hw.memory import Memory
from hw.pe import Pe

CLUSTER: Final = 16  # PEs that one SGI write can name; also how PEs are numbered by default


@final
class Machine(SgiPort):
    """`cpus` PEs.  `affinities` are packed Aff3.Aff2.Aff1.Aff0; by default 16 PEs share an Aff1."""

    def __init__(
        self,
        cpus: int = 1,
        virt: VirtConfig | None = None,
        phys: PhysConfig | None = None,
        affinities: Sequence[int] | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Build and reset; ValueError if the affinities do not fit the CPUs."""
        if affinities is None:
            affinities = [n // CLUSTER << 8 | n % CLUSTER for n in range(cpus)]
        if cpus < 1 or len(affinities) != cpus or len(set(affinities)) != cpus:
            raise ValueError(f"{cpus} CPUs need as many different affinities, not {list(affinities)}")
        if not all(0 <= aff < 1 << 32 for aff in affinities):
            raise ValueError(f"affinities {[hex(aff) for aff in affinities]} are not all Aff3.Aff2.Aff1.Aff0")
        self.memory = Memory() if memory is None else memory
        self.dist = Distributor(PhysConfig() if phys is None else phys)
        config = VirtConfig() if virt is None else virt
        self.pes = [Pe(n, aff, self.dist, config, self.memory) for n, aff in enumerate(affinities)]
        self.pes[-1].redist.last = True
        for pe in self.pes:
            pe.phys.port = self

    def send_sgi(self, source: int, value: int, groups: int) -> None:
        """Carry an SGI to the PEs that `value`, laid out as ICC_SGI1R_EL1, names.

        IRM = 1: all PEs but the source.  IRM = 0: those with the affinity Aff3.Aff2.Aff1 and
        Aff0 = 16 * RS + n for each bit n of TargetList.  PEs that do not exist are passed over.
        """
        sgi = value >> SGIR_INTID_SHIFT & SGIR_INTID_MASK
        cluster = (
            (value >> SGIR_AFF3_SHIFT & SGIR_AFF_MASK) << 24
            | (value >> SGIR_AFF2_SHIFT & SGIR_AFF_MASK) << 16
            | (value >> SGIR_AFF1_SHIFT & SGIR_AFF_MASK) << 8
            | (value >> SGIR_RS_SHIFT & SGIR_RS_MASK) << 4
        )
        for pe in self.pes:
            if value & SGIR_IRM:
                named = pe.index != source
            else:
                named = pe.aff & ~0xF == cluster and value & SGIR_TARGETS_MASK & 1 << (pe.aff & 0xF) != 0
            if named:
                pe.redist.receive_sgi(sgi, groups)
        self.dist.notify()

    def check(self) -> None:
        """Assert the invariants of every part."""
        self.dist.check()
        for pe in self.pes:
            pe.check()
