"""Hooks of the instructions that cannot be trapped: found in new blocks, however many there are."""

from typing import Final

import pytest

from tests.unit.vmm import asm
from tests.unit.vmm.engine.rig import CODE, DATA, KINDS, make
from vmm.engine import arm64
from vmm.engine.port import Engine
from vmm.esr import ILLEGAL_STATE, UNDEFINED_INSTRUCTION
from vmm.timer import CNTFRQ_EL0, CNTPCT_EL0, CNTVCT_EL0

both_kinds = pytest.mark.parametrize("fast", KINDS.values(), ids=KINDS)

RNDR: Final = (3, 3, 2, 4, 0)
RNDRRS: Final = (3, 3, 2, 4, 1)
AWAY: Final = [asm.NOP, asm.b(1)]
"""The engine reports no hook for the first block of all."""


def run(engine: Engine, instructions: int) -> None:
    """Run until so many instructions were executed, however often a hook is found."""
    done = 0
    while done < instructions:
        assert engine.run(instructions - done) == 0
        done += engine.executed()


@both_kinds
def test_counters_and_timers_are_read_and_written_through_the_handler(fast: bool) -> None:
    reads = [asm.mrs(1, asm.CNTVCT), asm.mrs(2, asm.CNTFRQ), asm.mrs(31, asm.CNTPCT)]
    write = [*asm.mov(3, 5), asm.msr(asm.CNTV_CTL, 3)]
    engine, notes = make(fast, [*AWAY, *reads, *write, asm.NOP])
    run(engine, 7)
    assert notes.reads == [CNTVCT_EL0, CNTFRQ_EL0, CNTPCT_EL0]
    assert notes.writes == [(0xDF19, 5)]
    assert (engine.x(1), engine.x(2)) == (notes.value, notes.value)


@both_kinds
def test_registers_that_the_handler_does_not_know_are_the_cores(fast: bool) -> None:
    code = [*asm.mov(1, 7), asm.msr(asm.CNTKCTL, 1), asm.mrs(2, asm.CNTKCTL), asm.mrs(3, asm.NZCV), asm.NOP]
    engine, notes = make(fast, [*AWAY, *code])
    run(engine, 6)
    assert (engine.x(2), engine.x(3)) == (7, 0)
    assert notes.reads == []


@both_kinds
@pytest.mark.parametrize("many", [100, 255, 256, 300, 600])
def test_a_guest_with_many_counter_reads_gets_each_of_them(fast: bool, many: int) -> None:
    engine, notes = make(fast, [*AWAY, *[asm.mrs(1, asm.CNTVCT)] * many, asm.mrs(2, asm.NZCV), asm.b(-many - 1)])
    run(engine, 2 + 3 * (many + 2))
    assert notes.reads == [CNTVCT_EL0] * (3 * many)
    assert len(engine._timer_hooks) <= 256
    assert engine.x(2) == 0, "and other registers are not touched by a hook everywhere"


@both_kinds
def test_hooks_everywhere_serve_writes_too(fast: bool) -> None:
    engine, notes = make(fast, [*AWAY, *[asm.mrs(1, asm.CNTVCT)] * 300, asm.msr(asm.CNTV_CVAL, 2), asm.NOP])
    run(engine, 304)
    assert len(notes.reads) == 300
    assert notes.writes == [(0xDF1A, 0)]


@both_kinds
def test_code_that_was_written_over_is_hooked_again(fast: bool) -> None:
    code = [*AWAY, *asm.mov(1, CODE + 0x100), *asm.mov(2, asm.mrs(5, asm.CNTVCT))]
    code += [asm.store(4, 2, 1), asm.DSB, asm.msr(asm.IC_IVAU, 1), asm.ISB, asm.br(1)]
    engine, notes = make(fast, code)
    engine.ram.write(CODE + 0x100, asm.image(asm.NOP, asm.SPIN))
    run(engine, len(code) + 5)
    assert notes.reads == [CNTVCT_EL0]
    assert engine.x(5) == notes.value


@both_kinds
@pytest.mark.parametrize("register", [RNDR, RNDRRS])
def test_the_hosts_random_numbers_are_refused(fast: bool, register: asm.Encoding) -> None:
    engine, _ = make(fast, [*AWAY, *asm.mov(1, 5), asm.mrs(1, register), asm.add(1, 1, 1), asm.SPIN])
    while not engine.refusal:
        engine.run(100)
    assert engine.undo_refused() == UNDEFINED_INSTRUCTION
    assert engine.refusal == 0
    assert (engine.pc(), engine.x(1)) == (CODE + 12, 5), "as if it had not been executed"


@both_kinds
@pytest.mark.parametrize("spsr", [0x1D0, 0xF000_0010])
@pytest.mark.parametrize("entry", [DATA, 0x1000], ids=["code", "nothing"])
def test_a_return_to_aarch32_is_an_illegal_one(fast: bool, spsr: int, entry: int) -> None:
    code = [*asm.mov(1, spsr), asm.msr(asm.SPSR, 1), *asm.mov(2, entry), asm.msr(asm.ELR, 2), asm.spsel(0), asm.ERET]
    engine, notes = make(fast, code)
    notes.meanwhile = engine.refuse_aarch32
    engine.ram.write(DATA, asm.image([0xE3A0_1001] * 4))  # mov r1, #1
    while not engine.refusal:
        engine.run(100)
    assert engine.undo_refused() == ILLEGAL_STATE
    assert not engine.in_aarch32()
    assert engine.pc() == entry
    assert engine.pstate() == spsr & 0xF000_03C0 | arm64.PSTATE_IL | 4, "the level and its stack pointer stay"
    assert engine.x(1) == spsr, "and nothing was executed"
    assert not engine.at_el0()
