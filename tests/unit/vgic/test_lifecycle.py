"""From nothing to a running VM, in every order that works and every one that does not.

Each row is a VMM's story (see conftest.Story); "-> ERRNO" ends a step that KVM refuses.
"""

from errno import EBUSY, EEXIST, EIO, ENODEV
from typing import Final

import pytest

from hw import Machine, VirtConfig
from hw.arch import HCR_EN, ICC_PMR_EL1, UNDEFINED
from tests.support import freeze
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import Story
from vgic import CREATE_DEVICE_TEST, CTRL_INIT, Addr, Cap, Device, DeviceType, Group, Host, LineType, Vgic, irq_word

FRAMES: Final = "dist 0x8000000; legacy 0x80a0000"

STORIES: Final = {
    # creation: kvm_vgic_create()
    "the device first": f"device; vcpu 0; {FRAMES}; init; run 0",
    "vCPUs first": f"vcpu 0; vcpu 1; device; {FRAMES}; init; run 1; run 0",
    "one before, one after": f"vcpu 0; device; vcpu 1; {FRAMES}; init; run 0; run 1",
    "only one device": "device; device -> EEXIST",
    "no device once a vCPU has run": "vcpu 0; run 0; device -> EBUSY",
    "a VM without a device runs": "vcpu 0; run 0; run 0",
    # vCPU creation: kvm_arch_vcpu_precreate(), kvm_vgic_vcpu_init()
    "ids in any order": "vcpu 7; vcpu 0; vcpu 511",
    "an id in use": "vcpu 3; vcpu 3 -> EEXIST",
    "an id in use, with a device": "device; vcpu 3; vcpu 3 -> EEXIST; vcpu 4",
    "an id past the limit": "vcpu 512 -> EINVAL",
    "a negative id": "vcpu -1 -> EINVAL",
    "none after init": "vcpu 0; device; init; vcpu 1 -> EBUSY",
    "init is looked at before the id": "device; init; vcpu 512 -> EBUSY",
    # init: vgic_init()
    "init needs no address": "vcpu 0; device; init",
    "init again": "vcpu 0; device; init; init",
    "init without a vCPU: none can come": "device; init; vcpu 0 -> EBUSY",
    "frames after init": f"vcpu 0; device; init; {FRAMES}; run 0",
    # first entry: vgic_v3_map_resources(), in its order
    "no redistributor": "vcpu 0; device; dist 0x8000000; init; run 0 -> ENXIO",
    "a redistributor for some only": (
        "vcpu 0; vcpu 1; device; dist 0x8000000; region 0 0x80a0000 1; init; run 0 -> ENXIO"
    ),
    "no distributor": "vcpu 0; device; legacy 0x80a0000; init; run 0 -> ENXIO",
    "no redistributor, and no init": "vcpu 0; device; dist 0x8000000; run 0 -> ENXIO",
    "frames that overlap": "vcpu 0; device; legacy 0x80a0000; dist 0x80b0000; init; run 0 -> EINVAL",
    "frames that overlap, and no init": "vcpu 0; device; legacy 0x80a0000; dist 0x80b0000; run 0 -> EINVAL",
    "the legacy region grew into the distributor": (
        "device; legacy 0x80a0000; vcpu 0; vcpu 1; dist 0x80c0000; init; run 0 -> EINVAL"
    ),
    "the last vCPU's frame lies past the end": (
        "device; legacy 0xfffffc0000; dist 0x8000000; vcpu 0; vcpu 1; vcpu 2; init; run 0 -> EINVAL"
    ),
    "no init": f"vcpu 0; device; {FRAMES}; run 0 -> EBUSY",
    # a failed first entry kills the VM
    "dead for good": (
        "vcpu 0; vcpu 1; device; init; run 0 -> ENXIO; run 0 -> EIO; run 1 -> EIO; vcpu 2 -> EIO;"
        " dist 0x8000000 -> EIO; legacy 0x80a0000 -> EIO; irqs 64 -> EIO; init -> EIO; device -> EIO"
    ),
    "dead even when what was missing could come": f"vcpu 0; device; {FRAMES}; run 0 -> EBUSY; init -> EIO",
    # what stays behind: sticky marks of failed calls
    "a failed vCPU keeps its slot": (
        f"device; {FRAMES}; vcpu 0; vcpu 0 -> EEXIST; vcpu 1; frames 0=0x80a0000 1=0x80e0000"
    ),
    "so that the last of a region finds none, and the VM dies": (
        "device; dist 0x8000000; region 0 0x80a0000 2; vcpu 0; vcpu 0 -> EEXIST; vcpu 1; init; run 0 -> ENXIO"
    ),
    "the default number of interrupts is frozen by init": "device; init; irqs 64 -> EBUSY",
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_story(story: str) -> None:
    Story(story)


def test_at_most_512_vcpus() -> None:
    steps = "; ".join(f"vcpu {n}" for n in range(512))
    Story(f"{steps}; vcpu 0 -> EINVAL; vcpu 512 -> EINVAL; device; init")


def test_the_number_of_vcpus_is_looked_at_before_init() -> None:
    steps = "; ".join(f"vcpu {n}" for n in range(512))
    Story(f"{steps}; device; init; vcpu 5 -> EINVAL")


# -- creation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DeviceType.VGIC_V2, 0, 6, 9, 99, -1], ids=str)
@pytest.mark.parametrize("flags", [0, CREATE_DEVICE_TEST], ids=["", "TEST"])
def test_no_other_devices(kind: int, flags: int) -> None:
    vm = Vgic(threads=False)
    vm.create_device(DeviceType.VGIC_V3)
    assert outcome(vm.create_device, kind, flags) == ENODEV, "the type is looked at before what there is"


def test_no_gicv2_irqchip_on_a_host_without_gicv2() -> None:
    vm = Vgic(threads=False)
    errnos = [outcome(vm.create_irqchip)]
    vm.create_device(DeviceType.VGIC_V3)
    errnos.append(outcome(vm.create_irqchip))
    assert errnos == [ENODEV, ENODEV]


def test_a_test_creates_nothing_and_looks_at_the_type_alone() -> None:
    vm = Vgic(threads=False)
    vcpu = vm.create_vcpu()
    vcpu.enter()
    assert outcome(vm.create_device, DeviceType.VGIC_V3, CREATE_DEVICE_TEST) == 0
    vcpu.exit()
    assert (vcpu.dist.model, vcpu.redist) == (None, None)


@pytest.mark.parametrize("flags", [0, 2, 0xFFFF_FFFE], ids=hex)
def test_other_flags_are_ignored(flags: int) -> None:
    vm = Vgic(threads=False)
    assert isinstance(vm.create_device(DeviceType.VGIC_V3, flags), Device)
    assert vm._dist.model is DeviceType.VGIC_V3


def test_creation_looks_at_running_vcpus_first() -> None:
    story = Story("vcpu 0; vcpu 1; device; dist 0x8000000; legacy 0x80a0000; init")
    running = story.by_id[0]
    running.enter()
    errnos = [outcome(story.vm.create_device, DeviceType.VGIC_V3)]
    running.exit()
    errnos.append(outcome(story.vm.create_device, DeviceType.VGIC_V3))
    assert errnos == [EBUSY, EEXIST]


def test_a_refused_device_changes_nothing() -> None:
    vm = Vgic(threads=False)
    vcpu = vm.create_vcpu()
    vcpu.enter()
    vcpu.exit()
    before = freeze(vcpu.dist)
    assert (outcome(vm.create_device, DeviceType.VGIC_V3), freeze(vcpu.dist)) == (EBUSY, before)


# -- reset state -----------------------------------------------------------------------------------


def test_a_vcpu_older_than_the_device_gets_its_interrupts_at_init() -> None:
    story = Story("vcpu 0; device; vcpu 1")
    counts = [[len(vcpu.private) for vcpu in story.vm.vcpus]]
    story.tell("init")
    counts.append([len(vcpu.private) for vcpu in story.vm.vcpus])
    assert counts == [[0, 32], [32, 32]]


def test_interrupts_reset() -> None:
    story = Story("vcpu 3; vcpu 1; device; init")
    first, second = story.vm.vcpus
    private = [(irq.intid, irq.level, irq.enabled, irq.group, irq.priority) for irq in second.private]
    assert private == [(n, n >= 16, n < 16, 1, 0) for n in range(32)]
    assert {(irq.target, irq.route) for irq in second.private} == {(second, 1)}
    spis = story.dist.spis
    assert [irq.intid for irq in spis] == list(range(32, 256))
    assert {(i.level, i.enabled, i.group, i.priority, i.target, i.route) for i in spis} == {
        (False, False, 1, 0, first, 0)
    }
    busy = [irq for irq in [*spis, *first.private, *second.private] if irq.active or irq.is_pending() or irq.hw]
    assert (busy, first.ap_list, second.ap_list) == ([], [], [])


def test_init_without_vcpus_leaves_spis_without_a_target() -> None:
    story = Story("device; irqs 64; init")
    assert {irq.target for irq in story.dist.spis} == {None}


def test_the_cpu_interface_resets_closed() -> None:
    story = Story("vcpu 0; device; init")
    vcpu = story.by_id[0]
    assert (vcpu.vmcr, vcpu.ap0r, vcpu.ap1r, vcpu.hcr) == (0, [0] * 4, [0] * 4, HCR_EN)
    assert (vcpu.pri_bits, vcpu.id_bits_code, vcpu.pendbaser, story.dist.propbaser) == (5, 1, 0x580, 0)
    assert (story.dist.enabled, story.dist.implementation_rev) == (False, 3)


HOSTS: Final = {
    "4 list registers, 5 priority bits, 24-bit INTIDs": (VirtConfig(), (4, 5, 1)),
    "16 list registers, 8 priority bits, 16-bit INTIDs": (
        VirtConfig(n_lr=16, pri_bits=8, pre_bits=7, id_bits=16),
        (16, 8, 0),
    ),
    "1 list register, 7 priority bits": (VirtConfig(n_lr=1, pri_bits=7, pre_bits=6), (1, 7, 1)),
}


@pytest.mark.parametrize("row", HOSTS.values(), ids=HOSTS)
def test_the_host_says_what_a_vcpu_has(row: tuple[VirtConfig, tuple[int, int, int]]) -> None:
    virt, want = row
    vm = Vgic.gicv3(1, host=Host(Machine(virt=virt)))
    vcpu = vm.vcpus[0]
    assert (vcpu.nr_lr, vcpu.pri_bits, vcpu.id_bits_code) == want


# -- first entry -----------------------------------------------------------------------------------


def test_the_distributor_is_on_the_bus_from_the_first_entry_on() -> None:
    story = Story(f"vcpu 0; vcpu 1; device; {FRAMES}; init")
    dist = story.dist
    before = dist.bus.find(0x800_0000, 4), dist.ready
    story.tell("run 1")
    assert (before, dist.ready) == ((None, False), True)
    assert dist.bus.find(0x800_0000, 4) is dist.frame


def test_redistributors_are_on_the_bus_as_soon_as_they_have_a_place() -> None:
    story = Story("vcpu 0; device; legacy 0x80a0000")
    assert story.dist.bus.find(0x80A_0000, 4) is story.by_id[0].redist


def test_a_full_bus_kills_the_vm() -> None:
    story = Story(f"vcpu 0; device; {FRAMES}; init")
    frame = story.by_id[0].redist
    assert frame is not None
    for _ in range(999):
        story.dist.bus.register(frame)
    story.tell("run 0 -> ENOSPC; run 0 -> EIO")
    assert not story.dist.ready


def test_a_dead_vm_refuses_every_ioctl() -> None:
    story = Story("vcpu 0; device; init; run 0 -> ENXIO")
    vm, vcpu = story.vm, story.by_id[0]
    errnos = {
        "create_vcpu": outcome(vm.create_vcpu),
        "create_device": outcome(vm.create_device, DeviceType.VGIC_V3),
        "create_device, no such type": outcome(vm.create_device, 99),
        "create_irqchip": outcome(vm.create_irqchip),
        "irq_line": outcome(vm.irq_line, irq_word(LineType.SPI, 32), 1),
        "check_extension": outcome(vm.check_extension, Cap.IRQCHIP),
        "enter": outcome(vcpu.enter),
        "set_mpidr": outcome(vcpu.set_mpidr, 1),
        "set_attr": outcome(story.device.set_attr, Group.ADDR, Addr.V3_DIST, 0),
        "get_attr": outcome(story.device.get_attr, Group.CTRL, CTRL_INIT),
    }
    assert set(errnos.values()) == {EIO}, errnos


def test_an_entry_refused_for_another_reason_does_not_kill() -> None:
    vm = Vgic.gicv3(2, host=Host(Machine(cpus=1)), threads=False)
    first, second = vm.vcpus
    first.enter()
    errno = outcome(second.enter)
    first.exit()
    assert (errno, outcome(second.enter)) == (EBUSY, 0)


def test_a_vm_without_a_device_has_no_interrupt_controller() -> None:
    vm = Vgic(Host(Machine()), threads=False)
    vcpu = vm.create_vcpu()
    vcpu.enter()
    assert (vcpu.mrs(ICC_PMR_EL1), vcpu.msr(ICC_PMR_EL1, 0)) == (UNDEFINED, False)
