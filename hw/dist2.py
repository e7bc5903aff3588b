"""The distributor of a GICv2: its frame, target lists, and SGIs that remember who sent them.

Room:    above dist and private; a GICC asks it for its best interrupts.
Owns:    GICD_CTLR, GICD_ITARGETSR<n>, GICD_SGIR and the pending sources of every SGI.
Never:   knows a CPU interface's priorities, or what a PE runs.
Holds:   an SGI is pending at a PE  <=>  some PE has sent it there and not been acknowledged.  Checked by check().

The words of INTIDs 0..31 are banked: which PE's they are depends on the PE that accesses the frame.  Registers that
are not in the table are RAZ/WI, as are accesses of the wrong width or alignment.
Source: IHI 0048B, GICD_*.
"""

from typing import Final, final

from hw.arch import (
    FIRST_SPI,
    GICD_CPENDSGIR,
    GICD_CTLR,
    GICD_CTLR_ENABLE_GRP0,
    GICD_CTLR_ENABLE_GRP1,
    GICD_ICPENDR,
    GICD_IIDR,
    GICD_ISPENDR,
    GICD_ITARGETSR,
    GICD_SGIR,
    GICD_SGIR_FILTER_MASK,
    GICD_SGIR_FILTER_SHIFT,
    GICD_SGIR_INTID_MASK,
    GICD_SGIR_TARGETS_MASK,
    GICD_SGIR_TARGETS_SHIFT,
    GICD_SPENDSGIR,
    GICD_TYPER,
    GICD_TYPER_CPUNUMBER_SHIFT,
    IIDR_ARM,
    NR_SGIS,
)
from hw.config import PhysConfig
from hw.cost import Cost
from hw.dist import Distributor
from hw.ich import Ich
from hw.physirq import PER_IRQ, W32, Bank, Pend, PerIrq, PhysIrq, Row
from hw.private import Private

MAX_PES: Final = 8  # a target list is a byte
REPLACED: Final = ("ISPENDR", "ICPENDR", "IGRPMODR")  # rows of PER_IRQ that a GICv2 has otherwise, or not at all


@final
class DistributorV2(Distributor):
    """The distributor of a machine with a GICv2 and `cpus` PEs, which add their private interrupts themselves."""

    def __init__(self, config: PhysConfig, cpus: int) -> None:
        """Reset state: every SPI idle and, but for a lone PE, without a target."""
        super().__init__(config)
        everyone = (1 << cpus) - 1
        self.everyone = everyone
        self.private: list[PrivateV2] = []  # by PE number
        self.rows = (
            *(row for row in PER_IRQ if row.name not in REPLACED),
            #   register        offset           bits  rule
            Row("ISPENDR", GICD_ISPENDR, 1, _PendNoSgi(True)),
            Row("ICPENDR", GICD_ICPENDR, 1, _PendNoSgi(False)),
            Row("ITARGETSR", GICD_ITARGETSR, 8, _Targets(everyone if cpus > 1 else 0)),
            Row("CPENDSGIR", GICD_CPENDSGIR, 8, _Sources(False, everyone), NR_SGIS),
            Row("SPENDSGIR", GICD_SPENDSGIR, 8, _Sources(True, everyone), NR_SGIS),
        )
        if cpus == 1:
            for irq in self.irqs:
                irq.route = everyone

    def read(self, offset: int, size: int, secure: bool = False, cpu: int = 0) -> int:
        """Read `size` bytes at `offset` of the GICD frame, as PE number `cpu`.  There is one security state."""
        self.cost.mmio_reads += 1
        return self.read_frame(offset, size, cpu)

    def write(self, offset: int, size: int, value: int, secure: bool = False, cpu: int = 0) -> None:
        """Write `size` bytes at `offset` of the GICD frame, as PE number `cpu`.  There is one security state."""
        self.cost.mmio_writes += 1
        self.write_frame(offset, size, value, cpu)

    def read_frame(self, offset: int, size: int, cpu: int) -> int:
        """As read(), counted by the caller."""
        if size == W32:
            if offset == GICD_CTLR:
                return self.enables
            if offset == GICD_TYPER:
                return self.config.it_lines_number | (len(self.private) - 1) << GICD_TYPER_CPUNUMBER_SHIFT
            if offset == GICD_IIDR:
                return IIDR_ARM
        own = self.private[cpu]
        own.sample()
        return self.read_irqs(offset, size, True) | own.read_irqs(offset, size, True)

    def write_frame(self, offset: int, size: int, value: int, cpu: int) -> None:
        """As write(), counted by the caller."""
        if offset in (GICD_CTLR, GICD_SGIR):
            if size == W32 and offset == GICD_CTLR:
                self.enables = value & (GICD_CTLR_ENABLE_GRP0 | GICD_CTLR_ENABLE_GRP1)
            elif size == W32:
                self._send_sgi(cpu, value)
        else:
            own = self.private[cpu]
            own.sample()
            self.write_irqs(offset, size, value, True)
            own.write_irqs(offset, size, value, True)
        self.notify()

    def shares(self, irq: PhysIrq, aff: int) -> bool:
        """Whether the target list of `irq` has the PE whose bit `aff` is."""
        return irq.route & aff != 0

    def _send_sgi(self, source: int, value: int) -> None:
        """GICD_SGIR: send an SGI to the PEs listed (0), to all others (1), or to the sender itself (2)."""
        sgi = value & GICD_SGIR_INTID_MASK
        listed = value >> GICD_SGIR_TARGETS_SHIFT & GICD_SGIR_TARGETS_MASK & self.everyone
        own = 1 << source
        targets = (listed, self.everyone & ~own, own, 0)[value >> GICD_SGIR_FILTER_SHIFT & GICD_SGIR_FILTER_MASK]
        for private in self.private:
            if targets & private.aff:
                irq = private.irqs[sgi]
                irq.sources |= own
                private.set_latch(irq, True)


@final
class PrivateV2(Private):
    """INTIDs 0..31 of the `number`th PE of a machine with a GICv2."""

    def __init__(self, number: int, dist: DistributorV2, virt: Ich, cost: Cost) -> None:
        """Reset state, known to the distributor from now on."""
        super().__init__(number, 1 << number, dist, virt, cost)
        assert len(dist.private) == number, f"PE {number} is not the next after {len(dist.private)}"
        self.frame = dist
        self.rows = dist.rows
        for irq in self.irqs:
            irq.route = self.aff  # what ITARGETSR<0..7> read as
        dist.private.append(self)

    def acknowledge(self, irq: PhysIrq) -> None:
        """As Bank; an SGI is acknowledged for its lowest source alone, and stays pending for the others."""
        if irq.intid >= NR_SGIS:
            super().acknowledge(irq)
            return
        irq.active = True
        irq.sources &= irq.sources - 1
        self.set_latch(irq, irq.sources != 0)

    def read_word(self, offset: int) -> int:
        """Read a word of the GICD frame as this PE."""
        self.cost.mmio_reads += 1
        return self.frame.read_frame(offset, W32, self.number)

    def write_word(self, offset: int, value: int) -> None:
        """Write a word of the GICD frame as this PE."""
        self.cost.mmio_writes += 1
        self.frame.write_frame(offset, W32, value, self.number)

    def check(self) -> None:
        """Assert what always holds."""
        super().check()
        for irq in self.irqs:
            assert irq.intid >= NR_SGIS or irq.latch == (irq.sources != 0), f"SGI {irq.intid}: {irq.sources:#x}"
            assert irq.intid < NR_SGIS or irq.sources == 0, f"INTID {irq.intid} is no SGI but has sources"
            assert irq.sources & ~self.frame.everyone == 0, f"SGI {irq.intid} from a PE that does not exist"


def source_of(irq: PhysIrq) -> int:
    """The PE that the next acknowledge of `irq` is for: the lowest of an SGI's; 0 if it is no SGI."""
    return (irq.sources & -irq.sources).bit_length() - 1 if irq.sources else 0


@final
class _PendNoSgi(Pend):
    """ISPENDR<n> and ICPENDR<n> of a GICv2: read-only for SGIs, which SPENDSGIR and CPENDSGIR change."""

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if irq.intid >= NR_SGIS:
            super().put(bank, irq, field, secure)


@final
class _Targets(PerIrq):
    """ITARGETSR<n>: the PEs an SPI may go to; read-only for SGIs and PPIs, RAZ/WI with a lone PE (mask 0)."""

    def __init__(self, mask: int) -> None:
        self.mask = mask

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return irq.route & self.mask

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        if irq.intid >= FIRST_SPI and self.mask:
            irq.route = field & self.mask


@final
class _Sources(PerIrq):
    """SPENDSGIR<n> and CPENDSGIR<n>: the PEs that have sent an SGI; writing 1 acts, writing 0 does nothing."""

    def __init__(self, to: bool, mask: int) -> None:
        self.to = to
        self.mask = mask

    def get(self, bank: Bank, irq: PhysIrq, secure: bool) -> int:
        return irq.sources

    def put(self, bank: Bank, irq: PhysIrq, field: int, secure: bool) -> None:
        irq.sources = irq.sources | field & self.mask if self.to else irq.sources & ~field
        bank.set_latch(irq, irq.sources != 0)
