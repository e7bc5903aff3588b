"""The events of one device: sorted, sparse, and small when there is one.

Room:    below maps.
Holds:   the two lists run side by side, in ascending order of EventID.

Most devices have few events, and there may be many devices: a tree or a hash table for each would cost more
than all the rest of an LPI.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from vgic.its.maps import Ite


@final
class EventMap:
    """EventID -> Ite."""

    __slots__ = ("_eventids", "_ites")

    def __init__(self) -> None:
        """Build an empty map."""
        self._eventids: list[int] = []
        self._ites: list[Ite] = []

    def __len__(self) -> int:
        """Return how many events are mapped."""
        return len(self._eventids)

    def __iter__(self) -> Iterator[int]:
        """Walk the EventIDs in ascending order."""
        return iter(self._eventids)

    def __contains__(self, eventid: int) -> bool:
        """Whether the event is mapped."""
        return self.get(eventid) is not None

    def __getitem__(self, eventid: int) -> "Ite":
        """Return the entry.  KeyError if there is none."""
        ite = self.get(eventid)
        if ite is None:
            raise KeyError(eventid)
        return ite

    def get(self, eventid: int) -> "Ite | None":
        """Return the entry, or None."""
        eventids = self._eventids
        if not eventids:
            return None
        at = eventid - eventids[0]  # where it is if there are no gaps, as drivers have it: no search
        if 0 <= at < len(eventids) and eventids[at] == eventid:
            return self._ites[at]
        at = bisect_left(eventids, eventid)
        return self._ites[at] if at < len(eventids) and eventids[at] == eventid else None

    def __setitem__(self, eventid: int, ite: "Ite") -> None:
        """Map an event that is not mapped."""
        eventids = self._eventids
        if not eventids or eventids[-1] < eventid:  # in ascending order, as drivers do
            eventids.append(eventid)
            self._ites.append(ite)
            return
        at = bisect_left(eventids, eventid)
        assert eventids[at] != eventid, f"event {eventid} is mapped already"
        eventids.insert(at, eventid)
        self._ites.insert(at, ite)

    def __delitem__(self, eventid: int) -> None:
        """Unmap an event.  KeyError if it is not mapped."""
        at = bisect_left(self._eventids, eventid)
        if at == len(self._eventids) or self._eventids[at] != eventid:
            raise KeyError(eventid)
        del self._eventids[at], self._ites[at]

    def values(self) -> "list[Ite]":
        """Return the entries in ascending order of EventID; the map may change meanwhile."""
        return list(self._ites)

    def items(self) -> "list[tuple[int, Ite]]":
        """Return EventIDs and entries in ascending order; the map may change meanwhile."""
        return list(zip(self._eventids, self._ites, strict=True))
