"""Register banks with a field for each interrupt: enable, pending, active, group, priority, configuration.

Room:    above mmio, below the GICv2 and GICv3 tables, which share these.
Owns:    how a guest's and user space's writes change Irq.enabled, group, priority, level and, by software,
         pending_latch and active.
Holds:   interrupts of one access are handled in ascending INTID order, which is the order in which several
         made deliverable at once join a list.
"""

from typing import final

from vgic.ap_list import queue
from vgic.ids import NR_PRIVATE, NR_SGIS, PRIORITY_MASK
from vgic.irq import Irq
from vgic.mapped import clear_physical_pending, physical_level, set_physical_active
from vgic.mmio import Accessor, Frame
from vgic.run import halt_guests, resume_guests
from vgic.vcpu import VcpuGic


class BitBank(Accessor):
    """One bit for each interrupt.  `get` reads it; `put` is called for the bits that are written 1."""

    __slots__ = ()

    def get(self, irq: Irq) -> bool:
        """Return the interrupt's bit as the guest reads it."""
        raise NotImplementedError

    def put(self, irq: Irq) -> None:
        """Do what the guest's writing 1 does."""
        raise NotImplementedError

    def user_get(self, irq: Irq) -> bool:
        """Return the bit as user space reads it."""
        return self.get(irq)

    def user_put(self, irq: Irq) -> None:
        """Do what user space's writing 1 does."""
        self.put(irq)

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Collect the bits of the interrupts covered."""
        value = 0
        bit = 1
        for irq in frame.irqs(vcpu, at * 8, size * 8):
            if self.get(irq):
                value |= bit
            bit <<= 1
        return value

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Hand each interrupt whose bit is 1 to `put`."""
        for irq in frame.irqs(vcpu, at * 8, size * 8):
            if value & 1:
                self.put(irq)
            value >>= 1

    def user_read(self, frame: Frame, vcpu: VcpuGic, at: int) -> int:
        """Collect the bits as user space sees them."""
        value = 0
        for n, irq in enumerate(frame.irqs(vcpu, at * 8, 32)):
            value |= self.user_get(irq) << n
        return value

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Hand each interrupt whose bit is 1 to `user_put`."""
        for n, irq in enumerate(frame.irqs(vcpu, at * 8, 32)):
            if value >> n & 1:
                self.user_put(irq)


class GroupBits(BitBank):
    """IGROUPR<n>: 1 is group 1.  Every interrupt covered is looked at again, changed or not."""

    __slots__ = ()

    def get(self, irq: Irq) -> bool:
        """Return the group."""
        return irq.group == 1

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Assign the group of every interrupt covered."""
        for irq in frame.irqs(vcpu, at * 8, size * 8):
            irq.group = value & 1
            value >>= 1
            queue(irq)

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Do as the guest's write does."""
        self.write(frame, vcpu, at, 4, value)


class EnableBits(BitBank):
    """What ISENABLER and ICENABLER read as."""

    __slots__ = ()

    @final
    def get(self, irq: Irq) -> bool:
        """Return the enable bit."""
        return irq.enabled


@final
class EnableSet(EnableBits):
    """ISENABLER<n>: writing 1 enables; the interrupt is looked at again even when it was enabled already."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Enable; a mapped level interrupt has its line sampled first, as it was not watched while disabled."""
        if irq.mapped_by is not None and irq.level:
            was_high = irq.line_level
            irq.line_level = physical_level(irq)
            if was_high and not irq.line_level and not irq.active:
                set_physical_active(irq, False)
        irq.enabled = True
        queue(irq)

    def user_put(self, irq: Irq) -> None:
        """Enable."""
        irq.enabled = True
        queue(irq)


@final
class EnableClear(EnableBits):
    """ICENABLER<n>: writing 1 disables.  Nothing is unlisted or kicked: the next prune sees to it."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Disable."""
        irq.enabled = False


class PendingBits(BitBank):
    """What ISPENDR and ICPENDR read as: the pending state; for a mapped level interrupt, the physical line."""

    __slots__ = ()

    @final
    def get(self, irq: Irq) -> bool:
        """Return the pending state: __read_pending()."""
        if irq.level and irq.mapped_by is not None:
            return physical_level(irq)
        return irq.pending_latch or (irq.level and irq.line_level)


class PendingSet(PendingBits):
    """ISPENDR<n>: writing 1 latches, whatever the trigger."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Latch; a mapped interrupt also becomes physically active, as if the guest had taken it."""
        irq.pending_latch = True
        if irq.mapped_by is not None:
            set_physical_active(irq, True)
        queue(irq)


@final
class PendingAssign(PendingSet):
    """GICv3's ISPENDR<n>: for user space a full assignment of the latch, so that trigger may be restored later."""

    __slots__ = ()

    def user_get(self, irq: Irq) -> bool:
        """Return the latch alone."""
        return irq.pending_latch

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Assign the latch of every interrupt covered: vgic_v3_uaccess_write_pending()."""
        for n, irq in enumerate(frame.irqs(vcpu, at * 8, 32)):
            irq.pending_latch = bool(value >> n & 1)
            if irq.pending_latch:
                queue(irq)


class PendingClear(PendingBits):
    """ICPENDR<n>: writing 1 clears the latch; a line that is high keeps a level interrupt pending."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Clear the latch, and for a mapped interrupt its physical pending state (and active, unless active here)."""
        irq.pending_latch = False
        if irq.mapped_by is not None:
            clear_physical_pending(irq)
            if not irq.active:
                set_physical_active(irq, False)


@final
class PendingClearGuestOnly(PendingClear):
    """GICv3's ICPENDR<n>: RAZ/WI for user space."""

    __slots__ = ()

    def user_get(self, irq: Irq) -> bool:
        """Read as zero."""
        return False

    def user_put(self, irq: Irq) -> None:
        """Ignore."""


class ActiveBits(BitBank):
    """What ISACTIVER and ICACTIVER share: reads and writes stop the vCPUs whose list registers may hold the truth."""

    __slots__ = ()

    @final
    def get(self, irq: Irq) -> bool:
        """Return the active state; the physical one is never asked."""
        return irq.active

    @final
    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Fold every list register first, where other vCPUs may hold these interrupts."""
        if not _must_halt(frame, vcpu, at, size):
            return BitBank.read(self, frame, vcpu, at, size)
        halted = halt_guests(frame.dist)
        try:
            return BitBank.read(self, frame, vcpu, at, size)
        finally:
            resume_guests(halted)

    @final
    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Fold first, or a later fold would undo the write."""
        if not _must_halt(frame, vcpu, at, size):
            BitBank.write(self, frame, vcpu, at, size, value)
            return
        halted = halt_guests(frame.dist)
        try:
            BitBank.write(self, frame, vcpu, at, size, value)
        finally:
            resume_guests(halted)


def _must_halt(frame: Frame, vcpu: VcpuGic, at: int, size: int) -> bool:
    """Whether list registers of other vCPUs may hold what is asked for; not past the last INTID."""
    return frame.stops_guests(vcpu, at * 8) and bool(frame.irqs(vcpu, at * 8, size * 8))


class ActiveSet(ActiveBits):
    """ISACTIVER<n>: writing 1 makes active, and lists it even if disabled, not pending, or the distributor off."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Activate; a mapped interrupt physically too."""
        irq.active = True
        if irq.mapped_by is not None:
            set_physical_active(irq, True)
        queue(irq)

    def user_put(self, irq: Irq) -> None:
        """Activate; KVM ignores user space for a mapped interrupt, whose truth is the physical state."""
        if irq.mapped_by is None:
            irq.active = True
            queue(irq)


@final
class ActiveClear(ActiveBits):
    """ICACTIVER<n>: writing 1 deactivates.  Running priority stays raised: that is the CPU interface's."""

    __slots__ = ()

    def put(self, irq: Irq) -> None:
        """Deactivate; a mapped interrupt physically too."""
        irq.active = False
        if irq.mapped_by is not None:
            set_physical_active(irq, False)

    def user_put(self, irq: Irq) -> None:
        """Deactivate; for a mapped interrupt nothing but another look at it."""
        if irq.mapped_by is None:
            irq.active = False
        elif irq.active:
            queue(irq)


@final
class Priority(Accessor):
    """IPRIORITYR<n>: a byte for each interrupt.  Takes effect when its list register is next written."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the priorities, lowest INTID in the lowest byte."""
        value = 0
        shift = 0
        for irq in frame.irqs(vcpu, at, size):
            value |= irq.priority << shift
            shift += 8
        return value

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Store the implemented bits of each byte."""
        for irq in frame.irqs(vcpu, at, size):
            irq.priority = value & PRIORITY_MASK
            value >>= 8


@final
class Config(Accessor):
    """ICFGR<n>: bit 2n+1 is 1 for edge.  Fixed for SGIs and PPIs; for SPIs nothing else changes with it."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return 0b10 for edge, 0b00 for level."""
        value = 0
        for n, irq in enumerate(frame.irqs(vcpu, at * 4, size * 4)):
            if not irq.level:
                value |= 2 << n * 2
        return value

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Set the trigger of each SPI covered."""
        for n, irq in enumerate(frame.irqs(vcpu, at * 4, size * 4)):
            if irq.intid >= NR_PRIVATE:
                irq.level = not value >> n * 2 & 2


def line_levels(irqs: list[Irq]) -> int:
    """LEVEL_INFO read: the wires of up to 32 interrupts, 0 for edge ones: vgic_read_irq_line_level_info()."""
    value = 0
    for n, irq in enumerate(irqs):
        if irq.level and irq.line_level:
            value |= 1 << n
    return value


def set_line_levels(irqs: list[Irq], value: int) -> None:
    """LEVEL_INFO write: set the wires whatever the trigger; SGIs have none: vgic_write_irq_line_level_info()."""
    for n, irq in enumerate(irqs):
        if irq.intid >= NR_SGIS:
            irq.line_level = bool(value >> n & 1)
            if irq.line_level:
                queue(irq)
