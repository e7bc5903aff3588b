"""Guest RAM for a VMM that has none of its own.

Room:    beside ports: a ready GuestMemory.
Holds:   regions do not overlap; what lies outside them is no RAM.
"""

from mmap import mmap
from typing import Final, final

PAGE: Final = 4096


@final
class Ram:
    """RAM in one or several regions, zero filled; a page costs nothing until it is touched."""

    __slots__ = ("_regions",)

    def __init__(self) -> None:
        """Build a VM's memory without any region."""
        self._regions: list[tuple[int, mmap]] = []

    def add(self, base: int, size: int) -> None:
        """Add `size` bytes from guest physical address `base`.  ValueError if there are none, or they overlap."""
        if base < 0 or size <= 0:
            raise ValueError(f"there is no RAM of {size} bytes at {base}")
        for other, data in self._regions:
            if base < other + len(data) and other < base + size:
                raise ValueError(f"RAM {base:#x}..{base + size:#x} overlaps what lies at {other:#x}")
        self._regions.append((base, mmap(-1, size)))

    def read(self, gpa: int, size: int) -> bytes | None:
        """Return `size` bytes at `gpa`, or None if some of them are not RAM."""
        for base, data in self._regions:
            at = gpa - base
            if at >= 0 and at + size <= len(data):
                return data[at : at + size]
        return None

    def write(self, gpa: int, data: bytes) -> bool:
        """Store `data` at `gpa`; False, and nothing stored, if some of it is not RAM."""
        for base, stored in self._regions:
            at = gpa - base
            if at >= 0 and at + len(data) <= len(stored):
                stored[at : at + len(data)] = data
                return True
        return False

    def visible(self, gpa: int) -> bool:
        """Whether the page of `gpa` is RAM."""
        page = gpa & ~(PAGE - 1)
        return any(base <= page + PAGE - 1 and page < base + len(data) for base, data in self._regions)
