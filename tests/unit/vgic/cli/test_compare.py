"""`vgic compare`: its table, its JSON, its picture, and how it ends."""

import json
from pathlib import Path
from typing import Final

import pytest

from hw import Account
from hw.arch4 import VMOVP, VSYNC
from vgic.cli.comparison import plot
from vgic.cli.comparison.workloads import WORKLOADS
from vgic.cli.figures import Figures, exits, hypervisor_entries, registers
from vgic.cli.machines.hosted import HostedBoard
from vgic.cli.main import main

TABLE: Final = """\
           hyp. entries  exits  trap  irq  wfi  host irqs  LR writes  registers  commands  doorbells  tables  cycles
msi-running: MSI to a running vCPU
  GICv3               2      1     0    1    0          1          2          6         0          0       2    5571
  GICv4.1             0      0     0    0    0          0          0          0         0          0       0     571
ipi: IPI between running vCPUs
  GICv3               2      2     1    1    0          0          2          3         0          0       0    6071
  GICv4.1             1      1     1    0    0          0          0          1         0          0       0    3321

All for one delivered interrupt.  Cycles are assumptions (--cycles NAME=N changes one):
  exit 3000, eoi 71, sgir 250, translation 500, host_irq 2000, vmovp 2000, list_register 0, register 0, command 0
"""


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "msi-running", "ipi", "--gic", "3", "--gic", "4.1", "--interrupts", "10"]) == 0
    assert capsys.readouterr().out == TABLE


def test_json_has_the_totals_and_the_hardwares_counters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "msi-wfi", "--json", "--interrupts", "10", "--cycles", "exit=1", "--cycles", "eoi=0"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["assumed_cycles"] == Figures(exit=1, eoi=0).as_dict()
    rows = {row["machine"]: row for row in out["rows"]}
    assert list(rows) == ["GICv2", "GICv3", "GICv4.0", "GICv4.1"]
    row = rows["GICv4.1"]
    assert (row["workload"], row["delivered"]) == ("msi-wfi", 10)
    assert row["totals"]["exits_wfi"] == row["counters"]["exits_wfi"] == row["counters"]["default_doorbells"] == 10
    assert row["per_interrupt"]["cycles"] == 1 + 500 + 2000
    assert row["totals"]["cycles"] == 10 * row["per_interrupt"]["cycles"]


def test_all_workloads_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--interrupts", "2", "--cpus", "3"]) == 0
    out = capsys.readouterr().out
    assert [line.partition(":")[0] for line in out.partition("\n\n")[0].splitlines() if ":" in line] == list(WORKLOADS)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(WORKLOADS)


def test_the_same_seed_gives_the_same_mix(capsys: pytest.CaptureFixture[str]) -> None:
    outs = []
    for seed in ("1", "1", "2"):
        assert main(["compare", "mix", "--gic", "4", "--seed", seed]) == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1] != outs[2]


# -- figures -------------------------------------------------------------------------------------


def test_cycles_are_what_was_counted_times_what_is_assumed() -> None:
    account = Account()
    pes, gic = account.pes, account.gic
    pes.entries = 10
    pes.exits_mmio, pes.exits_sysreg, pes.exits_irq, pes.exits_wfi = 1, 2, 3, 1
    pes.phys_acks = 4
    pes.lr_writes, pes.lr_reads, pes.hcr_writes, pes.icv_reads = 5, 6, 7, 100
    gic.msis, gic.vsgis, gic.commands = 8, 9, 6
    gic.by_command = {VMOVP: 2, VSYNC: 4}
    assert (exits(account), hypervisor_entries(account), registers(account)) == (10, 14, 7 + 9)
    figures = Figures(1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
    expected = 10 + 10 * 3 + 100 * 9 + 1000 * 8 + 10_000 * 4 + 100_000 * 2
    assert figures.cycles(account, 3) == expected + 1_000_000 * 11 + 10_000_000 * 16 + 100_000_000 * 4


def test_the_figures_are_those_published() -> None:
    assert Figures().as_dict() == {
        "exit": 3000,
        "eoi": 71,
        "sgir": 250,
        "translation": 500,
        "host_irq": 2000,
        "vmovp": 2000,
        "list_register": 0,
        "register": 0,
        "command": 0,
    }


# -- the picture ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", plot.SUFFIXES)
def test_a_picture_is_drawn(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / f"compare{suffix}"
    assert main(["compare", "ipi", "--interrupts", "2", "--plot", str(file)]) == 0
    data = file.read_bytes()
    assert b"<svg" in data if suffix == ".svg" else data.startswith(b"\x89PNG")
    assert "GICv4.1" in capsys.readouterr().out, "the table is shown as well"


def test_a_picture_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    file = tmp_path / "absent" / "compare.svg"
    assert main(["compare", "ipi", "--interrupts", "2", "--plot", str(file)]) == 2
    assert capsys.readouterr().err == f"vgic compare: {file}: No such file or directory\n"


def test_without_matplotlib_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plot, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "--plot", "compare.svg"])
    assert stop.value.code == 2
    assert "pip install 'vgic[plot]'" in capsys.readouterr().err


# -- trouble -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dance"], "there is no workload 'dance'; there are msi-running"),
        (["--gic", "5"], "invalid choice: '5'"),
        (["--cpus", "1"], "1 is not in 2..64"),
        (["--cpus", "many"], "'many' is not a number"),
        (["--cpus", "7"], "a GICv2 has up to 6 vCPUs here, not 7"),
        (["--interrupts", "0"], "0 is not in 1.."),
        (["--lrs", "17"], "17 is not in 1..16"),
        (["--cycles", "exits=3"], "there is no figure 'exits'; there are exit, eoi"),
        (["--cycles", "exit"], "'exit' is not exit=N"),
        (["--cycles", "exit=-1"], "'exit=-1' is not exit=N"),
        (["--plot", "compare.gif"], "'compare.gif' does not end in .svg or .png"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_lost_interrupt_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(HostedBoard, "send", lambda board, vector: None)
    assert main(["compare", "msi-running", "--gic", "4.1", "--interrupts", "5"]) == 1
    assert main(["compare", "msi-wfi", "--gic", "4.1", "--interrupts", "5"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "vgic compare: msi-running on GICv4.1: 5 interrupts were sent, and 0 taken",
        "vgic compare: msi-wfi on GICv4.1: CPU 0 sleeps on, with an interrupt for it",
    ]


def test_misuse_of_the_hardware_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def send(board: HostedBoard, vector: int) -> None:
        original(board, vector)
        board.host.machine.misuse.report("M-17", "for this test")

    original = HostedBoard.send
    monkeypatch.setattr(HostedBoard, "send", send)
    assert main(["compare", "msi-running", "--gic", "4.1"]) == 1
    assert "the GIC reports misuse: M-17" in capsys.readouterr().err
