"""A cpio archive as Linux unpacks it: the format "newc" of Documentation/driver-api/early-userspace/buffer-format.rst.

Room:    the floor of the initrd; knows nothing of what is in it.
Holds:   the same entries give the same bytes: inode numbers count from 1, and no time or owner is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from stat import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG
from typing import Final

_MAGIC: Final = b"070701"
_TRAILER: Final = "TRAILER!!!"
_ALIGNMENT: Final = 4
_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its path without a leading slash, type and permissions, content, and a device's numbers."""

    path: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def directory(path: str, permissions: int = 0o755) -> Entry:
    """Return a directory; its parents have entries before it."""
    return Entry(path, S_IFDIR | permissions)


def regular(path: str, content: bytes, permissions: int = 0o644) -> Entry:
    """Return a regular file."""
    return Entry(path, S_IFREG | permissions, content)


def symlink(path: str, target: str) -> Entry:
    """Return a symbolic link to `target`."""
    return Entry(path, S_IFLNK | 0o777, target.encode())


def character_device(path: str, major: int, minor: int, permissions: int = 0o600) -> Entry:
    """Return a character device."""
    return Entry(path, S_IFCHR | permissions, device=(major, minor))


def archive(entries: Sequence[Entry]) -> bytes:
    """Return the archive of `entries`, in that order."""
    parts = [_record(inode, entry) for inode, entry in enumerate(entries, 1)]
    parts.append(_record(0, Entry(_TRAILER, 0)))
    return _padded(b"".join(parts), _BLOCK)


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if entry.mode & S_IFDIR == S_IFDIR else 1
    #        ino    mode        uid gid nlink mtime filesize          dev      rdev           namesize  check
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    header = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name, _ALIGNMENT) + _padded(entry.content, _ALIGNMENT)


def _padded(data: bytes, alignment: int) -> bytes:
    return data + bytes(-len(data) % alignment)
