"""Recordings: what came from outside during a run, and how it ended, so that it can be run again.

Room:    below the commands; beside session, whose events these are.
Owns:    the file's format: JSON lines; a header, then events in the order they happened, then the end.

    header  {"vgic": FORMAT, "version": 1, "config": {...}, "params": "...", "images": {"kernel": "HASH"},
             "made_by": {"engine": "...", "vgic": "..."}}
    event   {"poll": N, "instructions": N, "tick": N, "to": N, "keys": "HEX"}
            or, instead of or beside keys, "end": "TIMEOUT", "detail": "..."
    end     {"result": "POWERED_OFF", "detail": "", "status": 1, "instructions": N, "tick": N,
             "events": "HASH", "event_count": N, "console": "HASH", "console_bytes": N}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, final

from vmm.cli.files import read_if
from vmm.cli.outside import Event, Moment
from vmm.cli.session import DivergedError, OutputError, Result
from vmm.config import ConfigError, MachineConfig
from vmm.configjson import as_json, from_json
from vmm.outcome import End, Outcome

FORMAT: Final = "recording of vgic run"
VERSION: Final = 1

Json: TypeAlias = "bool | int | str | Mapping[str, Json] | Sequence[Json] | None"


class RecordingError(Exception):
    """A file that is no recording, or a damaged one; the message has its name and line."""


@dataclass(frozen=True, slots=True)
class Header:
    """What was run.

    images   hash of each by its name in Images
    made_by  versions, for who looks for the cause of a difference
    """

    config: MachineConfig
    params: str
    images: dict[str, str]
    made_by: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended; of two runs, the same when the runs were."""

    result: str
    detail: str
    status: int | None
    instructions: int
    tick: int
    events: str
    event_count: int
    console: str
    console_bytes: int

    def differences(self, other: "Ending") -> list[str]:
        """Say in which points `other`, a replay, is another run."""
        return [
            f"{field.name.replace('_', ' ')}: recorded {mine!r}, now {theirs!r}"
            for field in fields(self)
            if (mine := getattr(self, field.name)) != (theirs := getattr(other, field.name))
        ]


def ending_of(result: Result) -> Ending:
    """Return how a run ended."""
    machine, console, outcome = result.machine, result.console, result.outcome
    digest = console.digest()
    return Ending(
        outcome.end.name,
        outcome.detail,
        outcome.status,
        machine.counts.instructions,
        machine.clock.now(),
        machine.events.digest(),
        machine.events.total,
        digest,
        console.count,
    )


@final
class Recorder:
    """Writes a recording while a session runs."""

    def __init__(self, path: Path, header: Header) -> None:
        """Create the file.  Errors: OSError; OutputError, of every method, when it cannot be written."""
        self._path = path
        self._file = path.open("w", encoding="utf-8", errors="surrogateescape")
        self._write(
            {
                "vgic": FORMAT,
                "version": VERSION,
                "config": as_json(header.config),
                "params": header.params,
                "images": header.images,
                "made_by": header.made_by,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        self._file.close()

    def note(self, now: Moment, event: Event) -> None:
        """Record an event."""
        line: dict[str, Json] = {"poll": now.poll, "instructions": now.instructions, "tick": now.tick, "to": event.tick}
        if event.keys:
            line["keys"] = event.keys.hex()
        if event.end is not None:
            line |= {"end": event.end.end.name, "detail": event.end.detail}
        self._write(line)

    def end(self, result: Result) -> None:
        """Record the end."""
        self._write(asdict(ending_of(result)))

    def _write(self, line: Mapping[str, Json]) -> None:
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write the recording {self._path}: {error.strerror or error}") from error


@final
class Recording:
    """A recording that was read: the Outside of a run that is to be the same again."""

    __slots__ = ("_events", "_next", "ending", "header")

    def __init__(self, header: Header, events: list[tuple[Moment, Event]], ending: Ending) -> None:
        self.header = header
        self.ending = ending
        self._events = events
        self._next = 0

    def look(self, now: Moment, ticks: int | None) -> Event | None:
        """Return what happened at this poll.  Errors: DivergedError."""
        if self._next == len(self._events):
            return None
        then, event = self._events[self._next]
        if then.poll > now.poll:
            if ticks is None:
                raise DivergedError(f"all vCPUs wait at {_words(now)}; the next recorded event is at {_words(then)}")
            return None
        if then != now:
            raise DivergedError(f"an event that was recorded at {_words(then)} would now be at {_words(now)}")
        self._next += 1
        return event


def _words(moment: Moment) -> str:
    return f"instruction {moment.instructions}, tick {moment.tick} (poll {moment.poll})"


# -- reading -------------------------------------------------------------------------------------


def read_recording(path: Path) -> Recording:
    """Read a recording.  Errors: OSError, RecordingError."""
    lines = read_if(path, b"{").split(b"\n")
    number = 1  # of the line being read
    try:
        header = _header(_Line(lines[0]))
        events: list[tuple[Moment, Event]] = []
        while number < len(lines) - 2:
            number += 1
            events.append(_event(_Line(lines[number - 1]), events[-1][0].poll if events else 0))
        number += 1
        if len(lines) < 3:
            raise ValueError("the run's end is missing")
        ending = _ending(_Line(lines[number - 1]))
        if lines[-1]:
            number += 1
            raise ValueError("more than the run's end")
    except ValueError as error:
        raise RecordingError(f"{path}, line {number}: {error}") from None
    return Recording(header, events, ending)


class _Line:
    """One line's members, each to be asked for once.  Every method raises ValueError."""

    def __init__(self, line: bytes) -> None:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise ValueError("this is no line of a recording")
        self._left: dict[str, object] = value

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def number(self, name: str) -> int:
        value = self._left.pop(name, None)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise ValueError(f"{name!r} is {value!r}, not a number")
        return value

    def number_or_none(self, name: str) -> int | None:
        if name in self and self._left[name] is None:
            del self._left[name]
            return None
        return self.number(name)

    def text(self, name: str) -> str:
        value = self._left.pop(name, None)
        if not isinstance(value, str):
            raise ValueError(f"{name!r} is {value!r}, not a text")
        return value

    def texts(self, name: str) -> dict[str, str]:
        value = self._left.pop(name, None)
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise ValueError(f"{name!r} is {value!r}, not names with texts")
        return value

    def members(self, name: str) -> dict[str, object]:
        value = self._left.pop(name, None)
        if not isinstance(value, dict):
            raise ValueError(f"{name!r} is {value!r}, not an object")
        return value

    def end(self, name: str) -> End:
        value = self.text(name)
        if value not in End.__members__:
            raise ValueError(f"{name!r} is {value!r}, none of {', '.join(End.__members__)}")
        return End[value]

    def finish(self) -> None:
        if self._left:
            raise ValueError(f"unknown: {', '.join(self._left)}")


def _header(line: _Line) -> Header:
    if "vgic" not in line or line.text("vgic") != FORMAT:
        raise ValueError("this is no recording of vgic run")
    version = line.number("version")
    if version != VERSION:
        raise ValueError(f"a recording of version {version}; this vgic reads version {VERSION}")
    try:
        config = from_json(line.members("config"))
    except ConfigError as error:
        raise ValueError(str(error)) from None
    header = Header(config, line.text("params"), line.texts("images"), line.texts("made_by"))
    line.finish()
    return header


def _event(line: _Line, after: int) -> tuple[Moment, Event]:
    moment = Moment(line.number("poll"), line.number("instructions"), line.number("tick"))
    if moment.poll <= after:
        raise ValueError(f"poll {moment.poll} after poll {after}")
    tick = line.number("to")
    keys = bytes.fromhex(line.text("keys")) if "keys" in line else b""
    end = Outcome(line.end("end"), line.text("detail")) if "end" in line else None
    line.finish()
    return moment, Event(tick, keys, end)


def _ending(line: _Line) -> Ending:
    if "result" not in line:
        raise ValueError("the run's end is missing")
    ending = Ending(
        line.end("result").name,
        line.text("detail"),
        line.number_or_none("status"),
        line.number("instructions"),
        line.number("tick"),
        line.text("events"),
        line.number("event_count"),
        line.text("console"),
        line.number("console_bytes"),
    )
    line.finish()
    return ending
