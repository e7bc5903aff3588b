"""The virtual CPU interface with directly injected interrupts beside its list registers.

Room:    above icv; the PE's redistributor offers it one interrupt at a time through `offer`.
Owns:    the merge of the offered interrupt with the list registers, by priority.
Never:   uses a list register for it, gives it an active state; asks which vPE is resident.
Holds:   `offer` is valid or nothing: never active, never with HW or EOI.

Only a Non-secure guest with system registers has direct interrupts, and only while ICH_HCR_EL2.DVIM is 0.
Source: IHI 0069H, virtual LPIs and virtual SGIs; DDI 0601, ICH_HCR_EL2.
"""

from typing import final

from hw.arch import (
    FIRST_LPI,
    HCR_DVIM,
    HCR_VSGIEOICOUNT,
    INTID_SPURIOUS,
    NR_SGIS,
    PRIORITY_IDLE,
)
from hw.config import VirtConfig
from hw.cost import Cost
from hw.icv import Icv
from hw.lr import ListReg
from hw.misuse import MisuseLog


class DirectPort:
    """The redistributor, as its CPU interface and the vPEs know it."""

    def acknowledge(self) -> None:
        """The guest acknowledged what is offered."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Configuration bytes may be read again before what is offered is looked at."""
        raise NotImplementedError

    def settling(self) -> bool:
        """Whether a vPE is being descheduled."""
        raise NotImplementedError

    def holds(self, vintid: int) -> bool:
        """Whether `vintid` is pending for the resident vPE."""
        raise NotImplementedError

    def resident_vpe(self) -> int:
        """The vPEID of the resident vPE, or -1."""
        raise NotImplementedError

    def consider(self, rank: int) -> None:
        """An interrupt of that rank became ready for the resident vPE."""
        raise NotImplementedError

    def reconsider(self) -> None:
        """What is ready for the resident vPE changed in some other way."""
        raise NotImplementedError

    def evict(self) -> None:
        """The vPE cannot stay, whatever software wants: PendingLast is 1, no doorbell."""
        raise NotImplementedError


@final
class DirectIcv(Icv):
    """An Icv that also delivers what its redistributor offers."""

    __slots__ = ("_twice", "misuse", "offer", "owners", "port", "volatile")

    def __init__(self, config: VirtConfig, cost: Cost, misuse: MisuseLog) -> None:
        """Reset to zero, with nothing offered and no redistributor."""
        super().__init__(config, cost)
        self.offer = ListReg()  # the offered interrupt in the form of a list register; `pending` says whether it is
        self.port: DirectPort | None = None
        self.misuse = misuse
        self.volatile = False  # the port wants refresh()
        self._twice = False  # a pending list register has the INTID that is offered, when candidate() last looked
        self.owners: dict[int, int] = {}  # vPEID -> the guest context it was entered with, see entering()

    def spare(self) -> "DirectIcv":
        """As Ich.spare; what is offered is offered to it, too, but nobody hears of its acknowledges."""
        copy = DirectIcv(self.config, Cost(), self.misuse)
        offer, mine = copy.offer, self.offer
        offer.vintid, offer.priority, offer.group, offer.pending = mine.vintid, mine.priority, mine.group, mine.pending
        return copy

    def candidate(self, signalled: bool) -> ListReg | None:
        """As Icv.candidate, with the offered interrupt among the list registers: one of those wins a tie.

        Not an access.
        """
        best = PRIORITY_IDLE
        if signalled:
            if not self.en:
                return None
            best = self.vpmr
        chosen = None
        for lr in self.lrs:
            if lr.pending and not lr.active and (self.veng1 if lr.group else self.veng0):
                priority = lr.priority
                if priority < best:
                    chosen = lr
                    best = priority
                if lr.vintid == self.offer.vintid:
                    self._twice = True
        if self.volatile and self.port is not None:
            self.port.refresh()
        offer = self.offer
        if (
            offer.pending
            and offer.priority < best
            and (self.veng1 if offer.group else self.veng0)
            and not self.control & HCR_DVIM
            and self._sre
            and not self._secure
        ):
            chosen = offer
        if chosen is not None and signalled:
            active = self.ap0 | self.ap1
            if active and not self.preempts(chosen, active):
                return None
        return chosen

    def iar(self, group: int) -> int:
        """Read ICV_IAR<group>_EL1: acknowledge.  A direct interrupt is forgotten, having no active state."""
        offer = self.offer
        if not offer.pending and not self.volatile:
            return Icv.iar(self, group)
        chosen = self.candidate(True)
        if chosen is not offer:
            if chosen is not None and chosen.group == group:
                self._check_twice(chosen.vintid)
            vintid = Icv.iar(self, group)
            self.misuse.done()
            return vintid
        cost = self.cost
        cost.icv_reads += 1
        if offer.group != group:
            return INTID_SPURIOUS
        cost.direct_acks += 1
        vintid = offer.vintid
        if group:
            self.ap1 |= 1 << ((offer.priority & self.mask1) >> self._ap_shift)
        else:
            self.ap0 |= 1 << ((offer.priority & self.mask0) >> self._ap_shift)
        if self._twice:
            self._twice = False  # what candidate() saw may be gone
            if any(lr.pending and lr.vintid == vintid for lr in self.lrs):
                self._check_twice(vintid)
        if self.port is not None:
            self.port.acknowledge()
        if self.misuse.strict:
            self.misuse.done()
        return vintid

    def count_eoi(self, vintid: int) -> None:
        """As Icv.count_eoi; an SGI does not count with vSGIEOICount."""
        if vintid >= NR_SGIS or not self.control & HCR_VSGIEOICOUNT:
            Icv.count_eoi(self, vintid)

    # What only software that misuses the interface notices

    def write_vmcr(self, value: int) -> None:
        """Write ICH_VMCR_EL2."""
        self._check_settled()
        Icv.write_vmcr(self, value)

    def write_ap(self, group: int, n: int, value: int) -> None:
        """Write ICH_AP<group>R<n>_EL2."""
        self._check_settled()
        Icv.write_ap(self, group, n, value)

    def entering(self, context: int) -> None:
        """The hypervisor enters a guest whose ICH_* state it knows as `context`, any number that is its own.

        Not an access: the moment at which forgetting ICH_HCR_EL2.En, or loading another guest's state, shows.
        """
        port = self.port
        vpeid = -1 if port is None else port.resident_vpe()
        if vpeid < 0:
            return
        self.misuse.doing("a guest entry", vpeid, context)
        if self.offer.pending and not self.en:
            self.misuse.report("M-31", f"INTID {self.offer.vintid} of vPE {vpeid}")
        if self.owners.setdefault(vpeid, context) != context:
            self.misuse.report("M-34", f"vPE {vpeid} ran with {self.owners[vpeid]}, not {context}")
        self.misuse.done()

    def check(self) -> None:
        """Assert every invariant of the stored state."""
        super().check()
        offer = self.offer
        assert not offer.active, "a direct interrupt with an active state"
        assert not offer.hw, "a direct interrupt with a physical one"

    def _check_settled(self) -> None:
        if self.port is not None and self.port.settling():
            self.misuse.doing("ICH_* of the same PE", 0, 0)
            self.misuse.report("M-33")
            self.misuse.done()

    def _check_twice(self, vintid: int) -> None:
        """An INTID that is in a list register is acknowledged: it should not be pending directly as well."""
        if (vintid < NR_SGIS or vintid >= FIRST_LPI) and self.port is not None and self.port.holds(vintid):
            self.misuse.doing("an acknowledge", 0, vintid)
            self.misuse.report("M-27", f"INTID {vintid}")
