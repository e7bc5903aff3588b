"""The terminal as a guest's console: each key as it is typed, and the escape that leaves the guest.

Room:    below outside; alone changes the terminal's mode.
Owns:    the terminal's mode while a guest runs; it is as before afterwards, however the run ends.
Holds:   a key is either the guest's or part of the escape, never both.
"""

import os
import select
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, final

ESCAPE: Final = 0x01
LEAVE: Final = ord("x")
ESCAPE_HELP: Final = "Ctrl-A x leaves, Ctrl-A Ctrl-A is a Ctrl-A for the guest"

_CHUNK: Final = 4096
_LFLAG, _CC = 3, 6
_INPUT_FLAGS: Final = termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP
_LOCAL_FLAGS: Final = termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN


@contextmanager
def raw(fd: int) -> Iterator[bool]:
    """Hand every key on as it is typed, Ctrl-C included; says whether `fd` is a terminal at all.

    Output is still processed: kvm-unit-tests end their lines with a newline alone.
    """
    if not os.isatty(fd):
        yield False
        return
    before = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[0] &= ~_INPUT_FLAGS
    mode[_LFLAG] &= ~_LOCAL_FLAGS
    mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)
    try:
        yield True
    finally:
        with suppress(termios.error):  # it hung up
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


@final
class Keyboard:
    """What is typed at a file descriptor.

    left    the escape to leave was typed
    closed  nothing will ever come from here
    """

    __slots__ = ("_escaped", "_escapes", "_fd", "closed", "left")

    def __init__(self, fd: int, escapes: bool) -> None:
        """`escapes`: whether ESCAPE means something; in a file or a pipe it does not."""
        self._fd = fd
        self._escapes = escapes
        self._escaped = False  # the last key was ESCAPE
        self.left = False
        self.closed = False

    def read(self, seconds: float) -> bytes:
        """Return what was typed for the guest, waiting for at most `seconds`."""
        if self.closed or not select.select((self._fd,), (), (), max(seconds, 0))[0]:
            return b""
        try:
            data = os.read(self._fd, _CHUNK)
        except OSError:  # the terminal hung up
            data = b""
        if not data:
            self.closed = True
        return self._for_guest(data) if self._escapes else data

    def _for_guest(self, data: bytes) -> bytes:
        keys = bytearray()
        for key in data:
            if self._escaped:
                self._escaped = False
                if key == LEAVE:
                    self.left = True
                    break
                if key != ESCAPE:
                    keys.append(ESCAPE)
                keys.append(key)
            elif key == ESCAPE:
                self._escaped = True
            else:
                keys.append(key)
        return bytes(keys)
