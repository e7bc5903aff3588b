"""The LPIs of a VM as sets, while one pass over a command queue lasts: so that no command has to walk them.

Room:    below batch, which makes one when a pass needs it and ends it with the pass.
Owns:    Irq.target of LPIs meanwhile: `look` brings one up to date, `finish` all.
Holds:   each live LPI has a slot, for its INTID; a dead one's waits for the next LPI of that INTID.
         An LPI that is not `unread` has had its configuration byte read in this pass, as it is in memory now, while it
         had a target, and was looked at anew: reading it again would change nothing.
         `loud` LPIs are not unread, and looking at them anew would kick their target.

Why that last rule of `unread` stays true: an LPI that has a target never loses it; a command that makes one pending
lists it; and the pass holds the VM's lock, so no distributor enable, list or active state changes.
"""

from operator import attrgetter
from typing import TYPE_CHECKING, Final, final

from vgic.ids import FIRST_LPI
from vgic.irq import Irq
from vgic.its.planes import Planes, slots_of
from vgic.v3.lpi import config_byte, pending_byte, read_config

if TYPE_CHECKING:
    from vgic.direct import Direct, Residency
    from vgic.dist import Dist
    from vgic.vcpu import VcpuGic

_NOBODY: Final = 0
_SHARE: Final = 8
"""Hardware reads a whole vPE again when at least one LPI in that many changed."""
_BY_INTID: Final = attrgetter("intid")


def _number(vcpu: "VcpuGic | None") -> int:
    """Return what stands for a target in the planes."""
    return _NOBODY if vcpu is None else vcpu.index + 1


def _tell(vpe: "Residency", changed: "list[Direct]") -> None:
    """Have hardware read what changed: all of the vPE at once, unless that is much more than what changed."""
    if len(changed) * _SHARE >= vpe.vlpis:
        vpe.invalidate_all()
    else:
        for direct in changed:
            direct.invalidate()


@final
class LpiSets:
    """All LPIs of one VM: where each goes, and what of it an INVALL need not do again."""

    __slots__ = ("_all", "_config", "_dist", "_irqs", "_loud", "_moved", "_slots", "_targets", "_unread")

    def __init__(self, dist: "Dist") -> None:
        """Take the LPIs as they are."""
        self._dist = dist
        self._config = config_byte(dist, FIRST_LPI)
        self._irqs = list(dist.lpis.ascending())  # by slot
        self._slots = {irq.intid: slot for slot, irq in enumerate(self._irqs)}
        self._targets = Planes((_number(irq.target) for irq in self._irqs), len(dist.vcpus))
        self._all = (1 << len(self._irqs)) - 1
        self._unread = self._all
        self._loud = 0
        self._moved = 0  # those whose Irq.target is out of date

    def bit(self, irq: Irq) -> int:
        """Return the set of that one LPI."""
        return 1 << self._slots[irq.intid]

    def meet(self, irq: Irq) -> None:
        """An event was mapped to `irq`, which may be new."""
        slot = self._slots.setdefault(irq.intid, len(self._irqs))
        if slot == len(self._irqs):
            self._irqs.append(irq)
        elif self._irqs[slot] is irq:
            return
        self._irqs[slot] = irq
        bit = 1 << slot
        self._all |= bit
        self._unread |= bit
        self._loud ^= self._loud & bit
        self._place(bit, irq.target)
        if irq.target is not None:  # its pending bit may have been cleared in memory
            self.wrote(pending_byte(irq.target, irq.intid), 1)

    def wrote(self, gpa: int, size: int) -> None:
        """Memory was written: LPIs whose configuration bytes lie there are to be read again."""
        first = gpa - self._config + FIRST_LPI
        for intid in range(first, first + size):
            slot = self._slots.get(intid)
            if slot is not None:
                self._unread |= 1 << slot
                self._loud ^= self._loud & 1 << slot

    # -- where they go ---------------------------------------------------------------------------

    def send(self, lpis: int, target: "VcpuGic | None") -> None:
        """Send a set of LPIs to a vCPU."""
        self._targets.assign(lpis, _number(target))
        self._moved |= lpis

    def move_all(self, source: "VcpuGic", target: "VcpuGic") -> None:
        """Send every LPI that goes to `source` to `target`."""
        self.send(self._targets.having(self._all, _number(source)), target)

    def place(self, irq: Irq) -> None:
        """`irq` was given a target of its own."""
        self._place(self.bit(irq), irq.target)

    def _place(self, bit: int, target: "VcpuGic | None") -> None:
        self._targets.assign(bit, _number(target))
        self._moved ^= self._moved & bit

    def look(self, irq: Irq) -> None:
        """Bring `irq.target` up to date."""
        bit = self.bit(irq)
        if self._moved & bit:
            self._moved ^= bit
            irq.target = self._dist.vcpus[self._targets.get(self._slots[irq.intid]) - 1]
            if irq.direct is not None:
                irq.direct.retarget(irq.target)

    def finish(self) -> None:
        """Bring the target of every LPI up to date."""
        for vcpu in self._dist.vcpus:
            if not self._moved:
                return
            self._arrive(self._targets.having(self._moved, _number(vcpu)), vcpu)

    def _arrive(self, lpis: int, vcpu: "VcpuGic") -> list[Irq]:
        """Bring the target of a set that goes to `vcpu` up to date; return those that live, in order of INTID."""
        self._moved ^= self._moved & lpis
        live = [irq for slot in slots_of(lpis) if (irq := self._irqs[slot]).refs]
        for irq in live:
            irq.target = vcpu
            if irq.direct is not None:
                irq.direct.retarget(vcpu)
        live.sort(key=_BY_INTID)
        return live

    # -- what INVALL does with them --------------------------------------------------------------

    def invalidate_all(self, vcpu: "VcpuGic") -> None:
        """Read the configuration of every LPI that targets `vcpu`, where that may change something."""
        if self._targets.having(self._loud, _number(vcpu)):
            vcpu.kick()
        unread = self._targets.having(self._unread, _number(vcpu))
        self._unread ^= unread
        changed: list[Direct] = []
        for irq in self._arrive(unread, vcpu):
            was = irq.priority, irq.enabled
            if read_config(self._dist, irq, vcpu):
                self.heard(irq)
                if irq.direct is not None and was != (irq.priority, irq.enabled):
                    changed.append(irq.direct)
        if changed and vcpu.vpe is not None:
            _tell(vcpu.vpe, changed)

    def heard(self, irq: Irq) -> None:
        """Whether `irq` is pending, or enabled, may have changed, and `queue` knows."""
        bit = self.bit(irq)
        self._loud ^= self._loud & bit
        wanted = irq.pending_latch and irq.enabled and not irq.active and self._dist.enabled
        if wanted and not self._unread & bit:
            self._loud |= bit
