"""Debian's kernel, unmodified, moved to new machines in the middle of its boot."""

from collections.abc import Callable
from typing import Final

from tests.unit.vmm.moving import stay
from vmm.cli.statefile import from_bytes, to_bytes
from vmm.config import MachineConfig
from vmm.linux.images import Images
from vmm.linux.initramfs import NO_SLEEP
from vmm.loader import Images as Loaded
from vmm.machine import Machine
from vmm.outcome import End, Outcome
from vmm.snapshot import Through, migrate, restore, save

Move = Callable[[Machine, Callable[[int], None]], Machine]

MIB: Final = 1 << 20
BUDGET: Final = 1_500_000_000
MARKS: Final = (b"smp: Brought up", b"ttyAMA0 at MMIO", b"Run /init")
"""Lines after which it is moved: the other vCPUs are up, the UART has its interrupt, user space begins."""


def through_a_file(machine: Machine, output: Callable[[int], None]) -> Machine:
    return restore(from_bytes(to_bytes(save(machine))), output)


def through_kvms_formats(machine: Machine, output: Callable[[int], None]) -> Machine:
    return migrate(machine, output, Through.KVM)


def boot(images: Images, cpus: int, moves: tuple[Move, ...], *, to_end: bool) -> tuple[Machine, Outcome, str]:
    """Boot, moved in one way after the first of MARKS, in the next one after the second."""
    printed = bytearray()
    marks = list(MARKS)

    def output(byte: int) -> None:
        printed.append(byte)
        if byte == ord("\n") and marks and marks[0] in printed[printed.rfind(b"\n", 0, -1) + 1 :]:
            marks.pop(0)
            machines[-1].pause()

    params = images.with_params(NO_SLEEP).params
    loaded = Loaded(kernel=images.kernel.read_bytes(), initrd=images.initrd.read_bytes(), params=params)
    machines = [Machine(MachineConfig(cpus=cpus, ram=256 * MIB, budget=BUDGET), loaded, output)]
    for move in moves:
        assert machines[-1].run().end is End.MARK, printed.decode(errors="replace")
        machines[:] = [move(machines[-1], output)]
    outcome = machines[-1].run() if to_end else Outcome(End.MARK)
    return machines[-1], outcome, printed.decode(errors="replace")


def test_linux_moved_three_times_reaches_user_space_and_powers_off(linux_images: Images) -> None:
    moves = (migrate, through_a_file, through_kvms_formats)
    _, outcome, console = boot(linux_images, 4, moves, to_end=True)
    assert outcome.end is End.POWERED_OFF, f"{outcome}\n{console[-2000:]}"
    assert "vgic: cpu1 up" in console
    assert "reboot: Power down" in console


def test_linux_goes_on_instruction_by_instruction(linux_images: Images) -> None:
    """As far as drivers: by then the kernel has rewritten itself, and what was translated of it is stale."""
    machine, _, console = boot(linux_images, 1, (stay, stay), to_end=False)
    moved, _, moved_console = boot(linux_images, 1, (migrate, migrate), to_end=False)
    assert moved_console == console
    assert moved.counts == machine.counts
    assert moved.events.digest() == machine.events.digest()
