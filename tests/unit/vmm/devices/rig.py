"""What the tests of all devices share: a wire that notes its changes, and accesses of every kind."""

import json
from typing import Final

from hypothesis import strategies as st

from vmm.devices.device import PAGE, Device

SIZES: Final = (1, 2, 4, 8)


class Wire:
    """An interrupt line: the level, and how often it changed; a call that changes nothing is a failure."""

    def __init__(self) -> None:
        self._level = False
        self.changes = 0

    def __call__(self, level: bool) -> None:
        assert level is not self._level, "a device drives its line only when the level changes"
        self._level = level
        self.changes += 1

    def high(self) -> bool:
        """Return the level; a method, as a type checker takes two looks at an attribute for the same."""
        return self._level


def accesses(registers: int) -> st.SearchStrategy[tuple[int, int, int | None]]:
    """Accesses (offset, size, value or None to read), mostly of the first `registers` bytes, some anywhere."""
    near = st.integers(0, registers // 4 - 1).map(lambda word: 4 * word)
    offsets = st.one_of(near, near, near, st.integers(0, registers), st.integers(0, PAGE - 1))
    values = st.one_of(st.none(), st.integers(0, 0xFF), st.integers(0, (1 << 64) - 1))
    return st.tuples(offsets, st.sampled_from(SIZES), values)


def access(device: Device, offset: int, size: int, value: int | None) -> int | None:
    """Make one access as the bus would; what was read fits into `size` bytes."""
    if offset + size > device.size:
        return None
    if value is not None:
        device.write(offset, size, value & (1 << 8 * size) - 1)
        return None
    read = device.read(offset, size)
    assert 0 <= read < 1 << 8 * size
    return read


def copy_state(source: Device, target: Device) -> None:
    """Save, through JSON as in a file, and load; saving again gives the same."""
    state = source.save()
    target.load(json.loads(json.dumps(state)))
    assert target.save() == state
