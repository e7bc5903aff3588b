"""The unit in which every benchmark row is stated: one bare method call.

Room:    beneath the rows; standard library only.
Owns:    the definition of the unit and the loop that times it.
Holds:   the loop is pytest-benchmark's: a round is many calls through *args and **kwargs between two clock
         readings, and the figure is the median over rounds.  test_rows.py checks that the two agree.
"""

import statistics
from collections.abc import Callable
from time import perf_counter_ns
from typing import Final, final

ROUND_NS: Final = 10_000
"""A round lasts at least this long, so that the clock's resolution does not show; nanoseconds.  As pytest-benchmark."""

TOTAL_NS: Final = 100_000_000
"""How long the unit is measured; nanoseconds.  Long enough for thousands of rounds."""


@final
class Bare:
    """The cheapest object that has a method."""

    __slots__ = ()

    def m(self) -> None:
        """Do nothing: what remains is the call."""


def unit_ns() -> float:
    """Nanoseconds of one bare method call, here and now: the median over rounds."""
    bare_call = Bare().m
    calls = 1
    while (once := _round_ns(bare_call, calls)) < ROUND_NS:
        calls *= 2
    rounds = max(5, TOTAL_NS // once)
    return statistics.median(_round_ns(bare_call, calls) for _ in range(rounds)) / calls


def _round_ns(function: Callable[..., None], calls: int, *args: object, **kwargs: object) -> int:
    """Nanoseconds that `calls` calls of `function` take, the loop around them included."""
    repeat = range(calls)
    start = perf_counter_ns()
    for _ in repeat:
        function(*args, **kwargs)
    return perf_counter_ns() - start
