"""The files a machine is started with.

Room:    below the commands.
"""

from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Final

from vmm.cli.options import UsageError
from vmm.layout import MIB
from vmm.loader import Images

_CHUNK: Final = 16 * MIB


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Where the images of vmm.loader.Images are; None: there is none."""

    firmware: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    dtb: Path | None = None

    def read(self, params: str, ram: int) -> Images:
        """Read them for a machine with so many bytes of RAM.  Errors: UsageError."""
        return Images(
            read_file("firmware", self.firmware, ram),
            read_file("kernel", self.kernel, ram),
            read_file("initrd", self.initrd, ram),
            read_file("device tree", self.dtb, ram),
            params,
        )


def read_file(what: str, path: Path | None, ram: int) -> bytes | None:
    """Return a file's bytes, of which there is room for `ram`: some files never end.  Errors: UsageError."""
    if path is None:
        return None
    data = bytearray()
    try:
        with path.open("rb") as file:
            while len(data) <= ram and (chunk := file.read(_CHUNK)):
                data += chunk
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror or error}") from None
    if len(data) > ram:
        raise UsageError(f"the {what} {path} does not fit into {ram // MIB} MiB of RAM; more RAM may help")
    return bytes(data)


def read_if(path: Path, begins: bytes) -> bytes:
    """Return a file's bytes, or only the first ones if it does not begin so: some files never end.  Errors: OSError."""
    with path.open("rb") as file:
        data = file.read(len(begins))
        return data + file.read() if data == begins else data


def hashes(images: Images) -> dict[str, str]:
    """Return the hash of each image there is, in hexadecimal digits."""
    return {
        field.name: blake2b(data, digest_size=16).hexdigest()
        for field in fields(images)
        if isinstance(data := getattr(images, field.name), bytes)
    }
