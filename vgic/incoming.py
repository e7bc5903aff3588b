"""The calls by which interrupts come into a VM: lines, device models, GSIs, messages; and who hears of completions.

Room:    a part of Vgic, beneath vm; each call checks what KVM's ioctl does and hands on to the room that does it.
Owns:    the VM's irqfds.
Holds:   every call takes the VM's lock; a call that raises has changed nothing.
"""

from collections.abc import Hashable, Sequence

from vgic.dist import Dist
from vgic.errors import EINVAL, ConfigError, DeadVmError
from vgic.guest import Vcpu
from vgic.ids import FIRST_SPI, MAX_SPI, MSI_VALID_DEVID
from vgic.inject import inject, irq_line
from vgic.irqfd import Irqfds
from vgic.its.translate import signal_msi
from vgic.lock import Lock
from vgic.ports import AckNotifier, EventFd
from vgic.routes import MsiRoute, PinRoute, set_routing
from vgic.v4.hostdev import HostMsi


class Incoming:
    """One VM as its devices see it."""

    __slots__ = ("_dist", "_irqfds", "_lock")

    def __init__(self, dist: Dist, lock: Lock) -> None:
        self._dist = dist
        self._lock = lock
        self._irqfds = Irqfds(dist)

    def irq_line(self, irq: int, level: int) -> None:
        """KVM_IRQ_LINE: `irq` is the ioctl's word (see `irq_word`); any non-zero `level` is high.

        Errors: ENXIO, EINVAL, EBUSY as in kvm_vm_ioctl_irq_line().
        """
        lock = self._lock
        lock.acquire()
        try:
            if self._dist.dead:
                raise DeadVmError
            irq_line(self._dist, irq, level)
        finally:
            lock.release()

    def inject(
        self, intid: int, level: bool = True, *, vcpu: Vcpu | None = None, owner: Hashable | None = None
    ) -> None:
        """Drive the line of `intid` as a device model does: kvm_vgic_inject_irq().

        vcpu   whose PPI it is; None for an SPI.
        owner  the device, if it owns the line (`Vcpu.set_owner`); anybody else is ignored without an error.
        Errors: EBUSY before init; EINVAL for an interrupt that does not exist.
        """
        dist = self._dist
        if vcpu is not None and vcpu.dist is not dist:
            raise ConfigError(EINVAL, f"vCPU {vcpu.index} belongs to another VM")
        lock = self._lock
        lock.acquire()
        try:
            inject(dist, vcpu, intid, bool(level), owner)
        finally:
            lock.release()

    def add_ack_notifier(self, intid: int, listener: AckNotifier) -> None:
        """Call `listener(intid)` when the guest completes the unmapped level SPI: kvm_register_irq_ack_notifier().

        Errors: EINVAL for what is no SPI number.
        """
        if not FIRST_SPI <= intid <= MAX_SPI:
            raise ConfigError(EINVAL, f"INTID {intid} is not an SPI")
        with self._lock:
            notifiers = self._dist.ack_notifiers
            notifiers[intid] = [*notifiers.get(intid, ()), listener]

    def remove_ack_notifier(self, intid: int, listener: AckNotifier) -> None:
        """Stop calling `listener`; unknown ones are ignored: kvm_unregister_irq_ack_notifier()."""
        with self._lock:
            notifiers = self._dist.ack_notifiers
            # by equality: a bound method is a new object each time it is named
            left = [other for other in notifiers.get(intid, ()) if other != listener]
            if left:
                notifiers[intid] = left
            else:
                notifiers.pop(intid, None)

    def signal_msi(self, address: int, data: int, devid: int, flags: int = MSI_VALID_DEVID) -> int:
        """KVM_SIGNAL_MSI: `data` is the EventID, `devid` the DeviceID, 32 bits each.

        Returns 1 when the LPI was made pending, 0 when the guest's mappings block the message.
        Errors: EINVAL without an irqchip, for unknown flags, without a DeviceID, or where no ITS lies; ENODEV without
        an ITS; EBUSY while the ITS, or the target's LPIs, are disabled.
        """
        with self._lock:
            dist = self._dist
            if dist.dead:
                raise DeadVmError
            if dist.model is None or flags & ~MSI_VALID_DEVID:
                raise ConfigError(
                    EINVAL, f"MSI flags {flags:#x}, in a VM {'with' if dist.model else 'without'} an irqchip"
                )
            return signal_msi(dist, address, data & 0xFFFF_FFFF, devid & 0xFFFF_FFFF, bool(flags & MSI_VALID_DEVID))

    def set_gsi_routing(self, entries: Sequence[PinRoute | MsiRoute], flags: int = 0) -> None:
        """KVM_SET_GSI_ROUTING: replace the table.  Errors: EINVAL as in kvm_set_irq_routing()."""
        with self._lock:
            if self._dist.dead:
                raise DeadVmError
            set_routing(self._dist, entries, flags)
            self._irqfds.routes_changed()

    def irqfd(self, eventfd: EventFd, gsi: int, resamplefd: EventFd | None = None) -> None:
        """KVM_IRQFD: from now on `irqfd_fired(eventfd)` injects the GSI.

        resamplefd  signalled when the guest has completed the level interrupt, whose line is lowered first.
        Errors: EAGAIN before the VGIC is initialised; EBUSY for an eventfd that is bound.
        """
        with self._lock:
            if self._dist.dead:
                raise DeadVmError
            self._irqfds.assign(eventfd, gsi, resamplefd)

    def irqfd_deassign(self, eventfd: EventFd, gsi: int) -> None:
        """KVM_IRQFD with KVM_IRQFD_FLAG_DEASSIGN; no error when it is not bound."""
        with self._lock:
            if self._dist.dead:
                raise DeadVmError
            self._irqfds.deassign(eventfd, gsi)

    def irqfd_fired(self, eventfd: EventFd) -> None:
        """Tell that the eventfd was signalled; its counter is taken and the GSI injected once."""
        with self._lock:
            self._irqfds.fired(eventfd)

    def add_producer(self, eventfd: EventFd, msi: HostMsi) -> int:
        """Tell that the vector `msi` (of `Host.request_msi`) signals `eventfd`, as VFIO does by irqbypass.

        While an irqfd routes the eventfd to a message for the guest's ITS, and the host has GICv4, the vector's
        interrupts then reach the guest without the host; otherwise the vector's handler is called as before.
        Returns 0; the ITS's error 0x010307 while the guest has not mapped the event: the vector is no producer then.
        Errors: EBUSY while the guest's ITS or LPIs are disabled, or for an eventfd or vector that is in use; EINVAL for
        a device that belongs to another VM, or is behind an ITS without GICv4.
        """
        with self._lock:
            if self._dist.dead:
                raise DeadVmError
            return self._irqfds.add_producer(eventfd, msi)

    def remove_producer(self, eventfd: EventFd) -> None:
        """Undo `add_producer`: the vector's interrupts go to the host again.  What is pending is lost, as in KVM."""
        with self._lock:
            self._irqfds.remove_producer(eventfd)
