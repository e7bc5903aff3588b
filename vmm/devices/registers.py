"""Devices made of 32-bit registers: decode one access, once for all of them.

Room:    between device and the devices.
Owns:    what an access of another size or alignment does.
Holds:   a register's value changes only in the bits it keeps.

    access                        reads as                              writes
    1, 2 or 4 bytes, aligned      the register's low bytes              the value, zeros above it
    8 bytes, aligned              two neighbours, the lower one first   two neighbours, the lower one first
    not at a multiple of 4        zero                                  nothing
    where no register is          zero                                  nothing

Narrow writes clear the rest: PrimeCells lie on a bus without byte lanes, and both users of bytes, early consoles and
kvm-unit-tests, mean a whole register of which they know the upper bits to be zero.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, final

from vmm.devices.device import Device, Json
from vmm.devices.saved import Saved

W32: Final = 0xFFFF_FFFF


@final
class Register:
    """One 32-bit register.

    takes  the bits that a guest's write sets
    keeps  the bits that are state, and saved; those of `takes` are
    value  what it reads as, unless `read` says otherwise; the bits not kept are constant
    write  told what was written once the bits of `takes` are set
    """

    __slots__ = ("keeps", "name", "offset", "read", "takes", "value", "write")

    def __init__(
        self,
        name: str,
        offset: int,
        takes: int = 0,
        value: int = 0,
        *,
        keeps: int = 0,
        read: Callable[[], int] | None = None,
        write: Callable[[int], None] | None = None,
    ) -> None:
        """`value`: at reset."""
        self.name = name
        self.offset = offset
        self.takes = takes
        self.keeps = keeps | takes
        self.value = value
        self.read = read
        self.write = write


def primecell(part: int, revision: int) -> tuple[Register, ...]:
    """Return the identification registers of Arm's PrimeCell PL`part` (in hexadecimal)."""
    designer = 0x41
    periph = part | designer << 12 | revision << 20
    cell = 0xB105_F00D
    return (
        *(Register(f"PeriphID{n}", 0xFE0 + 4 * n, value=periph >> 8 * n & 0xFF) for n in range(4)),
        *(Register(f"PCellID{n}", 0xFF0 + 4 * n, value=cell >> 8 * n & 0xFF) for n in range(4)),
    )


class RegisterDevice(Device):
    """A device that is a table of registers."""

    __slots__ = ("_registers",)

    def __init__(self, name: str, size: int, registers: Iterable[Register]) -> None:
        """`registers`: all there are, at multiples of 4 below `size`."""
        super().__init__(name, size)
        self._registers: dict[int, Register] = {}
        for register in registers:
            offset = register.offset
            assert not offset & 3, f"{register.name} lies at {offset:#x}"
            assert 0 <= offset < size, f"{register.name} lies at {offset:#x} of {size:#x} bytes"
            assert offset not in self._registers, f"{register.name} lies where {self._registers[offset].name} does"
            self._registers[offset] = register

    @final
    def read(self, offset: int, size: int) -> int:
        """Read one register, or two with 8 bytes."""
        if offset & 3:
            return 0
        value = self._get(offset)
        if size < 4:
            return value & (1 << 8 * size) - 1
        return value if size == 4 else value | self._get(offset + 4) << 32

    @final
    def write(self, offset: int, size: int, value: int) -> None:
        """Write one register, or two with 8 bytes."""
        if offset & 3:
            return
        if size <= 4:
            self._put(offset, value & (1 << 8 * size) - 1)
            return
        self._put(offset, value & W32)
        self._put(offset + 4, value >> 32 & W32)

    def _get(self, offset: int) -> int:
        register = self._registers.get(offset)
        if register is None:
            return 0
        return register.value if register.read is None else register.read()

    def _put(self, offset: int, value: int) -> None:
        register = self._registers.get(offset)
        if register is None:
            return
        if register.takes:
            register.value = register.value & ~register.takes | value & register.takes
        if register.write is not None:
            register.write(value)

    def save(self) -> dict[str, Json]:
        """Return what the registers keep, by name."""
        return {register.name: register.value & register.keeps for register in self._state()}

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned.  Errors: ConfigError, and nothing changed."""
        saved = Saved(self.name, state)
        kept = self._read_kept(saved)
        saved.finish()
        self._keep(kept)

    def _state(self) -> list[Register]:
        return [register for register in self._registers.values() if register.keeps]

    def _read_kept(self, saved: Saved) -> list[int]:
        """Read what each register keeps; `_keep` takes it over.  Errors: ConfigError."""
        return [saved.number(register.name, register.keeps) for register in self._state()]

    def _keep(self, kept: list[int]) -> None:
        for register, value in zip(self._state(), kept, strict=True):
            register.value = register.value & ~register.keeps | value
