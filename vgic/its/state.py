"""One ITS: what it remembers.

Room:    below the commands and the registers, which change it.
Holds:   enabled  =>  both tables and the queue are valid, and the queue is empty between two accesses.
"""

from typing import TYPE_CHECKING, Final, final

from vgic.irq import Irq
from vgic.its.batch import Batch
from vgic.its.maps import Maps
from vgic.mmio import Frame, RegionTable
from vgic.v3.baser import INNER_SHAREABLE

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.vcpu import VcpuGic

ENTRY_SIZE: Final = 8
TABLE_PAGE: Final = 0x1_0000
VALID: Final = 1 << 63
INDIRECT: Final = 1 << 62

# GITS_BASER<n> and GITS_CBASER (IHI 0069)
INNER_CACHE_SHIFT: Final = 59
_TYPE_SHIFT: Final = 56
TYPE_DEVICES: Final = 1 << _TYPE_SHIFT
TYPE_COLLECTIONS: Final = 4 << _TYPE_SHIFT
_PAGE_64K: Final = 2 << 8
_ENTRY_SIZE_SHIFT: Final = 48
BASER_FIXED: Final = 0b111 << _TYPE_SHIFT | 0x1F << _ENTRY_SIZE_SHIFT | 0b11 << 8
"""The fields of a GITS_BASER that cannot be written: type, entry size, page size."""
BASER_RESET: Final = 3 << INNER_CACHE_SHIFT | INNER_SHAREABLE | (ENTRY_SIZE - 1) << _ENTRY_SIZE_SHIFT | _PAGE_64K

_QUEUE_ADDRESS: Final = 0xF_FFFF_FFFF_0000
_QUEUE_PAGES: Final = 0xFF
_QUEUE_PAGE: Final = 4096


@final
class Its(Frame):
    """One ITS (KVM: struct vgic_its): registers, queue and maps; on the bus once it has an address."""

    __slots__ = ("abi", "batch", "cbaser", "collection_table", "creadr", "cwriter", "device_table", "enabled", "maps")

    def __init__(self, dist: "Dist", table: RegionTable) -> None:
        """Build an ITS with the registers of `table` in reset state, at no address yet."""
        super().__init__(dist, table)
        self.maps = Maps(dist.lpis, dist.its_budget)
        self.batch = Batch(self)
        self.abi = 0
        self.enabled = False
        self.cbaser = 0
        self.creadr = 0  # byte offsets into the queue
        self.cwriter = 0
        self.device_table = BASER_RESET | TYPE_DEVICES
        self.collection_table = BASER_RESET | TYPE_COLLECTIONS

    @property
    def queue_size(self) -> int:
        """Bytes in the command queue."""
        return ((self.cbaser & _QUEUE_PAGES) + 1) * _QUEUE_PAGE

    @property
    def queue(self) -> int:
        """Guest physical address of the command queue."""
        return self.cbaser & _QUEUE_ADDRESS

    def irqs(self, vcpu: "VcpuGic", first: int, count: int) -> list[Irq]:
        """Return nothing: an ITS has no banks."""
        return []

    def stops_guests(self, vcpu: "VcpuGic", first: int) -> bool:
        """Return no: an ITS has no active state."""
        return False

    def drop_cache(self) -> None:
        """Forget cached translations."""
        self.maps.drop_cache()

    def reset(self) -> None:
        """ITS_CTRL_RESET: as after creation, but for BASER's other fields and the table format: vgic_its_reset()."""
        self.device_table &= ~VALID
        self.collection_table &= ~VALID
        self.cbaser = self.creadr = self.cwriter = 0
        self.enabled = False
        self.maps.remove_devices()
        self.maps.remove_collections()
        self.drop_cache()
