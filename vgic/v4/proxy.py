"""GICv4.0 without DirectLPI: a device that does not exist, by whose events doorbells are invalidated and cleared.

Room:    above the ITS driver; the host's GIC driver has one.
Owns:    the last DeviceID of the first ITS with vPEs.
Holds:   slot n holds a vPE  <=>  event n is mapped to that vPE's doorbell, at the CPU where the vPE is.

There are as many slots as CPUs, rounded up to a power of two; a vPE without one takes that of another, in turn.
KVM: its_vpe_db_proxy_map_locked() and its callers.
"""

from typing import final

from hw import arch4
from vgic.v4.hostits import HostIts
from vgic.v4.hostmem import Pages


@final
class Proxied:
    """A vPE, as far as this room needs it."""

    __slots__ = ("cpu", "db", "slot")

    def __init__(self, db: int) -> None:
        """No event yet."""
        self.db = db  # the vPE's doorbell
        self.cpu = 0  # where the vPE is mapped
        self.slot = -1  # the proxy's event that is the doorbell's


@final
class Proxy:
    """The device; mapped when first needed."""

    __slots__ = ("_cpus", "_devid", "_its", "_next", "_pages", "slots")

    def __init__(self, its: HostIts | None, pages: Pages, cpus: int) -> None:
        """Not mapped yet; `its` is None where there are no vPEs."""
        self._its = its
        self._pages = pages
        self._cpus = cpus
        self._devid = 0 if its is None else its.proxy_devid
        self._next = 0
        self.slots: list[Proxied | None] = []

    def invalidate(self, vpe: Proxied) -> None:
        """INV: the doorbell's configuration was changed."""
        self._mapped(vpe).physical(arch4.INV, self._devid, vpe.slot, vpe.cpu)

    def clear(self, vpe: Proxied) -> None:
        """CLEAR: the doorbell is not pending any more."""
        self._mapped(vpe).physical(arch4.CLEAR, self._devid, vpe.slot, vpe.cpu)

    def move(self, vpe: Proxied) -> None:
        """MOVI: the vPE is at another CPU."""
        if vpe.slot >= 0 and self._its is not None:
            self._its.move_event(self._devid, vpe.slot, vpe.cpu)

    def forget(self, vpe: Proxied) -> None:
        """DISCARD: the vPE goes."""
        if vpe.slot >= 0 and self._its is not None:
            self._its.physical(arch4.DISCARD, self._devid, vpe.slot, vpe.cpu)
            self.slots[vpe.slot] = None
            vpe.slot = -1

    def _mapped(self, vpe: Proxied) -> HostIts:
        """Give the vPE an event, unless it has one."""
        its = self._its
        assert its is not None, "a vPE without an ITS that can map it"
        if vpe.slot >= 0:
            return its
        if not self.slots:
            bits = (self._cpus - 1).bit_length() or 1
            its.map_device(self._devid, self._pages.take(its.itt_entry << bits), bits)
            self.slots = [None] * (1 << bits)
        slot = self._next
        self._next = (slot + 1) % len(self.slots)
        victim = self.slots[slot]
        if victim is not None:
            self.forget(victim)
        self.slots[slot] = vpe
        vpe.slot = slot
        its.map_event(self._devid, slot, vpe.db, vpe.cpu)
        return its
