"""`vgic linux`: fetch Debian's arm64 kernel and busybox, and boot them to a user space that ends by itself.

Room:    beside `vgic run`, which supplies the machine's options and the run itself.
Holds:   the guest is what `vgic run -k Image -i initrd -p PARAMS` boots; nothing else differs.
"""

import os
import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Final

from vmm.cli import Subparsers
from vmm.cli.files import ImageFiles
from vmm.cli.options import add_machine_arguments
from vmm.cli.run import USAGE, has_engine
from vmm.linux.apt import FetchError
from vmm.linux.fetch import default_cache
from vmm.linux.images import DEFAULT_PARAMS, prepare
from vmm.linux.initramfs import NO_SLEEP, SHELL

UNAVAILABLE: Final = os.EX_UNAVAILABLE
"""Exit status when there is nothing to boot."""

_DESCRIPTION: Final = f"""\
Boot an unmodified Linux: Debian's arm64 cloud kernel with a static busybox, fetched by apt-get into directories of
its own. The guest prints /proc/interrupts, takes a CPU down and up, sleeps, and powers off.

The kernel's command line is
  {DEFAULT_PARAMS}
and what the options add to it.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "linux",
        help="boot Debian's arm64 Linux to user space",
        description=_DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
    )
    guest = parser.add_argument_group("guest")
    guest.add_argument("-p", "--params", default="", metavar="WORDS", help="more words on the kernel's command line")
    guest.add_argument("--no-sleep", action="store_true", help=f"do not sleep (adds {NO_SLEEP})")
    guest.add_argument("--shell", action="store_true", help=f"a shell before the power goes off (adds {SHELL})")
    guest.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="where the packages' files are kept; remove it to fetch newer ones (default: %(default)s)",
    )
    guest.add_argument("--fetch-only", action="store_true", help="print where the files are; boot nothing")
    add_machine_arguments(parser)
    parser.set_defaults(func=run)


def run(args: Namespace) -> int:
    """Do what the command line says and return the exit status."""
    try:
        images = prepare(args.cache, _tell)
    except FetchError as error:
        print(f"vgic linux: cannot fetch Debian's arm64 Linux: {error}", file=sys.stderr)
        return UNAVAILABLE
    images = images.with_params(NO_SLEEP if args.no_sleep else "", SHELL if args.shell else "", args.params)
    if args.fetch_only:
        print(
            f"version  {images.version}\nkernel   {images.kernel}\ninitrd   {images.initrd}\nparams   {images.params}"
        )
        return 0
    if not has_engine("vgic linux"):
        return USAGE
    from vmm.cli import launch  # noqa: PLC0415  # it needs the engine

    return launch.run_files(args, ImageFiles(None, images.kernel, images.initrd, None), images.params, "vgic linux")


def _tell(what: str) -> None:
    print(f"vgic linux: {what}", file=sys.stderr)
