"""One physical CPU: what the GIC looks like from it, and its interrupt lines.

Room:    the top of one CPU; a machine holds several, a hypervisor programs them.
         What differs between a GICv2 and a GICv3 is in pe2 and pe3.
Owns:    what is not the GIC's: PSTATE masks, HCR_EL2.VI and VF; the rest of the control bits are routing's.
Never:   runs code, takes an exception: it says which access traps where and which line is up.
Holds:   at most one physical and at most one virtual line of the GIC is asserted.

An access returns a value, 0 for a write done, or one of the negative constants of arch.
Source: DDI 0487 (exception routing).
"""

from typing import Final, Protocol, final

from hw.arch import ISR_EL1, ISR_F, ISR_I, SRE_SRE, UNDEFINED
from hw.dist import Distributor
from hw.gicc import Gicc
from hw.gich import Gich
from hw.gicv import Gicv
from hw.icc import Icc
from hw.icv import Icv
from hw.physirq import LINE_FIQ, LINE_IRQ, LineListener
from hw.private import Private
from hw.redist import Redistributor
from hw.routing import Routing

# Bits of Pe.lines()

LINES_IRQ: Final = 1
LINES_FIQ: Final = 2
LINES_VIRQ: Final = 4
LINES_VFIQ: Final = 8


class LineWatcher(Protocol):
    """What an embedder may supply: told when an access changed an interrupt line of a PE."""

    def lines_changed(self, pe: "Pe") -> None:
        """`pe.lines()` differs from what it was after the access before."""


class Pe(Routing):
    """CPU number `index` of a machine, with packed affinity `aff`: a PeV2 or a PeV3.

    The watcher, if any, is told of changes by accesses by encoding and by MMIO.  The EL2 fast path
    (methods of `virt`) and the control bits are not watched: call poll_lines() after them.

    `physical_line` raises here because each of the two has its own physical interface.  A plain base, no ABC, keeps
    calls direct when compiled.
    """

    redist: Redistributor  # GICv3 only
    phys: Icc  # GICv3 only: the physical CPU interface
    gicc: Gicc  # GICv2 only: the physical CPU interface
    gich: Gich  # GICv2 only: `virt`, which is also the GICH frame

    def __init__(
        self, index: int, aff: int, dist: Distributor, private: Private, virt: Icv, gicv: Gicv | None, sre_el1: int
    ) -> None:
        """Reset state."""
        super().__init__(virt, dist.one_state, sre_el1)
        self.index = index
        self.aff = aff
        self.dist = dist
        self.private = private  # SGIs and PPIs: their wires, their registers
        self.gicv = gicv  # the frame of a GICv2-style guest; None on a GICv3 that cannot have one
        self.cost = virt.cost
        self.vi = False  # HCR_EL2.VI: a virtual IRQ that the hypervisor asserts itself
        self.vf = False
        self.pstate_i = False  # PSTATE.I of EL1 and EL0: IRQs for them are masked
        self.pstate_f = False
        self._watcher: LineWatcher | None = None
        self._listener = _Lines(self)
        self.barriers: list[str] | None = None  # a list collects "isb" and "dsb" in program order
        self._seen = 0  # lines() when the watcher last looked

    # Accesses by encoding.  A GIC without system registers leaves ISR_EL1

    def mrs_el0(self, encoding: int) -> int:
        """Read a system register at EL0: none of these can be."""
        return UNDEFINED

    def msr_el0(self, encoding: int, value: int) -> int:
        """Write a system register at EL0: none of these can be."""
        return UNDEFINED

    def mrs_el1(self, encoding: int) -> int:
        """Read a system register at EL1."""
        return self.isr_el1() if encoding == ISR_EL1 else UNDEFINED

    def msr_el1(self, encoding: int, value: int) -> int:
        """Write a system register at EL1."""
        return UNDEFINED

    def mrs_el2(self, encoding: int) -> int:
        """Read a system register at EL2."""
        return self.physical_isr() if encoding == ISR_EL1 else UNDEFINED

    def msr_el2(self, encoding: int, value: int) -> int:
        """Write a system register at EL2."""
        return UNDEFINED

    def mrs_el3(self, encoding: int) -> int:
        """Read a system register at EL3, which exists with two security states."""
        return UNDEFINED

    def msr_el3(self, encoding: int, value: int) -> int:
        """Write a system register at EL3, which exists with two security states."""
        return UNDEFINED

    def entering(self, context: int) -> None:
        """The hypervisor enters a guest, with its ICH_* state loaded; see DirectIcv.entering."""

    # The registers of this PE's SGIs and PPIs: GICD_* of a GICv2, GICR_* of a GICv3

    def read_private(self, offset: int) -> int:
        """Read a word of INTIDs 0..31, named by its GICD offset (GICD_ISACTIVER, ...), by MMIO from this PE."""
        return self.private.read_word(offset)

    def write_private(self, offset: int, value: int) -> None:
        """Write a word of INTIDs 0..31, named by its GICD offset (GICD_ISACTIVER, ...), by MMIO from this PE."""
        self.private.write_word(offset, value)

    # Lines

    def physical_line(self) -> int:
        """The physical CPU interface's LINE_IRQ, LINE_FIQ or LINE_NONE."""
        raise NotImplementedError

    def irq(self) -> bool:
        """The level of the physical IRQ."""
        return self.physical_line() == LINE_IRQ

    def fiq(self) -> bool:
        """The level of the physical FIQ."""
        return self.physical_line() == LINE_FIQ

    def virq(self) -> bool:
        """The virtual IRQ that EL1 sees: low unless HCR_EL2.IMO, with TGE = 0 and EL2 enabled."""
        return self.virq_routed and (self.vi or self.virt.virq())

    def vfiq(self) -> bool:
        """The virtual FIQ that EL1 sees: low unless HCR_EL2.FMO, with TGE = 0 and EL2 enabled."""
        return self.vfiq_routed and (self.vf or self.virt.vfiq())

    def lines(self) -> int:
        """All four as LINES_* bits."""
        line = self.physical_line()
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

    def physical_isr(self) -> int:
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
        self.listen(None if watcher is None else self._listener)

    def listen(self, listener: LineListener | None) -> None:
        """Have the frames of this PE alone tell `listener` of accesses."""
        if self.gicv is not None:
            self.gicv.listener = listener

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
        self.private.check()
        assert not (self.irq() and self.fiq()), "one interrupt, two physical lines"
        assert not (self.virt.virq() and self.virt.vfiq()), "one candidate, two virtual lines"
        assert self.virt.sre == (self.sre_el1 & SRE_SRE != 0), "the virtual interface missed a change of SRE"


@final
class _Lines(LineListener):
    """Passes on to the PE that something shared by all PEs changed."""

    def __init__(self, pe: Pe) -> None:
        self.pe = pe

    def poll_lines(self) -> None:
        self.pe.poll_lines()
