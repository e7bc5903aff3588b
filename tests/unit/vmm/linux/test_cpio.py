"""The archive reads back as what went in, and is the same every time."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.unit.vmm.linux.unpack import unpack
from vmm.linux.cpio import Entry, archive, character_device, directory, regular, symlink

ENTRIES = (
    directory("bin"),
    regular("bin/tool", b"\x7fELF", 0o755),
    symlink("bin/sh", "tool"),
    regular("empty", b""),
    directory("dev"),
    character_device("dev/console", 5, 1),
)

MODES = {
    "bin": stat.S_IFDIR | 0o755,
    "bin/tool": stat.S_IFREG | 0o755,
    "bin/sh": stat.S_IFLNK | 0o777,
    "empty": stat.S_IFREG | 0o644,
    "dev": stat.S_IFDIR | 0o755,
    "dev/console": stat.S_IFCHR | 0o600,
}


def test_an_archive_reads_back() -> None:
    entries = unpack(archive(ENTRIES))
    assert {name: entry.numbers["mode"] for name, entry in entries.items()} == MODES
    assert [entry.content for entry in entries.values()] == [b"", b"\x7fELF", b"tool", b"", b"", b""]
    console = entries["dev/console"].numbers
    assert (console["rdevmajor"], console["rdevminor"]) == (5, 1)


def test_nothing_in_an_archive_tells_who_made_it_or_when() -> None:
    for number, entry in enumerate(unpack(archive(ENTRIES)).values(), 1):
        assert entry.numbers["ino"] == number
        assert not any(entry.numbers[name] for name in ("uid", "gid", "mtime", "devmajor", "devminor"))


@pytest.mark.parametrize("size", range(9), ids="{} bytes".format)
@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd"])
def test_every_alignment_reads_back(name: str, size: int) -> None:
    content = bytes(range(1, size + 1))
    packed = archive([regular(name, content), regular("next", b"!")])
    assert len(packed) % 512 == 0
    assert [(path, entry.content) for path, entry in unpack(packed).items()] == [(name, content), ("next", b"!")]


def test_an_archive_of_nothing_is_a_trailer() -> None:
    assert unpack(archive([])) == {}


def test_cpio_unpacks_it(tmp_path: Path) -> None:
    if shutil.which("cpio") is None:
        pytest.skip("cpio is not installed")
    plain: list[Entry] = [entry for entry in ENTRIES if not stat.S_ISCHR(entry.mode)]  # a device needs root
    subprocess.run(["cpio", "-id", "--quiet"], input=archive(plain), cwd=tmp_path, check=True)
    assert (tmp_path / "bin/sh").read_bytes() == b"\x7fELF"
    assert os.access(tmp_path / "bin/tool", os.X_OK)
    assert (tmp_path / "empty").stat().st_size == 0
