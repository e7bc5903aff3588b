"""Tables restored from guest memory: round trips, every refusal, order of restore.

Source: KVM's arm-vgic-its.rst, "ITS Table ABI REV0"; vgic_its_restore_tables_v0().
"""

import errno
from typing import Final

import pytest

from tests.unit.vgic.its.entries import ITT, ITT2, L1, L2, POISON, REGISTERS, cte, dte, ite, round_trip
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


@pytest.fixture
def rig() -> ItsRig:
    return ItsRig(4)


# -- restoring ------------------------------------------------------------------------------------


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
