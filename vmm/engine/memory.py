"""A machine's physical memory: RAM that every core and the VGIC share, and the stage-2 tables in front of it.

Room:    below the engine's cores.
Owns:    the mappings; they outlive every core that was given them.
Holds:   the tables map RAM, identically, and nothing else: every other guest physical address traps.
         They lie where no guest physical address is RAM, so that a guest cannot reach them.
"""

import ctypes
import struct
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final, final

PAGE: Final = 4096
TABLES_PA: Final = 1 << 39
"""Where the tables lie: just past what a 39-bit guest physical address reaches."""

_BLOCK_2M: Final = 1 << 21
_BLOCK_1G: Final = 1 << 30
_TABLE: Final = 3
_BLOCK: Final = 1 | 0xF << 2 | 3 << 6 | 3 << 8 | 1 << 10
"""Descriptor of a block: normal write-back memory, read and write, inner shareable, accessed."""


@final
class GuestRam:
    """`size` bytes of RAM from `base`, both multiples of 2 MiB; a page costs nothing until it is touched.

    It is a GuestMemory port for vgic.
    """

    __slots__ = ("_view", "base", "data", "end", "host_address", "size", "tables", "tables_address")

    def __init__(self, base: int, size: int) -> None:
        """Map the memory and build the tables.  Errors: OSError when the host has no room."""
        self.base = base
        self.size = size
        self.end = base + size
        self.data = mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        tables = _stage2(base, self.end)
        self.tables = mmap(-1, len(tables))
        self.tables[:] = tables
        # kept: an mmap with an exported view cannot be closed or resized under the engine
        self._view = (ctypes.c_char.from_buffer(self.data), ctypes.c_char.from_buffer(self.tables))
        self.host_address = ctypes.addressof(self._view[0])
        self.tables_address = ctypes.addressof(self._view[1])

    def read(self, gpa: int, size: int) -> bytes | None:
        """Return `size` bytes at `gpa`, or None if some of them are not RAM."""
        at = gpa - self.base
        return self.data[at : at + size] if at >= 0 and at + size <= self.size else None

    def write(self, gpa: int, data: bytes) -> bool:
        """Store `data` at `gpa`; False, and nothing stored, if some of it is not RAM."""
        at = gpa - self.base
        if at < 0 or at + len(data) > self.size:
            return False
        self.data[at : at + len(data)] = data
        return True

    def visible(self, gpa: int) -> bool:
        """Whether the page of `gpa` is RAM."""
        return self.base <= gpa < self.end


def _stage2(base: int, end: int) -> bytes:
    """Return a level-1 table at TABLES_PA and the level-2 tables after it, which map [base, end)."""
    level1 = [0] * 512
    level2: list[int] = []
    for gigabyte in range(base // _BLOCK_1G, -(-end // _BLOCK_1G)):
        start = gigabyte * _BLOCK_1G
        if base <= start and start + _BLOCK_1G <= end:
            level1[gigabyte] = start | _BLOCK
            continue
        level1[gigabyte] = TABLES_PA + PAGE + len(level2) * 8 | _TABLE
        level2 += (pa | _BLOCK if base <= pa < end else 0 for pa in range(start, start + _BLOCK_1G, _BLOCK_2M))
    entries = level1 + level2
    return struct.pack(f"<{len(entries)}Q", *entries)
