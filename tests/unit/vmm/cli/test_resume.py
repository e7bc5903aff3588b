"""`vgic run --save-on` and `vgic resume`: a run in two parts is the run."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.vmm.cli.programs import LOOP, OFF, echoes, prints, vgic_resume, vgic_run, write_image
from vmm.cli import statefile
from vmm.guests import image
from vmm.snapshot import MachineState

HALVES = [*prints("one two\nEXIT: STA"), *prints("TUS=3\n"), *OFF]
"""A guest that may be saved in the middle of its own status."""
SHORT = ("--slice", "2")
"""A machine is saved at the end of a slice: with one character each, that is at once."""


@pytest.fixture
def saved(tmp_path: Path) -> str:
    file = str(tmp_path / "saved")
    assert vgic_run("-f", write_image(tmp_path, *HALVES), *SHORT, "--save-on", "STA", "--save-to", file) == 0
    return file


def test_a_run_in_two_parts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "a file")
    assert vgic_run("-f", write_image(tmp_path, *HALVES), *SHORT, "--save-on", "STA", "--save-to", file) == 0
    out, err = capfd.readouterr()
    assert out == "one two\nEXIT: STA"
    assert err.endswith(f"vgic run: saved: vgic resume '{file}' goes on from here\n")
    for _ in range(2):
        assert vgic_resume(file) == 3, "the status that it printed one half of before it was saved"
        assert capfd.readouterr().out == "TUS=3\n"


def test_it_counts_on(tmp_path: Path, saved: str) -> None:
    whole, rest = tmp_path / "whole.json", tmp_path / "rest.json"
    vgic_run("-f", str(tmp_path / "guest.flat"), *SHORT, "--json", str(whole))
    vgic_resume(saved, "--json", str(rest))
    one, other = json.loads(whole.read_text()), json.loads(rest.read_text())
    for name in ("instructions", "guest_seconds", "exits", "mmio", "interrupts", "events", "status", "config"):
        assert one[name] == other[name], name


def test_a_resumed_machine_is_saved_again(tmp_path: Path, saved: str) -> None:
    again = tmp_path / "again"
    assert vgic_resume(saved, "--save-on", r"EXIT: STATUS\=", "--save-to", str(again)) == 0, (
        "a mark may begin before it was saved"
    )
    assert vgic_resume(str(again)) == 3


def test_only_what_its_guest_cannot_see_may_be_another(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "saved")
    guest = write_image(tmp_path, *prints("go\n"), LOOP)
    assert vgic_run("-f", guest, *SHORT, "--engine", "fast", "--save-on", "go", "--save-to", file) == 0
    assert vgic_resume(file, "--budget", "5K", "--engine", "api") == 7
    assert "the budget is used up: 5000 instructions" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        vgic_resume(file, "--cpus", "2")


def test_a_mark_that_never_comes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "saved"
    arguments = ("-f", write_image(tmp_path, *prints("go\n"), *OFF), "--save-on", "gone", "--save-to", str(file))
    assert vgic_run(*arguments) == 10
    assert (
        capfd.readouterr().err
        == "vgic run: nothing is saved: the guest ended before the end of a slice in which it printed 'gone'\n"
    )
    assert not file.exists()


def test_a_recorded_run_may_begin_with_a_saved_machine(
    tmp_path: Path, saved: str, capfd: pytest.CaptureFixture[str]
) -> None:
    recording = str(tmp_path / "recording")
    assert vgic_resume(saved, "--record", recording) == 3
    assert vgic_resume(saved, "--replay", recording) == 0
    assert "the same run as recorded" in capfd.readouterr().err
    assert vgic_resume(saved, "--replay", recording, "--budget", "7") == 2
    other = str(tmp_path / "other")
    assert vgic_run("-f", str(tmp_path / "guest.flat"), *SHORT, "--save-on", "two", "--save-to", other) == 0
    assert vgic_resume(other, "--replay", recording) == 2
    assert "the machine is not the recorded one" in capfd.readouterr().err


def test_a_recorded_run_may_end_by_being_saved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guest, recording = write_image(tmp_path, *HALVES), str(tmp_path / "recording")
    arguments = ("--save-on", "two", "--save-to", str(tmp_path / "saved"), "--record", recording)
    assert vgic_run("-f", guest, *SHORT, *arguments) == 0
    assert vgic_run("-f", guest, "--replay", recording) == 0
    assert "the same run as recorded" in capfd.readouterr().err


REFUSED = {
    "no file": (None, "cannot read"),
    "no archive": (b"no archive", "it is no archive, or damaged"),
}


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_resumed(
    data: bytes | None, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "saved"
    if data is not None:
        file.write_bytes(data)
    assert vgic_resume(str(file)) == 2
    err = capfd.readouterr().err
    assert err.startswith("vgic resume: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("signals", "left"), [(1, ["guest.flat", "saved"]), (2, ["guest.flat"])], ids=["once", "twice"]
)
def test_a_signal_while_it_saves(
    signals: int, left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(state: MachineState) -> bytes:
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGTERM)
        return to_bytes(state)

    to_bytes = statefile.to_bytes
    monkeypatch.setattr(statefile, "to_bytes", interrupted)
    guest = write_image(tmp_path, *HALVES)
    with suppress(KeyboardInterrupt):
        assert vgic_run("-f", guest, *SHORT, "--save-on", "two", "--save-to", str(tmp_path / "saved")) == 0
    assert sorted(os.listdir(tmp_path)) == left, "all of it or nothing"


def test_a_file_that_never_ends(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert vgic_resume("/dev/zero") == 2
    assert vgic_run("-f", write_image(tmp_path, *OFF), "--replay", "/dev/zero") == 2
    err = capfd.readouterr().err
    assert "/dev/zero: the file: it is no archive" in err
    assert "/dev/zero, line 1: this is no line of a recording" in err


def test_what_cannot_be_saved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guest = write_image(tmp_path, *HALVES)
    nowhere = str(tmp_path / "nowhere" / "saved")
    assert vgic_run("-f", guest, *SHORT, "--save-on", "two", "--save-to", nowhere) == os.EX_IOERR
    assert f"vgic run: cannot save the machine to {nowhere}: No such file or directory\n" in capfd.readouterr().err
    assert vgic_run("-f", guest, "--save-on", "") == 2
    assert vgic_run("-f", guest, "--save-on", r"\q") == 2
    assert "--save-on: \\q is no escape" in capfd.readouterr().err
    assert vgic_run("--guests", "--save-on", "x") == 2


@pytest.mark.parametrize("irqchip", ["gicv2", "gicv3-its"])
def test_interrupts_in_every_state_go_through_the_file(irqchip: str, tmp_path: Path) -> None:
    """The guest asks to be migrated, and looks for what it had when it gets a key."""
    flat = tmp_path / "mark.flat"
    flat.write_bytes(image("mark"))
    file = str(tmp_path / "saved")
    options = ("-f", str(flat), "-c", "3", "--irqchip", irqchip, "-m", "8", "--timeout", "60")
    typed_and_saved = ("--on", "press a key=x", "--save-on", "press a key", "--save-to", file)
    assert vgic_run(*options, *typed_and_saved) == 0
    assert vgic_resume(file) == 0


def test_a_machine_saved_at_a_prompt_has_the_answer_with_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "saved")
    guest = write_image(tmp_path, *prints("key? "), *echoes("x"), *prints("\nEXIT: STATUS=1\n"), *OFF)
    assert vgic_run("-f", guest, "--on", "key?=x", "--save-on", "key?", "--save-to", file, "--slice", "5000") == 0
    assert capfd.readouterr().out == "key? ", "it reads the key when it has been moved, not before"
    assert vgic_resume(file, "--budget", "1M") == 0
    assert capfd.readouterr().out == "x\nEXIT: STATUS=1\n"
