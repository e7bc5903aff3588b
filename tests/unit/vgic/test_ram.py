"""Guest RAM for a VMM that has none of its own."""

from typing import Final

import pytest

from vgic import GuestMemory, Ram

BASE: Final = 0x8000_0000
SIZE: Final = 0x2000


@pytest.fixture
def ram() -> Ram:
    ram = Ram()
    ram.add(BASE, SIZE)
    ram.add(BASE + SIZE, SIZE)
    ram.add(0x1000, 0x800)
    return ram


def test_it_is_a_guest_memory(ram: Ram) -> None:
    memory: GuestMemory = ram
    assert memory.read(BASE, 4) == bytes(4), "zero filled"


def test_what_is_written_is_read(ram: Ram) -> None:
    assert ram.write(BASE + 5, b"vgic")
    assert ram.read(BASE + 4, 6) == b"\0vgic\0"
    assert ram.read(BASE + SIZE, 6) == bytes(6)


ACCESSES: Final = {
    "the first byte": (BASE, 1, True),
    "the last": (BASE + 2 * SIZE - 1, 1, True),
    "all of a region": (BASE, SIZE, True),
    "nothing of one": (BASE, 0, True),
    "below": (BASE - 1, 1, False),
    "across its start": (BASE - 1, 2, False),
    "above": (BASE + 2 * SIZE, 1, False),
    "across its end": (BASE + 2 * SIZE - 1, 2, False),
    "across two regions": (BASE + SIZE - 1, 2, False),
    "nowhere": (0, 8, False),
    "the top of all addresses": ((1 << 64) - 1, 8, False),
    "more than there is": (BASE, 1 << 40, False),
}


@pytest.mark.parametrize(("gpa", "size", "there"), ACCESSES.values(), ids=ACCESSES)
def test_access(gpa: int, size: int, there: bool, ram: Ram) -> None:
    data = ram.read(gpa, size)
    assert data == (bytes(size) if there else None)
    if size <= SIZE:
        assert ram.write(gpa, b"x" * size) is there
        assert ram.read(gpa, size) == (b"x" * size if there else None)


def test_a_write_that_does_not_fit_stores_nothing(ram: Ram) -> None:
    assert not ram.write(BASE + 2 * SIZE - 2, b"1234")
    assert ram.read(BASE + 2 * SIZE - 2, 2) == bytes(2)


VISIBLE: Final = {
    "the first page": (BASE, True),
    "its last byte": (BASE + 0xFFF, True),
    "the last page": (BASE + 2 * SIZE - 1, True),
    "below": (BASE - 1, False),
    "above": (BASE + 2 * SIZE, False),
    "the rest of a page that is RAM in part": (0x1FFF, True),
    "the next page": (0x2000, False),
    "the page before": (0xFFF, False),
}


@pytest.mark.parametrize(("gpa", "visible"), VISIBLE.values(), ids=VISIBLE)
def test_visible(gpa: int, visible: bool, ram: Ram) -> None:
    assert ram.visible(gpa) is visible


REFUSED: Final = {
    "the same": (BASE, SIZE),
    "across the start": (BASE - 1, 2),
    "across the end": (BASE + 2 * SIZE - 1, 2),
    "around": (0, 1 << 33),
    "within": (BASE + 1, 1),
    "no bytes": (0x9000_0000, 0),
    "fewer": (0x9000_0000, -1),
    "a negative address": (-0x1000, 0x1000),
}


@pytest.mark.parametrize(("base", "size"), REFUSED.values(), ids=REFUSED)
def test_refused_region(base: int, size: int, ram: Ram) -> None:
    with pytest.raises(ValueError, match="RAM"):
        ram.add(base, size)
    assert ram.read(BASE, SIZE) == bytes(SIZE)


def test_a_large_region_costs_what_is_touched() -> None:
    ram = Ram()
    ram.add(1 << 32, 1 << 30)
    assert ram.write((1 << 32) + (1 << 29), b"far")
    assert ram.read((1 << 32) + (1 << 29), 3) == b"far"
