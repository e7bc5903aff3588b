"""Architectural constants: encodings, offsets and fields that hardware and hypervisor agree on.

Room:    below everything; imports nothing of ours, imported by hw and by vgic.
Owns:    every system-register encoding, frame offset and bit position of the modelled hardware.
Never:   holds state, knows a configuration.
Holds:   a constant that the manual names has exactly the manual's name.

Source: IHI 0069H (GICv3 and GICv4), IHI 0048B (GICv2), DDI 0601 (AArch64 system registers).
"""

from typing import Final


def sysreg(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """Pack an AArch64 system-register encoding into 16 bits, as KVM's device attributes do."""
    return op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


# Answers of an access that reached no register.  Values are never negative, so the sign tells.

UNDEFINED: Final = -1  # taken as an Undefined Instruction exception at the accessing level
TRAP_EL1: Final = -2
TRAP_EL2: Final = -3
TRAP_EL3: Final = -4

# INTIDs

NR_SGIS: Final = 16
FIRST_SPI: Final = 32
FIRST_SPECIAL: Final = 1020  # 1020..1023 name no interrupt
INTID_SECURE: Final = 1020
INTID_NONSECURE: Final = 1021
INTID_LEGACY: Final = 1022
INTID_SPURIOUS: Final = 1023
FIRST_LPI: Final = 8192
MAINTENANCE_INTID: Final = 25  # the PPI that the Arm Base System Architecture recommends

PRIORITY_IDLE: Final = 0xFF  # the running priority when nothing is active

# ICC_* at EL1; a guest reaches ICV_* through the same encodings

ICC_PMR_EL1: Final = sysreg(3, 0, 4, 6, 0)
ICC_IAR0_EL1: Final = sysreg(3, 0, 12, 8, 0)
ICC_EOIR0_EL1: Final = sysreg(3, 0, 12, 8, 1)
ICC_HPPIR0_EL1: Final = sysreg(3, 0, 12, 8, 2)
ICC_BPR0_EL1: Final = sysreg(3, 0, 12, 8, 3)
ICC_AP0R0_EL1: Final = sysreg(3, 0, 12, 8, 4)
ICC_AP0R1_EL1: Final = sysreg(3, 0, 12, 8, 5)
ICC_AP0R2_EL1: Final = sysreg(3, 0, 12, 8, 6)
ICC_AP0R3_EL1: Final = sysreg(3, 0, 12, 8, 7)
ICC_AP1R0_EL1: Final = sysreg(3, 0, 12, 9, 0)
ICC_AP1R1_EL1: Final = sysreg(3, 0, 12, 9, 1)
ICC_AP1R2_EL1: Final = sysreg(3, 0, 12, 9, 2)
ICC_AP1R3_EL1: Final = sysreg(3, 0, 12, 9, 3)
ICC_NMIAR1_EL1: Final = sysreg(3, 0, 12, 9, 5)
ICC_DIR_EL1: Final = sysreg(3, 0, 12, 11, 1)
ICC_RPR_EL1: Final = sysreg(3, 0, 12, 11, 3)
ICC_SGI1R_EL1: Final = sysreg(3, 0, 12, 11, 5)
ICC_ASGI1R_EL1: Final = sysreg(3, 0, 12, 11, 6)
ICC_SGI0R_EL1: Final = sysreg(3, 0, 12, 11, 7)
ICC_IAR1_EL1: Final = sysreg(3, 0, 12, 12, 0)
ICC_EOIR1_EL1: Final = sysreg(3, 0, 12, 12, 1)
ICC_HPPIR1_EL1: Final = sysreg(3, 0, 12, 12, 2)
ICC_BPR1_EL1: Final = sysreg(3, 0, 12, 12, 3)
ICC_CTLR_EL1: Final = sysreg(3, 0, 12, 12, 4)
ICC_SRE_EL1: Final = sysreg(3, 0, 12, 12, 5)
ICC_IGRPEN0_EL1: Final = sysreg(3, 0, 12, 12, 6)
ICC_IGRPEN1_EL1: Final = sysreg(3, 0, 12, 12, 7)
ISR_EL1: Final = sysreg(3, 0, 12, 1, 0)

ICC_AP0R_EL1: Final = (ICC_AP0R0_EL1, ICC_AP0R1_EL1, ICC_AP0R2_EL1, ICC_AP0R3_EL1)
ICC_AP1R_EL1: Final = (ICC_AP1R0_EL1, ICC_AP1R1_EL1, ICC_AP1R2_EL1, ICC_AP1R3_EL1)

# ICH_* and the ICC_* controls of EL2 and EL3

ICH_AP0R0_EL2: Final = sysreg(3, 4, 12, 8, 0)
ICH_AP0R1_EL2: Final = sysreg(3, 4, 12, 8, 1)
ICH_AP0R2_EL2: Final = sysreg(3, 4, 12, 8, 2)
ICH_AP0R3_EL2: Final = sysreg(3, 4, 12, 8, 3)
ICH_AP1R0_EL2: Final = sysreg(3, 4, 12, 9, 0)
ICH_AP1R1_EL2: Final = sysreg(3, 4, 12, 9, 1)
ICH_AP1R2_EL2: Final = sysreg(3, 4, 12, 9, 2)
ICH_AP1R3_EL2: Final = sysreg(3, 4, 12, 9, 3)
ICC_SRE_EL2: Final = sysreg(3, 4, 12, 9, 5)
ICH_HCR_EL2: Final = sysreg(3, 4, 12, 11, 0)
ICH_VTR_EL2: Final = sysreg(3, 4, 12, 11, 1)
ICH_MISR_EL2: Final = sysreg(3, 4, 12, 11, 2)
ICH_EISR_EL2: Final = sysreg(3, 4, 12, 11, 3)
ICH_ELRSR_EL2: Final = sysreg(3, 4, 12, 11, 5)
ICH_VMCR_EL2: Final = sysreg(3, 4, 12, 11, 7)
ICH_LR0_EL2: Final = sysreg(3, 4, 12, 12, 0)
ICH_LR1_EL2: Final = sysreg(3, 4, 12, 12, 1)
ICH_LR2_EL2: Final = sysreg(3, 4, 12, 12, 2)
ICH_LR3_EL2: Final = sysreg(3, 4, 12, 12, 3)
ICH_LR4_EL2: Final = sysreg(3, 4, 12, 12, 4)
ICH_LR5_EL2: Final = sysreg(3, 4, 12, 12, 5)
ICH_LR6_EL2: Final = sysreg(3, 4, 12, 12, 6)
ICH_LR7_EL2: Final = sysreg(3, 4, 12, 12, 7)
ICH_LR8_EL2: Final = sysreg(3, 4, 12, 13, 0)
ICH_LR9_EL2: Final = sysreg(3, 4, 12, 13, 1)
ICH_LR10_EL2: Final = sysreg(3, 4, 12, 13, 2)
ICH_LR11_EL2: Final = sysreg(3, 4, 12, 13, 3)
ICH_LR12_EL2: Final = sysreg(3, 4, 12, 13, 4)
ICH_LR13_EL2: Final = sysreg(3, 4, 12, 13, 5)
ICH_LR14_EL2: Final = sysreg(3, 4, 12, 13, 6)
ICH_LR15_EL2: Final = sysreg(3, 4, 12, 13, 7)
ICC_CTLR_EL3: Final = sysreg(3, 6, 12, 12, 4)
ICC_SRE_EL3: Final = sysreg(3, 6, 12, 12, 5)
ICC_IGRPEN1_EL3: Final = sysreg(3, 6, 12, 12, 7)

ICH_AP0R_EL2: Final = (ICH_AP0R0_EL2, ICH_AP0R1_EL2, ICH_AP0R2_EL2, ICH_AP0R3_EL2)
ICH_AP1R_EL2: Final = (ICH_AP1R0_EL2, ICH_AP1R1_EL2, ICH_AP1R2_EL2, ICH_AP1R3_EL2)
ICH_LR_EL2: Final = tuple(sysreg(3, 4, 12, 12 + n // 8, n % 8) for n in range(16))

SYSREG_BY_NAME: Final[dict[str, int]] = {
    name: value
    for name, value in globals().items()
    if name.endswith(("_EL1", "_EL2", "_EL3")) and isinstance(value, int) and value >= 0
}
SYSREG_NAMES: Final[dict[int, str]] = {value: name for name, value in SYSREG_BY_NAME.items()}

# ICH_VTR_EL2

VTR_PRIBITS_SHIFT: Final = 29
VTR_PREBITS_SHIFT: Final = 26
VTR_IDBITS_SHIFT: Final = 23
VTR_SEIS: Final = 1 << 22
VTR_A3V: Final = 1 << 21
VTR_NV4: Final = 1 << 20
VTR_TDS: Final = 1 << 19
VTR_DVIM: Final = 1 << 18
VTR_LISTREGS_MASK: Final = 0x1F

# ICH_HCR_EL2

HCR_EN: Final = 1 << 0
HCR_UIE: Final = 1 << 1
HCR_LRENPIE: Final = 1 << 2
HCR_NPIE: Final = 1 << 3
HCR_VGRP0EIE: Final = 1 << 4
HCR_VGRP0DIE: Final = 1 << 5
HCR_VGRP1EIE: Final = 1 << 6
HCR_VGRP1DIE: Final = 1 << 7
HCR_VSGIEOICOUNT: Final = 1 << 8
HCR_TC: Final = 1 << 10
HCR_TALL0: Final = 1 << 11
HCR_TALL1: Final = 1 << 12
HCR_TSEI: Final = 1 << 13
HCR_TDIR: Final = 1 << 14
HCR_DVIM: Final = 1 << 15
HCR_EOICOUNT_SHIFT: Final = 27
HCR_EOICOUNT_MAX: Final = 31
HCR_EOICOUNT_MASK: Final = 31 << 27

# ICH_MISR_EL2

MISR_EOI: Final = 1 << 0
MISR_U: Final = 1 << 1
MISR_LRENP: Final = 1 << 2
MISR_NP: Final = 1 << 3
MISR_VGRP0E: Final = 1 << 4
MISR_VGRP0D: Final = 1 << 5
MISR_VGRP1E: Final = 1 << 6
MISR_VGRP1D: Final = 1 << 7

# ICH_VMCR_EL2

VMCR_VENG0: Final = 1 << 0
VMCR_VENG1: Final = 1 << 1
VMCR_VACKCTL: Final = 1 << 2
VMCR_VFIQEN: Final = 1 << 3
VMCR_VCBPR: Final = 1 << 4
VMCR_VEOIM: Final = 1 << 9
VMCR_VBPR1_SHIFT: Final = 18
VMCR_VBPR0_SHIFT: Final = 21
VMCR_VBPR_MASK: Final = 7  # both, after the shift
VMCR_VPMR_SHIFT: Final = 24
VMCR_VPMR_MASK: Final = 0xFF  # after the shift

# ICH_LR<n>_EL2

LR_PENDING: Final = 1 << 62  # State[0]
LR_ACTIVE: Final = 1 << 63  # State[1]
LR_HW: Final = 1 << 61
LR_GROUP_SHIFT: Final = 60
LR_PRIORITY_SHIFT: Final = 48
LR_PRIORITY_MASK: Final = 0xFF  # after the shift
LR_PINTID_SHIFT: Final = 32
LR_PINTID_MASK: Final = 0x1FFF  # after the shift; HW=1 only
LR_EOI: Final = 1 << 41  # HW=0 only
LR_VINTID_MASK: Final = 0xFFFF_FFFF

# ICC_CTLR_EL1 (and ICV_CTLR_EL1)

CTLR_CBPR: Final = 1 << 0
CTLR_EOIMODE: Final = 1 << 1
CTLR_PMHE: Final = 1 << 6
CTLR_PRIBITS_SHIFT: Final = 8
CTLR_IDBITS_SHIFT: Final = 11
CTLR_SEIS: Final = 1 << 14
CTLR_A3V: Final = 1 << 15
CTLR_RSS: Final = 1 << 18
CTLR_EXTRANGE: Final = 1 << 19

# ICC_CTLR_EL3

CTLR3_CBPR_EL1S: Final = 1 << 0
CTLR3_CBPR_EL1NS: Final = 1 << 1
CTLR3_EOIMODE_EL3: Final = 1 << 2
CTLR3_EOIMODE_EL1S: Final = 1 << 3
CTLR3_EOIMODE_EL1NS: Final = 1 << 4
CTLR3_RM: Final = 1 << 5
CTLR3_PMHE: Final = 1 << 6
CTLR3_NDS: Final = 1 << 17

# ICC_SRE_ELx

SRE_SRE: Final = 1 << 0
SRE_DFB: Final = 1 << 1
SRE_DIB: Final = 1 << 2
SRE_ENABLE: Final = 1 << 3  # EL2 and EL3: lower levels may access ICC_SRE

# ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ICC_SGI0R_EL1

SGIR_TARGETS_MASK: Final = 0xFFFF
SGIR_AFF1_SHIFT: Final = 16
SGIR_INTID_SHIFT: Final = 24
SGIR_INTID_MASK: Final = 0xF
SGIR_AFF2_SHIFT: Final = 32
SGIR_IRM: Final = 1 << 40
SGIR_RS_SHIFT: Final = 44
SGIR_RS_MASK: Final = 0xF
SGIR_AFF3_SHIFT: Final = 48

# ISR_EL1

ISR_F: Final = 1 << 6
ISR_I: Final = 1 << 7

# ESR_ELx of a trapped MSR or MRS: EC 0x18 and IL; the ISS holds the encoding, Rt and the direction

ESR_SYSREG: Final = 0x18 << 26 | 1 << 25
ESR_READ: Final = 1

# GICD_* offsets; the words of INTID 0..31 are in the redistributor's SGI frame at the same offsets

GICD_CTLR: Final = 0x0000
GICD_TYPER: Final = 0x0004
GICD_IIDR: Final = 0x0008
GICD_STATUSR: Final = 0x0010
GICD_SETSPI_NSR: Final = 0x0040
GICD_CLRSPI_NSR: Final = 0x0048
GICD_IGROUPR: Final = 0x0080
GICD_ISENABLER: Final = 0x0100
GICD_ICENABLER: Final = 0x0180
GICD_ISPENDR: Final = 0x0200
GICD_ICPENDR: Final = 0x0280
GICD_ISACTIVER: Final = 0x0300
GICD_ICACTIVER: Final = 0x0380
GICD_IPRIORITYR: Final = 0x0400
GICD_ICFGR: Final = 0x0C00
GICD_IGRPMODR: Final = 0x0D00
GICD_IROUTER: Final = 0x6000
GICD_PIDR2: Final = 0xFFE8

# GICD_CTLR, one security state (DS=1), or the Secure view of two

GICD_CTLR_ENABLE_GRP0: Final = 1 << 0
GICD_CTLR_ENABLE_GRP1: Final = 1 << 1  # DS=0: EnableGrp1NS
GICD_CTLR_ENABLE_GRP1S: Final = 1 << 2  # DS=0 only
GICD_CTLR_ARE: Final = 1 << 4  # DS=0: ARE_S
GICD_CTLR_ARE_NS: Final = 1 << 5  # DS=0 only
GICD_CTLR_DS: Final = 1 << 6
GICD_CTLR_E1NWF: Final = 1 << 7
GICD_CTLR_RWP: Final = 1 << 31

# GICD_TYPER, GICD_IROUTER<n>

GICD_TYPER_ITLINES_MASK: Final = 0x1F
GICD_TYPER_SECURITY_EXTN: Final = 1 << 10
GICD_TYPER_LPIS: Final = 1 << 17
GICD_TYPER_IDBITS_SHIFT: Final = 19
GICD_TYPER_A3V: Final = 1 << 24
IROUTER_IRM: Final = 1 << 31
IROUTER_MASK: Final = 0xFF_80FF_FFFF  # Aff3, IRM, Aff2.Aff1.Aff0

# GICR_* offsets from RD_base

GICR_CTLR: Final = 0x0000
GICR_IIDR: Final = 0x0004
GICR_TYPER: Final = 0x0008
GICR_STATUSR: Final = 0x0010
GICR_WAKER: Final = 0x0014
GICR_SETLPIR: Final = 0x0040
GICR_CLRLPIR: Final = 0x0048
GICR_PROPBASER: Final = 0x0070
GICR_PENDBASER: Final = 0x0078
GICR_INVLPIR: Final = 0x00A0
GICR_INVALLR: Final = 0x00B0
GICR_SYNCR: Final = 0x00C0
GICR_PIDR2: Final = 0xFFE8
GICR_SGI_BASE: Final = 0x10000  # SGI_base - RD_base
GICR_IGROUPR0: Final = GICR_SGI_BASE + GICD_IGROUPR
GICR_ISENABLER0: Final = GICR_SGI_BASE + GICD_ISENABLER
GICR_ICENABLER0: Final = GICR_SGI_BASE + GICD_ICENABLER
GICR_ISPENDR0: Final = GICR_SGI_BASE + GICD_ISPENDR
GICR_ICPENDR0: Final = GICR_SGI_BASE + GICD_ICPENDR
GICR_ISACTIVER0: Final = GICR_SGI_BASE + GICD_ISACTIVER
GICR_ICACTIVER0: Final = GICR_SGI_BASE + GICD_ICACTIVER
GICR_IPRIORITYR: Final = GICR_SGI_BASE + GICD_IPRIORITYR
GICR_ICFGR0: Final = GICR_SGI_BASE + GICD_ICFGR
GICR_ICFGR1: Final = GICR_SGI_BASE + GICD_ICFGR + 4
GICR_IGRPMODR0: Final = GICR_SGI_BASE + GICD_IGRPMODR

# GICR_CTLR, GICR_TYPER, GICR_WAKER

GICR_CTLR_ENABLE_LPIS: Final = 1 << 0
GICR_CTLR_RWP: Final = 1 << 3
GICR_TYPER_PLPIS: Final = 1 << 0
GICR_TYPER_LAST: Final = 1 << 4
GICR_TYPER_PROCESSOR_SHIFT: Final = 8
GICR_TYPER_AFF_SHIFT: Final = 32
WAKER_PROCESSOR_SLEEP: Final = 1 << 1
WAKER_CHILDREN_ASLEEP: Final = 1 << 2

# GICR_PROPBASER, GICR_PENDBASER and the bytes of the LPI configuration table

PROPBASER_IDBITS_MASK: Final = 0x1F
PROPBASER_ADDRESS_MASK: Final = 0x000F_FFFF_FFFF_F000
PENDBASER_ADDRESS_MASK: Final = 0x000F_FFFF_FFFF_0000
PENDBASER_PTZ: Final = 1 << 62
LPI_CONFIG_ENABLE: Final = 1 << 0
LPI_CONFIG_PRIORITY_MASK: Final = 0xFC

# The physical distributor, redistributor and CPU interface beyond the above

IIDR_ARM: Final = 0x43B  # GICD_IIDR, GICR_IIDR: Implementer is Arm, product and revision 0
GICD_TYPER_RSS: Final = 1 << 26
GICR_CTLR_CES: Final = 1 << 1  # EnableLPIs can be cleared again
GICR_CTLR_IR: Final = 1 << 2
GICR_TYPER_DIRECT_LPI: Final = 1 << 3
PROPBASER_MASK: Final = 0x070F_FFFF_FFFF_FF9F  # OuterCache, address, Shareability, InnerCache, IDbits
PENDBASER_MASK: Final = 0x070F_FFFF_FFFF_0F80  # OuterCache, address, Shareability, InnerCache
PENDING_TABLE_SCRATCH: Final = 1024  # bytes at its start that belong to INTIDs which are not LPIs
SGIR_AFF_MASK: Final = 0xFF  # each of Aff1, Aff2 and Aff3, after the shift
IGRPEN1_EL3_ENABLE_NS: Final = 1 << 0
IGRPEN1_EL3_ENABLE_S: Final = 1 << 1

# GICC_* offsets; the guest's GICV_* frame has the same layout, so that it can be mapped in place of GICC

GICC_CTLR: Final = 0x0000
GICC_PMR: Final = 0x0004
GICC_BPR: Final = 0x0008
GICC_IAR: Final = 0x000C
GICC_EOIR: Final = 0x0010
GICC_RPR: Final = 0x0014
GICC_HPPIR: Final = 0x0018
GICC_ABPR: Final = 0x001C
GICC_AIAR: Final = 0x0020
GICC_AEOIR: Final = 0x0024
GICC_AHPPIR: Final = 0x0028
GICC_APR: Final = 0x00D0  # up to four
GICC_IIDR: Final = 0x00FC
GICC_DIR: Final = 0x1000

# GICC_CTLR (one security state) and GICV_CTLR; the bits are also those of GICH_VMCR and ICH_VMCR_EL2

GICC_CTLR_ENABLE_GRP0: Final = 1 << 0
GICC_CTLR_ENABLE_GRP1: Final = 1 << 1
GICC_CTLR_ACKCTL: Final = 1 << 2
GICC_CTLR_FIQEN: Final = 1 << 3
GICC_CTLR_CBPR: Final = 1 << 4
GICC_CTLR_EOIMODE: Final = 1 << 9

# GICC_IAR, GICC_EOIR, GICC_DIR, GICC_HPPIR and their GICV_* forms; an LR's vINTID for a GICv2 guest

IAR_INTID_MASK: Final = 0x3FF
IAR_CPUID_SHIFT: Final = 10  # SGIs only: the number of the sending CPU
IAR_MASK: Final = 0x1FFF  # both

# GICH_* offsets

GICH_HCR: Final = 0x0000
GICH_VTR: Final = 0x0004
GICH_VMCR: Final = 0x0008
GICH_MISR: Final = 0x0010
GICH_EISR0: Final = 0x0020
GICH_EISR1: Final = 0x0024
GICH_ELRSR0: Final = 0x0030
GICH_ELRSR1: Final = 0x0034
GICH_APR: Final = 0x00F0
GICH_LR: Final = 0x0100  # up to 64 words

# GICH_LR<n>

GICH_LR_HW: Final = 1 << 31
GICH_LR_GRP1_SHIFT: Final = 30
GICH_LR_ACTIVE: Final = 1 << 29  # State[1]
GICH_LR_PENDING: Final = 1 << 28  # State[0]
GICH_LR_PRIORITY_SHIFT: Final = 23  # the top five bits of a priority
GICH_LR_PRIORITY_MASK: Final = 0x1F  # after the shift
GICH_LR_EOI: Final = 1 << 19  # HW=0 only
GICH_LR_PHYSICALID_SHIFT: Final = 10  # HW=1 only
GICH_LR_PHYSICALID_MASK: Final = 0x3FF  # after the shift
GICH_LR_VIRTUALID_MASK: Final = 0x3FF

# GICD_* of a GICv2 alone

GICD_ITARGETSR: Final = 0x0800
GICD_SGIR: Final = 0x0F00
GICD_CPENDSGIR: Final = 0x0F10
GICD_SPENDSGIR: Final = 0x0F20
GICD_TYPER_CPUNUMBER_SHIFT: Final = 5
GICD_SGIR_INTID_MASK: Final = 0xF
GICD_SGIR_TARGETS_SHIFT: Final = 16
GICD_SGIR_TARGETS_MASK: Final = 0xFF  # after the shift
GICD_SGIR_FILTER_SHIFT: Final = 24
GICD_SGIR_FILTER_MASK: Final = 3  # after the shift: 0 the targets listed, 1 all others, 2 the sender itself
