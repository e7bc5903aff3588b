"""`vgic resume`: a machine that was saved to a file goes on.

Room:    beside `vgic run`, which supplies the run's options and the run itself.
Holds:   the machine goes on instruction by instruction as the one that was saved.
"""

import dataclasses
from argparse import Namespace
from pathlib import Path

from vmm.cli import Subparsers
from vmm.cli.files import read_if
from vmm.cli.options import UsageError, add_resume_arguments, given
from vmm.cli.run import USAGE, has_engine
from vmm.config import ConfigError


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "resume",
        help="go on with a machine that `vgic run --save-on` saved",
        description="Go on with a machine that `vgic run --save-on` saved, as if it had not been: the file holds all of"
        " it, RAM included.  It may be resumed any number of times, and with `--save-on` saved again.  Trust a file as"
        " you trust the guest in it.",
        epilog="The exit status is that of `vgic run`.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `vgic run --save-to FILE` wrote")
    add_resume_arguments(parser)
    parser.set_defaults(func=run)


def run(args: Namespace) -> int:
    """Do what the command line says and return the exit status."""
    if not has_engine("vgic resume"):
        return USAGE
    from vmm.cli import launch, start, statefile  # noqa: PLC0415  # they need the engine
    from vmm.cli.record import Recording  # noqa: PLC0415  # likewise
    from vmm.snapshot import SnapshotError  # noqa: PLC0415  # likewise

    def begin(recording: Recording | None) -> start.Start:
        try:
            data = read_if(args.file, statefile.BEGINS)
            state = statefile.from_bytes(data)
            config = dataclasses.replace(state.config, **given(args))  # type: ignore[arg-type]  # as argparse made them
        except OSError as error:
            raise UsageError(f"cannot read {args.file}: {error.strerror or error}") from None
        except (ConfigError, SnapshotError) as error:
            raise UsageError(f"{args.file}: {error}") from None
        if recording is not None and recording.header.config != config:
            raise UsageError("the recording is of a run with another --budget or --engine, or of another machine")
        return start.saved(dataclasses.replace(state, config=config), data)

    return launch.run_from(args, begin, "vgic resume")
