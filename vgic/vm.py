"""Vgic: the interrupt controller of one VM, as its VMM creates, configures and drives it.

Room:    the top: above everything but the command line.
Owns:    the VM's lock, and which vCPU objects there are.
Holds:   a call that raises has changed nothing, except where KVM leaves a mark (the docstring says so).
"""

from typing import Final, TypeVar, final

from hw import Machine, V2Config, VirtConfig
from vgic.ap_list import check as check_ap_list
from vgic.bus import Bus
from vgic.device import Device
from vgic.dist import Dist
from vgic.dump import VgicState, state_json, state_text
from vgic.errors import EEXIST, EINVAL, ENODEV, ConfigError, DeadVmError, VgicError
from vgic.explain import explain
from vgic.gates import Explanation
from vgic.guest import Vcpu
from vgic.host import Host
from vgic.ids import (
    CREATE_DEVICE_TEST,
    CTRL_INIT,
    DEFAULT_IPA_BITS,
    ITS,
    MAX_IPA_BITS,
    MAX_VCPUS_V2,
    MAX_VCPUS_V3,
    MIN_IPA_BITS,
    NR_PRIVATE,
    V2,
    V3,
    Addr,
    Cap,
    DeviceType,
    Group,
)
from vgic.incoming import Incoming
from vgic.its.create import create_its
from vgic.its.groups import groups_of
from vgic.its.maps import DEFAULT_CAP, Budget
from vgic.lifecycle import add_vcpu, check_new_vcpu, create_vgic, destroy
from vgic.lock import make_lock
from vgic.locked import LockedVcpu
from vgic.model import NO_VGIC
from vgic.ports import GuestMemory, Kick, TracePort
from vgic.routes import MAX_ROUTES
from vgic.state import Snapshot, check_restore, restore, save
from vgic.v2.groups import GROUPS_V2
from vgic.v2.model import MODEL_V2
from vgic.v3.groups import GROUPS_V3
from vgic.v4.model import gicv3_model

GICD_BASE: Final = 0x0800_0000
GICC_BASE: Final = 0x0801_0000
GICR_BASE: Final = 0x080A_0000
"""Where `Vgic.gicv2` and `Vgic.gicv3` put the frames, as QEMU's virt board does."""


_EXTENSIONS: Final[dict[int, int]] = {
    Cap.IRQCHIP: 1,
    Cap.IRQ_ROUTING: MAX_ROUTES,
    Cap.IRQFD: 1,
    Cap.SIGNAL_MSI: 1,
    Cap.IRQFD_RESAMPLE: 1,
    Cap.ARM_IRQ_LINE_LAYOUT_2: 1,
}

_Config = TypeVar("_Config", VirtConfig, V2Config)


def _checked(config: type[_Config], lrs: int) -> _Config:
    """Return the configuration of a machine with `lrs` list registers.  Errors: EINVAL."""
    try:
        return config(n_lr=lrs)
    except ValueError as error:
        raise ConfigError(EINVAL, f"{lrs} list registers: {error}") from error


@final
class Vgic(Incoming):
    """One VM's interrupt controller.

    host     the machine it runs on; a new one with 8 physical CPUs unless given.  Several VMs may share one.
    threads  True: every call takes the VM's lock.  False: for a VMM with one thread, faster.  With direct injection
             the lock is the host's, as its VMs share hardware that works by itself: use one thread for all, or True.
    ipa_bits size of guest physical address space, 32 to 52.  Errors: EINVAL.
    memory   the guest's RAM, where LPI and ITS tables lie; without it every access to a table fails.
    its_cap  how many devices, collections and events the guest may map in all its ITSs; see `its_budget`.
    """

    __slots__ = ("_kick", "_threads", "_vcpus")

    def __init__(
        self,
        host: Host | None = None,
        *,
        threads: bool = True,
        ipa_bits: int = DEFAULT_IPA_BITS,
        memory: GuestMemory | None = None,
        its_cap: int = DEFAULT_CAP,
    ) -> None:
        """KVM_CREATE_VM: a VM with no vCPU and no interrupt controller yet."""
        if not MIN_IPA_BITS <= ipa_bits <= MAX_IPA_BITS:
            raise ConfigError(EINVAL, f"{ipa_bits} bits of guest physical address: 32 to 52 are possible")
        host = host or Host(Machine(cpus=8))
        gic = host.gic if host.has_gicv4 else None
        lock = make_lock(threads) if gic is None or not threads else gic.lock
        super().__init__(Dist(host, Bus(), 1 << ipa_bits, NO_VGIC), lock)
        self._threads = threads
        self._dist.memory = memory
        self._dist.its_budget = Budget(its_cap)
        self._vcpus: tuple[Vcpu, ...] = ()
        self._kick: Kick | None = None

    @classmethod
    def gicv3(
        cls,
        vcpus: int,
        spis: int = 64,
        *,
        lrs: int = 4,
        host: Host | None = None,
        threads: bool = True,
        kick: Kick | None = None,
    ) -> "Vgic":
        """Return a VM ready to enter: `vcpus` vCPUs, `spis` SPIs (a multiple of 32), frames where kvmtool has them.

        lrs   list registers of the new machine, which has a physical CPU for each vCPU; unused with `host`.
        Errors: EINVAL for numbers that no VM or machine can have.
        """
        if not 1 <= vcpus <= MAX_VCPUS_V3:
            raise ConfigError(EINVAL, f"{vcpus} vCPUs: 1 to {MAX_VCPUS_V3} are possible")
        if host is None:
            host = Host(Machine(cpus=vcpus, virt=_checked(VirtConfig, lrs)))
        vm = cls(host, threads=threads)
        return vm._furnish(V3, vcpus, spis, kick, {Addr.V3_DIST: GICD_BASE, Addr.V3_REDIST: GICR_BASE})

    @classmethod
    def gicv2(
        cls,
        vcpus: int,
        spis: int = 64,
        *,
        lrs: int = 4,
        host: Host | None = None,
        threads: bool = True,
        kick: Kick | None = None,
    ) -> "Vgic":
        """Return a VM with a GICv2 and up to 8 vCPUs, as `gicv3` does; on a GICv2 machine unless `host` is given.

        Errors: as `gicv3`; ENODEV when `host` has no GICv2 guests.
        """
        if not 1 <= vcpus <= MAX_VCPUS_V2:
            raise ConfigError(EINVAL, f"{vcpus} vCPUs: 1 to {MAX_VCPUS_V2} are possible")
        if host is None:
            host = Host(Machine(cpus=vcpus, gic=_checked(V2Config, lrs)))
        vm = cls(host, threads=threads)
        return vm._furnish(V2, vcpus, spis, kick, {Addr.V2_DIST: GICD_BASE, Addr.V2_CPU: GICC_BASE})

    def _furnish(self, kind: DeviceType, vcpus: int, spis: int, kick: Kick | None, frames: dict[Addr, int]) -> "Vgic":
        """Create vCPUs and the VGIC, place its frames, initialise."""
        self.kick = kick
        for vcpu_id in range(vcpus):
            self.create_vcpu(vcpu_id)
        device = self.create_device(kind)
        device.set_attr(Group.NR_IRQS, 0, spis + NR_PRIVATE)
        for attr, base in frames.items():
            device.set_attr(Group.ADDR, attr, base)
        device.set_attr(Group.CTRL, CTRL_INIT)
        return self

    # -- configuration ---------------------------------------------------------------------------

    @property
    def vcpus(self) -> tuple[Vcpu, ...]:
        """The vCPUs in order of creation."""
        return self._vcpus

    @property
    def host(self) -> Host:
        """The host this VM runs on."""
        return self._dist.host

    @property
    def its_budget(self) -> Budget:
        """What the guest has mapped in its ITSs, what it may, and how often it wanted more."""
        return self._dist.its_budget

    @property
    def kick(self) -> Kick | None:
        """The port called with a vCPU's index when it must look at its interrupts."""
        return self._kick

    @kick.setter
    def kick(self, port: Kick | None) -> None:
        with self._lock:
            self._kick = port
            for vcpu in self._vcpus:
                vcpu.kick_port = port

    @property
    def trace(self) -> TracePort | None:
        """The listener for what KVM traces; None costs nothing."""
        return self._dist.trace

    @trace.setter
    def trace(self, port: TracePort | None) -> None:
        with self._lock:
            self._dist.trace = port

    def create_vcpu(self, vcpu_id: int | None = None) -> Vcpu:
        """KVM_CREATE_VCPU with the given id (default: the next free one).

        Errors: EINVAL for an id or a number of vCPUs past the limit, or when its redistributor cannot lie where
        it would; EBUSY once the VGIC is initialised; EEXIST for an id in use (its slot is lost, as in KVM).
        """
        with self._lock:
            dist = self._dist
            if dist.dead:
                raise DeadVmError
            if vcpu_id is None:
                vcpu_id = next(i for i in range(len(self._vcpus) + 1) if i not in dist.by_id)
            check_new_vcpu(dist, vcpu_id)
            vcpu = self._new_vcpu(len(self._vcpus), vcpu_id)
            add_vcpu(vcpu)
            if vcpu_id in dist.by_id:
                dist.guest.unplace(vcpu)
                raise VgicError(EEXIST, f"vCPU id {vcpu_id} is in use")
            self._vcpus = (*self._vcpus, vcpu)
            dist.vcpus.append(vcpu)
            dist.by_id[vcpu_id] = vcpu
            dist.index_affinities()
            return vcpu

    def _new_vcpu(self, index: int, vcpu_id: int) -> Vcpu:
        """Return a vCPU object that the VM does not know yet."""
        dist = self._dist
        pes = dist.host.machine.pes
        pe = pes[index % len(pes)]
        vcpu = LockedVcpu(dist, index, vcpu_id, pe, self._lock) if self._threads else Vcpu(dist, index, vcpu_id, pe)
        vcpu.kick_port = self._kick
        return vcpu

    def create_device(self, kind: int, flags: int = 0) -> Device:
        """KVM_CREATE_DEVICE for a VGIC.

        flags  CREATE_DEVICE_TEST: check only that the type exists; a handle is returned that leads nowhere.
        Errors: ENODEV for a type this host cannot give; EEXIST, EBUSY, E2BIG as in kvm_vgic_create().
        """
        with self._lock:
            dist = self._dist
            if dist.dead:
                raise DeadVmError
            if not (dist.host.has_gicv2_guests if kind == V2 else kind in (V3, ITS) and dist.host.is_gicv3):
                raise VgicError(ENODEV, f"this host has no device of type {kind}")
            if flags & CREATE_DEVICE_TEST:
                return Device(dist, {}, self._lock)
            if kind == ITS:
                return Device(dist, groups_of(create_its(dist)), self._lock)
            if kind == V3:
                create_vgic(dist, V3, gicv3_model(dist.host), MAX_VCPUS_V3)
                return Device(dist, GROUPS_V3, self._lock)
            create_vgic(dist, V2, MODEL_V2, MAX_VCPUS_V2)
            return Device(dist, GROUPS_V2, self._lock)

    def create_irqchip(self) -> None:
        """KVM_CREATE_IRQCHIP: always a GICv2, to be configured by `set_device_addr`.

        Errors: as `create_device`; ENODEV on a host without GICv2 guests.
        """
        with self._lock:
            if self._dist.dead:
                raise DeadVmError
            if not self._dist.host.has_gicv2_guests:
                raise VgicError(ENODEV, "this host gives its guests no GICv2")
            create_vgic(self._dist, V2, MODEL_V2, MAX_VCPUS_V2)

    def set_device_addr(self, device_addr_id: int, addr: int) -> None:
        """KVM_ARM_SET_DEVICE_ADDR: `device_addr_id` is device[31:16], which must be 0, and address type[15:0].

        Errors: ENODEV for another device or type, or when the VM has no GICv2; EEXIST, EINVAL, E2BIG as for the
        attribute.
        """
        with self._lock:
            dist = self._dist
            if dist.dead:
                raise DeadVmError
            if device_addr_id >> 16 & 0xFFFF or device_addr_id & 0xFFFF not in (Addr.V2_DIST, Addr.V2_CPU):
                raise VgicError(ENODEV, f"there is no device address {device_addr_id:#x}")
            if dist.model is not V2:
                raise VgicError(ENODEV, "the VM has no GICv2")
            GROUPS_V2[Group.ADDR].set(dist, device_addr_id & 0xFFFF, addr)

    def check_extension(self, cap: int) -> int:
        """KVM_CHECK_EXTENSION: 0 for what is not there.  Errors: EIO in a dead VM.

        IRQ_ROUTING gives the number of routes there may be; MSI_DEVID is there once an ITS was created.
        """
        if self._dist.dead:
            raise DeadVmError
        if cap == Cap.MSI_DEVID:
            return int(self._dist.wants_its)
        return _EXTENSIONS.get(cap, 0)

    # -- the end ----------------------------------------------------------------------------------

    def destroy(self) -> None:
        """Tear the VM down: kvm_vgic_destroy().  Its physical CPUs are free again; every later call gives EIO.

        Errors: EBUSY while a vCPU is in the guest.
        """
        with self._lock:
            destroy(self._dist)

    # -- saving ----------------------------------------------------------------------------------

    def save(self) -> Snapshot:
        """Return the whole interrupt state as one value (`Snapshot.to_json` makes a text of it); puts every vCPU.

        Guest memory is neither written nor needed to restore, but is the guest's and must be moved with the VM.
        Errors: EBUSY while a vCPU is in the guest; EIO in a dead VM.
        """
        with self._lock:
            return save(self._dist)

    def restore(self, snapshot: Snapshot) -> tuple[Device, ...]:
        """Make this VM what another, or itself, was at `save`; return handles: the VGIC's if there is one, each ITS's.

        The VM has no vCPUs or those of the snapshot, and no devices or as many and the same; the host is of the same
        kind.  Ports are not in a snapshot, nor called: see docs/saving.md for what has to be supplied again.
        Errors: EIO, EBUSY as `save`; StateError, which says what does not fit.  The VM is then as it was.
        """
        with self._lock:
            dist = self._dist
            check_restore(dist, snapshot)
            created = []
            if not self._vcpus:
                created = [self._new_vcpu(index, vcpu_id) for index, vcpu_id in enumerate(snapshot.vcpu_ids)]
                self._vcpus = tuple(created)
            restore(dist, snapshot, list(created))
            self._irqfds.restored()
            devices = [Device(dist, groups_of(its), self._lock) for its in dist.its_list]
            if dist.model is not None:
                devices.insert(0, Device(dist, GROUPS_V2 if dist.model is V2 else GROUPS_V3, self._lock))
            return tuple(devices)

    # -- looking inside --------------------------------------------------------------------------

    def debug_state(self) -> str:
        """Return what KVM's debugfs file `vgic-state` shows.  vCPUs in the guest are not folded for it."""
        with self._lock:
            return state_text(self._dist)

    def state(self) -> VgicState:
        """Return what `debug_state` shows as dictionaries with names, ready for JSON."""
        with self._lock:
            return state_json(self._dist)

    def explain(self, intid: int, vcpu: Vcpu | None = None) -> Explanation:
        """Say which gates stop `intid` on its way to a guest; print the answer.  Changes nothing.

        vcpu  whose guest; None, for an SPI: the vCPU that holds it, or else the one it is routed to.
        Errors: EINVAL for a private interrupt without a vCPU.
        """
        with self._lock:
            return explain(self._dist, intid, vcpu)

    def check(self) -> None:
        """Assert that every interrupt is listed where it thinks it is; for tests of what calls the library."""
        with self._lock:
            for vcpu in self._dist.vcpus:
                check_ap_list(vcpu)
