"""Physical CPUs: whose turn it is, how long, and the delays that vCPUs see."""

from typing import Final

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.rig import OFF, SECOND, build, cpu_on, set_vbar, x
from vmm.guestcpu import Power
from vmm.machine import Machine
from vmm.outcome import End
from vmm.schedule import QUANTUM, PhysicalCpu, runnable

OTHER: Final = 1


def machine_of(cpus: int, on: int) -> Machine:
    """Return a machine of which the first `on` vCPUs run."""
    machine = build([asm.SPIN], cpus=cpus)
    for cpu in machine.cpus[1:on]:
        cpu.power_on(SECOND, 0)
    return machine


def test_vcpus_take_turns_of_a_quantum() -> None:
    machine = machine_of(4, 3)
    physical = PhysicalCpu(0, machine.cpus)
    order = []
    for now in range(0, 7 * QUANTUM, QUANTUM // 2):
        cpu = physical.pick(now)
        assert cpu is not None
        order.append(cpu.index)
    assert order == [1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1]


def test_one_that_is_alone_keeps_its_cpu() -> None:
    machine = machine_of(2, 2)
    physical = PhysicalCpu(0, machine.cpus[1:])
    assert {physical.pick(now) for now in range(0, 3 * QUANTUM, 1000)} == {machine.cpus[1]}


def test_nobody_runs_when_all_wait() -> None:
    machine = machine_of(2, 2)
    physical = PhysicalCpu(0, machine.cpus)
    for cpu in machine.cpus:
        cpu.power = Power.WAITING
    assert physical.pick(0) is None


def test_one_that_makes_way_is_followed_by_its_neighbour_at_once() -> None:
    machine = machine_of(2, 2)
    physical = PhysicalCpu(0, machine.cpus)
    first = physical.pick(0)
    assert physical.pick(10) is first
    physical.make_way()
    assert physical.pick(20) is not first


def test_a_turn_is_saved() -> None:
    machine = machine_of(3, 3)
    physical, other = PhysicalCpu(0, machine.cpus), PhysicalCpu(0, machine.cpus)
    physical.pick(500)
    other.load(physical.save())
    assert [other.pick(at) for at in (600, QUANTUM + 600)] == [physical.pick(at) for at in (600, QUANTUM + 600)]


def test_a_kick_without_an_interrupt_wakes_nobody() -> None:
    machine = machine_of(2, 2)
    cpu = machine.cpus[1]
    cpu.power = Power.WAITING
    cpu.kicked = True
    assert not runnable(cpu)
    assert cpu.power is Power.WAITING
    assert not cpu.kicked


SHARING: Final = {"2 on 1": (2, 1), "3 on 1": (3, 1), "4 on 2": (4, 2), "2 on 2": (2, 2)}


@pytest.mark.parametrize(("cpus", "pcpus"), SHARING.values(), ids=SHARING)
def test_vcpus_that_share_a_cpu_get_as_much_of_it_and_wait_for_each_other(cpus: int, pcpus: int) -> None:
    count = [asm.add(1, 1, 1), asm.b(-1)]
    code = [word for index in range(1, cpus) for word in cpu_on(index)]
    machine = build([*code, *asm.mov(1, 0), *count], {SECOND: count}, cpus=cpus, pcpus=pcpus, budget=cpus * 400_000)
    assert machine.run().end is End.BUDGET
    done = [x(machine, 1, cpu=index)[0] for index in range(cpus)]
    assert max(done) - min(done) <= QUANTUM // 2 + 5000
    delay = machine.counts.longest_delay
    assert delay <= QUANTUM * (cpus // pcpus) * pcpus + 10_000


def test_a_vcpu_that_spins_in_wfi_leaves_its_cpu_to_a_neighbour() -> None:
    """Linux parks CPUs so before it switches off: inside an IPI's handler, with a timer pending.

    The CPU interface does not signal the timer, whose priority is no higher than the IPI's; KVM takes it for a reason
    to run.  Each WFI ends a turn: else each quantum of the parked one would be 50,000 slices.
    """
    enable = [*asm.mov(4, 0x080B_0100 + 0x2_0000), *asm.mov(5, 1 << 27 | 1), asm.store(4, 5, 4)]
    interface = [*asm.mov(5, 0xFF), asm.msr(asm.ICC_PMR, 5), *asm.mov(5, 1), asm.msr(asm.ICC_IGRPEN1, 5)]
    group1 = [*asm.mov(4, 0x080B_0080 + 0x2_0000), *asm.mov(5, 1 << 27 | 1), asm.store(4, 5, 4)]
    distributor = [*asm.mov(4, 0x0800_0000), *asm.mov(5, 0x13), asm.store(4, 5, 4)]
    handler = [*asm.mov(5, 1 << OTHER), asm.msr(asm.ICC_SGI1R, 5), asm.ISB, asm.mrs(7, asm.ICC_IAR1)]
    timer = [*asm.mov(5, 1), asm.msr(asm.CNTV_CTL, 5)]
    parked = [*set_vbar(), *group1, *enable, *interface, *distributor, *handler, *timer, asm.WFI, asm.b(-1)]
    work = [*asm.mov(2, 300_000), asm.add(2, 2, -1), asm.cbnz(2, -1), *OFF]
    machine = build([*cpu_on(OTHER), *work], {SECOND: parked}, cpus=2, pcpus=1, budget=2_000_000)
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 7, cpu=OTHER) == (0,), "it is in the handler of SGI 0"
    assert 3 <= machine.counts.waits < 50
    assert machine.counts.longest_delay <= QUANTUM + 5000
