"""What a guest's console output says about its run, seen byte by byte.

Room:    beside the devices; the machine feeds it what the UART sends.
Never:   keeps more than a fixed amount of it, even of a guest that prints without end and without newline.
Holds:   a line is what lies between two newlines, cut to LONGEST bytes.
"""

import re
from collections import deque
from typing import Final, final

LINES: Final = 20
LONGEST: Final = 1024
_NEWLINE: Final = 0x0A
_STATUS: Final = re.compile(rb"EXIT: STATUS=(-?[0-9]{1,20})\r*")
_NO_STATUS: Final = 255
"""A status that a process cannot return becomes this one: 257 must not pass for 1."""


@final
class ConsoleWatch:
    """Looks for the exit status that kvm-unit-tests print and for a mark, and keeps the last lines."""

    __slots__ = ("_cut", "_keep", "_last", "_line", "_lines", "_mark", "_recent", "status")

    def __init__(self, mark: str = "", lines: int = LINES) -> None:
        """`mark`: the text to look for, "" for none; it may span lines.  `lines`: how many are kept."""
        self.status: int | None = None  # of the last line `EXIT: STATUS=n`, as a process would return it
        self._mark = mark.encode("utf-8", "surrogateescape")
        self._last = self._mark[-1] if self._mark else -1  # only this byte can complete it
        self._recent: deque[int] = deque(maxlen=len(self._mark))
        self._line = bytearray()
        self._cut = False  # the line was longer than LONGEST
        self._keep = lines
        self._lines: deque[str] = deque(maxlen=lines)

    def feed(self, byte: int) -> bool:
        """Look at the next byte; True if it completes the mark, each time it does."""
        if byte == _NEWLINE:
            self._end_line()
        elif len(self._line) < LONGEST:
            self._line.append(byte)
        else:
            self._cut = True
        self._recent.append(byte)
        return byte == self._last and bytes(self._recent) == self._mark

    def lines(self) -> list[str]:
        """Return the last lines, the unfinished one included, with `?` for what cannot be shown."""
        lines = list(self._lines)
        if self._line:
            lines.append(self._text())
        return lines[max(len(lines) - self._keep, 0) :]

    def _end_line(self) -> None:
        found = None if self._cut else _STATUS.fullmatch(self._line)
        if found is not None:
            status = int(found[1])
            self.status = status if 0 <= status <= _NO_STATUS else _NO_STATUS
        self._lines.append(self._text())
        self._line.clear()
        self._cut = False

    def _text(self) -> str:
        text = self._line.rstrip(b"\r").decode("utf-8", "replace")
        shown = "".join(char if char.isprintable() or char == "\t" else "?" for char in text)
        return f"{shown}..." if self._cut else shown
