"""How long does Linux take here, and how long in QEMU?  Usage: python -m tests.bench.linux_qemu [--rounds N].

Room:    a program beside the rows; the VMM is `vgic linux` in a process of its own.
Holds:   both boot the same kernel, initrd and command line, without the guest's sleep, in turn (ours, QEMU, ours, ...).
         A run counts only if its guest powered itself off.  Wall time is that of the whole process.

QEMU's CPU is `max` without pointer authentication, which the VMM's guests do not have either: with it QEMU takes
more than twice as long, computing QARMA.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Final, NamedTuple

from vmm.linux.apt import FetchError
from vmm.linux.fetch import default_cache
from vmm.linux.images import Images, prepare
from vmm.linux.initramfs import NO_SLEEP

QEMU: Final = "qemu-system-aarch64"
QEMU_CPU: Final = "max,pauth=off"
ROUNDS: Final = 5
RAM_MIB: Final = 512
SIGNS: Final = ("vgic: power off", "reboot: Power down")
"""What the console shows, in this order, at the end of a boot that went well."""
SECONDS: Final = 600.0


class Run(NamedTuple):
    """One boot: the process's wall time, and, of the VMM, what it executed in which part of that (else zeros)."""

    wall: float
    instructions: int = 0
    inside: float = 0.0


class BootError(Exception):
    """A boot that did not come to its end; the message has the end of the console."""


def boot(command: Sequence[str]) -> float:
    """Run `command` and return its wall time in seconds.  Errors: BootError if the guest did not power off."""
    begun = monotonic()
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BootError(f"{command[0]}: no end after {SECONDS:g} seconds") from None
    wall = monotonic() - begun
    console = ran.stdout.decode(errors="replace")
    at = 0
    for sign in SIGNS:
        at = console.find(sign, at)
        if at < 0 or ran.returncode:
            tail = "\n".join((console + ran.stderr.decode(errors="replace")).splitlines()[-20:])
            raise BootError(f"{command[0]}: no {sign!r}, exit status {ran.returncode}:\n{tail}")
    return wall


def qemu_command(images: Images, cpus: int, cpu: str) -> list[str]:
    """Return the command line for QEMU."""
    machine = ["-M", "virt,gic-version=3", "-accel", "tcg", "-cpu", cpu, "-smp", str(cpus), "-m", str(RAM_MIB)]
    files = ["-kernel", str(images.kernel), "-initrd", str(images.initrd), "-append", images.params]
    return [QEMU, *machine, "-nographic", "-no-reboot", "-net", "none", *files]


def vmm_command(cache: Path, cpus: int, out: Path) -> list[str]:
    """Return the command line for the VMM, whose result goes to `out`."""
    return [
        sys.executable,
        "-m",
        "vgic.cli.main",
        "linux",
        "--no-sleep",
        "--cache",
        str(cache),
        "--cpus",
        str(cpus),
        "--json",
        str(out),
    ]


def run_vmm(cache: Path, cpus: int, out: Path) -> Run:
    """Boot once in the VMM."""
    wall = boot(vmm_command(cache, cpus, out))
    stats = json.loads(out.read_text(encoding="utf-8"))
    return Run(wall, int(stats["instructions"]), float(stats["wall_seconds"]))


def compare(images: Images, cache: Path, cpus: int, rounds: int, cpu: str) -> Iterator[str]:
    """Boot `rounds` times in each; the lines of the report."""
    ours: list[Run] = []
    theirs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="vgic-linux-") as scratch:
        for number in range(1, rounds + 1):
            ours.append(run_vmm(cache, cpus, Path(scratch) / "stats.json"))
            theirs.append(Run(boot(qemu_command(images, cpus, cpu))))
            yield f"round {number}: VMM {ours[-1].wall:.2f} s, QEMU {theirs[-1].wall:.2f} s"
    yield from report(ours, theirs)


def report(ours: Sequence[Run], theirs: Sequence[Run]) -> Iterator[str]:
    """Return medians, spreads, and the ratio of each round."""
    ratios = [mine.wall / other.wall for mine, other in zip(ours, theirs, strict=True)]
    mips = [run.instructions / run.inside / 1e6 for run in ours]
    for name, values, unit in (
        ("VMM", [run.wall for run in ours], "s"),
        ("QEMU", [run.wall for run in theirs], "s"),
        ("VMM / QEMU", ratios, "times"),
        ("VMM's speed", mips, "MIPS"),
    ):
        yield f"{name:12}{median(values):8.2f} {unit:6}({min(values):.2f}..{max(values):.2f})"
    yield f"{'instructions':12} {ours[0].instructions:>11,}"


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(description="Boot the same Linux in the VMM and in QEMU, in turn.")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="vCPUs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="boots of each (default: %(default)s)")
    parser.add_argument("--qemu-cpu", default=QEMU_CPU, metavar="MODEL", help="QEMU's -cpu (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="as of `vgic linux`")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds {args.rounds}: at least 1")
    if shutil.which(QEMU) is None:
        parser.exit(os.EX_UNAVAILABLE, f"{QEMU} is not installed\n")
    try:
        images = prepare(args.cache).with_params(NO_SLEEP)
        python = f"{platform.python_implementation()} {platform.python_version()}"
        guest = f"Linux {images.version}, GICv3, {args.cpus} vCPUs"
        sys.stdout.write(f"{guest}, QEMU's -cpu {args.qemu_cpu}, {python}{os.linesep}")
        for line in compare(images, args.cache, args.cpus, args.rounds, args.qemu_cpu):
            sys.stdout.write(line + os.linesep)
            sys.stdout.flush()
    except (FetchError, BootError) as error:
        parser.exit(os.EX_UNAVAILABLE, f"{error}\n")


if __name__ == "__main__":
    main()
