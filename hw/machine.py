"""A machine: its CPUs, the distributor between them, and physical memory.

Room:    the top of hw; what an embedder of the hardware model builds.
Owns:    the way of an SGI from one PE to others; time, as far as hardware takes any.
Never:   schedules anything, decides what a PE runs.
Holds:   no two PEs have the same affinity.
"""

from collections.abc import Sequence
from dataclasses import replace
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
from hw.config import GicVersion, PhysConfig, V2Config, V2Profile, VirtConfig, require
from hw.config4 import ItsConfig, V4Config
from hw.cost import Account
from hw.dist import Distributor
from hw.dist2 import MAX_PES, DistributorV2
from hw.dist3 import DistributorV3
from hw.fabric import Fabric
from hw.icc import SgiPort
from hw.its.commands import Commands
from hw.its.frame import MAX_ITSS, Its
from hw.its.vmovp import Rendezvous
from hw.memory import Memory
from hw.pe import Pe
from hw.pe2 import PeV2
from hw.pe3 import PeV3
from hw.redist import Redistributor
from hw.redist4 import RedistributorV4
from hw.trace import Tracer
from hw.vpes import Vpes

COMMON_AFFINITY: Final = (0, 0xFF00_0000, 0xFFFF_0000, 0xFFFF_FF00)  # by GICR_TYPER.CommonLPIAff
CLUSTER: Final = 16  # PEs that one SGI write can name; also how PEs are numbered by default


@final
class Machine(SgiPort):
    """`cpus` PEs and their GIC: a GICv3 or GICv4 with `virt` and `phys`, or the GICv2 that `gic` describes with `phys`.

    `affinities` are packed Aff3.Aff2.Aff1.Aff0; by default 16 PEs share an Aff1.
    """

    def __init__(
        self,
        cpus: int = 1,
        virt: VirtConfig | None = None,
        phys: PhysConfig | None = None,
        affinities: Sequence[int] | None = None,
        memory: Memory | None = None,
        gic: V2Config | None = None,
        *,
        v4: V4Config | None = None,
        its: Sequence[ItsConfig] = (),
        strict: bool = False,
    ) -> None:
        """Build and reset; ValueError if the affinities do not fit the CPUs, or the GIC cannot be what is asked for.

        `v4` makes it a GICv4; `its` are its ITSs.  `strict`: misuse of LPIs, ITSs and direct injection raises
        GicMisuse, where it is otherwise only recorded in `misuse`.
        """
        if affinities is None:
            affinities = [n // CLUSTER << 8 | n % CLUSTER for n in range(cpus)]
        if cpus < 1 or len(affinities) != cpus or len(set(affinities)) != cpus:
            raise ValueError(f"{cpus} CPUs need as many different affinities, not {list(affinities)}")
        if not all(0 <= aff < 1 << 32 for aff in affinities):
            raise ValueError(f"affinities {[hex(aff) for aff in affinities]} are not all Aff3.Aff2.Aff1.Aff0")
        self.memory = Memory() if memory is None else memory
        self.gic = gic  # None: a GICv3
        phys = PhysConfig() if phys is None else phys
        self.fabric = Fabric(self.memory, phys, v4, strict)
        self.misuse = self.fabric.misuse
        self.traffic = self.fabric.cost  # of redistributors: doorbells and tables; ITSs have their own
        self.itss: list[Its] = []
        self.dist: Distributor
        self.pes: list[Pe]
        if gic is None:
            self._build_v3(affinities, VirtConfig() if virt is None else virt, phys)
            self._build_itss(its)
        else:
            require(virt is None, "virt", virt, "None: the GICv2 of `gic` has the only virtual interface")
            require(v4 is None and not its, "v4, its", (v4, its), "None and (): a GICv2 has no LPIs")
            require(phys.single_security, "single_security", phys.single_security, "True: this GICv2 has one state")
            require(cpus <= MAX_PES, "cpus", cpus, "at most 8 with a GICv2")
            self._build_v2(affinities, gic, phys)

    def _build_v3(self, affinities: Sequence[int], virt: VirtConfig, phys: PhysConfig) -> None:
        v4 = self.fabric.v4
        if virt.version is None:
            virt = replace(virt, version=GicVersion.V3 if v4 is None else v4.version)
        recorded = virt.direct and virt.v2_profile is V2Profile.RECORDED
        require(not recorded, "v2_profile", virt.v2_profile, "ARCH: that platform has no direct injection")
        self.dist = dist = DistributorV3(phys, v4)
        self.vpes = vpes = Vpes(self.fabric)
        pes = [PeV3(n, aff, dist, virt, self.fabric, vpes) for n, aff in enumerate(affinities)]
        pes[-1].redist.last = True
        mask = COMMON_AFFINITY[v4.common_lpi_aff if v4 is not None else 0]
        groups: dict[int, list[Redistributor]] = {}
        for pe in pes:
            pe.phys.port = self
            pe.redist.group = groups.setdefault(pe.aff & mask, [])
            pe.redist.group.append(pe.redist)
        self.pes = [*pes]

    def _build_itss(self, configs: Sequence[ItsConfig]) -> None:
        require(len(configs) <= MAX_ITSS, "its", len(configs), f"at most {MAX_ITSS} ITSs")
        redists = [pe.redist for pe in self.pes]
        rendezvous = Rendezvous()
        commands = Commands(rendezvous)
        for number, config in enumerate(configs):
            self.itss.append(Its(number, config, self.fabric, self.vpes, redists, commands))
        rendezvous.itss = [*self.itss]

    def _build_v2(self, affinities: Sequence[int], gic: V2Config, phys: PhysConfig) -> None:
        self.dist = dist = DistributorV2(phys, len(affinities))
        self.pes = [PeV2(n, aff, dist, gic) for n, aff in enumerate(affinities)]

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

    @property
    def trace(self) -> Tracer | None:
        """Whoever is told what the GIC does by itself; see trace."""
        return self.fabric.trace

    @trace.setter
    def trace(self, tracer: Tracer | None) -> None:
        self.fabric.trace = tracer
        self.misuse.trace = tracer

    def account(self) -> Account:
        """What the machine has done until now, all counters together."""
        account = Account()
        for pe in self.pes:
            account.pes.add(pe.cost)
        account.pes.add(self.dist.cost)
        account.gic.add(self.traffic)
        for its in self.itss:
            account.gic.add(its.cost)
        return account

    @property
    def now(self) -> int:
        """Cycles since the machine was built: CNTPCT_EL0, as far as the model has time."""
        return self.fabric.now

    def tick(self, cycles: int) -> None:
        """Let time pass: what V4Config gave a duration ends."""
        self.fabric.now += cycles
        for pe in self.pes:
            if isinstance(pe.private, RedistributorV4):
                pe.private.vlpi.tick()
        self.dist.notify()

    def check(self) -> None:
        """Assert the invariants of every part."""
        if self.gic is None:
            self.vpes.check()
        for its in self.itss:
            its.check()
        self.dist.check()
        for pe in self.pes:
            pe.check()
