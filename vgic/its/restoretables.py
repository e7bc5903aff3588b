"""The maps read back from guest memory: KVM's table format 0.

Room:    beside the commands; used while no vCPU runs.
Holds:   a restore that fails leaves an ITS without devices and collections.

How long it takes: whatever a guest plants, each entry that is not empty becomes a device, a collection or an event, of
which the VM's budget allows so many (`its_cap`), or ends the restore; a run of empty ones is found once (vacancy), by
reading it in blocks.  What is left is one step for each device, event, and entry of a first level.
"""

from typing import TYPE_CHECKING, Final, final

from vgic.errors import EEXIST, EINVAL, ENOMEM, ConfigError, GuestMemoryError, VgicError
from vgic.ids import FIRST_LPI
from vgic.its.devices import Collection, Device
from vgic.its.entries import (
    CTE_TARGET_SHIFT,
    DTE_BITS,
    DTE_ITT,
    DTE_ITT_SHIFT,
    DTE_NEXT,
    DTE_NEXT_SHIFT,
    ICID,
    ITE_INTID,
    ITE_INTID_SHIFT,
    ITE_NEXT,
    ITE_NEXT_SHIFT,
    ITT_ALIGN_SHIFT,
    LAST,
    LEVEL1_PAGE,
    NOBODY,
)
from vgic.its.events import map_event
from vgic.its.state import ENTRY_SIZE, INDIRECT, TABLE_PAGE, VALID, Its
from vgic.its.tables import L2_ENTRIES, collection_fits, device_entry, event_entry, read_entry, table_base, table_size
from vgic.its.vacancy import Vacancy

if TYPE_CHECKING:
    from vgic.dist import Dist

_MAX_EVENT_BITS: Final = 16
_DEVICE_TABLE: Final = "the device table"


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
        icid = entry & ICID
        target_id = entry >> CTE_TARGET_SHIFT & NOBODY
        target = its.dist.by_id.get(target_id)
        if target is None and target_id != NOBODY:
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
    scanner = _Scanner(its)
    if its.device_table & INDIRECT:
        _scan_pages(scanner, base, size)
    else:
        scanner.devices(base, size, 0)


def _scan_pages(scanner: "_Scanner", base: int, size: int) -> None:
    """Walk the second level of a device table, page by page."""
    empty: set[int] = set()
    gpa, end = base, base + size
    while gpa < end:
        level1 = _load(scanner.its.dist, gpa, _DEVICE_TABLE)
        if not level1 & VALID:
            gpa = scanner.skip_invalid(gpa, end)
            continue
        page = level1 & LEVEL1_PAGE
        if page not in empty:
            if scanner.skip_invalid(page, page + TABLE_PAGE) == page + TABLE_PAGE:
                empty.add(page)
            elif scanner.devices(page, TABLE_PAGE, (gpa - base) // ENTRY_SIZE * L2_ENTRIES):
                return
        gpa += ENTRY_SIZE


@final
class _Scanner:
    """Walks tables of devices and of events as their entries point at each other: scan_its_table()."""

    __slots__ = ("_invalid", "_no_event", "its")

    def __init__(self, its: Its) -> None:
        self.its = its
        memory = its.dist.memory
        self._invalid = Vacancy(memory, VALID)
        self._no_event = Vacancy(memory, ITE_INTID << ITE_INTID_SHIFT)

    def skip_invalid(self, gpa: int, end: int) -> int:
        """Return where the first entry lies that is valid or no RAM, of a device table's first or second level."""
        return self._invalid.skip(gpa, end)

    def devices(self, base: int, size: int, first: int) -> bool:
        """Restore the devices of a table whose first entry is that of DeviceID `first`; True if one was the last."""
        at = 0
        while (gpa := self._invalid.skip(base + at * ENTRY_SIZE, base + size)) < base + size:
            at = (gpa - base) // ENTRY_SIZE
            entry = _load(self.its.dist, gpa, _DEVICE_TABLE)
            device = _restore_device(self.its, first + at, entry)
            try:
                self._events(device)
            except VgicError:
                self.its.maps.remove_device(device)
                raise
            distance = entry >> DTE_NEXT_SHIFT & DTE_NEXT
            if distance == LAST:
                return True
            at += distance
        return False

    def _events(self, device: Device) -> None:
        what = f"the events of device {device.devid:#x}"
        base = gpa = device.itt
        end = base + (ENTRY_SIZE << device.bits)
        while (gpa := self._no_event.skip(gpa, end)) < end:
            entry = _load(self.its.dist, gpa, what)
            distance = _restore_event(self.its, device, (gpa - base) // ENTRY_SIZE, entry)
            if distance == LAST:
                return
            gpa += distance * ENTRY_SIZE


def _restore_device(its: Its, devid: int, entry: int) -> Device:
    """Map the device of an entry that is valid, without its events: vgic_its_restore_dte()."""
    bits = (entry & DTE_BITS) + 1
    if bits > _MAX_EVENT_BITS:
        raise ConfigError(EINVAL, f"device {devid:#x} has {bits} bits of EventID")
    if device_entry(its, devid) is None:
        raise ConfigError(EINVAL, f"device {devid:#x} does not fit its table")
    if devid in its.maps.devices:  # KVM would have it twice
        raise VgicError(EEXIST, f"device {devid:#x} exists already")
    device = Device(devid, (entry >> DTE_ITT_SHIFT & DTE_ITT) << ITT_ALIGN_SHIFT, bits)
    if not its.maps.add_device(device):
        _check_budget(its)
    return device


def _restore_event(its: Its, device: Device, eventid: int, entry: int) -> int:
    """Map the event of an entry that is not empty; return the distance to the next: vgic_its_restore_ite()."""
    intid = entry >> ITE_INTID_SHIFT & ITE_INTID
    distance = entry >> ITE_NEXT_SHIFT & ITE_NEXT
    what = f"event {eventid:#x} of device {device.devid:#x}"
    if intid < FIRST_LPI:
        raise ConfigError(EINVAL, f"{what} names INTID {intid}, which is no LPI")
    if eventid + distance >= 1 << device.bits:
        raise ConfigError(EINVAL, f"{what} points past the end of its table")
    collection = its.maps.collections.get(entry & ICID)
    if collection is None:
        raise ConfigError(EINVAL, f"{what} is in collection {entry & ICID}, which does not exist")
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
