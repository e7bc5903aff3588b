"""What a naive GICv2 does differently: SGIs have sources, interrupts target CPUs by mask, one acknowledge serves both.

Room:    above naive and naive_cpu, whose rules hold for all that is not said here.
Holds:   an SGI is pending exactly while some CPU asks for it; a guest is shown one request at a time, of the lowest.

An acknowledge gives the INTID and, for an SGI, above it who asked; 1022 stands for an interrupt of group 1 that IAR
does not acknowledge while AckCtl is 0.  Both groups have one set of active priorities, kept where group 1's are.
"""

from typing import Final, final

from tests.walk.naive import NR_SGIS, Bank, Guest, Line, Naive
from tests.walk.naive_cpu import FIRST_SPECIAL, SPURIOUS, Shown

LEGACY: Final = 1022
INTID_BITS: Final = 10
INTID_MASK: Final = (1 << INTID_BITS) - 1


@final
class GuestV2(Guest):
    """GICC_* of one vCPU."""

    ackctl = False
    fiqen = False

    def write_control(self, value: int) -> None:
        self.enabled = [value & 1 == 1, value >> 1 & 1 == 1]
        self.ackctl, self.fiqen, self.cbpr = (value >> bit & 1 == 1 for bit in (2, 3, 4))
        self.eoimode = value >> 9 & 1 == 1

    def read_control(self) -> int:
        modes = self.ackctl << 2 | self.fiqen << 3 | self.cbpr << 4 | self.eoimode << 9
        return self.enabled[0] | self.enabled[1] << 1 | modes

    def write_bpr(self, group: int, value: int) -> None:
        self.set_bpr(group, value)

    def read_bpr(self, group: int) -> int:
        return self.bpr[group]

    def write_ap(self, group: int, value: int) -> None:
        super().write_ap(1, value)

    def read_ap(self, group: int) -> int:
        return super().read_ap(1)

    def lines_up(self) -> set[tuple[bool, bool]]:
        """Group 0 is signalled as vFIQ only if FIQEn says so."""
        up = [(self.fiqen and not shown.group, self._signals(shown, False)) for _, shown in self._best()]
        return {(signals and not fiq, signals and fiq) for fiq, signals in up} or {(False, False)}

    def _visible(self, intid: int, shown: Shown, aliased: bool) -> int:
        if shown.group and not (aliased or self.ackctl):
            return LEGACY
        if aliased and not shown.group:
            return SPURIOUS
        return intid | (shown.source or 0) << INTID_BITS

    def acknowledgeable(self, group: int) -> set[int]:
        """What IAR, or AIAR for group 1, may return."""
        return {
            self._visible(intid, shown, group == 1) if self._signals(shown, False) else SPURIOUS
            for intid, shown in self._best()
        } or {SPURIOUS}

    def highest_pending(self, group: int) -> set[int]:
        """What HPPIR, or AHPPIR for group 1, may return: the latter only what is signalled."""
        if group:
            return self.acknowledgeable(1)
        return {self._visible(intid, shown, False) for intid, shown in self._best()} or {SPURIOUS}

    def acknowledge(self, intid: int) -> None:
        """IAR or AIAR returned `intid`, and who asked."""
        if intid & INTID_MASK < FIRST_SPECIAL:
            shown = self.shown[intid & INTID_MASK]
            shown.pending = False
            shown.active = True
            self.ap[1] |= 1 << self._level(shown)

    def end(self, group: int, intid: int) -> Shown | None:
        """EOIR or AEOIR: drop the running priority, then deactivate what was named, whatever its group and priority."""
        if not self.ap[1] or intid & INTID_MASK >= FIRST_SPECIAL:
            return None
        self.ap[1] &= self.ap[1] - 1
        return None if self.eoimode else self._deactivate(intid)

    def deactivate(self, intid: int) -> Shown | None:
        """DIR."""
        return self._deactivate(intid) if self.eoimode else None

    def _deactivate(self, intid: int) -> Shown | None:
        """Who asked is not compared."""
        shown = self.shown.get(intid & INTID_MASK)
        if shown is None or not shown.active:
            return None
        shown.active = False
        return shown


@final
class NaiveV2(Naive):
    """The interrupts and vCPUs of one VM with a GICv2."""

    groups_unlocked = False  # user space's writes to IGROUPR count

    def reset(self) -> None:
        """Everything is in group 0; a private interrupt targets its own CPU."""
        for line in self.lines():
            line.group = 0
            line.route = 0 if line.home is None else 1 << line.home.index

    def show(self, line: Line) -> Shown:
        """An SGI shows one request, and none while it is active."""
        if line.intid >= NR_SGIS:
            return super().show(line)
        if line.active:
            return Shown(False, True, line.priority, line.group, source=line.active_source)
        lowest = line.sources & -line.sources
        line.sources ^= lowest
        line.latch = line.sources != 0
        return Shown(True, False, line.priority, line.group, source=lowest.bit_length() - 1)

    def sgir(self, sender: Guest, value: int) -> list[Line]:
        """GICD_SGIR; returns the SGIs that it asked for."""
        where = value >> 24 & 3
        chosen = [
            guest
            for guest in self.guests
            if (where == 0 and value >> 16 + guest.index & 1)
            or (where == 1 and guest is not sender)
            or (where == 2 and guest is sender)
        ]
        lines = [guest.private[value & 15] for guest in chosen]
        for line in lines:
            self.add_sources(line, 1 << sender.vcpu_id)
        return lines

    def add_sources(self, line: Line, sources: int) -> None:
        """One SGI of SPENDSGIR, or what SGIR does to one."""
        line.sources |= sources
        if line.sources:
            line.latch = True
            self.notice(line)

    @staticmethod
    def drop_sources(line: Line, sources: int) -> None:
        """One SGI of CPENDSGIR."""
        line.sources &= ~sources
        line.latch = line.sources != 0

    def set_route(self, line: Line, value: int) -> None:
        """ITARGETSR: the lowest CPU named, or the first."""
        line.route = value & (1 << len(self.guests)) - 1
        line.target = next((guest for guest in self.guests if line.route >> guest.index & 1), self.guests[0])
        self.strand(line)

    def set_enabled(self, enabled: bool, user: bool) -> None:
        """User space's write kicks, too."""
        super().set_enabled(enabled, False)

    def _bit(self, bank: Bank, line: Line, user: bool) -> bool:
        if user and bank in (Bank.PEND, Bank.UNPEND):
            return line.pending()
        return super()._bit(bank, line, user)

    def write_bank(self, bank: Bank, lines: list[Line], value: int, user: bool) -> None:
        if bank is Bank.GROUP:
            if not user or self.groups_unlocked:
                super().write_bank(bank, lines, value, user)
            return
        for n, line in enumerate(lines):
            if value >> n & 1:
                self._put(bank, line, user)

    def _put(self, bank: Bank, line: Line, user: bool) -> None:
        sender = line.home if line.intid < NR_SGIS else None
        if user and bank is Bank.PEND:
            line.latch = True
            line.sources |= 0 if sender is None else 1 << sender.vcpu_id
            self.notice(line)
        elif user and bank is Bank.UNPEND:
            line.latch = False
            line.sources = 0
        elif sender is None or bank not in (Bank.PEND, Bank.UNPEND):  # the guest's SGIs have registers of their own
            if sender is not None and bank is Bank.ACTIVATE:
                line.active_source = 0 if user else sender.vcpu_id
            super()._put(bank, line, user)
