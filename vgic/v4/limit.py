"""How fast a device may send its messages, and what waits until it may: a token bucket, and one bit for each vector.

Room:    below the host's devices, which know who has a limit; above the machine.
Owns:    the credit of one device, and which of its vectors have a message waiting.
Never:   loses a message: one is sent, or waits, or is merged with one of its vector that waits; or its vector is freed.
Holds:   a message waits only while there is no credit for it; they are sent in the order in which they began to wait.
         In any t cycles the device sends at most messages + t * messages / cycles.

No hypervisor can slow messages down that an ITS receives.  It can have the device keep them: with the mask bit of the
vector's entry in the MSI-X table, the device remembers one message in its pending bit array and sends it when unmasked.
Source: PCI Express Base Specification, MSI-X mask and pending bits.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from hw import Its, Machine


@final
class DeviceLimit:
    """The limit of one device: `messages` in `cycles`, at once or one after the other.

    Counters, which go on when the limit is changed:
    passed     messages sent at once
    throttled  messages that were not: released + merged + dropped + len(held)
    released   of those, sent later
    merged     of those, merged with one of the same vector that waited
    dropped    of those, gone with their vector (Host.free_msi)
    """

    __slots__ = (
        "_credit",
        "_held",
        "_its",
        "_machine",
        "_when",
        "cycles",
        "devid",
        "dropped",
        "merged",
        "messages",
        "passed",
        "released",
        "throttled",
    )

    def __init__(self, machine: "Machine", its: "Its", devid: int, messages: int, cycles: int) -> None:
        """With full credit."""
        self._machine = machine
        self._its = its
        self.devid = devid
        self.messages = messages
        self.cycles = cycles
        self._credit = messages * cycles  # a message takes `cycles`; a cycle brings `messages`
        self._when = machine.now  # up to when the credit is counted
        self._held: OrderedDict[int, None] = OrderedDict()  # EventIDs
        self.passed = 0
        self.throttled = 0
        self.released = 0
        self.merged = 0
        self.dropped = 0

    @property
    def held(self) -> tuple[int, ...]:
        """The EventIDs of the vectors that have a message waiting, the next one to be sent first."""
        return tuple(self._held)

    @property
    def due(self) -> int | None:
        """When the next of those is sent, by the machine's clock; None if there is none."""
        if not self._held:
            return None
        return self._when - (self._credit - self.cycles) // self.messages

    def send(self, eventid: int, times: int) -> None:
        """The device has that many messages of a vector: send what there is credit for."""
        self.release()
        sent = min(times, self._credit // self.cycles)
        for _ in range(sent):
            self._credit -= self.cycles
            self.passed += 1
            self._its.msi(self.devid, eventid)
        waiting = times - sent
        if waiting <= 0:
            return
        self.throttled += waiting
        self._its.cost.throttled += waiting
        self.merged += waiting if eventid in self._held else waiting - 1
        self._held[eventid] = None

    def release(self) -> None:
        """Send what there is credit for by now."""
        self._earn()
        while self._held and self._credit >= self.cycles:
            self._credit -= self.cycles
            self._send_next()

    def lift(self) -> None:
        """Send all that waits."""
        while self._held:
            self._send_next()

    def forget(self, eventid: int) -> None:
        """The vector goes, and a message of its that waits."""
        if eventid in self._held:
            del self._held[eventid]
            self.dropped += 1

    def change(self, messages: int, cycles: int) -> None:
        """Go on with another rate; what may be sent at once is what might have been, if that is not too much now."""
        self.release()
        self._credit = min(self._credit // self.cycles, messages) * cycles
        self.messages = messages
        self.cycles = cycles

    def check(self) -> None:
        """Assert the invariants."""
        assert 0 <= self._credit <= self.messages * self.cycles
        assert not self._held or self._credit < self.cycles, "a message waits that need not"
        assert self.throttled == self.released + self.merged + self.dropped + len(self._held)

    def _earn(self) -> None:
        """Count the credit up to now."""
        now = self._machine.now
        self._credit = min(self._credit + (now - self._when) * self.messages, self.messages * self.cycles)
        self._when = now

    def _send_next(self) -> None:
        eventid, _ = self._held.popitem(last=False)
        self.released += 1
        self._its.msi(self.devid, eventid)
