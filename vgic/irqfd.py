"""irqfd: an eventfd of the VMM that injects a GSI, and one that tells it of the completion.

Room:    above routes; below vm.
Owns:    Dist.resamplers, the line of a GSI that a resampler raised, and which vector of a device signals an eventfd.
Holds:   an eventfd belongs to one irqfd of the VM, and to one vector.

A vector whose eventfd an irqfd routes to a message is a producer, the irqfd its consumer (KVM: irqbypass): the vector
goes to the guest directly if it can, and through the eventfd if not.

A plain irqfd is for edge interrupts: on a level one its line stays high, as in KVM.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, final

from vgic.errors import EAGAIN, EBUSY, EINVAL, ConfigError, VgicError
from vgic.its.translate import inject_cached
from vgic.routes import MsiRoute, deliver, route_of, set_gsi
from vgic.v4.forward import set_forwarding, unset_forwarding
from vgic.v4.hostdev import HostMsi

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.ports import EventFd


@final
class Resampler:
    """All irqfds of one GSI that want to be told of its completion (KVM: struct kvm_kernel_irqfd_resampler)."""

    __slots__ = ("_dist", "_gsi", "fds")

    def __init__(self, dist: "Dist", gsi: int) -> None:
        """Build a resampler without members."""
        self._dist = dist
        self._gsi = gsi
        self.fds: list[EventFd] = []

    def completed(self) -> None:
        """Lower the line, then tell everybody, who may raise it again: irqfd_resampler_ack()."""
        set_gsi(self._dist, self._gsi, False)
        for fd in list(self.fds):
            fd.signal()


@final
class Irqfd:
    """One binding of an eventfd to a GSI."""

    __slots__ = ("eventfd", "forwarded", "gsi", "resamplefd")

    def __init__(self, eventfd: "EventFd", gsi: int, resamplefd: "EventFd | None") -> None:
        """Bind."""
        self.eventfd = eventfd
        self.gsi = gsi
        self.resamplefd = resamplefd
        self.forwarded: MsiRoute | None = None  # the route that its vector was forwarded by


@final
class Irqfds:
    """The irqfds of one VM."""

    __slots__ = ("_bound", "_dist", "_producers")

    def __init__(self, dist: "Dist") -> None:
        """Build a VM's table, empty."""
        self._dist = dist
        self._bound: list[Irqfd] = []
        self._producers: list[tuple[EventFd, HostMsi]] = []

    def assign(self, eventfd: "EventFd", gsi: int, resamplefd: "EventFd | None") -> None:
        """KVM_IRQFD: bind; an event signalled before is injected at once.  The GSI is not checked.

        Errors: EAGAIN before the VGIC is initialised; EBUSY for an eventfd that is bound.
        """
        if not self._dist.initialized:
            raise VgicError(EAGAIN, "the VGIC is not initialised")
        if any(irqfd.eventfd is eventfd for irqfd in self._bound):
            raise VgicError(EBUSY, "the eventfd is bound to another irqfd")
        if resamplefd is not None:
            self._dist.resamplers.setdefault(gsi, Resampler(self._dist, gsi)).fds.append(resamplefd)
        irqfd = Irqfd(eventfd, gsi, resamplefd)
        self._bound.append(irqfd)
        msi = self._producer_of(eventfd)
        if msi is not None:
            with suppress(VgicError):  # the eventfd still works
                self._connect(irqfd, msi)
        if eventfd.take():
            self._inject(irqfd)

    def deassign(self, eventfd: "EventFd", gsi: int) -> None:
        """KVM_IRQFD with KVM_IRQFD_FLAG_DEASSIGN: unbind; no error if it is not bound so."""
        for irqfd in [bound for bound in self._bound if bound.eventfd is eventfd and bound.gsi == gsi]:
            self._bound.remove(irqfd)
            msi = self._producer_of(eventfd)
            if msi is not None:
                unset_forwarding(self._dist, msi)
            resampler = self._dist.resamplers.get(gsi)
            if irqfd.resamplefd is not None and resampler is not None:
                resampler.fds.remove(irqfd.resamplefd)
                if not resampler.fds:
                    del self._dist.resamplers[gsi]
                    set_gsi(self._dist, gsi, False)

    def fired(self, eventfd: "EventFd") -> None:
        """The eventfd was signalled: take its counter and inject once, if it is bound: irqfd_wakeup()."""
        for irqfd in self._bound:
            if irqfd.eventfd is eventfd and eventfd.take():
                self._inject(irqfd)
                return

    # Producers

    def add_producer(self, eventfd: "EventFd", msi: HostMsi) -> int:
        """A vector signals `eventfd`: irq_bypass_register_producer(), kvm_arch_irq_bypass_add_producer().

        Returns what set_forwarding does; anything but 0 means that the vector is no producer.
        Errors: EINVAL for a vector of another host, or one that was given back; EBUSY for an eventfd or a vector that
        is in use; those of set_forwarding.
        """
        self._dist.host.devices_of(msi)
        if not msi.requested:
            raise ConfigError(EINVAL, f"event {msi.eventid} of device {msi.device.devid:#x} was given back")
        for known, other in self._producers:
            if known is eventfd or other is msi:
                raise VgicError(EBUSY, "the eventfd, or the vector, is a producer already")
        result = 0
        for irqfd in self._bound:
            if irqfd.eventfd is eventfd:
                result = self._connect(irqfd, msi)
        if not result:
            self._producers.append((eventfd, msi))
        return result

    def remove_producer(self, eventfd: "EventFd") -> None:
        """The vector signals `eventfd` no more, and goes to the host: irq_bypass_unregister_producer()."""
        msi = self._producer_of(eventfd)
        if msi is not None:
            unset_forwarding(self._dist, msi)
            self._producers.remove((eventfd, msi))

    def routes_changed(self) -> None:
        """A vector that was forwarded by a route that is no more goes to the host, and tries the new one.

        As in Linux 6.16 on; in 6.12 it goes on by the old route for ever.
        """
        for irqfd in self._bound:
            msi = self._producer_of(irqfd.eventfd)
            if msi is not None and irqfd.forwarded != route_of(self._dist, irqfd.gsi):
                unset_forwarding(self._dist, msi)
                with suppress(VgicError):
                    self._connect(irqfd, msi)

    def restored(self) -> None:
        """A snapshot was restored, which forwards nothing: each producer tries again."""
        dist = self._dist
        dist.holds_kicks = True  # a restore calls no port
        for irqfd in self._bound:
            msi = self._producer_of(irqfd.eventfd)
            if msi is not None:
                with suppress(VgicError):
                    self._connect(irqfd, msi)
        dist.holds_kicks = False
        dist.held_kicks = {}

    def _producer_of(self, eventfd: "EventFd") -> HostMsi | None:
        for known, msi in self._producers:
            if known is eventfd:
                return msi
        return None

    def _connect(self, irqfd: Irqfd, msi: HostMsi) -> int:
        route = route_of(self._dist, irqfd.gsi)
        irqfd.forwarded = None
        if not isinstance(route, MsiRoute):
            return 0
        irqfd.forwarded = route
        return set_forwarding(self._dist, msi, route)

    def _inject(self, irqfd: Irqfd) -> None:
        """Take KVM's fast path if it is open, else do what its worker does: irqfd_inject()."""
        dist = self._dist
        route = route_of(dist, irqfd.gsi)
        if isinstance(route, MsiRoute):
            if dist.has_its and inject_cached(dist, route.address, route.data, route.devid):
                return
        elif route is not None and dist.initialized:
            try:
                deliver(dist, route, True)
            except VgicError:
                return  # nobody is told: the pin is no SPI of this VM
            return
        set_gsi(dist, irqfd.gsi, True)
        if irqfd.resamplefd is None:
            set_gsi(dist, irqfd.gsi, False)
