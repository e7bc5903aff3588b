"""Attribute groups that GICv2 and GICv3 devices share; a group is an object, a device a table of them.

Room:    below the GICv2 and GICv3 rooms' groups and the device.
Never:   lets a vCPU run while registers are accessed: one that is in the guest makes the call fail with EBUSY.
Holds:   a call that raises has changed nothing, except where a register says otherwise.
"""

from typing import Final, final

from vgic.dist import Dist
from vgic.errors import EBUSY, EINVAL, ENXIO, BusyError, ConfigError, VgicError
from vgic.ids import CTRL_INIT, MAX_RESERVED, MIN_NR_IRQS, NR_PRIVATE
from vgic.lifecycle import init
from vgic.mmio import Frame
from vgic.run import put
from vgic.vcpu import LOADED, PUT, VcpuGic

U32: Final = 0xFFFF_FFFF
_OFFSET: Final = U32


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
class NrIrqsGroup(AttrGroup):
    """KVM_DEV_ARM_VGIC_GRP_NR_IRQS: how many INTIDs there are, private ones included."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Return SPIs + 32; 32 before anything chose."""
        return dist.nr_irqs

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Choose once.  Errors: EINVAL unless a multiple of 32 from 64 to 1023; EBUSY when chosen."""
        value &= U32
        if not MIN_NR_IRQS <= value <= MAX_RESERVED or value % NR_PRIVATE:
            raise ConfigError(EINVAL, f"{value} interrupts: a multiple of 32 from 64 to 992 is possible")
        if dist.nr_spis:
            raise VgicError(EBUSY, f"the number of interrupts is {dist.nr_irqs} already")
        dist.nr_spis = value - NR_PRIVATE

    def check(self, dist: Dist, attr: int) -> None:
        """Accept every attribute number."""


class CtrlGroup(AttrGroup):
    """KVM_DEV_ARM_VGIC_GRP_CTRL: initialisation."""

    __slots__ = ()

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Initialise; again is no error.  Errors: ENXIO for anything else."""
        self.check(dist, attr)
        init(dist)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO."""
        if attr != CTRL_INIT:
            raise ConfigError(ENXIO, f"there is no control attribute {attr}")


def stop(dist: Dist) -> None:
    """Make every vCPU's saved state current: vgic_trylock_vcpus().  Errors: EBUSY while one is in the guest."""
    for vcpu in dist.vcpus:
        if vcpu.mode not in (PUT, LOADED):
            raise BusyError(f"vCPU {vcpu.index} is in the guest")
    for vcpu in dist.vcpus:
        put(vcpu)


class RegisterGroup(AttrGroup):
    """A group whose attributes name a vCPU and something of its state; `vcpu` says how."""

    __slots__ = ()

    @final
    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Read.  Errors: EINVAL for an unknown vCPU; EBUSY while one runs, or before a GICv3's init; the register's."""
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
        """Return the vCPU that the attribute names.  Errors: EINVAL."""
        raise NotImplementedError

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
        dist.guest.ensure_initialized(dist)


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
        self.frame(vcpu).user_write(vcpu, attr & _OFFSET, value & U32)

    @final
    def check(self, dist: Dist, attr: int) -> None:
        """Errors: EINVAL for an unknown vCPU; ENXIO for an offset with no register, by the SPIs there are now."""
        frame = self.frame(self.vcpu(dist, attr))
        if not frame.has(attr & _OFFSET):
            raise ConfigError(ENXIO, f"{frame.table.name} has no register at {attr & _OFFSET:#x}")
