"""How far a long command has come: a line on the terminal that is written over.

Room:    beside the commands; the only one that looks at a clock.
Never:   writes to what is no terminal, or to standard output.
"""

import sys
from time import monotonic
from typing import Final, TextIO, final

_INTERVAL: Final = 0.1
_CLEAR_LINE: Final = "\r\x1b[K"


@final
class Progress:
    """The line, about one thing that takes long."""

    __slots__ = ("_next", "_shown", "_since", "_stream", "_what")

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        """Prepare to tell about `what` on `stream` (default: standard error)."""
        self._what = what
        self._stream = stream or sys.stderr
        self._since = monotonic()
        self._next = self._since + _INTERVAL
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Say how far it is, unless that was said a moment ago."""
        now = monotonic()
        if now < self._next or not self._stream.isatty():
            return
        self._next = now + _INTERVAL
        self._shown = True
        rate = done / (now - self._since)
        self._stream.write(f"{_CLEAR_LINE}{self._what}: {done} of {total} ({done * 100 // total}%), {rate:.0f}/s")
        self._stream.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()
