"""A directory for PATH with an apt-get, apt-cache and dpkg-deb of a few lines each, which serve pretended packages."""

import io
import tarfile
from pathlib import Path

VERSION = "9.9.0-1-cloud-arm64"
KERNEL = f"linux-image-{VERSION}"
IMAGE = b"MZ".ljust(56, b"\0") + b"ARM\x64" + bytes(68)
BUSYBOX = b"\x7fELF pretended"

APT_GET = """\
echo "$@" >>{folder}/calls
for last; do :; done
case "$last" in
update) {update} ;;
*) cp {folder}/$last.deb ./${{last}}_1_arm64.deb || {{ echo "E: Unable to locate package $last" >&2; exit 100; }} ;;
esac
"""
APT_CACHE = """\
echo "linux-image-cloud-arm64"
echo "  Depends: {package}"
"""
DPKG_DEB = """\
cat "$2"
"""


def package(path: Path, files: dict[str, bytes]) -> None:
    """What dpkg-deb unpacks: the pretended one has nothing around the tar file."""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def program(folder: Path, name: str, script: str) -> None:
    """A shell script on PATH."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}")
    path.chmod(0o755)


def install(folder: Path, *, update: str = "true", image: bytes = IMAGE) -> None:
    """Fill `folder`, which `update` (shell) runs in when the lists are to be fetched."""
    program(folder, "apt-get", APT_GET.format(folder=folder, update=update))
    program(folder, "apt-cache", APT_CACHE.format(package=KERNEL))
    program(folder, "dpkg-deb", DPKG_DEB)
    package(folder / f"{KERNEL}.deb", {"boot/config": b"#", f"boot/vmlinuz-{VERSION}": image})
    package(folder / "busybox-static.deb", {"bin/busybox": BUSYBOX})


def calls(folder: Path) -> int:
    """How often apt-get was run."""
    log = folder / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0
