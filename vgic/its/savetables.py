"""The maps written to guest memory, for a later restore: KVM's table format 0.

Room:    beside the commands; used while no vCPU runs.
Never:   changes a map.
"""

from typing import TYPE_CHECKING

from vgic.errors import GuestMemoryError
from vgic.its.devices import Device
from vgic.its.entries import (
    CTE_TARGET_SHIFT,
    DTE_ITT_SHIFT,
    DTE_NEXT,
    DTE_NEXT_SHIFT,
    ITE_INTID_SHIFT,
    ITE_NEXT,
    ITE_NEXT_SHIFT,
    ITT_ALIGN_SHIFT,
    LAST,
    NOBODY,
)
from vgic.its.state import ENTRY_SIZE, VALID, Its
from vgic.its.tables import device_entry, table_base, table_size, write_entry

if TYPE_CHECKING:
    from vgic.dist import Dist


def save(its: Its) -> None:
    """ITS_SAVE_TABLES: vgic_its_save_tables_v0().  Errors: EACCES; EFAULT, with earlier entries written."""
    if its.dist.direct is not None:
        its.dist.direct.check_saveable()
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
        distance = reachable[n + 1][0].devid - device.devid if n + 1 < len(reachable) else LAST
        entry = (
            VALID
            | min(distance, DTE_NEXT) << DTE_NEXT_SHIFT
            | device.itt >> ITT_ALIGN_SHIFT << DTE_ITT_SHIFT
            | device.bits - 1
        )
        _store(its.dist, gpa, entry, f"the entry of device {device.devid:#x}")


def _save_events(its: Its, device: Device) -> None:
    """Write a device's events; an orphan as nothing, though its neighbour still points at it, as in Linux 6.12."""
    ites = device.ites()
    for n, ite in enumerate(ites):
        entry = 0
        if ite.collection is not None:
            distance = ites[n + 1].eventid - ite.eventid if n + 1 < len(ites) else LAST
            entry = min(distance, ITE_NEXT) << ITE_NEXT_SHIFT | ite.irq.intid << ITE_INTID_SHIFT | ite.collection.icid
        gpa = device.itt + ite.eventid * ENTRY_SIZE
        _store(its.dist, gpa, entry, f"the entry of event {ite.eventid:#x} of device {device.devid:#x}")


def _save_collections(its: Its) -> None:
    """Write the collections in order of creation, and an empty entry behind them unless the table is full."""
    gpa = table_base(its.collection_table)
    end = gpa + table_size(its.collection_table)
    for collection in its.maps.collections.values():
        target = NOBODY if collection.target is None else collection.target.vcpu_id
        _store(its.dist, gpa, VALID | target << CTE_TARGET_SHIFT | collection.icid, "the collection table")
        gpa += ENTRY_SIZE
    if gpa < end:
        _store(its.dist, gpa, 0, "the collection table")
