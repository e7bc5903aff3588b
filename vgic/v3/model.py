"""A GICv3 guest, as far as shared code must ask.

Room:    above the frames; lifecycle calls it.
"""

from typing import Final

from hw.arch import HCR_EN
from vgic.dist import Dist
from vgic.errors import EBUSY, ENXIO, ConfigError, VgicError
from vgic.ids import UNDEFINED_ADDR
from vgic.lr import LrRules
from vgic.model import Model
from vgic.v3.baser import RESET
from vgic.v3.dist import DistFrame
from vgic.v3.redist import GICR, RedistFrame
from vgic.v3.regions import check_layout, place, unplace
from vgic.vcpu import VcpuGic


class ModelV3(Model):
    """KVM_DEV_TYPE_ARM_VGIC_V3."""

    __slots__ = ()

    def build(self, dist: Dist) -> None:
        """Build the distributor."""
        dist.frame = DistFrame(dist)

    def adopt(self, vcpu: VcpuGic) -> None:
        """Build the redistributor; run the guest with the host's traps."""
        vcpu.redist = RedistFrame(vcpu, GICR)
        vcpu.hcr = HCR_EN | vcpu.dist.host.trap_bits

    def place(self, vcpu: VcpuGic) -> None:
        """Give the redistributor a slot, if a region has one.  Errors: EINVAL, ENOSPC."""
        place(vcpu)

    def unplace(self, vcpu: VcpuGic) -> None:
        """Take the redistributor off the bus; its slot stays used."""
        unplace(vcpu)

    def reset_vcpu(self, vcpu: VcpuGic) -> None:
        """Group 1; KVM keeps the owner's affinity where SPIs have theirs: vgic_v3_enable()."""
        for irq in vcpu.private:
            irq.route = vcpu.mpidr
        vcpu.pendbaser = RESET

    def map_resources(self, dist: Dist) -> None:
        """Check the layout and put the distributor on the bus: vgic_v3_map_resources().

        Errors: ENXIO for a frame without an address; EINVAL for frames that overlap or wrap; EBUSY without init;
        ENOSPC from the bus.
        """
        for vcpu in dist.vcpus:
            if vcpu.redist is None or vcpu.redist.base == UNDEFINED_ADDR:
                raise ConfigError(ENXIO, f"vCPU {vcpu.index} has no redistributor: no region has a slot for it")
        if dist.dist_base == UNDEFINED_ADDR:
            raise ConfigError(ENXIO, "the distributor has no address")
        check_layout(dist)
        if not dist.initialized:
            raise VgicError(EBUSY, "the VGIC is not initialised")
        assert dist.frame is not None, "created with the model"
        dist.frame.base = dist.dist_base
        dist.bus.register(dist.frame)


MODEL_V3: Final = ModelV3(LrRules())
