"""FastEngine: the core's registers read where the engine keeps them, which no documented call does.

Room:    beside port, whose results it gives sooner.
Holds:   built only with a layout that `calibrate` found in this very library.
"""

import ctypes

from vmm.engine.calibrate import Layout
from vmm.engine.memory import GuestRam
from vmm.engine.port import Engine
from vmm.engine.raw import lib


class FastEngine(Engine):
    """One core, with views of its state in the engine."""

    def __init__(self, ram: GuestRam, mpidr: int, shared: bool, layout: Layout) -> None:
        """Make a core that is off, and the views."""
        super().__init__(ram, mpidr, shared)
        cpu = ctypes.c_uint64.from_address(self.core.address + layout.cpu).value
        x0 = cpu + layout.x0
        self._cpu = ctypes.c_void_p(cpu)
        self._x = (ctypes.c_uint64 * 31).from_address(x0)
        self._pc = ctypes.c_uint64.from_address(x0 + layout.pc)
        self._syndrome = ctypes.c_uint32.from_address(x0 + layout.syndrome)
        self._fault_address = ctypes.c_uint64.from_address(x0 + layout.fault_address)
        self._target_el = ctypes.c_uint32.from_address(x0 + layout.target_el)
        self._pstate = ctypes.c_uint32.from_address(x0 + layout.pstate)
        self._aarch64 = ctypes.c_uint32.from_address(x0 + layout.aarch64)

    def x(self, number: int) -> int:
        """Read X0 to X30; 31 is the zero register."""
        return self._x[number] if number != 31 else 0

    def set_x(self, number: int, value: int) -> None:
        """Write X0 to X30; 31 is the zero register."""
        if number != 31:
            self._x[number] = value

    def pc(self) -> int:
        """Read the program counter."""
        return self._pc.value

    def syndrome(self) -> int:
        """Return the ESR of the exception being handled."""
        return self._syndrome.value

    def fault_address(self) -> int:
        """Return the FAR of the exception being handled."""
        return self._fault_address.value

    def target_el(self) -> int:
        """Return the exception level that the exception being handled goes to."""
        return self._target_el.value

    def at_el0(self) -> bool:
        """Whether the core is at EL0."""
        return not self._pstate.value & 0xC

    def in_aarch32(self) -> bool:
        """Whether the core is in AArch32 state, which its guest was told that there is not."""
        return not self._aarch64.value

    def complete_exception(self, syndrome: int) -> None:
        """Take to EL1 the exception being handled, by the engine's own routine."""
        lib.arm_cpu_do_interrupt_aarch64(self._cpu)
