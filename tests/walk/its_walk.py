"""A random walk of VMs with ITSs: steps drawn at random, done to the library and the naive model, cut down on failure.

Room:    above its_steps; test_its_walk and campaign run walks.
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Final

from tests.walk.its_naive_cpu import SPURIOUS
from tests.walk.its_naive_lpi import VALID
from tests.walk.its_pair import ITT_SIZE, ITTS, ItsPair, ItsSetup, own, words
from tests.walk.its_steps import STEPS, set_up, step_redist_right
from tests.walk.steps import Step, cut_down_on_failure, do, drawn, told

COMMON: Final[dict[str, int]] = {
    "commands": 60,
    "map": 20,
    "known_message": 60,
    "message": 10,
    "enter": 30,
    "exit": 20,
    "ack": 15,
    "end": 20,
    "serve": 40,
    "redist_right": 15,
    "right": 15,
    "config": 8,
    "rejected": 15,
}
"""Steps that every walk has, and how often one is chosen."""

RARER: Final = tuple(name for name in STEPS if name not in COMMON)
LRS: Final = (1, 2, 4, 4, 16)


def random_setup(rng: Random) -> ItsSetup:
    return ItsSetup(
        vcpus=rng.randint(1, 4),
        itss=rng.randint(1, 3),
        lrs=rng.choice(LRS),
        indirect=rng.random() < 0.4,
        spread=rng.random() < 0.5,
        protected=rng.random() < 0.2,
        booted=rng.random() < 0.9,
    )


def random_steps(rng: Random, count: int, without: frozenset[str] = frozenset()) -> list[Step]:
    """Draw the steps of a walk."""
    return drawn(rng, count, COMMON, [name for name in RARER if name not in without], (0, 1, 1, 2, 4))


def boot(pair: ItsPair) -> None:
    """What a kernel does first: tables, collections, a few devices with events."""
    for guest in pair.model.vcpus:
        pair.enter(guest)
        pair.start(guest)
        pair.switch(guest, pair.setup.booted)
    if pair.setup.booted:
        ids = [guest.vcpu_id for guest in pair.model.vcpus]
        for guest in pair.model.vcpus:
            step_redist_right(pair, guest.index, guest.index, 0)
        for its in range(pair.setup.itss):
            set_up(pair, its, pair.model.vcpus[0])
            pair.push(its, [words(9, 0, 0, VALID | ids[n % len(ids)] << 16 | n) for n in range(3)])
            pair.push(its, [words(8, n, 4, VALID | own(its) + ITTS + n * ITT_SIZE) for n in range(2)])
            pair.push(its, [words(10, n % 2, 8192 + n << 32 | n, n % 3) for n in range(6)])
    pair.all_out()


def walk(pair: ItsPair, steps: Sequence[Step]) -> None:
    """Do steps.  Raises WalkError, caused by what went wrong."""
    with told(pair.setup, steps) as made:
        do(pair, STEPS, made)


def run(setup: ItsSetup, steps: Sequence[Step]) -> ItsPair:
    """Do a walk from boot to the end, where nothing may be left behind.  Raises WalkError."""
    with told(setup, steps) as made:
        pair = ItsPair(setup)
        boot(pair)
        do(pair, STEPS, made)
        finish(pair)
    return pair


def finish(pair: ItsPair) -> None:
    """Serve what is deliverable, reset every ITS, disable LPIs: no LPI is left but what some guest never ended."""
    pair.all_out()
    for _ in range(2):
        for guest in pair.model.vcpus:
            pair.enter(guest)
            pair.switch(guest, True)
            while pair.acknowledge(guest) != SPURIOUS:
                pair.end(guest, pair.acked[guest.index].pop())
            pair.exit(guest)
    for its in range(pair.setup.itss):
        pair.control(its, 4)
    for guest in pair.model.vcpus:
        pair.enter(guest)
        for owner in pair.model.vcpus:
            pair.write_redist(guest, owner, 0, 4, 1)
            pair.write_redist(guest, owner, 0, 4, 0)
        pair.exit(guest)
    left = [irq.intid for irq in pair.dist.lpis.ascending()]
    assert not left, f"LPIs {left} were left behind"


def seeded(seed: int, count: int) -> ItsPair:
    """Do the walk that a seed gives.  Raises WalkError, whose message has the seed and the walk cut down."""
    rng = Random(seed)
    setup, steps = random_setup(rng), random_steps(rng, count)
    return cut_down_on_failure(seed, partial(run, setup), steps)
