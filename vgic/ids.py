"""INTID ranges, KVM API numbers and the few architectural constants every room shares.

Room:    the floor: imports nothing of this package.
Owns:    nothing; every name is Final.
"""

from enum import IntEnum
from typing import Final

# -- the interrupt number space (IHI 0069, "INTIDs") -------------------------------------------

NR_SGIS: Final = 16
NR_PRIVATE: Final = 32
FIRST_SPI: Final = 32
MAX_SPI: Final = 1019
MAX_RESERVED: Final = 1023
FIRST_LPI: Final = 8192

MIN_NR_IRQS: Final = NR_PRIVATE + 32
DEFAULT_NR_SPIS: Final = 224
ID_BITS_WITHOUT_ITS: Final = 10
ID_BITS_WITH_ITS: Final = 16

PRIORITY_MASK: Final = 0xF8
"""KVM implements 5 priority bits in the emulated distributor (VGIC_PRI_BITS)."""

MAX_VCPUS_V2: Final = 8
MAX_VCPUS_V3: Final = 512

UNDEFINED_ADDR: Final = (1 << 64) - 1
"""What KVM reports for a frame address nobody has set."""

# -- frames ------------------------------------------------------------------------------------

SIZE_64K: Final = 0x1_0000
SIZE_4K: Final = 0x1000
DIST_SIZE_V2: Final = SIZE_4K
CPU_SIZE_V2: Final = 2 * SIZE_4K
DIST_SIZE_V3: Final = SIZE_64K
REDIST_SIZE: Final = 2 * SIZE_64K
ITS_SIZE: Final = 2 * SIZE_64K
DEFAULT_IPA_BITS: Final = 40
MIN_IPA_BITS: Final = 32
MAX_IPA_BITS: Final = 52

# -- identification ----------------------------------------------------------------------------

IIDR_PRODUCT: Final = 0x4B << 24
IIDR_IMPLEMENTER: Final = 0x43B
IIDR_REV_SHIFT: Final = 12
MIN_REVISION: Final = 2
MAX_REVISION: Final = 3
"""GICD_IIDR.Revision values user space may select (KVM_VGIC_IMP_REV_2, KVM_VGIC_IMP_REV_3)."""


class DeviceType(IntEnum):
    """KVM_CREATE_DEVICE types this library knows by number; the value is also `vgic_model`."""

    VGIC_V2 = 5
    VGIC_V3 = 7
    ITS = 8


V2: Final = DeviceType.VGIC_V2
V3: Final = DeviceType.VGIC_V3
ITS: Final = DeviceType.ITS

MSI_VALID_DEVID: Final = 1
"""KVM_MSI_VALID_DEVID: the message names its device."""

CREATE_DEVICE_TEST: Final = 1
"""KVM_CREATE_DEVICE_TEST: ask whether a device could be created."""


class Group(IntEnum):
    """KVM_DEV_ARM_VGIC_GRP_*: the attribute groups of the VGIC devices."""

    ADDR = 0
    DIST_REGS = 1
    CPU_REGS = 2
    NR_IRQS = 3
    CTRL = 4
    REDIST_REGS = 5
    CPU_SYSREGS = 6
    LEVEL_INFO = 7
    ITS_REGS = 8


class Addr(IntEnum):
    """KVM_VGIC_*_ADDR_TYPE_*: attributes of `Group.ADDR`."""

    V2_DIST = 0
    V2_CPU = 1
    V3_DIST = 2
    V3_REDIST = 3
    ITS = 4
    V3_REDIST_REGION = 5


CTRL_INIT: Final = 0
"""KVM_DEV_ARM_VGIC_CTRL_INIT: attribute of `Group.CTRL`."""

CTRL_SAVE_PENDING_TABLES: Final = 3
"""KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES: attribute of `Group.CTRL`."""


ITS_SAVE_TABLES: Final = 1
ITS_RESTORE_TABLES: Final = 2
ITS_CTRL_RESET: Final = 4
"""KVM_DEV_ARM_ITS_*: attributes of an ITS's `Group.CTRL`."""


class Cap(IntEnum):
    """KVM_CAP_* numbers that `Vgic.check_extension` answers."""

    IRQCHIP = 0
    IRQ_ROUTING = 25
    IRQFD = 32
    SIGNAL_MSI = 77
    IRQFD_RESAMPLE = 82
    MSI_DEVID = 131
    ARM_IRQ_LINE_LAYOUT_2 = 174


class LineType(IntEnum):
    """KVM_ARM_IRQ_TYPE_*: bits 27:24 of the KVM_IRQ_LINE word."""

    CPU = 0
    SPI = 1
    PPI = 2
