"""Cycle figures: what each counted event is assumed to take.

Room:    beside the commands that show cycles.
Holds:   nothing here is measured.  The first seven are of the order that publications give (docs/vlpi.md says which);
         the others are 0 because an exit's figure covers what a hypervisor does in it.
"""

import argparse
from dataclasses import dataclass, fields, replace

from hw import Account
from hw.arch4 import VMOVP


@dataclass(frozen=True, slots=True)
class Figures:
    """Cycles for one of each.  `help_text` shows the comments; a command line sets them by name."""

    exit: int = 3000  # leaving the guest and entering it again
    eoi: int = 71  # completing an interrupt in the guest
    sgir: int = 250  # a write of GITS_SGIR; 500 to an ITS of another socket
    translation: int = 500  # a message through an ITS to a redistributor
    host_irq: int = 2000  # an interrupt that the host takes: a doorbell, or a device's
    vmovp: int = 2000  # VMOVP with its VSYNC
    list_register: int = 0  # an access to a list register
    register: int = 0  # an access to another GIC register of the hypervisor
    command: int = 0  # an ITS command other than VMOVP

    def cycles(self, account: Account, delivered: int) -> int:
        """Return what the machine's work is assumed to have taken, `delivered` interrupts being completed."""
        pes, gic = account.pes, account.gic
        moves = gic.by_command.get(VMOVP, 0)
        return (
            self.exit * exits(account)
            + self.eoi * delivered
            + self.sgir * gic.vsgis
            + self.translation * gic.msis
            + self.host_irq * pes.phys_acks
            + self.vmovp * moves
            + self.list_register * (pes.lr_reads + pes.lr_writes)
            + self.register * registers(account)
            + self.command * (gic.commands - moves)
        )

    def as_dict(self) -> dict[str, int]:
        """Return every figure by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def exits(account: Account) -> int:
    """How often guests left for the hypervisor, whatever the cause."""
    pes = account.pes
    return pes.exits_mmio + pes.exits_sysreg + pes.exits_irq + pes.exits_wfi + pes.exits_host


def hypervisor_entries(account: Account) -> int:
    """How often the hypervisor got to run: exits of guests, and interrupts on CPUs that are in no guest.

    For machines on which an interrupt that the host takes makes no guest exit, as those of `machines` are.
    """
    return exits(account) + account.pes.phys_acks


def registers(account: Account) -> int:
    """The hypervisor's accesses to GIC registers other than list registers; the guest's own do not count."""
    pes = account.pes
    return pes.total() - pes.lr_reads - pes.lr_writes - pes.icv_reads - pes.icv_writes + account.gic.vsgis


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add --cycles to a command; `figures` of its arguments then has the outcome."""
    names = ", ".join(f"{name} {value}" for name, value in Figures().as_dict().items())
    parser.add_argument(
        "--cycles",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=N",
        help=f"assume N cycles for one of these (default: {names})",
    )


def chosen(settings: list[tuple[str, int]]) -> Figures:
    """Return the figures with what the command line set."""
    return replace(Figures(), **dict(settings))


def _setting(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    known = Figures().as_dict()
    if name not in known:
        raise argparse.ArgumentTypeError(f"there is no figure {name!r}; there are {', '.join(known)}")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not {name}=N, N being a number of cycles")
    return name, int(number)
