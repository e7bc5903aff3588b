"""One core, of both kinds: registers, exact counts, stopping, wires, reset, and taking exceptions to EL1."""

from typing import Final, NamedTuple

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.engine.rig import BASE, CODE, DATA, KINDS, MPIDR, VECTORS, make
from vmm.engine import arm64
from vmm.engine.port import Engine
from vmm.esr import EC_SHIFT, IL, UNDEFINED_INSTRUCTION

both_kinds = pytest.mark.parametrize("fast", KINDS.values(), ids=KINDS)

LOOP: Final = [asm.add(1, 1, 1), asm.b(-1)]
EL1H, EL1T, EL0 = 0x3C5, 0x3C4, 0x3C0


@both_kinds
def test_registers_hold_what_was_written_and_31_is_zero(fast: bool) -> None:
    engine, _ = make(fast, asm.NOP)
    for number in range(31):
        engine.set_x(number, 0xFFFF_0000_0000_0000 | number)
    engine.set_x(31, 5)
    assert [engine.x(number) for number in range(32)] == [*(0xFFFF_0000_0000_0000 | n for n in range(31)), 0]
    engine.set_pc(DATA)
    assert engine.pc() == DATA


@both_kinds
def test_what_the_guest_computes_is_seen(fast: bool) -> None:
    engine, _ = make(fast, asm.mov(3, 0x1122_3344_5566_7788), asm.mrs(4, asm.MPIDR), asm.mrs(5, asm.CURRENT_EL))
    assert engine.run(6) == 0
    assert (engine.x(3), engine.x(4), engine.x(5)) == (0x1122_3344_5566_7788, MPIDR, 1 << 2)


@both_kinds
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 4999, 20_000])
def test_a_run_executes_exactly_so_many_instructions(fast: bool, count: int) -> None:
    engine, _ = make(fast, LOOP)
    assert engine.run(count) == 0
    assert engine.executed() == count
    assert (engine.x(1), engine.pc()) == ((count + 1) // 2, CODE + 4 * (count % 2))
    assert not engine.stopped


def test_without_the_counter_nobody_can_tell_how_far_a_run_came() -> None:
    engine, _ = make(False, LOOP, exact=False)
    engine.run(10)
    assert engine.executed() == -1
    assert engine.x(1) == 5


@both_kinds
def test_a_run_goes_on_where_the_last_one_ended(fast: bool) -> None:
    engine, _ = make(fast, LOOP)
    for count in (1, 2, 3, 4):
        engine.run(count)
    assert engine.x(1) == 5


@both_kinds
def test_stop_ends_the_run_after_the_instruction_that_asked_for_it(fast: bool) -> None:
    engine, notes = make(fast, [asm.NOP, asm.hvc(0x77), asm.add(1, 1, 1), asm.SPIN])
    assert engine.run(1000) == 0
    assert engine.stopped
    assert (engine.executed(), engine.pc(), engine.x(1)) == (2, CODE + 8, 0)
    assert [taken[:3] for taken in notes.exceptions] == [(11, 2, 0x5A00_0077)]


@both_kinds
def test_what_a_handler_raises_ends_the_run_and_reaches_its_caller(fast: bool) -> None:
    engine, notes = make(fast, [asm.hvc(), asm.SPIN])

    def fail() -> None:
        raise ZeroDivisionError

    notes.meanwhile = fail
    with pytest.raises(ZeroDivisionError):
        engine.run(1000)
    notes.meanwhile = None
    assert engine.run(10) == 0, "and the core can go on"


# -- exceptions ----------------------------------------------------------------------------------


class Fault(NamedTuple):
    """Code whose last instruction is taken: the engine's number, target level, syndrome, and address, if it has one."""

    code: asm.Words
    kind: int
    target: int
    syndrome: int
    address: int | None = None
    after: bool = False
    """PC is after the instruction."""


GONE: Final = 0x0900_0010
FAULTS: Final = {
    "SVC": Fault([asm.svc(0xABC)], 2, 1, 0x5600_0ABC, after=True),
    "BRK": Fault([asm.brk(0x123)], 7, 1, 0xF200_0123),
    "HVC": Fault([asm.hvc(0x77)], 11, 2, 0x5A00_0077, after=True),
    "SMC": Fault([asm.smc(0x77)], 13, 3, 0x5E00_0077, after=True),
    "undefined": Fault([asm.UDF], 1, 1, UNDEFINED_INSTRUCTION),
    "WFI": Fault([asm.WFI], 1, 2, 0x07E0_0000),
    "a load where nothing is": Fault([*asm.mov(1, GONE), asm.load(4, 2, 1)], 4, 2, 0x9382_0007, GONE),
    "a store where nothing is": Fault([*asm.mov(1, GONE), asm.store(8, 2, 1)], 4, 2, 0x93C2_8047, GONE),
    "an ID register": Fault([asm.mrs(1, (3, 0, 0, 4, 0))], 1, 2, 0x6230_0029),
    "the cycle counter": Fault([asm.mrs(1, (3, 3, 9, 13, 0))], 1, 2, 0x6230_E43B),
    "DC ZVA": Fault([asm.msr(asm.DC_ZVA, 1)], 1, 2, 0x6212_DC28),
}


@both_kinds
@pytest.mark.parametrize("row", FAULTS.values(), ids=FAULTS)
def test_an_exception_is_described_as_the_architecture_says(fast: bool, row: Fault) -> None:
    engine, notes = make(fast, row.code)
    engine.run(len(row.code))
    kind, target, syndrome, address, pc = notes.exceptions[0]
    ec_dabt = syndrome >> EC_SHIFT == 0x24
    if ec_dabt:
        syndrome, wanted = syndrome & ~0x3F, row.syndrome & ~0x3F  # the level of the fault is the tables' business
    else:
        wanted = row.syndrome
    assert (kind, target, hex(syndrome)) == (row.kind, row.target, hex(wanted))
    assert pc == CODE + 4 * (len(row.code) - (not row.after))
    if row.address is not None:
        assert address == row.address


def state_of(engine: Engine) -> dict[str, int]:
    """Return all that taking an exception to EL1 changes."""
    core = engine.core
    registers = {"ELR": arm64.ELR_EL1, "SPSR": arm64.SPSR_EL1, "ESR": (5, 2, 3, 0, 0), "FAR": (6, 0, 3, 0, 0)}
    registers["SP_EL0"] = (4, 1, 3, 0, 0)
    state = {name: core.sysreg(register) for name, register in registers.items()}
    state |= {"PC": engine.pc(), "PSTATE": engine.pstate(), "X29": engine.x(29)}
    return state


def at_level(pstate: int, last: asm.Words, *, span: bool) -> asm.Words:
    """Code that sets distinct stack pointers, goes to `pstate` and executes `last`; X29 becomes SP at the vector."""
    words = [*asm.mov(1, VECTORS), asm.msr(asm.VBAR, 1), *asm.mov(1, 0x3050_0800 | span << 23), asm.msr(asm.SCTLR, 1)]
    words += [*asm.mov(1, DATA), asm.msr(asm.SP_EL0, 1), *asm.mov(1, DATA + 0x800), asm.mov_to_sp(1)]
    words += [*asm.mov(1, pstate), asm.msr(asm.SPSR, 1)]
    entry = CODE + 4 * (len(words) + 4)
    words += [*asm.mov(1, entry), asm.msr(asm.ELR, 1), asm.ERET]
    assert CODE + 4 * len(words) == entry
    return [*words, *last]


FROM: Final = {
    "EL1 on its own stack": (EL1H, 0x200),
    "EL1 on EL0's stack": (EL1T, 0x000),
    "EL0": (EL0, 0x400),
    "EL0 with flags and nothing masked": (0xF000_0000, 0x400),
    "EL1 with PAN": (EL1H | arm64.PSTATE_PAN, 0x200),
}


@pytest.mark.parametrize("span", [False, True], ids=["PAN is set", "PAN is kept"])
@pytest.mark.parametrize("last", [[asm.svc(3)], [asm.UDF]], ids=["SVC", "undefined"])
@pytest.mark.parametrize(("pstate", "vector"), FROM.values(), ids=FROM)
def test_entering_el1_by_hand_is_what_the_engine_does_itself(
    pstate: int, vector: int, last: asm.Words, span: bool
) -> None:
    states = []
    for fast in (True, False):  # the engine's own routine, and enter_el1()
        engine, _ = make(fast, at_level(pstate, last, span=span))
        engine.ram.write(VECTORS + vector, asm.image(asm.mov_from_sp(29), asm.SPIN))
        engine.run(60)
        states.append(state_of(engine))
    native, ours = states
    assert ours == native
    assert native["PC"] == VECTORS + vector + 4
    assert native["X29"] == DATA + 0x800, "the handler is on EL1's stack"
    assert native["SP_EL0"] == DATA
    assert native["SPSR"] == pstate
    pan = arm64.PSTATE_PAN if pstate & arm64.PSTATE_PAN or not span else 0
    assert native["PSTATE"] == EL1H | pan


@both_kinds
def test_an_exception_that_was_made_up_returns_to_where_it_was_taken(fast: bool) -> None:
    engine, _ = make(fast, [*asm.mov(1, VECTORS), asm.msr(asm.VBAR, 1), asm.NOP, asm.add(2, 2, 1), asm.SPIN])
    engine.ram.write(VECTORS + 0x200, asm.image(asm.mrs(3, asm.ESR), asm.mrs(4, asm.FAR), asm.ERET))
    engine.run(3)
    assert engine.pc() == CODE + 12 - 4 * (len(asm.mov(1, VECTORS)) == 1)
    engine.enter_el1(0x25 << EC_SHIFT | IL | 0x10, 0xDEAD_0000)
    engine.run(20)
    assert (engine.x(3), engine.x(4)) == (0x9600_0010, 0xDEAD_0000)
    assert (engine.x(2), engine.pstate()) == (1, EL1H)


# -- wires ---------------------------------------------------------------------------------------

WIRES: Final = {
    "IRQ": (True, False, 0x80, 2),
    "FIQ": (False, True, 0x100, 1),
    "both: the IRQ first": (True, True, 0x80, 3),
}


@both_kinds
@pytest.mark.parametrize(("irq", "fiq", "vector", "mask"), WIRES.values(), ids=WIRES)
def test_a_wire_is_taken_at_the_instruction_that_unmasks_it(
    fast: bool, irq: bool, fiq: bool, vector: int, mask: int
) -> None:
    setup = [*asm.mov(1, VECTORS), asm.msr(asm.VBAR, 1)]
    code = [*setup, asm.add(2, 2, 1), asm.daifclr(mask), asm.daifset(mask), asm.add(2, 2, 16), asm.SPIN]
    engine, notes = make(fast, code)
    engine.ram.write(VECTORS + 0x200 + vector, asm.image(asm.mrs(3, asm.ELR), asm.SPIN))
    engine.set_lines(irq, fiq)
    engine.run(100)
    assert engine.pc() == VECTORS + 0x200 + vector + 4
    assert engine.x(3) == CODE + 4 * (len(setup) + 2), "the instruction after the one that unmasked"
    assert engine.x(2) == 1
    assert notes.exceptions == [], "and no callback was needed"


@both_kinds
def test_a_wire_that_fell_is_not_taken(fast: bool) -> None:
    engine, _ = make(fast, [asm.NOP, asm.daifclr(3), asm.add(2, 2, 1), asm.SPIN])
    engine.set_lines(True, True)
    engine.run(1)
    engine.set_lines(False, False)
    engine.run(20)
    assert engine.x(2) == 1
    assert engine.pc() == CODE + 12


# -- life ----------------------------------------------------------------------------------------


@both_kinds
def test_reset_forgets_everything_but_ram(fast: bool) -> None:
    engine, _ = make(fast, at_level(EL0, LOOP, span=False))
    before = make(fast, asm.NOP)[0].save()
    engine.set_lines(True, False)
    engine.run(500)
    engine.reset(DATA, 0x99)
    assert (engine.pc(), engine.pstate(), engine.x(0)) == (DATA, EL1H, 0x99)
    assert [engine.x(number) for number in range(1, 31)] == [0] * 30
    assert engine.vector_base() == 0
    assert engine.hcr == arm64.HCR, "no wire is up"
    assert len(engine.save()) == len(before)
    assert engine.ram.read(CODE, 4) != bytes(4)


@both_kinds
def test_a_saved_core_goes_on_in_another_one(fast: bool) -> None:
    engine, _ = make(fast, at_level(EL0, LOOP, span=False))
    engine.run(101)
    other, _ = make(fast, asm.NOP)
    other.ram.write(BASE, bytes(engine.ram.data))
    other.load(engine.save())
    for core in (engine, other):
        core.run(100)
    assert state_of(other) == state_of(engine)
    assert other.x(1) == engine.x(1)
    with pytest.raises(ValueError, match="3 bytes are no core"):
        other.load(b"abc")


# -- looking -------------------------------------------------------------------------------------


@both_kinds
def test_the_instruction_at_an_address_and_where_there_is_none(fast: bool) -> None:
    engine, _ = make(fast, asm.svc(1), asm.ERET)
    assert [engine.instruction(at) for at in (CODE, CODE + 4)] == [asm.svc(1), asm.ERET]
    assert [engine.instruction(at) for at in (0, BASE - 4, engine.ram.end, 1 << 60)] == [0] * 4
    assert engine.writable_at(DATA + 5) == DATA + 5
    assert engine.writable_at(1 << 60) == -1


@both_kinds
def test_maintenance_is_reported_only_where_there_are_other_cores(fast: bool) -> None:
    code = [asm.msr(asm.TLBI_VMALLE1IS, 31), *asm.mov(1, DATA), asm.msr(asm.IC_IVAU, 1), asm.SPIN]
    for shared in (False, True):
        engine, notes = make(fast, code, shared=shared)
        engine.run(20)
        assert notes.maintained == ([(8, 3), (7, 5)] if shared else [])


def test_a_core_keeps_nothing_of_its_runs() -> None:
    engine, _ = make(True, LOOP)
    before = len(engine.core._callbacks)
    for _ in range(100):
        engine.run(10)
    assert len(engine.core._callbacks) == before
