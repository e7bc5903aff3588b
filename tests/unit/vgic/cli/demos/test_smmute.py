"""`vgic demo smmute`: an assigned device, its vectors forwarded, and what its transactions cost."""

from typing import Final

import pytest

from hw import arch4
from vgic.cli.checks.board import GITS_BASE, GITS_TRANSLATER
from vgic.cli.demos import engine
from vgic.cli.demos.assigned import BAR, TABLE
from vgic.cli.demos.engine import DmaEngine
from vgic.cli.demos.msix import CONTROL, DATA, ENTRY
from vgic.cli.demos.smmute import Guest, TransactionError
from vgic.cli.figures import Figures, exits, hypervisor_entries
from vgic.cli.machines.hosted import HostedBoard
from vgic.cli.main import main

OUTPUT: Final = """\
GICv4.1: the vectors of device 16 are LPI 8192 of vCPU 0; the hardware delivers them
transaction  vCPU  status         value                      duration  output buffer
          0     0  done           0x161412100e0c0a08       575 cycles  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f
          1     0  done           0x363432302e2c2a28       575 cycles  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f
2 transactions, 2 messages: hypervisor entries 0 (exits 0, interrupts that the host took 0); list-register writes 0; \
ITS commands 0; doorbells 0
"""


def test_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "smmute", "-n", "2"]) == 0
    assert capsys.readouterr().out == OUTPUT


@pytest.mark.parametrize("kind", ["4", "4.1"])
@pytest.mark.parametrize("command", engine.COMMANDS.values(), ids=engine.COMMANDS)
def test_no_transaction_enters_the_hypervisor(kind: str, command: int) -> None:
    guest = Guest(kind, 3, 64)
    assert guest.direct
    before = guest.account()
    for number in range(10):
        done = guest.run(number, command, Figures())
        assert (done.number, done.cpu, done.status, done.sound) == (number, number % 3, engine.DONE, True)
        assert done.value == engine.sum64(done.output)
    spent = guest.account().diff(before)
    assert (hypervisor_entries(spent), exits(spent), spent.pes.lr_writes) == (0, 0, 0)
    assert (spent.gic.msis, spent.pes.direct_acks, spent.gic.commands) == (10, 10, 0)
    assert guest.board.misuse == []


def test_without_direct_injection_the_host_takes_every_message() -> None:
    guest = Guest("3", 2, 16)
    assert not guest.direct
    before = guest.account()
    cycles = [guest.run(number, engine.FILL, Figures()).cycles for number in range(10)]
    spent = guest.account().diff(before)
    assert (spent.pes.phys_acks, spent.pes.exits_irq, hypervisor_entries(spent)) == (10, 10, 20)
    assert set(cycles) == {3000 + 2000 + 500 + 71 + 2}


def test_a_transactions_duration_is_what_is_assumed() -> None:
    guest = Guest("4.1", 1, 4096)
    assert guest.run(0, engine.FILL, Figures(translation=7, eoi=1)).cycles == 7 + 1 + 4096 // 8
    assert guest.run(1, engine.COPY, Figures(translation=0, eoi=0)).cycles == 2 * 4096 // 8


# -- the MSI-X table, as guest, VMM and device see it ---------------------------------------------


def test_the_vmm_learns_of_vectors_by_traps_and_the_engine_needs_none() -> None:
    guest = Guest("4.1", 1, 16)
    boot = guest.guest.boot
    before = guest.account()
    assert boot.load(TABLE + DATA) == 0
    boot.store(TABLE + CONTROL, 0)
    assert guest.account().diff(before).pes.exits_mmio == 2
    before = guest.account()
    boot.store(BAR + engine.BEGIN, 0x1234, 8)
    assert boot.load(BAR + engine.BEGIN, 8) == 0x1234
    assert exits(guest.account().diff(before)) == 0


def test_a_masked_vectors_interrupt_waits_until_it_is_unmasked() -> None:
    guest = Guest("4.1", 1, 16)
    boot = guest.guest.boot
    boot.store(TABLE + CONTROL, 1)
    with pytest.raises(TransactionError, match="transaction 0: vCPU 0 got no interrupt"):
        guest.run(0, engine.COPY, Figures())
    assert not boot.take_interrupts()
    boot.store(TABLE + CONTROL, 0)
    assert boot.take_interrupts()
    assert guest.run(1, engine.COPY, Figures()).sound


def test_a_vector_that_goes_elsewhere_is_not_the_its_own() -> None:
    """The guest writes another address: no message of the device reaches the host's ITS."""
    guest = Guest("4.1", 1, 16)
    boot = guest.guest.boot
    boot.store(TABLE, 0x1234_0000, 8)
    msis = guest.account().gic.msis
    with pytest.raises(TransactionError):
        guest.run(0, engine.COPY, Figures())
    assert guest.account().gic.msis == msis
    boot.store(TABLE, GITS_BASE + GITS_TRANSLATER, 8)
    assert boot.take_interrupts(), "it was pending"


def test_the_devices_table_has_the_hosts_events_not_the_guests() -> None:
    guest = Guest("4.1", 2, 16)
    its = guest.board.host.machine.itss[0]
    assert its.cost.by_command[arch4.VMAPTI] == 2
    assert len(guest.device.shown) == 2
    assert guest.device.shown.read(ENTRY, 8) == GITS_BASE + GITS_TRANSLATER


# -- the command ---------------------------------------------------------------------------------


def test_what_the_gic_does_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "smmute", "-n", "1", "--explain"]) == 0
    told = [line[6:] for line in capsys.readouterr().out.splitlines() if line.startswith("    # ")]
    assert "ITS 0 executes VMAPTI: event 0 of device 16 is vLPI 8192 of vPE 0, no individual doorbell" in told
    assert told[-3:] == [
        "redistributor 0 offers its CPU interface virtual INTID 8192 of vPE 0, priority 0xa0, group 1",
        "vPE 0: its guest acknowledges virtual INTID 8192, without an exit or a list register",
        "redistributor 0 offers nothing any more",
    ]


def test_on_a_gicv3_it_says_who_delivers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "smmute", "-n", "2", "--gic", "3", "--cpus", "2", "--mode", "fill", "--size", "32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "GICv3: the vectors of device 16 are LPIs 8192 to 8193 of vCPUs 0 to 1; the host takes them, and injects"
    )
    assert lines[2].endswith(" ..."), "more than there is room for"
    assert "hypervisor entries 4 (exits 2, interrupts that the host took 2)" in lines[-1]


def test_an_interrupt_that_does_not_come_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(HostedBoard, "message", lambda board, eventid: None)
    assert main(["demo", "smmute"]) == 1
    assert capsys.readouterr().err == "vgic demo smmute: transaction 0: vCPU 0 got no interrupt\n"


def test_an_engine_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def read(it: DmaEngine, offset: int, size: int) -> int:
        return original(it, offset, size) + (offset % engine.FRAME == engine.VALUE)

    original = DmaEngine.read
    monkeypatch.setattr(DmaEngine, "read", read)
    assert main(["demo", "smmute", "-n", "1"]) == 1
    captured = capsys.readouterr()
    assert "wrong value" in captured.out
    assert captured.err == "vgic demo smmute: a transaction went wrong\n"


def test_an_entry_of_the_hypervisor_breaks_the_promise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def message(board: HostedBoard, eventid: int) -> None:
        original(board, eventid)
        board.exit(0)
        board.enter(0)

    original = HostedBoard.message
    monkeypatch.setattr(HostedBoard, "message", message)
    assert main(["demo", "smmute", "-n", "1"]) == 1
    assert "the hypervisor was entered" in capsys.readouterr().err


LIMITED: Final = """\
GICv4.1: the vectors of device 16 are LPI 8192 of vCPU 0; the hardware delivers them
transaction  vCPU  status         value                      duration  output buffer
          0     0  done           0x161412100e0c0a08       575 cycles  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f
          1     0  done           0x363432302e2c2a28       575 cycles  10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f
          2     0  done           0x565452504e4c4a48      1425 cycles  20 21 22 23 24 25 26 27 28 29 2a 2b 2c 2d 2e 2f
          3     0  done           0x767472706e6c6a68      2000 cycles  30 31 32 33 34 35 36 37 38 39 3a 3b 3c 3d 3e 3f
4 transactions, 4 messages: hypervisor entries 0 (exits 0, interrupts that the host took 0); list-register writes 0; \
ITS commands 0; doorbells 0; throttled 2 (limit: 2 in 4000 cycles)
"""


def test_an_engine_with_a_limit_is_slow_but_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Two at once, then one in 2000 cycles: the third is due at 2000, when two transactions have taken 1150."""
    assert main(["demo", "smmute", "-n", "4", "--limit", "2/4000"]) == 0
    assert capsys.readouterr().out == LIMITED


def test_a_limit_that_is_never_reached_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "smmute", "-n", "2", "--limit", "1/575"]) == 0
    assert capsys.readouterr().out == OUTPUT[:-1] + "; throttled 0 (limit: 1 in 575 cycles)\n"


@pytest.mark.parametrize("kind", ["3", "4", "4.1"])
def test_every_machine_can_limit_a_device(kind: str) -> None:
    guest = Guest(kind, 2, 16, limit=(1, 100_000))
    done = [guest.run(number, engine.COPY, Figures()) for number in range(6)]
    assert all(each.sound for each in done)
    assert [each.cycles for each in done[1:]] == [100_000] * 5
    assert guest.account().gic.throttled == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "0 is not in 1..1000000"),
        (["--gic", "2"], "invalid choice"),
        (["--size", "12"], "12 is not a multiple of 8"),
        (["--size", "4104"], "4104 is not in 8..4096"),
        (["--mode", "dance"], "invalid choice"),
        (["--limit", "7"], "'7' is not N/CYCLES"),
        (["--limit", "0/5"], "0 is not in 1..1000000"),
        (["--limit", "5/x"], "'x' is not a number"),
        (["--cycles", "x=1"], "there is no figure 'x'"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["demo", "smmute", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
