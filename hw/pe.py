"""One physical CPU: its system registers at each exception level, and its interrupt lines.

Room:    the top of one CPU; a machine holds several, a hypervisor programs them.
Owns:    what is not the GIC's: PSTATE masks, HCR_EL2.VI and VF; the rest of the control bits are routing's.
Never:   runs code, takes an exception: it says which access traps where and which line is up.
Holds:   physical interrupts named by an LR of this PE are deactivated through this PE.

An access returns a value, 0 for a write done, or one of the negative constants of arch.
Source: DDI 0487 (exception routing), DDI 0601, IHI 0069H.
"""

from typing import Final, Protocol, final

from hw.arch import (
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_SRE_EL1,
    ICC_SRE_EL2,
    ICC_SRE_EL3,
    ISR_EL1,
    ISR_F,
    ISR_I,
    SRE_ENABLE,
    SRE_SRE,
    TRAP_EL2,
    TRAP_EL3,
    UNDEFINED,
)
from hw.config import VirtConfig
from hw.cost import Cost
from hw.dist import Distributor
from hw.icc import LINE_FIQ, LINE_IRQ, Icc
from hw.iccregs import READ, WRITE, read_icc, write_icc
from hw.ich import ICH_REGISTERS, PhysicalDeactivator
from hw.icv import Icv
from hw.memory import Memory
from hw.physirq import LineListener
from hw.redist import Redistributor
from hw.routing import SRE_EL1_VALUE, TO_PHYSICAL, TO_VIRTUAL, Routing

# Bits of Pe.lines()

LINES_IRQ: Final = 1
LINES_FIQ: Final = 2
LINES_VIRQ: Final = 4
LINES_VFIQ: Final = 8


class LineWatcher(Protocol):
    """What an embedder may supply: told when an access changed an interrupt line of a PE."""

    def lines_changed(self, pe: "Pe") -> None:
        """`pe.lines()` differs from what it was after the access before."""


@final
class Pe(Routing):
    """CPU number `index` of a machine, with packed affinity `aff`.

    The watcher, if any, is told of changes by accesses by encoding and by MMIO.  The EL2 fast path
    (methods of `virt`) and the control bits are not watched: call poll_lines() after them.
    """

    def __init__(self, index: int, aff: int, dist: Distributor, virt: VirtConfig, memory: Memory) -> None:
        """Reset state."""
        self.cost = Cost()
        super().__init__(Icv(virt, self.cost), dist.one_state)
        self.index = index
        self.aff = aff
        self.dist = dist
        self.redist = Redistributor(index, aff, dist, self.virt, memory, self.cost)
        self.phys = Icc(self.redist, dist, self.cost)
        self.virt.deactivate_port = _Forwarded(self.phys)
        self.vi = False  # HCR_EL2.VI: a virtual IRQ that the hypervisor asserts itself
        self.vf = False
        self.pstate_i = False  # PSTATE.I of EL1 and EL0: IRQs for them are masked
        self.pstate_f = False
        self._watcher: LineWatcher | None = None
        self._listener = _Lines(self)
        self.barriers: list[str] | None = None  # a list collects "isb" and "dsb" in program order
        self._seen = 0  # lines() when the watcher last looked

    # Accesses at EL1: the guest's, when HCR_EL2 says so

    def mrs_el1(self, encoding: int) -> int:
        """Read a system register at EL1."""
        if encoding == ICC_IAR1_EL1 and self.g1_direct and not self.virt.tall1:
            value = self.virt.iar(1)
        else:
            value = self._read_el1(encoding)
        if self._watcher is not None:
            self.poll_lines()
        return value

    def msr_el1(self, encoding: int, value: int) -> int:
        """Write a system register at EL1."""
        if encoding == ICC_EOIR1_EL1 and self.g1_direct and not self.virt.tall1:
            self.virt.eoir(1, value)
            outcome = 0
        else:
            outcome = self._write_el1(encoding, value)
        if self._watcher is not None:
            self.poll_lines()
        return outcome

    def _read_el1(self, encoding: int) -> int:
        if encoding == ISR_EL1:
            return self.isr_el1()
        if encoding == ICC_SRE_EL1:
            return self._sre_trap(encoding, READ) or self._read_sre(encoding)
        route = self.route_el1(encoding, READ)
        if route == TO_VIRTUAL:
            return self.virt.read_icv(encoding)
        return read_icc(self.phys, encoding, self.view) if route == TO_PHYSICAL else route

    def _write_el1(self, encoding: int, value: int) -> int:
        if encoding == ICC_SRE_EL1:
            return self._sre_trap(encoding, WRITE) or self._write_sre(encoding, value)
        route = self.route_el1(encoding, WRITE)
        if route == TO_VIRTUAL:
            return 0 if self.virt.write_icv(encoding, value) else UNDEFINED
        if route == TO_PHYSICAL:
            return 0 if write_icc(self.phys, encoding, value, self.view) else UNDEFINED
        return route

    def mrs_el0(self, encoding: int) -> int:
        """Read a system register at EL0: none of these can be."""
        return UNDEFINED

    def msr_el0(self, encoding: int, value: int) -> int:
        """Write a system register at EL0: none of these can be."""
        return UNDEFINED

    # Accesses at EL2: ICC_* is the physical interface, ICH_* the control of the virtual one

    def mrs_el2(self, encoding: int) -> int:
        """Read a system register at EL2."""
        value = self._read_el2(encoding)
        if self._watcher is not None:
            self.poll_lines()
        return value

    def msr_el2(self, encoding: int, value: int) -> int:
        """Write a system register at EL2."""
        outcome = self._write_el2(encoding, value)
        if self._watcher is not None:
            self.poll_lines()
        return outcome

    def _read_el2(self, encoding: int) -> int:
        if encoding == ISR_EL1:
            return self._physical_isr()
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2):
            if not self.sre_el3 & SRE_ENABLE:
                return self.trap(TRAP_EL3, encoding, READ)
            return self._read_sre(encoding)
        if encoding in ICH_REGISTERS:
            if not self.sre_el2 & SRE_SRE:
                return self.trap(TRAP_EL2, encoding, READ)
            return self.virt.read_ich(encoding)
        route = self.route_el2(encoding, READ)
        return read_icc(self.phys, encoding, self.view) if route == TO_PHYSICAL else route

    def _write_el2(self, encoding: int, value: int) -> int:
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2):
            if not self.sre_el3 & SRE_ENABLE:
                return self.trap(TRAP_EL3, encoding, WRITE)
            return self._write_sre(encoding, value)
        if encoding in ICH_REGISTERS:
            if not self.sre_el2 & SRE_SRE:
                return self.trap(TRAP_EL2, encoding, WRITE)
            return 0 if self.virt.write_ich(encoding, value) else UNDEFINED
        route = self.route_el2(encoding, WRITE)
        if route == TO_PHYSICAL:
            return 0 if write_icc(self.phys, encoding, value, self.view) else UNDEFINED
        return route

    # Accesses at EL3, which exists with two security states

    def mrs_el3(self, encoding: int) -> int:
        """Read a system register at EL3; banked registers are those of SCR_EL3.NS."""
        if self.one_state:
            return UNDEFINED
        if encoding == ISR_EL1:
            return self._physical_isr()
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2, ICC_SRE_EL3):
            return self._read_sre(encoding)
        if encoding in ICH_REGISTERS:
            value = self.virt.read_ich(encoding)
        else:
            value = read_icc(self.phys, encoding, self.view_el3)
        if self._watcher is not None:
            self.poll_lines()
        return value

    def msr_el3(self, encoding: int, value: int) -> int:
        """Write a system register at EL3; banked registers are those of SCR_EL3.NS."""
        if self.one_state:
            return UNDEFINED
        if encoding in (ICC_SRE_EL1, ICC_SRE_EL2, ICC_SRE_EL3):
            return self._write_sre(encoding, value)
        if encoding in ICH_REGISTERS:
            done = self.virt.write_ich(encoding, value)
        else:
            done = write_icc(self.phys, encoding, value, self.view_el3)
        if self._watcher is not None:
            self.poll_lines()
        return 0 if done else UNDEFINED

    # ICC_SRE_ELx: never virtual

    def _sre_trap(self, encoding: int, direction: int) -> int:
        """The exception of an EL1 access to ICC_SRE_EL1 that a higher level keeps to itself, or 0."""
        if self.el2_enabled and not self.sre_el2 & SRE_ENABLE:
            return self.trap(TRAP_EL2, encoding, direction)
        if not self.sre_el3 & SRE_ENABLE:
            return self.trap(TRAP_EL3, encoding, direction)
        return 0

    def _read_sre(self, encoding: int) -> int:
        self.cost.sre_reads += 1
        if encoding == ICC_SRE_EL1:
            return self.sre_el1
        return self.sre_el2 if encoding == ICC_SRE_EL2 else self.sre_el3

    def _write_sre(self, encoding: int, value: int) -> int:
        """SRE is RAO/WI, except with `sre_legacy`; DFB and DIB are RAO/WI; Enable is writable.

        ICC_SRE_EL1.SRE can be cleared only while HCR_EL2.IMO, FMO and AMO route everything to EL2.
        ICC_SRE_EL3.SRE is always RAO/WI.
        """
        self.cost.sre_writes += 1
        legacy = self.virt.config.sre_legacy
        if encoding == ICC_SRE_EL1:
            clear = legacy and self.imo and self.fmo and self.amo and not value & SRE_SRE
            self.sre_el1 = SRE_EL1_VALUE & ~SRE_SRE if clear else SRE_EL1_VALUE
        elif encoding == ICC_SRE_EL2:
            self.sre_el2 = SRE_EL1_VALUE | value & SRE_ENABLE
            if legacy and not value & SRE_SRE:
                self.sre_el2 &= ~SRE_SRE
        else:
            self.sre_el3 = SRE_EL1_VALUE | value & SRE_ENABLE
        return 0

    # Lines

    def irq(self) -> bool:
        """The level of the physical IRQ."""
        return self.phys.line(self.view) == LINE_IRQ

    def fiq(self) -> bool:
        """The level of the physical FIQ."""
        return self.phys.line(self.view) == LINE_FIQ

    def virq(self) -> bool:
        """The virtual IRQ that EL1 sees: low unless HCR_EL2.IMO, with TGE = 0 and EL2 enabled."""
        return self.virq_routed and (self.vi or self.virt.virq())

    def vfiq(self) -> bool:
        """The virtual FIQ that EL1 sees: low unless HCR_EL2.FMO, with TGE = 0 and EL2 enabled."""
        return self.vfiq_routed and (self.vf or self.virt.vfiq())

    def lines(self) -> int:
        """All four as LINES_* bits."""
        line = self.phys.line(self.view)
        value = LINES_IRQ if line == LINE_IRQ else LINES_FIQ if line == LINE_FIQ else 0
        value |= LINES_VIRQ if self.virq() else 0
        return value | (LINES_VFIQ if self.vfiq() else 0)

    def irq_target(self) -> int:
        """The exception level that takes a physical IRQ while EL1 or EL0 runs: 1, 2 or 3."""
        if self.scr_irq:
            return 3
        return 2 if self.el2_enabled and (self.imo or self.tge) else 1

    def fiq_target(self) -> int:
        """The exception level that takes a physical FIQ while EL1 or EL0 runs: 1, 2 or 3."""
        if self.scr_fiq:
            return 3
        return 2 if self.el2_enabled and (self.fmo or self.tge) else 1

    def irq_taken(self) -> bool:
        """Whether a running guest is interrupted by a physical IRQ: PSTATE.I masks it only if EL1 takes it."""
        return self.irq() and (self.irq_target() > 1 or not self.pstate_i)

    def fiq_taken(self) -> bool:
        """Whether a running guest is interrupted by a physical FIQ: PSTATE.F masks it only if EL1 takes it."""
        return self.fiq() and (self.fiq_target() > 1 or not self.pstate_f)

    def virq_taken(self) -> bool:
        """Whether a running guest takes a virtual IRQ."""
        return not self.pstate_i and self.virq()

    def vfiq_taken(self) -> bool:
        """Whether a running guest takes a virtual FIQ."""
        return not self.pstate_f and self.vfiq()

    def isr_el1(self) -> int:
        """ISR_EL1 as EL1 reads it: the virtual line of each class routed to EL2, else the physical one."""
        irq = self.virq() if self.virq_routed else self.irq()
        fiq = self.vfiq() if self.vfiq_routed else self.fiq()
        return (ISR_I if irq else 0) | (ISR_F if fiq else 0)

    def _physical_isr(self) -> int:
        """ISR_EL1 as EL2 and EL3 read it."""
        return (ISR_I if self.irq() else 0) | (ISR_F if self.fiq() else 0)

    @property
    def watcher(self) -> LineWatcher | None:
        """Whoever is told of changes; setting it makes the lines of that moment the ones to differ from."""
        return self._watcher

    @watcher.setter
    def watcher(self, watcher: LineWatcher | None) -> None:
        listeners = self.dist.listeners
        if self._watcher is not None:
            listeners.remove(self._listener)
        self._watcher = watcher
        if watcher is not None:
            listeners.append(self._listener)
            self._seen = self.lines()

    def poll_lines(self) -> None:
        """Tell the watcher if a line changed since it last looked."""
        if self._watcher is not None:
            lines = self.lines()
            if lines != self._seen:
                self._seen = lines
                self._watcher.lines_changed(self)

    # Barriers order nothing here: the model is sequentially consistent

    def isb(self) -> None:
        """Instruction barrier: noted in `barriers`."""
        if self.barriers is not None:
            self.barriers.append("isb")

    def dsb(self) -> None:
        """Data barrier (DSB SY): noted in `barriers`."""
        if self.barriers is not None:
            self.barriers.append("dsb")

    def check(self) -> None:
        """Assert what always holds."""
        self.virt.check()
        self.phys.check()
        self.redist.check()
        assert not (self.irq() and self.fiq()), "one interrupt, two physical lines"
        assert not (self.virt.virq() and self.virt.vfiq()), "one candidate, two virtual lines"
        assert self.virt.sre == (self.sre_el1 & SRE_SRE != 0), "the virtual interface missed a change of SRE"


@final
class _Forwarded(PhysicalDeactivator):
    """Deactivates what the guest's LRs name, as a Non-secure write of ICC_DIR_EL1 by this PE would."""

    def __init__(self, phys: Icc) -> None:
        self.phys = phys

    def deactivate(self, pintid: int) -> None:
        self.phys.deactivate(pintid, False)


@final
class _Lines(LineListener):
    """Passes on to the PE that something shared by all PEs changed."""

    def __init__(self, pe: Pe) -> None:
        self.pe = pe

    def poll_lines(self) -> None:
        self.pe.poll_lines()
