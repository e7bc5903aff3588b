"""Moved by KVM's own formats at a random point of its life, a VM goes on as if nothing had happened, but for LOSSES.

After the move the walk goes on with the restored library beside the naive model that forgot exactly what is listed.
"""

from collections.abc import Callable
from random import Random
from typing import Final

import pytest

from tests.walk.its_moved import LOSSES, move
from tests.walk.its_naive import NaiveVm
from tests.walk.its_pair import DEVICES, ItsPair, own
from tests.walk.its_walk import boot, finish, random_setup, random_steps, walk

SEEDS: Final = range(60)
STEPS_BEFORE: Final = 120
STEPS_AFTER: Final = 80
UNSAFE: Final = frozenset({"save", "reset", "restore", "register", "redist", "table", "user_register", "level1"})
"""Steps after which guest memory may be no good for a restore; test_its_damage has those.

Saving twice is one: what is unmapped in between stays in a device's table if the device is mapped there again.
"""


def walked(seed: int) -> tuple[ItsPair, Random]:
    """A VM in the middle of its life."""
    rng = Random(seed)
    pair = ItsPair(random_setup(rng)._replace(protected=False, tame=True))
    boot(pair)
    walk(pair, random_steps(rng, rng.randrange(STEPS_BEFORE), UNSAFE))
    if pair.setup.indirect and seed % 2:
        pair.store(own(0) + DEVICES + 8 * (seed // 2 % 2), bytes(8))
    return pair, rng


@pytest.mark.parametrize("seed", SEEDS)
def test_a_moved_vm_goes_on(seed: int) -> None:
    pair, rng = walked(seed)
    new, _ = move(pair)
    walk(new, random_steps(rng, STEPS_AFTER, UNSAFE))
    finish(new)


@pytest.fixture(scope="module")
def suffered() -> dict[str, int]:
    """Loss -> the first seed whose move shows it: without it in the list, the VM is not what the model says."""
    found: dict[str, int] = {}
    for seed in SEEDS:
        missing = [lose for lose in LOSSES if lose.__name__ not in found]
        if not missing:
            break
        lost = move(walked(seed)[0])[1]
        for lose in missing:
            if lose.__name__ in lost and _is_noticed(seed, lose):
                found[lose.__name__] = seed
    return found


def _is_noticed(seed: int, lose: Callable[[NaiveVm], None]) -> bool:
    """Whether the comparison fails when one loss is not allowed for."""
    pair = walked(seed)[0]
    try:
        move(pair, tuple(other for other in LOSSES if other is not lose))
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)
def test_every_loss_is_real(lose: Callable[[NaiveVm], None], suffered: dict[str, int]) -> None:
    """The list has nothing that is not lost."""
    assert lose.__name__ in suffered, f"no walk shows it: {lose.__doc__}"


def test_a_move_that_loses_nothing_is_possible() -> None:
    """A VM that has only booted, with LPIs pending, is moved without any loss but that of pending bits in memory."""
    pair = ItsPair(random_setup(Random(3))._replace(indirect=False, booted=True, tame=True, lrs=16))
    boot(pair)
    for eventid in range(6):
        pair.signal(pair.model.itss[0].base + 0x1_0040, eventid, eventid % 2)
    new, lost = move(pair)
    assert lost == {"pending_bits", "cached_translations"}
    assert sum(len(vcpu.ap_list) for vcpu in new.vm.vcpus) == 6
