"""Irq: one interrupt's state, the questions asked of it, and where it wants to be.

Room:    below everything that moves interrupts.
Owns:    nothing: it is the state.  Who may write which field is said beside the field.
Never:   walks, queues, touches a list register.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from vgic.direct import Direct
    from vgic.ports import LevelReader
    from vgic.vcpu import VcpuGic


@final
class Irq:
    """One interrupt of one VM (KVM: struct vgic_irq).  Fields are model state; registers are views of them.

    With up to 20 fields CPython gives it three whole lines of the processor's cache; with more most would lie in four.
    """

    __slots__ = (
        "active",
        "active_source",
        "direct",
        "enabled",
        "group",
        "host_irq",
        "input_level",
        "intid",
        "level",
        "line_level",
        "mapped_by",
        "owner",
        "pending_latch",
        "priority",
        "queued_on",
        "refs",
        "route",
        "source",
        "sw_resample",
        "target",
    )

    def __init__(self, intid: int, level: bool, enabled: bool, target: "VcpuGic | None") -> None:
        """Build the record in its reset state."""
        self.intid = intid  # never changes
        self.level = level  # trigger: True level, False edge; SGIs and LPIs edge, PPIs level, for ever
        self.enabled = enabled
        self.active = False  # set by ISACTIVER writes and by the fold alone
        self.line_level = False  # the wire, as the device last drove it; means nothing while edge
        self.pending_latch = False  # edge: the event; level: the guest's ISPENDR write
        self.priority = 0  # 0 is the highest; only bits 7:3 are ever set
        self.group = 1
        self.target = target  # the vCPU it is delivered to when pending; None: an affinity nobody has
        self.queued_on: VcpuGic | None = None  # the vCPU whose ap_list holds it; written by ap_list alone
        self.refs = 1  # who needs an LPI: ITEs, cached translations, the ap_list; at 0 it is gone
        self.route = 0  # GICv3: IROUTER's Aff2.Aff1.Aff0; GICv2: the ITARGETSR byte (KVM's union)
        self.mapped_by: VcpuGic | None = None  # who tied it to the physical interrupt below; written by mapped alone
        self.host_irq = 0  # which that is, or was last
        self.sw_resample = False  # the host cannot deactivate through the list register
        self.input_level: LevelReader | None = None  # None: ask the physical distributor
        self.owner: Hashable | None = None  # the device that alone may drive the line
        self.direct: Direct | None = None  # an LPI or SGI that hardware delivers: its latch is False then
        self.source = 0  # GICv2 SGI only: bitmap of requesting vCPUs
        self.active_source = 0  # GICv2 SGI only: CPUID of the active instance

    @property
    def hw(self) -> bool:
        """Whether it is tied to a physical interrupt."""
        return self.mapped_by is not None

    @property
    def hwintid(self) -> int:
        """The physical interrupt it is tied to now, or 0."""
        return self.host_irq if self.mapped_by is not None else 0

    def is_pending(self) -> bool:
        """Return the pending state the distributor reports: irq_is_pending()."""
        return self.pending_latch or (self.level and self.line_level)


def oracle(irq: Irq) -> "VcpuGic | None":
    """Return the vCPU on whose ap_list `irq` belongs now, or None: vgic_target_oracle().

        active  enabled  pending  target  distributor   belongs to
        yes     -        -        -       -             where it is queued, else its target
        no      yes      yes      a vCPU  enabled       its target
        (anything else)                                 nobody

    Group, priority mask and running priority are the CPU interface's business, not the oracle's.
    """
    if irq.active:
        queued_on = irq.queued_on
        return queued_on if queued_on is not None else irq.target
    if irq.enabled and (irq.pending_latch or (irq.level and irq.line_level)):
        target = irq.target
        if target is not None and target.dist.enabled:
            return target
    return None
