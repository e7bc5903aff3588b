"""Memory attributes of the registers that hold a table's address: GICR_PROPBASER, GICR_PENDBASER.

Room:    below the redistributor.  The ITS's own registers have their cache fields elsewhere (vgic.its.frame).
"""

from typing import Final

SHAREABILITY: Final = 0b11 << 10
OUTER_SHAREABLE: Final = 0b10 << 10
INNER_SHAREABLE: Final = 0b01 << 10
_INNER_CACHE: Final = 0b111 << 7
_INNER_CACHE_RAWB: Final = 0b011 << 7
_INNER_NON_CACHEABLE: Final = 0b001 << 7
_OUTER_CACHE: Final = 0b111 << 56
_OUTER_NON_CACHEABLE: Final = 0b001 << 56

PTZ: Final = 1 << 62
"""GICR_PENDBASER.PTZ: the table is all zero, do not read it."""

RESET: Final = _INNER_CACHE_RAWB | INNER_SHAREABLE
"""INITIAL_PENDBASER_VALUE, INITIAL_PROPBASER_VALUE."""


def sanitise_attributes(value: int) -> int:
    """Return a table register with memory attributes KVM supports: vgic_sanitise_field() and its users."""
    if value & SHAREABILITY == OUTER_SHAREABLE:
        value = value & ~SHAREABILITY | INNER_SHAREABLE
    if value & _INNER_CACHE <= _INNER_NON_CACHEABLE:
        value = value & ~_INNER_CACHE | _INNER_CACHE_RAWB
    if value & _OUTER_CACHE > _OUTER_NON_CACHEABLE:
        value &= ~_OUTER_CACHE
    return value
