"""`vgic run`: run a guest, in the words of kvmtool's `lkvm run`.

Room:    the command; launch runs one machine, batch many.
Holds:   exit status 0 when the guest ended itself and found nothing wrong; else the guest's own status, or how it ended
         (vmm.outcome.End); 2 for a command line or an image that makes no sense, 74 for output that cannot be
         written, 70 for a defect of vgic.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

from vmm.cli import Subparsers
from vmm.cli.files import ImageFiles
from vmm.cli.options import FIRMWARE_CPUS, UsageError, add_machine_arguments

EXTRA: Final = "pip install 'vgic[vmm]'"
USAGE: Final = 2

_DESCRIPTION: Final = """\
Run a guest on a machine with vgic's interrupt controller, in the words of kvmtool's `lkvm run`:
  vgic run -f gic.flat -p ipi                  a test of kvm-unit-tests
  vgic run -k Image -i initrd -p console=ttyAMA0 --console serial
  vgic run --guests                            the guests that come with vgic
  vgic run --suite kvm-unit-tests/arm          all tests of a built kvm-unit-tests
"""

_STATUS: Final = """\
exit status: 0 the guest powered off and found nothing wrong; the n of its `EXIT: STATUS=n` (3 failures, 77 skipped,
127 aborted); 4 reset, 5 deadlock, 6 every vCPU off, 7 budget used up, 8 fault at the guest's own exception vector,
9 the engine gave up, 124 timed out, 130 interrupted; 2 a bad option or image, 74 output
that cannot be written, 70 a defect of vgic; 1 a replay that is another run, or several runs of which one failed.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="run a bare-metal guest or a Linux kernel on a toy VMM",
        description=_DESCRIPTION,
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to run").add_mutually_exclusive_group()
    what.add_argument("-f", "--firmware", type=Path, metavar="FLAT", help="a flat image")
    what.add_argument("-k", "--kernel", type=Path, metavar="IMAGE", help="a Linux Image")
    what.add_argument("--guests", action="store_true", help="vgic's own guests, one after another")
    what.add_argument("--suite", type=Path, metavar="FOLDER", help="the images of kvm-unit-tests, one after another")
    images = parser.add_argument_group("images")
    images.add_argument("-i", "--initrd", type=Path, metavar="FILE", help="initramfs, or kvm-unit-tests' environment")
    images.add_argument("-p", "--params", metavar="WORDS", help="the guest's command line")
    images.add_argument(
        "--dtb",
        type=Path,
        metavar="FILE",
        help="a device tree instead of the machine's own, as it is: it names the guest's words itself",
    )
    images.add_argument("--dump-dtb", type=Path, metavar="FILE", help="write the device tree the guest gets")
    parser.add_argument_group("several guests").add_argument(
        "--only", metavar="GLOB", help="of --guests and --suite, those with such a name"
    )
    add_machine_arguments(parser, cpus=f"{FIRMWARE_CPUS} with --firmware, else 1")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Do what the command line says and return the exit status."""
    if not has_engine("vgic run"):
        return USAGE
    from vmm.cli import batch, dumpdtb, guests, launch, suite  # noqa: PLC0415  # they need the engine

    if args.firmware is not None and args.cpus is None and args.replay is None:
        args.cpus = FIRMWARE_CPUS
    files = ImageFiles(args.firmware, args.kernel, args.initrd, args.dtb)
    try:
        if args.dtb is not None and args.params:
            raise UsageError("--params would not get into the device tree of --dtb, which is used as it is")
        if args.guests or args.suite is not None:
            jobs = guests.jobs(args) if args.guests else suite.jobs(args)
            return batch.run(args, jobs)
        if args.dump_dtb is not None:
            dumpdtb.dump(args, files)
            if args.firmware is None and args.kernel is None:
                return 0
    except UsageError as error:
        launch.tell("vgic run", str(error))
        return USAGE
    return launch.run_files(args, files, args.params)


def has_engine(command: str) -> bool:
    """Whether the engine is installed; if not, say what to install."""
    try:
        import unicorn  # noqa: F401, PLC0415  # the extra
    except ImportError:
        print(f"{command} needs the extra: {EXTRA}", file=sys.stderr)
        return False
    return True
