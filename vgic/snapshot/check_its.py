"""Does an ITS in a snapshot contradict itself, or the VM around it?

Room:    beside check, which calls it.
"""

from typing import Final, NoReturn

from vgic.errors import StateError
from vgic.ids import ITS_SIZE, SIZE_64K
from vgic.its.state import BASER_FIXED, BASER_RESET, TYPE_COLLECTIONS, TYPE_DEVICES, VALID
from vgic.snapshot.records import ItsRecord, VmRecord

_QUEUE_PAGES: Final = 0xFF
_QUEUE_PAGE: Final = 4096
_COMMAND: Final = 32
_ITT_ALIGNMENT: Final = 256


def _refuse(where: str, why: str) -> NoReturn:
    raise StateError(where, why)


def check_its(vm: VmRecord) -> None:
    """Raise StateError for the first contradiction in any ITS."""
    lpis = {irq.intid for irq in vm.lpis}
    for n, its in enumerate(vm.its):
        at = f"its[{n}]"
        if its.base is not None and (its.base % SIZE_64K or its.base + ITS_SIZE > 1 << vm.ipa_bits):
            _refuse(f"{at}.base", f"{its.base:#x} is not 64 KiB aligned, or beyond the guest's address space")
        _registers(its, at)
        _collections(its, len(vm.vcpus), at)
        _devices(its, lpis, at)
        _cache(its, lpis, at)


def _registers(its: ItsRecord, at: str) -> None:
    for name, value, kind in (
        ("device_table", its.device_table, TYPE_DEVICES),
        ("collection_table", its.collection_table, TYPE_COLLECTIONS),
    ):
        fixed = BASER_RESET & BASER_FIXED | kind
        if value & BASER_FIXED != fixed:
            _refuse(f"{at}.{name}", f"{value:#x} differs in fixed fields, which are {fixed:#x}")
    size = ((its.cbaser & _QUEUE_PAGES) + 1) * _QUEUE_PAGE
    for name, offset in (("creadr", its.creadr), ("cwriter", its.cwriter)):
        if offset >= size or offset % _COMMAND:
            _refuse(f"{at}.{name}", f"{offset:#x} is no command in a queue of {size:#x} bytes")
    if its.enabled:
        if not its.device_table & its.collection_table & its.cbaser & VALID:
            _refuse(f"{at}.enabled", "it is set, but a table or the queue is not valid")
        if its.creadr != its.cwriter:
            _refuse(f"{at}.creadr", f"commands up to {its.cwriter:#x} are left, though the ITS is enabled")


def _collections(its: ItsRecord, nr_vcpus: int, at: str) -> None:
    seen: set[int] = set()
    for n, collection in enumerate(its.collections):
        if collection.icid in seen:
            _refuse(f"{at}.collections[{n}].icid", f"collection {collection.icid} is there twice")
        seen.add(collection.icid)
        if collection.target is not None and collection.target >= nr_vcpus:
            _refuse(f"{at}.collections[{n}].target", f"there is no vCPU {collection.target}")


def _devices(its: ItsRecord, lpis: set[int], at: str) -> None:
    icids = {collection.icid for collection in its.collections}
    last_device = -1
    for n, device in enumerate(its.devices):
        here = f"{at}.devices[{n}]"
        if device.devid <= last_device:
            _refuse(f"{here}.devid", f"{device.devid} comes after {last_device}")
        last_device = device.devid
        if device.itt % _ITT_ALIGNMENT or device.itt >> 52:
            _refuse(f"{here}.itt", f"{device.itt:#x} is not 256-byte aligned, or has more than 52 bits")
        last_event = -1
        for i, event in enumerate(device.events):
            there = f"{here}.events[{i}]"
            if event.eventid <= last_event:
                _refuse(f"{there}.eventid", f"{event.eventid} comes after {last_event}")
            last_event = event.eventid
            if event.eventid >> device.bits:
                _refuse(f"{there}.eventid", f"{event.eventid} has more than {device.bits} bits")
            if event.intid not in lpis:
                _refuse(f"{there}.intid", f"there is no LPI {event.intid}")
            if event.icid is not None and event.icid not in icids:
                _refuse(f"{there}.icid", f"there is no collection {event.icid}")


def _cache(its: ItsRecord, lpis: set[int], at: str) -> None:
    last = (-1, -1)
    for n, cached in enumerate(its.cache):
        here = f"{at}.cache[{n}]"
        if (cached.devid, cached.eventid) <= last:
            _refuse(here, f"device {cached.devid}, event {cached.eventid} is not in order, or there twice")
        last = (cached.devid, cached.eventid)
        if cached.intid not in lpis:
            _refuse(f"{here}.intid", f"there is no LPI {cached.intid}")


def lpi_holders(vm: VmRecord) -> set[int]:
    """Return the INTIDs that some event or cached translation refers to."""
    held: set[int] = set()
    for its in vm.its:
        for device in its.devices:
            held.update(event.intid for event in device.events)
        held.update(cached.intid for cached in its.cache)
    return held
