"""Several runs and their table: `--guests` and `--suite`."""

import argparse
import json
import os
import signal
from pathlib import Path

import pytest

from tests.unit.vmm.cli.programs import LOOP, OFF, RESET, echoes, prints, vgic_run, write_image
from vmm.cli import run
from vmm.cli.suite import jobs as suite_jobs
from vmm.devices.pl011 import Pl011

PASSES = [*prints("PASS: x\nSUMMARY: 3 tests\n\nEXIT: STATUS=1\n"), *OFF]
FAILS = [*prints("FAIL: y\nSUMMARY: 1 tests, 1 unexpected failures\n\nEXIT: STATUS=3\n"), *OFF]
SKIPS = [*prints("EXIT: STATUS=77\n"), *OFF]
ASKS = [*prints("Now migrate the VM, then press a key to continue...\n"), *echoes("x"), *PASSES]


def suite(tmp_path: Path, *options: str, **images: list[int]) -> int:
    """Run the suite of these images."""
    for name, words in images.items():
        write_image(tmp_path, *words, name=f"{name}.flat")
    return vgic_run("--suite", str(tmp_path), *options)


def test_a_suite_that_passes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, gic=ASKS, timer=PASSES) == 0
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["name", "irqchip", "CPUs", "result", "tests", "instructions", "seconds"]
    assert ["gicv2-mmio", "gicv2", "3", "pass", "3"] in [line.split()[:5] for line in lines]
    assert ["its-migration", "gicv3-its", "4", "pass", "3"] in [line.split()[:5] for line in lines]
    assert [line.split()[1] for line in lines if line.startswith("timer ")] == ["gicv2", "gicv3-its"]
    assert lines[-1].endswith(" passed, 0 failed, 0 skipped")
    assert err == ""


def test_a_failure_is_explained(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, "--irqchip", "gicv2", timer=FAILS, psci=RESET) == 1
    out = capfd.readouterr().out
    assert "timer, gicv2, 1 CPUs: the guest powered off with status 3\n    FAIL: y\n" in out
    assert "psci, gicv2, 4 CPUs: the guest asked for a reset\n" in out
    assert out.splitlines()[-1] == "0 passed, 3 failed, 0 skipped"


@pytest.mark.parametrize(("timer", "status"), [(SKIPS, 77), (PASSES, 0)], ids=["all", "one of two"])
def test_skipped_tests(timer: list[int], status: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, "--irqchip", "gicv2", "-c", "1", gic=SKIPS, timer=timer) == status
    assert "skip" in capfd.readouterr().out


def test_a_test_that_does_not_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, "--irqchip", "gicv2", "--timeout", "0.2", timer=[LOOP]) == 1
    assert "timed out: 0.2 s of wall time" in capfd.readouterr().out


def test_images_in_the_folder_arm_are_found(tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    write_image(tmp_path / "arm", *PASSES, name="timer.flat")
    assert suite(tmp_path, "--only", "tim*") == 0


def test_a_gicv4_host_runs_what_it_can(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, "--gic-version", "4.1", timer=PASSES) == 0
    assert "gicv2" not in capfd.readouterr().out
    assert suite(tmp_path, "--gic-version", "4.1", "--irqchip", "gicv2", timer=PASSES) == 2


def test_figures_for_programs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "json"
    assert suite(tmp_path, "--json", str(file), timer=PASSES) == 0
    rows = json.loads(file.read_text())
    assert [(row["name"], row["verdict"], row["tests"]) for row in rows] == [("timer", "pass", 3)] * 2
    assert {"instructions", "wall_seconds", "mips"} <= set(rows[0])
    capfd.readouterr()


@pytest.mark.parametrize("option", ["--record", "--replay", "--params", "--initrd"])
def test_options_of_one_run(option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, option, "x", timer=PASSES) == 2
    assert f"{option} is for one run" in capfd.readouterr().err


GUESTS = {
    "ipi": ("ipi", "-c", "2"),
    "one that never ends": ("spin",),
    "one that sleeps for ever": ("deadlock",),
    "one that runs wild": ("wild",),
    "one that ends as it is told": ("silent-exit*",),
}


@pytest.mark.parametrize("row", GUESTS.values(), ids=GUESTS)
def test_our_own_guests_end_as_they_should(row: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert vgic_run("--guests", "--only", *row) == 0
    assert " passed, 0 failed, 0 skipped" in capfd.readouterr().out


def test_what_was_interrupted_has_not_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_one(self: Pl011, value: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Pl011, "_send_one", send_one)
    assert suite(tmp_path, timer=[*prints("x"), LOOP]) == 130
    out = capfd.readouterr().out
    assert "interrupted in timer: SIGINT" in out
    assert out.endswith(", 2 not run\n0 passed, 0 failed, 0 skipped\n")


def test_statistics_of_each_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, "--stats", timer=PASSES) == 0
    assert capfd.readouterr().err.count("list registers") == 2


def test_figures_that_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert suite(tmp_path, "--json", "/dev/full", timer=PASSES) == 74
    out, err = capfd.readouterr()
    assert err == "vgic run: cannot write /dev/full: No space left on device\n"
    assert out.endswith("2 passed, 0 failed, 0 skipped\n")


def test_machines_with_fewer_vcpus_than_pcpus(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert vgic_run("--guests", "--only", "wfi", "--irqchip", "gicv3", "--pcpus", "2") == 0
    assert "4 passed" in capfd.readouterr().out
    assert suite(tmp_path, "--pcpus", "2", timer=PASSES, psci=PASSES) == 0


def test_more_vcpus_than_a_gicv2_has(capfd: pytest.CaptureFixture[str]) -> None:
    assert vgic_run("--guests", "--only", "ipi", "-c", "9") == 0
    assert "gicv2" not in capfd.readouterr().out
    assert vgic_run("--guests", "--only", "ipi", "-c", "9", "--irqchip", "gicv2") == 2
    assert "9 vCPUs: 1 to 8 are possible" in capfd.readouterr().err


@pytest.mark.parametrize(("options", "mib"), [((), 256), (("-m", "2G"), 2048)], ids=["as upstream", "--mem"])
def test_the_setup_test_is_told_how_much_ram_there_is(options: tuple[str, ...], mib: int, tmp_path: Path) -> None:
    write_image(tmp_path, *PASSES, name="selftest.flat")
    parser = argparse.ArgumentParser()
    run.add_parser(parser.add_subparsers())
    setup = next(iter(suite_jobs(parser.parse_args(["run", "--suite", str(tmp_path), *options]))))
    assert (setup.name, setup.images.params) == ("selftest-setup", f"setup smp=2 mem={mib}")
    assert setup.config.ram == mib << 20
