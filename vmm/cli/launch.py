"""One machine from a command line: its files, its console, its recording, and what is said when it has ended.

Room:    below the commands, which load it once they know that the engine is there.
Holds:   standard output has what the guest printed and nothing else, but for `--json` without a file; everything that
         vgic itself says is on standard error.
"""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Final

from vmm.cli.console import Console, Reply, parse_reply
from vmm.cli.files import ImageFiles, hashes
from vmm.cli.options import OFF, SERIAL, STDOUT, UsageError, config_of, given
from vmm.cli.outside import Both, Live, Outside, caught_signals
from vmm.cli.record import (
    Header,
    Recorder,
    Recording,
    RecordingError,
    config_as_json,
    ending_of,
    read_recording,
)
from vmm.cli.report import Json, in_words, measure, table
from vmm.cli.session import DefectError, DivergedError, OutputError, Result, Session
from vmm.cli.terminal import ESCAPE_HELP, Keyboard, raw
from vmm.config import ConfigError, IrqChip, MachineConfig
from vmm.engine.raw import EngineError
from vmm.loader import Images
from vmm.machine import Machine

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
    try:
        recording = _recording(args, params)
        config = config_of(args) if recording is None else recording.header.config
        images = files.read((recording.header.params if recording else "") if params is None else params)
        if recording is not None:
            _check_images(recording, images)
        try:
            return report(args, command, _run(args, command, config, images, recording), recording)
        except DivergedError as difference:
            tell(command, f"not the recorded run: {difference}")
            return DIFFERENT
    except UsageError as error:
        tell(command, str(error))
        return USAGE
    except (DefectError, OutputError) as error:
        tell_failure(command, error, debug=args.debug)
        return DEFECT if isinstance(error, DefectError) else UNWRITABLE


def _run(
    args: argparse.Namespace, command: str, config: MachineConfig, images: Images, recording: Recording | None
) -> Result:
    """Run one machine.  Errors: UsageError, DefectError, OutputError, DivergedError."""
    console = Console(None if args.console == OFF else show, replies(args.on))
    machine = build(config, images, console)
    with ExitStack() as stack:
        recorder = None if args.record is None else stack.enter_context(_recorder(args.record, config, images))
        signals = stack.enter_context(caught_signals())
        keyboard = _keyboard(stack, command) if args.console == SERIAL and recording is None else None
        live = Live(console, signals, keyboard, args.timeout)
        outside: Outside = live if recording is None else Both(recording, live)
        result = Session(machine, console, outside, None if recorder is None else recorder.note).run()
        if recorder is not None:
            recorder.end(result)
    return result


def build(config: MachineConfig, images: Images, console: Console) -> Machine:
    """Return the machine, ready to run.  Errors: UsageError."""
    try:
        return Machine(config, images, console.put)
    except (ConfigError, EngineError) as error:
        raise UsageError(str(error)) from None
    except (MemoryError, OSError, OverflowError) as error:
        raise UsageError(f"no room on this host for {config.ram >> 20} MiB of RAM: {error}") from None


def replies(texts: Sequence[str]) -> list[Reply]:
    """Return what the options `--on` say.  Errors: UsageError."""
    try:
        return [parse_reply(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"--on: {error}") from None


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


def _recording(args: argparse.Namespace, params: str | None) -> Recording | None:
    """Return the recording to replay, if there is one.  Errors: UsageError."""
    if args.replay is None:
        return None
    try:
        recording = read_recording(args.replay)
    except OSError as error:
        raise UsageError(f"cannot read the recording {args.replay}: {error.strerror or error}") from None
    except RecordingError as error:
        raise UsageError(str(error)) from None
    header = recording.header
    if args.on or args.record is not None or args.console == SERIAL:
        raise UsageError("--replay takes its keys from the recording: no --on, --record or --console serial")
    recorded = config_as_json(header.config)
    for name, value in given(args).items():
        wanted = value.value if isinstance(value, IrqChip) else value
        if wanted != recorded[name]:
            raise UsageError(f"the recording is of a machine with {name} {recorded[name]}, not {wanted}")
    if params is not None and params != header.params:
        raise UsageError(f"the recording is of a run with the parameters {header.params!r}, not {params!r}")
    return recording


def _check_images(recording: Recording, images: Images) -> None:
    """Insist that the images are those of the recording.  Errors: UsageError."""
    recorded, present = recording.header.images, hashes(images)
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            raise UsageError(f"the recording is of a run with a {name}, which is not given")
        if name not in recorded:
            raise UsageError(f"the recording is of a run without a {name}")
        if recorded[name] != present[name]:
            raise UsageError(f"the {name} is not the recorded one: its hash is {present[name]}, not {recorded[name]}")


def _recorder(path: Path, config: MachineConfig, images: Images) -> Recorder:
    """Begin a recording.  Errors: UsageError."""
    try:
        return Recorder(path, Header(config, images.params, hashes(images), versions()))
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
    if outcome.exit_status:
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
        _write_json(args.json, measure(result) | ({} if differences is None else {"replay": differences}), console)
    if differences is not None:
        return DIFFERENT if differences else SAME
    return outcome.exit_status


def _write_json(where: str, measured: Json, console: Console) -> None:
    text = json.dumps(measured)
    if where == STDOUT:
        print("\n" + text if console.midline else text)
        return
    try:
        Path(where).write_text(text + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {where}: {error.strerror or error}") from None
