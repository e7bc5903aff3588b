"""The formats of table entries in guest memory: KVM's table format 0 (ABI revision 0).

Room:    the floor of save and restore: data only.

Entries are 8 bytes, little-endian:
    device      valid[63], distance to the next device[62:49], ITT address[51:8] at [48:5], EventID bits - 1 [4:0]
    collection  valid[63], target vCPU id[47:16] (all ones: a placeholder), collection id[15:0]
    event       distance to the next event[63:48], INTID[47:16] (0: none), collection id[15:0]
    level 1     valid[63], page address[51:16]
"""

from typing import Final

DTE_NEXT_SHIFT: Final = 49
DTE_NEXT: Final = 0x3FFF
DTE_ITT_SHIFT: Final = 5
DTE_ITT: Final = 0xFFF_FFFF_FFFF
DTE_BITS: Final = 0x1F
ITT_ALIGN_SHIFT: Final = 8

CTE_TARGET_SHIFT: Final = 16
NOBODY: Final = 0xFFFF_FFFF
"""The vCPU id of a placeholder."""
ICID: Final = 0xFFFF

ITE_NEXT_SHIFT: Final = 48
ITE_NEXT: Final = 0xFFFF
ITE_INTID_SHIFT: Final = 16
ITE_INTID: Final = 0xFFFF_FFFF

LEVEL1_PAGE: Final = 0xF_FFFF_FFFF_0000

LAST: Final = 0
"""The distance of the last device or event."""
