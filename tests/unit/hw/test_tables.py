"""Tables in memory, flat and in two levels, and the memory that the GIC owns."""

import pytest

from hw import ItsConfig, Memory, PhysConfig
from hw import arch4 as a
from hw.fabric import Fabric
from hw.memory import PAGE_SIZE
from hw.tables import FAULT, NO_ENTRY, Table
from tests.unit.hw.rig4 import QUEUE, VALID, Rig4, mapd, mapti, of_event, vmapp

BASE = 0x10_0000


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(Memory(1 << 24), PhysConfig(), None, False)


FLAT = {
    "the first entry": (0, BASE),
    "the last entry": (1023, BASE + 0x1FF8),
    "beyond": (1024, NO_ENTRY),
}


@pytest.mark.parametrize("row", FLAT.values(), ids=FLAT)
def test_flat(fabric: Fabric, row: tuple[int, int]) -> None:
    index, address = row
    assert Table(fabric, BASE, 2, 12, False, 8, "a table").entry(index) == address


def test_a_table_may_lie_beyond_memory(fabric: Fabric) -> None:
    assert Table(fabric, 1 << 30, 2, 12, False, 8, "a table").entry(0) == FAULT
    assert Table(fabric, 1 << 30, 2, 12, True, 8, "a table").entry(0) == FAULT


def test_two_levels(fabric: Fabric) -> None:
    table = Table(fabric, BASE, 1, 16, True, 32, "a table")
    assert table.entry(5000) == NO_ENTRY
    fabric.memory.store(BASE + 8 * 2, 8, VALID | 0x20_1234)  # the low bits are not an address
    assert table.entry(2 * 2048 + 7) == 0x20_0000 + 7 * 32
    fabric.memory.store(BASE + 8 * 3, 8, VALID | 1 << 40)
    assert table.entry(3 * 2048) == FAULT
    assert table.entry(8192 * 2048) == NO_ENTRY


def test_the_first_level_stays_software_s(fabric: Fabric) -> None:
    table = Table(fabric, BASE, 1, 12, True, 8, "a table")
    fabric.memory.write(BASE, 8, VALID | 0x20_0000)
    fabric.memory.write(0x20_0000, 8, 5)
    table.use(table.entry(0))
    fabric.memory.write(0x20_0FF8, 8, 5)
    fabric.memory.write(BASE + 8, 8, VALID)
    assert fabric.misuse.codes() == ["M-14"]
    table.release()
    fabric.memory.write(0x20_0FF8, 8, 5)
    assert fabric.misuse.codes() == ["M-14"]


def test_regions_are_found_where_they_are(fabric: Fabric) -> None:
    owned = fabric.owned
    long, short = owned.claim(0xFF00, 0x2_0200, "long"), owned.claim(0xFF80, 0x10, "short")
    assert owned.find(0xFF8F, 1) == [long, short]
    assert owned.find(0xFF90, 1) == [long]
    assert owned.find(0xFEFF, 1) == owned.find(0x3_0100, 8) == []
    assert owned.find(0x3_00FF, 1) == [long]
    owned.release(long)
    assert owned.find(0, 1 << 20) == [short]
    owned.release(short)
    assert owned.find(0, 1 << 20) == []


def test_memory_finds_what_is_not_zero() -> None:
    memory = Memory(1 << 20)
    memory.write(PAGE_SIZE - 1, 2, 0x0301)
    memory.write(5 * PAGE_SIZE, 1, 0)
    assert [(at, len(data)) for at, data in memory.nonzero(1, 8 * PAGE_SIZE)] == [
        (1, PAGE_SIZE - 1),
        (PAGE_SIZE, PAGE_SIZE),
    ]
    assert memory.ones(0, 1 << 20) == 3
    memory.zero(PAGE_SIZE, 1)
    assert memory.ones(0, 1 << 20) == 1


def test_device_table_in_two_levels() -> None:
    rig = Rig4(v3=True, its=[ItsConfig(device_bits=20)])
    its = rig.machine.itss[0]
    level1 = 0x0900_0000
    its.write(a.GITS_CTLR, 4, 0)
    its.write(a.GITS_BASER, 8, VALID | a.BASER_INDIRECT | level1)
    its.write(a.GITS_CBASER, 8, VALID | QUEUE)
    its.write(a.GITS_CWRITER, 8, 0)
    its.write(a.GITS_CTLR, 4, 1)
    devid = 0x1_2345
    itt = 0x0A00_0000
    assert rig.fail(mapd(devid, itt=itt)) == "MAPD_DEVICE_OOR"
    rig.memory.write(level1 + 8 * (devid // 512), 8, VALID | 0x0B00_0000)
    rig.lpi(8200, 0x81)
    rig.send(mapd(devid, itt=itt), mapti(devid, 3, 8200, 0), of_event(a.INT, devid, 3))
    assert (rig.host(), rig.codes()) == ([8200], [])


def test_doorbells_are_lpis() -> None:
    rig = Rig4()
    for db in (5, 8191, 0x1_0000):
        assert rig.fail(vmapp(0, db=db)) == "VMAPP_DOORBELL_OOR"
