"""Golden traces as files: finding them, reading them, and getting arguments out of a step.

Room:    below replay; knows the format, and nothing of what a step does.
Holds:   a `Trace` has a header this release understands.  Its steps may still be malformed: that is found, and
         raised as MalformedStepError, when an argument is asked for, so that one bad step spoils no other.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

FORMAT: Final = 1
HOSTS: Final = ("v2", "v3")
SUFFIXES: Final = (".jsonl", ".jsonl.gz")

_WORD64: Final = 1 << 64


class TraceFileError(Exception):
    """A file that cannot be replayed at all: the message says which one and why."""


class MalformedStepError(Exception):
    """A step that says nothing that could be done."""


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One recorded step.  `fields` is the whole JSON object, empty when the line held something else."""

    line: int  # in the file, from 1; the header has a line too
    op: str  # "?" when there is none
    fields: JsonObject

    @property
    def expect(self) -> Json:
        """What was recorded."""
        return self.fields.get("expect")

    def arguments(self) -> JsonObject:
        """Everything else."""
        return {name: value for name, value in self.fields.items() if name not in ("op", "expect")}

    def text(self, name: str) -> str:
        """Return a string.  Errors: MalformedStepError."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise self._malformed(name, "a string")
        return value

    def hexadecimal(self, name: str) -> int:
        """Return an unsigned 64-bit number written as a hexadecimal string.  Errors: MalformedStepError."""
        value = self.fields.get(name)
        if isinstance(value, str):
            try:
                number = int(value, 16)
            except ValueError:
                number = -1
            if 0 <= number < _WORD64:
                return number
        raise self._malformed(name, "an unsigned 64-bit number as a hexadecimal string")

    def number(self, name: str) -> int:
        """Return a JSON integer that is not negative.  Errors: MalformedStepError."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._malformed(name, "a number")
        return value

    def flag(self, name: str) -> bool:
        """Return a JSON boolean.  Errors: MalformedStepError."""
        value = self.fields.get(name)
        if not isinstance(value, bool):
            raise self._malformed(name, "true or false")
        return value

    def _malformed(self, name: str, wanted: str) -> MalformedStepError:
        if name not in self.fields:
            return MalformedStepError(f"{name} is missing")
        return MalformedStepError(f"{name} is {json.dumps(self.fields[name])}, not {wanted}")


@final
@dataclass(frozen=True, slots=True)
class Trace:
    """One scenario."""

    path: Path
    name: str
    host: str  # "v2" or "v3": the machine it was recorded on
    steps: list[Step]


def find_traces(path: Path) -> list[Path]:
    """Return the trace files that `path` stands for: itself, or all below it, sorted, when it is a folder.

    Errors: TraceFileError for a folder without traces, or one that cannot be searched.
    """
    try:
        if not path.is_dir():
            return [path]
        found = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
    except OSError as error:
        raise TraceFileError(f"{path}: {error.strerror}") from error
    if not found:
        raise TraceFileError(f"{path}: no {' or '.join(SUFFIXES)} file in this folder")
    return found


def read_trace(path: Path) -> Trace:
    """Read a trace, compressed if its name ends in ".gz".

    Errors: TraceFileError when it is missing, not gzip, not JSON, has no header or one of an unknown format.
    """
    lines = _json_lines(path)
    line, header = next(lines, (1, None))
    if not isinstance(header, dict) or "trace" not in header or "format" not in header:
        raise TraceFileError(f"{path}:{line}: no trace header")
    if header["format"] != FORMAT:
        raise TraceFileError(f"{path}:{line}: format {json.dumps(header['format'])}; this release reads {FORMAT}")
    host = header.get("host")
    if not isinstance(host, str) or host not in HOSTS:
        raise TraceFileError(f"{path}:{line}: host {json.dumps(host)}; known are {' and '.join(HOSTS)}")
    return Trace(path, str(header["trace"]), host, [_step(number, value) for number, value in lines])


def _step(line: int, value: Json) -> Step:
    fields = value if isinstance(value, dict) else {}
    op = fields.get("op")
    return Step(line, op if isinstance(op, str) else "?", fields)


def _json_lines(path: Path) -> Iterator[tuple[int, Json]]:
    """Yield line number and content of every line that is not blank.  Errors: TraceFileError."""
    for line, text in enumerate(_text(path).split("\n"), 1):
        if text.strip():
            try:
                yield line, json.loads(text)
            except (ValueError, RecursionError) as error:
                raise TraceFileError(f"{path}:{line}: not JSON: {error}") from error


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.name.endswith(".gz") else data).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TraceFileError(f"{path}: {reason}") from error
