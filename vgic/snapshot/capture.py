"""A VM's state into records.

Room:    above the state; the counterpart of apply.
Never:   changes what a guest can see; reads or writes guest memory.
Holds:   every vCPU is put first, so that what is saved is all there is.
"""

from typing import TYPE_CHECKING

from hw.arch import (
    GICD_ISACTIVER,
    VMCR_VACKCTL,
    VMCR_VBPR0_SHIFT,
    VMCR_VBPR1_SHIFT,
    VMCR_VBPR_MASK,
    VMCR_VCBPR,
    VMCR_VENG0,
    VMCR_VENG1,
    VMCR_VEOIM,
    VMCR_VFIQEN,
    VMCR_VPMR_MASK,
    VMCR_VPMR_SHIFT,
)
from vgic.attrgroups import stop
from vgic.dist import Dist
from vgic.errors import DeadVmError
from vgic.ids import FIRST_SPI, UNDEFINED_ADDR, V2
from vgic.irq import Irq
from vgic.its.maps import CACHE_KEY_SHIFT
from vgic.its.state import Its
from vgic.routes import PinRoute
from vgic.snapshot.records import (
    CachedRecord,
    CollectionRecord,
    DeviceRecord,
    DistRecord,
    EventRecord,
    HostRecord,
    InterfaceRecord,
    IrqRecord,
    ItsRecord,
    MappedRecord,
    PlaceRecord,
    RegionRecord,
    RouteRecord,
    VcpuRecord,
    VmRecord,
)
from vgic.snapshot.schema import EDGE, LEVEL, MODEL_GICV2, MODEL_GICV3, MODEL_NONE
from vgic.vcpu import VcpuGic

if TYPE_CHECKING:
    from vgic.mmio import Frame

_W32 = 4
_U32 = 0xFFFF_FFFF
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def capture(dist: Dist) -> VmRecord:
    """Return the whole state.

    Errors: EBUSY while a vCPU is in the guest; EIO in a dead VM; EACCES for LPIs that a GICv4.0 delivers: it does not
    tell which are pending.
    """
    if dist.dead:
        raise DeadVmError
    stop(dist)
    found = _pending_in_hardware(dist)
    return VmRecord(
        host=host_record(dist),
        ipa_bits=dist.ipa_size.bit_length() - 1,
        distributor=_dist_record(dist),
        vcpus=tuple(_vcpu_record(vcpu, found) for vcpu in dist.vcpus),
        spis=tuple(_irq_record(irq, found) for irq in dist.spis),
        lpis=tuple(_irq_record(irq, found) for irq in dist.lpis.ascending()),
        its=tuple(_its_record(its) for its in dist.its_list),
        routes=_routes(dist),
    )


def _pending_in_hardware(dist: Dist) -> frozenset[Irq]:
    """Return the interrupts that hardware delivers and has pending.

    Its tables of LPIs are taken back from it for as long as it takes to read them.
    """
    direct = dist.direct
    if direct is None:
        return frozenset()
    found = {irq for vcpu in dist.vcpus for irq in vcpu.private if irq.direct is not None and irq.direct.is_pending()}
    if direct.has_lpis():
        direct.check_saveable()
        direct.unmap_vpes()
        try:
            found |= {irq for irq in dist.lpis.ascending() if irq.direct is not None and irq.direct.is_pending()}
        finally:
            direct.map_vpes()
    return frozenset(found)


def _listed(vcpu: VcpuGic, found: frozenset[Irq]) -> tuple[int, ...]:
    """The list as it would be if software had everything: what hardware has pending comes last.

    That is listed where it goes, though it may still be on the list of another vCPU, from before hardware had it.
    An SGI that hardware gave back while the distributor was disabled is listed, too: see ModelV41.restored.
    """
    if not found and vcpu.vpe is None:
        return tuple(irq.intid for irq in vcpu.ap_list)
    kept = [irq for irq in vcpu.ap_list if irq.direct is None or (irq in found and irq.target is vcpu)]
    wanted = [irq for irq in found if irq.enabled and irq.target is vcpu and vcpu.dist.enabled and irq not in kept]
    direct = vcpu.dist.direct
    if direct is not None:
        wanted += [irq for irq in vcpu.private if irq.queued_on is None and direct.waits(irq)]
    return tuple(irq.intid for irq in kept) + tuple(sorted(irq.intid for irq in wanted))


def host_record(dist: Dist) -> HostRecord:
    """Return the host as far as a snapshot tells of it."""
    host = dist.host
    gic = MODEL_GICV3 if host.is_gicv3 else MODEL_GICV2
    return HostRecord(gic, host.nr_lr, host.pri_bits, host.id_bits_code, host.seis_a3v)


def frame_names(dist: Dist) -> "dict[str, Frame]":
    """Return the frames a VM can have on its bus, by the name a snapshot gives them."""
    frames: dict[str, Frame] = {}
    if dist.frame is not None:
        frames["GICD"] = dist.frame
    for vcpu in dist.vcpus:
        if vcpu.redist is not None:
            frames[f"GICR {vcpu.index}"] = vcpu.redist
    for n, its in enumerate(dist.its_list):
        frames[f"GITS {n}"] = its
    return frames


def _dist_record(dist: Dist) -> DistRecord:
    names = {id(frame): name for name, frame in frame_names(dist).items()}
    return DistRecord(
        model=MODEL_NONE if dist.model is None else MODEL_GICV2 if dist.model is V2 else MODEL_GICV3,
        initialized=dist.initialized,
        ready=dist.ready,
        enabled=dist.enabled,
        nr_spis=dist.nr_spis,
        implementation_rev=dist.implementation_rev,
        max_vcpus=dist.max_vcpus,
        dist_base=_address(dist.dist_base),
        cpu_base=_address(dist.cpu_base),
        groups_writable=dist.v2_groups_user_writable,
        propbaser=dist.propbaser,
        bus=tuple(names[id(frame)] for frame in dist.bus.frames()),
        regions=tuple(RegionRecord(region.base, region.count, len(region.slots)) for region in dist.regions),
        nassgireq=dist.nassgireq,
    )


def _address(base: int) -> int | None:
    return None if base == UNDEFINED_ADDR else base


def _index(vcpu: VcpuGic | None) -> int | None:
    return None if vcpu is None else vcpu.index


def _vcpu_record(vcpu: VcpuGic, found: frozenset[Irq]) -> VcpuRecord:
    region = vcpu.rd_region
    return VcpuRecord(
        vcpu_id=vcpu.vcpu_id,
        affinity=vcpu.mpidr,
        cpu=vcpu.pe.index,
        has_run=vcpu.has_run,
        irq_line=vcpu.vi,
        fiq_line=vcpu.vf,
        serror=vcpu.serror,
        redistributor=None if region is None else PlaceRecord(region.index, vcpu.rd_slot),
        lpis_enabled=vcpu.lpis_enabled,
        pendbaser=vcpu.pendbaser,
        interface=_interface_record(vcpu),
        ap_list=_listed(vcpu, found),
        interrupts=tuple(_irq_record(irq, found) for irq in vcpu.private),
    )


def _interface_record(vcpu: VcpuGic) -> InterfaceRecord:
    vmcr = vcpu.vmcr
    return InterfaceRecord(
        pmr=vmcr >> VMCR_VPMR_SHIFT & VMCR_VPMR_MASK,
        bpr0=vmcr >> VMCR_VBPR0_SHIFT & VMCR_VBPR_MASK,
        bpr1=vmcr >> VMCR_VBPR1_SHIFT & VMCR_VBPR_MASK,
        group0=bool(vmcr & VMCR_VENG0),
        group1=bool(vmcr & VMCR_VENG1),
        ack_ctl=bool(vmcr & VMCR_VACKCTL),
        fiq_en=bool(vmcr & VMCR_VFIQEN),
        cbpr=bool(vmcr & VMCR_VCBPR),
        eoi_mode=bool(vmcr & VMCR_VEOIM),
        ap0r=tuple(vcpu.ap0r),
        ap1r=tuple(vcpu.ap1r),
        pri_bits=vcpu.pri_bits,
        id_bits_code=vcpu.id_bits_code,
    )


def _irq_record(irq: Irq, found: frozenset[Irq]) -> IrqRecord:
    owner = irq.owner
    named = owner if isinstance(owner, str) else None
    return IrqRecord(
        irq.intid,
        _index(irq.target),
        irq.enabled,
        irq.pending_latch or irq in found,
        irq.line_level,
        irq.active,
        LEVEL if irq.level else EDGE,
        irq.priority,
        irq.group,
        irq.route,
        irq.source,
        irq.active_source,
        named,
        owner is not None and named is None,
        irq.host_irq,
        None if irq.mapped_by is None else _mapped_record(irq, irq.mapped_by),
    )


def _mapped_record(irq: Irq, vcpu: VcpuGic) -> MappedRecord:
    word, bit = GICD_ISACTIVER + irq.hwintid // 32 * 4, irq.hwintid % 32
    machine = vcpu.dist.host.machine
    state = vcpu.pe.read_private(word) if irq.hwintid < FIRST_SPI else machine.dist.read(word, _W32)
    return MappedRecord(irq.hwintid, vcpu.index, irq.sw_resample, irq.input_level is not None, bool(state >> bit & 1))


def _its_record(its: Its) -> ItsRecord:
    maps = its.maps
    return ItsRecord(
        base=_address(its.base),
        abi=its.abi,
        enabled=its.enabled,
        cbaser=its.cbaser,
        creadr=its.creadr,
        cwriter=its.cwriter,
        device_table=its.device_table,
        collection_table=its.collection_table,
        collections=tuple(CollectionRecord(each.icid, _index(each.target)) for each in maps.collections.values()),
        devices=tuple(
            DeviceRecord(
                device.devid,
                device.itt,
                device.bits,
                tuple(
                    EventRecord(ite.eventid, ite.irq.intid, None if ite.collection is None else ite.collection.icid)
                    for ite in device.ites()
                ),
            )
            for device in maps.devices.values()
        ),
        cache=tuple(
            CachedRecord(key >> CACHE_KEY_SHIFT, key & (1 << CACHE_KEY_SHIFT) - 1, irq.intid)
            for key, irq in sorted(maps.cache.items(), key=_key)
        ),
    )


def _key(item: tuple[int, Irq]) -> int:
    return item[0]


def _routes(dist: Dist) -> tuple[RouteRecord, ...] | None:
    if dist.routes is None:
        return None
    return tuple(
        RouteRecord(route.gsi, route.pin)
        if isinstance(route, PinRoute)
        else RouteRecord(route.gsi, None, route.address & _U64, route.data & _U32, route.devid & _U32, route.flags)
        for route in dist.routes.values()
    )
