"""A GICv2 VM's life: reset state, the first entry, and what the guest finds then."""

from errno import EINVAL, EIO, ENXIO
from typing import Final, NamedTuple

import pytest

from hw.arch import GICC_CTLR, GICC_IAR
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v2.rig import BOTH_HOSTS, GICC_BASE, GICD_BASE, GICV2, GICV3, Rig, make_host
from vgic import UNCLAIMED, Addr, DeviceType, Group, Vgic

SPI: Final = 40


class Layout(NamedTuple):
    """Where the frames lie (None: nowhere), and what the first entry says."""

    dist: int | None
    cpu: int | None
    errno: int


LAYOUTS: Final = {
    "apart": Layout(0x0800_0000, 0x0801_0000, 0),
    "side by side": Layout(0x0800_0000, 0x0800_1000, 0),
    "the other way round": Layout(0x0800_2000, 0x0800_0000, 0),
    "no distributor": Layout(None, 0x0801_0000, ENXIO),
    "no CPU interface": Layout(0x0800_0000, None, ENXIO),
    "neither": Layout(None, None, ENXIO),
    "the same": Layout(0x0800_0000, 0x0800_0000, EINVAL),
    "the distributor in the second page": Layout(0x0800_1000, 0x0800_0000, EINVAL),
}


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS)
def test_first_entry(row: Layout, host: str) -> None:
    """A failure kills the VM; success initialises it."""
    vm = Vgic(make_host(host), threads=False)
    vcpu = vm.create_vcpu()
    device = vm.create_device(DeviceType.VGIC_V2)
    for attr, base in ((Addr.V2_DIST, row.dist), (Addr.V2_CPU, row.cpu)):
        if base is not None:
            device.set_attr(Group.ADDR, attr, base)
    assert outcome(vcpu.enter) == row.errno
    assert vcpu.dist.initialized == (not row.errno)
    if row.errno:
        assert outcome(vcpu.enter) == EIO
    else:
        assert row.dist is not None
        assert row.cpu is not None
        assert vcpu.read(row.dist + 8, 4) == 0x4B00_343B
        assert vcpu.read(row.cpu + GICC_IAR, 4) == 1023


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_reset_state(host: str) -> None:
    vm = Vgic.gicv2(3, host=make_host(host), threads=False)
    for vcpu in vm.vcpus:
        assert (vcpu.vmcr, vcpu.sre, vcpu.redist, vcpu.nr_lr) == (0, host == GICV2, None, 4)
        for irq in vcpu.private:
            assert (irq.group, irq.route, irq.enabled) == (0, 1 << vcpu.index, irq.intid < 16)
            assert (irq.level, irq.source, irq.active_source) == (irq.intid >= 16, 0, 0)
    for irq in vm.vcpus[0].dist.spis:
        assert (irq.group, irq.route, irq.target, irq.level) == (0, 0, vm.vcpus[0], False)


@pytest.mark.parametrize("late", [False, True], ids=["vCPU first", "device first"])
def test_order_of_vcpu_and_device_does_not_matter(late: bool) -> None:
    vm = Vgic(make_host(GICV3), threads=False)
    if not late:
        vm.create_vcpu()
    device = vm.create_device(DeviceType.VGIC_V2)
    if late:
        vm.create_vcpu()
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    vcpu = vm.vcpus[0]
    vcpu.enter()
    vcpu.write(GICC_BASE + GICC_CTLR, 4, 5)
    assert (vcpu.read(GICC_BASE + GICC_CTLR, 4), vcpu.pe.virt.sre) == (5, False)


def test_frames_are_not_there_before_the_first_entry() -> None:
    rig = Rig(2)
    assert rig.dist.bus.find(GICD_BASE, 4) is None
    rig.vcpu.enter()
    assert rig.vcpu.read(GICD_BASE + 4, 4) == 0x22
    assert rig.vcpu.read(GICD_BASE + 0x1000, 4) == UNCLAIMED, "4 KiB"
    assert rig.vcpus[1].window is not None, "every vCPU has its window"


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_an_interrupt_from_the_device_to_the_guests_end(host: str) -> None:
    rig = Rig(2, host=host)
    rig.set_gicd(0x100 + 4, 1 << SPI % 32)
    rig.set_gicd(0x800 + SPI, 0b10, 1)
    rig.vm.inject(SPI)
    assert rig.kicks == [1]
    rig.vcpus[1].enter()
    assert rig.vcpus[1].pe.virq()
    iar = rig.acknowledge(1)
    assert (iar, rig.vcpus[1].pe.virq()) == (SPI, False)
    rig.end(iar, 1)
    rig.vcpus[1].exit()
    assert rig.listed(1) == []


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_the_state_dump_names_the_model(host: str) -> None:
    rig = Rig(2, host=host)
    rig.set_gicd(0xF00, 0x0002_0003)
    lines = rig.vm.debug_state().splitlines()
    assert lines[2:5] == ["vgic_model:\tGICv2", "nr_spis:\t64", "enabled:\t1"], "no nr_lpis"
    sgi = next(
        line
        for line in lines[lines.index("VCPU 1 TYP   ID TGT_ID PLAEHCG     HWID   TARGET SRC PRI VCPU_ID") :]
        if " SGI    3 " in line
    )
    assert sgi == "       SGI    3      1 1001000        0        2   1   0       1 "


def test_wfi_looks_at_the_saved_mask() -> None:
    for host in BOTH_HOSTS:
        rig = Rig(host=host)
        rig.vcpu.enter()
        rig.irq(SPI, priority=0x80)
        rig.set_gicc(0x04, 0x80)
        rig.vcpu.exit()
        rig.vm.inject(SPI)
        assert not rig.vcpu.pending()
        rig.vcpu.enter()
        rig.set_gicc(0x04, 0x88)
        rig.vcpu.exit()
        assert rig.vcpu.pending()
