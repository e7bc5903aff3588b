"""The VLPI frame of a redistributor: which vPE is resident there, and what its CPU interface is offered.

Room:    between the vPEs and the virtual CPU interface of one PE; inside redist4.
Owns:    GICR_VPROPBASER, GICR_VPENDBASER and the residency state machine; vlpi40 and vlpi41 have the registers.
Never:   decides what is pending; knows list registers.
Holds:   something is offered only in state RESIDENT, and it is the best that is ready there.  Checked by check().

state       Valid  Dirty
ABSENT        0      0    nothing resident
SCANNING      1      1    looking for the first candidate
RESIDENT      1      0
SETTLING      0      1    taking back what was offered, counting what is pending

Source: IHI 0069H, GICR_VPENDBASER; DDI 0601.
"""

from typing import Final

from hw.direct import DirectIcv, DirectPort
from hw.ich import Ich
from hw.redist import Redistributor
from hw.vpe import ALL_GROUPS, RANK_INTID_MASK, Vpe
from hw.vpes import Vpes

ABSENT: Final = 0
SCANNING: Final = 1
RESIDENT: Final = 2
SETTLING: Final = 3

STATES: Final = ("absent", "scanning", "resident", "settling")

NO_RANK: Final = 1 << 40  # worse than any


class VlpiFrame(DirectPort):
    """What GICv4.0 and GICv4.1 have alike."""

    def __init__(self, redist: Redistributor, virt: Ich, vpes: Vpes) -> None:
        """Reset state.  A CPU interface that is not a DirectIcv tolerates no direct injection."""
        self.redist = redist
        self.vpes = vpes
        self.fabric = redist.fabric
        self.misuse = redist.fabric.misuse
        v4 = redist.fabric.v4
        assert v4 is not None, "a VLPI frame without GICv4"
        self.v4 = v4
        self.virt = virt if isinstance(virt, DirectIcv) else None
        self.state = ABSENT
        self.vpe: Vpe | None = None  # the one that is resident, or being descheduled
        self.key = -1  # of that vPE
        self.groups = ALL_GROUPS  # VPENDBASER.VGrp0En, VGrp1En: a bit for each
        self.offered = NO_RANK
        self.blind = False  # GICv4.0: software promised that nothing is pending, so nobody looks until the next event
        self.pending_last = False
        self.vpropbaser = 0
        self._due = 0  # when the state changes by itself
        self._doorbell = False  # how to deschedule
        self._will_return = False
        self._settled = False
        self._poison = False
        self._pri_mask = virt.config.pri_mask
        if self.virt is not None:
            self.virt.port = self
            self.virt.volatile = self.fabric.volatile

    # Registers

    def read_vpropbaser(self) -> int:
        """GICR_VPROPBASER."""
        return self.vpropbaser

    def write_vpropbaser(self, value: int) -> None:
        """Write GICR_VPROPBASER."""
        raise NotImplementedError

    def read_vpendbaser(self) -> int:
        """GICR_VPENDBASER."""
        raise NotImplementedError

    def write_vpendbaser(self, value: int) -> None:
        """Write GICR_VPENDBASER; while Dirty, what is under way ends first."""
        if self.state == SETTLING or (self.state == SCANNING and self.v4.dirty):
            self.misuse.report("M-07")
        self.finish()
        self._write_vpendbaser(value)

    def _write_vpendbaser(self, value: int) -> None:
        raise NotImplementedError

    def query_sgis(self, vpeid: int) -> None:
        """Write GICR_VSGIR."""

    def read_sgis(self) -> int:
        """GICR_VSGIPENDR."""
        return 0

    @property
    def dirty(self) -> bool:
        """VPENDBASER.Dirty."""
        return self.state == SETTLING or (self.state == SCANNING and self.v4.dirty)

    @property
    def valid(self) -> bool:
        """VPENDBASER.Valid."""
        return self.state in (SCANNING, RESIDENT)

    # Residency

    def schedule(self, key: int, vpe: Vpe, groups: int) -> None:
        """`vpe` is resident from now on: no doorbell, and its best interrupt is offered once that is found."""
        self.vpe = vpe
        self.key = key
        self.groups = groups
        vpe.groups = groups if self.v4.pl_counts_group else ALL_GROUPS
        vpe.silence()
        vpe.frame = self
        self.redist.cost.residencies += 1
        self._enter(SCANNING)
        if self.v4.t_scan:
            self._due = self.fabric.now + self.v4.t_scan
        else:
            self.finish()

    def deschedule(self, doorbell: bool, will_return: bool) -> None:
        """The resident vPE leaves; `will_return`: software does not ask whether something is pending."""
        self.withdraw()
        self._doorbell = doorbell and not will_return
        self._will_return = will_return
        self._settled = False
        self._enter(SETTLING)
        if self.v4.settles_early:
            self._settle()
        if self.v4.t_settle:
            self._due = self.fabric.now + self.v4.t_settle
        else:
            self.finish()

    def finish(self) -> None:
        """End what Dirty stands for."""
        if self.state == SCANNING:
            self._enter(RESIDENT)
            if not self.blind:
                self.reconsider()
        elif self.state == SETTLING:
            if not self._settled:
                self._settle()
            self._enter(ABSENT)

    def _enter(self, state: int) -> None:
        """The state changes."""
        trace = self.fabric.trace
        if trace is not None:
            trace.event("resid", self.redist.number, self.key, STATES[self.state], STATES[state], self.pending_last)
        self.state = state

    def tick(self) -> None:
        """Time passed."""
        if self.state in (SCANNING, SETTLING) and self.fabric.now >= self._due:
            self.finish()

    def evict(self) -> None:
        """The vPE cannot stay, whatever software wants: PendingLast 1, no doorbell; or it is leaving."""
        settling = self.state == SETTLING
        self.finish()
        if not settling:
            self.deschedule(False, True)
            self.finish()
            self.pending_last = True

    def _settle(self) -> None:
        vpe = self.vpe
        assert vpe is not None, "nothing to settle"
        self._settled = True
        self.pending_last = vpe.arm(self._doorbell)
        if self._will_return:  # UNKNOWN: not the same twice
            self._poison = not self._poison
            self.pending_last = self._poison
        if self.v4.writes_back:
            vpe.flush()
        vpe.frame = None
        self.vpe = None
        self.left(vpe)

    def left(self, vpe: Vpe) -> None:
        """`vpe` is no longer resident."""

    # What the CPU interface is offered

    def consider(self, rank: int) -> None:
        """An interrupt of that rank became ready for the resident vPE."""
        if rank < self.offered and self.state == RESIDENT and self.groups >> (rank & 1) & 1:
            self._offer(rank)

    def reconsider(self) -> None:
        """What is ready for the resident vPE changed in some other way."""
        self.blind = False
        if self.state == RESIDENT and self.vpe is not None:
            rank = self.vpe.best(self.groups)
            if rank >= 0:
                self._offer(rank)
            else:
                self.withdraw()

    def acknowledge(self) -> None:
        """The guest acknowledged what is offered."""
        vpe = self.vpe
        assert vpe is not None, "an acknowledge without a resident vPE"
        rank = vpe.acknowledge(self.offered, self.groups)
        if rank >= 0:
            self._offer(rank)
        else:
            self.withdraw()

    def withdraw(self) -> None:
        """Offer nothing."""
        if self.fabric.trace is not None and self.offered != NO_RANK:
            self.fabric.trace.event("withdraw", self.redist.number)
        self.offered = NO_RANK
        if self.virt is not None:
            self.virt.offer.pending = False

    def _offer(self, rank: int) -> None:
        virt = self.virt
        if virt is not None:
            self.offered = rank
            offer = virt.offer
            offer.vintid = rank >> 1 & RANK_INTID_MASK
            offer.priority = rank >> 25 & self._pri_mask
            offer.group = rank & 1
            offer.pending = True
            trace = self.fabric.trace
            if trace is not None and self.vpe is not None:
                vpeid = self.vpe.vpeid
                trace.event("offer", self.redist.number, vpeid, offer.vintid, offer.priority, offer.group)

    # What the CPU interface asks

    def refresh(self) -> None:
        """Configuration bytes may be read again before what is offered is looked at."""
        if self.state == RESIDENT and self.vpe is not None:
            self.vpe.refresh()

    def settling(self) -> bool:
        """Whether a vPE is being descheduled."""
        return self.state == SETTLING

    def holds(self, vintid: int) -> bool:
        """Whether `vintid` is pending for the resident vPE."""
        return self.state == RESIDENT and self.vpe is not None and vintid in self.vpe.pending

    def resident_vpe(self) -> int:
        """The key of the resident vPE, or -1."""
        return self.key if self.valid else -1

    def check(self) -> None:
        """Assert what always holds."""
        vpe = self.vpe
        assert not self.valid or (vpe is not None and vpe.frame is self), f"{self.redist.name}: resident, but nowhere"
        best = vpe.best(self.groups) if vpe is not None and self.state == RESIDENT else -1
        assert self.offered in (best, NO_RANK), f"{self.redist.name}: offers {self.offered:#x}, best is {best:#x}"
        virt = self.virt
        assert virt is None or virt.offer.pending == (self.offered != NO_RANK), f"{self.redist.name}: offer is stale"
