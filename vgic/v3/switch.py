"""A vCPU's CPU interface on a GICv3 host.

Room:    below host.
Holds:   ICC_SRE_EL1 is written before ICH_VMCR_EL2, whose VFIQEn and VAckCtl depend on it.
"""

from typing import TYPE_CHECKING, final

from hw import Pe
from hw.arch import HCR_EN, HCR_UIE, ICC_SRE_EL1, ICC_SRE_EL2, SRE_ENABLE, SRE_SRE
from vgic.switch import Switch

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic


@final
class SwitchV3(Switch):
    """vgic_v3_load(), vgic_v3_put() and the trap set-up around them."""

    __slots__ = ()

    def load(self, vcpu: "VcpuGic") -> None:
        """Write ICC_SRE, VMCR, active priorities, and ICH_HCR if it traps."""
        pe = vcpu.pe
        virt = pe.virt
        if not vcpu.sre:
            _set_sre_el1(pe, False)
        virt.write_vmcr(vcpu.vmcr)
        words = virt.config.ap_words
        virt.read_vtr()  # KVM derives the number of active-priority registers from it each time
        for n in range(words - 1, -1, -1):
            virt.write_ap(0, n, vcpu.ap0r[n])
        for n in range(words - 1, -1, -1):
            virt.write_ap(1, n, vcpu.ap1r[n])
        _let_guest_use_sre(pe, False)
        if vcpu.hcr & ~(HCR_EN | HCR_UIE):
            virt.write_hcr(vcpu.hcr & ~HCR_EN)

    def put(self, vcpu: "VcpuGic") -> None:
        """Read active priorities and VMCR, and give the host its registers back."""
        pe = vcpu.pe
        virt = pe.virt
        words = virt.config.ap_words
        virt.read_vtr()
        for n in range(words - 1, -1, -1):
            vcpu.ap0r[n] = virt.read_ap(0, n)
        for n in range(words - 1, -1, -1):
            vcpu.ap1r[n] = virt.read_ap(1, n)
        vcpu.vmcr = virt.read_vmcr()
        _let_guest_use_sre(pe, True)
        if not vcpu.sre:
            _set_sre_el1(pe, True)
        if vcpu.hcr & ~(HCR_EN | HCR_UIE):
            virt.write_hcr(0)


def _set_sre_el1(pe: Pe, enabled: bool) -> None:
    """Choose between system registers and GICV for EL1; possible only while EL2 takes its interrupts."""
    pe.imo = pe.fmo = pe.amo = True
    pe.msr_el2(ICC_SRE_EL1, SRE_SRE if enabled else 0)


def _let_guest_use_sre(pe: Pe, allowed: bool) -> None:
    """Set ICC_SRE_EL2.Enable: while a guest is loaded, its ICC_SRE_EL1 accesses trap."""
    sre = pe.mrs_el2(ICC_SRE_EL2)
    pe.msr_el2(ICC_SRE_EL2, sre | SRE_ENABLE if allowed else sre & ~SRE_ENABLE)
