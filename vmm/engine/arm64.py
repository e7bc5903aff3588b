"""System registers and bits that the engine's core is set up with, as EL2 would.

Room:    the floor of the engine, beside raw.
Holds:   a register is (CRn, CRm, op0, op1, op2), the order in which Unicorn wants it.
"""

from typing import Final

Register = tuple[int, int, int, int, int]

SCR_EL3: Final[Register] = (1, 1, 3, 6, 0)
HCR_EL2: Final[Register] = (1, 1, 3, 4, 0)
CNTHCTL_EL2: Final[Register] = (14, 1, 3, 4, 0)
CNTKCTL_EL1: Final[Register] = (14, 1, 3, 0, 0)
MDCR_EL2: Final[Register] = (1, 1, 3, 4, 1)
VMPIDR_EL2: Final[Register] = (0, 0, 3, 4, 5)
VPIDR_EL2: Final[Register] = (0, 0, 3, 4, 0)
VTCR_EL2: Final[Register] = (2, 1, 3, 4, 2)
VTTBR_EL2: Final[Register] = (2, 1, 3, 4, 0)
HPFAR_EL2: Final[Register] = (6, 0, 3, 4, 4)
SPSR_EL1: Final[Register] = (4, 0, 3, 0, 0)
ELR_EL1: Final[Register] = (4, 0, 3, 0, 1)
SCTLR_EL1: Final[Register] = (1, 0, 3, 0, 0)
MIDR_EL1: Final[Register] = (0, 0, 3, 0, 0)
PAR_EL1: Final[Register] = (7, 4, 3, 0, 0)
AT_S1E1W: Final[Register] = (7, 8, 1, 0, 1)
AT_S1E0W: Final[Register] = (7, 8, 1, 0, 3)
ID_AA64DFR0_EL1: Final[Register] = (0, 5, 3, 0, 0)
TLBI_VMALLE1: Final[Register] = (8, 7, 1, 0, 0)

DBGBVR: Final = 4
DBGWVR: Final = 6
"""op2 of the debug value registers; the control registers have the next one."""
DEBUG_PAIRS: Final = ((DBGBVR, 12), (DBGWVR, 20))
"""op2, and where ID_AA64DFR0_EL1 says how many there are, less one."""


def debug_register(op2: int, number: int) -> Register:
    """Name DBGBVR<n>_EL1, DBGBCR<n>_EL1, DBGWVR<n>_EL1 or DBGWCR<n>_EL1."""
    return (0, number, 2, 0, op2)


def msr_x0(register: Register) -> bytes:
    """Return the instruction that writes X0 to a register."""
    crn, crm, op0, op1, op2 = register
    return (0xD510_0000 | (op0 & 1) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5).to_bytes(4, "little")


SCR: Final = 0x501 | 3 << 16
"""NS, HCE, RW, and no traps of pointer authentication to EL3."""

HCR_VM: Final = 1 << 0
HCR_FMO: Final = 1 << 3
HCR_IMO: Final = 1 << 4
HCR_VF: Final = 1 << 6
HCR_VI: Final = 1 << 7
HCR_TWI: Final = 1 << 13
HCR_TID3: Final = 1 << 18
HCR_TDZ: Final = 1 << 28
HCR_RW: Final = 1 << 31
HCR: Final = HCR_VM | HCR_FMO | HCR_IMO | HCR_TWI | HCR_TID3 | HCR_TDZ | HCR_RW

MDCR: Final = 3 << 5
"""TPM and TPMCR: the performance monitors, whose cycle counter is the host's, trap."""

VTCR: Final = 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | 25
"""40-bit PA, 39-bit IPA, walks start at level 1, 4 KB granule."""

PSTATE_RESET: Final = 0x3C5
"""EL1 on its own stack pointer, everything masked."""
PSTATE_PAN: Final = 1 << 22
PSTATE_IL: Final = 1 << 20
SPSR_RETURNED: Final = 0xF000_03C0
"""What an illegal exception return takes from SPSR_EL1: NZCV and DAIF."""
SCTLR_M: Final = 1 << 0
SCTLR_SPAN: Final = 1 << 23
