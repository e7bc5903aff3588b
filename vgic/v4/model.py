"""A GICv3 guest on a host with direct injection, as far as shared code must ask.

Room:    above the v4 rooms; lifecycle calls it.
"""

from typing import TYPE_CHECKING, Final, final

from hw.arch import HCR_EN
from vgic.ids import NR_SGIS
from vgic.lr import LrRules
from vgic.v3.dist import DistFrame
from vgic.v3.model import MODEL_V3, ModelV3
from vgic.v3.redist import RedistFrame
from vgic.v4.registers import GICD_V41, GICR_V41
from vgic.v4.vm import ItsVm
from vgic.v4.vsgi import configure_vsgis

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.host import Host
    from vgic.vcpu import VcpuGic


class ModelV4(ModelV3):
    """KVM_DEV_TYPE_ARM_VGIC_V3 with GICv4.0: vLPIs, for a VM with an ITS."""

    __slots__ = ()

    def start(self, dist: "Dist") -> None:
        """Give the vCPUs vPEs: vgic_v4_init().  Again is no error.  Errors: ENOMEM."""
        gic = dist.host.gic
        if dist.direct is None and gic is not None and (gic.has_v4_1 or dist.has_its):
            dist.direct = ItsVm(dist, gic)

    def stop(self, dist: "Dist") -> None:
        """Take everything back: vgic_v4_teardown()."""
        if dist.direct is not None:
            dist.direct.drop()
            dist.direct.teardown(dist)
            dist.direct = None

    def restored(self, dist: "Dist") -> None:
        """As at init."""
        if dist.initialized:
            self.start(dist)


@final
class ModelV41(ModelV4):
    """With GICv4.1: vLPIs, and SGIs for a guest that does without their active state."""

    __slots__ = ()

    def build(self, dist: "Dist") -> None:
        """Build the distributor."""
        dist.frame = DistFrame(dist, GICD_V41)

    def adopt(self, vcpu: "VcpuGic") -> None:
        """Build the redistributor; run the guest with the host's traps."""
        vcpu.redist = RedistFrame(vcpu, GICR_V41)
        vcpu.hcr = HCR_EN | vcpu.dist.host.trap_bits

    def restored(self, dist: "Dist") -> None:
        """As at init, and as at the first entry if that is past; SGIs go on waiting for the distributor's enable."""
        super().restored(dist)
        if dist.ready:
            configure_vsgis(dist)
        if isinstance(dist.direct, ItsVm) and not dist.enabled:
            sgis = [irq for vcpu in dist.vcpus for irq in vcpu.ap_list if irq.intid < NR_SGIS]
            dist.direct.returned = [irq for irq in sgis if irq.pending_latch]

    def map_resources(self, dist: "Dist") -> None:
        """As GICv3; what user space restored of nASSGIreq takes effect."""
        super().map_resources(dist)
        configure_vsgis(dist)


MODEL_V40: Final = ModelV4(LrRules())
MODEL_V41: Final = ModelV41(LrRules())


def gicv3_model(host: "Host") -> ModelV3:
    """Return the model of a GICv3 guest on that host."""
    if host.has_gicv4_1:
        return MODEL_V41
    return MODEL_V40 if host.has_gicv4 else MODEL_V3
