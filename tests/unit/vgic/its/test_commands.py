"""The command queue and every command: encodings, checks in their order, partial effects.

Source: IHI 0069H, "ITS commands"; KVM: vgic_its_handle_command() and the handlers it calls.
"""

from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.its.rig import (
    CBASER,
    CONFIG,
    CREADR,
    CTLR,
    CWRITER,
    DEVICES,
    DISABLED,
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    ITTS,
    NOWHERE,
    PENDING,
    PRIORITY,
    QUEUE,
    QUEUE_SIZE,
    RAM,
    VALID,
    Command,
    ItsRig,
    clear,
    discard,
    inv,
    invall,
    mapc,
    mapd,
    mapi,
    mapti,
    movall,
    movi,
    raise_event,
    sync,
)

INTID: Final = 8195
ITT: Final = 0x8010_0000
POISON: Final = 0x5A5A_5A5A_5A5A_5A5A


@pytest.fixture
def rig() -> ItsRig:
    """Collections 0 and 3 on the vCPUs of these numbers, 9 a placeholder; device 2 with three events, 30 an orphan."""
    rig = ItsRig(4)
    for intid in (8195, 8196, 8197):
        rig.configure(intid, DISABLED)
    rig.do(mapc(0, 0), mapc(3, 3), mapc(4, 1), mapd(2))
    rig.do(mapti(2, 20, 8195, 3), mapti(2, 21, 8196, 9), mapti(2, 30, 8197, 4), mapc(4, 0, valid=False))
    assert rig.events() == {(2, 20): (8195, 3), (2, 21): (8196, 9), (2, 30): (8197, None)}
    assert rig.collections() == {0: 0, 3: 3, 9: None}
    rig.memory.writes.clear()
    return rig


# -- encodings ------------------------------------------------------------------------------------


def test_encodings_of_the_manual() -> None:
    rig = ItsRig(4)
    rig.do(
        (0x0000_0002_0000_0008, 0x7, 0x8000_0000_8001_0000, 0),
        (0x9, 0, 0x8000_0000_0003_0003, 0),
        (0x0000_0002_0000_000A, 0x0000_2003_0000_0014, 0x3, 0),
    )
    assert rig.devices() == {2: (0x8001_0000, 8)}
    assert rig.collections() == {3: 3}
    assert rig.events() == {(2, 20): (8195, 3)}


RES0: Final = 0xDEAD_0000_FFFF_FF00


def test_reserved_bits_are_ignored() -> None:
    rig = ItsRig(4)
    rig.do(
        (2 << 32 | 0xFFFF_FF08, 0xFFFF_FFFF_FFFF_FFE7, VALID | 0x7FF0_0000_8010_00FF, 1 << 63 | 5),
        (0xFFFF_FFFF_FFFF_FF09, ~0 & (1 << 64) - 1, VALID | 0x7FFF_0000_0003_0003, 7),
        (2 << 32 | 0xFFFF_FF0A, 8195 << 32 | 20, 0xFFFF_FFFF_FFFF_0003, 7),
    )
    assert rig.devices() == {2: (0x8010_0000, 8)}
    assert rig.collections() == {3: 3}
    assert rig.events() == {(2, 20): (8195, 3)}


UNKNOWN: Final = sorted(set(range(0x100)) - {0x01, 0x03, 0x04, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F})


def test_other_numbers_do_nothing(rig: ItsRig) -> None:
    """GICv4's commands are among them."""
    before = rig.frozen()
    for number in UNKNOWN:
        rig.do((2 << 32 | number, 20, VALID | 3, 3))
    assert rig.frozen() == before


def test_sync_does_nothing(rig: ItsRig) -> None:
    before = rig.frozen()
    rig.do(sync(0), sync(77))
    assert rig.frozen() == before


# -- the queue ------------------------------------------------------------------------------------


def test_the_queue_wraps(rig: ItsRig) -> None:
    rig.do(*[sync(0)] * (QUEUE_SIZE // 32 - 10))
    rig.do(*[sync(0)] * 20, mapc(11, 1))
    assert rig.read(CREADR) == rig.read(CWRITER)
    assert rig.collections()[11] == 1


def test_the_longest_pass() -> None:
    rig = ItsRig(1)
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | QUEUE + 0x50_0000 | 0xFF)
    rig.write(CTLR, 1, 4)
    rig.do(*[mapc(1, 0)] * 32767)
    assert rig.read(CREADR) == 0xF_FFE0


def test_disabled_nothing_runs(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    at = rig.read(CREADR)
    rig.do_later(mapc(11, 1))
    assert (rig.read(CREADR), 11 in rig.collections()) == (at, False)
    rig.write(CTLR, 1, 4)
    assert rig.collections()[11] == 1


def test_unreadable_commands_are_skipped() -> None:
    rig = ItsRig(1)
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | NOWHERE | 0xF)
    rig.write(CWRITER, 0x100)
    rig.write(CTLR, 1, 4)
    assert rig.read(CREADR) == 0x100
    assert rig.collections() == {}


def test_queue_that_leaves_ram(rig: ItsRig) -> None:
    """The last 64 KiB of RAM, and a queue of twice that."""
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | RAM + 0xFF_0000 | 0x1F)
    rig.write(CTLR, 1, 4)
    before = rig.frozen()[0]
    rig.do_later(*[mapc(11, 1)] * (0x1_0000 // 32 + 4))
    assert rig.read(CREADR) == 0x1_0080, "what is not there is skipped, and the queue goes on"
    assert rig.frozen()[0] != before


def test_a_command_is_read_before_it_runs(rig: ItsRig) -> None:
    """MAPD V=0 zeroes an entry that is the command itself."""
    at = rig.read(CWRITER)
    rig.write(CTLR, 0, 4)
    rig.write(0x100, VALID | (QUEUE & ~0xFFFF))
    rig.write(CTLR, 1, 4)
    rig.do(mapd(at // 8 + 2, valid=False), mapc(11, 1))
    assert rig.entry(QUEUE + at + 16) == 0, "the guest shot itself"
    assert rig.collections()[11] == 1


# -- a command that fails -----------------------------------------------------------------------------

BAD: Final[dict[str, Command]] = {
    "MAPD: DeviceID past 16 bits": mapd(0x1_0000),
    "MAPD: DeviceID past the table": mapd(0x2000),
    "MAPD V=0: DeviceID past the table": mapd(0x2000, valid=False),
    "MAPD: 17 bits of EventID": mapd(2, 17),
    "MAPD: 32 bits of EventID": mapd(2, 32),
    "MAPC: no such vCPU": mapc(3, 4),
    "MAPC: RDbase with 32 bits": mapc(3, 0x8000_0000),
    "MAPC: RDbase -1": mapc(3, 0xFFFF_FFFF),
    "MAPC: id past the table": mapc(0x2000, 0),
    "MAPTI: no device": mapti(3, 0, 8200, 3),
    "MAPTI: no device, 32 bits": mapti(0x1_0002, 0, 8200, 3),
    "MAPTI: event past the device": mapti(2, 256, 8200, 3),
    "MAPTI: event with 32 bits": mapti(2, 0x1_0000_0000 - 236, 8200, 3),
    "MAPTI: no LPI": mapti(2, 0, 8191, 3),
    "MAPTI: INTID 0": mapti(2, 0, 0, 3),
    "MAPTI: INTID past 16 bits": mapti(2, 0, 0x1_0000, 3),
    "MAPTI: INTID -1": mapti(2, 0, 0xFFFF_FFFF, 3),
    "MAPTI: mapped already": mapti(2, 20, 8200, 0),
    "MAPTI: mapped already, as an orphan": mapti(2, 30, 8200, 0),
    "MAPTI: mapped already, before the id is looked at": mapti(2, 20, 8200, 0x2000),
    "MAPTI: collection past the table": mapti(2, 0, 8200, 0x2000),
    "MAPI: event is no LPI": mapi(2, 5, 3),
    "MOVI: no event": movi(2, 5, 0),
    "MOVI: no device": movi(3, 20, 0),
    "MOVI: from a placeholder": movi(2, 21, 0),
    "MOVI: an orphan": movi(2, 30, 0),
    "MOVI: to a placeholder": movi(2, 20, 9),
    "MOVI: to no collection": movi(2, 20, 5),
    "MOVALL: from no vCPU": movall(4, 0),
    "MOVALL: to no vCPU": movall(3, 4),
    "MOVALL: to itself": movall(3, 3),
    "DISCARD: no event": discard(2, 5),
    "DISCARD: no device": discard(3, 20),
    "DISCARD: a placeholder's": discard(2, 21),
    "DISCARD: an orphan": discard(2, 30),
    "INT: no event": raise_event(2, 5),
    "INT: no device": raise_event(0x1_0002, 20),
    "INT: a placeholder's": raise_event(2, 21),
    "INT: an orphan": raise_event(2, 30),
    "CLEAR: no event": clear(2, 5),
    "INV: no event": inv(2, 5),
    "INVALL: no collection": invall(5),
    "INVALL: a placeholder": invall(9),
}


@pytest.mark.parametrize("command", BAD.values(), ids=BAD)
def test_bad_command_changes_nothing(command: Command, rig: ItsRig) -> None:
    rig.do(raise_event(2, 20))
    for intid in (8195, 8196, 8197):
        rig.configure(intid, ENABLED)  # to be seen if anything reads it
    before = rig.frozen()
    rig.do(command)
    assert rig.frozen() == before
    assert rig.read(CTLR, 4) == 0x8000_0001, "no stall"
    rig.check()


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


# -- MOVI, MOVALL, DISCARD, CLEAR, INV, INVALL ---------------------------------------------------------


def test_movi(rig: ItsRig) -> None:
    rig.do(raise_event(2, 20), movi(2, 20, 0))
    assert rig.events()[2, 20] == (8195, 0)
    assert (rig.target(8195), rig.lpi(8195).pending_latch, rig.cached()) == (0, True, set())
    assert rig.memory.writes == [], "the entry in memory is not brought in line"
    rig.do(movi(2, 20, 3))
    assert (rig.target(8195), rig.lpi(8195).pending_latch) == (3, True)


def test_movall(rig: ItsRig) -> None:
    rig.do(mapti(2, 0, 8200, 0), raise_event(2, 20), movall(3, 1))
    assert (rig.target(8195), rig.target(8200), rig.target(8196), rig.target(8197)) == (1, 0, None, 1)
    assert rig.collections() == {0: 0, 3: 3, 9: None}, "collections stay"
    assert (rig.cached(), rig.lpi(8195).pending_latch) == (set(), True)


def test_invall_misses_what_movall_moved(rig: ItsRig) -> None:
    rig.do(movall(3, 1))
    rig.configure(8195, ENABLED)
    rig.do(invall(3))
    assert not rig.lpi(8195).enabled


def test_discard(rig: ItsRig) -> None:
    rig.set_entry(ITTS + 20 * 8, POISON)
    rig.do(mapti(2, 0, 8200, 0), raise_event(2, 20), discard(2, 20))
    assert (2, 20) not in rig.events()
    assert 8195 not in rig.lpis(), "it was not queued: it dies, pending or not"
    assert (rig.entry(ITTS + 20 * 8), rig.cached()) == (0, set())
    assert rig.memory.writes == [(ITTS + 20 * 8, 8)]
    rig.check()


def test_discard_in_read_only_memory(rig: ItsRig) -> None:
    rig.set_entry(ITTS + 20 * 8, POISON)
    rig.memory.read_only.add(ITTS)
    rig.do(discard(2, 20))
    assert (2, 20) not in rig.events()
    assert rig.entry(ITTS + 20 * 8) == POISON


def test_discard_of_a_queued_lpi(rig: ItsRig) -> None:
    rig.configure(8195, ENABLED)
    rig.do(inv(2, 20), raise_event(2, 20), discard(2, 20))
    assert rig.listed(3) == [8195]
    assert rig.taken(3) == 8195, "it is still delivered"
    assert 8195 not in rig.lpis()


@pytest.mark.parametrize("event", [20, 21, 30], ids=["mapped", "placeholder", "orphan"])
def test_clear(event: int, rig: ItsRig) -> None:
    irq = rig.its.maps.devices[2].ites[event].irq
    irq.pending_latch = True
    rig.do(clear(2, event))
    assert not irq.pending_latch


def test_clear_right_after_int(rig: ItsRig) -> None:
    rig.configure(8195, ENABLED)
    rig.do(inv(2, 20), raise_event(2, 20), clear(2, 20))
    assert rig.listed(3) == [8195], "it is not dequeued"
    assert rig.taken(3) == 1023, "but has nothing to say"
    assert rig.listed(3) == []
    assert rig.cached() == {(2, 20)}


@pytest.mark.parametrize("event", [20, 21, 30], ids=["mapped", "placeholder", "orphan"])
def test_inv(event: int, rig: ItsRig) -> None:
    irq = rig.its.maps.devices[2].ites[event].irq
    irq.pending_latch = True
    rig.configure(irq.intid, 0x47)
    rig.do(inv(2, event))
    assert (irq.enabled, irq.priority) == (True, 0x44)
    assert (irq.queued_on is not None) is (irq.target is not None), "looked at anew"


def test_inv_of_an_unreadable_byte(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, size=4)
    rig.set_gicr(GICR_PROPBASER, NOWHERE | 15)
    rig.do(inv(2, 20), invall(3))
    assert (rig.lpi(8195).enabled, rig.lpi(8195).priority) == (False, PRIORITY)


def test_invall(rig: ItsRig) -> None:
    rig.do(mapti(2, 0, 8200, 0), raise_event(2, 20))
    for intid in (8195, 8196, 8197, 8200):
        rig.configure(intid, ENABLED)
    rig.do(invall(3))
    assert [irq.intid for irq in rig.dist.lpis.ascending() if irq.enabled] == [8195], "by the LPI's target"
    assert rig.listed(3) == [8195], "and what is pending is delivered"


def test_invall_works_with_lpis_disabled(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 3, size=4)
    rig.configure(8195, ENABLED)
    rig.do(invall(3))
    assert rig.lpi(8195).enabled


# -- what each event does to what, as a table ----------------------------------------------------------


class Effect(NamedTuple):
    command: Command
    devices: list[int]
    orphan: bool | None  # the event; None: gone
    collection: int | None  # where collection 3 goes; None: gone
    target: int | None  # the LPI's; None: the LPI is gone
    latch: bool
    reread: bool
    cached: bool


KEPT: Final = Effect(sync(0), [2], False, 3, 3, True, False, True)

EFFECTS: Final = {
    "SYNC": KEPT,
    "MAPD of another": KEPT._replace(command=mapd(7), devices=[2, 7]),
    "MAPD again": KEPT._replace(command=mapd(2), orphan=None, target=None, cached=False),
    "MAPD V=0": KEPT._replace(command=mapd(2, valid=False), devices=[], orphan=None, target=None, cached=False),
    "MAPD V=0 of another": KEPT._replace(command=mapd(7, valid=False)),
    "MAPC": KEPT._replace(command=mapc(3, 1), collection=1, target=1),
    "MAPC V=0": KEPT._replace(command=mapc(3, 1, valid=False), orphan=True, collection=None, cached=False),
    "MAPTI": KEPT._replace(command=mapti(2, 0, 8200, 3)),
    "MOVI": KEPT._replace(command=movi(2, 20, 0), target=0, cached=False),
    "MOVALL": KEPT._replace(command=movall(3, 2), target=2, cached=False),
    "DISCARD": KEPT._replace(command=discard(2, 20), orphan=None, target=None, cached=False),
    "CLEAR": KEPT._replace(command=clear(2, 20), latch=False),
    "INV": KEPT._replace(command=inv(2, 20), reread=True),
    "INVALL": KEPT._replace(command=invall(3), reread=True),
    "INT": KEPT._replace(command=raise_event(2, 20)),
}


@pytest.mark.parametrize("row", EFFECTS.values(), ids=EFFECTS)
def test_effect(row: Effect, rig: ItsRig) -> None:
    rig.do(raise_event(2, 20))
    rig.configure(8195, 0x40)  # still disabled: nothing is queued
    rig.do(row.command)
    assert list(rig.devices()) == row.devices
    event = rig.events().get((2, 20))
    assert (None if event is None else event[1] is None) == row.orphan
    assert rig.collections().get(3) == row.collection
    assert ((2, 20) in rig.cached()) is row.cached
    irq = rig.dist.lpis.get(8195)
    assert (irq is None) is (row.target is None)
    if irq is not None:
        assert (rig.target(8195), irq.pending_latch, irq.priority == 0x40) == (row.target, row.latch, row.reread)
    rig.check()


def test_two_itss_keep_to_themselves(rig: ItsRig) -> None:
    """Commands of one change nothing of the other but LPIs that both may reach."""
    rig.add_its(0x0900_0000)
    other = rig.dist.its_list[1]
    mine = (rig.devices(), rig.events(), rig.collections())
    for n in range(4):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
    rig.set_gicr(GICR_PROPBASER, CONFIG | 15)
    for offset, value in ((0x100, RAM + 0x80_0000), (0x108, RAM + 0x81_0000), (CBASER, RAM + 0x82_0000 | 0xF)):
        rig.write(offset, VALID | value, its=other)
    rig.write(CTLR, 1, 4, its=other)
    rig.do(mapc(3, 1), mapd(2), mapti(2, 20, 8195, 3), mapc(0, 0), movi(2, 20, 0), mapd(2, valid=False), its=other)
    assert (rig.devices(), rig.events(), rig.collections()) == mine
    assert rig.target(8195) == 0, "MOVI moved the shared LPI"
    assert PENDING not in {gpa for gpa, _ in rig.memory.writes}
    rig.check()
