"""The vPEs that are mapped, and the vPE configuration table: one copy for each group of redistributors.

Room:    between the ITSs, which map vPEs, and the redistributors' VLPI frames, where they become resident.
Owns:    creation and end of each Vpe, and the entries of the vPE tables in memory.
Never:   knows commands or registers.
Holds:   GICv4.1: a vPE is here as long as some ITS maps it.  GICv4.0: or as long as it is resident.
         A pending table is the GIC's exactly as long as its vPE is here.

An entry is 32 bytes: Valid, width and VCT; VPT; redistributor and default doorbell; the ITSs that map it.
Source: IHI 0069H, vPE configuration table.
"""

from typing import Final, final

from hw.arch4 import VALID
from hw.fabric import Fabric
from hw.owned import Region
from hw.tables import Table
from hw.vpe import SCRATCH, Vpe

VPECT_ENTRY: Final = 32


@final
class Vpes:
    """One machine's vPEs: GICv4.1 by vPEID, GICv4.0 by the address of their pending table."""

    __slots__ = ("_regions", "by_key", "fabric", "owners", "tables")

    def __init__(self, fabric: Fabric) -> None:
        """None mapped, no table."""
        self.fabric = fabric
        self.by_key: dict[int, Vpe] = {}
        self.tables: dict[int, Table] = {}  # GICv4.1: number of a redistributor with VPROPBASER.Valid -> its table
        self._regions: dict[int, Region] = {}  # the claims to their pending tables, by key
        self.owners: list[dict[int, int]] = []  # what PEs remember of vPEs, by key: see DirectIcv.entering

    def copies(self) -> list[Table]:
        """The vPE configuration tables, each once."""
        found: list[Table] = []
        for table in self.tables.values():
            if not any(table.same(other) for other in found):
                found.append(table)
        return found

    def room(self, vpeid: int) -> int:
        """Not negative if every copy of the table has room for `vpeid`, else NO_ENTRY or FAULT."""
        worst = 0
        for table in self.copies():
            worst = min(worst, table.entry(vpeid))
        return worst

    def create(self, key: int, vpe: Vpe, zeroed: bool) -> None:
        """Take over the pending table of `vpe`; `zeroed`: software promises that it is all zero."""
        memory = self.fabric.memory
        if zeroed:
            lost = memory.ones(vpe.vpt, vpe.vpt_size)
            if lost:
                self.fabric.misuse.report("M-05", f"{lost} bits set in the pending table at {vpe.vpt:#x}")
                memory.zero(vpe.vpt, vpe.vpt_size)
        else:
            vpe.load()
        self.by_key[key] = vpe
        what = f"the pending table of vPE {key:#x}"
        self._regions[key] = self.fabric.owned.claim(vpe.vpt, vpe.vpt_size, what, unreadable=True)

    def readable(self, vpt: int, bits: int) -> bool:
        """Whether a pending table can be there."""
        return self.fabric.memory.contains(vpt, max((1 << bits) // 8, SCRATCH))

    def end(self, key: int, vpe: Vpe) -> None:
        """Give the pending table back to software, up to date; an outstanding doorbell goes with the vPE."""
        vpe.silence()
        self.fabric.drop_doorbell(vpe.db)
        vpe.flush()
        self.fabric.owned.release(self._regions.pop(key))
        del self.by_key[key]
        for owners in self.owners:
            owners.pop(key, None)

    def store(self, vpe: Vpe) -> None:
        """Write the entry of `vpe` into every copy of the table."""
        valid = VALID if vpe.maps else 0
        words = (
            valid | (vpe.bits - 1) << 56 | vpe.vct if valid else 0,
            vpe.vpt if valid else 0,
            vpe.redist.number << 32 | vpe.db if valid else 0,
            vpe.maps,
        )
        memory = self.fabric.memory
        for table in self.copies():
            at = table.entry(vpe.vpeid)
            if at >= 0:
                table.use(at)
                for n, word in enumerate(words):
                    memory.store(at + 8 * n, 8, word)
                self.fabric.cost.table_writes += 1

    def use(self, table: Table) -> Table:
        """A redistributor has been told of `table`, which may already be in use by vPEs that are mapped."""
        for vpe in self.by_key.values():
            at = table.entry(vpe.vpeid)
            if at >= 0:
                table.use(at)
        return table

    def forget_all(self) -> None:
        """No redistributor has a table any more: nothing is mapped."""
        for key, vpe in list(self.by_key.items()):
            if vpe.frame is None:
                self.end(key, vpe)

    def check(self) -> None:
        """Assert what always holds."""
        assert self.by_key.keys() == self._regions.keys(), "a pending table without a vPE, or the reverse"
        for vpe in self.by_key.values():
            vpe.check()
            assert vpe.maps or vpe.frame is not None, f"vPE {vpe.vpeid} is neither mapped nor resident"
