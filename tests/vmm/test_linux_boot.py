"""Debian's kernel, unmodified, from its first instruction to user space and power-off."""

from typing import Final

import pytest

from vmm.config import IrqChip, MachineConfig
from vmm.linux.images import Images
from vmm.loader import Images as Loaded
from vmm.machine import Machine
from vmm.outcome import End

BUDGET: Final = 1_500_000_000
"""Instructions: a boot with 4 vCPUs takes some 330 million."""

BOOTS: Final = {
    "1 vCPU, GICv3 with ITS": (1, 0, IrqChip.GICV3_ITS),
    "4 vCPUs, GICv3 with ITS": (4, 0, IrqChip.GICV3_ITS),
    "4 vCPUs on 2 physical CPUs, GICv2": (4, 2, IrqChip.GICV2),
}


def boot(images: Images, config: MachineConfig) -> tuple[Machine, str]:
    printed = bytearray()
    loaded = Loaded(kernel=images.kernel.read_bytes(), initrd=images.initrd.read_bytes(), params=images.params)
    machine = Machine(config, loaded, printed.append)
    machine.run()
    return machine, printed.decode(errors="replace")


@pytest.mark.parametrize(("cpus", "pcpus", "irqchip"), BOOTS.values(), ids=BOOTS)
def test_linux_reaches_user_space_and_powers_off(linux_images: Images, cpus: int, pcpus: int, irqchip: IrqChip) -> None:
    machine, console = boot(linux_images, MachineConfig(cpus=cpus, pcpus=pcpus, irqchip=irqchip, budget=BUDGET))
    assert machine.outcome is not None, console
    assert machine.outcome.end is End.POWERED_OFF, f"{machine.outcome}\n{console[-2000:]}"
    assert f"{cpus} CPUs" in console, "user space counts the vCPUs"
    assert "vgic: interrupts at last" in console, "/proc/interrupts was shown"
    assert "reboot: Power down" in console
    if cpus > 1:
        assert "vgic: cpu1 down" in console
        assert "vgic: cpu1 up" in console
    assert not machine.warnings, "nothing that a hypervisor cannot emulate was done"
