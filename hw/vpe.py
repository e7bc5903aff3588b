"""One vPE as the redistributors know it: what is pending for it, how that is configured, its doorbell.

Room:    below the redistributors' VLPI frames, where it becomes resident, and the ITSs, which pend and configure.
Owns:    the content of the virtual pending table while the GIC has it, and what was read of the configuration.
Never:   decides residency; writes a list register.
Holds:   the ready lists hold the ranks of exactly the interrupts that are pending and enabled, by group, in order.
         What is in one has its configuration byte in `config`.  Both checked by check().
         Nothing but INTIDs that were pending, and the SGIs, is stored for.

A rank is priority << 25 | INTID << 1 | group: the lowest is delivered first.
The pending table is read when the GIC takes it and written when it gives it back; between, memory may be stale.

Source: IHI 0069H, virtual LPI pending and configuration tables; default and individual doorbells.
"""

from bisect import bisect_left, insort
from typing import Final, final

from hw.arch import FIRST_LPI, NR_SGIS
from hw.arch4 import NO_DOORBELL, VLPI_ENABLE, VLPI_GROUP1, VLPI_PRIORITY_MASK
from hw.direct import DirectPort
from hw.fabric import Fabric
from hw.redist import Redistributor

RANK_INTID_MASK: Final = 0xFF_FFFF
MAX_CACHED: Final = 4096  # configuration bytes kept of interrupts that are not pending
ALL_GROUPS: Final = 3

# The implementation defined first KiB of a virtual pending table, as this GIC uses it

SCRATCH: Final = 1024
VPT_SGI_PENDING: Final = 0  # two bytes
VPT_SGI_CONFIG: Final = 16  # sixteen bytes: priority, group, enable as in a vLPI's byte


@final
class Vpe:
    """A virtual PE.  GICv4.1 knows it by `vpeid`, GICv4.0 by the address of its pending table, `vpt`."""

    __slots__ = (
        "armed",
        "bits",
        "config",
        "db",
        "fabric",
        "frame",
        "groups",
        "maps",
        "pending",
        "ready0",
        "ready1",
        "redist",
        "rung",
        "vct",
        "vpeid",
        "vpt",
    )

    def __init__(self, fabric: Fabric, vpeid: int, redist: Redistributor, vpt: int, vct: int, bits: int) -> None:
        """Nothing pending, all SGIs disabled; `vct` is -1 while it is not known."""
        self.fabric = fabric
        self.vpeid = vpeid
        self.redist = redist  # where it is mapped: its doorbells go there
        self.vpt = vpt
        self.vct = vct
        self.bits = bits  # width of its INTIDs
        self.frame: DirectPort | None = None  # where it is resident
        self.maps = 0  # a bit for each ITS that maps it
        self.pending: set[int] = set()
        self.config: dict[int, int] = dict.fromkeys(range(NR_SGIS), 0)  # INTID -> configuration byte, cached
        self.ready0: list[int] = []
        self.ready1: list[int] = []
        # The default doorbell: requested when descheduled, rung once, withdrawn when resident
        self.db = NO_DOORBELL
        self.armed = False
        self.rung = False
        self.groups = ALL_GROUPS  # bit per group that may ring it: VPENDBASER's enables, if those count

    # An interrupt becomes pending, or no longer is

    def pend(self, vintid: int, doorbell: int) -> None:
        """`vintid` arrives from an ITS: offer it, or ring; nothing if it is pending or out of range.

        enabled   resident   default doorbell   individual doorbell
           1         1             -                    -
           1         0         if armed              always
           0         0             -                 always
        """
        pending = self.pending
        if vintid in pending or vintid >> self.bits:
            return
        pending.add(vintid)
        if self.fabric.trace is not None:
            self.fabric.trace.event("vint_pend", self.vpeid, vintid)
        byte = self.config.get(vintid, -1)
        if byte < 0:
            byte = self._fetch(vintid)
        frame = self.frame
        if byte & VLPI_ENABLE:
            rank = (byte & VLPI_PRIORITY_MASK) << 25 | vintid << 1 | byte >> 1 & 1
            insort(self.ready1 if byte & VLPI_GROUP1 else self.ready0, rank)
            if frame is not None:
                frame.consider(rank)
                return
            if self.armed:
                self._ring(byte >> 1 & 1)
        if frame is None and doorbell != NO_DOORBELL:
            self._ring_individual(doorbell)

    def clear(self, vintid: int) -> bool:
        """`vintid` is no longer pending; whether it was."""
        if vintid not in self.pending:
            return False
        self.pending.discard(vintid)
        if self.fabric.trace is not None:
            self.fabric.trace.event("vint_clear", self.vpeid, vintid)
        self._unready(vintid)
        if self.frame is not None:
            self.frame.reconsider()
        return True

    def clear_all(self, vintids: set[int]) -> None:
        """None of `vintids` is pending any more: as clear() of each, in one go."""
        if not self.pending.isdisjoint(vintids):
            self.pending -= vintids
            self.rebuild()

    def acknowledge(self, rank: int, groups: int) -> int:
        """The guest took the interrupt of that rank, the best of its group; the best of `groups` then, or -1."""
        taken = (self.ready1 if rank & 1 else self.ready0).pop(0)
        assert taken == rank, f"offered {rank:#x}, but {taken:#x} comes first"
        self.pending.discard(rank >> 1 & RANK_INTID_MASK)
        if self.fabric.trace is not None:
            self.fabric.trace.event("vint_ack", self.vpeid, rank >> 1 & RANK_INTID_MASK)
        return self.best(groups) if self.ready1 or self.ready0 else -1

    def best(self, groups: int) -> int:
        """The lowest rank ready in `groups`, a bit for each, or -1."""
        rank = self.ready1[0] if groups & 2 and self.ready1 else -1
        if groups & 1 and self.ready0 and (rank < 0 or self.ready0[0] < rank):
            rank = self.ready0[0]
        return rank

    # Configuration

    def invalidate(self, vintid: int) -> None:
        """INV, or GICR_INVLPIR: read the configuration of `vintid` again."""
        if vintid >= NR_SGIS:
            was_ready = self._unready(vintid)
            self.config.pop(vintid, None)
            if vintid in self.pending:
                self._configured(vintid, was_ready)

    def forget(self, vintid: int) -> None:
        """An event comes to send `vintid`: its configuration is read when it is pending next.

        Nothing obliges the GIC, but hypervisors write the byte, map or move the event, and send no INV.
        """
        if vintid not in self.pending:
            self.config.pop(vintid, None)

    def invalidate_all(self) -> None:
        """VINVALL, or GICR_INVALLR: read the configuration of every vLPI again."""
        self.config = {n: self.config[n] for n in range(NR_SGIS)}
        self.rebuild()

    def set_vct(self, vct: int) -> None:
        """GICv4.0: the vPE becomes resident with that configuration table."""
        if vct != self.vct:
            self.vct = vct
            self.invalidate_all()

    def configure_sgi(self, sgi: int, byte: int) -> None:
        """VSGI: what a vLPI's configuration byte says, for an SGI."""
        was_ready = self._unready(sgi)
        self.config[sgi] = byte
        if sgi in self.pending:
            self._configured(sgi, was_ready)

    def refresh(self) -> None:
        """Read again some of the configuration, as hardware may without being told."""
        forgotten = [vintid for vintid in self.pending if vintid >= NR_SGIS and self.fabric.forgets()]
        for vintid in forgotten:
            self.config.pop(vintid, None)
        if forgotten:
            self.rebuild()

    def rebuild(self) -> None:
        """Find out anew what of the pending interrupts is enabled."""
        was = len(self.ready0) + len(self.ready1)
        self.ready0.clear()
        self.ready1.clear()
        for vintid in self.pending:
            byte = self._byte(vintid)
            if byte & VLPI_ENABLE:
                (self.ready1 if byte & VLPI_GROUP1 else self.ready0).append(_rank(byte, vintid))
        self.ready0.sort()
        self.ready1.sort()
        if self.frame is not None:
            self.frame.reconsider()
        elif len(self.ready0) + len(self.ready1) > was:
            self._announce()

    def _configured(self, vintid: int, was_ready: bool) -> None:
        """The configuration of `vintid`, which is pending and not listed, may have changed."""
        byte = self._byte(vintid)
        ready = byte & VLPI_ENABLE != 0
        if ready:
            insort(self.ready1 if byte & VLPI_GROUP1 else self.ready0, _rank(byte, vintid))
        if self.frame is not None:
            self.frame.reconsider()
        elif ready and not was_ready:
            self._announce()

    def _unready(self, vintid: int) -> bool:
        """Take `vintid`, whose configuration is still what it was listed by, out of the lists; whether it was there."""
        byte = self.config.get(vintid, 0)
        if not byte & VLPI_ENABLE:
            return False
        rank = _rank(byte, vintid)
        ready = self.ready1 if byte & VLPI_GROUP1 else self.ready0
        at = bisect_left(ready, rank)
        if at == len(ready) or ready[at] != rank:
            return False
        del ready[at]
        return True

    def _byte(self, vintid: int) -> int:
        byte = self.config.get(vintid, -1)
        return self._fetch(vintid) if byte < 0 else byte

    def _fetch(self, vintid: int) -> int:
        """Read the configuration byte of a vLPI and cache it; bit 1 is RES1.  Where there is no table: disabled."""
        if self.vct < 0:
            return VLPI_GROUP1
        if len(self.config) >= MAX_CACHED + len(self.pending):
            self.config = {n: byte for n, byte in self.config.items() if n < NR_SGIS or n in self.pending}
        at = self.vct + vintid - FIRST_LPI
        memory = self.fabric.memory
        self.fabric.cost.table_reads += 1
        byte = self.config[vintid] = (memory.load(at, 1) if memory.contains(at, 1) else 0) | VLPI_GROUP1
        if self.fabric.trace is not None:
            self.fabric.trace.event("cache_fill", self.vpeid, vintid, byte)
        return byte

    # Doorbells

    def arm(self, requested: bool) -> bool:
        """The vPE was descheduled: whether an interrupt is ready for it, else the doorbell is armed if requested."""
        ready = bool(self.ready1 and self.groups & 2) or bool(self.ready0 and self.groups & 1)
        self.armed = requested and not ready and self.db != NO_DOORBELL
        return ready

    def silence(self) -> None:
        """The vPE becomes resident: its default doorbell is not wanted any more, nor one already pending."""
        self.armed = False
        if self.rung:
            self.rung = False
            self.redist.lpis.clear_pending(self.db)

    def move_doorbell(self, redist: Redistributor, db: int) -> None:
        """VMOVP: the vPE is mapped at `redist`, with default doorbell `db`; an outstanding one follows."""
        old = self.redist.lpis
        outstanding = self.rung and self.db in old.pending
        if outstanding:
            old.clear_pending(self.db)
        if db != self.db:
            self.set_doorbell(db, redist)
        self.redist = redist
        if outstanding and db != NO_DOORBELL:
            redist.lpis.set_pending(db)

    def set_doorbell(self, db: int, redist: Redistributor) -> None:
        """Have `db` for default doorbell; its configuration is read from the table of `redist`."""
        self.fabric.drop_doorbell(self.db)
        self.db = db
        self.fabric.add_doorbell(db, redist.lpis.table_byte(db))

    def _announce(self) -> None:
        """Something became ready other than by arriving."""
        if self.armed:
            if self.ready1 and self.groups & 2:
                self._ring(1)
            elif self.ready0:
                self._ring(0)

    def _ring(self, group: int) -> None:
        """Make the default doorbell pending, for an interrupt of `group`."""
        if self.groups >> group & 1:
            self.armed = False
            self.rung = True
            self.redist.cost.doorbells += 1
            self.fabric.cost.default_doorbells += 1
            if self.fabric.trace is not None:
                self.fabric.trace.event("doorbell", self.vpeid, "default", self.db, self.redist.number)
            self.redist.set_lpi(self.db)

    def _ring_individual(self, doorbell: int) -> None:
        self.redist.cost.doorbells += 1
        self.fabric.cost.individual_doorbells += 1
        if self.fabric.trace is not None:
            self.fabric.trace.event("doorbell", self.vpeid, "individual", doorbell, self.redist.number)
        self.redist.set_lpi(doorbell)

    # The pending table in memory

    @property
    def vpt_size(self) -> int:
        """Bytes of the virtual pending table."""
        return max((1 << self.bits) // 8, SCRATCH)

    def resize(self, bits: int) -> None:
        """GICv4.0: another ITS maps the vPE with that width; what is beyond it is lost."""
        if bits != self.bits:
            self.bits = bits
            self.pending = {n for n in self.pending if not n >> bits}
            self.rebuild()

    def load(self) -> None:
        """Take over the pending table: SGI state from the first KiB, then the bits."""
        memory = self.fabric.memory
        start = self.vpt + SCRATCH
        length = self.vpt_size - SCRATCH
        self.fabric.cost.table_reads += 1
        if self.fabric.v4 is not None and self.fabric.v4.has_vsgi:
            sgis = memory.load(self.vpt + VPT_SGI_PENDING, 2)
            self.pending.update(n for n in range(NR_SGIS) if sgis >> n & 1)
            for n in range(NR_SGIS):
                self.config[n] = memory.load(self.vpt + VPT_SGI_CONFIG + n, 1) & 0xF3
        for at, data in memory.nonzero(start, length):
            self.fabric.cost.table_reads += 1
            for n, byte in enumerate(data, at - start):
                if byte:
                    self.pending.update(FIRST_LPI + 8 * n + bit for bit in range(8) if byte >> bit & 1)
        self.rebuild()

    def flush(self) -> None:
        """Write the pending table."""
        memory = self.fabric.memory
        memory.zero(self.vpt, self.vpt_size)
        self.fabric.cost.table_writes += 1
        by_byte: dict[int, int] = {}
        for vintid in self.pending:
            by_byte[vintid >> 3] = by_byte.get(vintid >> 3, 0) | 1 << (vintid & 7)
        for n, byte in by_byte.items():  # those of SGIs are bytes 0 and 1, as VPT_SGI_PENDING says
            memory.store(self.vpt + n, 1, byte)
            self.fabric.cost.table_writes += 1
        for n in range(NR_SGIS):
            if self.config[n]:
                memory.store(self.vpt + VPT_SGI_CONFIG + n, 1, self.config[n])

    def check(self) -> None:
        """Assert what always holds, of caches that change only when told."""
        enabled = {n: self.config.get(n, 0) for n in self.pending if self.config.get(n, 0) & VLPI_ENABLE}
        for group, ready in enumerate((self.ready0, self.ready1)):
            ranks = sorted(_rank(byte, n) for n, byte in enabled.items() if byte >> 1 & 1 == group)
            assert ready == ranks, f"vPE {self.vpeid}: ready {ready}, but pending and enabled {ranks}"
        assert not (self.armed and self.rung), f"vPE {self.vpeid}: doorbell armed and rung"
        assert not (self.armed and self.frame is not None), f"vPE {self.vpeid}: doorbell armed while resident"


def _rank(byte: int, vintid: int) -> int:
    return (byte & VLPI_PRIORITY_MASK) << 25 | vintid << 1 | byte >> 1 & 1
