"""Vgic as an embedder meets it: the short way to a running VM, injection, listeners, and VMs that share a host."""

from collections.abc import Callable
from errno import EBUSY, EINVAL, EIO, ENOENT
from typing import Final, NamedTuple

import pytest

from hw import Machine
from hw.arch import (
    GICD_CTLR,
    GICD_ICFGR,
    GICD_ISENABLER,
    GICD_TYPER,
    GICR_TYPER,
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    INTID_SPURIOUS,
)
from tests.support import GICD_BASE, make_vm, redist_base
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import PPI, SPI
from vgic import (
    BusyError,
    Cap,
    ConfigError,
    DeadVmError,
    DeviceType,
    Host,
    Vcpu,
    Vgic,
    VgicError,
)
from vgic.locked import LockedVcpu

# -- the short way -----------------------------------------------------------------------------------


def open_up(vcpu: Vcpu, *, level: bool = False) -> None:
    """The guest enables the distributor, SPI 40, its CPU interface, and takes every priority."""
    vcpu.enter()
    vcpu.write(GICD_BASE + GICD_CTLR, 4, 2)
    vcpu.write(GICD_BASE + GICD_ISENABLER + 4, 4, 1 << SPI % 32)
    if level:
        vcpu.write(GICD_BASE + GICD_ICFGR + 8, 4, 0)
    vcpu.msr(ICC_PMR_EL1, 0xF0)
    vcpu.msr(ICC_IGRPEN1_EL1, 1)
    vcpu.exit()


def take(vcpu: Vcpu) -> int:
    """The guest takes one interrupt and completes it."""
    intid = vcpu.mrs(ICC_IAR1_EL1)
    vcpu.msr(ICC_EOIR1_EL1, intid)
    return intid


def test_a_vm_is_one_call_and_an_interrupt_one_more() -> None:
    vm = Vgic.gicv3(vcpus=4, spis=64)
    vcpu = vm.vcpus[0]
    open_up(vcpu)
    vm.inject(SPI)
    vcpu.enter()
    got = take(vcpu), take(vcpu)
    vcpu.exit()
    assert got == (SPI, INTID_SPURIOUS)
    vm.check()


def test_frames_lie_where_kvmtool_has_them() -> None:
    vm = Vgic.gicv3(vcpus=3, spis=96)
    vcpu = vm.vcpus[1]
    vcpu.enter()
    typers = [vcpu.read(redist_base(n) + GICR_TYPER, 8) for n in range(3)]
    assert (vcpu.read(0x0800_0000 + GICD_TYPER, 4), typers) == (0x48_0003, [0, 1 << 32 | 0x100, 2 << 32 | 0x210])


BAD: Final = {
    "no vCPU": {"vcpus": 0},
    "fewer than none": {"vcpus": -1},
    "too many vCPUs": {"vcpus": 513},
    "far too many vCPUs": {"vcpus": 1 << 40},
    "no SPI": {"vcpus": 1, "spis": 0},
    "SPIs that fill no word": {"vcpus": 1, "spis": 63},
    "too many SPIs": {"vcpus": 1, "spis": 992},
    "fewer SPIs than none": {"vcpus": 1, "spis": -32},
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD)
def test_numbers_that_cannot_be(row: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as error:
        Vgic.gicv3(row["vcpus"], row.get("spis", 64))
    assert error.value.errno == EINVAL


@pytest.mark.parametrize("lrs", [0, 17, -1])
def test_a_machine_that_cannot_be(lrs: int) -> None:
    with pytest.raises(VgicError, match=f"n_lr={lrs}") as refused:
        Vgic.gicv3(1, lrs=lrs)
    assert refused.value.errno == EINVAL


@pytest.mark.parametrize("lrs", [1, 16])
def test_list_registers(lrs: int) -> None:
    assert Vgic.gicv3(1, lrs=lrs).vcpus[0].nr_lr == lrs


@pytest.mark.parametrize("ipa_bits", [31, 53, 0, -1])
def test_guest_physical_space_that_cannot_be(ipa_bits: int) -> None:
    assert outcome(Vgic, ipa_bits=ipa_bits) == EINVAL


@pytest.mark.parametrize("threads", [True, False])
def test_vcpus_have_a_lock_only_when_asked(threads: bool) -> None:
    vm = Vgic.gicv3(1, threads=threads)
    assert isinstance(vm.vcpus[0], LockedVcpu) is threads


def test_vcpus_get_the_next_free_id() -> None:
    vm = Vgic(threads=False)
    ids = [vm.create_vcpu(wanted).vcpu_id for wanted in (1, None, None, 7, None)]
    assert (ids, [vcpu.index for vcpu in vm.vcpus]) == ([1, 0, 2, 7, 3], [0, 1, 2, 3, 4])


def test_vcpus_start_on_the_physical_cpus_in_turn() -> None:
    vm = Vgic.gicv3(5, host=Host(Machine(cpus=2)))
    assert [vcpu.pe.index for vcpu in vm.vcpus] == [0, 1, 0, 1, 0]


CAPS: Final = {
    "IRQCHIP": (Cap.IRQCHIP, 1),
    "IRQ_ROUTING": (Cap.IRQ_ROUTING, 4096),
    "IRQFD": (Cap.IRQFD, 1),
    "SIGNAL_MSI": (Cap.SIGNAL_MSI, 1),
    "IRQFD_RESAMPLE": (Cap.IRQFD_RESAMPLE, 1),
    "MSI_DEVID": (Cap.MSI_DEVID, 0),
    "LINE_LAYOUT_2": (Cap.ARM_IRQ_LINE_LAYOUT_2, 1),
    "none": (9999, 0),
}


@pytest.mark.parametrize("row", CAPS.values(), ids=CAPS)
def test_check_extension(row: tuple[int, int]) -> None:
    assert Vgic().check_extension(row[0]) == row[1]


def test_messages_need_a_device_once_there_is_an_its() -> None:
    vm = Vgic()
    vm.create_device(DeviceType.ITS)
    assert vm.check_extension(Cap.MSI_DEVID) == 1


# -- what goes wrong says what clashed -----------------------------------------------------------------


class Wrong(NamedTuple):
    errno: int
    kind: type[VgicError]
    text: str


WRONG: Final = {
    "injecting what does not exist": Wrong(
        EINVAL, ConfigError, "EINVAL (Invalid argument): INTID 96 does not exist: this VM has INTIDs 0 to 95"
    ),
    "a private interrupt of nobody": Wrong(
        EINVAL, ConfigError, "EINVAL (Invalid argument): INTID 27 is private: name the vCPU"
    ),
    "a vCPU too late": Wrong(EBUSY, VgicError, "EBUSY (Device or resource busy): the VGIC is initialised"),
    "a device while a vCPU runs": Wrong(EBUSY, BusyError, "EBUSY (Device or resource busy): vCPU 1 is in the guest"),
    "leaving what was not entered": Wrong(
        EINVAL, ConfigError, "EINVAL (Invalid argument): vCPU 0 is not in the guest: enter() it first"
    ),
    "entering twice": Wrong(EBUSY, BusyError, "EBUSY (Device or resource busy): vCPU 1 is in the guest already"),
    "a CPU that is not there": Wrong(
        EINVAL, ConfigError, "EINVAL (Invalid argument): the machine has physical CPUs 0 to 1, not 2"
    ),
    "an access of three bytes": Wrong(
        EINVAL, ConfigError, "EINVAL (Invalid argument): an access has 1, 2, 4 or 8 bytes, not 3"
    ),
    "listening to no SPI": Wrong(EINVAL, ConfigError, "EINVAL (Invalid argument): INTID 31 is not an SPI"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_embedders_mistake(name: str) -> None:
    vm = make_vm(2, spis=64)
    idle, busy = vm.vcpus
    busy.enter()
    calls: dict[str, Callable[[], object]] = {
        "injecting what does not exist": lambda: vm.inject(96),
        "a private interrupt of nobody": lambda: vm.inject(PPI),
        "a vCPU too late": vm.create_vcpu,
        "a device while a vCPU runs": lambda: vm.create_device(DeviceType.VGIC_V3),
        "leaving what was not entered": idle.exit,
        "entering twice": busy.enter,
        "a CPU that is not there": lambda: idle.enter(2),
        "an access of three bytes": lambda: busy.read(GICD_BASE, 3),
        "listening to no SPI": lambda: vm.add_ack_notifier(31, print),
    }
    want = WRONG[name]
    with pytest.raises(VgicError) as error:
        calls[name]()
    assert (error.value.errno, type(error.value)) == (want.errno, want.kind)
    assert str(error.value).startswith(want.text)


def test_every_guest_access_outside_the_guest_is_the_embedders_mistake() -> None:
    vcpu = make_vm(1).vcpus[0]
    errnos = [
        outcome(vcpu.read, GICD_BASE, 4),
        outcome(vcpu.write, GICD_BASE, 4, 0),
        outcome(vcpu.mrs, ICC_PMR_EL1),
        outcome(vcpu.msr, ICC_PMR_EL1, 0),
        outcome(vcpu.exit),
    ]
    assert errnos == [EINVAL] * 5


@pytest.mark.parametrize("size", [0, 3, 16, -1])
def test_sizes_no_load_or_store_has(size: int) -> None:
    vcpu = make_vm(1).vcpus[0]
    vcpu.enter()
    assert (outcome(vcpu.read, GICD_BASE, size), outcome(vcpu.write, GICD_BASE, size, 0)) == (EINVAL, EINVAL)


def test_errors_carry_what_the_ioctl_returns() -> None:
    errors = [VgicError(ENOENT, "x"), BusyError("y"), DeadVmError()]
    assert [error.errno for error in errors] == [ENOENT, EBUSY, EIO]
    assert [str(error) for error in errors[:2]] == [
        "ENOENT (No such file or directory): x",
        "EBUSY (Device or resource busy): y",
    ]


# -- injection through the VM ----------------------------------------------------------------------------


def test_a_level_spi_is_presented_as_long_as_its_line_is_high() -> None:
    vm = make_vm(1, spis=64)
    vcpu = vm.vcpus[0]
    open_up(vcpu, level=True)
    vm.inject(SPI, True)
    got = []
    for _ in range(2):
        vcpu.enter()
        got.append(take(vcpu))
        vcpu.exit()
    vm.inject(SPI, False)
    vcpu.enter()
    got.append(take(vcpu))
    assert got == [SPI, SPI, INTID_SPURIOUS]


def test_a_ppi_goes_to_the_vcpu_named() -> None:
    vm = make_vm(2, spis=64)
    vm.inject(PPI, True, vcpu=vm.vcpus[1])
    assert [vcpu.private[PPI].line_level for vcpu in vm.vcpus] == [False, True]


@pytest.mark.parametrize("intid", [-1, -40, 96, 1020, 8192, 1 << 32])
def test_what_does_not_exist_cannot_be_injected(intid: int) -> None:
    vm = make_vm(1, spis=64)
    assert [outcome(vm.inject, intid, vcpu=vcpu) for vcpu in (None, vm.vcpus[0])] == [EINVAL, EINVAL]


def test_another_vms_vcpu_cannot_be_injected_into() -> None:
    vm, other = make_vm(1, spis=64), make_vm(1, spis=64)
    assert outcome(vm.inject, PPI, vcpu=other.vcpus[0]) == EINVAL
    assert not other.vcpus[0].private[PPI].line_level


def test_the_kick_port_hears_of_what_a_vcpu_must_look_at() -> None:
    kicks: list[int] = []
    vm = Vgic.gicv3(2, kick=kicks.append)
    open_up(vm.vcpus[0])
    vm.inject(SPI)
    vm.kick = None
    vm.inject(SPI)
    vm.kick = kicks.append
    vm.inject(SPI)
    assert kicks == [0, 0]


# -- listeners -------------------------------------------------------------------------------------------


def complete(vm: Vgic) -> None:
    vcpu = vm.vcpus[0]
    vcpu.enter()
    take(vcpu)
    vcpu.exit()


def test_a_listener_hears_of_completion_and_can_lower_the_line() -> None:
    vm = make_vm(1, spis=64)
    open_up(vm.vcpus[0], level=True)
    heard: list[int] = []

    def listener(intid: int) -> None:
        heard.append(intid)
        vm.inject(intid, False)

    vm.add_ack_notifier(SPI, listener)
    vm.inject(SPI, True)
    complete(vm)
    vm.vcpus[0].enter()
    assert (heard, take(vm.vcpus[0])) == ([SPI], INTID_SPURIOUS)


def test_listeners_are_called_in_order_and_can_leave() -> None:
    vm = make_vm(1, spis=64)
    open_up(vm.vcpus[0], level=True)
    heard: list[str] = []

    def first(intid: int) -> None:
        heard.append("first")

    def second(intid: int) -> None:
        heard.append("second")

    vm.add_ack_notifier(SPI, first)
    vm.add_ack_notifier(SPI, second)
    vm.add_ack_notifier(SPI + 1, first)
    vm.inject(SPI, True)
    complete(vm)
    vm.remove_ack_notifier(SPI, first)
    vm.remove_ack_notifier(SPI, first)
    complete(vm)
    vm.remove_ack_notifier(SPI, second)
    complete(vm)
    assert heard == ["first", "second", "second"]


def test_a_bound_method_can_leave_too() -> None:
    vm = make_vm(1, spis=64)
    open_up(vm.vcpus[0], level=True)
    heard: list[int] = []
    vm.add_ack_notifier(SPI, heard.append)
    vm.remove_ack_notifier(SPI, heard.append)
    vm.inject(SPI, True)
    complete(vm)
    assert heard == []


def test_nobody_hears_of_an_edge_interrupt() -> None:
    vm = make_vm(1, spis=64)
    open_up(vm.vcpus[0])
    heard: list[int] = []
    vm.add_ack_notifier(SPI, heard.append)
    vm.inject(SPI)
    complete(vm)
    assert heard == []


@pytest.mark.parametrize("intid", [-1, 0, 31, 1020, 8192])
def test_only_spis_have_listeners(intid: int) -> None:
    assert outcome(make_vm(1).add_ack_notifier, intid, lambda _: None) == EINVAL


# -- VMs that share a host -------------------------------------------------------------------------------


def two_vms() -> tuple[Vgic, Vgic]:
    host = Host(Machine(cpus=2))
    return Vgic.gicv3(2, host=host, threads=False), Vgic.gicv3(2, host=host, threads=False)


def test_two_vms_on_one_host_are_apart() -> None:
    one, two = two_vms()
    open_up(one.vcpus[0])
    open_up(two.vcpus[1])
    one.inject(SPI)
    one.vcpus[0].enter()
    two.vcpus[1].enter()
    assert (take(two.vcpus[1]), take(one.vcpus[0])) == (INTID_SPURIOUS, SPI)
    assert (one.host, two.vcpus[0].dist.vcpus) == (two.host, list(two.vcpus))


def test_a_cpu_holds_one_vcpu_until_it_is_put() -> None:
    one, two = two_vms()
    first, second = one.vcpus[0], two.vcpus[0]
    first.enter()
    first.msr(ICC_PMR_EL1, 0xA0)
    running = outcome(second.enter)
    first.exit()
    loaded = outcome(second.enter)
    first.put()
    second.enter()
    theirs = second.mrs(ICC_PMR_EL1)
    second.exit()
    second.put()
    first.enter()
    assert (running, loaded, theirs, first.mrs(ICC_PMR_EL1)) == (EBUSY, EBUSY, 0, 0xA0)


def test_a_refused_entry_leaves_both_as_they_were() -> None:
    one, two = two_vms()
    one.vcpus[0].enter()
    assert outcome(two.vcpus[0].enter) == EBUSY
    one.vcpus[0].exit()
    one.check()
    two.check()
    assert (two.vcpus[0].has_run, two.vcpus[0].mode) == (False, 0)


def test_a_vcpu_of_the_same_vm_makes_room() -> None:
    vm = Vgic.gicv3(2, host=Host(Machine(cpus=1)), threads=False)
    first, second = vm.vcpus
    first.enter()
    first.msr(ICC_PMR_EL1, 0xA0)
    first.exit()
    second.enter()
    theirs = second.mrs(ICC_PMR_EL1)
    second.exit()
    first.enter()
    assert (theirs, first.mrs(ICC_PMR_EL1)) == (0, 0xA0)


def test_one_vm_dying_leaves_the_other() -> None:
    host = Host(Machine(cpus=2))
    dying = Vgic(host, threads=False)
    dying.create_device(DeviceType.VGIC_V3)
    vcpu = dying.create_vcpu()
    assert outcome(vcpu.enter) != 0
    living = Vgic.gicv3(1, host=host, threads=False)
    living.vcpus[0].enter()
    assert outcome(vcpu.enter) == EIO
