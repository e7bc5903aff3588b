"""Physical memory: values, bytes, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import BusError, Memory
from hw.memory import PAGE_SIZE


def test_values_are_little_endian_in_every_width() -> None:
    memory = Memory(0x4000)
    memory.write(0x10, 8, 0x1122334455667788)
    assert [memory.read(0x10, size) for size in (1, 2, 4, 8)] == [0x88, 0x7788, 0x55667788, 0x1122334455667788]
    memory.write(0x11, 1, 0x1FF)
    assert memory.read(0x10, 2) == 0xFF88, "the rest of the value is ignored"


def test_accesses_cross_pages() -> None:
    memory = Memory(4 * PAGE_SIZE)
    memory.write(PAGE_SIZE - 3, 8, 0x0807060504030201)
    assert memory.read(PAGE_SIZE - 3, 8) == 0x0807060504030201
    assert memory.read_bytes(PAGE_SIZE - 1, 3) == b"\x03\x04\x05"
    data = bytes(range(256)) * 33
    memory.write_bytes(100, data)
    assert memory.read_bytes(100, len(data)) == data


def test_unwritten_memory_is_zero_and_costs_nothing() -> None:
    memory = Memory()
    memory.write_bytes(0, bytes(1 << 20))
    assert memory.read(1 << 39, 8) == 0
    assert memory.read_bytes(5 * PAGE_SIZE - 2, 4) == bytes(4)
    memory.write(64, 4, 1)
    memory.write(64, 4, 0)
    assert memory.read(64, 4) == 0


OUTSIDE = {
    "below": (0xFFF, 1),
    "beyond": (0x3000, 4),
    "across the end": (0x2FFC, 8),
    "across the start": (0xFFC, 8),
}


@pytest.mark.parametrize("row", OUTSIDE.values(), ids=OUTSIDE)
def test_bounds(row: tuple[int, int]) -> None:
    address, size = row
    memory = Memory(0x2000, base=0x1000)
    assert not memory.contains(address, size)
    with pytest.raises(BusError, match="no memory at"):
        memory.read(address, size)
    with pytest.raises(BusError, match="it is 0x1000"):
        memory.write(address, size, 1)
    assert memory.read_bytes(0x1000, 0x2000) == bytes(0x2000), "nothing is stored in part"


def test_last_byte_is_memory() -> None:
    memory = Memory(0x2000, base=0x1000)
    memory.write(0x2FFF, 1, 7)
    assert memory.read(0x2FF8, 8) == 7 << 56


@pytest.mark.parametrize("shape", [(0, 0), (-1, 0), (4096, -1)], ids=["empty", "negative", "below zero"])
def test_impossible_memory_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot exist"):
        Memory(*shape)


@given(st.lists(st.tuples(st.integers(0, 3 * PAGE_SIZE - 8), st.binary(min_size=0, max_size=8)), max_size=30))
def test_memory_is_a_byte_array(writes: list[tuple[int, bytes]]) -> None:
    memory, model = Memory(3 * PAGE_SIZE), bytearray(3 * PAGE_SIZE)
    for address, data in writes:
        memory.write_bytes(address, data)
        model[address : address + len(data)] = data
        assert memory.read(address, 8) == int.from_bytes(model[address : address + 8], "little")
    assert memory.read_bytes(0, len(model)) == model
