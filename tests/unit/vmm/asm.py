"""An assembler for tests: each function returns the word of one A64 instruction, or the words of a few.

Room:    below the VMM's tests; knows nothing but encodings.
Source:  DDI 0487, C4 and C6.
"""

import struct
from collections.abc import Iterable
from typing import Final

Words = list[int]

NOP: Final = 0xD503_201F
WFE: Final = 0xD503_205F
WFI: Final = 0xD503_207F
SEV: Final = 0xD503_209F
ISB: Final = 0xD503_3FDF
DSB: Final = 0xD503_3F9F
CLREX: Final = 0xD503_3F5F
ERET: Final = 0xD69F_03E0
SPIN: Final = 0x1400_0000
"""B . """
UDF: Final = 0

XZR: Final = 31
SP: Final = 31

Encoding = tuple[int, int, int, int, int]
"""op0, op1, CRn, CRm, op2."""


def image(*items: int | Iterable[int]) -> bytes:
    """Return words, and lists of them, as they lie in memory."""
    words = [word for item in items for word in ([item] if isinstance(item, int) else item)]
    return struct.pack(f"<{len(words)}I", *words)


def mov(rd: int, value: int) -> Words:
    """MOVZ and the MOVKs it takes; always as many, for the same value."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    parts = [(value >> 16 * hw & 0xFFFF, hw) for hw in range(4) if value >> 16 * hw & 0xFFFF] or [(0, 0)]
    return [(0xF280_0000 if at else 0xD280_0000) | hw << 21 | part << 5 | rd for at, (part, hw) in enumerate(parts)]


def mov_reg(rd: int, rm: int) -> int:
    """MOV Xd, Xm."""
    return 0xAA00_03E0 | rm << 16 | rd


def mov_from_sp(rd: int) -> int:
    """MOV Xd, SP."""
    return 0x9100_03E0 | rd


def mov_to_sp(rn: int) -> int:
    """MOV SP, Xn."""
    return 0x9100_001F | rn << 5


def add(rd: int, rn: int, imm: int) -> int:
    """ADD Xd, Xn, #imm; SUB for a negative one."""
    return (0x9100_0000 if imm >= 0 else 0xD100_0000) | abs(imm) << 10 | rn << 5 | rd


def b(words: int) -> int:
    """B, this many words from here."""
    return 0x1400_0000 | words & 0x3FF_FFFF


def cbz(rt: int, words: int) -> int:
    """CBZ Xt."""
    return 0xB400_0000 | (words & 0x7_FFFF) << 5 | rt


def cbnz(rt: int, words: int) -> int:
    """CBNZ Xt."""
    return 0xB500_0000 | (words & 0x7_FFFF) << 5 | rt


def br(rn: int) -> int:
    """BR Xn."""
    return 0xD61F_0000 | rn << 5


_SIZE_BITS: Final = {1: 0, 2: 1, 4: 2, 8: 3}


def load(size: int, rt: int, rn: int, offset: int = 0) -> int:
    """LDRB, LDRH, LDR Wt or LDR Xt from [Xn, #offset]: zero extended."""
    return 0x3940_0000 | _SIZE_BITS[size] << 30 | offset // size << 10 | rn << 5 | rt


def load_signed(size: int, rt: int, rn: int, *, to64: bool) -> int:
    """LDRSB, LDRSH or LDRSW from [Xn]."""
    return 0x3980_0000 | _SIZE_BITS[size] << 30 | (not to64) << 22 | rn << 5 | rt


def store(size: int, rt: int, rn: int, offset: int = 0) -> int:
    """STRB, STRH, STR Wt or STR Xt to [Xn, #offset]."""
    return 0x3900_0000 | _SIZE_BITS[size] << 30 | offset // size << 10 | rn << 5 | rt


def load_post(rt: int, rn: int, imm: int) -> int:
    """LDR Xt, [Xn], #imm."""
    return 0xF840_0400 | (imm & 0x1FF) << 12 | rn << 5 | rt


def store_pre(rt: int, rn: int, imm: int) -> int:
    """STR Xt, [Xn, #imm]!."""
    return 0xF800_0C00 | (imm & 0x1FF) << 12 | rn << 5 | rt


def ldp(rt: int, rt2: int, rn: int) -> int:
    """LDP Xt, Xt2, [Xn]."""
    return 0xA940_0000 | rt2 << 10 | rn << 5 | rt


def stp(rt: int, rt2: int, rn: int) -> int:
    """STP Xt, Xt2, [Xn]."""
    return 0xA900_0000 | rt2 << 10 | rn << 5 | rt


def load_simd(vt: int, rn: int) -> int:
    """LDR Qt, [Xn]."""
    return 0x3DC0_0000 | rn << 5 | vt


def ldxr(rt: int, rn: int) -> int:
    """LDXR Xt, [Xn]."""
    return 0xC85F_7C00 | rn << 5 | rt


def stxr(rs: int, rt: int, rn: int) -> int:
    """STXR Ws, Xt, [Xn]."""
    return 0xC800_7C00 | rs << 16 | rn << 5 | rt


def ldar(rt: int, rn: int) -> int:
    """LDAR Wt, [Xn]."""
    return 0x88DF_FC00 | rn << 5 | rt


def svc(imm: int) -> int:
    """SVC #imm."""
    return 0xD400_0001 | imm << 5


def hvc(imm: int = 0) -> int:
    """HVC #imm."""
    return 0xD400_0002 | imm << 5


def smc(imm: int = 0) -> int:
    """SMC #imm."""
    return 0xD400_0003 | imm << 5


def brk(imm: int) -> int:
    """BRK #imm."""
    return 0xD420_0000 | imm << 5


def _sys(register: Encoding, rt: int) -> int:
    op0, op1, crn, crm, op2 = register
    return op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5 | rt


def mrs(rt: int, register: Encoding) -> int:
    """MRS Xt, register."""
    return 0xD520_0000 | _sys(register, rt)


def msr(register: Encoding, rt: int) -> int:
    """MSR register, Xt; SYS, for an instruction's encoding."""
    return 0xD500_0000 | _sys(register, rt)


def daifset(bits: int) -> int:
    """MSR DAIFSet, #bits: D 8, A 4, I 2, F 1."""
    return 0xD503_40DF | bits << 8


def daifclr(bits: int) -> int:
    """MSR DAIFClr, #bits."""
    return 0xD503_40FF | bits << 8


def spsel(bit: int) -> int:
    """MSR SPSel, #bit."""
    return 0xD500_40BF | bit << 8


# registers and instructions, by encoding
SCTLR: Final = (3, 0, 1, 0, 0)
CPACR: Final = (3, 0, 1, 0, 2)
TTBR0: Final = (3, 0, 2, 0, 0)
TTBR1: Final = (3, 0, 2, 0, 1)
TCR: Final = (3, 0, 2, 0, 2)
SPSR: Final = (3, 0, 4, 0, 0)
ELR: Final = (3, 0, 4, 0, 1)
SP_EL0: Final = (3, 0, 4, 1, 0)
CURRENT_EL: Final = (3, 0, 4, 2, 2)
PAN: Final = (3, 0, 4, 2, 3)
ESR: Final = (3, 0, 5, 2, 0)
FAR: Final = (3, 0, 6, 0, 0)
MAIR: Final = (3, 0, 10, 2, 0)
VBAR: Final = (3, 0, 12, 0, 0)
TPIDR: Final = (3, 0, 13, 0, 4)
CNTKCTL: Final = (3, 0, 14, 1, 0)
MPIDR: Final = (3, 0, 0, 0, 5)
MIDR: Final = (3, 0, 0, 0, 0)
DCZID: Final = (3, 3, 0, 0, 7)
NZCV: Final = (3, 3, 4, 2, 0)
DAIF: Final = (3, 3, 4, 2, 1)
CNTFRQ: Final = (3, 3, 14, 0, 0)
CNTPCT: Final = (3, 3, 14, 0, 1)
CNTVCT: Final = (3, 3, 14, 0, 2)
CNTP_TVAL: Final = (3, 3, 14, 2, 0)
CNTP_CTL: Final = (3, 3, 14, 2, 1)
CNTP_CVAL: Final = (3, 3, 14, 2, 2)
CNTV_TVAL: Final = (3, 3, 14, 3, 0)
CNTV_CTL: Final = (3, 3, 14, 3, 1)
CNTV_CVAL: Final = (3, 3, 14, 3, 2)
ICC_PMR: Final = (3, 0, 4, 6, 0)
ICC_IAR1: Final = (3, 0, 12, 12, 0)
ICC_EOIR1: Final = (3, 0, 12, 12, 1)
ICC_CTLR: Final = (3, 0, 12, 12, 4)
ICC_SRE: Final = (3, 0, 12, 12, 5)
ICC_IGRPEN1: Final = (3, 0, 12, 12, 7)
ICC_SGI1R: Final = (3, 0, 12, 11, 5)
ICC_RPR: Final = (3, 0, 12, 11, 3)
DC_ZVA: Final = (1, 3, 7, 4, 1)
DC_CIVAC: Final = (1, 3, 7, 14, 1)
DC_IVAC: Final = (1, 0, 7, 6, 1)
IC_IVAU: Final = (1, 3, 7, 5, 1)
IC_IALLU: Final = (1, 0, 7, 5, 0)
TLBI_VMALLE1: Final = (1, 0, 8, 7, 0)
TLBI_VMALLE1IS: Final = (1, 0, 8, 3, 0)
