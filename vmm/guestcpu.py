"""GuestCpu: one vCPU: its core, its timer, its side of the VGIC, and what happens when its guest leaves the core.

Room:    between the engine and the machine.
Owns:    the vCPU's power state; the wires of its core, which always show what its CPU interface asks for.
Never:   raises for what a guest does.
Holds:   while the core runs, the VGIC's vCPU is in the guest; an access that traps is handled as KVM handles it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final, final

from vgic import UNDEFINED, Vcpu, arch
from vmm.devices.device import Json
from vmm.devices.saved import Saved
from vmm.engine.arm64 import CNTKCTL_EL1, HPFAR_EL2, SCTLR_EL1, SCTLR_M
from vmm.engine.port import Engine
from vmm.esr import (
    DABT_CM,
    DABT_ISV,
    DABT_S1PTW,
    DABT_SAS_SHIFT,
    DABT_SF,
    DABT_SRT_SHIFT,
    DABT_SSE,
    DABT_WNR,
    EC_DABT_LOWER,
    EC_DABT_SAME,
    EC_IABT_LOWER,
    EC_IABT_SAME,
    EC_SHIFT,
    EC_SYSREG,
    EC_UNKNOWN,
    EC_WFX,
    FSC_ALIGNMENT,
    FSC_EXTERNAL,
    IL,
    SYSREG_READ,
    SYSREG_RT_SHIFT,
    UNDEFINED_INSTRUCTION,
    sysreg_encoding,
)
from vmm.eventlog import MRS, MSR, READ, WRITE
from vmm.idregs import as_register, is_id_register, shown
from vmm.layout import GICC_BASE, PPI_PHYS, PPI_VIRT
from vmm.outcome import End
from vmm.timer import USER_ACCESS, Comparator, GenericTimer

if TYPE_CHECKING:
    from vmm.machine import Machine

_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF

# the engine's names of exceptions
_UNDEFINED: Final = 1
_HVC: Final = 11
_SMC: Final = 13

_DC_ZVA: Final = 1 << 14 | 3 << 11 | 7 << 7 | 4 << 3 | 1
_ZVA_BYTES: Final = 64

_ACKNOWLEDGES: Final = (arch.ICC_IAR0_EL1, arch.ICC_IAR1_EL1)
_GICC_IAR: Final = GICC_BASE + 0xC
_GICC_INTID: Final = 0x3FF

_WRITEBACK_MASK, _WRITEBACK = 0x3B20_0400, 0x3800_0400
"""A load or store that also changes its base register: the engine says ISV, hardware does not."""

_MSR_MASK, _MSR = 0xFFD0_0000, 0xD510_0000
"""MRS and MSR of a register with op0 2 or 3."""
_MRS_BIT: Final = 1 << 21


_VECTOR_BITS: Final = 0x1F
"""Zero in a vector's address; of VBAR_EL1, which is to be 2 KB aligned, the engine keeps all other bits."""


class Power(Enum):
    """Whether a vCPU runs."""

    OFF = "off"
    RUNNING = "running"
    WAITING = "waiting"  # in WFI


@final
class GuestCpu:
    """One vCPU of `machine`."""

    def __init__(self, machine: "Machine", index: int, engine: Engine, gic: Vcpu) -> None:
        """Make the vCPU, off."""
        self.machine = machine
        self.index = index
        self.engine = engine
        self.gic = gic
        self.power = Power.OFF
        self.timer = GenericTimer(machine.clock, self._timer_changed)
        self.kicked = False  # the VGIC wants it to look at its interrupts
        self.wants_wfi = False  # its slice ended in WFI
        self.stale_tlb = False  # another vCPU invalidated translations
        self.stale_code = False  # ... or instructions
        self.wanted_since = -1  # tick since which it could run and does not
        self.counts = machine.counts
        self._events = machine.events
        self._id_registers: dict[int, int] = {}
        engine.handler = self

    # -- power -----------------------------------------------------------------------------------

    @property
    def affinity(self) -> int:
        """MPIDR_EL1 without its flags."""
        return self.engine.mpidr & 0xFF_00FF_FFFF

    def power_on(self, entry: int, argument: int) -> None:
        """Reset the core and let it run from `entry` with `argument` in X0: CPU_ON."""
        self.engine.reset(entry, argument)
        self.timer.reset()
        self.kicked = self.wants_wfi = self.stale_tlb = self.stale_code = False
        self.power = Power.RUNNING
        self.wanted_since = self.machine.clock.now()
        self.machine.timer_moved(self)
        if self.machine.running is not None:
            self.machine.running.engine.stop()  # whose slice is as long as if it were alone

    def prepare(self, now: int) -> None:
        """Before an entry: note how long the vCPU waited for its physical CPU, and do what other vCPUs asked for."""
        if self.wanted_since >= 0:
            self.counts.waited(now - self.wanted_since)
            self.wanted_since = -1
        if self.stale_tlb:
            self.stale_tlb = False
            self.engine.flush_tlb()
        if self.stale_code:
            self.stale_code = False
            self.engine.flush_code()

    def wake(self) -> None:
        """The VGIC wants this vCPU to look at its interrupts: kvm_vcpu_kick()."""
        if self.power is Power.WAITING:
            self.power = Power.RUNNING
            self.wanted_since = self.machine.clock.now()

    # -- saving ----------------------------------------------------------------------------------

    def save(self) -> dict[str, Json]:
        """Return all that is neither in the core nor in the VGIC, between two slices."""
        assert not self.wants_wfi, "a slice that ended in WFI says so by `power`"
        return {
            "power": self.power.value,
            "kicked": self.kicked,
            "stale_tlb": self.stale_tlb,
            "stale_code": self.stale_code,
            "wanted_since": None if self.wanted_since < 0 else self.wanted_since,
            "timer": self.timer.save(),
        }

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned.  Errors: ConfigError."""
        saved = Saved(f"vCPU {self.index}", state)
        power = saved.word("power", [power.value for power in Power])
        kicked = saved.flag("kicked")
        stale_tlb, stale_code = saved.flag("stale_tlb"), saved.flag("stale_code")
        wanted_since = saved.number_or_none("wanted_since", _MASK64)
        timer = saved.members("timer")
        saved.finish()
        self.timer.load(timer)
        self.power = Power(power)
        self.kicked, self.stale_tlb, self.stale_code = kicked, stale_tlb, stale_code
        self.wanted_since = -1 if wanted_since is None else wanted_since

    # -- interrupts ------------------------------------------------------------------------------

    def _timer_changed(self, timer: Comparator, level: bool) -> None:
        self.machine.timer_line(self, PPI_VIRT if timer is self.timer.virtual else PPI_PHYS, level)

    def settle(self) -> None:
        """After anything that may concern interrupts of this vCPU: leave and enter if asked, and drive the wires."""
        gic = self.gic
        timer = self.timer
        if timer.virtual.level or timer.physical.level:
            self.machine.gic.fire_timers(gic, timer)
        if self.kicked or gic.maintenance():
            self.kicked = False
            gic.exit()
            gic.enter()
        self.engine.set_lines(gic.virq(), gic.vfiq())

    # -- what the engine calls -------------------------------------------------------------------

    def exception(self, kind: int) -> None:
        """Handle an exception: a trap to EL2, or one to EL1 that has to be completed."""
        engine = self.engine
        if engine.in_aarch32():
            engine.refuse_aarch32()
            return
        if kind in (_HVC, _SMC):
            self.counts.hypercalls += 1
            self.machine.psci.call(self)
            self.settle()
            return
        syndrome = engine.syndrome()
        exception_class = syndrome >> EC_SHIFT
        if engine.target_el() != 1:
            if exception_class == EC_DABT_LOWER:
                self._data_abort(syndrome)
            elif exception_class == EC_SYSREG:
                self._system_register(syndrome)
            elif exception_class == EC_WFX:
                self.counts.waits += 1
                engine.set_pc(engine.pc() + 4)
                self.wants_wfi = True
                engine.stop()
            elif exception_class == EC_IABT_LOWER:
                self._external_abort(engine.fault_address(), fetch=True, write=False)
            else:
                self._take(UNDEFINED_INSTRUCTION, None)
        elif kind == _UNDEFINED and exception_class == EC_UNKNOWN and self._gic_register():
            pass
        elif self._stuck():
            self.machine.finish(End.TRIPLE_FAULT, self.where(syndrome))
        else:
            self.counts.exceptions += 1
            engine.complete_exception(syndrome)

    def maintenance(self, crn: int, crm: int) -> None:
        """Tell the other vCPUs of a TLB invalidation, or of new instructions (IC IVAU, IC IALLUIS)."""
        if crn == 8:
            for other in self.machine.cpus:
                if other is not self:
                    other.stale_tlb = True
        elif crm in (1, 5):
            for other in self.machine.cpus:
                if other is not self:
                    other.stale_code = True

    def timer_read(self, register: int) -> int:
        """MRS of a virtual timer register, which does not trap."""
        self.counts.timer_accesses += 1
        if self.engine.at_el0() and not self._user_may(register):
            return -1
        value = self.timer.read(register)
        if self.kicked:
            self.settle()
            self.engine.stop()
        return value

    def timer_write(self, register: int, value: int) -> bool:
        """MSR of a virtual timer register, which does not trap; ends the slice, whose length depends on it."""
        self.counts.timer_accesses += 1
        if self.engine.at_el0() and not self._user_may(register):
            return False
        known = self.timer.write(register, value)
        self.settle()
        self.engine.stop()
        return known

    def _user_may(self, register: int) -> bool:
        """Whether EL1 lets EL0 use this timer register; if not, the core traps to EL1 by itself."""
        return bool(self.engine.core.sysreg(CNTKCTL_EL1) & USER_ACCESS.get(register, 0))

    def refuse(self) -> None:
        """After a slice: the guest used what it was told that there is not; it gets the exception for that."""
        self._take(self.engine.undo_refused(), None)

    # -- traps -----------------------------------------------------------------------------------

    def _data_abort(self, syndrome: int) -> None:
        """A data access to what is not RAM: io_mem_abort()."""
        engine = self.engine
        fault_address = engine.fault_address()
        gpa = (engine.core.sysreg(HPFAR_EL2) >> 4) << 12 | fault_address & 0xFFF
        pc = engine.pc()
        if syndrome & DABT_CM and not syndrome & DABT_S1PTW:
            engine.set_pc(pc + 4)  # cache maintenance of a device does nothing
            return
        usable = syndrome & DABT_ISV and not syndrome & DABT_S1PTW
        if not usable or engine.instruction(pc) & _WRITEBACK_MASK == _WRITEBACK:
            if not syndrome & DABT_S1PTW:
                self.machine.warn(f"vCPU {self.index} at {pc:#x}: an access to {gpa:#x} that cannot be emulated")
            self._external_abort(fault_address, fetch=False, write=bool(syndrome & DABT_WNR))
            return
        misaligned = gpa & (1 << (syndrome >> DABT_SAS_SHIFT & 3)) - 1
        if misaligned and not engine.core.sysreg(SCTLR_EL1) & SCTLR_M:
            # without its MMU all memory is Device, where the engine checks nothing
            self._abort(fault_address, FSC_ALIGNMENT, syndrome & DABT_WNR)
            return
        try:
            claimed = self._access(syndrome, gpa)
        except Exception as failure:
            failure.add_note(f"{'a store to' if syndrome & DABT_WNR else 'a load from'} {gpa:#x}")
            raise
        if claimed:
            engine.set_pc(pc + 4)
        else:
            self._external_abort(fault_address, fetch=False, write=bool(syndrome & DABT_WNR))
        self.settle()

    def _access(self, syndrome: int, gpa: int) -> bool:
        """Do the load or store of a data abort; False where nothing is."""
        engine = self.engine
        size = 1 << (syndrome >> DABT_SAS_SHIFT & 3)
        register = syndrome >> DABT_SRT_SHIFT & 31
        if syndrome & DABT_WNR:
            return self._store(gpa, size, engine.x(register) & (1 << size * 8) - 1)
        value = self._load(gpa, size)
        if value < 0:
            return False
        if syndrome & DABT_SSE and value >> size * 8 - 1 & 1:
            value |= -1 << size * 8
        engine.set_x(register, value & (_MASK64 if syndrome & DABT_SF else 0xFFFF_FFFF))
        return True

    def _load(self, gpa: int, size: int) -> int:
        """Return what a load reads, or a negative number where nothing is."""
        found = self.machine.bus.find(gpa, size)
        if found is None:
            value = self.gic.read(gpa, size)
            if gpa == _GICC_IAR and not self.machine.has_gicv3:
                self.counts.acknowledged(value & _GICC_INTID)
        else:
            gic = self.gic
            gic.exit()  # KVM_EXIT_MMIO
            value = found[0].read(found[1], size)
            gic.enter()
        self.counts.mmio(gpa)
        self._events.add(READ | self.index << 8 | size << 24, gpa, value)
        return value

    def _store(self, gpa: int, size: int, value: int) -> bool:
        """Store; False where nothing is."""
        self.counts.mmio(gpa)
        self._events.add(WRITE | self.index << 8 | size << 24, gpa, value)
        found = self.machine.bus.find(gpa, size)
        if found is None:
            return self.gic.write(gpa, size, value)
        gic = self.gic
        gic.exit()
        found[0].write(found[1], size, value)
        gic.enter()
        return True

    def _gic_register(self) -> bool:
        """Emulate an access to a GIC system register, which the core does not have; False: it is something else."""
        engine = self.engine
        pc = engine.pc()
        word = engine.instruction(pc)
        if word & _MSR_MASK != _MSR:
            return False
        encoding = 0x8000 | word >> 5 & 0x7FFF
        if not is_gic_register(encoding) or engine.at_el0():
            return False
        self.counts.icc_accesses += 1
        if word & _MRS_BIT:
            value = self.gic.mrs(encoding)
            if value == UNDEFINED:
                return False
            if encoding in _ACKNOWLEDGES:
                self.counts.acknowledged(value)
            engine.set_x(word & 31, value)
            self._events.add(MRS | self.index << 8, encoding, value)
        else:
            value = engine.x(word & 31)
            if not self.gic.msr(encoding, value):
                return False
            self._events.add(MSR | self.index << 8, encoding, value)
        engine.set_pc(pc + 4)
        self.settle()
        return True

    def _system_register(self, syndrome: int) -> None:
        """A trapped system register or instruction."""
        engine = self.engine
        encoding = sysreg_encoding(syndrome)
        register = syndrome >> SYSREG_RT_SHIFT & 31
        self.counts.sysreg_traps += 1
        if syndrome & SYSREG_READ:
            value = self._read_register(encoding)
            known = value >= 0
            if known:
                engine.set_x(register, value)
        elif encoding == _DC_ZVA:
            if not self._zero(engine.x(register)):
                return
            known = True
        else:
            known = self.timer.write(encoding, engine.x(register))
            if known:
                engine.stop()  # the slice's length depends on it
        if known:
            engine.set_pc(engine.pc() + 4)
            if self.kicked:
                self.settle()
        else:
            self._take(UNDEFINED_INSTRUCTION, None)

    def _read_register(self, encoding: int) -> int:
        """Return what a trapped register reads as, or a negative number if it is UNDEFINED."""
        if not is_id_register(encoding):
            return self.timer.read(encoding)
        value = self._id_registers.get(encoding, -1)
        if value < 0:
            value = shown(encoding, self.engine.core.sysreg(as_register(encoding)), self.machine.has_gicv3)
            self._id_registers[encoding] = value
        return value

    def _zero(self, va: int) -> bool:
        """DC ZVA, of which DCZID_EL0.DZP warns the guest; False if the line is not writable RAM: it gets an abort."""
        gpa = self.engine.writable_at(va & -_ZVA_BYTES)
        if gpa >= 0 and self.machine.ram.write(gpa, bytes(_ZVA_BYTES)):
            return True
        self._abort(va, self.engine.write_fault(va) or FSC_EXTERNAL, DABT_CM | DABT_WNR)
        return False

    # -- exceptions to the guest -----------------------------------------------------------------

    def _external_abort(self, va: int, *, fetch: bool, write: bool) -> None:
        """Give the guest the abort of an access to nothing: kvm_inject_dabt(), kvm_inject_pabt()."""
        if fetch:
            exception_class = EC_IABT_LOWER if self.engine.at_el0() else EC_IABT_SAME
            self._take(exception_class << EC_SHIFT | IL | FSC_EXTERNAL, va)
        else:
            self._abort(va, FSC_EXTERNAL, DABT_WNR if write else 0)

    def _abort(self, va: int, status: int, flags: int) -> None:
        """Give the guest a data abort."""
        exception_class = EC_DABT_LOWER if self.engine.at_el0() else EC_DABT_SAME
        self._take(exception_class << EC_SHIFT | IL | flags | status, va)

    def _take(self, syndrome: int, fault_address: int | None) -> None:
        """Enter the guest's exception vector."""
        if self._stuck():
            self.machine.finish(End.TRIPLE_FAULT, self.where(syndrome))
        else:
            self.counts.exceptions += 1
            self.engine.enter_el1(syndrome, fault_address)

    def _stuck(self) -> bool:
        """Whether the faulting instruction is the first of the vector it would be taken to: that never ends."""
        engine = self.engine
        pc = engine.pc()
        if pc & _VECTOR_BITS:
            return False
        pstate = engine.pstate()
        return bool(pstate & 0xC) and pc == engine.vector_base() + (0x200 if pstate & 1 else 0)

    def where(self, syndrome: int | None = None) -> str:
        """Say what the vCPU is doing, for a report."""
        engine = self.engine
        esr = "" if syndrome is None else f", ESR {syndrome:#010x}"
        return f"vCPU {self.index} at PC {engine.pc():#x}, PSTATE {engine.pstate():#x}{esr}"


def is_gic_register(encoding: int) -> bool:
    """Whether a system register, by 16-bit encoding, is ICC_*_EL1."""
    group = encoding >> 3
    return arch.ICC_IAR0_EL1 >> 3 <= group <= arch.ICC_IGRPEN1_EL1 >> 3 or encoding == arch.ICC_PMR_EL1
