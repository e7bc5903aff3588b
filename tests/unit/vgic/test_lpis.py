"""The store of LPIs: sorted, sparse, reference counted."""

import pytest

from vgic.irq import Irq
from vgic.lpis import LpiStore


@pytest.fixture
def store() -> LpiStore:
    store = LpiStore()
    for intid in (9000, 8192, 0x7FFF_FFFF):
        store.add(Irq(intid, False, False, None))
    return store


def test_get(store: LpiStore) -> None:
    irq = store.get(9000)
    assert irq is not None
    assert (irq.intid, irq.refs, irq.level, irq.group) == (9000, 1, False, 1), "no reference is taken"
    assert store.get(9001) is None
    assert len(store) == 3


def test_ascending_however_they_came(store: LpiStore) -> None:
    assert [irq.intid for irq in store.ascending()] == [8192, 9000, 0x7FFF_FFFF]


def test_the_store_may_change_during_a_walk(store: LpiStore) -> None:
    for irq in store.ascending():
        store.put(irq)
    assert len(store) == 0


def test_the_last_reference_forgets(store: LpiStore) -> None:
    irq = store.get(9000)
    assert irq is not None
    irq.refs += 2
    store.put(irq)
    store.put(irq)
    assert store.get(9000) is irq
    store.put(irq)
    assert store.get(9000) is None


def test_the_same_intid_again_is_another_lpi(store: LpiStore) -> None:
    old = store.get(9000)
    assert old is not None
    store.put(old)
    store.add(Irq(9000, False, False, None))
    assert store.get(9000) is not old
