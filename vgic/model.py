"""What depends on the GIC version a guest sees, chosen once, when the VGIC is created.

Room:    between the state and lifecycle; the GICv2 and GICv3 rooms each have one.
Holds:   shared code asks this object, never "which version am I?".

The base class is a VM without an in-kernel interrupt controller.
"""

from typing import TYPE_CHECKING, Final

from vgic.errors import EBUSY, VgicError
from vgic.host import NO_GIC_TRAPS
from vgic.lr import LrRules

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.vcpu import VcpuGic


class Model:
    """One GIC version, or none."""

    __slots__ = ("lr_rules",)

    def __init__(self, lr_rules: LrRules) -> None:
        """Say how its interrupts use list registers."""
        self.lr_rules = lr_rules

    def build(self, dist: "Dist") -> None:
        """Give the VM the frames of its GIC, at no address yet."""

    def adopt(self, vcpu: "VcpuGic") -> None:
        """Prepare a vCPU; its private interrupts may come later."""
        vcpu.hcr = NO_GIC_TRAPS

    def place(self, vcpu: "VcpuGic") -> None:
        """Give a new vCPU the frame it needs of its own.  Errors: EINVAL, ENOSPC."""

    def unplace(self, vcpu: "VcpuGic") -> None:
        """Take that frame away again."""

    def reset_vcpu(self, vcpu: "VcpuGic") -> None:
        """Bring the private interrupts and the CPU interface of `vcpu` to their reset state, at init."""

    def reset_spis(self, dist: "Dist") -> None:
        """Bring the SPIs, just allocated, to their reset state, at init."""

    def start(self, dist: "Dist") -> None:
        """Take up direct injection, if host and VM may: at init, and with each new ITS.  Errors: ENOMEM."""

    def stop(self, dist: "Dist") -> None:
        """Give up direct injection."""

    def restored(self, dist: "Dist") -> None:
        """A snapshot was applied: take up direct injection as the guest had it.  `HostGic.has_room` was asked."""

    def ensure_initialized(self, dist: "Dist") -> None:
        """Initialise if this model does so by itself: vgic_lazy_init().  Errors: EBUSY if it does not."""
        if not dist.initialized:
            raise VgicError(EBUSY, "the VGIC is not initialised")

    def map_resources(self, dist: "Dist") -> None:
        """Check what a guest needs and put the frames where it finds them, at the first entry."""


NO_VGIC: Final = Model(LrRules())
