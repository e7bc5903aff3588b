"""Is the working tree faster than revision REV?  Usage: compare.py REV [--pairs N] [--rows EXPRESSION].

Room:    a program beside the rows; standard library only.
Holds:   both libraries answer the same questions: the working tree's tests/ is laid over a checkout of REV.
         Runs alternate (old new, new old, ...), so that a drift of the machine falls on both alike.
         A row that REV cannot run (it lacks what the row needs) is named and left out.

Prints, for each row, the median of the paired ratios new/old with an interval that holds the true median with at
least 95% confidence: order statistics under the binomial distribution, which assume nothing about the noise.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import comb
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
MIN_PAIRS: Final = 15
ALPHA: Final = 0.05
SECONDS_A_ROW: Final = 0.1


class Interval(NamedTuple):
    """A confidence interval of a median."""

    low: float
    high: float


def median_interval(values: Sequence[float]) -> Interval:
    """The narrowest symmetric pair of order statistics whose confidence is at least 95%; needs six values."""
    ordered = sorted(values)
    n = len(ordered)
    below = 0  # how many values may be cut off at each end; 2 * P(Binomial(n, 1/2) <= below) stays under ALPHA
    tail = 2 * (1 + n) / 2**n
    assert 2 / 2**n <= ALPHA, f"{n} values cannot give an interval of 95%"
    while tail <= ALPHA:
        below += 1
        tail += 2 * comb(n, below + 1) / 2**n
    return Interval(ordered[below], ordered[n - 1 - below])


def measure(tree: Path, rows: str, out: Path) -> dict[str, float]:
    """Run the rows on the library in `tree`; median nanoseconds or bytes by row id.

    A row that fails is left out of the old tree's answer, and ends the program in the working tree.
    """
    out.unlink(missing_ok=True)
    options = ["--benchmark-enable", "--benchmark-only", "--benchmark-quiet", f"--benchmark-max-time={SECONDS_A_ROW}"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "--continue-on-collection-errors",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    command += [f"tests/bench/test_rows{kind}.py" for kind in ("", "_v2", "_its")]
    command += ["-k", rows, f"--rows-json={out}"]
    ran = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if not out.exists() or (ran.returncode and tree == ROOT):
        raise SystemExit(f"rows failed in {tree}:\n{ran.stdout}{ran.stderr}")
    report = json.loads(out.read_text(encoding="utf-8"))
    library = report["library"]
    assert not library or Path(library).is_relative_to(tree), f"{library} was measured instead of {tree}"
    return {str(row_id): float(raw) for row_id, raw in report["rows"].items()}


@contextmanager
def checkout(rev: str) -> Iterator[Path]:
    """A temporary work tree of `rev` under the working tree's tests/; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="vgic-compare-") as scratch:
        tree = Path(scratch).resolve() / "old"
        git = ["git", "-C", str(ROOT), "worktree"]
        if subprocess.run([*git, "add", "--quiet", "--detach", str(tree), rev], check=False).returncode:
            raise SystemExit(f"git cannot check out {rev}")
        try:
            shutil.rmtree(tree / "tests", ignore_errors=True)
            shutil.copytree(ROOT / "tests", tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def compare(old: Path, pairs: int, rows: str, out: Path) -> Iterator[str]:
    """Measure both trees `pairs` times; the lines of the report."""
    first_new, first_old = measure(ROOT, rows, out), measure(old, rows, out)  # also warms the bytecode caches
    for row_id in sorted(first_new.keys() - first_old.keys()):
        yield f"{row_id:36} not compared: the old revision cannot run it"
    common = [row_id for row_id in first_new if row_id in first_old]
    ratios: dict[str, list[float]] = {row_id: [] for row_id in common}
    for pair in range(pairs):
        if pair % 2:
            new = measure(ROOT, rows, out)
            before = measure(old, rows, out)
        else:
            before = measure(old, rows, out)
            new = measure(ROOT, rows, out)
        for row_id in common:
            ratios[row_id].append(new[row_id] / before[row_id])
    yield f"{'row':36}{'new/old':>9}{'95% interval':>18}"
    for row_id in common:
        low, high = interval = median_interval(ratios[row_id])
        yield f"{row_id:36}{median(ratios[row_id]):>9.3f}{low:>10.3f}..{high:.3f}  {verdict(interval)}"


def verdict(interval: Interval) -> str:
    """What the interval allows to be said."""
    if interval.high < 1:
        return "faster"
    return "slower" if interval.low > 1 else "no difference shown"


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(description="Compare the working tree's speed with revision REV.")
    parser.add_argument("rev", metavar="REV")
    parser.add_argument("--pairs", type=int, default=MIN_PAIRS, help=f"paired runs, at least {MIN_PAIRS}")
    parser.add_argument("--rows", default="test", help="only these rows: a pytest -k expression over row ids")
    args = parser.parse_args()
    if args.pairs < MIN_PAIRS:
        parser.error(f"--pairs {args.pairs}: fewer than {MIN_PAIRS} pairs say too little")
    with checkout(args.rev) as old:
        sys.stdout.write(f"{args.pairs} pairs, working tree / {args.rev}, Python {sys.version.split()[0]}\n")
        for line in compare(old, args.pairs, args.rows, old.parent / "rows.json"):
            sys.stdout.write(line + os.linesep)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
