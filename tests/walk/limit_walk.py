"""Seeded random walks of devices that send as fast as they like, some with a limit, beside a naive model of each.

Room:    above the rig of vgic/v4; a guest's device, one of the host's with a limit, one without.
Owns:    the naive model, which knows no credit and no bucket: for each device the time before which its next message is
         too early (the generic cell rate algorithm, ITU-T I.371), in fractions, and a list of vectors that wait.
Holds:   after every step the ITSs have got exactly the messages that the model says, when it says, in its order;
         nothing is lost: a message was sent, waits, was merged with one that waits, or went with its vector.
         In no stretch of t cycles does a device with a limit send more than messages + t * messages / cycles.
         At the end each handler, and each guest, was told of every vector that sent something.
"""

import random
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Final, final

from hw.trace import TraceLog
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, host40, make_host
from vgic import DeviceLimit, HostMsi

NR_VECTORS: Final = 3
HOSTS_OWN: Final = 200  # a device with vectors that go to the host
FREE: Final = 300  # one that never has a limit
DEVIDS: Final = (DEV, HOSTS_OWN, FREE)

Arrival = tuple[int, int, int]  # time, DeviceID, EventID


@final
class NaiveDevice:
    """What one device sends, and when."""

    def __init__(self, devid: int) -> None:
        self.devid = devid
        self.rate: tuple[int, int] | None = None  # messages, cycles
        self.expected = Fraction(0)  # when the next message would come, were they spread evenly
        self.waiting: list[int] = []
        self.merged = self.dropped = self.attempts = 0
        self.since: list[int] = []  # times of what was sent under the limit

    def earliest(self) -> int:
        """When the next message may be sent."""
        assert self.rate is not None
        messages, cycles = self.rate
        return ceil(self.expected - (messages - 1) * Fraction(cycles, messages))

    def limit(self, messages: int, cycles: int, now: int) -> None:
        self.rate = (messages, cycles)
        self.expected = Fraction(now)
        self.since = []

    def _sent(self, now: int, eventid: int) -> Arrival:
        if self.rate is not None:
            messages, cycles = self.rate
            self.expected = max(self.expected, Fraction(now)) + Fraction(cycles, messages)
            self.since.append(now)
        return now, self.devid, eventid

    def fire(self, now: int, eventid: int, times: int) -> list[Arrival]:
        sent = self.until(now, now)
        self.attempts += times
        for _ in range(times):
            if self.rate is None or self.earliest() <= now:
                sent.append(self._sent(now, eventid))
            elif eventid in self.waiting:
                self.merged += 1
            else:
                self.waiting.append(eventid)
        return sent

    def until(self, now: int, late: int) -> list[Arrival]:
        """What is sent by then, each when it is due, but not before `late`."""
        sent = []
        while self.waiting and self.earliest() <= now:
            sent.append(self._sent(max(self.earliest(), late), self.waiting.pop(0)))
        return sent

    def lift(self, now: int) -> list[Arrival]:
        self.rate = None
        sent = [self._sent(now, eventid) for eventid in self.waiting]
        self.waiting = []
        return sent

    def forget(self, eventid: int) -> None:
        if eventid in self.waiting:
            self.waiting.remove(eventid)
            self.dropped += 1


@final
class LimitWalk:
    """One walk.  The last steps are kept for the report of a failure."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(f"limit.{seed}")
        self.steps: list[str] = []
        self.rig = V4Rig(1, host=make_host() if rng.random() < 0.6 else host40())
        self.host = self.rig.v4host
        self.told: set[tuple[int, int]] = set()  # whose handlers the host called since the last look
        for n in range(NR_VECTORS):
            self.rig.map_lpi(n)
            self.rig.vector(n)
        self.msis = {(DEV, n): msi for n, msi in self.rig.msis.items()}
        for devid in (HOSTS_OWN, FREE):
            for n in range(NR_VECTORS):
                self.msis[devid, n] = self._request(devid, n)
        self.forwarded: set[int] = set()
        self.naive = {devid: NaiveDevice(devid) for devid in DEVIDS}
        self.limits: dict[int, DeviceLimit] = {}
        self.trace = self.host.machine.trace = TraceLog()
        self.owed: set[int] = set()  # vectors of the guest's that sent something since it took them
        self.arrived = dict.fromkeys(DEVIDS, 0)
        self.taken = 0

    def _request(self, devid: int, n: int) -> HostMsi:
        return self.host.request_msi(devid, n, lambda: self.told.add((devid, n)), vectors=NR_VECTORS)

    @property
    def now(self) -> int:
        return self.host.machine.now

    def run(self, steps: int) -> None:
        doings: list[Callable[[], None]] = [
            *[self.fire] * 8,
            *[self.tick] * 5,
            *[self.take] * 3,
            *[self.slip] * 3,
            self.enter,
            self.leave,
            self.forward,
            self.withdraw,
            self.limit,
            self.limit,
            self.lift,
            self.free,
        ]
        for _ in range(steps):
            doing = self.rng.choice(doings)
            self.steps.append(doing.__name__)
            doing()
            self.check()
        self.drain()

    def note(self, text: str) -> None:
        self.steps[-1] += " " + text

    def expect(self, arrivals: list[Arrival]) -> None:
        """The ITSs got that since the last time, and nothing else; the host's handlers were told."""
        found = [event[2:] for event in self.trace.events if event[0] == "xlate"]
        self.trace.events.clear()
        wanted: list[tuple[object, ...]] = []
        for _, devid, eventid in arrivals:
            direct = devid == DEV and eventid in self.forwarded
            wanted.append((devid, eventid, "vlpi" if direct else "lpi"))
            self.arrived[devid] += 1
            if devid == DEV:
                self.owed.add(eventid)
        assert found == wanted, f"the ITS got {found}, not {wanted}"
        assert self.told == {(devid, n) for _, devid, n in arrivals if devid != DEV}
        self.told.clear()

    def released(self, late: int) -> list[Arrival]:
        """What was to be sent since `late`, of what waited."""
        sent = [arrival for devid in self.limits for arrival in self.naive[devid].until(self.now, late)]
        return sorted(sent, key=lambda arrival: arrival[0])

    # Steps

    def fire(self) -> None:
        devid, n = self.rng.choice(list(self.msis))
        times = self.rng.choice((1, 1, 1, 2, 7))
        self.note(f"{devid} {n} {times}")
        self.host.msi(self.msis[devid, n], times)
        self.expect(self.naive[devid].fire(self.now, n, times))

    def tick(self) -> None:
        cycles = self.rng.choice((0, 1, 2, 5, 20, 100))
        self.note(f"{cycles}")
        late = self.now
        self.host.tick(cycles)
        assert self.now == late + cycles
        self.expect(self.released(late))

    def slip(self) -> None:
        """Time passes that the host knows nothing of; what became due is sent at the next occasion."""
        self.host.machine.tick(self.rng.randrange(100))
        if self.rng.random() < 0.5:
            self.host.tick()
            self.expect(self.released(self.now))

    def enter(self) -> None:
        if not self.rig.vcpus[0].in_guest:
            self.rig.vcpus[0].enter()

    def leave(self) -> None:
        if self.rig.vcpus[0].in_guest:
            self.rig.vcpus[0].exit()
            if self.rng.random() < 0.5:
                self.rig.vcpus[0].put()

    def take(self) -> None:
        """The guest takes all it has: each vector that sent something, once, and no other."""
        vcpu = self.rig.vcpus[0]
        taken: set[int] = set()
        while True:
            if vcpu.in_guest:
                vcpu.exit()  # for what has no place in a list register yet
            vcpu.enter()
            intid = self.rig.take()
            if intid == 1023:
                break
            assert intid - LPI not in taken, "twice"
            taken.add(intid - LPI)
        self.taken += len(taken)
        assert taken == self.owed, f"the guest took {taken}, not {self.owed}"
        self.owed = set()

    def forward(self) -> None:
        n = self.rng.randrange(NR_VECTORS)
        self.take()
        if n not in self.forwarded:
            assert self.rig.forward(n) == 0
            self.forwarded.add(n)
            self.note(f"{n}")

    def withdraw(self) -> None:
        """With nothing pending in the guest: that would be lost, as in KVM.  What waits at the device is not."""
        n = self.rng.randrange(NR_VECTORS)
        self.take()
        if n in self.forwarded:
            self.rig.vm.remove_producer(self.rig.fds[n])
            self.forwarded.discard(n)
            self.note(f"{n}")

    def limit(self) -> None:
        devid = self.rng.choice((DEV, HOSTS_OWN))
        if devid not in self.limits:
            messages, cycles = self.rng.choice(((1, 1), (1, 10), (3, 10), (3, 100), (7, 64), (50, 20)))
            self.limits[devid] = self.host.limit_device(devid, messages, cycles)
            self.naive[devid].limit(messages, cycles, self.now)
            self.note(f"{devid}: {messages} in {cycles}")

    def lift(self) -> None:
        devid = self.rng.choice((DEV, HOSTS_OWN))
        if devid in self.limits and self.rng.random() < 0.5:
            self.host.unlimit_device(devid)
            self.expect(self.naive[devid].lift(self.now))
            self.balance(devid)
            del self.limits[devid]
            self.naive[devid] = NaiveDevice(devid)
            self.arrived[devid] = 0
            self.note(f"{devid}")

    def free(self) -> None:
        """A driver of the host's gives a vector back and requests it again."""
        devid, n = self.rng.choice((HOSTS_OWN, FREE)), self.rng.randrange(NR_VECTORS)
        self.host.free_msi(self.msis[devid, n])
        self.naive[devid].forget(n)
        self.msis[devid, n] = self._request(devid, n)
        self.note(f"{devid} {n}")

    # Checks

    def check(self) -> None:
        self.rig.check()
        for devid, limit in self.limits.items():
            limit.check()
            naive = self.naive[devid]
            assert list(limit.held) == naive.waiting
            assert (limit.merged, limit.dropped) == (naive.merged, naive.dropped)
            assert limit.due == (naive.earliest() if naive.waiting else None)
            self.balance(devid)
        for devid in (HOSTS_OWN, FREE):
            self.balance(devid)
        self.window()

    def balance(self, devid: int) -> None:
        """Every message is accounted for."""
        naive = self.naive[devid]
        accounted = self.arrived[devid] + naive.merged + naive.dropped + len(naive.waiting)
        assert accounted == naive.attempts, f"device {devid}: {accounted} messages of {naive.attempts}"

    def window(self) -> None:
        """From each message to the last one."""
        for devid in self.limits:
            naive = self.naive[devid]
            assert naive.rate is not None
            messages, cycles = naive.rate
            for n, begin in enumerate(naive.since[-40:]):
                sent = len(naive.since[-40:]) - n
                assert sent <= messages + (naive.since[-1] - begin) * messages // cycles, "too many"

    def drain(self) -> None:
        """Time enough: nothing waits any more, and everybody was told."""
        self.steps.append("drain")
        late = self.now
        self.host.tick(10_000)
        self.expect(self.released(late))
        self.check()
        assert not any(limit.held for limit in self.limits.values())
        self.take()
