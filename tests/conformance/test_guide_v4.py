"""The example programs of Arm's guide "GICv3 and v4, Virtualization": their log, and what the GIC did to make it.

Room:    `vgic demo guide` has the programs; the golden log is Arm's, as the guide prints it.
"""

from pathlib import Path
from typing import Final

import pytest

from hw import TraceLog
from hw import arch4 as a
from vgic.cli.demos.guide import DOORBELL, INT, ITS, RD, VLPI, VPT, GuideError, Program
from vgic.cli.main import main

GOLDEN: Final = (Path(__file__).parents[1] / "golden/guide/main_vlpi.log").read_text(encoding="ascii")


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def program(log: list[str]) -> Program:
    return Program(log.append)


def test_the_command_prints_the_guides_log_word_for_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "guide"]) == 0
    assert capsys.readouterr().out == GOLDEN


def test_explanations_leave_the_log_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "guide", "--explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("    # ")] == GOLDEN.splitlines()
    told = [line for line in lines if line.startswith("    # ")]
    assert told[0] == "    # ITS 0 executes MAPD: device 0 has 4 events, in the table at 0x800b0000"
    at = told.index("    # ITS 0 executes INT: as if event 0 of device 0 had been sent")
    assert "doorbell rings" in told[at + 3], "a command is told of before what it causes"


def test_vlpi(program: Program) -> None:
    machine, its = program.machine, program.its
    machine.trace = trace = TraceLog()
    before = [pe.cost.copy() for pe in machine.pes]
    program.main_vlpi()
    assert its.cost.commands == 7
    assert its.cost.by_command.get(a.MAPC, 0) == 0
    assert (machine.traffic.default_doorbells, machine.traffic.individual_doorbells) == (1, 0)
    assert machine.pes[1].redist.lpis.pending == set(), "the doorbell is PE 0's"
    assert not machine.pes[0].fiq()
    assert machine.misuse.records == []
    assert trace.named("vint_pend", "doorbell", "lpi_pend", "lpi_clear", "resid", "offer", "vint_ack") == [
        ("vint_pend", 0, VLPI),
        ("doorbell", 0, "default", DOORBELL, 0),
        ("lpi_pend", 0, DOORBELL),
        ("lpi_clear", 0, DOORBELL),
        ("resid", 1, 0, "absent", "scanning", False),
        ("resid", 1, 0, "scanning", "resident", False),
        ("offer", 1, 0, VLPI, 0, 1),
        ("vint_ack", 0, VLPI),
    ]
    assert [event[4] for event in trace.named("its_cmd")] == [""] * 7
    spent = machine.pes[1].cost.diff(before[1])
    assert (spent.lr_writes, spent.exits_irq, spent.direct_acks) == (1, 0, 1), "that one write is the program's own"
    machine.check()
    program.write(RD[1] + a.GICR_VPENDBASER, 8, a.VPENDBASER_PENDING_LAST)
    machine.misuse.strict = False
    program.command((a.VMAPP | a.VMAPP_ALLOC, 0, 0, 0))
    assert machine.misuse.codes() == ["M-35"], "the example leaves the event mapped"
    assert program.memory.read(VPT + VLPI // 8, 1) & 1 == 0


def test_vsgi(program: Program, log: list[str]) -> None:
    machine = program.machine
    program.main_vsgi()
    machine.check()
    assert machine.pes[1].virt.eoicount == 1, "no list register was there to deactivate"
    assert (machine.misuse.records, machine.traffic.default_doorbells) == ([], 1)
    assert log[:18] == GOLDEN.splitlines()[:18], "the set-up is the same"
    assert log[-7:] == ["main(): Sending vSGI 0 to vPEID 0", *GOLDEN.splitlines()[-6:]]


def test_each_groups_enable_is_in_its_own_bit(program: Program) -> None:
    """Where the guide's makeResident() mixes them up."""
    program.initialise()
    program.command((0x0000000080090329, 0x2000, a.VALID, 0x800A000E))
    program.make_resident(group0=False, group1=True)
    assert program.read(RD[1] + a.GICR_VPENDBASER, 8) & ~a.VPENDBASER_DOORBELL == 0x8400000000000000


def test_a_machine_that_does_not_do_it_is_named(
    log: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without INT there is no doorbell; residency of what is not mapped is misuse."""
    monkeypatch.setattr("vgic.cli.demos.guide.INT", (a.SYNC, 0, 0, 0))
    assert main(["demo", "guide"]) == 1
    assert capsys.readouterr().err.startswith("vgic demo guide: PE 0's FIQ")
    program = Program(log.append)
    program.initialise()
    with pytest.raises(GuideError, match="M-01"):
        program.make_resident(group0=True, group1=True)
    program.write(ITS, 4, 0)
    with pytest.raises(GuideError, match="GITS_CREADR"):
        program.command(INT)
