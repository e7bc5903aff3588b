"""The physical redistributor of one PE: its SGIs, PPIs and LPIs.

Room:    between devices, other PEs and the ITS on one side, and this PE's icc on the other.
Owns:    GICR_CTLR, GICR_WAKER; SGI and PPI state through private, the LPIs through plpi.
Never:   knows the running priority or PMR of its PE.
Holds:   as Private.

Registers that are not in the table of physirq or named here are RAZ/WI, as are accesses of the
wrong width or alignment.  The PE is awake after reset, as firmware leaves it.

Source: IHI 0069H, GICR_*.
"""

from hw.arch import (
    GICR_CLRLPIR,
    GICR_CTLR,
    GICR_CTLR_CES,
    GICR_CTLR_ENABLE_LPIS,
    GICR_CTLR_IR,
    GICR_IIDR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SETLPIR,
    GICR_SGI_BASE,
    GICR_TYPER,
    GICR_TYPER_AFF_SHIFT,
    GICR_TYPER_DIRECT_LPI,
    GICR_TYPER_LAST,
    GICR_TYPER_PLPIS,
    GICR_TYPER_PROCESSOR_SHIFT,
    GICR_WAKER,
    IIDR_ARM,
    WAKER_CHILDREN_ASLEEP,
    WAKER_PROCESSOR_SLEEP,
)
from hw.cost import Cost
from hw.dist import Distributor
from hw.fabric import Fabric
from hw.ich import Ich
from hw.physirq import GROUP1_NS, W32, W64, merge, part
from hw.plpi import Lpis
from hw.private import Private

NO_VALUE = -1  # no register there


class Redistributor(Private):
    """The redistributor of the PE with packed affinity `aff`, the `number`th of the machine."""

    def __init__(self, number: int, aff: int, dist: Distributor, virt: Ich, fabric: Fabric, cost: Cost) -> None:
        """Reset state.  `virt` drives the maintenance interrupt; `cost` counts the MMIO accesses."""
        super().__init__(number, aff, dist, virt, cost)
        self.fabric = fabric
        self.name = f"GICR{number}"
        self.lpis = Lpis(fabric, number)
        self.group: list[Redistributor] = [self]  # those of equal CommonLPIAff, which share tables
        self.last = False  # GICR_TYPER.Last: no further redistributor follows
        self.asleep = False  # GICR_WAKER.ProcessorSleep: nothing is forwarded to the PE

    def receive_sgi(self, sgi: int, groups: int) -> None:
        """An SGI 0..15 arrives; `groups` has the bit of each group that its sender may reach."""
        irq = self.irqs[sgi]
        if groups >> irq.kind() & 1:
            self.set_latch(irq, True)

    def set_lpi(self, intid: int) -> None:
        """An LPI arrives from the ITS, or from a device that writes GICR_SETLPIR."""
        self.lpis.set_pending(intid)
        self.dist.notify()

    def best_lpi(self) -> int:
        """The INTID of the best LPI to forward, or 0."""
        return self.lpis.best() if self.dist.enables >> GROUP1_NS & 1 else 0

    def read(self, offset: int, size: int, secure: bool = False) -> int:
        """Read `size` bytes at `offset` of the GICR frames; SGI_base is at 0x10000."""
        self.cost.mmio_reads += 1
        if offset >= GICR_SGI_BASE:
            self.sample()
            return self.read_irqs(offset - GICR_SGI_BASE, size, secure)
        if size not in (W32, W64) or offset % size:
            return 0
        if size == W32:
            value = self._word(offset, secure)
            if value != NO_VALUE:
                return value
        value = self._double(offset & ~7)
        return 0 if value == NO_VALUE else part(value, offset % W64, size)

    def write(self, offset: int, size: int, value: int, secure: bool = False) -> None:
        """Write `size` bytes at `offset` of the GICR frames; SGI_base is at 0x10000."""
        self.cost.mmio_writes += 1
        self.sample()
        if offset >= GICR_SGI_BASE:
            self.write_irqs(offset - GICR_SGI_BASE, size, value, secure)
        elif size in (W32, W64) and offset % size == 0:
            self.fabric.misuse.doing(self.name, offset, value)
            self._write_rd(offset, size, value, secure)
            self.dist.notify()
            self.fabric.misuse.done()
            return
        self.dist.notify()

    def read_word(self, offset: int) -> int:
        """Read a word of the SGI frame at its GICD offset."""
        return self.read(GICR_SGI_BASE + offset, W32)

    def write_word(self, offset: int, value: int) -> None:
        """Write a word of the SGI frame at its GICD offset."""
        self.write(GICR_SGI_BASE + offset, W32, value)

    def _word(self, offset: int, secure: bool) -> int:
        """The 32-bit register at `offset` of RD_base, or NO_VALUE."""
        if offset == GICR_CTLR:
            ces = GICR_CTLR_CES if self.fabric.phys.ces else 0
            return ces | GICR_CTLR_IR | (GICR_CTLR_ENABLE_LPIS if self.lpis.enabled else 0)
        if offset == GICR_IIDR:
            return IIDR_ARM
        if offset == GICR_WAKER:
            return WAKER_PROCESSOR_SLEEP | WAKER_CHILDREN_ASLEEP if self.asleep and self._owns_waker(secure) else 0
        return NO_VALUE

    def _double(self, offset: int) -> int:
        """The 64-bit register at `offset` of RD_base, or NO_VALUE."""
        if offset == GICR_TYPER:
            return self.typer()
        if offset == GICR_PROPBASER:
            return self.lpis.propbaser
        if offset == GICR_PENDBASER:
            return self.lpis.pendbaser
        return NO_VALUE

    def _write_rd(self, offset: int, size: int, value: int, secure: bool) -> None:
        lpis = self.lpis
        register, at = offset & ~7, offset % W64
        if register == GICR_PROPBASER:
            lpis.write_propbaser(merge(lpis.propbaser, at, size, value))
        elif register == GICR_PENDBASER:
            lpis.write_pendbaser(merge(lpis.pendbaser, at, size, value))
        elif offset == GICR_INVLPIR:
            self.invalidate(value)
        elif offset == GICR_INVALLR:
            self.invalidate_all(value)
        elif offset in (GICR_SETLPIR, GICR_CLRLPIR):
            if self.fabric.phys.direct_lpi:
                (lpis.set_pending if offset == GICR_SETLPIR else lpis.clear_pending)(value & 0xFFFF_FFFF)
        elif size == W32 and offset == GICR_CTLR:
            self.enable_lpis(value & GICR_CTLR_ENABLE_LPIS != 0)
        elif size == W32 and offset == GICR_WAKER and self._owns_waker(secure):
            self.sleep(value & WAKER_PROCESSOR_SLEEP != 0)

    def invalidate(self, value: int) -> None:
        """Write GICR_INVLPIR."""
        self.lpis.invalidate(value & 0xFFFF_FFFF)

    def invalidate_all(self, value: int) -> None:
        """Write GICR_INVALLR."""
        self.lpis.invalidate_all()

    def enable_lpis(self, on: bool) -> None:
        """Write GICR_CTLR.EnableLPIs.  All that share tables have to name one configuration table."""
        if on and not self.lpis.enabled:
            for peer in self.group:
                if peer.lpis.enabled and peer.lpis.propbaser != self.lpis.propbaser:
                    self.fabric.misuse.report("M-16", f"{peer.name} has {peer.lpis.propbaser:#x}")
                    break
        self.lpis.enable(on)

    def sleep(self, asleep: bool) -> None:
        """Write GICR_WAKER.ProcessorSleep."""
        self.asleep = asleep

    def _owns_waker(self, secure: bool) -> bool:
        """GICR_WAKER is RAZ/WI to Non-secure accesses when there are two security states."""
        return secure or self.one_state

    def typer(self) -> int:
        """GICR_TYPER: whose redistributor this is, and what it can do."""
        return (
            self.aff << GICR_TYPER_AFF_SHIFT
            | self.number << GICR_TYPER_PROCESSOR_SHIFT
            | (GICR_TYPER_LAST if self.last else 0)
            | (GICR_TYPER_DIRECT_LPI if self.fabric.phys.direct_lpi else 0)
            | GICR_TYPER_PLPIS
        )

    def check(self) -> None:
        """Assert what always holds."""
        super().check()
        self.lpis.check()
