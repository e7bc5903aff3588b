"""`vgic check`: the checks of the ITS say what kvm-unit-tests says, and guests survive migration anywhere."""

import io
from typing import Final, NamedTuple

import pytest

from vgic.cli.check import run_checks
from vgic.cli.checks import CHECKS, checks_of
from vgic.cli.checks.board import GICD_BASE, GICR_BASE, RAM_BASE, Board
from vgic.cli.checks.gicv3 import GicV3
from vgic.cli.checks.guest import Guest, Load
from vgic.cli.checks.migrate import migrate
from vgic.cli.checks.report import PASSED, SKIPPED
from vgic.cli.checks.stress import Books
from vgic.cli.checks.trigger import EVENTS, setup
from vgic.cli.main import main
from vgic.cli.progress import Progress

ITS_CHECKS: Final = [name for name in CHECKS if name.startswith("its-")]
SMALL: Final = Load(2, 16, 8)
FIRST_LPI: Final = 8192

# -- what they print -----------------------------------------------------------------------------

OUTPUTS: Final = {
    "its-introspection": """\
PASS: GITS_IIDR is read-only
PASS: GITS_TYPER is read-only
PASS: ITS supports physical LPIs
INFO: vLPI support: no
INFO: ITT entry size = 0x8
INFO: Bit Count: EventID=16 DeviceId=16 CollId=16
PASS: ID spaces
INFO: Target address format PE #
PASS: detect device and collection BASER
INFO: device table entry_size = 0x8
INFO: collection table entry_size = 0x8
SUMMARY: 5 tests
""",
    "its-trigger": """\
PASS: int: dev=2, eventid=20  -> lpi= 8195, col=3
PASS: int: dev=7, eventid=255 -> lpi= 8196, col=2
PASS: inv/invall: dev2/eventid=20 does not trigger any LPI
PASS: inv/invall: dev2/eventid=20 pending LPI is received
PASS: inv/invall: dev2/eventid=20 now triggers an LPI
PASS: mapd valid=false: no LPI after device unmap
SUMMARY: 6 tests
""",
    "its-migration": """\
INFO: Migration complete
PASS: dev2/eventid=20 triggers LPI 8195 on PE #3 after migration
PASS: dev7/eventid=255 triggers LPI 8196 on PE #2 after migration
SUMMARY: 2 tests
""",
    "its-pending-migration": """\
INFO: Migration complete
PASS: 128 LPIs on both PE0 and PE1 after migration
SUMMARY: 1 tests
""",
    "its-migrate-unmapped-collection": """\
INFO: Migration complete
PASS: dev7/eventid= 255 triggered LPI 8196 on PE #2
PASS: Config of LPI 8192 was properly migrated
PASS: dev2/eventid = 0 triggered LPI 8192 on PE0
SUMMARY: 3 tests
""",
}


@pytest.mark.parametrize("name", ITS_CHECKS)
def test_output(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", name]) == PASSED
    lines = capsys.readouterr().out.replace(f"gicv3: {name}: ", "")
    assert lines == OUTPUTS[name]


@pytest.mark.parametrize("name", ITS_CHECKS)
def test_three_cpus_are_too_few(name: str) -> None:
    lines: list[str] = []
    assert run_checks([name], 3, write=lines.append) == SKIPPED
    assert lines == [f"SKIP: gicv3: {name}: test requires at least 4 vcpus", "SUMMARY: 1 tests, 1 skipped"]


# -- lpi-stress ----------------------------------------------------------------------------------


class Loads(NamedTuple):
    """What lpi-stress is asked to do."""

    load: Load
    cpus: int
    lrs: int


LOADS: Final = {
    "one of each": Loads(Load(1, 1, 20), 1, 1),
    "an odd number of everything": Loads(Load(3, 7, 11), 5, 3),
    "one CPU takes all": Loads(Load(4, 64, 4), 1, 4),
    "one list register": Loads(Load(2, 32, 8), 4, 1),
    "more CPUs than LPIs": Loads(Load(2, 3, 20), 16, 4),
    "as many devices as fit": Loads(Load(8192, 1, 1), 4, 16),
    "as many events as there are LPIs": Loads(Load(1, 8192 * 7, 1), 2, 16),
}


@pytest.mark.parametrize("row", LOADS.values(), ids=LOADS)
def test_every_lpi_is_accounted_for(row: Loads) -> None:
    lines: list[str] = []
    assert run_checks(["lpi-stress"], row.cpus, row.lrs, write=lines.append, load=row.load) == PASSED, lines
    sent, delivered, merged = books_in(lines)
    assert sent == row.load.devices * row.load.events * row.load.iterations == delivered + merged
    assert delivered > 0


def books_in(lines: list[str]) -> tuple[int, int, int]:
    """What a run of lpi-stress says it sent, delivered and merged."""
    [line] = [line for line in lines if " sent, " in line]
    words = line.split(": ")[-1].split()
    return int(words[0]), int(words[2]), int(words[4])


def test_options_of_lpi_stress(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "check lpi-stress --devices 2 --events 8 --cpus 3 --iterations 50"
    assert main(arguments.split()) == PASSED
    captured = capsys.readouterr()
    assert "INFO: gicv3: lpi-stress: 2 devices, 8 events each, 3 vCPUs, 50 iterations\n" in captured.out
    assert books_in(captured.out.splitlines())[0] == 800
    assert captured.err == "", "no progress where there is no terminal"


def test_books() -> None:
    """Two CPUs: 8192 goes to CPU 0, 8193 to CPU 1; each way to be wrong shows in its own place."""
    books = Books(2)
    for intid in (8192, 8192, 8193, 8192):
        books.send(intid)
    books.take(8192, 0)
    assert (books.sent, books.delivered, books.merged, books.backlog()) == (4, 1, 2, 1)
    books.take(8193, 0)
    books.take(8192, 0)
    assert (books.misrouted, books.surplus, books.lost) == ([8193], [8192], [])
    assert books.sent == books.delivered + books.merged
    books.send(8193)
    books.rest(0)
    assert books.lost == []
    books.rest(1)
    assert books.lost == [8193]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.05, 0.5, 0.55])
    monkeypatch.setattr("vgic.cli.progress.monotonic", lambda: next(now))
    stream = Terminal()
    progress = Progress("lpi-stress", stream)
    progress(10, 1000)
    assert stream.getvalue() == "", "not at once"
    progress(250, 1000)
    progress(260, 1000)
    assert stream.getvalue() == "\r\x1b[Klpi-stress: 250 of 1000 (25%), 500/s"
    progress.end()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_no_progress_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 5.0])
    monkeypatch.setattr("vgic.cli.progress.monotonic", lambda: next(now))
    stream = io.StringIO()
    progress = Progress("lpi-stress", stream)
    progress(10, 1000)
    progress.end()
    assert stream.getvalue() == ""


# -- migration anywhere --------------------------------------------------------------------------


class Migrating(Board):
    """A VMM that migrates the VM at every fifth exit, whatever its guest is doing."""

    every = 5

    def __init__(self, cpus: int, lrs: int, spis: int) -> None:
        self.inside: set[int] = set()
        self.exits = 0
        super().__init__(cpus, lrs, spis)

    def enter(self, cpu: int) -> None:
        super().enter(cpu)
        self.inside.add(cpu)

    def exit(self, cpu: int) -> None:
        super().exit(cpu)
        self.inside.remove(cpu)
        self.exits += 1
        if self.exits % self.every == 0:
            for other in self.inside:
                super().exit(other)
            migrate(self)
            self.kicked = [True] * self.cpus
            for other in self.inside:
                super().enter(other)
            self.vm.check()


@pytest.mark.parametrize("every", [1, 3, 5], ids="every={}".format)
@pytest.mark.parametrize("name", [name for name in checks_of("v3") if name != "affinity"])
def test_guests_do_not_notice_that_they_are_migrated(name: str, every: int) -> None:
    """All but `affinity`: KVM does not save which CPU holds an interrupt that has been routed to another since."""

    def build(cpus: int, lrs: int, spis: int) -> Board:
        board = Migrating(cpus, lrs, spis)
        board.every = every
        return board

    lines: list[str] = []
    assert run_checks([name], build=build, write=lines.append, load=SMALL) == PASSED, "\n".join(lines)


class Remembering(Board):
    """A board that keeps what a VM leaves behind when it is saved."""

    def __init__(self, cpus: int, lrs: int, spis: int) -> None:
        self.left: list[tuple[str, bytes | None]] = []
        super().__init__(cpus, lrs, spis)

    def power_off(self) -> None:
        self.left.append((self.vm.debug_state(), self.read_ram(RAM_BASE, self.ram_size)))
        super().power_off()


def test_a_second_migration_moves_the_same_state() -> None:
    """LPIs pending on two CPUs, a placeholder collection, an SPI pending and one whose line is high."""
    board = Remembering(4, 4, 64)
    guest = Guest(board, GicV3(GICD_BASE, GICR_BASE))
    its = setup(guest)
    its.map_event(2, 0, FIRST_LPI, 0)
    guest.add_spi(40, guest.cpus[3])
    guest.add_spi(41, guest.cpus[2], level=True)
    guest.strike(40)
    guest.drive(41, True)
    for event in EVENTS:
        its.interrupt(event.devid, event.eventid)
    for cpu in guest.cpus:
        cpu.pause()
    migrate(board)
    migrate(board)
    assert board.left[0] == board.left[1]
    assert {"8195", "8196"} <= set(board.left[0][0].split())
