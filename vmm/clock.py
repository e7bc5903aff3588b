"""Virtual time: one tick for each instruction that any core executes; the host's clock is nowhere.

Room:    beside the cores, which it asks how far they are.
Owns:    `now`, which only grows.
Holds:   time is charged serially, so that no vCPU sees it run backwards after another one's slice.
"""

from typing import Final, final

from vmm.engine.port import Engine

FREQUENCY: Final = 100_000_000
"""Ticks a second, CNTFRQ_EL0."""
READ_COST: Final = 100
"""Ticks that reading a counter takes: without it a delay loop is 20 million reads long."""
END_OF_TIME: Final = 1 << 63
"""What would happen only then, in 2,900 years, does not: the counter never wraps around."""
STOP_CHARGE: Final = 100
"""Ticks charged for a run that was stopped, when the engine cannot tell how far it came."""


@final
class Clock:
    """A machine's time, in ticks since it was switched on."""

    __slots__ = ("_base", "_running", "_stopped")

    def __init__(self) -> None:
        """Start at tick 0."""
        self._base = 0
        self._running: Engine | None = None

    def now(self) -> int:
        """Ticks until now; inside a run, the instructions executed so far included where the engine can tell."""
        running = self._running
        if running is None:
            return self._base
        executed = running.executed()
        return self._base + executed if executed > 0 else self._base

    def read(self) -> int:
        """Return the counter as a guest reads it, which takes time itself."""
        self._base += READ_COST
        return self.now()

    def start(self, engine: Engine) -> None:
        """Let the instructions of `engine` count from here."""
        self._running = engine

    def finish(self, count: int, stopped: bool) -> int:
        """Charge the run that ended, of up to `count` instructions; return how many those were, or are taken to be."""
        running = self._running
        assert running is not None, "no core runs"
        executed = running.executed()
        if executed < 0:
            executed = min(STOP_CHARGE, count) if stopped else count
        executed = max(executed, 1)  # or a guest that ends its runs at once would have all the time there is
        self._running = None
        self._base += executed
        return executed

    def jump(self, tick: int) -> None:
        """Go on to `tick`, when every vCPU waits; never backwards."""
        self._base = max(self._base, tick)
