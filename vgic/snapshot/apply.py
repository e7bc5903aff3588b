"""Records into a VM.

Room:    above the state; the counterpart of capture.
Holds:   check and fit have passed, so nothing here can fail half-way.
         Ports are the embedder's: none is called; a level reader stays where the same interrupt had one.
"""

from typing import Final

from hw.arch import (
    VMCR_VACKCTL,
    VMCR_VBPR0_SHIFT,
    VMCR_VBPR1_SHIFT,
    VMCR_VCBPR,
    VMCR_VENG0,
    VMCR_VENG1,
    VMCR_VEOIM,
    VMCR_VFIQEN,
    VMCR_VPMR_SHIFT,
)
from vgic.ap_list import rebuild
from vgic.bus import Bus
from vgic.dist import Dist
from vgic.ids import REDIST_SIZE, UNDEFINED_ADDR, V2, V3
from vgic.irq import Irq
from vgic.its.devices import Collection, Device
from vgic.its.frame import GITS
from vgic.its.maps import CACHE_KEY_SHIFT, Maps
from vgic.its.state import Its
from vgic.lpis import LpiStore
from vgic.mapped import set_physical_active
from vgic.routes import MsiRoute, PinRoute, set_routing
from vgic.run import put
from vgic.snapshot.capture import frame_names
from vgic.snapshot.fit import mapped_count
from vgic.snapshot.records import InterfaceRecord, IrqRecord, ItsRecord, RouteRecord, VcpuRecord, VmRecord
from vgic.snapshot.schema import LEVEL, MODEL_GICV2, MODEL_NONE
from vgic.v2.model import MODEL_V2
from vgic.v2.window import CpuWindow, TrappedWindow
from vgic.v3.regions import RedistRegion
from vgic.v4.model import gicv3_model
from vgic.vcpu import VcpuGic

_Ports = dict[tuple[int, int], Irq]
"""The interrupts that were there: (vCPU index, or -1; INTID) -> Irq, for what only the embedder can supply."""

_SHARED: Final = -1


def apply(dist: Dist, vm: VmRecord, created: list[VcpuGic]) -> None:
    """Make the VM what `vm` says.  `created`: its vCPUs in order, if it has none yet."""
    ports = _ports(dist)
    for vcpu in dist.vcpus:
        put(vcpu)
    if dist.direct is not None:
        dist.direct.drop()
    dist.bus = Bus()  # a frame on a bus must not move
    for vcpu in created:
        dist.vcpus.append(vcpu)
        dist.by_id[vcpu.vcpu_id] = vcpu
    _create(dist, vm, created)
    _distributor(dist, vm)
    dist.lpis = LpiStore()
    _regions(dist, vm)
    for vcpu, saved in zip(dist.vcpus, vm.vcpus, strict=True):
        _vcpu(vcpu, saved, dist.initialized)
        vcpu.private = [_irq(dist, irq, ports, vcpu.index) for irq in saved.interrupts]
    dist.index_affinities()
    dist.spis = [_irq(dist, irq, ports, _SHARED) for irq in vm.spis]
    for saved_lpi in vm.lpis:
        lpi = _irq(dist, saved_lpi, ports, _SHARED)
        lpi.refs = 0  # its holders below count themselves
        dist.lpis.add(lpi)
    for its, saved_its in zip(dist.its_list, vm.its, strict=True):
        _its(dist, its, saved_its)
    dist.its_budget.used = mapped_count(vm)
    for vcpu, saved in zip(dist.vcpus, vm.vcpus, strict=True):
        rebuild(vcpu, [irq for intid in saved.ap_list if (irq := vcpu.find_irq(intid)) is not None])
    _bus(dist, vm)
    dist.holds_kicks = True  # no port is called: hardware may ring for what is pending
    dist.guest.restored(dist)
    dist.holds_kicks = False
    dist.held_kicks = {}
    if vm.routes is None:
        dist.routes = None
        dist.gsi_of_pin = {}
    else:
        set_routing(dist, [_route(route) for route in vm.routes], 0)


def _ports(dist: Dist) -> _Ports:
    ports: _Ports = {(_SHARED, irq.intid): irq for irq in dist.spis}
    ports.update({(_SHARED, irq.intid): irq for irq in dist.lpis.ascending()})
    for vcpu in dist.vcpus:
        ports.update({(vcpu.index, irq.intid): irq for irq in vcpu.private})
    return ports


def _create(dist: Dist, vm: VmRecord, created: list[VcpuGic]) -> None:
    """Give the VM its model, ITSs and the frames that belong to them, as far as it does not have them."""
    fresh = created
    if dist.model is None and vm.distributor.model != MODEL_NONE:
        gicv2 = vm.distributor.model == MODEL_GICV2
        dist.model = V2 if gicv2 else V3
        dist.guest = MODEL_V2 if gicv2 else gicv3_model(dist.host)
        dist.guest.build(dist)
        fresh = dist.vcpus
    for vcpu in fresh:
        vcpu.lr_rules = dist.guest.lr_rules
        dist.guest.adopt(vcpu)
    while len(dist.its_list) < len(vm.its):
        dist.its_list.append(Its(dist, GITS))
    dist.wants_its = bool(dist.its_list)
    dist.has_its = dist.wants_its and dist.model is V3


def _distributor(dist: Dist, vm: VmRecord) -> None:
    saved = vm.distributor
    dist.max_vcpus = saved.max_vcpus
    dist.initialized = saved.initialized
    dist.ready = saved.ready
    dist.enabled = saved.enabled
    dist.nr_spis = saved.nr_spis
    dist.implementation_rev = saved.implementation_rev
    dist.dist_base = _base(saved.dist_base)
    dist.cpu_base = _base(saved.cpu_base)
    dist.v2_groups_user_writable = saved.groups_writable
    dist.propbaser = saved.propbaser
    dist.nassgireq = saved.nassgireq


def _base(address: int | None) -> int:
    return UNDEFINED_ADDR if address is None else address


def _regions(dist: Dist, vm: VmRecord) -> None:
    """Lay out the redistributors; a slot that no vCPU has was that of a vCPU whose creation failed."""
    dist.regions = [RedistRegion(n, each.base, each.count) for n, each in enumerate(vm.distributor.regions)]
    for region, each in zip(dist.regions, vm.distributor.regions, strict=True):
        if each.slots_used:
            lost = VcpuGic(dist, len(dist.vcpus), 0, dist.host.machine.pes[0])
            region.slots = [lost] * each.slots_used
    for vcpu, saved in zip(dist.vcpus, vm.vcpus, strict=True):
        place = saved.redistributor
        vcpu.rd_region = None
        vcpu.rd_slot = 0
        base = UNDEFINED_ADDR
        if place is not None:
            vcpu.rd_region = region = dist.regions[place.region]
            vcpu.rd_slot = place.slot
            region.slots[place.slot] = vcpu
            base = region.base + place.slot * REDIST_SIZE
        if vcpu.redist is not None:
            vcpu.redist.base = base


def _vcpu(vcpu: VcpuGic, saved: VcpuRecord, initialized: bool) -> None:
    dist = vcpu.dist
    pes = dist.host.machine.pes
    vcpu.pe = pes[saved.cpu if saved.cpu < len(pes) else vcpu.index % len(pes)]
    vcpu.cost = vcpu.pe.cost
    vcpu.mpidr = saved.affinity
    vcpu.has_run = saved.has_run
    vcpu.vi = saved.irq_line
    vcpu.vf = saved.fiq_line
    vcpu.serror = saved.serror
    vcpu.lpis_enabled = saved.lpis_enabled
    vcpu.pendbaser = saved.pendbaser
    vcpu.vmcr = _vmcr(saved.interface)
    vcpu.ap0r = list(saved.interface.ap0r)
    vcpu.ap1r = list(saved.interface.ap1r)
    vcpu.pri_bits = saved.interface.pri_bits
    vcpu.id_bits_code = saved.interface.id_bits_code
    vcpu.nr_lr = dist.host.nr_lr if initialized else 0
    vcpu.used_lrs = 0
    vcpu.lr_irqs = []
    vcpu.window = None
    if dist.ready and dist.model is V2:
        vcpu.window = (TrappedWindow if dist.host.gicv_trap else CpuWindow)(dist.cpu_base)


def _vmcr(saved: InterfaceRecord) -> int:
    return (
        saved.pmr << VMCR_VPMR_SHIFT
        | saved.bpr0 << VMCR_VBPR0_SHIFT
        | saved.bpr1 << VMCR_VBPR1_SHIFT
        | VMCR_VENG0 * saved.group0
        | VMCR_VENG1 * saved.group1
        | VMCR_VACKCTL * saved.ack_ctl
        | VMCR_VFIQEN * saved.fiq_en
        | VMCR_VCBPR * saved.cbpr
        | VMCR_VEOIM * saved.eoi_mode
    )


def _irq(dist: Dist, saved: IrqRecord, ports: _Ports, bank: int) -> Irq:
    irq = Irq(
        saved.intid, saved.trigger == LEVEL, saved.enabled, None if saved.target is None else dist.vcpus[saved.target]
    )
    irq.active = saved.active
    irq.line_level = saved.line_level
    irq.pending_latch = saved.pending_latch
    irq.priority = saved.priority
    irq.group = saved.group
    irq.route = saved.route
    irq.source = saved.source
    irq.active_source = saved.active_source
    irq.owner = saved.owner
    irq.host_irq = saved.host_irq
    mapped = saved.mapped
    if mapped is None and not saved.opaque_owner:
        return irq
    before = ports.get((bank, saved.intid))
    if saved.opaque_owner and before is not None and not isinstance(before.owner, str):
        irq.owner = before.owner
    if mapped is not None:
        irq.mapped_by = dist.vcpus[mapped.vcpu]
        irq.sw_resample = mapped.sw_resample
        if before is not None and before.hw and mapped.input_level:
            irq.input_level = before.input_level
        set_physical_active(irq, mapped.physical_active)
    return irq


def _its(dist: Dist, its: Its, saved: ItsRecord) -> None:
    its.base = _base(saved.base)
    its.abi = saved.abi
    its.enabled = saved.enabled
    its.cbaser = saved.cbaser
    its.creadr = saved.creadr
    its.cwriter = saved.cwriter
    its.device_table = saved.device_table
    its.collection_table = saved.collection_table
    its.maps = maps = Maps(dist.lpis, dist.its_budget)
    for group in saved.collections:
        target = None if group.target is None else dist.vcpus[group.target]
        maps.collections[group.icid] = Collection(group.icid, target)
    for each in saved.devices:
        device = Device(each.devid, each.itt, each.bits)
        maps.devices[each.devid] = device
        for event in each.events:
            irq = _lpi(dist, event.intid)
            irq.refs += 1
            collection = None if event.icid is None else maps.collections[event.icid]
            device.add(event.eventid, irq, collection)
    for cached in saved.cache:
        irq = _lpi(dist, cached.intid)
        irq.refs += 1
        maps.cache[cached.devid << CACHE_KEY_SHIFT | cached.eventid] = irq


def _lpi(dist: Dist, intid: int) -> Irq:
    irq = dist.lpis.get(intid)
    assert irq is not None, f"LPI {intid} was checked to exist"
    return irq


def _bus(dist: Dist, vm: VmRecord) -> None:
    """Put the frames on a new bus, in the order of the old one, which decides between equal bases."""
    frames = frame_names(dist)
    if dist.frame is not None:
        dist.frame.base = dist.dist_base if dist.ready else UNDEFINED_ADDR
    for name in vm.distributor.bus:
        dist.bus.register(frames[name])


def _route(saved: RouteRecord) -> PinRoute | MsiRoute:
    if saved.pin is not None:
        return PinRoute(saved.gsi, saved.pin)
    return MsiRoute(saved.gsi, saved.address, saved.data, saved.devid, saved.flags)
