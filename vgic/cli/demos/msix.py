"""An MSI-X table: which message each vector of a PCI device sends, and which have to wait.

Room:    below the device that owns it, and the VMM that shows its guest another one.
Owns:    address, data, mask bit and pending bit of each vector, and the function's enable and mask.
Holds:   a vector is pending only while it is masked, or all are.

    offset   of each entry, 16 bytes
    0x0      message address (8 bytes)
    0x8      message data
    0xC      vector control; bit 0: masked

Source: PCI Express Base Specification, MSI-X table structure.
"""

from typing import Final, final

ENTRY: Final = 16
DATA: Final = 8
CONTROL: Final = 12
MASKED: Final = 1

_U32: Final = 0xFFFF_FFFF


class MsixPort:
    """Where messages go, and who is told that the table was written."""

    def message(self, vector: int, address: int, data: int) -> None:
        """`vector` is sent: a write of `data` to `address`."""

    def changed(self, vector: int) -> None:
        """The entry of `vector` was written, or what enables it."""


@final
class MsixTable:
    """The table of a function with `vectors` vectors; as after reset: disabled, every vector masked."""

    __slots__ = ("_address", "_data", "_enabled", "_masked", "_pending", "_port")

    def __init__(self, vectors: int, port: MsixPort) -> None:
        """Reset."""
        self._port = port
        self._enabled = False
        self._address = [0] * vectors
        self._data = [0] * vectors
        self._masked = [True] * vectors
        self._pending = [False] * vectors

    def __len__(self) -> int:
        return len(self._masked)

    def enable(self, on: bool) -> None:
        """Write the capability's MSI-X Enable."""
        self._enabled = on
        for vector in range(len(self)):
            self._settle(vector)

    def fire(self, vector: int) -> None:
        """The function has something to say: send, or remember."""
        self._pending[vector] = True
        self._send(vector)

    def sends(self, vector: int) -> bool:
        """Whether that vector would be sent at once."""
        return self._enabled and not self._masked[vector]

    def is_pending(self, vector: int) -> bool:
        """The bit of the pending bit array."""
        return self._pending[vector]

    def entry(self, vector: int) -> tuple[int, int]:
        """The address and data of a vector."""
        return self._address[vector], self._data[vector]

    def set_entry(self, vector: int, address: int, data: int, masked: bool) -> None:
        """Write a whole entry."""
        self._address[vector] = address
        self._data[vector] = data
        self._masked[vector] = masked
        self._settle(vector)

    def read(self, offset: int, size: int) -> int:
        """Read 4 or 8 aligned bytes of the table; what is no entry reads as zero."""
        vector, at = divmod(offset, ENTRY)
        if vector >= len(self) or size not in (4, 8) or offset % size:
            return 0
        entry = self._address[vector] | (self._data[vector] | self._masked[vector] << 32) << 64
        return entry >> 8 * at & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        """Write 4 or 8 aligned bytes of the table."""
        if size == 8 and not offset % 8:
            self.write(offset, 4, value & _U32)
            self.write(offset + 4, 4, value >> 32)
            return
        vector, at = divmod(offset, ENTRY)
        if vector >= len(self) or size != 4 or offset % 4:
            return
        if at == CONTROL:
            self._masked[vector] = value & MASKED != 0
        elif at == DATA:
            self._data[vector] = value & _U32
        else:
            shift = 8 * at
            self._address[vector] = self._address[vector] & ~(_U32 << shift) | (value & _U32) << shift
        self._settle(vector)

    def _settle(self, vector: int) -> None:
        self._port.changed(vector)
        if self._pending[vector]:
            self._send(vector)

    def _send(self, vector: int) -> None:
        if self.sends(vector):
            self._pending[vector] = False
            self._port.message(vector, self._address[vector], self._data[vector])
