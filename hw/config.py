"""What the modelled hardware implements: the parameters an integrator fixes when building a GIC.

Room:    below ich and icc, which read a configuration once, when they are built.
Owns:    the parameters, their legal ranges, and every quantity derived from them.
Never:   changes after construction, holds register state.
Holds:   a configuration that exists is one that the architecture allows.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from hw.arch import (
    CTLR_A3V,
    CTLR_IDBITS_SHIFT,
    CTLR_PRIBITS_SHIFT,
    CTLR_SEIS,
    HCR_DVIM,
    HCR_EN,
    HCR_EOICOUNT_MASK,
    HCR_LRENPIE,
    HCR_NPIE,
    HCR_TALL0,
    HCR_TALL1,
    HCR_TC,
    HCR_TDIR,
    HCR_TSEI,
    HCR_UIE,
    HCR_VGRP0DIE,
    HCR_VGRP0EIE,
    HCR_VGRP1DIE,
    HCR_VGRP1EIE,
    HCR_VSGIEOICOUNT,
    IAR_MASK,
    VTR_A3V,
    VTR_DVIM,
    VTR_IDBITS_SHIFT,
    VTR_NV4,
    VTR_PREBITS_SHIFT,
    VTR_PRIBITS_SHIFT,
    VTR_SEIS,
    VTR_TDS,
)

HCR_GICV2: Final = (
    (HCR_EN | HCR_UIE | HCR_LRENPIE | HCR_NPIE)
    | (HCR_VGRP0EIE | HCR_VGRP0DIE | HCR_VGRP1EIE | HCR_VGRP1DIE)
    | HCR_EOICOUNT_MASK
)
HCR_ALWAYS: Final = HCR_GICV2 | HCR_TC | HCR_TALL0 | HCR_TALL1 | HCR_TSEI
IIDR_GICV2: Final = 0x0002_043B  # GICC_IIDR, GICV_IIDR: architecture version 2, implementer Arm, product 0


def require(fits: bool, what: str, value: object, expected: str) -> None:
    """Raise ValueError, naming the parameter and its value, unless it `fits`."""
    if not fits:
        raise ValueError(f"{what}={value} is not {expected}")


def priority_mask(pri_bits: int) -> int:
    """The bits of an 8-bit priority that exist when the top `pri_bits` are implemented."""
    return 0xFF & ~((1 << (8 - pri_bits)) - 1)


class V2Profile(Enum):
    """Which readings of the GICv2 manual its virtual CPU interface follows.

    ARCH      Group enables decide what is pending, HPPIR shows SGIs with their source, the A* aliases work.
    RECORDED  As the emulated GIC-400 whose GICV_IIDR is 0x0002043B behaves: see gicv.RecordedGicv.
    """

    ARCH = "arch"
    RECORDED = "recorded"


class GicVersion(Enum):
    """What a GIC, or a CPU interface, can do with virtual interrupts beyond list registers.

    V3    Nothing.
    V4_0  Direct injection of LPIs.
    V4_1  Direct injection of LPIs and SGIs, default doorbells, residency by vPEID.
    """

    V3 = "3"
    V4_0 = "4.0"
    V4_1 = "4.1"


class CacheMode(Enum):
    """When hardware looks again at a configuration byte in memory that it has used before.

    STICKY  When an invalidation says so, and not before.
    NONE    At every evaluation.
    RANDOM  At some evaluations, drawn from a seed.
    """

    STICKY = "sticky"
    NONE = "none"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class VirtConfig:
    """The virtual CPU interface of every PE.  The defaults report ICH_VTR_EL2 = 0x90B80003.

    The last six parameters choose between readings of the manual that implementations differ in;
    the defaults are what this model takes the architecture to say.
    """

    n_lr: int = 4  # list registers, 1..16
    pri_bits: int = 5  # implemented priority bits, 5..8
    pre_bits: int = 5  # of those, bits that take part in preemption, 5..7
    id_bits: int = 24  # INTID width, 16 or 24
    seis: bool = False  # locally generated SErrors
    a3v: bool = True  # Aff3 in SGI generation
    tds: bool = True  # ICH_HCR_EL2.TDIR exists
    dvim: bool = False  # ICH_HCR_EL2.DVIM exists; without direct injection it is only storage
    version: GicVersion | None = None  # the CPU interface tolerates direct injection; None: as its machine's GIC does
    sre_legacy: bool = False  # ICC_SRE_EL1.SRE can be cleared: a GICv2 guest on GICv3
    v2_profile: V2Profile = V2Profile.ARCH  # what such a guest finds
    eoicount_without_drop: bool = False  # EOIR with no active priority still looks for an LR and counts
    eoicount_on_eoir_mode1: bool = False  # EOIR of an INTID in no LR counts although DIR deactivates
    drop_tie_ap1: bool = False  # the same level active in both groups: EOIR drops Group 1's
    preempt_raw_rprio: bool = False  # the running priority is compared without the candidate's mask
    np_counts_pa: bool = False  # a pending and active LR counts as pending for MISR.NP
    hw_deactivation: bool = True  # deactivating an LR with HW=1 reaches the physical interrupt

    def __post_init__(self) -> None:
        """Check every parameter; ValueError names the one that does not fit."""
        require(1 <= self.n_lr <= self.max_lrs, "n_lr", self.n_lr, f"in 1..{self.max_lrs}")
        require(5 <= self.pri_bits <= 8, "pri_bits", self.pri_bits, "in 5..8")
        most = min(self.pri_bits, 7)
        require(5 <= self.pre_bits <= most, "pre_bits", self.pre_bits, f"in 5..{most} (pri_bits={self.pri_bits})")
        require(self.id_bits in (16, 24), "id_bits", self.id_bits, "16 or 24")

    @property
    def max_lrs(self) -> int:
        """How many list registers the architecture has room for."""
        return 16

    @property
    def ap_words(self) -> int:
        """Active-priority registers of each group: 1, 2 or 4."""
        return 1 << (self.pre_bits - 5)

    @property
    def ap_shift(self) -> int:
        """Shift from a group priority to the number of its active-priority bit."""
        return 8 - self.pre_bits

    @property
    def min_bpr0(self) -> int:
        """The lowest binary point of Group 0, and of Group 1 in Secure state."""
        return 7 - self.pre_bits

    @property
    def min_bpr1(self) -> int:
        """The lowest binary point of Group 1 in Non-secure state."""
        return 8 - self.pre_bits

    @property
    def pri_mask(self) -> int:
        """Implemented bits of VPMR and of a list register's priority."""
        return priority_mask(self.pri_bits)

    @property
    def vintid_mask(self) -> int:
        """Implemented bits of a virtual INTID."""
        return (1 << self.id_bits) - 1

    @property
    def hcr_mask(self) -> int:
        """Writable bits of ICH_HCR_EL2."""
        counts = HCR_VSGIEOICOUNT if self.version is GicVersion.V4_1 else 0
        return HCR_ALWAYS | counts | (HCR_TDIR if self.tds else 0) | (HCR_DVIM if self.dvim else 0)

    @property
    def direct(self) -> bool:
        """Whether directly injected interrupts may reach this CPU interface."""
        return self.version in (GicVersion.V4_0, GicVersion.V4_1)

    @property
    def id_gic(self) -> int:
        """ID_AA64PFR0_EL1.GIC: 3 from GICv4.1 on, else 1."""
        return 3 if self.version is GicVersion.V4_1 else 1

    @property
    def vtr(self) -> int:
        """ICH_VTR_EL2.  nV4 says that there must be no direct injection."""
        return (
            (self.pri_bits - 1) << VTR_PRIBITS_SHIFT
            | (self.pre_bits - 1) << VTR_PREBITS_SHIFT
            | (1 if self.id_bits == 24 else 0) << VTR_IDBITS_SHIFT
            | (VTR_SEIS if self.seis else 0)
            | (VTR_A3V if self.a3v else 0)
            | (0 if self.direct else VTR_NV4)
            | (VTR_TDS if self.tds else 0)
            | (VTR_DVIM if self.dvim else 0)
            | (self.n_lr - 1)
        )

    @property
    def ctlr(self) -> int:
        """The read-only fields of ICV_CTLR_EL1."""
        return ctlr_constant(self.pri_bits, self.id_bits, self.seis, self.a3v)


@dataclass(frozen=True, slots=True)
class GichConfig(VirtConfig):
    """The virtual CPU interface of a GICv2, in the terms of a GICv3's: 5 priority bits, no traps, one GICH_APR."""

    @property
    def max_lrs(self) -> int:
        """How many list registers the architecture has room for."""
        return 64

    @property
    def vintid_mask(self) -> int:
        """VirtualID, and above it CPUID."""
        return IAR_MASK

    @property
    def hcr_mask(self) -> int:
        """Writable bits of GICH_HCR."""
        return HCR_GICV2

    @property
    def vtr(self) -> int:
        """GICH_VTR."""
        return (self.pri_bits - 1) << VTR_PRIBITS_SHIFT | (self.pre_bits - 1) << VTR_PREBITS_SHIFT | (self.n_lr - 1)


@dataclass(frozen=True, slots=True)
class V2Config:
    """What makes a machine's GIC a GICv2: it has one security state, at most 8 PEs, and no system registers."""

    n_lr: int = 4  # list registers, 1..64
    profile: V2Profile = V2Profile.ARCH
    iidr: int = IIDR_GICV2  # GICC_IIDR and GICV_IIDR
    np_counts_pa: bool = False  # as in VirtConfig
    hw_deactivation: bool = True  # as in VirtConfig

    def __post_init__(self) -> None:
        """Check every parameter; ValueError names the one that does not fit."""
        require(0 <= self.iidr < 1 << 32, "iidr", self.iidr, "a 32-bit value")
        GichConfig(n_lr=self.n_lr)

    @property
    def gich(self) -> GichConfig:
        """The virtual CPU interface of every PE."""
        return GichConfig(n_lr=self.n_lr, np_counts_pa=self.np_counts_pa, hw_deactivation=self.hw_deactivation)


@dataclass(frozen=True, slots=True)
class PhysConfig:
    """The physical GIC: distributor, redistributors and CPU interfaces."""

    phys_pri_bits: int = 5  # implemented priority bits, 5..8 (4 only with one security state: not offered)
    single_security: bool = True  # GICD_CTLR.DS is 1, read-only
    nr_spis: int = 96  # SPIs 32..32+nr_spis-1, a multiple of 32 up to 960, or 988
    id_bits: int = 24  # INTID width of the CPU interface, 16 or 24
    lpi_id_bits: int = 16  # INTID width of the distributor, GICD_TYPER.IDbits + 1, 14..24
    seis: bool = False  # locally generated SErrors
    a3v: bool = True  # Aff3 in routing and in SGI generation
    direct_lpi: bool = True  # GICR_SETLPIR and its kin exist
    ces: bool = True  # GICR_CTLR.EnableLPIs can be cleared again
    coherent: bool = True  # table accesses may be shareable; else GICR_*BASER.Shareability reads as zero
    cache: CacheMode = CacheMode.STICKY  # of LPI configuration bytes, virtual ones too
    cache_seed: int = 0  # for CacheMode.RANDOM
    redist_base: int = 0x2F10_0000  # where RD_base of the first PE is, for an ITS with GITS_TYPER.PTA

    def __post_init__(self) -> None:
        """Check every parameter; ValueError names the one that does not fit."""
        require(5 <= self.phys_pri_bits <= 8, "phys_pri_bits", self.phys_pri_bits, "in 5..8")
        whole_words = self.nr_spis % 32 == 0 and 0 <= self.nr_spis <= 960
        require(whole_words or self.nr_spis == 988, "nr_spis", self.nr_spis, "a multiple of 32 up to 960, or 988")
        require(self.id_bits in (16, 24), "id_bits", self.id_bits, "16 or 24")
        require(14 <= self.lpi_id_bits <= self.id_bits, "lpi_id_bits", self.lpi_id_bits, f"in 14..{self.id_bits}")

    @property
    def pre_bits(self) -> int:
        """Priority bits that take part in preemption: never bit 0."""
        return min(self.phys_pri_bits, 7)

    @property
    def ap_words(self) -> int:
        """Active-priority registers of each group: 1, 2 or 4."""
        return 1 << (self.pre_bits - 5)

    @property
    def ap_shift(self) -> int:
        """Shift from a group priority to the number of its active-priority bit."""
        return 8 - self.pre_bits

    @property
    def min_bpr0(self) -> int:
        """The lowest binary point of Group 0, and of Secure Group 1."""
        return 7 - self.pre_bits

    @property
    def min_bpr1(self) -> int:
        """The lowest binary point of Non-secure Group 1."""
        return 8 - self.pre_bits

    @property
    def pri_mask(self) -> int:
        """Implemented bits of a physical priority."""
        return priority_mask(self.phys_pri_bits)

    @property
    def nr_intids(self) -> int:
        """SGIs, PPIs and SPIs: the INTIDs 0..nr_intids-1 exist."""
        return 32 + self.nr_spis

    @property
    def it_lines_number(self) -> int:
        """GICD_TYPER.ITLinesNumber: words of 32 INTIDs, minus one."""
        return (self.nr_intids + 31) // 32 - 1

    @property
    def ctlr(self) -> int:
        """The read-only fields of ICC_CTLR_EL1."""
        return ctlr_constant(self.phys_pri_bits, self.id_bits, self.seis, self.a3v)


def ctlr_constant(pri_bits: int, id_bits: int, seis: bool, a3v: bool) -> int:
    """The read-only fields of ICC_CTLR_EL1 and ICV_CTLR_EL1: PRIbits, IDbits, SEIS, A3V."""
    return (
        (pri_bits - 1) << CTLR_PRIBITS_SHIFT
        | (1 if id_bits == 24 else 0) << CTLR_IDBITS_SHIFT
        | (CTLR_SEIS if seis else 0)
        | (CTLR_A3V if a3v else 0)
    )
