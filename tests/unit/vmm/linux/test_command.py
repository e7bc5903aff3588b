"""`vgic linux`: what it boots, what it prints, and what it says when there is nothing to boot."""

import argparse
from pathlib import Path

import pytest

from tests.unit.vmm.linux import fake_apt
from vmm.cli.linux import UNAVAILABLE, add_parser
from vmm.linux.images import DEFAULT_PARAMS, Images


class Booted:
    """Stands in for `vgic run`: remembers what it was to boot, on how many vCPUs."""

    def __init__(self) -> None:
        self.images: Images | None = None
        self.cpus = 0

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--cpus", type=int, default=1)

    def __call__(self, args: argparse.Namespace, images: Images) -> int:
        self.images = images
        self.cpus = args.cpus
        return 7

    def command(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers(), self.add_arguments, self)
        args = parser.parse_args(["linux", *words])
        return int(args.func(args))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    programs = tmp_path / "programs"
    programs.mkdir()
    fake_apt.install(programs)
    monkeypatch.setenv("PATH", str(programs))
    return str(tmp_path / "cache")


PARAMS: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing asked": ((), ""),
    "no sleep": (("--no-sleep",), " vgic.nosleep"),
    "a shell": (("--shell",), " vgic.shell"),
    "words": (("--params", "quiet maxcpus=1"), " quiet maxcpus=1"),
    "all of it": (("-p", "quiet", "--shell", "--no-sleep"), " vgic.nosleep vgic.shell quiet"),
}


@pytest.mark.parametrize(("words", "more"), PARAMS.values(), ids=PARAMS)
def test_what_is_booted(cache: str, words: tuple[str, ...], more: str) -> None:
    booted = Booted()
    assert booted.command("--cache", cache, "--cpus", "4", *words) == 7
    assert booted.images is not None
    assert booted.images.params == DEFAULT_PARAMS + more
    assert booted.images.kernel.read_bytes() == fake_apt.IMAGE
    assert booted.cpus == 4


def test_fetch_only_prints_where_the_files_are(cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    booted = Booted()
    assert booted.command("--cache", cache, "--fetch-only") == 0
    assert booted.images is None
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["version"] == fake_apt.VERSION
    assert shown["params"] == DEFAULT_PARAMS
    assert Path(shown["kernel"]).is_file()
    assert Path(shown["initrd"]).is_file()


def test_nothing_to_boot_is_said_not_raised(
    cache: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert Booted().command("--cache", cache) == UNAVAILABLE
    assert "vgic linux: cannot fetch Debian's arm64 Linux: apt-get is not installed" in capsys.readouterr().err
