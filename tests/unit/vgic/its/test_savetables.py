"""Tables in guest memory: formats, every refusal, round trips, order of restore.

Source: KVM's arm-vgic-its.rst, "ITS Table ABI REV0"; vgic_its_save_tables_v0(), vgic_its_restore_tables_v0().
"""

import errno
from typing import Final

import pytest

from tests.unit.vgic.its.rig import (
    BASER0,
    BASER1,
    CBASER,
    COLLECTIONS,
    CONFIG,
    CREADR,
    CTLR,
    CWRITER,
    DEVICES,
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    INDIRECT,
    ITTS,
    NOWHERE,
    PENDING,
    QUEUE,
    RAM,
    RAM_SIZE,
    VALID,
    ItsRig,
    discard,
    mapc,
    mapd,
    mapti,
    movi,
)
from vgic import ITS_RESTORE_TABLES, ITS_SAVE_TABLES, Group

ITT: Final = 0x8010_0000
ITT2: Final = 0x8018_0000
L1: Final = RAM + 0x20_0000
L2: Final = RAM + 0x30_0000
POISON: Final = 0x5A5A_5A5A_5A5A_5A5A
REGISTERS: Final = (CBASER, CREADR, CWRITER, BASER0, BASER1, CTLR)
"""In the order that a restore needs; the tables go before CTLR."""


@pytest.fixture
def rig() -> ItsRig:
    return ItsRig(4)


def dte(itt: int = ITT, bits: int = 8, following: int = 0) -> int:
    return VALID | following << 49 | itt >> 8 << 5 | bits - 1


def cte(icid: int, vcpu_id: int) -> int:
    return VALID | vcpu_id << 16 | icid


def ite(intid: int, icid: int, following: int = 0) -> int:
    return following << 48 | intid << 16 | icid


def poison(rig: ItsRig, *pages: int) -> None:
    for page in pages:
        rig.memory.ram.write(page, b"\x5a" * 0x1_0000)


def table(rig: ItsRig, base: int, count: int) -> list[int]:
    return [rig.entry(base + 8 * n) for n in range(count)]


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


# -- restoring ------------------------------------------------------------------------------------


def round_trip(rig: ItsRig) -> None:
    """Reset, put the registers back in their order, restore the tables, enable."""
    values = {offset: rig.user(offset) for offset in REGISTERS}
    assert rig.reset() == 0
    for offset in REGISTERS[:-1]:
        rig.set_user(offset, values[offset])
    assert rig.restore() == 0
    rig.set_user(CTLR, values[CTLR])
    assert {offset: rig.user(offset) for offset in REGISTERS} == values


def test_round_trip(rig: ItsRig) -> None:
    for intid in range(8192, 8200):
        rig.configure(intid, ENABLED)
    rig.do(mapc(3, 3), mapc(0, 0), mapd(2), mapd(7, 16, ITT2), mapd(9, 1, ITT + 0x4000))
    rig.do(mapti(2, 20, 8195, 3), mapti(2, 255, 8196, 0), mapti(7, 40000, 8192, 3), mapti(7, 0, 8193, 17))
    rig.do(movi(2, 255, 3))
    before = rig.devices(), rig.events(), rig.collections()
    assert rig.save() == 0
    round_trip(rig)
    assert (rig.devices(), rig.events(), rig.collections()) == before
    assert [rig.target(intid) for intid in rig.lpis()] == [3, None, 3, 3]
    assert all(rig.lpi(intid).enabled for intid in rig.lpis())
    assert rig.msi(7, 40000) == 1
    assert rig.taken(3) == 8192
    rig.do(mapc(17, 1))
    assert rig.target(8193) == 1, "a placeholder is one still"
    rig.check()


def test_an_orphan_is_gone_after_a_round_trip(rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapc(4, 0), mapd(2), mapti(2, 5, 8195, 3), mapti(2, 9, 8196, 4), mapc(4, 0, valid=False))
    rig.save()
    round_trip(rig)
    assert rig.events() == {(2, 5): (8195, 3)}


def test_pending_state_survives_a_round_trip(rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapd(2), *[mapti(2, n, 8192 + n, 3) for n in range(10)])
    for eventid in (1, 8, 9):
        assert rig.msi(2, eventid) == 1
    assert rig.save() == 0
    assert rig.save_pending() == 0
    assert [n for n in range(10) if rig.pending_bit(8192 + n, 3)] == [1, 8, 9]
    round_trip(rig)
    assert [intid for intid in rig.lpis() if rig.lpi(intid).pending_latch] == [8193, 8200, 8201]
    assert not any(rig.pending_bit(8192 + n, 3) for n in range(10)), "taken, each of them"
    rig.check()


def restorable(rig: ItsRig) -> None:
    """Put one collection and one device with one event into memory, and nothing else into the ITS."""
    rig.write(CTLR, 0, 4)
    rig.set_entry(COLLECTIONS, cte(3, 3))
    rig.set_entry(DEVICES + 2 * 8, dte())
    rig.set_entry(ITT + 20 * 8, ite(8195, 3))


def test_restorable(rig: ItsRig) -> None:
    restorable(rig)
    assert rig.restore() == 0
    assert (rig.devices(), rig.events(), rig.collections()) == ({2: (ITT, 8)}, {(2, 20): (8195, 3)}, {3: 3})


Patch = tuple[int, int]

REFUSALS: Final[dict[str, tuple[tuple[Patch, ...], str]]] = {
    "a collection of no vCPU": (((COLLECTIONS, cte(3, 4)),), "EINVAL"),
    "a collection twice": (((COLLECTIONS + 8, cte(3, 0)),), "EEXIST"),
    "a collection twice, of no vCPU": (((COLLECTIONS + 8, cte(3, 9)),), "EINVAL"),
    "a collection past the table": (((COLLECTIONS + 8, cte(8192, 0)),), "EINVAL"),
    "17 bits of EventID": (((DEVICES + 16, dte(bits=17)),), "EINVAL"),
    "32 bits of EventID": (((DEVICES + 16, dte(bits=32)),), "EINVAL"),
    "a device whose events are not RAM": (((DEVICES + 16, dte(NOWHERE)),), "EFAULT"),
    "events that leave RAM": (((DEVICES + 16, dte(RAM + RAM_SIZE - 0x400, 8)),), "EFAULT"),
    "no LPI": (((ITT + 160, ite(8191, 3)),), "EINVAL"),
    "INTID 1": (((ITT + 160, ite(1, 3)),), "EINVAL"),
    "an event that points past the table": (((ITT + 160, ite(8195, 3, 236)),), "EINVAL"),
    "an event of no collection": (((ITT + 160, ite(8195, 4)),), "EINVAL"),
    "an LPI whose configuration is not RAM": (((ITT + 160, ite(0x7FFF_FFFF, 3)),), "EFAULT"),
    "a second device that is wrong": (((DEVICES + 16, dte(following=5)), (DEVICES + 56, dte(bits=20))), "EINVAL"),
    "a second event that is wrong": (((ITT + 160, ite(8195, 3, 1)), (ITT + 168, ite(8196, 9))), "EINVAL"),
}


@pytest.mark.parametrize(("patches", "refused"), REFUSALS.values(), ids=REFUSALS)
def test_refused_restore_leaves_nothing(patches: tuple[Patch, ...], refused: str, rig: ItsRig) -> None:
    restorable(rig)
    for gpa, entry in patches:
        rig.set_entry(gpa, entry)
    assert errno.errorcode.get(rig.restore()) == refused
    assert (rig.devices(), rig.collections(), rig.lpis()) == ({}, {}, [])
    assert rig.dist.its_budget.used == 0
    rig.check()
    for gpa, _ in patches:
        rig.set_entry(gpa, 0)
    restorable(rig)
    assert rig.restore() == 0, "and can be done again"


ACCEPTED: Final[dict[str, tuple[tuple[Patch, ...], set[int], set[tuple[int, int]]]]] = {
    "as it is": ((), {2}, {(2, 20)}),
    "reserved bits of a collection": (((COLLECTIONS, cte(3, 3) | 0x7FFF << 48),), {2}, {(2, 20)}),
    "what lies behind the last device is not read": (((DEVICES + 24, POISON | VALID),), {2}, {(2, 20)}),
    "nor what lies behind the last event": (((ITT + 168, POISON),), {2}, {(2, 20)}),
    "nor what lies behind the last collection": (((COLLECTIONS + 16, POISON | VALID),), {2}, {(2, 20)}),
    "nor what a chain skips": (
        ((DEVICES + 16, dte(following=2)), (DEVICES + 24, POISON | VALID), (DEVICES + 32, dte(ITT2))),
        {2, 4},
        {(2, 20)},
    ),
    "a chain past the table ends it": (((DEVICES + 16, dte(following=16383)),), {2}, {(2, 20)}),
    "a chain may point at nothing": (((DEVICES + 16, dte(following=1)), (DEVICES + 40, dte(ITT2))), {2, 5}, {(2, 20)}),
    "two events of one LPI": (((ITT + 160, ite(8195, 3, 1)), (ITT + 168, ite(8195, 3))), {2}, {(2, 20), (2, 21)}),
    "the last event there is": (((ITT + 160, ite(8195, 3, 235)), (ITT + 2040, ite(8196, 3))), {2}, {(2, 20), (2, 255)}),
    "an LPI past GICR_PROPBASER.IDbits": (((ITT + 160, ite(0x1_0000, 3)),), {2}, {(2, 20)}),
}


@pytest.mark.parametrize(("patches", "devices", "events"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_restore(
    patches: tuple[Patch, ...], devices: set[int], events: set[tuple[int, int]], rig: ItsRig
) -> None:
    restorable(rig)
    for gpa, entry in patches:
        rig.set_entry(gpa, entry)
    assert rig.restore() == 0
    assert (set(rig.devices()), set(rig.events())) == (devices, events)
    rig.check()


def test_entries_of_an_oversized_table_above_16_bits(rig: ItsRig) -> None:
    restorable(rig)
    rig.set_entry(DEVICES + 16, 0)
    rig.write(BASER0, VALID | L1 | 8)
    assert rig.restore() == 0
    assert rig.reset() == 0
    rig.set_tables()
    rig.write(BASER0, VALID | L1 | 8)
    rig.set_entry(L1 + 65536 * 8, dte())
    assert rig.restore() == errno.EINVAL


def test_restoring_a_table_that_leaves_ram(rig: ItsRig) -> None:
    restorable(rig)
    rig.write(BASER0, VALID | NOWHERE)
    assert rig.restore() == errno.EFAULT
    rig.write(BASER0, VALID | DEVICES)
    rig.write(BASER1, VALID | NOWHERE)
    assert rig.restore() == errno.EFAULT
    assert (rig.devices(), rig.collections()) == ({}, {})


def test_restoring_two_levels(rig: ItsRig) -> None:
    restorable(rig)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.set_entry(L1 + 8, L2)  # not valid: skipped
    rig.set_entry(L1 + 16, VALID | L2 + 0x1_0000)
    rig.set_entry(L1 + 24, VALID | L2 + 0x2_0000)
    rig.set_entry(L2, dte())
    rig.set_entry(L2 + 0x1_0008, dte(following=16000))  # into the next page, from whose start the walk goes on
    rig.set_entry(L2 + 0x2_0010, dte(ITT2))
    rig.set_entry(L2 + 0x2_0018, POISON | VALID)
    assert rig.restore() == 0
    assert rig.devices() == {16385: (ITT, 8), 24578: (ITT2, 8)}


def test_a_last_device_ends_all_levels(rig: ItsRig) -> None:
    restorable(rig)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.set_entry(L1, VALID | L2)
    rig.set_entry(L1 + 8, VALID | L2 + 0x1_0000)
    rig.set_entry(L2, dte())
    rig.set_entry(L2 + 0x1_0000, POISON | VALID)
    assert rig.restore() == 0
    assert list(rig.devices()) == [0]


def test_restore_needs_valid_tables(rig: ItsRig) -> None:
    restorable(rig)
    rig.write(BASER0, DEVICES)
    assert rig.restore() == 0
    assert (rig.devices(), rig.collections()) == ({}, {3: 3})


def test_restoring_twice(rig: ItsRig) -> None:
    """The collections are there: they go, and the events that are there become orphans."""
    restorable(rig)
    assert rig.restore() == 0
    assert rig.restore() == errno.EEXIST
    assert (rig.collections(), rig.events()) == ({}, {(2, 20): (8195, None)})
    assert rig.restore() == errno.EEXIST, "now it is the device that is there"
    assert (rig.devices(), rig.collections()) == ({}, {})
    rig.check()


def test_stale_events_of_a_reused_table_come_back(rig: ItsRig) -> None:
    """MAPD does not clear a device's table, and nothing in KVM minds."""
    rig.do(mapc(3, 3), mapd(2))
    rig.set_entry(ITT + 5 * 8, ite(8200, 3))
    rig.save()
    round_trip(rig)
    assert rig.events() == {(2, 5): (8200, 3)}


def test_discarded_and_unmapped_do_not_come_back(rig: ItsRig) -> None:
    rig.do(mapc(3, 3), mapd(2), mapd(7, 8, ITT2), mapti(2, 5, 8195, 3), mapti(7, 5, 8196, 3))
    rig.save()
    rig.do(discard(2, 5), mapd(7, valid=False))
    rig.save()
    round_trip(rig)
    assert (list(rig.devices()), rig.events()) == ([2], {})


def test_pending_bits_of_a_failed_restore_are_lost_unless_queued(rig: ItsRig) -> None:
    restorable(rig)
    rig.configure(8195, ENABLED)
    rig.set_pending_bit(8195, 3)
    rig.set_entry(ITT + 160, ite(8195, 3, 1))
    rig.set_entry(ITT + 168, ite(8196, 9))
    assert rig.restore() == errno.EINVAL
    assert not rig.pending_bit(8195, 3), "not put back"
    assert rig.taken(3) == 8195, "but it was queued"
    assert rig.lpis() == []


def test_several_events_of_one_lpi_the_first_decides(rig: ItsRig) -> None:
    restorable(rig)
    rig.set_entry(COLLECTIONS + 8, cte(0, 0))
    rig.set_entry(ITT + 160, ite(8195, 0, 1))
    rig.set_entry(ITT + 168, ite(8195, 3))
    assert rig.restore() == 0
    assert rig.target(8195) == 0


# -- a wrong order ----------------------------------------------------------------------------------


def test_enabled_too_early(rig: ItsRig) -> None:
    rig.do(mapc(3, 3))
    values = {offset: rig.user(offset) for offset in REGISTERS}
    rig.reset()
    for offset in (CBASER, BASER0, BASER1):
        rig.set_user(offset, values[offset])
    rig.set_user(CTLR, 1)
    rig.set_user(CBASER, VALID | QUEUE)
    assert rig.user(CBASER) == values[CBASER], "silently ignored"
    with pytest.raises(Exception, match="EBUSY"):
        rig.set_user(CREADR, values[CREADR])


def test_queue_pointers_forgotten_run_old_commands(rig: ItsRig) -> None:
    rig.do(mapc(3, 3))
    values = {offset: rig.user(offset) for offset in REGISTERS}
    rig.reset()
    for offset in (CBASER, CWRITER, BASER0, BASER1, CTLR):
        rig.set_user(offset, values[offset])
    assert rig.collections() == {3: 3}


def test_table_registers_after_the_tables(rig: ItsRig) -> None:
    restorable(rig)
    rig.restore()
    rig.set_user(BASER0, VALID | DEVICES | 1)
    rig.set_user(BASER1, VALID | COLLECTIONS | 1)
    assert (rig.devices(), rig.collections()) == ({}, {})


def test_redistributors_after_the_its(rig: ItsRig) -> None:
    """Without GICR_PROPBASER the configuration is read from elsewhere."""
    restorable(rig)
    rig.configure(8195, ENABLED)
    for n in range(4):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
    rig.set_gicr(GICR_PROPBASER, NOWHERE | 15)
    assert rig.restore() == errno.EFAULT
    rig.set_gicr(GICR_PROPBASER, CONFIG | 15)
    rig.set_gicr(GICR_PENDBASER, NOWHERE, 3)
    assert rig.restore() == errno.EFAULT
    rig.set_gicr(GICR_PENDBASER, PENDING + 0x3_0000, 3)
    assert rig.restore() == 0
    assert rig.lpi(8195).enabled


@pytest.mark.parametrize("attr", [ITS_SAVE_TABLES, ITS_RESTORE_TABLES])
def test_a_running_vcpu_forbids_both(attr: int, rig: ItsRig) -> None:
    restorable(rig)
    rig.vcpus[2].enter()
    with pytest.raises(Exception, match="EBUSY"):
        rig.device.set_attr(Group.CTRL, attr)
    assert rig.collections() == {}


def test_the_budget_bounds_a_restore(rig: ItsRig) -> None:
    restorable(rig)
    for cap in range(3):
        rig.dist.its_budget.cap = cap
        assert rig.restore() == errno.ENOMEM
        assert (rig.devices(), rig.collections(), rig.dist.its_budget.used) == ({}, {}, 0)
    rig.dist.its_budget.cap = 3
    assert rig.restore() == 0
