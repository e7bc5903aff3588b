"""The physical ITS: translation of MSIs, its command queue, and the tables that it keeps in memory.

    its = machine.itss[0]
    its.write(arch4.GITS_CBASER, 8, arch4.VALID | queue)
    its.write(arch4.GITS_CTLR, 4, arch4.GITS_CTLR_ENABLED)
    its.write(arch4.GITS_CWRITER, 8, 32)     # executes the command at `queue`
    its.msi(devid, eventid)                  # what a device's write of GITS_TRANSLATER does

Frame, in frame.py, is one ITS: registers and queue.  maps.py has devices, events and collections; commands.py and
vcommands.py the commands; vmovp.py what several ITSs do together.
"""

from hw.its.frame import Its
from hw.its.maps import ItsError

__all__ = ["Its", "ItsError"]
