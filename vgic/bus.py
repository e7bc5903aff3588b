"""Guest physical address to frame: the only address lookup.

Room:    below guest; knows frames by base and size only.
Owns:    the sorted ranges.
Holds:   ranges are in order of base.  They may overlap, as KVM accepts; the first match in address order wins.
"""

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final, final

from sortedcontainers import SortedKeyList

from vgic.errors import ENOSPC, VgicError

if TYPE_CHECKING:
    from vgic.mmio import Frame

MAX_DEVICES: Final = 1000
"""NR_IOBUS_DEVS."""


@final
class Bus:
    """The MMIO bus of one VM (KVM: struct kvm_io_bus, KVM_MMIO_BUS)."""

    __slots__ = ("_bases", "_ends", "_frames", "_reach", "_sorted")

    def __init__(self) -> None:
        """Build an empty bus."""
        self._sorted: SortedKeyList[Frame, int] = SortedKeyList(key=attrgetter("base"))
        # What lookup reads, derived from _sorted when it changes:
        self._frames: list[Frame] = []
        self._bases: list[int] = []
        self._ends: list[int] = []
        self._reach: list[int] = []  # the highest end of this and all earlier ranges

    def register(self, frame: "Frame") -> None:
        """Put a frame on the bus: kvm_io_bus_register_dev().  Errors: ENOSPC when it is full."""
        if len(self._sorted) >= MAX_DEVICES:
            raise VgicError(ENOSPC, f"the MMIO bus holds {MAX_DEVICES} frames already")
        self._sorted.add(frame)
        self._derive()

    def unregister(self, frame: "Frame") -> None:
        """Take a frame off the bus, if it is there: kvm_io_bus_unregister_dev()."""
        self._sorted.discard(frame)
        self._derive()

    def frames(self) -> "list[Frame]":
        """Return the frames in order of base, equal ones as they were registered."""
        return list(self._frames)

    def _derive(self) -> None:
        self._frames = list(self._sorted)
        self._bases = [frame.base for frame in self._frames]
        self._ends = [frame.base + frame.table.size for frame in self._frames]
        reach = 0
        self._reach = []
        for end in self._ends:
            reach = max(reach, end)
            self._reach.append(reach)

    def find(self, gpa: int, size: int) -> "Frame | None":
        """Return the frame that contains all of [gpa, gpa + size), the lowest-based if several do, or None."""
        at = bisect_right(self._bases, gpa) - 1
        end = gpa + size
        reach = self._reach
        found = None
        while at >= 0 and reach[at] >= end:
            if self._ends[at] >= end:
                found = self._frames[at]
            at -= 1
        return found
