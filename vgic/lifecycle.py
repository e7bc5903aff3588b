"""From nothing to a running interrupt controller: creation, initialisation, first entry.

Room:    below device and vm, which call it; above the frames, which it builds.
Owns:    Dist.model, initialized, ready, dead, nr_spis' default, and the reset state of a vCPU's CPU interface.
Holds:   dead is for ever.
"""

from hw.arch import HCR_EN
from vgic.dist import Dist
from vgic.errors import E2BIG, EBUSY, EEXIST, EINVAL, ENODEV, ENXIO, BusyError, ConfigError, VgicError
from vgic.host import NO_GIC_TRAPS
from vgic.ids import (
    DEFAULT_NR_SPIS,
    FIRST_SPI,
    MAX_REVISION,
    MAX_VCPUS_V3,
    UNDEFINED_ADDR,
    V3,
    DeviceType,
)
from vgic.irq import Irq
from vgic.v3.dist import DistFrame
from vgic.v3.redist import PENDBASER_RESET, RedistFrame
from vgic.v3.regions import check_layout, place
from vgic.vcpu import LOADED, PUT, VcpuGic


def create_vgic(dist: Dist, model: DeviceType) -> None:
    """Give the VM an in-kernel irqchip: kvm_vgic_create().

    Errors: ENODEV for a model this host cannot give a guest; EBUSY while a vCPU is in the guest or when one
    has run; EEXIST for a second one; E2BIG for more vCPUs than the model has room for.
    """
    if model is not V3:
        raise VgicError(ENODEV, f"this host gives its guests no {model.name}")
    for vcpu in dist.vcpus:
        if vcpu.mode not in (PUT, LOADED):
            raise BusyError(f"vCPU {vcpu.index} is in the guest")
    if dist.model is not None:
        raise VgicError(EEXIST, f"the VM has a {dist.model.name} already")
    for vcpu in dist.vcpus:
        if vcpu.has_run:
            raise VgicError(EBUSY, f"vCPU {vcpu.index} has run without an interrupt controller")
    dist.max_vcpus = MAX_VCPUS_V3  # as in KVM, also when the check below fails
    if len(dist.vcpus) > MAX_VCPUS_V3:
        raise VgicError(E2BIG, f"{len(dist.vcpus)} vCPUs: a GICv3 serves {MAX_VCPUS_V3}")
    dist.model = model
    dist.frame = DistFrame(dist)
    for vcpu in dist.vcpus:
        adopt(vcpu)


def adopt(vcpu: VcpuGic) -> None:
    """Prepare a vCPU of a VM that has a VGIC; its private interrupts may come later."""
    vcpu.redist = RedistFrame(vcpu)
    vcpu.hcr = HCR_EN | vcpu.dist.host.trap_bits


def add_vcpu(vcpu: VcpuGic) -> None:
    """The VGIC's part of vCPU creation: kvm_vgic_vcpu_init().

    Errors: EINVAL or ENOSPC when its redistributor cannot lie where it would.
    """
    dist = vcpu.dist
    if dist.model is None:
        vcpu.hcr = NO_GIC_TRAPS
        return
    adopt(vcpu)
    vcpu.allocate_private()
    place(vcpu)


def init(dist: Dist) -> None:
    """Freeze the number of interrupts and bring everything to its reset state: vgic_init().  Again is no error."""
    if dist.initialized:
        return
    host = dist.host
    if not dist.nr_spis:
        dist.nr_spis = DEFAULT_NR_SPIS
    first_vcpu = dist.vcpus[0] if dist.vcpus else None
    # SPIs reset to edge: KVM leaves their trigger at zero.
    dist.spis = [Irq(intid, False, False, first_vcpu) for intid in range(FIRST_SPI, dist.nr_irqs)]
    for vcpu in dist.vcpus:
        vcpu.allocate_private()
        for irq in vcpu.private:
            irq.route = vcpu.mpidr
        vcpu.vmcr = 0
        vcpu.nr_lr = host.nr_lr
        vcpu.pri_bits = host.pri_bits
        vcpu.id_bits_code = host.id_bits_code
        vcpu.pendbaser = PENDBASER_RESET
    if not dist.implementation_rev:
        dist.implementation_rev = MAX_REVISION
    dist.initialized = True


def map_resources(dist: Dist) -> None:
    """Check everything a guest needs and put the distributor on the bus: vgic_v3_map_resources().

    Runs at the first entry of any vCPU.  Errors, which kill the VM: ENXIO for a frame without an address;
    EINVAL for frames that overlap or wrap; EBUSY without init; ENOSPC from the bus.
    """
    frame = dist.frame
    if dist.ready or frame is None:
        return
    try:
        for vcpu in dist.vcpus:
            if vcpu.redist is None or vcpu.redist.base == UNDEFINED_ADDR:
                raise ConfigError(ENXIO, f"vCPU {vcpu.index} has no redistributor: no region has a slot for it")
        if dist.dist_base == UNDEFINED_ADDR:
            raise ConfigError(ENXIO, "the distributor has no address")
        check_layout(dist)
        if not dist.initialized:
            raise VgicError(EBUSY, "the VGIC is not initialised")
        frame.base = dist.dist_base
        dist.bus.register(frame)
    except VgicError:
        dist.dead = True
        raise
    dist.ready = True


def check_new_vcpu(dist: Dist, vcpu_id: int) -> None:
    """What KVM_CREATE_VCPU refuses before it looks at the VGIC.  Errors: EINVAL, EBUSY."""
    if len(dist.vcpus) >= dist.max_vcpus:
        raise ConfigError(EINVAL, f"the VM has {dist.max_vcpus} vCPUs already, as many as it can")
    if dist.initialized:
        raise VgicError(EBUSY, "the VGIC is initialised: no vCPU can be added")
    if not 0 <= vcpu_id < dist.max_vcpus:
        raise ConfigError(EINVAL, f"vCPU id {vcpu_id}: 0 to {dist.max_vcpus - 1} are possible")
