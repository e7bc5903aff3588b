"""The MMIO bus: which frame an access belongs to."""

from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import make_vm
from vgic import VgicError
from vgic.bus import MAX_DEVICES, Bus
from vgic.dist import Dist
from vgic.errors import ENOSPC
from vgic.mmio import Frame, RegionTable

DIST: Final[Dist] = make_vm().vcpus[0].dist
TABLES: Final = {size: RegionTable(f"{size} bytes", size, ()) for size in range(4, 68, 4)}


def frame(base: int, size: int) -> Frame:
    made = Frame(DIST, TABLES[size])
    made.base = base
    return made


class Find(NamedTuple):
    """Frames as (base, size), an access, and which of them it belongs to."""

    frames: list[tuple[int, int]]
    gpa: int
    size: int
    want: int | None


FINDS: Final = {
    "its first byte": Find([(0x100, 16)], 0x100, 1, 0),
    "its last byte": Find([(0x100, 16)], 0x10F, 1, 0),
    "all of it": Find([(0x100, 16)], 0x100, 16, 0),
    "one byte before": Find([(0x100, 16)], 0xFF, 1, None),
    "one byte after": Find([(0x100, 16)], 0x110, 1, None),
    "from before into it": Find([(0x100, 16)], 0xFE, 4, None),
    "from it past its end": Find([(0x100, 16)], 0x10E, 4, None),
    "more than all of it": Find([(0x100, 4)], 0xFC, 12, None),
    "across two neighbours": Find([(0x100, 16), (0x110, 16)], 0x10C, 8, None),
    "the end of the first neighbour": Find([(0x100, 16), (0x110, 16)], 0x10C, 4, 0),
    "the start of the second neighbour": Find([(0x100, 16), (0x110, 16)], 0x110, 4, 1),
    "registered out of order": Find([(0x200, 16), (0x100, 16)], 0x104, 4, 1),
    "an empty bus": Find([], 0, 1, None),
    "between two": Find([(0x100, 16), (0x200, 16)], 0x180, 4, None),
    "two contain it: the lower base wins": Find([(0x108, 16), (0x100, 64)], 0x108, 4, 1),
    "the inner one ends after the outer": Find([(0x100, 16), (0x108, 16)], 0x110, 4, 1),
    "across the end of the lower: the higher one has it": Find([(0x100, 16), (0x108, 16)], 0x10C, 8, 1),
    "a long one, behind short ones": Find([(0x100, 64), (0x108, 4), (0x110, 4)], 0x120, 4, 0),
    "the same range twice: the first registered": Find([(0x100, 16), (0x100, 16)], 0x104, 4, 0),
    "the same base: the first registered that contains it": Find([(0x100, 4), (0x100, 16)], 0x104, 4, 1),
    "the top of the address space": Find([((1 << 64) - 16, 16)], (1 << 64) - 8, 8, 0),
}


@pytest.mark.parametrize("row", FINDS.values(), ids=FINDS)
def test_find(row: Find) -> None:
    bus = Bus()
    frames = [frame(base, size) for base, size in row.frames]
    for each in frames:
        bus.register(each)
    assert bus.find(row.gpa, row.size) is (None if row.want is None else frames[row.want])


RANGES: Final = st.tuples(st.integers(0, 96).map(lambda n: n * 4), st.sampled_from(sorted(TABLES)))


@given(
    st.lists(RANGES, max_size=12),
    st.sets(st.integers(0, 11)),
    st.lists(st.tuples(st.integers(0, 450), st.sampled_from([1, 2, 4, 8])), min_size=1, max_size=20),
)
def test_find_is_the_first_match_of_a_linear_scan(
    ranges: list[tuple[int, int]], gone: set[int], accesses: list[tuple[int, int]]
) -> None:
    bus = Bus()
    frames = [frame(base, size) for base, size in ranges]
    for each in frames:
        bus.register(each)
    for index in sorted(gone):
        if index < len(frames):
            bus.unregister(frames[index])
    there = sorted((each for n, each in enumerate(frames) if n not in gone), key=lambda each: each.base)
    for gpa, size in accesses:
        fits = (each for each in there if each.base <= gpa and gpa + size <= each.base + each.table.size)
        assert bus.find(gpa, size) is next(fits, None)


def test_a_full_bus() -> None:
    bus = Bus()
    frames = [frame(n * 4, 4) for n in range(MAX_DEVICES + 1)]
    for each in frames[:-1]:
        bus.register(each)
    with pytest.raises(VgicError) as error:
        bus.register(frames[-1])
    assert (MAX_DEVICES, error.value.errno) == (1000, ENOSPC)
    assert bus.find(frames[-1].base, 4) is None
    bus.unregister(frames[0])
    bus.register(frames[-1])
    assert bus.find(frames[-1].base, 4) is frames[-1]


def test_taking_off_what_is_not_on_it_changes_nothing() -> None:
    bus = Bus()
    there, twin = frame(0x100, 16), frame(0x100, 16)
    bus.register(there)
    bus.unregister(twin)
    assert bus.find(0x100, 4) is there
