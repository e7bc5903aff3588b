"""One VM with direct injection: its vPEs, and the table that they share.

Room:    above vPEs; below forwarding and SGIs.
Owns:    Dist.direct, VcpuGic.vpe, the virtual configuration table, which ITSs the VM uses.
Holds:   a VM has no vPEs, or one for each vCPU, in their order.

KVM: struct its_vm; vgic_v4_init(), vgic_v4_teardown(); its_map_vm() and its_unmap_vm() for lazy VMs.
"""

from typing import TYPE_CHECKING, Final, final

from hw.arch import HCR_EN
from vgic.direct import DirectVm
from vgic.errors import EACCES, VgicError
from vgic.v4.hostgic import HostGic
from vgic.v4.hostits import HostIts
from vgic.v4.vpe import Vpe
from vgic.v4.vpe40 import Vpe40
from vgic.v4.vpe41 import Vpe41

if TYPE_CHECKING:
    from vgic.dist import Dist
    from vgic.irq import Irq
    from vgic.vcpu import VcpuGic

VCT_SIZE: Final = 0x1_0000
_DISABLED: Final = b"\xa2"  # default priority, bit 1 is RES1


@final
class ItsVm(DirectVm):
    """The VM (KVM: struct its_vm)."""

    __slots__ = ("_dist", "_late", "gic", "returned", "uses", "vct", "vpes")

    def __init__(self, dist: "Dist", gic: HostGic) -> None:
        """Give each vCPU a vPE, or none and raise: vgic_v4_init().  Errors: ENOMEM."""
        self._dist = dist
        self.gic = gic
        self.uses: dict[int, int] = {}  # ITS -> vLPIs of this VM behind it
        self.vpes: list[Vpe] = []
        self.returned: list[Irq] = []  # SGIs that came back from hardware pending, and are not listed yet
        self._late: set[int] = set()  # CPUs to take what rang while kicks were held
        with gic.lock:
            self.vct = gic.pages.take(VCT_SIZE)
            try:
                gic.machine.memory.write_bytes(self.vct, _DISABLED * VCT_SIZE)
                for vcpu in dist.vcpus:
                    self.vpes.append(Vpe41(self, vcpu) if gic.has_v4_1 else Vpe40(self, vcpu))
                for vpe in self.vpes:
                    vpe.activate()
            except VgicError:
                self._free()
                raise
        for vpe in self.vpes:
            vpe.vcpu.vpe = vpe
            vpe.vcpu.host_hcr = -1

    def vpe_of(self, vcpu: "VcpuGic") -> Vpe:
        """Return the vPE of a vCPU."""
        return self.vpes[vcpu.index]

    def teardown(self, dist: "Dist") -> None:
        """Unmap and free everything; no vLPI is left: vgic_v4_teardown()."""
        for vpe in self.vpes:
            vpe.vcpu.vpe = None
            vpe.vcpu.host_hcr = ~HCR_EN
        with self.gic.lock:
            self._free()

    def _free(self) -> None:
        for vpe in self.vpes:
            vpe.deactivate()
            vpe.free()
        self.vpes = []
        self.gic.pages.give(self.vct, VCT_SIZE)

    # Lazy mapping: a vPE is mapped on an ITS as long as the VM has vLPIs there

    def use(self, its: HostIts) -> None:
        """One vLPI more behind `its`."""
        count = self.uses.get(its.number, 0)
        if not count and not self.gic.eager:
            for vpe in self.vpes:
                vpe.map_on(its)
        self.uses[its.number] = count + 1

    def unuse(self, its: HostIts) -> None:
        """One vLPI fewer."""
        self.uses[its.number] -= 1
        if not self.uses[its.number]:
            del self.uses[its.number]
            if not self.gic.eager:
                for vpe in self.vpes:
                    vpe.unmap_on(its)

    # What the rest of the VGIC asks for

    def announce(self, vpe: Vpe) -> None:
        """The doorbell that something may have rung is taken at once, or with the kicks that are held."""
        if vpe.resident:
            return
        if self._dist.holds_kicks:
            self._late.add(vpe.cpu)
        else:
            self.gic.take(vpe.cpu)

    def settle(self) -> None:
        """Take what rang while kicks were held."""
        while self._late:
            self.gic.take(self._late.pop())

    def reload(self) -> None:
        """KVM_REQ_RELOAD_GICv4: group enables count from residency on; who runs leaves the guest for it."""
        for vpe in self.vpes:
            vcpu = vpe.vcpu
            if vcpu.in_guest:
                vcpu.cost.exits_irq += 1
                vcpu.cost.entries += 1
            if vpe.resident:
                vpe.put()
                vpe.load()
                vpe.commit()
        for vpe in self.vpes:
            vpe.vcpu.kick()

    def drop(self) -> None:
        """Give every vLPI and vSGI back to software, which forgets them; a vCPU that is blocked has to ask again."""
        for irq in self._dist.lpis.ascending():
            if irq.direct is not None:
                irq.direct.drop()
        self.returned = []
        for vpe in self.vpes:
            vpe.in_wfi = False
            for irq in vpe.vcpu.private:
                if irq.direct is not None:
                    irq.direct.drop()

    def waits(self, irq: "Irq") -> bool:
        """An SGI."""
        return irq in self.returned

    def has_lpis(self) -> bool:
        """Whether an LPI is forwarded."""
        return bool(self.uses)

    def unmap_vpes(self) -> None:
        """VMAPP with V=0 everywhere: the last one has GICv4.1 write the pending tables; GICv4.0's are its own for ever.

        A doorbell that is pending would be lost with the mapping, so it is taken before.
        """
        if not self.gic.has_v4_1:
            return
        for vpe in self.vpes:
            self.announce(vpe)
        with self.gic.lock:
            for vpe in self.vpes:
                vpe.deactivate()

    def map_vpes(self) -> None:
        """Map them again, with what is in the pending tables."""
        if self.gic.has_v4_1:
            with self.gic.lock:
                for vpe in self.vpes:
                    vpe.activate()

    def check_saveable(self) -> None:
        """Errors: EACCES on GICv4.0 with a forwarded LPI."""
        if not self.gic.has_v4_1 and self.uses:
            raise VgicError(EACCES, "GICv4.0 does not tell which forwarded LPIs are pending")

    def check(self) -> None:
        """Assert what always holds."""
        for vpe in self.vpes:
            vpe.check()
