"""The virtual CPU interface as EL2 sees it: list registers, ICH_HCR, ICH_VMCR, active priorities, status.

Room:    one PE's hypervisor control interface; icv adds what the guest sees of the same state.
Owns:    the list registers, EOIcount, group enables, priority mask, binary points, active priorities.
Never:   knows the accessing exception level or a trap (pe decides), signals a change (lines are pulled).
Holds:   VBPR0 and VBPR1 are at least their minimum, so a group mask selects no bit below the preemption bits;
         every priority has only implemented bits; active priorities of a group are one integer.

Methods named read_ and write_ are one register access each and are counted in `cost`.
Source: IHI 0069H, ICH_*_EL2; DDI 0601.
"""

from dataclasses import dataclass
from typing import Final

from hw.arch import (
    HCR_EN,
    HCR_EOICOUNT_MASK,
    HCR_EOICOUNT_MAX,
    HCR_EOICOUNT_SHIFT,
    HCR_LRENPIE,
    HCR_NPIE,
    HCR_TALL0,
    HCR_TALL1,
    HCR_TC,
    HCR_TDIR,
    HCR_UIE,
    HCR_VGRP0DIE,
    HCR_VGRP0EIE,
    HCR_VGRP1DIE,
    HCR_VGRP1EIE,
    LR_PINTID_MASK,
    MISR_EOI,
    MISR_LRENP,
    MISR_NP,
    MISR_U,
    MISR_VGRP0D,
    MISR_VGRP0E,
    MISR_VGRP1D,
    MISR_VGRP1E,
    UNDEFINED,
    VMCR_VACKCTL,
    VMCR_VBPR0_SHIFT,
    VMCR_VBPR1_SHIFT,
    VMCR_VBPR_MASK,
    VMCR_VCBPR,
    VMCR_VENG0,
    VMCR_VENG1,
    VMCR_VEOIM,
    VMCR_VFIQEN,
    VMCR_VPMR_SHIFT,
)
from hw.config import VirtConfig
from hw.cost import Cost
from hw.ichregs import ICH_REGISTERS
from hw.lr import ListReg

WORD: Final = 0xFFFF_FFFF
TRAPS: Final = HCR_TC | HCR_TALL0 | HCR_TALL1 | HCR_TDIR


class PhysicalDeactivator:
    """Where the virtual interface sends the deactivation of a physical interrupt (an LR with HW=1).

    `deactivate` raises here because the physical interface does it, which each kind of PE has its own of.  A base and
    no Protocol, which would be a lookup for each call when compiled.
    """

    def deactivate(self, pintid: int) -> None:
        """Deactivate `pintid`, 0..1019, as a write of ICC_DIR_EL1 by this PE would; no effect if not active."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class IchState:
    """Everything the virtual interface remembers, in register form."""

    hcr: int
    vmcr: int
    lrs: tuple[int, ...]  # 64 bits each, ICH_LR0_EL2 first
    ap0r: tuple[int, ...]  # 32 bits each
    ap1r: tuple[int, ...]
    secure: bool  # the security state the interface serves
    sre: bool  # ICC_SRE_EL1.SRE, which decides what VMCR can hold


class Ich:
    """One PE's virtual interface control.  `lrs` is the array that the guest's accesses change in place."""

    __slots__ = (
        "_ap_shift",
        "_control_mask",
        "_every_lr",
        "_pri_mask",
        "_secure",
        "_sre",
        "_vintid_mask",
        "ap0",
        "ap1",
        "config",
        "control",
        "cost",
        "en",
        "eoicount",
        "lrs",
        "mask0",
        "mask1",
        "tall0",
        "tall1",
        "tc",
        "tdir",
        "vackctl",
        "vbpr0",
        "vbpr1",
        "vcbpr",
        "veng0",
        "veng1",
        "veoim",
        "vfiqen",
        "vpmr",
    )

    def __init__(self, config: VirtConfig, cost: Cost) -> None:
        """Reset to zero: all LRs Invalid, nothing active, nothing enabled, binary points at their minimum."""
        self.config = config
        self.cost = cost
        self._pri_mask = config.pri_mask
        self._vintid_mask = config.vintid_mask
        self._ap_shift = config.ap_shift
        self._control_mask = config.hcr_mask & ~(HCR_EN | HCR_EOICOUNT_MASK)
        self.lrs = [ListReg() for _ in range(config.n_lr)]
        self._every_lr = (1 << config.n_lr) - 1
        self.ap0 = 0  # bit b: a Group 0 interrupt is active at group priority b << ap_shift
        self.ap1 = 0
        self.en = False
        self.eoicount = 0
        self.control = 0  # ICH_HCR_EL2 without En and EOIcount, writable bits only
        self._set_traps(0)
        self._secure = False
        self._sre = True
        self._set_vmcr(0)

    # The EL2 fast path: list registers, ICH_ELRSR and ICH_HCR on every guest entry and exit

    def write_lr(
        self,
        i: int,
        vintid: int,
        pending: bool,
        active: bool,
        priority: int,
        group: int,
        hw: bool,
        pintid: int,
        eoi: bool,
    ) -> None:
        """Write ICH_LR<i>_EL2 field by field.  `pintid` counts only with `hw`, `eoi` only without."""
        self.cost.lr_writes += 1
        lr = self.lrs[i]
        lr.vintid = vintid & self._vintid_mask
        lr.pending = pending
        lr.active = active
        lr.priority = priority & self._pri_mask
        lr.group = group
        lr.hw = hw
        if hw:
            lr.pintid = pintid & LR_PINTID_MASK
            lr.eoi = False
        else:
            lr.pintid = 0
            lr.eoi = eoi

    def read_lr(self, i: int) -> ListReg:
        """Read ICH_LR<i>_EL2: the live register, to be looked at before anything else changes it."""
        self.cost.lr_reads += 1
        return self.lrs[i]

    def clear_lr(self, i: int) -> None:
        """Write zero to ICH_LR<i>_EL2."""
        self.cost.lr_writes += 1
        lr = self.lrs[i]
        lr.vintid = 0
        lr.pending = False
        lr.active = False
        lr.priority = 0
        lr.group = 0
        lr.hw = False
        lr.pintid = 0
        lr.eoi = False

    def read_elrsr(self) -> int:
        """ICH_ELRSR_EL2: bit i is set if LR i is Invalid and owes no EOI notification."""
        self.cost.elrsr_reads += 1
        empty = self._every_lr
        bit = 1
        for lr in self.lrs:
            if lr.pending or lr.active or lr.eoi:
                empty ^= bit
            bit += bit
        return empty

    def read_hcr(self) -> int:
        """ICH_HCR_EL2, with the current EOIcount."""
        self.cost.hcr_reads += 1
        return self.control | self.eoicount << HCR_EOICOUNT_SHIFT | self.en

    def write_hcr(self, value: int) -> None:
        """Write ICH_HCR_EL2, EOIcount included."""
        self.cost.hcr_writes += 1
        self.en = value & HCR_EN != 0
        self.eoicount = value >> HCR_EOICOUNT_SHIFT & HCR_EOICOUNT_MAX
        control = value & self._control_mask
        if control != self.control:  # entry and exit change En, at most UIE
            if (control ^ self.control) & TRAPS:
                self._set_traps(control)
            self.control = control

    # Context switch

    def read_vmcr(self) -> int:
        """ICH_VMCR_EL2: the ICV registers' storage in one word."""
        self.cost.vmcr_reads += 1
        return self._vmcr()

    def write_vmcr(self, value: int) -> None:
        """Write ICH_VMCR_EL2; binary points below the minimum become the minimum."""
        self.cost.vmcr_writes += 1
        self._set_vmcr(value)

    def read_ap(self, group: int, n: int) -> int:
        """ICH_AP<group>R<n>_EL2, 32 bits; n is below config.ap_words."""
        self.cost.ap_reads += 1
        return self._ap(group, n)

    def write_ap(self, group: int, n: int, value: int) -> None:
        """Write ICH_AP<group>R<n>_EL2.  Any value is taken, as if the hardware had set those bits."""
        self.cost.ap_writes += 1
        self._set_ap(group, n, value)

    def read_vtr(self) -> int:
        """ICH_VTR_EL2, a constant."""
        self.cost.vtr_reads += 1
        return self.config.vtr

    # Status and maintenance: pure functions of the state above, independent of ICH_HCR.En

    def read_eisr(self) -> int:
        """ICH_EISR_EL2: bit i is set if LR i is Invalid and owes an EOI notification."""
        self.cost.status_reads += 1
        owed = 0
        for i, lr in enumerate(self.lrs):
            if lr.eoi and not (lr.pending or lr.active):
                owed |= 1 << i
        return owed

    def read_misr(self) -> int:
        """ICH_MISR_EL2: the maintenance conditions that hold now."""
        self.cost.status_reads += 1
        return self._misr()

    def maintenance(self) -> bool:
        """The level of the maintenance interrupt: a wire, not an access."""
        if not self.en:
            return False
        if self.control:
            return self._misr() != 0
        owed = False  # nothing is enabled in ICH_HCR: only an LR can ask
        for lr in self.lrs:
            if lr.eoi and not (lr.pending or lr.active):
                owed = True
        return owed

    def _misr(self) -> int:
        misr = 0
        valid = 0
        waiting = False
        for lr in self.lrs:
            if lr.pending:
                valid += 1
                if not lr.active or self.config.np_counts_pa:
                    waiting = True
            elif lr.active:
                valid += 1
            elif lr.eoi:
                misr = MISR_EOI
        control = self.control
        if valid <= 1 and control & HCR_UIE:
            misr |= MISR_U
        if self.eoicount and control & HCR_LRENPIE:
            misr |= MISR_LRENP
        if not waiting and control & HCR_NPIE:
            misr |= MISR_NP
        if control & (HCR_VGRP0EIE if self.veng0 else HCR_VGRP0DIE):
            misr |= MISR_VGRP0E if self.veng0 else MISR_VGRP0D
        if control & (HCR_VGRP1EIE if self.veng1 else HCR_VGRP1DIE):
            misr |= MISR_VGRP1E if self.veng1 else MISR_VGRP1D
        return misr

    # What a VMCR or HCR value means

    def _set_traps(self, control: int) -> None:
        """Decode what pe asks at every access from EL1; the other control bits are tested in place."""
        self.tc = control & HCR_TC != 0
        self.tall0 = control & HCR_TALL0 != 0
        self.tall1 = control & HCR_TALL1 != 0
        self.tdir = control & HCR_TDIR != 0

    def _vmcr(self) -> int:
        value = self.vpmr << VMCR_VPMR_SHIFT | self.vbpr0 << VMCR_VBPR0_SHIFT | self.vbpr1 << VMCR_VBPR1_SHIFT
        value |= VMCR_VENG0 if self.veng0 else 0
        value |= VMCR_VENG1 if self.veng1 else 0
        value |= VMCR_VACKCTL if self.vackctl else 0
        value |= VMCR_VFIQEN if self.vfiqen else 0
        value |= VMCR_VCBPR if self.vcbpr else 0
        value |= VMCR_VEOIM if self.veoim else 0
        return value

    def _set_vmcr(self, value: int) -> None:
        self.veng0 = value & VMCR_VENG0 != 0
        self.veng1 = value & VMCR_VENG1 != 0
        self.vackctl = value & VMCR_VACKCTL != 0 and not self._sre
        self.vfiqen = value & VMCR_VFIQEN != 0 or self._sre
        self.vcbpr = value & VMCR_VCBPR != 0
        self.veoim = value & VMCR_VEOIM != 0
        self.vpmr = value >> VMCR_VPMR_SHIFT & self._pri_mask
        self._set_bprs(value >> VMCR_VBPR0_SHIFT & VMCR_VBPR_MASK, value >> VMCR_VBPR1_SHIFT & VMCR_VBPR_MASK)

    def _set_bprs(self, bpr0: int, bpr1: int) -> None:
        """Store both binary points, clamped, and derive the masks that compare priorities.

        Group 1, CBPR=0   Non-secure   0xFF << VBPR1
        Group 1, CBPR=0   Secure       0xFF << (VBPR1 + 1)
        Group 0, and Group 1 if CBPR=1     0xFF << (VBPR0 + 1)
        """
        secure = self._secure
        self.vbpr0 = max(bpr0, self.config.min_bpr0)
        self.vbpr1 = max(bpr1, self.config.min_bpr0 if secure else self.config.min_bpr1)
        self.mask0 = 0xFF << (self.vbpr0 + 1) & 0xFF
        if self.vcbpr:
            self.mask1 = self.mask0
        else:
            self.mask1 = 0xFF << (self.vbpr1 + 1 if secure else self.vbpr1) & 0xFF

    def _ap(self, group: int, n: int) -> int:
        assert n < self.config.ap_words, f"ICH_AP{group}R{n}_EL2 does not exist"
        return (self.ap1 if group else self.ap0) >> 32 * n & WORD

    def _set_ap(self, group: int, n: int, value: int) -> None:
        assert n < self.config.ap_words, f"ICH_AP{group}R{n}_EL2 does not exist"
        shift = 32 * n
        word = (value & WORD) << shift
        if group:
            self.ap1 = self.ap1 & ~(WORD << shift) | word
        else:
            self.ap0 = self.ap0 & ~(WORD << shift) | word

    @property
    def secure(self) -> bool:
        """Whether the interface serves a Secure guest (GICv3.1): lower minimum of BPR1, its own CBPR rule.

        There is one register set, and software switches its contents with the world.  A Non-secure
        interface that finds a binary point only a Secure one may have uses its own minimum.
        """
        return self._secure

    @secure.setter
    def secure(self, secure: bool) -> None:
        self._secure = secure
        self._set_bprs(self.vbpr0, self.vbpr1)

    @property
    def sre(self) -> bool:
        """ICC_SRE_EL1.SRE of this PE.  While it is set VMCR.VAckCtl is RES0 and VMCR.VFIQEn is RES1."""
        return self._sre

    @sre.setter
    def sre(self, sre: bool) -> None:
        self._sre = sre
        if sre:
            self.vackctl = False
            self.vfiqen = True

    # Access by encoding

    def read_ich(self, encoding: int) -> int:
        """Read the ICH_* register of a packed encoding (arch.sysreg), or UNDEFINED."""
        register = ICH_REGISTERS.get(encoding)
        return UNDEFINED if register is None else register.read(self)

    def write_ich(self, encoding: int, value: int) -> bool:
        """Write the ICH_* register of a packed encoding; False if that is UNDEFINED."""
        register = ICH_REGISTERS.get(encoding)
        return register is not None and register.write(self, value)

    # Snapshots

    def spare(self) -> "Ich":
        """Another interface of the same kind, reset, which counts for itself; nothing is offered to it directly."""
        return type(self)(self.config, Cost())

    def snapshot(self) -> IchState:
        """The whole state; nothing is counted."""
        words = range(self.config.ap_words)
        return IchState(
            hcr=self.control | self.eoicount << HCR_EOICOUNT_SHIFT | self.en,
            vmcr=self._vmcr(),
            lrs=tuple(lr.encode() for lr in self.lrs),
            ap0r=tuple(self._ap(0, n) for n in words),
            ap1r=tuple(self._ap(1, n) for n in words),
            secure=self._secure,
            sre=self._sre,
        )

    def restore(self, state: IchState) -> None:
        """Become what snapshot() saw on an interface of the same configuration; nothing is counted."""
        assert len(state.lrs) == len(self.lrs), f"{len(state.lrs)} LRs do not fit {len(self.lrs)}"
        assert len(state.ap0r) == self.config.ap_words, f"{len(state.ap0r)} active-priority words do not fit"
        self._secure = state.secure
        self._sre = state.sre  # before VMCR, whose contents depend on both
        self._set_vmcr(state.vmcr)
        self.en = state.hcr & HCR_EN != 0
        self.eoicount = state.hcr >> HCR_EOICOUNT_SHIFT & HCR_EOICOUNT_MAX
        self.control = state.hcr & self._control_mask
        self._set_traps(self.control)
        for lr, value in zip(self.lrs, state.lrs, strict=True):
            lr.decode(value, self._pri_mask, self._vintid_mask)
        for n in range(self.config.ap_words):
            self._set_ap(0, n, state.ap0r[n])
            self._set_ap(1, n, state.ap1r[n])

    def check(self) -> None:
        """Assert every invariant of the stored state."""
        config = self.config
        assert config.min_bpr0 <= self.vbpr0 <= 7, "VBPR0 below its minimum"
        assert (config.min_bpr0 if self._secure else config.min_bpr1) <= self.vbpr1 <= 7, "VBPR1 below its minimum"
        assert self.vpmr & ~config.pri_mask == 0, "VPMR has unimplemented bits"
        assert (self.mask0 | self.mask1) & ((1 << self._ap_shift) - 1) == 0, "a mask selects subpriority bits"
        assert (self.ap0 | self.ap1) >> (1 << config.pre_bits) == 0, "an active priority that does not exist"
        assert 0 <= self.eoicount <= HCR_EOICOUNT_MAX, "EOIcount has five bits"
        assert not self._sre or (self.vfiqen and not self.vackctl), "GICv2 controls live in a GICv3 guest"
        for i, lr in enumerate(self.lrs):
            assert lr.priority & ~config.pri_mask == 0, f"LR{i} has unimplemented priority bits"
            assert lr.vintid & ~config.vintid_mask == 0, f"LR{i} has unimplemented INTID bits"
            assert not (lr.eoi if lr.hw else lr.pintid), f"LR{i} has EOI with HW=1 or pINTID with HW=0"
