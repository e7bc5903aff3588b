"""Offsets of a GICv2's GICD, from the manual, and the interrupts that the tests look at.

Room:    under the tests of the distributor; apart from the library's own table.
"""

from typing import Final

CTLR: Final = 0x000
TYPER: Final = 0x004
IIDR: Final = 0x008
IGROUPR: Final = 0x080
ISENABLER: Final = 0x100
ICENABLER: Final = 0x180
ISPENDR: Final = 0x200
ICPENDR: Final = 0x280
ISACTIVER: Final = 0x300
ICACTIVER: Final = 0x380
IPRIORITYR: Final = 0x400
ITARGETSR: Final = 0x800
ICFGR: Final = 0xC00
SGIR: Final = 0xF00
CPENDSGIR: Final = 0xF10
SPENDSGIR: Final = 0xF20

SGI: Final = 5
PPI: Final = 27
SPI: Final = 40
ONES: Final = 0xFFFF_FFFF
WHO: Final = ("guest", "user")
