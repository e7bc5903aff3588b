"""What the engine has translated before makes no difference to a guest, nor to how its instructions are counted."""

from typing import Final

import pytest

from vmm.engine import arm64, port
from vmm.engine.make import engine_maker
from vmm.engine.memory import GuestRam
from vmm.engine.port import Engine

BASE: Final = 0x4000_0000
MIB: Final = 1 << 20

MRS_X1_CNTVCT: Final = 0xD53B_E041
ADD_X0_1: Final = 0x9100_0400
ADD_X0_16: Final = ADD_X0_1 & ~(0xFFF << 10) | 16 << 10
NOP: Final = 0xD503_201F
BLR_X2: Final = 0xD63F_0040
IC_IVAU_X3: Final = 0xD50B_7523
IC_IALLU: Final = 0xD508_751F
ISB: Final = 0xD503_3FDF
MSR_DAIFCLR_8: Final = 0xD503_48FF
RET: Final = 0xD65F_03C0


def branch(words: int) -> int:
    return 0x1400_0000 | words & 0x3FF_FFFF


class Guest:
    """Answers counter reads with 7 and counts them."""

    def __init__(self, *, exact: bool = True) -> None:
        self.ram = GuestRam(BASE, 2 * MIB)
        self.engine: Engine = engine_maker(fast=True, exact_time=exact)(self.ram, 1 << 31, False)
        self.engine.handler = self
        self.reads = 0
        self.exceptions: list[int] = []

    def at(self, gpa: int, *words: int) -> None:
        assert self.ram.write(gpa, b"".join(word.to_bytes(4, "little") for word in words))

    def exception(self, kind: int) -> None:
        self.exceptions.append(kind)
        self.engine.stop()

    def timer_read(self, register: int) -> int:
        self.reads += 1
        return 7

    def timer_write(self, register: int, value: int) -> bool:
        return True

    def maintenance(self, crn: int, crm: int) -> None:
        raise AssertionError("there is no other core")


def reader(blocks: int, *, exact: bool = True) -> Guest:
    """A guest of this many blocks, each of which reads the counter."""
    guest = Guest(exact=exact)
    for block in range(blocks):
        guest.at(BASE + 0x40 * block, ADD_X0_1, MRS_X1_CNTVCT, branch(14))
    guest.engine.reset(BASE, 0)
    return guest


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 29, 30])
def test_a_run_goes_on_after_new_counter_reads_were_found(count: int) -> None:
    guest = reader(10)
    assert guest.engine.run(count) == 0
    assert guest.engine.executed() == count
    assert not guest.engine.stopped
    assert guest.engine.x(0) == (count + 2) // 3
    assert guest.reads == (count + 1) // 3
    assert guest.engine.x(1) in ((7,) if guest.reads else (0,)), "the host's time is not seen"


def test_without_the_private_counter_a_run_ends_there() -> None:
    guest = reader(2, exact=False)
    guest.engine.run(6)
    assert guest.engine.stopped
    assert guest.engine.executed() == -1


def test_the_first_block_of_a_loaded_core_is_looked_at_like_any_other() -> None:
    old = reader(1)
    old.engine.run(1)
    new = reader(1)
    new.engine.load(old.engine.save())
    new.engine.run(1)
    assert (new.reads, new.engine.x(1)) == (1, 7)


@pytest.mark.parametrize("invalidate", [IC_IVAU_X3, IC_IALLU], ids=["IC IVAU", "IC IALLU"])
def test_invalidated_instructions_are_fetched_again(invalidate: int) -> None:
    """The engine itself sees a store to translated code only where it looks for one; a store by the host shows that."""
    guest = Guest()
    code, patched = BASE, BASE + 0x1000
    guest.at(code, BLR_X2, invalidate, ISB, BLR_X2, NOP, branch(0))
    guest.at(patched, ADD_X0_1, RET)
    engine = guest.engine
    engine.reset(code, 0)
    engine.set_x(2, patched)
    engine.set_x(3, patched)
    engine.run(3)
    assert engine.pc() == code + 4
    guest.at(patched, ADD_X0_16)
    engine.run(5)
    assert engine.executed() == 5
    assert not engine.stopped
    assert engine.x(0) == 1 + 16


@pytest.mark.parametrize("limit", [2, 3, 7])
def test_a_guest_with_new_code_without_end_does_not_fill_the_hosts_memory(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "_MAX_BLOCKS", limit)
    guest = reader(10)
    flushes: list[None] = []
    forget_code = guest.engine.core.forget_code
    monkeypatch.setattr(type(guest.engine.core), "forget_code", lambda core: flushes.append(forget_code()))
    assert guest.engine.run(30) == 0
    assert (guest.engine.executed(), guest.engine.x(0), guest.reads) == (30, 10, 10)
    assert len(flushes) >= 10 // limit


def test_hardware_breakpoints_are_loaded_with_a_core() -> None:
    """Those of the guest: the engine acts on registers that a guest writes, not on those that are loaded."""
    old, new = Guest(), Guest()
    writes = [
        (1, 0, 2, 0, 4),  # OSLAR_EL1 = 0
        (0, 2, 2, 0, 2),  # MDSCR_EL1.MDE, KDE
        arm64.debug_register(arm64.DBGBVR, 1),
        arm64.debug_register(arm64.DBGBVR + 1, 1),
    ]
    values = [0, 1 << 15 | 1 << 13, BASE + 0x108, 0x1E3]
    for guest in (old, new):
        assert guest.ram.write(BASE, b"".join(arm64.msr_x0(register) for register in writes))
        guest.at(BASE + 0x100, MSR_DAIFCLR_8, NOP, NOP, NOP, NOP)
        guest.engine.reset(BASE, 0)
    for value in values:
        old.engine.set_x(0, value)
        old.engine.run(1)
    old.engine.set_pc(BASE + 0x100)
    old.engine.run(1)
    new.engine.load(old.engine.save())
    assert new.engine.save() == old.engine.save()
    for guest in (old, new):
        guest.engine.run(3)
        assert (guest.exceptions, guest.engine.pc()) == ([3], BASE + 0x108)
    old.engine.reset(BASE + 0x100, 0)
    old.engine.run(5)
    assert old.exceptions == [3], "a reset forgets them"
