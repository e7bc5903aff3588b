"""What an ITS has been told: devices, events and collections, in tables in memory with caches before them.

Room:    between the tables and the commands; translation looks here.
Owns:    the device table, the collection table and the ITTs: their layouts, their claims, what is cached of them.
Never:   executes a command, makes anything pending.
Holds:   what is cached is what the tables say: they are the GIC's, and written through.
         At most MAX_CACHED events are cached.

entry        bytes   contents
device         8     Valid[63], width of its EventIDs - 1 [56:52], ITT address[51:8]
collection     8     Valid[63], number of the redistributor[15:0]
event         12     Valid[63], virtual[62], ICID or vPEID[47:32], INTID[23:0]; doorbell in the third word

Source: IHI 0069H, ITS tables; the layouts are implementation defined.
"""

from dataclasses import dataclass
from typing import Final, final

from hw.arch4 import NO_DOORBELL, U32, VALID
from hw.config4 import ITT_ENTRY_SIZE, ItsConfig
from hw.cost import Traffic
from hw.fabric import Fabric
from hw.owned import Region
from hw.tables import FAULT, Table

DEVICE_ENTRY: Final = 8
COLLECTION_ENTRY: Final = 8
MAX_CACHED: Final = 1 << 16
ITT_ADDRESS: Final = 0x000F_FFFF_FFFF_FF00
DEVICE_BITS_SHIFT: Final = 52
VIRTUAL: Final = 1 << 62
INTID_MASK: Final = 0xFF_FFFF
ID_MASK: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class ItsError:
    """A command that was in error; `number` is what hardware reports, 0 where the manual gives none."""

    name: str
    number: int
    words: tuple[int, int, int, int]
    serror: bool  # GITS_TYPER.SEIS: it was also reported as an SError


class MemoryFault(Exception):  # noqa: N818 - not an error of the model
    """A table or a queue is not memory where software says it is.  Never leaves the ITS."""


@final
class Ite:
    """One event: an LPI of a collection, or a vLPI of a vPE."""

    __slots__ = ("doorbell", "intid", "virtual", "where")

    def __init__(self, virtual: bool, intid: int, where: int, doorbell: int) -> None:
        """`where`: a collection's number, or a vPEID."""
        self.virtual = virtual
        self.intid = intid
        self.where = where
        self.doorbell = doorbell


@final
class Device:
    """One device: where its events are."""

    __slots__ = ("bits", "devid", "ites", "itt", "region")

    def __init__(self, devid: int, itt: int, bits: int, region: Region) -> None:
        """`bits`: width of its EventIDs."""
        self.devid = devid
        self.itt = itt
        self.bits = bits
        self.region = region
        self.ites: dict[int, Ite] = {}  # EventID -> what the ITT says, cached

    @property
    def size(self) -> int:
        """Bytes of its ITT."""
        return ITT_ENTRY_SIZE << self.bits


@final
class Maps:
    """The tables of one ITS."""

    __slots__ = ("_cached", "collection_table", "collections", "config", "cost", "device_table", "devices", "fabric")

    def __init__(self, fabric: Fabric, config: ItsConfig, cost: Traffic) -> None:
        """No tables."""
        self.fabric = fabric
        self.config = config
        self.cost = cost
        self.device_table: Table | None = None
        self.collection_table: Table | None = None
        self.devices: dict[int, Device] = {}  # by DeviceID, cached
        self.collections: dict[int, int] = {}  # ICID -> number of a redistributor, cached or, below HCC, held
        self._cached = 0

    # Devices

    def set_device_table(self, table: Table | None) -> None:
        """Software wrote the BASER of devices."""
        for device in self.devices.values():
            self.fabric.owned.release(device.region)
        self.devices.clear()
        if self.device_table is not None:
            self.device_table.release()
        self.device_table = table

    def device_entry(self, devid: int) -> int:
        """The address of the entry of `devid`, or NO_ENTRY."""
        if self.device_table is None or devid >> self.config.device_bits:
            return -1
        return _present(self.device_table.entry(devid))

    def device(self, devid: int) -> Device | None:
        """The device, if it is mapped."""
        device = self.devices.get(devid)
        if device is None:
            at = self.device_entry(devid)
            word = self._load(at, 8) if at >= 0 else 0
            if word & VALID:
                bits = min((word >> DEVICE_BITS_SHIFT & 0x1F) + 1, self.config.event_bits)
                device = self._remember(devid, word & ITT_ADDRESS, bits)
        return device

    def map_device(self, devid: int, at: int, itt: int, bits: int) -> None:
        """MAPD: enter a device that is not mapped."""
        assert self.device_table is not None, "a device without a table"
        self.device_table.use(at)
        self._store(at, 8, VALID | (bits - 1) << DEVICE_BITS_SHIFT | itt)
        self._remember(devid, itt, bits)

    def unmap_device(self, device: Device, at: int) -> None:
        """MAPD with V=0: forget a device, whose events have been unmapped."""
        self._store(at, 8, 0)
        self.fabric.owned.release(device.region)
        del self.devices[device.devid]

    def _remember(self, devid: int, itt: int, bits: int) -> Device:
        what = f"the ITT of device {devid:#x}"
        region = self.fabric.owned.claim(itt, ITT_ENTRY_SIZE << bits, what)
        device = self.devices[devid] = Device(devid, itt, bits, region)
        return device

    # Events

    def event(self, device: Device, eventid: int) -> Ite | None:
        """The event, if it is mapped."""
        ite = device.ites.get(eventid)
        if ite is None and not eventid >> device.bits:
            at = device.itt + ITT_ENTRY_SIZE * eventid
            word = self._load(at, 8)
            if word & VALID:
                doorbell = self._load(at + 8, 4) & INTID_MASK
                ite = Ite(word & VIRTUAL != 0, word & INTID_MASK, word >> 32 & ID_MASK, doorbell)
                self._keep(device, eventid, ite)
        return ite

    def set_event(self, device: Device, eventid: int, ite: Ite) -> None:
        """Enter an event, new or changed."""
        at = device.itt + ITT_ENTRY_SIZE * eventid
        word = VALID | (VIRTUAL if ite.virtual else 0) | ite.where << 32 | ite.intid
        self._store(at, 8, word)
        self._store(at + 8, 4, ite.doorbell if ite.virtual else NO_DOORBELL)
        device.region.used = True
        self._keep(device, eventid, ite)

    def drop_event(self, device: Device, eventid: int) -> None:
        """Forget an event."""
        at = device.itt + ITT_ENTRY_SIZE * eventid
        self._store(at, 8, 0)
        self._store(at + 8, 4, 0)
        if device.ites.pop(eventid, None) is not None:
            self._cached -= 1

    def events(self, device: Device) -> list[tuple[int, Ite]]:
        """Every mapped event of `device`, found by reading its ITT."""
        found: list[tuple[int, Ite]] = []
        seen = -1
        if not self.fabric.memory.contains(device.itt, device.size):
            return found
        for at, data in self.fabric.memory.nonzero(device.itt, device.size):
            first = max(seen + 1, (at - device.itt) // ITT_ENTRY_SIZE)
            seen = (at + len(data) - 1 - device.itt) // ITT_ENTRY_SIZE
            for eventid in range(first, min(seen + 1, 1 << device.bits)):
                start = device.itt + ITT_ENTRY_SIZE * eventid - at
                if start < 0 or any(data[start : start + ITT_ENTRY_SIZE]):
                    ite = self.event(device, eventid)
                    if ite is not None:
                        found.append((eventid, ite))
        return found

    def _keep(self, device: Device, eventid: int, ite: Ite) -> None:
        if eventid not in device.ites:
            if self._cached >= MAX_CACHED:
                for other in self.devices.values():
                    other.ites.clear()
                self._cached = 0
            self._cached += 1
        device.ites[eventid] = ite

    # Collections

    def set_collection_table(self, table: Table | None) -> None:
        """Software wrote the BASER of collections."""
        if self.collection_table is not None:
            self.collection_table.release()
        self.collection_table = table
        self.collections = {icid: number for icid, number in self.collections.items() if icid < self.config.hcc}

    def collection(self, icid: int) -> int:
        """The number of the redistributor that the collection is mapped to, or -1."""
        number = self.collections.get(icid, -1)
        if number < 0 and icid >= self.config.hcc:
            at = self.collection_entry(icid)
            word = self._load(at, 8) if at >= 0 else 0
            if word & VALID:
                number = self.collections[icid] = word & ID_MASK
        return number

    def collection_entry(self, icid: int) -> int:
        """The address of the entry of a collection that the ITS does not hold itself, or NO_ENTRY."""
        if self.collection_table is None or icid >> self.config.icid_bits:
            return -1
        return _present(self.collection_table.entry(icid))

    def map_collection(self, icid: int, number: int) -> bool:
        """MAPC; number -1 unmaps.  False if there is no such collection."""
        if icid >= self.config.hcc:
            at = self.collection_entry(icid)
            if at < 0 or self.collection_table is None:
                return False
            self.collection_table.use(at)
            self._store(at, 8, 0 if number < 0 else VALID | number)
        if number < 0:
            self.collections.pop(icid, None)
        else:
            self.collections[icid] = number
        return True

    # Memory

    def _load(self, at: int, size: int) -> int:
        if not self.fabric.memory.contains(at, size):
            raise MemoryFault
        self.cost.table_reads += 1
        return self.fabric.memory.load(at, size)

    def _store(self, at: int, size: int, value: int) -> None:
        if not self.fabric.memory.contains(at, size):
            raise MemoryFault
        self.cost.table_writes += 1
        self.fabric.memory.store(at, size, value & ((U32 << 32 | U32) if size == 8 else U32))

    def check(self) -> None:
        """Assert what always holds."""
        assert sum(len(device.ites) for device in self.devices.values()) <= MAX_CACHED, "too many events cached"
        for device in self.devices.values():
            for eventid in device.ites:
                at = device.itt + ITT_ENTRY_SIZE * eventid
                word = self.fabric.memory.load(at, 8)
                assert word & VALID, f"event {eventid} of device {device.devid:#x} is cached, but not in its ITT"


def _present(at: int) -> int:
    """The address of a table entry, NO_ENTRY, or MemoryFault."""
    if at == FAULT:
        raise MemoryFault
    return at
