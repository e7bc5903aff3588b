"""What the rest of the VGIC knows of direct injection: three objects it may find, and asks to act.

Room:    the floor, beside irq; v4 fills it in.
Never:   says which GICv4 there is, or whether there is any: where there is none, nobody holds such an object.
Holds:   irq.direct is not None  =>  irq.pending_latch is False: pending is the hardware's to know.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.irq import Irq
    from vgic.vcpu import VcpuGic


class Direct:
    """One interrupt that hardware delivers by itself: `Irq.direct` (KVM: irq->hw of an LPI or SGI)."""

    __slots__ = ()

    def pend(self) -> None:
        """Make it pending: irq_set_irqchip_state(true)."""
        raise NotImplementedError

    def announce(self) -> None:
        """Hardware made it pending by itself: take the doorbell that this may have rung."""
        raise NotImplementedError

    def clear(self) -> None:
        """Make it not pending: irq_set_irqchip_state(false)."""
        raise NotImplementedError

    def is_pending(self) -> bool:
        """Ask whether it is pending; an LPI can be asked only while its vCPU's pending table is the software's."""
        raise NotImplementedError

    def peek(self) -> bool:
        """Whether hardware has it pending: looks behind the registers, for an explanation alone."""
        raise NotImplementedError

    def retarget(self, vcpu: "VcpuGic | None") -> None:
        """It goes to `vcpu` from now on, with its pending state; nobody: it stays where it is."""
        raise NotImplementedError

    def configure(self, byte: int, invalidate: bool) -> None:
        """The guest's configuration byte is read anew; `invalidate`: hardware shall look at it now."""
        raise NotImplementedError

    def invalidate(self) -> None:
        """Hardware shall look at its configuration now."""
        raise NotImplementedError

    def drop(self) -> None:
        """The event it came from is gone: it is software's again, and not pending."""
        raise NotImplementedError


class Residency:
    """One vCPU as hardware knows it: `VcpuGic.vpe` (KVM: struct its_vpe)."""

    gates_groups = False
    """Whether the distributor's enable reaches hardware."""

    __slots__ = ("in_wfi", "pending_last", "resident", "vlpis")

    def __init__(self) -> None:
        """Not resident, nothing known to be pending."""
        self.in_wfi = False  # blocked, or about to: a descheduling asks for a doorbell, and nothing makes it resident
        self.pending_last = False  # something is, or may be, pending: do not block
        self.resident = False
        self.vlpis = 0  # LPIs that hardware delivers to it: its WFI need not trap

    def load(self) -> None:
        """Make the vCPU resident on the physical CPU that it is on: vgic_v4_load()."""
        raise NotImplementedError

    def put(self) -> None:
        """Take it off that CPU; while `in_wfi` its doorbell is wanted: vgic_v4_put()."""
        raise NotImplementedError

    def commit(self) -> None:
        """The guest is about to be entered: what residency has to find out must be found: vgic_v4_commit()."""
        raise NotImplementedError

    def invalidate_all(self) -> None:
        """Look again at the configuration of every vLPI: its_invall_vpe()."""
        raise NotImplementedError


class DirectVm:
    """One VM as hardware knows it: `Dist.direct` (KVM: struct its_vm)."""

    __slots__ = ()

    def reload(self) -> None:
        """Group enables changed: every resident vPE is made non-resident and resident again."""
        raise NotImplementedError

    def drop(self) -> None:
        """Take every LPI and SGI back from hardware; nobody is blocked any more."""
        raise NotImplementedError

    def waits(self, irq: "Irq") -> bool:
        """Whether `irq` came back from hardware pending and is listed when the distributor is enabled."""
        raise NotImplementedError

    def has_lpis(self) -> bool:
        """Whether hardware delivers LPIs of the VM."""
        raise NotImplementedError

    def unmap_vpes(self) -> None:
        """Give every pending table back to software, if it can have them, which may then ask Direct.is_pending()."""
        raise NotImplementedError

    def map_vpes(self) -> None:
        """Undo it."""
        raise NotImplementedError

    def settle(self) -> None:
        """The VM's state is whole again: take what rang while kicks were held."""
        raise NotImplementedError

    def check_saveable(self) -> None:
        """Errors: EACCES where the pending state of vLPIs cannot be read: GICv4.0."""
        raise NotImplementedError

    def teardown(self, dist: "Dist") -> None:
        """The VM ends: vgic_v4_teardown()."""
        raise NotImplementedError
