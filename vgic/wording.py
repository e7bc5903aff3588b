"""What a guest and its VMM call things: register names and values for each GIC version, in words for people.

Room:    below explain, which talks; knows no state and decides nothing.
Holds:   what is named is what a reader finds in the manual of that version (IHI 0069, IHI 0048).
"""

from dataclasses import dataclass
from typing import Final, final

from vgic.dist import Dist
from vgic.ids import FIRST_SPI, NR_SGIS, V2
from vgic.irq import Irq

_CPUID_SHIFT: Final = 10


@dataclass(frozen=True, slots=True)
class Names:
    """A GICv3 guest's; pairs are for Group 0 and Group 1."""

    private_frame: str = "GICR"  # whose banks hold SGIs and PPIs
    dist_enable: str = "GICD_CTLR.EnableGrp1"
    dist_enable_value: int = 2
    router: str = "IROUTER"
    group_enable: tuple[str, str] = ("ICC_IGRPEN0_EL1", "ICC_IGRPEN1_EL1")
    pmr: str = "ICC_PMR_EL1"
    rpr: str = "ICC_RPR_EL1"
    bpr: tuple[str, str] = ("BPR0", "BPR1")
    eoir: tuple[str, str] = ("ICC_EOIR0_EL1", "ICC_EOIR1_EL1")
    dir: str = "ICC_DIR_EL1"
    hcr: str = "ICH_HCR_EL2"  # the host's

    @property
    def intid_mask(self) -> int:
        """What of a list register's vINTID is the INTID."""
        return -1

    def bank(self, register: str, intid: int) -> str:
        """Name the word of a bank of bits that holds `intid`."""
        return f"{self.private_frame if intid < FIRST_SPI else 'GICD'}_{register}{intid // 32}"

    def route(self, irq: Irq) -> str:
        """Say where an SPI is routed."""
        return f"GICD_IROUTER{irq.intid} names affinity {dotted(irq.route)}"

    def is_routed(self, irq: Irq) -> bool:
        """Whether an SPI is where its register says; reset is another matter."""
        return irq.target is not None and irq.route == irq.target.mpidr

    def ending(self, irq: Irq, source: int) -> int:
        """Return what the guest writes to end an interrupt."""
        return irq.intid

    def origin(self, irq: Irq, source: int | None) -> str:
        """Say who asked for an SGI, where that is known: "", or words to follow "pending".

        source  the CPU whose request is in a list register; None: none is.
        """
        return ""


@final
class NamesV2(Names):
    """A GICv2 guest's: no system registers, CPU masks, SGIs with their sources."""

    __slots__ = ()

    @property
    def intid_mask(self) -> int:
        """What of a list register's vINTID is the INTID."""
        return (1 << _CPUID_SHIFT) - 1

    def route(self, irq: Irq) -> str:
        """Say where an SPI is routed."""
        named = [str(n) for n in range(8) if irq.route >> n & 1]
        whom = f"CPU{'s' * (len(named) > 1)} {', '.join(named)}" if named else "no CPU, which stands for CPU 0"
        return f"GICD_ITARGETSR{irq.intid // 4} names {whom}"

    def is_routed(self, irq: Irq) -> bool:
        """Whether an SPI is where its register says; reset is another matter."""
        return irq.target is not None and irq.route & -irq.route == 1 << irq.target.index

    def ending(self, irq: Irq, source: int) -> int:
        """Return what the guest writes to end an interrupt: what it read in GICC_IAR."""
        return irq.intid | source << _CPUID_SHIFT if irq.intid < NR_SGIS else irq.intid

    def origin(self, irq: Irq, source: int | None) -> str:
        """Say who asked for an SGI."""
        if irq.intid >= NR_SGIS:
            return ""
        waiting = [str(n) for n in range(8) if irq.source >> n & 1]
        said = "" if source is None else f" from CPU {source}"
        if not waiting:
            return said
        return f"{said}{', and' if said else ''} from CPU{'s' * (len(waiting) > 1)} {', '.join(waiting)}"


def dotted(aff: int) -> str:
    """Write an affinity as Aff3.Aff2.Aff1.Aff0."""
    return ".".join(str(aff >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _v2(hcr: str) -> NamesV2:
    return NamesV2(
        private_frame="GICD",
        dist_enable="GICD_CTLR.Enable",
        dist_enable_value=1,
        router="ITARGETSR",
        group_enable=("GICC_CTLR.EnableGrp0", "GICC_CTLR.EnableGrp1"),
        pmr="GICC_PMR",
        rpr="GICC_RPR",
        bpr=("GICC_BPR", "GICC_ABPR"),
        eoir=("GICC_EOIR", "GICC_EOIR"),
        dir="GICC_DIR",
        hcr=hcr,
    )


_NAMES_V3: Final = Names()
_NAMES_V2: Final = _v2("GICH_HCR")
_NAMES_V2_ON_V3: Final = _v2("ICH_HCR_EL2")


def names_of(dist: Dist) -> Names:
    """Return the names that fit a VM and its host."""
    if dist.model is not V2:
        return _NAMES_V3
    return _NAMES_V2_ON_V3 if dist.host.is_gicv3 else _NAMES_V2
