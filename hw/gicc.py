"""The GICC frame: the physical CPU interface of one PE on a GICv2.

Room:    above dist2, which offers it this PE's best interrupts; a hypervisor accesses it by MMIO.
Owns:    priority mask, binary points, group enables, EOI mode and active priorities of the PE.
Never:   knows a virtual interrupt.
Holds:   both groups' active priorities are in one register; binary points are never below their minimum.

The GIC has one security state: all accesses see both groups.  A group disabled in GICC_CTLR is not looked at.
The rules are those of gicv, on physical interrupts.  The lines are computed when asked for.
Source: IHI 0048B, GICC_*.
"""

from typing import Final, final

from hw.arch import (
    FIRST_SPECIAL,
    FIRST_SPI,
    GICC_CTLR_ACKCTL,
    GICC_CTLR_CBPR,
    GICC_CTLR_ENABLE_GRP0,
    GICC_CTLR_ENABLE_GRP1,
    GICC_CTLR_EOIMODE,
    GICC_CTLR_FIQEN,
    IAR_CPUID_SHIFT,
    IAR_INTID_MASK,
    INTID_LEGACY,
    INTID_SPURIOUS,
    PRIORITY_IDLE,
)
from hw.cost import Cost
from hw.cpuif2 import CpuInterface2
from hw.dist2 import DistributorV2, PrivateV2, source_of
from hw.physirq import LINE_FIQ, LINE_IRQ, LINE_NONE, PhysIrq

WORD: Final = 0xFFFF_FFFF


@final
class Gicc(CpuInterface2):
    """One PE's physical CPU interface.  Every method of CpuInterface2 is one access, counted."""

    __slots__ = (
        "ackctl",
        "ap",
        "bpr",
        "cbpr",
        "config",
        "cost",
        "dist",
        "enables",
        "eoimode",
        "fiqen",
        "pmr",
        "private",
    )

    def __init__(self, private: PrivateV2, dist: DistributorV2, iidr: int, cost: Cost) -> None:
        """Reset state: everything masked and disabled, binary points at their minimum."""
        super().__init__(iidr)
        self.private = private
        self.dist = dist
        self.cost = cost
        self.config = dist.config
        self.enables = 0  # GICC_CTLR.EnableGrp<n>, bit n
        self.ackctl = False
        self.fiqen = False
        self.cbpr = False
        self.eoimode = False
        self.pmr = 0
        self.bpr = [self.config.min_bpr0, self.config.min_bpr1]  # GICC_BPR, GICC_ABPR
        self.ap = 0  # bit b: active at group priority b << ap_shift

    # Selection

    def candidate(self) -> PhysIrq | None:
        """The highest priority pending interrupt of the enabled groups; ties: the lowest INTID."""
        enables = self.enables & self.dist.enables
        irq = self.private.best_private(enables)
        spi = self.dist.best(enables, self.private.aff)
        if irq is None or (spi is not None and spi.priority < irq.priority):
            return spi
        return irq  # at equal priority the SGI or PPI has the lower INTID

    def mask(self, irq: PhysIrq) -> int:
        """The preemption bits of the priority of `irq`."""
        if irq.group and not self.cbpr:
            return 0xFF << self.bpr[1] & 0xFF
        return 0xFF << (self.bpr[0] + 1) & 0xFF

    def running(self) -> int:
        """The running priority, 0xFF if nothing is active."""
        active = self.ap
        return ((active & -active).bit_length() - 1) << self.config.ap_shift if active else PRIORITY_IDLE

    def signalled(self) -> PhysIrq | None:
        """The candidate, if its priority suffices: better than PMR, and its group priority than the running one."""
        irq = self.candidate()
        if irq is None or irq.priority >= self.pmr:
            return None
        mask = self.mask(irq)
        return None if self.ap and irq.priority & mask >= self.running() & mask else irq

    def line(self) -> int:
        """LINE_IRQ, LINE_FIQ or LINE_NONE: Group 0 is an FIQ if GICC_CTLR.FIQEn."""
        irq = self.signalled()
        if irq is None:
            return LINE_NONE
        return LINE_FIQ if self.fiqen and irq.group == 0 else LINE_IRQ

    # Acknowledge, end, deactivate

    def iar(self, aliased: bool) -> int:
        """GICC_IAR or GICC_AIAR: acknowledge; for an SGI one source only.  1022 and 1023 as in gicv."""
        self.cost.icc_reads += 1
        irq = self.signalled()
        value = self._visible(irq, aliased)
        if irq is None or value in (INTID_LEGACY, INTID_SPURIOUS):
            return value
        self.cost.phys_acks += 1
        self.ap |= 1 << ((irq.priority & self.mask(irq)) >> self.config.ap_shift)
        if irq.intid < FIRST_SPI:
            self.private.acknowledge(irq)
        else:
            self.dist.acknowledge(irq)
            self.dist.notify()  # no other PE is offered it any more
        return value

    def hppir(self, aliased: bool) -> int:
        """GICC_HPPIR: what is pending, whatever PMR and the running priority; GICC_AHPPIR: if it may be signalled."""
        self.cost.icc_reads += 1
        return self._visible(self.signalled() if aliased else self.candidate(), aliased)

    def _visible(self, irq: PhysIrq | None, aliased: bool) -> int:
        """What a read shows of `irq`: its INTID, with the source of an SGI, or 1022 or 1023."""
        if irq is None or (aliased and irq.group == 0):
            return INTID_SPURIOUS
        if irq.group and not (aliased or self.ackctl):
            return INTID_LEGACY
        return irq.intid | source_of(irq) << IAR_CPUID_SHIFT

    def eoir(self, value: int) -> None:
        """GICC_EOIR: drop the running priority, and deactivate with EOImode 0; nothing if nothing is active."""
        self.cost.icc_writes += 1
        intid = value & IAR_INTID_MASK
        if self.ap and intid < FIRST_SPECIAL:
            self.ap &= self.ap - 1
            if not self.eoimode:
                self.deactivate(intid)

    def aeoir(self, value: int) -> None:
        """GICC_AEOIR: as EOIR."""
        self.eoir(value)

    def dir(self, value: int) -> None:
        """GICC_DIR: deactivate; ignored with EOImode 0 (UNPREDICTABLE)."""
        self.cost.icc_writes += 1
        if self.eoimode:
            self.deactivate(value & IAR_INTID_MASK)

    def deactivate(self, intid: int) -> None:
        """Deactivate an SGI or PPI of this PE, or any SPI; nothing for INTIDs that do not exist.  Not an access."""
        if intid < FIRST_SPI:
            self.private.irq(intid).active = False
        elif self.dist.has(intid):
            self.dist.irq(intid).active = False
            self.dist.notify()  # it may be offered to another PE again

    # The other registers

    def rpr(self) -> int:
        """GICC_RPR."""
        self.cost.icc_reads += 1
        return self.running()

    def read_ctlr(self) -> int:
        """GICC_CTLR.  The bypass controls do not exist: no interrupt line goes round this GIC."""
        self.cost.icc_reads += 1
        value = self.enables
        value |= GICC_CTLR_ACKCTL if self.ackctl else 0
        value |= GICC_CTLR_FIQEN if self.fiqen else 0
        value |= GICC_CTLR_CBPR if self.cbpr else 0
        return value | (GICC_CTLR_EOIMODE if self.eoimode else 0)

    def write_ctlr(self, value: int) -> None:
        """Write GICC_CTLR."""
        self.cost.icc_writes += 1
        self.enables = value & (GICC_CTLR_ENABLE_GRP0 | GICC_CTLR_ENABLE_GRP1)
        self.ackctl = value & GICC_CTLR_ACKCTL != 0
        self.fiqen = value & GICC_CTLR_FIQEN != 0
        self.cbpr = value & GICC_CTLR_CBPR != 0
        self.eoimode = value & GICC_CTLR_EOIMODE != 0

    def read_pmr(self) -> int:
        """GICC_PMR."""
        self.cost.icc_reads += 1
        return self.pmr

    def write_pmr(self, value: int) -> None:
        """Write GICC_PMR; unimplemented bits are RES0."""
        self.cost.icc_writes += 1
        self.pmr = value & self.config.pri_mask

    def read_bpr(self, group: int) -> int:
        """GICC_BPR, GICC_ABPR: what is stored, also under CBPR."""
        self.cost.icc_reads += 1
        return self.bpr[group]

    def write_bpr(self, group: int, value: int) -> None:
        """Write GICC_BPR, GICC_ABPR; a value below the minimum becomes the minimum."""
        self.cost.icc_writes += 1
        self.bpr[group] = max(value & 7, self.config.min_bpr1 if group else self.config.min_bpr0)

    def read_apr(self, n: int) -> int:
        """GICC_APR<n>."""
        self.cost.icc_reads += 1
        return self.ap >> 32 * n & WORD

    def write_apr(self, n: int, value: int) -> None:
        """Write GICC_APR<n>; those that the priorities do not need are WI."""
        self.cost.icc_writes += 1
        if n < self.config.ap_words:
            self.ap = self.ap & ~(WORD << 32 * n) | (value & WORD) << 32 * n

    def read_iidr(self) -> int:
        """GICC_IIDR."""
        self.cost.icc_reads += 1
        return self.iidr

    def check(self) -> None:
        """Assert what always holds."""
        config = self.config
        assert self.pmr & ~config.pri_mask == 0, f"PMR {self.pmr:#x}"
        assert config.min_bpr0 <= self.bpr[0] <= 7, f"BPR {self.bpr[0]}"
        assert config.min_bpr1 <= self.bpr[1] <= 7, f"ABPR {self.bpr[1]}"
        assert self.ap >> (1 << config.pre_bits) == 0, f"active priorities {self.ap:#x}"
