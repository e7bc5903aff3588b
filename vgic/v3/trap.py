"""The ICC_*_EL1 registers as KVM emulates them at EL2 when the host makes the CPU interface trap.

Room:    called before sysreg, with the list registers still live; trap_cpuif has the rules behind the rows.
Owns:    nothing: VMCR and the active priorities are the physical CPU's, and written through at once.
Never:   leaves EL2: no sync, no flush.
Holds:   a wrong direction, an unknown register, or a VM without a GICv3 is declined: the host handler gets it,
         which knows SGI generation and ICC_SRE_EL1 and finds everything else UNDEFINED.

Source: IHI 0069H, ICV_*_EL1.  KVM: __vgic_v3_perform_cpuif_access().
"""

from typing import Final, final

from hw.arch import (
    CTLR_A3V,
    CTLR_CBPR,
    CTLR_EOIMODE,
    CTLR_IDBITS_SHIFT,
    CTLR_PRIBITS_SHIFT,
    CTLR_SEIS,
    ICC_AP0R_EL1,
    ICC_AP1R_EL1,
    ICC_BPR0_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR0_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    UNDEFINED,
    VMCR_VBPR0_SHIFT,
    VMCR_VBPR1_SHIFT,
    VMCR_VBPR_MASK,
    VMCR_VCBPR,
    VMCR_VENG0,
    VMCR_VENG1,
    VMCR_VEOIM,
    VMCR_VPMR_MASK,
    VMCR_VPMR_SHIFT,
    VTR_A3V,
    VTR_IDBITS_SHIFT,
    VTR_PRIBITS_SHIFT,
)
from hw.ich import Ich
from vgic.ids import V3
from vgic.v3.trap_cpuif import (
    WRITTEN_INTID,
    acknowledge,
    ap_words,
    bpr0,
    bpr1,
    deactivate,
    end,
    highest_pending,
    min_bpr1,
    running_priority,
)
from vgic.vcpu import VcpuGic

_VTR_FIELD_MASK: Final = 7  # PRIbits and IDbits


def emulate_read(vcpu: VcpuGic, register: int) -> int:
    """Return what a trapped MRS of a packed encoding (hw.arch.sysreg) reads, or UNDEFINED when that is declined."""
    if vcpu.dist.model is not V3:
        return UNDEFINED
    row = TRAPPED.get(register)
    return UNDEFINED if row is None else row.read(vcpu)


def emulate_write(vcpu: VcpuGic, register: int, value: int) -> bool:
    """Do what a trapped MSR of a packed encoding asks; False when that is declined.  `value` is 64 bits."""
    if vcpu.dist.model is not V3:
        return False
    row = TRAPPED.get(register)
    return row is not None and row.write(vcpu, value)


class TrappedRegister:
    """One ICC_* encoding that EL2 emulates.  A method left out is a direction that does not exist."""

    def read(self, vcpu: VcpuGic) -> int:
        """Read the register, or UNDEFINED."""
        return UNDEFINED

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        """Write the register; False if that is UNDEFINED."""
        return False


def _change_vmcr(virt: Ich, mask: int, value: int) -> None:
    """Replace the bits `mask` of the live VMCR by those of `value`."""
    virt.write_vmcr(virt.read_vmcr() & ~mask | value & mask)


@final
class _Iar(TrappedRegister):
    def __init__(self, group: int) -> None:
        self.group = group

    def read(self, vcpu: VcpuGic) -> int:
        return acknowledge(vcpu, self.group)


@final
class _Eoir(TrappedRegister):
    def __init__(self, group: int) -> None:
        self.group = group

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        end(vcpu, self.group, value & WRITTEN_INTID)
        return True


@final
class _Dir(TrappedRegister):
    def write(self, vcpu: VcpuGic, value: int) -> bool:
        deactivate(vcpu, value & WRITTEN_INTID)
        return True


@final
class _Hppir(TrappedRegister):
    def __init__(self, group: int) -> None:
        self.group = group

    def read(self, vcpu: VcpuGic) -> int:
        return highest_pending(vcpu, self.group)


@final
class _Rpr(TrappedRegister):
    def read(self, vcpu: VcpuGic) -> int:
        return running_priority(vcpu.pe.virt)


@final
class _Pmr(TrappedRegister):
    """All 8 bits are stored; the hardware drops those it does not implement."""

    def read(self, vcpu: VcpuGic) -> int:
        return vcpu.pe.virt.read_vmcr() >> VMCR_VPMR_SHIFT & VMCR_VPMR_MASK

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        _change_vmcr(vcpu.pe.virt, VMCR_VPMR_MASK << VMCR_VPMR_SHIFT, value << VMCR_VPMR_SHIFT)
        return True


@final
class _Bpr0(TrappedRegister):
    """A written value is raised to the minimum first and cut to 3 bits then: 8 stores 0, which hardware raises."""

    def read(self, vcpu: VcpuGic) -> int:
        return bpr0(vcpu.pe.virt.read_vmcr())

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        virt = vcpu.pe.virt
        raised = max(value, min_bpr1(virt.read_vtr()) - 1)
        _change_vmcr(virt, VMCR_VBPR_MASK << VMCR_VBPR0_SHIFT, raised << VMCR_VBPR0_SHIFT)
        return True


@final
class _Bpr1(TrappedRegister):
    """As BPR0, with its own minimum.  Under CBPR it shows BPR0 plus one, and writes are ignored."""

    def read(self, vcpu: VcpuGic) -> int:
        return bpr1(vcpu.pe.virt.read_vmcr())

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        virt = vcpu.pe.virt
        if not virt.read_vmcr() & VMCR_VCBPR:
            raised = max(value, min_bpr1(virt.read_vtr()))
            _change_vmcr(virt, VMCR_VBPR_MASK << VMCR_VBPR1_SHIFT, raised << VMCR_VBPR1_SHIFT)
        return True


@final
class _Igrpen(TrappedRegister):
    def __init__(self, flag: int) -> None:
        self.flag = flag

    def read(self, vcpu: VcpuGic) -> int:
        return 1 if vcpu.pe.virt.read_vmcr() & self.flag else 0

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        _change_vmcr(vcpu.pe.virt, self.flag, self.flag if value & 1 else 0)
        return True


@final
class _Ctlr(TrappedRegister):
    """CBPR and EOImode, and what the host implements."""

    def read(self, vcpu: VcpuGic) -> int:
        virt = vcpu.pe.virt
        vmcr = virt.read_vmcr()
        vtr = virt.read_vtr()
        value = (vtr >> VTR_PRIBITS_SHIFT & _VTR_FIELD_MASK) << CTLR_PRIBITS_SHIFT
        value |= (vtr >> VTR_IDBITS_SHIFT & _VTR_FIELD_MASK) << CTLR_IDBITS_SHIFT
        value |= vcpu.dist.host.seis_a3v & CTLR_SEIS
        value |= CTLR_A3V if vtr & VTR_A3V else 0
        value |= CTLR_CBPR if vmcr & VMCR_VCBPR else 0
        value |= CTLR_EOIMODE if vmcr & VMCR_VEOIM else 0
        return value

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        flags = VMCR_VCBPR if value & CTLR_CBPR else 0
        flags |= VMCR_VEOIM if value & CTLR_EOIMODE else 0
        _change_vmcr(vcpu.pe.virt, VMCR_VCBPR | VMCR_VEOIM, flags)
        return True


@final
class _Ap(TrappedRegister):
    """AP<group>R<n>: any value is taken.  One the host does not implement is UNDEFINED before it could trap."""

    def __init__(self, group: int, n: int) -> None:
        self.group = group
        self.n = n

    def read(self, vcpu: VcpuGic) -> int:
        virt = vcpu.pe.virt
        return virt.read_ap(self.group, self.n) if self.n < ap_words(virt.read_vtr()) else UNDEFINED

    def write(self, vcpu: VcpuGic, value: int) -> bool:
        virt = vcpu.pe.virt
        if self.n >= ap_words(virt.read_vtr()):
            return False
        virt.write_ap(self.group, self.n, value)
        return True


TRAPPED: Final[dict[int, TrappedRegister]] = {
    ICC_PMR_EL1: _Pmr(),
    ICC_IAR0_EL1: _Iar(0),
    ICC_EOIR0_EL1: _Eoir(0),
    ICC_HPPIR0_EL1: _Hppir(0),
    ICC_BPR0_EL1: _Bpr0(),
    ICC_DIR_EL1: _Dir(),
    ICC_RPR_EL1: _Rpr(),
    ICC_IAR1_EL1: _Iar(1),
    ICC_EOIR1_EL1: _Eoir(1),
    ICC_HPPIR1_EL1: _Hppir(1),
    ICC_BPR1_EL1: _Bpr1(),
    ICC_CTLR_EL1: _Ctlr(),
    ICC_IGRPEN0_EL1: _Igrpen(VMCR_VENG0),
    ICC_IGRPEN1_EL1: _Igrpen(VMCR_VENG1),
    **{ICC_AP0R_EL1[n]: _Ap(0, n) for n in range(4)},
    **{ICC_AP1R_EL1[n]: _Ap(1, n) for n in range(4)},
}
