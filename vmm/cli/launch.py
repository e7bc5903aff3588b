"""One machine from a command line: its files, its console, its recording, and what is said when it has ended.

Room:    below the commands, which load it once they know that the engine is there.
Holds:   standard output has what the guest printed and nothing else, but for `--json` without a file; everything that
         vgic itself says is on standard error.
"""

import argparse
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

from vmm.cli import statefile
from vmm.cli.console import Console, Reply, parse_mark, parse_reply
from vmm.cli.files import ImageFiles
from vmm.cli.options import OFF, SERIAL, STDOUT, UsageError, config_of, given
from vmm.cli.outside import Both, Live, Outside, caught_signals
from vmm.cli.record import (
    Header,
    Recorder,
    Recording,
    RecordingError,
    ending_of,
    read_recording,
)
from vmm.cli.report import Json, in_words, measure, table
from vmm.cli.session import DefectError, DivergedError, OutputError, Result, Session
from vmm.cli.start import Start, switched_on
from vmm.cli.terminal import ESCAPE_HELP, Keyboard, raw
from vmm.configjson import as_json, plain
from vmm.outcome import End
from vmm.snapshot import SnapshotError, save

SAME, DIFFERENT = 0, 1
USAGE: Final = 2
DEFECT: Final = os.EX_SOFTWARE
UNWRITABLE: Final = os.EX_IOERR

_LAST_LINES: Final = 5


def run_files(args: argparse.Namespace, files: ImageFiles, params: str | None, command: str = "vgic run") -> int:
    """Run what the command line describes with these images and return the exit status.

    args    has the options of vmm.cli.options
    params  None: none, or the recording's
    """

    def begin(recording: Recording | None) -> Start:
        if recording is None:
            config = config_of(args)
            return switched_on(config, files.read(params or "", config.ram))
        header = recording.header
        _check_words(header, given(args), params)
        return switched_on(header.config, files.read(header.params, header.config.ram))

    return run_from(args, begin, command)


def run_from(args: argparse.Namespace, begin: Callable[[Recording | None], Start], command: str) -> int:
    """Run what the command line describes and return the exit status.

    args   has the options of vmm.cli.options that describe the run
    begin  returns its start, given the recording that is to be replayed.  Errors: UsageError
    """
    try:
        recording = _recording(args)
        start = begin(recording)
        if recording is not None:
            _check_files(recording.header, start)
        try:
            result = _run(args, command, start, recording)
        except DivergedError as difference:
            tell(command, f"not the recorded run: {difference}")
            return DIFFERENT
        saved = args.save_on is not None and _save(args.save_to, command, result)
        status = report(args, command, result, recording)
        if args.save_on is None or status not in (0, End.MARK.value):
            return status
        if saved:
            return 0
        tell(
            command, f"nothing is saved: the guest ended before the end of a slice in which it printed {args.save_on!r}"
        )
        return End.MARK.value
    except UsageError as error:
        tell(command, str(error))
        return USAGE
    except (DefectError, OutputError) as error:
        tell_failure(command, error, debug=args.debug)
        return DEFECT if isinstance(error, DefectError) else UNWRITABLE


def _run(args: argparse.Namespace, command: str, start: Start, recording: Recording | None) -> Result:
    """Run one machine.  Errors: UsageError, DefectError, OutputError, DivergedError."""
    console = Console(None if args.console == OFF else show, replies(args.on, args.save_on))
    machine = start.build(console)
    with ExitStack() as stack:
        recorder = None if args.record is None else stack.enter_context(_recorder(args.record, start))
        signals = stack.enter_context(caught_signals())
        keyboard = _keyboard(stack, command) if args.console == SERIAL and recording is None else None
        live = Live(console, signals, keyboard, args.timeout)
        outside: Outside = live if recording is None else Both(recording, live)
        result = Session(machine, console, outside, None if recorder is None else recorder.note).run()
        if recorder is not None:
            recorder.end(result)
    return result


def _save(path: Path, command: str, result: Result) -> bool:
    """Save the machine, if the mark ended its run.  Errors: OutputError."""
    if result.outcome.end is not End.MARK:
        return False
    try:
        with caught_signals():  # the first one finds the machine saved; the second one ends this
            statefile.write(save(result.machine, console=result.console.tail()), path)
    except (OSError, SnapshotError) as error:
        raise OutputError(f"cannot save the machine to {path}: {getattr(error, 'strerror', None) or error}") from None
    tell(command, f"saved: vgic resume {shlex.quote(str(path))} goes on from here")
    return True


def replies(texts: Sequence[str], save_on: str | None = None) -> list[Reply]:
    """Return what the options `--on` and `--save-on` say.  Errors: UsageError."""
    try:
        found = [parse_reply(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"--on: {error}") from None
    try:
        return found if save_on is None else [*found, Reply(parse_mark(save_on), stop=True)]
    except ValueError as error:
        raise UsageError(f"--save-on: {error}") from None


def _keyboard(stack: ExitStack, command: str) -> Keyboard | None:
    """Return the keyboard on standard input, in raw mode if it is a terminal."""
    try:
        fd = sys.stdin.fileno()
    except (AttributeError, OSError):  # closed, or not a file
        return None
    terminal = stack.enter_context(raw(fd))
    if terminal:
        tell(command, ESCAPE_HELP)
    return Keyboard(fd, escapes=terminal)


# -- recordings ----------------------------------------------------------------------------------


def _recording(args: argparse.Namespace) -> Recording | None:
    """Return the recording to replay, if there is one.  Errors: UsageError."""
    if args.replay is None:
        return None
    try:
        recording = read_recording(args.replay)
    except OSError as error:
        raise UsageError(f"cannot read the recording {args.replay}: {error.strerror or error}") from None
    except RecordingError as error:
        raise UsageError(str(error)) from None
    if args.on or args.save_on is not None or args.record is not None or args.console == SERIAL:
        raise UsageError("--replay takes its keys from the recording: no --on, --save-on, --record or --console serial")
    return recording


def _check_words(header: Header, words: Mapping[str, object], params: str | None) -> None:
    """Insist that the command line does not ask for another machine than the recorded one.  Errors: UsageError."""
    recorded = as_json(header.config)
    for name, value in words.items():
        wanted = plain(value)
        if wanted != recorded[name]:
            raise UsageError(f"the recording is of a machine with {name} {recorded[name]}, not {wanted}")
    if params is not None and params != header.params:
        raise UsageError(f"the recording is of a run with the parameters {header.params!r}, not {params!r}")


def _check_files(header: Header, start: Start) -> None:
    """Insist that the files are those of the recording.  Errors: UsageError."""
    recorded, present = header.images, start.hashes
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            raise UsageError(f"the recording is of a run with a {name}, which is not given")
        if name not in recorded:
            raise UsageError(f"the recording is of a run without a {name}")
        if recorded[name] != present[name]:
            raise UsageError(f"the {name} is not the recorded one: its hash is {present[name]}, not {recorded[name]}")


def _recorder(path: Path, start: Start) -> Recorder:
    """Begin a recording.  Errors: UsageError."""
    try:
        return Recorder(path, Header(start.config, start.params, dict(start.hashes), versions()))
    except OSError as error:
        raise UsageError(f"cannot write the recording {path}: {error.strerror or error}") from None


def versions() -> dict[str, str]:
    """Return what a run may depend on besides its configuration."""
    found = {}
    for package in ("vgic", "unicorn"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


# -- what is said --------------------------------------------------------------------------------


def show(data: bytes) -> None:
    """Write what the guest printed to standard output, at once."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def tell(command: str, text: str) -> None:
    """Say something on standard error."""
    print(f"{command}: {text}", file=sys.stderr)


def tell_failure(command: str, error: Exception, *, debug: bool) -> None:
    """Say what went wrong that no guest is to blame for."""
    if not isinstance(error, DefectError):
        tell(command, str(error))
        return
    if debug:
        traceback.print_exception(error.__cause__)
    tell(command, f"internal error: {error}")
    tell(
        command,
        "no guest should be able to do this: please report it, with this message, the command line and the images"
        + ("" if debug else "; --debug shows where it comes from"),
    )


def report(args: argparse.Namespace, command: str, result: Result, recording: Recording | None = None) -> int:
    """Say how a run ended, as far as it was asked for or something is wrong; return the exit status."""
    outcome, console = result.outcome, result.console
    shown = args.console != OFF
    if shown and console.midline and sys.stdout.isatty():
        print()
    for text, count in result.machine.warnings.items():
        tell(command, f"warning: {text}" + (f" ({count} times)" if count > 1 else ""))
    if outcome.exit_status and outcome.end is not End.MARK:
        tell(command, in_words(outcome))
        if not shown:
            for line in console.watch.lines()[-_LAST_LINES:]:
                tell(command, f"console: {line}")
    differences = None if recording is None else recording.ending.differences(ending_of(result))
    if differences is not None:
        words = "; ".join(differences)
        tell(command, f"not the recorded run: {words}" if differences else "the same run as recorded")
    if args.stats:
        print(table(result), file=sys.stderr)
    if args.json is not None:
        measured = measure(result) | ({} if differences is None else {"replay": differences})
        write_json(args.json, measured, midline=console.midline)
    if differences is not None:
        return DIFFERENT if differences else SAME
    return outcome.exit_status


def write_json(where: str, measured: Json, *, midline: bool = False) -> None:
    """Write what `--json` asked for; `midline`: the guest ended in the middle of a line.  Errors: OutputError."""
    text = json.dumps(measured)
    if where == STDOUT:
        print("\n" + text if midline else text)
        return
    try:
        Path(where).write_text(text + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {where}: {error.strerror or error}") from None
