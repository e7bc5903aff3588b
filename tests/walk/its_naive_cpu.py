"""The naive model's LPIs and vCPUs: one LPI's state, and a vCPU whose guest takes LPIs and nothing else.

Room:    below its_naive.
"""

from typing import Final, final

SPURIOUS: Final = 1023
MASK: Final = 0xF0  # ICC_PMR_EL1 of every guest


@final
class Lpi:
    """One LPI object."""

    def __init__(self, intid: int, target: int | None) -> None:
        self.intid = intid
        self.target = target  # a vCPU's index
        self.enabled = False
        self.priority = 0
        self.latch = False
        self.active = False
        self.listed: int | None = None
        self.touched = False  # the last thing done to it was one that lists what is deliverable

    def urgency(self) -> int:
        return -1 if self.active else self.priority


@final
class Shown:
    """A list register."""

    def __init__(self, pending: bool, active: bool, priority: int) -> None:
        self.pending = pending
        self.active = active
        self.priority = priority


@final
class NaiveVcpu:
    """One vCPU."""

    def __init__(self, index: int, vcpu_id: int) -> None:
        self.index = index
        self.vcpu_id = vcpu_id
        self.lpis_enabled = False
        self.pendbaser = 0x580
        self.running = False
        self.trapped = False
        self.shown: dict[int, Shown] = {}
        self.dropped: list[int] = []  # active priority levels, most urgent last

    def acknowledgeable(self) -> set[int]:
        """What ICC_IAR1_EL1 may return."""
        waiting = {n: shown.priority for n, shown in self.shown.items() if shown.pending and not shown.active}
        best = min(waiting.values(), default=0xFF)
        limit = min([MASK, *(level << 3 for level in self.dropped)])
        return {n for n, priority in waiting.items() if priority == best} if best < limit else {SPURIOUS}

    def acknowledge(self, intid: int) -> None:
        shown = self.shown[intid]
        shown.pending, shown.active = False, True
        self.dropped.append(shown.priority >> 3)

    def end(self, intid: int) -> None:
        """Drop the most urgent active priority; deactivate what was named if that was its own."""
        if self.dropped:
            level = self.dropped.pop()
            shown = self.shown.get(intid)
            if shown is not None and shown.priority >> 3 == level:
                shown.active = False
