"""GICD of a GICv2 guest: banked private registers, targets by CPU mask, SGIs with their sources.

Room:    a table; the banks it shares with GICv3 are perirq's.
Owns:    GICD_CTLR, TYPER, IIDR's unlocking of groups, ITARGETSR, SGIR and the SGI pending registers; Irq.source and
         active_source as registers change them.
Holds:   an access to INTIDs below 32 reaches the accessing vCPU's own interrupts; only SGIR crosses vCPUs.
         An SGI is pending exactly while it has a source.
"""

from typing import Final, final

from vgic.ap_list import queue
from vgic.dist import Dist
from vgic.ids import DIST_SIZE_V2, FIRST_SPI, NR_SGIS
from vgic.iidr import Iidr
from vgic.irq import Irq
from vgic.mmio import W8, W32, Accessor, Frame, Region, RegionTable
from vgic.perirq import (
    ActiveClear,
    ActiveSet,
    Config,
    EnableClear,
    EnableSet,
    GroupBits,
    PendingClear,
    PendingSet,
    Priority,
)
from vgic.run import kick_pending
from vgic.vcpu import VcpuGic

_ENABLE: Final = 1
_SOURCES: Final = 0xFF  # KVM keeps an SGI's sources in a byte: ids above 7, possible on a GICv3 host, have no bit
_CPU_NUMBER_SHIFT: Final = 5
_W32: Final = 4

# GICD_SGIR (IHI 0048)
_SGI_INTID: Final = 0xF
_TARGET_LIST_SHIFT: Final = 16
_FILTER_SHIFT: Final = 24
_TO_LIST: Final = 0
_TO_OTHERS: Final = 1
_TO_SELF: Final = 2


@final
class Ctlr(Accessor):
    """GICD_CTLR: one enable for both groups, in bit 0; EnableGrp1 is RAZ/WI."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the enable."""
        return _ENABLE if frame.dist.enabled else 0

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Enable or disable; enabling kicks who has something listed, but queues nothing: vgic_mmio_write_v2_misc()."""
        dist = frame.dist
        was_enabled = dist.enabled
        dist.enabled = bool(value & _ENABLE)
        if dist.enabled and not was_enabled:
            kick_pending(dist)


@final
class Typer(Accessor):
    """GICD_TYPER: number of interrupts and of CPU interfaces."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return ITLinesNumber and CPUNumber."""
        dist = frame.dist
        return dist.nr_irqs // 32 - 1 | len(dist.vcpus) - 1 << _CPU_NUMBER_SHIFT


@final
class Groups(GroupBits):
    """GICD_IGROUPR<n>: user space's writes count only once it has written GICD_IIDR, which older VMMs do not."""

    __slots__ = ()

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Assign, if user space knows about groups: vgic_mmio_uaccess_write_v2_group()."""
        if frame.dist.v2_groups_user_writable:
            self.write(frame, vcpu, at, _W32, value)


@final
class SgiPendingSet(PendingSet):
    """GICD_ISPENDR<n>: the guest cannot make SGIs pending here."""

    __slots__ = ()

    def user_get(self, irq: Irq) -> bool:
        """Return the state as it is kept, also for a mapped interrupt: __read_pending()."""
        return irq.is_pending()

    def put(self, irq: Irq) -> None:
        """Latch, unless it is an SGI."""
        if irq.intid >= NR_SGIS:
            PendingSet.put(self, irq)

    def user_put(self, irq: Irq) -> None:
        """Latch, without physical effect; an SGI gets the vCPU itself as its source."""
        irq.pending_latch = True
        if irq.intid < NR_SGIS and irq.target is not None:
            irq.source |= 1 << irq.target.vcpu_id & _SOURCES
        queue(irq)


@final
class SgiPendingClear(PendingClear):
    """GICD_ICPENDR<n>: the guest cannot retract SGIs here."""

    __slots__ = ()

    def user_get(self, irq: Irq) -> bool:
        """Return the state as it is kept, also for a mapped interrupt: __read_pending()."""
        return irq.is_pending()

    def put(self, irq: Irq) -> None:
        """Clear the latch, unless it is an SGI."""
        if irq.intid >= NR_SGIS:
            PendingClear.put(self, irq)

    def user_put(self, irq: Irq) -> None:
        """Clear the latch, without physical effect; an SGI loses all its sources."""
        irq.pending_latch = False
        irq.source = 0


@final
class SgiActiveSet(ActiveSet):
    """GICD_ISACTIVER<n>: an SGI made active here has the vCPU itself as the source of the active instance."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Activate, and name the source."""
        if irq.intid < NR_SGIS and irq.target is not None:
            irq.active_source = irq.target.vcpu_id
        ActiveSet.put(self, irq)

    def user_put(self, irq: Irq) -> None:
        """Activate; nobody asked, so the source is 0."""
        if irq.intid < NR_SGIS:
            irq.active_source = 0
        ActiveSet.user_put(self, irq)


@final
class Targets(Accessor):
    """GICD_ITARGETSR<n>: a byte of CPUs for each interrupt; the lowest CPU named gets it, vCPU 0 if none is."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the masks; a private interrupt's names its own CPU."""
        value = 0
        for n, irq in enumerate(frame.irqs(vcpu, at, size)):
            value |= irq.route << n * 8
        return value

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Route SPIs.  A listed interrupt moves when its holder prunes: vgic_mmio_write_target()."""
        vcpus = frame.dist.vcpus
        present = (1 << len(vcpus)) - 1
        for n, irq in enumerate(frame.irqs(vcpu, at, size)):
            if irq.intid >= FIRST_SPI:
                irq.route = value >> n * 8 & 0xFF & present
                lowest = (irq.route & -irq.route).bit_length() - 1 if irq.route else 0
                irq.target = vcpus[lowest]


@final
class Sgir(Accessor):
    """GICD_SGIR: send an SGI.  Targets are matched by vCPU index, the source is named by vCPU id, as in KVM."""

    __slots__ = ()

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Make the SGI pending, from this vCPU, on every one that the filter names: vgic_mmio_write_sgir()."""
        vcpus = frame.dist.vcpus
        where = value >> _FILTER_SHIFT & 3
        if where == _TO_LIST:
            targets = value >> _TARGET_LIST_SHIFT & 0xFF
        elif where == _TO_OTHERS:
            targets = ((1 << len(vcpus)) - 1) & ~(1 << vcpu.index)
        elif where == _TO_SELF:
            targets = 1 << vcpu.index
        else:
            return  # reserved
        intid = value & _SGI_INTID
        source = 1 << vcpu.vcpu_id & _SOURCES
        for target in vcpus:
            if targets >> target.index & 1:
                irq = target.private[intid]
                irq.pending_latch = True
                irq.source |= source
                queue(irq)


class SgiSources(Accessor):
    """What GICD_CPENDSGIR<n> and GICD_SPENDSGIR<n> read as: for each SGI a byte of the CPUs that have asked."""

    __slots__ = ()

    @final
    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the sources."""
        value = 0
        for n, irq in enumerate(vcpu.private[at : at + size]):
            value |= irq.source << n * 8
        return value


@final
class SgiSourcesClear(SgiSources):
    """GICD_CPENDSGIR<n>: take sources back; without any left the SGI is no longer pending."""

    __slots__ = ()

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Clear the sources named."""
        for n, irq in enumerate(vcpu.private[at : at + size]):
            irq.source &= ~(value >> n * 8 & 0xFF)
            if not irq.source:
                irq.pending_latch = False


@final
class SgiSourcesSet(SgiSources):
    """GICD_SPENDSGIR<n>: add sources, existing CPUs or not; the way to restore SGIs exactly."""

    __slots__ = ()

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Set the sources named."""
        for n, irq in enumerate(vcpu.private[at : at + size]):
            irq.source |= value >> n * 8 & 0xFF
            if irq.source:
                irq.pending_latch = True
                queue(irq)


GICD: Final = RegionTable(
    "GICD",
    DIST_SIZE_V2,
    (
        #      register      offset  bytes  widths    behaviour        bits per interrupt
        Region("CTLR",       0x000,      4, W32,      Ctlr()),
        Region("TYPER",      0x004,      4, W32,      Typer()),
        Region("IIDR",       0x008,      4, W32,      Iidr()),
        Region("IGROUPR",    0x080,   0x80, W32,      Groups(),          1),
        Region("ISENABLER",  0x100,   0x80, W32,      EnableSet(),       1),
        Region("ICENABLER",  0x180,   0x80, W32,      EnableClear(),     1),
        Region("ISPENDR",    0x200,   0x80, W32,      SgiPendingSet(),   1),
        Region("ICPENDR",    0x280,   0x80, W32,      SgiPendingClear(), 1),
        Region("ISACTIVER",  0x300,   0x80, W32,      SgiActiveSet(),    1),
        Region("ICACTIVER",  0x380,   0x80, W32,      ActiveClear(),     1),
        Region("IPRIORITYR", 0x400,  0x400, W8 | W32, Priority(),        8),
        Region("ITARGETSR",  0x800,  0x400, W8 | W32, Targets(),         8),
        Region("ICFGR",      0xC00,  0x100, W32,      Config(),          2),
        Region("SGIR",       0xF00,      4, W32,      Sgir()),
        Region("CPENDSGIR",  0xF10,   0x10, W8 | W32, SgiSourcesClear()),
        Region("SPENDSGIR",  0xF20,   0x10, W8 | W32, SgiSourcesSet()),
    ),
)  # fmt: skip


@final
class DistFrame(Frame):
    """The distributor's frame: its banks cover the accessing vCPU's private interrupts, then the SPIs."""

    __slots__ = ()

    def __init__(self, dist: Dist) -> None:
        """Build the frame, at no address yet."""
        super().__init__(dist, GICD)

    def irqs(self, vcpu: VcpuGic, first: int, count: int) -> list[Irq]:
        """Return the accessing vCPU's private interrupts, or SPIs."""
        if first < FIRST_SPI:
            return vcpu.private[first : first + count]
        at = first - FIRST_SPI
        return self.dist.spis[at : at + count]

    def stops_guests(self, vcpu: VcpuGic, first: int) -> bool:
        """SPIs may be in anybody's list registers; private interrupts only in the accessing vCPU's, folded already."""
        return first >= FIRST_SPI
