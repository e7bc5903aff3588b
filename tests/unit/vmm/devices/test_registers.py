"""Register devices: what accesses of every size and alignment do, and what saved states are refused."""

from typing import Final, NamedTuple

import pytest

from vmm.config import ConfigError
from vmm.devices.device import Device, Json
from vmm.devices.msi import MsiSource
from vmm.devices.pl011 import Pl011
from vmm.devices.raz import RazWi
from vmm.devices.registers import Register, RegisterDevice


def device() -> RegisterDevice:
    """Four registers: two plain ones, a narrow one and a constant; then a hole."""
    return RegisterDevice(
        "it",
        64,
        (
            Register("A", 0, 0xFFFF_FFFF, 0x44332211),
            Register("B", 4, 0xFFFF_FFFF, 0x88776655),
            Register("C", 8, 0x0F0, 0xA05),
            Register("D", 12, value=0xDD),
        ),
    )


class Access(NamedTuple):
    """An access, and what it reads as or changes the first 16 bytes to."""

    offset: int
    size: int
    want: int


READS: Final = {
    "a byte": Access(0, 1, 0x11),
    "a halfword": Access(0, 2, 0x2211),
    "a word": Access(4, 4, 0x88776655),
    "a doubleword is two registers": Access(0, 8, 0x8877665544332211),
    "a doubleword at a word": Access(4, 8, 0xA05_88776655),
    "a byte inside a register": Access(1, 1, 0),
    "a halfword inside a register": Access(2, 2, 0),
    "a word across two": Access(2, 4, 0),
    "a hole": Access(16, 4, 0),
    "half of it a hole": Access(12, 8, 0xDD),
}


@pytest.mark.parametrize("row", READS.values(), ids=READS)
def test_read(row: Access) -> None:
    assert device().read(row.offset, row.size) == row.want


WRITES: Final = {
    "a byte clears the rest": (0, 1, [0xF8, 0x88776655, 0xA05, 0xDD]),
    "a halfword clears the rest": (0, 2, [0xF7F8, 0x88776655, 0xA05, 0xDD]),
    "a word": (4, 4, [0x44332211, 0xF5F6F7F8, 0xA05, 0xDD]),
    "a doubleword is two registers": (0, 8, [0xF5F6F7F8, 0xF1F2F3F4, 0xA05, 0xDD]),
    "only the bits it takes": (8, 4, [0x44332211, 0x88776655, 0xAF5, 0xDD]),
    "a constant": (12, 4, [0x44332211, 0x88776655, 0xA05, 0xDD]),
    "inside a register": (1, 1, [0x44332211, 0x88776655, 0xA05, 0xDD]),
    "across two": (2, 4, [0x44332211, 0x88776655, 0xA05, 0xDD]),
    "a hole": (16, 8, [0x44332211, 0x88776655, 0xA05, 0xDD]),
}


@pytest.mark.parametrize("row", WRITES.values(), ids=WRITES)
def test_write(row: tuple[int, int, list[int]]) -> None:
    offset, size, want = row
    it = device()
    it.write(offset, size, 0xF1F2F3F4F5F6F7F8)
    assert [it.read(at, 4) for at in range(0, 16, 4)] == want


def test_two_registers_cannot_lie_at_one_offset() -> None:
    with pytest.raises(AssertionError, match="B lies where A does"):
        RegisterDevice("it", 16, (Register("A", 4), Register("B", 4)))


def test_a_device_that_leaves_a_method_out_fails_at_its_first_call() -> None:
    it = Device("it", 16)
    for call in (lambda: it.read(0, 4), lambda: it.write(0, 4, 0), it.save, lambda: it.load({})):
        with pytest.raises(NotImplementedError):
            call()


DAMAGES: Final[dict[str, tuple[str, Json, str]]] = {
    "too many bits": ("IMSC", 0x800, "IMSC is 2048, not a number within 0x7ff"),
    "a negative number": ("IMSC", -1, "IMSC is -1"),
    "a flag for a number": ("IMSC", True, "IMSC is True"),
    "a number for a flag": ("overrun", 1, "overrun is 1, not true or false"),
    "a null": ("CR", None, "CR is None"),
    "no hexadecimal digits": ("input", "xy", "input is 'xy', not pairs"),
    "half a byte": ("input", "414", "input is '414', not pairs"),
    "an unknown member": ("colour", "blue", "colour is 'blue', not known"),
    "a long value, cut": ("CR", "x" * 100, "CR is 'x{39}[.]{3}, not"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_state_is_refused_and_changes_nothing(damage: tuple[str, Json, str]) -> None:
    name, value, message = damage
    uart = Pl011(lambda _: None, lambda _: None)
    before = uart.save()
    uart.receive(b"typed")
    typed = uart.save()
    with pytest.raises(ConfigError, match=f"the saved state of the PL011: {message}"):
        uart.load({**before, name: value})
    assert uart.save() == typed


@pytest.mark.parametrize("name", ["IMSC", "input", "overrun"])
def test_a_missing_member_is_named(name: str) -> None:
    uart = Pl011(lambda _: None, lambda _: None)
    state = uart.save()
    del state[name]
    with pytest.raises(ConfigError, match=f"has no {name}"):
        uart.load(state)


def test_the_states_of_two_devices_are_not_mixed_up() -> None:
    with pytest.raises(ConfigError):
        RazWi().load(MsiSource(lambda _a, _e, _d: 1).save())


def test_an_empty_page_reads_as_zero_whatever_is_written() -> None:
    page = RazWi(0x200)
    page.write(8, 8, 0xFFFF_FFFF_FFFF_FFFF)
    page.load(page.save())
    assert page.size == 0x200
    assert page.read(8, 8) == 0
