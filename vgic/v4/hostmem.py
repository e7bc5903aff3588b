"""Machine memory for the tables that the GIC is given: blocks of 64 KiB and their multiples.

Room:    below everything that gives the GIC a table.
Owns:    the machine's memory from `base` on, which nobody else may use and which is zero at the start.
Holds:   a block that is handed out is zero, lies on a multiple of 64 KiB, and is nobody else's.
"""

from typing import Final, final

from hw import Memory
from vgic.errors import ENOMEM, VgicError

BLOCK: Final = 0x1_0000


@final
class Pages:
    """The host's allocator; `size` bytes at most."""

    __slots__ = ("_end", "_free", "_next", "memory", "used")

    def __init__(self, memory: Memory, base: int, size: int) -> None:
        """Nothing handed out yet."""
        self.memory = memory
        self._next = (base + BLOCK - 1) & -BLOCK
        self._end = base + size
        self._free: dict[int, list[int]] = {}  # size -> addresses
        self.used = 0  # bytes handed out

    @property
    def left(self) -> int:
        """How many single blocks can be handed out."""
        return max(self._end - self._next, 0) // BLOCK + len(self._free.get(BLOCK, ()))

    def take(self, size: int) -> int:
        """Return the address of `size` zero bytes.  Errors: ENOMEM."""
        size = (size + BLOCK - 1) & -BLOCK
        free = self._free.get(size)
        if free:
            address = free.pop()
        else:
            address = self._next
            if address + size > self._end:
                raise VgicError(ENOMEM, f"no {size:#x} bytes for a table of the GIC: {self.used:#x} are in use")
            self._next = address + size
        self.used += size
        return address

    def give(self, address: int, size: int) -> None:
        """Take back what `take` handed out with that size."""
        size = (size + BLOCK - 1) & -BLOCK
        self.memory.write_bytes(address, bytes(size))
        self._free.setdefault(size, []).append(address)
        self.used -= size
