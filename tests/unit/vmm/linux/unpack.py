"""Reads newc archives, without using what writes them."""

from typing import NamedTuple

FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "filesize", "devmajor", "devminor", "rdevmajor", "rdevminor")


class Unpacked(NamedTuple):
    """One entry: the numbers of its header by name, and its content."""

    numbers: dict[str, int]
    content: bytes


def unpack(data: bytes) -> dict[str, Unpacked]:
    """The entries by name, in order; the trailer is checked and left out."""
    entries: dict[str, Unpacked] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        values = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        numbers = dict(zip(FIELDS, values, strict=False))
        name_size, check = values[11:]
        assert check == 0, "only 070702 has a checksum"
        name_end = at + 110 + name_size
        assert data[name_end - 1] == 0
        name = data[at + 110 : name_end - 1].decode()
        begin = name_end + -name_end % 4
        end = begin + numbers["filesize"]
        at = end + -end % 4
        if name == "TRAILER!!!":
            assert not any(data[at:]), "only padding follows"
            return entries
        assert name not in entries
        entries[name] = Unpacked(numbers, data[begin:end])
