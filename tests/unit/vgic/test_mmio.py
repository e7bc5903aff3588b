"""Register tables decode an access as the manual's tables read: width, alignment, INTID bound, gaps.

What is said of "every row" is generated from the two tables, so that a new row is tested by being there.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import pytest

from tests.support import freeze
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import Regs
from vgic.mmio import (
    RAZ_WI,
    READS_ONES,
    W8,
    W32,
    W64,
    Accessor,
    Frame,
    Region,
    RegionTable,
    extract_half,
    insert_half,
)
from vgic.v3.dist import GICD
from vgic.v3.redist import GICR
from vgic.vcpu import VcpuGic

SIZES: Final = (1, 2, 4, 8)
ONES: Final = 0xFFFF_FFFF_FFFF_FFFF
PATTERN: Final = 0xA5C3_965A_3C69_A5C3

# -- the table itself ----------------------------------------------------------------------------

REFUSED_TABLES: Final = {
    "rows out of order": ((Region("B", 8, 4, W32, RAZ_WI), Region("A", 0, 4, W32, RAZ_WI)), "A at 0x0 overlaps"),
    "rows that overlap": ((Region("A", 0, 8, W32, RAZ_WI), Region("B", 4, 4, W32, RAZ_WI)), "B at 0x4 overlaps"),
    "a row that starts inside a word": ((Region("A", 2, 4, W32, RAZ_WI),), "A does not start on a word"),
    "a row of half a word": ((Region("A", 0, 2, W32, RAZ_WI),), "A is not whole words"),
    "a row user space could not read": ((Region("A", 0, 8, W64, RAZ_WI),), "A has no word access"),
    "a row past the frame": ((Region("A", 12, 8, W32, RAZ_WI),), "A runs past the frame"),
}


@pytest.mark.parametrize("row", REFUSED_TABLES.values(), ids=REFUSED_TABLES)
def test_a_table_refuses(row: tuple[tuple[Region, ...], str]) -> None:
    with pytest.raises(AssertionError, match=row[1]):
        RegionTable("T", 16, row[0])


def test_a_table_finds_the_row_of_an_offset() -> None:
    table = RegionTable("T", 16, (Region("A", 0, 4, W32, RAZ_WI), Region("B", 8, 8, W32, RAZ_WI)))
    names = [table.row_at(offset).name for offset in (-1, 0, 3, 4, 8, 15, 16)]
    assert names == ["reserved", "A", "A", "reserved", "B", "B", "reserved"]


class Probe(Accessor):
    """Says how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        self.asked.append((at, size))
        return 0x5A

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        self.asked.append((at, size, value))


class Access(NamedTuple):
    offset: int
    size: int
    want: tuple[int, int] | None  # what the row is asked: its byte and the size; None: nothing


ACCESSES: Final = {
    "a word of a word register": Access(0x04, 4, (0, 4)),
    "a byte of a word register": Access(0x04, 1, None),
    "a double word of a word register": Access(0x08, 8, None),
    "a byte where bytes are allowed": Access(0x13, 1, (3, 1)),
    "a half word where bytes and words are allowed": Access(0x12, 2, None),
    "a word where bytes and words are allowed": Access(0x14, 4, (4, 4)),
    "a word off by two": Access(0x16, 4, None),
    "a double word register at once": Access(0x20, 8, (0, 8)),
    "its low half": Access(0x20, 4, (0, 4)),
    "its high half": Access(0x24, 4, (4, 4)),
    "a double word from its high half": Access(0x24, 8, None),
    "the gap": Access(0x18, 4, None),
    "the gap after the last row": Access(0x2C, 4, None),
}


@pytest.mark.parametrize("row", ACCESSES.values(), ids=ACCESSES)
def test_an_access_reaches_its_row(row: Access) -> None:
    regs, probe = Regs(), Probe()
    rows = (
        Region("WORD", 0x04, 8, W32, probe),
        Region("BYTES", 0x10, 8, W8 | W32, probe),
        Region("DOUBLE", 0x20, 8, W32 | W64, probe),
    )
    frame = Frame(regs.dist, RegionTable("T", 0x30, rows))
    value = frame.read(regs.vcpus[0], row.offset, row.size)
    frame.write(regs.vcpus[0], row.offset, row.size, 7)
    assert (value, probe.asked) == ((0x5A, [row.want, (*row.want, 7)]) if row.want else (0, []))


def test_user_space_accesses_are_words_of_what_exists() -> None:
    regs, probe = Regs(), Probe()
    frame = Frame(regs.dist, RegionTable("T", 0x30, (Region("BANK", 0x10, 0x20, W32, probe, 1),)))
    values = [frame.user_read(regs.vcpus[0], offset) for offset in (0x0C, 0x10, 0x12, 0x18, 0x1C, 1 << 31)]
    for offset in (0x0C, 0x14, 0x16, 0x1C, 1 << 31):
        frame.user_write(regs.vcpus[0], offset, 9)
    assert values == [0, 0x5A, 0, 0x5A, 0, 0], "the VM has 96 INTIDs: three words"
    assert probe.asked == [(0, 4), (8, 4), (4, 4, 9)]


def test_an_accessor_is_raz_wi_unless_it_says_otherwise() -> None:
    regs = Regs()
    frame = regs.gicd_frame()
    for accessor, reads in ((RAZ_WI, 0), (READS_ONES, 0xFFFF_FFFF)):
        accessor.write(frame, regs.vcpus[0], 0, 4, 1)
        accessor.user_write(frame, regs.vcpus[0], 0, 1)
        got = accessor.read(frame, regs.vcpus[0], 0, 4), accessor.user_read(frame, regs.vcpus[0], 0)
        assert got == (reads, reads)


HALVES: Final = {
    "all of it": (0, 8, 0x1111_2222_3333_4444, PATTERN),
    "the low half": (0, 4, 0xA5C3_965A_3333_4444, 0x3C69_A5C3),
    "the high half": (4, 4, 0x3333_4444_3C69_A5C3, 0xA5C3_965A),
}


@pytest.mark.parametrize("row", HALVES.values(), ids=HALVES)
def test_halves(row: tuple[int, int, int, int]) -> None:
    at, size, inserted, extracted = row
    value = 0x1111_2222_3333_4444 if size == 8 else 0x3333_4444
    assert (insert_half(PATTERN, at, size, value), extract_half(PATTERN, at, size)) == (inserted, extracted)


# -- every row of the two tables -----------------------------------------------------------------

MAP: Final = """
GICD CTLR          0x0000 0x4    4    0    GICR CTLR         0x00000 0x4  4    0
GICD TYPER         0x0004 0x4    4    0    GICR IIDR         0x00004 0x4  4    0
GICD IIDR          0x0008 0x4    4    0    GICR TYPER        0x00008 0x8  4+8  0
GICD TYPER2        0x000C 0x4    4    0    GICR STATUSR      0x00010 0x4  4    0
GICD STATUSR       0x0010 0x4    4    0    GICR WAKER        0x00014 0x4  4    0
GICD IGROUPR       0x0080 0x80   4    1    GICR PROPBASER    0x00070 0x8  4+8  0
GICD ISENABLER     0x0100 0x80   4    1    GICR PENDBASER    0x00078 0x8  4+8  0
GICD ICENABLER     0x0180 0x80   4    1    GICR INVLPIR      0x000A0 0x8  4+8  0
GICD ISPENDR       0x0200 0x80   4    1    GICR INVALLR      0x000B0 0x8  4+8  0
GICD ICPENDR       0x0280 0x80   4    1    GICR SYNCR        0x000C0 0x4  4    0
GICD ISACTIVER     0x0300 0x80   4    1    GICR ID_registers 0x0FFD0 0x30 4    0
GICD ICACTIVER     0x0380 0x80   4    1    GICR IGROUPR0     0x10080 0x4  4    1
GICD IPRIORITYR    0x0400 0x400  1+4  8    GICR ISENABLER0   0x10100 0x4  4    1
GICD ITARGETSR     0x0800 0x400  1+4  8    GICR ICENABLER0   0x10180 0x4  4    1
GICD ICFGR         0x0C00 0x100  4    2    GICR ISPENDR0     0x10200 0x4  4    1
GICD IGRPMODR      0x0D00 0x80   4    1    GICR ICPENDR0     0x10280 0x4  4    1
GICD IROUTER       0x6000 0x2000 4+8  64   GICR ISACTIVER0   0x10300 0x4  4    1
GICD ID_registers  0xFFD0 0x30   4    0    GICR ICACTIVER0   0x10380 0x4  4    1
                                           GICR IPRIORITYR   0x10400 0x20 1+4  8
                                           GICR ICFGR        0x10C00 0x8  4    2
                                           GICR IGRPMODR0    0x10D00 0x4  4    1
                                           GICR NSACR        0x10E00 0x4  4    0
"""
"""IHI 0069H, "Register maps", as far as KVM has them: frame, register, offset, bytes, widths, bits per interrupt."""


def test_the_tables_are_the_manuals_register_map() -> None:
    rows = zip(*[iter(MAP.split())] * 6, strict=True)
    want = {(frame, name, int(at, 0), int(size, 0), widths, int(bits)) for frame, name, at, size, widths, bits in rows}
    got = set()
    for table in (GICD, GICR):
        for row in table.rows[1:]:
            widths = "+".join(str(width) for width in (W8, W32, W64) if row.widths & width)
            got.add((table.name, row.name.replace(" ", "_"), row.offset, row.length, widths, row.bits))
    assert got == want


EVERY_ROW: Final = {f"{table.name} {row.name}": (table, row) for table in (GICD, GICR) for row in table.rows[1:]}
every_row = pytest.mark.parametrize(("table", "row"), EVERY_ROW.values(), ids=EVERY_ROW)
every_table = pytest.mark.parametrize("table", [GICD, GICR], ids=["GICD", "GICR"])


def lived_in() -> Regs:
    """A VM in which most registers read as something, and user space's view is not the guest's."""
    regs = Regs(vcpus=2)
    for irq in [*regs.dist.spis, *regs.vcpus[1].private]:
        n = irq.intid
        irq.enabled, irq.pending_latch, irq.active = n % 2 == 0, n % 3 == 0, n % 5 == 0
        irq.priority, irq.group = n * 8 & 0xF8, int(n % 7 > 0)
        if n >= 32:
            irq.level, irq.route = n % 2 == 0, n * 0x10101
        irq.line_level = irq.level and n % 4 == 0
    regs.dist.propbaser = 0x8000_0780
    regs.vcpus[1].pendbaser = 0x9000_0780
    return regs


def frame_of(regs: Regs, table: RegionTable) -> Frame:
    return regs.gicd_frame() if table is GICD else regs.gicr_frame(1)


def offsets(row: Region) -> range:
    """Every word of the row."""
    return range(row.offset, row.offset + row.length, 4)


def beyond(row: Region, offset: int) -> bool:
    """Whether the word belongs to INTIDs that the VMs here do not have."""
    return row.bits != 0 and (offset - row.offset) * 8 // row.bits >= 96


def accepted(row: Region, offset: int, size: int) -> bool:
    return bool(row.widths & size) and offset % size == 0 and not beyond(row, offset)


def probes(row: Region) -> Iterator[tuple[int, int]]:
    """Every byte offset of the row's first and last words, both sides of the INTID bound, with every size."""
    words = list(offsets(row))
    edges = [a for a, b in pairwise(words) if beyond(row, a) != beyond(row, b)]
    chosen = {words[0], words[-1], *edges, *(edge + 4 for edge in edges)}
    if len(words) > 1:
        chosen.add(words[1])
    for word in sorted(chosen):
        for offset in range(word, word + 4):
            for size in SIZES:
                yield offset, size


@every_row
def test_what_is_not_accepted_reads_zero_and_writes_nothing(table: RegionTable, row: Region) -> None:
    regs = lived_in()
    frame, before = frame_of(regs, table), freeze(regs.dist)
    for offset, size in probes(row):
        if not accepted(row, offset, size):
            frame.write(regs.vcpus[0], offset, size, ONES)
            frame.write(regs.vcpus[0], offset, size, PATTERN)
            assert frame.read(regs.vcpus[0], offset, size) == 0, (hex(offset), size)
    assert freeze(regs.dist) == before


@every_row
def test_every_width_reads_the_same_bytes(table: RegionTable, row: Region) -> None:
    regs = lived_in()
    frame, vcpu = frame_of(regs, table), regs.vcpus[0]
    for offset in offsets(row):
        word = frame.read(vcpu, offset, 4)
        if row.widths & W8:
            got = bytes(frame.read(vcpu, offset + n, 1) for n in range(4))
            assert got == word.to_bytes(4, "little"), hex(offset)
        if row.widths & W64 and offset % 8 == 0:
            assert frame.read(vcpu, offset, 8) == word | frame.read(vcpu, offset + 4, 4) << 32, hex(offset)


@every_row
def test_every_width_writes_the_same_bytes(table: RegionTable, row: Region) -> None:
    whole, split = lived_in(), lived_in()
    if row.widths & W8:
        for offset in offsets(row):
            frame_of(whole, table).write(whole.vcpus[0], offset, 4, PATTERN & 0xFFFF_FFFF)
            for n in range(4):
                frame_of(split, table).write(split.vcpus[0], offset + n, 1, PATTERN >> n * 8 & 0xFF)
    if row.widths & W64:
        for offset in offsets(row)[::2]:
            frame_of(whole, table).write(whole.vcpus[0], offset, 8, PATTERN)
            frame_of(split, table).write(split.vcpus[0], offset, 4, PATTERN & 0xFFFF_FFFF)
            frame_of(split, table).write(split.vcpus[0], offset + 4, 4, PATTERN >> 32)
    assert freeze(whole.dist) == freeze(split.dist)


@every_row
def test_intids_that_do_not_exist_have_no_registers(table: RegionTable, row: Region) -> None:
    regs = lived_in()
    frame, vcpu, before = frame_of(regs, table), regs.vcpus[0], freeze(regs.dist)
    for offset in offsets(row):
        assert frame.has(offset) is not beyond(row, offset), hex(offset)
        if beyond(row, offset):
            frame.write(vcpu, offset, 4, ONES)
            frame.user_write(vcpu, offset, 0xFFFF_FFFF)
            assert (frame.read(vcpu, offset, 4), frame.user_read(vcpu, offset)) == (0, 0), hex(offset)
    assert freeze(regs.dist) == before


@every_row
def test_user_space_has_words_only(table: RegionTable, row: Region) -> None:
    regs = lived_in()
    frame, vcpu, before = frame_of(regs, table), regs.vcpus[0], freeze(regs.dist)
    for n in (1, 2, 3):
        frame.user_write(vcpu, row.offset + n, 0xFFFF_FFFF)
        assert (frame.has(row.offset + n), frame.user_read(vcpu, row.offset + n)) == (False, 0)
    assert freeze(regs.dist) == before


USER_READS_DIFFER: Final = {
    "GICD ISPENDR": "user space sees the latch, so that trigger and line can be restored apart from it",
    "GICD ICPENDR": "RAZ: the latch is saved through ISPENDR",
    "GICR ISPENDR0": "as GICD_ISPENDR",
    "GICR ICPENDR0": "as GICD_ICPENDR",
}


@pytest.mark.parametrize("name", EVERY_ROW)
def test_user_space_reads_what_the_guest_reads(name: str) -> None:
    regs = lived_in()
    table, row = EVERY_ROW[name]
    frame, vcpu = frame_of(regs, table), regs.vcpus[1]
    same = all(frame.read(vcpu, offset, 4) == frame.user_read(vcpu, offset) for offset in offsets(row))
    assert same is (name not in USER_READS_DIFFER), USER_READS_DIFFER.get(name)


USER_WRITES_DIFFER: Final = {
    "GICD IIDR": "user space chooses the revision, and is told when it cannot",
    "GICD TYPER2": "user space is told what this host lacks",
    "GICD ISPENDR": "a full assignment of the latch",
    "GICD ICPENDR": "WI: the latch is restored through ISPENDR",
    "GICR ISPENDR0": "as GICD_ISPENDR",
    "GICR ICPENDR0": "as GICD_ICPENDR",
}


@pytest.mark.parametrize("name", EVERY_ROW)
def test_user_space_writes_as_the_guest_writes(name: str) -> None:
    guest, user = lived_in(), lived_in()
    table, row = EVERY_ROW[name]
    refused = set()
    for offset in offsets(row):
        frame_of(guest, table).write(guest.vcpus[1], offset, 4, PATTERN & 0xFFFF_FFFF)
        refused.add(outcome(frame_of(user, table).user_write, user.vcpus[1], offset, PATTERN & 0xFFFF_FFFF))
    same = refused == {0} and freeze(guest.dist) == freeze(user.dist)
    assert same is (name not in USER_WRITES_DIFFER), USER_WRITES_DIFFER.get(name)


PAIRS: Final = {
    f"{table.name} {row.name} and {row.name.replace('IS', 'IC', 1)}": (table, row, other)
    for table in (GICD, GICR)
    for row in table.rows
    for other in table.rows
    if row.name.startswith("IS") and other.name == row.name.replace("IS", "IC", 1)
}


def test_there_are_three_pairs_in_each_table() -> None:
    assert len(PAIRS) == 6


@pytest.mark.parametrize(("table", "set_row", "clear_row"), PAIRS.values(), ids=PAIRS)
def test_set_and_clear_read_the_same_and_zero_does_nothing(
    table: RegionTable, set_row: Region, clear_row: Region
) -> None:
    regs = lived_in()
    frame, vcpu, before = frame_of(regs, table), regs.vcpus[1], freeze(regs.dist)
    reads = [[frame.read(vcpu, offset, 4) for offset in offsets(row)] for row in (set_row, clear_row)]
    for row in (set_row, clear_row):
        for offset in offsets(row):
            frame.write(vcpu, offset, 4, 0)
    assert (reads[0], freeze(regs.dist)) == (reads[1], before)
    assert any(reads[0])


@every_table
def test_reserved_words_read_zero_and_ignore_writes(table: RegionTable) -> None:
    regs = lived_in()
    frame, vcpu, before = frame_of(regs, table), regs.vcpus[0], freeze(regs.dist)
    reserved = [offset for offset in range(0, table.size, 4) if table.row_at(offset) is table.rows[0]]
    read = user = known = 0
    for offset in reserved:
        for size in SIZES if offset % 8 == 0 else (1, 2, 4):
            frame.write(vcpu, offset, size, ONES)
            read |= frame.read(vcpu, offset, size)
        frame.user_write(vcpu, offset, 0xFFFF_FFFF)
        user |= frame.user_read(vcpu, offset)
        known |= frame.has(offset)
    assert (read, user, known, freeze(regs.dist)) == (0, 0, False, before)


@every_table
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [ONES, 0], ids=["ones", "zeroes"])
def test_a_frame_survives_being_overwritten(table: RegionTable, size: int, value: int) -> None:
    regs = lived_in()
    frame, vcpu = frame_of(regs, table), regs.vcpus[0]
    mask = (1 << size * 8) - 1
    for offset in range(0, table.size, size):
        frame.write(vcpu, offset, size, value & mask)
    regs.vm.check()
    assert frame.read(vcpu, 0xFFE8, 4) == 0x3B, "PIDR2"
    assert all(irq.priority & 7 == 0 and irq.group in (0, 1) for irq in regs.dist.spis)
