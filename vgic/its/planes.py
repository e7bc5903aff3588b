"""A small number for each of many slots, in bit planes: one operation on an integer touches every slot.

Room:    the floor of the ITS: integers, and no idea what they stand for.
Holds:   bit s of plane n is bit n of slot s's number.

A set of slots is an integer, too: bit s is set if slot s belongs to it.
"""

from collections.abc import Iterable
from typing import final


@final
class Planes:
    """Slot -> number."""

    __slots__ = ("_planes",)

    def __init__(self, numbers: Iterable[int], largest: int) -> None:
        """Build planes for numbers up to `largest`; slots 0, 1, 2 ... begin with `numbers`, all others with 0."""
        slots: list[list[int]] = [[] for _ in range(largest.bit_length())]
        for slot, number in enumerate(numbers):
            rest, plane = number, 0
            while rest:
                if rest & 1:
                    slots[plane].append(slot)
                rest >>= 1
                plane += 1
        self._planes = [set_of(members) for members in slots]

    def get(self, slot: int) -> int:
        """Return the number of one slot."""
        number = 0
        for n, plane in enumerate(self._planes):
            number |= (plane >> slot & 1) << n
        return number

    def assign(self, slots: int, number: int) -> None:
        """Give all of `slots` this number."""
        planes = self._planes
        for n, plane in enumerate(planes):
            planes[n] = plane | slots if number >> n & 1 else plane ^ (plane & slots)

    def having(self, slots: int, number: int) -> int:
        """Return those of `slots` that have this number."""
        for n, plane in enumerate(self._planes):
            if not slots:
                break
            common = slots & plane
            slots = common if number >> n & 1 else slots ^ common
        return slots


def set_of(slots: list[int]) -> int:
    """Return the set of some slots, in ascending order."""
    if not slots:
        return 0
    octets = bytearray(slots[-1] // 8 + 1)
    for slot in slots:
        octets[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(octets, "little")


def slots_of(members: int) -> list[int]:
    """Return the slots of a set, in descending order."""
    slots = []
    while members:
        slot = members.bit_length() - 1
        members ^= 1 << slot
        slots.append(slot)
    return slots
