"""An ITS whose events are mapped in every way there is.

Room:    under the tests of the commands.
"""

from typing import Final

from tests.unit.vgic.its.rig import DISABLED, ItsRig, mapc, mapd, mapti

INTID: Final = 8195
ITT: Final = 0x8010_0000
POISON: Final = 0x5A5A_5A5A_5A5A_5A5A


def rig_with_events() -> ItsRig:
    """Collections 0 and 3 on the vCPUs of these numbers, 9 a placeholder; device 2 with three events, 30 an orphan."""
    rig = ItsRig(4)
    for intid in (8195, 8196, 8197):
        rig.configure(intid, DISABLED)
    rig.do(mapc(0, 0), mapc(3, 3), mapc(4, 1), mapd(2))
    rig.do(mapti(2, 20, 8195, 3), mapti(2, 21, 8196, 9), mapti(2, 30, 8197, 4), mapc(4, 0, valid=False))
    assert rig.events() == {(2, 20): (8195, 3), (2, 21): (8196, 9), (2, 30): (8197, None)}
    assert rig.collections() == {0: 0, 3: 3, 9: None}
    rig.memory.writes.clear()
    return rig
