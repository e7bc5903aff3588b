"""Where each image lies in RAM, and where the first vCPU starts.

Room:    above dtree; below machine, which copies the pieces.
Owns:    what an image must look like.
Never:   reads a file, touches RAM.
Holds:   the pieces of a Placement lie in RAM and do not overlap, nor do they lie where the kernel says its BSS is.

    flat image     RAM + FLAT_OFFSET, entered at its first byte
    Linux Image    where its header asks, else RAM + IMAGE_OFFSET; may be gzip-compressed
    device tree    ends at RAM + DTB_LIMIT, or halfway into a smaller RAM
    initrd         begins there; for kvm-unit-tests it is the text of the environment

Source: Linux, Documentation/arch/arm64/booting.rst.
"""

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from vmm.config import ConfigError, MachineConfig
from vmm.dtree import build_dtb
from vmm.fdt import HEADER, MAGIC
from vmm.layout import DTB_LIMIT, FLAT_OFFSET, IMAGE_OFFSET, MIB, RAM_BASE

_IMAGE: Final = Struct("<8xQQQ24xI4x")
"""text_offset, image_size, flags, magic."""
_IMAGE_MAGIC: Final = int.from_bytes(b"ARM\x64", "little")
_IMAGE_MAGIC_AT: Final = 56
_BIG_ENDIAN: Final = 1
_PAGE: Final = 0x1000
_OLD_TEXT_OFFSET: Final = 0x8_0000
"""Where an Image lies that says no image_size: before Linux 3.17."""
_ELF: Final = b"\x7fELF"
_GZIP: Final = b"\x1f\x8b"
_GZIP_WBITS: Final = 31
_ZBOOT: Final = b"zimg"
_ZBOOT_AT: Final = 4

MAX_DTB: Final = 2 * MIB
DTB_ALIGNMENT: Final = 0x1_0000
MAX_KERNEL_PARAMS: Final = 2047
"""arm64's COMMAND_LINE_SIZE without the NUL: Linux would cut the rest off without a word."""


@dataclass(frozen=True, slots=True)
class Images:
    """What is loaded: exactly one of `firmware` and `kernel`.

    firmware  a flat image, such as kvm-unit-tests' .flat
    kernel    a Linux Image, gzip-compressed or not
    initrd    the kernel's initramfs, or kvm-unit-tests' environment
    dtb       a device tree that is used as it is instead of the board's: neither `params` nor `initrd` get into it
    params    the command line
    """

    firmware: bytes | None = None
    kernel: bytes | None = None
    initrd: bytes | None = None
    dtb: bytes | None = None
    params: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything lies: `entry` is for PC, `dtb_gpa` for X0, `initrd` its start and end, if there is one."""

    entry: int
    dtb_gpa: int
    pieces: tuple[tuple[int, bytes], ...]
    initrd: tuple[int, int] | None


class _Piece(NamedTuple):
    """Something in RAM; `end` is beyond its data where it has more than them."""

    what: str
    gpa: int
    end: int
    data: bytes


def place(images: Images, config: MachineConfig, frequency: int) -> Placement:
    """Find a place for every image.  `frequency` of the generic timer, in Hz, is told in the device tree.

    Errors: ConfigError for an image that is none of its kind, and for what does not fit.
    """
    code = _code(images, config)
    middle = RAM_BASE + _middle(config)
    pieces = [code]
    initrd = None
    if images.initrd is not None:
        _require_bytes("the initrd", images.initrd)
        initrd = (middle, middle + len(images.initrd))
        pieces.append(_Piece("the initrd", *initrd, images.initrd))
    dtb = _dtb(images, config, initrd, frequency)
    dtb_gpa = middle - len(dtb) & ~(DTB_ALIGNMENT - 1)
    pieces.append(_Piece("the device tree", dtb_gpa, dtb_gpa + len(dtb), dtb))
    _check(pieces, config)
    return Placement(code.gpa, dtb_gpa, tuple((piece.gpa, piece.data) for piece in pieces), initrd)


def _middle(config: MachineConfig) -> int:
    return min(DTB_LIMIT, config.ram // 2)


def _code(images: Images, config: MachineConfig) -> _Piece:
    if images.firmware is not None and images.kernel is not None:
        raise ConfigError("a firmware and a kernel: a machine starts one of them")
    if images.firmware is not None:
        return _firmware(images.firmware)
    if images.kernel is not None:
        if len(images.params.encode("utf-8", "surrogateescape")) > MAX_KERNEL_PARAMS:
            raise ConfigError(f"a command line of more than {MAX_KERNEL_PARAMS} bytes: Linux would cut it off")
        return _kernel(images.kernel, config)
    raise ConfigError("neither a firmware nor a kernel: there is nothing to run")


def _firmware(data: bytes) -> _Piece:
    _require_bytes("the firmware", data)
    if data.startswith(_ELF):
        raise ConfigError("the firmware is an ELF file, not a flat image: objcopy -O binary makes one of it")
    gpa = RAM_BASE + FLAT_OFFSET
    return _Piece("the firmware", gpa, gpa + len(data), data)


def _kernel(data: bytes, config: MachineConfig) -> _Piece:
    _require_bytes("the kernel", data)
    if data.startswith(_GZIP):
        data = _unzipped(data, _middle(config))
    _require_image(data)
    text_offset, image_size, flags, _ = _IMAGE.unpack_from(data)
    if flags & _BIG_ENDIAN:
        raise ConfigError(f"the kernel is big-endian (flags {flags:#x}); this machine is not")
    if not image_size:
        text_offset = _OLD_TEXT_OFFSET
    if text_offset % _PAGE:
        raise ConfigError(f"the kernel asks for a text offset of {text_offset:#x}, not a multiple of {_PAGE:#x}")
    gpa = RAM_BASE + (text_offset or IMAGE_OFFSET)
    return _Piece("the kernel", gpa, gpa + max(image_size, len(data)), data)


def _require_image(data: bytes) -> None:
    magic = data[_IMAGE_MAGIC_AT : _IMAGE_MAGIC_AT + 4]
    if len(data) >= _IMAGE.size and magic == _IMAGE_MAGIC.to_bytes(4, "little"):
        return
    hint = ""
    if data.startswith(_ELF):
        hint = ": it is an ELF file; boot arch/arm64/boot/Image, or objcopy -O binary makes one of a vmlinux"
    elif data[_ZBOOT_AT : _ZBOOT_AT + 4] == _ZBOOT:
        hint = ": it is an EFI zboot image; boot the Image that is compressed in it"
    raise ConfigError(
        f"the kernel is no arm64 Image: {len(data)} bytes, at {_IMAGE_MAGIC_AT} {magic!r} for b'ARM\\x64'{hint}"
    )


def _unzipped(data: bytes, limit: int) -> bytes:
    """Decompress at most `limit` bytes: a larger Image would not fit below the device tree."""
    stream = zlib.decompressobj(_GZIP_WBITS)
    try:
        image = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ConfigError(f"the gzip-compressed kernel is damaged: {error}") from None
    if len(image) > limit:
        raise ConfigError(f"the gzip-compressed kernel has more than the {limit:#x} bytes below the device tree")
    if not stream.eof:
        raise ConfigError(f"the gzip-compressed kernel ends too early, after {len(image)} bytes of it")
    return image


def _dtb(images: Images, config: MachineConfig, initrd: tuple[int, int] | None, frequency: int) -> bytes:
    dtb = images.dtb
    if dtb is None:
        dtb = build_dtb(config, params=images.params, initrd=initrd, frequency=frequency)
    else:
        _require_bytes("the device tree", dtb)
        if len(dtb) < HEADER.size:
            raise ConfigError(f"the device tree has {len(dtb)} bytes, less than its header's {HEADER.size}")
        magic, total, *_ = HEADER.unpack_from(dtb)
        if magic != MAGIC:
            raise ConfigError(f"the device tree begins with {magic:#x}, not {MAGIC:#x}: it is no blob; dtc makes one")
        if not HEADER.size <= total <= len(dtb):
            raise ConfigError(f"the device tree says that it has {total} bytes, but there are {len(dtb)}")
        dtb = dtb[:total]
    if len(dtb) > MAX_DTB:
        raise ConfigError(f"a device tree of {len(dtb)} bytes: guests map {MAX_DTB} at most")
    return dtb


def _require_bytes(what: str, data: bytes) -> None:
    if not data:
        raise ConfigError(f"{what} is empty")


def _check(pieces: list[_Piece], config: MachineConfig) -> None:
    """Everything lies in RAM, and nothing on something else."""
    ram_end = RAM_BASE + config.ram
    below: _Piece | None = None
    for piece in sorted(pieces, key=lambda piece: piece.gpa):
        where = f"{piece.what} at {piece.gpa:#x}..{piece.end:#x}"
        if piece.gpa < RAM_BASE or piece.end > ram_end:
            raise ConfigError(f"{where} does not fit into RAM at {RAM_BASE:#x}..{ram_end:#x}")
        if below is not None and piece.gpa < below.end:
            raise ConfigError(f"{where} overlaps {below.what} at {below.gpa:#x}..{below.end:#x}; more RAM may help")
        below = piece
