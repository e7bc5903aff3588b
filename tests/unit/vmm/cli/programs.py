"""Guests of a few instructions, and `vgic run` as a test calls it."""

import argparse
import struct
from pathlib import Path
from typing import Final

from vmm.cli import resume, run

_UART_IN_X1: Final = 0xD2A1_2001  # movz x1, #0x900, lsl #16
_PUT_W0: Final = 0x3900_0020  # strb w0, [x1]
_GET_W0: Final = 0x3940_0020  # ldrb w0, [x1]
WFI: Final = 0xD503_207F
LOOP: Final = 0x1400_0000  # b .
HVC: Final = 0xD400_0002
BR_X2: Final = 0xD61F_0040


def movz(register: int, value: int) -> int:
    """MOVZ Wn, #value."""
    return 0x5280_0000 | value << 5 | register


def movk_high(register: int, value: int) -> int:
    """MOVK Wn, #value, LSL #16."""
    return 0x72A0_0000 | value << 5 | register


def prints(text: str) -> list[int]:
    """Print `text`; needs X0 and X1."""
    words = [_UART_IN_X1]
    for char in text:
        words += [movz(0, ord(char)), _PUT_W0]
    return words


def psci(function: int) -> list[int]:
    """Call the function of PSCI."""
    return [movz(0, function), movk_high(0, 0x8400), HVC]


OFF: Final = psci(8)
RESET: Final = psci(9)
CPU_OFF: Final = psci(2)
JUMP_INTO_NOTHING: Final = [movz(2, 0x1000), BR_X2]


def echoes(until: str) -> list[int]:
    """Print what is typed, until this character is."""
    loop = [
        _GET_W0,
        0x34FF_FFE0,  # cbz w0, to the load
        _PUT_W0,
        0x7100_0000 | ord(until) << 10 | 0x1F,  # cmp w0, #until
    ]
    return [_UART_IN_X1, *loop, 0x5400_0001 | ((1 << 19) - len(loop)) << 5]  # b.ne, to the load


def flat(*words: int) -> bytes:
    """The image of a program."""
    return struct.pack(f"<{len(words)}I", *words)


def write_image(folder: Path, *words: int, name: str = "guest.flat") -> str:
    """Write the image of a program and return its path."""
    path = folder / name
    path.write_bytes(flat(*words))
    return str(path)


def vgic_run(*arguments: str) -> int:
    """Do what `vgic run` does and return its exit status."""
    return _vgic("run", *arguments)


def vgic_resume(*arguments: str) -> int:
    """Do what `vgic resume` does and return its exit status."""
    return _vgic("resume", *arguments)


def _vgic(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="vgic")
    subparsers = parser.add_subparsers()
    run.add_parser(subparsers)
    resume.add_parser(subparsers)
    args = parser.parse_args(arguments)
    status: int = args.func(args)
    return status
