"""Where table entries lie in guest memory, and their formats (ABI revision 0).

Room:    below the commands and save and restore.
Never:   trusts the guest: an address is used only if its page is RAM, and read anew each time.
"""

from typing import TYPE_CHECKING, Final

from vgic.its.state import ENTRY_SIZE, INDIRECT, TABLE_PAGE, VALID

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.its.devices import Device
    from vgic.its.state import Its

MAX_ID: Final = 0xFFFF
"""DeviceIDs and collection ids have 16 bits."""

L2_ENTRIES: Final = TABLE_PAGE // ENTRY_SIZE

_PA_47_16: Final = 0xFFFF_FFFF_0000
_PA_51_48: Final = 0xF << 12
_L1_ADDRESS: Final = 0xF_FFFF_FFFF_0000
_PAGES: Final = 0xFF


def table_base(baser: int) -> int:
    """Return the guest physical address a GITS_BASER names: bits 47:16, and 51:48 from bits 15:12."""
    return baser & _PA_47_16 | (baser & _PA_51_48) << 36


def table_size(baser: int) -> int:
    """Return the bytes of the table, of its first level if it has two."""
    return ((baser & _PAGES) + 1) * TABLE_PAGE


def read_entry(dist: "Dist", gpa: int) -> int | None:
    """Return the 8-byte little-endian entry at `gpa`, or None if it is not RAM."""
    memory = dist.memory
    data = None if memory is None else memory.read(gpa, ENTRY_SIZE)
    return None if data is None else int.from_bytes(data, "little")


def write_entry(dist: "Dist", gpa: int, value: int) -> bool:
    """Store an 8-byte little-endian entry; False if it is not writable RAM."""
    memory = dist.memory
    return memory is not None and memory.write(gpa, value.to_bytes(ENTRY_SIZE, "little"))


def _visible(dist: "Dist", gpa: int) -> bool:
    memory = dist.memory
    return memory is not None and memory.visible(gpa)


def device_entry(its: "Its", devid: int) -> int | None:
    """Return where the entry of a DeviceID lies, or None if it cannot be stored: vgic_its_check_id()."""
    if devid > MAX_ID:
        return None
    baser = its.device_table
    base, size = table_base(baser), table_size(baser)
    if not baser & INDIRECT:
        gpa = base + devid * ENTRY_SIZE
        return gpa if devid < size // ENTRY_SIZE and _visible(its.dist, gpa) else None
    index = devid // L2_ENTRIES
    if index >= size // ENTRY_SIZE:
        return None
    level1 = read_entry(its.dist, base + index * ENTRY_SIZE)
    if level1 is None or not level1 & VALID:
        return None
    gpa = (level1 & _L1_ADDRESS) + devid % L2_ENTRIES * ENTRY_SIZE
    return gpa if _visible(its.dist, gpa) else None


def collection_fits(its: "Its", icid: int) -> bool:
    """Whether a collection with that id can be stored: vgic_its_check_id()."""
    base, size = table_base(its.collection_table), table_size(its.collection_table)
    return icid < size // ENTRY_SIZE and _visible(its.dist, base + icid * ENTRY_SIZE)


def event_entry(its: "Its", device: "Device", eventid: int) -> int | None:
    """Return where the entry of an EventID lies, or None if it cannot be stored: vgic_its_check_event_id()."""
    gpa = device.itt + eventid * ENTRY_SIZE
    return gpa if eventid < 1 << device.bits and _visible(its.dist, gpa) else None
