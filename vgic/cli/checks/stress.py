"""Many devices, many events, many CPUs, and each message accounted for: KVM's selftest vgic_lpi_stress, with books.

A message is delivered, or it is merged: its LPI was pending already, and is taken once for both.  Which of the two is
known when it is sent, as a CPU in the guest is interrupted before it can acknowledge again.  A CPU that has come to
rest has taken all that was sent to it.  The selftest only counts the messages that the ITS accepted.
"""

from random import Random
from typing import Final, final

from hw.arch import FIRST_LPI
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.its import Its, Lpis
from vgic.cli.checks.report import Report

MAX_DEVICES: Final = 0x1_0000 // 8
"""What one page of the device table holds."""
MAX_LPIS: Final = 0x1_0000 - FIRST_LPI

_ID_BITS: Final = 16
_SEED: Final = 2024
_BACKLOG: Final = 64  # messages of each CPU that may wait; the handler's own come on top
_RUN_ONE: Final = 8  # one in so many messages is followed by a run of one CPU
_IN_HANDLER: Final = 4  # one in so many acknowledges is followed by a message before its end


@final
class Books:
    """What was sent and what came: INTID -> how often."""

    __slots__ = ("_waiting", "delivered", "lost", "merged", "misrouted", "sent", "surplus")

    def __init__(self, cpus: int) -> None:
        """Open the books; the LPIs go to the CPUs in turn."""
        self._waiting: list[set[int]] = [set() for _ in range(cpus)]  # sent to each CPU, and not taken since
        self.sent = 0
        self.delivered = 0
        self.merged = 0
        self.lost: list[int] = []  # not taken by a CPU that has come to rest
        self.misrouted: list[int] = []  # taken by another CPU
        self.surplus: list[int] = []  # taken though not sent since they were last taken

    def send(self, intid: int) -> None:
        """A message is sent: it will be delivered, unless one before it still waits."""
        waiting = self._waiting[self.cpu_of(intid)]
        self.sent += 1
        self.merged += intid in waiting
        waiting.add(intid)

    def take(self, intid: int, cpu: int) -> None:
        """A CPU acknowledges."""
        waiting = self._waiting[self.cpu_of(intid)]
        if intid not in waiting:
            self.surplus.append(intid)
            return
        waiting.remove(intid)
        self.delivered += 1
        if self.cpu_of(intid) != cpu:
            self.misrouted.append(intid)

    def rest(self, cpu: int) -> None:
        """A CPU has come to rest: what waits for it will never come."""
        self.lost += sorted(self._waiting[cpu])
        self._waiting[cpu].clear()

    def cpu_of(self, intid: int) -> int:
        """Return which CPU an LPI goes to."""
        return intid % len(self._waiting)

    def backlog(self) -> int:
        """Return how many LPIs wait."""
        return sum(len(waiting) for waiting in self._waiting)


@final
class Stress:
    """The devices, which send in random order, and the CPUs, which take what they find."""

    __slots__ = ("_guest", "_messages", "_random", "_report", "_total", "blocked", "books")

    def __init__(self, guest: Guest, report: Report) -> None:
        """Plan which event is sent when: each once in an iteration."""
        load = guest.load
        self._guest = guest
        self._report = report
        self._random = Random(_SEED)
        self._messages: list[int] = []  # LPIs - 8192, the next one at the end
        lpis = list(range(load.devices * load.events))
        for _ in range(load.iterations):
            self._random.shuffle(lpis)
            self._messages += lpis
        self._total = len(self._messages)
        self.blocked: list[int] = []
        self.books = Books(len(guest.cpus))

    def run(self) -> None:
        """Send everything, with the CPUs running now and then, and let them finish.  Errors: GuestError, VgicError."""
        guest, random = self._guest, self._random
        guest.handle_with(self._handle)
        while self._messages:
            self._send()
            if self.books.backlog() >= _BACKLOG * len(guest.cpus):
                self._settle()
            elif not random.randrange(_RUN_ONE):
                cpu = random.choice(guest.cpus)
                cpu.run()
                self._at_rest(cpu)
        self._settle()

    def _settle(self) -> None:
        self._guest.settle()
        for cpu in self._guest.cpus:
            self._at_rest(cpu)

    def _at_rest(self, cpu: Cpu) -> None:
        self.books.rest(cpu.index)
        cpu.acks.clear()

    def _send(self) -> None:
        n = self._messages.pop()
        devid, eventid = divmod(n, self._guest.load.events)
        self.books.send(FIRST_LPI + n)
        if not self._guest.send_message(devid, eventid):
            self.blocked.append(FIRST_LPI + n)
        self._report.progress(self.books.sent, self._total)

    def _handle(self, cpu: Cpu) -> None:
        """Take an interrupt; sometimes a message comes before its end."""
        intid = self._guest.acknowledge(cpu)
        if intid < FIRST_LPI:
            return
        self.books.take(intid, cpu.index)
        if self._messages and not self._random.randrange(_IN_HANDLER):
            self._send()
        self._guest.gic.end(cpu, intid)


def run(guest: Guest, report: Report) -> None:
    """Map everything, send everything, close the books."""
    load = guest.load
    cpus = len(guest.cpus)
    report.info(f"{load.devices} devices, {load.events} events each, {cpus} vCPUs, {load.iterations} iterations")
    its = _map(guest)
    report.expect(
        its.polls == 1, "every command is complete when GITS_CWRITER is written", f"GITS_CREADR read {its.polls} times"
    )
    stress = Stress(guest, report)
    stress.run()
    books = stress.books
    report.expect(not stress.blocked, "every message is translated", f"not translated: {_some(stress.blocked)}")
    report.info(f"{books.sent} sent, {books.delivered} delivered, {books.merged} merged while pending")
    report.expect(
        not books.lost and books.sent == books.delivered + books.merged,
        "every LPI is delivered, or merged while pending",
        f"sent and not taken: {_some(books.lost)}",
    )
    report.expect(not books.surplus, "no LPI is taken that was not sent", f"taken: {_some(books.surplus)}")
    report.expect(
        not books.misrouted, "every LPI is taken by its collection's CPU", f"elsewhere: {_some(books.misrouted)}"
    )


def _map(guest: Guest) -> Its:
    """A collection for each CPU, and the LPIs among them in turn."""
    load, cpus = guest.load, guest.cpus
    lpis = Lpis(guest, _ID_BITS)
    its = Its(guest)
    its.start(lpis)
    for cpu in cpus:
        its.map_collection(cpu.index, cpu)
    event_bits = max((load.events - 1).bit_length(), 1)
    for devid in range(load.devices):
        its.map_device(devid, event_bits)
    for n in range(load.devices * load.events):
        devid, eventid = divmod(n, load.events)
        lpis.configure(FIRST_LPI + n)
        its.map_event(devid, eventid, FIRST_LPI + n, (FIRST_LPI + n) % len(cpus))
    for cpu in cpus:
        its.invalidate_all(cpu.index)
    return its


def _some(intids: list[int]) -> str:
    """Return the first few, and how many there are."""
    return f"{intids[:8]}{' ...' if len(intids) > 8 else ''} ({len(intids)})"
