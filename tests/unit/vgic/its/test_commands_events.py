"""What commands do to events that are mapped: MOVI, MOVALL, DISCARD, CLEAR, INV, INVALL; and what stays in between.

Source: IHI 0069H, "ITS commands"; KVM: vgic_its_handle_command() and the handlers it calls.
"""

from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.its.events_rig import POISON, rig_with_events
from tests.unit.vgic.its.rig import (
    CBASER,
    CONFIG,
    CTLR,
    ENABLED,
    GICR_CTLR,
    GICR_PROPBASER,
    ITTS,
    NOWHERE,
    PENDING,
    PRIORITY,
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
    mapti,
    movall,
    movi,
    raise_event,
    sync,
)


@pytest.fixture
def rig() -> ItsRig:
    return rig_with_events()


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
    ite = rig.its.maps.find(2, event)
    assert ite is not None
    irq = ite.irq
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
    ite = rig.its.maps.find(2, event)
    assert ite is not None
    irq = ite.irq
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
