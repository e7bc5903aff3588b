"""The GICV frame: the CPU interface as a GICv2-style guest sees it, on a GICv2 or on a GICv3 that can be one.

Room:    above icv (a Gich on a GICv2), whose state it reads and changes; stage 2 puts it where a guest has GICC.
Owns:    acknowledge, end of interrupt and register layouts of that guest.
Never:   holds interrupt state; writes the active priorities of Group 0, which such a guest does not use.
Holds:   both groups' active priorities are in one register, GICH_APR or ICH_AP1R<n>_EL2; the lines are icv's.

In an LR of such a guest vINTID[9:0] is the INTID and, for an SGI, vINTID[12:10] the CPU that sent it.
On a GICv3 the guest's ICC_SRE_EL1.SRE is 0.  While it is 1 (UNPREDICTABLE) the frame shows the same state, with
AckCtl RES0 and FIQEn RES1, as ICH_VMCR_EL2 does.
Source: IHI 0048B, GICV_*; IHI 0069H, GICV_* and support for legacy operation of VMs.
"""

from typing import Final, final

from hw.arch import (
    FIRST_SPECIAL,
    GICC_CTLR_ACKCTL,
    GICC_CTLR_CBPR,
    GICC_CTLR_ENABLE_GRP0,
    GICC_CTLR_ENABLE_GRP1,
    GICC_CTLR_EOIMODE,
    GICC_CTLR_FIQEN,
    IAR_INTID_MASK,
    IAR_MASK,
    INTID_LEGACY,
    INTID_SPURIOUS,
    NR_SGIS,
    VMCR_VBPR1_SHIFT,
    VMCR_VBPR_MASK,
)
from hw.cpuif2 import CpuInterface2
from hw.icv import Icv
from hw.lr import ListReg

CTLR_MASK: Final = (GICC_CTLR_ENABLE_GRP0 | GICC_CTLR_ENABLE_GRP1 | GICC_CTLR_ACKCTL) | (
    GICC_CTLR_FIQEN | GICC_CTLR_CBPR | GICC_CTLR_EOIMODE
)


class Gicv(CpuInterface2):
    """One PE's GICV frame over `icv`.  Every method is one guest access, counted."""

    __slots__ = ("_ap_shift", "icv")

    def __init__(self, icv: Icv, iidr: int) -> None:
        """Bind the frame to the interface whose state it shows."""
        super().__init__(iidr)
        self.icv = icv
        self._ap_shift = icv.config.ap_shift

    # Acknowledge, end, deactivate

    def iar(self, aliased: bool) -> int:
        """GICV_IAR or GICV_AIAR: acknowledge.

        most urgent, if it may be signalled    IAR                      AIAR
        Group 0                                acknowledged             1023
        Group 1                                1022, unless AckCtl      acknowledged
        none                                   1023                     1023
        """
        icv = self.icv
        icv.cost.icv_reads += 1
        lr = icv.candidate(True)
        if lr is None:
            return INTID_SPURIOUS
        if lr.group:
            if not (aliased or icv.vackctl):
                return INTID_LEGACY
            mask = icv.mask1
        elif aliased:
            return INTID_SPURIOUS
        else:
            mask = icv.mask0
        vintid = lr.vintid & IAR_INTID_MASK
        lr.pending = False
        if vintid >= FIRST_SPECIAL:  # UNPREDICTABLE: returned once, never active
            return vintid
        lr.active = True
        icv.ap1 |= 1 << ((lr.priority & mask) >> self._ap_shift)
        return vintid if vintid >= NR_SGIS or lr.hw else lr.vintid & IAR_MASK

    def eoir(self, value: int) -> None:
        """GICV_EOIR: drop the running priority, then deactivate unless DIR has to.

        Whatever is named, the most urgent active priority is dropped; if there is none, nothing happens.
        What is named is deactivated whatever its group and priority.  The CPUID field is not compared.
        """
        icv = self.icv
        icv.cost.icv_writes += 1
        vintid = value & IAR_INTID_MASK
        active = icv.ap1
        if active and vintid < FIRST_SPECIAL:
            icv.ap1 = active & (active - 1)
            if not (icv.veoim or self._deactivate(vintid)):
                icv.count_eoi(vintid)

    def aeoir(self, value: int) -> None:
        """GICV_AEOIR: as EOIR."""
        self.eoir(value)

    def dir(self, value: int) -> None:
        """GICV_DIR: deactivate; ignored with EOImode 0 (UNPREDICTABLE).  An LR only pending is not found."""
        icv = self.icv
        icv.cost.icv_writes += 1
        vintid = value & IAR_INTID_MASK
        if icv.veoim and vintid < FIRST_SPECIAL and not self._deactivate(vintid):
            icv.count_eoi(vintid)

    def _deactivate(self, vintid: int) -> bool:
        """Deactivate the first active LR of that INTID; False if there is none."""
        icv = self.icv
        for lr in icv.lrs:
            if lr.active and lr.vintid & IAR_INTID_MASK == vintid:
                lr.active = False
                if lr.hw:
                    icv.deactivate_physical(lr.pintid)
                return True
        return False

    def hppir(self, aliased: bool) -> int:
        """GICV_HPPIR: what is pending, even if disabled by En, masked or not preempting; 1022 as for IAR.

        GICV_AHPPIR: only a Group 1 interrupt, and only if it may be signalled.
        """
        icv = self.icv
        icv.cost.icv_reads += 1
        lr = icv.candidate(aliased)
        if lr is None or (aliased and lr.group == 0):
            return INTID_SPURIOUS
        if lr.group and not (aliased or icv.vackctl):
            return INTID_LEGACY
        return shown(lr)

    # The other registers

    def rpr(self) -> int:
        """GICV_RPR."""
        return self.icv.rpr()

    def read_ctlr(self) -> int:
        """GICV_CTLR: bits of GICH_VMCR, which are where ICH_VMCR_EL2 has them."""
        self.icv.cost.icv_reads += 1
        return self.icv.peek_vmcr() & CTLR_MASK

    def write_ctlr(self, value: int) -> None:
        """Write GICV_CTLR."""
        self.icv.cost.icv_writes += 1
        self.icv.change_vmcr(CTLR_MASK, value)

    def read_pmr(self) -> int:
        """GICV_PMR."""
        return self.icv.read_pmr()

    def write_pmr(self, value: int) -> None:
        """Write GICV_PMR."""
        self.icv.write_pmr(value)

    def read_bpr(self, group: int) -> int:
        """GICV_BPR, GICV_ABPR: what is stored, also under CBPR."""
        icv = self.icv
        icv.cost.icv_reads += 1
        return icv.vbpr1 if group else icv.vbpr0

    def write_bpr(self, group: int, value: int) -> None:
        """Write GICV_BPR, or GICV_ABPR also under CBPR."""
        if group:
            self.icv.cost.icv_writes += 1
            self.icv.change_vmcr(VMCR_VBPR_MASK << VMCR_VBPR1_SHIFT, (value & VMCR_VBPR_MASK) << VMCR_VBPR1_SHIFT)
        else:
            self.icv.write_bpr(0, value)

    def read_apr(self, n: int) -> int:
        """GICV_APR<n>."""
        return self.icv.read_guest_ap(1, n) if n < self.icv.config.ap_words else 0

    def write_apr(self, n: int, value: int) -> None:
        """Write GICV_APR<n>."""
        if n < self.icv.config.ap_words:
            self.icv.write_guest_ap(1, n, value)

    def read_iidr(self) -> int:
        """GICV_IIDR."""
        self.icv.cost.icv_reads += 1
        return self.iidr


def shown(lr: ListReg) -> int:
    """The INTID that a GICv2-style guest reads of an LR; for an SGI with the CPU that sent it."""
    vintid = lr.vintid & IAR_INTID_MASK
    return vintid if vintid >= NR_SGIS or lr.hw else lr.vintid & IAR_MASK


@final
class RecordedGicv(Gicv):
    """The GICV frame of the emulated GIC-400 whose GICV_IIDR is 0x0002043B.  Use it over a gich.RecordedGich.

    It differs from the manual as far as traces recorded on it, and its documented limits, tell:
        IAR            1022 is decided before the running priority is looked at
        HPPIR          no source CPU
        EOIR           with nothing active it still deactivates what is named (EOImode 0), and never counts
        AIAR, AHPPIR   read as zero, no acknowledge
        AEOIR          ignored
    """

    __slots__ = ()

    def iar(self, aliased: bool) -> int:
        """GICV_IAR, GICV_AIAR."""
        icv = self.icv
        if not aliased:
            lr = icv.candidate(False)
            if lr is None or lr.group == 0 or icv.vackctl:
                return super().iar(False)
        icv.cost.icv_reads += 1
        return 0 if aliased else INTID_LEGACY

    def hppir(self, aliased: bool) -> int:
        """GICV_HPPIR, GICV_AHPPIR."""
        if aliased:
            self.icv.cost.icv_reads += 1
            return 0
        return super().hppir(False) & IAR_INTID_MASK

    def eoir(self, value: int) -> None:
        """GICV_EOIR."""
        icv = self.icv
        if icv.ap1:
            super().eoir(value)
            return
        icv.cost.icv_writes += 1
        vintid = value & IAR_INTID_MASK
        if vintid < FIRST_SPECIAL and not icv.veoim:
            self._deactivate(vintid)

    def aeoir(self, value: int) -> None:
        """GICV_AEOIR."""
        self.icv.cost.icv_writes += 1
