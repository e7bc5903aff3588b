"""A GICv2 guest, as far as shared code must ask.

Room:    above the frames; lifecycle calls it.
"""

from typing import Final, final

from hw.arch import HCR_EN
from vgic.dist import Dist
from vgic.errors import EINVAL, ENXIO, ConfigError
from vgic.host import NO_GIC_TRAPS
from vgic.ids import CPU_SIZE_V2, DIST_SIZE_V2, UNDEFINED_ADDR
from vgic.lifecycle import init
from vgic.model import Model
from vgic.ranges import overlaps, wraps
from vgic.v2.dist import DistFrame
from vgic.v2.lr import LrRulesV2
from vgic.v2.window import CpuWindow, TrappedWindow
from vgic.vcpu import VcpuGic


@final
class ModelV2(Model):
    """KVM_DEV_TYPE_ARM_VGIC_V2, and what KVM_CREATE_IRQCHIP creates."""

    __slots__ = ()

    def build(self, dist: Dist) -> None:
        """Build the distributor."""
        dist.frame = DistFrame(dist)

    def adopt(self, vcpu: VcpuGic) -> None:
        """Run the guest without system registers, on a host that has them."""
        gicv3 = vcpu.dist.host.is_gicv3
        vcpu.sre = not gicv3
        vcpu.hcr = HCR_EN | (NO_GIC_TRAPS if gicv3 else 0)

    def reset_vcpu(self, vcpu: VcpuGic) -> None:
        """Group 0; each private interrupt targets its own CPU."""
        for irq in vcpu.private:
            irq.group = 0
            irq.route = 1 << vcpu.index

    def reset_spis(self, dist: Dist) -> None:
        """Group 0."""
        for irq in dist.spis:
            irq.group = 0

    def ensure_initialized(self, dist: Dist) -> None:
        """Initialise on the spot, which freezes the number of interrupts."""
        init(dist)

    def map_resources(self, dist: Dist) -> None:
        """Check the layout, put the distributor on the bus and GICV before the guest: vgic_v2_map_resources().

        Errors: ENXIO for a frame without an address; EINVAL for frames that overlap or wrap; ENOSPC from the bus.
        """
        dist_base, cpu_base = dist.dist_base, dist.cpu_base
        if UNDEFINED_ADDR in (dist_base, cpu_base):
            raise ConfigError(ENXIO, "the distributor or the CPU interface has no address")
        if wraps(dist_base, DIST_SIZE_V2) or wraps(cpu_base, CPU_SIZE_V2):
            raise ConfigError(EINVAL, f"the distributor at {dist_base:#x} or the CPU interface at {cpu_base:#x} wraps")
        if overlaps(dist_base, DIST_SIZE_V2, cpu_base, CPU_SIZE_V2):
            raise ConfigError(
                EINVAL, f"the distributor at {dist_base:#x} and the CPU interface at {cpu_base:#x} overlap"
            )
        init(dist)
        assert dist.frame is not None, "created with the model"
        dist.frame.base = dist_base
        dist.bus.register(dist.frame)
        for vcpu in dist.vcpus:
            vcpu.window = (TrappedWindow if dist.host.gicv_trap else CpuWindow)(cpu_base)


MODEL_V2: Final = ModelV2(LrRulesV2())
