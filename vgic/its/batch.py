"""One pass over a command queue: commands that concern many events, in bounded time.

Room:    below the commands, above the maps.
Owns:    the sets of one pass, and that every command of the pass keeps them true.
Holds:   between two passes there are no sets; `dist` and `maps` alone say what is.
Never:   lets the embedder's code run while Irq.target is out of date: kicks wait for the end of the pass, and guest
         memory may not call back.

KVM walks every LPI for an INVALL or MOVALL, and every event for a MAPC that retargets or unmaps a collection.  A queue
of 32,767 such commands over all that a guest may map (`its_cap`, n for short) would take hours here, and need not:

    the first such command of a pass    walks, as KVM does; most queues have no second                      O(n)
    the second                          makes the sets (lpisets, members)                                   O(n)
    from then on
      MOVALL, MAPC V=1                  operations on sets of n bits, one machine word at a time: some microseconds
                                        at 131,072, whatever they hold.  A target moves with its set; the LPIs
                                        themselves are told when a command needs one, or at the end of the pass.
      INVALL                            the same, and a read of each LPI of the vCPU that is unread.  An LPI is unread
                                        at first, when it is made, and when a command writes to its byte: n + 9 for
                                        each command, in all the pass.
      MAPC V=0                          each event is orphaned once: at most n + 1 for each command, in all
      MAPD                              each event is unmapped once: the same
      the others                        one event: constant, sets of n bits included
    the end                             each LPI's target once                                              O(n)

With direct injection a step on a forwarded LPI is a few hardware commands.  INVALL then has hardware read again what
changed, one LPI after the other if that is little: the whole vPE each time would be n for each command.

So a pass costs at most O(n + commands) steps on one LPI or event and O(commands) operations on sets of n bits, in
whatever order the guest puts its commands.
"""

from typing import TYPE_CHECKING, final

from vgic.irq import Irq
from vgic.its.lpisets import LpiSets
from vgic.its.members import Members
from vgic.v3.lpi import invalidate_all

if TYPE_CHECKING:
    from vgic.its.devices import Collection, Device, Ite
    from vgic.its.state import Its
    from vgic.vcpu import VcpuGic


@final
class Batch:
    """What one ITS knows of the pass it is in."""

    __slots__ = ("_its", "_lpis", "_members", "walked")

    def __init__(self, its: "Its") -> None:
        """Build what an ITS has that is in no pass."""
        self._its = its
        self.walked = False  # some command of the pass concerned many events
        self._lpis: LpiSets | None = None
        self._members: Members | None = None

    def end(self) -> None:
        """The queue is empty: every LPI learns its target."""
        self.walked = False
        if self._lpis is not None:
            self._lpis.finish()
            self._lpis = self._members = None

    # -- commands that concern many --------------------------------------------------------------

    def _may_walk(self) -> bool:
        """Whether this is the first such command of the pass."""
        first, self.walked = not self.walked, True
        return first

    def _sets(self) -> LpiSets:
        if self._lpis is None:
            self._lpis = LpiSets(self._its.dist)
        return self._lpis

    def _groups(self) -> Members:
        if self._members is None:
            self._members = Members(self._its.maps, self._sets())
        return self._members

    def move_all(self, source: "VcpuGic", target: "VcpuGic") -> None:
        """Send every LPI of the VM that goes to one vCPU to another."""
        if self._may_walk():
            for irq in self._its.dist.lpis.ascending():
                if irq.target is source:
                    irq.target = target
                    if irq.direct is not None:
                        irq.direct.retarget(target)
        else:
            self._sets().move_all(source, target)

    def invalidate_all(self, vcpu: "VcpuGic") -> None:
        """Read the configuration of every LPI that goes to `vcpu` again."""
        if self._may_walk():
            invalidate_all(vcpu)
        else:
            self._sets().invalidate_all(vcpu)

    def retarget(self, collection: "Collection") -> None:
        """Send the LPI of every event of `collection` to its target."""
        if self._may_walk():
            self._its.maps.retarget(collection)
        else:
            self._sets().send(self._groups().lpis_of(collection), collection.target)

    def remove_collection(self, collection: "Collection") -> None:
        """Remove a collection and make orphans of its events."""
        if self._may_walk():
            self._its.maps.remove_collection(collection)
        else:
            self._groups().orphan(collection)
            self._its.maps.remove_placeholder(collection)

    # -- what keeps the sets true ----------------------------------------------------------------

    def look(self, irq: Irq) -> None:
        """A command is about to ask where `irq` goes."""
        if self._lpis is not None:
            self._lpis.look(irq)

    def heard(self, irq: Irq) -> None:
        """A command made `irq` pending, or no longer."""
        if self._lpis is not None:
            self._lpis.heard(irq)

    def wrote(self, gpa: int, size: int) -> None:
        """A command wrote to memory."""
        if self._lpis is not None:
            self._lpis.wrote(gpa, size)

    def mapped(self, device: "Device", eventid: int, intid: int) -> None:
        """An event was mapped to that LPI, or it failed; the LPI may have been made even then."""
        if self._lpis is None:
            return
        irq = self._its.dist.lpis.get(intid)
        if irq is not None:
            self._lpis.meet(irq)
        if self._members is not None and (ite := device.ite(eventid)) is not None:
            self._members.add(ite)

    def move(self, ite: "Ite", collection: "Collection") -> None:
        """Move an event to a collection, and its LPI to the collection's vCPU."""
        if self._members is not None:
            self._members.remove(ite)
        ite.device.move(ite.eventid, collection)
        ite.irq.target = collection.target
        if ite.irq.direct is not None:
            ite.irq.direct.retarget(collection.target)
        if self._lpis is not None:
            self._lpis.place(ite.irq)
        if self._members is not None:
            self._members.add(ite._replace(collection=collection))

    def unmap(self, device: "Device", eventid: int) -> None:
        """An event is about to be unmapped."""
        if self._members is not None and (ite := device.ite(eventid)) is not None:
            self._members.remove(ite)

    def unmap_device(self, device: "Device") -> None:
        """A device is about to be unmapped with all its events."""
        if self._members is not None:
            for ite in device.ites():
                self._members.remove(ite)
