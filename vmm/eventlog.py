"""One hash over everything that happened between guests, devices and the interrupt controller, in order.

Room:    beside the machine; whoever makes an event adds it.
Never:   decides anything, keeps events: memory does not grow with a run.
"""

from array import array
from collections.abc import Mapping
from hashlib import blake2b
from struct import pack, unpack
from typing import Final, final

from vmm.config import ConfigError
from vmm.devices.device import Json
from vmm.devices.saved import Saved

_BATCH: Final = 3 << 12
_DIGEST: Final = 16
_MAX_TOTAL: Final = (1 << 64) - 1

READ, WRITE, MRS, MSR, LINE, KICK, ENTRY, MESSAGE = range(8)
"""Kinds of event."""


@final
class EventLog:
    """A running hash and a count of events."""

    __slots__ = ("_hash", "_recent", "_total")

    def __init__(self) -> None:
        """Start with no event."""
        self._hash = bytes(_DIGEST)  # of the full batches, each hashed together with what was before it
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
        self._hash = self._hashed()
        del self._recent[:]

    def _hashed(self) -> bytes:
        return blake2b(self._hash + self._words(), digest_size=_DIGEST).digest()

    def _words(self) -> bytes:
        return pack(f"<{len(self._recent)}Q", *self._recent)

    @property
    def total(self) -> int:
        """How many events there were."""
        return self._total + len(self._recent) // 3

    def digest(self) -> str:
        """The hash of all events until now, in hexadecimal digits."""
        return self._hashed().hex()

    def save(self) -> dict[str, Json]:
        """Return what a log needs to go on from here."""
        return {"hash": self._hash.hex(), "recent": self._words().hex(), "total": self._total}

    def load(self, state: Mapping[str, Json]) -> None:
        """Go on as the log that was saved.  Errors: ConfigError, and nothing changed."""
        saved = Saved("the event log", state)
        total = saved.number("total", _MAX_TOTAL)
        digest = saved.data("hash")
        words = saved.data("recent")
        saved.finish()
        if len(digest) != _DIGEST or len(words) % 24 or len(words) >= 8 * _BATCH:
            raise ConfigError(f"the saved state of the event log: {len(digest)} and {len(words)} bytes are no log")
        self._hash, self._recent, self._total = digest, array("Q", unpack(f"<{len(words) // 8}Q", words)), total
