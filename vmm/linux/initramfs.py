"""The guest's first file system: busybox and the script that it runs as init.

Room:    over cpio; below the command.
Holds:   the same busybox and script give the same bytes.
"""

from importlib import resources
from typing import Final

from vmm.linux.cpio import archive, character_device, directory, regular, symlink

INIT_SCRIPT: Final = "init.sh"

NO_SLEEP: Final = "vgic.nosleep"
SHELL: Final = "vgic.shell"
"""Words that the script looks for on the kernel's command line."""


def init_script() -> bytes:
    """Return the script that the guest runs."""
    return resources.files("vmm.linux").joinpath(INIT_SCRIPT).read_bytes()


def initramfs(busybox: bytes, init: bytes | None = None) -> bytes:
    """Return an initrd with `busybox`, a static executable, and the script `init` (default: ours)."""
    return archive(
        (
            *(directory(path) for path in ("bin", "dev", "proc", "sys")),
            directory("root", 0o700),
            character_device("dev/console", 5, 1),
            regular("bin/busybox", busybox, 0o755),
            symlink("bin/sh", "busybox"),
            regular("init", init_script() if init is None else init, 0o755),
        )
    )
