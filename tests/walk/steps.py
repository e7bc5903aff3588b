"""What every random walk is made of: steps that are drawn, done one by one, told of and cut down when they fail.

Room:    below walk and its_walk, which say what their steps are and what they are done to.
Holds:   the same setup and steps are the same walk; any step may follow any other, so that a failing walk can be
         cut down to the steps that matter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final, NamedTuple, TypeVar

SHOWN_STEPS: Final = 30

P = TypeVar("P")


class Step(NamedTuple):
    """One step: its name, and numbers that it takes what it needs of."""

    name: str
    a: int = 0
    b: int = 0
    c: int = 0


class WalkError(AssertionError):
    """A walk went wrong; the message has the setup and the last steps."""


def drawn(
    rng: Random, count: int, common: Mapping[str, int], rarer: Sequence[str], weights: Sequence[int]
) -> list[Step]:
    """Draw steps: each walk has the common ones, leaves out some of the rarer ones and likes some others."""
    choices = [name for name, weight in common.items() for _ in range(weight)]
    choices += [name for name in rarer for _ in range(rng.choice(weights))]
    return [
        Step(rng.choice(choices), rng.getrandbits(8), rng.getrandbits(8), rng.getrandbits(32)) for _ in range(count)
    ]


def do(pair: P, doings: Mapping[str, Callable[[P, int, int, int], None]], steps: Iterator[Step]) -> None:
    """Do the steps that `told` hands out."""
    for step in steps:
        doings[step.name](pair, step.a, step.b, step.c)


@contextmanager
def told(setup: object, steps: Sequence[Step]) -> Iterator[Iterator[Step]]:
    """Hand out steps; what goes wrong meanwhile raises WalkError, which says where, in what, and the last steps."""
    done = 0

    def counted() -> Iterator[Step]:
        nonlocal done
        for step in steps:
            yield step
            done += 1

    try:
        yield counted()
    except Exception as error:
        where = f"at step {done}" if done < len(steps) else f"draining after {done} steps"
        last = _listed(steps[max(0, done + 1 - SHOWN_STEPS) : done + 1])
        raise WalkError(f"{type(error).__name__}: {error}\n{where}; {setup}; the last steps:\n{last}") from error


def fails(run: Callable[[list[Step]], object], steps: list[Step]) -> bool:
    """Whether a walk goes wrong."""
    try:
        run(steps)
    except WalkError:
        return True
    return False


def shrink(run: Callable[[list[Step]], object], steps: list[Step]) -> list[Step]:
    """Return the steps of a failing walk without those that it fails without, too."""
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fails(run, fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps


def cut_down_on_failure(seed: int, run: Callable[[list[Step]], P], steps: list[Step]) -> P:
    """Do the walk that a seed gave.  Raises WalkError, whose message has the seed and the walk cut down."""
    try:
        return run(steps)
    except WalkError as error:
        short = shrink(run, steps)
        raise WalkError(f"seed {seed}: {error}\ncut down to {len(short)} steps:\n{_listed(short)}") from error


def _listed(steps: Sequence[Step]) -> str:
    return "\n".join(f"    {step}," for step in steps)
