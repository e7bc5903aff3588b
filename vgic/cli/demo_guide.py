"""`vgic demo guide`: the example programs of Arm's guide, with their log.

Room:    the command; the programs are in `demos.guide`.
"""

import argparse
import sys
from typing import Final

from hw import arch4
from vgic.cli import Subparsers
from vgic.cli.demos.guide import GuideError, Program
from vgic.cli.demos.narrator import MARK, Narrator

DONE: Final = 0
FAILED: Final = 1

PROGRAMS: Final = {"vlpi": Program.main_vlpi, "vsgi": Program.main_vsgi}


def add_parser(demos: Subparsers) -> None:
    """Add the example."""
    parser = demos.add_parser(
        "guide",
        help="the example programs of Arm's guide, with their log",
        description='The example programs of Arm\'s guide "GICv3 and v4, Virtualization": a virtual LPI (main_vlpi) '
        "or SGI (main_vsgi) for a vPE that is not resident rings a doorbell, and reaches the guest without an exit "
        "once it is.  The output of vlpi is the guide's log, word for word.",
    )
    parser.add_argument(
        "program", nargs="?", choices=tuple(PROGRAMS), default="vlpi", help="which of them (default: %(default)s)"
    )
    parser.add_argument("--explain", action="store_true", help="say below each line what the GIC does then")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run one of the guide's programs and return the exit status."""
    if not args.explain:
        return _run(Program(print), args.program)
    narrator = Narrator(print)
    program = Program(narrator.line)
    program.machine.trace = narrator
    status = _run(program, args.program)
    narrator.flush()
    print(_account(program))
    return status


def _run(program: Program, name: str) -> int:
    try:
        PROGRAMS[name](program)
    except GuideError as error:
        print(f"vgic demo guide: {error}", file=sys.stderr)
        return FAILED
    return DONE


def _account(program: Program) -> str:
    """What the run cost, counted by the hardware."""
    its, guest = program.its.cost, program.machine.pes[1].cost
    commands = [f"{count} {arch4.COMMAND_NAMES[number]}" for number, count in its.by_command.items()]
    exits = guest.exits_irq + guest.exits_mmio + guest.exits_sysreg
    return (
        f"{MARK}In all: {its.commands} ITS commands ({', '.join(commands)}); "
        f"default doorbells {program.machine.traffic.default_doorbells}; of the guest on PE 1: exits {exits}, "
        f"directly injected interrupts acknowledged {guest.direct_acks}"
    )
