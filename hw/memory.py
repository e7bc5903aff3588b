"""Physical memory: what tables, queues and the guest's RAM live in.

Room:    below everything that reads a table: redistributors, the ITS, an embedder's guest.
Owns:    the bytes; pages exist only once something other than zero was written to them.
Never:   knows what a byte means, maps addresses.
Holds:   every page lies inside base..base+size-1; what was never written reads as zero.

`read` and `write` are software's accesses, which an `owner` may watch; the GIC uses `load` and `store`.
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


class Owner:
    """Told of software's accesses to memory, some of which the GIC has made its own."""

    def reads(self, address: int, length: int) -> None:
        """Software reads `length` bytes."""

    def allows(self, address: int, data: bytes) -> bool:
        """Whether software's write of `data` takes place."""
        return True


@final
class Memory:
    """Sparse, little-endian memory of `size` bytes from physical address `base`.

    Accesses need no alignment and may cross pages.  Outside the memory they raise BusError.
    """

    __slots__ = ("_pages", "base", "owner", "size")

    def __init__(self, size: int = SIZE_1T, base: int = 0) -> None:
        """Create zeroed memory; ValueError unless `size` is positive and `base` is not negative."""
        if size <= 0 or base < 0:
            raise ValueError(f"memory of size={size:#x} bytes at base={base:#x} cannot exist")
        self.base = base
        self.size = size
        self._pages: dict[int, bytearray] = {}  # page number -> its bytes
        self.owner: Owner | None = None

    def contains(self, address: int, length: int) -> bool:
        """Whether all of the `length` bytes from `address` are memory."""
        return address >= self.base and address + length <= self.base + self.size

    # Software's accesses

    def read(self, address: int, size: int) -> int:
        """The little-endian value of `size` bytes (1, 2, 4 or 8) at `address`."""
        if self.owner is not None:
            self.owner.reads(address, size)
        return self.load(address, size)

    def write(self, address: int, size: int, value: int) -> None:
        """Store the low `size` bytes (1, 2, 4 or 8) of `value`, little-endian, at `address`."""
        self.write_bytes(address, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"))

    def read_bytes(self, address: int, length: int) -> bytes:
        """The `length` bytes from `address`."""
        if self.owner is not None:
            self.owner.reads(address, length)
        return self.load_bytes(address, length)

    def write_bytes(self, address: int, data: bytes) -> None:
        """Store `data` from `address` on; nothing is stored if any of it lies outside."""
        if self.owner is None or self.owner.allows(address, data):
            self.store_bytes(address, data)

    # The GIC's accesses

    def load(self, address: int, size: int) -> int:
        """The little-endian value of `size` bytes (1, 2, 4 or 8) at `address`."""
        at = address & PAGE_MASK
        if at + size > PAGE_SIZE or not self.contains(address, size):
            return int.from_bytes(self.load_bytes(address, size), "little")
        page = self._pages.get(address >> PAGE_BITS)
        return 0 if page is None else int.from_bytes(page[at : at + size], "little")

    def store(self, address: int, size: int, value: int) -> None:
        """Store the low `size` bytes (1, 2, 4 or 8) of `value`, little-endian, at `address`."""
        self.store_bytes(address, (value & ((1 << 8 * size) - 1)).to_bytes(size, "little"))

    def load_bytes(self, address: int, length: int) -> bytes:
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

    def store_bytes(self, address: int, data: bytes) -> None:
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

    def zero(self, address: int, length: int) -> None:
        """Store `length` zeroes from `address` on."""
        for at, data in self.nonzero(address, length):
            self.store_bytes(at, bytes(len(data)))

    def nonzero(self, address: int, length: int) -> list[tuple[int, bytes]]:
        """The parts of `length` bytes from `address` with anything but zeroes: where each starts, its bytes."""
        self._require(address, length)
        found = []
        end = address + length
        for number in range(address >> PAGE_BITS, end + PAGE_MASK >> PAGE_BITS):
            page = self._pages.get(number)
            if page is not None:
                start = max(address, number << PAGE_BITS)
                at = start & PAGE_MASK
                part = bytes(page[at : at + end - start])
                if any(part):
                    found.append((start, part))
        return found

    def ones(self, address: int, length: int) -> int:
        """How many bits of `length` bytes from `address` are set."""
        return sum(int.from_bytes(data, "little").bit_count() for _, data in self.nonzero(address, length))

    def _require(self, address: int, length: int) -> None:
        if not self.contains(address, length):
            raise BusError(address, length, self.base, self.size)
