"""From nothing to a running interrupt controller: creation, initialisation, first entry.

Room:    below device and vm, which call it; what depends on the GIC version it asks of the Model.
Owns:    Dist.guest and model, initialized, ready, dead, max_vcpus, nr_spis' default, and the reset state of a vCPU.
Holds:   dead is for ever.
"""

from vgic.ap_list import forget
from vgic.dist import Dist
from vgic.errors import E2BIG, EBUSY, EEXIST, EINVAL, BusyError, ConfigError, VgicError
from vgic.ids import DEFAULT_NR_SPIS, FIRST_SPI, MAX_REVISION, UNDEFINED_ADDR, V3, DeviceType
from vgic.irq import Irq
from vgic.model import Model
from vgic.run import put
from vgic.vcpu import LOADED, PUT, VcpuGic


def create_vgic(dist: Dist, kind: DeviceType, guest: Model, max_vcpus: int) -> None:
    """Give the VM an in-kernel irqchip that the host can give: kvm_vgic_create().

    Errors: EBUSY while a vCPU is in the guest or when one has run; EEXIST for a second one; E2BIG for more vCPUs
    than the model has room for, after which the VM keeps the model's limit, as in KVM.
    """
    for vcpu in dist.vcpus:
        if vcpu.mode not in (PUT, LOADED):
            raise BusyError(f"vCPU {vcpu.index} is in the guest")
    if dist.model is not None:
        raise VgicError(EEXIST, f"the VM has a {dist.model.name} already")
    for vcpu in dist.vcpus:
        if vcpu.has_run:
            raise VgicError(EBUSY, f"vCPU {vcpu.index} has run without an interrupt controller")
    dist.max_vcpus = max_vcpus
    if len(dist.vcpus) > max_vcpus:
        raise VgicError(E2BIG, f"{len(dist.vcpus)} vCPUs: a {kind.name} serves {max_vcpus}")
    dist.model = kind
    dist.has_its = dist.wants_its and kind is V3
    dist.guest = guest
    guest.build(dist)
    for vcpu in dist.vcpus:
        _adopt(vcpu)


def _adopt(vcpu: VcpuGic) -> None:
    guest = vcpu.dist.guest
    vcpu.lr_rules = guest.lr_rules
    guest.adopt(vcpu)


def add_vcpu(vcpu: VcpuGic) -> None:
    """The VGIC's part of vCPU creation: kvm_vgic_vcpu_init().

    Errors: EINVAL or ENOSPC when the frame it needs cannot lie where it would.
    """
    _adopt(vcpu)
    if vcpu.dist.model is not None:
        vcpu.allocate_private()
        vcpu.dist.guest.place(vcpu)


def init(dist: Dist) -> None:
    """Freeze the number of interrupts and bring everything to its reset state: vgic_init().  Again is no error."""
    if dist.initialized:
        return
    host = dist.host
    guest = dist.guest
    if not dist.nr_spis:
        dist.nr_spis = DEFAULT_NR_SPIS
    first_vcpu = dist.vcpus[0] if dist.vcpus else None
    # SPIs reset to edge: KVM leaves their trigger at zero.
    dist.spis = [Irq(intid, False, False, first_vcpu) for intid in range(FIRST_SPI, dist.nr_irqs)]
    guest.reset_spis(dist)
    for vcpu in dist.vcpus:
        vcpu.allocate_private()
        vcpu.vmcr = 0
        vcpu.nr_lr = host.nr_lr
        vcpu.pri_bits = host.pri_bits
        vcpu.id_bits_code = host.id_bits_code
        guest.reset_vcpu(vcpu)
    if not dist.implementation_rev:
        dist.implementation_rev = MAX_REVISION
    guest.start(dist)
    dist.routes = None  # an earlier table gives way to GSI n = pin n: kvm_vgic_setup_default_irq_routing()
    dist.initialized = True


def map_resources(dist: Dist) -> None:
    """Check everything a guest needs, at the first entry of any vCPU: kvm_vgic_map_resources().

    Errors: the model's; any of them kills the VM.
    """
    if dist.ready or dist.model is None:
        return
    try:
        dist.guest.map_resources(dist)
    except VgicError:
        dist.dead = True
        raise
    dist.ready = True


def destroy(dist: Dist) -> None:
    """Free the physical CPUs and forget every interrupt and frame: kvm_vgic_destroy().

    Errors: EBUSY while a vCPU is in the guest.
    """
    for vcpu in dist.vcpus:
        if vcpu.mode not in (PUT, LOADED):
            raise BusyError(f"vCPU {vcpu.index} is in the guest")
    dist.dead = True
    for vcpu in dist.vcpus:
        put(vcpu)
    dist.guest.stop(dist)
    for vcpu in dist.vcpus:
        forget(vcpu)
        dist.guest.unplace(vcpu)
        vcpu.private = []
        vcpu.window = None
    if dist.ready and dist.frame is not None:
        dist.bus.unregister(dist.frame)
    dist.ready = dist.initialized = False
    dist.spis = []
    dist.nr_spis = 0
    dist.regions = []
    dist.dist_base = dist.cpu_base = UNDEFINED_ADDR


def check_new_vcpu(dist: Dist, vcpu_id: int) -> None:
    """What KVM_CREATE_VCPU refuses before it looks at the VGIC.  Errors: EINVAL, EBUSY."""
    if len(dist.vcpus) >= dist.max_vcpus:
        raise ConfigError(EINVAL, f"the VM has {dist.max_vcpus} vCPUs already, as many as it can")
    if dist.initialized:
        raise VgicError(EBUSY, "the VGIC is initialised: no vCPU can be added")
    if not 0 <= vcpu_id < dist.max_vcpus:
        raise ConfigError(EINVAL, f"vCPU id {vcpu_id}: 0 to {dist.max_vcpus - 1} are possible")
