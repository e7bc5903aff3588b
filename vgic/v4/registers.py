"""What GICD and GICR of a GICv3 guest have different on a host with GICv4.1.

Room:    tables: v3's, with rows replaced; the rule for an SGI that is not direct stays v3's.
Owns:    GICD_CTLR with nASSGIreq, GICD_TYPER2, and the guest's view of direct SGIs.
Holds:   a replaced row lies where v3's does.
"""

from typing import Final, final

from vgic.dist import Dist
from vgic.ids import PRIORITY_MASK
from vgic.irq import Irq
from vgic.mmio import Accessor, Frame, Region, RegionTable
from vgic.perirq import (
    ActiveBits,
    ActiveClear,
    ActiveSet,
    BitBank,
    EnableBits,
    EnableClear,
    EnableSet,
    GroupBits,
    PendingAssign,
    PendingClearGuestOnly,
    Priority,
)
from vgic.v3.dist import GICD, Typer2
from vgic.v3.redist import GICR
from vgic.v4.vm import ItsVm
from vgic.v4.vsgi import configure_vsgis, list_returned
from vgic.vcpu import VcpuGic

_ENABLE_GRP1: Final = 1 << 1
_ARE: Final = 1 << 4
_DS: Final = 1 << 6
NASSGIREQ: Final = 1 << 8
NASSGICAP: Final = 1 << 8

_ENABLE_SET: Final = EnableSet()
_ENABLE_CLEAR: Final = EnableClear()
_PENDING_SET: Final = PendingAssign()
_PENDING_CLEAR: Final = PendingClearGuestOnly()
_ACTIVE_SET: Final = ActiveSet()
_ACTIVE_CLEAR: Final = ActiveClear()
_PRIORITY: Final = Priority()


def has_vsgi(dist: Dist) -> bool:
    """Whether the guest may do without active SGIs: all of the GIC and the CPU interface are GICv4.1."""
    gic = dist.host.gic
    return dist.direct is not None and gic is not None and gic.has_vsgi


@final
class Ctlr41(Accessor):
    """GICD_CTLR: as GICv3's, and nASSGIreq, which cannot be changed while the distributor stays enabled."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the enable, nASSGIreq and the fixed bits."""
        dist = frame.dist
        return _ARE | _DS | (_ENABLE_GRP1 if dist.enabled else 0) | (NASSGIREQ if dist.nassgireq else 0)

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Negotiate, enable or disable; group enables reach hardware when a vPE becomes resident."""
        dist = frame.dist
        was_enabled = dist.enabled
        dist.enabled = bool(value & _ENABLE_GRP1)
        if not (was_enabled and dist.enabled):
            wanted = bool(value & NASSGIREQ) and has_vsgi(dist)
            if wanted != dist.nassgireq:
                dist.nassgireq = wanted
                configure_vsgis(dist)
        if dist.enabled != was_enabled and isinstance(dist.direct, ItsVm):
            list_returned(dist, dist.direct)
            dist.direct.reload()

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Assign both; hardware follows at the first entry of a vCPU, or now (KVM: never, when that is past)."""
        dist = frame.dist
        dist.enabled = bool(value & _ENABLE_GRP1)
        dist.nassgireq = bool(value & NASSGIREQ) and has_vsgi(dist)
        if dist.ready:
            configure_vsgis(dist)


@final
class Typer241(Typer2):
    """GICD_TYPER2: nASSGIcap."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the capability."""
        return NASSGICAP if has_vsgi(frame.dist) else 0


def _configure(irq: Irq) -> None:
    if irq.direct is not None:
        irq.direct.configure(0, True)


@final
class SgiGroup(GroupBits):
    """IGROUPR0: one VSGI for each direct SGI covered."""

    __slots__ = ()

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Assign the groups."""
        GroupBits.write(self, frame, vcpu, at, size, value)
        for irq in frame.irqs(vcpu, at * 8, size * 8):
            _configure(irq)


@final
class SgiEnableSet(EnableBits):
    """ISENABLER0."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Enable; a direct SGI that was disabled also in hardware."""
        if irq.direct is None:
            _ENABLE_SET.put(irq)
        elif not irq.enabled:
            irq.enabled = True
            _configure(irq)

    def user_put(self, irq: Irq) -> None:
        """Enable, in hardware too (KVM leaves that out)."""
        if irq.direct is None:
            _ENABLE_SET.user_put(irq)
        else:
            self.put(irq)


@final
class SgiEnableClear(EnableBits):
    """ICENABLER0."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Disable; a direct SGI that was enabled also in hardware."""
        if irq.direct is None:
            _ENABLE_CLEAR.put(irq)
        elif irq.enabled:
            irq.enabled = False
            _configure(irq)


class SgiPending(BitBank):
    """What ISPENDR0 and ICPENDR0 read as: hardware is asked for each direct SGI."""

    __slots__ = ()

    @final
    def get(self, irq: Irq) -> bool:
        """Return the pending state."""
        return _PENDING_SET.get(irq) if irq.direct is None else irq.direct.is_pending()


@final
class SgiPendingSet(SgiPending):
    """ISPENDR0: GITS_SGIR for a direct SGI."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Make pending."""
        if irq.direct is None:
            _PENDING_SET.put(irq)
        else:
            irq.direct.pend()

    def user_get(self, irq: Irq) -> bool:
        """Return the latch, or what hardware says."""
        return _PENDING_SET.user_get(irq) if irq.direct is None else irq.direct.is_pending()

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Assign the pending state of every interrupt covered."""
        _PENDING_SET.user_write(frame, vcpu, at, value)
        for n, irq in enumerate(frame.irqs(vcpu, at * 8, 32)):
            if irq.direct is not None:
                irq.pending_latch = False
                if value >> n & 1:
                    irq.direct.pend()
                else:
                    irq.direct.clear()


@final
class SgiPendingClear(SgiPending):
    """ICPENDR0: VSGI with Clear for a direct SGI; RAZ/WI for user space, which assigns through ISPENDR."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Make not pending."""
        if irq.direct is None:
            _PENDING_CLEAR.put(irq)
        else:
            irq.direct.clear()

    def user_get(self, irq: Irq) -> bool:
        """Read as zero."""
        return False

    def user_put(self, irq: Irq) -> None:
        """Ignore."""


@final
class SgiActiveSet(ActiveBits):
    """ISACTIVER0: a direct SGI has no active state."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Activate, unless direct."""
        if irq.direct is None:
            _ACTIVE_SET.put(irq)

    def user_put(self, irq: Irq) -> None:
        """Activate, unless direct."""
        if irq.direct is None:
            _ACTIVE_SET.user_put(irq)


@final
class SgiActiveClear(ActiveBits):
    """ICACTIVER0: a direct SGI has no active state."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Deactivate, unless direct."""
        if irq.direct is None:
            _ACTIVE_CLEAR.put(irq)

    def user_put(self, irq: Irq) -> None:
        """Deactivate, unless direct."""
        if irq.direct is None:
            _ACTIVE_CLEAR.user_put(irq)


@final
class SgiPriority(Accessor):
    """IPRIORITYR<n>: one VSGI for each direct SGI covered."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the priorities, with all the bits that the guest wrote."""
        return _PRIORITY.read(frame, vcpu, at, size)

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Store the implemented bits of each byte."""
        for irq in frame.irqs(vcpu, at, size):
            irq.priority = value & PRIORITY_MASK
            value >>= 8
            _configure(irq)


def _replaced(table: RegionTable, accessors: dict[str, Accessor]) -> RegionTable:
    """Return `table` with other behaviour in the rows named."""
    rows = tuple(
        Region(row.name, row.offset, row.length, row.widths, accessors.get(row.name, row.accessor), row.bits)
        for row in table.rows[1:]
    )
    assert accessors.keys() <= {row.name for row in rows}, f"{table.name} has no row {accessors.keys()}"
    return RegionTable(table.name, table.size, rows)


GICD_V41: Final = _replaced(GICD, {"CTLR": Ctlr41(), "TYPER2": Typer241()})

GICR_V41: Final = _replaced(
    GICR,
    {
        "IGROUPR0": SgiGroup(),
        "ISENABLER0": SgiEnableSet(),
        "ICENABLER0": SgiEnableClear(),
        "ISPENDR0": SgiPendingSet(),
        "ICPENDR0": SgiPendingClear(),
        "ISACTIVER0": SgiActiveSet(),
        "ICACTIVER0": SgiActiveClear(),
        "IPRIORITYR": SgiPriority(),
    },
)
