"""Guest physical address to device: what an access that left RAM and missed the GIC's frames belongs to.

Room:    above the devices, below machine.
Owns:    where each device lies.
Holds:   ranges are in order of base and do not overlap.
"""

from bisect import bisect_right
from typing import final

from vmm.config import ConfigError
from vmm.devices.device import Device


@final
class Bus:
    """The devices of one machine."""

    __slots__ = ("_bases", "_devices")

    def __init__(self) -> None:
        """Build an empty bus."""
        self._bases: list[int] = []
        self._devices: list[Device] = []  # in the order of _bases

    def add(self, base: int, device: Device) -> None:
        """Put `device` at `base`.  Errors: ConfigError if something lies there, or no access could reach it."""
        end = base + device.size
        if base < 0 or device.size <= 0 or end > 1 << 64:
            raise ConfigError(f"{device.name} at {base:#x}: {device.size:#x} bytes do not fit into 64 address bits")
        at = bisect_right(self._bases, base)
        for neighbour in range(max(at - 1, 0), min(at + 1, len(self._bases))):
            other, there = self._devices[neighbour], self._bases[neighbour]
            if base < there + other.size and there < end:
                raise ConfigError(
                    f"{device.name} at {base:#x}..{end:#x} overlaps {other.name} at {there:#x}..{there + other.size:#x}"
                )
        self._bases.insert(at, base)
        self._devices.insert(at, device)

    def find(self, gpa: int, size: int) -> tuple[Device, int] | None:
        """Return the device that contains all of [gpa, gpa + size) and the offset in it, or None."""
        at = bisect_right(self._bases, gpa) - 1
        if at < 0:
            return None
        device = self._devices[at]
        offset = gpa - self._bases[at]
        return (device, offset) if offset + size <= device.size else None

    def devices(self) -> list[tuple[int, Device]]:
        """Return the devices with their bases, in order of base."""
        return list(zip(self._bases, self._devices, strict=True))
