"""A physical CPU and the vCPUs that share it.

Room:    below the machine's loop.
Owns:    whose turn it is.
Holds:   a vCPU runs only on its own physical CPU; one that can run and does not waits at most for its neighbours'
         quanta.
"""

from collections.abc import Mapping
from typing import Final, final

from vmm.config import ConfigError
from vmm.devices.device import Json
from vmm.devices.saved import Saved
from vmm.guestcpu import GuestCpu, Power

_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF

QUANTUM: Final = 100_000
"""Ticks after which a vCPU makes way for the next one: a millisecond."""


@final
class PhysicalCpu:
    """One physical CPU, with the vCPUs `cpus`."""

    __slots__ = ("_current", "_quantum_end", "cpus", "index")

    def __init__(self, index: int, cpus: list[GuestCpu]) -> None:
        """Begin with the first vCPU."""
        self.index = index
        self.cpus = cpus
        self._current = 0
        self._quantum_end = 0

    def pick(self, now: int) -> GuestCpu | None:
        """Return the vCPU to run, or None if each waits or is off."""
        cpus = self.cpus
        current = self._current
        cpu = cpus[current]
        if runnable(cpu) and (now < self._quantum_end or len(cpus) == 1):
            return cpu
        for step in range(1, len(cpus) + 1):
            at = (current + step) % len(cpus)
            if runnable(cpus[at]):
                self._current = at
                self._quantum_end = now + QUANTUM
                return cpus[at]
        return None

    def make_way(self) -> None:
        """Let a neighbour run next: the present vCPU has nothing to do but wait for an interrupt that it masks."""
        self._quantum_end = 0

    def save(self) -> dict[str, Json]:
        """Return whose turn it is, and until when."""
        return {"current": self._current, "quantum_end": self._quantum_end}

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned.  Errors: ConfigError, and nothing changed."""
        saved = Saved(f"physical CPU {self.index}", state)
        current = saved.number("current", _MASK64)
        quantum_end = saved.number("quantum_end", _MASK64)
        saved.finish()
        if current >= len(self.cpus):
            raise ConfigError(f"the saved state of physical CPU {self.index}: {current} of its {len(self.cpus)} vCPUs")
        self._current, self._quantum_end = current, quantum_end


def runnable(cpu: GuestCpu) -> bool:
    """Whether `cpu` has something to run; one in WFI that was kicked looks whether it is to wake."""
    if cpu.power is Power.WAITING and cpu.kicked:
        cpu.kicked = False
        if cpu.gic.pending():
            cpu.wake()
    return cpu.power is Power.RUNNING
