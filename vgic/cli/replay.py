"""`vgic replay`: run recorded traces through the public interface and compare every answer.

Room:    the command; `trace_file` reads, `replay_steps` executes in a `replay_vm`, `report` shows.
Holds:   a step counts as matched only when it was executed and its outcome is the recorded one.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from vgic.cli import Subparsers, report
from vgic.cli.replay_steps import execute
from vgic.cli.replay_vm import RECORDED, SUBSTITUTES, ReplayVm
from vgic.cli.trace_file import Json, JsonObject, Step, Trace, TraceFileError, find_traces, read_trace

ALL_MATCH: Final = 0
SOMETHING_DIFFERS: Final = 1
CANNOT_READ: Final = 2

DEFAULT_LIMIT: Final = 10
CONTEXT: Final = 5


@final
@dataclass(frozen=True, slots=True)
class Mismatch:
    """A step whose outcome is not the recorded one, and the steps just before it."""

    step: Step
    got: JsonObject
    before: list[Step]


@final
@dataclass(frozen=True, slots=True)
class TraceResult:
    """What became of one trace.  It was stopped when not every step was executed."""

    path: Path
    steps: int  # in the file
    executed: int
    mismatches: list[Mismatch]

    @property
    def matched(self) -> int:
        """Steps that were executed and gave what was recorded."""
        return self.executed - len(self.mismatches)


def replay_trace(trace: Trace, limit: int = DEFAULT_LIMIT, on: str | None = None) -> TraceResult:
    """Execute a trace until its end, or until `limit` steps differ (0: no limit).

    on  a machine of SUBSTITUTES, for a trace that was recorded on another; None: the recorded one.
    """
    machine = ReplayVm(RECORDED[trace.host] if on is None or on == trace.host else SUBSTITUTES[on])
    mismatches: list[Mismatch] = []
    executed = 0
    for step in trace.steps:
        got = execute(machine, step)
        if not agree(step.expect, got):
            mismatches.append(Mismatch(step, got, trace.steps[max(executed - CONTEXT, 0) : executed]))
        executed += 1
        if len(mismatches) == limit and limit:
            break
    return TraceResult(trace.path, len(trace.steps), executed, mismatches)


def agree(expect: Json, got: JsonObject) -> bool:
    """Whether two outcomes are the same; values are numbers, however their digits are written."""
    if got == expect:
        return True
    if not isinstance(expect, dict) or expect.keys() != got.keys():
        return False
    recorded, value = expect.get("value"), got.get("value")
    if not isinstance(recorded, str) or not isinstance(value, str):
        return False
    try:
        return int(recorded, 16) == int(value, 16)
    except ValueError:
        return False


def run(arguments: argparse.Namespace) -> int:
    """Replay every trace named, report, and return the exit status."""
    files: list[Path] = []
    unreadable: list[str] = []
    results: list[TraceResult] = []
    for path in arguments.paths:
        try:
            files += find_traces(path)
        except TraceFileError as error:
            unreadable.append(str(error))
    files = list(dict.fromkeys(files))
    progress = report.Progress(sys.stderr, len(files))
    for path in files:
        progress.show(str(path))
        try:
            result = replay_trace(read_trace(path), arguments.limit, arguments.on)
        except TraceFileError as error:
            unreadable.append(str(error))
            continue
        results.append(result)
        if not arguments.json:
            progress.clear()
            report.show(report.describe(result), sys.stdout)
    progress.clear()
    report.show(report.as_json(results) if arguments.json else report.summary(results, len(unreadable)), sys.stdout)
    for problem in unreadable:
        report.show(f"vgic replay: {problem}", sys.stderr)
    if unreadable:
        return CANNOT_READ
    return SOMETHING_DIFFERS if any(result.mismatches for result in results) else ALL_MATCH


def not_negative(text: str) -> int:
    """Read the argument of --limit."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def add_parser(subparsers: Subparsers) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "replay",
        help="replay traces recorded on a real KVM",
        description="Replay golden traces through the library's public interface and compare every answer with "
        "what KVM gave.",
        epilog="Exit status: 0 everything matched, 1 something differs, 2 a file cannot be read.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a .jsonl or .jsonl.gz file, or a folder")
    parser.add_argument(
        "--limit",
        type=not_negative,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="stop a trace after N mismatches (default %(default)s; 0: never)",
    )
    parser.add_argument(
        "--on",
        choices=tuple(SUBSTITUTES),
        help="replay on another machine: traces of a GICv2 host on a v3 that has the compatibility interface, "
        "those of a GICv3 host on a v4.0 or v4.1 that injects directly (default: as recorded)",
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    parser.set_defaults(func=run)
