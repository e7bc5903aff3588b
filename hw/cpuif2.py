"""The frame of a GICv2 CPU interface: one register table for the physical GICC and for the guest's GICV.

Room:    under gicc and gicv, which say what each register does; an embedder accesses them through here.
Owns:    the offsets and directions.
Never:   holds interrupt state, chooses an interrupt.
Holds:   a frame is 8 KB of words, and what is not in the table is RAZ/WI; callers pass on only 32-bit accesses.

Where GICC_DIR lies on a page of its own (64 KB pages) it is still offset 0x1000 here.
Source: IHI 0048B, GICC_* and GICV_*.
"""

from typing import Final

from hw.arch import (
    GICC_ABPR,
    GICC_AEOIR,
    GICC_AHPPIR,
    GICC_AIAR,
    GICC_APR,
    GICC_BPR,
    GICC_CTLR,
    GICC_DIR,
    GICC_EOIR,
    GICC_HPPIR,
    GICC_IAR,
    GICC_IIDR,
    GICC_PMR,
    GICC_RPR,
)
from hw.physirq import LineListener


class CpuInterface2:
    """A GICC or GICV frame.  Each method of the two sections below is one access, which implementations count.

    They raise here because Gicc and Gicv write them: a plain base, no ABC, keeps their calls direct when compiled.
    """

    __slots__ = ("iidr", "listener")

    def __init__(self, iidr: int) -> None:
        """`iidr`: what GICC_IIDR or GICV_IIDR reads as."""
        self.iidr = iidr
        self.listener: LineListener | None = None  # told after every access that may change a line

    def read(self, offset: int) -> int:
        """Read the word at `offset` bytes."""
        if offset == GICC_IAR:
            value = self.iar(False)
        else:
            register = CPUIF2_REGISTERS.get(offset)
            value = 0 if register is None else register.read(self)
        if self.listener is not None:
            self.listener.poll_lines()
        return value

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit `value` to the word at `offset` bytes."""
        if offset == GICC_EOIR:
            self.eoir(value)
        else:
            register = CPUIF2_REGISTERS.get(offset)
            if register is not None:
                register.write(self, value)
        if self.listener is not None:
            self.listener.poll_lines()

    # Acknowledge, end, deactivate.  `aliased` is True for the Group 1 register, AIAR or AHPPIR

    def iar(self, aliased: bool) -> int:
        """Read IAR or AIAR: acknowledge; the INTID, above it the source CPU of an SGI."""
        raise NotImplementedError

    def hppir(self, aliased: bool) -> int:
        """Read HPPIR or AHPPIR: what is pending."""
        raise NotImplementedError

    def eoir(self, value: int) -> None:
        """Write EOIR: end of interrupt."""
        raise NotImplementedError

    def aeoir(self, value: int) -> None:
        """Write AEOIR: end of a Group 1 interrupt."""
        raise NotImplementedError

    def dir(self, value: int) -> None:
        """Write DIR: deactivate."""
        raise NotImplementedError

    # The other registers

    def rpr(self) -> int:
        """Read RPR: the running priority."""
        raise NotImplementedError

    def read_ctlr(self) -> int:
        """Read CTLR."""
        raise NotImplementedError

    def write_ctlr(self, value: int) -> None:
        """Write CTLR."""
        raise NotImplementedError

    def read_pmr(self) -> int:
        """Read PMR."""
        raise NotImplementedError

    def write_pmr(self, value: int) -> None:
        """Write PMR."""
        raise NotImplementedError

    def read_bpr(self, group: int) -> int:
        """Read BPR (`group` 0) or ABPR (1)."""
        raise NotImplementedError

    def write_bpr(self, group: int, value: int) -> None:
        """Write BPR (`group` 0) or ABPR (1)."""
        raise NotImplementedError

    def read_apr(self, n: int) -> int:
        """Read APR<n>; RAZ where the priorities need fewer."""
        raise NotImplementedError

    def write_apr(self, n: int, value: int) -> None:
        """Write APR<n>."""
        raise NotImplementedError

    def read_iidr(self) -> int:
        """Read IIDR."""
        raise NotImplementedError


class Cpuif2Register:
    """One word of the frame.  A method left out is RAZ or WI."""

    def __init__(self, group: int = 0) -> None:
        """Bind the row to `group`, where there is an alias for Group 1."""
        self.group = group

    def read(self, frame: CpuInterface2) -> int:
        """Read the register."""
        return 0

    def write(self, frame: CpuInterface2, value: int) -> None:
        """Write the register."""


class _Iar(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.iar(self.group == 1)


class _Hppir(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.hppir(self.group == 1)


class _Eoir(Cpuif2Register):
    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.eoir(value)


class _Aeoir(Cpuif2Register):
    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.aeoir(value)


class _Dir(Cpuif2Register):
    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.dir(value)


class _Rpr(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.rpr()


class _Ctlr(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.read_ctlr()

    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.write_ctlr(value)


class _Pmr(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.read_pmr()

    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.write_pmr(value)


class _Bpr(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.read_bpr(self.group)

    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.write_bpr(self.group, value)


class _Apr(Cpuif2Register):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def read(self, frame: CpuInterface2) -> int:
        return frame.read_apr(self.n)

    def write(self, frame: CpuInterface2, value: int) -> None:
        frame.write_apr(self.n, value)


class _Iidr(Cpuif2Register):
    def read(self, frame: CpuInterface2) -> int:
        return frame.read_iidr()


CPUIF2_REGISTERS: Final[dict[int, Cpuif2Register]] = {
    GICC_CTLR: _Ctlr(),
    GICC_PMR: _Pmr(),
    GICC_BPR: _Bpr(0),
    GICC_IAR: _Iar(0),
    GICC_EOIR: _Eoir(),
    GICC_RPR: _Rpr(),
    GICC_HPPIR: _Hppir(0),
    GICC_ABPR: _Bpr(1),
    GICC_AIAR: _Iar(1),
    GICC_AEOIR: _Aeoir(),
    GICC_AHPPIR: _Hppir(1),
    **{GICC_APR + 4 * n: _Apr(n) for n in range(4)},
    GICC_IIDR: _Iidr(),
    GICC_DIR: _Dir(),
}
