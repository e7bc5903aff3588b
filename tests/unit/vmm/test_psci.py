"""PSCI: every call, through HVC and SMC, and every error."""

from typing import Final, NamedTuple

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.rig import DATA, OFF, SECOND, SYNC_EL0, USER, build, cpu_on, taken, to_user, x
from vmm.guestcpu import Power
from vmm.layout import MIB, RAM_BASE
from vmm.outcome import End

NOT_SUPPORTED, INVALID_PARAMETERS, ALREADY_ON, INVALID_ADDRESS = (
    value & 0xFFFF_FFFF_FFFF_FFFF for value in (-1, -2, -4, -9)
)
RAM_END: Final = RAM_BASE + 4 * MIB
OTHER: Final = 1
"""Affinity of the vCPU that is off."""


class Call(NamedTuple):
    """X0 to X3, and the answer."""

    function: int
    arguments: tuple[int, ...]
    answer: int


CALLS: Final = {
    "VERSION": Call(0x8400_0000, (), 0x1_0001),
    "the upper half of X0 is not looked at": Call(0xFFFF_FFFF_8400_0000, (), 0x1_0001),
    "VERSION has no 64-bit form": Call(0xC400_0000, (), NOT_SUPPORTED),
    "SMCCC_VERSION": Call(0x8000_0000, (), 0x1_0001),
    "MIGRATE_INFO_TYPE": Call(0x8400_0006, (), 2),
    "MIGRATE": Call(0x8400_0005, (), NOT_SUPPORTED),
    "MIGRATE_INFO_UP_CPU": Call(0x8400_0007, (), NOT_SUPPORTED),
    "CPU_FREEZE": Call(0x8400_000B, (), NOT_SUPPORTED),
    "SMCCC_ARCH_FEATURES": Call(0x8000_0001, (), NOT_SUPPORTED),
    "TRNG_VERSION": Call(0x8400_0050, (), NOT_SUPPORTED),
    "vendor UID": Call(0x8600_FF01, (), NOT_SUPPORTED),
    "nonsense": Call(0x1234_5678, (), NOT_SUPPORTED),
    "all ones": Call(0xFFFF_FFFF, (), NOT_SUPPORTED),
    "FEATURES of CPU_ON": Call(0x8400_000A, (0x8400_0003,), 0),
    "FEATURES of 64-bit CPU_ON": Call(0x8400_000A, (0xC400_0003,), 0),
    "FEATURES of SMCCC_VERSION": Call(0x8400_000A, (0x8000_0000,), 0),
    "FEATURES of what has no 64-bit form": Call(0x8400_000A, (0xC400_0008,), NOT_SUPPORTED),
    "FEATURES of nothing": Call(0x8400_000A, (0x8400_00FF,), NOT_SUPPORTED),
    "AFFINITY_INFO of this one": Call(0x8400_0004, (0, 0), 0),
    "AFFINITY_INFO of the other one": Call(0xC400_0004, (OTHER, 0), 1),
    "AFFINITY_INFO of both": Call(0xC400_0004, (OTHER, 1), 0),
    "AFFINITY_INFO at level 3": Call(0xC400_0004, (0, 3), 0),
    "AFFINITY_INFO at level 4": Call(0xC400_0004, (0, 4), INVALID_PARAMETERS),
    "AFFINITY_INFO of nobody": Call(0xC400_0004, (2, 0), INVALID_PARAMETERS),
    "AFFINITY_INFO of another cluster": Call(0xC400_0004, (0x100, 1), INVALID_PARAMETERS),
    "AFFINITY_INFO with reserved bits": Call(0xC400_0004, (1 << 31, 0), INVALID_PARAMETERS),
    "32-bit arguments have 32 bits": Call(0x8400_0004, (1 << 32 | OTHER, 0xF << 32), 1),
    "64-bit ones have 64": Call(0xC400_0004, (1 << 40 | OTHER, 0), INVALID_PARAMETERS),
    "CPU_ON": Call(0xC400_0003, (OTHER, SECOND, 7), 0),
    "CPU_ON of this one": Call(0xC400_0003, (0, SECOND, 7), ALREADY_ON),
    "CPU_ON of nobody": Call(0xC400_0003, (2, SECOND, 7), INVALID_PARAMETERS),
    "CPU_ON with MPIDR's flags": Call(0xC400_0003, (1 << 31 | OTHER, SECOND, 7), INVALID_PARAMETERS),
    "CPU_ON at nothing": Call(0xC400_0003, (OTHER, 0, 7), INVALID_ADDRESS),
    "CPU_ON at a device": Call(0xC400_0003, (OTHER, 0x0900_0000, 7), INVALID_ADDRESS),
    "CPU_ON past RAM": Call(0xC400_0003, (OTHER, RAM_END, 7), INVALID_ADDRESS),
    "CPU_ON far away": Call(0xC400_0003, (OTHER, (1 << 64) - 4, 7), INVALID_ADDRESS),
    "CPU_ON at what is no instruction": Call(0xC400_0003, (OTHER, RAM_END - 4, 7), 0),
}


@pytest.mark.parametrize("conduit", [asm.hvc(), asm.smc(), asm.hvc(0x1234)], ids=["HVC", "SMC", "HVC with a number"])
@pytest.mark.parametrize("row", CALLS.values(), ids=CALLS)
def test_a_call_is_answered(row: Call, conduit: int) -> None:
    code = [word for n, value in enumerate((row.function, *row.arguments)) for word in asm.mov(n, value)]
    machine = build([*code, conduit, asm.mov_reg(9, 0), *asm.mov(8, 5), *OFF], cpus=2)
    outcome = machine.run()
    assert outcome.end in (End.POWERED_OFF, End.TRIPLE_FAULT)
    if outcome.end is End.POWERED_OFF:
        assert [hex(value) for value in x(machine, 9, 8)] == [hex(row.answer), "0x5"]


def test_a_vcpu_that_is_switched_on_starts_as_after_reset_with_its_context() -> None:
    second = [asm.mov_reg(1, 0), asm.mrs(2, asm.CURRENT_EL), asm.mrs(3, asm.SCTLR), asm.mrs(4, asm.MPIDR)]
    machine = build([*cpu_on(OTHER, context=0x1234_5678_9ABC), asm.WFI, asm.SPIN], {SECOND: [*second, *OFF]}, cpus=2)
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 1, 2, 4, cpu=1) == (0x1234_5678_9ABC, 4, 1 << 31 | OTHER)
    assert x(machine, 3, cpu=1)[0] & 1 == 0, "the MMU is off"
    assert machine.cpus[1].engine.pstate() & 0x3CF == 0x3C5


def test_a_vcpu_can_be_switched_off_and_on_again_and_again() -> None:
    cpu_off = [*asm.mov(0, 0x8400_0002), asm.hvc(), asm.SPIN]
    count = [*asm.mov(4, DATA), asm.load(8, 5, 4), asm.add(5, 5, 1), asm.store(8, 5, 4)]
    again = cpu_on(OTHER)
    code = [*asm.mov(9, 5), *again, asm.cbnz(0, -len(again)), asm.add(9, 9, -1), asm.cbnz(9, -len(again) - 2)]
    # only once it is off again does the next CPU_ON succeed
    code += [*asm.mov(0, 0xC400_0004), *asm.mov(1, OTHER), *asm.mov(2, 0), asm.hvc(), asm.cbz(0, -6), *OFF]
    machine = build(code, {SECOND: [*count, *cpu_off]}, cpus=2)
    assert machine.run().end is End.POWERED_OFF
    assert machine.ram.read(DATA, 8) == (5).to_bytes(8, "little")
    assert machine.cpus[1].power is Power.OFF


def test_a_timer_does_not_survive_cpu_off() -> None:
    arm = [*asm.mov(1, 1), asm.msr(asm.CNTV_CTL, 1)]
    cpu_off = [*asm.mov(0, 0x8400_0002), asm.hvc(), asm.SPIN]
    wait = [*asm.mov(2, 2000), asm.add(2, 2, -1), asm.cbnz(2, -1)]
    second = [asm.cbz(0, 1 + len(arm) + len(cpu_off)), *arm, *cpu_off, asm.mrs(7, asm.CNTV_CTL), *OFF]
    code = [*cpu_on(OTHER, context=1), *wait, *cpu_on(OTHER, context=0), asm.SPIN]
    machine = build(code, {SECOND: [asm.NOP, asm.b(1), *second]}, cpus=2, slice_length=100)
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 7, cpu=1) == (0,)


ENDINGS: Final = {
    "SYSTEM_OFF": (0x8400_0008, 1, End.POWERED_OFF),
    "SYSTEM_RESET": (0x8400_0009, 1, End.RESET),
    "CPU_OFF of the only one": (0x8400_0002, 1, End.ALL_OFF),
    "CPU_OFF of the only one that is on": (0x8400_0002, 2, End.ALL_OFF),
    "CPU_SUSPEND with nothing to wake it": (0x8400_0001, 1, End.DEADLOCK),
    "64-bit CPU_SUSPEND": (0xC400_0001, 2, End.DEADLOCK),
}


@pytest.mark.parametrize(("function", "cpus", "end"), ENDINGS.values(), ids=ENDINGS)
def test_calls_that_end_a_machine(function: int, cpus: int, end: End) -> None:
    machine = build([*asm.mov(0, function), asm.hvc(), asm.UDF], cpus=cpus)
    assert machine.run().end is end


def test_cpu_suspend_is_left_when_an_interrupt_is_pending() -> None:
    """The timer's interrupt is enabled in the redistributor and masked in PSTATE: enough to wake, and to go on."""
    redistributor = [*asm.mov(4, 0x080B_0100), *asm.mov(5, 1 << 27), asm.store(4, 5, 4)]
    group1 = [*asm.mov(4, 0x080B_0080), asm.store(4, 5, 4)]
    interface = [*asm.mov(5, 0xFF), asm.msr(asm.ICC_PMR, 5), *asm.mov(5, 1), asm.msr(asm.ICC_IGRPEN1, 5)]
    distributor = [*asm.mov(4, 0x0800_0000), *asm.mov(5, 0x13), asm.store(4, 5, 4)]
    timer = [*asm.mov(5, 50_000), asm.msr(asm.CNTV_TVAL, 5), *asm.mov(5, 1), asm.msr(asm.CNTV_CTL, 5)]
    setup = [*redistributor, *group1, *interface, *distributor, *timer]
    suspend = [*asm.mov(0, 0x8400_0001), asm.hvc(), asm.mov_reg(9, 0), asm.mrs(8, asm.CNTVCT)]
    machine = build([*asm.mov(9, 5), *setup, *suspend, *OFF])
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 9) == (0,)
    assert x(machine, 8)[0] >= 50_000
    assert machine.counts.instructions < 1000, "it slept"


def test_a_call_from_el0_is_undefined() -> None:
    machine = build(to_user(), {USER: [*asm.mov(0, 0x8400_0008), asm.hvc()]})
    machine.run()
    found = taken(machine)
    assert found is not None
    assert (found.vector, found.exception_class, found.elr) == (SYNC_EL0, 0, USER + 8)
