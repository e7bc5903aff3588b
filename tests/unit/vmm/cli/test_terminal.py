"""The terminal: raw while a guest runs, as before afterwards; and the escape."""

import os
import pty
import sys
import termios
import tty
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.unit.vmm.cli.programs import LOOP, OFF, echoes, prints, vgic_run, write_image
from vmm.cli.terminal import Keyboard, raw
from vmm.devices.pl011 import Pl011


class Terminal(NamedTuple):
    """A terminal, and the end of who sits at it."""

    person: int
    fd: int

    def typed(self, keys: bytes) -> None:
        os.write(self.person, keys)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    person, fd = pty.openpty()
    yield Terminal(person, fd)
    os.close(person)
    os.close(fd)


def mode(fd: int) -> list[object]:
    return list(termios.tcgetattr(fd))


def test_a_key_comes_at_once_and_ctrl_c_is_one(terminal: Terminal) -> None:
    with raw(terminal.fd) as is_terminal:
        assert is_terminal
        terminal.typed(b"a\x03\r")
        keyboard = Keyboard(terminal.fd, escapes=True)
        keys = b""
        while len(keys) < 3:
            keys += keyboard.read(5)
        assert keys == b"a\x03\r", "neither a signal nor a newline"


def fail_in_raw_mode(fd: int) -> None:
    before = mode(fd)
    with raw(fd):
        assert mode(fd) != before
        raise ZeroDivisionError


def test_the_mode_is_restored_whatever_happens(terminal: Terminal) -> None:
    before = mode(terminal.fd)
    with pytest.raises(ZeroDivisionError):
        fail_in_raw_mode(terminal.fd)
    assert mode(terminal.fd) == before


def test_a_pipe_is_no_terminal() -> None:
    read, write = os.pipe()
    with raw(read) as is_terminal:
        assert not is_terminal
    os.close(read)
    os.close(write)


KEYS = {
    "no escape": (b"abc", b"abc", False),
    "the escape leaves, and what follows is nobody's": (b"ab\x01xcd", b"ab", True),
    "twice is once for the guest": (b"\x01\x01x", b"\x01x", False),
    "before another key it is the guest's": (b"\x01b", b"\x01b", False),
    "cut in two": (b"\x01", b"", False),
}


@pytest.mark.parametrize("row", KEYS.values(), ids=KEYS)
def test_the_escape(row: tuple[bytes, bytes, bool], terminal: Terminal) -> None:
    typed, for_guest, left = row
    tty.setraw(terminal.fd)
    terminal.typed(typed)
    keyboard = Keyboard(terminal.fd, escapes=True)
    assert keyboard.read(5) == for_guest
    assert keyboard.left is left


def test_a_file_that_ends() -> None:
    fd = os.open(os.devnull, os.O_RDONLY)
    keyboard = Keyboard(fd, escapes=False)
    assert keyboard.read(0) == b""
    assert keyboard.closed
    os.close(fd)
    assert keyboard.read(0) == b"", "does not look again"


ENDS = {
    "the guest powers off": ([*prints("> "), *echoes("q"), *OFF], b"abq", 0),
    "the escape leaves it": ([*prints("> "), LOOP], b"\x01x", 130),
    "the time-out ends it": ([*prints("> "), LOOP], b"", 124),
}


@pytest.mark.parametrize("row", ENDS.values(), ids=ENDS)
def test_a_run_at_the_terminal(
    row: tuple[list[int], bytes, int],
    terminal: Terminal,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words, keys, status = row
    before = mode(terminal.fd)
    terminal.typed(keys)
    tty_in = os.fdopen(terminal.fd, closefd=False)
    monkeypatch.setattr(sys, "stdin", tty_in)
    image = write_image(tmp_path_factory.mktemp("image"), *words)
    # keys that were typed before the raw mode are there once it begins: without a newline they are no line yet
    assert vgic_run("-f", image, "--console", "serial", "--timeout", "2" if status == 124 else "60") == status
    out, err = capfd.readouterr()
    assert out.startswith("> ")
    assert "Ctrl-A x leaves" in err
    assert mode(terminal.fd) == before


def _broken(self: Pl011, value: int) -> None:
    raise ZeroDivisionError


def test_the_terminal_survives_a_defect(
    terminal: Terminal,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = mode(terminal.fd)
    monkeypatch.setattr(sys, "stdin", os.fdopen(terminal.fd, closefd=False))
    monkeypatch.setattr(Pl011, "_send_one", _broken)
    image = write_image(tmp_path_factory.mktemp("image"), *prints("a"))
    assert vgic_run("-f", image, "--console", "serial") == 70
    assert "internal error" in capfd.readouterr().err
    assert mode(terminal.fd) == before
