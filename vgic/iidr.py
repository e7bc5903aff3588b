"""GICD_IIDR, the same in GICv2 and GICv3 guests.

Room:    beside perirq.
Owns:    Dist.implementation_rev once user space chooses, and v2_groups_user_writable.
"""

from typing import Final, final

from vgic.errors import EINVAL, ConfigError
from vgic.ids import IIDR_IMPLEMENTER, IIDR_PRODUCT, IIDR_REV_SHIFT, MAX_REVISION, MIN_REVISION
from vgic.mmio import W32, Accessor, Frame
from vgic.vcpu import VcpuGic

_REVISION: Final = 0xF << IIDR_REV_SHIFT


@final
class Iidr(Accessor):
    """GICD_IIDR: user space may choose the revision of the implementation, and nothing else."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return product, revision and implementer."""
        return IIDR_PRODUCT | frame.dist.implementation_rev << IIDR_REV_SHIFT | IIDR_IMPLEMENTER

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Ignore the guest."""

    def user_write(self, frame: Frame, vcpu: VcpuGic, at: int, value: int) -> None:
        """Choose revision 2 or 3.  Errors: EINVAL when anything else differs, or for another revision."""
        if (value ^ self.read(frame, vcpu, at, W32)) & ~_REVISION:
            raise ConfigError(EINVAL, f"GICD_IIDR {value:#x}: only the revision can be chosen")
        revision = (value & _REVISION) >> IIDR_REV_SHIFT
        if not MIN_REVISION <= revision <= MAX_REVISION:
            raise ConfigError(EINVAL, f"GICD_IIDR revision {revision}: 2 and 3 exist")
        frame.dist.implementation_rev = revision
        frame.dist.v2_groups_user_writable = True  # read by GICv2's groups alone
