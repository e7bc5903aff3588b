"""`vgic`: find the commands, parse the arguments, run one.

Room:    the entry point of the command line.
Holds:   other packages add commands through the entry-point group "vgic.commands", whose entries name an
         `add_parser`.  Exit status 2 for arguments that make no sense, as argparse has it; 74 when what a command
         prints cannot be written.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Final, TextIO, cast

from vgic.cli import Subparsers, check, compare, demo, replay, state

AddParser = Callable[[Subparsers], None]

COMMANDS: Final[tuple[AddParser, ...]] = (
    replay.add_parser,
    check.add_parser,
    state.add_parser,
    demo.add_parser,
    compare.add_parser,
)
"""In the order that help shows."""
COMMAND_GROUP: Final = "vgic.commands"
INTERRUPTED: Final = 128 + signal.SIGINT
CLOSED_PIPE: Final = 128 + signal.SIGPIPE
UNWRITABLE: Final = os.EX_IOERR


def version() -> str:
    """Return the installed version of the package, or say that it is not installed."""
    try:
        return metadata.version("vgic")
    except metadata.PackageNotFoundError:
        return "not installed (run from its source tree)"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with the commands of this package and of those that registered some."""
    parser = argparse.ArgumentParser(prog="vgic", description="A model of KVM's Arm interrupt controller.")
    parser.add_argument("--version", action="version", version=f"vgic {version()}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_parser in COMMANDS:
        add_parser(subparsers)
    for entry in metadata.entry_points(group=COMMAND_GROUP):
        cast(AddParser, entry.load())(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` (default: the process's arguments) names and return its exit status."""
    _open_streams()
    try:
        arguments = build_parser().parse_args(argv)
        command = cast(Callable[[argparse.Namespace], int], arguments.func)
        status = command(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard(sys.stdout)  # whoever read it has gone
        return CLOSED_PIPE
    except OSError as error:
        # a command answers for the files it names: left are standard output and error, of which one may still work
        _discard(sys.stdout)
        try:
            print(f"vgic: cannot go on: {error}", file=sys.stderr, flush=True)
        except OSError:
            _discard(sys.stderr)
        return UNWRITABLE
    return status


def _open_streams() -> None:
    """Let what is printed go nowhere where the caller closed a stream, as in `vgic ... >&-`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as the process lives


def _discard(stream: TextIO) -> None:
    """Leave nothing for the interpreter to flush into a stream that takes nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
