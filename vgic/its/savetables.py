"""The maps in guest memory, across save and restore: KVM's table format 0.

Room:    beside the commands; used while no vCPU runs.
Holds:   a restore that fails leaves an ITS without devices and collections.

Entries are 8 bytes, little-endian:
    device      valid[63], distance to the next device[62:49], ITT address[51:8] at [48:5], EventID bits - 1 [4:0]
    collection  valid[63], target vCPU id[47:16] (all ones: a placeholder), collection id[15:0]
    event       distance to the next event[63:48], INTID[47:16] (0: none), collection id[15:0]
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vgic.errors import EEXIST, EINVAL, ENOMEM, ConfigError, GuestMemoryError, VgicError
from vgic.ids import FIRST_LPI
from vgic.its.events import map_event
from vgic.its.maps import Collection, Device
from vgic.its.state import ENTRY_SIZE, INDIRECT, TABLE_PAGE, VALID, Its
from vgic.its.tables import (
    L2_ENTRIES,
    collection_fits,
    device_entry,
    event_entry,
    read_entry,
    table_base,
    table_size,
    write_entry,
)

if TYPE_CHECKING:
    from vgic.dist import Dist

_DTE_NEXT_SHIFT: Final = 49
_DTE_NEXT: Final = 0x3FFF
_DTE_ITT_SHIFT: Final = 5
_DTE_ITT: Final = 0xFFF_FFFF_FFFF
_DTE_BITS: Final = 0x1F
_MAX_EVENT_BITS: Final = 16
_ITT_ALIGN_SHIFT: Final = 8

_CTE_TARGET_SHIFT: Final = 16
_U32: Final = 0xFFFF_FFFF
_ICID: Final = 0xFFFF

_ITE_NEXT_SHIFT: Final = 48
_ITE_NEXT: Final = 0xFFFF
_ITE_INTID_SHIFT: Final = 16

_LAST: Final = 0


def save(its: Its) -> None:
    """ITS_SAVE_TABLES: vgic_its_save_tables_v0().  Errors: EFAULT, with earlier entries written."""
    if its.device_table & VALID:
        _save_devices(its)
    if its.collection_table & VALID:
        _save_collections(its)


def _store(dist: "Dist", gpa: int, entry: int, what: str) -> None:
    if not write_entry(dist, gpa, entry):
        raise GuestMemoryError(gpa, what)


def _save_devices(its: Its) -> None:
    """Write the devices that can be stored, in order; one that the guest made unreachable is left out."""
    reachable = [
        (device, gpa) for device in its.maps.devices.values() if (gpa := device_entry(its, device.devid)) is not None
    ]
    for n, (device, gpa) in enumerate(reachable):
        _save_events(its, device)
        distance = reachable[n + 1][0].devid - device.devid if n + 1 < len(reachable) else _LAST
        entry = (
            VALID
            | min(distance, _DTE_NEXT) << _DTE_NEXT_SHIFT
            | device.itt >> _ITT_ALIGN_SHIFT << _DTE_ITT_SHIFT
            | device.bits - 1
        )
        _store(its.dist, gpa, entry, f"the entry of device {device.devid:#x}")


def _save_events(its: Its, device: Device) -> None:
    """Write a device's events; an orphan as nothing, though its neighbour still points at it, as in Linux 6.12."""
    ites = list(device.ites.values())
    for n, ite in enumerate(ites):
        entry = 0
        if ite.collection is not None:
            distance = ites[n + 1].eventid - ite.eventid if n + 1 < len(ites) else _LAST
            entry = (
                min(distance, _ITE_NEXT) << _ITE_NEXT_SHIFT | ite.irq.intid << _ITE_INTID_SHIFT | ite.collection.icid
            )
        gpa = device.itt + ite.eventid * ENTRY_SIZE
        _store(its.dist, gpa, entry, f"the entry of event {ite.eventid:#x} of device {device.devid:#x}")


def _save_collections(its: Its) -> None:
    """Write the collections in order of creation, and an empty entry behind them unless the table is full."""
    gpa = table_base(its.collection_table)
    end = gpa + table_size(its.collection_table)
    for collection in its.maps.collections.values():
        target = _U32 if collection.target is None else collection.target.vcpu_id
        _store(its.dist, gpa, VALID | target << _CTE_TARGET_SHIFT | collection.icid, "the collection table")
        gpa += ENTRY_SIZE
    if gpa < end:
        _store(its.dist, gpa, 0, "the collection table")


def restore(its: Its) -> None:
    """ITS_RESTORE_TABLES: vgic_its_restore_tables_v0().

    Errors: EFAULT for an entry that is not RAM; EEXIST for a collection or device that is there; EINVAL for anything
    that contradicts itself.  Pending bits already taken from guest memory are not put back.
    """
    if its.collection_table & VALID:
        try:
            _restore_collections(its)
        except VgicError:
            its.maps.remove_collections()
            raise
    if its.device_table & VALID:
        try:
            _restore_devices(its)
        except VgicError:
            its.maps.remove_devices()
            its.maps.remove_collections()
            raise


def _load(dist: "Dist", gpa: int, what: str) -> int:
    entry = read_entry(dist, gpa)
    if entry is None:
        raise GuestMemoryError(gpa, what)
    return entry


def _restore_collections(its: Its) -> None:
    gpa = table_base(its.collection_table)
    end = gpa + table_size(its.collection_table)
    while gpa < end:
        entry = _load(its.dist, gpa, "the collection table")
        if not entry & VALID:
            return
        icid = entry & _ICID
        target_id = entry >> _CTE_TARGET_SHIFT & _U32
        target = its.dist.by_id.get(target_id)
        if target is None and target_id != _U32:
            raise ConfigError(EINVAL, f"collection {icid} goes to vCPU id {target_id}, which does not exist")
        if icid in its.maps.collections:
            raise VgicError(EEXIST, f"collection {icid} exists already")
        if not collection_fits(its, icid):
            raise ConfigError(EINVAL, f"collection {icid} does not fit its table")
        if not its.maps.add_collection(Collection(icid, target)):
            _check_budget(its)
        gpa += ENTRY_SIZE


def _restore_devices(its: Its) -> None:
    base, size = table_base(its.device_table), table_size(its.device_table)
    what = "the device table"
    if not its.device_table & INDIRECT:
        _scan(its, base, size, 0, what, _restore_device)
        return
    index = 0
    while index < size // ENTRY_SIZE:
        level1 = _load(its.dist, base + index * ENTRY_SIZE, what)
        if level1 & VALID:
            page = level1 & 0xF_FFFF_FFFF_0000
            if _scan(its, page, TABLE_PAGE, index * L2_ENTRIES, what, _restore_device):
                return
        index += 1


def _scan(its: Its, base: int, size: int, first: int, what: str, take: Callable[[Its, int, int], int]) -> bool:
    """Walk entries as they point at each other; True if one said that it is the last: scan_its_table().

    take  told of the ID and the entry; returns the distance to the next, 1 past an empty one, 0 at the end.
    """
    at = 0
    while at * ENTRY_SIZE < size:
        entry = _load(its.dist, base + at * ENTRY_SIZE, what)
        distance = take(its, first + at, entry)
        if distance == _LAST:
            return True
        at += distance
    return False


def _restore_device(its: Its, devid: int, entry: int) -> int:
    if not entry & VALID:
        return 1
    bits = (entry & _DTE_BITS) + 1
    if bits > _MAX_EVENT_BITS:
        raise ConfigError(EINVAL, f"device {devid:#x} has {bits} bits of EventID")
    if device_entry(its, devid) is None:
        raise ConfigError(EINVAL, f"device {devid:#x} does not fit its table")
    if devid in its.maps.devices:  # KVM would have it twice
        raise VgicError(EEXIST, f"device {devid:#x} exists already")
    device = Device(devid, (entry >> _DTE_ITT_SHIFT & _DTE_ITT) << _ITT_ALIGN_SHIFT, bits)
    if not its.maps.add_device(device):
        _check_budget(its)

    def take(its: Its, eventid: int, event: int) -> int:
        return _restore_event(its, device, eventid, event)

    try:
        _scan(its, device.itt, ENTRY_SIZE << bits, 0, f"the events of device {devid:#x}", take)
    except VgicError:
        its.maps.remove_device(device)
        raise
    return entry >> _DTE_NEXT_SHIFT & _DTE_NEXT


def _restore_event(its: Its, device: Device, eventid: int, entry: int) -> int:
    intid = entry >> _ITE_INTID_SHIFT & _U32
    distance = entry >> _ITE_NEXT_SHIFT & _ITE_NEXT
    if not intid:
        return 1
    what = f"event {eventid:#x} of device {device.devid:#x}"
    if intid < FIRST_LPI:
        raise ConfigError(EINVAL, f"{what} names INTID {intid}, which is no LPI")
    if eventid + distance >= 1 << device.bits:
        raise ConfigError(EINVAL, f"{what} points past the end of its table")
    collection = its.maps.collections.get(entry & _ICID)
    if collection is None:
        raise ConfigError(EINVAL, f"{what} is in collection {entry & _ICID}, which does not exist")
    if event_entry(its, device, eventid) is None:
        raise ConfigError(EINVAL, f"{what} does not lie in RAM")
    if not map_event(its, device, eventid, intid, collection):
        _check_budget(its)
        raise GuestMemoryError(device.itt + eventid * ENTRY_SIZE, f"the configuration or pending byte of {what}")
    return distance


def _check_budget(its: Its) -> None:
    budget = its.maps.budget
    if budget.used >= budget.cap:
        raise VgicError(ENOMEM, f"the ITSs of this VM may map {budget.cap} devices, collections and events")
