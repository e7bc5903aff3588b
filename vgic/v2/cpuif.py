"""GICC as user space saves and restores it: KVM_DEV_ARM_VGIC_GRP_CPU_REGS.

Room:    a table; the guest's own GICC is hardware, seen through the window.
Owns:    the saved VMCR and active priorities of a vCPU that is put.
Holds:   the vCPU is put, so that what is saved is all there is.  Nobody but user space gets here.
"""

from typing import Final, final

from hw.arch import VMCR_VBPR0_SHIFT, VMCR_VBPR1_SHIFT, VMCR_VPMR_SHIFT
from vgic.dist import Dist
from vgic.ids import CPU_SIZE_V2, IIDR_IMPLEMENTER
from vgic.mmio import W32, Accessor, Constant, Frame, Region, RegionTable
from vgic.vcpu import VcpuGic

_CTLR_BITS: Final = 0x21F  # EnableGrp0, EnableGrp1, AckCtl, FIQEn, CBPR, EOImode: where the VMCR has them
_BPR_MASK: Final = 7
_PMR_MASK: Final = 0xF8
_PMR_SHIFT: Final = 3  # user space sees GICH_VMCR.VMPriMask, not GICC_PMR
_WORD: Final = 0xFFFF_FFFF
_IIDR: Final = 0x04B << 20 | 2 << 16 | IIDR_IMPLEMENTER


@final
class Ctlr(Accessor):
    """GICC_CTLR."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the enables and modes."""
        return vcpu.vmcr & _CTLR_BITS

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Store them."""
        vcpu.vmcr = vcpu.vmcr & ~_CTLR_BITS | value & _CTLR_BITS


@final
class Pmr(Accessor):
    """GICC_PMR, as its upper five bits."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the priority mask divided by 8."""
        return (vcpu.vmcr >> VMCR_VPMR_SHIFT & 0xFF) >> _PMR_SHIFT

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Store five bits."""
        pmr = value << _PMR_SHIFT & _PMR_MASK
        vcpu.vmcr = vcpu.vmcr & ~(0xFF << VMCR_VPMR_SHIFT) | pmr << VMCR_VPMR_SHIFT


@final
class BinaryPoint(Accessor):
    """GICC_BPR or GICC_ABPR."""

    __slots__ = ("shift",)

    def __init__(self, shift: int) -> None:
        """Name the VMCR's field."""
        self.shift = shift

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the binary point."""
        return vcpu.vmcr >> self.shift & _BPR_MASK

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Store three bits; hardware raises them to its minimum when the VMCR is loaded."""
        vcpu.vmcr = vcpu.vmcr & ~(_BPR_MASK << self.shift) | (value & _BPR_MASK) << self.shift


@final
class ActivePriorities(Accessor):
    """GICC_APR<n>: GICv2 hardware has one; on a GICv3 host both groups' priorities are in ICH_AP1R<n>."""

    __slots__ = ()

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the register, 0 where hardware has none: vgic_mmio_read_apr()."""
        n = at // W32
        return vcpu.ap1r[n] if n < _apr_count(vcpu) else 0

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Store the register, if hardware has it."""
        n = at // W32
        if n < _apr_count(vcpu):
            vcpu.ap1r[n] = value & _WORD


def _apr_count(vcpu: VcpuGic) -> int:
    if not vcpu.dist.host.is_gicv3:
        return 1
    return {7: 4, 6: 2}.get(vcpu.pri_bits, 1)


GICC: Final = RegionTable(
    "GICC",
    CPU_SIZE_V2,
    (
        #      register  offset  bytes  widths  behaviour
        Region("CTLR",   0x00,      4, W32, Ctlr()),
        Region("PMR",    0x04,      4, W32, Pmr()),
        Region("BPR",    0x08,      4, W32, BinaryPoint(VMCR_VBPR0_SHIFT)),
        Region("ABPR",   0x1C,      4, W32, BinaryPoint(VMCR_VBPR1_SHIFT)),
        Region("APR",    0xD0,   0x10, W32, ActivePriorities()),
        Region("IIDR",   0xFC,      4, W32, Constant(_IIDR)),
    ),
)  # fmt: skip


@final
class CpuFrame(Frame):
    """GICC for user space; never on the bus."""

    __slots__ = ()

    def __init__(self, dist: Dist) -> None:
        """Build the view."""
        super().__init__(dist, GICC)
