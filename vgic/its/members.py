"""The events of each collection of one ITS, while one pass over its queue lasts.

Room:    below batch, beside lpisets.
Holds:   an event is in the group of its collection, and nowhere if it is an orphan.
         A group's set has the LPIs of its events; several events may share an LPI.
"""

from typing import TYPE_CHECKING, final

from vgic.irq import Irq

if TYPE_CHECKING:
    from vgic.its.devices import Collection, Device, Ite
    from vgic.its.lpisets import LpiSets
    from vgic.its.maps import Maps


@final
class Group:
    """The events of one collection, and their LPIs."""

    __slots__ = ("events", "lpis", "sharing")

    def __init__(self) -> None:
        """Build an empty group."""
        self.events: dict[tuple[Device, int], None] = {}  # a set that keeps its order
        self.sharing: dict[Irq, int] = {}  # how many events of the group share the LPI
        self.lpis = 0  # the set of them


@final
class Members:
    """Collection -> its events."""

    __slots__ = ("_groups", "_lpis")

    def __init__(self, maps: "Maps", lpis: "LpiSets") -> None:
        """Find the collection of every event there is."""
        self._lpis = lpis
        self._groups: dict[Collection, Group] = {}
        for device in maps.devices.values():
            for ite in device.ites():
                self.add(ite)

    def add(self, ite: "Ite") -> None:
        """An event has come to its collection."""
        if ite.collection is None:
            return
        group = self._groups.get(ite.collection)
        if group is None:
            group = self._groups[ite.collection] = Group()
        group.events[ite.device, ite.eventid] = None
        sharing = group.sharing.get(ite.irq, 0)
        group.sharing[ite.irq] = sharing + 1
        if not sharing:
            group.lpis |= self._lpis.bit(ite.irq)

    def remove(self, ite: "Ite") -> None:
        """An event is about to leave its collection, or go altogether."""
        if ite.collection is None:
            return
        group = self._groups[ite.collection]
        del group.events[ite.device, ite.eventid]
        sharing = group.sharing[ite.irq] - 1
        if sharing:
            group.sharing[ite.irq] = sharing
        else:
            del group.sharing[ite.irq]
            group.lpis ^= self._lpis.bit(ite.irq)

    def lpis_of(self, collection: "Collection") -> int:
        """Return the set of LPIs of a collection's events."""
        group = self._groups.get(collection)
        return 0 if group is None else group.lpis

    def orphan(self, collection: "Collection") -> None:
        """A collection goes: its events have none from now on."""
        group = self._groups.pop(collection, None)
        if group is not None:
            for device, eventid in group.events:
                device.move(eventid, None)
