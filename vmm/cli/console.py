"""What a guest prints: shown at once, hashed, and searched for marks that have an answer.

Room:    between the machine, which sends each byte, and whoever shows it.
Never:   changes a byte; keeps more than the last lines, unless asked to keep all.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, final

from vmm.watch import ConsoleWatch

_NEWLINE: Final = 0x0A
_BATCH: Final = 4096
_TAIL: Final = 4096
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.)|$)", re.DOTALL)
_NAMED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"e": b"\x1b", b"0": b"\0", b"\\": b"\\", b"=": b"="}


class Reply(NamedTuple):
    """What to type each time the guest has printed `mark`.

    migrate  save the machine and go on with a rebuilt one, then type
    stop     type nothing: end the run with End.MARK
    """

    mark: str
    text: bytes = b""
    migrate: bool = False
    stop: bool = False


def parse_reply(text: str) -> Reply:
    r"""Return what MARK=TEXT means; in both, \n \r \t \e \0 \\ \= and \xHH are bytes.  Errors: ValueError."""
    match = re.fullmatch(rb"((?:[^\\=]|\\.)+)=(.*)", text.encode("utf-8", "surrogateescape"), re.DOTALL)
    if match is None:
        raise ValueError(f"{text!r} is not MARK=TEXT")
    return Reply(_text(_unescape(match[1])), _unescape(match[2]))


def parse_mark(text: str) -> str:
    """Return the mark that a command line means, with the same escapes.  Errors: ValueError."""
    mark = _text(_unescape(text.encode("utf-8", "surrogateescape")))
    if not mark:
        raise ValueError("an empty mark is never printed")
    return mark


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _unescape(text: bytes) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes.fromhex(match[1].decode())
        if match[2] not in _NAMED:
            raise ValueError(
                f"{match[0].decode(errors='replace')} is no escape: \\n \\r \\t \\e \\0 \\\\ \\= \\xHH are"
            )
        return _NAMED[match[2]]

    return _ESCAPE.sub(replace, text)


@final
class Console:
    """The host's end of a guest's console.

    watch    looks for an exit status and keeps the last lines
    count    of the bytes printed
    midline  the last one was no newline
    kept     all of them, if that was asked for; else empty
    """

    __slots__ = (
        "_due",
        "_hash",
        "_keep",
        "_pending",
        "_replies",
        "_show",
        "_tail",
        "count",
        "kept",
        "midline",
        "watch",
    )

    def __init__(
        self, show: Callable[[bytes], object] | None = None, replies: Sequence[Reply] = (), keep: bool = False
    ) -> None:
        """`show` is given the bytes, a line at a time or sooner; None shows nothing."""
        self._show = show
        self._keep = keep
        self._replies = [(ConsoleWatch(reply.mark, lines=0), reply) for reply in replies]
        self._due: list[Reply] = []
        self._pending = bytearray()  # printed and not yet shown
        self._hash = blake2b(digest_size=16)
        self._tail = b""  # the last of what was shown
        self.watch = ConsoleWatch()
        self.count = 0
        self.midline = False
        self.kept = bytearray()

    def put(self, byte: int) -> None:
        """The guest printed `byte`."""
        self._pending.append(byte)
        self.watch.feed(byte)
        for watch, reply in self._replies:
            if watch.feed(byte):
                self._due.append(reply)
        self.midline = byte != _NEWLINE
        if not self.midline or len(self._pending) >= _BATCH:
            self.flush()

    def remember(self, printed: bytes) -> None:
        """Take `printed` for what came before the first byte: not shown, nor counted, and answered already."""
        for byte in printed:
            self.watch.feed(byte)
            for watch, _ in self._replies:
                watch.feed(byte)
            self.midline = byte != _NEWLINE
        self._tail = printed[-_TAIL:]

    def tail(self) -> bytes:
        """Return the last of what was printed, for the console of whoever goes on with this machine."""
        self.flush()
        return self._tail

    def flush(self) -> None:
        """Show what was printed until now.  Errors: OSError when it cannot be written."""
        if self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            self.count += len(data)
            self._hash.update(data)
            self._tail = (self._tail + data)[-_TAIL:]
            if self._keep:
                self.kept += data
            if self._show is not None:
                self._show(data)

    def take_due(self) -> list[Reply]:
        """Return the replies whose marks were printed since the last call, in order."""
        due, self._due = self._due, []
        return due

    def digest(self) -> str:
        """The hash of everything printed, in hexadecimal digits."""
        self.flush()
        return self._hash.hexdigest()
