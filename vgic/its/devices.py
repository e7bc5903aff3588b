"""The devices of an ITS and the events of each: sorted, sparse, and small when there is one.

Room:    below maps, which alone adds and removes; whoever moves an event to another collection says so to batch.
Holds:   the columns of a device run side by side, in ascending order of EventID.
         Each event holds one reference of its LPI.

Most devices have few events, and there may be many devices: a tree or a hash table for each would cost more than all
the rest of an LPI.  Where one device has many, a message finds nothing of its LPI in the processor's caches: columns
are dense, and no object of the event's own lies between them and the LPI.
"""

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple, final

from vgic.irq import Irq

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic

NOT_MAPPED: Final = -1
GAPS: Final = -1


@final
class Collection:
    """A group of events that go to one vCPU (KVM: struct its_collection)."""

    __slots__ = ("icid", "target")

    def __init__(self, icid: int, target: "VcpuGic | None") -> None:
        """Build a collection; without a target it is a placeholder, not mapped yet."""
        self.icid = icid
        self.target = target


@final
class Device:
    """A device and its events (KVM: struct its_device)."""

    __slots__ = ("bits", "collections", "devid", "eventids", "first", "irqs", "itt")

    def __init__(self, devid: int, itt: int, bits: int) -> None:
        """Build a device with EventIDs of `bits` bits and its translation table at guest physical address `itt`."""
        self.devid = devid
        self.itt = itt
        self.bits = bits  # 1..16
        self.first = 0  # its lowest EventID if there are no gaps, as drivers have it; otherwise GAPS
        self.eventids = array("H")
        self.irqs: list[Irq] = []
        self.collections: list[Collection | None] = []  # None: an orphan

    def at(self, eventid: int) -> int:
        """Return where the event is in the columns, or NOT_MAPPED."""
        first = self.first
        if first != GAPS:  # no search
            at = eventid - first
            return at if 0 <= at < len(self.irqs) else NOT_MAPPED
        eventids = self.eventids
        at = bisect_left(eventids, eventid)
        return at if at < len(eventids) and eventids[at] == eventid else NOT_MAPPED

    def add(self, eventid: int, irq: Irq, collection: Collection | None) -> None:
        """Map an event that is not mapped; a reference of `irq` becomes its own."""
        eventids = self.eventids
        if not eventids or eventids[-1] < eventid:  # in ascending order, as drivers do
            eventids.append(eventid)
            self.irqs.append(irq)
            self.collections.append(collection)
        else:
            at = bisect_left(eventids, eventid)
            assert eventids[at] != eventid, f"event {eventid} is mapped already"
            eventids.insert(at, eventid)
            self.irqs.insert(at, irq)
            self.collections.insert(at, collection)
        self._derive()

    def remove(self, at: int) -> None:
        """Unmap the event there; its reference is the caller's."""
        del self.eventids[at], self.irqs[at], self.collections[at]
        self._derive()

    def _derive(self) -> None:
        """Set `first` anew."""
        eventids = self.eventids
        if not eventids:
            self.first = 0
        elif eventids[-1] - eventids[0] == len(eventids) - 1:
            self.first = eventids[0]
        else:
            self.first = GAPS

    def move(self, eventid: int, collection: Collection | None) -> None:
        """Put an event that is mapped in another collection, or in none."""
        at = self.at(eventid)
        assert at != NOT_MAPPED, f"event {eventid} is not mapped"
        self.collections[at] = collection

    def ite(self, eventid: int) -> "Ite | None":
        """Return what is known of an event, or None."""
        at = self.at(eventid)
        return None if at == NOT_MAPPED else Ite(self, eventid, self.irqs[at], self.collections[at])

    def ites(self) -> "list[Ite]":
        """Return what is known of every event, in ascending order of EventID."""
        columns = zip(self.eventids, self.irqs, self.collections, strict=True)
        return [Ite(self, eventid, irq, collection) for eventid, irq, collection in columns]


class Ite(NamedTuple):
    """An interrupt translation entry as it was when asked for: one event of one device (KVM: struct its_ite)."""

    device: Device
    eventid: int
    irq: Irq
    collection: Collection | None
