"""The comparison with QEMU believes no boot that did not end well, and reports medians with their spread."""

import sys

import pytest

from tests.bench.linux_qemu import BootError, Run, boot, report

CONSOLES = {
    "the guest never powers off": ("print('vgic: power off')", "no 'reboot: Power down'"),
    "the init script was not reached": ("print('reboot: Power down')", "no 'vgic: power off'"),
    "the process fails after all": (
        "print('vgic: power off'); print('reboot: Power down'); raise SystemExit(3)",
        "exit status 3",
    ),
}


@pytest.mark.parametrize(("console", "reason"), CONSOLES.values(), ids=CONSOLES)
def test_a_boot_that_did_not_end_well_is_no_figure(console: str, reason: str) -> None:
    with pytest.raises(BootError, match=reason):
        boot([sys.executable, "-c", console])


def test_a_boot_that_ended_well_took_its_time() -> None:
    program = "import time; time.sleep(0.2); print('vgic: power off'); print('reboot: Power down')"
    assert boot([sys.executable, "-c", program]) >= 0.2


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    ours = [Run(4.0, 300_000_000, 3.0), Run(9.0, 300_000_000, 3.0), Run(6.0, 300_000_000, 2.0)]
    lines = [line.split() for line in report(ours, [Run(2.0), Run(3.0), Run(1.0)])]
    assert lines == [
        ["VMM", "6.00", "s", "(4.00..9.00)"],
        ["QEMU", "2.00", "s", "(1.00..3.00)"],
        ["VMM", "/", "QEMU", "3.00", "times", "(2.00..6.00)"],
        ["VMM's", "speed", "100.00", "MIPS", "(100.00..150.00)"],
        ["instructions", "300,000,000"],
    ]
