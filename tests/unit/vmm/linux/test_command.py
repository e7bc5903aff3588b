"""`vgic linux`: what it boots, what it prints, and what it says when there is nothing to boot."""

import argparse
from pathlib import Path

import pytest

from tests.unit.vmm.linux import fake_apt
from vmm.cli import launch
from vmm.cli.files import ImageFiles
from vmm.cli.linux import UNAVAILABLE, add_parser
from vmm.linux.images import DEFAULT_PARAMS


class Booted:
    """Stands in for the run of `vgic run`: remembers what it was to boot, on how many vCPUs."""

    def __init__(self) -> None:
        self.files: ImageFiles | None = None
        self.params: str | None = None
        self.cpus = 0

    def __call__(self, args: argparse.Namespace, files: ImageFiles, params: str | None, command: str) -> int:
        self.files = files
        self.params = params
        self.cpus = args.cpus
        assert command == "vgic linux"
        return 7

    def command(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers())
        args = parser.parse_args(["linux", *words])
        return int(args.func(args))


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch) -> Booted:
    stand_in = Booted()
    monkeypatch.setattr(launch, "run_files", stand_in)
    return stand_in


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
def test_what_is_booted(booted: Booted, cache: str, words: tuple[str, ...], more: str) -> None:
    assert booted.command("--cache", cache, "--cpus", "4", *words) == 7
    assert booted.params == DEFAULT_PARAMS + more
    assert booted.files is not None
    assert booted.files.kernel is not None
    assert booted.files.kernel.read_bytes() == fake_apt.IMAGE
    assert booted.cpus == 4


def test_fetch_only_prints_where_the_files_are(booted: Booted, cache: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert booted.command("--cache", cache, "--fetch-only") == 0
    assert booted.files is None
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["version"] == fake_apt.VERSION
    assert shown["params"] == DEFAULT_PARAMS
    assert Path(shown["kernel"]).is_file()
    assert Path(shown["initrd"]).is_file()


def test_nothing_to_boot_is_said_not_raised(
    booted: Booted, cache: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert booted.command("--cache", cache) == UNAVAILABLE
    assert "vgic linux: cannot fetch Debian's arm64 Linux: apt-get is not installed" in capsys.readouterr().err
