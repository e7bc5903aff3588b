"""Where guest memory holds nothing but empty table entries: found by the block, and never looked at again.

Room:    below the restore of the tables, which makes one for each kind of entry and forgets it at the end.
Holds:   what is known to be empty stays so while a restore lasts: all that it writes are pending bits that it clears.

A restore walks tables that the guest planted.  65,536 devices may share one empty table of 65,536 events, and two
million entries of a first level one empty page; KVM reads every entry of them every time.
"""

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, final

from vgic.its.state import ENTRY_SIZE

if TYPE_CHECKING:
    from vgic.ports import GuestMemory

_BLOCK: Final = 1 << 16
_GROWTH: Final = 8  # a run of empty entries is read in blocks that grow, so that a short one costs little


@final
class Vacancy:
    """Which runs of entries are empty: disjoint, in ascending order, and no two of them touch."""

    __slots__ = ("_ends", "_memory", "_starts", "_used")

    def __init__(self, memory: "GuestMemory | None", used: int) -> None:
        """Build it for entries that are empty if no bit of `used` is set."""
        self._memory = memory
        self._used = int.from_bytes(used.to_bytes(ENTRY_SIZE, "little") * (_BLOCK // ENTRY_SIZE), "little")
        self._starts: list[int] = []
        self._ends: list[int] = []

    def skip(self, gpa: int, end: int) -> int:
        """Return where the first entry lies, from `gpa` on, that is not empty or no RAM; `end` if there is none."""
        size = ENTRY_SIZE
        while gpa < end:
            at = bisect_right(self._starts, gpa) - 1
            if at >= 0 and gpa < self._ends[at]:
                gpa = self._ends[at]
                continue
            length = min(size, end - gpa)
            memory = self._memory
            data = None if memory is None else memory.read(gpa, length)
            if data is None:
                if length == ENTRY_SIZE:
                    return gpa
                size = ENTRY_SIZE  # the end of RAM is near
                continue
            used = int.from_bytes(data, "little") & self._used
            empty = length if not used else ((used & -used).bit_length() - 1) // (8 * ENTRY_SIZE) * ENTRY_SIZE
            if empty:
                self._learn(at, gpa, gpa + empty)
            if empty < length:
                return gpa + empty
            gpa += length
            size = min(size * _GROWTH, _BLOCK)
        return end

    def _learn(self, at: int, start: int, end: int) -> None:
        """Add a run, which begins past the run `at`; those it reaches or overlaps become one with it."""
        starts, ends = self._starts, self._ends
        first = at if at >= 0 and ends[at] == start else at + 1
        last = first
        if first == at:
            start = starts[at]
        while last < len(starts) and starts[last] <= end:
            end = max(end, ends[last])
            last += 1
        starts[first:last] = [start]
        ends[first:last] = [end]
