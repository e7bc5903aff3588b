"""`vgic state`: look at snapshots.

Room:    the command; a snapshot explains itself.
Holds:   the exit status is diff's: 0 all is well (or the same), 1 a snapshot is refused (or they differ), 2 a file
         cannot be read (for diff: or a snapshot is refused).
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from vgic import Snapshot, StateError
from vgic.cli import Subparsers

SAME: Final = 0
REFUSED: Final = 1
DIFFERENT: Final = 1
TROUBLE: Final = 2


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "state",
        help="show, compare and verify snapshots",
        description="Show, compare and verify the snapshots that Vgic.save() makes. "
        "Exit status: 0 all is well, or the same; 1 refused, or different; 2 trouble.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="say in a few lines what is in a snapshot")
    show.add_argument("files", nargs="+", type=Path, metavar="FILE")
    show.set_defaults(func=run_show)
    diff = actions.add_parser("diff", help="say what differs between two snapshots")
    diff.add_argument("old", type=Path, metavar="OLD")
    diff.add_argument("new", type=Path, metavar="NEW")
    diff.set_defaults(func=run_diff)
    verify = actions.add_parser("verify", help="say whether snapshots are sound, or where they are not")
    verify.add_argument("files", nargs="+", type=Path, metavar="FILE")
    verify.set_defaults(func=run_verify)


def run_show(args: argparse.Namespace) -> int:
    """Print the summaries."""
    status = SAME
    files: list[Path] = args.files
    for file in files:
        try:
            snapshot = _read(file)
        except (OSError, StateError) as error:
            status = max(status, _complain(file, error))
            continue
        if len(files) > 1:
            print(f"{file}:")
        print(snapshot.summary())
    return status


def run_diff(args: argparse.Namespace) -> int:
    """Print what differs, a value a line."""
    snapshots = []
    for file in (args.old, args.new):
        try:
            snapshots.append(_read(file))
        except (OSError, StateError) as error:
            _complain(file, error)
            return TROUBLE
    found = snapshots[0].differences(snapshots[1])
    for difference in found:
        print(difference)
    return DIFFERENT if found else SAME


def run_verify(args: argparse.Namespace) -> int:
    """Print a verdict for each file."""
    status = SAME
    for file in args.files:
        try:
            snapshot = _read(file)
        except (OSError, StateError) as error:
            status = max(status, _complain(file, error))
            continue
        print(f"{file}: sound (version {snapshot.version}: {snapshot.summary().splitlines()[0]})")
    return status


def _read(file: Path) -> Snapshot:
    return Snapshot.from_json(file.read_bytes())


def _complain(file: Path, error: OSError | StateError) -> int:
    if isinstance(error, StateError):
        print(f"{file}: {error.where}: {error.reason}", file=sys.stderr)
        return REFUSED
    print(f"{file}: {error.strerror}", file=sys.stderr)
    return TROUBLE
