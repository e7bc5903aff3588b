"""The attributes of a GICv2 device (KVM: vgic_v2_set_attr() and its like).

Room:    above the frames, below device.
"""

from typing import Final, final

from vgic.attrgroups import AttrGroup, CtrlGroup, FrameGroup, NrIrqsGroup
from vgic.dist import Dist
from vgic.errors import EINVAL, ENXIO, ConfigError
from vgic.ids import CPU_SIZE_V2, DIST_SIZE_V2, SIZE_4K, Addr, Group
from vgic.mmio import Frame
from vgic.ranges import check_new_base
from vgic.v2.cpuif import CpuFrame
from vgic.vcpu import VcpuGic


@final
class AddrGroupV2(AttrGroup):
    """KVM_DEV_ARM_VGIC_GRP_ADDR: where the frames lie: kvm_vgic_addr()."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Return an address, all ones where none is set.  Errors: ENXIO."""
        self.check(dist, attr)
        return dist.dist_base if attr == Addr.V2_DIST else dist.cpu_base

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Set an address, once.  Errors: ENXIO, EEXIST, EINVAL, E2BIG."""
        self.check(dist, attr)
        if attr == Addr.V2_DIST:
            check_new_base("distributor", dist.dist_base, value, DIST_SIZE_V2, SIZE_4K, dist.ipa_size)
            dist.dist_base = value
        else:
            check_new_base("CPU interface", dist.cpu_base, value, CPU_SIZE_V2, SIZE_4K, dist.ipa_size)
            dist.cpu_base = value

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO for another model's address."""
        if attr not in (Addr.V2_DIST, Addr.V2_CPU):
            raise ConfigError(ENXIO, f"a GICv2 has no address of type {attr}")


class ById(FrameGroup):
    """Registers a word at a time: the vCPU is named by its id in bits 39:32, the offset is bits 31:0."""

    __slots__ = ()

    @final
    def vcpu(self, dist: Dist, attr: int) -> VcpuGic:
        """Return the vCPU whose id the attribute names.  Errors: EINVAL."""
        vcpu_id = attr >> 32 & 0xFF
        vcpu = dist.by_id.get(vcpu_id)
        if vcpu is None:
            raise ConfigError(EINVAL, f"no vCPU has id {vcpu_id}")
        return vcpu


@final
class DistRegsGroup(ById):
    """KVM_DEV_ARM_VGIC_GRP_DIST_REGS: banked registers are the named vCPU's."""

    __slots__ = ()

    def frame(self, vcpu: VcpuGic) -> Frame:
        """Return the distributor."""
        frame = vcpu.dist.frame
        assert frame is not None, "the device exists, so its distributor does"
        return frame


@final
class CpuRegsGroup(ById):
    """KVM_DEV_ARM_VGIC_GRP_CPU_REGS."""

    __slots__ = ()

    def frame(self, vcpu: VcpuGic) -> Frame:
        """Return the view of GICC."""
        return CpuFrame(vcpu.dist)


GROUPS_V2: Final[dict[int, AttrGroup]] = {
    Group.ADDR: AddrGroupV2(),
    Group.DIST_REGS: DistRegsGroup(),
    Group.CPU_REGS: CpuRegsGroup(),
    Group.NR_IRQS: NrIrqsGroup(),
    Group.CTRL: CtrlGroup(),
}
