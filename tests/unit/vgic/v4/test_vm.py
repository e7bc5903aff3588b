"""What a host with GICv4 gives a VM, and takes back: vPEs, tables, numbers, mappings."""

import errno

import pytest

from hw import GicVersion, ItsConfig, Machine, Memory, V4Config, VirtConfig
from hw import arch4 as a
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v4.rig import CommandLog, V4Rig, make_host
from vgic import CTRL_INIT, Addr, Device, DeviceType, Group, Host, Vgic, VgicError
from vgic.errors import EIO
from vgic.v4.hostgic import Numbers
from vgic.v4.hostmem import BLOCK, Pages
from vgic.v4.model import gicv3_model
from vgic.v4.vpe41 import Vpe41

VMAPP_IDLE = ["VMAPP", "VSYNC", "VINVALL", "VSYNC"]


def bare(host: Host, vcpus: int) -> tuple[Vgic, Device]:
    """A VM whose GICv3 is not initialised."""
    vm = Vgic(host, threads=False)
    for _ in range(vcpus):
        vm.create_vcpu()
    gic = vm.create_device(DeviceType.VGIC_V3)
    gic.set_attr(Group.ADDR, Addr.V3_DIST, 0x0800_0000)
    gic.set_attr(Group.ADDR, Addr.V3_REDIST, 0x080A_0000)
    return vm, gic


def test_without_an_its() -> None:
    """B02, B04: GICv4.1's vPEs are there from the initialisation on: SGIs need them."""
    host = make_host()
    log = CommandLog(host.machine)
    vm, gic = bare(host, 4)
    assert log.names() == []
    gic.set_attr(Group.CTRL, CTRL_INIT)
    assert log.names() == [*VMAPP_IDLE, "INVDB", "VSYNC"] * 4
    assert gic.get_attr(Group.DIST_REGS, 0xC) == 1 << 8
    assert None not in [vcpu.vpe for vcpu in vm.vcpus]
    gic.set_attr(Group.CTRL, CTRL_INIT)
    assert log.names() == [], "again is no error, and nothing"


def test_gicv40_waits_for_an_its() -> None:
    """B03."""
    host = make_host(v4=V4Config(version=GicVersion.V4_0))
    vm, gic = bare(host, 2)
    gic.set_attr(Group.CTRL, CTRL_INIT)
    mapped = [len(host.machine.itss[0].vpes)]
    for _ in range(2):
        vm.create_device(DeviceType.ITS)
        mapped.append(len(host.machine.itss[0].vpes))
    vm.destroy()
    assert [*mapped, len(host.machine.itss[0].vpes)] == [0, 2, 2, 0]


def test_several_itss() -> None:
    """B05, P11: the first mapping allocates, the last one frees."""
    host = make_host(its=(ItsConfig(), ItsConfig()))
    log = CommandLog(host.machine)
    vm, gic = bare(host, 2)
    gic.set_attr(Group.CTRL, CTRL_INIT)

    def allocs() -> list[list[int]]:
        commands = [[each for each in log.words(n) if each[0] & 0xFF == a.VMAPP] for n in (0, 1)]
        return [[each[0] >> 8 & 1 for each in of] for of in commands]

    assert allocs() == [[1, 1], [0, 0]]
    vm.destroy()
    assert allocs() == [[0, 0], [1, 1]]
    assert not host.machine.misuse.records


def test_a_doorbell_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """B06: those before it are given back, and the VM has none."""
    host = make_host()
    gic = host.gic
    assert gic is not None
    vm, device = bare(host, 4)
    activate = Vpe41.activate

    def refuse(vpe: Vpe41) -> None:
        if vpe.vcpu.index == 2:
            raise VgicError(EIO, "no")
        activate(vpe)

    monkeypatch.setattr(Vpe41, "activate", refuse)
    log = CommandLog(host.machine)
    assert outcome(device.set_attr, Group.CTRL, CTRL_INIT) == EIO
    names = log.names()
    assert (names.count("VMAPP"), names.count("INVDB")) == (4, 2)
    assert (vm.vcpus[0].vpe, vm.vcpus[0].dist.direct, host.machine.vpes.by_key) == (None, None, {})
    assert (gic.vpeids.used, gic.lpis.used) == (0, 0)
    monkeypatch.undo()
    assert outcome(device.set_attr, Group.CTRL, CTRL_INIT) == 0


@pytest.mark.parametrize("how", ["vPEIDs", "memory"])
def test_a_full_host(how: str) -> None:
    """B64: the VM is refused, nothing leaks, and others go on."""
    if how == "vPEIDs":
        host = make_host(v4=V4Config(vpeid_bits=2))
    else:
        memory = Memory(1 << 38)
        machine = Machine(4, memory=memory, v4=V4Config(vpeid_bits=4), its=[ItsConfig()])
        host = Host(machine, vgic_v4_enable=True)
        assert host.gic is not None
        pages = host.gic.pages
        while pages.left > 4:
            pages.take(pages.left // 2 * BLOCK)
    gic = host.gic
    assert gic is not None
    first, first_gic = bare(host, 2)
    first_gic.set_attr(Group.CTRL, CTRL_INIT)
    used = gic.vpeids.used, gic.lpis.used, gic.pages.used
    second, second_gic = bare(host, 3)
    assert not gic.has_room(3)
    assert outcome(second_gic.set_attr, Group.CTRL, CTRL_INIT) == errno.ENOMEM
    assert (gic.vpeids.used, gic.lpis.used, gic.pages.used) == used
    assert second.vcpus[0].vpe is None
    assert outcome(second.vcpus[0].enter) != 0
    first.destroy()
    assert gic.has_room(2), "what was given back counts"
    third, third_gic = bare(host, 2)
    third_gic.set_attr(Group.CTRL, CTRL_INIT)
    assert third.vcpus[1].vpe is not None
    host.machine.check()


def test_an_its_that_finds_no_room_is_not_created() -> None:
    host = make_host(v4=V4Config(version=GicVersion.V4_0))
    gic = host.gic
    assert gic is not None
    vm, device = bare(host, 2)
    device.set_attr(Group.CTRL, CTRL_INIT)
    gic.vpeids = Numbers(0, 1)
    assert outcome(vm.create_device, DeviceType.ITS) == errno.ENOMEM
    dist = vm.vcpus[0].dist
    assert (dist.has_its, dist.its_list, dist.direct) == (False, [], None)


def test_two_vms_have_different_vpes() -> None:
    host = make_host()
    rigs = [V4Rig(host=host), V4Rig(host=host)]
    seen = {vpe.vpeid for rig in rigs for vpe in rig.direct.vpes}
    tables = {vpe.vpt for rig in rigs for vpe in rig.direct.vpes} | {rig.direct.vct for rig in rigs}
    assert (len(seen), len(tables)) == (4, 6)


def test_a_table_that_is_used_again_is_zero() -> None:
    """P16: what one VM left pending does not reach the next."""
    host = make_host()
    rig = V4Rig(host=host)
    rig.forwarded()
    rig.msi_from(0)
    rig.vm.destroy()
    host.free_msi(rig.msis[0])
    other = V4Rig(host=host)
    other.forwarded()
    other.run()
    assert other.take() == 1023


@pytest.mark.parametrize("on", ["v3", "v4 off", "v4 without an ITS"])
def test_no_direct_injection(on: str) -> None:
    """B01."""
    if on == "v3":
        host = Host(Machine(2, its=[ItsConfig()]), vgic_v4_enable=True)
    elif on == "v4 off":
        host = make_host(enable=False)
    else:
        host = Host(Machine(2, v4=V4Config()), vgic_v4_enable=True)
    assert (host.has_gicv4, host.has_gicv4_1) == (False, False)
    assert type(gicv3_model(host)).__name__ == "ModelV3"
    vm, gic = bare(host, 2)
    gic.set_attr(Group.CTRL, CTRL_INIT)
    assert vm.vcpus[0].vpe is None
    assert gic.get_attr(Group.DIST_REGS, 0xC) == 0


def test_gicv2_guests_have_no_vpes() -> None:
    machine = Machine(2, VirtConfig(sre_legacy=True), v4=V4Config(), its=[ItsConfig()])
    host = Host(machine, vgic_v4_enable=True)
    vm = Vgic.gicv2(2, host=host, threads=False)
    vm.vcpus[0].enter()
    assert vm.vcpus[0].vpe is None
    vm.vcpus[0].exit()
    assert not vm.vcpus[0].pending()


def test_vms_share_the_hosts_lock() -> None:
    host = make_host()
    assert host.gic is not None
    assert Vgic(host)._lock is Vgic(host)._lock is host.gic.lock
    assert Vgic(host, threads=False)._lock is not host.gic.lock
    assert Vgic()._lock is not Vgic()._lock


# The drivers below


def test_numbers() -> None:
    numbers = Numbers(8, 10)
    assert [numbers.take("x"), numbers.take("x"), numbers.left] == [8, 9, 0]
    assert outcome(numbers.take, "x") == errno.ENOMEM
    numbers.give(9)
    numbers.give(8)
    assert [numbers.used, numbers.left, numbers.take("x")] == [0, 2, 8]


def test_pages() -> None:
    memory = Memory(1 << 20)
    pages = Pages(memory, 0x1234, 3 * BLOCK)
    first = pages.take(1)
    assert (first, pages.used) == (BLOCK, BLOCK)
    memory.write(first + 8, 8, 1)
    assert outcome(pages.take, 2 * BLOCK) == errno.ENOMEM
    pages.give(first, 1)
    assert (pages.take(BLOCK), memory.read(first + 8, 8), pages.used) == (first, 0, BLOCK)


@pytest.mark.parametrize(
    "its",
    [ItsConfig(pta=True), ItsConfig(svpet=1), ItsConfig(hcc=4), ItsConfig(individual=False), ItsConfig(device_bits=8)],
    ids=["addresses", "a shared vPE table", "collections inside", "no individual doorbells", "few devices"],
)
def test_itss_of_many_kinds(its: ItsConfig) -> None:
    rig = V4Rig(host=make_host(its=(its,)))
    rig.forwarded()
    rig.run(0, 1)
    rig.msi_from(0)
    assert rig.take() == 8192
    assert rig.wfi()
    rig.msi_from(0)
    assert rig.vpe().doorbells == 1


def test_vectors_are_refused() -> None:
    host = make_host(cpus=2)
    vector = host.request_msi(3, 0, vectors=2)
    assert outcome(host.request_msi, 3, 0) == errno.EBUSY
    assert outcome(host.request_msi, 3, 2) == errno.EINVAL
    assert outcome(host.request_msi, 4, 0, vectors=1 << 17) == errno.EINVAL
    assert outcome(host.request_msi, 1 << 16, 0) == errno.EINVAL
    assert outcome(host.request_msi, 4, 0, cpu=2) == errno.EINVAL
    assert outcome(host.request_msi, 4, 0, its=1) == errno.ENODEV
    assert outcome(Host(Machine(1)).request_msi, 4, 0) == errno.ENODEV
    host.msi(vector, 2)
    assert vector.taken == 1, "merged while pending"
    host.msi(vector)
    assert vector.taken == 2
    host.free_msi(vector)
    again = host.request_msi(3, 1, vectors=4, cpu=1)
    host.msi(again)
    assert again.taken == 1
