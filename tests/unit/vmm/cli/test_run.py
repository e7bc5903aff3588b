"""`vgic run`: each way a run can end has its exit status and its words."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.vmm.cli.programs import (
    CPU_OFF,
    JUMP_INTO_NOTHING,
    LOOP,
    OFF,
    RESET,
    WFI,
    echoes,
    prints,
    vgic_run,
    write_image,
)
from vmm.devices.pl011 import Pl011


class Ending(NamedTuple):
    words: list[int]
    status: int
    said: str = ""
    options: tuple[str, ...] = ()


ENDINGS = {
    "power off is success": Ending(OFF, 0),
    "EXIT: STATUS=1 is success": Ending([*prints("EXIT: STATUS=1\n"), *OFF], 0),
    "EXIT: STATUS=3 is the guest's own": Ending(
        [*prints("EXIT: STATUS=3\n"), *OFF], 3, "the guest powered off with status 3"
    ),
    "EXIT: STATUS=77 is the guest's own": Ending([*prints("EXIT: STATUS=77\n"), *OFF], 77, "status 77"),
    "a reset": Ending(RESET, 4, "the guest asked for a reset"),
    "WFI with no timer set": Ending([WFI, LOOP], 5, "deadlock: every vCPU waits and nothing will ever come: vCPU 0"),
    "the last vCPU goes off": Ending(CPU_OFF, 6, "every vCPU is off"),
    "the budget": Ending([LOOP], 7, "the budget is used up: 5000 instructions", ("--budget", "5K")),
    "no memory, no vectors": Ending(JUMP_INTO_NOTHING, 8, "the guest faults at its own exception vector: vCPU 0"),
    "the time-out": Ending([LOOP], 124, "timed out: 0.2 s of wall time", ("--timeout", "0.2")),
}


@pytest.mark.parametrize("row", ENDINGS.values(), ids=ENDINGS)
def test_an_end_has_its_status_and_words(row: Ending, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert vgic_run("-f", write_image(tmp_path, *row.words), *row.options) == row.status
    err = capfd.readouterr().err
    assert (f"vgic run: {row.said}" if row.said.startswith(("t", "d", "e")) else row.said) in err
    assert bool(err) == bool(row.status)
    assert "Traceback" not in err


def test_the_last_lines_are_shown_where_the_console_was_not(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = write_image(tmp_path, *prints("one\ntwo"), *RESET)
    assert vgic_run("-f", image, "--console", "off") == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert "console: one\nvgic run: console: two\n" in err


def test_the_console_is_standard_output_byte_for_byte(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    vgic_run("-f", write_image(tmp_path, *prints("a\r\n\xff\x00\x1b[0m"), *OFF))
    assert capfdbinary.readouterr() == (b"a\r\n\xff\x00\x1b[0m", b"")


BAD = {
    "no such file": (["-f", "{tmp}/none.flat"], "cannot read the firmware {tmp}/none.flat: No such file or directory"),
    "nothing to run": ([], "neither a firmware nor a kernel: there is nothing to run"),
    "a kernel that is none": (["-k", "{image}"], "the kernel is no arm64 Image"),
    "too many vCPUs for a GICv2": (["-f", "{image}", "--irqchip", "gicv2", "-c", "9"], "9 vCPUs: 1 to 8 are possible"),
    "no vCPU": (["-f", "{image}", "-c", "0"], "0 vCPUs"),
    "too little RAM": (["-f", "{image}", "-m", "1"], "1048576 bytes of RAM"),
    "more RAM than there can be": (["-f", "{image}", "-m", "9999G"], "bytes of RAM"),
    "a reply without mark": (["-f", "{image}", "--on", "text"], "--on: 'text' is not MARK=TEXT"),
    "a recording that cannot be written": (
        ["-f", "{image}", "--record", "{tmp}/no/file"],
        "cannot write the recording {tmp}/no/file: No such file or directory",
    ),
    "a recording that cannot be read": (
        ["-f", "{image}", "--replay", "{tmp}/none"],
        "cannot read the recording {tmp}/none: No such file or directory",
    ),
    "a file that never ends": (
        ["-f", "{image}", "-m", "2", "-i", "/dev/zero"],
        "the initrd /dev/zero does not fit into 2 MiB of RAM; more RAM may help",
    ),
    "words that would not arrive": (["-f", "{image}", "--dtb", "{image}", "-p", "ipi"], "--params would not get into"),
    "a suite without images": (["--suite", "{tmp}/none"], "no selftest.flat, gic.flat"),
    "no guest of such a name": (["--guests", "--only", "xyz"], "no run is left"),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD)
def test_a_command_line_that_makes_no_sense(
    arguments: list[str], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path, *OFF)
    assert vgic_run(*(text.format(tmp=tmp_path, image=image) for text in arguments)) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("vgic run: ")
    assert err.count("\n") == 1
    assert said.format(tmp=tmp_path) in err


@pytest.mark.parametrize(
    "arguments",
    [["-m", "lots"], ["-m", "-5"], ["--irqchip", "gicv4"], ["--timeout", "0"], ["--timeout", "nan"], ["--slice", "x"]],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        vgic_run(*arguments)
    assert ended.value.code == 2
    assert f"{arguments[1]!r} is not" in capsys.readouterr().err


def test_a_reply_is_typed_when_its_mark_was_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = write_image(tmp_path, *prints("ready? "), *echoes("q"), *OFF)
    assert vgic_run("-f", image, "--on", r"ready?=a\x3db", "--on", r"\=b=q", "--budget", "50M") == 0
    assert capfd.readouterr().out == "ready? a=bq"


def test_standard_input_is_the_keyboard_of_a_serial_console(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_image(tmp_path, *prints("> "), *echoes("q"), *OFF)
    read, write = os.pipe()
    os.write(write, b"x\x01xq")
    os.close(write)
    with open(read) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        assert vgic_run("-f", image, "--console", "serial", "--timeout", "20") == 0
    assert capfd.readouterr().out == "> x\x01xq", "a pipe has no escape"


def test_the_end_of_standard_input_leaves_a_waiting_guest_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as keys:
        monkeypatch.setattr(sys, "stdin", keys)
        assert vgic_run("-f", write_image(tmp_path, WFI, LOOP), "--console", "serial", "--timeout", "20") == 5
    assert "deadlock" in capfd.readouterr().err


def test_statistics_are_said_and_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = write_image(tmp_path, *prints("hello"), *OFF)
    assert vgic_run("-f", image, "--stats", "--json") == 0
    out, err = capfd.readouterr()
    assert "PL011 5" in err
    console, measured = out.splitlines()
    assert console == "hello"
    figures = json.loads(measured)
    assert figures["instructions"] == 14
    assert figures["exits"]["hypercall"] == 1
    assert figures["console"]["bytes"] == 5
    assert {"wall_seconds", "mips", "interrupts", "gic"} <= set(figures)
    assert vgic_run("-f", image, "--console", "off", "--json", str(tmp_path / "file")) == 0
    assert json.loads((tmp_path / "file").read_text())["events"] == figures["events"], "the same run"


def test_both_engines_make_the_same_run(tmp_path: Path) -> None:
    image = write_image(tmp_path, *prints("hello\n"), *OFF)
    hashes = []
    for engine in ("fast", "api"):
        vgic_run("-f", image, "--engine", engine, "--console", "off", "--json", str(tmp_path / "file"))
        figures = json.loads((tmp_path / "file").read_text())
        hashes.append((figures["instructions"], figures["events"], figures["console"]))
    assert hashes[0] == hashes[1]


def test_the_device_tree_can_be_dumped_and_given_back(tmp_path: Path) -> None:
    dtb = tmp_path / "dtb"
    assert vgic_run("--dump-dtb", str(dtb), "-c", "2") == 0
    assert dtb.read_bytes().startswith(b"\xd0\x0d\xfe\xed")
    assert vgic_run("-f", write_image(tmp_path, *OFF), "--dtb", str(dtb), "-c", "2") == 0


@pytest.mark.parametrize("options", [(), ("--irqchip", "gicv2"), ("-p", "ipi")], ids=" ".join)
def test_a_flat_image_finds_other_vcpus(options: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    file = str(files("vmm.guests").joinpath("ipi.flat"))
    assert vgic_run("-m", "2048", "-f", file, *options) == 0
    assert "ipi: boot: 4 of 4 CPUs online" in capfd.readouterr().out


def _broken(self: Pl011, value: int) -> None:
    raise ZeroDivisionError("no luck")


@pytest.mark.parametrize("debug", [False, True], ids=["", "--debug"])
def test_a_defect_of_ours_says_where_it_was_and_what_to_do(
    debug: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pl011, "_send_one", _broken)
    assert vgic_run("-f", write_image(tmp_path, *prints("a"), *OFF), *(["--debug"] if debug else [])) == 70
    err = capfd.readouterr().err
    assert "internal error: ZeroDivisionError: no luck; a store to 0x9000000; vCPU 0 at PC 0x40080008" in err
    assert "please report it" in err
    assert ("Traceback" in err) is debug


# -- as a process of its own ---------------------------------------------------------------------

MAIN = """import sys
{before}
from vgic.cli import main
from vmm.cli import run
main.COMMANDS = (run.add_parser,)
main.COMMAND_GROUP = "none: what is installed here is not what is tried"
sys.exit(main.main(sys.argv[1:]))"""


def _process(*arguments: str, before: str = "", stdout: int = subprocess.PIPE) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", MAIN.format(before=before), "run", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    process = _process("-f", write_image(tmp_path, *OFF), before="sys.modules['unicorn'] = None")
    assert process.communicate() == (b"", b"vgic run needs the extra: pip install 'vgic[vmm]'\n")
    assert process.returncode == 2


def test_its_help_needs_no_engine() -> None:
    process = _process("--help", before="sys.modules['unicorn'] = None")
    out, err = process.communicate()
    assert b"--irqchip" in out
    assert (err, process.returncode) == (b"", 0)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT], ids=["Ctrl-C", "SIGTERM", "SIGQUIT"]
)
def test_a_signal_leaves_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    process = _process("-f", write_image(tmp_path, *prints("go\n"), LOOP), "--timeout", "60")
    assert process.stdout is not None
    assert process.stdout.readline() == b"go\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert err == f"vgic run: interrupted: {number.name}\n".encode()
    assert process.returncode == 130


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    endless = [*prints("line\n"), 0x17FF_FFF5]  # b, to the first character
    process = _process("-f", write_image(tmp_path, *endless), "--timeout", "60")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    began = time.monotonic()
    assert process.wait(timeout=60) == 141
    assert time.monotonic() - began < 30
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = _process("-f", write_image(tmp_path, *prints("line\n"), *OFF), stdout=full.fileno())
        _, err = process.communicate(timeout=60)
    assert b"cannot write the console: No space left on device\n" in err
    assert b"Traceback" not in err
    assert process.returncode == 74


@pytest.mark.parametrize("options", [("--json", "--console", "off"), ("--guests", "--only", "spin")], ids=" ".join)
def test_what_it_says_itself_on_a_full_disk(options: tuple[str, ...], tmp_path: Path) -> None:
    what = () if "--guests" in options else ("-f", write_image(tmp_path, *OFF))
    with open("/dev/full", "wb") as full:
        process = _process(*what, *options, stdout=full.fileno())
        _, err = process.communicate(timeout=60)
    assert err == b"vgic: cannot go on: [Errno 28] No space left on device\n"
    assert process.returncode == 74


def test_nowhere_to_print(tmp_path: Path) -> None:
    """As a shell has it with `>&-`."""
    process = _process("-f", write_image(tmp_path, *prints("line\n"), *OFF), before="sys.stdout = None")
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0
