"""A DMA test engine, such as reference platforms have to exercise their IOMMU: frames of registers, and a vector each.

Room:    above its MSI-X table.
Owns:    the registers.
Never:   touches memory but through the port, which is what the IOMMU lets it reach.
Holds:   a transaction is over when the write of COMMAND returns; its vector has been fired by then.

    offset   of each frame, 64 bytes
    0x00     COMMAND       write: start; read: the last one
    0x04     STATUS        of the last transaction
    0x08     BEGIN         address of the first byte (8 bytes, as the next three)
    0x10     END           address of the last byte
    0x18     TARGET        COPY: where to
    0x20     VALUE         FILL: the seed; after each command: the sum of the 64-bit words moved
    0x28     VECTOR        fired at the end
    0x2C     TRANSACTIONS  how many there were

The registers are ours.  Every range is one of whole 64-bit words.
"""

from struct import unpack
from typing import Final, Protocol, final

from vgic.cli.demos.msix import MsixTable

FRAME: Final = 64
COMMAND: Final = 0x00
STATUS: Final = 0x04
BEGIN: Final = 0x08
END: Final = 0x10
TARGET: Final = 0x18
VALUE: Final = 0x20
VECTOR: Final = 0x28
TRANSACTIONS: Final = 0x2C

COPY: Final = 1
FILL: Final = 2
SUM: Final = 3
COMMANDS: Final = {"copy": COPY, "fill": FILL, "sum": SUM}

IDLE: Final = 0
DONE: Final = 1
FAULT: Final = 2
MISCONFIGURED: Final = 3
STATUSES: Final = {IDLE: "idle", DONE: "done", FAULT: "fault", MISCONFIGURED: "misconfigured"}

BYTES_PER_CYCLE: Final = 8
"""How fast it is: an assumption, for the duration of a transaction."""

_WORD: Final = 8
_U64: Final = (1 << 64) - 1
_WIDTHS: Final = {COMMAND: 4, STATUS: 4, BEGIN: 8, END: 8, TARGET: 8, VALUE: 8, VECTOR: 4, TRANSACTIONS: 4}
_READ_ONLY: Final = (STATUS, TRANSACTIONS)
_MAX_BYTES: Final = 1 << 20

# The generator of FILL: the 48-bit one of drand48(3)
_MULTIPLIER: Final = 0x5_DEEC_E66D
_INCREMENT: Final = 0xB
_U48: Final = (1 << 48) - 1


class DmaPort(Protocol):
    """Memory as the device reaches it."""

    def read(self, gpa: int, size: int) -> bytes | None:
        """Return the bytes, or None if some of them are out of reach."""

    def write(self, gpa: int, data: bytes) -> bool:
        """Store the bytes; False if some are out of reach."""


@final
class DmaEngine:
    """The engine, with `frames` frames."""

    __slots__ = ("_frames", "_memory", "_msix")

    def __init__(self, frames: int, memory: DmaPort, msix: MsixTable) -> None:
        """Reset."""
        self._memory = memory
        self._msix = msix
        self._frames = [dict.fromkeys(_WIDTHS, 0) for _ in range(frames)]

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return FRAME * len(self._frames)

    def read(self, offset: int, size: int) -> int:
        """Read a register; zero for another width, or where there is none."""
        frame, register = divmod(offset, FRAME)
        return self._frames[frame][register] if _WIDTHS.get(register) == size else 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register; COMMAND starts a transaction."""
        number, register = divmod(offset, FRAME)
        if _WIDTHS.get(register) != size or register in _READ_ONLY:
            return
        frame = self._frames[number]
        frame[register] = value & (1 << 8 * size) - 1
        if register == COMMAND:
            frame[STATUS] = self._execute(frame)
            frame[TRANSACTIONS] += 1
            if frame[VECTOR] < len(self._msix):
                self._msix.fire(frame[VECTOR])

    def _execute(self, frame: dict[int, int]) -> int:
        begin, size = frame[BEGIN], frame[END] + 1 - frame[BEGIN]
        if begin % _WORD or size % _WORD or not 0 < size <= _MAX_BYTES or frame[COMMAND] not in COMMANDS.values():
            return MISCONFIGURED
        data = _random(frame[VALUE], size) if frame[COMMAND] == FILL else self._memory.read(begin, size)
        if data is None:
            return FAULT
        if frame[COMMAND] != SUM and not self._memory.write(frame[TARGET] if frame[COMMAND] == COPY else begin, data):
            return FAULT
        frame[VALUE] = sum64(data)
        return DONE


def sum64(data: bytes) -> int:
    """Return the sum of little-endian 64-bit words, modulo 2^64."""
    words: tuple[int, ...] = unpack(f"<{len(data) // _WORD}Q", data)
    return sum(words) & _U64


def _random(seed: int, size: int) -> bytes:
    state = seed & _U48
    words = []
    for _ in range(size // _WORD):
        state = state * _MULTIPLIER + _INCREMENT & _U48
        words.append(state.to_bytes(_WORD, "little"))
    return b"".join(words)
