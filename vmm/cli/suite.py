"""`vgic run --suite`: kvm-unit-tests' arm64 images, with the arguments that its unittests.cfg gives them.

Room:    beside guests; batch runs what comes of it.
Owns:    the list of tests.  docs/kvm-unit-tests.md says how to build the images.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmm.cli.batch import SECONDS, Job, config_for
from vmm.cli.files import read_file
from vmm.cli.options import UsageError, chosen
from vmm.config import IrqChip
from vmm.layout import MAX_RAM, MIB
from vmm.loader import Images

V2, V3, ITS = IrqChip.GICV2, IrqChip.GICV3, IrqChip.GICV3_ITS
ALL: Final = (V2, V3, ITS)
BOTH: Final = (V2, ITS)

ENVIRONMENT: Final = b"ERRATA_FORCE=y\nERRATA_6c7a5dce22b3=y\nERRATA_8c58be34494b=y\n"
"""Run the tests that are known to hang or crash an older KVM, too."""


@dataclass(frozen=True, slots=True)
class Test:
    """One test.

    words  its arguments, in which {cpus} is how many there are, and {mib} how much RAM
    mib    of RAM unless `--mem` says otherwise; 0: what every machine has
    """

    name: str
    words: str
    irqchips: tuple[IrqChip, ...]
    cpus: tuple[int, ...]
    image: str = "gic.flat"
    mib: int = 0
    seconds: float = SECONDS


TESTS: Final = (
    Test("selftest-setup", "setup smp={cpus} mem={mib}", (ITS,), (2,), "selftest.flat", 256),
    Test("selftest-vectors-kernel", "vectors-kernel", (ITS,), (1,), "selftest.flat"),
    Test("selftest-vectors-user", "vectors-user", (ITS,), (1,), "selftest.flat"),
    Test("selftest-smp", "smp", BOTH, (4, 8), "selftest.flat"),
    Test("gic-ipi", "ipi", ALL, (2, 4, 8)),
    Test("gic-active", "active", ALL, (1, 4)),
    Test("gicv2-mmio", "mmio", (V2,), (1, 3, 4, 8)),
    Test("its-introspection", "its-introspection", (ITS,), (4,)),
    Test("its-trigger", "its-trigger", (ITS,), (4,)),
    Test("its-migration", "its-migration", (ITS,), (4,)),
    Test("its-pending-migration", "its-pending-migration", (ITS,), (4,)),
    Test("its-migrate-unmapped-collection", "its-migrate-unmapped-collection", (ITS,), (4,)),
    Test("timer", "", BOTH, (1,), "timer.flat"),
    Test("psci", "", BOTH, (2, 4), "psci.flat"),
    Test("micro-bench", "", BOTH, (2,), "micro-bench.flat", seconds=600.0),
)


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """Return the runs; `--irqchip` and `--cpus` choose some of them.  Errors: UsageError."""
    images = {name: _image(args.suite, name) for name in dict.fromkeys(test.image for test in TESTS)}
    if not any(images.values()):
        raise UsageError(f"no {', '.join(images)} in {args.suite} or {args.suite}/arm; docs/kvm-unit-tests.md helps")
    for test in TESTS:
        code = images[test.image]
        if code is not None:
            for irqchip in chosen(test.irqchips, args):
                for cpus in test.cpus:
                    if args.cpus in (None, cpus):
                        yield _job(test, args, code, irqchip, cpus)


def _job(test: Test, args: argparse.Namespace, code: bytes, irqchip: IrqChip, cpus: int) -> Job:
    config = config_for(args, irqchip, cpus, **({"ram": test.mib * MIB} if test.mib else {}))
    images = Images(firmware=code, initrd=ENVIRONMENT, params=test.words.format(cpus=cpus, mib=config.ram // MIB))
    return Job(test.name, config, images, seconds=test.seconds)


def _image(folder: Path, name: str) -> bytes | None:
    """Return an image of the folder, or of its subfolder arm.  Errors: UsageError."""
    for path in (folder / name, folder / "arm" / name):
        if path.is_file():
            return read_file("image", path, MAX_RAM)
    return None
