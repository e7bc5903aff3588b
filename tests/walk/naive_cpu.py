"""A naive CPU interface: masks, binary points, active priorities, and what an acknowledge may return.

Room:    below naive, whose Guest has one.
Never:   knows how interrupts come here: it acknowledges and ends what it was shown.
Holds:   what it was shown has no order: of interrupts with the same priority any may come first.

`trapped` is KVM's emulation at EL2, which differs from the hardware in three places: it compares the running
priority unmasked, drops group 1's of two equal active priorities, and takes 1020..1023 for INTIDs like any other.
What a GICv2's interface does otherwise is in naive_v2.
"""

from typing import Final, final

SPURIOUS: Final = 1023
IDLE: Final = 0xFF
FIRST_SPECIAL: Final = 1020


@final
class Shown:
    """What a guest was shown of an interrupt at its entry; acknowledges and ends change `pending` and `active`."""

    __slots__ = ("active", "group", "host_irq", "notify", "pending", "priority", "source")

    def __init__(
        self,
        pending: bool,
        active: bool,
        priority: int,
        group: int,
        host_irq: int | None = None,
        notify: bool = False,
        source: int | None = None,
    ) -> None:
        self.pending = pending
        self.active = active
        self.priority = priority
        self.group = group
        self.host_irq = host_irq  # the physical interrupt that ends with it
        self.notify = notify  # somebody wants to hear when it is completed
        self.source = source  # which CPU's request this is: a GICv2's SGI


class Interface:
    """ICC_* of one vCPU, as far as it decides what is acknowledged."""

    def __init__(self, pri_bits: int, pre_bits: int, trapped: bool) -> None:
        self.pri_mask = 0xFF & ~((1 << (8 - pri_bits)) - 1)
        self.pre_bits = pre_bits
        self.ap_shift = 8 - pre_bits
        self.trapped = trapped
        self.shown: dict[int, Shown] = {}  # by INTID
        self.pmr = 0
        self.bpr = [0, 0]
        self.cbpr = False
        self.eoimode = False
        self.enabled = [False, False]  # by group
        self.ap = [0, 0]  # bit b of group g: something is active at priority b << ap_shift

    def set_bpr(self, group: int, value: int) -> None:
        self.bpr[group] = max(value & 7, 7 + group - self.pre_bits)

    def write_bpr(self, group: int, value: int) -> None:
        """BPR<group>."""
        if not group or not self.cbpr:
            self.set_bpr(group, value)

    def read_bpr(self, group: int) -> int:
        return min(self.bpr[0] + 1, 7) if group and self.cbpr else self.bpr[group]

    def write_control(self, value: int) -> None:
        """CTLR."""
        self.cbpr, self.eoimode = value & 1 == 1, value & 2 == 2

    def read_control(self) -> int:
        """The fields of CTLR that can change."""
        return self.cbpr | self.eoimode << 1

    def write_ap(self, group: int, value: int) -> None:
        """AP<group>R0: the 32 most urgent levels."""
        self.ap[group] = self.ap[group] >> 32 << 32 | value

    def read_ap(self, group: int) -> int:
        return self.ap[group] & 0xFFFF_FFFF

    def _mask(self, group: int, trapped: bool) -> int:
        """The priority bits of a group that take part in preemption."""
        if group and (trapped or not self.cbpr):
            return 0xFF << self.read_bpr(1) & 0xFF
        return 0xFF << (self.bpr[0] + 1) & 0xFF

    def running_priority(self) -> int:
        active = self.ap[0] | self.ap[1]
        return ((active & -active).bit_length() - 1) << self.ap_shift if active else IDLE

    def _best(self) -> list[tuple[int, Shown]]:
        """The most urgent pending interrupts of enabled groups: several only at the same priority."""
        ready = [
            (intid, shown)
            for intid, shown in self.shown.items()
            if shown.pending and not shown.active and self.enabled[shown.group]
        ]
        best = min((shown.priority for _, shown in ready), default=IDLE)
        return [(intid, shown) for intid, shown in ready if shown.priority == best]

    def _signals(self, shown: Shown, trapped: bool) -> bool:
        if shown.priority >= self.pmr:
            return False
        running = self.running_priority()
        if running == IDLE:
            return True
        mask = self._mask(shown.group, trapped)
        return shown.priority & mask < (running if trapped else running & mask)

    def lines_up(self) -> set[tuple[bool, bool]]:
        """The possible levels of vIRQ and vFIQ."""
        up = [(shown.group, self._signals(shown, False)) for _, shown in self._best()]
        return {(signals and group == 1, signals and group == 0) for group, signals in up} or {(False, False)}

    def acknowledgeable(self, group: int) -> set[int]:
        """What IAR<group> may return."""
        return {
            intid if shown.group == group and self._signals(shown, self.trapped) else SPURIOUS
            for intid, shown in self._best()
        } or {SPURIOUS}

    def highest_pending(self, group: int) -> set[int]:
        """What HPPIR<group> may return."""
        return {intid if shown.group == group else SPURIOUS for intid, shown in self._best()} or {SPURIOUS}

    def acknowledge(self, intid: int) -> None:
        """IAR returned `intid`."""
        if intid != SPURIOUS:
            shown = self.shown[intid]
            shown.pending = False
            shown.active = True
            self.ap[shown.group] |= 1 << self._level(shown)

    def _level(self, shown: Shown) -> int:
        return (shown.priority & self._mask(shown.group, self.trapped)) >> self.ap_shift

    def end(self, group: int, intid: int) -> Shown | None:
        """EOIR<group>: drop the running priority, then deactivate what was named, if it fits and DIR need not.

        Returns what was deactivated.
        """
        if FIRST_SPECIAL <= intid <= SPURIOUS and not self.trapped:
            return None
        active = self.ap[0] | self.ap[1]
        dropped = active & -active
        if not dropped:
            return None
        first = 1 if self.trapped else 0  # whose of two equal levels goes
        self.ap[first if self.ap[first] & dropped else 1 - first] ^= dropped
        shown = self.shown.get(intid)
        if shown is None or not shown.active or self.eoimode or shown.group != group:
            return None
        if dropped != 1 << self._level(shown):
            return None
        shown.active = False
        return shown

    def deactivate(self, intid: int) -> Shown | None:
        """DIR.  Returns what was deactivated."""
        shown = self.shown.get(intid)
        if not self.eoimode or shown is None or not shown.active:
            return None
        shown.active = False
        return shown
