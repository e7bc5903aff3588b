"""`vgic demo smmute`: a guest's own DMA test engine, whose interrupts hardware delivers.

Room:    the command; the guest and its device are in `demos`.
"""

import argparse
import sys
from typing import Final

from hw import Account
from hw.arch import FIRST_LPI
from vgic import VgicError
from vgic.cli import Subparsers, figures
from vgic.cli.arguments import between
from vgic.cli.checks.port import GuestError
from vgic.cli.demos import engine
from vgic.cli.demos.narrator import Narrator
from vgic.cli.demos.smmute import Guest, Transaction, TransactionError
from vgic.cli.machines.hosted import DEVID
from vgic.cli.machines.kinds import KINDS

DONE: Final = 0
FAILED: Final = 1

_SHOWN: Final = 16
"""Bytes of the output buffer that a line has room for."""


def add_parser(demos: Subparsers) -> None:
    """Add the example."""
    parser = demos.add_parser(
        "smmute",
        help="an assigned DMA test engine whose interrupts are vLPIs",
        description="A guest runs transactions on a DMA test engine of its own, whose MSI-X vectors hardware delivers "
        "as virtual LPIs, and takes an interrupt for each: without an entry into the hypervisor on a GICv4.  "
        "With --gic 3 the host takes each interrupt and passes it on.",
    )
    parser.add_argument(
        "-n",
        type=between(1, 1_000_000),
        default=10,
        metavar="N",
        dest="count",
        help="transactions (default: %(default)s)",
    )
    parser.add_argument(
        "--gic",
        choices=[kind for kind in KINDS if kind != "2"],
        default="4.1",
        help="the machine (default: %(default)s)",
    )
    parser.add_argument(
        "--cpus", type=between(1, 64), default=1, metavar="N", help="vCPUs, with a vector each (default: %(default)s)"
    )
    parser.add_argument(
        "--mode", choices=tuple(engine.COMMANDS), default="copy", help="what the engine does (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=_words,
        default=16,
        metavar="BYTES",
        help="of each buffer, a multiple of 8 (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=_rate,
        metavar="N/CYCLES",
        help="let the engine send at most N messages in any CYCLES cycles: others wait (default: no limit)",
    )
    parser.add_argument("--explain", action="store_true", help="say what the GIC does for each transaction")
    figures.add_option(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Run the transactions, show them and what they cost, and return the exit status."""
    narrator = Narrator(print, v41=args.gic == "4.1")
    say = narrator.line if args.explain else print

    def watch(guest: Guest) -> None:
        guest.board.host.machine.trace = narrator

    try:
        guest = Guest(args.gic, args.cpus, args.size, watch if args.explain else None, args.limit)
        say(_setting(args.gic, guest))
        say(f"{'transaction':>11}  {'vCPU':>4}  {'status':<13}  {'value':<18}  {'duration':>15}  output buffer")
        before = guest.account()
        assumed = figures.chosen(args.cycles)
        sound = True
        for number in range(args.count):
            done = guest.run(number, engine.COMMANDS[args.mode], assumed)
            sound = sound and done.sound and done.status == engine.DONE
            say(_line(done))
        narrator.flush()
    except (TransactionError, GuestError, VgicError) as error:
        print(f"vgic demo smmute: {error}", file=sys.stderr)
        return FAILED
    spent = guest.account().diff(before)
    print(_summary(args.count, spent) + (_limited(args.limit, spent) if args.limit else ""))
    return DONE if _as_promised(guest, spent, sound) else FAILED


def _setting(kind: str, guest: Guest) -> str:
    by = "the hardware delivers them" if guest.direct else "the host takes them, and injects"
    last = len(guest.guest.cpus) - 1
    lpis = f"LPI {FIRST_LPI} of vCPU 0" if not last else f"LPIs {FIRST_LPI} to {FIRST_LPI + last} of vCPUs 0 to {last}"
    return f"{KINDS[kind].name}: the vectors of device {DEVID} are {lpis}; {by}"


def _line(it: Transaction) -> str:
    output = it.output[:_SHOWN].hex(" ") + (" ..." if len(it.output) > _SHOWN else "")
    status = engine.STATUSES[it.status] if it.sound else "wrong value"
    return f"{it.number:>11}  {it.cpu:>4}  {status:<13}  {it.value:#018x}  {it.cycles:>8} cycles  {output}"


def _summary(count: int, spent: Account) -> str:
    pes, gic = spent.pes, spent.gic
    return (
        f"{count} transactions, {gic.msis} messages: hypervisor entries {figures.hypervisor_entries(spent)} "
        f"(exits {figures.exits(spent)}, interrupts that the host took {pes.phys_acks}); "
        f"list-register writes {pes.lr_writes}; ITS commands {gic.commands}; "
        f"doorbells {gic.default_doorbells + gic.individual_doorbells}"
    )


def _limited(limit: tuple[int, int], spent: Account) -> str:
    messages, cycles = limit
    return f"; throttled {spent.gic.throttled} (limit: {messages} in {cycles} cycles)"


def _as_promised(guest: Guest, spent: Account, sound: bool) -> bool:
    """Whether all transactions are sound, and direct injection entered the hypervisor for none; say what is not so."""
    wrong = []
    if not sound:
        wrong.append("a transaction went wrong")
    if guest.board.v4 is not None and not guest.direct:
        wrong.append("a vector was not forwarded")
    if guest.direct and figures.hypervisor_entries(spent):
        wrong.append("the hypervisor was entered")
    wrong += guest.board.misuse
    for text in wrong:
        print(f"vgic demo smmute: {text}", file=sys.stderr)
    return not wrong


def _words(text: str) -> int:
    size = between(8, 4096)(text)
    if size % 8:
        raise argparse.ArgumentTypeError(f"{size} is not a multiple of 8")
    return size


def _rate(text: str) -> tuple[int, int]:
    messages, slash, cycles = text.partition("/")
    if not slash:
        raise argparse.ArgumentTypeError(f"{text!r} is not N/CYCLES")
    return between(1, 1_000_000)(messages), between(1, 1_000_000_000)(cycles)
