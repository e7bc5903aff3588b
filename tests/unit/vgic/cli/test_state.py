"""`vgic state`: what it prints, and with which status it ends."""

from pathlib import Path

import pytest

from tests.unit.vgic.rig import Rig
from vgic.cli import main


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two snapshots of one VM, one interrupt apart, and one that is damaged."""
    rig = Rig(1)
    old, new, bad = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "bad.json"
    text = rig.vm.save().to_json()
    old.write_text(text, encoding="utf-8")
    rig.vm.inject(40)
    new.write_text(rig.vm.save().to_json(), encoding="utf-8")
    bad.write_text(text.replace('"priority": 0', '"priority": 7', 1), encoding="utf-8")
    return old, new, bad


def ran(*arguments: str | Path) -> int:
    return main.main(["state", *map(str, arguments)])


def test_show(files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old, new, _ = files
    assert ran("show", new) == 0
    shown = capsys.readouterr().out
    assert "SPI 40: latched" in shown
    assert str(new) not in shown
    assert ran("show", old, new) == 0
    assert f"{old}:\n" in capsys.readouterr().out


def test_diff(files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old, new, bad = files
    assert ran("diff", old, new) == 1
    assert capsys.readouterr().out == "spis[intid 40].pending_latch: false -> true\n"
    assert ran("diff", old, old) == 0
    assert capsys.readouterr().out == ""
    assert ran("diff", old, bad) == 2


def test_verify(files: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    old, new, bad = files
    assert ran("verify", old, new) == 0
    assert f"{old}: sound (version 1: GICv3, 1 vCPU" in capsys.readouterr().out
    assert ran("verify", old, bad) == 1
    captured = capsys.readouterr()
    assert "sound" in captured.out
    assert captured.err == f"{bad}: vcpus[0].interrupts[0].priority: 7 has unimplemented bits\n"


@pytest.mark.parametrize("action", ["show", "verify", "diff"])
def test_a_file_that_cannot_be_read(
    action: str, files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(action, tmp_path / "nowhere", files[0]) == 2
    assert "No such file" in capsys.readouterr().err


def test_an_action_is_required() -> None:
    with pytest.raises(SystemExit) as ended:
        ran()
    assert ended.value.code == 2
