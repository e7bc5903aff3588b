"""One list register: decoded fields inside, the 64-bit encoding at the edge.

Room:    inside ich, which owns the array of them; a hypervisor reads the live object.
Owns:    the layout of ICH_LR<n>_EL2.
Never:   decides what is signalled, counts an access.
Holds:   `eoi` only with `hw` False, `pintid` nonzero only with `hw` True: they share bits.
"""

from typing import final

from hw.arch import (
    LR_ACTIVE,
    LR_EOI,
    LR_GROUP_SHIFT,
    LR_HW,
    LR_PENDING,
    LR_PINTID_MASK,
    LR_PINTID_SHIFT,
    LR_PRIORITY_SHIFT,
)


@final
class ListReg:
    """ICH_LR<n>_EL2.  State is two booleans: 00 Invalid, 01 pending, 10 active, 11 both.

    The guest's acknowledge and deactivate change `pending` and `active`, and nothing else.
    Source: IHI 0069H, ICH_LR<n>_EL2.
    """

    __slots__ = ("active", "eoi", "group", "hw", "pending", "pintid", "priority", "vintid")

    def __init__(self) -> None:
        """Start as zero: Invalid, Group 0, priority 0."""
        self.vintid = 0
        self.pending = False
        self.active = False
        self.priority = 0  # 8 bits, the unimplemented low ones zero
        self.group = 0  # 0 or 1
        self.hw = False  # tied to physical interrupt `pintid`
        self.pintid = 0  # 13 bits; 0 unless hw
        self.eoi = False  # ask for maintenance once Invalid; False if hw

    def encode(self) -> int:
        """The 64-bit register value."""
        value = self.vintid | self.pintid << LR_PINTID_SHIFT | self.priority << LR_PRIORITY_SHIFT
        value |= self.group << LR_GROUP_SHIFT
        if self.pending:
            value |= LR_PENDING
        if self.active:
            value |= LR_ACTIVE
        if self.hw:
            value |= LR_HW
        if self.eoi:
            value |= LR_EOI
        return value

    def decode(self, value: int, pri_mask: int, vintid_mask: int) -> None:
        """Take the fields from a 64-bit value; bits that are not implemented become zero."""
        self.vintid = value & vintid_mask
        self.pending = value & LR_PENDING != 0
        self.active = value & LR_ACTIVE != 0
        self.priority = value >> LR_PRIORITY_SHIFT & pri_mask
        self.group = value >> LR_GROUP_SHIFT & 1
        self.hw = value & LR_HW != 0
        self.pintid = value >> LR_PINTID_SHIFT & LR_PINTID_MASK if self.hw else 0
        self.eoi = value & LR_EOI != 0 and not self.hw
