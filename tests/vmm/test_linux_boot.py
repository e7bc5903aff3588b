"""Debian's kernel, unmodified, from its first instruction to user space and power-off."""

from typing import Final

import pytest

from hw import GicVersion
from vmm.config import IrqChip, MachineConfig
from vmm.linux.images import Images
from vmm.loader import Images as Loaded
from vmm.machine import Machine
from vmm.outcome import End

BUDGET: Final = 1_500_000_000
"""Instructions: a boot with 4 vCPUs takes some 330 million."""

BOOTS: Final = {
    "1 vCPU, GICv3 with ITS": MachineConfig(cpus=1, budget=BUDGET),
    "4 vCPUs, GICv3 with ITS": MachineConfig(cpus=4, budget=BUDGET),
    "4 vCPUs on 2 physical CPUs, GICv2": MachineConfig(cpus=4, pcpus=2, irqchip=IrqChip.GICV2, budget=BUDGET),
    "2 vCPUs, GICv3 with ITS on a GICv4.1": MachineConfig(cpus=2, gic_version=GicVersion.V4_1, budget=BUDGET),
}


def boot(images: Images, config: MachineConfig) -> tuple[Machine, str]:
    printed = bytearray()
    loaded = Loaded(kernel=images.kernel.read_bytes(), initrd=images.initrd.read_bytes(), params=images.params)
    machine = Machine(config, loaded, printed.append)
    machine.run()
    return machine, printed.decode(errors="replace")


@pytest.mark.parametrize("config", BOOTS.values(), ids=BOOTS)
def test_linux_reaches_user_space_and_powers_off(linux_images: Images, config: MachineConfig) -> None:
    machine, console = boot(linux_images, config)
    assert machine.outcome is not None, console
    assert machine.outcome.end is End.POWERED_OFF, f"{machine.outcome}\n{console[-2000:]}"
    assert f"{config.cpus} CPUs" in console, "user space counts the vCPUs"
    assert "vgic: interrupts at last" in console, "/proc/interrupts was shown"
    assert "reboot: Power down" in console
    if config.cpus > 1:
        assert "vgic: cpu1 down" in console
        assert "vgic: cpu1 up" in console
    if config.gic_version is GicVersion.V4_1:
        assert sum(pe.cost.direct_acks for pe in machine.gic.vm.host.machine.pes) == machine.counts.sgis, (
            "every inter-processor interrupt came without the hypervisor"
        )
    assert not machine.warnings, "nothing that a hypervisor cannot emulate was done"
