"""compare.py's statistics: the interval's ranks are those of the published tables of the sign test."""

import pytest

from tests.bench.compare import Interval, median_interval, verdict

RANKS = {
    "6 values: the extremes": (6, Interval(1, 6)),
    "8 values: still the extremes": (8, Interval(1, 8)),
    "9 values: one cut off at each end": (9, Interval(2, 8)),
    "15 values: three": (15, Interval(4, 12)),
    "20 values: five": (20, Interval(6, 15)),
    "30 values: nine": (30, Interval(10, 21)),
}


@pytest.mark.parametrize(("n", "want"), RANKS.values(), ids=RANKS)
def test_interval_of_a_median_by_ranks(n: int, want: Interval) -> None:
    assert median_interval([float(n - i) for i in range(n)]) == want


def test_an_interval_around_one_shows_no_difference() -> None:
    assert verdict(Interval(0.98, 1.01)) == "no difference shown"
    assert verdict(Interval(0.90, 0.99)) == "faster"
    assert verdict(Interval(1.01, 1.20)) == "slower"
