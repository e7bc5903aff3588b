"""Which register an access by encoding reaches: the physical one, the virtual one, or an exception.

Room:    inside pe, between the accessing exception level and the two CPU interfaces.
Owns:    the control bits that decide: HCR_EL2, SCR_EL3 and ICC_SRE_ELx of one PE.
Never:   reads or writes an interrupt controller register.
Holds:   whatever _reroute() computes is what the control bits say; each setter keeps them so.

Source: IHI 0069H and DDI 0601, the access pseudocode of ICC_*_EL1.
"""

from typing import Final

from hw.arch import (
    ESR_READ,
    ESR_SYSREG,
    SRE_DFB,
    SRE_DIB,
    SRE_ENABLE,
    SRE_SRE,
    TRAP_EL1,
    TRAP_EL2,
    TRAP_EL3,
    UNDEFINED,
)
from hw.icc import View
from hw.iccregs import CLASS_COMMON, CLASS_DIR, CLASS_EL3, CLASS_G0, CLASS_G1, CLASS_SGI, ICC_REGISTERS, READ
from hw.icv import Icv

# Where an access goes when it is no exception (those are negative, see arch)

TO_PHYSICAL: Final = 0
TO_VIRTUAL: Final = 1

SRE_EL1_VALUE: Final = SRE_SRE | SRE_DFB | SRE_DIB
SRE_EL2_VALUE: Final = SRE_EL1_VALUE | SRE_ENABLE


def syndrome(encoding: int, direction: int) -> int:
    """ESR_ELx of a trapped access with Rt = x0: EC 0x18; OR in Rt << 5 for another register."""
    op0, op1, crn = encoding >> 14 & 3, encoding >> 11 & 7, encoding >> 7 & 15
    crm, op2 = encoding >> 3 & 15, encoding & 7
    iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
    return ESR_SYSREG | iss | (ESR_READ if direction == READ else 0)


class Routing:
    """The control bits of one PE, and the questions that they answer.

    HCR_EL2: imo, fmo, amo, tge, e2h.  SCR_EL3: scr_ns, scr_eel2, scr_irq, scr_fiq; without EL3
    (one security state) they keep their reset values.  ICC_SRE_ELx: sre_el1, sre_el2, sre_el3.
    """

    def __init__(self, virt: Icv, one_state: bool, sre_el1: int) -> None:
        """Reset state: Non-secure, nothing routed to EL2.

        `sre_el1`: SRE_EL1_VALUE, system registers enabled as firmware leaves them; 0 on a GICv2, which has none.
        """
        self.virt = virt
        self.one_state = one_state
        self._imo = False
        self._fmo = False
        self._tge = False
        self._e2h = False
        self._scr_ns = True
        self._scr_eel2 = False
        self._scr_fiq = False
        self._sre_el1 = sre_el1
        self.amo = False  # decides nothing but whether ICC_SRE_EL1.SRE can be cleared
        self.scr_irq = False
        self.sre_el2 = SRE_EL2_VALUE
        self.sre_el3 = SRE_EL2_VALUE
        self.esr = 0  # syndrome of the last access that trapped
        self._reroute()

    def _reroute(self) -> None:
        """Recompute everything that depends on more than one control bit."""
        self.el2_enabled = self._scr_ns or self._scr_eel2
        sre = self._sre_el1 & SRE_SRE != 0
        self.g0_virtual = self.effective(self._fmo)  # what a Group 0 access at EL1 reaches, if nothing traps it
        self.g1_virtual = self.effective(self._imo)
        takes_virtual = self.el2_enabled and not self._tge  # EL1 is in use, and EL2 is there to interrupt it
        self.virq_routed = takes_virtual and self._imo
        self.vfiq_routed = takes_virtual and self._fmo
        self.g1_direct = sre and self.g1_virtual  # IAR1, EOIR1: only ICH_HCR_EL2.TALL1 remains to be asked
        self.view = View(not self._scr_ns, False, self._scr_ns and self._scr_fiq and not self.one_state, self.one_state)
        self.view_el3 = View(not self._scr_ns, True, False, self.one_state)
        secure = not self._scr_ns and self._scr_eel2
        if secure != self.virt.secure:
            self.virt.secure = secure
        if sre != self.virt.sre:
            self.virt.sre = sre

    def effective(self, routed: bool) -> bool:
        """HCR_EL2.IMO or FMO as it takes effect: forced by TGE, to 0 with E2H and to 1 without."""
        if not self.el2_enabled:
            return False
        return not self._e2h if self._tge else routed

    # Control bits

    @property
    def imo(self) -> bool:
        """HCR_EL2.IMO: physical IRQs go to EL2, and EL1 has a virtual one."""
        return self._imo

    @imo.setter
    def imo(self, value: bool) -> None:
        self._imo = value
        self._reroute()

    @property
    def fmo(self) -> bool:
        """HCR_EL2.FMO: the same for FIQs."""
        return self._fmo

    @fmo.setter
    def fmo(self, value: bool) -> None:
        self._fmo = value
        self._reroute()

    @property
    def tge(self) -> bool:
        """HCR_EL2.TGE: EL1 is not in use, its exceptions go to EL2."""
        return self._tge

    @tge.setter
    def tge(self, value: bool) -> None:
        self._tge = value
        self._reroute()

    @property
    def e2h(self) -> bool:
        """HCR_EL2.E2H: a host kernel runs at EL2."""
        return self._e2h

    @e2h.setter
    def e2h(self, value: bool) -> None:
        self._e2h = value
        self._reroute()

    @property
    def scr_ns(self) -> bool:
        """SCR_EL3.NS: the levels below EL3 are Non-secure.  Fixed with one security state."""
        return self._scr_ns

    @scr_ns.setter
    def scr_ns(self, value: bool) -> None:
        self._scr_ns = value or self.one_state
        self._reroute()

    @property
    def scr_eel2(self) -> bool:
        """SCR_EL3.EEL2: Secure state has an EL2 (Armv8.4), and with it a virtual interface (GICv3.1)."""
        return self._scr_eel2

    @scr_eel2.setter
    def scr_eel2(self, value: bool) -> None:
        self._scr_eel2 = value and not self.one_state
        self._reroute()

    @property
    def scr_fiq(self) -> bool:
        """SCR_EL3.FIQ: FIQs go to EL3, Group 0 registers trap to it, Non-secure priorities are shifted."""
        return self._scr_fiq

    @scr_fiq.setter
    def scr_fiq(self, value: bool) -> None:
        self._scr_fiq = value and not self.one_state
        self._reroute()

    @property
    def sre_el1(self) -> int:
        """ICC_SRE_EL1."""
        return self._sre_el1

    @sre_el1.setter
    def sre_el1(self, value: int) -> None:
        self._sre_el1 = value
        self._reroute()

    # The decisions

    def route_el1(self, encoding: int, direction: int) -> int:
        """TO_PHYSICAL, TO_VIRTUAL, or the exception taken, for an ICC_* access at EL1 other than ICC_SRE_EL1.

        In this order: no such register or direction; ICC_SRE_EL1.SRE; the trap bits of ICH_HCR_EL2, which
        act whatever HCR_EL2 says; HCR_EL2.FMO and IMO; SCR_EL3.FIQ and IRQ.
        """
        register = ICC_REGISTERS.get(encoding)
        if register is None or not register.direction & direction or register.trapped_as == CLASS_EL3:
            return UNDEFINED
        if not self._sre_el1 & SRE_SRE:
            return self.trap(TRAP_EL1, encoding, direction)
        trapped_as = register.trapped_as
        if self.el2_enabled and self._trapped_by_ich(trapped_as):
            return self.trap(TRAP_EL2, encoding, direction)
        if self._virtual(trapped_as):
            if trapped_as == CLASS_SGI:  # there is no virtual form
                return self.trap(TRAP_EL2, encoding, direction)
            return TO_VIRTUAL
        if self._trapped_by_scr(trapped_as):
            return self.trap(TRAP_EL3, encoding, direction)
        return TO_PHYSICAL

    def route_el2(self, encoding: int, direction: int) -> int:
        """TO_PHYSICAL, or the exception taken, for an ICC_* access at EL2: never virtual."""
        register = ICC_REGISTERS.get(encoding)
        if register is None or not register.direction & direction or register.trapped_as == CLASS_EL3:
            return UNDEFINED
        if not self.sre_el2 & SRE_SRE:
            return self.trap(TRAP_EL2, encoding, direction)
        if self._trapped_by_scr(register.trapped_as):
            return self.trap(TRAP_EL3, encoding, direction)
        return TO_PHYSICAL

    def trap(self, level: int, encoding: int, direction: int) -> int:
        """Record the syndrome of an access that traps to `level`, and return that."""
        self.esr = syndrome(encoding, direction)
        return level

    def _virtual(self, trapped_as: int) -> bool:
        """Whether HCR_EL2 makes registers of that class virtual: the common ones if either group is."""
        if trapped_as == CLASS_G0:
            return self.g0_virtual
        if trapped_as == CLASS_G1:
            return self.g1_virtual
        return self.g0_virtual or self.g1_virtual

    def _trapped_by_ich(self, trapped_as: int) -> bool:
        """Whether ICH_HCR_EL2 traps registers of that class; En does not matter.

        bit     registers
        TC      PMR, RPR, CTLR, DIR, SGI0R, SGI1R, ASGI1R
        TALL0   IAR0, EOIR0, HPPIR0, BPR0, IGRPEN0, AP0R<n>
        TALL1   IAR1, EOIR1, HPPIR1, BPR1, IGRPEN1, AP1R<n>
        TDIR    DIR
        """
        virt = self.virt
        if trapped_as == CLASS_G0:
            return virt.tall0
        if trapped_as == CLASS_G1:
            return virt.tall1
        return virt.tc or (trapped_as == CLASS_DIR and virt.tdir)

    def _trapped_by_scr(self, trapped_as: int) -> bool:
        """Whether SCR_EL3 keeps the physical registers of that class to EL3."""
        if trapped_as == CLASS_G0:
            return self._scr_fiq
        if trapped_as == CLASS_G1:
            return self.scr_irq
        assert trapped_as in (CLASS_COMMON, CLASS_DIR, CLASS_SGI)
        return self._scr_fiq and self.scr_irq
