"""An LPI becomes a vLPI and back: map, move, unmap, change of properties.

Room:    above vPEs and the host's devices; what the guest's ITS commands do to a forwarded LPI comes in through Direct.
Owns:    Irq.direct of LPIs; the VM's virtual configuration table; what an event of the host's ITS is mapped to.
Never:   keeps a pending state: while forwarded only hardware has one.
Holds:   msi.direct is a Vlpi  <=>  that Vlpi is irq.direct of one LPI, and counted in its vPE, its VM and its device.
         The configuration byte in memory is what the guest's was when it last had it read, with bit 1 set.

KVM: kvm_vgic_v4_set_forwarding(), kvm_vgic_v4_unset_forwarding(), its_map_vlpi() and its kin, its_vlpi_map().
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Final, final

from hw import arch4
from hw.arch import FIRST_LPI
from hw.arch4 import VLPI_ENABLE, VLPI_GROUP1, VLPI_PRIORITY_MASK
from vgic.direct import Direct
from vgic.errors import EBUSY, EINVAL, ConfigError, VgicError
from vgic.ids import MSI_VALID_DEVID
from vgic.irq import Irq
from vgic.its.state import Its
from vgic.run import halt_guests, resume_guests
from vgic.v4.hostdev import HostMsi
from vgic.v4.hostits import NONE
from vgic.v4.vm import ItsVm
from vgic.v4.vpe import Vpe

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.routes import MsiRoute
    from vgic.vcpu import VcpuGic

UNMAPPED_INTERRUPT: Final = 0x010307
"""E_ITS_INT_UNMAPPED_INTERRUPT, which KVM 6.12 returns as it is when the guest has not mapped the event."""


@final
class Vlpi(Direct):
    """One LPI that is forwarded (KVM: struct its_vlpi_map)."""

    __slots__ = ("byte", "irq", "msi", "vm", "vpe")

    def __init__(self, vm: ItsVm, vpe: Vpe, irq: Irq, msi: HostMsi) -> None:
        """Describe; `map` does it."""
        self.vm = vm
        self.vpe = vpe
        self.irq = irq
        self.msi = msi
        self.byte = irq.priority & VLPI_PRIORITY_MASK | VLPI_GROUP1 | (VLPI_ENABLE if irq.enabled else 0)

    def map(self) -> None:
        """Hand the event over: its_vlpi_map().  A physical LPI that is pending is lost with its mapping.

        Errors: EIO when the ITS does not take commands any more; the event goes to the host then, as before.
        """
        device = self.msi.device
        its = device.its
        with self.vm.gic.lock:
            self._count(1)
            self._write_byte(self.byte)
            try:
                its.physical(arch4.DISCARD, device.devid, self.msi.eventid, self.msi.cpu)
                its.map_vlpi(device.devid, self.msi.eventid, self.vpe.vpeid, self.irq.intid, self._doorbell())
            except VgicError:
                self._count(-1)
                with suppress(VgicError):
                    its.map_event(device.devid, self.msi.eventid, self.msi.lpi, self.msi.cpu)
                raise
            self.msi.direct = self
            self.irq.direct = self

    def _count(self, one: int) -> None:
        """One vLPI more, or less, of the device, the VM and the vPE."""
        device = self.msi.device
        if one > 0:
            self.vm.use(device.its)
        else:
            self.vm.unuse(device.its)
        self.vpe.vlpis += one
        device.forwarded += one
        device.vm = self.vm if device.forwarded else None

    def drop(self) -> None:
        """Take the event back: its_vlpi_unmap().  A vLPI that is pending is lost, as in KVM."""
        msi = self.msi
        device = msi.device
        its = device.its
        gic = self.vm.gic
        with gic.lock:
            its.physical(arch4.DISCARD, device.devid, msi.eventid, msi.cpu)
            its.map_event(device.devid, msi.eventid, msi.lpi, msi.cpu)
            gic.set_config(msi.lpi, True)
            if gic.direct_lpi:
                gic.invalidate(msi.lpi, msi.cpu)
            else:
                its.physical(arch4.INV, device.devid, msi.eventid, msi.cpu)
            self.irq.direct = None
            msi.direct = None
            self._count(-1)

    def pend(self) -> None:
        """INT."""
        self.send(arch4.INT)
        self.announce()

    def announce(self) -> None:
        """At once, or when the guest's ITS has worked off its queue."""
        self.vm.announce(self.vpe)

    def clear(self) -> None:
        """CLEAR."""
        self.send(arch4.CLEAR)

    def is_pending(self) -> bool:
        """Look into the pending table; on GICv4.0 that is never the software's, and the answer is no."""
        return self.vpe.has_pending(self.irq.intid)

    def peek(self) -> bool:
        """As the vPE has it."""
        return self.vpe.peek(self.irq.intid)

    def retarget(self, vcpu: "VcpuGic | None") -> None:
        """VMOVI; what is pending goes with it."""
        vpe = None if vcpu is None else self.vm.vpe_of(vcpu)
        if vpe is None:
            return
        self.vpe.vlpis -= 1
        self.vpe = vpe
        vpe.vlpis += 1
        self._move()
        self.vm.announce(vpe)

    def configure(self, byte: int, invalidate: bool) -> None:
        """Store the byte; GICv4.0 must not ring for a disabled LPI, so the event loses its doorbell then."""
        gic = self.vm.gic
        vpe = self.vpe
        was = self.byte
        self._write_byte(byte | VLPI_GROUP1)
        with gic.lock:
            if invalidate:
                self._invalidate()
            if not gic.has_v4_1 and (byte ^ was) & VLPI_ENABLE:
                self._move()
        if invalidate:
            self.vm.announce(vpe)
        if not gic.has_v4_1 and byte & ~was & VLPI_ENABLE:
            vpe.suspect()

    def invalidate(self) -> None:
        """GICR_INVLPIR, or INV."""
        self._invalidate()
        self.announce()

    def _invalidate(self) -> None:
        gic = self.vm.gic
        if gic.has_v4_1:
            gic.invalidate_virtual(self.irq.intid, self.vpe.vpeid, self.vpe.cpu)
        else:
            self.send(arch4.INV)

    def _write_byte(self, byte: int) -> None:
        self.byte = byte
        self.vm.gic.machine.memory.write(self.vm.vct + self.irq.intid - FIRST_LPI, 1, byte)

    def _doorbell(self) -> int:
        return self.vpe.vlpi_doorbell() if self.byte & VLPI_ENABLE else NONE

    def send(self, number: int) -> None:
        """INT, CLEAR or INV of its event."""
        device = self.msi.device
        with self.vm.gic.lock:
            device.its.virtual(number, device.devid, self.msi.eventid, self.vpe.vpeid)

    def _move(self) -> None:
        device = self.msi.device
        with self.vm.gic.lock:
            device.its.move_vlpi(device.devid, self.msi.eventid, self.vpe.vpeid, self._doorbell())


def set_forwarding(dist: "Dist", msi: HostMsi, route: "MsiRoute") -> int:
    """Have the vector go to the guest directly: kvm_vgic_v4_set_forwarding().

    Returns 0 also where the VM has no direct injection, the message names no ITS of the guest, the vector was given
    back (by a VMM that did not remove the producer first), or it is done already; UNMAPPED_INTERRUPT while the guest
    has not mapped the event.
    Errors: EBUSY while the guest's ITS or its target's LPIs are disabled; EINVAL for a device behind an ITS without
    vPEs, or one with events of another VM.
    """
    vm = dist.direct
    if not isinstance(vm, ItsVm) or not route.flags & MSI_VALID_DEVID:
        return 0
    its = dist.bus.find(route.address, 1)
    if not isinstance(its, Its):
        return 0
    if not its.enabled:
        raise VgicError(EBUSY, "the ITS is disabled")
    ite = its.maps.find(route.devid, route.data)
    if ite is None or ite.collection is None or ite.collection.target is None:
        return UNMAPPED_INTERRUPT
    if not ite.collection.target.lpis_enabled:
        raise VgicError(EBUSY, f"vCPU {ite.collection.target.index} has its LPIs disabled")
    irq = ite.irq
    if irq.direct is not None:
        return 0
    device = msi.device
    if not device.its.v4:
        raise ConfigError(EINVAL, f"device {device.devid:#x} is behind ITS {device.its.number}, which has no vPEs")
    if device.vm is not None and device.vm is not vm:
        raise ConfigError(EINVAL, f"device {device.devid:#x} belongs to another VM")
    vpe = None if irq.target is None else vm.vpe_of(irq.target)
    if vpe is None or msi.direct is not None or not msi.requested:
        return 0
    halted = halt_guests(dist)
    try:
        for each in dist.its_list:
            each.maps.forget(irq)
        vlpi = Vlpi(vm, vpe, irq, msi)
        vlpi.map()
        if irq.pending_latch:
            irq.pending_latch = False
            vlpi.send(arch4.INT)
    finally:
        resume_guests(halted)
    vm.announce(vpe)
    return 0


def unset_forwarding(dist: "Dist", msi: HostMsi) -> None:
    """Have the vector go to the host again: kvm_vgic_v4_unset_forwarding(), found by the vector as in Linux 6.15 on.

    6.12 looks for it in the guest's ITS, and leaves it mapped for ever when the guest has disabled that.
    """
    vlpi = msi.direct
    if isinstance(vlpi, Vlpi) and vlpi.vm is dist.direct:
        halted = halt_guests(dist)
        try:
            vlpi.drop()
        finally:
            resume_guests(halted)
