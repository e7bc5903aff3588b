"""The physical SGIs and PPIs of one PE, among them the maintenance interrupt.

Room:    above physirq; redist and dist2 give them their GIC's registers.
Owns:    SGI and PPI state.
Never:   knows the running priority or PMR of its PE.
Holds:   PPI 25's wire is the maintenance level of the PE's virtual interface, sampled whenever
         anything here is looked at or acted on; nobody else drives it.
"""

from hw.arch import FIRST_SPI, MAINTENANCE_INTID
from hw.cost import Cost
from hw.dist import Distributor
from hw.ich import Ich
from hw.physirq import Bank, PhysIrq


class Private(Bank):
    """INTIDs 0..31 of the PE with packed affinity `aff`, the `number`th of the machine.

    `read_word` and `write_word` raise here because each GIC version has these registers in a place of its own:
    PrivateV2, Redistributor.  A plain base, no ABC, keeps calls direct when compiled.
    """

    def __init__(self, number: int, aff: int, dist: Distributor, virt: Ich, cost: Cost) -> None:
        """Reset state.  `virt` drives the maintenance interrupt; `cost` counts the MMIO accesses."""
        super().__init__(0, FIRST_SPI, dist.config)
        self.number = number
        self.aff = aff
        self.dist = dist
        self.virt = virt
        self.cost = cost

    def sample(self) -> None:
        """Look at the maintenance wire."""
        irq = self.irqs[MAINTENANCE_INTID]
        level = self.virt.maintenance()
        if level != irq.line:
            self.drive(irq, level)

    def set_line(self, intid: int, level: bool) -> None:
        """A device of this PE drives the wire of PPI `intid`, 16..31 but not the maintenance interrupt."""
        assert 16 <= intid < FIRST_SPI, f"INTID {intid} is not a PPI"
        assert intid != MAINTENANCE_INTID, f"PPI {intid} is wired to the virtual CPU interface"
        self.drive(self.irqs[intid], level)
        self.dist.notify()

    def best_private(self, enables: int) -> PhysIrq | None:
        """The best SGI or PPI to forward; `enables` as Bank.best."""
        self.sample()
        return self.best(enables, self.aff)

    def read_word(self, offset: int) -> int:
        """Read a word of INTIDs 0..31 at its GICD offset, where this GIC has it.  From Non-secure state."""
        raise NotImplementedError

    def write_word(self, offset: int, value: int) -> None:
        """Write a word of INTIDs 0..31 at its GICD offset, where this GIC has it.  From Non-secure state."""
        raise NotImplementedError
