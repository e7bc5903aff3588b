"""What the kernel finds in the initrd, and what the script promises."""

import shutil
import subprocess
from pathlib import PurePosixPath

import pytest

from tests.unit.vmm.linux.unpack import unpack
from vmm.linux.initramfs import NO_SLEEP, SHELL, init_script, initramfs

BUSYBOX = b"\x7fELF pretended"


def test_the_kernel_finds_init_a_console_and_a_shell() -> None:
    entries = unpack(initramfs(BUSYBOX))
    assert entries["init"].content == init_script()
    assert entries["init"].numbers["mode"] & 0o111 == 0o111
    assert entries["bin/busybox"].content == BUSYBOX
    assert entries["bin/busybox"].numbers["mode"] & 0o111 == 0o111
    assert entries["bin/sh"].content == b"busybox"
    assert "dev/console" in entries


def test_a_directory_comes_before_what_is_in_it() -> None:
    seen = {"."}
    for name in unpack(initramfs(BUSYBOX)):
        assert str(PurePosixPath(name).parent) in seen
        seen.add(name)


def test_an_initrd_is_the_same_every_time() -> None:
    assert initramfs(BUSYBOX) == initramfs(BUSYBOX)


def test_another_script_can_be_run_instead() -> None:
    assert unpack(initramfs(BUSYBOX, b"#!/bin/sh\n"))["init"].content == b"#!/bin/sh\n"


def test_the_script_looks_for_the_words_that_the_command_adds() -> None:
    script = init_script().decode()
    assert script.startswith("#!/bin/sh\n")
    for word in (NO_SLEEP, SHELL):
        assert f"asked {word};" in script


def test_a_shell_can_parse_the_script() -> None:
    if shutil.which("sh") is None:
        pytest.skip("there is no sh")
    subprocess.run(["sh", "-n"], input=init_script(), check=True)
