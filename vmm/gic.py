"""The machine's interrupt controller: a VGIC made as a VMM makes one through KVM's interface.

Room:    below the machine; the only module that configures the library.
"""

from collections.abc import Sequence
from typing import Final, final

from hw import GicVersion, ItsConfig, V2Config, V4Config, VirtConfig
from hw import Machine as HostMachine
from vgic import CTRL_INIT, Addr, Device, DeviceType, Group, Host, Kick, Vcpu, Vgic, VgicError, arch
from vmm.assigned import DELIVERED, AssignedDevice
from vmm.config import IrqChip, MachineConfig
from vmm.engine.memory import GuestRam
from vmm.layout import GICC_BASE, GICD_BASE, GICR_BASE, GITS_BASE, GITS_TRANSLATER, PPI_PHYS, PPI_VIRT, SPIS
from vmm.timer import GenericTimer

_PRIVATE: Final = 32
_TIMERS: Final = 1 << PPI_VIRT | 1 << PPI_PHYS
TIMER_OWNER: Final = "arch_timer"
"""Who drives the timers' lines; nobody else can."""


@final
class Gic:
    """The VGIC of one machine, and the handles of its devices."""

    def __init__(self, config: MachineConfig, ram: GuestRam, kick: Kick) -> None:
        """Create the VM's vCPUs and interrupt controller, initialised and without any guest state."""
        self.config = config
        host = make_host(config)
        vm = self.vm = Vgic(host, threads=False, memory=ram)
        vm.kick = kick
        self._shared_pes = len(host.machine.pes) < config.cpus
        self._timers_active = set(host.machine.pes)  # those one of whose timers' interrupts may be active
        for index in range(config.cpus):
            vm.create_vcpu(index)
        if config.irqchip is IrqChip.GICV2:
            frames = {Addr.V2_DIST: GICD_BASE, Addr.V2_CPU: GICC_BASE}
            self.devices = [self._device(DeviceType.VGIC_V2, frames)]
        else:
            frames = {Addr.V3_DIST: GICD_BASE, Addr.V3_REDIST: GICR_BASE}
            self.devices = [self._device(DeviceType.VGIC_V3, frames)]
        if config.irqchip is IrqChip.GICV3_ITS:
            self.devices.append(self._device(DeviceType.ITS, {Addr.ITS: GITS_BASE}))
        direct = config.gic_version is not GicVersion.V3
        self._assigned = AssignedDevice(host, vm, GITS_TRANSLATER) if direct else None

    def _device(self, kind: DeviceType, frames: dict[Addr, int]) -> Device:
        device = self.vm.create_device(kind)
        if kind is not DeviceType.ITS:
            device.set_attr(Group.NR_IRQS, 0, SPIS + _PRIVATE)
        for attr, base in frames.items():
            device.set_attr(Group.ADDR, attr, base)
        device.set_attr(Group.CTRL, CTRL_INIT)
        return device

    def map_timers(self, timers: Sequence[GenericTimer]) -> None:
        """Tie each vCPU's timer interrupts to the physical ones and claim their lines: kvm_timer_enable()."""
        for vcpu, timer in zip(self.vm.vcpus, timers, strict=True):
            for intid, comparator in ((PPI_VIRT, timer.virtual), (PPI_PHYS, timer.physical)):
                vcpu.set_owner(intid, TIMER_OWNER)
                vcpu.map_irq(intid, intid, comparator.reads)

    def load_timers(self, vcpu: Vcpu, timer: GenericTimer) -> None:
        """At an entry, let the physical timer interrupts be what the guest's are: kvm_timer_vcpu_load_gic()."""
        pe = vcpu.pe
        wanted = 0
        for intid, comparator in ((PPI_VIRT, timer.virtual), (PPI_PHYS, timer.physical)):
            if comparator.level or vcpu.map_is_active(intid):
                wanted |= 1 << intid
        if not wanted and not self._shared_pes and pe not in self._timers_active:
            return
        active = pe.read_private(arch.GICD_ISACTIVER) & _TIMERS
        if wanted & ~active:
            pe.write_private(arch.GICD_ISACTIVER, wanted & ~active)
        if active & ~wanted:
            pe.write_private(arch.GICD_ICACTIVER, active & ~wanted)
        if wanted:
            self._timers_active.add(pe)
        else:
            self._timers_active.discard(pe)

    def fire_timers(self, vcpu: Vcpu, timer: GenericTimer) -> None:
        """Take the physical timer interrupts whose lines are high and which are not active: kvm_arch_timer_handler().

        The host leaves them active: the guest's completion of the virtual one deactivates the physical one.
        The line is driven again: the VGIC took it for low once it was in a list register.
        """
        pe = vcpu.pe
        active = pe.read_private(arch.GICD_ISACTIVER)
        for intid, comparator in ((PPI_VIRT, timer.virtual), (PPI_PHYS, timer.physical)):
            if comparator.level and not active >> intid & 1:
                pe.write_private(arch.GICD_ISACTIVER, 1 << intid)
                self._timers_active.add(pe)
                self.vm.inject(intid, True, vcpu=vcpu, owner=TIMER_OWNER)

    def send(self, address: int, eventid: int, devid: int) -> int:
        """Send a device's message; 1 delivered, 0 blocked by the guest's mappings, negative: KVM's errno."""
        if self._assigned is not None and self._assigned.send(address, eventid, devid):
            return DELIVERED
        try:
            return self.vm.signal_msi(address, eventid, devid)
        except VgicError as refused:
            return -refused.errno


def make_host(config: MachineConfig) -> Host:
    """Return a host of the guest's kind, with the physical CPUs the configuration wants."""
    cpus = config.pcpus or config.cpus
    if config.irqchip is IrqChip.GICV2:
        return Host(HostMachine(cpus=cpus, gic=V2Config(n_lr=config.lrs)))
    virt = VirtConfig(n_lr=config.lrs)
    if config.gic_version is GicVersion.V3:
        return Host(HostMachine(cpus=cpus, virt=virt))
    machine = HostMachine(cpus=cpus, virt=virt, v4=V4Config(version=config.gic_version), its=[ItsConfig()])
    return Host(machine, vgic_v4_enable=True)
