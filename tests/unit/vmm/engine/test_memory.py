"""A machine's physical memory: the RAM port, and the stage-2 tables walked as the architecture walks them."""

import struct
from typing import Final, NamedTuple

import pytest

from vmm.engine.memory import PAGE, TABLES_PA, GuestRam
from vmm.layout import MIB

BASE: Final = 0x4000_0000
GIB: Final = 1 << 30
_ADDRESS: Final = 0xFFFF_FFFF_F000


class Range(NamedTuple):
    base: int
    size: int


RANGES: Final = {
    "2 MiB": Range(BASE, 2 * MIB),
    "half a GiB": Range(BASE, 512 * MIB),
    "a GiB that is aligned": Range(BASE, GIB),
    "more than a GiB": Range(BASE, GIB + 6 * MIB),
    "from the middle of a GiB": Range(BASE + 512 * MIB, GIB),
    "several GiB": Range(BASE, 8 * GIB),
}


def walk(ram: GuestRam, ipa: int) -> int | None:
    """Translate as a core does, from level 1 of a 39-bit space with 4 KB granules; None: a fault."""

    def entry(table: int, index: int) -> int:
        at = table - TABLES_PA + 8 * index
        return int(struct.unpack_from("<Q", ram.tables, at)[0])

    descriptor = entry(TABLES_PA, ipa >> 30)
    size = GIB
    if descriptor & 3 == 3:
        descriptor = entry(descriptor & _ADDRESS, ipa >> 21 & 0x1FF)
        size = 2 * MIB
    if not descriptor & 1:
        return None
    assert not descriptor & 2, "a block"
    assert descriptor >> 6 & 3 == 3, "which can be read and written"
    assert descriptor >> 10 & 1, "and does not fault at its first use"
    return (descriptor & _ADDRESS) + ipa % size


@pytest.mark.parametrize("row", RANGES.values(), ids=RANGES)
def test_the_tables_map_all_ram_to_itself_and_nothing_else(row: Range) -> None:
    ram = GuestRam(row.base, row.size)
    for at in range(0, row.size, 2 * MIB):
        assert walk(ram, row.base + at + 0x1234) == row.base + at + 0x1234
    for outside in (0, row.base - 1, row.base + row.size, TABLES_PA - 1):
        assert walk(ram, outside) is None
        assert not ram.visible(outside)
    assert ram.visible(row.base)
    assert ram.visible(row.base + row.size - 1)
    assert len(ram.tables) % PAGE == 0


ACCESSES: Final = {
    "its first byte": (0, 1, True),
    "its last bytes": (2 * MIB - 8, 8, True),
    "all of it": (0, 2 * MIB, True),
    "nothing at its end": (2 * MIB, 0, True),
    "before it": (-1, 1, False),
    "from before into it": (-4, 8, False),
    "from it past its end": (2 * MIB - 4, 8, False),
    "past its end": (2 * MIB, 1, False),
    "more than it": (0, 2 * MIB + 1, False),
}


@pytest.mark.parametrize(("at", "size", "inside"), ACCESSES.values(), ids=ACCESSES)
def test_an_access_is_all_in_ram_or_not_made(at: int, size: int, inside: bool) -> None:
    ram = GuestRam(BASE, 2 * MIB)
    data = bytes(n * 37 + 1 & 0xFF for n in range(size))
    assert ram.write(BASE + at, data) is inside
    assert ram.read(BASE + at, size) == (data if inside else None)
    if not inside:
        assert not any(ram.data[:8]), "nothing was stored"
        assert not any(ram.data[-8:])
