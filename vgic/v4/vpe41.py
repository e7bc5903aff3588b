"""A vPE of GICv4.1: residency by vPEID, a default doorbell that is always enabled, virtual SGIs.

Room:    above vpe, beside vpe40.

KVM: its_vpe_4_1_schedule(), its_vpe_4_1_deschedule(), its_vpe_4_1_invall(), its_sgi_get_irqchip_state().
"""

from typing import Final, final

from hw.arch import GICR_INVALLR, GICR_SYNCR
from hw.arch4 import (
    GICR_VPENDBASER,
    GICR_VSGIPENDR,
    GICR_VSGIR,
    INVLPIR_V,
    INVLPIR_VPEID_SHIFT,
    VPENDBASER_DOORBELL,
    VPENDBASER_PENDING_LAST,
    VPENDBASER_VALID,
    VPENDBASER_VGRP1EN,
    VSGIPENDR_BUSY,
)
from vgic.errors import ENXIO, VgicError
from vgic.v4.hostits import NONE
from vgic.v4.vpe import SECOND, W32, W64, Vpe

NO_ANSWER: Final = "Unable to get SGI status"


@final
class Vpe41(Vpe):
    """A vPE of GICv4.1."""

    __slots__ = ()

    gates_groups = True

    @property
    def key(self) -> int:
        """The vPEID."""
        return self.vpeid

    def activate(self) -> None:
        """Map, and enable the doorbell for ever: its_vpe_4_1_unmask_irq()."""
        super().activate()
        self.gic.set_config(self.db, True)
        self.its.invalidate_doorbell(self.vpeid)

    def schedule(self, cpu: int) -> None:
        """Write GICR_VPENDBASER with Valid; Group 0 is never enabled: its_vpe_4_1_schedule()."""
        value = VPENDBASER_VALID | self.vpeid | (VPENDBASER_VGRP1EN if self.vcpu.dist.enabled else 0)
        self.gic.machine.pes[cpu].redist.write(GICR_VPENDBASER, W64, value)

    def deschedule(self, cpu: int, doorbell: bool) -> None:
        """Ask for the doorbell; without, PendingLast is UNKNOWN and taken for 1: its_vpe_4_1_deschedule()."""
        if doorbell:
            result = self._clear_valid(cpu, VPENDBASER_PENDING_LAST, VPENDBASER_DOORBELL)
            self.pending_last = result & VPENDBASER_PENDING_LAST != 0
        else:
            self._clear_valid(cpu, VPENDBASER_DOORBELL, VPENDBASER_PENDING_LAST)
            self.pending_last = True

    def vlpi_doorbell(self) -> int:
        """None: the default doorbell serves them all."""
        return NONE

    def moved(self, old: int) -> None:
        """Hardware with erratum 162100801 forgets to fetch the configuration again at the new redistributor."""
        if self.gic.erratum_162100801:
            self.invalidate_all()

    def invalidate_all(self) -> None:
        """GICR_INVALLR."""
        with self.gic.lock:
            value = INVLPIR_V | self.vpeid << INVLPIR_VPEID_SHIFT
            redist = self.gic.machine.pes[self.cpu].redist
            redist.write(GICR_INVALLR, W64, value)
            redist.read(GICR_SYNCR, W32)
        self.vm.announce(self)

    def pending_sgis(self) -> int:
        """GICR_VSGIR, then GICR_VSGIPENDR: a bit for each SGI: its_sgi_get_irqchip_state().

        Errors: ENXIO when no answer comes within a second.
        """
        gic = self.gic
        with gic.lock:
            gic.machine.pes[self.cpu].redist.write(GICR_VSGIR, W32, self.vpeid)
            value = gic.poll(self.cpu, GICR_VSGIPENDR, W32, VSGIPENDR_BUSY, SECOND)
        if value & VSGIPENDR_BUSY:
            gic.warn(NO_ANSWER)
            raise VgicError(ENXIO, f"vPE {self.vpeid}: no answer about its SGIs")
        return value & 0xFFFF
