"""What an embedder supplies, and what the library hands back through it.

Room:    the floor, beside ids.
Holds:   a port is called under the VM's lock, on the thread that made the call.  It may call back into the library
         (the lock is reentrant), but must not enter, exit or put a vCPU, and should not raise.
"""

from collections.abc import Callable
from typing import Protocol

Kick = Callable[[int], None]
"""Called with a vCPU index when that vCPU must look at its interrupts: wake it if it blocks, make it leave
the guest if it runs (KVM: kvm_vcpu_kick).  May be called more often than needed.  While an ITS works off its queue,
kicks wait until it is empty."""

AckNotifier = Callable[[int], None]
"""Called with an INTID when the guest has completed an unmapped level SPI, before the interrupt is looked at
again: lowering the line here prevents its redelivery (KVM: kvm_notify_acked_irq)."""

LevelReader = Callable[[int], bool]
"""Called with an INTID; returns the level its device drives now (KVM: irq_ops.get_input_level)."""


class GuestMemory(Protocol):
    """The guest's RAM, as memory slots make it visible (KVM: kvm_read_guest() and kvm_write_guest()).

    vgic.ram.Ram is a ready one.  Unlike other ports it must not call back into the library.
    """

    def read(self, gpa: int, size: int) -> bytes | None:
        """Return `size` bytes at `gpa`, or None if some of them are not RAM."""

    def write(self, gpa: int, data: bytes) -> bool:
        """Store `data` at `gpa`; False, and nothing stored, if some of it is not writable RAM."""

    def visible(self, gpa: int) -> bool:
        """Whether the page of `gpa` belongs to a memory slot, writable or not."""


class EventFd(Protocol):
    """An eventfd of the VMM: a counter that can be added to and taken.

    vgic.eventfd has two ready ones: a plain counter, and the operating system's.
    """

    def signal(self) -> None:
        """Add one."""

    def take(self) -> int:
        """Return the counter and set it to 0."""


class TracePort(Protocol):
    """A listener for what KVM traces; `vgic.trace.StructlogTrace` is a ready one."""

    def vgic_update_irq_pending(self, vcpu: int, intid: int, level: bool) -> None:
        """An injection after its init and private-irq checks, before lookup and owner check."""

    def kvm_irq_line(self, kind: int, vcpu_id: int, number: int, level: int) -> None:
        """A KVM_IRQ_LINE, before validation."""

    def kvm_set_irq(self, gsi: int, level: bool) -> None:
        """A GSI driven through the routing table."""

    def kvm_ack_irq(self, irqchip: int, pin: int) -> None:
        """An end-of-interrupt notification for `pin` (INTID - 32)."""
