"""The physical CPU interface of one PE: what a hypervisor, or a guest without one, acknowledges.

Room:    above dist and redist, which offer it their best interrupts; below pe, which routes accesses.
Owns:    PMR, binary points, active priorities, group enables and EOI modes, banked by Security state.
Never:   traps, sees HCR_EL2 or a virtual interrupt.
Holds:   everything indexed by [kind] is indexed by GROUP0, GROUP1_NS or GROUP1_S; with one security
         state GROUP1_S is unused.  Binary points are never below their minimum.

The lines are computed when asked for.  iccregs gives each register its encoding.

Source: IHI 0069H, ICC_*; DDI 0601.
"""

from typing import final

from hw.arch import FIRST_SPECIAL, INTID_NONSECURE, INTID_SECURE, INTID_SPURIOUS, PRIORITY_IDLE
from hw.cost import Cost
from hw.dist import Distributor
from hw.physirq import GROUP0, GROUP1_NS, GROUP1_S, LINE_FIQ, LINE_IRQ, LINE_NONE, PhysIrq
from hw.redist import Redistributor


@final
class View:
    """From where an access to the physical interface comes, as far as it changes what is seen."""

    __slots__ = ("el3", "g1", "secure", "shifted")

    def __init__(self, secure: bool, el3: bool = False, shifted: bool = False, one_state: bool = True) -> None:
        """`secure`: SCR_EL3.NS is 0.  `shifted`: Non-secure with SCR_EL3.FIQ, two security states."""
        self.secure = secure or el3 or one_state  # may act on Group 0 and on Secure interrupts
        self.el3 = el3
        self.shifted = shifted
        self.g1 = GROUP1_S if secure and not one_state else GROUP1_NS  # the bank of Group 1 registers


@final
class Candidate:
    """The highest priority pending interrupt of a PE; `irq` is None for an LPI."""

    __slots__ = ("intid", "irq", "kind", "priority")

    def __init__(self, intid: int, priority: int, kind: int, irq: PhysIrq | None) -> None:
        """Plain values."""
        self.intid = intid
        self.priority = priority
        self.kind = kind
        self.irq = irq


class SgiPort:
    """Carries SGIs from one PE to others.

    `send_sgi` raises here because the Machine does it, which knows all PEs.  A base and no Protocol, which would be a
    lookup for each call when compiled.
    """

    def send_sgi(self, source: int, value: int, groups: int) -> None:
        """PE number `source` wrote `value`, laid out as ICC_SGI1R_EL1; `groups` as Redistributor.receive_sgi."""
        raise NotImplementedError


@final
class Icc:
    """One PE's physical CPU interface."""

    __slots__ = (
        "ap",
        "bpr",
        "cbpr",
        "config",
        "cost",
        "dist",
        "eoimode",
        "eoimode_el3",
        "igrpen",
        "intid_mask",
        "one_state",
        "pmhe",
        "pmr",
        "port",
        "redist",
    )

    def __init__(self, redist: Redistributor, dist: Distributor, cost: Cost) -> None:
        """Reset state: everything masked and disabled, binary points at their minimum."""
        self.redist = redist
        self.dist = dist
        self.cost = cost
        self.config = dist.config
        self.one_state = self.config.single_security
        self.intid_mask = (1 << self.config.id_bits) - 1
        self.port: SgiPort | None = None  # where SGIs go
        self.pmr = 0
        self.pmhe = False  # storage: a hint
        self.bpr = [self.config.min_bpr0, self.config.min_bpr1, self.config.min_bpr0]  # [kind]
        self.ap = [0, 0, 0]  # [kind], bit b: active at group priority b << ap_shift
        self.igrpen = [False, False, False]  # [kind]
        self.cbpr = [False, False, False]  # [kind]; Group 0 has none
        self.eoimode = [False, False, False]  # [kind of the state's Group 1]
        self.eoimode_el3 = False

    # Selection

    def candidate(self) -> Candidate | None:
        """The highest priority pending interrupt; ties: the lowest INTID.

        Nothing while the PE sleeps.  If its group is disabled in ICC_IGRPEN<g> it is still the one, and
        hides all others: nothing is signalled, nothing observed.
        """
        redist = self.redist
        if redist.asleep:
            return None
        enables = self.dist.enables
        irq = redist.best_private(enables)
        spi = self.dist.best(enables, redist.aff)
        if irq is None or (spi is not None and spi.priority < irq.priority):
            irq = spi  # at equal priority the SGI or PPI has the lower INTID
        lpi = redist.best_lpi()
        if lpi and (irq is None or redist.lpis.priority(lpi) < irq.priority):
            best = Candidate(lpi, redist.lpis.priority(lpi), GROUP1_NS, None)
        elif irq is not None:
            best = Candidate(irq.intid, irq.priority, irq.kind(), irq)
        else:
            return None
        return best if self.igrpen[best.kind] else None

    def mask(self, kind: int) -> int:
        """The preemption bits of a priority of that group."""
        if kind == GROUP0 or self.cbpr[kind]:
            return 0xFF << (self.bpr[GROUP0] + 1) & 0xFF
        return 0xFF << (self.bpr[kind] + (kind == GROUP1_S)) & 0xFF

    def running(self) -> int:
        """The running priority, 0xFF if nothing is active."""
        active = self.ap[GROUP0] | self.ap[GROUP1_NS] | self.ap[GROUP1_S]
        return ((active & -active).bit_length() - 1) << self.config.ap_shift if active else PRIORITY_IDLE

    def can_signal(self, it: Candidate) -> bool:
        """Whether `it` is more urgent than PMR and preempts what is running."""
        if it.priority >= self.pmr:
            return False
        running = self.running()
        mask = self.mask(it.kind)
        return running == PRIORITY_IDLE or it.priority & mask < running & mask

    def line(self, view: View) -> int:
        """LINE_IRQ, LINE_FIQ or LINE_NONE, as seen by a PE in the Security state of `view`.

        security states   Group 0   own Group 1   the other state's Group 1
            one             FIQ        IRQ               -
            two             FIQ        IRQ              FIQ
        """
        it = self.candidate()
        if it is None or not self.can_signal(it):
            return LINE_NONE
        return LINE_IRQ if it.kind == view.g1 else LINE_FIQ

    # Acknowledge, end, deactivate

    def hppir(self, group: int, view: View) -> int:
        """ICC_HPPIR<group>_EL1: what is pending, whatever PMR and the running priority."""
        return self._visible(self.candidate(), group, view)

    def _visible(self, it: Candidate | None, group: int, view: View) -> int:
        """The INTID of `it`, or the special INTID that a read for `group` returns instead.

        Only EL3, reading for Group 0, learns of a Group 1 interrupt: 1020 if Secure, 1021 if not.
        """
        if it is None:
            return INTID_SPURIOUS
        if group == 0:
            if it.kind == GROUP0 and view.secure:
                return it.intid
            if it.kind != GROUP0 and view.el3:
                return INTID_SECURE if it.kind == GROUP1_S else INTID_NONSECURE
            return INTID_SPURIOUS
        return it.intid if it.kind == view.g1 else INTID_SPURIOUS

    def iar(self, group: int, view: View) -> int:
        """ICC_IAR<group>_EL1: acknowledge; an LPI is only forgotten, having no active state."""
        it = self.candidate()
        if it is None or not self.can_signal(it):
            return INTID_SPURIOUS
        intid = self._visible(it, group, view)
        if FIRST_SPECIAL <= intid <= INTID_SPURIOUS:
            return intid
        self.cost.phys_acks += 1
        self.ap[it.kind] |= 1 << ((it.priority & self.mask(it.kind)) >> self.config.ap_shift)
        if it.irq is None:
            self.redist.lpis.clear_pending(intid)
        elif self.redist.has(intid):
            self.redist.acknowledge(it.irq)
        else:
            self.dist.acknowledge(it.irq)
            self.dist.notify()  # no other PE is offered it any more
        return intid

    def eoir(self, group: int, value: int, view: View) -> None:
        """ICC_EOIR<group>_EL1: drop the running priority, and deactivate with EOImode 0.

        Nothing at all happens unless the most urgent active priority belongs to the group and Security
        state of the access: unlike ICV_EOIR, which drops in any case.
        """
        intid = value & self.intid_mask
        kind = view.g1 if group else GROUP0
        if FIRST_SPECIAL <= intid <= INTID_SPURIOUS or (kind == GROUP0 and not view.secure):
            return
        ap = self.ap
        active = ap[GROUP0] | ap[GROUP1_NS] | ap[GROUP1_S]
        lowest = active & -active
        if not ap[kind] & lowest:
            return
        ap[kind] ^= lowest
        if not self._split(view):
            self.deactivate(intid, view.secure)

    def dir(self, value: int, view: View) -> None:
        """ICC_DIR_EL1: deactivate with EOImode 1; ignored with EOImode 0."""
        if self._split(view):
            self.deactivate(value & self.intid_mask, view.secure)

    def _split(self, view: View) -> bool:
        """EOImode, as it applies to `view`."""
        return self.eoimode_el3 if view.el3 else self.eoimode[view.g1]

    def deactivate(self, intid: int, secure: bool) -> None:
        """Deactivate an SGI or PPI of this PE, or any SPI; nothing for LPIs and INTIDs that do not exist.

        An access that may not act on Secure interrupts (`secure` False) leaves those alone.
        """
        if self.redist.has(intid):
            irq = self.redist.irq(intid)
        elif self.dist.has(intid):
            irq = self.dist.irq(intid)
        else:
            return
        if secure or self.one_state or irq.kind() == GROUP1_NS:
            irq.active = False
            if self.dist.has(intid):
                self.dist.notify()  # it may be offered to another PE again

    def check(self) -> None:
        """Assert what always holds."""
        config = self.config
        assert self.pmr & ~config.pri_mask == 0, f"PMR {self.pmr:#x}"
        least = (config.min_bpr0, config.min_bpr1, config.min_bpr0)
        assert all(low <= bpr <= 7 for low, bpr in zip(least, self.bpr, strict=True)), f"binary points {self.bpr}"
        assert all(ap >> (1 << config.pre_bits) == 0 for ap in self.ap), f"active priorities {self.ap}"
