"""Where entries lie in guest memory: flat and two-level tables, what is visible.  Source: KVM: vgic_its_check_id()."""

from typing import Final

import pytest

from tests.unit.vgic.its.rig import (
    BASER0,
    BASER1,
    COLLECTIONS,
    CTLR,
    DEVICES,
    INDIRECT,
    ITTS,
    NOWHERE,
    RAM,
    RAM_SIZE,
    VALID,
    ItsRig,
    mapc,
    mapd,
    mapti,
)
from vgic.its.tables import collection_fits, device_entry, event_entry, read_entry, table_base, table_size, write_entry

L1: Final = RAM + 0x20_0000
L2: Final = RAM + 0x30_0000


@pytest.fixture
def rig() -> ItsRig:
    rig = ItsRig(1)
    rig.write(CTLR, 0, 4)
    return rig


def test_base_and_size_of_a_table() -> None:
    assert table_base(0xFFFF_FFFF_FFFF_FFFF) == 0xF_FFFF_FFFF_0000
    assert table_base(0x0000_1234_5678_A000) == 0xA_1234_5678_0000
    assert table_size(0xFF) == 16 << 20
    assert table_size(0xF00) == 64 << 10


FLAT: Final = {
    "the first": (1, 0, 0),
    "one more": (1, 1, 8),
    "the last of a page": (1, 8191, 0xFFF8),
    "past one page": (1, 8192, None),
    "in the second page": (2, 8192, 0x1_0000),
    "the last there is": (8, 65535, 0x7_FFF8),
    "17 bits": (16, 65536, None),
    "32 bits": (256, 0xFFFF_FFFF, None),
}


@pytest.mark.parametrize(("pages", "devid", "at"), FLAT.values(), ids=FLAT)
def test_flat_device_table(pages: int, devid: int, at: int | None, rig: ItsRig) -> None:
    rig.write(BASER0, VALID | L1 | pages - 1)
    assert device_entry(rig.its, devid) == (None if at is None else L1 + at)


@pytest.mark.parametrize(("pages", "icid", "at"), FLAT.values(), ids=FLAT)
def test_collection_table(pages: int, icid: int, at: int | None, rig: ItsRig) -> None:
    """Packed, but an id needs the place it would have in a flat table; ids have 16 bits by encoding."""
    rig.write(BASER1, VALID | INDIRECT | L1 | pages - 1)
    if icid < 0x1_0000:
        assert collection_fits(rig.its, icid) is (at is not None)


def test_the_end_of_ram(rig: ItsRig) -> None:
    rig.write(BASER0, VALID | RAM + RAM_SIZE - 0x1_0000 | 1)
    rig.write(BASER1, VALID | RAM + RAM_SIZE - 0x1_0000 | 1)
    assert device_entry(rig.its, 8191) == RAM + RAM_SIZE - 8
    assert device_entry(rig.its, 8192) is None
    assert (collection_fits(rig.its, 8191), collection_fits(rig.its, 8192)) == (True, False)


def test_pages_are_4_kib(rig: ItsRig) -> None:
    """A region that ends within a 64 KiB page."""
    rig.memory.ram.add(NOWHERE, 0x1000)
    rig.write(BASER0, VALID | NOWHERE)
    assert device_entry(rig.its, 511) == NOWHERE + 0xFF8
    assert device_entry(rig.its, 512) is None


LEVELS: Final = {
    "the first of a page": (8192, 1, VALID | L2, L2),
    "the last of a page": (16383, 1, VALID | L2, L2 + 0xFFF8),
    "reserved bits of the first level": (8193, 1, VALID | 0x7FF0_0000_0000_FFFF | L2, L2 + 8),
    "no second level": (8192, 1, L2, None),
    "a second level that is not RAM": (8192, 1, VALID | NOWHERE, None),
    "a second level that is the first": (8192, 1, VALID | L1, L1),
    "the last there is": (65535, 7, VALID | L2, L2 + 0xFFF8),
    "17 bits": (65536, 8, VALID | L2, None),
}


@pytest.mark.parametrize(("devid", "index", "level1", "entry"), LEVELS.values(), ids=LEVELS)
def test_two_levels(devid: int, index: int, level1: int, entry: int | None, rig: ItsRig) -> None:
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.set_entry(L1 + index * 8, level1)
    assert device_entry(rig.its, devid) == entry


def test_a_first_level_that_is_not_ram(rig: ItsRig) -> None:
    rig.write(BASER0, VALID | INDIRECT | NOWHERE)
    assert device_entry(rig.its, 0) is None


def test_the_first_level_is_read_each_time(rig: ItsRig) -> None:
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.write(CTLR, 1, 4)
    rig.do(mapd(0))
    assert rig.devices() == {}
    rig.set_entry(L1, VALID | L2)
    rig.do(mapd(0))
    assert rig.devices() == {0: (ITTS, 8)}
    rig.set_entry(L1, 0)
    rig.do(mapd(0, valid=False))
    assert rig.devices() == {0: (ITTS, 8)}, "unreachable, and so not to be unmapped"


EVENTS: Final = {
    "the first": (1, ITTS, 0, ITTS),
    "the last": (1, ITTS, 1, ITTS + 8),
    "past the device": (1, ITTS, 2, None),
    "16 bits": (16, ITTS, 0xFFFF, ITTS + 0x7_FFF8),
    "past 16 bits": (16, ITTS, 0x1_0000, None),
    "a table at any 256 bytes": (8, ITTS + 0x100, 3, ITTS + 0x118),
    "not RAM": (8, NOWHERE, 0, None),
    "the last of RAM": (10, RAM + RAM_SIZE - 0x1000, 511, RAM + RAM_SIZE - 8),
    "past RAM": (10, RAM + RAM_SIZE - 0x1000, 512, None),
}


@pytest.mark.parametrize(("bits", "itt", "eventid", "entry"), EVENTS.values(), ids=EVENTS)
def test_event_entry(bits: int, itt: int, eventid: int, entry: int | None) -> None:
    rig = ItsRig(1)
    rig.do(mapc(0, 0), mapd(1, bits, itt), mapti(1, eventid, 8192, 0))
    assert event_entry(rig.its, rig.its.maps.devices[1], eventid) == entry
    assert ((1, eventid) in rig.events()) is (entry is not None)


def test_read_only_pages_are_visible() -> None:
    rig = ItsRig(1)
    rig.memory.read_only |= {DEVICES, COLLECTIONS, ITTS}
    rig.do(mapc(0, 0), mapd(1), mapti(1, 0, 8192, 0))
    assert rig.events() == {(1, 0): (8192, 0)}


def test_entries_are_little_endian(rig: ItsRig) -> None:
    assert write_entry(rig.dist, L1, 0x0102_0304_0506_0708)
    assert rig.memory.read(L1, 8) == bytes(range(8, 0, -1))
    assert read_entry(rig.dist, L1) == 0x0102_0304_0506_0708


def test_without_memory_nothing_fits(rig: ItsRig) -> None:
    rig.dist.memory = None
    assert device_entry(rig.its, 0) is None
    assert not collection_fits(rig.its, 0)
    assert read_entry(rig.dist, L1) is None
    assert not write_entry(rig.dist, L1, 0)
