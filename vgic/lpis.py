"""LPIs: sorted, sparse, reference counted.

Room:    beside irq and dist: the store, and nothing of what LPIs mean.
Owns:    which LPI objects exist.
Holds:   an LPI is here  <=>  its refs are not 0.  Nothing is sized by the ID space.
"""

from collections.abc import Iterable
from typing import final

from sortedcontainers import SortedDict

from vgic.irq import Irq


@final
class LpiStore:
    """INTID -> Irq for the LPIs of one VM (KVM: dist->lpi_xa)."""

    __slots__ = ("_by_intid",)

    def __init__(self) -> None:
        """Build an empty store."""
        self._by_intid: SortedDict[int, Irq] = SortedDict()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_intid)

    def get(self, intid: int) -> Irq | None:
        """Return the LPI, or None.  No reference is taken: the VM's lock keeps it while a call lasts."""
        return self._by_intid.get(intid)

    def add(self, irq: Irq) -> None:
        """Publish a new LPI."""
        self._by_intid[irq.intid] = irq

    def forget(self, irq: Irq) -> None:
        """Remove an LPI whose last reference went."""
        del self._by_intid[irq.intid]

    def put(self, irq: Irq) -> None:
        """Give up a reference: vgic_put_irq()."""
        irq.refs -= 1
        if not irq.refs:
            self.forget(irq)

    def ascending(self) -> Iterable[Irq]:
        """Return the LPIs there are now, by INTID; the store may change meanwhile."""
        return list(self._by_intid.values())
