"""Ranges of guest physical addresses: do they overlap, do they fit.

Room:    the floor.
"""

from typing import Final

from vgic.errors import E2BIG, EEXIST, EINVAL, ConfigError, VgicError
from vgic.ids import UNDEFINED_ADDR

ADDRESS_SPACE: Final = 1 << 64


def wraps(base: int, size: int) -> bool:
    """Whether a range leaves the 64-bit address space; one that ends with it does too, as in KVM's arithmetic."""
    return base + size >= ADDRESS_SPACE


def overlaps(base: int, size: int, other_base: int, other_size: int) -> bool:
    """Whether two ranges share a byte."""
    return base < other_base + other_size and other_base < base + size


def check_new_base(what: str, old: int, base: int, size: int, alignment: int, ipa_size: int) -> None:
    """Check an address for a frame that has none yet: vgic_check_iorange().

    Errors, in KVM's order: EEXIST, EINVAL for a misaligned base or a range that wraps, E2BIG past the guest's space.
    """
    if old != UNDEFINED_ADDR:
        raise VgicError(EEXIST, f"the {what} lies at {old:#x} already")
    if base % alignment:
        raise ConfigError(EINVAL, f"{what} base {base:#x} is not aligned to {alignment:#x}")
    if wraps(base, size):
        raise ConfigError(EINVAL, f"the {what} at {base:#x} wraps")
    if base >= ipa_size or base + size > ipa_size:
        raise ConfigError(E2BIG, f"the {what} at {base:#x} runs past the guest's {ipa_size:#x}")
