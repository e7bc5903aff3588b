"""Vcpu: a vCPU as its VMM drives it: entry, exit, and the accesses its guest makes in between.

Room:    above run and the frames; what happens around an access, not what the access does.
Owns:    VcpuGic.mode while a vCPU runs, and the counts of entries and exits (what is no other exit is the VMM's).
Holds:   a guest access never raises, whatever the guest does; a call by the VMM in the wrong state does.
         An access that traps is handled between a sync and a flush, as in KVM's run loop.
"""

from collections.abc import Hashable
from typing import Final

from hw.arch import TRAP_EL2, UNDEFINED
from vgic.direct import Residency
from vgic.errors import EBUSY, EINVAL, BusyError, ConfigError, DeadVmError, VgicError
from vgic.lifecycle import map_resources
from vgic.mapped import get_map, map_irq, map_is_active, reset_mapped, set_owner, unmap_irq
from vgic.ports import LevelReader
from vgic.run import check_free, flush, load, pending, put, sync
from vgic.v3 import sysreg, trap
from vgic.vcpu import IN_GUEST, LEAVING, LOADED, PUT, TRAPPED, VcpuGic

UNCLAIMED: Final = -3
"""What a read returns that no frame claims: the access is the VMM's (KVM_EXIT_MMIO)."""

_MASKS: Final[dict[int, int]] = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}
_AFFINITIES: Final = 0xFFFF_FFFF


class Vcpu(VcpuGic):
    """One vCPU.  Create it with `Vgic.create_vcpu`.

    Made by a VM without a lock; `vgic.locked.LockedVcpu` is the same, safe to call from several threads.
    """

    __slots__ = ()

    # -- running ---------------------------------------------------------------------------------

    def enter(self, cpu: int | None = None) -> None:
        """Enter the guest on physical CPU `cpu` (default: where it was last): KVM_RUN up to the ERET.

        The vCPU of this VM that the CPU held is put; what is listed goes to list registers.
        Errors: EBUSY when this vCPU is in the guest, when another one is in the guest on that CPU, or when a vCPU of
        another VM is loaded there (its VMM must put it: each VM has its own lock); at a VM's first entry the
        errors of vgic_v3_map_resources(), after which the VM is dead; EIO when it is.
        """
        if self.mode != LOADED or cpu is not None:
            self._prepare(cpu)
        self.mode = IN_GUEST
        self.cost.entries += 1
        if self.ap_list:
            flush(self)

    def exit(self) -> None:
        """Leave the guest to the VMM.  The CPU interface stays loaded until `put`, or until the CPU is needed.

        Errors: EINVAL when the vCPU is not in the guest.
        """
        if self.mode != IN_GUEST:
            raise self._not_in_guest()
        if self.ap_list:
            self.mode = LEAVING
            try:
                sync(self)
            finally:
                self.mode = LOADED
        else:
            self.mode = LOADED

    def put(self) -> None:
        """Take the vCPU off its physical CPU: kvm_arch_vcpu_put().  Errors: EBUSY when it is in the guest."""
        put(self)

    def pending(self) -> bool:
        """Whether the vCPU would have something to do if it ran: kvm_arch_vcpu_runnable() as WFI asks it.

        Puts the vCPU, so that the priority mask is current; with direct injection it counts as blocked until it is
        entered, and when hardware has something for it, it is kicked once.  Errors: EBUSY when it is in the guest.
        """
        if self.vpe is not None:
            self._block(self.vpe)
        put(self)
        return self.vi or self.vf or pending(self)

    def _block(self, vpe: Residency) -> None:
        """Have the put that follows ask for a doorbell: kvm_vcpu_wfi().

        KVM's vCPU thread is loaded whenever it comes here: one that was put meanwhile does not know what is pending.
        """
        if vpe.in_wfi or self.mode > LOADED:
            return
        if self.mode == PUT:
            try:
                check_free(self, self.pe)
            except VgicError:
                vpe.pending_last = True
                return
            load(self)
        vpe.in_wfi = True

    def traps_wfi(self, alone: bool = True) -> bool:
        """Whether the guest's WFI comes out to the VMM: kvm_vcpu_should_clear_twi().

        alone  the physical CPU has nothing else to run.
        False: the vCPU waits in the guest, resident, where hardware wakes it without a doorbell: `virq()` says when.
        That is so only where hardware may deliver something: the vCPU has vLPIs, or the guest's SGIs are direct.
        """
        host = self.dist.host
        if host.wfi_trap is not None:
            return host.wfi_trap
        vpe = self.vpe
        return not alone or vpe is None or not (vpe.vlpis or self.dist.nassgireq)

    def virq(self) -> bool:
        """Whether the guest has an IRQ to take, PSTATE aside: the GIC's line or HCR_EL2.VI, as ISR_EL1 shows it.

        For a VMM that runs the guest's instructions elsewhere.  False while the vCPU is not loaded.
        """
        return self.mode != PUT and self.pe.virq()

    def vfiq(self) -> bool:
        """Whether the guest has an FIQ to take, PSTATE aside.  False while the vCPU is not loaded."""
        return self.mode != PUT and self.pe.vfiq()

    def maintenance(self) -> bool:
        """Whether the maintenance interrupt asks the hypervisor for an exit and an entry."""
        return self.mode == IN_GUEST and self.pe.virt.maintenance()

    def _prepare(self, cpu: int | None) -> None:
        """Everything an entry needs when the vCPU is not already loaded where it shall run.

        What can be refused is refused before anything changes.
        """
        dist = self.dist
        if dist.dead:
            raise DeadVmError
        if self.mode > LOADED:
            raise BusyError(f"vCPU {self.index} is in the guest already")
        pe = self.pe
        if cpu is not None and cpu != pe.index:
            pes = dist.host.machine.pes
            if not 0 <= cpu < len(pes):
                raise ConfigError(EINVAL, f"the machine has physical CPUs 0 to {len(pes) - 1}, not {cpu}")
            pe = pes[cpu]
        check_free(self, pe)
        if not dist.ready:
            map_resources(dist)
        if pe is not self.pe:
            put(self)
            self.pe = pe
            self.cost = pe.cost
        vpe = self.vpe
        if vpe is not None and vpe.in_wfi:
            vpe.in_wfi = False
            if self.mode == LOADED:
                vpe.load()
        if self.mode == PUT:
            load(self)
        if vpe is not None:
            vpe.commit()
        self.has_run = True

    def _not_in_guest(self) -> VgicError:
        return ConfigError(EINVAL, f"vCPU {self.index} is not in the guest: enter() it first")

    # -- what the guest does ---------------------------------------------------------------------

    def read(self, gpa: int, size: int) -> int:
        """Guest load of `size` bytes (1, 2, 4 or 8) at guest physical address `gpa`: io_mem_abort().

        Returns the value, or UNCLAIMED.  What no register accepts reads as zero.
        Errors: EINVAL for another size, or when the vCPU is not in the guest.
        """
        if self.mode != IN_GUEST:
            raise self._not_in_guest()
        if size not in _MASKS:
            raise ConfigError(EINVAL, f"an access has 1, 2, 4 or 8 bytes, not {size}")
        window = self.window
        if window is not None and window.base <= gpa and gpa + size <= window.end:
            return window.read(self, gpa - window.base, size)
        self.mode = TRAPPED
        self.cost.exits_mmio += 1
        try:
            if self.ap_list:
                sync(self)
            frame = self.dist.bus.find(gpa, size)
            return UNCLAIMED if frame is None else frame.read(self, gpa - frame.base, size)
        finally:
            self._reenter()

    def write(self, gpa: int, size: int, value: int) -> bool:
        """Guest store of `size` bytes (1, 2, 4 or 8) at guest physical address `gpa`: io_mem_abort().

        Returns whether a frame claimed it; False leaves it to the VMM.  What no register accepts is ignored.
        Errors: as `read`.
        """
        if self.mode != IN_GUEST:
            raise self._not_in_guest()
        mask = _MASKS.get(size)
        if mask is None:
            raise ConfigError(EINVAL, f"an access has 1, 2, 4 or 8 bytes, not {size}")
        window = self.window
        if window is not None and window.base <= gpa and gpa + size <= window.end:
            window.write(self, gpa - window.base, size, value & mask)
            return True
        self.mode = TRAPPED
        self.cost.exits_mmio += 1
        try:
            if self.ap_list:
                sync(self)
            frame = self.dist.bus.find(gpa, size)
            if frame is None:
                return False
            frame.write(self, gpa - frame.base, size, value & mask)
            return True
        finally:
            self._reenter()

    def mrs(self, register: int) -> int:
        """Guest MRS of a GIC system register (or ISR_EL1), named by its 16-bit encoding (`hw.arch.ICC_*`).

        Returns the value, or the negative UNDEFINED when the guest takes an Undefined Instruction exception.
        Errors: EINVAL when the vCPU is not in the guest.
        """
        if self.mode != IN_GUEST:
            raise self._not_in_guest()
        value = self.pe.mrs_el1(register)
        if value >= 0:
            return value
        return self._trapped_mrs(register) if value == TRAP_EL2 else UNDEFINED  # a trap to EL1 is the guest's too

    def msr(self, register: int, value: int) -> bool:
        """Guest MSR of a GIC system register, named by its 16-bit encoding (`hw.arch.ICC_*`).

        Returns False when the guest takes an Undefined Instruction exception.
        Errors: EINVAL when the vCPU is not in the guest.
        """
        if self.mode != IN_GUEST:
            raise self._not_in_guest()
        outcome = self.pe.msr_el1(register, value)
        return self._trapped_msr(register, value) if outcome == TRAP_EL2 else outcome == 0

    def _trapped_mrs(self, register: int) -> int:
        """EL2 answers what it can on the live registers (fixup_guest_exit); the host handles the rest."""
        cost = self.cost
        cost.exits_sysreg += 1
        if self.hcr & self.dist.host.trap_bits:
            value = trap.emulate_read(self, register)
            if value != UNDEFINED:
                cost.entries += 1
                return value
        self.mode = TRAPPED
        try:
            if self.ap_list:
                sync(self)
            return sysreg.read(self, register)
        finally:
            self._reenter()

    def _trapped_msr(self, register: int, value: int) -> bool:
        cost = self.cost
        cost.exits_sysreg += 1
        if self.hcr & self.dist.host.trap_bits and trap.emulate_write(self, register, value):
            cost.entries += 1
            return True
        self.mode = TRAPPED
        try:
            if self.ap_list:
                sync(self)
            return sysreg.write(self, register, value)
        finally:
            self._reenter()

    def _reenter(self) -> None:
        """Go back to the guest after a trap."""
        if self.ap_list:
            flush(self)
        self.mode = IN_GUEST
        self.cost.entries += 1

    # -- mapped interrupts -----------------------------------------------------------------------

    def map_irq(
        self,
        intid: int,
        host_irq: int,
        input_level: LevelReader | None = None,
        *,
        sw_resample: bool = False,
    ) -> None:
        """Tie `intid` to the physical interrupt `host_irq`: kvm_vgic_map_phys_irq().

        input_level  reads the device's line; None asks the physical distributor.
        sw_resample  the host cannot deactivate through list registers (VGIC_IRQ_SW_RESAMPLE).
        Errors: EINVAL when either interrupt does not exist.
        """
        map_irq(self, host_irq, intid, input_level, sw_resample)

    def unmap_irq(self, intid: int) -> None:
        """Untie `intid`: kvm_vgic_unmap_phys_irq().  Errors: EAGAIN before init, EINVAL."""
        unmap_irq(self, intid)

    def get_map(self, intid: int) -> int:
        """Return the physical interrupt that `intid` is tied to, or -1: kvm_vgic_get_map()."""
        return get_map(self, intid)

    def map_is_active(self, intid: int) -> bool:
        """Whether `intid` is mapped and active: kvm_vgic_map_is_active()."""
        return map_is_active(self, intid)

    def reset_mapped(self, intid: int) -> None:
        """Forget the state of a mapped interrupt, as a timer's reset does: kvm_vgic_reset_mapped_irq()."""
        reset_mapped(self, intid)

    def set_owner(self, intid: int, owner: Hashable | None) -> None:
        """Let `owner` alone drive `intid` (see `Vgic.inject`): kvm_vgic_set_owner().

        Errors: EAGAIN before init; EINVAL for an SGI or no interrupt; EEXIST when somebody else owns it.
        """
        set_owner(self, intid, owner)

    def set_mpidr(self, affinity: int) -> None:
        """Choose the affinity Aff3.Aff2.Aff1.Aff0 (8 bits each), as user space writes MPIDR_EL1.

        Errors: EINVAL when it does not fit; EBUSY once the vCPU has run; EIO in a dead VM.
        """
        if self.dist.dead:
            raise DeadVmError
        if not 0 <= affinity <= _AFFINITIES:
            raise ConfigError(EINVAL, f"affinity {affinity:#x} is not four 8-bit fields")
        if self.has_run:
            raise VgicError(EBUSY, f"vCPU {self.index} has run with affinity {self.mpidr:#x}")
        self.mpidr = affinity
        self.dist.index_affinities()
