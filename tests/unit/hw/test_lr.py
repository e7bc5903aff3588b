"""The layout of one list register."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.lr import ListReg

FIELDS = {
    "zero": (0x0000_0000_0000_0000, (0, False, False, 0, 0, False, 0, False)),
    "pending Group 1 SPI": (0x5080_0000_0000_0028, (40, True, False, 0x80, 1, False, 0, False)),
    "active Group 0": (0x8040_0000_0000_0029, (41, False, True, 0x40, 0, False, 0, False)),
    "pending and active": (0xD030_0000_0000_0029, (41, True, True, 0x30, 1, False, 0, False)),
    "hardware interrupt": (0x70A0_001B_0000_001B, (27, True, False, 0xA0, 1, True, 27, False)),
    "bit 41 is EOI without HW": (0x1080_0200_0000_0028, (40, False, False, 0x80, 1, False, 0, True)),
    "bit 41 is a physical INTID with HW": (0x3080_0200_0000_0028, (40, False, False, 0x80, 1, True, 512, False)),
    "LPI": (0x50A0_0000_0000_2003, (8195, True, False, 0xA0, 1, False, 0, False)),
}


def decoded(value: int, pri_mask: int = 0xF8, vintid_mask: int = 0xFF_FFFF) -> ListReg:
    lr = ListReg()
    lr.decode(value, pri_mask, vintid_mask)
    return lr


@pytest.mark.parametrize(("value", "fields"), FIELDS.values(), ids=FIELDS)
def test_fields(value: int, fields: tuple[int, bool, bool, int, int, bool, int, bool]) -> None:
    lr = decoded(value)
    assert (lr.vintid, lr.pending, lr.active, lr.priority, lr.group, lr.hw, lr.pintid, lr.eoi) == fields
    assert lr.encode() == value


MASKED = {
    "HW=1, 24-bit INTIDs": (0xFFFF_FFFF_FFFF_FFFF, 0xF8, 0xFF_FFFF, 0xF0F8_1FFF_00FF_FFFF),
    "HW=0, 24-bit INTIDs": (0xDFFF_FFFF_FFFF_FFFF, 0xF8, 0xFF_FFFF, 0xD0F8_0200_00FF_FFFF),
    "16-bit INTIDs": (0xDFFF_FFFF_FFFF_FFFF, 0xF8, 0xFFFF, 0xD0F8_0200_0000_FFFF),
    "8 priority bits": (0xDFFF_FFFF_FFFF_FFFF, 0xFF, 0xFFFF, 0xD0FF_0200_0000_FFFF),
}


@pytest.mark.parametrize(("written", "pri_mask", "vintid_mask", "read"), MASKED.values(), ids=MASKED)
def test_bits_that_are_not_implemented_read_as_zero(written: int, pri_mask: int, vintid_mask: int, read: int) -> None:
    assert decoded(written, pri_mask, vintid_mask).encode() == read


@given(st.integers(0, (1 << 64) - 1))
def test_what_was_read_can_be_written_back(value: int) -> None:
    once = decoded(value).encode()
    assert decoded(once).encode() == once
