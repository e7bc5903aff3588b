"""Architectural constants of the ITS and of GICv4: offsets, fields and command numbers.

Room:    beside arch, for what only LPIs, translation and direct injection need.
Owns:    GITS_*, GICR_V*, the layout of ITS commands and of virtual LPI configuration bytes.
Never:   holds state, knows a configuration.
Holds:   a constant that the manual names has exactly the manual's name.

Source: IHI 0069H (GICv3 and GICv4), DDI 0601.
"""

from typing import Final

U32: Final = 0xFFFF_FFFF
VALID: Final = 1 << 63  # of every base register, table entry and command that has one
NO_DOORBELL: Final = 1023
PA_4K: Final = 0x000F_FFFF_FFFF_F000
PA_64K: Final = 0x000F_FFFF_FFFF_0000

# GICR_TYPER, beyond arch

GICR_TYPER_VLPIS: Final = 1 << 1
GICR_TYPER_DIRTY: Final = 1 << 2
GICR_TYPER_RVPEID: Final = 1 << 7
GICR_TYPER_COMMON_SHIFT: Final = 24
GICR_TYPER_VSGI: Final = 1 << 26

# The VLPI frame of a redistributor; offsets from RD_base

GICR_VLPI_BASE: Final = 0x2_0000
GICR_VPROPBASER: Final = GICR_VLPI_BASE + 0x70
GICR_VPENDBASER: Final = GICR_VLPI_BASE + 0x78
GICR_VSGIR: Final = GICR_VLPI_BASE + 0x80
GICR_VSGIPENDR: Final = GICR_VLPI_BASE + 0x88
GICR_STRIDE_V3: Final = 0x2_0000
GICR_STRIDE_V4: Final = 0x4_0000

# GICR_INVLPIR, GICR_INVALLR

INVLPIR_V: Final = 1 << 63
INVLPIR_VPEID_SHIFT: Final = 32

# GICR_VPROPBASER: GICv4.1, then GICv4.0

VPROPBASER_ENTRY_SIZE_SHIFT: Final = 59
VPROPBASER_INDIRECT: Final = 1 << 55
VPROPBASER_PAGE_SIZE_SHIFT: Final = 53
VPROPBASER_Z: Final = 1 << 52
VPROPBASER_SIZE_MASK: Final = 0x7F
VPROPBASER_41_MASK: Final = 0x87EF_FFFF_FFFF_FFFF  # all but Entry_Size and Z
VPROPBASER_IN_USE: Final = VPROPBASER_41_MASK & ~VALID
VPROPBASER_40_MASK: Final = 0x070F_FFFF_FFFF_FF9F

# GICR_VPENDBASER

VPENDBASER_VALID: Final = VALID
VPENDBASER_IDAI: Final = 1 << 62  # GICv4.0
VPENDBASER_DOORBELL: Final = 1 << 62  # GICv4.1
VPENDBASER_PENDING_LAST: Final = 1 << 61
VPENDBASER_DIRTY: Final = 1 << 60
VPENDBASER_VGRP0EN: Final = 1 << 59  # GICv4.1
VPENDBASER_VGRP1EN: Final = 1 << 58  # GICv4.1
VPENDBASER_VPEID_MASK: Final = 0xFFFF  # GICv4.1
VPENDBASER_40_MASK: Final = 0x070F_FFFF_FFFF_0F80  # OuterCache, address, Shareability, InnerCache

# GICR_VSGIPENDR

VSGIPENDR_BUSY: Final = 1 << 31

# GICD_TYPER, GICD_TYPER2

GICD_TYPER2: Final = 0x000C
GICD_TYPER_DVIS: Final = 1 << 18
GICD_TYPER2_VIL: Final = 1 << 7
GICD_TYPER2_NASSGICAP: Final = 1 << 8

# GITS_* offsets from the control frame

GITS_CTLR: Final = 0x0000
GITS_IIDR: Final = 0x0004
GITS_TYPER: Final = 0x0008
GITS_MPAMIDR: Final = 0x0010
GITS_PARTIDR: Final = 0x0014
GITS_MPIDR: Final = 0x0018
GITS_STATUSR: Final = 0x0040
GITS_UMSIR: Final = 0x0048
GITS_CBASER: Final = 0x0080
GITS_CWRITER: Final = 0x0088
GITS_CREADR: Final = 0x0090
GITS_BASER: Final = 0x0100  # eight of eight bytes
GITS_PIDR2: Final = 0xFFE8
GITS_TRANSLATER: Final = 0x1_0040
GITS_SGIR: Final = 0x2_0020

# GITS_CTLR, GITS_STATUSR, GITS_CWRITER, GITS_CREADR

GITS_CTLR_ENABLED: Final = 1 << 0
GITS_CTLR_IMDE: Final = 1 << 1
GITS_CTLR_NUMBER_SHIFT: Final = 4
GITS_CTLR_NUMBER_MASK: Final = 0xF  # after the shift
GITS_CTLR_UMSIIRQ: Final = 1 << 8
GITS_CTLR_QUIESCENT: Final = 1 << 31
STATUSR_UMSI: Final = 1 << 4
STATUSR_OVERFLOW: Final = 1 << 5
STATUSR_MASK: Final = 0x3F0  # Syndrome, Overflow, UMSI
QUEUE_OFFSET_MASK: Final = 0xF_FFE0
CWRITER_RETRY: Final = 1 << 0
CREADR_STALLED: Final = 1 << 0

# GITS_TYPER

GITS_TYPER_PHYSICAL: Final = 1 << 0
GITS_TYPER_VIRTUAL: Final = 1 << 1
GITS_TYPER_CCT: Final = 1 << 2
GITS_TYPER_ITT_ENTRY_SIZE_SHIFT: Final = 4
GITS_TYPER_ID_BITS_SHIFT: Final = 8
GITS_TYPER_DEV_BITS_SHIFT: Final = 13
GITS_TYPER_SEIS: Final = 1 << 18
GITS_TYPER_PTA: Final = 1 << 19
GITS_TYPER_HCC_SHIFT: Final = 24
GITS_TYPER_CID_BITS_SHIFT: Final = 32
GITS_TYPER_CIL: Final = 1 << 36
GITS_TYPER_VMOVP: Final = 1 << 37
GITS_TYPER_VSGI: Final = 1 << 39
GITS_TYPER_VMAPP: Final = 1 << 40
GITS_TYPER_SVPET_SHIFT: Final = 41
GITS_TYPER_NID: Final = 1 << 43
GITS_TYPER_UMSI: Final = 1 << 44

# GITS_BASER<n>, GITS_CBASER

BASER_INDIRECT: Final = 1 << 62
BASER_TYPE_SHIFT: Final = 56
BASER_ENTRY_SIZE_SHIFT: Final = 48
BASER_PAGE_SIZE_SHIFT: Final = 8
BASER_SIZE_MASK: Final = 0xFF
BASER_RO: Final = 7 << BASER_TYPE_SHIFT | 0x1F << BASER_ENTRY_SIZE_SHIFT
BASER_SHAREABILITY: Final = 3 << 10
BASER_PA: Final = 0x0000_FFFF_FFFF_F000
BASER_DEVICE: Final = 1
BASER_VPE: Final = 2
BASER_COLLECTION: Final = 4
CBASER_MASK: Final = 0xB8EF_FFFF_FFFF_FCFF
NR_BASERS: Final = 8

# Commands: DW0[7:0]

MOVI: Final = 0x01
INT: Final = 0x03
CLEAR: Final = 0x04
SYNC: Final = 0x05
MAPD: Final = 0x08
MAPC: Final = 0x09
MAPTI: Final = 0x0A
MAPI: Final = 0x0B
INV: Final = 0x0C
INVALL: Final = 0x0D
MOVALL: Final = 0x0E
DISCARD: Final = 0x0F
VMOVI: Final = 0x21
VMOVP: Final = 0x22
VSGI: Final = 0x23
VSYNC: Final = 0x25
VMAPP: Final = 0x29
VMAPTI: Final = 0x2A
VMAPI: Final = 0x2B
VINVALL: Final = 0x2D
INVDB: Final = 0x2E

COMMAND_SIZE: Final = 32
COMMAND_NAMES: Final[dict[int, str]] = {
    MOVI: "MOVI",
    INT: "INT",
    CLEAR: "CLEAR",
    SYNC: "SYNC",
    MAPD: "MAPD",
    MAPC: "MAPC",
    MAPTI: "MAPTI",
    MAPI: "MAPI",
    INV: "INV",
    INVALL: "INVALL",
    MOVALL: "MOVALL",
    DISCARD: "DISCARD",
    VMOVI: "VMOVI",
    VMOVP: "VMOVP",
    VSGI: "VSGI",
    VSYNC: "VSYNC",
    VMAPP: "VMAPP",
    VMAPTI: "VMAPTI",
    VMAPI: "VMAPI",
    VINVALL: "VINVALL",
    INVDB: "INVDB",
}

VMAPP_ALLOC: Final = 1 << 8
VMAPP_PTZ: Final = 1 << 9
VSGI_ENABLE: Final = 1 << 8
VSGI_CLEAR: Final = 1 << 9
VSGI_GROUP: Final = 1 << 10
VSGI_PRIORITY_SHIFT: Final = 20
VSGI_INTID_SHIFT: Final = 32

# A vLPI's configuration byte, and in the same form what VSGI configures

VLPI_ENABLE: Final = 1 << 0
VLPI_GROUP1: Final = 1 << 1  # RES1 for a vLPI
VLPI_PRIORITY_MASK: Final = 0xFC
