"""The attributes of an ITS device, and what creating one does.  Source: KVM's arm-vgic-its.rst, vgic_its_set_attr()."""

import errno
from typing import Final

import pytest

from hw import Machine, V2Config
from tests.unit.vgic.its.rig import (
    BASER0,
    BASER1,
    CBASER,
    CREADR,
    CTLR,
    CWRITER,
    GITS_BASE,
    IIDR,
    TYPER,
    VALID,
    ItsRig,
    mapc,
    mapd,
    mapti,
)
from tests.unit.vgic.rig import outcome
from vgic import (
    CREATE_DEVICE_TEST,
    CTRL_INIT,
    CTRL_SAVE_PENDING_TABLES,
    ITS_CTRL_RESET,
    ITS_RESTORE_TABLES,
    ITS_SAVE_TABLES,
    Addr,
    Device,
    DeviceType,
    Group,
    Host,
    Vgic,
)

UNDEFINED: Final = (1 << 64) - 1
IPA: Final = 1 << 40


def set_errno(device: Device, group: int, attr: int, value: int = 0) -> str:
    return errno.errorcode.get(outcome(lambda: device.set_attr(group, attr, value)), "")


def get_errno(device: Device, group: int, attr: int) -> str:
    return errno.errorcode.get(outcome(lambda: device.get_attr(group, attr)), "")


def has_errno(device: Device, group: int, attr: int) -> str:
    return errno.errorcode.get(outcome(lambda: device.check_attr(group, attr)), "")


@pytest.fixture
def vm() -> Vgic:
    """A VM with two vCPUs and a GICv3, not initialised."""
    vm = Vgic(Host(Machine(cpus=2)), threads=False)
    vm.create_vcpu()
    vm.create_vcpu()
    gic = vm.create_device(DeviceType.VGIC_V3)
    gic.set_attr(Group.ADDR, Addr.V3_DIST, 0x0800_0000)
    gic.set_attr(Group.ADDR, Addr.V3_REDIST, 0x080A_0000)
    return vm


@pytest.fixture
def its(vm: Vgic) -> Device:
    return vm.create_device(DeviceType.ITS)


# -- creation -------------------------------------------------------------------------------------


def test_an_its_needs_nothing_but_a_gicv3_host() -> None:
    vm = Vgic(Host(Machine(cpus=1)), threads=False)
    vm.create_device(DeviceType.ITS).set_attr(Group.CTRL, CTRL_INIT)
    gicv2 = Vgic(Host(Machine(cpus=1, gic=V2Config())), threads=False)
    assert outcome(lambda: gicv2.create_device(DeviceType.ITS)) == errno.ENODEV


@pytest.mark.parametrize("first", [DeviceType.ITS, DeviceType.VGIC_V3], ids=["ITS first", "GIC first"])
def test_the_vm_has_lpis(first: DeviceType) -> None:
    vm = Vgic(Host(Machine(cpus=1)), threads=False)
    vcpu = vm.create_vcpu()
    vm.create_device(first)
    assert not vcpu.dist.has_its
    vm.create_device(DeviceType.VGIC_V3 if first is DeviceType.ITS else DeviceType.ITS)
    assert vcpu.dist.has_its


def test_what_the_guest_sees_of_it(vm: Vgic) -> None:
    dist = vm.vcpus[0].dist
    assert dist.frame is not None
    redist = vm.vcpus[0].redist
    assert redist is not None
    before = dist.frame.user_read(vm.vcpus[0], 4), redist.user_read(vm.vcpus[0], 8)
    vm.create_device(DeviceType.ITS)
    after = dist.frame.user_read(vm.vcpus[0], 4), redist.user_read(vm.vcpus[0], 8)
    assert (before[0] & (1 << 17 | 0x1F << 19), after[0] & (1 << 17 | 0x1F << 19)) == (9 << 19, 1 << 17 | 15 << 19)
    assert (before[1] & 1, after[1] & 1) == (0, 1)


def test_asking_creates_none(vm: Vgic) -> None:
    vm.create_device(DeviceType.ITS, CREATE_DEVICE_TEST)
    assert not vm.vcpus[0].dist.has_its


def test_every_its_resets_propbaser() -> None:
    rig = ItsRig(1, bare=True)
    assert rig.gicr(0x70) == 0x580
    rig.set_gicr(0x70, 0x8000_078F)
    rig.add_its(0x0900_0000)
    assert rig.gicr(0x70) == 0x580


# -- the address ------------------------------------------------------------------------------------

ADDRESSES: Final = {
    "aligned": (0x0040_0000, ""),
    "the last there is": (IPA - 0x2_0000, ""),
    "not aligned to 64 KiB": (0x0040_1000, "EINVAL"),
    "half of it past the guest's space": (IPA - 0x1_0000, "E2BIG"),
    "past the guest's space": (IPA, "E2BIG"),
    "wraps": ((1 << 64) - 0x1_0000, "EINVAL"),
    "wraps and is misaligned": ((1 << 64) - 0x1000, "EINVAL"),
}


@pytest.mark.parametrize(("base", "refused"), ADDRESSES.values(), ids=ADDRESSES)
def test_address(base: int, refused: str, its: Device) -> None:
    """The ITS part of KVM's vgic_init selftest."""
    assert its.get_attr(Group.ADDR, Addr.ITS) == UNDEFINED
    assert set_errno(its, Group.ADDR, Addr.ITS, base) == refused
    assert its.get_attr(Group.ADDR, Addr.ITS) == (UNDEFINED if refused else base)
    assert set_errno(its, Group.ADDR, Addr.ITS, 0x0040_0000) == ("" if refused else "EEXIST")


def test_a_second_address_is_refused_before_it_is_looked_at(its: Device) -> None:
    its.set_attr(Group.ADDR, Addr.ITS, 0x0040_0000)
    assert set_errno(its, Group.ADDR, Addr.ITS, 0x0030_0001) == "EEXIST"


@pytest.mark.parametrize("attr", [0, 1, 2, 3, 5, 1 << 32 | 4])
def test_other_addresses(attr: int, its: Device) -> None:
    assert set_errno(its, Group.ADDR, attr) == "ENODEV"
    assert get_errno(its, Group.ADDR, attr) == "ENODEV"
    assert has_errno(its, Group.ADDR, attr) == "ENXIO"


def test_a_full_bus(vm: Vgic) -> None:
    for n in range(1000 - len(vm.vcpus)):  # redistributors are on it already
        vm.create_device(DeviceType.ITS).set_attr(Group.ADDR, Addr.ITS, 0x1_0000_0000 + n * 0x2_0000)
    assert set_errno(vm.create_device(DeviceType.ITS), Group.ADDR, Addr.ITS, 0x0040_0000) == "ENOSPC"


def test_overlapping_frames_have_one_winner(vm: Vgic) -> None:
    """KVM does not look; the first on the bus takes every access."""
    for _ in range(2):
        vm.create_device(DeviceType.ITS).set_attr(Group.ADDR, Addr.ITS, 0x0040_0000)
    dist = vm.vcpus[0].dist
    assert dist.bus.find(0x0040_0000, 4) is dist.its_list[0]


# -- control --------------------------------------------------------------------------------------


def test_init_does_nothing(its: Device) -> None:
    its.set_attr(Group.CTRL, CTRL_INIT)
    its.set_attr(Group.CTRL, CTRL_INIT)
    assert get_errno(its, Group.CTRL, CTRL_INIT) == "ENXIO"


@pytest.mark.parametrize("attr", [ITS_SAVE_TABLES, ITS_RESTORE_TABLES, ITS_CTRL_RESET, 3, 5, 99])
def test_control_without_an_address(attr: int, its: Device) -> None:
    """KVM 6.12 accepts what it does not know, and does not look for an address."""
    assert set_errno(its, Group.CTRL, attr) == ""


@pytest.mark.parametrize("attr", [CTRL_INIT, ITS_SAVE_TABLES, ITS_RESTORE_TABLES, ITS_CTRL_RESET, 3])
def test_control_while_a_vcpu_runs(attr: int) -> None:
    rig = ItsRig(2)
    rig.vcpus[1].enter()
    assert set_errno(rig.device, Group.CTRL, attr) == ("" if attr == CTRL_INIT else "EBUSY")
    rig.vcpus[1].exit()
    assert set_errno(rig.device, Group.CTRL, attr) == ""


HAS: Final = {
    **{f"control {attr}": (Group.CTRL, attr, "") for attr in (0, 1, 2, 4)},
    **{f"control {attr}": (Group.CTRL, attr, "ENXIO") for attr in (3, 5)},
    "the address": (Group.ADDR, Addr.ITS, ""),
    "a register": (Group.ITS_REGS, CTLR, ""),
    "a register of BASER2 to 7": (Group.ITS_REGS, 0x138, ""),
    "no register": (Group.ITS_REGS, 0x18, "ENXIO"),
    "TRANSLATER": (Group.ITS_REGS, 0x1_0040, "ENXIO"),
    "past the frame": (Group.ITS_REGS, 0x2_0000, "ENXIO"),
    "a half": (Group.ITS_REGS, CBASER + 4, "EINVAL"),
    "misaligned": (Group.ITS_REGS, 2, "EINVAL"),
    "another group": (Group.DIST_REGS, 0, "ENXIO"),
    "a group there is not": (99, 0, "ENXIO"),
}


@pytest.mark.parametrize(("group", "attr", "refused"), HAS.values(), ids=HAS)
def test_has(group: int, attr: int, refused: str, its: Device) -> None:
    assert has_errno(its, group, attr) == refused


@pytest.mark.parametrize("group", [Group.DIST_REGS, Group.NR_IRQS, Group.REDIST_REGS, 99])
def test_no_other_groups(group: int, its: Device) -> None:
    assert set_errno(its, group, 0) == "ENXIO"
    assert get_errno(its, group, 0) == "ENXIO"


def test_pending_tables_belong_to_the_gic() -> None:
    rig = ItsRig(1)
    rig.gic.set_attr(Group.CTRL, CTRL_SAVE_PENDING_TABLES)
    assert has_errno(rig.gic, Group.CTRL, CTRL_SAVE_PENDING_TABLES) == ""
    assert has_errno(rig.gic, Group.ITS_REGS, 0) == "ENXIO"


# -- registers: what is looked at first ---------------------------------------------------------------


def test_registers_need_an_address(its: Device) -> None:
    for call in (get_errno, set_errno):
        assert call(its, Group.ITS_REGS, CTLR) == "ENXIO"
        assert call(its, Group.ITS_REGS, CBASER + 4) == "EINVAL", "alignment comes first"


@pytest.mark.parametrize("offset", [0x1, 0x2, 0x6, 0xC, 0x84, 0x104, 0xFFCC, 0xFFD2, 0x1_0041])
def test_alignment(offset: int) -> None:
    """4 bytes below 0x8 and from 0xFFD0 on, 8 between."""
    rig = ItsRig(1)
    assert get_errno(rig.device, Group.ITS_REGS, offset) == "EINVAL"
    assert set_errno(rig.device, Group.ITS_REGS, offset) == "EINVAL"


def test_alignment_then_busy_then_address_then_register() -> None:
    rig = ItsRig(1)
    fresh = rig.vm.create_device(DeviceType.ITS)
    rig.vcpus[0].enter()
    for device in (rig.device, fresh):
        assert get_errno(device, Group.ITS_REGS, 0x84) == "EINVAL"
        assert get_errno(device, Group.ITS_REGS, 0x18) == "EBUSY"
        assert set_errno(device, Group.ITS_REGS, CTLR) == "EBUSY"
    rig.vcpus[0].exit()
    assert get_errno(fresh, Group.ITS_REGS, CTLR) == "ENXIO"
    assert get_errno(rig.device, Group.ITS_REGS, 0x18) == "ENXIO"
    assert set_errno(rig.device, Group.ITS_REGS, 0x1_0040) == "ENXIO"


def test_only_32_bits_of_the_offset_count() -> None:
    rig = ItsRig(1)
    assert rig.user(0xFFFF_FFFF << 32 | TYPER) == 0x1_EF71


def test_words_are_zero_extended_and_cut() -> None:
    rig = ItsRig(1, bare=True)
    assert rig.user(CTLR) == 0x8000_0000
    rig.set_user(IIDR, 0xFFFF_FFFF_0000_0000)
    assert rig.user(IIDR) == 0x4B00_043B


# -- reset ----------------------------------------------------------------------------------------


def test_reset() -> None:
    rig = ItsRig(2)
    rig.do(mapc(0, 0), mapd(1), mapti(1, 2, 8192, 0))
    assert rig.msi(1, 2) == 1
    tables = rig.user(BASER0), rig.user(BASER1)
    redist = rig.gicr(0), rig.gicr(0x70), rig.gicr(0x78)
    assert rig.reset() == 0
    assert (rig.user(BASER0), rig.user(BASER1)) == (tables[0] & ~VALID, tables[1] & ~VALID)
    assert [rig.user(offset) for offset in (CTLR, CBASER, CREADR, CWRITER)] == [0x8000_0000, 0, 0, 0]
    assert (rig.devices(), rig.collections(), rig.cached(), rig.lpis()) == ({}, {}, set(), [])
    assert (rig.gicr(0), rig.gicr(0x70), rig.gicr(0x78)) == redist
    assert rig.its.base == GITS_BASE
    rig.check()


def test_reset_leaves_a_queued_lpi_to_be_delivered() -> None:
    rig = ItsRig(1)
    rig.configure(8192, 0xA1)
    rig.do(mapc(0, 0), mapd(1), mapti(1, 2, 8192, 0))
    rig.msi(1, 2)
    rig.reset()
    assert rig.lpis() == [8192]
    assert rig.taken() == 8192
    assert rig.lpis() == []
