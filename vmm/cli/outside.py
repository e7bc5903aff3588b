"""What reaches a machine from outside: keys, replies to what it printed, signals, and the end of its time.

Room:    below session, which lets it happen between two slices; above terminal and console.
Owns:    the host's clock and signals during a run.
Holds:   an Event is everything that the outside did at one poll: with the same events at the same polls, a run is the
         same again.
"""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, final

from vmm.cli.console import Console, Reply
from vmm.cli.terminal import Keyboard
from vmm.clock import FREQUENCY
from vmm.outcome import End, Outcome

_KEYS_EVERY: Final = 0.005
"""Seconds between two looks at the keyboard while the guest runs."""
_GLANCE: Final = 0.05
"""Seconds after which a wait for keys looks for signals and the time-out."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Moment(NamedTuple):
    """Where a run is when it polls: the number of the poll, instructions, ticks."""

    poll: int
    instructions: int
    tick: int


class Event(NamedTuple):
    """What happens at a poll: the clock goes on to `tick`, then keys arrive, or the run ends.

    migrate  before the keys arrive, the machine is saved and rebuilt
    """

    tick: int
    keys: bytes = b""
    end: Outcome | None = None
    migrate: bool = False


class Outside(Protocol):
    """Where events come from."""

    def look(self, now: Moment, ticks: int | None) -> Event | None:
        """Return what happens at this poll, or None.

        ticks  0: look and return.  Else all vCPUs wait: for at most so long; None: until something happens, and
               returning None then means that nothing ever will.
        """


@dataclass(slots=True)
class Signals:
    """The signal that asked to end the run, if one did; a second one raises KeyboardInterrupt."""

    caught: list[str] = field(default_factory=list)

    def catch(self, number: int, _frame: object) -> None:
        """Take a signal."""
        if self.caught:
            raise KeyboardInterrupt
        self.caught.append(signal.Signals(number).name)


@contextmanager
def caught_signals() -> Iterator[Signals]:
    """Take Ctrl-C and requests to terminate as events for as long as this lasts; what was ignored, as by nohup, is."""
    signals = Signals()
    before = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, signals.catch)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@final
class Live:
    """The present: keys as they are typed, time as it passes.

    keyboard  None: nobody types, and no time passes while the guest waits
    timeout   seconds of wall time after which the run ends; 0: none
    """

    __slots__ = ("_console", "_deadline", "_keyboard", "_next", "_signals", "_timeout")

    def __init__(
        self, console: Console, signals: Signals, keyboard: Keyboard | None = None, timeout: float = 0
    ) -> None:
        """The time-out begins now."""
        self._console = console
        self._signals = signals
        self._keyboard = keyboard
        self._timeout = timeout
        self._next = time.monotonic()  # when to look at the keyboard again, as long as the guest runs
        self._deadline = self._next + timeout

    def look(self, now: Moment, ticks: int | None) -> Event | None:
        """Return what happens at this poll, or None."""
        due = self._console.take_due()
        if due:
            return _replied(now, due)
        end = self._end()
        keyboard = self._keyboard
        if end is not None or keyboard is None or keyboard.closed:
            return None if end is None else Event(now.tick, end=end)
        began = time.monotonic()
        if ticks == 0:
            if began < self._next:
                return None
            self._next = began + _KEYS_EVERY
        left = seconds = float("inf") if ticks is None else ticks / FREQUENCY
        while True:
            keys = keyboard.read(min(left, _GLANCE))
            waited = time.monotonic() - began
            left = seconds - waited
            end = self._end()
            if keys or end is not None:
                passed = int(waited * FREQUENCY)
                return Event(now.tick + (passed if ticks is None else min(passed, ticks)), keys, end)
            if left <= 0 or keyboard.closed:
                return None

    def _end(self) -> Outcome | None:
        """Return how the run is to end now, if it is."""
        if self._signals.caught:
            return Outcome(End.INTERRUPTED, self._signals.caught[0])
        if self._keyboard is not None and self._keyboard.left:
            return Outcome(End.INTERRUPTED, "left at the console")
        if self._timeout and time.monotonic() >= self._deadline:
            return Outcome(End.TIMEOUT, f"{self._timeout:g} s of wall time")
        return None


def _replied(now: Moment, due: Sequence[Reply]) -> Event:
    """Return all replies as one event: a machine that is saved at a prompt has the answer with it, not read yet."""
    end = next((Outcome(End.MARK, repr(reply.mark)) for reply in due if reply.stop), None)
    return Event(now.tick, b"".join(reply.text for reply in due), end, any(reply.migrate for reply in due))


@final
class Both:
    """A recording, which decides what happens, and the present, which can only end its replay."""

    __slots__ = ("_live", "_recorded")

    def __init__(self, recorded: Outside, live: Live) -> None:
        """`live` has no keyboard."""
        self._recorded = recorded
        self._live = live

    def look(self, now: Moment, ticks: int | None) -> Event | None:
        """Return what happens at this poll, or None."""
        event = self._recorded.look(now, ticks)
        return event if event is not None else self._live.look(now, ticks)
