"""Guests that mean no good: whatever one does, its machine ends in one of the ways there are, soon, and raises nothing.

VGIC_RANDOM=1 draws other programs; a failure names the seed of its own.
"""

import os
import struct
from collections.abc import Iterator
from random import Random
from typing import Final

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.programs import BUDGET, hostile
from tests.unit.vmm.rig import (
    CODE,
    DATA,
    OFF,
    SECOND,
    SYNC_SPX,
    VECTORS,
    build,
    cpu_on,
    set_vbar,
    start_of,
    taken,
    to_user,
    x,
)
from vmm.config import IrqChip
from vmm.engine import arm64
from vmm.guestcpu import Power
from vmm.layout import GITS_BASE, MSI_BASE, RAM_BASE, UART_BASE
from vmm.machine import Machine
from vmm.outcome import End, Outcome

ENDS: Final = frozenset(
    (
        *(End.POWERED_OFF, End.RESET, End.DEADLOCK, End.ALL_OFF, End.BUDGET, End.TRIPLE_FAULT),
        # never ENGINE: a guest cannot make the engine fail
    )
)
PROGRAMS: Final = 400
_BATCH: Final = 20
_FIRST: Final = Random().randrange(1 << 40) * 4 if os.environ.get("VGIC_RANDOM") else 0


def seeds(batch: int) -> Iterator[int]:
    yield from range(_FIRST + batch * _BATCH, _FIRST + (batch + 1) * _BATCH)


def everything(machine: Machine, outcome: Outcome) -> tuple[object, ...]:
    """Return all that two runs of the same machine must agree on."""
    cores = [
        (cpu.power, cpu.engine.pc(), cpu.engine.pstate(), [cpu.engine.x(number) for number in range(31)])
        for cpu in machine.cpus
    ]
    return outcome, cores, machine.counts, machine.clock.now(), machine.events.digest(), bytes(machine.ram.data)


@pytest.mark.parametrize("batch", range(PROGRAMS // _BATCH))
def test_a_random_program_comes_to_an_end_the_same_on_both_kinds_of_core(batch: int) -> None:
    for seed in seeds(batch):
        machine = hostile(seed)
        outcome = machine.run()
        assert outcome.end in ENDS, f"hostile({seed}): {outcome}"
        assert machine.counts.instructions <= BUDGET
        other = hostile(seed, fast=False)
        assert everything(other, other.run()) == everything(machine, outcome), f"hostile({seed})"


@pytest.mark.parametrize("batch", range(PROGRAMS // _BATCH // 4))
def test_a_random_program_comes_to_an_end_when_time_is_coarse(batch: int) -> None:
    for seed in seeds(batch):
        machine = hostile(seed, exact=False)
        outcome = machine.run()
        assert outcome.end in ENDS, f"hostile({seed}, exact=False): {outcome}"
        other = hostile(seed, exact=False, fast=False)
        assert everything(other, other.run()) == everything(machine, outcome), f"hostile({seed}, exact=False)"


# -- progress ------------------------------------------------------------------------------------

STOPPERS: Final = {
    "WFE": [asm.WFE],
    "YIELD": [0xD503_203F],
    "SEV": [asm.SEV],
    "MSR CNTV_CTL": [asm.msr(asm.CNTV_CTL, 31)],
    "MSR CNTP_CTL": [asm.msr(asm.CNTP_CTL, 31)],
    "MRS CNTVCT": [asm.mrs(1, asm.CNTVCT)],
    "a timer that is always due": [*asm.mov(1, 1), asm.msr(asm.CNTV_CTL, 1), asm.msr(asm.CNTV_CTL, 31)],
    "HVC": [*asm.mov(0, 0x8400_0000), asm.hvc()],
    "TLBI": [asm.msr(asm.TLBI_VMALLE1IS, 31)],
    "IC": [asm.msr(asm.IC_IALLU, 31)],
    "a device": [*asm.mov(1, UART_BASE), asm.load(4, 2, 1)],
    "the distributor": [*asm.mov(1, 0x0800_0000), asm.store(4, 31, 1)],
    "SGIs to all": [*asm.mov(1, 1 << 40), asm.msr(asm.ICC_SGI1R, 1)],
    "printing": [*asm.mov(1, UART_BASE), asm.store(4, 1, 1)],
    "random numbers": [asm.mrs(1, (3, 3, 2, 4, 0))],
    "an undefined instruction": [asm.UDF],
    "a fetch of nothing": [asm.br(1)],
    "AArch32": to_user(0x10, 0x1000),
}


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "coarse"])
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("body", STOPPERS.values(), ids=STOPPERS)
def test_a_guest_that_ends_its_slices_uses_up_its_budget(body: asm.Words, cpus: int, exact: bool) -> None:
    again = [*asm.mov(29, start_of([])), asm.msr(asm.ELR, 29), *asm.mov(29, 0x3C5), asm.msr(asm.SPSR, 29), asm.ERET]
    code = [*body, asm.b(-len(body))]
    parts = {VECTORS + at: again for at in range(0, 0x800, 0x80)}
    parts[SECOND] = [*set_vbar(), *code]
    machine = build(
        [*code, *cpu_on(1)], parts, cpus=cpus, budget=3000, exact=exact, slice_length=100, printed=bytearray()
    )
    for cpu in machine.cpus[1:]:
        cpu.power_on(SECOND, 0)
    assert machine.run().end is End.BUDGET
    assert machine.counts.instructions == 3000
    assert machine.clock.now() >= 3000
    assert machine.counts.slices <= 3000
    assert len(machine.warnings) <= 20


# -- memory --------------------------------------------------------------------------------------


def test_warnings_of_a_guest_that_earns_many_are_bounded() -> None:
    code = [*asm.mov(1, 0x0900_0000), asm.add(1, 1, 8), asm.ldp(2, 3, 1), asm.b(-2)]
    skip = [asm.mrs(29, asm.ELR), asm.add(29, 29, 4), asm.msr(asm.ELR, 29), asm.ERET]
    machine = build(code, {VECTORS + SYNC_SPX: skip}, budget=5000)
    assert machine.run().end is End.BUDGET
    assert len(machine.warnings) == 20


# -- translation tables ----------------------------------------------------------------------------

TABLE: Final = DATA + 0x1000
NORMAL: Final = 1 << 10 | 3 << 8 | 1
"""A block, accessed, inner shareable, memory attributes 0."""
TCR: Final = 25 | 25 << 16 | 3 << 12 | 3 << 28 | 1 << 10 | 1 << 8 | 1 << 26 | 1 << 24 | 2 << 30 | 1 << 32
MMU_ON: Final = 0x30D0_0801


def mmu(table: int, sctlr: int = MMU_ON) -> asm.Words:
    """Switch on the MMU with one table, of level 1, for both halves."""
    words = []
    for register, value in ((asm.MAIR, 0xFF), (asm.TCR, TCR), (asm.TTBR0, table), (asm.TTBR1, table)):
        words += [*asm.mov(28, value), asm.msr(register, 28)]
    return [*words, asm.ISB, *asm.mov(28, sctlr), asm.msr(asm.SCTLR, 28), asm.ISB]


def level1(machine: Machine, **entries: int) -> None:
    """Write a level-1 table that maps RAM to itself, and `gib<n>` as given."""
    table = [0] * 512
    table[RAM_BASE >> 30] = RAM_BASE | NORMAL
    for name, value in entries.items():
        table[int(name.removeprefix("gib"))] = value
    machine.ram.write(TABLE, struct.pack("<512Q", *table))


def test_devices_and_ram_are_reached_through_the_guests_own_tables() -> None:
    code = [*mmu(TABLE), *asm.mov(1, 5 << 30 | UART_BASE + 0xFE0), asm.load(4, 2, 1), *asm.mov(3, 9), *OFF]
    machine = build(code)
    level1(machine, gib5=0 | NORMAL)
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 2, 3) == (0x11, 9), "PL011's part number, through an address in the sixth GiB"


WALKS: Final = {
    "the table is nothing": 0x1_0000,
    "the table is the distributor": 0x0800_0000,
    "the table is the stage-2 tables": 1 << 39,
    "the table is past RAM": 0x4040_0000,
}


@pytest.mark.parametrize("table", WALKS.values(), ids=WALKS)
def test_a_walk_that_leaves_ram_is_no_access_of_a_device(table: int) -> None:
    """A table of the guest's in a device: an abort to a vector that works, for the vector's own table does."""
    code = [*mmu(TABLE), *asm.mov(1, 5 << 30), asm.load(4, 2, 1)]
    machine = build(code)
    level1(machine, gib5=table | 3)
    before = dict(machine.counts.frames)
    assert machine.run().end is End.POWERED_OFF
    found = taken(machine)
    assert found is not None
    assert (found.vector, found.exception_class, found.far) == (SYNC_SPX, 0x25, 5 << 30)
    assert found.esr & 0x3F == 0x10 or found.esr & 0x3C == 0x14, "external, of the access or of the walk"
    assert machine.counts.frames == before


@pytest.mark.parametrize("table", [*WALKS.values(), DATA, 0xFFFF_FFFF_F000], ids=[*WALKS, "no table", "all ones"])
def test_an_mmu_that_is_switched_on_with_garbage_ends_the_guest(table: int) -> None:
    machine = build([*mmu(table), *OFF], budget=10_000)
    assert machine.run().end in (End.TRIPLE_FAULT, End.BUDGET)


def test_dc_zva_where_the_tables_forbid_it_is_the_fault_that_a_store_gets() -> None:
    code = [*mmu(TABLE), *asm.mov(1, 5 << 30 | 0x48), asm.msr(asm.DC_ZVA, 1)]
    for entry, status in ((0, 0x05), (RAM_BASE | NORMAL | 1 << 7, 0x0D), (RAM_BASE | NORMAL & ~(1 << 10), 0x09)):
        machine = build(code)
        level1(machine, gib5=entry)
        assert machine.run().end is End.POWERED_OFF
        found = taken(machine)
        assert found is not None
        assert (hex(found.esr), found.far) == (hex(0x9600_0140 | status), 5 << 30 | 0x48)


def test_switching_the_mmu_off_and_on_in_the_middle_of_things() -> None:
    toggle = [*asm.mov(28, MMU_ON & ~1), asm.msr(asm.SCTLR, 28), *asm.mov(28, MMU_ON), asm.msr(asm.SCTLR, 28)]
    code = [*mmu(TABLE), *asm.mov(9, 100), *toggle, asm.add(9, 9, -1), asm.cbnz(9, -len(toggle) - 1), *OFF]
    machine = build(code)
    level1(machine)
    assert machine.run().end is End.POWERED_OFF
    assert taken(machine) is None
    assert x(machine, 9) == (0,)


def test_big_endian_data_harms_nobody() -> None:
    code = [*asm.mov(28, 0x30D0_0800 | 1 << 25), asm.msr(asm.SCTLR, 28), asm.ISB]
    machine = build([*code, *asm.mov(1, DATA), *asm.mov(2, 0x1122_3344), asm.store(4, 2, 1), asm.load(1, 3, 1), *OFF])
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 3) == (0x11,)


# -- exception returns -----------------------------------------------------------------------------

RETURNS: Final = {
    "AArch32 EL0": 0x1D0,
    "AArch32 EL1": 0x1D3,
    "AArch32, a mode that is none": 0x1DF,
    "EL2": 0x3C9,
    "EL3": 0x3CD,
    "EL0 with EL1's stack": 0x3C1,
    "EL1, with a reserved bit": 0x3C6,
    "illegal already": 0x10_03C5,
    "single step": 0x20_03C5,
    "all ones": (1 << 64) - 1,
    "all ones but AArch32": ((1 << 64) - 1) & ~0x1F,
}


@pytest.mark.parametrize("fast", [True, False], ids=["private state", "documented calls"])
@pytest.mark.parametrize("spsr", RETURNS.values(), ids=RETURNS)
def test_no_return_leaves_el1_for_a_higher_level_or_aarch32(spsr: int, fast: bool) -> None:
    machine = build(to_user(spsr, DATA), {DATA: [asm.NOP, asm.svc(0)]}, fast=fast)
    assert machine.run().end is End.POWERED_OFF
    found = taken(machine)
    assert found is not None
    assert not found.spsr & 0x18, "it came from EL0 or EL1, in AArch64"
    assert not machine.cpus[0].engine.in_aarch32()
    if spsr & 0x1F == 0x10:
        assert (found.vector, hex(found.esr), found.elr) == (SYNC_SPX, "0x3a000000", DATA)
        assert found.spsr & arm64.PSTATE_IL


# -- several vCPUs, messages, power ------------------------------------------------------------------


def test_one_vcpu_stops_for_good_and_the_other_one_goes_on() -> None:
    code = [*cpu_on(1), *asm.mov(2, 20_000), asm.add(2, 2, -1), asm.cbnz(2, -1), *OFF]
    machine = build(code, {SECOND: [asm.WFI]}, cpus=2)
    assert machine.run().end is End.POWERED_OFF
    assert machine.cpus[1].power is Power.WAITING


def test_a_triple_fault_of_one_vcpu_ends_the_machine() -> None:
    outcome = build([*cpu_on(1), asm.SPIN], {SECOND: [asm.UDF]}, cpus=2).run()
    assert outcome.end is End.TRIPLE_FAULT
    assert outcome.detail.startswith("vCPU 1")


def test_all_vcpus_off_or_waiting_for_each_other() -> None:
    cpu_off = [*asm.mov(0, 0x8400_0002), asm.hvc(), asm.SPIN]
    assert build([*cpu_on(1), *cpu_off], {SECOND: cpu_off}, cpus=2).run().end is End.ALL_OFF
    outcome = build([*cpu_on(1), asm.WFI], {SECOND: [asm.WFI]}, cpus=2).run()
    assert outcome.end is End.DEADLOCK
    assert "vCPU 0" in outcome.detail
    assert "vCPU 1" in outcome.detail
    assert build([*cpu_on(1), asm.WFI], {SECOND: cpu_off}, cpus=2).run().end is End.DEADLOCK


@pytest.mark.parametrize("chip", list(IrqChip))
def test_messages_to_anywhere(chip: IrqChip) -> None:
    random = Random(5)
    doorbells = [GITS_BASE + 0x1_0040, 0x0800_0040, CODE, 0, (1 << 64) - 1, *(random.getrandbits(64) for _ in range(9))]
    code = asm.mov(9, MSI_BASE)
    for doorbell in doorbells:
        for register, value in ((0x00, random.getrandbits(32)), (0x04, random.getrandbits(16))):
            code += [*asm.mov(1, value), asm.store(4, 1, 9, register)]
        code += [*asm.mov(1, doorbell), asm.store(8, 1, 9, 8), asm.store(4, 1, 9, 0x10)]
    machine = build([*code, asm.load(4, 2, 9, 0x14), *OFF], chip=chip)
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 2) == (len(doorbells),)


def test_code_that_rewrites_itself_runs_as_it_was_rewritten() -> None:
    """No IC IVAU: the engine sees stores of its own core."""
    at = CODE + 0x800
    code = [*asm.mov(1, at), *asm.mov(2, asm.add(3, 3, 1)), *asm.mov(4, at + 8), *asm.mov(5, 50), asm.br(1)]
    body = [asm.NOP, asm.store(4, 2, 1), asm.add(2, 2, 1), asm.add(5, 5, -1), asm.cbnz(5, -4), *OFF]
    machine = build(code, {at: body})
    assert machine.run().end is End.POWERED_OFF
    assert x(machine, 3)[0] > 0
    again = build(code, {at: body}, fast=False)
    again.run()
    assert x(again, 3) == x(machine, 3)


def test_code_that_another_vcpu_writes_is_seen_after_ic() -> None:
    at = DATA + 0x100
    loop = [*asm.mov(1, at), 0xD63F_0020, asm.cbz(2, -1), *OFF]  # blr x1
    write = [*asm.mov(1, at), *asm.mov(2, asm.mov(2, 1)[0]), asm.store(4, 2, 1), asm.DSB, asm.msr(asm.IC_IVAU, 1)]
    body = [asm.NOP, 0xD65F_03C0]  # ret
    machine = build([*cpu_on(1), *asm.mov(2, 0), *loop], {SECOND: [*write, asm.SPIN], at: body}, cpus=2)
    assert machine.run().end is End.POWERED_OFF
