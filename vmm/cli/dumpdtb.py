"""`vgic run --dump-dtb`: the device tree a guest gets, as a file for dtc.

Room:    below the command.
"""

import argparse

from vmm.cli.files import ImageFiles
from vmm.cli.options import UsageError, config_of
from vmm.clock import FREQUENCY
from vmm.config import ConfigError
from vmm.dtree import build_dtb
from vmm.loader import place


def dump(args: argparse.Namespace, files: ImageFiles) -> None:
    """Write the device tree; without an image, that of a machine that has none.  Errors: UsageError."""
    config = config_of(args)
    params = args.params or ""
    try:
        if files.firmware is None and files.kernel is None:
            dtb = build_dtb(config, params=params, initrd=None, frequency=FREQUENCY)
        else:
            placement = place(files.read(params, config.ram), config, FREQUENCY)
            dtb = next(data for gpa, data in placement.pieces if gpa == placement.dtb_gpa)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    try:
        args.dump_dtb.write_bytes(dtb)
    except OSError as error:
        raise UsageError(f"cannot write {args.dump_dtb}: {error.strerror or error}") from None
