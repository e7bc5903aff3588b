"""The ICC_* registers by encoding: direction, what traps them, and what they do to icc.

Room:    between icc, which holds the state, and pe, which decides that an access arrives here.
Owns:    the register layouts and the two security states' views of them.
Never:   holds state, decides whether an access traps: it only says as what.
Holds:   one row for each encoding that reaches icc; ICC_SRE_* never does.

Source: IHI 0069H, ICC_*; DDI 0601.
"""

from typing import Final

from hw.arch import (
    CTLR3_CBPR_EL1NS,
    CTLR3_CBPR_EL1S,
    CTLR3_EOIMODE_EL1NS,
    CTLR3_EOIMODE_EL1S,
    CTLR3_EOIMODE_EL3,
    CTLR3_NDS,
    CTLR3_PMHE,
    CTLR_CBPR,
    CTLR_EOIMODE,
    CTLR_PMHE,
    CTLR_RSS,
    ICC_AP0R_EL1,
    ICC_AP1R_EL1,
    ICC_ASGI1R_EL1,
    ICC_BPR0_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_CTLR_EL3,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR0_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_IGRPEN1_EL3,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI0R_EL1,
    ICC_SGI1R_EL1,
    IGRPEN1_EL3_ENABLE_NS,
    IGRPEN1_EL3_ENABLE_S,
    PRIORITY_IDLE,
    UNDEFINED,
)
from hw.icc import Icc, View
from hw.physirq import GROUP0, GROUP1_NS, GROUP1_S

# Directions, and the class that decides which control bits trap an access at EL1

READ: Final = 1
WRITE: Final = 2
RW: Final = READ | WRITE

CLASS_G0: Final = 0  # ICH_HCR_EL2.TALL0
CLASS_G1: Final = 1  # ICH_HCR_EL2.TALL1
CLASS_COMMON: Final = 2  # ICH_HCR_EL2.TC
CLASS_DIR: Final = 3  # TC or TDIR
CLASS_SGI: Final = 4  # TC, and whatever makes EL1's interrupts virtual: there is no virtual form
CLASS_EL3: Final = 5  # accessible from EL3 alone

WORD: Final = 0xFFFF_FFFF


class IccRegister:
    """One ICC_* encoding: what traps it, which directions exist, what it does.

    `read` and `write` are called only in a direction that exists; UNDEFINED and False remain for
    active-priority registers that this configuration lacks.
    """

    def __init__(self, trapped_as: int, direction: int, group: int = 0, n: int = 0) -> None:
        """`group` and `n` choose among registers that exist several times."""
        self.trapped_as = trapped_as
        self.direction = direction
        self.group = group
        self.n = n

    def kind(self, view: View) -> int:
        """The bank that an access from `view` reaches."""
        return view.g1 if self.group else GROUP0

    def read(self, icc: Icc, view: View) -> int:
        """The register's value."""
        return UNDEFINED

    def write(self, icc: Icc, value: int, view: View) -> bool:
        """Write the register."""
        return False


class _Pmr(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        return shifted(icc.pmr) if view.shifted else icc.pmr

    def write(self, icc: Icc, value: int, view: View) -> bool:
        if not view.shifted:
            icc.pmr = value & icc.config.pri_mask
        elif icc.pmr & 0x80:  # Non-secure state cannot unmask what Secure state masked
            icc.pmr = (value & 0xFF) >> 1 & icc.config.pri_mask | 0x80
        return True


class _Rpr(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        running = icc.running()
        return shifted(running) if view.shifted and running != PRIORITY_IDLE else running


class _Iar(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        return icc.iar(self.group, view)


class _Hppir(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        return icc.hppir(self.group, view)


class _Eoir(IccRegister):
    def write(self, icc: Icc, value: int, view: View) -> bool:
        icc.eoir(self.group, value, view)
        return True


class _Dir(IccRegister):
    def write(self, icc: Icc, value: int, view: View) -> bool:
        icc.dir(value, view)
        return True


class _Bpr(IccRegister):
    """With CBPR, BPR1 shows BPR0: read-only and plus one in Non-secure state, BPR0 itself in Secure state."""

    def read(self, icc: Icc, view: View) -> int:
        kind = self.kind(view)
        if not icc.cbpr[kind]:
            return icc.bpr[kind]
        return icc.bpr[GROUP0] if kind == GROUP1_S else min(icc.bpr[GROUP0] + 1, 7)

    def write(self, icc: Icc, value: int, view: View) -> bool:
        kind = self.kind(view)
        if icc.cbpr[kind]:
            if kind == GROUP1_NS:
                return True
            kind = GROUP0
        least = icc.config.min_bpr1 if kind == GROUP1_NS else icc.config.min_bpr0
        icc.bpr[kind] = max(value & 7, least)
        return True


class _Ap(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        if self.n >= icc.config.ap_words:
            return UNDEFINED
        return icc.ap[self.kind(view)] >> 32 * self.n & WORD

    def write(self, icc: Icc, value: int, view: View) -> bool:
        if self.n >= icc.config.ap_words:
            return False
        kind, shift = self.kind(view), 32 * self.n
        icc.ap[kind] = icc.ap[kind] & ~(WORD << shift) | (value & WORD) << shift
        return True


class _Igrpen(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        return int(icc.igrpen[self.kind(view)])

    def write(self, icc: Icc, value: int, view: View) -> bool:
        icc.igrpen[self.kind(view)] = value & 1 != 0
        return True


class _Ctlr(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        value = icc.config.ctlr | CTLR_RSS
        value |= CTLR_CBPR if icc.cbpr[view.g1] else 0
        value |= CTLR_EOIMODE if icc.eoimode[view.g1] else 0
        return value | (CTLR_PMHE if icc.pmhe else 0)

    def write(self, icc: Icc, value: int, view: View) -> bool:
        icc.cbpr[view.g1] = value & CTLR_CBPR != 0
        icc.eoimode[view.g1] = value & CTLR_EOIMODE != 0
        if icc.one_state:  # with two, only ICC_CTLR_EL3 sets it
            icc.pmhe = value & CTLR_PMHE != 0
        return True


class _CtlrEl3(IccRegister):
    """ICC_CTLR_EL3: every state's controls at once.  RM is RAZ/WI, which an AArch64-only EL3 may choose."""

    def read(self, icc: Icc, view: View) -> int:
        value = icc.config.ctlr | CTLR_RSS | (CTLR3_NDS if icc.one_state else 0)
        value |= CTLR3_CBPR_EL1S if icc.cbpr[GROUP1_S] else 0
        value |= CTLR3_CBPR_EL1NS if icc.cbpr[GROUP1_NS] else 0
        value |= CTLR3_EOIMODE_EL3 if icc.eoimode_el3 else 0
        value |= CTLR3_EOIMODE_EL1S if icc.eoimode[GROUP1_S] else 0
        value |= CTLR3_EOIMODE_EL1NS if icc.eoimode[GROUP1_NS] else 0
        return value | (CTLR3_PMHE if icc.pmhe else 0)

    def write(self, icc: Icc, value: int, view: View) -> bool:
        icc.cbpr[GROUP1_S] = value & CTLR3_CBPR_EL1S != 0
        icc.cbpr[GROUP1_NS] = value & CTLR3_CBPR_EL1NS != 0
        icc.eoimode_el3 = value & CTLR3_EOIMODE_EL3 != 0
        icc.eoimode[GROUP1_S] = value & CTLR3_EOIMODE_EL1S != 0
        icc.eoimode[GROUP1_NS] = value & CTLR3_EOIMODE_EL1NS != 0
        icc.pmhe = value & CTLR3_PMHE != 0
        return True


class _Igrpen1El3(IccRegister):
    def read(self, icc: Icc, view: View) -> int:
        value = IGRPEN1_EL3_ENABLE_NS if icc.igrpen[GROUP1_NS] else 0
        return value | (IGRPEN1_EL3_ENABLE_S if icc.igrpen[GROUP1_S] else 0)

    def write(self, icc: Icc, value: int, view: View) -> bool:
        icc.igrpen[GROUP1_NS] = value & IGRPEN1_EL3_ENABLE_NS != 0
        icc.igrpen[GROUP1_S] = value & IGRPEN1_EL3_ENABLE_S != 0
        return True


class _Sgir(IccRegister):
    """SGI generation.  Which groups an SGI must belong to at its target, to be made pending there:

    accessed from           SGI0R     SGI1R       ASGI1R
    the only state          G0        G0, G1      G0
    Secure state            G0        G0, G1S     G1NS
    Non-secure state        none      G1NS        none (GICR_NSACR is RAZ/WI)
    """

    def __init__(self, one: int, secure: int, nonsecure: int) -> None:
        super().__init__(CLASS_SGI, WRITE)
        self.one = one
        self.secure = secure
        self.nonsecure = nonsecure

    def write(self, icc: Icc, value: int, view: View) -> bool:
        groups = self.secure if view.g1 == GROUP1_S else self.nonsecure
        if icc.port is not None:
            icc.port.send_sgi(icc.redist.number, value, self.one if icc.one_state else groups)
        return True


G0: Final = 1 << GROUP0
G1NS: Final = 1 << GROUP1_NS
G1S: Final = 1 << GROUP1_S

ICC_REGISTERS: Final[dict[int, IccRegister]] = {
    #               trapped as    direction  group, n
    ICC_PMR_EL1: _Pmr(CLASS_COMMON, RW),
    ICC_IAR0_EL1: _Iar(CLASS_G0, READ, 0),
    ICC_EOIR0_EL1: _Eoir(CLASS_G0, WRITE, 0),
    ICC_HPPIR0_EL1: _Hppir(CLASS_G0, READ, 0),
    ICC_BPR0_EL1: _Bpr(CLASS_G0, RW, 0),
    ICC_DIR_EL1: _Dir(CLASS_DIR, WRITE),
    ICC_RPR_EL1: _Rpr(CLASS_COMMON, READ),
    ICC_SGI1R_EL1: _Sgir(one=G0 | G1NS, secure=G0 | G1S, nonsecure=G1NS),
    ICC_ASGI1R_EL1: _Sgir(one=G0, secure=G1NS, nonsecure=0),
    ICC_SGI0R_EL1: _Sgir(one=G0, secure=G0, nonsecure=0),
    ICC_IAR1_EL1: _Iar(CLASS_G1, READ, 1),
    ICC_EOIR1_EL1: _Eoir(CLASS_G1, WRITE, 1),
    ICC_HPPIR1_EL1: _Hppir(CLASS_G1, READ, 1),
    ICC_BPR1_EL1: _Bpr(CLASS_G1, RW, 1),
    ICC_CTLR_EL1: _Ctlr(CLASS_COMMON, RW),
    ICC_IGRPEN0_EL1: _Igrpen(CLASS_G0, RW, 0),
    ICC_IGRPEN1_EL1: _Igrpen(CLASS_G1, RW, 1),
    ICC_CTLR_EL3: _CtlrEl3(CLASS_EL3, RW),
    ICC_IGRPEN1_EL3: _Igrpen1El3(CLASS_EL3, RW),
    **{ICC_AP0R_EL1[n]: _Ap(CLASS_G0, RW, 0, n) for n in range(4)},
    **{ICC_AP1R_EL1[n]: _Ap(CLASS_G1, RW, 1, n) for n in range(4)},
}


def shifted(priority: int) -> int:
    """A priority as Non-secure state sees it: the lower half of the range, stretched; 0 for the upper half."""
    return priority << 1 & 0xFF if priority & 0x80 else 0


def read_icc(icc: Icc, encoding: int, view: View) -> int:
    """Read the ICC_* register of a packed encoding, or UNDEFINED."""
    register = ICC_REGISTERS.get(encoding)
    if register is None or not register.direction & READ:
        return UNDEFINED
    icc.cost.icc_reads += 1
    return register.read(icc, view)


def write_icc(icc: Icc, encoding: int, value: int, view: View) -> bool:
    """Write the ICC_* register of a packed encoding; False if that is UNDEFINED."""
    register = ICC_REGISTERS.get(encoding)
    if register is None or not register.direction & WRITE:
        return False
    icc.cost.icc_writes += 1
    return register.write(icc, value, view)
