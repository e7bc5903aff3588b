"""The attributes of a GICv3 device (KVM: vgic_v3_set_attr() and its like).

Room:    above the frames and the saved CPU interface, below device.
"""

from typing import Final, final

from vgic.attrgroups import U32, AttrGroup, CtrlGroup, FrameGroup, NrIrqsGroup, RegisterGroup, stop
from vgic.dist import Dist
from vgic.errors import EINVAL, ENOENT, ENXIO, ConfigError
from vgic.ids import CTRL_SAVE_PENDING_TABLES, DIST_SIZE_V3, NR_PRIVATE, SIZE_64K, UNDEFINED_ADDR, Addr, Group
from vgic.irq import Irq
from vgic.mmio import Frame
from vgic.perirq import line_levels, set_line_levels
from vgic.ranges import check_new_base
from vgic.v3 import attrs
from vgic.v3.lpi import save_pending_tables
from vgic.v3.regions import add_region
from vgic.vcpu import VcpuGic

_REGION_INDEX: Final = 0xFF  # KVM keeps the 12-bit index in 8 bits
_REGION_BASE: Final = 0xF_FFFF_FFFF << 16
_INTID_MASK: Final = 0x3FF


@final
class AddrGroupV3(AttrGroup):
    """KVM_DEV_ARM_VGIC_GRP_ADDR: where the frames lie: kvm_vgic_addr()."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Return an address, all ones where none is set.  Errors: ENXIO; ENOENT for an unknown region."""
        if attr == Addr.V3_DIST:
            return dist.dist_base
        if attr == Addr.V3_REDIST:
            return dist.regions[0].base if dist.regions else UNDEFINED_ADDR
        if attr == Addr.V3_REDIST_REGION:
            index = value & _REGION_INDEX
            if index >= len(dist.regions):
                raise ConfigError(ENOENT, f"there is no redistributor region {index}")
            region = dist.regions[index]
            return index | region.base | region.count << 52
        raise ConfigError(ENXIO, f"a GICv3 has no address of type {attr}")

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Set an address.  Errors: ENXIO, EEXIST, EINVAL, E2BIG; the regions' own."""
        if attr == Addr.V3_DIST:
            check_new_base("distributor", dist.dist_base, value, DIST_SIZE_V3, SIZE_64K, dist.ipa_size)
            dist.dist_base = value
        elif attr == Addr.V3_REDIST:
            add_region(dist, 0, value, 0)
        elif attr == Addr.V3_REDIST_REGION:
            count = value >> 52
            flags = value >> 12 & 0xF
            if not count or flags:
                raise ConfigError(EINVAL, f"redistributor region {value:#x}: count {count}, flags {flags:#x}")
            add_region(dist, value & _REGION_INDEX, value & _REGION_BASE, count)
        else:
            raise ConfigError(ENXIO, f"a GICv3 has no address of type {attr}")

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO for another model's address."""
        if attr not in (Addr.V3_DIST, Addr.V3_REDIST, Addr.V3_REDIST_REGION):
            raise ConfigError(ENXIO, f"a GICv3 has no address of type {attr}")


@final
class CtrlGroupV3(CtrlGroup):
    """KVM_DEV_ARM_VGIC_GRP_CTRL: initialisation, and the saving of LPI pending tables."""

    __slots__ = ()

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Initialise (again is no error), or bring the LPI pending tables up to date.

        Errors: ENXIO for anything else; when saving, EBUSY while a vCPU is in the guest, ENXIO before init.
        """
        if attr != CTRL_SAVE_PENDING_TABLES:
            CtrlGroup.set(self, dist, attr, value)
            return
        stop(dist)
        save_pending_tables(dist)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO."""
        if attr != CTRL_SAVE_PENDING_TABLES:
            CtrlGroup.check(self, dist, attr)


def vcpu_by_affinity(dist: Dist, attr: int) -> VcpuGic:
    """Return the vCPU whose affinity stands in bits 63:32 of an attribute.  Errors: EINVAL."""
    vcpu = dist.by_aff.get(attr >> 32)  # Aff3.Aff2.Aff1.Aff0, as packed in VcpuGic.mpidr
    if vcpu is None:
        raise ConfigError(EINVAL, f"no vCPU has affinity {attr >> 32:#x}")
    return vcpu


class ByAffinity(RegisterGroup):
    """The vCPU is named by its affinity."""

    __slots__ = ()

    def vcpu(self, dist: Dist, attr: int) -> VcpuGic:
        """Return the vCPU whose affinity the attribute names.  Errors: EINVAL."""
        return vcpu_by_affinity(dist, attr)


@final
class DistRegsGroup(FrameGroup):
    """KVM_DEV_ARM_VGIC_GRP_DIST_REGS: the affinity is ignored, but some vCPU must exist."""

    __slots__ = ()

    def vcpu(self, dist: Dist, attr: int) -> VcpuGic:
        """Return vCPU 0.  Errors: EINVAL."""
        if not dist.vcpus:
            raise ConfigError(EINVAL, "the VM has no vCPU")
        return dist.vcpus[0]

    def frame(self, vcpu: VcpuGic) -> Frame:
        """Return the distributor."""
        frame = vcpu.dist.frame
        assert frame is not None, "the device exists, so its distributor does"
        return frame


@final
class RedistRegsGroup(FrameGroup):
    """KVM_DEV_ARM_VGIC_GRP_REDIST_REGS: RD_base at offset 0, SGI_base at 0x10000."""

    __slots__ = ()

    def vcpu(self, dist: Dist, attr: int) -> VcpuGic:
        """Return the vCPU whose affinity the attribute names.  Errors: EINVAL."""
        return vcpu_by_affinity(dist, attr)

    def frame(self, vcpu: VcpuGic) -> Frame:
        """Return the vCPU's redistributor, placed or not."""
        frame = vcpu.redist
        assert frame is not None, "the device exists, so every vCPU has a redistributor"
        return frame


@final
class CpuSysregsGroup(ByAffinity):
    """KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS: the encoding is bits 15:0, values are 64-bit."""

    __slots__ = ()

    def read(self, vcpu: VcpuGic, attr: int) -> int:
        """Return the register.  Errors: ENOENT, EINVAL."""
        return attrs.find(attr & 0xFFFF).get(vcpu)

    def write(self, vcpu: VcpuGic, attr: int, value: int) -> None:
        """Set the register.  Errors: ENOENT, EINVAL."""
        attrs.find(attr & 0xFFFF).set(vcpu, value)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: EINVAL for an unknown vCPU; ENXIO."""
        self.vcpu(dist, attr)
        attrs.check(attr & 0xFFFF)


@final
class LevelInfoGroup(ByAffinity):
    """KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO: the wires of 32 interrupts from the INTID in bits 9:0."""

    __slots__ = ()

    def read(self, vcpu: VcpuGic, attr: int) -> int:
        """Return the wires; 0 for edge interrupts.  Errors: EINVAL."""
        return line_levels(self._irqs(vcpu, attr))

    def write(self, vcpu: VcpuGic, attr: int, value: int) -> None:
        """Set the wires.  Errors: EINVAL."""
        set_line_levels(self._irqs(vcpu, attr), value & U32)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO for another kind of information; neither vCPU nor INTID is looked at."""
        if (attr & U32) >> 10:
            raise ConfigError(ENXIO, f"LEVEL_INFO knows line levels alone, not kind {(attr & U32) >> 10}")

    @staticmethod
    def _irqs(vcpu: VcpuGic, attr: int) -> list[Irq]:
        first = attr & _INTID_MASK
        if (attr & U32) >> 10 or first % 32:
            raise ConfigError(EINVAL, f"LEVEL_INFO {attr & U32:#x}: kind 0, and an INTID that is a multiple of 32")
        return vcpu.private if first == 0 else vcpu.dist.spis[first - NR_PRIVATE : first]


GROUPS_V3: Final[dict[int, AttrGroup]] = {
    Group.ADDR: AddrGroupV3(),
    Group.DIST_REGS: DistRegsGroup(),
    Group.NR_IRQS: NrIrqsGroup(),
    Group.CTRL: CtrlGroupV3(),
    Group.REDIST_REGS: RedistRegsGroup(),
    Group.CPU_SYSREGS: CpuSysregsGroup(),
    Group.LEVEL_INFO: LevelInfoGroup(),
}
