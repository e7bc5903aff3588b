"""VMOVP: a vPE moves to another redistributor; ITSs that each keep their own view of it move it together.

Room:    above frame and vpes; commands has the table.
Owns:    the VMOVPs that every ITS of their list has to reach before they take effect.
Never:   waits for ever unnoticed: an order of commands that cannot end is misuse, and is ended.
Holds:   its.waiting  =>  its command is in `moves`, and not all of its list have arrived.

Whether CREADR stays on the command meanwhile is the implementation's choice, ItsConfig.vmovp_waits.  A hypervisor that
waits for each ITS before it tells the next, as Linux does, needs one where it does not.

Source: IHI 0069H, VMOVP; GITS_TYPER.VMOVP.
"""

from typing import Final, final

from hw.arch4 import U32, VALID, VMOVP
from hw.its.core import ItsCore, Words
from hw.its.vcommands import RDBASE_MASK, Command, is_doorbell, named_vpe, store_private
from hw.redist import Redistributor
from hw.vpe import Vpe

LIST_MASK: Final = 0xFFFF


@final
class Move:
    """One VMOVP that several ITSs have to see."""

    __slots__ = ("arrived", "members", "order", "sequence", "words")

    def __init__(self, sequence: int, members: int, words: Words) -> None:
        """`members`: a bit for each ITS of the list."""
        self.sequence = sequence
        self.members = members
        self.arrived = 0
        self.words = words
        self.order: dict[int, int] = {}  # number of an ITS -> when it arrived, see Rendezvous.clock


@final
class Rendezvous:
    """Where the ITSs of a machine meet."""

    def __init__(self) -> None:
        """Nobody waits."""
        self.itss: list[ItsCore] = []  # by number
        self.moves: dict[int, Move] = {}  # by sequence number
        self.clock = 0  # arrivals

    def arrive(self, its: ItsCore, words: Words) -> Move | None:
        """An ITS reached a VMOVP; the move, if that was the last one missing."""
        sequence = words[0] >> 32 & LIST_MASK
        members = words[1] & LIST_MASK & ((1 << len(self.itss)) - 1) | 1 << its.number
        move = self.moves.get(sequence)
        if move is None:
            move = self.moves[sequence] = Move(sequence, members, words)
        elif move.words[1:] != words[1:]:
            its.misuse.report("M-19", f"sequence number {sequence} is in use by another VMOVP")
        self.clock += 1
        move.arrived |= 1 << its.number
        move.order[its.number] = self.clock
        if self._crossed(its, move):
            self._untangle(its, move)
            return move
        if move.arrived & move.members == move.members:
            del self.moves[sequence]
            return move
        its.waiting = its.config.vmovp_waits
        return None

    def abandon(self, its: ItsCore) -> None:
        """An ITS that waits is given another queue."""
        for sequence, move in list(self.moves.items()):
            move.arrived &= ~(1 << its.number)
            move.order.pop(its.number, None)
            if not move.arrived:
                del self.moves[sequence]
        its.waiting = False

    def _crossed(self, its: ItsCore, move: Move) -> bool:
        """Whether another move lacks `its`, and an ITS waits there before `move`, or has seen it before `move`."""
        for other in self.moves.values():
            if other is move or not other.members & ~other.arrived & 1 << its.number:
                continue
            for number, when in other.order.items():
                if move.members >> number & 1 and when < move.order.get(number, self.clock):
                    return True
        return False

    def _untangle(self, its: ItsCore, mine: Move) -> None:
        """Commands in different orders would wait for ever: take every VMOVP that waits as complete."""
        pending = list(self.moves.values())
        its.misuse.report("M-19", f"sequence numbers {', '.join(str(move.sequence) for move in pending)} cross")
        self.moves.clear()
        for move in pending:
            if move is not mine:
                apply(its, move.words, move.members, self.itss)
                self._release(move, its)

    def complete(self, its: ItsCore, move: Move) -> None:
        """All are there: they switch together, and go on."""
        apply(its, move.words, move.members, self.itss)
        its.waiting = False
        self._release(move, its)

    def _release(self, move: Move, but: ItsCore) -> None:
        for other in self.itss:
            if other is not but and move.arrived >> other.number & 1 and other.waiting:
                other.resume(VMOVP)


def apply(its: ItsCore, words: Words, members: int, itss: list[ItsCore]) -> str:
    """Move the vPE that `words` name, for all ITSs."""
    vpe = its.vpes.get(words[1] >> 32 & LIST_MASK)
    redist = its.redistributor(words[2] >> 16 & RDBASE_MASK)
    if vpe is None or redist is None:
        return "VMOVP_UNMAPPED"
    left_out = vpe.maps & ~members
    if members and left_out:
        its.misuse.report("M-19", f"ITSList {members:#b} leaves out {left_out:#b}, where the vPE is mapped")
    return move_vpe(its, vpe, redist, words, itss)


def move_vpe(its: ItsCore, vpe: Vpe, redist: Redistributor, words: Words, itss: list[ItsCore]) -> str:
    """The vPE is mapped to `redist`, wherever it is mapped; GICv4.1's DB gives it another default doorbell."""
    doorbell = vpe.db
    if its.v41:
        if redist.number not in its.all_vpes.tables:
            its.misuse.report("M-02", f"{redist.name} has no vPE table")
            return "VMOVP_NO_TABLE"
        if words[2] & VALID:
            doorbell = words[3] & U32
    leaves_group = redist not in vpe.redist.group
    vpe.move_doorbell(redist, doorbell)
    if its.v41:
        its.all_vpes.store(vpe)
    for other in itss:
        if other.vpes.get(vpe.vpeid) is vpe:
            store_private(other, vpe.vpeid)
    if leaves_group and vpe.frame is not None:
        if not vpe.frame.settling():
            its.misuse.report("M-18", f"vPE {vpe.vpeid}")
        vpe.frame.evict()
    return ""


@final
class Vmovp(Command):
    """VMOVP, on one ITS or on all of a list."""

    def __init__(self, rendezvous: Rendezvous) -> None:
        """Where ITSs of a list meet."""
        self.rendezvous = rendezvous

    def run(self, its: ItsCore, words: Words) -> str:
        """Move the vPE now, or wait for the other ITSs of the list."""
        if named_vpe(its, words) is None:
            return "VMOVP_VPE_UNMAPPED"
        if its.redistributor(words[2] >> 16 & RDBASE_MASK) is None:
            return "VMOVP_RD_OOR"
        if its.v41 and words[2] & VALID and not is_doorbell(its, words[3] & U32):
            return "VMOVP_DOORBELL_OOR"
        if its.config.vmovp:
            return apply(its, words, 0, self.rendezvous.itss)
        move = self.rendezvous.arrive(its, words)
        if move is not None:
            self.rendezvous.complete(its, move)
        return ""
