"""What a GIC with an ITS, and with direct injection, implements.

Room:    beside config; read once, when a machine is built.
Owns:    the parameters, their legal ranges, and the identification registers derived from them.
Never:   changes after construction, holds register state.
Holds:   a configuration that exists is one that the architecture allows.
"""

from dataclasses import dataclass
from typing import Final

from hw.arch4 import (
    GITS_TYPER_CCT,
    GITS_TYPER_CID_BITS_SHIFT,
    GITS_TYPER_CIL,
    GITS_TYPER_DEV_BITS_SHIFT,
    GITS_TYPER_HCC_SHIFT,
    GITS_TYPER_ID_BITS_SHIFT,
    GITS_TYPER_ITT_ENTRY_SIZE_SHIFT,
    GITS_TYPER_NID,
    GITS_TYPER_PHYSICAL,
    GITS_TYPER_PTA,
    GITS_TYPER_SEIS,
    GITS_TYPER_SVPET_SHIFT,
    GITS_TYPER_UMSI,
    GITS_TYPER_VIRTUAL,
    GITS_TYPER_VMAPP,
    GITS_TYPER_VMOVP,
    GITS_TYPER_VSGI,
)
from hw.config import GicVersion, require

ITT_ENTRY_SIZE: Final = 12


@dataclass(frozen=True, slots=True)
class V4Config:
    """Direct injection, as every redistributor of a machine has it.

    The last four choose between readings of the manual, or give hardware time to be seen at work.
    """

    version: GicVersion = GicVersion.V4_1  # V4_0 or V4_1
    vsgi: bool = True  # V4_1: virtual SGIs
    common_lpi_aff: int = 0  # GICR_TYPER.CommonLPIAff: who shares tables: all, or equal Aff3, Aff3.2, Aff3.2.1
    vpeid_bits: int = 16  # V4_1: width of a vPEID
    dirty: bool = True  # GICR_TYPER.Dirty: VPENDBASER.Dirty also reports the scan after Valid 0 to 1
    writes_back: bool = False  # descheduling leaves the VPT up to date in memory, not only unmapping
    t_scan: int = 0  # cycles (Machine.tick) from Valid 0 to 1 until the first candidate is offered
    t_settle: int = 0  # cycles from Valid 1 to 0 until PendingLast is final
    t_query: int = 0  # cycles that GICR_VSGIPENDR stays Busy
    settles_early: bool = False  # what arrives while descheduling rings, instead of counting for PendingLast
    pl_counts_group: bool = False  # PendingLast and doorbells ignore groups that VPENDBASER disables

    def __post_init__(self) -> None:
        """Check every parameter; ValueError names the one that does not fit."""
        require(self.version is not GicVersion.V3, "version", self.version, "V4_0 or V4_1")
        require(0 <= self.common_lpi_aff <= 3, "common_lpi_aff", self.common_lpi_aff, "in 0..3")
        require(1 <= self.vpeid_bits <= 16, "vpeid_bits", self.vpeid_bits, "in 1..16")
        times = self.t_scan, self.t_settle, self.t_query
        require(min(times) >= 0, "t_scan, t_settle, t_query", times, "all at least 0")

    @property
    def v41(self) -> bool:
        """Whether this is GICv4.1."""
        return self.version is GicVersion.V4_1

    @property
    def has_vsgi(self) -> bool:
        """Whether there are virtual SGIs."""
        return self.v41 and self.vsgi

    @property
    def nr_vpes(self) -> int:
        """The vPEIDs 0..nr_vpes-1 exist."""
        return 1 << (self.vpeid_bits if self.v41 else 16)


@dataclass(frozen=True, slots=True)
class ItsConfig:
    """One ITS.  What it can do with virtual interrupts also depends on the machine's V4Config."""

    device_bits: int = 16  # width of a DeviceID, 1..32
    event_bits: int = 16  # width of an EventID, 1..16
    icid_bits: int = 16  # width of a collection number, 1..16
    hcc: int = 0  # collections held in the ITS itself
    pta: bool = False  # RDbase is an address, not a processor number
    seis: bool = False  # command errors raise an SError
    stalls: bool = False  # a command error stalls the queue instead of being skipped
    umsi: bool = False  # unmapped MSIs are reported
    vmovp: bool = True  # VMOVP on one ITS suffices; else every ITS of its list has to see it
    vmovp_waits: bool = True  # without `vmovp`: CREADR stays on a VMOVP until the last ITS of its list is there
    individual: bool = True  # individual doorbells exist: GICv4.1's nID is 0
    svpet: int = 0  # the vPE table is the redistributors' one: 0 no, 1..3 for those of equal Aff3, Aff3.2, Aff3.2.1
    mpidr: int = 0  # GITS_MPIDR: which redistributors those are
    virtual: bool = True  # has GICv4 commands, if the machine has GICv4
    coherent: bool = True  # table accesses may be shareable; else Shareability reads as zero

    def __post_init__(self) -> None:
        """Check every parameter; ValueError names the one that does not fit."""
        require(1 <= self.device_bits <= 32, "device_bits", self.device_bits, "in 1..32")
        require(1 <= self.event_bits <= 16, "event_bits", self.event_bits, "in 1..16")
        require(1 <= self.icid_bits <= 16, "icid_bits", self.icid_bits, "in 1..16")
        require(0 <= self.hcc <= 255, "hcc", self.hcc, "in 0..255")
        require(0 <= self.svpet <= 3, "svpet", self.svpet, "in 0..3")
        require(0 <= self.mpidr < 1 << 32 and not self.mpidr & 0xFF, "mpidr", self.mpidr, "Aff3.Aff2.Aff1.0")

    def typer(self, v4: V4Config | None) -> int:
        """GITS_TYPER."""
        value = (
            GITS_TYPER_PHYSICAL
            | GITS_TYPER_CCT
            | (ITT_ENTRY_SIZE - 1) << GITS_TYPER_ITT_ENTRY_SIZE_SHIFT
            | (self.event_bits - 1) << GITS_TYPER_ID_BITS_SHIFT
            | (self.device_bits - 1) << GITS_TYPER_DEV_BITS_SHIFT
            | (self.icid_bits - 1) << GITS_TYPER_CID_BITS_SHIFT
            | GITS_TYPER_CIL
            | self.hcc << GITS_TYPER_HCC_SHIFT
            | (GITS_TYPER_SEIS if self.seis else 0)
            | (GITS_TYPER_PTA if self.pta else 0)
            | (GITS_TYPER_UMSI if self.umsi else 0)
        )
        if v4 is None or not self.virtual:
            return value
        value |= GITS_TYPER_VIRTUAL | (GITS_TYPER_VMOVP if self.vmovp else 0)
        if v4.v41:
            value |= GITS_TYPER_VMAPP | self.svpet << GITS_TYPER_SVPET_SHIFT
            value |= (0 if self.individual else GITS_TYPER_NID) | (GITS_TYPER_VSGI if v4.has_vsgi else 0)
        return value
