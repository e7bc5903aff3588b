"""Debian's arm64 cloud kernel and its static busybox, fetched once and kept.

Room:    over apt; below the command.
Holds:   the folder of a kernel appears complete or not at all; of several processes one fetches, the rest wait.
"""

import fcntl
import gzip
import json
import os
import shutil
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmm.linux.apt import Apt, FetchError, reason_of, run

METAPACKAGE: Final = "linux-image-cloud-arm64"
KERNEL_PREFIX: Final = "linux-image-"
BUSYBOX_PACKAGE: Final = "busybox-static"
BUSYBOX_PATHS: Final = ("bin/busybox", "usr/bin/busybox")

KEPT: Final = "debian-cloud-arm64"
"""The folder in the cache that holds the files."""
IMAGE: Final = "Image"
BUSYBOX: Final = "busybox"
ABOUT: Final = "about.json"

_DPKG_SECONDS: Final = 60
_IMAGE_MAGIC: Final = b"ARM\x64"
_IMAGE_MAGIC_AT: Final = 56
_ZBOOT: Final = struct.Struct("<4x4sII8x32s")
"""An EFI zboot image: magic, where the payload begins, its size, what compressed it."""

Progress = Callable[[str], None]
"""Told what begins, in a few words."""


def silently(_what: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a guest is made of.

    image     the kernel: a plain arm64 Image
    busybox   a static executable
    version   the kernel's release, as uname -r has it
    packages  the package files both came from
    """

    image: Path
    busybox: Path
    version: str
    packages: tuple[str, ...]


def default_cache() -> Path:
    """Return where kernels are kept unless told otherwise: $XDG_CACHE_HOME/vgic/linux."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "vgic" / "linux"


def fetch(cache: Path, progress: Progress = silently) -> Kernel:
    """Return the kernel kept in `cache`; fetch it if there is none.  Errors: FetchError."""
    cache = cache.absolute()
    if kernel := _kept(cache):
        return kernel
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache, progress):
            return _kept(cache) or _fetch(cache, progress)
    except OSError as error:
        raise FetchError(f"{error.filename or cache}: {error.strerror or error}") from error


def _kept(cache: Path) -> Kernel | None:
    kept = cache / KEPT
    try:
        about = json.loads((kept / ABOUT).read_text())
        kernel = Kernel(kept / IMAGE, kept / BUSYBOX, str(about["version"]), tuple(map(str, about["packages"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kernel if kernel.image.is_file() and kernel.busybox.is_file() else None


@contextmanager
def _alone(cache: Path, progress: Progress) -> Iterator[None]:
    """Keep other processes from fetching into `cache`."""
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that is fetching")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(cache: Path, progress: Progress) -> Kernel:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache) as name:
        work = Path(name)
        apt = Apt(work / "apt")
        progress("fetching Debian's list of arm64 packages")
        apt.update()
        package = apt.dependency(METAPACKAGE, KERNEL_PREFIX)
        progress(f"fetching {package}")
        kernel = apt.download(package)
        progress(f"fetching {BUSYBOX_PACKAGE}")
        busybox = apt.download(BUSYBOX_PACKAGE)
        progress("unpacking")
        made = work / KEPT
        made.mkdir()
        version = package.removeprefix(KERNEL_PREFIX).removesuffix("-unsigned")
        (made / IMAGE).write_bytes(plain_image(member(kernel, f"boot/vmlinuz-{version}")))
        (made / BUSYBOX).write_bytes(member(busybox, *BUSYBOX_PATHS))
        (made / BUSYBOX).chmod(0o755)
        about = {"version": version, "packages": [kernel.name, busybox.name]}
        (made / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
        shutil.rmtree(cache / KEPT, ignore_errors=True)
        made.rename(cache / KEPT)
    fetched = _kept(cache)
    assert fetched is not None, "what was just written reads back"
    return fetched


def member(package: Path, *paths: str) -> bytes:
    """Return the first file of `package` that lies at one of `paths`.  Errors: FetchError if there is none."""
    unpacked = package.with_suffix(".tar")
    command = ("dpkg-deb", "--fsys-tarfile", str(package))
    with unpacked.open("wb") as out:
        ran = run(command, _DPKG_SECONDS, stdout=out)
    if ran.returncode:
        raise FetchError(reason_of(ran.stderr) or f"exit status {ran.returncode}", command)
    try:
        with tarfile.open(unpacked, "r:") as tar:
            for entry in tar:
                if entry.isfile() and entry.name.removeprefix("./") in paths:
                    file = tar.extractfile(entry)
                    assert file is not None, "a regular file has content"
                    return file.read()
    except tarfile.TarError as error:
        raise FetchError(f"{package.name}: {error}", command) from error
    raise FetchError(f"{package.name} has no {' or '.join(paths)}", command)


def plain_image(image: bytes) -> bytes:
    """Return the arm64 Image in `image`, which may be compressed by gzip, alone or as an EFI zboot image."""
    try:
        if image[:2] == b"MZ" and len(image) >= _ZBOOT.size:
            magic, begin, size, method = _ZBOOT.unpack_from(image)
            if magic == b"zimg":
                name = method.rstrip(b"\0").decode("ascii", "replace")
                if name != "gzip":
                    raise FetchError(f"the kernel is compressed by {name}, which cannot be read here")
                image = image[begin : begin + size]
        if image[:2] == b"\x1f\x8b":
            image = gzip.decompress(image)
    except (OSError, EOFError, zlib.error) as error:
        raise FetchError(f"the kernel is a damaged gzip file: {error}") from error
    if image[_IMAGE_MAGIC_AT : _IMAGE_MAGIC_AT + 4] != _IMAGE_MAGIC:
        raise FetchError("the kernel is no arm64 Image")
    return image
