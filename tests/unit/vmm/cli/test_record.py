"""Recordings: what came from outside comes again, at the same instruction; and files that are none."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.vmm.cli.programs import LOOP, OFF, WFI, echoes, prints, vgic_run, write_image
from vmm.cli.record import RecordingError, read_recording
from vmm.config import IrqChip, MachineConfig
from vmm.configjson import as_json, from_json

TALK = [*prints("ready? "), *echoes("q"), *prints("\nbye\n"), *OFF]


def record(tmp_path: Path, words: list[int], *options: str) -> tuple[str, str, int]:
    """Record a run; return the image, the recording and the exit status."""
    image, file = write_image(tmp_path, *words), str(tmp_path / "recording")
    return image, file, vgic_run("-f", image, "--record", file, *options)


RUNS = {
    "nothing came": ([*prints("a\n"), *OFF], (), 0),
    "keys that answered a mark": (TALK, ("--on", "ready?=hello", "--on", "o=q"), 0),
    "a time-out": ([LOOP], ("--timeout", "0.2"), 124),
    "a budget": ([LOOP], ("--budget", "1M", "--slice", "777", "-c", "2", "--irqchip", "gicv2"), 7),
    "a deadlock": ([WFI, LOOP], ("-m", "64", "--lrs", "2", "--params", "some words"), 5),
}


@pytest.mark.parametrize("row", RUNS.values(), ids=RUNS)
def test_a_replay_is_the_same_run(
    row: tuple[list[int], tuple[str, ...], int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words, options, status = row
    image, file, recorded = record(tmp_path, words, *options)
    assert recorded == status
    out = capfd.readouterr().out
    assert vgic_run("-f", image, "--replay", file, "--timeout", "60") == 0
    again, err = capfd.readouterr()
    assert again == out
    assert "vgic run: the same run as recorded\n" in err


def test_keys_that_were_typed_come_again_without_anybody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.write(write, b"typedq")
    with open(read) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        image, file, status = record(tmp_path, TALK, "--console", "serial", "--timeout", "60")
    os.close(write)
    assert status == 0
    assert capfd.readouterr().out == "ready? typedq\nbye\n"
    assert [event.keys for _, event in read_recording(Path(file))._events] == [b"typedq"]
    monkeypatch.setattr(sys, "stdin", None)
    assert vgic_run("-f", image, "--replay", file) == 0
    assert capfd.readouterr().out == "ready? typedq\nbye\n"


def test_another_image_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, file, _ = record(tmp_path, OFF)
    other = write_image(tmp_path, WFI, *OFF, name="other")
    capfd.readouterr()
    assert vgic_run("-f", other, "--replay", file) == 2
    assert "the firmware is not the recorded one" in capfd.readouterr().err
    assert vgic_run("-f", other, "-i", other, "--replay", file) == 2
    assert vgic_run("--replay", file) == 2
    err = capfd.readouterr().err
    assert "a run without a initrd" in err or "the firmware is not" in err
    assert "a firmware, which is not given" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-c", "2"], "a machine with cpus 4, not 2"),
        (["-c", "999"], "a machine with cpus 4, not 999"),
        (["--irqchip", "gicv2"], "a machine with irqchip gicv3-its, not gicv2"),
        (["-p", "x"], "the parameters '', not 'x'"),
        (["--on", "a=b"], "--replay takes its keys from the recording"),
        (["--console", "serial"], "--replay takes its keys from the recording"),
        (["--record", "x"], "--replay takes its keys from the recording"),
    ],
    ids=["cpus", "too many cpus", "irqchip", "params", "on", "serial", "record"],
)
def test_another_machine_is_refused(
    options: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image, file, _ = record(tmp_path, OFF)
    capfd.readouterr()
    assert vgic_run("-f", image, "--replay", file, *options) == 2
    assert said in capfd.readouterr().err


def test_the_recorded_machine_may_be_named_again(tmp_path: Path) -> None:
    image, file, _ = record(tmp_path, OFF, "-c", "2", "-p", "x")
    assert vgic_run("-f", image, "--replay", file, "-c", "2", "-p", "x") == 0


Lines = list[dict[str, object]]


def _change(index: int, **members: object) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        lines[index].update(members)

    return change


def _drop(index: int) -> Callable[[Lines], None]:
    def change(lines: Lines) -> None:
        del lines[index]

    return change


DIFFERENT = {
    "another hash of events": (_change(-1, events="0"), "events: recorded '0', now"),
    "another console": (_change(-1, console_bytes=1), "console bytes: recorded 1, now"),
    "another end": (_change(-1, result="RESET"), "result: recorded 'RESET', now 'POWERED_OFF'"),
    "an event at another instruction": (_change(1, instructions=1), "an event that was recorded at instruction 1,"),
    "other keys": (_change(1, keys=b"hurray".hex()), "timed out"),
    "a missing event": (_drop(1), "timed out"),
}


@pytest.mark.parametrize(("change", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_run_is_told_from_the_recorded_one(
    change: Callable[[Lines], None], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image, file, _ = record(tmp_path, TALK, "--on", "ready?=q")
    lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
    change(lines)
    Path(file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    capfd.readouterr()
    assert vgic_run("-f", image, "--replay", file, "--timeout", "0.3") == 1
    err = capfd.readouterr().err
    assert "not the recorded run: " in err
    assert said in err


def _text(change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_text(change(path.read_text()))

    return damage


DAMAGES = {
    "empty": (_text(lambda text: ""), "line 1: this is no line of a recording"),
    "a picture": (lambda path: path.write_bytes(bytes(range(256))), "line 1: this is no"),
    "another JSON": (_text(lambda text: '{"a": 1}\n'), "line 1: this is no recording of vgic run"),
    "nested without end": (_text(lambda text: "[" * 100_000), "line 1: this is no"),
    "of the future": (_text(lambda text: text.replace('"version": 1', '"version": 9', 1)), "this vgic reads version 1"),
    "without end": (_text(lambda text: text.split("\n", 1)[0] + "\n"), "line 2: the run's end is missing"),
    "cut off": (_text(lambda text: text[:-20]), ""),
    "a wrong type": (_text(lambda text: text.replace('"cpus": 4', '"cpus": "4"')), "'cpus' is '4', not of type int"),
    "an impossible machine": (_text(lambda text: text.replace('"cpus": 4', '"cpus": 99999')), "99999 vCPUs"),
    "an unknown end": (_text(lambda text: text.replace("POWERED_OFF", "EXPLODED")), "none of POWERED_OFF"),
    "an unknown member": (_text(lambda text: text.replace('"status"', '"x": 1, "status"')), "unknown: x"),
    "more than one run": (_text(lambda text: text + text), ""),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_is_no_recording_is_refused_in_one_line(
    damage: Callable[[Path], object], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image, file, _ = record(tmp_path, TALK, "--on", "ready?=q")
    damage(Path(file))
    with pytest.raises(RecordingError):
        read_recording(Path(file))
    capfd.readouterr()
    assert vgic_run("-f", image, "--replay", file) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert said in err


def test_a_configuration_survives_json() -> None:
    config = MachineConfig(cpus=3, pcpus=2, ram=1 << 28, irqchip=IrqChip.GICV2, lrs=7, budget=5, fast_engine=False)
    assert from_json(json.loads(json.dumps(as_json(config)))) == config
