"""irqfd: an eventfd of the VMM that injects a GSI, and one that tells it of the completion.

Room:    above routes; below vm.
Owns:    Dist.resamplers, and the line of a GSI that a resampler raised.
Holds:   an eventfd belongs to one irqfd of the VM.

A plain irqfd is for edge interrupts: on a level one its line stays high, as in KVM.
"""

from typing import TYPE_CHECKING, final

from vgic.errors import EAGAIN, EBUSY, VgicError
from vgic.its.translate import inject_cached
from vgic.routes import MsiRoute, deliver, route_of, set_gsi

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

    __slots__ = ("eventfd", "gsi", "resamplefd")

    def __init__(self, eventfd: "EventFd", gsi: int, resamplefd: "EventFd | None") -> None:
        """Bind."""
        self.eventfd = eventfd
        self.gsi = gsi
        self.resamplefd = resamplefd


@final
class Irqfds:
    """The irqfds of one VM."""

    __slots__ = ("_bound", "_dist")

    def __init__(self, dist: "Dist") -> None:
        """Build a VM's table, empty."""
        self._dist = dist
        self._bound: list[Irqfd] = []

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
        if eventfd.take():
            self._inject(irqfd)

    def deassign(self, eventfd: "EventFd", gsi: int) -> None:
        """KVM_IRQFD with KVM_IRQFD_FLAG_DEASSIGN: unbind; no error if it is not bound so."""
        for irqfd in [bound for bound in self._bound if bound.eventfd is eventfd and bound.gsi == gsi]:
            self._bound.remove(irqfd)
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
