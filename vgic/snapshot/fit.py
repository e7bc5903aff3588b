"""Does a snapshot, sound in itself, fit this VM and its host?

Room:    beside check; looks at the VM and changes nothing.
"""

from typing import NoReturn

from vgic.dist import Dist
from vgic.errors import ENOMEM, BusyError, DeadVmError, StateError, VgicError
from vgic.ids import FIRST_SPI, V2
from vgic.snapshot.capture import host_record
from vgic.snapshot.records import IrqRecord, VmRecord
from vgic.snapshot.schema import MODEL_GICV2, MODEL_GICV3, MODEL_NONE
from vgic.vcpu import LOADED, PUT


def _refuse(where: str, why: str) -> NoReturn:
    raise StateError(where, why)


def fit(dist: Dist, vm: VmRecord) -> None:
    """Raise what forbids the restore.

    Errors: EIO in a dead VM; EBUSY while a vCPU is in the guest; StateError for another kind of host or VM; ENOMEM when
    a host with direct injection has no room for its vCPUs.
    """
    if dist.dead:
        raise DeadVmError
    for vcpu in dist.vcpus:
        if vcpu.mode not in (PUT, LOADED):
            raise BusyError(f"vCPU {vcpu.index} is in the guest")
    _host(dist, vm)
    _same_vm(dist, vm)
    nr_physical = FIRST_SPI + dist.host.machine.dist.config.nr_spis
    for n, vcpu_record in enumerate(vm.vcpus):
        at = f"vcpus[{n}].interface"
        if vcpu_record.interface.pri_bits > dist.host.pri_bits:
            _refuse(f"{at}.pri_bits", f"{vcpu_record.interface.pri_bits} is more than this host's {dist.host.pri_bits}")
        if vcpu_record.interface.id_bits_code > dist.host.id_bits_code:
            code = vcpu_record.interface.id_bits_code
            _refuse(f"{at}.id_bits_code", f"{code} is more than this host's {dist.host.id_bits_code}")
        _mapped(vcpu_record.interrupts, f"vcpus[{n}].interrupts", nr_physical)
    _mapped(vm.spis, "spis", nr_physical)
    _mapped(vm.lpis, "lpis", nr_physical)
    _direct(dist, vm)


def mapped_count(vm: VmRecord) -> int:
    """Return how many devices, collections and events the ITSs have: Budget.used."""
    return sum(
        len(its.collections) + len(its.devices) + sum(len(device.events) for device in its.devices) for its in vm.its
    )


def _host(dist: Dist, vm: VmRecord) -> None:
    here = host_record(dist)
    if vm.host.gic != here.gic:
        _refuse("host.gic", f"the VM ran on a {vm.host.gic}, this host is a {here.gic}")
    if vm.host.seis_a3v != here.seis_a3v:
        _refuse("host.seis_a3v", f"the guest knows {vm.host.seis_a3v:#x}, this host has {here.seis_a3v:#x}")
    if vm.distributor.model == MODEL_GICV2 and not dist.host.has_gicv2_guests:
        _refuse("distributor.model", "this host gives its guests no GICv2")
    if vm.distributor.model == MODEL_GICV3 and not dist.host.is_gicv3:
        _refuse("distributor.model", "this host gives its guests no GICv3")
    if vm.its and not dist.host.is_gicv3:
        _refuse("its", "this host gives its guests no ITS")
    if len(vm.vcpus) > dist.host.max_vcpus:
        _refuse("vcpus", f"{len(vm.vcpus)} vCPUs: this host gives a VM {dist.host.max_vcpus}")


def _same_vm(dist: Dist, vm: VmRecord) -> None:
    """Check what the VM has already, which restore can neither remove nor replace."""
    if 1 << vm.ipa_bits != dist.ipa_size:
        _refuse("ipa_bits", f"{vm.ipa_bits}, but this VM has {dist.ipa_size.bit_length() - 1}")
    if dist.vcpus:
        ids = [vcpu.vcpu_id for vcpu in dist.vcpus]
        if len(ids) != len(vm.vcpus):
            _refuse("vcpus", f"{len(vm.vcpus)} vCPUs, but this VM has {len(ids)}")
        for n, (record, vcpu_id) in enumerate(zip(vm.vcpus, ids, strict=True)):
            if record.vcpu_id != vcpu_id:
                _refuse(f"vcpus[{n}].vcpu_id", f"{record.vcpu_id}, but this VM's vCPU {n} has {vcpu_id}")
    if dist.model is not None:
        model = MODEL_GICV2 if dist.model is V2 else MODEL_GICV3
        if vm.distributor.model != model:
            what = "none" if vm.distributor.model == MODEL_NONE else f"a {vm.distributor.model}"
            _refuse("distributor.model", f"{what}, but this VM has a {model}")
    cap = dist.its_budget.cap
    if mapped_count(vm) > cap:
        _refuse("its", f"{mapped_count(vm)} devices, collections and events, but this VM may have {cap}")
    if dist.its_list and len(dist.its_list) != len(vm.its):
        _refuse("its", f"{len(vm.its)}, but this VM has {len(dist.its_list)}")


def _direct(dist: Dist, vm: VmRecord) -> None:
    """Check what the guest was promised of direct injection, and that the host has room for it."""
    gic = dist.host.gic if dist.host.has_gicv4 else None
    if vm.distributor.nassgireq and (gic is None or not gic.has_vsgi):
        _refuse("distributor.nassgireq", "the guest does without active SGIs, which this host does not offer")
    fresh = dist.direct is None and vm.distributor.initialized and vm.distributor.model == MODEL_GICV3
    if fresh and gic is not None and not gic.has_room(len(vm.vcpus)):
        raise VgicError(ENOMEM, f"the host has no room for {len(vm.vcpus)} vPEs")


def _mapped(irqs: tuple[IrqRecord, ...], at: str, nr_physical: int) -> None:
    for n, irq in enumerate(irqs):
        if irq.mapped is not None and irq.mapped.hwintid >= nr_physical:
            _refuse(f"{at}[{n}].mapped.hwintid", f"this machine has no interrupt {irq.mapped.hwintid}")
