"""What an ITS has been told: devices, their events, collections.

Room:    below the commands, which alone change it.
Owns:    the maps, and the LPI references that events hold.
Holds:   an event's collection is one of the same ITS, or None (an orphan).
         Devices are sorted and sparse; collections are in order of creation, as they are saved.
"""

from typing import TYPE_CHECKING, Final, final

from sortedcontainers import SortedDict

from vgic.irq import Irq
from vgic.its.devices import Collection, Device, Ite

if TYPE_CHECKING:
    from vgic.lpis import LpiStore


CACHE_KEY_SHIFT: Final = 16

DEFAULT_CAP: Final = 1 << 17
"""Devices, collections and events that the ITSs of one VM may map together, unless the VMM chooses."""


@final
class Budget:
    """What the ITSs of one VM may map: KVM leaves it to the VMM's memory limit, where an allocation then fails.

    `refused` counts what did not fit; the guest sees a command without effect, as after KVM's -ENOMEM.
    """

    __slots__ = ("cap", "refused", "used")

    def __init__(self, cap: int) -> None:
        """Allow `cap` devices, collections and events in all."""
        self.cap = cap
        self.used = 0
        self.refused = 0

    def take(self) -> bool:
        """Take one; False, and counted as refused, if there is none left."""
        if self.used >= self.cap:
            self.refused += 1
            return False
        self.used += 1
        return True


@final
class Maps:
    """All maps of one ITS, and the cache of translations in front of them."""

    __slots__ = ("_lpis", "budget", "cache", "collections", "devices")

    def __init__(self, lpis: "LpiStore", budget: Budget) -> None:
        """Build empty maps; references go back to `lpis`, and what is mapped comes out of `budget`."""
        self._lpis = lpis
        self.budget = budget
        self.devices: SortedDict[int, Device] = SortedDict()
        self.collections: dict[int, Collection] = {}
        self.cache: dict[int, Irq] = {}  # DeviceID << 16 | EventID -> LPI, which holds a reference

    def find(self, devid: int, eventid: int) -> Ite | None:
        """Return the entry of an event, or None: find_ite()."""
        device = self.devices.get(devid)
        return None if device is None else device.ite(eventid)

    def add_device(self, device: Device) -> bool:
        """Map a device; False if the budget is spent."""
        if not self.budget.take():
            return False
        self.devices[device.devid] = device
        return True

    def add_collection(self, collection: Collection) -> bool:
        """Map a collection, or make its placeholder; False if the budget is spent."""
        if not self.budget.take():
            return False
        self.collections[collection.icid] = collection
        return True

    def remove_placeholder(self, collection: Collection) -> None:
        """Remove a collection that has no events."""
        del self.collections[collection.icid]
        self.budget.used -= 1

    def remember(self, devid: int, eventid: int, irq: Irq) -> None:
        """Cache a translation: vgic_its_cache_translation()."""
        key = devid << CACHE_KEY_SHIFT | eventid
        if key not in self.cache:
            irq.refs += 1
            self.cache[key] = irq

    def forget(self, irq: Irq) -> None:
        """Forget the cached translations to one LPI, which must not be latched any more."""
        for key in [key for key, cached in self.cache.items() if cached is irq]:
            self._lpis.put(self.cache.pop(key))

    def drop_cache(self) -> None:
        """Forget every cached translation: vgic_its_invalidate_cache()."""
        if self.cache:
            cached = self.cache
            self.cache = {}
            for irq in cached.values():
                self._lpis.put(irq)

    def remove_event(self, device: Device, at: int) -> None:
        """Remove the event there: its_free_ite().  Empty the cache first."""
        irq = device.irqs[at]
        device.remove(at)
        self.budget.used -= 1
        if irq.direct is not None:
            irq.direct.drop()
        self._lpis.put(irq)

    def remove_device(self, device: Device) -> None:
        """Remove a device with all its events: vgic_its_free_device()."""
        self.drop_cache()
        for irq in device.irqs:
            if irq.direct is not None:
                irq.direct.drop()
            self._lpis.put(irq)
        self.budget.used -= 1 + len(device.irqs)
        del self.devices[device.devid]

    def remove_devices(self) -> None:
        """Remove every device: vgic_its_free_device_list()."""
        for device in list(self.devices.values()):
            self.remove_device(device)

    def remove_collection(self, collection: Collection) -> None:
        """Remove a collection; its events become orphans: vgic_its_free_collection()."""
        del self.collections[collection.icid]
        self.budget.used -= 1
        for device in self.devices.values():
            device.collections = [None if each is collection else each for each in device.collections]

    def remove_collections(self) -> None:
        """Remove every collection: vgic_its_free_collection_list()."""
        self.budget.used -= len(self.collections)
        self.collections = {}
        for device in self.devices.values():
            device.collections = [None] * len(device.collections)

    def retarget(self, collection: Collection) -> None:
        """Send the LPI of every event of `collection` to its target: update_affinity_collection()."""
        for device in self.devices.values():
            for irq, each in zip(device.irqs, device.collections, strict=True):
                if each is collection:
                    irq.target = collection.target
                    if irq.direct is not None:
                        irq.direct.retarget(collection.target)
