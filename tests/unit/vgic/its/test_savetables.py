"""Tables saved to guest memory: formats, and what is left out.

Source: KVM's arm-vgic-its.rst, "ITS Table ABI REV0"; vgic_its_save_tables_v0().
"""

import errno

import pytest

from tests.unit.vgic.its.entries import ITT, ITT2, L1, L2, POISON, cte, dte, ite, poison, round_trip, table
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
    discard,
    mapc,
    mapd,
    mapti,
)


@pytest.fixture
def rig() -> ItsRig:
    return ItsRig(4)


# -- formats ------------------------------------------------------------------------------------


def test_a_device_entry(rig: ItsRig) -> None:
    rig.do(mapd(2, 8, 0x4001_0000), mapd(7))
    assert rig.save() == 0
    assert rig.entry(DEVICES + 16) == 0x800A_0000_0800_2007
    assert rig.entry(DEVICES + 56) == dte()


def test_event_entries(rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapd(2), mapti(2, 255, 8196, 3), mapti(2, 20, 8195, 3))
    assert rig.save() == 0
    assert rig.entry(ITT + 20 * 8) == 0x00EB_0000_2003_0003
    assert rig.entry(ITT + 255 * 8) == 0x0000_0000_2004_0003
    rig.do(discard(2, 255))
    assert rig.save() == 0
    assert rig.entry(ITT + 20 * 8) == 0x0000_0000_2003_0003


def test_collection_entries_in_order_of_creation(rig: ItsRig) -> None:
    poison(rig, COLLECTIONS)
    rig.do(mapc(3, 3), mapd(2), mapti(2, 0, 8192, 0), mapc(1, 2))
    assert rig.save() == 0
    assert table(rig, COLLECTIONS, 5) == [
        0x8000_0000_0003_0003,
        0x8000_FFFF_FFFF_0000,
        0x8000_0000_0002_0001,
        0,
        POISON,
    ], "packed, with an empty one behind"


def test_vcpu_ids_are_saved() -> None:
    rig = ItsRig(2, ids=(5, 3))
    rig.do(mapc(0, 3))
    rig.save()
    assert rig.entry(COLLECTIONS) == cte(0, 3)


def test_a_full_collection_table_has_no_end_mark(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER1, VALID | L1)
    rig.write(CTLR, 1, 4)
    rig.set_entry(L1 + 0x1_0000, POISON)
    for start in range(0, 8192, 1500):
        rig.do(*[mapc(icid, 0) for icid in range(start, min(start + 1500, 8192))])
    assert rig.save() == 0
    assert rig.entry(L1 + 0xFFF8) == cte(8191, 0)
    assert rig.entry(L1 + 0x1_0000) == POISON


def test_long_distances_are_capped(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | L1 | 7)
    rig.write(CTLR, 1, 4)
    rig.do(mapc(0, 0), mapd(0), mapd(20000, 16, ITT2), mapti(20000, 0, 8192, 0), mapti(20000, 65535, 8193, 0))
    assert rig.save() == 0
    assert rig.entry(L1) == dte(following=16383)
    assert rig.entry(ITT2) == ite(8192, 0, 65535)


def test_nothing_else_is_written(rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapd(2), mapti(2, 20, 8195, 3))
    rig.memory.writes.clear()
    rig.save()
    assert rig.memory.writes == [(ITT + 160, 8), (DEVICES + 16, 8), (COLLECTIONS, 8), (COLLECTIONS + 8, 8)]


@pytest.mark.parametrize(("kept", "gone"), [(BASER0, BASER1), (BASER1, BASER0)], ids=["devices", "collections"])
def test_a_table_that_is_not_valid_is_left_alone(kept: int, gone: int, rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapd(2))
    rig.its.device_table &= ~VALID if gone == BASER0 else -1
    rig.its.collection_table &= ~VALID if gone == BASER1 else -1
    rig.memory.writes.clear()
    assert rig.save() == 0
    pages = {gpa & ~0xFFFF for gpa, _ in rig.memory.writes}
    assert pages == {DEVICES if kept == BASER0 else COLLECTIONS}


def test_an_orphan_is_saved_as_nothing(rig: ItsRig) -> None:
    """Its neighbour still points at it, as in Linux 6.12."""
    rig.do(mapc(3, 3), mapc(4, 0), mapd(2), mapti(2, 5, 8195, 3), mapti(2, 9, 8196, 4), mapc(4, 0, valid=False))
    rig.set_entry(ITT + 9 * 8, POISON)
    assert rig.save() == 0
    assert table(rig, ITT + 5 * 8, 5) == [ite(8195, 3, 4), 0, 0, 0, 0]


def test_saving_again_writes_the_same(rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapc(0, 1), mapd(7, 8, ITT2), mapd(2), mapti(2, 5, 8195, 3), mapti(7, 9, 8196, 0))
    assert rig.save() == 0
    before = rig.memory.ram.read(RAM, RAM_SIZE)
    state = rig.devices(), rig.events(), rig.collections()
    assert rig.save() == 0
    assert rig.memory.ram.read(RAM, RAM_SIZE) == before
    assert (rig.devices(), rig.events(), rig.collections()) == state


@pytest.mark.parametrize("page", [DEVICES, COLLECTIONS, ITTS], ids=["devices", "collections", "events"])
def test_saving_to_read_only_memory(page: int, rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapd(2), mapti(2, 5, 8195, 3))
    rig.memory.read_only.add(page)
    assert rig.save() == errno.EFAULT
    assert rig.events() == {(2, 5): (8195, 3)}


# -- devices that the guest made unreachable ---------------------------------------------------------


def test_an_unreachable_device_is_left_out(rig: ItsRig) -> None:
    """KVM selftest vgic_its_save: the guest clears a first-level entry after mapping a device beneath it."""
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.write(CTLR, 1, 4)
    rig.set_entry(L1, VALID | L2)
    rig.set_entry(L1 + 8, VALID | L2 + 0x1_0000)
    rig.do(mapd(0, 13), mapd(8192, 13, ITT2))
    rig.set_entry(L1 + 8, 0)
    poison(rig, L2, L2 + 0x1_0000)
    assert rig.save() == 0
    assert rig.entry(L2) == dte(bits=13), "nobody follows it"
    assert table(rig, L2 + 0x1_0000, 2) == [POISON, POISON]
    round_trip(rig)
    assert rig.devices() == {0: (ITT, 13)}


def test_a_chain_skips_an_unreachable_device(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.write(CTLR, 1, 4)
    for n in range(3):
        rig.set_entry(L1 + 8 * n, VALID | L2 + n * 0x1_0000)
    rig.do(mapd(1), mapd(8193, 8, ITT2), mapd(16385, 8, ITT2 + 0x1000))
    rig.set_entry(L1 + 8, VALID | NOWHERE)
    assert rig.save() == 0
    assert rig.entry(L2 + 8) == dte(following=16383), "capped, one short of the next: it is met on the way"
    rig.set_entry(L1 + 8, 0)
    round_trip(rig)
    assert list(rig.devices()) == [1, 16385]


def test_collections_of_a_table_that_shrank(rig: ItsRig) -> None:
    """KVM selftest vgic_its_save: with one page less, Valid still set, there is no collection left to save."""
    rig.write(CTLR, 0, 4)
    rig.write(BASER1, VALID | L1 | 1)
    rig.write(CTLR, 1, 4)
    for start in range(0, 8193, 2000):
        rig.do(*[mapc(icid, 0) for icid in range(start, min(start + 2000, 8193))])
    assert len(rig.collections()) == 8193
    rig.write(CTLR, 0, 4)
    rig.write(BASER1, VALID | L1)
    poison(rig, L1, L1 + 0x1_0000)
    assert rig.save() == 0
    assert rig.memory.ram.read(L1, 0x2_0000) == bytes(8) + b"\x5a" * 0x1_FFF8
    round_trip(rig)
    assert rig.collections() == {}
