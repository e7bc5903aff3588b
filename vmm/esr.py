"""ESR_ELx: exception classes, and the fields of the syndromes a hypervisor handles.

Room:    the floor, beside layout.
Source:  DDI 0487, ESR_EL2.
"""

from typing import Final

EC_SHIFT: Final = 26
IL: Final = 1 << 25

EC_UNKNOWN: Final = 0x00
EC_WFX: Final = 0x01
EC_ILLEGAL_STATE: Final = 0x0E
EC_SYSREG: Final = 0x18
EC_IABT_LOWER: Final = 0x20
EC_IABT_SAME: Final = 0x21
EC_DABT_LOWER: Final = 0x24
EC_DABT_SAME: Final = 0x25

UNDEFINED_INSTRUCTION: Final = EC_UNKNOWN << EC_SHIFT | IL
ILLEGAL_STATE: Final = EC_ILLEGAL_STATE << EC_SHIFT | IL

FSC_ALIGNMENT: Final = 0x21
FSC_EXTERNAL: Final = 0x10
"""Synchronous external abort, not on a walk of a translation table."""

DABT_ISV: Final = 1 << 24
DABT_SAS_SHIFT: Final = 22
DABT_SSE: Final = 1 << 21
DABT_SRT_SHIFT: Final = 16
DABT_SF: Final = 1 << 15
DABT_CM: Final = 1 << 8
DABT_S1PTW: Final = 1 << 7
DABT_WNR: Final = 1 << 6

SYSREG_RT_SHIFT: Final = 5
SYSREG_READ: Final = 1


def sysreg_encoding(syndrome: int) -> int:
    """Return the 16-bit encoding op0.op1.CRn.CRm.op2 from the syndrome of a trapped MRS, MSR or SYS."""
    return (
        (syndrome >> 20 & 3) << 14
        | (syndrome >> 14 & 7) << 11
        | (syndrome >> 10 & 0xF) << 7
        | (syndrome >> 1 & 0xF) << 3
        | (syndrome >> 17 & 7)
    )
