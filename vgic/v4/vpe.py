"""A vPE's life: mapped, resident, descheduled; its doorbell.

Room:    above the host's drivers; one for each vCPU of a VM with direct injection.
Owns:    GICR_VPENDBASER while it is resident, VMAPP and VMOVP, the doorbell LPI and its configuration.
Never:   injects anything: a doorbell wakes, and what is pending is in the pending table already.
Holds:   resident  =>  mapped (or the VM is lazy and has no vLPI), and `cpu` is where the vCPU is.
         in_wfi    =>  not resident.

state                     resident  ready  pending_last     in_wfi
loaded, not yet entered      1        0    as it was          0
running                      1        1    as it was          0
preempted                    0        0    1 (4.1), read (4.0)  0
blocked                      0        0    as read            1
blocked, doorbell came       0        0    1                  1

What differs between GICv4.0 and GICv4.1 is in vpe40 and vpe41.

KVM: vgic_v4_load(), vgic_v4_put(), vgic_v4_commit(), its_vpe_irq_domain_activate(), its_vpe_set_affinity(),
vgic_v4_doorbell_handler().
"""

from typing import TYPE_CHECKING, Final, final

from hw.arch4 import (
    GICR_VPENDBASER,
    VPENDBASER_DIRTY,
    VPENDBASER_PENDING_LAST,
    VPENDBASER_VALID,
)
from vgic.direct import Residency
from vgic.errors import EINVAL, VgicError
from vgic.v4.hostgic import LpiHandler
from vgic.v4.hostits import HostIts

if TYPE_CHECKING:
    from vgic.v4.vm import ItsVm
    from vgic.vcpu import VcpuGic

W32: Final = 4
W64: Final = 8
VPT_SIZE: Final = 0x1_0000
SECOND: Final = 1_000_000
_COMMIT_LIMIT: Final = 500
NOT_CLEANING: Final = "ITS virtual pending table not cleaning"
NOT_COMMITTED: Final = "the vPE's virtual pending table is still being read at a guest's entry"


@final
class Doorbell(LpiHandler):
    """The physical LPI that announces an interrupt for a vPE which is not resident."""

    __slots__ = ("_vpe",)

    def __init__(self, vpe: "Vpe") -> None:
        """Belong to that vPE."""
        self._vpe = vpe

    def fired(self) -> None:
        """Wake the vCPU: vgic_v4_doorbell_handler()."""
        self._vpe.rung()

    def leave(self, cpu: int, other: int) -> None:
        """The vPE cannot stay mapped to a CPU that goes, and its doorbell follows it."""
        if self._vpe.cpu == cpu:
            self._vpe.move(other)


class Vpe(Residency):
    """What GICv4.0 and GICv4.1 have alike."""

    __slots__ = ("cpu", "db", "doorbells", "gic", "maps", "ready", "vcpu", "vm", "vpeid", "vpt")

    def __init__(self, vm: "ItsVm", vcpu: "VcpuGic") -> None:
        """Take a number, a pending table and a doorbell: its_vpe_init().  Errors: ENOMEM, with nothing taken."""
        super().__init__()
        self.vm = vm
        self.vcpu = vcpu
        self.gic = gic = vm.gic
        self.ready = False  # the pending table was read since it became resident
        self.maps = 0  # a bit for each ITS that maps it
        self.cpu = 0  # whose redistributor it is mapped to
        self.doorbells = 0  # how many the host took
        self.vpeid = gic.vpeids.take("vPEIDs")
        try:
            self.vpt = gic.pages.take(VPT_SIZE)
        except VgicError:
            gic.vpeids.give(self.vpeid)
            raise
        try:
            self.db = gic.request(Doorbell(self))
        except VgicError:
            gic.pages.give(self.vpt, VPT_SIZE)
            gic.vpeids.give(self.vpeid)
            raise

    def free(self) -> None:
        """Return what it took; it is not mapped any more: its_vpe_teardown()."""
        self.gic.release(self.db)
        self.gic.pages.give(self.vpt, VPT_SIZE)
        self.gic.vpeids.give(self.vpeid)

    # Mapping

    def activate(self) -> None:
        """Request the doorbell, which maps the vPE unless the VM is lazy: its_vpe_irq_domain_activate()."""
        if self.gic.eager:
            self.cpu = min(set(range(self.gic.cpus)) - self.gic.offline)
            for its in self.gic.v4_itss:
                self.map_on(its)

    def deactivate(self) -> None:
        """Free the doorbell, which unmaps the vPE: its_vpe_irq_domain_deactivate()."""
        for its in self.gic.v4_itss:
            self.unmap_on(its)

    def map_on(self, its: HostIts) -> None:
        """Map it on one ITS: its_vpe_map_vm()."""
        if not self.maps >> its.number & 1:
            first = not self.maps
            self.maps |= 1 << its.number
            its.map_vpe(self.vpeid, self.cpu, self.vpt, self.vm.vct, self.db, first)

    def unmap_on(self, its: HostIts) -> None:
        """Unmap it on one ITS: its_vpe_unmap_vm()."""
        if self.maps >> its.number & 1:
            self.maps &= ~(1 << its.number)
            its.unmap_vpe(self.vpeid, not self.maps)

    def move(self, cpu: int) -> None:
        """Map it, and so its doorbell, to the redistributor of `cpu`: its_vpe_set_affinity().

        Errors: EINVAL for one that should be mapped and is not.
        """
        gic = self.gic
        if cpu == self.cpu:
            return
        old = self.cpu
        if not self.maps:
            if gic.eager:
                raise VgicError(EINVAL, f"vPE {self.vpeid} is not mapped")
            self.cpu = cpu
            self.moved(old)
            return
        itss = [its for its in gic.v4_itss if self.maps >> its.number & 1]
        if all(its.vmovp for its in itss):
            itss = itss[:1]
            sequence = listed = 0
        else:
            sequence = gic.sequence = gic.sequence + 1 & 0xFFFF
            listed = self.maps
        for its in itss:
            its.post_move_vpe(self.vpeid, cpu, self.db, sequence, listed)
        for its in itss:
            its.wait()
        self.cpu = cpu
        self.moved(old)

    def moved(self, old: int) -> None:
        """The doorbell goes to another CPU."""

    @property
    def its(self) -> HostIts:
        """An ITS that maps it."""
        return next(its for its in self.gic.v4_itss if self.maps >> its.number & 1)

    # Residency

    def load(self) -> None:
        """Become resident, unless the vCPU is blocked, which would cancel its doorbell: vgic_v4_load()."""
        if self.resident or self.in_wfi:
            return
        gic = self.gic
        cpu = self.vcpu.pe.index
        with gic.lock:
            try:
                self.move(cpu)
            except VgicError as error:
                gic.warn(error.why)
                return
            self.schedule(cpu)
            self.resident = True
            self.loaded()

    def put(self) -> None:
        """Be resident no more: vgic_v4_put()."""
        if not self.resident:
            return
        with self.gic.lock:
            self.deschedule(self.vcpu.pe.index, self.in_wfi)
            self.resident = False
            self.ready = False

    def commit(self) -> None:
        """Wait, at the entry, until the pending table was read: its_vpe_commit()."""
        if self.ready or not self.resident:
            return
        gic = self.gic
        if gic.dirty:
            with gic.lock:
                value = gic.poll_vpendbaser(self.vcpu.pe.index, VPENDBASER_DIRTY, _COMMIT_LIMIT)
            if value & VPENDBASER_DIRTY:
                gic.warn(NOT_COMMITTED)
        self.ready = True

    def schedule(self, cpu: int) -> None:
        """Write GICR_VPENDBASER with Valid."""
        raise NotImplementedError

    def loaded(self) -> None:
        """The vPE is resident."""

    def deschedule(self, cpu: int, doorbell: bool) -> None:
        """Clear GICR_VPENDBASER.Valid, and find out whether something is pending."""
        raise NotImplementedError

    def _clear_valid(self, cpu: int, clear: int, value: int) -> int:
        """Clear Valid and the fields `clear`, set `value`; what the register says when the hardware is done."""
        gic = self.gic
        redist = gic.machine.pes[cpu].redist
        old = gic.poll_vpendbaser(cpu, VPENDBASER_DIRTY, SECOND)
        redist.write(GICR_VPENDBASER, W64, old & ~(VPENDBASER_VALID | clear) | value)
        result = gic.poll_vpendbaser(cpu, VPENDBASER_DIRTY, SECOND)
        if result & VPENDBASER_DIRTY:
            gic.warn(NOT_CLEANING)
            result |= VPENDBASER_PENDING_LAST  # rather wake for nothing than sleep for ever
        return result

    # The doorbell

    def rung(self) -> None:
        """The host took the doorbell."""
        with self.gic.lock:
            self.doorbells += 1
            self.pending_last = True
            self.vcpu.kick()

    def suspect(self) -> None:
        """Something may be pending that will not ring: rather wake for nothing than sleep for ever."""
        if self.in_wfi and not self.pending_last:
            self.pending_last = True
            self.vcpu.kick()

    def vlpi_doorbell(self) -> int:
        """The individual doorbell of a vLPI that goes here, NONE if it needs none."""
        raise NotImplementedError

    # Pending tables

    def has_pending(self, vintid: int) -> bool:
        """Whether a vLPI is pending in the table, which must be the software's: not mapped anywhere."""
        assert not self.maps, f"vPE {self.vpeid} is mapped: its pending table is the GIC's"
        return bool(self.gic.machine.memory.read(self.vpt + vintid // 8, 1) >> vintid % 8 & 1)

    def peek(self, vintid: int) -> bool:
        """Whether hardware has an interrupt pending, by what no register tells."""
        unit = self.gic.machine.vpes.by_key.get(self.key)
        return unit is not None and vintid in unit.pending

    @property
    def key(self) -> int:
        """What the hardware tells vPEs apart by."""
        raise NotImplementedError

    def check(self) -> None:
        """Assert what always holds."""
        gic = self.gic
        assert not (self.in_wfi and self.resident), f"vPE {self.vpeid} is blocked and resident"
        if self.resident:
            assert self.cpu == self.vcpu.pe.index or not gic.eager, f"vPE {self.vpeid} is resident elsewhere"
            assert gic.loaded.get(self.vcpu.pe.index) is self.vcpu, f"vPE {self.vpeid} is resident, its vCPU is not"
