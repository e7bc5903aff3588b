"""A machine's RAM as it is saved: the pages in which something is.

Room:    beside the engine's memory.
Holds:   a page that is not among the pieces is zero.
"""

from typing import Final

from vmm.engine.memory import PAGE, GuestRam

_BLOCK: Final = 2 << 20
_ZERO_PAGE: Final = bytes(PAGE)
_ZERO_BLOCK: Final = bytes(_BLOCK)

Piece = tuple[int, bytes]
"""Guest physical address and contents."""


def pieces(ram: GuestRam) -> tuple[Piece, ...]:
    """Return everything that is not zero, in order of address: whole pages, in pieces of up to 2 MiB."""
    found: list[Piece] = []
    for at in range(0, ram.size, _BLOCK):
        block = ram.data[at : at + _BLOCK]
        if block != _ZERO_BLOCK:
            found += _runs(ram.base + at, block)
    return tuple(found)


def _runs(gpa: int, block: bytes) -> list[Piece]:
    """Split off the zero pages."""
    runs: list[Piece] = []
    start = -1
    for at in range(0, _BLOCK, PAGE):
        if block[at : at + PAGE] != _ZERO_PAGE:
            if start < 0:
                start = at
        elif start >= 0:
            runs.append((gpa + start, block[start:at]))
            start = -1
    if start >= 0:
        runs.append((gpa + start, block[start:]))
    return runs
