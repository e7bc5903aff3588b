"""ICC_*_EL1 as user space saves and restores them: KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS.

Room:    below device; a register is a row: its encoding, how it is read, how it is set.
Owns:    the saved VMCR and active priorities of a vCPU that is put, and its pri_bits and id_bits_code.
Holds:   the vCPU is put, so that what is saved is all there is.
"""

from typing import Final, final

from hw.arch import (
    ICC_AP0R0_EL1,
    ICC_AP1R0_EL1,
    ICC_BPR0_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_SRE_EL1,
    VMCR_VBPR0_SHIFT,
    VMCR_VBPR1_SHIFT,
    VMCR_VCBPR,
    VMCR_VENG0,
    VMCR_VENG1,
    VMCR_VEOIM,
    VMCR_VFIQEN,
    VMCR_VPMR_SHIFT,
)
from vgic.errors import EINVAL, ENOENT, ENXIO, ConfigError
from vgic.v3.sysreg import SRE_READS
from vgic.vcpu import APRS, VcpuGic

_VENG0_SHIFT: Final = VMCR_VENG0.bit_length() - 1
_VENG1_SHIFT: Final = VMCR_VENG1.bit_length() - 1
_VCBPR_SHIFT: Final = VMCR_VCBPR.bit_length() - 1
_VEOIM_SHIFT: Final = VMCR_VEOIM.bit_length() - 1

# ICC_CTLR_EL1
_CTLR_EOIMODE: Final = 1
_CTLR_PRIBITS: Final = 8
_CTLR_IDBITS: Final = 11
_CTLR_SEIS_A3V: Final = 0b11 << 14


class SysReg:
    """One register: `get` and `set` work on the saved state."""

    __slots__ = ()

    def get(self, vcpu: VcpuGic) -> int:
        """Return the register.  Errors: EINVAL."""
        raise NotImplementedError

    def set(self, vcpu: VcpuGic, value: int) -> None:
        """Take a value.  Errors: EINVAL."""
        raise NotImplementedError


@final
class VmcrField(SysReg):
    """A register that is one field of the VMCR."""

    __slots__ = ("mask", "shift")

    def __init__(self, shift: int, width: int) -> None:
        """Name the field."""
        self.shift = shift
        self.mask = (1 << width) - 1

    def get(self, vcpu: VcpuGic) -> int:
        """Return the field."""
        return vcpu.vmcr >> self.shift & self.mask

    def set(self, vcpu: VcpuGic, value: int) -> None:
        """Store the low bits; no minimum is enforced, hardware does that when the VMCR is loaded."""
        vcpu.vmcr = vcpu.vmcr & ~(self.mask << self.shift) | (value & self.mask) << self.shift | VMCR_VFIQEN


@final
class Bpr1(SysReg):
    """ICC_BPR1_EL1: follows BPR0 while CBPR is set, and cannot be written then."""

    __slots__ = ()

    def get(self, vcpu: VcpuGic) -> int:
        """Return the effective binary point."""
        if vcpu.vmcr & VMCR_VCBPR:
            return min(BPR0.get(vcpu) + 1, 7)
        return BPR1.get(vcpu)

    def set(self, vcpu: VcpuGic, value: int) -> None:
        """Store it, unless CBPR is set."""
        if not vcpu.vmcr & VMCR_VCBPR:
            BPR1.set(vcpu, value)


@final
class Ctlr(SysReg):
    """ICC_CTLR_EL1: CBPR and EOImode; priority and INTID bits can be lowered to a smaller host's, never raised."""

    __slots__ = ()

    def get(self, vcpu: VcpuGic) -> int:
        """Return control bits and capabilities."""
        return (
            CBPR.get(vcpu)
            | EOIM.get(vcpu) << _CTLR_EOIMODE
            | vcpu.pri_bits - 1 << _CTLR_PRIBITS
            | vcpu.id_bits_code << _CTLR_IDBITS
            | vcpu.dist.host.seis_a3v
        )

    def set(self, vcpu: VcpuGic, value: int) -> None:
        """Take a value.  Errors: EINVAL for capabilities this host lacks.

        KVM's order is kept: bits already lowered stay lowered when a later check fails.
        """
        pri_bits = (value >> _CTLR_PRIBITS & 7) + 1
        if pri_bits > vcpu.pri_bits:
            raise ConfigError(
                EINVAL, f"ICC_CTLR_EL1 {value:#x} has {pri_bits} priority bits, not up to {vcpu.pri_bits}"
            )
        vcpu.pri_bits = pri_bits
        id_bits_code = value >> _CTLR_IDBITS & 7
        if id_bits_code > vcpu.id_bits_code:
            raise ConfigError(
                EINVAL, f"ICC_CTLR_EL1 {value:#x} has IDbits {id_bits_code}, not up to {vcpu.id_bits_code}"
            )
        vcpu.id_bits_code = id_bits_code
        if (value ^ vcpu.dist.host.seis_a3v) & _CTLR_SEIS_A3V:
            raise ConfigError(EINVAL, f"ICC_CTLR_EL1 {value:#x}: SEIS and A3V differ from this host's")
        CBPR.set(vcpu, value)
        EOIM.set(vcpu, value >> _CTLR_EOIMODE)


@final
class Sre(SysReg):
    """ICC_SRE_EL1: system registers are always enabled."""

    __slots__ = ()

    def get(self, vcpu: VcpuGic) -> int:
        """Return SRE, DFB and DIB."""
        return SRE_READS

    def set(self, vcpu: VcpuGic, value: int) -> None:
        """Check.  Errors: EINVAL when SRE is clear."""
        if not value & 1:
            raise ConfigError(EINVAL, f"ICC_SRE_EL1 {value:#x}: SRE cannot be cleared")


@final
class ActivePriorities(SysReg):
    """ICC_AP<g>R<n>_EL1, as many as the priority bits ask for."""

    __slots__ = ("group", "n")

    def __init__(self, group: int, n: int) -> None:
        """Name the register."""
        self.group = group
        self.n = n

    def get(self, vcpu: VcpuGic) -> int:
        """Return the saved value.  Errors: EINVAL past the last register."""
        return self._bank(vcpu)[self.n]

    def set(self, vcpu: VcpuGic, value: int) -> None:
        """Store 32 bits.  Errors: EINVAL past the last register."""
        self._bank(vcpu)[self.n] = value & 0xFFFF_FFFF

    def _bank(self, vcpu: VcpuGic) -> list[int]:
        last = {7: 3, 6: 1}.get(vcpu.pri_bits, 0)
        if self.n > last:
            raise ConfigError(EINVAL, f"ICC_AP{self.group}R{self.n}_EL1: {vcpu.pri_bits} priority bits end at {last}")
        return vcpu.ap1r if self.group else vcpu.ap0r


BPR0: Final = VmcrField(VMCR_VBPR0_SHIFT, 3)
BPR1: Final = VmcrField(VMCR_VBPR1_SHIFT, 3)
CBPR: Final = VmcrField(_VCBPR_SHIFT, 1)
EOIM: Final = VmcrField(_VEOIM_SHIFT, 1)

SYSREGS: Final[dict[int, SysReg]] = {
    ICC_PMR_EL1: VmcrField(VMCR_VPMR_SHIFT, 8),
    ICC_BPR0_EL1: BPR0,
    ICC_BPR1_EL1: Bpr1(),
    ICC_CTLR_EL1: Ctlr(),
    ICC_SRE_EL1: Sre(),
    ICC_IGRPEN0_EL1: VmcrField(_VENG0_SHIFT, 1),
    ICC_IGRPEN1_EL1: VmcrField(_VENG1_SHIFT, 1),
    **{ICC_AP0R0_EL1 + n: ActivePriorities(0, n) for n in range(APRS)},
    **{ICC_AP1R0_EL1 + n: ActivePriorities(1, n) for n in range(APRS)},
}


def find(register: int) -> SysReg:
    """Return the row of `register` (16-bit encoding) for an access.  Errors: ENOENT when there is none."""
    row = SYSREGS.get(register)
    if row is None:
        raise ConfigError(ENOENT, f"CPU_SYSREGS has no register {register:#x}")
    return row


def check(register: int) -> None:
    """Answer HAS_ATTR.  Errors: ENXIO when there is no such register: vgic_v3_has_cpu_sysregs_attr()."""
    if register not in SYSREGS:
        raise ConfigError(ENXIO, f"CPU_SYSREGS has no register {register:#x}")
