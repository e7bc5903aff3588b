"""What a host does to make a vCPU's CPU interface live on a physical CPU, and to save it again.

Room:    below host, which has one; a GICv2 and a GICv3 host do it differently.
Owns:    VcpuGic.vmcr, ap0r and ap1r, which are stale while the vCPU is loaded.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vgic.vcpu import VcpuGic


class Switch:
    """One kind of host; the two methods are called with the physical CPU free, and with the vCPU on it."""

    __slots__ = ()

    def load(self, vcpu: "VcpuGic") -> None:
        """Write the saved CPU interface to the hardware of `vcpu.pe`."""
        raise NotImplementedError

    def put(self, vcpu: "VcpuGic") -> None:
        """Read it back."""
        raise NotImplementedError
