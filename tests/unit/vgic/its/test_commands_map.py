"""MAPD, MAPC, MAPTI and MAPI: what they check, in which order, and what they change.

Source: IHI 0069H, "ITS commands"; KVM: vgic_its_handle_command() and the handlers it calls.
"""

from typing import Final

import pytest

from tests.unit.vgic.its.events_rig import ITT, POISON, rig_with_events
from tests.unit.vgic.its.rig import (
    CBASER,
    CONFIG,
    CTLR,
    DEVICES,
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    ITTS,
    NOWHERE,
    PRIORITY,
    RAM,
    VALID,
    ItsRig,
    mapc,
    mapd,
    mapi,
    mapti,
    movall,
    raise_event,
)


@pytest.fixture
def rig() -> ItsRig:
    return rig_with_events()


# -- MAPD -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_mapd_maps_a_device(bits: int, rig: ItsRig) -> None:
    before = rig.frozen()[1:]
    rig.do(mapd(7, bits, NOWHERE))
    assert rig.devices()[7] == (NOWHERE, bits), "the table's address is not looked at"
    assert rig.frozen()[1:] == before, "no memory is written, no LPI touched"


def test_mapd_address_bits() -> None:
    rig = ItsRig(1)
    rig.do(mapd(1, 8, 0xF_FFFF_FFFF_FF00))
    assert rig.devices()[1] == (0xF_FFFF_FFFF_FF00, 8)


@pytest.mark.parametrize("valid", [False, True], ids=["unmap", "map again"])
def test_mapd_removes_a_device(valid: bool, rig: ItsRig) -> None:
    rig.do(raise_event(2, 20))
    rig.set_entry(DEVICES + 2 * 8, POISON)
    rig.do(mapd(2, 8, ITT, valid=valid))
    assert rig.devices() == ({2: (ITT, 8)} if valid else {})
    assert (rig.events(), rig.lpis(), rig.cached()) == ({}, [], set())
    assert rig.entry(DEVICES + 2 * 8) == (POISON if valid else 0), "unmapping clears the table's entry"
    assert rig.collections() == {0: 0, 3: 3, 9: None}
    rig.check()


def test_mapd_twice_leaves_no_events(rig: ItsRig) -> None:
    rig.do(mapd(2), mapd(2))
    assert (rig.devices(), rig.events()) == ({2: (ITTS, 8)}, {})


def test_mapd_of_nothing_clears_the_entry(rig: ItsRig) -> None:
    rig.set_entry(DEVICES + 5 * 8, POISON)
    rig.do(raise_event(2, 20), mapd(5, 32, valid=False))  # the size does not count
    assert rig.entry(DEVICES + 5 * 8) == 0
    assert rig.cached() == {(2, 20)}, "no device went: the cache stays"


def test_mapd_entry_in_read_only_memory(rig: ItsRig) -> None:
    rig.set_entry(DEVICES + 2 * 8, POISON)
    rig.memory.read_only.add(DEVICES)
    rig.do(mapd(2, valid=False))
    assert rig.devices() == {}, "the removal stands"
    assert rig.entry(DEVICES + 2 * 8) == POISON


# -- MAPC -----------------------------------------------------------------------------------------


def test_mapc_uses_vcpu_ids() -> None:
    rig = ItsRig(2, ids=(5, 3))
    rig.do(mapc(0, 3), mapc(1, 5), mapc(2, 0), mapc(4, 1))
    assert rig.collections() == {0: 3, 1: 5}
    rig.do(mapd(1), mapti(1, 0, 8192, 0), movall(3, 5))
    assert rig.target(8192) == 0, "so does MOVALL"


def test_mapc_moves_events(rig: ItsRig) -> None:
    rig.do(mapti(2, 22, 8200, 3), raise_event(2, 20), mapc(3, 1))
    assert (rig.target(8195), rig.target(8200), rig.target(8196)) == (1, 1, None)
    assert rig.lpi(8195).pending_latch
    assert rig.cached() == {(2, 20)}, "the cache is kept"
    assert rig.collections()[3] == 1


def test_mapc_makes_a_placeholder_real(rig: ItsRig) -> None:
    rig.set_pending_bit(8196, 2)
    rig.do(mapc(9, 2))
    assert (rig.collections()[9], rig.target(8196)) == (2, 2)
    assert not rig.lpi(8196).pending_latch, "the pending table is not read"
    assert rig.msi(2, 21) == 1


def test_mapc_moves_events_of_its_own_its_alone(rig: ItsRig) -> None:
    """Two ITSs have a collection 3 each."""
    rig.add_its(0x0900_0000)
    rig.write(CTLR, 0, 4)
    other = rig.dist.its_list[1]
    for offset, value in ((0x100, RAM + 0x80_0000), (0x108, RAM + 0x81_0000), (CBASER, RAM + 0x82_0000 | 0xF)):
        rig.write(offset, VALID | value, its=other)
    rig.write(CTLR, 1, 4, its=other)
    for n in range(4):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
    rig.set_gicr(GICR_PROPBASER, CONFIG | 15)
    rig.write(CTLR, 1, 4)
    rig.do(mapc(3, 2), mapd(2), mapti(2, 0, 8200, 3), its=other)
    rig.do(mapc(3, 0))
    assert (rig.target(8200), rig.target(8195)) == (2, 0)
    rig.check()


def test_unmapping_a_collection_makes_orphans(rig: ItsRig) -> None:
    rig.do(raise_event(2, 20), mapc(3, 77, valid=False))  # RDbase does not count
    assert rig.events()[2, 20] == (8195, None)
    assert (rig.target(8195), rig.lpi(8195).pending_latch) == (3, True)
    assert (3 in rig.collections(), rig.cached()) == (False, set())
    rig.check()


def test_unmapping_no_collection_empties_the_cache_all_the_same(rig: ItsRig) -> None:
    rig.do(raise_event(2, 20), mapc(0x2000, 0, valid=False))
    assert rig.cached() == set()


def test_mapping_a_collection_again_does_not_find_its_orphans(rig: ItsRig) -> None:
    rig.do(mapc(3, 0, valid=False), mapc(3, 0))
    assert rig.events()[2, 20] == (8195, None)
    assert rig.msi(2, 20) == 0


# -- MAPTI, MAPI ------------------------------------------------------------------------------------


def test_mapti_in_a_mapped_collection(rig: ItsRig) -> None:
    rig.configure(8200, ENABLED)
    rig.do(mapti(2, 255, 8200, 3))
    irq = rig.lpi(8200)
    assert rig.events()[2, 255] == (8200, 3)
    assert (rig.target(8200), irq.priority, irq.enabled, irq.pending_latch, irq.refs) == (3, PRIORITY, True, False, 1)
    assert rig.cached() == set()


def test_mapti_makes_a_placeholder(rig: ItsRig) -> None:
    rig.do(mapti(2, 0, 8200, 17))
    assert rig.collections() == {0: 0, 3: 3, 9: None, 17: None}
    assert rig.target(8200) is None


def test_mapi(rig: ItsRig) -> None:
    rig.do(mapd(7, 14), mapi(7, 8200, 3), mapi(7, 8191, 3))
    assert rig.events()[7, 8200] == (8200, 3)
    assert (7, 8191) not in rig.events()


@pytest.mark.parametrize(
    ("id_bits", "intid", "mapped"),
    [
        (0, 8192, False),
        (12, 8192, False),
        (13, 8192, True),
        (13, 16383, True),
        (13, 16384, False),
        (15, 65535, True),
        (15, 65536, False),
        (16, 65536, False),
        (31, 65535, True),
        (31, 65536, False),
    ],
)
def test_intid_limit(id_bits: int, intid: int, mapped: bool, rig: ItsRig) -> None:
    """2 to the power of GICR_PROPBASER.IDbits + 1, and 16 bits."""
    rig.set_gicr(GICR_CTLR, 0, size=4)
    rig.set_gicr(GICR_PROPBASER, CONFIG | id_bits)
    rig.do(mapti(2, 0, intid, 3))
    assert ((2, 0) in rig.events()) is mapped


def test_second_mapti_changes_nothing(rig: ItsRig) -> None:
    rig.do(mapti(2, 20, 8300, 0))
    assert rig.events()[2, 20] == (8195, 3)
    assert 8300 not in rig.lpis()


def test_mapti_in_a_table_outside_ram(rig: ItsRig) -> None:
    rig.do(mapd(7, 8, NOWHERE), mapti(7, 0, 8200, 3))
    assert (7, 0) not in rig.events()


UNREADABLE: Final = {
    "configuration": (GICR_PROPBASER, NOWHERE | 15),
    "pending bit": (GICR_PENDBASER, NOWHERE),
}


@pytest.mark.parametrize(("register", "value"), UNREADABLE.values(), ids=UNREADABLE)
def test_mapti_whose_lpi_tables_are_unreadable(register: int, value: int, rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, size=4)
    rig.set_gicr(register, value)
    before = rig.frozen()
    rig.do(mapti(2, 0, 8200, 0))
    assert rig.frozen() == before


def test_mapti_that_fails_takes_its_placeholder_back(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, size=4)
    rig.set_gicr(GICR_PROPBASER, NOWHERE | 15)
    rig.do(mapti(2, 0, 8200, 17), mapti(2, 0, 8200, 9))
    assert rig.collections() == {0: 0, 3: 3, 9: None}, "and leaves one that was there"


def test_mapti_of_an_lpi_that_exists(rig: ItsRig) -> None:
    rig.do(raise_event(2, 20))
    rig.configure(8195, ENABLED)
    rig.do(mapti(2, 0, 8195, 0))
    irq = rig.lpi(8195)
    assert (rig.target(8195), irq.pending_latch, irq.enabled) == (3, True, False), "taken over unchanged"
    assert irq.refs == 3, "two events and a cached translation"
    rig.check()


def test_an_lpi_first_mapped_in_a_placeholder_has_no_target(rig: ItsRig) -> None:
    rig.do(mapti(2, 0, 8196, 0), raise_event(2, 0))
    assert rig.lpi(8196).pending_latch
    assert rig.target(8196) is None
    assert rig.listed() == []
