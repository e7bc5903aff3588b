"""GICR of a GICv3 guest: one frame a vCPU, RD_base and SGI_base.

Room:    a table; the SGI and PPI banks are perirq's.
Owns:    GICR_CTLR, TYPER, PROPBASER, PENDBASER and the invalidation registers.
Holds:   a frame acts on the vCPU that owns it, whoever accesses it.
         Without an ITS there are no LPIs, and they cannot be enabled.
"""

from typing import Final, final

from vgic.ids import IIDR_IMPLEMENTER, IIDR_PRODUCT, REDIST_SIZE
from vgic.irq import Irq
from vgic.mmio import RAZ_WI, W8, W32, W64, Accessor, Constant, Frame, Region, RegionTable, extract_half, insert_half
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
from vgic.v3.baser import PTZ as _PTZ
from vgic.v3.baser import sanitise_attributes
from vgic.v3.dist import ID_REGS
from vgic.v3.lpi import invalidate_all, invalidate_one, set_enabled
from vgic.v3.regions import is_last
from vgic.vcpu import VcpuGic

_CTLR_ENABLE_LPIS: Final = 1
_CTLR_CES_IR: Final = 0b110
_REV_WITH_CES_IR: Final = 3
_TYPER_LAST: Final = 1 << 4

# GICR_PROPBASER and GICR_PENDBASER (IHI 0069)
_PROPBASER_RES0: Final = 0b11111 << 59 | 0xF << 52 | 0b11 << 5
_PENDBASER_RES0: Final = 1 << 63 | 0b111 << 59 | 0xF << 52 | 0xF << 12 | 0x7F


@final
class RedistFrame(Frame):
    """The redistributor frame of one vCPU: its banks cover that vCPU's SGIs and PPIs."""

    __slots__ = ("owner",)

    def __init__(self, owner: VcpuGic, table: RegionTable) -> None:
        """Build the frame of `owner`, at no address yet."""
        super().__init__(owner.dist, table)
        self.owner = owner

    def irqs(self, vcpu: VcpuGic, first: int, count: int) -> list[Irq]:
        """Return the owner's private interrupts covered."""
        return self.owner.private[first : first + count]

    def stops_guests(self, vcpu: VcpuGic, first: int) -> bool:
        """The owner's own list registers are folded already when it accesses its frame."""
        return vcpu is not self.owner


class RedistRegister(Accessor):
    """A register of one vCPU's redistributor: `get` and `set` state its rule for the 32- or 64-bit whole."""

    __slots__ = ()

    def get(self, owner: VcpuGic) -> int:
        """Return the register."""
        raise NotImplementedError

    def set(self, owner: VcpuGic, value: int) -> None:
        """Take a written value; ignored unless the register says otherwise."""

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the whole or a half."""
        assert isinstance(frame, RedistFrame)
        return extract_half(self.get(frame.owner), at, size)

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Merge a half into the whole and take it."""
        assert isinstance(frame, RedistFrame)
        self.set(frame.owner, insert_half(self.stored(frame.owner), at, size, value))

    def stored(self, owner: VcpuGic) -> int:
        """Return what a half is merged into, where that is not what reads see."""
        return self.get(owner)


@final
class Ctlr(RedistRegister):
    """GICR_CTLR: EnableLPIs, which needs an ITS; CES and IR from revision 3 on."""

    __slots__ = ()

    def get(self, owner: VcpuGic) -> int:
        """Return the enable and what the revision promises."""
        promised = _CTLR_CES_IR if owner.dist.implementation_rev >= _REV_WITH_CES_IR else 0
        return promised | owner.lpis_enabled

    def set(self, owner: VcpuGic, value: int) -> None:
        """Enable or disable LPIs."""
        set_enabled(owner, bool(value & _CTLR_ENABLE_LPIS))


@final
class Typer(RedistRegister):
    """GICR_TYPER: Affinity_Value[63:32], Processor_Number[23:8], Last[4], PLPIS[0]."""

    __slots__ = ()

    def get(self, owner: VcpuGic) -> int:
        """Return the vCPU's identity."""
        last = _TYPER_LAST if is_last(owner) else 0
        return (owner.mpidr & 0xFF_FFFF) << 32 | (owner.vcpu_id & 0xFFFF) << 8 | last | owner.dist.has_its


@final
class Propbaser(RedistRegister):
    """GICR_PROPBASER: one LPI configuration table for the VM, seen through every redistributor."""

    __slots__ = ()

    def get(self, owner: VcpuGic) -> int:
        """Return the shared value."""
        return owner.dist.propbaser

    def set(self, owner: VcpuGic, value: int) -> None:
        """Store with the attributes KVM supports, unless this vCPU's LPIs are enabled: vgic_mmio_write_propbase()."""
        if not owner.lpis_enabled:
            owner.dist.propbaser = sanitise_attributes(value & ~_PROPBASER_RES0)


@final
class Pendbaser(RedistRegister):
    """GICR_PENDBASER: the vCPU's LPI pending table; PTZ is kept but reads as zero."""

    __slots__ = ()

    def get(self, owner: VcpuGic) -> int:
        """Return the value without PTZ."""
        return owner.pendbaser & ~_PTZ

    def stored(self, owner: VcpuGic) -> int:
        """Return the value with PTZ."""
        return owner.pendbaser

    def set(self, owner: VcpuGic, value: int) -> None:
        """Store with the attributes KVM supports, unless LPIs are enabled: vgic_mmio_write_pendbase()."""
        if not owner.lpis_enabled:
            owner.pendbaser = sanitise_attributes(value & ~_PENDBASER_RES0)


class Invalidation(Accessor):
    """GICR_INVLPIR and GICR_INVALLR: read as zero; a write to the lower half acts, while LPIs are enabled."""

    __slots__ = ()

    @final
    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Act for the frame's owner."""
        assert isinstance(frame, RedistFrame)
        if at == 0 and frame.owner.lpis_enabled:
            self.act(frame.owner, value & 0xFFFF_FFFF)

    def act(self, owner: VcpuGic, intid: int) -> None:
        """Read configuration again."""
        raise NotImplementedError


@final
class Invlpir(Invalidation):
    """GICR_INVLPIR: one LPI."""

    __slots__ = ()

    def act(self, owner: VcpuGic, intid: int) -> None:
        """Read its configuration byte again."""
        invalidate_one(owner, intid)


@final
class Invallr(Invalidation):
    """GICR_INVALLR: every LPI of this vCPU."""

    __slots__ = ()

    def act(self, owner: VcpuGic, intid: int) -> None:
        """Read their configuration bytes again."""
        invalidate_all(owner)


SGI_BASE: Final = 0x1_0000

GICR: Final = RegionTable(
    "GICR",
    REDIST_SIZE,
    (
        #      register         offset            bytes  widths     behaviour           bits per interrupt
        Region("CTLR",          0x0000,               4, W32,       Ctlr()),
        Region("IIDR",          0x0004,               4, W32,       Constant(IIDR_PRODUCT | IIDR_IMPLEMENTER)),
        Region("TYPER",         0x0008,               8, W32 | W64, Typer()),
        Region("STATUSR",       0x0010,               4, W32,       RAZ_WI),
        Region("WAKER",         0x0014,               4, W32,       RAZ_WI),
        Region("PROPBASER",     0x0070,               8, W32 | W64, Propbaser()),
        Region("PENDBASER",     0x0078,               8, W32 | W64, Pendbaser()),
        Region("INVLPIR",       0x00A0,               8, W32 | W64, Invlpir()),
        Region("INVALLR",       0x00B0,               8, W32 | W64, Invallr()),
        Region("SYNCR",         0x00C0,               4, W32,       RAZ_WI),
        Region("ID registers",  0xFFD0,            0x30, W32,       ID_REGS),
        Region("IGROUPR0",      SGI_BASE + 0x0080,    4, W32,       GroupBits(),             1),
        Region("ISENABLER0",    SGI_BASE + 0x0100,    4, W32,       EnableSet(),             1),
        Region("ICENABLER0",    SGI_BASE + 0x0180,    4, W32,       EnableClear(),           1),
        Region("ISPENDR0",      SGI_BASE + 0x0200,    4, W32,       PendingAssign(),         1),
        Region("ICPENDR0",      SGI_BASE + 0x0280,    4, W32,       PendingClearGuestOnly(), 1),
        Region("ISACTIVER0",    SGI_BASE + 0x0300,    4, W32,       ActiveSet(),             1),
        Region("ICACTIVER0",    SGI_BASE + 0x0380,    4, W32,       ActiveClear(),           1),
        Region("IPRIORITYR",    SGI_BASE + 0x0400, 0x20, W8 | W32,  Priority(),              8),
        Region("ICFGR",         SGI_BASE + 0x0C00,    8, W32,       Config(),                2),
        Region("IGRPMODR0",     SGI_BASE + 0x0D00,    4, W32,       RAZ_WI,                  1),
        Region("NSACR",         SGI_BASE + 0x0E00,    4, W32,       RAZ_WI),
    ),
)  # fmt: skip
