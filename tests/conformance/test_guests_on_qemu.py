"""Our guests on somebody else's machine: what they expect of a GIC, QEMU's model of one does, too.

Instructions are counted (-icount) so that no other load on the host makes a guest late.
"""

import subprocess
from pathlib import Path
from shutil import which
from typing import Final

import pytest

from vmm.config import IrqChip
from vmm.guests import GUESTS, Guest, image
from vmm.outcome import End

QEMU: Final = "qemu-system-aarch64"
BOARDS: Final = {
    IrqChip.GICV2: "virt,gic-version=2",
    IrqChip.GICV3: "virt,gic-version=3,its=off",
    IrqChip.GICV3_ITS: "virt,gic-version=3",
}
SECONDS: Final = 60
ROWS: Final = {
    f"{guest.name}, {irqchip.value}, {cpus} CPUs": (guest, irqchip, cpus)
    for guest in GUESTS
    if guest.end is End.POWERED_OFF and guest.status is not None
    for irqchip in guest.irqchips
    for cpus in guest.cpus
}


def console(tmp_path: Path, name: str, *options: str, bootargs: str = "") -> str:
    """What a guest prints, with a key pressed early for one that waits for it."""
    qemu = which(QEMU)
    if qemu is None:
        pytest.skip(f"{QEMU} is not installed (Debian: qemu-system-arm)")
    kernel = tmp_path / f"{name}.flat"
    kernel.write_bytes(image(name))
    machine = ("-cpu", "cortex-a57", "-m", "256", "-display", "none", "-nic", "none", "-serial", "stdio")
    ran = subprocess.run(
        [qemu, *machine, "-icount", "shift=3,sleep=off", "-kernel", str(kernel), "-append", bootargs, *options],
        input=b"\n",
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    return ran.stdout.decode()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_guest_passes(row: tuple[Guest, IrqChip, int], tmp_path: Path) -> None:
    guest, irqchip, cpus = row
    printed = console(tmp_path, guest.name, "-M", BOARDS[irqchip], "-smp", str(cpus), bootargs="strict qemu")
    assert f"EXIT: STATUS={guest.status}" in printed.splitlines(), printed
    assert "FAIL" not in printed


@pytest.mark.parametrize("status", [3, 77, 127])
def test_silent_exit_prints_the_status_it_is_told(status: int, tmp_path: Path) -> None:
    printed = console(tmp_path, "silent-exit", "-M", "virt", bootargs=str(status))
    assert printed.split() == ["EXIT:", f"STATUS={status}"]


def test_lpi_skips_without_an_its(tmp_path: Path) -> None:
    assert "EXIT: STATUS=77" in console(tmp_path, "lpi", "-M", BOARDS[IrqChip.GICV3])


@pytest.mark.parametrize("name", ["ipi", "spi", "timer", "lpi", "wfi", "mark"])
def test_affinity_level_1(name: str, tmp_path: Path) -> None:
    """Twenty CPUs are more than one cluster of sixteen."""
    printed = console(tmp_path, name, "-M", BOARDS[IrqChip.GICV3_ITS], "-smp", "20")
    assert "EXIT: STATUS=1" in printed.splitlines(), printed
