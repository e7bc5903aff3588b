"""What is booted: files in the cache, kept up to date with our script, and a command line that options add to."""

from pathlib import Path

import pytest

from tests.unit.vmm.linux import fake_apt
from vmm.linux.images import DEFAULT_PARAMS, prepare
from vmm.linux.initramfs import initramfs


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "programs"
    programs.mkdir()
    fake_apt.install(programs)
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path / "cache"


def test_the_initrd_lies_beside_the_kernel(cache: Path) -> None:
    images = prepare(cache)
    assert images.initrd.read_bytes() == initramfs(fake_apt.BUSYBOX)
    assert images.kernel.read_bytes() == fake_apt.IMAGE
    assert images.initrd.parent == images.kernel.parent


def test_an_initrd_is_replaced_only_if_it_differs(cache: Path) -> None:
    images = prepare(cache)
    first = images.initrd.stat().st_ino
    assert prepare(cache).initrd.stat().st_ino == first
    images.initrd.write_bytes(b"of an older script")
    assert prepare(cache).initrd.read_bytes() == initramfs(fake_apt.BUSYBOX)
    assert sorted(path.name for path in images.initrd.parent.iterdir()) == ["Image", "about.json", "busybox", "initrd"]


def test_words_are_added_to_the_command_line(cache: Path) -> None:
    assert prepare(cache).with_params("", "one", "two three").params == f"{DEFAULT_PARAMS} one two three"
