"""A random walk: steps drawn at random, done to the library and its naive model, and cut down when they fail.

Room:    above steps_host and steps_guest; test_walk and campaign run walks.
"""

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Final

from tests.walk import steps_guest, steps_host, steps_v2
from tests.walk.naive import NR_SGIS, Bank
from tests.walk.naive_cpu import SPURIOUS
from tests.walk.pair import Pair
from tests.walk.pair_v2 import PairV2
from tests.walk.setup import ALL_BITS, DIST, Kind, Setup
from tests.walk.steps import Step, cut_down_on_failure, do, drawn, told

STEPS: Final = steps_v2.GICV3_HAS_NOT | steps_host.STEPS | steps_guest.STEPS
STEPS_V2: Final = STEPS | steps_v2.STEPS

COMMON: Final[dict[str, int]] = {
    "inject": 16,
    "enter": 16,
    "leave": 8,
    "ack": 10,
    "end": 10,
    "serve": 14,
    "bank": 6,
    "sgi": 5,
}
"""Steps that every walk has, and how often one is chosen."""

RARER: Final = tuple(name for name in STEPS if name not in COMMON)
LRS: Final = (1, 2, 3, 4, 4, 4, 8, 16)


def random_setup(rng: Random, kind: Kind | None = None) -> Setup:
    """Draw a machine and a VM, of a certain kind if one is given."""
    vcpus = rng.randint(1, 4)
    pri_bits = rng.randint(5, 8)
    return Setup(
        vcpus=vcpus,
        cpus=rng.randint(1, vcpus),
        lrs=rng.choice(LRS),
        pri_bits=pri_bits,
        pre_bits=rng.randint(5, min(pri_bits, 7)),
        trapped=rng.random() < 0.25,
        spread=rng.random() < 0.25,
        booted=rng.random() < 0.9,
        tied=rng.random() < 0.5,
        kind=rng.choice(list(Kind)) if kind is None else kind,
    )


def random_steps(rng: Random, count: int) -> list[Step]:
    """Draw the steps of a walk."""
    return drawn(rng, count, COMMON, RARER, (0, 1, 2, 2, 6))


def run(setup: Setup, steps: Sequence[Step]) -> Pair:
    """Do a walk to its end.  Raises WalkError, caused by what went wrong."""
    with told(setup, steps) as made:
        pair = Pair(setup) if setup.kind is Kind.V3 else PairV2(setup)
        do(pair, STEPS if setup.kind is Kind.V3 else STEPS_V2, made)
        drain(pair)
    return pair


def seeded(seed: int, count: int, kind: Kind | None = None) -> Pair:
    """Do the walk that a seed gives, of a certain kind if one is given.

    Raises WalkError, whose message has the seed and the walk cut down.
    """
    rng = Random(seed)
    setup, steps = random_setup(rng, kind), random_steps(rng, count)
    return cut_down_on_failure(seed, partial(run, setup), steps)


def drain(pair: Pair) -> None:
    """Silence the devices and let every guest take all it has: nothing that was latched may be missing."""
    model = pair.model
    for guest in model.guests:
        if guest.running:
            pair.exit(guest)
    for line in model.lines():
        if line.intid >= NR_SGIS:
            index = DIST if line.home is None else line.home.index
            pair.drive(index, line.intid, False)
            pair.vm.inject(line.intid, False, vcpu=None if index == DIST else pair.vm.vcpus[index], owner=line.owner)
            model.inject(line, False, line.owner)
    pair.settle()
    for guest in model.guests:
        pair.enter(guest, None)
        pair.recover(guest)
        for line in model.spis:
            if line.target is None:
                pair.write_route(guest, line, guest.affinity, 8)
        pair.write_bank(guest, Bank.ENABLE, DIST, ALL_BITS)
        pair.exit(guest)
    taken = -1
    while pair.delivered != taken:
        taken = pair.delivered
        for guest in model.guests:
            pair.enter(guest, None)
            while pair.serve(guest) != SPURIOUS:
                pass
            pair.exit(guest)
    for irq, line in pair.pairs:
        assert line.priority >= model.guests[0].pmr or not irq.is_pending(), f"INTID {irq.intid} was never delivered"
    pair.drained()
