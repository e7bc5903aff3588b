"""The same vCPU, safe to call from several threads: every public method takes the VM's lock.

Room:    beside guest; says nothing about interrupts.
Holds:   every public method of Vcpu is wrapped here (a test compares the two).

The hot ones spell out acquire and release, which costs less than a `with`.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, final

from vgic.guest import Vcpu
from vgic.ports import LevelReader

if TYPE_CHECKING:
    from hw import Pe
    from vgic.dist import Dist
    from vgic.lock import Lock


@final
class LockedVcpu(Vcpu):
    """One vCPU of a VM with a lock; see `Vcpu` for what the methods do."""

    __slots__ = ("lock",)

    def __init__(self, dist: "Dist", index: int, vcpu_id: int, pe: "Pe", lock: "Lock") -> None:
        """Build a vCPU whose methods take `lock`."""
        super().__init__(dist, index, vcpu_id, pe)
        self.lock = lock

    def enter(self, cpu: int | None = None) -> None:
        """See `Vcpu.enter`."""
        lock = self.lock
        lock.acquire()
        try:
            Vcpu.enter(self, cpu)
        finally:
            lock.release()

    def exit(self) -> None:
        """See `Vcpu.exit`."""
        lock = self.lock
        lock.acquire()
        try:
            Vcpu.exit(self)
        finally:
            lock.release()

    def read(self, gpa: int, size: int) -> int:
        """See `Vcpu.read`."""
        lock = self.lock
        lock.acquire()
        try:
            return Vcpu.read(self, gpa, size)
        finally:
            lock.release()

    def write(self, gpa: int, size: int, value: int) -> bool:
        """See `Vcpu.write`."""
        lock = self.lock
        lock.acquire()
        try:
            return Vcpu.write(self, gpa, size, value)
        finally:
            lock.release()

    def mrs(self, register: int) -> int:
        """See `Vcpu.mrs`."""
        lock = self.lock
        lock.acquire()
        try:
            return Vcpu.mrs(self, register)
        finally:
            lock.release()

    def msr(self, register: int, value: int) -> bool:
        """See `Vcpu.msr`."""
        lock = self.lock
        lock.acquire()
        try:
            return Vcpu.msr(self, register, value)
        finally:
            lock.release()

    def put(self) -> None:
        """See `Vcpu.put`."""
        with self.lock:
            Vcpu.put(self)

    def pending(self) -> bool:
        """See `Vcpu.pending`."""
        with self.lock:
            return Vcpu.pending(self)

    def traps_wfi(self, alone: bool = True) -> bool:
        """See `Vcpu.traps_wfi`."""
        with self.lock:
            return Vcpu.traps_wfi(self, alone)

    def virq(self) -> bool:
        """See `Vcpu.virq`."""
        with self.lock:
            return Vcpu.virq(self)

    def vfiq(self) -> bool:
        """See `Vcpu.vfiq`."""
        with self.lock:
            return Vcpu.vfiq(self)

    def maintenance(self) -> bool:
        """See `Vcpu.maintenance`."""
        with self.lock:
            return Vcpu.maintenance(self)

    def map_irq(
        self,
        intid: int,
        host_irq: int,
        input_level: LevelReader | None = None,
        *,
        sw_resample: bool = False,
    ) -> None:
        """See `Vcpu.map_irq`."""
        with self.lock:
            Vcpu.map_irq(self, intid, host_irq, input_level, sw_resample=sw_resample)

    def unmap_irq(self, intid: int) -> None:
        """See `Vcpu.unmap_irq`."""
        with self.lock:
            Vcpu.unmap_irq(self, intid)

    def get_map(self, intid: int) -> int:
        """See `Vcpu.get_map`."""
        with self.lock:
            return Vcpu.get_map(self, intid)

    def map_is_active(self, intid: int) -> bool:
        """See `Vcpu.map_is_active`."""
        with self.lock:
            return Vcpu.map_is_active(self, intid)

    def reset_mapped(self, intid: int) -> None:
        """See `Vcpu.reset_mapped`."""
        with self.lock:
            Vcpu.reset_mapped(self, intid)

    def set_owner(self, intid: int, owner: Hashable | None) -> None:
        """See `Vcpu.set_owner`."""
        with self.lock:
            Vcpu.set_owner(self, intid, owner)

    def set_mpidr(self, affinity: int) -> None:
        """See `Vcpu.set_mpidr`."""
        with self.lock:
            Vcpu.set_mpidr(self, affinity)
