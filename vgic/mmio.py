"""Register tables and frames: decode one access and hand it to the register's behaviour.

Room:    between the bus and the registers; the only place that knows widths and alignment.
Never:   raises on a guest access: what no row accepts reads as zero and ignores writes.
Holds:   rows of a table are in order and do not overlap (checked when the table is built).
"""

from typing import TYPE_CHECKING, Final, final

from vgic.ids import UNDEFINED_ADDR

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.irq import Irq
    from vgic.vcpu import VcpuGic

W8: Final = 1
W32: Final = 4
W64: Final = 8
"""Widths are bytes, so that `widths & size` asks whether an access of `size` bytes is allowed; 2 never is."""

_WORD: Final = 4


class Accessor:
    """One register's (or bank's) behaviour; this base class is RAZ/WI, so leaving a method out says so.

    frame  the frame accessed;  vcpu  who accesses (user space: the vCPU the attribute names);
    at     byte offset into the row;  size  1, 4 or 8 bytes, allowed by the row and aligned.
    """

    __slots__ = ()

    def read(self, frame: "Frame", vcpu: "VcpuGic", at: int, size: int) -> int:
        """Guest read."""
        return 0

    def write(self, frame: "Frame", vcpu: "VcpuGic", at: int, size: int, value: int) -> None:
        """Guest write."""

    def user_read(self, frame: "Frame", vcpu: "VcpuGic", at: int) -> int:
        """User-space read of a word; as the guest's unless the register says otherwise."""
        return self.read(frame, vcpu, at, _WORD)

    def user_write(self, frame: "Frame", vcpu: "VcpuGic", at: int, value: int) -> None:
        """User-space write of a word.  Errors: EINVAL where a register refuses a value."""
        self.write(frame, vcpu, at, _WORD, value)


@final
class Constant(Accessor):
    """A register that always reads the same and ignores writes."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        """Read as the 32-bit `value`."""
        self.value = value

    def read(self, frame: "Frame", vcpu: "VcpuGic", at: int, size: int) -> int:
        """Return the constant."""
        return self.value


RAZ_WI: Final = Accessor()
READS_ONES: Final = Constant(0xFFFF_FFFF)


@final
class Region:
    """One row: where a register lies, which widths it takes, and what it does.

    offset, length in bytes; widths a sum of W8, W32, W64; bits per interrupt, 0 for a plain register.
    """

    __slots__ = ("accessor", "bits", "length", "name", "offset", "widths")

    def __init__(self, name: str, offset: int, length: int, widths: int, accessor: Accessor, bits: int = 0) -> None:
        """Build the row; the table checks it."""
        self.name = name
        self.offset = offset
        self.length = length
        self.widths = widths
        self.accessor = accessor
        self.bits = bits


@final
class RegionTable:
    """The rows of one frame, with a row number for each of its words.

    Raises AssertionError when rows are out of order, overlap, or are not whole words.
    """

    __slots__ = ("name", "rows", "size", "words")

    def __init__(self, name: str, size: int, rows: tuple[Region, ...]) -> None:
        """Check the rows and derive the word index; row 0 is the gap between the others."""
        self.name = name
        self.size = size
        self.rows = (Region("reserved", 0, 0, 0, RAZ_WI), *rows)
        words = bytearray(size // _WORD)
        end = 0
        for number, row in enumerate(self.rows[1:], 1):
            assert row.offset >= end, f"{name}: {row.name} at {row.offset:#x} overlaps what ends at {end:#x}"
            assert row.offset % _WORD == 0, f"{name}: {row.name} does not start on a word"
            assert row.length % _WORD == 0, f"{name}: {row.name} is not whole words"
            assert row.widths & W32, f"{name}: {row.name} has no word access, which user space needs"
            end = row.offset + row.length
            assert end <= size, f"{name}: {row.name} runs past the frame"
            words[row.offset // _WORD : end // _WORD] = bytes([number]) * (row.length // _WORD)
        self.words = bytes(words)

    def row_at(self, offset: int) -> Region:
        """Return the row that covers `offset`, or the reserved one."""
        if not 0 <= offset < self.size:
            return self.rows[0]
        return self.rows[self.words[offset // _WORD]]


class Frame:
    """A register frame, at a guest physical address once it has one.  Subclasses say which interrupts it covers."""

    __slots__ = ("base", "dist", "table")

    def __init__(self, dist: "Dist", table: RegionTable) -> None:
        """Build the frame with the rows of `table`."""
        self.dist = dist
        self.base = UNDEFINED_ADDR  # never changes while on the bus
        self.table = table

    def irqs(self, vcpu: "VcpuGic", first: int, count: int) -> "list[Irq]":
        """Return the interrupts `first` .. `first + count - 1` that `vcpu` sees in this frame, in order."""
        raise NotImplementedError

    def stops_guests(self, vcpu: "VcpuGic", first: int) -> bool:
        """Whether an active-state access by `vcpu`, from INTID `first` on, needs every vCPU out of the guest."""
        raise NotImplementedError

    def read(self, vcpu: "VcpuGic", offset: int, size: int) -> int:
        """Guest read of `size` bytes at `offset` within the frame: dispatch_mmio_read()."""
        table = self.table
        row = table.rows[table.words[offset >> 2]]
        if row.widths & size and not offset & (size - 1):
            return row.accessor.read(self, vcpu, offset - row.offset, size)
        return 0

    def write(self, vcpu: "VcpuGic", offset: int, size: int, value: int) -> None:
        """Guest write of `size` bytes at `offset` within the frame: dispatch_mmio_write()."""
        table = self.table
        row = table.rows[table.words[offset >> 2]]
        if row.widths & size and not offset & (size - 1):
            row.accessor.write(self, vcpu, offset - row.offset, size, value)

    def has(self, offset: int) -> bool:
        """Whether user space's HAS_ATTR knows the word at `offset`: vgic_has_attr_regs()."""
        if offset & (_WORD - 1):
            return False
        row = self.table.row_at(offset)
        if not row.widths:
            return False
        return row.bits == 0 or (offset - row.offset) * 8 // row.bits < self.dist.nr_irqs

    def user_read(self, vcpu: "VcpuGic", offset: int) -> int:
        """User-space read of the word at `offset`; 0 where there is none: vgic_uaccess()."""
        if not self.has(offset):
            return 0
        row = self.table.row_at(offset)
        return row.accessor.user_read(self, vcpu, offset - row.offset)

    def user_write(self, vcpu: "VcpuGic", offset: int, value: int) -> None:
        """User-space write of the word at `offset`; ignored where there is none.  Errors: the register's."""
        if self.has(offset):
            row = self.table.row_at(offset)
            row.accessor.user_write(self, vcpu, offset - row.offset, value)


def insert_half(whole: int, at: int, size: int, value: int) -> int:
    """Return the 64-bit `whole` with an aligned 4- or 8-byte write of `value` at byte `at` put in."""
    if size == W64:
        return value
    shift = (at & _WORD) * 8
    return (whole & ~(0xFFFF_FFFF << shift)) | value << shift


def extract_half(whole: int, at: int, size: int) -> int:
    """Return what an aligned 4- or 8-byte read at byte `at` of the 64-bit `whole` sees."""
    if size == W64:
        return whole
    return whole >> (at & _WORD) * 8 & 0xFFFF_FFFF
