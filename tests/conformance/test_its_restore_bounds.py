"""Restoring the worst tables that a guest can plant takes seconds, and gives what KVM would."""

from errno import EFAULT, EINVAL, ENOMEM
from struct import pack
from time import process_time
from typing import Final

import pytest

from tests.unit.vgic.its.rig import BASER0, BASER1, COLLECTIONS, INDIRECT, RAM, RAM_SIZE, VALID, ItsRig

SECONDS: Final = 5.0
EXTRA: Final = RAM + RAM_SIZE  # more RAM, right behind the other
L1: Final = EXTRA
L1_SIZE: Final = 16 << 20  # as large as GITS_BASER can say
PAGE: Final = EXTRA + L1_SIZE
ITT: Final = PAGE + 0x1_0000
ITT_SIZE: Final = 0x8_0000
ROOM: Final = 0x110_0000  # for tables 256 bytes apart from each other
DEVICES_A_PAGE: Final = 8192
LPI: Final = 8192


def dte(itt: int, next_: int = 1, bits: int = 16) -> bytes:
    return pack("<Q", VALID | next_ << 49 | itt >> 8 << 5 | bits - 1)


def ite(intid: int, next_: int = 0) -> bytes:
    return pack("<Q", next_ << 48 | intid << 16)


class PlantedRig(ItsRig):
    """An ITS whose guest has planted tables: a first level of 2,097,152 entries; one collection.  Reads are counted."""

    def __init__(self, first_level: int) -> None:
        super().__init__(1)
        ram = self.memory.ram
        ram.add(EXTRA, L1_SIZE + 0x1_0000 + ROOM)
        self.reads = 0

        def read(gpa: int, size: int) -> bytes | None:
            self.reads += 1
            if gpa < RAM + RAM_SIZE < gpa + size:
                return None
            return ram.read(gpa, size)

        self.memory.read = read  # type: ignore[method-assign]  # the library is given the object, not the method
        self.reset()
        self.write(BASER0, VALID | INDIRECT | L1 | 0xFF)
        self.write(BASER1, VALID | COLLECTIONS)
        self.set_entry(COLLECTIONS, VALID)
        ram.write(L1, pack("<Q", VALID | PAGE) * first_level)

    def timed(self) -> int:
        """Restore, and return the error."""
        start = process_time()
        error = self.restore()
        assert process_time() - start < SECONDS
        return error


def test_a_first_level_full_of_one_empty_page() -> None:
    rig = PlantedRig(L1_SIZE // 8)
    rig.memory.ram.write(PAGE, b"\xff\xff\xff\xff\xff\xff\xff\x7f" * DEVICES_A_PAGE)
    assert rig.timed() == 0
    assert rig.reads < L1_SIZE // 8 + 100, "the page is read once"
    assert rig.devices() == {}


def test_a_first_level_full_of_one_page_with_a_device_at_its_end() -> None:
    """Eight DeviceIDs can be had from it; the ninth does not fit."""
    rig = PlantedRig(L1_SIZE // 8)
    rig.memory.ram.write(PAGE + 8 * (DEVICES_A_PAGE - 1), dte(ITT))
    assert rig.timed() == EINVAL
    assert rig.reads < 1000
    assert rig.devices() == {}


PLANTED: Final = {
    "no event": (b"", 0),
    "an event at the end": (ite(LPI), ITT_SIZE - 8),
    "nothing but collection ids": (b"\xff\xff\0\0\0\0\xff\xff" * (ITT_SIZE // 8), 0),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_65536_devices_that_share_a_table_of_65536_events(planted: tuple[bytes, int]) -> None:
    data, at = planted
    rig = PlantedRig(8)
    rig.memory.ram.write(PAGE, dte(ITT) * DEVICES_A_PAGE)
    rig.memory.ram.write(ITT + at, data)
    cap = rig.dist.its_budget.cap
    wanted = ENOMEM if at else 0  # with their collection one more than the cap
    assert rig.timed() == wanted
    assert rig.reads < 8 * cap
    assert len(rig.devices()) == (0 if at else 65536)
    rig.check()


def test_65536_devices_whose_tables_overlap() -> None:
    """Each begins 256 bytes after the one before; every 64 KiB there is an event, the last of its table."""
    rig = PlantedRig(8)
    for n in range(DEVICES_A_PAGE):
        rig.memory.ram.write(PAGE + 8 * n, dte(ITT + 256 * n))
    for n in range(64):
        rig.memory.ram.write(ITT + 0x1_0000 * n + 0xFFF8, ite(LPI + n % 7))
    rig.dist.its_budget.cap += 10
    assert rig.timed() == 0
    assert (len(rig.devices()), len(rig.events())) == (65536, 65536)
    assert rig.reads < 8 * rig.dist.its_budget.cap
    rig.check()


def test_a_table_that_leaves_ram_is_an_error_after_the_events_before_it() -> None:
    rig = PlantedRig(1)
    end = EXTRA + L1_SIZE + 0x1_0000 + ROOM
    rig.memory.ram.write(PAGE, dte(end - 0x2_0000 + 0x100))
    rig.memory.ram.write(end - 8, ite(LPI, 1))
    assert rig.timed() == EFAULT
    assert rig.reads < 1000
    assert rig.devices() == {}
    rig.memory.ram.write(end - 8, ite(LPI))
    rig.memory.ram.write(PAGE, dte(end - 0x2_0000 + 0x100, 0))
    assert rig.timed() == 0
    assert rig.events() == {(0, (0x2_0000 - 0x100) // 8 - 1): (LPI, 0)}
