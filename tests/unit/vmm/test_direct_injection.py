"""Guests on hosts with GICv4.0 and GICv4.1: the same for them, less work for their hypervisor."""

from typing import NamedTuple

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'vgic[vmm]'")

from functools import partial

from hw import GicVersion
from tests.unit.vmm.moving import BUDGET, MIB, Run, run_guest, stay
from vmm.assigned import VECTORS
from vmm.config import ConfigError, IrqChip, MachineConfig
from vmm.guests import image
from vmm.layout import GITS_TRANSLATER
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import End
from vmm.snapshot import SnapshotError, Through, migrate, save

V3, V4, V4_1 = GicVersion.V3, GicVersion.V4_0, GicVersion.V4_1


def config(version: GicVersion, cpus: int = 4, pcpus: int = 0) -> MachineConfig:
    return MachineConfig(cpus=cpus, pcpus=pcpus, ram=8 * MIB, budget=BUDGET, gic_version=version)


class Work(NamedTuple):
    """What the hypervisor did for a guest, and what hardware did."""

    lr_writes: int
    forced: int
    direct: int
    doorbells: int


def work(name: str, version: GicVersion) -> Work:
    machine = Machine(config(version), Images(firmware=image(name)), lambda _: None)
    outcome = machine.run()
    assert outcome.end is End.POWERED_OFF
    pes = machine.gic.vm.host.machine.pes
    return Work(
        sum(pe.cost.lr_writes for pe in pes),
        machine.counts.forced,
        sum(pe.cost.direct_acks for pe in pes),
        sum(pe.cost.doorbells for pe in pes),
    )


@pytest.mark.parametrize("shared", [0, 2], ids=["a CPU each", "2 physical CPUs"])
@pytest.mark.parametrize("version", [V4, V4_1], ids=["GICv4.0", "GICv4.1"])
@pytest.mark.parametrize("name", ["ipi", "spi", "timer", "lpi", "wfi", "overflow", "fault"])
def test_a_guest_prints_the_same_and_the_hardware_has_nothing_to_complain_of(
    name: str, version: GicVersion, shared: int
) -> None:
    on_v3 = run_guest(name, config(V3, pcpus=shared), stay)
    printed = bytearray()
    machine = Machine(config(version, pcpus=shared), Images(firmware=image(name)), printed.append)
    assert machine.run().end is End.POWERED_OFF
    assert printed.decode() == on_v3.console
    host = machine.gic.vm.host
    assert host.machine.misuse.records == []
    assert host.gic is not None
    assert host.gic.warnings == []


def test_ipis_travel_as_virtual_sgis() -> None:
    """No list register is written for them, and no vCPU that runs is disturbed."""
    old, new = work("ipi", V3), work("ipi", V4_1)
    assert old.lr_writes > 1000
    assert old.forced > 100
    assert old.direct == 0
    assert (new.lr_writes, new.forced) == (0, 0)
    assert new.direct > 150
    assert new.doorbells, "of the vCPUs that sleep"


@pytest.mark.parametrize("version", [V4, V4_1], ids=["GICv4.0", "GICv4.1"])
def test_messages_of_the_assigned_device_travel_as_virtual_lpis(version: GicVersion) -> None:
    old, new = work("lpi", V3), work("lpi", version)
    assert new.direct > 50
    assert new.lr_writes < old.lr_writes / 4, "those that are left are of INT commands for events without a vector"


def moved(version: GicVersion, through: Through) -> Run:
    return run_guest("mark", config(version), partial(migrate, through=through), 60)


@pytest.mark.parametrize("through", Through, ids=lambda through: through.value)
def test_a_machine_with_direct_injection_is_moved(through: Through) -> None:
    assert moved(V4_1, through).outcome.end is End.POWERED_OFF


def test_a_gicv4_0_machine_whose_device_has_vectors_cannot_be_saved() -> None:
    """Its pending tables cannot be read: KVM's EACCES."""
    machine = Machine(config(V4), Images(firmware=image("lpi")), lambda byte: machine.pause() if byte == 10 else None)
    while machine.run().end is End.MARK:
        if machine.gic.vm.host.machine.itss[0].cost.msis:
            break
    with pytest.raises(SnapshotError, match=r"GICv4\.0"):
        save(machine)


def test_a_device_has_so_many_vectors_and_no_more() -> None:
    """A guest that sends ever other events without mapping any gets what it gets on a GICv3."""
    machine = Machine(config(V4_1, 1), Images(firmware=image("deadlock")), lambda _: None)
    old = Machine(config(V3, 1), Images(firmware=image("deadlock")), lambda _: None)
    for eventid in range(2 * VECTORS):
        for address in (GITS_TRANSLATER, GITS_TRANSLATER + 4, 0x4000_0000):
            assert machine.gic.send(address, eventid, 7) == old.gic.send(address, eventid, 7)
    assert machine.gic.vm.host.machine.misuse.records == []


def test_a_gicv2_guest_has_no_gicv4_host() -> None:
    with pytest.raises(ConfigError, match=r"GICv4\.1 has no guests with gicv2"):
        MachineConfig(irqchip=IrqChip.GICV2, gic_version=V4_1)
