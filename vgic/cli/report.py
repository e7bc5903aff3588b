"""What `vgic replay` shows: a line for each trace, the mismatches, a summary, JSON, and progress.

Room:    beside replay.
Never:   decides anything: it shows.
"""

import difflib
import json
from typing import TYPE_CHECKING, Final, TextIO, final

from vgic.cli.trace_file import Json, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vgic.cli.replay import Mismatch, TraceResult

WIDEST: Final = 240
"""Characters of one outcome or step; the JSON form has all of it."""

CLEAR_LINE: Final = "\r\x1b[K"


def show(text: str, stream: TextIO) -> None:
    """Print a line; characters that the stream cannot encode are escaped."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def describe(result: "TraceResult") -> str:
    """Return a line about one trace, followed by its mismatches."""
    verdict = "differs" if result.mismatches else "ok"
    lines = [f"{verdict:8}{result.path}: {result.matched} of {result.steps} steps matched"]
    for mismatch in result.mismatches:
        lines += [f"  {line}" for line in _mismatch(mismatch)]
    if result.executed < result.steps:
        lines.append(
            f"  stopped there: the last {result.steps - result.executed} steps were not replayed (see --limit)"
        )
    return "\n".join(lines)


def _mismatch(mismatch: "Mismatch") -> list[str]:
    step = mismatch.step
    return [
        f"line {step.line}: {_step(step)}",
        *_difference(step.expect, mismatch.got),
        *(f"    before: line {before.line}: {_step(before)}" for before in mismatch.before),
    ]


def _difference(expected: Json, got: Json) -> list[str]:
    """Return expected and got; for two texts, the lines that differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        recorded, text = expected.get("text"), got.get("text")
        if isinstance(recorded, str) and isinstance(text, str):
            rows = difflib.unified_diff(recorded.splitlines(), text.splitlines(), "expected", "got", lineterm="", n=0)
            return [f"    {row}" for row in rows]
    return [f"    expected {_short(expected)}", f"    got      {_short(got)}"]


def _step(step: Step) -> str:
    arguments = ", ".join(f"{_escaped(name)}={_short(value)}" for name, value in step.arguments().items())
    return f"{_escaped(step.op)}({arguments})"


def _escaped(name: str) -> str:
    return json.dumps(name)[1:-1]


def _short(value: Json) -> str:
    text = json.dumps(value)
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}..."


def summary(results: "Sequence[TraceResult]", unreadable: int) -> str:
    """Return the last line."""
    different = sum(1 for result in results if result.mismatches)
    steps, matched = _totals(results)
    unread = f", {unreadable} unreadable" if unreadable else ""
    return f"traces: {len(results) - different} match, {different} differ{unread}; {matched} of {steps} steps matched"


def as_json(results: "Sequence[TraceResult]") -> str:
    """Return everything as one JSON object."""
    steps, matched = _totals(results)
    traces: list[Json] = [
        {
            "file": str(result.path),
            "steps": result.steps,
            "matched": result.matched,
            "mismatches": [
                {"line": miss.step.line, "op": miss.step.op, "expected": miss.step.expect, "got": miss.got}
                for miss in result.mismatches
            ],
        }
        for result in results
    ]
    return json.dumps({"traces": traces, "steps": steps, "matched": matched})


def _totals(results: "Sequence[TraceResult]") -> tuple[int, int]:
    return sum(result.steps for result in results), sum(result.matched for result in results)


@final
class Progress:
    """Which trace is being replayed, on one line that is rewritten; nothing unless on a terminal."""

    def __init__(self, stream: TextIO, total: int) -> None:
        """Count up to `total`."""
        self._stream = stream
        self._total = total
        self._done = 0
        self._shown = stream.isatty()

    def show(self, name: str) -> None:
        """Say that the next trace has begun."""
        self._done += 1
        if self._shown:
            self._write(f"{CLEAR_LINE}{self._done}/{self._total} {_escaped(name)}")

    def clear(self) -> None:
        """Make room for a line of output."""
        if self._shown:
            self._write(CLEAR_LINE)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
