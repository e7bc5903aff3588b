"""Builders and views used by all tests.

Room:    below every test; knows vgic and hw, no test.
"""

from collections.abc import Sequence
from typing import Final

from hw import Machine, V2Config, VirtConfig
from vgic import CTRL_INIT, Addr, Device, DeviceType, Group, Host, Vgic
from vgic.dist import Dist
from vgic.ids import NR_PRIVATE
from vgic.irq import Irq
from vgic.lock import NO_LOCK
from vgic.locked import LockedVcpu
from vgic.v2.groups import GROUPS_V2
from vgic.v3.groups import GROUPS_V3
from vgic.vcpu import IN_GUEST, PUT, VcpuGic
from vgic.vm import GICC_BASE, GICD_BASE, GICR_BASE

__all__ = [
    "GICC_BASE",
    "GICD_BASE",
    "GICR_BASE",
    "Frozen",
    "device_of",
    "freeze",
    "freeze_irq",
    "make_v2_vm",
    "make_vm",
    "redist_base",
]

REDIST_STRIDE: Final = 0x2_0000

Frozen = tuple[object, ...]
"""A value that compares equal to another exactly when the states they were taken of are the same."""


def make_vm(
    vcpus: int = 1,
    *,
    cpus: int | None = None,
    spis: int = 32,
    virt: VirtConfig | None = None,
    lrs: int = 4,
    trapped: bool | tuple[bool, bool, bool] = False,
    threads: bool = False,
    affinities: list[int] | None = None,
) -> Vgic:
    """Return a VM ready to enter, on a machine of its own with `cpus` CPUs (default: one for each vCPU).

    virt     the machine's virtual CPU interfaces; default: with `lrs` list registers.
    trapped  KVM emulates the whole CPU interface, or that of group 0, of group 1, and what both have in common.
    """
    group0, group1, common = (trapped,) * 3 if isinstance(trapped, bool) else trapped
    machine = Machine(cpus=cpus or vcpus, virt=virt or VirtConfig(n_lr=lrs))
    host = Host(machine, group0_trap=group0, group1_trap=group1, common_trap=common)
    vm = Vgic.gicv3(vcpus, spis, host=host, threads=threads)
    for vcpu, affinity in zip(vm.vcpus, affinities or (), strict=False):
        vcpu.set_mpidr(affinity)
    return vm


def make_v2_vm(
    ids: Sequence[int],
    *,
    cpus: int,
    spis: int = 32,
    gic: V2Config | None = None,
    virt: VirtConfig | None = None,
    forwarded: bool = False,
) -> Vgic:
    """Return a VM with a GICv2, ready to enter, whose vCPUs have these ids, on a machine of its own with `cpus` CPUs.

    virt       a GICv3 machine, which must have `sre_legacy`; otherwise a GICv2 machine, as `gic` says.
    forwarded  the GICv2 machine cannot map GICV into the guest: EL2 forwards the accesses.
    """
    machine = Machine(cpus=cpus, gic=gic or V2Config()) if virt is None else Machine(cpus=cpus, virt=virt)
    vm = Vgic(Host(machine, gicv_trap=forwarded), threads=False)
    for vcpu_id in ids:
        vm.create_vcpu(vcpu_id)
    device = vm.create_device(DeviceType.VGIC_V2)
    device.set_attr(Group.NR_IRQS, 0, spis + NR_PRIVATE)
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    device.set_attr(Group.CTRL, CTRL_INIT)
    return vm


def device_of(vm: Vgic) -> Device:
    """Return a handle to the VGIC of a VM that has a vCPU, as another file descriptor for it."""
    vcpu = vm.vcpus[0]
    groups = GROUPS_V2 if vcpu.dist.model is DeviceType.VGIC_V2 else GROUPS_V3
    return Device(vcpu.dist, groups, vcpu.lock if isinstance(vcpu, LockedVcpu) else NO_LOCK)


def redist_base(index: int) -> int:
    """Guest physical address of the redistributor of vCPU `index` in a VM from `make_vm`."""
    return GICR_BASE + index * REDIST_STRIDE


def freeze_irq(irq: Irq) -> Frozen:
    """Every field of an interrupt."""
    return (
        irq.intid,
        irq.level,
        irq.enabled,
        irq.active,
        irq.line_level,
        irq.pending_latch,
        irq.priority,
        irq.group,
        None if irq.target is None else irq.target.index,
        None if irq.queued_on is None else irq.queued_on.index,
        irq.route,
        irq.hw,
        irq.hwintid,
        irq.host_irq,
        irq.sw_resample,
        irq.input_level,
        irq.owner,
        irq.source,
        irq.active_source,
    )


def _freeze_vcpu(vcpu: VcpuGic) -> Frozen:
    """A vCPU; its CPU interface as it is, live or saved."""
    virt = vcpu.pe.virt
    if vcpu.mode == PUT:
        interface = (vcpu.vmcr, tuple(vcpu.ap0r), tuple(vcpu.ap1r), (0,) * len(virt.lrs))
    else:
        live = virt.snapshot()
        words = len(live.ap0r)
        interface = (live.vmcr, live.ap0r + tuple(vcpu.ap0r[words:]), live.ap1r + tuple(vcpu.ap1r[words:]), live.lrs)
    redist = vcpu.redist
    return (
        (vcpu.index, vcpu.vcpu_id, vcpu.mpidr, vcpu.has_run, vcpu.used_lrs, vcpu.vi, vcpu.vf),
        (vcpu.pri_bits, vcpu.id_bits_code, vcpu.pendbaser, vcpu.hcr, vcpu.mode == IN_GUEST, vcpu.pe.index),
        None if redist is None else redist.base,
        (vcpu.sre, None if vcpu.window is None else vcpu.window.base),
        vcpu.rd_slot,
        tuple(irq.intid for irq in vcpu.ap_list),
        tuple(freeze_irq(irq) for irq in vcpu.private),
        interface,
    )


def freeze(dist: Dist) -> Frozen:
    """The whole state of a VM, but not which vCPUs outside the guest are loaded: nobody can tell."""
    return (
        (dist.max_vcpus, dist.model, dist.initialized, dist.ready, dist.dead, dist.implementation_rev, dist.nr_spis),
        (dist.dist_base, dist.cpu_base, dist.enabled, dist.propbaser),
        dist.model is DeviceType.VGIC_V2 and dist.v2_groups_user_writable,
        tuple((r.index, r.base, r.count, len(r.slots)) for r in dist.regions),
        tuple(freeze_irq(irq) for irq in dist.spis),
        tuple(_freeze_vcpu(vcpu) for vcpu in dist.vcpus),
        tuple(sorted(dist.by_aff)),
        tuple(sorted(dist.by_id)),
        tuple((intid, len(listeners)) for intid, listeners in sorted(dist.ack_notifiers.items())),
    )
