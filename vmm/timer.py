"""The generic timer of one vCPU: the virtual and the physical timer, whose counters are the same here.

Room:    between the clock and whoever raises the interrupt.
Owns:    CNTV_CTL, CNTV_CVAL, CNTP_CTL, CNTP_CVAL and the level of both output lines.
Holds:   a line is high <=> ENABLE, not IMASK, and the counter has reached CVAL, as of the last `update`.
Source:  DDI 0487, the Generic Timer; CNTVOFF_EL2 is 0.
"""

from collections.abc import Callable, Mapping
from typing import Final, final

from vmm.clock import FREQUENCY, Clock
from vmm.devices.device import Json
from vmm.devices.saved import Saved

ENABLE: Final = 1
IMASK: Final = 2
ISTATUS: Final = 4
_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF

NEVER: Final = 1 << 64
"""A deadline that does not come."""


def _register(op1: int, crm: int, op2: int) -> int:
    return 3 << 14 | op1 << 11 | 14 << 7 | crm << 3 | op2


CNTFRQ_EL0: Final = _register(3, 0, 0)
CNTPCT_EL0: Final = _register(3, 0, 1)
CNTVCT_EL0: Final = _register(3, 0, 2)
_TVAL, _CTL, _CVAL = 0, 1, 2

USER_ACCESS: Final = {
    CNTPCT_EL0: 1 << 0,  # EL0PCTEN
    CNTVCT_EL0: 1 << 1,  # EL0VCTEN
    CNTFRQ_EL0: 1 << 0 | 1 << 1,
    **{_register(3, 3, op2): 1 << 8 for op2 in (_TVAL, _CTL, _CVAL)},  # EL0VTEN
    **{_register(3, 2, op2): 1 << 9 for op2 in (_TVAL, _CTL, _CVAL)},  # EL0PTEN
}
"""Bits of CNTKCTL_EL1, one of which must be set for EL0 to use a register."""


@final
class Comparator:
    """One timer."""

    __slots__ = ("control", "cval", "level")

    def __init__(self) -> None:
        """Start disabled."""
        self.control = 0
        self.cval = 0
        self.level = False

    def due(self, now: int) -> bool:
        """Whether the line is to be high at `now`."""
        return self.control & (ENABLE | IMASK) == ENABLE and now >= self.cval

    def deadline(self) -> int:
        """The tick at which the line will rise; NEVER if it is high or will not."""
        return self.cval if self.control & (ENABLE | IMASK) == ENABLE and not self.level else NEVER

    def reads(self, intid: int) -> bool:
        """The level of the line, as a LevelReader port."""
        return self.level


@final
class GenericTimer:
    """Both timers of one vCPU.

    changed  called with a timer's name and level whenever its line moves
    """

    __slots__ = ("_changed", "_clock", "_registers", "physical", "virtual")

    def __init__(self, clock: Clock, changed: Callable[[Comparator, bool], None]) -> None:
        """Build two disabled timers."""
        self._clock = clock
        self._changed = changed
        self.virtual = Comparator()
        self.physical = Comparator()
        self._registers = {
            _register(3, crm, op2): (timer, op2)
            for crm, timer in ((2, self.physical), (3, self.virtual))
            for op2 in (_TVAL, _CTL, _CVAL)
        }

    def reset(self) -> None:
        """Disable both, as a reset of the core does."""
        for timer in (self.virtual, self.physical):
            timer.control = timer.cval = 0
        self.update()

    def update(self) -> None:
        """Bring both lines up to date."""
        now = self._clock.now()
        for timer in (self.virtual, self.physical):
            level = timer.due(now)
            if level != timer.level:
                timer.level = level
                self._changed(timer, level)

    def deadline(self) -> int:
        """The earliest tick at which a line rises by itself, or NEVER."""
        return min(self.virtual.deadline(), self.physical.deadline())

    def read(self, register: int) -> int:
        """Read a counter or timer register, by 16-bit encoding; -1 for one that is not here."""
        if register in (CNTVCT_EL0, CNTPCT_EL0):
            now = self._clock.read()
            if now >= self.deadline():
                self.update()  # or the guest would see a timer expired without its interrupt
            return now
        if register == CNTFRQ_EL0:
            return FREQUENCY
        timer, which = self._registers.get(register, (None, 0))
        if timer is None:
            return -1
        if which == _CVAL:
            return timer.cval
        now = self._clock.now()
        if now >= self.deadline():
            self.update()
        if which == _TVAL:
            return timer.cval - now & 0xFFFF_FFFF
        return timer.control | (ISTATUS if timer.control & ENABLE and now >= timer.cval else 0)

    def write(self, register: int, value: int) -> bool:
        """Write a timer register; False for one that is not here, or cannot be written."""
        timer, which = self._registers.get(register, (None, 0))
        if timer is None:
            return False
        if which == _CTL:
            timer.control = value & (ENABLE | IMASK)
        elif which == _CVAL:
            timer.cval = value & _MASK64
        else:
            signed = (value & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000
            timer.cval = self._clock.now() + signed & _MASK64
        self.update()
        return True

    def save(self) -> dict[str, Json]:
        """Return the registers, and the lines as whoever was told of them knows them."""
        state: dict[str, Json] = {}
        for name, timer in self._named():
            state |= {f"{name}_ctl": timer.control, f"{name}_cval": timer.cval, f"{name}_line": timer.level}
        return state

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned; nobody is told of the lines.  Errors: ConfigError, and nothing changed."""
        saved = Saved("a timer", state)
        values = [
            (
                saved.number(f"{name}_ctl", ENABLE | IMASK),
                saved.number(f"{name}_cval", _MASK64),
                saved.flag(f"{name}_line"),
            )
            for name, _ in self._named()
        ]
        saved.finish()
        for (_, timer), value in zip(self._named(), values, strict=True):
            timer.control, timer.cval, timer.level = value

    def _named(self) -> tuple[tuple[str, Comparator], ...]:
        return ("cntv", self.virtual), ("cntp", self.physical)
