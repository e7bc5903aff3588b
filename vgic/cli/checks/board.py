"""The machine a check runs on: one VM, and what its VMM does with it.

Room:    the only module of the checks that calls the library; a CPU is a number here.
Owns:    the VM, and which vCPUs were asked to leave the guest.
Never:   looks inside the library: what it hands on is what the guest or a device would see.
Holds:   everything the checks learn comes through a method of `Board`, so that a test can derive a broken one.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hw import Machine, V2Config, VirtConfig
from vgic import CTRL_INIT, AckNotifier, Addr, Device, DeviceType, Group, Host, Ram, Vgic

GICD_BASE: Final = 0x0800_0000
GICR_BASE: Final = 0x080A_0000
GICC_BASE: Final = 0x0801_0000
GITS_BASE: Final = 0x0808_0000
RAM_BASE: Final = 0x4000_0000
"""Where the guest finds frames and RAM: what its device tree would say."""

GITS_TRANSLATER: Final = 0x1_0040
"""Offset of the doorbell, the address that devices write their messages to."""

_PRIVATE: Final = 32
_RAM_SIZE: Final = 4 << 20  # ITS tables with an ITT for each device
_RAM_OF_A_CPU: Final = 64 << 10  # its LPI pending table


class Board:
    """A GICv3 and an ITS on a GICv3: `cpus` vCPUs, each with its own physical CPU of `lrs` list registers."""

    kind: DeviceType = DeviceType.VGIC_V3
    has_its: bool = True
    frames: Mapping[Addr, int] = MappingProxyType({Addr.V3_DIST: GICD_BASE, Addr.V3_REDIST: GICR_BASE})

    __slots__ = ("_listeners", "cpus", "devices", "kicked", "lrs", "maintenance_exits", "ram", "spis", "vm")

    def __init__(self, cpus: int, lrs: int, spis: int) -> None:
        """Build the VM up to the point where its vCPUs can be entered.

        Errors: ValueError or VgicError for numbers that cannot be.
        """
        self.cpus = cpus
        self.lrs = lrs
        self.spis = spis
        self.kicked = [False] * cpus
        self.maintenance_exits = 0
        self._listeners: list[tuple[int, AckNotifier]] = []  # of completions
        self.power_on()

    def power_on(self) -> None:
        """Build a VM with empty RAM, in the state of reset."""
        ram = Ram()
        ram.add(RAM_BASE, self.ram_size)
        vm = Vgic(self.make_host(), threads=False, memory=ram)
        vm.kick = self.kick
        for vcpu_id in range(self.cpus):
            vm.create_vcpu(vcpu_id)
        device = vm.create_device(self.kind)
        device.set_attr(Group.NR_IRQS, 0, self.spis + _PRIVATE)
        for attr, base in self.frames.items():
            device.set_attr(Group.ADDR, attr, base)
        device.set_attr(Group.CTRL, CTRL_INIT)
        self.devices: dict[DeviceType, Device] = {self.kind: device}
        if self.has_its:
            its = vm.create_device(DeviceType.ITS)
            its.set_attr(Group.ADDR, Addr.ITS, GITS_BASE)
            its.set_attr(Group.CTRL, CTRL_INIT)
            self.devices[DeviceType.ITS] = its
        for intid, listener in self._listeners:
            vm.add_ack_notifier(intid, listener)
        self.ram = ram
        self.vm = vm

    def power_off(self) -> None:
        """Destroy the VM; its RAM is left."""
        self.vm.destroy()

    @property
    def ram_size(self) -> int:
        """Bytes of RAM."""
        return _RAM_SIZE + self.cpus * _RAM_OF_A_CPU

    def make_host(self) -> Host:
        """Return the host: a physical CPU for each vCPU, nothing trapped."""
        return Host(Machine(cpus=self.cpus, virt=VirtConfig(n_lr=self.lrs)))

    # -- the VMM and its devices -----------------------------------------------------------------

    def kick(self, cpu: int) -> None:
        """Note that the library wants `cpu` to look at its interrupts."""
        self.kicked[cpu] = True

    def inject(self, intid: int, level: bool) -> None:
        """Drive the line of an SPI."""
        self.vm.inject(intid, level)

    def on_completion(self, intid: int, listener: AckNotifier) -> None:
        """Call `listener` when the guest has completed a level SPI."""
        self._listeners.append((intid, listener))
        self.vm.add_ack_notifier(intid, listener)

    def signal_msi(self, devid: int, eventid: int) -> int:
        """Let a device send a message; 1 if that was an interrupt, 0 if the guest's mappings block it."""
        return self.vm.signal_msi(GITS_BASE + GITS_TRANSLATER, eventid, devid)

    def get_attr(self, device: DeviceType, group: Group, attr: int) -> int:
        """KVM_GET_DEVICE_ATTR."""
        return self.devices[device].get_attr(group, attr)

    def set_attr(self, device: DeviceType, group: Group, attr: int, value: int = 0) -> None:
        """KVM_SET_DEVICE_ATTR."""
        self.devices[device].set_attr(group, attr, value)

    def read_ram(self, gpa: int, size: int) -> bytes | None:
        """Return what RAM holds, or None if some of it is not RAM."""
        return self.ram.read(gpa, size)

    def write_ram(self, gpa: int, data: bytes) -> bool:
        """Store in RAM; False if some of it is not RAM."""
        return self.ram.write(gpa, data)

    def enter(self, cpu: int) -> None:
        """Enter the guest; kicks until now are served by that."""
        self.kicked[cpu] = False
        self.vm.vcpus[cpu].enter()

    def exit(self, cpu: int) -> None:
        """Leave the guest."""
        self.vm.vcpus[cpu].exit()

    def wfi(self, cpu: int) -> bool:
        """The guest executes WFI; whether that takes it out of the guest, as it does unless the host says otherwise."""
        self.exit(cpu)
        return True

    def has_work(self, cpu: int) -> bool:
        """Whether a vCPU outside the guest, in WFI, must run again."""
        return self.vm.vcpus[cpu].pending()

    # -- the physical CPU that runs the guest ----------------------------------------------------

    def must_exit(self, cpu: int) -> bool:
        """Whether something takes the physical CPU out of the guest: a kick's IPI, or the maintenance interrupt."""
        if self.kicked[cpu]:
            return True
        if self.vm.vcpus[cpu].pe.virt.maintenance():
            self.maintenance_exits += 1
            return True
        return False

    def irq(self, cpu: int) -> bool:
        """The virtual IRQ line."""
        return self.vm.vcpus[cpu].pe.virq()

    def fiq(self, cpu: int) -> bool:
        """The virtual FIQ line."""
        return self.vm.vcpus[cpu].pe.vfiq()

    # -- what the guest's instructions do --------------------------------------------------------

    def affinity(self, cpu: int) -> int:
        """MPIDR_EL1's Aff3.Aff2.Aff1.Aff0."""
        return self.vm.vcpus[cpu].mpidr

    def load(self, cpu: int, gpa: int, size: int) -> int:
        """Return what a load reads, or a negative number if no frame is there."""
        return self.vm.vcpus[cpu].read(gpa, size)

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        """Store; False if no frame is there."""
        return self.vm.vcpus[cpu].write(gpa, size, value)

    def mrs(self, cpu: int, register: int) -> int:
        """Return what MRS reads, or a negative number if it is UNDEFINED."""
        return self.vm.vcpus[cpu].mrs(register)

    def msr(self, cpu: int, register: int, value: int) -> bool:
        """Write a system register; False if it is UNDEFINED."""
        return self.vm.vcpus[cpu].msr(register, value)


class BoardV2(Board):
    """A GICv2 on a GICv2."""

    kind = DeviceType.VGIC_V2
    has_its = False
    frames = MappingProxyType({Addr.V2_DIST: GICD_BASE, Addr.V2_CPU: GICC_BASE})

    __slots__ = ()

    def make_host(self) -> Host:
        """Return the host: a physical CPU for each vCPU, GICV mapped into its guest."""
        return Host(Machine(cpus=self.cpus, gic=V2Config(n_lr=self.lrs)))


class BoardV2OnV3(BoardV2):
    """A GICv2 on a GICv3 that has the compatibility interface."""

    __slots__ = ()

    def make_host(self) -> Host:
        """Return the host: a physical CPU for each vCPU, GICV mapped into its guest."""
        return Host(Machine(cpus=self.cpus, virt=VirtConfig(n_lr=self.lrs, sre_legacy=True)))
