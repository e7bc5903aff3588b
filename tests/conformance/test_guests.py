"""Our guests on our VMM: each ends as its row in GUESTS says, on every interrupt controller it is written for."""

from typing import Final

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'vgic[vmm]'")

from vmm.config import IrqChip, MachineConfig
from vmm.guests import GUESTS, Guest, image
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import End
from vmm.watch import ConsoleWatch

BUDGET: Final = 200_000_000
"""Instructions: what one wait that ends in vain takes is half of it."""
MARK: Final = "press a key to continue...\n"
ROWS: Final = {
    f"{guest.name}, {irqchip.value}, {cpus} CPUs": (guest, irqchip, cpus)
    for guest in GUESTS
    for irqchip in guest.irqchips
    for cpus in guest.cpus
}


def run(name: str, config: MachineConfig, params: str = "") -> tuple[End, int | None, str]:
    """How a guest ends, the status it prints, and all it prints; a key is pressed when it asks for one."""
    printed = bytearray()
    watch = ConsoleWatch(MARK)

    def output(byte: int) -> None:
        printed.append(byte)
        if watch.feed(byte):
            machine.uart.receive(b"\n")

    machine = Machine(config, Images(firmware=image(name), params=params), output)
    outcome = machine.run()
    return outcome.end, watch.status, printed.decode()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_guest_ends_as_listed(row: tuple[Guest, IrqChip, int]) -> None:
    guest, irqchip, cpus = row
    budget = 1_000_000 if guest.end is End.BUDGET else BUDGET
    end, status, printed = run(guest.name, MachineConfig(cpus=cpus, irqchip=irqchip, budget=budget))
    assert (end, status) == (guest.end, guest.status), printed
    assert "FAIL" not in printed


@pytest.mark.parametrize("slice_length", [37, 1000, 100_000])
@pytest.mark.parametrize("name", ["ipi", "spi", "timer", "lpi", "wfi", "overflow", "mark"])
def test_guest_passes_whatever_the_slice(name: str, slice_length: int) -> None:
    config = MachineConfig(cpus=3, pcpus=2, slice_length=slice_length, budget=BUDGET)
    assert run(name, config)[:2] == (End.POWERED_OFF, 1)


@pytest.mark.parametrize(
    ("params", "want"),
    [
        ("", (End.POWERED_OFF, None)),
        ("1", (End.POWERED_OFF, 1)),
        ("3", (End.POWERED_OFF, 3)),
        ("77", (End.POWERED_OFF, 77)),
        ("127", (End.POWERED_OFF, 127)),
        ("reset", (End.RESET, None)),
        ("cpu-off", (End.ALL_OFF, None)),
    ],
)
def test_silent_exit_ends_as_it_is_told(params: str, want: tuple[End, int | None]) -> None:
    assert run("silent-exit", MachineConfig(budget=BUDGET), params)[:2] == want


def test_what_cannot_be_emulated_is_an_external_abort() -> None:
    end, status, printed = run("fault", MachineConfig(budget=BUDGET), "isv0")
    assert (end, status) == (End.POWERED_OFF, 1), printed
    assert "SKIP" not in printed


@pytest.mark.parametrize("irqchip", list(IrqChip))
@pytest.mark.parametrize("name", ["spi", "overflow"])
@pytest.mark.xfail(
    strict=True,
    reason="Linux 6.12: an SPI pended while the distributor is off is not listed when it is switched on; active "
    "interrupts outside list registers, and DIR on another CPU, are not deactivated",
)
def test_what_the_architecture_asks_and_kvm_does_not_do(name: str, irqchip: IrqChip) -> None:
    assert run(name, MachineConfig(cpus=2, irqchip=irqchip, budget=BUDGET), "strict")[1] == 1
