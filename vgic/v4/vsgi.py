"""GICv4.1 SGIs: delivered without list registers, to guests that do without active SGIs.

Room:    above vPEs; GICD_CTLR.nASSGIreq switches it, for all SGIs of all vCPUs at once.
Owns:    Irq.direct of SGIs; the hardware's configuration of them.
Holds:   dist.nassgireq  <=>  every SGI is direct, from the first entry of a vCPU on.
         What VSGI last said of a direct SGI is its enable, its group and priority[7:4]; bit 3 has no place there.

KVM: vgic_v4_configure_vsgis(), vgic_v4_enable_vsgis(), vgic_v4_disable_vsgis(), its_sgi_set_irqchip_state() and kin.
"""

from typing import TYPE_CHECKING, final

from vgic.ap_list import queue
from vgic.direct import Direct
from vgic.errors import VgicError
from vgic.ids import NR_SGIS
from vgic.irq import Irq
from vgic.run import halt_guests, resume_guests
from vgic.v4.hostits import HostIts
from vgic.v4.vm import ItsVm
from vgic.v4.vpe41 import Vpe41

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.vcpu import VcpuGic


@final
class Vsgi(Direct):
    """One SGI of one vCPU."""

    __slots__ = ("irq", "its", "vpe")

    def __init__(self, vpe: Vpe41, irq: Irq, its: HostIts) -> None:
        """Describe; `its` is where it is sent and configured."""
        self.vpe = vpe
        self.irq = irq
        self.its = its

    def pend(self) -> None:
        """Write GITS_SGIR: one register, and no exit of the target."""
        vpe = self.vpe
        with vpe.gic.lock:
            self.its.send_sgi(vpe.vpeid, self.irq.intid)
        self.announce()

    def announce(self) -> None:
        """At once."""
        self.vpe.vm.announce(self.vpe)

    def clear(self) -> None:
        """VSGI with Clear."""
        self._command(True)

    def is_pending(self) -> bool:
        """Ask the redistributor; no answer counts as no."""
        try:
            return bool(self.vpe.pending_sgis() >> self.irq.intid & 1)
        except VgicError:
            return False

    def peek(self) -> bool:
        """As the vPE has it."""
        return self.vpe.peek(self.irq.intid)

    def configure(self, byte: int, invalidate: bool) -> None:
        """VSGI with what the interrupt's record says now: its_prop_update_vsgi()."""
        self._command(False)
        self.announce()

    def invalidate(self) -> None:
        """VSGI has said it already."""

    def retarget(self, vcpu: "VcpuGic | None") -> None:
        """An SGI stays with its vCPU."""

    def drop(self) -> None:
        """Read the pending state into the latch, disable, then clear: one command cannot do both."""
        irq = self.irq
        irq.pending_latch = self.is_pending()
        with self.vpe.gic.lock:
            for clear in (False, True):
                self.its.configure_sgi(self.vpe.vpeid, irq.intid, False, irq.priority, irq.group, clear)
        irq.direct = None

    def _command(self, clear: bool) -> None:
        irq = self.irq
        with self.vpe.gic.lock:
            self.its.configure_sgi(self.vpe.vpeid, irq.intid, irq.enabled, irq.priority, irq.group, clear)


def _enable(vpe: Vpe41, irq: Irq, its: HostIts) -> None:
    """Hand one SGI over, with its pending state; it has no active state from now on."""
    sgi = Vsgi(vpe, irq, its)
    irq.direct = sgi
    irq.active = False
    sgi.configure(0, True)
    if irq.pending_latch:
        irq.pending_latch = False
        sgi.pend()
    else:
        sgi.clear()


def configure_vsgis(dist: "Dist") -> None:
    """Bring every SGI of the VM in line with nASSGIreq, no vCPU being in its guest: vgic_v4_configure_vsgis()."""
    vm = dist.direct
    if not isinstance(vm, ItsVm) or not vm.gic.has_vsgi:
        return
    its = next(its for its in vm.gic.itss if its.vsgi)
    halted = halt_guests(dist)
    try:
        for vcpu in dist.vcpus:
            vpe = vm.vpe_of(vcpu)
            assert isinstance(vpe, Vpe41), "nASSGIreq without GICv4.1"
            for irq in vcpu.private[:NR_SGIS]:
                direct = irq.direct
                if direct is None and dist.nassgireq:
                    _enable(vpe, irq, its)
                elif direct is not None and not dist.nassgireq:
                    direct.drop()
                    if irq.pending_latch:
                        vm.returned.append(irq)
        list_returned(dist, vm)
    finally:
        resume_guests(halted)


def list_returned(dist: "Dist", vm: ItsVm) -> None:
    """Have vCPUs look at SGIs that came back pending, once the distributor is enabled (KVM leaves them stranded)."""
    if dist.enabled:
        for irq in vm.returned:
            queue(irq)
        vm.returned = []
