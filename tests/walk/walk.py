"""A random walk: steps drawn at random, done to the library and its naive model, and cut down when they fail.

Room:    above steps_host and steps_guest; test_walk and campaign run walks.
Holds:   the same setup and steps are the same walk; any step may follow any other, so that a failing walk can be
         cut down to the steps that matter.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from tests.walk import steps_guest, steps_host, steps_v2
from tests.walk.naive import NR_SGIS, Bank
from tests.walk.naive_cpu import SPURIOUS
from tests.walk.pair import ALL_BITS, DIST, Kind, Pair, Setup
from tests.walk.pair_v2 import PairV2

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
SHOWN_STEPS: Final = 30
LRS: Final = (1, 2, 3, 4, 4, 4, 8, 16)


class Step(NamedTuple):
    """One step: its name, and numbers that it takes what it needs of."""

    name: str
    a: int = 0
    b: int = 0
    c: int = 0


class WalkError(AssertionError):
    """A walk went wrong; the message has the setup and the last steps."""


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
    """Draw the steps of a walk: each walk leaves out some of the rarer ones and likes some others."""
    choices = [name for name, weight in COMMON.items() for _ in range(weight)]
    choices += [name for name in RARER for _ in range(rng.choice((0, 1, 2, 2, 6)))]
    return [
        Step(rng.choice(choices), rng.getrandbits(8), rng.getrandbits(8), rng.getrandbits(32)) for _ in range(count)
    ]


def run(setup: Setup, steps: Sequence[Step]) -> Pair:
    """Do a walk to its end.  Raises WalkError, caused by what went wrong."""
    done = 0
    try:
        pair = Pair(setup) if setup.kind is Kind.V3 else PairV2(setup)
        doings = STEPS if setup.kind is Kind.V3 else STEPS_V2
        for step in steps:
            doings[step.name](pair, step.a, step.b, step.c)
            done += 1
        drain(pair)
    except Exception as error:
        last = "\n".join(f"    {step}," for step in steps[max(0, done + 1 - SHOWN_STEPS) : done + 1])
        where = f"at step {done}" if done < len(steps) else f"draining after {done} steps"
        raise WalkError(f"{type(error).__name__}: {error}\n{where}; {setup}; the last steps:\n{last}") from error
    return pair


def fails(setup: Setup, steps: Sequence[Step]) -> bool:
    """Whether a walk goes wrong."""
    try:
        run(setup, steps)
    except WalkError:
        return True
    return False


def shrink(setup: Setup, steps: list[Step]) -> list[Step]:
    """Return the steps of a failing walk without those that it fails without, too."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(setup, fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps


def seeded(seed: int, count: int, kind: Kind | None = None) -> Pair:
    """Do the walk that a seed gives, of a certain kind if one is given.

    Raises WalkError, whose message has the seed and the walk cut down.
    """
    rng = Random(seed)
    setup, steps = random_setup(rng, kind), random_steps(rng, count)
    try:
        return run(setup, steps)
    except WalkError as error:
        short = shrink(setup, steps)
        listed = "\n".join(f"    {step}," for step in short)
        raise WalkError(f"seed {seed}: {error}\ncut down to {len(short)} steps:\n{listed}") from error


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
