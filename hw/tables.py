"""A table in memory that software gave the GIC: flat, or in two levels.

Room:    below redistributors and ITSs, which keep devices, collections and vPEs in such tables.
Owns:    the way from an index to an address, and the claim to the memory.
Never:   knows what an entry means; allocates: software installs the pages of the second level.
Holds:   what is claimed has been given by software: the whole of a flat table, second-level pages once used.

Source: IHI 0069H, GITS_BASER<n> and GICR_VPROPBASER: Indirect, Page_Size, Size.
"""

from typing import Final, final

from hw.arch4 import VALID
from hw.fabric import Fabric
from hw.owned import Region

NO_ENTRY: Final = -1  # beyond the table, or its page is not there
FAULT: Final = -2  # where software says it is, there is no memory
LEVEL1_ADDRESS: Final = 0x000F_FFFF_FFFF_F000


@final
class Table:
    """`pages` pages from `base`, with entries of `entry_size` bytes."""

    __slots__ = ("_regions", "base", "entry_size", "fabric", "indirect", "page_bits", "pages", "per_page", "what")

    def __init__(
        self, fabric: Fabric, base: int, pages: int, page_bits: int, indirect: bool, entry_size: int, what: str
    ) -> None:
        """Claim a flat table."""
        self.fabric = fabric
        self.base = base
        self.pages = pages
        self.page_bits = page_bits
        self.indirect = indirect
        self.entry_size = entry_size
        self.per_page = (1 << page_bits) // entry_size
        self.what = what
        self._regions: dict[int, Region] = {}  # by address
        if not indirect:
            self._regions[base] = fabric.owned.claim(base, pages << page_bits, what)

    def same(self, other: "Table") -> bool:
        """Whether both are one table."""
        mine = self.base, self.pages, self.page_bits, self.indirect
        return mine == (other.base, other.pages, other.page_bits, other.indirect)

    def entry(self, index: int) -> int:
        """The address of entry `index`, NO_ENTRY or FAULT."""
        memory = self.fabric.memory
        page, slot = divmod(index, self.per_page)
        if not self.indirect:
            if page >= self.pages:
                return NO_ENTRY
            address = self.base + (page << self.page_bits) + slot * self.entry_size
        else:
            if page >= (self.pages << self.page_bits) // 8:
                return NO_ENTRY
            if not memory.contains(self.base + 8 * page, 8):
                return FAULT
            self.fabric.cost.table_reads += 1
            level1 = memory.load(self.base + 8 * page, 8)
            if not level1 & VALID:
                return NO_ENTRY
            address = (level1 & LEVEL1_ADDRESS & -(1 << self.page_bits)) + slot * self.entry_size
        return address if memory.contains(address, self.entry_size) else FAULT

    def use(self, address: int) -> None:
        """The GIC writes the entry at `address`: its page is the GIC's from now on."""
        at = address & -(1 << self.page_bits) if self.indirect else self.base
        region = self._regions.get(at)
        if region is None:
            region = self._regions[at] = self.fabric.owned.claim(at, 1 << self.page_bits, self.what)
        region.used = True

    def release(self) -> None:
        """Return the memory to software."""
        for region in self._regions.values():
            self.fabric.owned.release(region)
        self._regions.clear()

    def content(self) -> int:
        """How many bits are set in it, as far as it is flat and memory."""
        length = self.pages << self.page_bits
        return 0 if not self.fabric.memory.contains(self.base, length) else self.fabric.memory.ones(self.base, length)

    def zero(self) -> None:
        """Clear it, as far as it is flat and memory."""
        length = self.pages << self.page_bits
        if self.fabric.memory.contains(self.base, length):
            self.fabric.memory.zero(self.base, length)
