"""Devices, events, collections and the cache: who holds a reference of an LPI, and who gives it up."""

import pytest

from vgic.irq import Irq
from vgic.its.devices import Collection, Device
from vgic.its.maps import Budget, Maps
from vgic.lpis import LpiStore


@pytest.fixture
def lpis() -> LpiStore:
    return LpiStore()


@pytest.fixture
def maps(lpis: LpiStore) -> Maps:
    return Maps(lpis, Budget(100))


def add_event(maps: Maps, lpis: LpiStore, devid: int, eventid: int, intid: int, collection: Collection | None) -> Irq:
    device = maps.devices.get(devid)
    if device is None:
        device = Device(devid, 0, 8)
        assert maps.add_device(device)
    irq = lpis.get(intid)
    if irq is None:
        irq = Irq(intid, False, False, None)
        lpis.add(irq)
    else:
        irq.refs += 1
    device.add(eventid, irq, collection)
    assert maps.budget.take()
    return irq


def test_find(maps: Maps, lpis: LpiStore) -> None:
    irq = add_event(maps, lpis, 3, 7, 8192, None)
    found = maps.find(3, 7)
    assert found is not None
    assert found.irq is irq
    assert maps.find(3, 8) is maps.find(4, 7) is None


def test_sorted_however_they_came(maps: Maps, lpis: LpiStore) -> None:
    for devid, eventid in ((9, 5), (2, 1), (9, 3), (5, 0)):
        add_event(maps, lpis, devid, eventid, 8192 + eventid, None)
    assert list(maps.devices) == [2, 5, 9]
    assert list(maps.devices[9].eventids) == [3, 5]


def test_a_cached_translation_holds_one_reference(maps: Maps, lpis: LpiStore) -> None:
    irq = add_event(maps, lpis, 3, 7, 8192, None)
    maps.remember(3, 7, irq)
    maps.remember(3, 7, irq)
    assert irq.refs == 2
    maps.drop_cache()
    maps.drop_cache()
    assert irq.refs == 1, "given up once"
    assert maps.cache == {}


def test_removing_an_event(maps: Maps, lpis: LpiStore) -> None:
    irq = add_event(maps, lpis, 3, 7, 8192, None)
    add_event(maps, lpis, 3, 8, 8192, None)
    device = maps.devices[3]
    maps.remove_event(device, device.at(7))
    assert (irq.refs, maps.find(3, 7), len(lpis)) == (1, None, 1)
    maps.remove_event(device, device.at(8))
    assert len(lpis) == 0


def test_removing_a_device_empties_the_cache(maps: Maps, lpis: LpiStore) -> None:
    irq = add_event(maps, lpis, 3, 7, 8192, None)
    other = add_event(maps, lpis, 4, 7, 8193, None)
    maps.remember(3, 7, irq)
    maps.remember(4, 7, other)
    maps.remove_device(maps.devices[3])
    assert (list(maps.devices), maps.cache, lpis.get(8192), other.refs) == ([4], {}, None, 1)


def test_removing_devices(maps: Maps, lpis: LpiStore) -> None:
    for devid in range(3):
        maps.remember(devid, 0, add_event(maps, lpis, devid, 0, 8192 + devid, None))
    maps.remove_devices()
    assert (len(maps.devices), maps.cache, len(lpis)) == (0, {}, 0)


def test_an_lpi_that_is_queued_outlives_its_events(maps: Maps, lpis: LpiStore) -> None:
    irq = add_event(maps, lpis, 3, 7, 8192, None)
    irq.refs += 1  # a vCPU's list
    maps.remove_devices()
    assert lpis.get(8192) is irq


def test_removing_a_collection_makes_orphans(maps: Maps, lpis: LpiStore) -> None:
    one, two = Collection(1, None), Collection(2, None)
    assert maps.add_collection(one)
    assert maps.add_collection(two)
    for eventid, collection in enumerate((one, two, None)):
        add_event(maps, lpis, 3, eventid, 8192 + eventid, collection)
    maps.remove_collection(one)
    assert maps.collections == {2: two}
    assert maps.devices[3].collections == [None, two, None]
    maps.remove_collections()
    assert maps.collections == {}
    assert maps.devices[3].collections == [None, None, None]
    assert len(lpis) == 3, "orphans keep their LPIs"


def test_retarget_goes_by_the_collection_itself(maps: Maps, lpis: LpiStore) -> None:
    """Not by its id: an orphan of an earlier collection of that id is not found again."""
    irq = add_event(maps, lpis, 3, 7, 8192, Collection(1, None))
    maps.retarget(Collection(1, None))
    assert irq.target is None


def test_everything_mapped_is_paid_for_and_paid_back(lpis: LpiStore) -> None:
    maps = Maps(lpis, Budget(4))
    collection = Collection(1, None)
    assert maps.add_collection(collection)
    add_event(maps, lpis, 3, 7, 8192, collection)
    add_event(maps, lpis, 3, 8, 8192, None)
    assert maps.budget.used == 4
    assert not maps.add_device(Device(4, 0, 8))
    assert not maps.add_collection(Collection(2, None))
    assert (list(maps.devices), list(maps.collections), maps.budget.refused) == ([3], [1], 2)
    maps.remove_event(maps.devices[3], maps.devices[3].at(7))
    assert maps.budget.used == 3
    maps.remove_device(maps.devices[3])
    assert maps.budget.used == 1
    maps.remove_collection(collection)
    assert maps.budget.used == 0


def test_itss_share_a_budget(lpis: LpiStore) -> None:
    budget = Budget(3)
    one, two = Maps(lpis, budget), Maps(lpis, budget)
    assert one.add_device(Device(1, 0, 8))
    assert two.add_device(Device(1, 0, 8))
    assert two.add_collection(Collection(1, None))
    assert not one.add_collection(Collection(1, None))
    two.remove_collections()
    assert one.add_collection(Collection(1, None))
    one.remove_devices()
    assert budget.used == 2
