"""What an embedder supplies, and what the library hands back through it.

Room:    the floor, beside ids.
Holds:   a port is called under the VM's lock, on the thread that made the call.  It may call back into the library
         (the lock is reentrant), but must not enter, exit or put a vCPU, and should not raise.
"""

from collections.abc import Callable
from typing import Protocol

Kick = Callable[[int], None]
"""Called with a vCPU index when that vCPU must look at its interrupts: wake it if it blocks, make it leave
the guest if it runs (KVM: kvm_vcpu_kick).  May be called more often than needed."""

AckNotifier = Callable[[int], None]
"""Called with an INTID when the guest has completed an unmapped level SPI, before the interrupt is looked at
again: lowering the line here prevents its redelivery (KVM: kvm_notify_acked_irq)."""

LevelReader = Callable[[int], bool]
"""Called with an INTID; returns the level its device drives now (KVM: irq_ops.get_input_level)."""


class TracePort(Protocol):
    """A listener for what KVM traces; `vgic.trace.StructlogTrace` is a ready one."""

    def vgic_update_irq_pending(self, vcpu: int, intid: int, level: bool) -> None:
        """An injection after its init and private-irq checks, before lookup and owner check."""

    def kvm_irq_line(self, kind: int, vcpu_id: int, number: int, level: int) -> None:
        """A KVM_IRQ_LINE, before validation."""

    def kvm_ack_irq(self, irqchip: int, pin: int) -> None:
        """An end-of-interrupt notification for `pin` (INTID - 32)."""
