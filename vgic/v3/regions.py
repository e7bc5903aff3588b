"""Where redistributors lie: regions of guest physical space, and which vCPU gets which slot.

Room:    beside the redistributor table; used when regions are set and vCPUs created.
Owns:    Dist.regions, VcpuGic.rd_region, rd_slot, the redistributor frames' bases and their place on the bus.
Holds:   regions have indices 0, 1, 2, ... ; slots are filled in order and never given back.
         count 0 is the one legacy region, as long as there are vCPUs.
"""

from typing import TYPE_CHECKING, final

from vgic.dist import Dist
from vgic.errors import E2BIG, EEXIST, EINVAL, ConfigError
from vgic.ids import DIST_SIZE_V3, REDIST_SIZE, SIZE_64K, UNDEFINED_ADDR
from vgic.ranges import overlaps, wraps

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic


@final
class RedistRegion:
    """A run of redistributor frames (KVM: struct vgic_redist_region)."""

    __slots__ = ("base", "count", "index", "slots")

    def __init__(self, index: int, base: int, count: int) -> None:
        """Build an empty region of `count` frames (0: without limit) from guest physical address `base`."""
        self.index = index
        self.base = base
        self.count = count
        self.slots: list[VcpuGic] = []  # who got them, in order; a failed vCPU creation leaves its slot used

    def size(self, nr_vcpus: int) -> int:
        """Return the bytes it covers: a legacy region grows with the vCPUs."""
        return (self.count or nr_vcpus) * REDIST_SIZE

    def is_full(self) -> bool:
        """Whether no slot is free."""
        return self.count != 0 and len(self.slots) >= self.count


def is_last(vcpu: "VcpuGic") -> bool:
    """GICR_TYPER.Last: the guest's walk over frames ends here: vgic_mmio_vcpu_rdist_is_last()."""
    region = vcpu.rd_region
    if region is None or vcpu.rd_slot != len(region.slots) - 1:
        return False
    if region.count == 0 or vcpu.rd_slot != region.count - 1:
        return True
    end = region.base + region.count * REDIST_SIZE
    return not any(other.base == end and other.slots for other in vcpu.dist.regions)


def check_layout(dist: Dist) -> None:
    """Check the distributor and every region together: vgic_v3_check_base().  Errors: EINVAL."""
    base = dist.dist_base
    if base != UNDEFINED_ADDR and wraps(base, DIST_SIZE_V3):
        raise ConfigError(EINVAL, f"the distributor at {base:#x} wraps")
    for region in dist.regions:
        size = region.size(len(dist.vcpus))
        if region.base % SIZE_64K or region.base + size > dist.ipa_size:
            raise ConfigError(EINVAL, f"redistributor region {region.index} runs past the guest's {dist.ipa_size:#x}")
        if base != UNDEFINED_ADDR and overlaps(region.base, size, base, DIST_SIZE_V3):
            raise ConfigError(
                EINVAL,
                f"redistributors {region.base:#x}..{region.base + size:#x} overlap the distributor at {base:#x}",
            )


def place(vcpu: "VcpuGic") -> None:
    """Give `vcpu` the next free slot and put its frame on the bus: vgic_register_redist_iodev().

    No free slot is no error: it is placed when a region comes, or its first entry fails.
    Errors: EINVAL when the layout does not hold; ENOSPC from the bus.
    """
    dist = vcpu.dist
    frame = vcpu.redist
    if frame is None or frame.base != UNDEFINED_ADDR:
        return
    region = next((region for region in dist.regions if not region.is_full()), None)
    if region is None:
        return
    check_layout(dist)
    frame.base = region.base + len(region.slots) * REDIST_SIZE
    try:
        dist.bus.register(frame)
    except BaseException:
        frame.base = UNDEFINED_ADDR
        raise
    vcpu.rd_region = region
    vcpu.rd_slot = len(region.slots)
    region.slots.append(vcpu)


def unplace(vcpu: "VcpuGic") -> None:
    """Take the frame of `vcpu` off the bus; its slot stays used: vgic_unregister_redist_iodev()."""
    frame = vcpu.redist
    if frame is not None and frame.base != UNDEFINED_ADDR:
        vcpu.dist.bus.unregister(frame)
        frame.base = UNDEFINED_ADDR
        vcpu.rd_region = None


def add_region(dist: Dist, index: int, base: int, count: int) -> None:
    """Add a region and place the vCPUs that wait for one: vgic_v3_set_redist_base().

    index, count  from KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION; both 0 for KVM_VGIC_V3_ADDR_TYPE_REDIST.
    Errors, in KVM's order: EINVAL for a range that wraps, an index out of sequence, mixed kinds, an overlap or
    a misaligned base; EEXIST for a second legacy region; E2BIG past the guest's address space.  The region and
    the placements it brought are undone.
    """
    region = RedistRegion(index, base, count)
    _check_new(dist, region)
    dist.regions.append(region)
    try:
        for vcpu in dist.vcpus:
            place(vcpu)
    except BaseException:
        for vcpu in region.slots:
            unplace(vcpu)
        dist.regions.remove(region)
        raise


def _check_new(dist: Dist, region: RedistRegion) -> None:
    """Check a region against what is there: vgic_v3_alloc_redist_region()."""
    nr_vcpus = len(dist.vcpus)
    base, index = region.base, region.index
    size = region.size(nr_vcpus)
    what = f"redistributor region {index} at {base:#x}"
    if wraps(base, size):
        raise ConfigError(EINVAL, f"{what} wraps")
    if not dist.regions:
        if index != 0:
            raise ConfigError(EINVAL, f"{what}: the first region has index 0")
    else:
        last = dist.regions[-1]
        if region.count == 0:
            if last.count == 0:
                raise ConfigError(EEXIST, f"{what}: the redistributors lie at {last.base:#x} already")
            raise ConfigError(EINVAL, f"{what}: regions with a count exist, it needs one too")
        if index != last.index + 1:
            raise ConfigError(EINVAL, f"{what}: the next index is {last.index + 1}")
    if region.count == 0 and dist.dist_base != UNDEFINED_ADDR and overlaps(base, size, dist.dist_base, DIST_SIZE_V3):
        raise ConfigError(EINVAL, f"{what} overlaps the distributor at {dist.dist_base:#x}")
    for other in dist.regions:
        if overlaps(base, size, other.base, other.size(nr_vcpus)):
            raise ConfigError(EINVAL, f"{what} overlaps region {other.index} at {other.base:#x}")
    if base % SIZE_64K:
        raise ConfigError(EINVAL, f"{what} is not 64 KiB aligned")
    if base >= dist.ipa_size or base + size > dist.ipa_size:
        raise ConfigError(E2BIG, f"{what} runs past the guest's {dist.ipa_size:#x}")
