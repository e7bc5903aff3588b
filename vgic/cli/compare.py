"""`vgic compare`: the same workloads on GICv2, v3, v4.0 and v4.1 machines, and what they cost there.

Room:    the command; the workloads and the table are in `comparison`.
Holds:   the exit status is 0 if all ran, 1 if a machine lost an interrupt, 2 if the picture cannot be written, or for
         arguments that make no sense.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from vgic import VgicError
from vgic.cli import Subparsers, figures
from vgic.cli.arguments import between
from vgic.cli.checks.port import GuestError
from vgic.cli.comparison import plot
from vgic.cli.comparison.rows import as_json, as_table
from vgic.cli.comparison.workloads import MIN_CPUS, WORKLOADS, Measured, WorkloadError, measure
from vgic.cli.machines.kinds import KINDS
from vgic.cli.progress import Progress

DONE: Final = 0
LOST: Final = 1
CANNOT_WRITE: Final = 2

DEFAULT_INTERRUPTS: Final = 100
DEFAULT_CPUS: Final = 4
DEFAULT_LRS: Final = 4
DEFAULT_SEED: Final = 1
MAX_INTERRUPTS: Final = 1_000_000
MAX_CPUS: Final = 64


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "compare",
        help="compare what interrupts cost with GICv2, v3, v4.0 and v4.1",
        description="Run the same workloads on machines with GICv2, v3, v4.0 and v4.1 and show, for one delivered "
        "interrupt: how often the hypervisor was entered, exits by cause, operations, and the cycles that "
        "all of it is assumed to take.",
        epilog="Exit status: 0 all ran, 1 an interrupt was lost, 2 trouble.",
    )
    parser.add_argument(
        "workloads", nargs="*", type=_workload, metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)} (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="say which workloads there are")
    parser.add_argument(
        "--gic",
        action="append",
        choices=tuple(KINDS),
        help="a machine to compare; may be repeated (default: all)",
    )
    for option, default, most, what in (
        ("--interrupts", DEFAULT_INTERRUPTS, MAX_INTERRUPTS, "interrupts to send in each workload"),
        ("--cpus", DEFAULT_CPUS, MAX_CPUS, "vCPUs, at least 2; a GICv2 has up to 6 here"),
        ("--lrs", DEFAULT_LRS, 16, "list registers"),
        ("--seed", DEFAULT_SEED, 1 << 32, "what the mix is drawn from"),
    ):
        least = MIN_CPUS if option == "--cpus" else 1
        parser.add_argument(
            option, type=between(least, most), default=default, metavar="N", help=f"{what} (default: %(default)s)"
        )
    figures.add_option(parser)
    parser.add_argument("--json", action="store_true", help="write one JSON object, with every counter")
    parser.add_argument(
        "--plot", type=_picture, metavar="FILE", help="draw it, too: an .svg or .png (needs matplotlib)"
    )
    parser.set_defaults(func=run, fail=parser.error)


def run(args: argparse.Namespace) -> int:
    """Do what the command line says and return the exit status."""
    if args.list:
        width = max(len(name) for name in WORKLOADS)
        for name, workload in WORKLOADS.items():
            print(f"{name:<{width}} {workload.what}")
        return DONE
    kinds: list[str] = [kind for kind in KINDS if not args.gic or kind in args.gic]
    for kind in kinds:
        if args.cpus > KINDS[kind].max_cpus:
            args.fail(f"a {KINDS[kind].name} has up to {KINDS[kind].max_cpus} vCPUs here, not {args.cpus}: see --gic")
    if args.plot is not None and not plot.is_available():
        args.fail("--plot needs matplotlib: pip install 'vgic[plot]'")
    names: list[str] = list(dict.fromkeys(args.workloads)) or list(WORKLOADS)
    assumed = figures.chosen(args.cycles)
    results: list[Measured] = []
    progress = Progress("workloads")
    for name in names:
        for kind in kinds:
            progress(len(results), len(names) * len(kinds))
            try:
                results.append(measure(name, kind, args.interrupts, args.cpus, args.lrs, args.seed))
            except (WorkloadError, GuestError, VgicError) as error:
                progress.end()
                print(f"vgic compare: {name} on {KINDS[kind].name}: {error}", file=sys.stderr)
                return LOST
    progress.end()
    print(as_json(results, assumed) if args.json else as_table(results, assumed))
    if args.plot is not None:
        try:
            plot.draw(results, assumed, args.plot)
        except OSError as error:
            print(f"vgic compare: {args.plot}: {error.strerror}", file=sys.stderr)
            return CANNOT_WRITE
    return DONE


def _workload(text: str) -> str:
    if text not in WORKLOADS:
        raise argparse.ArgumentTypeError(f"there is no workload {text!r}; there are {', '.join(WORKLOADS)}")
    return text


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in plot.SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(plot.SUFFIXES)}")
    return path
