"""Long queues of commands that concern many events agree with the naive model, which does one after the other.

The ITS walks' own queues are short; sets (vgic.its.batch) come into play with the second such command of a queue.
"""

from random import Random
from typing import Final

import pytest

from tests.walk.its_naive_lpi import VALID
from tests.walk.its_pair import ItsPair, words
from tests.walk.its_steps import a_guest, command, set_up, step_redist_right
from tests.walk.its_walk import boot, finish, random_setup, random_steps, walk

SEEDS: Final = range(16)
ROUNDS: Final = 30
STEPS_BETWEEN: Final = 6
LONGEST: Final = 120
HEAVY: Final = 0.6


def heavy(pair: ItsPair, its: int, rng: Random) -> bytes:
    """INVALL, MOVALL, MAPC, or what brings an event somewhere else."""
    ids = [vcpu.vcpu_id for vcpu in pair.model.vcpus]
    icid, vcpu = rng.randrange(4), rng.choice(ids)
    intid, event, devid = 8192 + rng.randrange(10), rng.randrange(6), rng.randrange(4)
    return rng.choice(
        (
            *(words(13, 0, 0, icid),) * 2,
            *(words(14, 0, 0, vcpu << 16, rng.choice(ids) << 16),) * 2,
            words(9, 0, 0, VALID | vcpu << 16 | icid),
            words(9, 0, 0, VALID * (rng.random() < 0.5) | vcpu << 16 | icid),
            words(1, devid, event, icid),
            words(3, devid, event),
            words(10, devid, intid << 32 | event, icid),
        )
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_storms_agree(seed: int) -> None:
    rng = Random(seed)
    pair = ItsPair(random_setup(rng))
    boot(pair)
    for _ in range(ROUNDS):
        walk(pair, random_steps(rng, STEPS_BETWEEN))
        its = rng.randrange(pair.setup.itss)
        if rng.random() < HEAVY:  # or the walk may have left it disabled, its tables and its queue anywhere
            guest = a_guest(pair, 0)
            set_up(pair, its, guest)
            step_redist_right(pair, guest.index, rng.randrange(4), rng.randrange(2))
        storm = [
            heavy(pair, its, rng) if rng.random() < HEAVY else command(pair, its, rng)
            for _ in range(rng.randrange(LONGEST))
        ]
        pair.push(its, storm)
    finish(pair)
