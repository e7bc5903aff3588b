"""A message to an LPI: (DeviceID, EventID) and the cache in front of it.

Room:    above the maps; below MSI injection and the INT command, which both end here.
"""

from typing import TYPE_CHECKING, Final

from vgic.ap_list import queue
from vgic.errors import EBUSY, EINVAL, ENODEV, ConfigError, VgicError
from vgic.its.devices import NOT_MAPPED
from vgic.its.maps import CACHE_KEY_SHIFT
from vgic.its.state import Its

if TYPE_CHECKING:
    from vgic.dist import Dist

_MAX_ID: Final = 0xFFFF

BLOCKED: Final = 0
DELIVERED: Final = 1
"""What KVM_SIGNAL_MSI returns: dropped by the guest's mappings; latched."""


def trigger(its: Its, devid: int, eventid: int) -> int:
    """Make the LPI of an event pending: vgic_its_trigger_msi().

    Returns DELIVERED, or BLOCKED when the guest has not mapped it.
    Errors: EBUSY when the ITS is disabled, or the target vCPU's LPIs.
    """
    if not its.enabled:
        raise VgicError(EBUSY, "the ITS is disabled")
    device = its.maps.devices.get(devid)
    if device is None or (at := device.at(eventid)) == NOT_MAPPED:
        return BLOCKED
    irq = device.irqs[at]  # first: while the rest is looked at, the processor fetches it
    collection = device.collections[at]
    if collection is None or collection.target is None:
        return BLOCKED
    vcpu = collection.target
    if not vcpu.lpis_enabled:
        raise VgicError(EBUSY, f"vCPU {vcpu.index} has its LPIs disabled")
    if irq.direct is not None:
        irq.direct.pend()  # never cached: the fast path would latch it
        return DELIVERED
    its.maps.remember(devid, eventid, irq)
    irq.pending_latch = True
    queue(irq)
    return DELIVERED


def signal_msi(dist: "Dist", doorbell: int, data: int, devid: int, has_devid: bool) -> int:
    """Inject a message written to `doorbell`: vgic_its_inject_msi().

    Returns DELIVERED or BLOCKED.
    Errors: ENODEV without an ITS; EINVAL without a DeviceID (unless the translation is cached), or when no ITS lies at
    the doorbell; EBUSY as `trigger`.
    """
    if not dist.has_its:
        raise VgicError(ENODEV, "the VM has no ITS")
    if inject_cached(dist, doorbell, data, devid):
        return DELIVERED
    if not has_devid:
        raise ConfigError(EINVAL, "a message to an ITS needs a DeviceID")
    its = dist.bus.find(doorbell, 1)
    if not isinstance(its, Its):
        raise ConfigError(EINVAL, f"no ITS lies at doorbell {doorbell:#x}")
    return trigger(its, devid, data)


def inject_cached(dist: "Dist", doorbell: int, data: int, devid: int) -> bool:
    """Inject a message whose translation is cached, without any check; False if it is not: the fast path.

    KVM: vgic_its_inject_cached_translation().
    """
    its = dist.bus.find(doorbell, 1)
    if not isinstance(its, Its) or devid > _MAX_ID or data > _MAX_ID:
        return False
    irq = its.maps.cache.get(devid << CACHE_KEY_SHIFT | data)
    if irq is None:
        return False
    irq.pending_latch = True
    queue(irq)
    return True
