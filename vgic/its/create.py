"""A new ITS for a VM, and what its being there changes.

Room:    above the registers; vm calls it.
"""

from vgic.dist import Dist
from vgic.ids import V3
from vgic.its.frame import GITS
from vgic.its.state import Its
from vgic.v3.baser import RESET


def create_its(dist: Dist) -> Its:
    """Create an ITS: vgic_its_create().

    The VM has LPIs from now on, if it has a GICv3; GICR_PROPBASER is reset, as KVM does with every ITS.
    """
    its = Its(dist, GITS)
    dist.its_list.append(its)
    dist.propbaser = RESET
    dist.wants_its = True
    dist.has_its = dist.model is V3
    return its
