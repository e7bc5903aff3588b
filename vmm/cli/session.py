"""One run of one machine: its console and the outside on one side, how it ended on the other.

Room:    below the commands; above outside, console and record.
Holds:   whatever a guest does comes back as an Outcome.  Only a defect of ours raises, as DefectError, and says where.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from vmm.cli.console import Console
from vmm.cli.migrate import migrate
from vmm.cli.outside import Event, Moment, Outside
from vmm.machine import Machine
from vmm.outcome import End, Outcome

Note = Callable[[Moment, Event], None]
"""Told what came from outside, and when."""


class DefectError(Exception):
    """Something in vgic is wrong, or in the engine; the cause is the exception that showed it."""

    def __init__(self, cause: Exception, where: list[str]) -> None:
        text = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
        super().__init__("; ".join([text, *where]))


class OutputError(Exception):
    """What the guest printed cannot be written."""


class DivergedError(Exception):
    """A recorded run went another way."""


@dataclass(frozen=True, slots=True)
class Result:
    """A run that ended: how, what is left of the machine, and how long that took.

    instructions  of this run: its machine may have executed others before it was saved
    """

    outcome: Outcome
    machine: Machine
    console: Console
    wall_seconds: float
    instructions: int
    migrations: int = 0


@final
class Session:
    """Runs a machine.

    outside  where keys and ends come from; None: the machine runs alone
    note     told each event; None: nobody wants to know
    """

    def __init__(
        self, machine: Machine, console: Console, outside: Outside | None = None, note: Note | None = None
    ) -> None:
        """Nothing runs yet."""
        self.machine = machine
        self.polls = 0
        self._console = console
        self._outside = outside
        self._note = note
        self._keys = b""  # to be typed when the machine has been rebuilt
        self._migrations = 0

    def run(self) -> Result:
        """Run to the end.  Errors: DefectError, OutputError, DivergedError; BrokenPipeError: nobody reads it."""
        began = time.perf_counter()
        before = self.machine.counts.instructions
        try:
            while True:
                outcome = self.machine.run(self.poll)
                if outcome.end is not End.MARK or not self._migrations_due():
                    break
            self._console.flush()
        except (BrokenPipeError, DivergedError, OutputError):
            raise
        except OSError as error:
            raise OutputError(f"cannot write the console: {error.strerror or error}") from error
        except Exception as failure:
            raise DefectError(failure, [*getattr(failure, "__notes__", ()), *self._where()]) from failure
        if outcome.status is None:
            outcome = replace(outcome, status=self._console.watch.status)
        wall_seconds = time.perf_counter() - began
        executed = self.machine.counts.instructions - before
        return Result(outcome, self.machine, self._console, wall_seconds, executed, self._migrations)

    def moment(self) -> Moment:
        """Return where the run is."""
        return Moment(self.polls, self.machine.counts.instructions, self.machine.clock.now())

    def poll(self, ticks: int | None) -> bool:
        """Let happen what comes from outside; the machine calls this between slices."""
        self.polls += 1
        self._console.flush()
        if self._outside is None:
            return False
        now = self.moment()
        event = self._outside.look(now, ticks)
        if event is None:
            return False
        if self._note is not None:
            self._note(now, event)
        self._happen(event)
        return True

    def _happen(self, event: Event) -> None:
        machine = self.machine
        machine.clock.jump(event.tick)
        if event.migrate:
            self._keys = event.keys
            machine.pause()
            return
        if event.keys:
            machine.uart.receive(event.keys)
        if event.end is not None:
            machine.finish(event.end.end, event.end.detail)

    def _migrations_due(self) -> bool:
        """Save and rebuild the machine and type what it waits for.  False: it was not stopped for that."""
        if not self._keys:
            return False
        self.machine = migrate(self.machine, self._console.put)
        self._migrations += 1
        self.machine.uart.receive(self._keys)
        self._keys = b""
        return True

    def _where(self) -> list[str]:
        """Say how far the machine came."""
        counts = self.machine.counts
        return [f"after {counts.instructions} instructions and {counts.slices} slices"]
