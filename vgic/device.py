"""The VGIC device an embedder configures: attributes by group and number, as KVM_{SET,GET,HAS}_DEVICE_ATTR.

Room:    above the frames, below vm; a group is a row.
Never:   lets a vCPU run while registers are accessed: one that is in the guest makes the call fail with EBUSY.
Holds:   a call that raises has changed nothing, except where a register says otherwise.
"""

from typing import Final, final

from vgic.dist import Dist
from vgic.errors import (
    E2BIG,
    EBUSY,
    EEXIST,
    EINVAL,
    ENOENT,
    ENXIO,
    BusyError,
    ConfigError,
    DeadVmError,
    VgicError,
)
from vgic.ids import (
    CTRL_INIT,
    CTRL_SAVE_PENDING_TABLES,
    DIST_SIZE_V3,
    MAX_RESERVED,
    MIN_NR_IRQS,
    NR_PRIVATE,
    SIZE_64K,
    UNDEFINED_ADDR,
    Addr,
    Group,
)
from vgic.irq import Irq
from vgic.lifecycle import init
from vgic.lock import Lock
from vgic.mmio import Frame
from vgic.perirq import line_levels, set_line_levels
from vgic.run import put
from vgic.v3 import attrs
from vgic.v3.regions import add_region
from vgic.vcpu import LOADED, PUT, VcpuGic

_U32: Final = 0xFFFF_FFFF
_ADDRESS_SPACE: Final = 1 << 64  # a range that ends here wraps: KVM computes its end in 64 bits
_OFFSET: Final = _U32
_REGION_INDEX: Final = 0xFF  # KVM keeps the 12-bit index in 8 bits
_REGION_BASE: Final = 0xF_FFFF_FFFF << 16
_INTID_MASK: Final = 0x3FF


class AttrGroup:
    """One attribute group.  Values are unsigned; 32-bit attributes look at the low half alone."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Return the attribute.  `value` is what the caller's buffer held.  Errors: ENXIO unless overridden."""
        raise ConfigError(ENXIO, f"attribute {attr:#x} cannot be read")

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Set the attribute.  Errors: ENXIO unless overridden."""
        raise ConfigError(ENXIO, f"attribute {attr:#x} cannot be set")

    def check(self, dist: Dist, attr: int) -> None:
        """Answer HAS_ATTR: return, or raise.  Errors: ENXIO unless overridden."""
        raise ConfigError(ENXIO, f"there is no attribute {attr:#x}")


@final
class AddrGroup(AttrGroup):
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
            self._set_dist(dist, value)
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

    def _set_dist(self, dist: Dist, base: int) -> None:
        """vgic_check_iorange(); overlaps are found when redistributors are placed or the first vCPU enters."""
        if dist.dist_base != UNDEFINED_ADDR:
            raise VgicError(EEXIST, f"the distributor lies at {dist.dist_base:#x} already")
        if base % SIZE_64K:
            raise ConfigError(EINVAL, f"distributor base {base:#x} is not 64 KiB aligned")
        if base + DIST_SIZE_V3 >= _ADDRESS_SPACE:
            raise ConfigError(EINVAL, f"the distributor at {base:#x} wraps")
        if base >= dist.ipa_size or base + DIST_SIZE_V3 > dist.ipa_size:
            raise ConfigError(E2BIG, f"the distributor at {base:#x} runs past the guest's {dist.ipa_size:#x}")
        dist.dist_base = base


@final
class NrIrqsGroup(AttrGroup):
    """KVM_DEV_ARM_VGIC_GRP_NR_IRQS: how many INTIDs there are, private ones included."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Return SPIs + 32; 32 before anything chose."""
        return dist.nr_irqs

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Choose once.  Errors: EINVAL unless a multiple of 32 from 64 to 1023; EBUSY when chosen."""
        value &= _U32
        if not MIN_NR_IRQS <= value <= MAX_RESERVED or value % NR_PRIVATE:
            raise ConfigError(EINVAL, f"{value} interrupts: a multiple of 32 from 64 to 992 is possible")
        if dist.nr_spis:
            raise VgicError(EBUSY, f"the number of interrupts is {dist.nr_irqs} already")
        dist.nr_spis = value - NR_PRIVATE

    def check(self, dist: Dist, attr: int) -> None:
        """Accept every attribute number."""


@final
class CtrlGroup(AttrGroup):
    """KVM_DEV_ARM_VGIC_GRP_CTRL: initialisation, and the saving of LPI pending tables."""

    __slots__ = ()

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Initialise (again is no error), or save: without an ITS there are no LPIs, so nothing is written.

        Errors: ENXIO for anything else; when saving, EBUSY while a vCPU is in the guest, ENXIO before init.
        """
        self.check(dist, attr)
        if attr == CTRL_INIT:
            init(dist)
            return
        stop(dist)
        if not dist.initialized:
            raise ConfigError(ENXIO, "the VGIC is not initialised: it has no pending tables to save")

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO."""
        if attr not in (CTRL_INIT, CTRL_SAVE_PENDING_TABLES):
            raise ConfigError(ENXIO, f"there is no control attribute {attr}")


def stop(dist: Dist) -> None:
    """Make every vCPU's saved state current: vgic_trylock_vcpus().  Errors: EBUSY while one is in the guest."""
    for vcpu in dist.vcpus:
        if vcpu.mode not in (PUT, LOADED):
            raise BusyError(f"vCPU {vcpu.index} is in the guest")
    for vcpu in dist.vcpus:
        put(vcpu)


class RegisterGroup(AttrGroup):
    """A group whose attributes name a vCPU by affinity (bits 63:32) and something of its state (31:0)."""

    __slots__ = ()

    @final
    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Read.  Errors: EINVAL for an unknown vCPU; EBUSY while one runs, or before init; the register's."""
        vcpu = self.vcpu(dist, attr)
        self._stop(dist)
        return self.read(vcpu, attr)

    @final
    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Write.  Errors: as `get`."""
        vcpu = self.vcpu(dist, attr)
        self._stop(dist)
        self.write(vcpu, attr, value)

    def vcpu(self, dist: Dist, attr: int) -> VcpuGic:
        """Return the vCPU whose affinity the attribute names.  Errors: EINVAL."""
        wire = attr >> 32
        # Aff3.Aff2.Aff1.Aff0, as packed in VcpuGic.mpidr
        vcpu = dist.by_aff.get(wire)
        if vcpu is None:
            raise ConfigError(EINVAL, f"no vCPU has affinity {wire:#x}")
        return vcpu

    def read(self, vcpu: VcpuGic, attr: int) -> int:
        """Read, with every vCPU stopped."""
        raise NotImplementedError

    def write(self, vcpu: VcpuGic, attr: int, value: int) -> None:
        """Write, with every vCPU stopped."""
        raise NotImplementedError

    @staticmethod
    def _stop(dist: Dist) -> None:
        """Make every vCPU's saved state current.  Errors: EBUSY, also before init."""
        stop(dist)
        if not dist.initialized:
            raise BusyError("the VGIC is not initialised")


class FrameGroup(RegisterGroup):
    """Registers of a frame, a word at a time; the offset is bits 31:0."""

    __slots__ = ()

    def frame(self, vcpu: VcpuGic) -> Frame:
        """Return the frame the group is about."""
        raise NotImplementedError

    @final
    def read(self, vcpu: VcpuGic, attr: int) -> int:
        """Return the word; 0 where there is no register."""
        return self.frame(vcpu).user_read(vcpu, attr & _OFFSET)

    @final
    def write(self, vcpu: VcpuGic, attr: int, value: int) -> None:
        """Store the word; ignored where there is no register."""
        self.frame(vcpu).user_write(vcpu, attr & _OFFSET, value & _U32)

    @final
    def check(self, dist: Dist, attr: int) -> None:
        """Errors: EINVAL for an unknown vCPU; ENXIO for an offset with no register, by the SPIs there are now."""
        frame = self.frame(self.vcpu(dist, attr))
        if not frame.has(attr & _OFFSET):
            raise ConfigError(ENXIO, f"{frame.table.name} has no register at {attr & _OFFSET:#x}")


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

    def frame(self, vcpu: VcpuGic) -> Frame:
        """Return the vCPU's redistributor, placed or not."""
        frame = vcpu.redist
        assert frame is not None, "the device exists, so every vCPU has a redistributor"
        return frame


@final
class CpuSysregsGroup(RegisterGroup):
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
class LevelInfoGroup(RegisterGroup):
    """KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO: the wires of 32 interrupts from the INTID in bits 9:0."""

    __slots__ = ()

    def vcpu(self, dist: Dist, attr: int) -> VcpuGic:
        """Return the vCPU named, and check the rest of the attribute later, as KVM does."""
        return RegisterGroup.vcpu(self, dist, attr)

    def read(self, vcpu: VcpuGic, attr: int) -> int:
        """Return the wires; 0 for edge interrupts.  Errors: EINVAL."""
        return line_levels(self._irqs(vcpu, attr))

    def write(self, vcpu: VcpuGic, attr: int, value: int) -> None:
        """Set the wires.  Errors: EINVAL."""
        set_line_levels(self._irqs(vcpu, attr), value & _U32)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO for another kind of information; neither vCPU nor INTID is looked at."""
        if (attr & _U32) >> 10:
            raise ConfigError(ENXIO, f"LEVEL_INFO knows line levels alone, not kind {(attr & _U32) >> 10}")

    @staticmethod
    def _irqs(vcpu: VcpuGic, attr: int) -> list[Irq]:
        first = attr & _INTID_MASK
        if (attr & _U32) >> 10 or first % 32:
            raise ConfigError(EINVAL, f"LEVEL_INFO {attr & _U32:#x}: kind 0, and an INTID that is a multiple of 32")
        return vcpu.private if first == 0 else vcpu.dist.spis[first - NR_PRIVATE : first]


_NO_GROUP: Final = AttrGroup()

GROUPS_V3: Final[dict[int, AttrGroup]] = {
    Group.ADDR: AddrGroup(),
    Group.DIST_REGS: DistRegsGroup(),
    Group.NR_IRQS: NrIrqsGroup(),
    Group.CTRL: CtrlGroup(),
    Group.REDIST_REGS: RedistRegsGroup(),
    Group.CPU_SYSREGS: CpuSysregsGroup(),
    Group.LEVEL_INFO: LevelInfoGroup(),
}


@final
class Device:
    """The handle KVM_CREATE_DEVICE returns for a VGIC."""

    __slots__ = ("_dist", "_groups", "_lock")

    def __init__(self, dist: Dist, groups: dict[int, AttrGroup], lock: Lock) -> None:
        """Build the handle; embedders get one from `Vgic.create_device`."""
        self._dist = dist
        self._groups = groups
        self._lock = lock

    def set_attr(self, group: int, attr: int, value: int = 0) -> None:
        """KVM_SET_DEVICE_ATTR.  `value` is unsigned, up to 64 bits.

        Errors: ENXIO for an unknown group or attribute; EINVAL for a value that does not fit; the attribute's.
        """
        self._check_value(value)
        with self._lock:
            self._group(group).set(self._dist, attr, value)

    def get_attr(self, group: int, attr: int, value: int = 0) -> int:
        """KVM_GET_DEVICE_ATTR: return the value.  `value` is what the buffer holds before the call.

        Errors: as `set_attr`.
        """
        self._check_value(value)
        with self._lock:
            return self._group(group).get(self._dist, attr, value)

    def check_attr(self, group: int, attr: int) -> None:
        """KVM_HAS_DEVICE_ATTR: return if the attribute exists.  Errors: ENXIO, EINVAL."""
        with self._lock:
            self._group(group).check(self._dist, attr)

    def has_attr(self, group: int, attr: int) -> bool:
        """Whether `check_attr` would return."""
        try:
            self.check_attr(group, attr)
        except ConfigError:
            return False
        return True

    def _group(self, group: int) -> AttrGroup:
        if self._dist.dead:
            raise DeadVmError
        return self._groups.get(group, _NO_GROUP)

    @staticmethod
    def _check_value(value: int) -> None:
        if not 0 <= value < _ADDRESS_SPACE:
            raise ConfigError(EINVAL, f"attribute value {value:#x} is not an unsigned 64-bit number")
