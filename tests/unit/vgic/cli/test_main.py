"""`vgic`: which commands there are, its version, and how it ends."""

import argparse
from importlib import metadata

import pytest

from vgic.cli import Subparsers, main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"vgic {main.version()}\n"


@pytest.mark.parametrize("arguments", [[], ["dance"]], ids=["no command", "an unknown command"])
def test_command_is_required(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(arguments)
    assert ended.value.code == 2


def test_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["--help"])
    out = capsys.readouterr().out
    assert "replay" in out
    assert "check" in out


def answer(arguments: argparse.Namespace) -> int:
    return 42


def interrupt(arguments: argparse.Namespace) -> int:
    raise KeyboardInterrupt


def add_commands(subparsers: Subparsers) -> None:
    subparsers.add_parser("answer").set_defaults(func=answer)
    subparsers.add_parser("interrupt").set_defaults(func=interrupt)


@pytest.mark.parametrize(("command", "status"), [("answer", 42), ("interrupt", 130)])
def test_other_packages_add_commands(command: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = metadata.EntryPoint("more", f"{__name__}:add_commands", main.COMMAND_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == main.COMMAND_GROUP else [])
    assert main.main([command]) == status


def test_a_stop_while_commands_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(group: str) -> list[metadata.EntryPoint]:
        raise KeyboardInterrupt

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    assert main.main(["check"]) == 130
