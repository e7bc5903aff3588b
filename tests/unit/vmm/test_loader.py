"""Placing images: where each lies, and what is refused, with which values."""

import gzip
from struct import pack
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vmm.blob import read_blob
from vmm.config import ConfigError, MachineConfig
from vmm.fdt import Node, flatten
from vmm.layout import MIB
from vmm.loader import Images, Placement, place

FLAT: Final = b"\x1f\x20\x03\xd5" * 16
BLOB: Final = flatten(Node("", {}))
RAM: Final = 0x4000_0000


def image(
    size: int = 4096, text_offset: int = 0, image_size: int = 0x10000, flags: int = 0xA, magic: bytes = b"ARM\x64"
) -> bytes:
    """A Linux Image: its header, then zeros."""
    head = pack("<IIQQQ24x4sI", 0x1400_0000, 0, text_offset, image_size, flags, magic, 0)
    return head + bytes(size - len(head))


def placed(images: Images, ram: int = 512 * MIB) -> Placement:
    return place(images, MachineConfig(ram=ram), 100_000_000)


class Row(NamedTuple):
    """Images, RAM in MiB, and where execution starts."""

    images: Images
    ram: int
    entry: int


ENTRIES: Final = {
    "a flat image": Row(Images(firmware=FLAT), 512, RAM + 0x8_0000),
    "a flat image in the smallest RAM": Row(Images(firmware=FLAT), 2, RAM + 0x8_0000),
    "an Image": Row(Images(kernel=image()), 512, RAM + 0x20_0000),
    "an Image that asks for an offset": Row(Images(kernel=image(text_offset=0x8_0000)), 512, RAM + 0x8_0000),
    "an Image from before image_size": Row(Images(kernel=image(text_offset=0, image_size=0)), 512, RAM + 0x8_0000),
    "a compressed Image": Row(Images(kernel=gzip.compress(image())), 512, RAM + 0x20_0000),
    "a compressed Image with padding": Row(Images(kernel=gzip.compress(image()) + bytes(9)), 512, RAM + 0x20_0000),
}


@pytest.mark.parametrize("row", ENTRIES.values(), ids=ENTRIES)
def test_entry(row: Row) -> None:
    result = placed(row.images, row.ram * MIB)
    code = row.images.firmware or image()
    if row.images.kernel and not row.images.kernel.startswith(b"\x1f\x8b"):
        code = row.images.kernel
    assert result.entry == row.entry
    assert result.pieces[0] == (row.entry, code)


class Middle(NamedTuple):
    """RAM in MiB, and where the device tree ends and the initrd begins."""

    ram: int
    at: int


MIDDLES: Final = {
    "much RAM": Middle(1024, RAM + 128 * MIB),
    "twice the limit": Middle(256, RAM + 128 * MIB),
    "less: halfway": Middle(64, RAM + 32 * MIB),
    "the least: halfway": Middle(2, RAM + MIB),
}


@pytest.mark.parametrize("row", MIDDLES.values(), ids=MIDDLES)
def test_the_device_tree_ends_where_the_initrd_begins(row: Middle) -> None:
    result = placed(Images(firmware=FLAT, initrd=b"ERRATA_FORCE=y\n", params="a b"), row.ram * MIB)
    pieces = dict(result.pieces)
    assert result.initrd == (row.at, row.at + 15)
    assert pieces[row.at] == b"ERRATA_FORCE=y\n"
    blob = pieces[result.dtb_gpa]
    assert result.dtb_gpa % 0x1_0000 == 0
    assert row.at - 0x2_0000 < result.dtb_gpa <= row.at - len(blob)
    chosen = read_blob(blob)["chosen"]
    assert chosen.strings("bootargs") == ["a b"]
    assert (chosen.pairs("linux,initrd-start"), chosen.pairs("linux,initrd-end")) == ([row.at], [row.at + 15])


def test_without_an_initrd_there_is_none() -> None:
    result = placed(Images(firmware=FLAT))
    assert result.initrd is None
    assert len(result.pieces) == 2


def test_a_device_tree_of_the_user_s_is_used_as_it_is_without_what_follows_it() -> None:
    result = placed(Images(firmware=FLAT, dtb=BLOB + b"more", params="ignored"))
    assert dict(result.pieces)[result.dtb_gpa] == BLOB


class Refused(NamedTuple):
    """Images, RAM in MiB, and what the message says."""

    images: Images
    ram: int
    message: str


ELF: Final = b"\x7fELF" + bytes(60)
REFUSED: Final = {
    "nothing to run": Refused(Images(), 512, "neither a firmware nor a kernel"),
    "two things to run": Refused(Images(firmware=FLAT, kernel=image()), 512, "a firmware and a kernel"),
    "an empty firmware": Refused(Images(firmware=b""), 512, "the firmware is empty"),
    "an empty kernel": Refused(Images(kernel=b""), 512, "the kernel is empty"),
    "an empty initrd": Refused(Images(firmware=FLAT, initrd=b""), 512, "the initrd is empty"),
    "an empty device tree": Refused(Images(firmware=FLAT, dtb=b""), 512, "the device tree is empty"),
    "an ELF firmware": Refused(Images(firmware=ELF), 512, "ELF file.*objcopy -O binary"),
    "an ELF kernel": Refused(Images(kernel=ELF), 512, "no arm64 Image: .*ELF file"),
    "a zboot kernel": Refused(Images(kernel=b"MZ\0\0zimg" + bytes(60)), 512, "no arm64 Image: .*zboot"),
    "a kernel without magic": Refused(Images(kernel=image(magic=b"ARM\x65")), 512, r"at 56 b'ARMe' for b'ARM\\x64'"),
    "a kernel shorter than its header": Refused(Images(kernel=image()[:63]), 512, "no arm64 Image: 63 bytes"),
    "a kernel that ends before the magic": Refused(Images(kernel=b"x"), 512, "no arm64 Image: 1 bytes, at 56 b''"),
    "a big-endian kernel": Refused(Images(kernel=image(flags=0xB)), 512, "big-endian"),
    "an unaligned kernel": Refused(Images(kernel=image(text_offset=0x80010)), 512, "offset of 0x80010"),
    "a kernel at the end of the address space": Refused(
        Images(kernel=image(text_offset=(1 << 64) - 4096)), 512, "the kernel at 0x1000000003ffff000.*does not fit"
    ),
    "a damaged compressed kernel": Refused(Images(kernel=b"\x1f\x8b" + bytes(30)), 512, "damaged"),
    "half a compressed kernel": Refused(Images(kernel=gzip.compress(image())[:-9]), 512, "ends too early"),
    "a compressed kernel that grows without end": Refused(
        Images(kernel=gzip.compress(bytes(5 * MIB))), 8, "more than the 0x400000 bytes below the device tree"
    ),
    "a compressed something": Refused(Images(kernel=gzip.compress(FLAT)), 512, "no arm64 Image: 64 bytes"),
    "a kernel whose BSS reaches the device tree": Refused(
        Images(kernel=image(image_size=126 * MIB)), 512, "the device tree at 0x47ff0000.*overlaps the kernel"
    ),
    "a kernel whose BSS reaches beyond RAM": Refused(
        Images(kernel=image(image_size=1 << 40)), 512, "the kernel at 0x40200000.*does not fit into RAM"
    ),
    "a kernel in too little RAM": Refused(Images(kernel=image()), 2, "does not fit into RAM at 0x40000000..0x40200000"),
    "a large firmware": Refused(Images(firmware=bytes(MIB)), 2, "does not|overlaps the firmware"),
    "a firmware larger than RAM": Refused(Images(firmware=bytes(5 * MIB)), 4, "the firmware at .*does not fit"),
    "an initrd larger than what is left": Refused(
        Images(firmware=FLAT, initrd=bytes(MIB + 1)), 2, "the initrd at 0x40100000..0x40200001 does not fit"
    ),
    "half a header": Refused(Images(firmware=FLAT, dtb=BLOB[:39]), 512, "39 bytes, less than its header's 40"),
    "a device tree's source": Refused(Images(firmware=FLAT, dtb=b"/dts-v1/;" * 5), 512, "begins with 0x2f647473"),
    "half a device tree": Refused(Images(firmware=FLAT, dtb=BLOB[:-1]), 512, "says that it has 72 bytes, but.* 71"),
    "a device tree smaller than its header": Refused(
        Images(firmware=FLAT, dtb=BLOB[:4] + bytes(4) + BLOB[8:]), 512, "says that it has 0 bytes"
    ),
    "an enormous device tree": Refused(
        Images(firmware=FLAT, dtb=BLOB[:4] + pack(">I", 3 * MIB) + bytes(3 * MIB)), 512, "2097152 at most"
    ),
    "a device tree larger than half the RAM": Refused(
        Images(firmware=FLAT, dtb=BLOB[:4] + pack(">I", 2 * MIB) + bytes(2 * MIB)), 2, "the device tree.*not fit"
    ),
    "a command line that Linux would cut": Refused(Images(kernel=image(), params="x" * 2048), 512, "more than 2047"),
    "a command line with a NUL": Refused(Images(firmware=FLAT, params="\0"), 512, "NUL"),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_placed_is_refused_with_its_values(row: Refused) -> None:
    with pytest.raises(ConfigError, match=row.message):
        placed(row.images, row.ram * MIB)


def test_the_longest_command_line_that_linux_takes_is_accepted() -> None:
    assert placed(Images(kernel=image(), params="x" * 2047)).entry == RAM + 0x20_0000


OFFSETS: Final = st.one_of(st.just(0), st.integers(0, 300).map(lambda page: page << 16), st.integers(0, (1 << 64) - 1))


@given(
    kernel=st.builds(image, st.integers(64, 5 * MIB), OFFSETS, OFFSETS),
    initrd=st.one_of(st.none(), st.integers(0, 3 * MIB).map(bytes)),
    dtb=st.one_of(st.none(), st.integers(0, 3 * MIB).map(lambda size: BLOB[:4] + pack(">I", size) + bytes(size))),
    ram=st.integers(1, 8).map(lambda blocks: blocks * 2 * MIB),
)
def test_what_is_placed_lies_in_ram_and_on_nothing_else(
    kernel: bytes, initrd: bytes | None, dtb: bytes | None, ram: int
) -> None:
    try:
        result = placed(Images(kernel=kernel, initrd=initrd, dtb=dtb), ram)
    except ConfigError:
        return
    end = RAM
    for gpa, data in sorted(result.pieces):
        assert gpa >= end
        end = gpa + len(data)
    assert end <= RAM + ram
    assert {result.entry, result.dtb_gpa} <= {gpa for gpa, _ in result.pieces}
