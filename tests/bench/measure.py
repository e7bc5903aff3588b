"""Measures one row: runs its workload under pytest-benchmark, states the result in the row's scale, judges it.

Room:    between the table (rows.py), the unit (unit.py) and the pytest hooks (conftest.py).
Owns:    Results, one entry for each row measured in this session.
Never:   measures when benchmarks are disabled: the workload then runs once, so that its assertions are still tested.
"""

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, ParamSpec, Protocol, TypeVar, final

import pytest

from tests.bench.rows import ROWS, Row, Scale
from tests.bench.unit import unit_ns

P = ParamSpec("P")
T = TypeVar("T")

NS_PER_MS: Final = 1_000_000
BYTES_PER_KB: Final = 1000


@dataclass(frozen=True, slots=True)
class Traced(Generic[T]):
    """Something built, and the bytes that stay allocated for it."""

    built: T
    size: int


class Stats(Protocol):
    """The part of pytest-benchmark's statistics that is used here; seconds for each call."""

    median: float
    iqr: float


class Metadata(Protocol):
    """pytest-benchmark's record of one benchmark."""

    stats: Stats


class Benchmark(Protocol):
    """The part of pytest-benchmark's fixture that is used here; its own class carries no types."""

    enabled: bool
    stats: Metadata

    def __call__(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...

    def pedantic(self, target: Callable[[Callable[[], T]], Traced[T]], args: tuple[Callable[[], T]]) -> Traced[T]: ...


@dataclass(frozen=True, slots=True)
class Result:
    """One measured row."""

    row: Row
    raw: float  # median: nanoseconds for each `per`, or bytes
    spread: float  # interquartile range, as `raw`; 0 for bytes
    unit_ns: float  # the unit as measured around the row: a machine's speed drifts; 0 for bytes

    @property
    def value(self) -> float:
        """`raw` in the row's scale, comparable with `must` and `goal`."""
        if self.row.scale is Scale.KB:
            return self.raw / BYTES_PER_KB
        return self.raw / (NS_PER_MS if self.row.scale is Scale.MS else self.unit_ns)


@dataclass(slots=True)
class Results:
    """What one session measured, and how much above a limit a row may be before it fails (None: any)."""

    factor: float | None
    by_row: dict[str, Result] = field(default_factory=dict)

    def add(self, row_id: str, result: Result) -> None:
        """Record `result`, then fail the running test if it is above the limit."""
        assert row_id not in self.by_row, f"row {row_id} is measured twice"
        self.by_row[row_id] = result
        if self.factor is not None and result.value > self.factor * result.row.must:
            scale = result.row.scale.value
            limit = f"{self.factor:g} times its must of {result.row.must:g} {scale}"
            pytest.fail(f"{row_id} takes {result.value:.4g} {scale}, above {limit}", pytrace=False)
        for seen in self.comparisons(result):
            if self.factor is not None and seen.value > self.factor * seen.must:
                pytest.fail(f"{row_id} takes {seen}, above {self.factor:g} times {seen.must:g}", pytrace=False)

    def comparisons(self, result: Result) -> "list[Comparison]":
        """How a row did beside the one it is compared with; nothing if there is none, or if that was not measured."""
        row = result.row
        other = None if row.beside is None else self.by_row.get(row.beside)
        if other is None:
            return []
        seen = []
        if row.times is not None:
            seen.append(Comparison(result.value / other.value, row.times, f"times {row.beside}"))
        if row.more is not None:
            seen.append(Comparison(result.value - other.value, row.more, f"more than {row.beside}"))
        return seen


@dataclass(frozen=True, slots=True)
class Comparison:
    """A row beside another."""

    value: float
    must: float
    what: str

    def __str__(self) -> str:
        return f"{self.value:.2f} {self.what}"


@final
class Measure:
    """One row, ready to be measured once."""

    __slots__ = ("_benchmark", "_id", "_per", "_results", "_row")

    def __init__(self, row_id: str, per: int, benchmark: Benchmark, results: Results) -> None:
        self._id = row_id
        self._row = ROWS[row_id]
        self._per = per  # how many of what the row counts one call does
        self._benchmark = benchmark
        self._results = results

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Time `function(*args)`; return what its last call returned."""
        assert self._row.scale is not Scale.KB, f"row {self._id} is a size: use size()"
        if not self._benchmark.enabled:
            return self._benchmark(function, *args, **kwargs)  # just calls it
        before = unit_ns()
        returned = self._benchmark(function, *args, **kwargs)
        unit = (before + unit_ns()) / 2
        stats = self._benchmark.stats.stats
        per_ns = 1e9 / self._per
        self._results.add(self._id, Result(self._row, stats.median * per_ns, stats.iqr * per_ns, unit))
        return returned

    def size(self, build: Callable[[], T]) -> T:
        """Count the bytes that stay allocated for what `build()` returns; return it."""
        assert self._row.scale is Scale.KB, f"row {self._id} is a time: call it"
        traced = self._benchmark.pedantic(_build_traced, args=(build,))
        if self._benchmark.enabled:
            self._results.add(self._id, Result(self._row, traced.size / self._per, 0, 0))
        return traced.built


@final
class RowFixture:
    """The `row` fixture: `row(id)(function, *args)` times, `row(id).size(build)` counts bytes.

    `per` says how many of what the row counts one call does: targets of a broadcast, interrupts queued.
    """

    __slots__ = ("_benchmark", "_results")

    def __init__(self, benchmark: Benchmark, results: Results) -> None:
        self._benchmark = benchmark
        self._results = results

    def __call__(self, row_id: str, per: int = 1) -> Measure:
        """The row `row_id` of rows.py; KeyError if there is none."""
        return Measure(row_id, per, self._benchmark, self._results)


def _build_traced(build: Callable[[], T]) -> Traced[T]:
    """Build under tracemalloc.

    The first call is not counted: tables built once for all VMs are not part of one VM.
    """
    build()
    gc.collect()
    tracemalloc.start()
    try:
        built = build()
        gc.collect()
        size, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Traced(built, size)
