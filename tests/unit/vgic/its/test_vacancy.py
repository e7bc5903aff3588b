"""Runs of empty table entries are found as an entry-by-entry walk would, and read once."""

from random import Random
from typing import Final

import pytest

from vgic.its.vacancy import Vacancy
from vgic.ram import Ram

BASE: Final = 0x8000_0000
ENTRIES: Final = 40_000
USED: Final = 0xFFFF_FFFF << 16


class Counted:
    """RAM with holes; counts the bytes that are read."""

    def __init__(self, entries: dict[int, int], holes: frozenset[int] = frozenset()) -> None:
        self._ram = Ram()
        self._ram.add(BASE, ENTRIES * 8)
        self._holes = holes  # entries that are no RAM
        self.bytes = 0
        for at, entry in entries.items():
            self._ram.write(BASE + 8 * at, entry.to_bytes(8, "little"))

    def read(self, gpa: int, size: int) -> bytes | None:
        first, last = (gpa - BASE) // 8, (gpa + size - 1 - BASE) // 8
        if any(first <= hole <= last for hole in self._holes):
            return None
        self.bytes += size
        return self._ram.read(gpa, size)

    def write(self, gpa: int, data: bytes) -> bool:
        raise AssertionError("nothing is written")

    def visible(self, gpa: int) -> bool:
        raise AssertionError("nobody asks")


@pytest.mark.parametrize("seed", range(20))
def test_as_an_entry_by_entry_walk(seed: int) -> None:
    dice = Random(seed)
    some = dice.choice((3, 100, 5000))
    used = {dice.randrange(ENTRIES): 1 << dice.randrange(16, 48) for _ in range(some)}
    ignored = {dice.randrange(ENTRIES): 0xFFFF_0000_0000_FFFF for _ in range(some)}
    holes = frozenset(dice.randrange(ENTRIES) for _ in range(dice.choice((0, 3))))
    vacancy = Vacancy(Counted(ignored | used, holes), USED)
    stops = sorted({*used, *holes})
    for _ in range(300):
        first = dice.randrange(ENTRIES)
        end = min(first + dice.choice((1, 7, 500, ENTRIES)), ENTRIES)
        want = next((at for at in stops if first <= at < end), end)
        assert vacancy.skip(BASE + 8 * first, BASE + 8 * end) == BASE + 8 * want


def test_what_is_empty_is_read_once() -> None:
    memory = Counted({})
    vacancy = Vacancy(memory, USED)
    end = BASE + 8 * ENTRIES
    for first in (500, 0, 7, 499, 20_000, 1):
        assert vacancy.skip(BASE + 8 * first, end) == end
    assert memory.bytes <= 2 * 8 * ENTRIES


def test_a_short_run_costs_little() -> None:
    """A block is not read for one entry."""
    memory = Counted(dict.fromkeys(range(0, ENTRIES, 2), 1 << 16))
    vacancy = Vacancy(memory, USED)
    for at in range(1, 1001, 2):
        assert vacancy.skip(BASE + 8 * at, BASE + 8 * ENTRIES) == BASE + 8 * (at + 1)
    assert memory.bytes <= 1000 * 8 * 9


def test_without_memory_nothing_is_empty() -> None:
    assert Vacancy(None, USED).skip(BASE, BASE + 80) == BASE
