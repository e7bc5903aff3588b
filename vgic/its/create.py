"""A new ITS for a VM, and what its being there changes.

Room:    above the registers; vm calls it.
"""

from vgic.dist import Dist
from vgic.errors import VgicError
from vgic.ids import V3
from vgic.its.frame import GITS
from vgic.its.state import Its
from vgic.v3.baser import RESET


def create_its(dist: Dist) -> Its:
    """Create an ITS: vgic_its_create().

    The VM has LPIs from now on, if it has a GICv3; GICR_PROPBASER is reset, as KVM does with every ITS.
    Errors: ENOMEM where direct injection finds no room for the vCPUs.
    """
    had_its = dist.has_its
    dist.has_its = dist.model is V3
    if dist.initialized:
        try:
            dist.guest.start(dist)
        except VgicError:
            dist.has_its = had_its
            raise
    its = Its(dist, GITS)
    dist.its_list.append(its)
    dist.propbaser = RESET
    dist.wants_its = True
    return its
