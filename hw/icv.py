"""The virtual CPU interface as the guest sees it: acknowledge, end of interrupt, and the two lines.

Room:    above ich, whose state it reads and changes; below pe, which decides that an access is virtual.
Owns:    the rules of selection, preemption, priority drop and deactivation.
Never:   traps, sees a physical interrupt other than through `deactivate_port`, makes an LR pending.
Holds:   at most one of vIRQ and vFIQ is asserted, because only one candidate is ever considered;
         an acknowledge sets exactly one active priority, which becomes the running priority.

The lines are computed when asked for: nothing has to be told that an LR or a register changed.
Directly injected interrupts are direct's, which adds to this; non-maskable ones (FEAT_GICv3_NMI) are not modelled.
Source: IHI 0069H, ICV_*_EL1; DDI 0601.
"""

from typing import Final

from hw.arch import (
    CTLR_CBPR,
    CTLR_EOIMODE,
    FIRST_LPI,
    FIRST_SPECIAL,
    HCR_EOICOUNT_MAX,
    ICC_AP0R_EL1,
    ICC_AP1R_EL1,
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
    INTID_SPURIOUS,
    PRIORITY_IDLE,
    UNDEFINED,
)
from hw.config import VirtConfig
from hw.cost import Cost
from hw.ich import Ich, PhysicalDeactivator
from hw.lr import ListReg


class Icv(Ich):
    """One PE's virtual CPU interface.

    Each method of the sections "Acknowledge, end, deactivate" and "The other registers" is one access by the
    guest, and counted.  A GICv2-style guest uses gicv.Gicv instead, which works on the same state.
    """

    __slots__ = ("_count_eoir_mode1", "_count_no_drop", "_raw_rprio", "_tie_ap1", "deactivate_port")

    def __init__(self, config: VirtConfig, cost: Cost) -> None:
        """Reset to zero, with no physical GIC behind it."""
        super().__init__(config, cost)
        self.deactivate_port: PhysicalDeactivator | None = None  # where HW=1 deactivations go
        self._count_no_drop = config.eoicount_without_drop
        self._count_eoir_mode1 = config.eoicount_on_eoir_mode1
        self._tie_ap1 = config.drop_tie_ap1
        self._raw_rprio = config.preempt_raw_rprio

    # Selection

    def candidate(self, signalled: bool) -> ListReg | None:
        """The highest priority pending virtual interrupt; if `signalled`, only if it may interrupt the PE.

        Not an access.
        The lowest LR wins a tie (the manual leaves it open).  Priority 0xFF is never selected.  An LR
        that is also active is no candidate, nor is one of a disabled group.

        To be signalled it needs ICH_HCR.En, must be more urgent than VPMR (all bits; looking only among
        such interrupts finds the same one) and, if something is active, have a better group priority
        than that; both sides are seen through the candidate's binary point.
        """
        best = PRIORITY_IDLE
        if signalled:
            if not self.en:
                return None
            best = self.vpmr
        chosen = None
        for lr in self.lrs:
            if lr.pending and not lr.active and (self.veng1 if lr.group else self.veng0):
                priority = lr.priority
                if priority < best:
                    chosen = lr
                    best = priority
        if chosen is not None and signalled:
            active = self.ap0 | self.ap1
            if active and not self.preempts(chosen, active):
                return None
        return chosen

    def preempts(self, chosen: ListReg, active: int) -> bool:
        """Whether `chosen` is more urgent than all that is active by those active priorities; not an access."""
        mask = self.mask1 if chosen.group else self.mask0
        running = ((active & -active).bit_length() - 1) << self._ap_shift
        return chosen.priority & mask < (running if self._raw_rprio else running & mask)

    def virq(self) -> bool:
        """The level of vIRQ: a wire, not an access.  Group 0 drives it only for a GICv2 guest with FIQEn=0."""
        lr = self.candidate(True)
        return lr is not None and (lr.group == 1 or not self.vfiqen)

    def vfiq(self) -> bool:
        """The level of vFIQ: a wire, not an access."""
        lr = self.candidate(True)
        return lr is not None and lr.group == 0 and self.vfiqen

    # Acknowledge, end, deactivate

    def iar(self, group: int) -> int:
        """Read ICV_IAR<group>_EL1: acknowledge, or 1023 and no change.

        The physical interrupt of an LR with HW=1 is not touched: the hypervisor acknowledged it.
        An LPI in an LR becomes active too, until its EOIR.
        """
        self.cost.icv_reads += 1
        lr = self.candidate(True)
        if lr is None or lr.group != group:
            return INTID_SPURIOUS
        vintid = lr.vintid
        lr.pending = False
        if FIRST_SPECIAL <= vintid <= INTID_SPURIOUS:  # UNPREDICTABLE: returned once, never active
            return vintid
        lr.active = True
        if group:
            self.ap1 |= 1 << ((lr.priority & self.mask1) >> self._ap_shift)
        else:
            self.ap0 |= 1 << ((lr.priority & self.mask0) >> self._ap_shift)
        return vintid

    def eoir(self, group: int, value: int) -> None:
        """Write ICV_EOIR<group>_EL1: drop the running priority, then deactivate unless DIR has to.

        The drop comes first and unconditionally.  A guest that ends the wrong interrupt loses a running
        priority, but deactivates only what it names, in its own group and at the priority just dropped.
        With nothing active nothing happens (CONSTRAINED UNPREDICTABLE).
        """
        self.cost.icv_writes += 1
        vintid = value & self._vintid_mask
        if FIRST_SPECIAL <= vintid <= INTID_SPURIOUS:
            return
        ap0 = self.ap0
        dropped = self.ap1
        if not ap0:
            dropped &= -dropped
            self.ap1 ^= dropped
        else:
            dropped = self._drop(ap0, dropped)
        if not dropped and not self._count_no_drop:
            return
        for lr in self.lrs:
            if lr.active and lr.vintid == vintid:
                if self.veoim and vintid < FIRST_LPI:
                    return
                level = (lr.priority & (self.mask1 if group else self.mask0)) >> self._ap_shift
                if lr.group == group and dropped == 1 << level:
                    lr.active = False
                    if lr.hw:
                        self.deactivate_physical(lr.pintid)
                return
        if vintid < FIRST_LPI and (self._count_eoir_mode1 or not self.veoim):
            self.count_eoi(vintid)

    def _drop(self, ap0: int, ap1: int) -> int:
        """Clear the most urgent active priority of both groups; return its bit.  `ap0` is not zero."""
        low0 = ap0 & -ap0
        low1 = ap1 & -ap1
        if low1 and (low1 < low0 or (low1 == low0 and self._tie_ap1)):
            self.ap1 = ap1 ^ low1
            return low1
        self.ap0 = ap0 ^ low0
        return low0

    def dir(self, value: int) -> None:
        """Write ICV_DIR_EL1: deactivate, whatever the group, and leave the running priority alone."""
        self.cost.icv_writes += 1
        vintid = value & self._vintid_mask
        if not self.veoim or vintid >= FIRST_LPI or FIRST_SPECIAL <= vintid <= INTID_SPURIOUS:
            return
        for lr in self.lrs:
            if lr.active and lr.vintid == vintid:
                lr.active = False
                if lr.hw:
                    self.deactivate_physical(lr.pintid)
                return
        self.count_eoi(vintid)

    def deactivate_physical(self, pintid: int) -> None:
        """Pass on the deactivation of an LR with HW=1; not an access."""
        port = self.deactivate_port
        if port is not None and pintid < FIRST_SPECIAL and self.config.hw_deactivation:
            port.deactivate(pintid)

    def count_eoi(self, vintid: int) -> None:
        """A deactivation of `vintid` that no LR could take: ICH_HCR_EL2.EOIcount, which wraps; not an access."""
        self.eoicount = self.eoicount + 1 & HCR_EOICOUNT_MAX

    # The other registers

    def hppir(self, group: int) -> int:
        """ICV_HPPIR<group>_EL1: what is pending, even if disabled by En, masked or not preempting."""
        self.cost.icv_reads += 1
        lr = self.candidate(False)
        return lr.vintid if lr is not None and lr.group == group else INTID_SPURIOUS

    def rpr(self) -> int:
        """ICV_RPR_EL1: the group priority recorded by the most urgent acknowledge not yet dropped."""
        self.cost.icv_reads += 1
        active = self.ap0 | self.ap1
        return ((active & -active).bit_length() - 1) << self._ap_shift if active else PRIORITY_IDLE

    def read_pmr(self) -> int:
        """ICV_PMR_EL1."""
        self.cost.icv_reads += 1
        return self.vpmr

    def write_pmr(self, value: int) -> None:
        """Write ICV_PMR_EL1; unimplemented bits are RES0."""
        self.cost.icv_writes += 1
        self.vpmr = value & self._pri_mask

    def read_bpr(self, group: int) -> int:
        """ICV_BPR<group>_EL1.  Under CBPR BPR1 shows BPR0, plus one and saturated unless Secure."""
        self.cost.icv_reads += 1
        if group == 0 or (self.vcbpr and self._secure):
            return self.vbpr0
        return min(self.vbpr0 + 1, 7) if self.vcbpr else self.vbpr1

    def write_bpr(self, group: int, value: int) -> None:
        """Write ICV_BPR<group>_EL1.  Under CBPR a write to BPR1 is ignored, or reaches BPR0 if Secure."""
        self.cost.icv_writes += 1
        if group == 0 or (self.vcbpr and self._secure):
            self._set_bprs(value & 7, self.vbpr1)
        elif not self.vcbpr:
            self._set_bprs(self.vbpr0, value & 7)

    def read_ctlr(self) -> int:
        """ICV_CTLR_EL1."""
        self.cost.icv_reads += 1
        return self.config.ctlr | (CTLR_CBPR if self.vcbpr else 0) | (CTLR_EOIMODE if self.veoim else 0)

    def write_ctlr(self, value: int) -> None:
        """Write ICV_CTLR_EL1: CBPR and EOImode."""
        self.cost.icv_writes += 1
        self.vcbpr = value & CTLR_CBPR != 0
        self.veoim = value & CTLR_EOIMODE != 0
        self._set_bprs(self.vbpr0, self.vbpr1)  # CBPR chooses Group 1's mask

    def read_igrpen(self, group: int) -> int:
        """ICV_IGRPEN<group>_EL1."""
        self.cost.icv_reads += 1
        return int(self.veng1 if group else self.veng0)

    def write_igrpen(self, group: int, value: int) -> None:
        """Write ICV_IGRPEN<group>_EL1."""
        self.cost.icv_writes += 1
        if group:
            self.veng1 = value & 1 != 0
        else:
            self.veng0 = value & 1 != 0

    def read_guest_ap(self, group: int, n: int) -> int:
        """ICV_AP<group>R<n>_EL1: the bits of ICH_AP<group>R<n>_EL2; n is below config.ap_words."""
        self.cost.icv_reads += 1
        return self._ap(group, n)

    def write_guest_ap(self, group: int, n: int, value: int) -> None:
        """Write ICV_AP<group>R<n>_EL1."""
        self.cost.icv_writes += 1
        self._set_ap(group, n, value)

    # For gicv, which shows the same state in another form; no accesses

    def peek_vmcr(self) -> int:
        """What ICH_VMCR_EL2 would read as."""
        return self._vmcr()

    def change_vmcr(self, mask: int, value: int) -> None:
        """Replace the fields of ICH_VMCR_EL2 under `mask`, by its rules."""
        self._set_vmcr(self._vmcr() & ~mask | value & mask)

    # Access by encoding

    def read_icv(self, encoding: int) -> int:
        """Read the ICV_* register behind a packed ICC_* encoding (arch.sysreg), or UNDEFINED."""
        register = ICV_REGISTERS.get(encoding)
        return UNDEFINED if register is None else register.read(self)

    def write_icv(self, encoding: int, value: int) -> bool:
        """Write the ICV_* register behind a packed ICC_* encoding; False if that is UNDEFINED."""
        register = ICV_REGISTERS.get(encoding)
        return register is not None and register.write(self, value)


class IcvRegister:
    """One ICC_* encoding with a virtual register behind it.  A method left out is an UNDEFINED access."""

    def __init__(self, group: int = 0) -> None:
        """Bind the row to `group`, where the register exists once per group."""
        self.group = group

    def read(self, icv: Icv) -> int:
        """Read the register, or UNDEFINED."""
        return UNDEFINED

    def write(self, icv: Icv, value: int) -> bool:
        """Write the register; False if that is UNDEFINED."""
        return False


class _Iar(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.iar(self.group)


class _Eoir(IcvRegister):
    def write(self, icv: Icv, value: int) -> bool:
        icv.eoir(self.group, value)
        return True


class _Dir(IcvRegister):
    def write(self, icv: Icv, value: int) -> bool:
        icv.dir(value)
        return True


class _Hppir(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.hppir(self.group)


class _Rpr(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.rpr()


class _Pmr(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.read_pmr()

    def write(self, icv: Icv, value: int) -> bool:
        icv.write_pmr(value)
        return True


class _Bpr(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.read_bpr(self.group)

    def write(self, icv: Icv, value: int) -> bool:
        icv.write_bpr(self.group, value)
        return True


class _Ctlr(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.read_ctlr()

    def write(self, icv: Icv, value: int) -> bool:
        icv.write_ctlr(value)
        return True


class _Igrpen(IcvRegister):
    def read(self, icv: Icv) -> int:
        return icv.read_igrpen(self.group)

    def write(self, icv: Icv, value: int) -> bool:
        icv.write_igrpen(self.group, value)
        return True


class _Ap(IcvRegister):
    def __init__(self, group: int, n: int) -> None:
        super().__init__(group)
        self.n = n

    def read(self, icv: Icv) -> int:
        return icv.read_guest_ap(self.group, self.n) if self.n < icv.config.ap_words else UNDEFINED

    def write(self, icv: Icv, value: int) -> bool:
        if self.n >= icv.config.ap_words:
            return False
        icv.write_guest_ap(self.group, self.n, value)
        return True


ICV_REGISTERS: Final[dict[int, IcvRegister]] = {
    ICC_IAR1_EL1: _Iar(1),
    ICC_EOIR1_EL1: _Eoir(1),
    ICC_IAR0_EL1: _Iar(0),
    ICC_EOIR0_EL1: _Eoir(0),
    ICC_DIR_EL1: _Dir(),
    ICC_PMR_EL1: _Pmr(),
    ICC_RPR_EL1: _Rpr(),
    ICC_CTLR_EL1: _Ctlr(),
    ICC_HPPIR0_EL1: _Hppir(0),
    ICC_HPPIR1_EL1: _Hppir(1),
    ICC_BPR0_EL1: _Bpr(0),
    ICC_BPR1_EL1: _Bpr(1),
    ICC_IGRPEN0_EL1: _Igrpen(0),
    ICC_IGRPEN1_EL1: _Igrpen(1),
    **{ICC_AP0R_EL1[n]: _Ap(0, n) for n in range(4)},
    **{ICC_AP1R_EL1[n]: _Ap(1, n) for n in range(4)},
}
