"""A core by itself, on two megabytes of RAM, and a handler that notes what it is told.

Room:    beside rig, without a machine.
"""

from collections.abc import Callable
from typing import Final

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'vgic[vmm]'")

from tests.unit.vmm import asm
from vmm.engine.make import engine_maker
from vmm.engine.memory import GuestRam
from vmm.engine.port import Engine
from vmm.layout import MIB

BASE: Final = 0x4000_0000
CODE: Final = BASE + 0x1000
VECTORS: Final = BASE + 0x2000
DATA: Final = BASE + 0x8000
MPIDR: Final = 0x8000_0103

KINDS: Final = {"documented calls": False, "private state": True}
"""Whether each kind of core is fast."""


class Notes:
    """A handler: completes exceptions to EL1, and stops at those to EL2.

    exceptions  (kind, target level, syndrome, fault address, PC) of each
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.exceptions: list[tuple[int, int, int, int, int]] = []
        self.reads: list[int] = []
        self.writes: list[tuple[int, int]] = []
        self.maintained: list[tuple[int, int]] = []
        self.value = 0x1234_5678_9ABC_DEF0
        self.meanwhile: Callable[[], None] | None = None  # called at each exception

    def exception(self, kind: int) -> None:
        engine = self.engine
        syndrome = engine.syndrome()
        self.exceptions.append((kind, engine.target_el(), syndrome, engine.fault_address(), engine.pc()))
        if self.meanwhile is not None:
            self.meanwhile()
        if engine.target_el() == 1:
            engine.complete_exception(syndrome)
        else:
            engine.stop()

    def timer_read(self, register: int) -> int:
        self.reads.append(register)
        return self.value

    def timer_write(self, register: int, value: int) -> bool:
        self.writes.append((register, value))
        return True

    def maintenance(self, crn: int, crm: int) -> None:
        self.maintained.append((crn, crm))


def make(fast: bool, *code: int | asm.Words, exact: bool = True, shared: bool = False) -> tuple[Engine, Notes]:
    """Return a core that was reset to the first instruction of `code`."""
    ram = GuestRam(BASE, 2 * MIB)
    engine = engine_maker(fast, exact)(ram, MPIDR, shared)
    notes = Notes(engine)
    engine.handler = notes
    ram.write(CODE, asm.image(*code))
    engine.reset(CODE, 0)
    return engine, notes
