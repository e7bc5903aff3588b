"""`vgic run --guests`: the guests that come with vgic, on every interrupt controller and number of CPUs worth it.

Room:    beside suite; batch runs what comes of it.
"""

import argparse
from collections.abc import Iterator
from typing import Final

from vmm.cli.batch import Job, config_for
from vmm.cli.options import chosen
from vmm.config import MAX_CPUS_V2, IrqChip
from vmm.guests import GUESTS, Guest, image
from vmm.loader import Images
from vmm.outcome import End

BUDGET: Final = 2_000_000
"""Instructions after which a guest that never ends is stopped."""

ENDINGS: Final = {
    "1": (End.POWERED_OFF, 1),
    "3": (End.POWERED_OFF, 3),
    "77": (End.POWERED_OFF, 77),
    "127": (End.POWERED_OFF, 127),
    "reset": (End.RESET, None),
    "cpu-off": (End.ALL_OFF, None),
}
"""How `silent-exit` ends, by its argument."""


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Return the runs; `--irqchip` and `--cpus` choose some of them.  Errors: UsageError."""
    for guest in GUESTS:
        for irqchip in chosen(guest.irqchips, args):
            for cpus in guest.cpus if args.cpus is None or guest.cpus == (1,) else (args.cpus,):
                if cpus <= MAX_CPUS_V2 or irqchip is not IrqChip.GICV2 or args.irqchip is not None:
                    yield from _of(guest, args, irqchip, cpus)


def _of(guest: Guest, args: argparse.Namespace, irqchip: IrqChip, cpus: int) -> Iterator[Job]:
    config = config_for(args, irqchip, cpus, **({"budget": BUDGET} if guest.end is End.BUDGET else {}))
    code = image(guest.name)
    yield Job(guest.name, config, Images(firmware=code), guest.end, guest.status)
    if guest.name == "silent-exit":
        for word, (end, status) in ENDINGS.items():
            yield Job(f"{guest.name} {word}", config, Images(firmware=code, params=word), end, status)
