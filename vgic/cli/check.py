"""`vgic check`: guests in the style of kvm-unit-tests that check the model from the inside.

Room:    the command; the guests are in `checks`.
Holds:   the exit status is kvm-unit-tests': 0 if all passed, 1 if something failed, 77 if all was skipped.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from vgic import VgicError
from vgic.cli import Subparsers
from vgic.cli.arguments import between
from vgic.cli.checks import CHECKS, V2, V3, checks_of
from vgic.cli.checks.board import GICC_BASE, GICD_BASE, GICR_BASE, Board, BoardV2
from vgic.cli.checks.gic import Gic
from vgic.cli.checks.gicv2 import GicV2
from vgic.cli.checks.gicv3 import GicV3
from vgic.cli.checks.guest import Guest, Load
from vgic.cli.checks.port import GuestError
from vgic.cli.checks.report import Report
from vgic.cli.checks.stress import MAX_DEVICES, MAX_LPIS
from vgic.cli.progress import Progress

DEFAULT_CPUS: Final = 4
DEFAULT_LRS: Final = 4
DEFAULT_SPIS: Final = 224
_MIN_SPIS: Final = 64  # what `overflow` needs with 16 list registers

BuildBoard = Callable[[int, int, int], Board]
"""Given CPUs, list registers and SPIs."""


class Platform(NamedTuple):
    """What a model needs: the guest's driver for it, the machine, and how many CPUs that can have."""

    driver: Callable[[], Gic]
    board: BuildBoard
    max_cpus: int


def _gicv2() -> Gic:
    return GicV2(GICD_BASE, GICC_BASE)


def _gicv3() -> Gic:
    return GicV3(GICD_BASE, GICR_BASE)


GICS: Final[dict[str, Platform]] = {V2: Platform(_gicv2, BoardV2, 8), V3: Platform(_gicv3, Board, 512)}
DEFAULT_GIC: Final = V3


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="run small guests that check the interrupt controller",
        description="Run small guests that check the interrupt controller, in the style of kvm-unit-tests. "
        "Exit status: 0 all passed, 1 something failed, 77 all skipped.",
    )
    parser.add_argument("names", nargs="*", type=_name, metavar="NAME", help="checks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="say which checks there are")
    parser.add_argument(
        "--gic", choices=tuple(GICS), default=DEFAULT_GIC, help="the guest's GIC (default: %(default)s)"
    )
    parser.add_argument(
        "--cpus",
        type=between(1, GICS[V3].max_cpus),
        default=DEFAULT_CPUS,
        metavar="N",
        help=f"vCPUs (default: %(default)s; a GICv2 has up to {GICS[V2].max_cpus})",
    )
    parser.add_argument(
        "--lrs", type=between(1, 16), default=DEFAULT_LRS, metavar="N", help="list registers (default: %(default)s)"
    )
    parser.add_argument(
        "--spis", type=_spis, default=DEFAULT_SPIS, metavar="N", help="SPIs, a multiple of 32 (default: %(default)s)"
    )
    default = Load()
    stress = parser.add_argument_group("lpi-stress")
    for option, value, what, most in (
        ("--devices", default.devices, "devices", MAX_DEVICES),
        ("--events", default.events, "events of each device", MAX_LPIS),
        ("--iterations", default.iterations, "messages for each event", 1_000_000),
    ):
        stress.add_argument(
            option, type=between(1, most), default=value, metavar="N", help=f"{what} (default: %(default)s)"
        )
    parser.set_defaults(func=run, fail=parser.error)


def run(args: argparse.Namespace) -> int:
    """Do what the command line says and return the exit status."""
    if args.list:
        width = max(len(name) for name in CHECKS)
        for name, check in CHECKS.items():
            alone = "" if len(check.gics) > 1 else f" (GIC{check.gics[0]} only)"
            print(f"{name:<{width}} {check.what}{alone}")
        return 0
    names: list[str] = args.names or checks_of(args.gic)
    for name in names:
        if args.gic not in CHECKS[name].gics:
            args.fail(f"{name} is for a GIC{CHECKS[name].gics[0]}, not a GIC{args.gic}")
    if args.cpus > GICS[args.gic].max_cpus:
        args.fail(f"a GIC{args.gic} has up to {GICS[args.gic].max_cpus} CPUs, not {args.cpus}")
    if args.devices * args.events > MAX_LPIS:
        args.fail(f"{args.devices} devices with {args.events} events each: there are {MAX_LPIS} LPIs")
    load = Load(args.devices, args.events, args.iterations)
    return run_checks(names, args.cpus, args.lrs, args.spis, gic=args.gic, load=load)


def run_checks(
    names: Sequence[str],
    cpus: int = DEFAULT_CPUS,
    lrs: int = DEFAULT_LRS,
    spis: int = DEFAULT_SPIS,
    *,
    gic: str = DEFAULT_GIC,
    build: BuildBoard | None = None,
    write: Callable[[str], object] = print,
    load: Load | None = None,
) -> int:
    """Run the named checks, each on a new board, and return the exit status.

    build  makes the board; None: the one for the GIC.
    load   how much lpi-stress does; None: little.
    Each check ends with its own summary; several are followed by a line for each and a summary of all.
    """
    platform = GICS[gic]
    total = Report(write)
    outcomes: list[str] = []
    for name in names:
        progress = Progress(name)
        report = Report(write, progress)
        try:
            run_check(name, report, (build or platform.board)(cpus, lrs, spis), platform.driver(), load)
        finally:
            progress.end()
        write(report.summary())
        outcomes.append(report.outcome(name))
        total.add(report)
        if len(names) > 1:
            write("")
    if len(names) > 1:
        for outcome in outcomes:
            write(outcome)
        write(total.summary())
    return total.status()


def run_check(name: str, report: Report, board: Board, gic: Gic, load: Load | None = None) -> None:
    """Boot a guest on `board` and run one check in it; a guest that cannot go on is a failed test."""
    check = CHECKS[name]
    with report.prefix(gic.name), report.prefix(name):
        if board.cpus < check.cpus:
            report.skip(f"test requires at least {check.cpus} vcpus")
            return
        try:
            check.run(Guest(board, gic, load), report)
        except GuestError as fault:
            report.expect(False, "The guest runs to its end", str(fault))
        except VgicError as error:
            report.expect(False, "The library accepts what the VMM does", str(error))


def _name(text: str) -> str:
    if text not in CHECKS:
        raise argparse.ArgumentTypeError(f"there is no check {text!r}; there are {', '.join(CHECKS)}")
    return text


def _spis(text: str) -> int:
    value = int(text)
    if value % 32 or not _MIN_SPIS <= value <= 960:
        raise argparse.ArgumentTypeError(f"{value} is not a multiple of 32 in {_MIN_SPIS}..960")
    return value
