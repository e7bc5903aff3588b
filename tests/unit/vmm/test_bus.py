"""The VMM's bus: which device an access belongs to."""

from typing import Final, NamedTuple

import pytest

from vmm.bus import Bus
from vmm.config import ConfigError
from vmm.devices.raz import RazWi


class Find(NamedTuple):
    """Devices as (base, size), an access, and which of them it belongs to, at which offset."""

    devices: list[tuple[int, int]]
    gpa: int
    size: int
    want: tuple[int, int] | None


FINDS: Final = {
    "its first byte": Find([(0x1000, 16)], 0x1000, 1, (0, 0)),
    "its last byte": Find([(0x1000, 16)], 0x100F, 1, (0, 15)),
    "its last word": Find([(0x1000, 16)], 0x1008, 8, (0, 8)),
    "one byte before": Find([(0x1000, 16)], 0xFFF, 1, None),
    "one byte after": Find([(0x1000, 16)], 0x1010, 1, None),
    "from before into it": Find([(0x1000, 16)], 0xFFE, 4, None),
    "from it past its end": Find([(0x1000, 16)], 0x100E, 4, None),
    "across two neighbours": Find([(0x1000, 16), (0x1010, 16)], 0x100C, 8, None),
    "the second neighbour": Find([(0x1000, 16), (0x1010, 16)], 0x1010, 4, (1, 0)),
    "added out of order": Find([(0x3000, 16), (0x1000, 16), (0x2000, 16)], 0x2004, 4, (2, 4)),
    "between two": Find([(0x1000, 16), (0x2000, 16)], 0x1800, 4, None),
    "no devices": Find([], 0, 1, None),
    "the end of the address space": Find([((1 << 64) - 16, 16)], (1 << 64) - 8, 8, (0, 8)),
    "past the end of the address space": Find([((1 << 64) - 16, 16)], (1 << 64) - 4, 8, None),
}


@pytest.mark.parametrize("row", FINDS.values(), ids=FINDS)
def test_an_access_belongs_to_the_device_that_has_all_of_it(row: Find) -> None:
    bus = Bus()
    devices = [RazWi(size) for _, size in row.devices]
    for (base, _), device in zip(row.devices, devices, strict=True):
        bus.add(base, device)
    assert bus.find(row.gpa, row.size) == (None if row.want is None else (devices[row.want[0]], row.want[1]))
    assert [base for base, _ in bus.devices()] == sorted(base for base, _ in row.devices)


CLASHES: Final = {
    "the same range": (0x1000, 16),
    "the first byte": (0xFF8, 9),
    "the last byte": (0x100F, 1),
    "inside": (0x1004, 4),
    "around": (0xFF0, 64),
    "a neighbour below and this one": (0xE00, 0x300),
    "a negative base": (-16, 16),
    "past the end of the address space": ((1 << 64) - 15, 16),
    "no bytes": (0x5000, 0),
}


@pytest.mark.parametrize("clash", CLASHES.values(), ids=CLASHES)
def test_what_cannot_lie_there_is_refused_with_the_addresses(clash: tuple[int, int]) -> None:
    bus = Bus()
    bus.add(0x1000, RazWi(16, "first"))
    bus.add(0x10F0, RazWi(16, "second"))
    base, size = clash
    with pytest.raises(ConfigError, match=f"third at {base:#x}"):
        bus.add(base, RazWi(size, "third"))
    assert len(bus.devices()) == 2, "a refused device is not there"
