"""GICC as user space saves and restores it: KVM_DEV_ARM_VGIC_GRP_CPU_REGS, on both hosts."""

from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICC_ABPR,
    GICC_APR,
    GICC_BPR,
    GICC_CTLR,
    GICC_DIR,
    GICC_EOIR,
    GICC_HPPIR,
    GICC_IAR,
    GICC_IIDR,
    GICC_PMR,
    GICC_RPR,
)
from tests.unit.vgic.v2.rig import BOTH_HOSTS, GICC_BASE, GICD_BASE, GICV2, GICV3, Rig, make_host
from vgic import Addr, Device, DeviceType, Group, Vgic

ONES: Final = 0xFFFF_FFFF
CPU: Final = Group.CPU_REGS


def fresh(host: str, bits: int = 5) -> tuple[Vgic, Device]:
    """A VM with two vCPUs that nobody has touched."""
    vm = Vgic(make_host(host, bits=bits), threads=False)
    for _ in range(2):
        vm.create_vcpu()
    device = vm.create_device(DeviceType.VGIC_V2)
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    return vm, device


class Register(NamedTuple):
    """Values written and read back; `reset` is read first."""

    offset: int
    reset: int
    pairs: tuple[tuple[int, int], ...]


REGISTERS: Final = {
    "CTLR: enables, AckCtl, FIQEn, CBPR, EOImode": Register(
        GICC_CTLR, 0, ((ONES, 0x21F), (0x200, 0x200), (0x1E0, 0), (1, 1))
    ),
    "PMR: five bits, at the bottom": Register(GICC_PMR, 0, ((0x1E, 0x1E), (0xF0, 0x10), (ONES, 0x1F), (0, 0))),
    "BPR: three bits, no minimum": Register(GICC_BPR, 0, ((9, 1), (0, 0), (ONES, 7))),
    "ABPR: three bits, no minimum": Register(GICC_ABPR, 0, ((9, 1), (0, 0), (ONES, 7))),
    "APR0": Register(GICC_APR, 0, ((ONES, ONES), (0x8001, 0x8001))),
    "IIDR is KVM's, not the hardware's": Register(GICC_IIDR, 0x04B2_043B, ((ONES, 0x04B2_043B), (0, 0x04B2_043B))),
}


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize("row", REGISTERS.values(), ids=REGISTERS)
def test_register(row: Register, host: str) -> None:
    _, device = fresh(host)
    assert device.has_attr(CPU, row.offset)
    assert device.get_attr(CPU, row.offset) == row.reset
    for written, read in row.pairs:
        device.set_attr(CPU, 1 << 32 | row.offset, written)
        assert device.get_attr(CPU, 1 << 32 | row.offset) == read
        assert device.get_attr(CPU, row.offset) == row.reset, "each vCPU has its own"


def test_registers_do_not_disturb_each_other() -> None:
    _, device = fresh(GICV2)
    values = {GICC_CTLR: 0x21F, GICC_PMR: 0x15, GICC_BPR: 5, GICC_ABPR: 6, GICC_APR: 0x1234}
    for offset, value in values.items():
        device.set_attr(CPU, offset, value)
    for offset, value in values.items():
        device.set_attr(CPU, offset, 0)
        device.set_attr(CPU, offset, value)
        assert {at: device.get_attr(CPU, at) for at in values} == values


ABSENT: Final = (GICC_IAR, GICC_EOIR, GICC_RPR, GICC_HPPIR, 0x20, 0x24, 0x28, 0xE0, 0xCC, GICC_DIR, 0x1FFC, 2, 0x2000)


@pytest.mark.parametrize("offset", ABSENT, ids=hex)
def test_what_user_space_does_not_see(offset: int) -> None:
    """It reads as zero and is ignored, without an error: HAS_ATTR alone tells."""
    _, device = fresh(GICV2)
    device.set_attr(CPU, offset, ONES)
    assert device.get_attr(CPU, offset) == 0
    assert not device.has_attr(CPU, offset)


# host, priority bits -> which APR<n> exist
APRS: Final = {(GICV2, 5): 1, (GICV3, 5): 1, (GICV3, 6): 2, (GICV3, 7): 4}


@pytest.mark.parametrize(("host", "bits"), APRS)
def test_active_priorities(host: str, bits: int) -> None:
    """A GICv3 host keeps both groups' in ICH_AP1R<n>, and shows as many as its priority bits need."""
    vm, device = fresh(host, bits)
    for n in range(4):
        device.set_attr(CPU, GICC_APR + 4 * n, 0x100 + n)
        assert device.has_attr(CPU, GICC_APR + 4 * n)
    count = APRS[host, bits]
    want = [0x100 + n if n < count else 0 for n in range(4)]
    assert [device.get_attr(CPU, GICC_APR + 4 * n) for n in range(4)] == want
    assert (vm.vcpus[0].ap1r, vm.vcpus[0].ap0r) == (want, [0] * 4)
    vm.vcpus[0].enter()
    vm.vcpus[0].exit()
    vm.vcpus[0].put()
    assert vm.vcpus[0].ap1r == want


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_the_guest_sees_what_was_restored(host: str) -> None:
    """Hardware raises binary points to its minimum when the guest is loaded."""
    vm, device = fresh(host)
    for offset, value in ((GICC_CTLR, 0x21F), (GICC_PMR, 0x1E), (GICC_BPR, 0), (GICC_ABPR, 6), (GICC_APR, 1 << 20)):
        device.set_attr(CPU, offset, value)
    vcpu = vm.vcpus[0]
    vcpu.enter()
    offsets = (GICC_CTLR, GICC_PMR, GICC_BPR, GICC_ABPR, GICC_APR, GICC_RPR)
    seen = [vcpu.read(GICC_BASE + offset, 4) for offset in offsets]
    assert seen == [0x21F, 0xF0, 2, 6, 1 << 20, 0xA0]


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_user_space_sees_what_the_guest_wrote(host: str) -> None:
    rig = Rig(host=host)
    rig.vcpu.enter()
    for offset, value in ((GICC_CTLR, ONES), (GICC_PMR, 0xFF), (GICC_BPR, 0), (GICC_ABPR, 0), (GICC_APR, 0x10)):
        rig.set_gicc(offset, value)
    rig.vcpu.exit()
    offsets = (GICC_CTLR, GICC_PMR, GICC_BPR, GICC_ABPR, GICC_APR)
    assert [rig.user(offset, group=CPU) for offset in offsets] == [0x21F, 0x1F, 2, 3, 0x10]


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_reset_before_and_after_the_first_run(host: str) -> None:
    """The saved VMCR is 0; what has been loaded has the hardware's minimum binary points."""
    vm, device = fresh(host)
    assert [device.get_attr(CPU, offset) for offset in (GICC_BPR, GICC_ABPR)] == [0, 0]
    vm.vcpus[0].enter()
    vm.vcpus[0].exit()
    assert [device.get_attr(CPU, offset) for offset in (GICC_BPR, GICC_ABPR)] == [2, 3]
