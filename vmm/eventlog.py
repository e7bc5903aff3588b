"""One hash over everything that happened between guests, devices and the interrupt controller, in order.

Room:    beside the machine; whoever makes an event adds it.
Never:   decides anything, keeps events: memory does not grow with a run.
"""

from array import array
from hashlib import blake2b
from typing import Final, final

_BATCH: Final = 3 << 12

READ, WRITE, MRS, MSR, LINE, KICK, ENTRY, MESSAGE = range(8)
"""Kinds of event."""


@final
class EventLog:
    """A running hash and a count of events."""

    __slots__ = ("_hash", "_recent", "_total")

    def __init__(self) -> None:
        """Start with no event."""
        self._hash = blake2b(digest_size=16)
        self._recent = array("Q")
        self._total = 0

    def add(self, what: int, where: int, value: int) -> None:
        """Add one event: its kind and vCPU, a register or interrupt, and 64 bits of value."""
        recent = self._recent
        recent.append(what)
        recent.append(where)
        recent.append(value & 0xFFFF_FFFF_FFFF_FFFF)
        if len(recent) >= _BATCH:
            self._fold()

    def _fold(self) -> None:
        self._total += len(self._recent) // 3
        self._hash.update(self._recent.tobytes())
        del self._recent[:]

    @property
    def total(self) -> int:
        """How many events there were."""
        return self._total + len(self._recent) // 3

    def digest(self) -> str:
        """The hash of all events until now, in hexadecimal digits."""
        self._fold()
        return self._hash.hexdigest()
