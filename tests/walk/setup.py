"""What a walk plays with: its machine and VM, which interrupts, and how its guests name registers.

Room:    under pair and the steps; whatever both need to know of a walk before it begins.
"""

from enum import Enum
from typing import Final, NamedTuple, final

from hw.arch import (
    FIRST_SPI,
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
    ICC_AP0R0_EL1,
    ICC_AP1R0_EL1,
    ICC_BPR0_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR0_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
)
from tests.walk.naive import Bank

NR_SPIS: Final = 32
SGIS: Final = (0, 5, 15)
PPIS: Final = (16, 20, 27, 31)
SPIS: Final = (32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 55, 63)
PRIVATE: Final = SGIS + PPIS
"""What is played with."""

RESAMPLED: Final = (36, 37)
"""SPIs with a device that lowers its line when it hears that the guest is done."""

TIED: Final = (16, 27, 38, 39, 40)
"""Interrupts that physical ones may stand behind."""

LEVEL_AT_BOOT: Final = range(36, 41)
SPI_OFFSET: Final = 8  # of the physical interrupt that an SPI is tied to
SPIS_A_CONFIG_WORD: Final = 16
EVERY_INTERRUPT: Final = 32  # events between two comparisons of all of them
ALL_BITS: Final = 0xFFFF_FFFF
MASK_NOTHING: Final = 0xFF
DIST: Final = -1  # the distributor, where a redistributor is named by its vCPU's index

BANK_OFFSETS: Final[dict[Bank, int]] = {
    Bank.GROUP: GICD_IGROUPR,
    Bank.ENABLE: GICD_ISENABLER,
    Bank.DISABLE: GICD_ICENABLER,
    Bank.PEND: GICD_ISPENDR,
    Bank.UNPEND: GICD_ICPENDR,
    Bank.ACTIVATE: GICD_ISACTIVER,
    Bank.DEACTIVATE: GICD_ICACTIVER,
}
IGRPEN: Final = (ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1)
INTID_MASK: Final = 0x3FF
SOURCE_SHIFT: Final = 10  # in what a list register and an acknowledge show of a GICv2's SGI


class Registers(NamedTuple):
    """How a guest names the registers of its CPU interface; pairs are for group 0 and group 1."""

    iar: tuple[int, int]
    eoir: tuple[int, int]
    hppir: tuple[int, int]
    bpr: tuple[int, int]
    ap: tuple[int, int]
    ap_step: int  # from one of a group's active-priority registers to the next
    pmr: int
    rpr: int
    ctlr: int
    ctlr_mask: int  # what can be written
    dir: int


SYSTEM_REGISTERS: Final = Registers(
    iar=(ICC_IAR0_EL1, ICC_IAR1_EL1),
    eoir=(ICC_EOIR0_EL1, ICC_EOIR1_EL1),
    hppir=(ICC_HPPIR0_EL1, ICC_HPPIR1_EL1),
    bpr=(ICC_BPR0_EL1, ICC_BPR1_EL1),
    ap=(ICC_AP0R0_EL1, ICC_AP1R0_EL1),
    ap_step=1,
    pmr=ICC_PMR_EL1,
    rpr=ICC_RPR_EL1,
    ctlr=ICC_CTLR_EL1,
    ctlr_mask=3,
    dir=ICC_DIR_EL1,
)


class Kind(Enum):
    """The GIC that the guest sees, and the host's."""

    V3 = "GICv3"
    V2 = "GICv2 on a GICv2 host"
    V2_ON_V3 = "GICv2 on a GICv3 host"


class Setup(NamedTuple):
    """The machine and the VM of a walk."""

    vcpus: int = 2
    cpus: int = 2
    lrs: int = 4
    pri_bits: int = 5
    pre_bits: int = 5
    trapped: bool = False  # KVM emulates the CPU interface, or forwards a GICv2's
    spread: bool = False  # the vCPUs are in several clusters, or have a GICv2's ids in no order
    booted: bool = True  # the guest has enabled everything, and made some SPIs level
    tied: bool = False  # physical interrupts stand behind some
    kind: Kind = Kind.V3

    def affinities(self) -> list[int]:
        return [n << 8 | n % 2 if self.spread else n for n in range(self.vcpus)]


@final
class Wires:
    """The levels that devices drive behind mapped interrupts."""

    def __init__(self) -> None:
        self.high: dict[tuple[int, int], bool] = {}

    def level(self, vcpu: int, intid: int) -> bool:
        return self.high.get((vcpu if intid < FIRST_SPI else DIST, intid), False)

    def drive(self, vcpu: int, intid: int, level: bool) -> None:
        self.high[(vcpu if intid < FIRST_SPI else DIST, intid)] = level
