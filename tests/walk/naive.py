"""A naive GIC: what KVM lets a guest see of its interrupts, without list registers, order or limits.

Room:    beside the library, written from its specification; `walk` drives both and compares.  As it stands, a GICv3;
         naive_v2 changes what a GICv2 does differently.
Owns:    one Line for each interrupt, one Guest for each vCPU.
Never:   reads the library's state, but for `peek`: which interrupts won when they did not all fit.
Holds:   a line is shown to a guest only while that guest runs; what it was shown is all it can acknowledge or end.

KVM's quirks are the model's rules: a line is delivered only once it has been noticed (listed), and what makes
it deliverable without a notice (GICD_CTLR, IROUTER, ICFGR) strands it; an active line stays where it is listed;
a latched active level interrupt forgets the latch when it ends; what another vCPU changes is seen at the next entry."""

from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Final, NamedTuple, final

from tests.walk.naive_cpu import IDLE, Interface, Shown

FIRST_SPI: Final = 32
NR_SGIS: Final = 16
PRIORITY_BITS: Final = 0xF8
AFF_210: Final = 0xFF_FFFF

PhysKey = tuple[int, int]
"""A physical interrupt: the physical CPU whose PPI it is, or -1, and its number."""


class Bank(Enum):
    """The register banks with one bit for each interrupt."""

    GROUP = "IGROUPR"
    ENABLE = "ISENABLER"
    DISABLE = "ICENABLER"
    PEND = "ISPENDR"
    UNPEND = "ICPENDR"
    ACTIVATE = "ISACTIVER"
    DEACTIVATE = "ICACTIVER"


ACTIVE_BANKS: Final = (Bank.ACTIVATE, Bank.DEACTIVATE)


class Mapping(NamedTuple):
    """What an interrupt is tied to."""

    host_irq: int
    soft: bool  # the host cannot deactivate by itself
    wire: Callable[[], bool]  # the level that its device drives now


@final
class Line:
    """One interrupt: a wire or an edge, and what the guest configured."""

    __slots__ = (
        "active",
        "active_source",
        "enabled",
        "group",
        "home",
        "intid",
        "latch",
        "level",
        "line",
        "listed",
        "mapping",
        "owner",
        "priority",
        "route",
        "sources",
        "stranded",
        "target",
    )

    def __init__(self, intid: int, home: "Guest | None", target: "Guest | None") -> None:
        self.intid = intid
        self.home = home  # whose private interrupt it is; None: an SPI
        self.level = NR_SGIS <= intid < FIRST_SPI
        self.enabled = intid < NR_SGIS
        self.line = False
        self.latch = False
        self.active = False
        self.priority = 0
        self.group = 1
        self.sources = 0  # a GICv2's SGI: which CPUs ask for it; pending exactly while there are some
        self.active_source = 0
        self.target = target
        self.route = 0 if home is None else home.affinity
        self.listed: Guest | None = None  # who noticed it
        self.stranded = False  # made deliverable by something that is not a notice
        self.mapping: Mapping | None = None
        self.owner: Hashable | None = None

    def pending(self) -> bool:
        return self.latch or (self.level and self.line)

    def asks_again(self) -> bool:
        """Whether it waits for more than one acknowledge: an SGI from several CPUs, or active and asked for anew."""
        return self.sources.bit_count() + self.active > 1 and self.sources != 0

    def waiting(self) -> bool:
        """Something an acknowledge could take, when the guest is next entered."""
        return self.enabled and self.pending() and not self.active


class Guest(Interface):
    """One vCPU: its private interrupts, what it has been given, where it runs, and its CPU interface.

    trapped  the CPU interface is KVM's emulation at EL2, which differs from the hardware's in a few places.
    """

    def __init__(
        self, index: int, vcpu_id: int, affinity: int, cpu: int, pri_bits: int, pre_bits: int, trapped: bool
    ) -> None:
        super().__init__(pri_bits, pre_bits, trapped)
        self.index = index
        self.vcpu_id = vcpu_id
        self.affinity = affinity
        self.cpu = cpu
        self.running = False
        self.loaded = False
        self.kicked = False  # asked to leave; and
        self.entered = False  # shown things anew, both since `pair` last looked
        self.listed: dict[int, Line] = {}
        self.saved_pmr = 0  # stale while it runs; KVM decides by it whom GICD_CTLR kicks
        self.private = [Line(intid, self, self) for intid in range(FIRST_SPI)]


class Naive:
    """The interrupts and vCPUs of one VM.

    lrs      the only trace of list registers: as many interrupts as this are shown, and if more want to be,
    peek     tells which the library took, by vCPU index; the choice must be a legal one.
    """

    def __init__(self, guests: Sequence[Guest], nr_spis: int, lrs: int, peek: Callable[[int], set[int]]) -> None:
        self.enabled = False
        self.guests = guests
        self.spis = [Line(FIRST_SPI + n, None, guests[0]) for n in range(nr_spis)]
        self.holders: dict[int, Guest] = {}
        self.lrs = lrs
        self.peek = peek
        self.resampled: set[int] = set()  # SPIs whose device lowers its line when told that they were completed
        self.completed: list[int] = []  # SPIs whose completion was told, in no order that matters
        self.phys_active: dict[PhysKey, bool] = {}
        self.overflowed = 0  # entries at which not everything fitted
        self.several = 0  # entries at which an SGI waited from several CPUs

    # Who gets an interrupt, and when it is noticed

    def wanted(self, line: Line) -> Guest | None:
        """The vCPU an interrupt belongs on now."""
        if line.active:
            return line.listed or line.target
        return line.target if self.enabled and line.enabled and line.pending() else None

    def notice(self, line: Line) -> None:
        """Look at an interrupt again, as KVM does after an event that may have made it deliverable."""
        guest = self.wanted(line)
        line.stranded = False
        if guest is not None:
            if line.listed is None:
                self._enlist(line, guest)
            guest.kicked = True

    def strand(self, line: Line) -> None:
        """Note that KVM does not look at an interrupt, though it may have become deliverable."""
        if (line.listed is None or line.intid not in line.listed.shown) and self.wanted(line) is not None:
            line.stranded = True

    @staticmethod
    def _enlist(line: Line, guest: Guest) -> None:
        line.listed = guest
        guest.listed[line.intid] = line

    def tidy(self, guest: Guest) -> None:
        """At a vCPU's exit: what no longer belongs to it leaves."""
        for line in list(guest.listed.values()):
            there = self.wanted(line)
            if there is not guest:
                del guest.listed[line.intid]
                line.listed = None
                if there is not None:
                    self._enlist(line, there)
                    there.kicked = True

    # Entry and exit

    def present(self, guest: Guest) -> None:
        """Show a vCPU what it may acknowledge or end until it leaves the guest."""
        guest.entered = True
        lines = [line for line in guest.listed.values() if self.wanted(line) is guest]
        several = any(line.asks_again() for line in guest.listed.values())
        self.overflowed += len(lines) > self.lrs
        self.several += several
        if several or len(lines) > self.lrs:
            lines = self._winners(guest, lines)
        for line in lines:
            guest.shown[line.intid] = self.show(line)
            line.stranded = False

    def show(self, line: Line) -> Shown:
        """Hand an interrupt to the guest: what went in is no longer here."""
        mapping = line.mapping
        host_irq = None if mapping is None or mapping.soft else mapping.host_irq
        pending = line.pending() and not (line.active and (line.level or host_irq is not None))
        if pending:
            if not line.level:
                line.latch = False
            elif mapping is not None:
                line.line = False
        return Shown(pending, line.active, line.priority, line.group, host_irq, line.level and host_irq is None)

    def _winners(self, guest: Guest, lines: list[Line]) -> list[Line]:
        """More interrupts than list registers: active ones first, then the most urgent; else any choice is legal.

        Nothing less urgent is shown beside an SGI that asks again, so that no request of it is overtaken.
        """
        taken = self.peek(guest.index)
        shown = [line for line in lines if line.intid in taken]
        left = [line for line in lines if line.intid not in taken]
        where = f"vCPU {guest.index}: {sorted(taken)} shown of {sorted(line.intid for line in lines)}"
        again = [line for line in shown if line.asks_again()]
        limits = [line.priority for line in again if not line.active]
        limits += [max((line.priority for line in again if line.active), default=IDLE)]
        assert all(line.active or line.priority <= min(limits) for line in shown), f"{where}: overtakes an SGI"
        assert len(shown) == len(taken) <= self.lrs, f"{where}: not deliverable, or more than fit"
        if left and len(taken) < self.lrs:
            still_active = [line.priority for line in left if line.active]
            following = max(still_active) if still_active else min(line.priority for line in left)
            assert following > min((line.priority for line in again), default=IDLE), f"{where}: there was room"
        if any(line.active for line in left):
            assert all(line.active for line in shown), f"{where}: an active interrupt was left out for a pending one"
        worst = max((line.priority for line in shown if not line.active), default=0)
        best = min((line.priority for line in left if not line.active), default=IDLE)
        assert worst <= best, f"{where}: priority {best:#x} was left out for {worst:#x}"
        return shown

    def withdraw(self, guest: Guest) -> None:
        """Take back from a vCPU what it was shown."""
        for intid, shown in guest.shown.items():
            line = guest.listed[intid]
            if shown.notify and not (shown.pending or shown.active) and line.intid >= FIRST_SPI:
                self.completed.append(line.intid)
                if line.intid in self.resampled:
                    self.inject(line, False, None)
            ended = line.active and not shown.active
            line.active = shown.active
            if shown.source is not None:
                line.active_source = shown.source if shown.active else line.active_source
                line.sources |= shown.pending << shown.source
            if not line.level:
                line.latch = line.latch or shown.pending
            else:
                if not (shown.pending or shown.active):
                    line.latch = False
                self._resample(line, ended, shown.pending)
        guest.shown.clear()

    def _resample(self, line: Line, ended: bool, unseen: bool) -> None:
        mapping = line.mapping
        if mapping is None:
            return
        if mapping.soft:
            if not (line.active or line.latch):
                self._set_phys(line, False)
        elif unseen or (ended and line.line):
            line.line = mapping.wire()
            if not line.line:
                self._set_phys(line, False)

    def _set_phys(self, line: Line, active: bool) -> None:
        mapping = line.mapping
        if mapping is not None:
            home = line.home
            self.phys_active[(-1 if home is None else home.cpu, mapping.host_irq)] = active

    def can_enter(self, guest: Guest, cpu: int) -> bool:
        holder = self.holders.get(cpu)
        return not guest.running and (holder is None or not holder.running)

    def enter(self, guest: Guest, cpu: int) -> None:
        if cpu != guest.cpu:
            self.put(guest)
            guest.cpu = cpu
        holder = self.holders.get(cpu)
        if holder is not None and holder is not guest:
            self.put(holder)
        if not guest.loaded:
            guest.loaded = True
            self.holders[cpu] = guest
            guest.pmr &= guest.pri_mask
            guest.set_bpr(0, guest.bpr[0])
            guest.set_bpr(1, guest.bpr[1])
        guest.kicked = False
        guest.running = True
        self.present(guest)

    def exit(self, guest: Guest) -> None:
        guest.running = False
        self.withdraw(guest)
        self.tidy(guest)

    def put(self, guest: Guest) -> None:
        if guest.loaded:
            guest.loaded = False
            guest.saved_pmr = guest.pmr
            del self.holders[guest.cpu]

    def put_all(self) -> None:
        for guest in self.guests:
            self.put(guest)

    def begin_trap(self, guest: Guest) -> None:
        self.withdraw(guest)
        self.tidy(guest)

    def end_trap(self, guest: Guest) -> None:
        guest.kicked = False
        self.present(guest)

    def wakes(self, guest: Guest) -> bool:
        """What WFI asks of a vCPU: anything worth entering for?  Group and running priority are not looked at."""
        return self.enabled and any(
            line.waiting() and line.priority < guest.saved_pmr for line in guest.listed.values()
        )

    # Devices

    def inject(self, line: Line, level: bool, owner: Hashable | None) -> None:
        if line.owner != owner:
            return
        if line.level:
            if line.line == level:
                return
            line.line = level
        elif level:
            line.latch = True
        else:
            return
        self.notice(line)

    def sgi(self, sender: Guest, value: int, group1_allowed: bool) -> None:
        """ICC_SGI1R, SGI0R, ASGI1R."""
        intid = value >> 24 & 15
        if value >> 40 & 1:
            targets = [guest for guest in self.guests if guest is not sender]
        else:
            cluster = (value >> 48 & 0xFF, value >> 32 & 0xFF, value >> 16 & 0xFF)
            targets = [
                guest
                for guest in self.guests
                if (guest.affinity >> 24, guest.affinity >> 16 & 0xFF, guest.affinity >> 8 & 0xFF) == cluster
                and guest.affinity & 0xFF < 16
                and value >> (guest.affinity & 0xFF) & 1
            ]
        for guest in targets:
            line = guest.private[intid]
            if group1_allowed or not line.group:
                line.latch = True
                self.notice(line)

    def reset_mapped(self, line: Line) -> None:
        if line.mapping is not None:
            line.active = line.latch = line.line = False

    # The distributor and redistributor registers; `lines` are those that one word covers

    def read_bank(self, bank: Bank, lines: list[Line], user: bool) -> int:
        return sum(self._bit(bank, line, user) << n for n, line in enumerate(lines))

    def _bit(self, bank: Bank, line: Line, user: bool) -> bool:
        if bank is Bank.GROUP:
            return line.group == 1
        if bank in (Bank.ENABLE, Bank.DISABLE):
            return line.enabled
        if bank in ACTIVE_BANKS:
            return line.active
        if user:
            return bank is Bank.PEND and line.latch
        return line.mapping.wire() if line.mapping is not None and line.level else line.pending()

    def write_bank(self, bank: Bank, lines: list[Line], value: int, user: bool) -> None:
        for n, line in enumerate(lines):
            bit = bool(value >> n & 1)
            if bank is Bank.GROUP:
                line.group = int(bit)
                self.notice(line)
            elif bank is Bank.PEND and user:
                line.latch = bit
                if bit:
                    self.notice(line)
            elif bit and not (bank is Bank.UNPEND and user):
                self._put(bank, line, user)

    def _put(self, bank: Bank, line: Line, user: bool) -> None:
        mapping = line.mapping
        if bank is Bank.ENABLE:
            if mapping is not None and line.level and not user:
                was_high, line.line = line.line, mapping.wire()
                if was_high and not line.line and not line.active:
                    self._set_phys(line, False)
            line.enabled = True
            self.notice(line)
        elif bank is Bank.DISABLE:
            line.enabled = False
        elif bank is Bank.PEND:
            line.latch = True
            self._set_phys(line, True)
            self.notice(line)
        elif bank is Bank.UNPEND:
            line.latch = False
            if not line.active:
                self._set_phys(line, False)
        elif mapping is not None and user:  # the physical active state is the truth, and it is not user space's
            if bank is Bank.DEACTIVATE and line.active:
                self.notice(line)
        else:
            line.active = bank is Bank.ACTIVATE
            self._set_phys(line, line.active)
            if line.active:
                self.notice(line)

    def access_active(self, accessor: Guest, access: Callable[[], None]) -> None:
        """Do an access to the active state with every other vCPU forced out of the guest meanwhile."""
        others = [guest for guest in self.guests if guest.running and guest is not accessor]
        for guest in others:
            self.withdraw(guest)
            self.tidy(guest)
        access()
        for guest in others:
            self.present(guest)
            guest.kicked = True

    def set_config(self, lines: list[Line], value: int) -> None:
        for n, line in enumerate(lines):
            if line.intid >= FIRST_SPI:
                line.level = not value >> (2 * n + 1) & 1
                self.strand(line)

    def set_route(self, line: Line, value: int) -> None:
        line.route = value & AFF_210
        line.target = next((guest for guest in self.guests if guest.affinity == line.route), None)
        self.strand(line)

    def set_enabled(self, enabled: bool, user: bool) -> None:
        rises = enabled and not self.enabled
        self.enabled = enabled
        if rises:
            for line in self.lines():
                self.strand(line)
            for guest in self.guests:
                if not user:
                    if not guest.running:
                        self.put(guest)
                    if self.wakes(guest):
                        guest.kicked = True

    def set_levels(self, lines: list[Line], value: int) -> None:
        for n, line in enumerate(lines):
            if line.intid >= NR_SGIS:
                line.line = bool(value >> n & 1)
                if line.line:
                    self.notice(line)

    def lines(self) -> list[Line]:
        return [line for guest in self.guests for line in guest.private] + self.spis

    # The ends of what has a physical interrupt behind it

    def end(self, guest: Guest, group: int, intid: int) -> None:
        """EOIR<group>."""
        self._ended(guest, guest.end(group, intid))

    def deactivate(self, guest: Guest, intid: int) -> None:
        """DIR."""
        self._ended(guest, guest.deactivate(intid))

    def _ended(self, guest: Guest, shown: Shown | None) -> None:
        if shown is not None and shown.host_irq is not None:
            self.phys_active[(guest.cpu if shown.host_irq < FIRST_SPI else -1, shown.host_irq)] = False
