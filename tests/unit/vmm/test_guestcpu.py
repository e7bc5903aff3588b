"""What happens when a guest leaves its core: accesses to devices and to nothing, traps, waiting, and GIC registers."""

from typing import Final, NamedTuple

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.rig import (
    CODE,
    DATA,
    OFF,
    SYNC_EL0,
    SYNC_SP0,
    SYNC_SPX,
    USER,
    Taken,
    build,
    start_of,
    taken,
    to_user,
    x,
)
from vmm.config import IrqChip
from vmm.devices.device import Device
from vmm.machine import Machine
from vmm.outcome import End

M64: Final = 0xFFFF_FFFF_FFFF_FFFF
PLACE: Final = 0x0B00_0000
"""Where the tests put a device of their own."""
NOWHERE: Final = 0x0C00_0120
GICC: Final = 0x0801_0000
ALL_BITS_SET: Final = 0xF1E2_D3C4_B5A6_9788


class Scratch(Device):
    """A device that answers with a pattern, and notes its accesses as (offset, size, value or None)."""

    def __init__(self) -> None:
        super().__init__("scratch", 0x1000)
        self.accesses: list[tuple[int, int, int | None]] = []

    def read(self, offset: int, size: int) -> int:
        self.accesses.append((offset, size, None))
        return ALL_BITS_SET & (1 << size * 8) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        self.accesses.append((offset, size, value))


def run(code: asm.Words, *, fast: bool = True) -> tuple[Machine, Scratch]:
    """Run code, then switch off; X9 is the device, X10 nothing at all."""
    machine = build([*asm.mov(9, PLACE + 0x18), *asm.mov(10, NOWHERE), *code, *OFF], fast=fast)
    scratch = Scratch()
    machine.bus.add(PLACE, scratch)
    assert machine.run().end is End.POWERED_OFF
    return machine, scratch


def abort_of(machine: Machine) -> Taken:
    found = taken(machine)
    assert found is not None, "an exception was expected"
    return found


# -- accesses of devices -------------------------------------------------------------------------


class Load(NamedTuple):
    word: int
    size: int
    value: int


LOADS: Final = {
    "LDRB": Load(asm.load(1, 1, 9), 1, 0x88),
    "LDRH": Load(asm.load(2, 1, 9), 2, 0x9788),
    "LDR W": Load(asm.load(4, 1, 9), 4, 0xB5A6_9788),
    "LDR X": Load(asm.load(8, 1, 9), 8, ALL_BITS_SET),
    "LDRSB W": Load(asm.load_signed(1, 1, 9, to64=False), 1, 0xFFFF_FF88),
    "LDRSB X": Load(asm.load_signed(1, 1, 9, to64=True), 1, M64 & ~0xFF | 0x88),
    "LDRSH W": Load(asm.load_signed(2, 1, 9, to64=False), 2, 0xFFFF_9788),
    "LDRSH X": Load(asm.load_signed(2, 1, 9, to64=True), 2, M64 & ~0xFFFF | 0x9788),
    "LDRSW": Load(asm.load_signed(4, 1, 9, to64=True), 4, M64 & ~0xFFFF_FFFF | 0xB5A6_9788),
    "LDAR": Load(asm.ldar(1, 9), 4, 0xB5A6_9788),
}


@pytest.mark.parametrize("fast", [True, False], ids=["private state", "documented calls"])
@pytest.mark.parametrize("row", LOADS.values(), ids=LOADS)
def test_a_load_of_a_device(row: Load, fast: bool) -> None:
    machine, scratch = run([*asm.mov(1, M64 - 1), row.word, *asm.mov(2, 7)], fast=fast)
    assert scratch.accesses == [(0x18, row.size, None)]
    assert [hex(value) for value in x(machine, 1, 2)] == [hex(row.value), "0x7"]


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_store_to_a_device(size: int) -> None:
    _, scratch = run([*asm.mov(1, ALL_BITS_SET), asm.store(size, 1, 9), asm.store(size, 31, 9)])
    assert scratch.accesses == [(0x18, size, ALL_BITS_SET & (1 << size * 8) - 1), (0x18, size, 0)]


def test_a_load_to_the_zero_register_is_made_and_forgotten() -> None:
    machine, scratch = run([asm.load(8, 31, 9), asm.mov_from_sp(1), asm.mov_reg(2, 31)])
    assert scratch.accesses == [(0x18, 8, None)]
    assert x(machine, 1, 2) == (0, 0), "it is not SP"


def test_an_access_from_el0_is_made_too() -> None:
    code = [*asm.mov(9, PLACE), asm.load(4, 1, 9), asm.svc(0)]
    machine = build(to_user(), {USER: code})
    scratch = Scratch()
    machine.bus.add(PLACE, scratch)
    machine.run()
    assert scratch.accesses == [(0, 4, None)]
    assert abort_of(machine).exception_class == 0x15


# -- accesses that cannot be emulated, and of nothing ----------------------------------------------

REFUSED: Final = {
    "LDR post-indexed": (asm.load_post(1, 9, 8), False),
    "STR pre-indexed": (asm.store_pre(1, 9, -8), True),
    "LDP": (asm.ldp(1, 2, 9), False),
    "STP": (asm.stp(1, 2, 9), True),
    "LDR Q": (asm.load_simd(1, 9), False),
    "LDXR": (asm.ldxr(1, 9), False),
}


@pytest.mark.parametrize(("word", "write"), REFUSED.values(), ids=REFUSED)
def test_an_access_without_a_syndrome_is_an_external_abort(word: int, write: bool) -> None:
    machine, scratch = run([*asm.mov(1, 5), word])
    assert scratch.accesses == [], "half of it was not made"
    found = abort_of(machine)
    assert (found.vector, hex(found.esr)) == (SYNC_SPX, hex(0x9600_0010 | write << 6))
    assert found.far & ~0xF == PLACE + 0x10
    assert found.elr == start_of([], len([*asm.mov(9, PLACE + 0x18), *asm.mov(10, NOWHERE), *asm.mov(1, 5)]))
    assert x(machine, 1, 9) == (5, PLACE + 0x18), "and the base register is as it was"
    assert len(machine.warnings) == 1


NOTHING: Final = {
    "a load": ([asm.load(8, 1, 10)], False, NOWHERE),
    "a store": ([asm.store(1, 1, 10)], True, NOWHERE),
    "past the end of RAM": ([*asm.mov(10, 0x4040_0000), asm.load(4, 1, 10)], False, 0x4040_0000),
    "before RAM": ([*asm.mov(10, 0x3FFF_FFF8), asm.store(8, 1, 10)], True, 0x3FFF_FFF8),
    "address 0": ([*asm.mov(10, 0), asm.load(4, 1, 10)], False, 0),
    "where the stage-2 tables lie": ([*asm.mov(10, 1 << 39), asm.store(8, 1, 10)], True, 1 << 39),
    "the next page there": ([*asm.mov(10, 1 << 39 | 0x1008), asm.load(8, 1, 10)], False, 1 << 39 | 0x1008),
    "past the last address there is": ([*asm.mov(10, 1 << 40), asm.load(8, 1, 10)], False, 1 << 40),
}


@pytest.mark.parametrize(("code", "write", "far"), NOTHING.values(), ids=NOTHING)
def test_an_access_of_nothing_is_an_external_abort_with_its_address(code: asm.Words, write: bool, far: int) -> None:
    machine, _ = run([*asm.mov(1, 5), *code])
    found = abort_of(machine)
    assert (hex(found.esr), hex(found.far)) == (hex(0x9600_0010 | write << 6), hex(far))
    assert x(machine, 1) == (5,)


def test_an_abort_from_el0_is_from_a_lower_level() -> None:
    machine = build(to_user(), {USER: [*asm.mov(10, NOWHERE), asm.load(4, 1, 10)]})
    machine.run()
    assert abort_of(machine) == (SYNC_EL0, 0x9200_0010, NOWHERE, USER + 4 * len(asm.mov(10, NOWHERE)), 0x3C0)


FETCHES: Final = {
    "nothing": (0x1000, 0x10),
    "a device": (0x0900_0000, 0x10),
    "past RAM": (0x4040_0000, 0x10),
    "beyond 48 bits": (1 << 60, 0x00),
}


@pytest.mark.parametrize("user", [False, True], ids=["EL1", "EL0"])
@pytest.mark.parametrize(("entry", "status"), FETCHES.values(), ids=FETCHES)
def test_a_jump_to_where_no_code_can_be(entry: int, status: int, user: bool) -> None:
    machine = build(to_user(0x3C0 if user else 0x3C5, entry))
    machine.run()
    found = abort_of(machine)
    assert (found.vector, found.exception_class) == ((SYNC_EL0, 0x20) if user else (SYNC_SPX, 0x21))
    assert (found.far, found.elr, found.esr & 0x3F) == (entry, entry, status)


@pytest.mark.parametrize("size", [2, 4, 8])
def test_an_unaligned_access_without_the_mmu_is_an_alignment_fault(size: int) -> None:
    machine, scratch = run([asm.add(9, 9, 1), asm.load(size, 1, 9)])
    found = abort_of(machine)
    assert (hex(found.esr), found.far) == ("0x96000021", PLACE + 0x19)
    assert scratch.accesses == []


def test_cache_maintenance_of_a_device_does_nothing() -> None:
    machine, scratch = run([asm.msr(asm.DC_CIVAC, 9), asm.msr(asm.DC_IVAC, 10), *asm.mov(1, 3)])
    assert scratch.accesses == []
    assert x(machine, 1) == (3,)


# -- traps ---------------------------------------------------------------------------------------


def test_dc_zva_zeroes_a_line_of_ram() -> None:
    fill = [*asm.mov(1, DATA), *asm.mov(2, M64)]
    fill += [asm.store(8, 2, 1, at) for at in range(0, 192, 8)]
    machine, _ = run([*fill, asm.add(1, 1, 64 + 17), asm.msr(asm.DC_ZVA, 1), asm.mrs(3, asm.DCZID)])
    assert machine.ram.read(DATA, 192) == b"\xff" * 64 + bytes(64) + b"\xff" * 64
    assert x(machine, 3)[0] & 1 << 4, "of which the guest was warned"


@pytest.mark.parametrize("target", [PLACE, NOWHERE], ids=["a device", "nothing"])
def test_dc_zva_of_anything_else_is_an_abort(target: int) -> None:
    machine, scratch = run([*asm.mov(1, target + 5), asm.msr(asm.DC_ZVA, 1)])
    found = abort_of(machine)
    assert (hex(found.esr), found.far) == ("0x96000150", target + 5)
    assert scratch.accesses == []


UNDEFINED: Final = {
    "the cycle counter": asm.mrs(1, (3, 3, 9, 13, 0)),
    "the performance monitors": asm.msr((3, 3, 9, 12, 0), 1),
    "random numbers": asm.mrs(1, (3, 3, 2, 4, 0)),
    "SVE": 0x04BF_5001,  # rdvl x1, #0
    "SVE's length": asm.mrs(1, (3, 0, 1, 2, 0)),
    "pointer authentication's key": asm.mrs(1, (3, 0, 2, 1, 0)),
    "EL2's registers": asm.mrs(1, (3, 4, 1, 1, 0)),
    "EL3's registers": asm.mrs(1, (3, 6, 1, 1, 0)),
    "writing the counter's frequency": asm.msr(asm.CNTFRQ, 1),
    "writing the counter": asm.msr(asm.CNTVCT, 1),
    "no register": asm.mrs(1, (3, 7, 15, 15, 7)),
    "UDF": asm.UDF,
}


@pytest.mark.parametrize("fast", [True, False], ids=["private state", "documented calls"])
@pytest.mark.parametrize("word", UNDEFINED.values(), ids=UNDEFINED)
def test_what_a_guest_was_told_that_there_is_not_is_undefined(word: int, fast: bool) -> None:
    allow_everything = [*asm.mov(1, 0x33_0000), asm.msr(asm.CPACR, 1), asm.ISB, *asm.mov(1, 5)]
    machine, _ = run([*allow_everything, word, *asm.mov(1, 6)], fast=fast)
    found = abort_of(machine)
    assert (found.vector, hex(found.esr), found.spsr) == (SYNC_SPX, "0x2000000", 0x3C5)
    assert machine.ram.read(found.elr, 4) == asm.image(word)
    assert x(machine, 1) == (5,)


def test_the_id_registers_show_what_there_is() -> None:
    registers = [(4, 0), (4, 1), (4, 4), (5, 0), (6, 0), (6, 1), (7, 0), (7, 1)]
    reads = [asm.mrs(1 + at, (3, 0, 0, crm, op2)) for at, (crm, op2) in enumerate(registers)]
    for chip, gic in ((IrqChip.GICV2, 0), (IrqChip.GICV3, 1)):
        machine = build([*reads, *OFF], chip=chip)
        machine.run()
        pfr0, pfr1, zfr0, dfr0, isar0, isar1, mmfr0, mmfr1 = x(machine, *range(1, 9))
        assert (pfr0 & 0xFFFF, pfr0 >> 24 & 0xF, pfr0 >> 32 & 0xF) == (0x11, gic, 0)
        assert (pfr1, zfr0, dfr0 >> 8 & 0xF, isar0 >> 60, isar1 >> 4 & 0xFF, isar1 >> 24 & 0xFF) == (0,) * 6
        assert (mmfr0 >> 8 & 0xF, mmfr1 >> 8 & 0xF) == (0, 0)


# -- timers of EL0 -------------------------------------------------------------------------------

PERMITTED: Final = {
    "CNTVCT": (asm.CNTVCT, False, 1 << 1),
    "CNTPCT": (asm.CNTPCT, False, 1 << 0),
    "CNTFRQ, for one counter": (asm.CNTFRQ, False, 1 << 0),
    "CNTFRQ, for the other one": (asm.CNTFRQ, False, 1 << 1),
    "CNTV_CTL": (asm.CNTV_CTL, False, 1 << 8),
    "CNTV_CTL written": (asm.CNTV_CTL, True, 1 << 8),
    "CNTV_CVAL written": (asm.CNTV_CVAL, True, 1 << 8),
    "CNTV_TVAL": (asm.CNTV_TVAL, False, 1 << 8),
    "CNTP_CTL written": (asm.CNTP_CTL, True, 1 << 9),
    "CNTP_CVAL": (asm.CNTP_CVAL, False, 1 << 9),
    "CNTP_TVAL written": (asm.CNTP_TVAL, True, 1 << 9),
}


@pytest.mark.parametrize("fast", [True, False], ids=["private state", "documented calls"])
@pytest.mark.parametrize(("register", "write", "bit"), PERMITTED.values(), ids=PERMITTED)
def test_el0_uses_a_timer_when_cntkctl_permits_it(register: asm.Encoding, write: bool, bit: int, fast: bool) -> None:
    word = asm.msr(register, 1) if write else asm.mrs(1, register)
    for permitted in (bit, 0x303 & ~bit if "CNTFRQ" not in str(register) and register != asm.CNTFRQ else 0x300):
        allow = [*asm.mov(1, permitted), asm.msr(asm.CNTKCTL, 1), *asm.mov(1, 3)]
        machine = build([*allow, *to_user()], {USER: [word, asm.svc(0x77)]}, fast=fast)
        machine.run()
        found = abort_of(machine)
        if permitted == bit:
            assert (found.vector, hex(found.esr)) == (SYNC_EL0, "0x56000077")
        else:
            _, op1, crn, crm, op2 = register
            iss = 3 << 20 | op2 << 17 | op1 << 14 | crn << 10 | 1 << 5 | crm << 1 | (not write)
            assert (found.vector, hex(found.esr), found.elr) == (SYNC_EL0, hex(0x6200_0000 | iss), USER)
            assert x(machine, 1) == (3,)
            assert set(machine.cpus[0].timer.save().values()) == {0}


# -- GIC registers -------------------------------------------------------------------------------


def test_the_cpu_interface_is_reached_by_system_registers() -> None:
    code = [*asm.mov(1, 0xA5), asm.msr(asm.ICC_PMR, 1), asm.mrs(2, asm.ICC_PMR), asm.mrs(3, asm.ICC_SRE)]
    code += [asm.mrs(4, asm.ICC_IAR1), asm.mrs(31, asm.ICC_RPR)]
    machine, _ = run(code)
    assert x(machine, 2, 3, 4) == (0xA0, 7, 1023)
    assert machine.counts.icc_accesses == 5


GIC_ACCESSES: Final = {
    "reading a register that is written only": asm.mrs(1, asm.ICC_SGI1R),
    "writing one that is read only": asm.msr(asm.ICC_RPR, 1),
    "another level's": asm.mrs(1, (3, 6, 12, 12, 4)),
    "no register": asm.mrs(1, (3, 0, 12, 10, 0)),
}


@pytest.mark.parametrize("word", GIC_ACCESSES.values(), ids=GIC_ACCESSES)
def test_what_is_no_access_of_the_cpu_interface_is_undefined(word: int) -> None:
    machine, _ = run([word])
    assert hex(abort_of(machine).esr) == "0x2000000"
    assert machine.counts.icc_accesses <= 1


@pytest.mark.parametrize("word", [asm.mrs(1, asm.ICC_IAR1), asm.msr(asm.ICC_PMR, 1)])
def test_el0_has_no_cpu_interface(word: int) -> None:
    machine = build(to_user(), {USER: [word]})
    machine.run()
    assert abort_of(machine)[:2] == (SYNC_EL0, 0x0200_0000)


@pytest.mark.parametrize("word", [asm.mrs(1, asm.ICC_IAR1), asm.msr(asm.ICC_PMR, 1), asm.mrs(1, asm.ICC_SRE)])
def test_a_gicv2_guest_has_no_system_registers_for_it(word: int) -> None:
    machine = build([word], chip=IrqChip.GICV2)
    machine.run()
    assert abort_of(machine)[:2] == (SYNC_SPX, 0x0200_0000)


def test_a_gicv2_guest_has_frames_and_a_gicv3_guest_has_none_for_the_cpu() -> None:
    read = [*asm.mov(10, GICC), asm.load(4, 1, 10), *asm.mov(2, 9), *OFF]
    machine = build(read, chip=IrqChip.GICV2)
    machine.run()
    assert x(machine, 2) == (9,)
    machine = build(read)
    machine.run()
    assert abort_of(machine).far == GICC


# -- interrupts and waiting ------------------------------------------------------------------------

ENABLE_TIMER_V3: Final = [
    *[*asm.mov(4, 0x080B_0080), *asm.mov(5, 1 << 27), asm.store(4, 5, 4), asm.store(4, 5, 4, 0x80)],
    *[*asm.mov(5, 0xFF), asm.msr(asm.ICC_PMR, 5), *asm.mov(5, 1), asm.msr(asm.ICC_IGRPEN1, 5)],
    *[*asm.mov(4, 0x0800_0000), *asm.mov(5, 0x13), asm.store(4, 5, 4)],
]
ENABLE_TIMER_V2: Final = [
    *[*asm.mov(4, 0x0800_0100), *asm.mov(5, 1 << 27), asm.store(4, 5, 4)],
    *[*asm.mov(4, GICC), *asm.mov(5, 0xFF), asm.store(4, 5, 4, 4), *asm.mov(5, 1), asm.store(4, 5, 4)],
    *[*asm.mov(4, 0x0800_0000), *asm.mov(5, 1), asm.store(4, 5, 4)],
]
CHIPS: Final = {"GICv2": (IrqChip.GICV2, ENABLE_TIMER_V2), "GICv3": (IrqChip.GICV3, ENABLE_TIMER_V3)}


def arm_timer(ticks: int) -> asm.Words:
    return [*asm.mov(5, ticks), asm.msr(asm.CNTV_TVAL, 5), *asm.mov(5, 1), asm.msr(asm.CNTV_CTL, 5)]


@pytest.mark.parametrize(("chip", "enable"), CHIPS.values(), ids=CHIPS)
def test_wfi_with_a_masked_interrupt_pending_goes_on(chip: IrqChip, enable: asm.Words) -> None:
    code = [*enable, *arm_timer(100_000), asm.WFI, asm.mrs(1, asm.CNTVCT), asm.WFI, asm.WFI, asm.mrs(2, asm.DAIF)]
    machine = build([*code, *OFF], chip=chip)
    assert machine.run().end is End.POWERED_OFF
    assert taken(machine) is None, "it is masked"
    slept, daif = x(machine, 1, 2)
    assert 100_000 <= slept <= 101_000
    assert daif == 0x3C0
    assert machine.counts.waits == 1, "with the wire up it does nothing at all"


@pytest.mark.parametrize(("chip", "enable"), CHIPS.values(), ids=CHIPS)
@pytest.mark.parametrize("mask", [2, 15], ids=["I", "all"])
def test_an_interrupt_is_taken_where_it_is_unmasked(chip: IrqChip, enable: asm.Words, mask: int) -> None:
    code = [*enable, *arm_timer(0), asm.NOP, asm.daifclr(mask), asm.SPIN]
    machine = build([*code, *OFF], chip=chip)
    assert machine.run().end is End.POWERED_OFF
    found = abort_of(machine)
    assert (found.vector, found.elr) == (0x280, start_of(code, len(code) - 1))
    assert found.spsr == 0x3C5 & ~(mask << 6)


def test_wfi_without_anything_to_come_is_a_deadlock() -> None:
    outcome = build([asm.WFI]).run()
    assert outcome.end is End.DEADLOCK
    assert f"vCPU 0 at PC {start_of([], 1):#x}" in outcome.detail


def test_wfi_with_a_timer_that_nobody_enabled_goes_on_to_its_deadline_and_sleeps_on() -> None:
    machine = build([*arm_timer(5000), asm.WFI])
    assert machine.run().end is End.DEADLOCK
    assert machine.clock.now() >= 5000


def test_a_timer_at_the_end_of_time_is_waited_for() -> None:
    """A guest can sleep for 1,400 years, again and again; but its counter does not wrap around."""
    rtc = [*asm.mov(6, 0x0901_0000), asm.load(4, 7, 6)]
    cval = [asm.msr(asm.CNTV_CVAL, 5), *asm.mov(6, 1), asm.msr(asm.CNTV_CTL, 6)]
    code = [*ENABLE_TIMER_V3, *asm.mov(5, 1 << 62), *cval, asm.WFI, *rtc, asm.mrs(8, asm.CNTVCT)]
    machine = build([*code, *asm.mov(5, M64), *cval, asm.WFI, *OFF])
    assert machine.run().end is End.DEADLOCK
    assert 1 << 62 <= x(machine, 8)[0] < (1 << 62) + 1000
    assert x(machine, 7) == (1_700_000_000 + (1 << 62) // 100_000_000 & 0xFFFF_FFFF,)


def test_wfi_at_el0_waits_too() -> None:
    machine = build(to_user(), {USER: [asm.WFI]})
    assert machine.run().end is End.DEADLOCK


# -- the end of a guest's rope ---------------------------------------------------------------------

VECTORLESS: Final = {
    "unmapped": 0x1000,
    "not aligned": 0x3C0,
    "a device": 0x0900_0000,
    "past RAM": 0x4040_0000,
    "the last addresses": M64 & ~0x7FF,
    "not canonical": 1 << 50,
    "not yet set": 0,
}


@pytest.mark.parametrize("fast", [True, False], ids=["private state", "documented calls"])
@pytest.mark.parametrize("first", [asm.UDF, asm.svc(0), asm.brk(0)], ids=["UDF", "SVC", "BRK"])
@pytest.mark.parametrize("vbar", VECTORLESS.values(), ids=VECTORLESS)
def test_a_guest_without_vectors_ends_with_its_first_exception(vbar: int, first: int, fast: bool) -> None:
    outcome = build([first], vbar=vbar, fast=fast).run()
    assert outcome.end is End.TRIPLE_FAULT
    assert "vCPU 0 at PC" in outcome.detail


@pytest.mark.parametrize("first", [asm.UDF, asm.brk(0)], ids=["UDF", "BRK"])
@pytest.mark.parametrize("level", [0x3C5, 0x3C4, 0x3C0], ids=["EL1h", "EL1t", "EL0"])
def test_a_vector_that_faults_itself_is_a_triple_fault(level: int, first: int) -> None:
    vectors = {CODE + 0x1000 + at: [first] for at in (SYNC_SP0, SYNC_SPX, SYNC_EL0)}
    machine = build(to_user(level), {USER: [asm.UDF], **vectors})
    assert machine.run().end is End.TRIPLE_FAULT


def test_exceptions_in_exceptions_without_end_are_bounded_by_the_budget() -> None:
    """SVC in the vector comes back to the vector, as on hardware: it is no fault of the SVC."""
    machine = build([asm.svc(0)], {CODE + 0x1000 + SYNC_SPX: [asm.svc(1)]}, budget=5000)
    assert machine.run().end is End.BUDGET
    assert machine.counts.instructions == 5000
