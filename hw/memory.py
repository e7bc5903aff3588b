"""Physical memory: what tables, queues and the guest's RAM live in.

Room:    below everything that reads a table: redistributors, the ITS, an embedder's guest.
Owns:    the bytes; pages exist only once something other than zero was written to them.
Never:   knows what a byte means, maps addresses.
Holds:   every page lies inside base..base+size-1; what was never written reads as zero.
"""

from typing import Final, final

PAGE_BITS: Final = 12
PAGE_SIZE: Final = 1 << PAGE_BITS
PAGE_MASK: Final = PAGE_SIZE - 1
SIZE_1T: Final = 1 << 40


class BusError(Exception):
    """An access outside the memory: an external abort.  Modelled hardware asks `contains` first."""

    def __init__(self, address: int, length: int, base: int, size: int) -> None:
        """Name the access and the memory that it missed."""
        super().__init__(f"no memory at {address:#x}..{address + length:#x}; it is {base:#x}..{base + size:#x}")
        self.address = address
        self.length = length


@final
class Memory:
    """Sparse, little-endian memory of `size` bytes from physical address `base`.

    Accesses need no alignment and may cross pages.  Outside the memory they raise BusError.
    """

    __slots__ = ("_pages", "base", "size")

    def __init__(self, size: int = SIZE_1T, base: int = 0) -> None:
        """Create zeroed memory; ValueError unless `size` is positive and `base` is not negative."""
        if size <= 0 or base < 0:
            raise ValueError(f"memory of size={size:#x} bytes at base={base:#x} cannot exist")
        self.base = base
        self.size = size
        self._pages: dict[int, bytearray] = {}  # page number -> its bytes

    def contains(self, address: int, length: int) -> bool:
        """Whether all of the `length` bytes from `address` are memory."""
        return address >= self.base and address + length <= self.base + self.size

    def read(self, address: int, size: int) -> int:
        """The little-endian value of `size` bytes (1, 2, 4 or 8) at `address`."""
        at = address & PAGE_MASK
        if at + size > PAGE_SIZE or not self.contains(address, size):
            return int.from_bytes(self.read_bytes(address, size), "little")
        page = self._pages.get(address >> PAGE_BITS)
        return 0 if page is None else int.from_bytes(page[at : at + size], "little")

    def write(self, address: int, size: int, value: int) -> None:
        """Store the low `size` bytes (1, 2, 4 or 8) of `value`, little-endian, at `address`."""
        self.write_bytes(address, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"))

    def read_bytes(self, address: int, length: int) -> bytes:
        """The `length` bytes from `address`."""
        self._require(address, length)
        data = bytearray(length)
        done = 0
        while done < length:
            at = address + done & PAGE_MASK
            chunk = min(PAGE_SIZE - at, length - done)
            page = self._pages.get(address + done >> PAGE_BITS)
            if page is not None:
                data[done : done + chunk] = page[at : at + chunk]
            done += chunk
        return bytes(data)

    def write_bytes(self, address: int, data: bytes) -> None:
        """Store `data` from `address` on; nothing is stored if any of it lies outside."""
        self._require(address, len(data))
        done = 0
        while done < len(data):
            number = address + done >> PAGE_BITS
            at = address + done & PAGE_MASK
            part = data[done : done + PAGE_SIZE - at]
            page = self._pages.get(number)
            if page is not None:
                page[at : at + len(part)] = part
            elif any(part):
                page = self._pages[number] = bytearray(PAGE_SIZE)
                page[at : at + len(part)] = part
            done += len(part)

    def _require(self, address: int, length: int) -> None:
        if not self.contains(address, length):
            raise BusError(address, length, self.base, self.size)
