"""`vgic check` prints what kvm-unit-tests does, and takes the arguments that make sense."""

from typing import Final

import pytest

from tests.conformance.broken import SgiLosesIrm
from vgic.cli.check import run_checks
from vgic.cli.checks import CHECKS, checks_of
from vgic.cli.checks.report import FAILED, PASSED, SKIPPED, Report
from vgic.cli.main import main

IPI_OUTPUT: Final = """\
PASS: gicv3: ipi: self: Interrupts received
PASS: gicv3: ipi: target-list: Interrupts received
PASS: gicv3: ipi: broadcast: Interrupts received
SUMMARY: 3 tests
"""


def test_output_of_one_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "ipi"]) == PASSED
    assert capsys.readouterr().out == IPI_OUTPUT


SKIP_OUTPUT: Final = """\
PASS: gicv3: ipi: self: Interrupts received
SKIP: gicv3: ipi: target-list, broadcast: at least 2 CPUs needed
SUMMARY: 2 tests, 1 skipped
"""


def test_output_with_a_skip(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "ipi", "--cpus", "1"]) == PASSED
    assert capsys.readouterr().out == SKIP_OUTPUT


FAIL_OUTPUT: Final = """\
PASS: gicv3: ipi: self: Interrupts received
PASS: gicv3: ipi: target-list: Interrupts received
FAIL: gicv3: ipi: broadcast: Interrupts received
INFO: gicv3: ipi: broadcast: CPUs with none: [0, 2, 3]; too many: []; a wrong INTID: []; a spurious one: []; \
a wrong sender: []
SUMMARY: 3 tests, 1 unexpected failures
"""


def test_output_with_a_failure() -> None:
    lines: list[str] = []
    assert run_checks(["ipi"], build=SgiLosesIrm, write=lines.append) == FAILED
    assert lines == FAIL_OUTPUT.splitlines()


def test_output_of_several_checks_ends_with_all_of_them() -> None:
    lines: list[str] = []
    assert run_checks(["active", "ipi"], build=SgiLosesIrm, write=lines.append) == FAILED
    assert lines[-4:] == [
        "",
        "PASS active (2 tests)",
        "FAIL ipi (3 tests, 1 unexpected failures)",
        "SUMMARY: 5 tests, 1 unexpected failures",
    ]


def test_all_checks_run_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == PASSED
    outcomes = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("PASS ")]
    assert outcomes == checks_of("v3")


MMIO_OUTPUT: Final = """\
INFO: gicv2: mmio: number of implemented SPIs: 224
PASS: gicv2: mmio: all {cpus} CPUs have interrupts
INFO: gicv2: mmio: IIDR: 0x4b00343b
PASS: gicv2: mmio: GICD_TYPER is read-only
PASS: gicv2: mmio: GICD_IIDR is read-only
PASS: gicv2: mmio: ICPIDR2 is read-only
INFO: gicv2: mmio: value of ICPIDR2: 0x00000000
PASS: gicv2: mmio: IPRIORITYR: consistent priority masking
INFO: gicv2: mmio: IPRIORITYR: priority mask is 0xf8f8f8f8
PASS: gicv2: mmio: IPRIORITYR: implements at least 4 priority bits
INFO: gicv2: mmio: IPRIORITYR: 5 priority bits implemented
PASS: gicv2: mmio: IPRIORITYR: clearing priorities
PASS: gicv2: mmio: IPRIORITYR: accesses beyond limit RAZ/WI
PASS: gicv2: mmio: IPRIORITYR: accessing last SPIs
PASS: gicv2: mmio: IPRIORITYR: priorities are preserved
PASS: gicv2: mmio: IPRIORITYR: byte reads successful
PASS: gicv2: mmio: IPRIORITYR: byte writes successful
{masking}
PASS: gicv2: mmio: ITARGETSR: accesses beyond limit RAZ/WI
PASS: gicv2: mmio: ITARGETSR: register content preserved
PASS: gicv2: mmio: ITARGETSR: byte reads successful
PASS: gicv2: mmio: ITARGETSR: byte writes successful
SUMMARY: 17 tests{skipped}
"""
MASKED: Final = """\
PASS: gicv2: mmio: ITARGETSR: bits for non-existent CPUs masked
INFO: gicv2: mmio: ITARGETSR: {absent} non-existent CPUs"""
NOT_MASKED: Final = "SKIP: gicv2: mmio: ITARGETSR: CPU masking (all CPUs implemented)"


@pytest.mark.parametrize("cpus", [1, 3, 4, 8], ids="cpus={}".format)
def test_output_of_mmio(cpus: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The 17 lines of kvm-unit-tests' gicv2-mmio; with all 8 CPUs there is nothing to mask."""
    assert main(["check", "--gic", "v2", "mmio", "--cpus", str(cpus)]) == PASSED
    masking = MASKED.format(absent=8 - cpus) if cpus < 8 else NOT_MASKED
    skipped = "" if cpus < 8 else ", 1 skipped"
    assert capsys.readouterr().out == MMIO_OUTPUT.format(cpus=cpus, masking=masking, skipped=skipped)


def test_all_checks_of_a_gicv2_run_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--gic", "v2"]) == PASSED
    outcomes = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("PASS ")]
    assert outcomes == checks_of("v2")
    assert {"ipi", "active", "mmio"} <= set(outcomes)


def test_list_names_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--list"]) == PASSED
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CHECKS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["--cpus", "0"],
        ["--cpus", "513"],
        ["--lrs", "17"],
        ["--spis", "100"],
        ["--gic", "v5"],
        ["mmio"],
        ["--gic", "v2", "--cpus", "9"],
        ["--gic", "v2", "lpi-stress"],
        ["lpi-stress", "--devices", "0"],
        ["lpi-stress", "--devices", "8193"],
        ["lpi-stress", "--devices", "8", "--events", "7169"],
    ],
    ids=" ".join,
)
def test_arguments_that_make_no_sense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", *arguments])
    assert stop.value.code == 2
    assert "vgic check: error: " in capsys.readouterr().err


# -- report --------------------------------------------------------------------------------------


def test_nothing_but_skips_exits_with_77() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    report.skip("no GICv4")
    assert report.status() == SKIPPED == 77
    assert [*lines, report.summary(), report.outcome("vlpi")] == [
        "SKIP: no GICv4",
        "SUMMARY: 1 tests, 1 skipped",
        "SKIP vlpi (1 tests, 1 skipped)",
    ]


def test_prefixes_nest_and_end() -> None:
    lines: list[str] = []
    report = Report(lines.append)
    with report.prefix("gicv3"):
        with report.prefix("ipi"):
            report.expect(True, "good", "unseen")
            report.expect(False, "bad", "seen")
        report.equal(1, 2, "one is two")
    report.info("done")
    assert lines == [
        "PASS: gicv3: ipi: good",
        "FAIL: gicv3: ipi: bad",
        "INFO: gicv3: ipi: seen",
        "FAIL: gicv3: one is two",
        "INFO: gicv3: found 1, expected 2",
        "INFO: done",
    ]
    assert report.summary() == "SUMMARY: 3 tests, 2 unexpected failures"
    assert report.status() == FAILED
