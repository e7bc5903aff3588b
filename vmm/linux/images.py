"""What a machine is given to boot Linux: two files and the kernel's command line.

Room:    over fetch and initramfs; below the command, the tests and the benchmark.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmm.linux.apt import FetchError
from vmm.linux.fetch import Kernel, Progress, fetch, silently
from vmm.linux.initramfs import initramfs

INITRD: Final = "initrd"
DEFAULT_PARAMS: Final = "earlycon=pl011,0x09000000 console=ttyAMA0 nokaslr cryptomgr.notests panic=-1"
"""Without cryptomgr's self-tests, which are two thirds of a boot's instructions."""


@dataclass(frozen=True, slots=True)
class Images:
    """A kernel Image, an initrd and the kernel's command line, as `vgic run -k -i -p` takes them."""

    kernel: Path
    initrd: Path
    params: str
    version: str

    def with_params(self, *words: str) -> "Images":
        """Return the same files with more words on the command line; empty ones do not count."""
        return Images(self.kernel, self.initrd, " ".join((self.params, *filter(None, words))), self.version)


def prepare(cache: Path, progress: Progress = silently) -> Images:
    """Return the images in `cache`, which is filled if it is empty.  Errors: FetchError."""
    kernel = fetch(cache, progress)
    return Images(kernel.image, _initrd(kernel), DEFAULT_PARAMS, kernel.version)


def _initrd(kernel: Kernel) -> Path:
    """Write the initrd beside the kernel, unless it is there: built anew, as our script may have changed."""
    path = kernel.image.with_name(INITRD)
    try:
        content = initramfs(kernel.busybox.read_bytes())
        if not path.is_file() or path.read_bytes() != content:
            _replace(path, content)
    except OSError as error:
        raise FetchError(f"{error.filename or path}: {error.strerror or error}") from error
    return path


def _replace(path: Path, content: bytes) -> None:
    """Put `content` there at once: a reader sees the old file or the new one."""
    with tempfile.NamedTemporaryFile(prefix=f"{path.name}-", dir=path.parent, delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
