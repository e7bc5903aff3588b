"""What the GIC does by itself, told as it happens: to whoever asks.

Room:    below everything that translates, pends, offers and rings.
Owns:    the names of the events and their fields.
Never:   is called unless an embedder asked: the port is None, and is tested first.

    event        fields
    its_cmd      ITS, offset in the queue, the four words, error or ""
    xlate        ITS, DeviceID, EventID, what became of it: "lpi", "vlpi" or "dropped"
    lpi_pend     redistributor, INTID
    lpi_clear    redistributor, INTID; an acknowledge, too
    vint_pend    vPEID, INTID
    vint_clear   vPEID, INTID
    vint_ack     vPEID, INTID
    offer        redistributor, vPEID, INTID, priority, group
    withdraw     redistributor
    resid        redistributor, vPEID, old state, new state, PendingLast
    doorbell     vPEID, "default" or "individual", INTID, redistributor
    cache_fill   vPEID, INTID, configuration byte
    misuse       code, what did it, details
"""

from typing import final


class Tracer:
    """Told of every event."""

    def event(self, name: str, *fields: object) -> None:
        """`name` happened; `fields` are those of the table above."""
        raise NotImplementedError


@final
class TraceLog(Tracer):
    """Keeps the last `limit` events: tuples of name and fields."""

    def __init__(self, limit: int = 10_000) -> None:
        """Nothing happened yet."""
        self.limit = limit
        self.events: list[tuple[object, ...]] = []

    def event(self, name: str, *fields: object) -> None:
        """`name` happened."""
        if len(self.events) >= self.limit:
            del self.events[: self.limit // 2]
        self.events.append((name, *fields))

    def named(self, *names: str) -> list[tuple[object, ...]]:
        """The events of these names."""
        return [event for event in self.events if event[0] in names]
