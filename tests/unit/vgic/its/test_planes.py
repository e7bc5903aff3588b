"""Numbers in bit planes are as numbers in a list."""

from random import Random
from typing import Final

import pytest

from vgic.its.planes import Planes, set_of, slots_of

SLOTS: Final = 200


@pytest.mark.parametrize("largest", [1, 2, 7, 8, 512])
def test_as_a_list(largest: int) -> None:
    dice = Random(largest)
    wanted = [dice.randint(0, largest) for _ in range(SLOTS)]
    planes = Planes(wanted, largest)
    for _ in range(100):
        some = sorted(dice.sample(range(SLOTS), dice.randrange(SLOTS)))
        number = dice.randint(0, largest)
        if dice.random() < 0.5:
            planes.assign(set_of(some), number)
            for slot in some:
                wanted[slot] = number
        assert slots_of(planes.having(set_of(some), number))[::-1] == [n for n in some if wanted[n] == number]
        assert [planes.get(n) for n in range(SLOTS)] == wanted


def test_a_slot_nobody_named_has_0() -> None:
    planes = Planes([3], 3)
    assert planes.get(1000) == 0
    planes.assign(1 << 1000, 2)
    assert (planes.get(0), planes.get(999), planes.get(1000)) == (3, 0, 2)


def test_an_empty_set() -> None:
    assert (set_of([]), slots_of(0)) == (0, [])
