"""The host: what KVM learns of the machine at boot, and which vCPU each physical CPU holds.

Room:    between hw and the VMs that share it; one for each Machine.
Owns:    `loaded`, the vCPU whose CPU interface is live on each physical CPU.
"""

from typing import TYPE_CHECKING, Final, final

from hw import Machine
from hw.arch import (
    CTLR_A3V,
    CTLR_SEIS,
    HCR_TALL0,
    HCR_TALL1,
    HCR_TC,
    VTR_A3V,
    VTR_IDBITS_SHIFT,
    VTR_PRIBITS_SHIFT,
    VTR_SEIS,
)
from vgic.errors import EINVAL, ENODEV, BusyError, ConfigError, VgicError
from vgic.ids import MAX_VCPUS_V2, MAX_VCPUS_V3
from vgic.switch import Switch
from vgic.v2.switch import SwitchV2
from vgic.v3.switch import SwitchV3
from vgic.v4.hostdev import Fired, HostDevices, HostMsi
from vgic.v4.hostgic import HostGic
from vgic.v4.limit import DeviceLimit
from vgic.v4.switch import SwitchV4

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic

NO_GIC_TRAPS: Final = HCR_TC | HCR_TALL0 | HCR_TALL1
"""What a guest without a GICv3 is run with, so that every ICC access is UNDEFINED: __vgic_v3_activate_traps()."""

_VTR_LISTREGS_V2: Final = 0x3F
_VTR_LISTREGS_V3: Final = 0xF


@final
class Host:
    """A KVM host on `machine` (KVM: kvm_vgic_global_state).

    group0_trap, group1_trap, common_trap: KVM's boot options `kvm-arm.vgic_v3_group0_trap` and so on; they make KVM
    emulate that part of a GICv3 guest's CPU interface instead of leaving it to hardware.
    gicv_trap: GICV does not fill whole pages, so that KVM cannot map it into a GICv2 guest: a GICv2 host then forwards
    the accesses, and a GICv3 host has no GICv2 guests.
    vgic_v4_enable: KVM's boot option `kvm-arm.vgic_v4_enable`: inject directly, if the machine has GICv4.
    wfi_trap: KVM's boot option `kvm-arm.wfi_trap_policy`: True traps every WFI, False none; see `Vcpu.traps_wfi`.
    erratum_162100801: the machine's GICv4.1 has HiSilicon's erratum of that number, and needs KVM's way around it.
    tables: where in the machine's memory the host puts tables of the GIC; by default the upper half.  The GIC is taken
    into use for direct injection, or when the first vector of a device is requested.
    Errors: EINVAL for tables outside of the machine's memory; ENOMEM when they do not fit there.
    """

    __slots__ = (
        "_tables",
        "devices",
        "gicv_trap",
        "has_gicv2_guests",
        "has_gicv4",
        "has_gicv4_1",
        "id_bits_code",
        "is_gicv3",
        "loaded",
        "machine",
        "max_vcpus",
        "nr_lr",
        "pri_bits",
        "seis_a3v",
        "switch",
        "trap_bits",
        "wfi_trap",
    )

    def __init__(
        self,
        machine: Machine,
        *,
        group0_trap: bool = False,
        group1_trap: bool = False,
        common_trap: bool = False,
        gicv_trap: bool = False,
        vgic_v4_enable: bool = False,
        wfi_trap: bool | None = None,
        erratum_162100801: bool = False,
        tables: int | None = None,
    ) -> None:
        """Probe the machine: vgic_v2_probe(), vgic_v3_probe()."""
        pe = machine.pes[0]
        vtr = pe.virt.read_vtr()
        self.machine = machine
        self.is_gicv3 = machine.gic is None
        self.gicv_trap = gicv_trap
        memory = machine.memory
        self._tables = memory.base + memory.size // 2 if tables is None else tables
        if not memory.contains(self._tables, 1):
            raise ConfigError(EINVAL, f"the machine has no memory for tables of the GIC at {self._tables:#x}")
        self.loaded: dict[int, VcpuGic] = {}  # physical CPU index -> vCPU
        self.devices: HostDevices | None = None  # with the driver of the physical GIC, once that is in use
        gic = self._start_gic().gic if vgic_v4_enable and self.is_gicv3 and machine.itss else None
        self.wfi_trap = wfi_trap
        if gic is not None:
            gic.erratum_162100801 = erratum_162100801
        self.has_gicv4 = gic is not None and gic.has_v4
        self.has_gicv4_1 = gic is not None and gic.has_v4 and gic.has_v4_1
        self.switch: Switch
        if self.is_gicv3:
            self.has_gicv2_guests = pe.gicv is not None and not gicv_trap
            self.max_vcpus = MAX_VCPUS_V3
            self.switch = SwitchV4() if self.has_gicv4 else SwitchV3()
            self.nr_lr = (vtr & _VTR_LISTREGS_V3) + 1
            self.trap_bits = HCR_TALL0 * group0_trap | HCR_TALL1 * group1_trap | HCR_TC * common_trap
        else:
            self.has_gicv2_guests = True
            self.max_vcpus = MAX_VCPUS_V2
            self.switch = SwitchV2()
            self.nr_lr = (vtr & _VTR_LISTREGS_V2) + 1
            self.trap_bits = 0
        self.pri_bits = (vtr >> VTR_PRIBITS_SHIFT & 7) + 1
        self.id_bits_code = vtr >> VTR_IDBITS_SHIFT & 7
        # ICH_VTR_EL2.SEIS and A3V, where ICC_CTLR_EL1 shows them
        self.seis_a3v = (CTLR_SEIS if vtr & VTR_SEIS else 0) | (CTLR_A3V if vtr & VTR_A3V else 0)

    # -- the physical GIC ------------------------------------------------------------------------

    @property
    def gic(self) -> HostGic | None:
        """The driver of the physical GIC, once that is in use."""
        return None if self.devices is None else self.devices.gic

    def request_msi(
        self, devid: int, eventid: int, fired: Fired | None = None, *, its: int = 0, vectors: int = 32, cpu: int = 0
    ) -> HostMsi:
        """Request a vector of a physical device: event `eventid` of DeviceID `devid` behind ITS `its`.

        fired    called each time the host takes the vector's interrupt on physical CPU `cpu`; not while the vector
                 goes to a guest directly (`Vgic.add_producer`).
        vectors  how many vectors the device has; taken from its first.
        cpu      the physical CPU that takes it; another one while that is offline.
        Errors: ENODEV without such an ITS; EINVAL, EBUSY, ENOMEM.
        """
        return self._devices().request(devid, eventid, fired, its, vectors, cpu)

    def free_msi(self, msi: HostMsi) -> None:
        """Give a vector back.

        Errors: EINVAL for one given back before, or of another host; EBUSY while it goes to a guest.
        """
        self.devices_of(msi).free(msi)

    def devices_of(self, msi: HostMsi) -> HostDevices:
        """The devices of this host, one of which a vector has to belong to.  Errors: EINVAL."""
        devices = self.devices
        if devices is None or devices.gic is not msi.device.gic:
            raise ConfigError(EINVAL, f"event {msi.eventid} of device {msi.device.devid:#x} is of another host")
        return devices

    def msi(self, msi: HostMsi, times: int = 1) -> None:
        """The device sends the message of that vector; the physical CPU that gets an interrupt for it takes that.

        times  how often, before any CPU looks: messages that find their interrupt pending are merged with it.
        Those that `limit_device` does not allow now wait at the device.  Errors: EINVAL for a vector of another host.
        """
        devices = self.devices_of(msi)
        gic = devices.gic
        with gic.lock:
            limit = devices.limit_of(msi) if devices.limits else None
            if limit is None:
                its = self.machine.itss[msi.device.its.number]
                for _ in range(times):
                    its.msi(msi.device.devid, msi.eventid)
            else:
                limit.send(msi.eventid, times)
            direct = msi.direct
        if limit is not None:
            gic.take_all()  # others of its messages may have become due
        elif direct is None:
            gic.take(msi.cpu)
        else:
            direct.announce()

    def limit_device(self, devid: int, messages: int, cycles: int, *, its: int = 0) -> DeviceLimit:
        """Let that device send at most `messages` messages in any `cycles` cycles of the machine, or change that.

        Off until this is called.  A vector that has a message too many waits masked, as a PCI device's can, and sends
        it as time passes (`tick`); the limit counts such messages.  It holds for what `msi` sends, is there before
        and after the device has vectors, and changing it grants no messages.
        Errors: ENODEV without such an ITS; EINVAL.
        """
        devices = self._devices()
        limit = devices.set_limit(its, devid, messages, cycles)
        devices.gic.take_all()
        return limit

    def unlimit_device(self, devid: int, *, its: int = 0) -> None:
        """The device sends what it holds, and is limited no more; one that was not is left as it is."""
        devices = self.devices
        if devices is not None and (its, devid) in devices.limits:
            devices.lift_limit(its, devid)
            devices.gic.take_all()

    def tick(self, cycles: int = 0) -> None:
        """Let time pass, as Machine.tick does; each message that a limit holds back is sent when it is due.

        With 0, those are sent that became due when the machine's time passed otherwise.  Errors: EINVAL.
        """
        if cycles < 0:
            raise ConfigError(EINVAL, f"{cycles} cycles: time does not go back")
        if self.devices is None:
            self.machine.tick(cycles)
        else:
            self.devices.tick(cycles)

    def take_interrupts(self, cpu: int | None = None) -> None:
        """Physical CPU `cpu`, or each, takes the LPIs that are pending there: doorbells, and vectors of devices.

        Errors: EINVAL for a CPU that is not there.
        """
        if cpu is not None:
            self._check_cpu(cpu)
        gic = self.gic
        if gic is None:
            return
        if cpu is None:
            gic.take_all()
        else:
            gic.take(cpu)

    def cpu_offline(self, cpu: int) -> None:
        """Physical CPU `cpu` is unplugged: interrupts and doorbells that it would take go to others.

        Errors: EINVAL for a CPU that is not there, or the last one; EBUSY while a vCPU is loaded on it; ENODEV on a
        GICv2 host, which is not modelled that far.
        """
        if not self.is_gicv3:
            raise VgicError(ENODEV, "the machine has no GICv3")
        gic = self._start_gic().gic
        with gic.lock:
            online = [n for n in range(gic.cpus) if n not in gic.offline]
            if cpu not in online or len(online) == 1:
                raise ConfigError(EINVAL, f"physical CPU {cpu} cannot go: {online} are there")
            if cpu in self.loaded:
                raise BusyError(f"physical CPU {cpu} holds vCPU {self.loaded[cpu].index}: put it first")
            gic.set_offline(cpu)

    def cpu_online(self, cpu: int) -> None:
        """Physical CPU `cpu` is back; nothing moves to it by itself.  Errors: EINVAL for one that is not there."""
        self._check_cpu(cpu)
        if self.gic is not None:
            self.gic.offline.discard(cpu)

    def _check_cpu(self, cpu: int) -> None:
        if not 0 <= cpu < len(self.machine.pes):
            raise ConfigError(EINVAL, f"there is no physical CPU {cpu}")

    def _devices(self) -> HostDevices:
        """Errors: ENODEV where there can be none."""
        if not self.is_gicv3 or not self.machine.itss:
            raise VgicError(ENODEV, "the machine has no ITS")
        return self._start_gic()

    def _start_gic(self) -> HostDevices:
        """Take the physical GIC into use."""
        devices = self.devices
        if devices is None:
            memory = self.machine.memory
            gic = HostGic(self.machine, self._tables, memory.base + memory.size - self._tables)
            gic.loaded = self.loaded
            devices = self.devices = HostDevices(gic)
        return devices
