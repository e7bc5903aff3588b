"""A vPE of GICv4.0: residency by the address of the pending table, and a doorbell for each vLPI: the same for all here.

Room:    above vpe, beside vpe41.
Holds:   the doorbell is masked unless the vCPU is blocked: it would ring for every interrupt.

KVM: its_vpe_schedule(), its_vpe_deschedule(), its_vpe_db_proxy_move(), vgic_v4_doorbell_handler().
"""

from typing import TYPE_CHECKING, final

from hw.arch4 import (
    GICR_VPENDBASER,
    GICR_VPROPBASER,
    VPENDBASER_IDAI,
    VPENDBASER_PENDING_LAST,
    VPENDBASER_VALID,
)
from vgic.v4.hostits import VINTID_BITS
from vgic.v4.proxy import Proxied
from vgic.v4.vpe import W64, Vpe

if TYPE_CHECKING:
    from vgic.v4.vm import ItsVm
    from vgic.vcpu import VcpuGic


@final
class Vpe40(Vpe):
    """A vPE of GICv4.0."""

    __slots__ = ("_enabled", "_proxied", "idai")

    def __init__(self, vm: "ItsVm", vcpu: "VcpuGic") -> None:
        """The doorbell starts masked."""
        super().__init__(vm, vcpu)
        self._enabled = False
        self._proxied = Proxied(self.db)
        self.idai = True  # GICR_VPENDBASER.IDAI: no use of the first KiB

    @property
    def key(self) -> int:
        """The pending table."""
        return self.vpt

    def free(self) -> None:
        """Return what it took, and its slot."""
        self.gic.proxy.forget(self._proxied)
        super().free()

    def schedule(self, cpu: int) -> None:
        """Mask the doorbell; name both tables; PendingLast says to look, whatever was known: its_vpe_schedule()."""
        self._mask(False)
        redist = self.gic.machine.pes[cpu].redist
        redist.write(GICR_VPROPBASER, W64, self.vm.vct | VINTID_BITS - 1)
        idai = VPENDBASER_IDAI if self.idai else 0
        redist.write(GICR_VPENDBASER, W64, VPENDBASER_VALID | self.vpt | VPENDBASER_PENDING_LAST | idai)

    def loaded(self) -> None:
        """Forget a doorbell that is pending."""
        if self.gic.direct_lpi:
            self.gic.clear(self.db, self.cpu)
        else:
            self.gic.proxy.clear(self._at())

    def deschedule(self, cpu: int, doorbell: bool) -> None:
        """Unmask the doorbell first, if it is wanted, so that none is lost: its_vpe_deschedule()."""
        if doorbell:
            self._mask(True)
        result = self._clear_valid(cpu, 0, 0)
        self.idai = result & VPENDBASER_IDAI != 0
        self.pending_last = result & VPENDBASER_PENDING_LAST != 0

    def rung(self) -> None:
        """Mask it: others would follow."""
        with self.gic.lock:
            self._mask(False)
            super().rung()

    def moved(self, old: int) -> None:
        """One that is pending stays behind and is cleared; without DirectLPI the proxy's event follows."""
        if self.gic.direct_lpi:
            self.gic.clear(self.db, old)
        else:
            self.gic.proxy.move(self._at())

    def vlpi_doorbell(self) -> int:
        """The vPE's."""
        return self.db

    def has_pending(self, vintid: int) -> bool:
        """GICv4.0 never gives a pending table back."""
        return False

    def invalidate_all(self) -> None:
        """VINVALL, on an ITS that maps it."""
        if self.maps:
            with self.gic.lock:
                self.its.invalidate_vpe(self.vpeid)
            self.vm.announce(self)

    def _mask(self, enabled: bool) -> None:
        if enabled == self._enabled:
            return
        self._enabled = enabled
        self.gic.set_config(self.db, enabled)
        if self.gic.direct_lpi:
            self.gic.invalidate(self.db, self.cpu)
        else:
            self.gic.proxy.invalidate(self._at())

    def _at(self) -> Proxied:
        self._proxied.cpu = self.cpu
        return self._proxied
