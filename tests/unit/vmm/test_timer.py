"""The generic timer and the clock behind it: levels, ISTATUS, signed TVAL, deadlines, and what reading time costs."""

from typing import Final, NamedTuple

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'vgic[vmm]'")

from vmm.clock import FREQUENCY, READ_COST, STOP_CHARGE, Clock
from vmm.engine.port import Engine
from vmm.timer import (
    CNTFRQ_EL0,
    CNTPCT_EL0,
    CNTVCT_EL0,
    ENABLE,
    IMASK,
    ISTATUS,
    NEVER,
    USER_ACCESS,
    Comparator,
    GenericTimer,
)

M64: Final = 0xFFFF_FFFF_FFFF_FFFF
VIRTUAL, PHYSICAL = 0xDF18, 0xDF10
"""TVAL; CTL and CVAL follow."""
CTL, CVAL = 1, 2


class Ran(Engine):
    """As if a core had executed so many instructions."""

    def __init__(self, executed: int) -> None:
        self._executed = executed

    def executed(self) -> int:
        return self._executed


class Rig:
    """A timer, and its line as it was driven."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[tuple[str, bool]] = []
        self.timer = GenericTimer(self.clock, self._changed)

    def _changed(self, comparator: Comparator, level: bool) -> None:
        self.lines.append(("virtual" if comparator is self.timer.virtual else "physical", level))

    def at(self, tick: int) -> "Rig":
        """Go on to a tick."""
        self.clock.jump(tick)
        return self

    def set(self, base: int, control: int, cval: int) -> None:
        """Write CVAL, then CTL."""
        assert self.timer.write(base + CVAL, cval)
        assert self.timer.write(base + CTL, control)


class Level(NamedTuple):
    """CTL as written, CVAL, now; what CTL reads, the line, and the tick at which the line will rise."""

    control: int
    cval: int
    now: int
    reads: int
    line: bool
    deadline: int


LEVELS: Final = {
    "disabled, in the future": Level(0, 100, 50, 0, False, NEVER),
    "disabled, in the past": Level(0, 100, 150, 0, False, NEVER),
    "enabled, in the future": Level(ENABLE, 100, 99, ENABLE, False, 100),
    "enabled, now": Level(ENABLE, 100, 100, ENABLE | ISTATUS, True, NEVER),
    "enabled, in the past": Level(ENABLE, 100, 101, ENABLE | ISTATUS, True, NEVER),
    "masked, in the future": Level(ENABLE | IMASK, 100, 50, ENABLE | IMASK, False, NEVER),
    "masked, in the past": Level(ENABLE | IMASK, 100, 150, ENABLE | IMASK | ISTATUS, False, NEVER),
    "masked and disabled": Level(IMASK, 100, 150, IMASK, False, NEVER),
    "ISTATUS cannot be written": Level(ISTATUS, 100, 50, 0, False, NEVER),
    "other bits cannot either": Level(M64 & ~ENABLE, 100, 50, IMASK, False, NEVER),
    "zero is always past": Level(ENABLE, 0, 0, ENABLE | ISTATUS, True, NEVER),
    "the last tick of all": Level(ENABLE, M64, 1 << 40, ENABLE, False, M64),
}


@pytest.mark.parametrize("base", [VIRTUAL, PHYSICAL], ids=["virtual", "physical"])
@pytest.mark.parametrize("row", LEVELS.values(), ids=LEVELS)
def test_a_line_is_enabled_and_not_masked_and_past(row: Level, base: int) -> None:
    rig = Rig()
    rig.set(base, row.control, row.cval)
    rig.at(row.now)
    assert rig.timer.read(base + CTL) == row.reads
    rig.timer.update()
    one = rig.timer.virtual if base == VIRTUAL else rig.timer.physical
    assert one.level is row.line
    assert rig.timer.deadline() == row.deadline
    assert rig.lines == ([("virtual" if base == VIRTUAL else "physical", True)] if row.line else [])


TVALS: Final = {
    "some ticks from now": (1000, 50, 1050),
    "now": (1000, 0, 1000),
    "in the past": (1000, -1 & 0xFFFF_FFFF, 999),
    "the farthest future": (1000, 0x7FFF_FFFF, 1000 + 0x7FFF_FFFF),
    "the farthest past": (1 << 33, 0x8000_0000, (1 << 33) - (1 << 31)),
    "before the beginning": (0, -1 & 0xFFFF_FFFF, M64),
    "only 32 bits count": (1000, 0xABCD_0000_0005, 1005),
}


@pytest.mark.parametrize("base", [VIRTUAL, PHYSICAL], ids=["virtual", "physical"])
@pytest.mark.parametrize(("now", "written", "cval"), TVALS.values(), ids=TVALS)
def test_tval_is_signed_and_relative(now: int, written: int, cval: int, base: int) -> None:
    rig = Rig().at(now)
    rig.timer.write(base, written)
    assert rig.timer.read(base + CVAL) == cval
    assert rig.timer.read(base) == written & 0xFFFF_FFFF
    rig.at(now + 7)
    assert rig.timer.read(base) == written - 7 & 0xFFFF_FFFF, "it counts down"


def test_a_line_moves_once_for_each_change() -> None:
    rig = Rig()
    rig.set(VIRTUAL, ENABLE, 100)
    rig.at(100).timer.update()
    rig.timer.update()
    rig.timer.write(VIRTUAL + CTL, ENABLE | IMASK)
    rig.timer.write(VIRTUAL + CTL, ENABLE)
    rig.timer.write(VIRTUAL + CVAL, 500)
    rig.at(500).timer.update()
    rig.timer.write(VIRTUAL, 10)
    assert [level for _, level in rig.lines] == [True, False, True, False, True, False]


def test_each_timer_has_its_own_line_and_the_earlier_one_is_the_deadline() -> None:
    rig = Rig()
    rig.set(VIRTUAL, ENABLE, 300)
    rig.set(PHYSICAL, ENABLE, 200)
    assert rig.timer.deadline() == 200
    rig.at(200).timer.update()
    assert rig.lines == [("physical", True)]
    assert rig.timer.deadline() == 300
    assert (rig.timer.physical.reads(30), rig.timer.virtual.reads(27)) == (True, False)


@pytest.mark.parametrize("counter", [CNTVCT_EL0, CNTPCT_EL0])
def test_reading_a_counter_takes_time_and_shows_it(counter: int) -> None:
    rig = Rig()
    assert [rig.timer.read(counter) for _ in range(3)] == [READ_COST, 2 * READ_COST, 3 * READ_COST]
    assert rig.clock.now() == 3 * READ_COST


@pytest.mark.parametrize("register", [CNTVCT_EL0, VIRTUAL, VIRTUAL + CTL])
def test_a_guest_never_sees_a_timer_expired_without_its_line(register: int) -> None:
    rig = Rig()
    rig.set(VIRTUAL, ENABLE, 1000)
    rig.at(1000 if register != CNTVCT_EL0 else 1000 - READ_COST)
    rig.timer.read(register)
    assert rig.lines == [("virtual", True)]


def test_registers_that_are_not_here_or_read_only() -> None:
    timer = Rig().timer
    assert timer.read(CNTFRQ_EL0) == FREQUENCY
    for register in (0xDF03, 0xDF13, 0xDF1B, 0xDF20, 0, 0xFFFF):
        assert timer.read(register) == -1
        assert not timer.write(register, 1)
    for register in (CNTFRQ_EL0, CNTPCT_EL0, CNTVCT_EL0):
        assert not timer.write(register, 1)
        assert register in USER_ACCESS


def test_reset_lowers_both_lines() -> None:
    rig = Rig()
    rig.set(VIRTUAL, ENABLE, 0)
    rig.set(PHYSICAL, ENABLE, 0)
    rig.timer.reset()
    assert rig.lines[2:] == [("virtual", False), ("physical", False)]
    assert set(rig.timer.save().values()) == {0}


def test_a_saved_timer_goes_on_in_another_one() -> None:
    rig, other = Rig(), Rig()
    rig.set(VIRTUAL, ENABLE, 700)
    rig.set(PHYSICAL, ENABLE | IMASK, 50)
    other.timer.load(rig.timer.save())
    assert other.timer.save() == rig.timer.save()
    assert other.timer.deadline() == 700
    assert other.at(700).lines == []
    other.timer.update()
    assert other.lines == [("virtual", True)]


# -- the clock -----------------------------------------------------------------------------------


class Run(NamedTuple):
    """What the core can tell, how many instructions it was to run, whether it was stopped; what it is charged."""

    executed: int
    limit: int
    stopped: bool
    charged: int


RUNS: Final = {
    "to its end": Run(500, 500, False, 500),
    "stopped": Run(123, 500, True, 123),
    "stopped before its first instruction": Run(0, 500, True, 1),
    "nothing but exceptions": Run(0, 500, False, 1),
    "coarse, to its end": Run(-1, 500, False, 500),
    "coarse, stopped": Run(-1, 500, True, STOP_CHARGE),
    "coarse, a short one stopped": Run(-1, 7, True, 7),
}


@pytest.mark.parametrize("row", RUNS.values(), ids=RUNS)
def test_a_run_is_charged_its_instructions_and_at_least_one(row: Run) -> None:
    clock = Clock()
    clock.jump(1000)
    clock.start(Ran(row.executed))
    assert clock.now() == 1000 + max(row.executed, 0), "time goes on while it runs, as far as one can tell"
    assert clock.finish(row.limit, row.stopped) == row.charged
    assert clock.now() == 1000 + row.charged


def test_time_never_goes_backwards() -> None:
    clock = Clock()
    clock.jump(1000)
    clock.jump(10)
    assert clock.now() == 1000
    engine = Ran(0)
    clock.start(engine)
    seen = []
    for engine._executed in (5, 5, 6, 400):
        seen += [clock.now(), clock.read()]
    clock.finish(500, False)
    assert [*seen, clock.now()] == sorted([*seen, clock.now()])
    assert clock.now() == 1000 + 400 + 4 * READ_COST
