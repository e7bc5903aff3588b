"""pytest's side of the benchmark rows: the options, the `row` fixture and the closing table.

--assert-units FACTOR   a row above FACTOR times its `must` fails, or FACTOR times what it may take of the row beside it
--rows-json FILE        write every row's median (nanoseconds or bytes) for compare.py
"""

import json
import platform
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.bench.measure import Benchmark, Comparison, Result, Results, RowFixture
from tests.bench.rows import ROWS, Scale

RESULTS: Final = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vgic rows")
    group.addoption("--assert-units", type=float, metavar="FACTOR", help="fail rows above FACTOR times their must")
    group.addoption("--rows-json", type=Path, metavar="FILE", help="write each row's median to FILE")


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> Results:
    # In a run of the whole suite this conftest is loaded after the command line was read: the options do not exist.
    factor = pytestconfig.getoption("--assert-units", None)
    assert factor is None or isinstance(factor, float)
    return pytestconfig.stash.setdefault(RESULTS, Results(factor))


@pytest.fixture
def row(benchmark: Benchmark, results: Results) -> RowFixture:
    return RowFixture(benchmark, results)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(RESULTS, None)
    if found is None or not found.by_row:
        return
    terminalreporter.section(f"benchmark rows, {_interpreter()}")
    for line in table(found):
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = session.config.stash.get(RESULTS, None)
    path = session.config.getoption("--rows-json", None)
    if found is None or path is None:
        return
    assert isinstance(path, Path)
    rows = {row_id: result.raw for row_id, result in found.by_row.items()}
    path.write_text(json.dumps({"library": _library(), "rows": rows}), encoding="utf-8")


def table(results: Results) -> list[str]:
    """One line for each row of ROWS, measured or not; a row beside another is also compared with that."""
    by_row = results.by_row
    lines = [f"{'row':36}{'median':>14}{'iqr':>12}{'unit ns':>9}{'result':>13}{'must':>7}{'goal':>7}"]
    for row_id, row in ROWS.items():
        goal = "-" if row.goal is None else f"{row.goal:g}"
        limits = f"{row.must:>7g}{goal:>7}"
        if row_id in by_row:
            result = by_row[row_id]
            lines.append(
                f"{row_id:36}{_measured(result)}{limits}  {_verdict(result)}{_beside(results.comparisons(result))}"
            )
        else:
            lines.append(f"{row_id:36}{'':48}{limits}  not measured")
    return lines


def _measured(result: Result) -> str:
    value = f"{result.value:.4g} {result.row.scale.value}"
    if result.row.scale is Scale.KB:
        return f"{result.raw:>12,.0f} B{'':21}{value:>13}"
    return f"{result.raw:>11,.1f} ns{result.spread:>9,.1f} ns{result.unit_ns:>9.1f}{value:>13}"


def _verdict(result: Result) -> str:
    if result.row.goal is not None and result.value <= result.row.goal:
        return "goal met"
    return "ok" if result.value <= result.row.must else "ABOVE MUST"


def _beside(comparisons: list[Comparison]) -> str:
    return "".join(f", {seen}{'' if seen.value <= seen.must else f': ABOVE {seen.must:g}'}" for seen in comparisons)


def _interpreter() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return python if not _library() else f"{python}, {'interpreted' if _library().endswith('.py') else 'compiled'}"


def _library() -> str:
    """The file that vgic's hottest module was loaded from, or "" if no row loaded it."""
    module = sys.modules.get("vgic.irq")
    return "" if module is None else str(module.__file__)
