"""Which memory the GIC has made its own: tables that software gave it, until it takes them back.

Room:    between memory, which asks about every access of software, and the tables of ITSs and redistributors.
Owns:    the list of regions, found by the 64 KiB blocks that they touch.
Never:   keeps the GIC from its own memory; knows what a table holds.
Holds:   a region is in the list of every block that it touches, and in no other.
"""

from typing import Final, final

from hw.memory import Owner
from hw.misuse import MisuseLog

BLOCK_BITS: Final = 16


@final
class Region:
    """`length` bytes from `start`, owned as `what`."""

    __slots__ = ("end", "start", "unreadable", "used", "what")

    def __init__(self, start: int, length: int, what: str, unreadable: bool) -> None:
        """`unreadable`: what software reads there may be stale."""
        self.start = start
        self.end = start + length
        self.what = what
        self.unreadable = unreadable
        self.used = unreadable  # something in it is the GIC's: until then software may still zero it


@final
class Owned(Owner):
    """The regions of one machine."""

    __slots__ = ("_blocks", "misuse")

    def __init__(self, misuse: MisuseLog) -> None:
        """Own nothing."""
        self.misuse = misuse
        self._blocks: dict[int, list[Region]] = {}  # block number -> the regions that touch it

    def claim(self, start: int, length: int, what: str, unreadable: bool = False) -> Region:
        """Own `length` bytes from `start`."""
        region = Region(start, length, what, unreadable)
        for block in _blocks(region.start, region.end):
            self._blocks.setdefault(block, []).append(region)
        return region

    def release(self, region: Region) -> None:
        """Return `region`, which was claimed, to software."""
        for block in _blocks(region.start, region.end):
            regions = self._blocks[block]
            regions.remove(region)
            if not regions:
                del self._blocks[block]

    def find(self, address: int, length: int) -> list[Region]:
        """The regions that `length` bytes from `address` touch."""
        end = address + length
        found: list[Region] = []
        for block in _blocks(address, end):
            for region in self._blocks.get(block, ()):
                if region.start < end and address < region.end and region not in found:
                    found.append(region)
        return found

    def reads(self, address: int, length: int) -> None:
        """Software reads `length` bytes."""
        if not self._blocks:
            return
        for region in self.find(address, length):
            if region.unreadable:
                self._report("M-15", "a read", address, region)

    def allows(self, address: int, data: bytes) -> bool:
        """Whether software's write of `data` takes place: not into what the GIC owns."""
        if not self._blocks:
            return True
        for region in self.find(address, len(data)):
            if region.used or any(data):
                self._report("M-14", "a write", address, region)
                return False
        return True

    def _report(self, code: str, access: str, address: int, region: Region) -> None:
        self.misuse.doing(f"{access} of memory, {region.what}", address - region.start, address)
        self.misuse.report(code, f"address {address:#x}")
        self.misuse.done()


def _blocks(start: int, end: int) -> range:
    return range(start >> BLOCK_BITS, (max(end, start + 1) - 1 >> BLOCK_BITS) + 1)
