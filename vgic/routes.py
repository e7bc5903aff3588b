"""GSI routing: a number the VMM chose to a pin of the interrupt controller, or to a message.

Room:    above injection and the ITS's translation; below irqfd and vm.
Owns:    Dist.routes and gsi_of_pin.
Holds:   routes is None  =>  GSI n is pin n, for as many SPIs as there are: what init installs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vgic.errors import EINVAL, ENODEV, ConfigError, VgicError
from vgic.ids import FIRST_SPI, MAX_SPI, MSI_VALID_DEVID
from vgic.inject import inject
from vgic.its.translate import signal_msi

if TYPE_CHECKING:
    from vgic.dist import Dist

MAX_ROUTES: Final = 4096
"""KVM_MAX_IRQ_ROUTES: entries of a table, and the first GSI that cannot be routed."""

NR_PINS: Final = MAX_SPI + 1 - FIRST_SPI
IGNORED: Final = -1
"""What setting a GSI returns when no route took it."""

_U32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class PinRoute:
    """KVM_IRQ_ROUTING_IRQCHIP: `pin` is an SPI's INTID - 32."""

    gsi: int
    pin: int
    irqchip: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class MsiRoute:
    """KVM_IRQ_ROUTING_MSI: a message with EventID `data` from DeviceID `devid`, written to `address`."""

    gsi: int
    address: int
    data: int
    devid: int = 0
    flags: int = MSI_VALID_DEVID


Route = PinRoute | MsiRoute


def set_routing(dist: "Dist", entries: Sequence[Route], flags: int) -> None:
    """KVM_SET_GSI_ROUTING: replace the whole table.  It needs no VGIC; init replaces it again.

    Errors: EINVAL for too many entries, flags, a GSI past the limit or twice, a pin or irqchip that cannot be.
    """
    if len(entries) > MAX_ROUTES:
        raise ConfigError(EINVAL, f"{len(entries)} routes: {MAX_ROUTES} are possible")
    if flags:
        raise ConfigError(EINVAL, f"routing flags {flags:#x}: there are none")
    routes: dict[int, Route] = {}
    for entry in entries:
        if not 0 <= entry.gsi < MAX_ROUTES:
            raise ConfigError(EINVAL, f"GSI {entry.gsi}: 0 to {MAX_ROUTES - 1} can be routed")
        known = MSI_VALID_DEVID if isinstance(entry, MsiRoute) else 0
        if entry.flags & ~known:
            raise ConfigError(EINVAL, f"the route of GSI {entry.gsi} has flags {entry.flags:#x}")
        if entry.gsi in routes:
            raise ConfigError(EINVAL, f"GSI {entry.gsi} is routed twice")
        if isinstance(entry, PinRoute) and (entry.irqchip or not 0 <= entry.pin < NR_PINS):
            raise ConfigError(EINVAL, f"GSI {entry.gsi} goes to pin {entry.pin} of irqchip {entry.irqchip}")
        routes[entry.gsi] = entry
    dist.routes = routes
    # several GSIs may name a pin; the last one is told of completions
    dist.gsi_of_pin = {entry.pin: entry.gsi for entry in entries if isinstance(entry, PinRoute)}


def route_of(dist: "Dist", gsi: int) -> Route | None:
    """Return where a GSI goes, or None."""
    if dist.routes is not None:
        return dist.routes.get(gsi)
    return PinRoute(gsi, gsi) if dist.initialized and 0 <= gsi < dist.nr_spis else None


def set_gsi(dist: "Dist", gsi: int, level: bool) -> int:
    """Drive a GSI: kvm_set_irq().  Returns what its route returned, IGNORED where it failed or there is none."""
    trace = dist.trace
    if trace is not None:
        trace.kvm_set_irq(gsi, level)
    route = route_of(dist, gsi)
    if route is None:
        return IGNORED
    try:
        return deliver(dist, route, level)
    except VgicError:
        return IGNORED


def deliver(dist: "Dist", route: Route, level: bool) -> int:
    """Drive one route: vgic_irqfd_set_irq(), kvm_set_msi().

    Returns 0 for a pin; for a message, what `signal_msi` returns, IGNORED at low level.
    Errors: those of `inject` and `signal_msi`.
    """
    if isinstance(route, MsiRoute):
        if not dist.has_its:
            raise VgicError(ENODEV, "the VM has no ITS")
        if not level:
            return IGNORED
        has_devid = bool(route.flags & MSI_VALID_DEVID)
        return signal_msi(dist, route.address, route.data & _U32, route.devid & _U32, has_devid)
    inject(dist, None, route.pin + FIRST_SPI, level, None)
    return 0
