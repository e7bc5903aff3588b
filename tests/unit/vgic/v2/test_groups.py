"""The attributes of a GICv2 device, the ioctls that are older than it, and the errno of each."""

from collections.abc import Callable
from errno import E2BIG, EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENXIO
from functools import partial
from typing import Final

import pytest

from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v2.rig import BOTH_HOSTS, GICC_BASE, GICD_BASE, GICV2, GICV3, make_host
from vgic import CREATE_DEVICE_TEST, CTRL_INIT, Addr, Device, DeviceType, Group, Host, LineType, Vgic, irq_word

UNSET: Final = (1 << 64) - 1
SPI: Final = 40
V2: Final = DeviceType.VGIC_V2


def make(vcpus: int = 1, host: Host | None = None, ipa_bits: int = 40) -> tuple[Vgic, Device]:
    """A VM with a GICv2 that nothing was told yet."""
    vm = Vgic(host or make_host(), threads=False, ipa_bits=ipa_bits)
    for _ in range(vcpus):
        vm.create_vcpu()
    return vm, vm.create_device(V2)


# -- creation ------------------------------------------------------------------------------------


def test_which_host_has_which_device() -> None:
    kinds = (DeviceType.VGIC_V2, DeviceType.VGIC_V3, DeviceType.ITS, 99)
    found = {}
    for name, host in {
        "GICv2": make_host(GICV2),
        "GICv2, unaligned": make_host(GICV2, gicv_trap=True),
        "GICv3, compatible": make_host(GICV3),
        "GICv3, unaligned": make_host(GICV3, gicv_trap=True),
        "GICv3": Vgic.gicv3(1).host,
    }.items():
        vm = Vgic(host, threads=False)
        found[name] = [outcome(partial(vm.create_device, kind, CREATE_DEVICE_TEST)) for kind in kinds]
        assert outcome(vm.create_irqchip) == found[name][0]
    assert found == {
        "GICv2": [0, ENODEV, ENODEV, ENODEV],
        "GICv2, unaligned": [0, ENODEV, ENODEV, ENODEV],
        "GICv3, compatible": [0, 0, 0, ENODEV],
        "GICv3, unaligned": [ENODEV, 0, 0, ENODEV],
        "GICv3": [ENODEV, 0, 0, ENODEV],
    }


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_there_is_one_irqchip(host: str) -> None:
    vm, _ = make(host=make_host(host))
    assert outcome(lambda: vm.create_device(V2)) == EEXIST
    assert outcome(vm.create_irqchip) == EEXIST
    assert outcome(lambda: vm.create_device(DeviceType.VGIC_V3)) == (ENODEV if host == GICV2 else EEXIST)


@pytest.mark.parametrize("again", ["a second GICv2", "a vCPU"])
def test_too_many_vcpus_leave_a_mark(again: str) -> None:
    """max_vcpus stays at a GICv2's 8, although there is none; a GICv3 can still be had, and raises it."""
    vm = Vgic(make_host(GICV3), threads=False)
    for _ in range(9):
        vm.create_vcpu()
    assert outcome(lambda: vm.create_device(V2)) == E2BIG
    if again == "a vCPU":
        assert outcome(vm.create_vcpu) == EINVAL
    else:
        assert outcome(lambda: vm.create_device(V2)) == E2BIG
    vm.create_device(DeviceType.VGIC_V3)
    assert outcome(vm.create_vcpu) == 0


def test_limits_of_a_gicv2_vm() -> None:
    vm, _ = make(8, make_host(GICV3))
    assert outcome(vm.create_vcpu) == EINVAL
    vm, _ = make(0, make_host(GICV3))
    assert outcome(lambda: vm.create_vcpu(8)) == EINVAL
    assert outcome(lambda: vm.create_vcpu(7)) == 0
    vm = Vgic(make_host(GICV2), threads=False)
    assert outcome(lambda: vm.create_vcpu(8)) == EINVAL, "a GICv2 host has no others"


@pytest.mark.parametrize("vcpus", [0, 9])
def test_the_short_form_checks_its_numbers(vcpus: int) -> None:
    assert outcome(lambda: Vgic.gicv2(vcpus)) == EINVAL


def test_the_short_form_needs_a_host_that_can() -> None:
    assert outcome(lambda: Vgic.gicv2(1, host=Vgic.gicv3(1).host)) == ENODEV


# -- addresses -----------------------------------------------------------------------------------


ADDRESSES: Final = {
    #                               attribute                value              errno
    "a distributor": (Addr.V2_DIST, 0x0800_0000, 0),
    "a CPU interface": (Addr.V2_CPU, 0x0801_0000, 0),
    "pages of 4 KiB": (Addr.V2_DIST, 0x0800_1000, 0),
    "the last page": (Addr.V2_DIST, (1 << 40) - 0x1000, 0),
    "the last two": (Addr.V2_CPU, (1 << 40) - 0x2000, 0),
    "misaligned": (Addr.V2_DIST, 0x0800_0800, EINVAL),
    "past the guest's space": (Addr.V2_DIST, 1 << 40, E2BIG),
    "half past it": (Addr.V2_CPU, (1 << 40) - 0x1000, E2BIG),
    "wrapping": (Addr.V2_CPU, (1 << 64) - 0x1000, EINVAL),
    "misaligned before too far": (Addr.V2_CPU, (1 << 40) + 1, EINVAL),
    "a GICv3's distributor": (Addr.V3_DIST, 0x0800_0000, ENXIO),
    "a GICv3's redistributors": (Addr.V3_REDIST, 0x0800_0000, ENXIO),
    "an ITS": (Addr.ITS, 0x0800_0000, ENXIO),
    "what is not there": (9, 0x0800_0000, ENXIO),
}


@pytest.mark.parametrize("row", ADDRESSES.values(), ids=ADDRESSES)
def test_address(row: tuple[int, int, int]) -> None:
    attr, base, error = row
    _, device = make()
    known = attr in (Addr.V2_DIST, Addr.V2_CPU)
    assert outcome(lambda: device.check_attr(Group.ADDR, attr)) == (0 if known else ENXIO)
    if known:
        assert device.get_attr(Group.ADDR, attr) == UNSET
    assert outcome(lambda: device.set_attr(Group.ADDR, attr, base)) == error
    if known:
        assert device.get_attr(Group.ADDR, attr) == (UNSET if error else base)
    else:
        assert outcome(lambda: device.get_attr(Group.ADDR, attr)) == ENXIO


def test_an_address_is_set_once() -> None:
    _, device = make()
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    assert outcome(lambda: device.set_attr(Group.ADDR, Addr.V2_DIST, 1)) == EEXIST, "that comes first"


def test_frames_may_overlap_until_the_first_entry() -> None:
    vm, device = make()
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICD_BASE)
    assert outcome(vm.vcpus[0].enter) == EINVAL


LEGACY: Final = {
    "the distributor": (0x0_0000, GICD_BASE, 0),
    "the CPU interface": (0x0_0001, GICC_BASE, 0),
    "another type": (0x0_0002, GICD_BASE, ENODEV),
    "another device": (0x1_0000, GICD_BASE, ENODEV),
    "misaligned": (0x0_0000, 0x800, EINVAL),
    "past the guest's space": (0x0_0001, 1 << 40, E2BIG),
}


@pytest.mark.parametrize("row", LEGACY.values(), ids=LEGACY)
def test_set_device_addr(row: tuple[int, int, int]) -> None:
    which, base, error = row
    vm = Vgic(make_host(), threads=False)
    vm.create_irqchip()
    assert outcome(lambda: vm.set_device_addr(which, base)) == error
    if not error:
        assert outcome(lambda: vm.set_device_addr(which, base)) == EEXIST


def test_set_device_addr_is_for_a_gicv2() -> None:
    """Where ENXIO would be expected, KVM says ENODEV."""
    vm = Vgic(make_host(GICV3), threads=False)
    assert outcome(lambda: vm.set_device_addr(0, GICD_BASE)) == ENODEV
    vm.create_device(DeviceType.VGIC_V3)
    assert outcome(lambda: vm.set_device_addr(0, GICD_BASE)) == ENODEV


def test_an_irqchip_runs_without_a_device() -> None:
    """As QEMU did before there were device handles: 256 interrupts, initialised by the first entry."""
    vm = Vgic(make_host(), threads=False)
    vm.create_irqchip()
    vcpu = vm.create_vcpu()
    vm.set_device_addr(Addr.V2_DIST, GICD_BASE)
    vm.set_device_addr(Addr.V2_CPU, GICC_BASE)
    vcpu.enter()
    assert vcpu.read(GICD_BASE + 4, 4) == 0x07


# -- initialisation ------------------------------------------------------------------------------


def test_nr_irqs() -> None:
    _, device = make()
    assert device.get_attr(Group.NR_IRQS, 0) == 32
    for bad in (0, 32, 63, 65, 1024):
        assert outcome(partial(device.set_attr, Group.NR_IRQS, 0, bad)) == EINVAL
    device.set_attr(Group.NR_IRQS, 0, 992)
    assert outcome(lambda: device.set_attr(Group.NR_IRQS, 0, 64)) == EBUSY
    assert device.get_attr(Group.NR_IRQS, 0) == 992


LAZY: Final[dict[str, Callable[[Vgic, Device], object]]] = {
    "reading a distributor register": lambda vm, device: device.get_attr(Group.DIST_REGS, 0),
    "writing a distributor register": lambda vm, device: device.set_attr(Group.DIST_REGS, 0, 1),
    "reading a CPU interface register": lambda vm, device: device.get_attr(Group.CPU_REGS, 0),
    "an unknown register": lambda vm, device: device.get_attr(Group.DIST_REGS, 0x00C),
    "a line": lambda vm, device: vm.irq_line(irq_word(LineType.SPI, SPI), 1),
    "a device's line": lambda vm, device: vm.inject(SPI),
    "the attribute for it": lambda vm, device: device.set_attr(Group.CTRL, CTRL_INIT),
    "the first entry": lambda vm, device: vm.vcpus[0].enter(),
}


@pytest.mark.parametrize("act", LAZY.values(), ids=LAZY)
def test_what_initialises(act: Callable[[Vgic, Device], object]) -> None:
    """It freezes the number of interrupts at 256 and the number of vCPUs."""
    vm, device = make()
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    act(vm, device)
    assert device.get_attr(Group.NR_IRQS, 0) == 256
    assert outcome(vm.create_vcpu) == EBUSY


def test_what_does_not_initialise() -> None:
    vm, device = make()
    assert outcome(lambda: device.check_attr(Group.DIST_REGS, 0)) == 0
    assert outcome(lambda: device.check_attr(Group.DIST_REGS, 0x104)) == ENXIO, "no SPI exists yet"
    assert outcome(lambda: device.get_attr(Group.DIST_REGS, 7 << 32)) == EINVAL
    assert outcome(lambda: vm.set_device_addr(0, GICD_BASE)) == 0
    assert device.get_attr(Group.NR_IRQS, 0) == 32


def test_a_gicv3_does_not_initialise_by_itself() -> None:
    vm = Vgic(make_host(GICV3), threads=False)
    vm.create_vcpu()
    vm.create_device(DeviceType.VGIC_V3)
    assert outcome(lambda: vm.inject(SPI)) == EBUSY


def test_init_without_a_vcpu() -> None:
    vm, device = make(0)
    device.set_attr(Group.CTRL, CTRL_INIT)
    assert outcome(vm.create_vcpu) == EBUSY


# -- registers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [Group.DIST_REGS, Group.CPU_REGS])
def test_the_vcpu_is_named_by_its_id(group: Group) -> None:
    vm = Vgic(make_host(), threads=False)
    vm.create_vcpu(5)
    device = vm.create_device(V2)
    for attr in (0, 1 << 32, 0xFF << 32):
        assert outcome(partial(device.get_attr, group, attr)) == EINVAL
        assert outcome(partial(device.set_attr, group, attr)) == EINVAL
        assert outcome(partial(device.check_attr, group, attr)) == EINVAL
    assert outcome(lambda: device.get_attr(group, 5 << 32)) == 0
    assert outcome(lambda: device.get_attr(group, 0xABC_DE05 << 32)) == 0, "bits 63:40 are ignored"


@pytest.mark.parametrize("group", [Group.DIST_REGS, Group.CPU_REGS])
def test_a_running_vcpu_makes_registers_busy(group: Group) -> None:
    vm, device = make(2)
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    vm.vcpus[1].enter()
    assert outcome(lambda: device.get_attr(group, 0)) == EBUSY
    assert outcome(lambda: device.set_attr(group, 0)) == EBUSY
    assert outcome(lambda: device.check_attr(group, 0)) == 0
    assert outcome(lambda: device.get_attr(Group.NR_IRQS, 0)) == 0
    vm.vcpus[1].exit()
    assert outcome(lambda: device.get_attr(group, 0)) == 0


@pytest.mark.parametrize("group", [Group.REDIST_REGS, Group.CPU_SYSREGS, Group.LEVEL_INFO, Group.ITS_REGS, 9, 99])
def test_groups_of_others(group: int) -> None:
    _, device = make()
    assert outcome(lambda: device.get_attr(group, 0)) == ENXIO
    assert outcome(lambda: device.set_attr(group, 0)) == ENXIO
    assert outcome(lambda: device.check_attr(group, 0)) == ENXIO


@pytest.mark.parametrize("attr", [1, 2, 3, 4, 99])
def test_controls_of_others(attr: int) -> None:
    _, device = make()
    assert outcome(lambda: device.set_attr(Group.CTRL, attr)) == ENXIO
    assert outcome(lambda: device.check_attr(Group.CTRL, attr)) == ENXIO
    assert outcome(lambda: device.get_attr(Group.CTRL, CTRL_INIT)) == ENXIO


def test_a_dead_vm_refuses_everything() -> None:
    vm, device = make()
    assert outcome(vm.vcpus[0].enter) == ENXIO
    assert outcome(lambda: device.get_attr(Group.NR_IRQS, 0)) == EIO
    assert outcome(lambda: device.get_attr(Group.DIST_REGS, 0)) == EIO
    assert outcome(lambda: vm.set_device_addr(0, GICD_BASE)) == EIO
    assert outcome(vm.create_irqchip) == EIO
