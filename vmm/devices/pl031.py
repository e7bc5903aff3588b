"""The real-time clock: a PL031, counting the machine's seconds.

Room:    beside the other devices.
Never:   reads a clock of its own or waits: the machine asks `deadline` and calls `poll` when it has come.
Holds:   the wire is high  <=>  RIS & IMSC.  Checked by check().

The clock runs from reset on, as firmware would have left it, and CR says so.  A write of MR or LR arms one match: the
counter does not match MR's reset value, nor again when it has wrapped.
Source: DDI 0224C.
"""

from collections.abc import Callable, Mapping
from typing import Final, final

from vmm.devices.device import PAGE, Json
from vmm.devices.registers import W32, Register, RegisterDevice, primecell
from vmm.devices.saved import Saved

_W64: Final = (1 << 64) - 1


@final
class Pl031(RegisterDevice):
    """One clock; `seconds` never goes back, `line` is told each change of the interrupt."""

    __slots__ = ("_imsc", "_level", "_line", "_lr", "_match", "_mr", "_offset", "_ris", "_seconds")

    def __init__(self, seconds: Callable[[], int], line: Callable[[bool], None]) -> None:
        """Reset state: DR shows `seconds`."""
        self._seconds = seconds
        self._line = line
        self._offset = 0  # DR is this far ahead of `seconds`, modulo 2^32
        self._match: int | None = None  # `seconds` when DR will be MR
        self._level = False  # the wire, as `line` was last told
        self._mr = Register("MR", 0x004, W32, write=self._arm)
        self._lr = Register("LR", 0x008, W32, write=self._set)
        self._imsc = Register("IMSC", 0x010, 1, write=self._drive)
        self._ris = Register("RIS", 0x014, keeps=1, read=self._raised)
        super().__init__(
            "the PL031",
            PAGE,
            (
                Register("DR", 0x000, read=self._count),
                self._mr,
                self._lr,
                Register("CR", 0x00C, value=1),
                self._imsc,
                self._ris,
                Register("MIS", 0x018, read=self._masked),
                Register("ICR", 0x01C, write=self._clear),
                *primecell(part=0x031, revision=1),
            ),
        )

    def deadline(self) -> int | None:
        """Return what `seconds` will be when the interrupt is to rise, or None if time alone cannot raise it."""
        return self._match if self._imsc.value and not self._ris.value else None

    def poll(self) -> None:
        """Look at the time: raise the interrupt if the match has come."""
        if self._match is not None and self._seconds() >= self._match:
            self._match = None
            self._ris.value = 1
            self._drive()

    def _now(self) -> int:
        return self._seconds() + self._offset & W32

    def _count(self) -> int:
        self.poll()
        return self._now()

    def _arm(self, _: int = 0) -> None:
        self.poll()  # an earlier match may have come unnoticed
        self._match = self._seconds() + (self._mr.value - self._now() & W32)
        self.poll()

    def _set(self, value: int) -> None:
        self.poll()
        self._offset = value - self._seconds() & W32
        self._arm()

    def _raised(self) -> int:
        self.poll()
        return self._ris.value

    def _masked(self) -> int:
        return self._raised() & self._imsc.value

    def _clear(self, which: int) -> None:
        self.poll()
        self._ris.value &= ~which
        self._drive()

    def _drive(self, _: int = 0) -> None:
        level = self._masked() != 0
        if level is not self._level:
            self._level = level
            self._line(level)

    def save(self) -> dict[str, Json]:
        """Return the registers, and where DR and the match are relative to `seconds`."""
        return {**super().save(), "offset": self._offset, "match": self._match}

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned, and drive the wire.  Errors: ConfigError."""
        saved = Saved(self.name, state)
        kept = self._read_kept(saved)
        offset = saved.number("offset", W32)
        match = saved.number_or_none("match", _W64)
        saved.finish()
        self._keep(kept)
        self._offset = offset
        self._match = match
        self._drive()

    def check(self) -> None:
        """Assert what holds."""
        assert self._level == (self._ris.value & self._imsc.value != 0), "the wire is RIS & IMSC"
