"""The first entry of a VM: what it checks, and what a VM is that failed it."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import pytest

from hw import Machine
from tests.support import GICD_BASE, GICR_BASE, make_vm
from tests.unit.vgic.rig import outcome
from vgic import Addr, DeadVmError, Group, Host, Vgic
from vgic.errors import EBUSY, EINVAL, EIO, ENXIO
from vgic.ids import CTRL_INIT, V3
from vgic.vcpu import PUT

SPI: Final = 40


class FirstRun(NamedTuple):
    """A VM with two vCPUs and these frames; what its first entry gives."""

    dist: int | None = GICD_BASE
    regions: tuple[int, ...] = (GICR_BASE,)  # legacy ones, or counted ones as the attribute's value
    init: bool = True
    errno: int = 0


def counted(base: int, count: int, index: int = 0) -> int:
    return count << 52 | base | index


FIRST_RUNS: Final = {
    "all is well": FirstRun(),
    "counted regions": FirstRun(regions=(counted(GICR_BASE, 2),)),
    "a region each": FirstRun(regions=(counted(GICR_BASE, 1), counted(0x900_0000, 1, 1))),
    "no redistributors": FirstRun(regions=(), errno=ENXIO),
    "a redistributor for one of two": FirstRun(regions=(counted(GICR_BASE, 1),), errno=ENXIO),
    "no distributor": FirstRun(dist=None, errno=ENXIO),
    "the distributor in the redistributors": FirstRun(dist=GICR_BASE + 0x2_0000, errno=EINVAL),
    "the distributor in room left over": FirstRun(
        dist=GICR_BASE + 3 * 0x2_0000, regions=(counted(GICR_BASE, 4),), errno=EINVAL
    ),
    "no init": FirstRun(init=False, errno=EBUSY),
    "no init and no distributor": FirstRun(dist=None, init=False, errno=ENXIO),
    "no init and an overlap": FirstRun(dist=GICR_BASE, init=False, errno=EINVAL),
}


def first_run(row: FirstRun) -> Vgic:
    vm = Vgic(Host(Machine(cpus=2)), threads=False)
    vm.create_vcpu()
    vm.create_vcpu()
    device = vm.create_device(V3)
    for value in row.regions:
        device.set_attr(Group.ADDR, Addr.V3_REDIST_REGION if value >> 52 else Addr.V3_REDIST, value)
    if row.dist is not None:
        device.set_attr(Group.ADDR, Addr.V3_DIST, row.dist)
    if row.init:
        device.set_attr(Group.CTRL, CTRL_INIT)
    return vm


@pytest.mark.parametrize("row", FIRST_RUNS.values(), ids=FIRST_RUNS)
def test_first_run(row: FirstRun) -> None:
    vm = first_run(row)
    assert outcome(vm.vcpus[0].enter) == row.errno
    dist = vm.vcpus[0].dist
    assert (dist.ready, dist.dead) == (not row.errno, bool(row.errno))
    assert outcome(vm.vcpus[1].enter) == (EIO if row.errno else 0)


DEAD: Final[dict[str, Callable[[Vgic], object]]] = {
    "enter": lambda vm: vm.vcpus[0].enter(),
    "enter elsewhere": lambda vm: vm.vcpus[0].enter(1),
    "create_vcpu": lambda vm: vm.create_vcpu(),
    "create_device": lambda vm: vm.create_device(V3),
    "create_irqchip": lambda vm: vm.create_irqchip(),
    "irq_line": lambda vm: vm.irq_line(1 << 24 | SPI, 1),
}


@pytest.mark.parametrize("call", DEAD.values(), ids=DEAD)
def test_a_dead_vm_gives_eio(call: Callable[[Vgic], object]) -> None:
    vm = first_run(FIRST_RUNS["no distributor"])
    outcome(vm.vcpus[0].enter)
    with pytest.raises(DeadVmError) as error:
        call(vm)
    assert error.value.errno == EIO


def test_a_dead_vms_device_gives_eio() -> None:
    vm = Vgic(Host(Machine()), threads=False)
    vcpu = vm.create_vcpu()
    device = vm.create_device(V3)
    assert outcome(vcpu.enter) == ENXIO
    calls: list[Callable[[], object]] = [
        lambda: device.set_attr(Group.CTRL, CTRL_INIT),
        lambda: device.get_attr(Group.NR_IRQS, 0),
        lambda: device.check_attr(Group.NR_IRQS, 0),
    ]
    assert [outcome(call) for call in calls] == [EIO] * 3


def test_a_dead_vm_holds_no_cpu() -> None:
    vm = first_run(FIRST_RUNS["no distributor"])
    outcome(vm.vcpus[0].enter)
    assert (vm.host.loaded, vm.vcpus[0].mode) == ({}, PUT)


def test_the_distributor_is_on_the_bus_from_the_first_run_on() -> None:
    vm = first_run(FIRST_RUNS["all is well"])
    bus = vm.vcpus[0].dist.bus
    assert bus.find(GICD_BASE, 4) is None
    vm.vcpus[0].enter()
    assert bus.find(GICD_BASE, 4) is vm.vcpus[0].dist.frame


def test_the_affinity_is_fixed_by_the_first_run() -> None:
    vm = make_vm(2)
    vcpu = vm.vcpus[0]
    for affinity in (-1, 1 << 32):
        assert outcome(partial(vcpu.set_mpidr, affinity)) == EINVAL
    vcpu.set_mpidr(0xFFFF_FFFF)
    vm.vcpus[1].enter()
    vcpu.set_mpidr(7)
    vcpu.enter()
    assert (outcome(lambda: vcpu.set_mpidr(8)), vcpu.mpidr) == (EBUSY, 7)
