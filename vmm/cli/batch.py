"""Many runs in a row, and one table of how they went.

Room:    below the commands; guests and suite say what is run.
Holds:   a run passes when it ends as its job expects; the table has a line for each, and the last line is the sum.
"""

import argparse
import gc
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from vmm.cli.console import Console, Reply
from vmm.cli.launch import UNWRITABLE, show, tell_failure, write_json
from vmm.cli.options import OFF, UsageError, config_of
from vmm.cli.outside import Live, Signals, caught_signals
from vmm.cli.report import Json, in_words, measure, table
from vmm.cli.session import DefectError, OutputError, Session
from vmm.cli.start import build
from vmm.config import IrqChip, MachineConfig
from vmm.loader import Images
from vmm.outcome import End, Outcome

PASS, FAIL, SKIP = "pass", "FAIL", "skip"
ALL_SKIPPED: Final = 77
SECONDS: Final = 60.0
"""Wall time that a run may take, if nobody says otherwise."""
PROMPT: Final = "Now migrate the VM"
"""What guests print that wait for a key once they have been migrated."""
MIGRATE: Final = Reply(PROMPT, b"x", migrate=True)

_SKIPPED: Final = 77
_SUMMARY: Final = re.compile(rb"^SUMMARY: ([0-9]+) tests?", re.MULTILINE)
_FAILED: Final = re.compile(rb"^FAIL: .*", re.MULTILINE)
_SHOWN: Final = 8
"""Lines of a failed run that are shown."""
_WIDTHS: Final = (9, 4, 6, 5, 12, 8)
_HEADS: Final = ("irqchip", "CPUs", "result", "tests", "instructions", "seconds")


@dataclass(frozen=True, slots=True)
class Job:
    """One run and how it is to end.

    seconds  of wall time it may take
    ends     with this end and status
    """

    name: str
    config: MachineConfig
    images: Images
    end: End = End.POWERED_OFF
    status: int | None = 1
    replies: Sequence[Reply] = (MIGRATE,)
    seconds: float = SECONDS


@dataclass(frozen=True, slots=True)
class Row:
    """How a job went; the machine is gone."""

    job: Job
    verdict: str
    words: str
    tests: int
    lines: Sequence[str]
    instructions: int = 0
    seconds: float = 0.0
    measured: Mapping[str, Json] = field(default_factory=dict)


def config_for(args: argparse.Namespace, irqchip: IrqChip, cpus: int, **more: object) -> MachineConfig:
    """Return one of several machines; those with fewer vCPUs than `--pcpus` share none.  Errors: UsageError."""
    pcpus = None if args.pcpus is None else min(args.pcpus, cpus)
    return config_of(argparse.Namespace(**{**vars(args), "irqchip": irqchip, "cpus": cpus, "pcpus": pcpus}), **more)


def run(args: argparse.Namespace, jobs: Iterable[Job]) -> int:
    """Run the jobs that `--only` leaves, print their table, and return the exit status.  Errors: UsageError."""
    for option in ("record", "replay", "dump_dtb", "dtb", "initrd", "params", "on", "save_on"):
        if getattr(args, option):
            raise UsageError(f"--{option.replace('_', '-')} is for one run, not for several")
    chosen = [job for job in jobs if args.only is None or fnmatchcase(job.name, args.only)]
    if not chosen:
        raise UsageError("no run is left of what the options choose")
    began = time.perf_counter()
    with caught_signals() as signals:
        rows = _run_all(args, chosen, signals)
    for row in rows:
        if row.verdict == FAIL:
            _explain(row)
    written = args.json is None or _write_json(args, rows)
    found = Counter(row.verdict for row in rows)
    left = f", {len(chosen) - len(rows)} not run" if len(rows) < len(chosen) else ""
    print(f"\n{len(rows)} runs in {time.perf_counter() - began:.1f} s{left}")
    print(f"{found[PASS]} passed, {found[FAIL]} failed, {found[SKIP]} skipped", flush=True)
    if not written:
        return UNWRITABLE
    if signals.caught:
        return End.INTERRUPTED.value
    return 1 if found[FAIL] else 0 if found[PASS] else ALL_SKIPPED


def _run_all(args: argparse.Namespace, jobs: Sequence[Job], signals: Signals) -> list[Row]:
    width = max(len(job.name) for job in jobs)
    print(f"{'name':<{width}}  {_columns(_HEADS)}", flush=True)
    rows: list[Row] = []
    for job in jobs:
        row = _run_one(args, job, signals)
        gc.collect()  # its machine has hundreds of megabytes and points to itself
        if signals.caught:
            print(f"interrupted in {job.name}: {signals.caught[0]}", flush=True)
            break
        rows.append(row)
        print(f"{job.name:<{width}}  {_columns(_cells(row))}", flush=True)
    return rows


def _run_one(args: argparse.Namespace, job: Job, signals: Signals) -> Row:
    console = Console(show if args.console != OFF and args.debug else None, job.replies, keep=True)
    seconds = args.timeout or job.seconds
    try:
        machine = build(job.config, job.images, console)
        result = Session(machine, console, Live(console, signals, timeout=seconds)).run()
    except (DefectError, OutputError, UsageError) as error:
        tell_failure("vgic run", error, debug=args.debug)
        return Row(job, FAIL, str(error), _tests(console), _lines(console))
    if args.stats:
        print(table(result), file=sys.stderr)
    return Row(
        job,
        _verdict(job, result.outcome),
        in_words(result.outcome),
        _tests(console),
        _lines(console),
        result.machine.counts.instructions,
        result.wall_seconds,
        measure(result),
    )


def _verdict(job: Job, outcome: Outcome) -> str:
    if (outcome.end, outcome.status) == (job.end, job.status):
        return PASS
    return SKIP if outcome.end is End.POWERED_OFF and outcome.status == _SKIPPED else FAIL


def _tests(console: Console) -> int:
    return sum(int(match[1]) for match in _SUMMARY.finditer(console.kept))


def _lines(console: Console) -> list[str]:
    """Return what shows best what was wrong: failed tests, or the last lines."""
    failed = [match[0].decode("ascii", "replace") for match in _FAILED.finditer(console.kept)]
    return failed[:_SHOWN] or console.watch.lines()[-_SHOWN:]


def _cells(row: Row) -> tuple[str, ...]:
    config = row.job.config
    return (
        config.irqchip.value,
        str(config.cpus),
        row.verdict,
        str(row.tests or "-"),
        f"{row.instructions:,}",
        f"{row.seconds:.2f}",
    )


def _columns(cells: Sequence[str]) -> str:
    first, *others = zip(cells, _WIDTHS, strict=True)
    return "  ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])


def _explain(row: Row) -> None:
    """Say what was wrong with a run."""
    config = row.job.config
    print(f"\n{row.job.name}, {config.irqchip.value}, {config.cpus} CPUs: {row.words}")
    for line in row.lines:
        print(f"    {line}")


def _write_json(args: argparse.Namespace, rows: Sequence[Row]) -> bool:
    """Write what `--json` asked for; False, and said so, if it cannot be."""
    measured = [
        {"name": row.job.name, "verdict": row.verdict, "words": row.words, "tests": row.tests, **row.measured}
        for row in rows
    ]
    try:
        write_json(args.json, measured)
    except OutputError as error:
        tell_failure("vgic run", error, debug=args.debug)
        return False
    return True
