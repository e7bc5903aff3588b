"""A guest's driver of a GICv3: system registers, redistributors, affinities.

Room:    beside gic, whose questions it answers for one GIC version.
"""

from collections.abc import Iterable
from typing import Final, final

from hw.arch import (
    CTLR_CBPR,
    CTLR_EOIMODE,
    GICD_CTLR,
    GICD_CTLR_ARE,
    GICD_CTLR_ENABLE_GRP0,
    GICD_CTLR_ENABLE_GRP1,
    GICD_CTLR_RWP,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISENABLER,
    GICD_TYPER,
    GICD_TYPER_ITLINES_MASK,
    GICR_SGI_BASE,
    GICR_TYPER,
    GICR_TYPER_AFF_SHIFT,
    GICR_TYPER_LAST,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI1R_EL1,
    NR_SGIS,
    SGIR_AFF1_SHIFT,
    SGIR_AFF2_SHIFT,
    SGIR_AFF3_SHIFT,
    SGIR_INTID_SHIFT,
    SGIR_IRM,
)
from hw.arch4 import GICD_TYPER2, GICD_TYPER2_NASSGICAP
from vgic.cli.checks.gic import ALL_OPEN, Gic
from vgic.cli.checks.port import GuestError, Port

_ONES: Final = 0xFFFF_FFFF
_SGI_ENABLES: Final = (1 << NR_SGIS) - 1
_SGI_PRIORITIES: Final = 0xA0A0A0A0
_MAX_INTIDS: Final = 1020
_FIRST_SPI: Final = 32
_REDIST_STRIDE: Final = 0x20000
_RWP_POLLS: Final = 1000
_NASSGIREQ: Final = 1 << 8
_ENABLE: Final = GICD_CTLR_ARE | GICD_CTLR_ENABLE_GRP1 | GICD_CTLR_ENABLE_GRP0


@final
class GicV3(Gic):
    """GICv3 with affinity routing and the system-register CPU interface."""

    name = "gicv3"

    def __init__(self, gicd: int, gicr: int, *, active_sgis: bool = True) -> None:
        """Know the addresses of the distributor and of the first redistributor.

        active_sgis  False: do without the active state of SGIs where the distributor offers that, as Linux does.
        """
        super().__init__(gicd)
        self.gicr = gicr
        self.redists: dict[int, int] = {}  # CPU index -> its redistributor
        self._active_sgis = active_sgis
        self._enable = _ENABLE

    # -- setting up ------------------------------------------------------------------------------

    def setup_distributor(self, cpu: Port) -> None:
        """Do as kvm-unit-tests' gicv3_enable_defaults() does, slip included.

        Its loop over IGROUPR counts INTIDs where it should count words, and so writes all ones to the banks that
        follow: with 256 INTIDs ISENABLER, with more than 896 everything up to ICACTIVER.  Guests must survive that.
        """
        gicd = self.gicd
        intids = min(32 * ((cpu.load(gicd + GICD_TYPER) & GICD_TYPER_ITLINES_MASK) + 1), _MAX_INTIDS)
        cpu.store(gicd + GICD_CTLR, 0)
        self._wait_for_writes(cpu)
        if not self._active_sgis and cpu.load(gicd + GICD_TYPER2) & GICD_TYPER2_NASSGICAP:
            self._enable |= _NASSGIREQ
        cpu.store(gicd + GICD_CTLR, self._enable)
        self._wait_for_writes(cpu)
        for offset in range(0, intids, 4):
            cpu.store(gicd + GICD_IGROUPR + offset, _ONES)

    def _wait_for_writes(self, cpu: Port) -> None:
        for _ in range(_RWP_POLLS):
            if not cpu.load(self.gicd + GICD_CTLR) & GICD_CTLR_RWP:
                return
        raise GuestError("GICD_CTLR.RWP stays set")

    def setup_cpu(self, cpu: Port) -> None:
        """Find the redistributor; all SGIs in Group 1, priority 0xA0, enabled; Group 1 on, mask open."""
        sgis = self._find_redist(cpu) + GICR_SGI_BASE
        cpu.store(sgis + GICD_IGROUPR, _ONES)
        for offset in range(0, NR_SGIS, 4):
            cpu.store(sgis + GICD_IPRIORITYR + offset, _SGI_PRIORITIES)
        cpu.store(sgis + GICD_ISENABLER, _SGI_ENABLES)
        cpu.msr(ICC_PMR_EL1, ALL_OPEN)
        cpu.msr(ICC_IGRPEN1_EL1, 1)

    def _find_redist(self, cpu: Port) -> int:
        """Walk the redistributors to the one with the calling CPU's affinity, and remember it."""
        at = self.gicr
        while True:
            typer = cpu.load(at + GICR_TYPER, 8)
            if typer >> GICR_TYPER_AFF_SHIFT == cpu.affinity:
                self.redists[cpu.index] = at
                return at
            if typer & GICR_TYPER_LAST:
                raise GuestError(f"CPU {cpu.index}: no redistributor has affinity {cpu.affinity:#x}")
            at += _REDIST_STRIDE

    def enable_distributor(self, cpu: Port, on: bool) -> None:
        """Write GICD_CTLR."""
        cpu.store(self.gicd + GICD_CTLR, self._enable if on else 0)
        self._wait_for_writes(cpu)

    def route(self, cpu: Port, intid: int, target: Port) -> None:
        """Write IROUTER."""
        self._write_router(cpu, intid, target.affinity)

    def route_to_nobody(self, cpu: Port, intid: int) -> None:
        """Write IROUTER with Aff2 = Aff1 = Aff0 = 255, which no CPU of ours has."""
        self._write_router(cpu, intid, 0xFF_FFFF)

    def _write_router(self, cpu: Port, intid: int, affinity: int) -> None:
        aff3 = affinity >> 24
        cpu.store(self.gicd + GICD_IROUTER + intid * 8, affinity & 0xFF_FFFF | aff3 << 32, 8)

    def separate_groups(self, cpu: Port) -> None:
        """Do nothing: they are."""

    # -- SGIs ------------------------------------------------------------------------------------

    def send_self(self, cpu: Port, sgi: int) -> None:
        """Send to a list of one."""
        self.send(cpu, sgi, (cpu,))

    def send(self, cpu: Port, sgi: int, targets: Iterable[Port]) -> None:
        """Write SGI1R once for each cluster of up to 16 CPUs."""
        clusters: dict[int, int] = {}
        for target in targets:
            cluster = target.affinity >> 8
            clusters[cluster] = clusters.get(cluster, 0) | 1 << (target.affinity & 0xFF)
        for cluster, targets_in_it in clusters.items():
            aff1, aff2, aff3 = cluster & 0xFF, cluster >> 8 & 0xFF, cluster >> 16
            where = aff3 << SGIR_AFF3_SHIFT | aff2 << SGIR_AFF2_SHIFT | aff1 << SGIR_AFF1_SHIFT | targets_in_it
            cpu.msr(ICC_SGI1R_EL1, sgi << SGIR_INTID_SHIFT | where)

    def send_others(self, cpu: Port, sgi: int) -> None:
        """Write SGI1R with IRM."""
        cpu.msr(ICC_SGI1R_EL1, sgi << SGIR_INTID_SHIFT | SGIR_IRM)

    # -- the CPU interface -----------------------------------------------------------------------

    def acknowledge(self, cpu: Port) -> int:
        """Read IAR1."""
        return cpu.mrs(ICC_IAR1_EL1)

    def intid(self, iar: int) -> int:
        """Return all of it."""
        return iar

    def end(self, cpu: Port, iar: int) -> None:
        """Write EOIR1."""
        cpu.msr(ICC_EOIR1_EL1, iar)

    def deactivate(self, cpu: Port, iar: int) -> None:
        """Write DIR."""
        cpu.msr(ICC_DIR_EL1, iar)

    def split_end(self, cpu: Port, on: bool) -> None:
        """Write ICC_CTLR.EOImode."""
        control = cpu.mrs(ICC_CTLR_EL1) & (CTLR_CBPR | CTLR_EOIMODE)
        cpu.msr(ICC_CTLR_EL1, control | CTLR_EOIMODE if on else control & ~CTLR_EOIMODE)

    def acknowledge_group0(self, cpu: Port) -> int:
        """Read IAR0."""
        return cpu.mrs(ICC_IAR0_EL1)

    def end_group0(self, cpu: Port, iar: int) -> None:
        """Write EOIR0."""
        cpu.msr(ICC_EOIR0_EL1, iar)

    def enable_group(self, cpu: Port, group: int, on: bool) -> None:
        """Write IGRPEN0 or IGRPEN1."""
        cpu.msr(ICC_IGRPEN1_EL1 if group else ICC_IGRPEN0_EL1, int(on))

    def mask(self, cpu: Port, priority: int) -> None:
        """Write PMR."""
        cpu.msr(ICC_PMR_EL1, priority)

    def set_binary_point(self, cpu: Port, point: int) -> None:
        """Write BPR1; 0 is raised to what is implemented."""
        cpu.msr(ICC_BPR1_EL1, point)

    def running_priority(self, cpu: Port) -> int:
        """Read RPR."""
        return cpu.mrs(ICC_RPR_EL1)

    def highest_pending(self, cpu: Port) -> int:
        """Read HPPIR1."""
        return cpu.mrs(ICC_HPPIR1_EL1)

    # -- one interrupt's state -------------------------------------------------------------------

    def bank(self, cpu: Port, intid: int) -> int:
        """SGIs and PPIs are in the calling CPU's redistributor."""
        return self.gicd if intid >= _FIRST_SPI else self.redists[cpu.index] + GICR_SGI_BASE
