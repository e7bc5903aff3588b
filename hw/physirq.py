"""One physical SGI, PPI or SPI, and the registers that hold a few bits for each of many.

Room:    below dist (SPIs) and redist (SGIs and PPIs): both are a bank of interrupts.
Owns:    the state of every interrupt with an active state; the per-interrupt register table.
Never:   knows CPU interfaces, priorities masks or LPIs; selects among banks.
Holds:   intid in bank.raised  <=>  that interrupt is pending.  Checked by check().

Source: IHI 0069H, GICD_IGROUPR<n> .. GICD_IGRPMODR<n> and their GICR_* forms.
"""

from typing import Final, final

from hw.arch import (
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IGRPMODR,
    GICD_IPRIORITYR,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
    NR_SGIS,
    PRIORITY_IDLE,
)
from hw.config import PhysConfig

# What an interrupt counts as.  The numbers are also the bits of GICD_CTLR.EnableGrp*, Secure view.

GROUP0: Final = 0
GROUP1_NS: Final = 1  # the only Group 1 with one security state
GROUP1_S: Final = 2

ROUTE_ANY: Final = -1  # offered to every PE; the first acknowledge takes it

# What a physical CPU interface asserts: at most one of its lines

LINE_NONE: Final = 0
LINE_IRQ: Final = 1
LINE_FIQ: Final = 2

W32: Final = 4
W64: Final = 8


class LineListener:
    """Told that state behind a PE's interrupt lines may have changed."""

    def poll_lines(self) -> None:
        """Compare the lines with what they were."""


@final
class PhysIrq:
    """One SGI, PPI or SPI."""

    __slots__ = (
        "active",
        "edge",
        "enabled",
        "group",
        "intid",
        "latch",
        "line",
        "modifier",
        "priority",
        "route",
        "sources",
    )

    def __init__(self, intid: int) -> None:
        """Start as after reset: Group 0, disabled, idle."""
        self.intid = intid
        self.enabled = False
        self.group = 0  # GICD_IGROUPR
        self.modifier = 0  # GICD_IGRPMODR; 0 with one security state
        self.edge = intid < NR_SGIS  # an SGI always is
        self.latch = False  # an edge, an SGI sent, or a software write of ISPENDR
        self.line = False  # the wire
        self.active = False
        self.priority = 0  # unimplemented bits zero
        self.route = ROUTE_ANY  # SPI: packed affinity (GICv2: a bit for each PE); its reset value is 0.0.0.0
        self.sources = 0  # SGI of a GICv2: a bit for each PE that sent it

    def pending(self) -> bool:
        """Whether the interrupt is pending, also while it is active."""
        return self.latch or (self.line and not self.edge)

    def kind(self) -> int:
        """GROUP0, GROUP1_NS or GROUP1_S.  The reserved encoding (both bits) is Non-secure Group 1."""
        if self.group:
            return GROUP1_NS
        return GROUP1_S if self.modifier else GROUP0


class PerIrq:
    """A register with a field for each interrupt.  As it stands: RAZ/WI."""

    def get(self, bank: "Bank", irq: PhysIrq, secure: bool) -> int:
        """The field of `irq`."""
        return 0

    def put(self, bank: "Bank", irq: PhysIrq, field: int, secure: bool) -> None:
        """Write the field of `irq`."""


@final
class Row:
    """Where a per-interrupt register array sits in its frame."""

    __slots__ = ("bits", "bytewise", "end", "name", "offset", "rule")

    def __init__(self, name: str, offset: int, bits: int, rule: PerIrq, count: int = 1024) -> None:
        """`bits` for each of `count` interrupts, from `offset` bytes on."""
        self.name = name
        self.offset = offset
        self.bits = bits
        self.end = offset + count * bits // 8
        self.bytewise = bits == 8
        self.rule = rule


class Bank:
    """The interrupts first..first+n-1 and what distributor and redistributor do alike with them."""

    def __init__(self, first: int, count: int, config: PhysConfig) -> None:
        """`count` interrupts from INTID `first` on."""
        self.first = first
        self.one_state = config.single_security  # GICD_CTLR.DS
        self.pri_mask = config.pri_mask
        self.rows = PER_IRQ  # the register arrays of this GIC version
        self.irqs = [PhysIrq(first + n) for n in range(count)]
        self.raised: dict[int, PhysIrq] = {}  # those pending, by INTID

    def irq(self, intid: int) -> PhysIrq:
        """The state of `intid`, which must belong to this bank."""
        assert self.has(intid), f"INTID {intid} is not one of {self.first}..{self.first + len(self.irqs) - 1}"
        return self.irqs[intid - self.first]

    def has(self, intid: int) -> bool:
        """Whether `intid` belongs to this bank."""
        return self.first <= intid < self.first + len(self.irqs)

    def drive(self, irq: PhysIrq, level: bool) -> None:
        """The wire of `irq` is now `level`: a rising edge is latched if the source is edge-triggered."""
        if level and not irq.line and irq.edge:
            irq.latch = True
        irq.line = level
        self.refresh(irq)

    def set_latch(self, irq: PhysIrq, latch: bool) -> None:
        """Make `irq` pending, or no longer so but for its wire."""
        irq.latch = latch
        self.refresh(irq)

    def acknowledge(self, irq: PhysIrq) -> None:
        """Pending becomes active; a level-sensitive wire still high leaves it pending as well."""
        irq.active = True
        self.set_latch(irq, False)

    def refresh(self, irq: PhysIrq) -> None:
        """Keep `raised` true to the state of `irq`."""
        if irq.pending():
            self.raised[irq.intid] = irq
        else:
            self.raised.pop(irq.intid, None)

    def best(self, enables: int, aff: int) -> PhysIrq | None:
        """The highest-priority interrupt that may be forwarded to the PE `aff`; ties: the lowest INTID.

        `enables` has bit GROUP0, GROUP1_NS, GROUP1_S set for each group that GICD_CTLR enables.
        Priority 0xFF is never forwarded.  On a GICv2 `aff` is the PE's bit in ITARGETSR.
        """
        found: PhysIrq | None = None
        rank = PRIORITY_IDLE << 10
        for irq in self.raised.values():
            if irq.active or not irq.enabled or not enables >> irq.kind() & 1:
                continue
            if irq.route not in (aff, ROUTE_ANY) and not self.shares(irq, aff):
                continue
            if irq.priority << 10 | irq.intid < rank:
                found, rank = irq, irq.priority << 10 | irq.intid
        return found

    def shares(self, irq: PhysIrq, aff: int) -> bool:
        """Whether `irq`, routed neither to `aff` alone nor to every PE, may still go to `aff`."""
        return False

    def hidden(self, irq: PhysIrq, secure: bool) -> bool:
        """Whether an access from Non-secure state does not see `irq`: its fields are RAZ/WI."""
        return not (secure or self.one_state or irq.kind() == GROUP1_NS)

    def read_irqs(self, offset: int, size: int, secure: bool) -> int:
        """Read a per-interrupt register; 0 where there is none, or not at this width."""
        row = find_row(self.rows, offset, size)
        if row is None:
            return 0
        value = 0
        intid = (offset - row.offset) * 8 // row.bits
        for n in range(size * 8 // row.bits):
            if self.has(intid + n):
                irq = self.irqs[intid + n - self.first]
                if not self.hidden(irq, secure):
                    value |= row.rule.get(self, irq, secure) << n * row.bits
        return value

    def write_irqs(self, offset: int, size: int, value: int, secure: bool) -> None:
        """Write a per-interrupt register; ignored where there is none, or not at this width."""
        row = find_row(self.rows, offset, size)
        if row is None:
            return
        mask = (1 << row.bits) - 1
        intid = (offset - row.offset) * 8 // row.bits
        for n in range(size * 8 // row.bits):
            if self.has(intid + n):
                irq = self.irqs[intid + n - self.first]
                if not self.hidden(irq, secure):
                    row.rule.put(self, irq, value >> n * row.bits & mask, secure)

    def check(self) -> None:
        """Assert what always holds."""
        for irq in self.irqs:
            assert irq.pending() == (irq.intid in self.raised), f"INTID {irq.intid}: raised is stale"
            assert irq.priority & ~self.pri_mask == 0, f"INTID {irq.intid}: priority {irq.priority:#x}"
            assert irq.edge or irq.intid >= NR_SGIS, f"SGI {irq.intid} is level-sensitive"
            assert not (irq.modifier and self.one_state), f"INTID {irq.intid}: IGRPMODR with one security state"


@final
class _GroupBit(PerIrq):
    """IGROUPR<n>; RAZ/WI to Non-secure accesses when there are two security states."""

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return irq.group if secure or bank.one_state else 0

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if secure or bank.one_state:
            irq.group = field


@final
class _ModifierBit(PerIrq):
    """IGRPMODR<n>: with IGROUPR = 0, Secure Group 1; only Secure accesses, only two security states."""

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return irq.modifier if secure else 0

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if secure and not bank.one_state:
            irq.modifier = field


@final
class _Enable(PerIrq):
    """ISENABLER<n> and ICENABLER<n>: writing 1 acts, writing 0 does nothing."""

    def __init__(self, to: bool) -> None:
        self.to = to

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return int(irq.enabled)

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if field:
            irq.enabled = self.to


class Pend(PerIrq):
    """ISPENDR<n> and ICPENDR<n>: reads give pending, wire included; writes act on the latch alone."""

    def __init__(self, to: bool) -> None:
        """`to`: what writing 1 makes of the latch."""
        self.to = to

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        """The field of `irq`."""
        return int(irq.pending())

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        """Write the field of `irq`."""
        if field:
            bank.set_latch(irq, self.to)


@final
class _Activate(PerIrq):
    """ISACTIVER<n> and ICACTIVER<n>: the running priority of no PE changes."""

    def __init__(self, to: bool) -> None:
        self.to = to

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return int(irq.active)

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if field:
            irq.active = self.to


@final
class _Priority(PerIrq):
    """IPRIORITYR<n>; Non-secure state sees the lower half of the priorities as if it were all of them."""

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return irq.priority if secure or bank.one_state else irq.priority << 1 & 0xFF

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if not (secure or bank.one_state):
            field = field >> 1 | 0x80
        irq.priority = field & bank.pri_mask


@final
class _Config(PerIrq):
    """ICFGR<n>: bit 1 of the pair is edge-triggered, bit 0 is reserved; read-only for SGIs."""

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return int(irq.edge) << 1

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if irq.intid >= NR_SGIS:
            irq.edge = field & 2 != 0
            bank.refresh(irq)


PER_IRQ: Final[tuple[Row, ...]] = (
    #   register       offset          bits  rule
    Row("IGROUPR", GICD_IGROUPR, 1, _GroupBit()),
    Row("ISENABLER", GICD_ISENABLER, 1, _Enable(True)),
    Row("ICENABLER", GICD_ICENABLER, 1, _Enable(False)),
    Row("ISPENDR", GICD_ISPENDR, 1, Pend(True)),
    Row("ICPENDR", GICD_ICPENDR, 1, Pend(False)),
    Row("ISACTIVER", GICD_ISACTIVER, 1, _Activate(True)),
    Row("ICACTIVER", GICD_ICACTIVER, 1, _Activate(False)),
    Row("IPRIORITYR", GICD_IPRIORITYR, 8, _Priority()),
    Row("ICFGR", GICD_ICFGR, 2, _Config()),
    Row("IGRPMODR", GICD_IGRPMODR, 1, _ModifierBit()),
)


def find_row(rows: tuple[Row, ...], offset: int, size: int) -> Row | None:
    """The register array at `offset`, if it may be accessed with `size` bytes there."""
    for row in rows:
        if row.offset <= offset < row.end:
            aligned = size == W32 and offset % W32 == 0
            return row if aligned or (size == 1 and row.bytewise) else None
    return None


def part(register: int, at: int, size: int) -> int:
    """The `size` bytes of a 64-bit register from its byte `at` on."""
    return register >> 8 * at & ((1 << 8 * size) - 1)


def merge(register: int, at: int, size: int, value: int) -> int:
    """The 64-bit register with `size` bytes from byte `at` on replaced by `value`."""
    mask = (1 << 8 * size) - 1 << 8 * at
    return register & ~mask | value << 8 * at & mask
