"""The GICH frame: a GICv2's virtual CPU interface as the hypervisor sees it.

Room:    one PE's hypervisor control interface on a GICv2; its guest's frame is gicv.Gicv.
Owns:    the 32-bit layout of the GICH registers.
Never:   adds state to icv's: a hypervisor's fast path (write_lr, read_elrsr, ...) is that of a GICv3.
Holds:   ap0 is 0, and ap1 is GICH_APR; the interface is one without system registers (SRE is 0), so AckCtl and
         FIQEn of VMCR are live; an LR's vINTID holds VirtualID, and in bits 12:10 CPUID, as on a GICv3 for a
         GICv2-style guest.

The frame is that of the accessing PE; the aliases that show another PE's are that PE's Gich.
Source: IHI 0048B, GICH_*.
"""

from typing import Final, final

from hw.arch import (
    GICH_APR,
    GICH_EISR0,
    GICH_EISR1,
    GICH_ELRSR0,
    GICH_ELRSR1,
    GICH_HCR,
    GICH_LR,
    GICH_LR_ACTIVE,
    GICH_LR_EOI,
    GICH_LR_GRP1_SHIFT,
    GICH_LR_HW,
    GICH_LR_PENDING,
    GICH_LR_PHYSICALID_MASK,
    GICH_LR_PHYSICALID_SHIFT,
    GICH_LR_PRIORITY_MASK,
    GICH_LR_PRIORITY_SHIFT,
    GICH_LR_VIRTUALID_MASK,
    GICH_MISR,
    GICH_VMCR,
    GICH_VTR,
    IAR_MASK,
)
from hw.config import GichConfig
from hw.cost import Cost
from hw.icv import Icv
from hw.lr import ListReg
from hw.physirq import LineListener
from hw.recorded import recorded_candidate, recorded_vfiq, recorded_virq

WORD: Final = 0xFFFF_FFFF
UNUSED_PRIORITY_BITS: Final = 3  # a 5-bit priority as 8 bits


def encode_lr(lr: ListReg) -> int:
    """The 32-bit form of a list register, GICH_LR<n>."""
    value = lr.group << GICH_LR_GRP1_SHIFT | lr.priority >> UNUSED_PRIORITY_BITS << GICH_LR_PRIORITY_SHIFT
    value |= GICH_LR_PENDING if lr.pending else 0
    value |= GICH_LR_ACTIVE if lr.active else 0
    if lr.hw:
        physical = lr.pintid & GICH_LR_PHYSICALID_MASK
        return value | GICH_LR_HW | physical << GICH_LR_PHYSICALID_SHIFT | lr.vintid & GICH_LR_VIRTUALID_MASK
    return value | lr.vintid & IAR_MASK | (GICH_LR_EOI if lr.eoi else 0)


class Gich(Icv):
    """One PE's virtual interface on a GICv2.  What Icv does for a GICv3 guest's ICV_* accesses, nobody reaches."""

    __slots__ = ("listener",)

    def __init__(self, config: GichConfig, cost: Cost) -> None:
        """Reset to zero: all LRs Invalid, nothing enabled, binary points at their minimum."""
        super().__init__(config, cost)
        self.listener: LineListener | None = None  # told after every write to the frame
        self.sre = False
        self._set_vmcr(0)

    def read(self, offset: int) -> int:
        """Read the word at `offset` bytes of the frame; 0 where there is none."""
        register = GICH_REGISTERS.get(offset)
        return 0 if register is None else register.read(self)

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit `value` to the word at `offset` bytes of the frame."""
        register = GICH_REGISTERS.get(offset)
        if register is not None:
            register.write(self, value)
        if self.listener is not None:
            self.listener.poll_lines()

    def _set_ap(self, group: int, n: int, value: int) -> None:
        """There is one register, for both groups: code written for a GICv3 finds Group 0's RAZ/WI."""
        if group:
            super()._set_ap(group, n, value)

    def check(self) -> None:
        """Assert every invariant of the stored state."""
        super().check()
        assert not self.sre, "a GICv2 has no system registers"
        assert self.ap0 == 0, "a GICv2 has one active-priority register"
        for i, lr in enumerate(self.lrs):
            assert lr.pintid <= GICH_LR_PHYSICALID_MASK, f"LR{i}: PhysicalID {lr.pintid} has more than 10 bits"
            assert not lr.hw or lr.vintid <= GICH_LR_VIRTUALID_MASK, f"LR{i} has both PhysicalID and CPUID"


@final
class RecordedGich(Gich):
    """The virtual interface of the emulated GIC-400 whose GICV_IIDR is 0x0002043B; its guest uses RecordedGicv."""

    __slots__ = ()

    def candidate(self, signalled: bool) -> ListReg | None:
        """The highest priority pending virtual interrupt; if `signalled`, only if it preempts.  Not an access."""
        return recorded_candidate(self, signalled)

    def virq(self) -> bool:
        """The level of vIRQ: a wire, not an access."""
        return recorded_virq(self)

    def vfiq(self) -> bool:
        """The level of vFIQ: a wire, not an access."""
        return recorded_vfiq(self)


class GichRegister:
    """One word of the frame.  A method left out is RAZ or WI."""

    def read(self, gich: Gich) -> int:
        """Read the register."""
        return 0

    def write(self, gich: Gich, value: int) -> None:
        """Write the register."""


class _Hcr(GichRegister):
    def read(self, gich: Gich) -> int:
        return gich.read_hcr()

    def write(self, gich: Gich, value: int) -> None:
        gich.write_hcr(value)


class _Vtr(GichRegister):
    def read(self, gich: Gich) -> int:
        return gich.read_vtr()


class _Vmcr(GichRegister):
    def read(self, gich: Gich) -> int:
        return gich.read_vmcr()

    def write(self, gich: Gich, value: int) -> None:
        gich.write_vmcr(value)


class _Misr(GichRegister):
    def read(self, gich: Gich) -> int:
        return gich.read_misr()


class _Eisr(GichRegister):
    def __init__(self, n: int) -> None:
        self.n = n

    def read(self, gich: Gich) -> int:
        return gich.read_eisr() >> 32 * self.n & WORD


class _Elrsr(GichRegister):
    def __init__(self, n: int) -> None:
        self.n = n

    def read(self, gich: Gich) -> int:
        return gich.read_elrsr() >> 32 * self.n & WORD


class _Apr(GichRegister):
    def read(self, gich: Gich) -> int:
        return gich.read_ap(1, 0)

    def write(self, gich: Gich, value: int) -> None:
        gich.write_ap(1, 0, value)


class _Lr(GichRegister):
    def __init__(self, n: int) -> None:
        self.n = n

    def read(self, gich: Gich) -> int:
        return encode_lr(gich.read_lr(self.n)) if self.n < len(gich.lrs) else 0

    def write(self, gich: Gich, value: int) -> None:
        if self.n >= len(gich.lrs):
            return
        hw = value & GICH_LR_HW != 0
        gich.write_lr(
            self.n,
            value & (GICH_LR_VIRTUALID_MASK if hw else IAR_MASK),
            value & GICH_LR_PENDING != 0,
            value & GICH_LR_ACTIVE != 0,
            (value >> GICH_LR_PRIORITY_SHIFT & GICH_LR_PRIORITY_MASK) << UNUSED_PRIORITY_BITS,
            value >> GICH_LR_GRP1_SHIFT & 1,
            hw,
            value >> GICH_LR_PHYSICALID_SHIFT & GICH_LR_PHYSICALID_MASK,
            value & GICH_LR_EOI != 0,
        )


GICH_REGISTERS: Final[dict[int, GichRegister]] = {
    GICH_HCR: _Hcr(),
    GICH_VTR: _Vtr(),
    GICH_VMCR: _Vmcr(),
    GICH_MISR: _Misr(),
    GICH_EISR0: _Eisr(0),
    GICH_EISR1: _Eisr(1),
    GICH_ELRSR0: _Elrsr(0),
    GICH_ELRSR1: _Elrsr(1),
    GICH_APR: _Apr(),
    **{GICH_LR + 4 * n: _Lr(n) for n in range(64)},
}
