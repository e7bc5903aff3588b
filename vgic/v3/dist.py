"""GICD of a GICv3 guest: affinity routing always on, one security state.

Room:    a table; the banks it shares with GICv2 are perirq's.
Owns:    GICD_CTLR, TYPER, IIDR, TYPER2, IROUTER and the identification registers.
Holds:   the private part of every bank is RAZ/WI: private interrupts live in the redistributors.
"""

from typing import Final, final

from vgic.dist import Dist
from vgic.errors import EINVAL, ConfigError
from vgic.ids import DIST_SIZE_V3, FIRST_SPI, ID_BITS_WITH_ITS, ID_BITS_WITHOUT_ITS
from vgic.iidr import Iidr
from vgic.irq import Irq
from vgic.mmio import RAZ_WI, READS_ONES, W8, W32, W64, Accessor, Frame, Region, RegionTable
from vgic.perirq import (
    ActiveClear,
    ActiveSet,
    Config,
    EnableClear,
    EnableSet,
    GroupBits,
    PendingAssign,
    PendingClearGuestOnly,
    Priority,
)
from vgic.run import kick_pending
from vgic.vcpu import VcpuGic

PIDR2_GICV3: Final = 0x3B
PIDR2_AT: Final = 0x18
"""Byte offset of PIDR2 within the identification registers, which start at frame offset 0xFFD0."""

_ENABLE_GRP1: Final = 1 << 1
_ARE: Final = 1 << 4
_DS: Final = 1 << 6
_LPIS: Final = 1 << 17
_IDBITS_SHIFT: Final = 19
_AFF_210: Final = 0xFF_FFFF


@final
class Ctlr(Accessor):
    """GICD_CTLR: EnableGrp1 gates both groups (EnableGrp0 is RAZ/WI), ARE and DS read as one, RWP as zero."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the enable and the fixed bits."""
        return _ARE | _DS | (_ENABLE_GRP1 if frame.dist.enabled else 0)

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Enable or disable; enabling kicks who has something listed, but queues nothing: vgic_mmio_write_v3_misc()."""
        dist = frame.dist
        was_enabled = dist.enabled
        dist.enabled = bool(value & _ENABLE_GRP1)
        if dist.enabled and not was_enabled:
            kick_pending(dist)

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Assign the enable; nobody is kicked."""
        frame.dist.enabled = bool(value & _ENABLE_GRP1)


@final
class Typer(Accessor):
    """GICD_TYPER: number of interrupts and of INTID bits."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return ITLinesNumber, LPIS and IDbits."""
        dist = frame.dist
        if dist.has_its:
            return dist.nr_irqs // 32 - 1 | _LPIS | ID_BITS_WITH_ITS - 1 << _IDBITS_SHIFT
        return dist.nr_irqs // 32 - 1 | ID_BITS_WITHOUT_ITS - 1 << _IDBITS_SHIFT


class Typer2(Accessor):
    """GICD_TYPER2: no SGI without active state (nASSGIcap), as the host has no GICv4.1."""

    __slots__ = ()

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Check.  Errors: EINVAL when `value` is not what the register reads."""
        if value != self.read(frame, vcpu, at, W32):
            raise ConfigError(EINVAL, f"GICD_TYPER2 {value:#x}: this host has {self.read(frame, vcpu, at, W32):#x}")


@final
class IdRegs(Accessor):
    """The identification registers: PIDR2 says GICv3, all others read as zero."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the architecture revision from PIDR2."""
        return PIDR2_GICV3 if at == PIDR2_AT else 0


@final
class Router(Accessor):
    """GICD_IROUTER<n>: bits 23:0 are the affinity; Aff3 and Interrupt_Routing_Mode are RAZ/WI."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the affinity as written, whether or not a vCPU has it."""
        irqs = frame.irqs(vcpu, at // W64, 1)
        return irqs[0].route if irqs and not at & W32 else 0

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Route to the vCPU with that affinity, or to nobody.  A listed interrupt moves when its holder prunes."""
        irqs = frame.irqs(vcpu, at // W64, 1)
        if irqs and not at & W32:
            irq = irqs[0]
            irq.route = value & _AFF_210
            irq.target = frame.dist.by_aff.get(irq.route)


ID_REGS: Final = IdRegs()

GICD: Final = RegionTable(
    "GICD",
    DIST_SIZE_V3,
    (
        #      register       offset  bytes   widths    behaviour           bits per interrupt
        Region("CTLR",        0x0000,      4, W32,      Ctlr()),
        Region("TYPER",       0x0004,      4, W32,      Typer()),
        Region("IIDR",        0x0008,      4, W32,      Iidr()),
        Region("TYPER2",      0x000C,      4, W32,      Typer2()),
        Region("STATUSR",     0x0010,      4, W32,      READS_ONES),
        Region("IGROUPR",     0x0080,   0x80, W32,      GroupBits(),             1),
        Region("ISENABLER",   0x0100,   0x80, W32,      EnableSet(),             1),
        Region("ICENABLER",   0x0180,   0x80, W32,      EnableClear(),           1),
        Region("ISPENDR",     0x0200,   0x80, W32,      PendingAssign(),         1),
        Region("ICPENDR",     0x0280,   0x80, W32,      PendingClearGuestOnly(), 1),
        Region("ISACTIVER",   0x0300,   0x80, W32,      ActiveSet(),             1),
        Region("ICACTIVER",   0x0380,   0x80, W32,      ActiveClear(),           1),
        Region("IPRIORITYR",  0x0400,  0x400, W8 | W32, Priority(),              8),
        Region("ITARGETSR",   0x0800,  0x400, W8 | W32, RAZ_WI,                  8),
        Region("ICFGR",       0x0C00,  0x100, W32,      Config(),                2),
        Region("IGRPMODR",    0x0D00,   0x80, W32,      RAZ_WI,                  1),
        Region("IROUTER",     0x6000, 0x2000, W32 | W64, Router(),              64),
        Region("ID registers", 0xFFD0,  0x30, W32,      ID_REGS),
    ),
)  # fmt: skip


@final
class DistFrame(Frame):
    """The distributor's frame: its banks cover the SPIs."""

    __slots__ = ()

    def __init__(self, dist: Dist, table: RegionTable = GICD) -> None:
        """Build the frame, at no address yet."""
        super().__init__(dist, table)

    def irqs(self, vcpu: VcpuGic, first: int, count: int) -> list[Irq]:
        """Return the SPIs covered; no private interrupt is seen here."""
        at = first - FIRST_SPI
        return self.dist.spis[at : at + count] if at >= 0 else []

    def stops_guests(self, vcpu: VcpuGic, first: int) -> bool:
        """SPIs may be in anybody's list registers."""
        return True
