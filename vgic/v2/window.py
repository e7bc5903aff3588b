"""The GICC frame a GICv2 guest sees: the hardware's GICV, mapped at stage 2 or reached through EL2.

Room:    beside guest, which asks it before the bus.
Holds:   an access that hardware takes does not leave the guest: no list register is folded for it.
"""

from vgic.ids import CPU_SIZE_V2
from vgic.vcpu import VcpuGic

_W32 = 4


class CpuWindow:
    """GICV mapped into the guest: accesses reach hardware without an exit."""

    __slots__ = ("base", "end")

    def __init__(self, base: int) -> None:
        """Map at guest physical address `base`."""
        self.base = base
        self.end = base + CPU_SIZE_V2

    def read(self, vcpu: VcpuGic, offset: int, size: int) -> int:
        """Guest load.  GICV has words only (IHI 0048); anything else reads as zero."""
        gicv = vcpu.pe.gicv
        return gicv.read(offset) if gicv is not None and size == _W32 and not offset & 3 else 0

    def write(self, vcpu: VcpuGic, offset: int, size: int, value: int) -> None:
        """Guest store.  GICV has words only; anything else is ignored."""
        gicv = vcpu.pe.gicv
        if gicv is not None and size == _W32 and not offset & 3:
            gicv.write(offset, value)


class TrappedWindow(CpuWindow):
    """GICV not mapped, as it does not fill its page: EL2 forwards each access: __vgic_v2_perform_cpuif_access().

    What is no aligned word is skipped, and the guest gets a virtual SError.
    """

    __slots__ = ()

    def read(self, vcpu: VcpuGic, offset: int, size: int) -> int:
        """Guest load, forwarded."""
        self._trap(vcpu, offset, size)
        return CpuWindow.read(self, vcpu, offset, size)

    def write(self, vcpu: VcpuGic, offset: int, size: int, value: int) -> None:
        """Guest store, forwarded."""
        self._trap(vcpu, offset, size)
        CpuWindow.write(self, vcpu, offset, size, value)

    @staticmethod
    def _trap(vcpu: VcpuGic, offset: int, size: int) -> None:
        vcpu.cost.exits_mmio += 1
        vcpu.cost.entries += 1
        if size != _W32 or offset & 3:
            vcpu.serror = True
