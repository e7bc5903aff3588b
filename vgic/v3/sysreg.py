"""ICC_*_EL1 accesses that leave the guest for the host: SGI generation and ICC_SRE_EL1.

Room:    called by guest between sync and flush.
Holds:   whatever else gets here is UNDEFINED, as is everything in a VM without a GICv3.
"""

from typing import Final

from hw.arch import ICC_ASGI1R_EL1, ICC_SGI0R_EL1, ICC_SGI1R_EL1, ICC_SRE_EL1, UNDEFINED
from vgic.ids import V3
from vgic.inject import send_sgi
from vgic.vcpu import VcpuGic

SRE_READS: Final = 0b111
"""ICC_SRE_EL1: SRE, DFB and DIB, all fixed at one."""


def read(vcpu: VcpuGic, register: int) -> int:
    """Return what a trapped MRS reads, or UNDEFINED."""
    if vcpu.dist.model is V3 and register == ICC_SRE_EL1:
        return SRE_READS
    return UNDEFINED


def write(vcpu: VcpuGic, register: int, value: int) -> bool:
    """Do what a trapped MSR asks; False when it is UNDEFINED: access_gic_sgi(), access_gic_sre()."""
    if vcpu.dist.model is not V3:
        return False
    if register == ICC_SGI1R_EL1:
        send_sgi(vcpu, value, True)
    elif register in (ICC_SGI0R_EL1, ICC_ASGI1R_EL1):
        send_sgi(vcpu, value, False)
    elif register != ICC_SRE_EL1:
        return False
    return True
