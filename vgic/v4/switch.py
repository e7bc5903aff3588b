"""A vCPU's CPU interface on a host with direct injection.

Room:    below host, beside v3's, which does the rest.
Holds:   while a vCPU with a vPE is loaded, ICH_HCR_EL2.En is set: what hardware offers must reach the guest even
         when no list register is in use.  The CPU interface is saved before the vPE is descheduled, as in KVM.
"""

from typing import TYPE_CHECKING, final

from vgic.switch import Switch
from vgic.v3.switch import SwitchV3

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic


@final
class SwitchV4(Switch):
    """As SwitchV3, and residency: vgic_v4_load(), vgic_v4_put()."""

    __slots__ = ("_v3",)

    def __init__(self) -> None:
        """Build on the GICv3 host's."""
        self._v3 = SwitchV3()

    def load(self, vcpu: "VcpuGic") -> None:
        """Write the CPU interface, then become resident."""
        self._v3.load(vcpu)
        vpe = vcpu.vpe
        if vpe is not None:
            vcpu.pe.virt.write_hcr(vcpu.hcr)
            vpe.load()

    def put(self, vcpu: "VcpuGic") -> None:
        """Read the CPU interface, then be resident no more."""
        self._v3.put(vcpu)
        vpe = vcpu.vpe
        if vpe is not None:
            vpe.put()
            vcpu.pe.virt.write_hcr(0)
