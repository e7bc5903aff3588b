"""Builds the guests' images: `python -m vmm.guests.build` (or with --check, only compares).

Room:    beside the images; needs the cross compiler, which nothing else here does.
Owns:    how a guest is compiled: same sources and same compiler, same bytes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import which
from typing import Final

from vmm.guests import GUESTS, compiler_of_images

HERE: Final = Path(__file__).resolve().parent
SOURCES: Final = HERE / "src"
PREFIX: Final = "aarch64-linux-gnu-"
RUNTIME: Final = ("start.S", "cpu.c", "fdt.c", "gic.c", "its.c", "print.c")
FLAGS: Final = (
    *("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-march=armv8-a", "-mgeneral-regs-only", "-mstrict-align"),
    *("-mno-outline-atomics", "-mbranch-protection=none", "-mcmodel=small", "-ffreestanding", "-fno-pic", "-fno-pie"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns"),
    *("-ffunction-sections", "-fdata-sections", "-nostdlib", "-static", "-no-pie", "-Wl,--gc-sections"),
    *(
        "-Wl,--build-id=none",
        "-Wl,--no-warn-rwx-segments",
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
        "-Wl,-T,guest.lds",
    ),
)


def compiler() -> str | None:
    """Which cross compiler is installed, in its own words; None: none."""
    gcc = which(PREFIX + "gcc")
    if gcc is None:
        return None
    return subprocess.run([gcc, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def build(name: str) -> bytes:
    """One guest's image.  Errors: subprocess.CalledProcessError; the compiler has said why."""
    guest = f"{name}.c" if (SOURCES / f"{name}.c").exists() else f"{name}.S"
    sources = (*RUNTIME, guest) if guest.endswith(".c") else (guest,)
    with tempfile.TemporaryDirectory() as scratch:
        elf, flat = Path(scratch) / "guest.elf", Path(scratch) / "guest.flat"
        subprocess.run([PREFIX + "gcc", *FLAGS, "-o", elf, *sources], cwd=SOURCES, check=True)
        subprocess.run([PREFIX + "objcopy", "-O", "binary", elf, flat], check=True)
        return flat.read_bytes()


def main() -> int:
    """Write every image that differs, or only name it with --check; 1 when any differs then."""
    used = compiler()
    if used is None:
        sys.stderr.write(f"{PREFIX}gcc is not installed (Debian: gcc-aarch64-linux-gnu)\n")
        return 2
    check = "--check" in sys.argv[1:]
    if check and used != compiler_of_images():
        sys.stderr.write(f"built with {compiler_of_images()}; here is {used}\n")
        return 2
    changed = 0
    for guest in GUESTS:
        image, path = build(guest.name), HERE / f"{guest.name}.flat"
        if path.exists() and path.read_bytes() == image:
            continue
        changed += 1
        sys.stdout.write(f"{path.name}: {len(image)} bytes\n")
        if not check:
            path.write_bytes(image)
    if not check:
        (HERE / "compiler.txt").write_text(f"{used}\n")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
