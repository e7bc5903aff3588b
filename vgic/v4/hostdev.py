"""Physical devices as the host knows them: DeviceIDs, and vectors that are events of a physical ITS.

Room:    above the host's GIC driver; below forwarding, which hands events over to vPEs.
Owns:    the device table of the host's ITSs, the LPI of each vector, and which device has a limit.
Holds:   the events of a device that go to guests all go to one VM.
         A limit is a DeviceID's: it outlives the device's vectors, and holds messages only of those there are.

A vector that goes to no guest directly is taken by the host, which calls whoever requested it: VFIO's handler, say.
KVM: its_create_device(), its_irq_domain_alloc(), event_map.vm.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from hw import arch4
from vgic.errors import EBUSY, EINVAL, ENODEV, ConfigError, VgicError
from vgic.v4.hostgic import HostGic, LpiHandler
from vgic.v4.hostits import HostIts
from vgic.v4.limit import DeviceLimit

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

    @property
    def requested(self) -> bool:
        """Whether it was not given back yet."""
        return self.device.msis.get(self.eventid) is self

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

    __slots__ = ("_by_id", "gic", "limits")

    def __init__(self, gic: HostGic) -> None:
        """None yet."""
        self.gic = gic
        self._by_id: dict[tuple[int, int], HostDevice] = {}  # (ITS, DeviceID)
        self.limits: dict[tuple[int, int], DeviceLimit] = {}  # likewise

    def request(self, devid: int, eventid: int, handler: Fired | None, its: int, vectors: int, cpu: int) -> HostMsi:
        """Return a vector in working order: pci_alloc_irq_vectors(), request_irq().

        Errors: ENODEV for an ITS that is not there; EINVAL for an ID past its limits; EBUSY for a vector in use;
        ENOMEM.
        """
        gic = self.gic
        host_its = self._its(its)
        if not 0 <= devid < host_its.proxy_devid or not 0 <= cpu < gic.cpus:
            raise ConfigError(EINVAL, f"device {devid:#x} and CPU {cpu} are not both possible")
        if not 0 < vectors <= 1 << host_its.event_bits:
            raise ConfigError(EINVAL, f"{vectors} vectors: the ITS has {host_its.event_bits} bits of EventID")
        with gic.lock:
            known = self._by_id.get((its, devid))
            bits = max((vectors - 1).bit_length(), 1) if known is None else known.event_bits
            if not 0 <= eventid < 1 << bits:
                raise ConfigError(EINVAL, f"event {eventid}: device {devid:#x} has {bits} bits of them")
            if known is not None and eventid in known.msis:
                raise VgicError(EBUSY, f"event {eventid} of device {devid:#x} is requested already")
            gic.lpis.check("physical LPIs")
            device = known or self._add(host_its, devid, bits)
            if cpu in gic.offline:
                cpu = gic.other_cpu(cpu)
            msi = HostMsi(device, eventid, cpu, handler)
            msi.lpi = gic.request(msi)
            gic.set_config(msi.lpi, True)
            host_its.map_event(devid, eventid, msi.lpi, cpu)
            gic.invalidate(msi.lpi, cpu)
            device.msis[eventid] = msi
            return msi

    def _add(self, its: HostIts, devid: int, bits: int) -> HostDevice:
        """Give a device its table.  Errors: ENOMEM."""
        gic = self.gic
        device = HostDevice(gic, its, devid, gic.pages.take(its.itt_entry << bits), bits)
        its.map_device(devid, device.itt, bits)
        self._by_id[its.number, devid] = device
        return device

    def free(self, msi: HostMsi) -> None:
        """Give a vector back; it goes to no guest any more: free_irq().  Errors: EINVAL; EBUSY when it does."""
        device = msi.device
        with self.gic.lock:
            if not msi.requested:
                raise ConfigError(EINVAL, f"event {msi.eventid} of device {device.devid:#x} was given back before")
            if msi.direct is not None:
                raise VgicError(EBUSY, f"event {msi.eventid} of device {device.devid:#x} goes to a guest")
            device.its.physical(arch4.DISCARD, device.devid, msi.eventid, msi.cpu)
            del device.msis[msi.eventid]
            limit = self.limits.get((device.its.number, device.devid))
            if limit is not None:
                limit.forget(msi.eventid)
            self.gic.release(msi.lpi)
            if not device.msis:
                device.its.unmap_device(device.devid)
                self.gic.pages.give(device.itt, device.its.itt_entry << device.event_bits)
                del self._by_id[device.its.number, device.devid]

    def _its(self, number: int) -> HostIts:
        """Errors: ENODEV for an ITS that is not there."""
        if not 0 <= number < len(self.gic.itss):
            raise VgicError(ENODEV, f"the machine has no ITS {number}")
        return self.gic.itss[number]

    # Limits

    def set_limit(self, its: int, devid: int, messages: int, cycles: int) -> DeviceLimit:
        """Limit a device, or change its limit.  Errors: ENODEV; EINVAL for a DeviceID or a rate that cannot be."""
        if not 0 <= devid < self._its(its).proxy_devid:
            raise ConfigError(EINVAL, f"ITS {its} can have no device {devid:#x}")
        if messages < 1 or cycles < 1:
            raise ConfigError(EINVAL, f"{messages} messages in {cycles} cycles: both have to be positive")
        with self.gic.lock:
            limit = self.limits.get((its, devid))
            if limit is None:
                machine = self.gic.machine
                limit = self.limits[its, devid] = DeviceLimit(machine, machine.itss[its], devid, messages, cycles)
            else:
                limit.change(messages, cycles)
            return limit

    def lift_limit(self, its: int, devid: int) -> None:
        """Have a device send what it holds, and whatever it will; nothing happens to one without a limit."""
        with self.gic.lock:
            limit = self.limits.pop((its, devid), None)
            if limit is not None:
                limit.lift()

    def limit_of(self, msi: HostMsi) -> DeviceLimit | None:
        """What limits a message of that vector: nothing if nobody has requested the event, which the ITS then drops."""
        key = msi.device.its.number, msi.device.devid
        device = self._by_id.get(key)
        return None if device is None or msi.eventid not in device.msis else self.limits.get(key)

    def tick(self, cycles: int) -> None:
        """Let time pass; each message that waits is sent, and taken, when it is due."""
        until = self.gic.machine.now + cycles
        while self.limits:
            self._release()
            self.gic.take_all()  # whose handlers may have devices send more
            due = self._due()
            if due is None or due > until:
                break
            self._pass(due)
        self._pass(until)

    def _release(self) -> None:
        with self.gic.lock:
            for limit in self.limits.values():
                limit.release()

    def _due(self) -> int | None:
        """When the next message is due, if one waits."""
        with self.gic.lock:
            times = [limit.due for limit in self.limits.values()]
        return min((time for time in times if time is not None), default=None)

    def _pass(self, until: int) -> None:
        machine = self.gic.machine
        with self.gic.lock:
            if machine.now < until:
                machine.tick(until - machine.now)
