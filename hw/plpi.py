"""The physical LPIs of one redistributor: configuration and pending tables in memory.

Room:    inside redist; the ITS and devices make LPIs pending here, icc acknowledges them.
Owns:    the pending table while LPIs are enabled, and the cached configuration bytes.
Never:   has an active state: acknowledging an LPI forgets it.
Holds:   while enabled, n in pending  <=>  bit n of the pending table is set.  Checked by check().

The configuration byte of a pending LPI is cached when it is first looked at and kept until it is
invalidated: software that forgets INV sees the old priority, as it may on hardware (CacheMode has others).
A default doorbell's byte is the fabric's: no INV reaches it, only INVDB.

Source: IHI 0069H, LPI Configuration and Pending tables, GICR_PROPBASER, GICR_PENDBASER.
"""

from typing import final

from hw.arch import (
    FIRST_LPI,
    LPI_CONFIG_ENABLE,
    LPI_CONFIG_PRIORITY_MASK,
    PENDBASER_ADDRESS_MASK,
    PENDBASER_MASK,
    PENDBASER_PTZ,
    PENDING_TABLE_SCRATCH,
    PRIORITY_IDLE,
    PROPBASER_ADDRESS_MASK,
    PROPBASER_IDBITS_MASK,
    PROPBASER_MASK,
)
from hw.arch4 import BASER_SHAREABILITY
from hw.fabric import Fabric


@final
class Lpis:
    """Two states for each LPI, inactive and pending; all are Non-secure Group 1."""

    __slots__ = (
        "_config",
        "_phys",
        "_rereads",
        "_zeroed",
        "enabled",
        "fabric",
        "memory",
        "number",
        "pendbaser",
        "pending",
        "propbaser",
    )

    def __init__(self, fabric: Fabric, number: int) -> None:
        """LPIs disabled, no tables; `number` is the redistributor's."""
        self.number = number
        self.fabric = fabric
        self.memory = fabric.memory
        self._phys = fabric.phys
        self._rereads = fabric.volatile
        self.enabled = False  # GICR_CTLR.EnableLPIs
        self.propbaser = 0
        self.pendbaser = 0
        self.pending: set[int] = set()  # empty while disabled
        self._zeroed = False  # PENDBASER.PTZ: software promises an all-zero pending table
        self._config: dict[int, int] = {}  # INTID -> its cached configuration byte

    def exists(self, intid: int) -> bool:
        """Whether the tables have room for LPI `intid`."""
        bits = min((self.propbaser & PROPBASER_IDBITS_MASK) + 1, self._phys.lpi_id_bits)
        return FIRST_LPI <= intid < 1 << bits

    def write_propbaser(self, value: int) -> None:
        """Write GICR_PROPBASER; ignored while LPIs are enabled (UNPREDICTABLE)."""
        if self._may_write():
            self.propbaser = value & PROPBASER_MASK & self._attributes

    def write_pendbaser(self, value: int) -> None:
        """Write GICR_PENDBASER; ignored while LPIs are enabled (UNPREDICTABLE).  PTZ reads as zero."""
        if self._may_write():
            self.pendbaser = value & PENDBASER_MASK & self._attributes
            self._zeroed = value & PENDBASER_PTZ != 0

    def enable(self, on: bool) -> None:
        """Write GICR_CTLR.EnableLPIs: take up the pending table, or leave it to software again, if that can be."""
        if on and not self.enabled:
            self.enabled = True
            if self._zeroed:
                self._expect_zeroes()
            else:
                self._load()
            self._zeroed = False  # the promise was about the table as it was now
        elif not on and self._phys.ces:
            self.enabled = False
            self.pending.clear()  # the table has held every bit all along
            self._config.clear()

    def set_pending(self, intid: int) -> None:
        """An LPI arrives: GICR_SETLPIR, or a translation of the ITS.  Dropped if there is no such LPI."""
        if self.enabled and self.exists(intid):
            self.pending.add(intid)
            self._store(intid)
            if self.fabric.trace is not None:
                self.fabric.trace.event("lpi_pend", self.number, intid)

    def clear_pending(self, intid: int) -> None:
        """GICR_CLRLPIR, the ITS's CLEAR, or an acknowledge.  Nothing if it is not pending."""
        if intid in self.pending:
            self.pending.discard(intid)
            self._store(intid)
            if self.fabric.trace is not None:
                self.fabric.trace.event("lpi_clear", self.number, intid)

    def move(self, intid: int, to: "Lpis") -> None:
        """The ITS's MOVI: if `intid` is pending here, it is pending there instead."""
        if intid in self.pending and to is not self:
            self.clear_pending(intid)
            to.set_pending(intid)

    def move_all(self, to: "Lpis") -> None:
        """The ITS's MOVALL."""
        for intid in sorted(self.pending):
            self.move(intid, to)

    def invalidate(self, intid: int) -> None:
        """GICR_INVLPIR, or the ITS's INV: look at the configuration of `intid` again, unless only INVDB may."""
        doorbell = self.fabric.doorbells.get(intid)
        if doorbell is None:
            self._config.pop(intid, None)
        elif doorbell.byte != self.table_byte(intid):
            self.fabric.misuse.report("M-28", f"LPI {intid}")

    def invalidate_all(self) -> None:
        """GICR_INVALLR, or the ITS's INVALL: all but default doorbells."""
        self._config.clear()

    def best(self) -> int:
        """The INTID of the highest-priority pending and enabled LPI, ties: the lowest; 0 if none."""
        found = 0
        rank = PRIORITY_IDLE
        for intid in self.pending:
            if self._byte(intid) & LPI_CONFIG_ENABLE:
                priority = self.priority(intid)
                if priority < rank or (priority == rank and intid < found):
                    found, rank = intid, priority
        return found

    def priority(self, intid: int) -> int:
        """The priority of `intid`.  With two security states the table holds the Non-secure view of it."""
        value = self._byte(intid) & LPI_CONFIG_PRIORITY_MASK
        if not self._phys.single_security:
            value = value >> 1 | 0x80
        return value & self._phys.pri_mask

    def check(self) -> None:
        """Assert what always holds."""
        assert self.enabled or not self.pending, f"LPIs {sorted(self.pending)} pending while disabled"
        for intid in self.pending:
            at = self._table + (intid >> 3)
            if self.memory.contains(at, 1):
                assert self.memory.load(at, 1) >> (intid & 7) & 1, f"LPI {intid} is not in the pending table"

    def table_byte(self, intid: int) -> int:
        """The configuration byte of `intid` in memory; where the table is not memory it is 0, disabled."""
        at = (self.propbaser & PROPBASER_ADDRESS_MASK) + intid - FIRST_LPI
        self.fabric.cost.table_reads += 1
        return self.memory.load(at, 1) if intid >= FIRST_LPI and self.memory.contains(at, 1) else 0

    @property
    def _table(self) -> int:
        return self.pendbaser & PENDBASER_ADDRESS_MASK

    @property
    def _attributes(self) -> int:
        """What of a base register can be set."""
        return -1 if self._phys.coherent else ~BASER_SHAREABILITY

    def _may_write(self) -> bool:
        """Whether the base registers can be written: not while they are in use."""
        if self.enabled:
            self.fabric.misuse.report("M-06")
        return not self.enabled

    def _byte(self, intid: int) -> int:
        """The configuration byte of `intid`, cached."""
        doorbell = self.fabric.doorbells.get(intid)
        if doorbell is not None:
            return doorbell.byte
        byte = self._config.get(intid, -1)
        if byte < 0 or (self._rereads and self.fabric.forgets()):
            byte = self._config[intid] = self.table_byte(intid)
        return byte

    def _store(self, intid: int) -> None:
        """Write the pending bit of `intid` through to the table, if that is memory."""
        at = self._table + (intid >> 3)
        if self.memory.contains(at, 1):
            bit = 1 << (intid & 7)
            byte = self.memory.load(at, 1)
            self.memory.store(at, 1, byte | bit if intid in self.pending else byte & ~bit)
            self.fabric.cost.table_writes += 1

    def _extent(self) -> tuple[int, int]:
        """Where the LPIs' part of the pending table starts, and its length; 0 if it is not all memory."""
        bits = min((self.propbaser & PROPBASER_IDBITS_MASK) + 1, self._phys.lpi_id_bits)
        length = (1 << bits) // 8 - PENDING_TABLE_SCRATCH
        start = self._table + PENDING_TABLE_SCRATCH
        return start, length if length > 0 and self.memory.contains(start, length) else 0

    def _load(self) -> None:
        """Read every pending bit from the table; a table that is not all memory counts as zero."""
        start, length = self._extent()
        for at, data in self.memory.nonzero(start, length) if length else ():
            self.fabric.cost.table_reads += 1
            for n, byte in enumerate(data, at - start):
                if byte:
                    first = FIRST_LPI + 8 * n
                    self.pending.update(first + bit for bit in range(8) if byte >> bit & 1)

    def _expect_zeroes(self) -> None:
        """PTZ was set: nothing is read, so LPIs that were pending in the table are lost."""
        start, length = self._extent()
        lost = self.memory.ones(start, length) if length else 0
        if lost:
            self.fabric.misuse.report("M-05", f"GICR_PENDBASER.PTZ loses {lost} pending LPIs")
