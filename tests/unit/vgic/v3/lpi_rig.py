"""A VM with two LPIs.

Room:    under the tests of LPIs.
"""

from typing import Final

from tests.unit.vgic.its.rig import DISABLED, ENABLED, ItsRig, inv, mapc, mapd, mapti, raise_event

LPI: Final = 8195
OTHER: Final = 8200
LOW: Final = 0xFFFF_FFFF


def rig_with_lpis() -> ItsRig:
    """LPI in collection 3 on vCPU 1, OTHER in collection 0 on vCPU 0; both enabled."""
    rig = ItsRig(3)
    rig.configure(LPI, ENABLED)
    rig.configure(OTHER, ENABLED)
    rig.do(mapc(3, 1), mapc(0, 0), mapd(2), mapti(2, 20, LPI, 3), mapti(2, 21, OTHER, 0))
    rig.memory.writes.clear()
    rig.kicks.clear()
    return rig


def latched(rig: ItsRig, of: int = 1) -> None:
    """An LPI that is pending and not queued: disabled when it came."""
    rig.configure(LPI, DISABLED)
    rig.do(inv(2, 20), raise_event(2, 20))
    assert rig.listed(of) == []
