"""Physical devices as the host knows them: DeviceIDs, and vectors that are events of a physical ITS.

Room:    above the host's GIC driver; below forwarding, which hands events over to vPEs.
Owns:    the device table of the host's ITSs, and the LPI of each vector.
Holds:   the events of a device that go to guests all go to one VM.

A vector that goes to no guest directly is taken by the host, which calls whoever requested it: VFIO's handler, say.
KVM: its_create_device(), its_irq_domain_alloc(), event_map.vm.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from hw import arch4
from vgic.errors import EBUSY, EINVAL, ENODEV, ConfigError, VgicError
from vgic.v4.hostgic import HostGic, LpiHandler
from vgic.v4.hostits import HostIts

if TYPE_CHECKING:
    from vgic.direct import Direct, DirectVm

Fired = Callable[[], None]
"""Called when the host has taken a vector's interrupt."""


@final
class HostDevice:
    """One device behind one ITS."""

    __slots__ = ("devid", "event_bits", "forwarded", "gic", "its", "itt", "msis", "vm")

    def __init__(self, gic: HostGic, its: HostIts, devid: int, itt: int, event_bits: int) -> None:
        """No vectors yet."""
        self.gic = gic
        self.its = its
        self.devid = devid
        self.itt = itt
        self.event_bits = event_bits
        self.msis: dict[int, HostMsi] = {}
        self.vm: DirectVm | None = None  # the VM that some of its events go to
        self.forwarded = 0  # how many


@final
class HostMsi(LpiHandler):
    """One vector: an event of a device, and the physical LPI that it is while it goes to no guest."""

    __slots__ = ("cpu", "device", "direct", "eventid", "handler", "lpi", "taken")

    def __init__(self, device: HostDevice, eventid: int, cpu: int, handler: Fired | None) -> None:
        """Not mapped yet."""
        self.device = device
        self.eventid = eventid
        self.cpu = cpu  # that takes it
        self.handler = handler
        self.lpi = 0
        self.taken = 0  # how often the host took it
        self.direct: Direct | None = None  # where it goes instead

    def fired(self) -> None:
        """The host took it."""
        self.taken += 1
        if self.handler is not None:
            self.handler()

    def leave(self, cpu: int, other: int) -> None:
        """MOVI, unless it goes to a guest."""
        if self.cpu == cpu:
            self.cpu = other
            if self.direct is None:
                self.device.its.move_event(self.device.devid, self.eventid, other)


@final
class HostDevices:
    """All devices of one host."""

    __slots__ = ("_by_id", "gic")

    def __init__(self, gic: HostGic) -> None:
        """None yet."""
        self.gic = gic
        self._by_id: dict[tuple[int, int], HostDevice] = {}  # (ITS, DeviceID)

    def request(self, devid: int, eventid: int, handler: Fired | None, its: int, vectors: int, cpu: int) -> HostMsi:
        """Return a vector in working order: pci_alloc_irq_vectors(), request_irq().

        Errors: ENODEV for an ITS that is not there; EINVAL for an ID past its limits; EBUSY for a vector in use;
        ENOMEM.
        """
        gic = self.gic
        if not 0 <= its < len(gic.itss):
            raise VgicError(ENODEV, f"the machine has no ITS {its}")
        host_its = gic.itss[its]
        if not 0 <= devid < (1 << host_its.device_bits) - 1 or not 0 <= cpu < gic.cpus:
            raise ConfigError(EINVAL, f"device {devid:#x} and CPU {cpu} are not both possible")
        with gic.lock:
            device = self._by_id.get((its, devid))
            if device is None:
                bits = max((vectors - 1).bit_length(), 1)
                if bits > host_its.event_bits:
                    raise ConfigError(EINVAL, f"{vectors} vectors: the ITS has {host_its.event_bits} bits of EventID")
                device = HostDevice(gic, host_its, devid, gic.pages.take(host_its.itt_entry << bits), bits)
                host_its.map_device(devid, device.itt, bits)
                self._by_id[its, devid] = device
            if not 0 <= eventid < 1 << device.event_bits:
                raise ConfigError(EINVAL, f"event {eventid}: device {devid:#x} has {device.event_bits} bits of them")
            if eventid in device.msis:
                raise VgicError(EBUSY, f"event {eventid} of device {devid:#x} is requested already")
            msi = HostMsi(device, eventid, cpu, handler)
            msi.lpi = gic.request(msi)
            gic.set_config(msi.lpi, True)
            host_its.map_event(devid, eventid, msi.lpi, cpu)
            gic.invalidate(msi.lpi, cpu)
            device.msis[eventid] = msi
            return msi

    def free(self, msi: HostMsi) -> None:
        """Give a vector back; it goes to no guest any more: free_irq().  Errors: EBUSY when it does."""
        if msi.direct is not None:
            raise VgicError(EBUSY, f"event {msi.eventid} of device {msi.device.devid:#x} goes to a guest")
        with self.gic.lock:
            device = msi.device
            device.its.physical(arch4.DISCARD, device.devid, msi.eventid, msi.cpu)
            del device.msis[msi.eventid]
            self.gic.release(msi.lpi)
            if not device.msis:
                device.its.unmap_device(device.devid)
                self.gic.pages.give(device.itt, device.its.itt_entry << device.event_bits)
                del self._by_id[device.its.number, device.devid]
