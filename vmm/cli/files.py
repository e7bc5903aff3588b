"""The files a machine is started with.

Room:    below the commands.
"""

from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path

from vmm.cli.options import UsageError
from vmm.loader import Images


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Where the images of vmm.loader.Images are; None: there is none."""

    firmware: Path | None = None
    kernel: Path | None = None
    initrd: Path | None = None
    dtb: Path | None = None

    def read(self, params: str) -> Images:
        """Read them.  Errors: UsageError."""
        return Images(
            read_file("firmware", self.firmware),
            read_file("kernel", self.kernel),
            read_file("initrd", self.initrd),
            read_file("device tree", self.dtb),
            params,
        )


def read_file(what: str, path: Path | None) -> bytes | None:
    """Return a file's bytes.  Errors: UsageError."""
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror or error}") from None


def hashes(images: Images) -> dict[str, str]:
    """Return the hash of each image there is, in hexadecimal digits."""
    return {
        field.name: blake2b(data, digest_size=16).hexdigest()
        for field in fields(images)
        if isinstance(data := getattr(images, field.name), bytes)
    }
