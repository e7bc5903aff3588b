"""The options that describe a machine and its run, in kvmtool's words where it has some.

Room:    below the commands; needs no engine.
Holds:   an option of the machine that was not given is None: its default is MachineConfig's, and a recording's
         configuration is not contradicted by it.
"""

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from hw import GicVersion
from vmm.config import ConfigError, IrqChip, MachineConfig, can_host
from vmm.layout import MIB

SERIAL, OUTPUT, OFF = "serial", "output", "off"
STDOUT: Final = "-"
GIC_VERSIONS: Final = {"3": GicVersion.V3, "4": GicVersion.V4_0, "4.1": GicVersion.V4_1}
ENGINES: Final = {"fast": True, "api": False}

FIRMWARE_CPUS: Final = 4
"""vCPUs of a flat image when nobody says how many: kvmtool's are the host's, so that tests of SGIs find a second one;
here they do not depend on the host."""

_DEFAULT: Final = MachineConfig()
_SIZE: Final = {"": MIB, "K": 1 << 10, "M": MIB, "G": 1 << 30}
_MULTIPLE: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


class UsageError(Exception):
    """A command line that makes no sense together with the files it names: exit status 2."""


def add_machine_arguments(parser: argparse.ArgumentParser, cpus: str = str(_DEFAULT.cpus)) -> None:
    """Add what describes the machine and the run; the images are the command's.

    cpus  how many vCPUs there are by default, in words
    """
    group = parser.add_argument_group("machine")
    _add_machine(group, cpus)
    _add_hidden(group)
    _add_run(parser.add_argument_group("run"))


def add_resume_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what describes a run of a machine that was saved: only what its guest cannot see may be another."""
    _add_hidden(parser.add_argument_group("machine"))
    _add_run(parser.add_argument_group("run"))


def _add_machine(group: "argparse._ArgumentGroup", cpus: str) -> None:
    group.add_argument(
        "-m",
        "--mem",
        dest="ram",
        type=parse_size,
        metavar="SIZE",
        help=f"RAM in MiB, or with a suffix K, M or G (default: {_DEFAULT.ram // MIB})",
    )
    group.add_argument("-c", "--cpus", type=int, metavar="N", help=f"vCPUs (default: {cpus})")
    group.add_argument(
        "--irqchip",
        type=_irqchip,
        metavar="{" + ",".join(chip.value for chip in IrqChip) + "}",
        help=f"the guest's interrupt controller (default: {_DEFAULT.irqchip.value})",
    )
    group.add_argument("--pcpus", type=int, metavar="N", help="physical CPUs the vCPUs share (default: one each)")
    group.add_argument("--lrs", type=int, metavar="N", help=f"list registers (default: {_DEFAULT.lrs})")
    group.add_argument(
        "--gic-version",
        type=_gic_version,
        metavar="{" + ",".join(GIC_VERSIONS) + "}",
        help="of the host: 4 and 4.1 inject a GICv3 guest's interrupts directly (default: 3)",
    )
    group.add_argument(
        "--slice",
        dest="slice_length",
        type=parse_count,
        metavar="INSNS",
        help="instructions of one guest entry at most (default: 20,000 as long as other vCPUs could run, else 200,000)",
    )


def _add_hidden(group: "argparse._ArgumentGroup") -> None:
    """Add what the guest cannot see."""
    group.add_argument(
        "--budget",
        type=parse_count,
        metavar="INSNS",
        help="stop after so many instructions since power-on; suffixes K, M, G",
    )
    group.add_argument(
        "--engine",
        dest="fast_engine",
        type=_engine,
        metavar="{" + ",".join(ENGINES) + "}",
        help="fast reads the engine's private state where documented calls are slow; "
        "api makes the same run without (default: fast)",
    )


def _add_run(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--console",
        choices=(SERIAL, OUTPUT, OFF),
        default=OUTPUT,
        help="serial: standard input is the guest's keyboard (Ctrl-A x leaves); "
        "output: show what the guest prints; off: not even that (default: %(default)s)",
    )
    group.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="MARK=TEXT",
        help=r"type TEXT each time the guest has printed MARK; \n, \xHH and \= as usual; may be repeated",
    )
    group.add_argument(
        "--timeout", type=_seconds, default=0.0, metavar="SECONDS", help="stop after so long by the wall clock"
    )
    group.add_argument("--stats", action="store_true", help="say afterwards what happened, counted")
    group.add_argument(
        "--json", nargs="?", const=STDOUT, metavar="FILE", help="the same for programs (default: standard output)"
    )
    group.add_argument("--record", type=Path, metavar="FILE", help="write down what comes from outside")
    group.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="run the machine of a recording, given the same images; exit status 0 if it was the same run, 1 if not",
    )
    group.add_argument(
        "--save-on",
        metavar="MARK",
        help="when the guest has printed MARK, at the end of the slice, save the machine and end the run with exit"
        " status 0; escapes as in --on",
    )
    group.add_argument(
        "--save-to",
        type=Path,
        default=Path("machine.vgic"),
        metavar="FILE",
        help="where to: `vgic resume FILE` goes on with it (default: %(default)s)",
    )
    group.add_argument(
        "--debug",
        action="store_true",
        help="show a traceback when vgic itself is at fault; with several guests, show what they print",
    )


def given(args: argparse.Namespace) -> dict[str, object]:
    """Return the parameters of MachineConfig that the command line names."""
    names = ("cpus", "pcpus", "ram", "irqchip", "lrs", "gic_version", "slice_length", "budget", "fast_engine")
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def config_of(args: argparse.Namespace, **more: object) -> MachineConfig:
    """Return the machine that the command line describes; `more` has other defaults.  Errors: UsageError."""
    try:
        return MachineConfig(**{**more, **given(args)})  # type: ignore[arg-type]  # argparse made them of these types
    except ConfigError as error:
        raise UsageError(str(error)) from None


def chosen(irqchips: Sequence[IrqChip], args: argparse.Namespace) -> list[IrqChip]:
    """Return those of a guest's interrupt controllers that the command line leaves, and its host can have."""
    host = args.gic_version or _DEFAULT.gic_version
    return [chip for chip in irqchips if args.irqchip in (None, chip) and can_host(host, chip)]


# -- values --------------------------------------------------------------------------------------


def parse_size(text: str) -> int:
    """Return bytes: a number of MiB, or one with a suffix.  Errors: ArgumentTypeError."""
    return _with_suffix(text, _SIZE, "a size such as 512, 512M or 2G")


def parse_count(text: str) -> int:
    """Return a number that may have a suffix, of thousands.  Errors: ArgumentTypeError."""
    return _with_suffix(text, _MULTIPLE, "a number such as 5000, 20K or 2G")


def _with_suffix(text: str, suffixes: dict[str, int], wanted: str) -> int:
    match = re.fullmatch(r"([0-9][0-9_]{0,20})([KMG]?)", text.upper())
    if match is None:
        _refuse(text, wanted)
    return int(match[1].replace("_", "")) * suffixes[match[2]]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        _refuse(text, "a number of seconds")
    return seconds


def _irqchip(text: str) -> IrqChip:
    try:
        return IrqChip(text)
    except ValueError:
        _refuse(text, f"one of {', '.join(chip.value for chip in IrqChip)}")


def _gic_version(text: str) -> GicVersion:
    if text not in GIC_VERSIONS:
        _refuse(text, f"one of {', '.join(GIC_VERSIONS)}")
    return GIC_VERSIONS[text]


def _engine(text: str) -> bool:
    if text not in ENGINES:
        _refuse(text, f"one of {', '.join(ENGINES)}")
    return ENGINES[text]


def _refuse(text: str, wanted: str) -> NoReturn:
    raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
