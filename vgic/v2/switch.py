"""A vCPU's CPU interface on a GICv2 host.

Room:    below host.
Holds:   one active-priority register serves both groups; it is saved in ap1r[0].
"""

from typing import TYPE_CHECKING, final

from vgic.switch import Switch

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic


@final
class SwitchV2(Switch):
    """vgic_v2_load() and vgic_v2_put()."""

    __slots__ = ()

    def load(self, vcpu: "VcpuGic") -> None:
        """Write GICH_VMCR and GICH_APR."""
        virt = vcpu.pe.virt
        virt.write_vmcr(vcpu.vmcr)
        virt.write_ap(1, 0, vcpu.ap1r[0])

    def put(self, vcpu: "VcpuGic") -> None:
        """Read them back."""
        virt = vcpu.pe.virt
        vcpu.vmcr = virt.read_vmcr()
        vcpu.ap1r[0] = virt.read_ap(1, 0)
