"""The events of one device, side by side in its columns."""

import pytest

from vgic.irq import Irq
from vgic.its.devices import NOT_MAPPED, Collection, Device, Ite

EVENTS = {
    "none": [],
    "one": [7],
    "no gaps, from 0": [0, 1, 2, 3],
    "no gaps, from 5": [5, 6, 7],
    "a gap": [1, 2, 5, 6],
    "nothing but gaps": [0, 9, 20, 0xFFFF],
}


def make_device(eventids: list[int]) -> Device:
    device = Device(3, 0, 16)
    for eventid in eventids:
        device.add(eventid, Irq(8192 + eventid, False, False, None), Collection(eventid, None))
    return device


def intids(device: Device) -> list[tuple[int, int]]:
    return [(ite.eventid, ite.irq.intid) for ite in device.ites()]


@pytest.mark.parametrize("order", [1, -1], ids=["ascending", "descending"])
@pytest.mark.parametrize("eventids", EVENTS.values(), ids=EVENTS)
def test_an_event_is_found_where_it_is_and_nothing_beside_it(eventids: list[int], order: int) -> None:
    device = make_device(eventids[::order])
    found = {eventid: at for eventid in [*range(30), 0xFFFE, 0xFFFF, 1 << 32] if (at := device.at(eventid)) >= 0}
    assert found == {eventid: at for at, eventid in enumerate(eventids)}
    assert device.at(4) == NOT_MAPPED or 4 in eventids
    assert intids(device) == [(eventid, 8192 + eventid) for eventid in eventids]


@pytest.mark.parametrize("gone", [5, 6, 7], ids=["the first", "in between", "the last"])
def test_remove(gone: int) -> None:
    device = make_device([5, 6, 7])
    device.remove(device.at(gone))
    left = [eventid for eventid in (5, 6, 7) if eventid != gone]
    assert (device.at(gone), intids(device)) == (NOT_MAPPED, [(eventid, 8192 + eventid) for eventid in left])
    device.add(gone, Irq(9000, False, False, None), None)
    assert device.ite(gone) == Ite(device, gone, device.irqs[gone - 5], None)


def test_move() -> None:
    device, collection = make_device([1, 2, 5]), Collection(9, None)
    device.move(2, collection)
    before = device.ite(2)
    device.move(2, None)
    after = device.ite(2)
    assert before is not None
    assert after is not None
    assert (before.collection, after.collection) == (collection, None), "an Ite is what was so when it was asked for"
    assert [each.icid for each in device.collections if each is not None] == [1, 5]


def test_an_event_is_mapped_once() -> None:
    device = make_device([1, 2, 5])
    with pytest.raises(AssertionError, match="event 2 is mapped already"):
        device.add(2, device.irqs[0], None)
    with pytest.raises(AssertionError, match="event 3 is not mapped"):
        device.move(3, None)
