"""`vgic check`: every check passes on every machine, says so as kvm-unit-tests does, and fails when it should."""

from typing import Final, NamedTuple

import pytest

from hw import Machine, VirtConfig
from hw.arch import (
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISACTIVER,
    GICD_ISPENDR,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI1R_EL1,
    SGIR_IRM,
)
from vgic import AckNotifier, Host
from vgic.cli.check import run_checks
from vgic.cli.checks import CHECKS, checks_of
from vgic.cli.checks.board import GICC_BASE, GICD_BASE, GICR_BASE, Board, BoardV2, BoardV2OnV3
from vgic.cli.checks.report import FAILED, PASSED, SKIPPED, Report
from vgic.cli.main import main


class Asserting(Board):
    """A board that asserts the invariants of library and hardware after every exit."""

    def exit(self, cpu: int) -> None:
        super().exit(cpu)
        self.vm.check()
        self.vm.host.machine.check()


class AssertingV2(Asserting, BoardV2):
    """The same with a GICv2."""


class AssertingV2OnV3(Asserting, BoardV2OnV3):
    """The same with a GICv2 on a GICv3."""


V2_BOARDS: Final[dict[str, type[Asserting]]] = {"GICv2": AssertingV2, "GICv2 on GICv3": AssertingV2OnV3}
V3_CHECKS: Final = checks_of("v3")
V2_CHECKS: Final = checks_of("v2")


# -- checks pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lrs", [1, 2, 4, 16], ids="lrs={}".format)
@pytest.mark.parametrize("cpus", [1, 2, 4, 8], ids="cpus={}".format)
@pytest.mark.parametrize("name", V3_CHECKS)
def test_every_check_passes(name: str, cpus: int, lrs: int) -> None:
    """Those of the ITS want four CPUs; they say so, and pass over the rest."""
    lines: list[str] = []
    status = PASSED if cpus >= CHECKS[name].cpus else SKIPPED
    assert run_checks([name], cpus, lrs, build=Asserting, write=lines.append) == status, "\n".join(lines)


@pytest.mark.parametrize("lrs", [1, 4], ids="lrs={}".format)
@pytest.mark.parametrize("cpus", [1, 3, 4, 8], ids="cpus={}".format)
@pytest.mark.parametrize("name", V2_CHECKS)
@pytest.mark.parametrize("board", V2_BOARDS.values(), ids=V2_BOARDS)
def test_every_check_passes_with_a_gicv2(board: type[Asserting], name: str, cpus: int, lrs: int) -> None:
    lines: list[str] = []
    assert run_checks([name], cpus, lrs, gic="v2", build=board, write=lines.append) == PASSED, "\n".join(lines)


@pytest.mark.parametrize("spis", [64, 960], ids="spis={}".format)
def test_a_gicv2_with_few_and_many_interrupts(spis: int) -> None:
    lines: list[str] = []
    assert run_checks(V2_CHECKS, spis=spis, gic="v2", build=AssertingV2, write=lines.append) == PASSED, lines


@pytest.mark.parametrize("spis", [64, 256, 864, 896, 960], ids="spis={}".format)
def test_the_slip_of_the_setup_loop_hurts_nobody(spis: int) -> None:
    """gicv3_enable_defaults() writes all ones past IGROUPR; how far depends on the number of INTIDs."""
    lines: list[str] = []
    assert run_checks(V3_CHECKS, spis=spis, build=Asserting, write=lines.append) == PASSED, "\n".join(lines)


def test_cpus_of_several_clusters() -> None:
    """SGI1R names CPUs of one Aff1 only."""
    lines: list[str] = []
    assert run_checks(["ipi", "affinity"], 40, write=lines.append) == PASSED, "\n".join(lines)


class Hosts(NamedTuple):
    """A host unlike the default."""

    virt: VirtConfig = VirtConfig()
    group0_trap: bool = False
    group1_trap: bool = False
    common_trap: bool = False


HOSTS: Final = {
    "Group 0 trapped": Hosts(group0_trap=True),
    "Group 1 trapped": Hosts(group1_trap=True),
    "common registers trapped": Hosts(common_trap=True),
    "all trapped": Hosts(group0_trap=True, group1_trap=True, common_trap=True),
    "8 priority bits, 7 of them preempt": Hosts(VirtConfig(pri_bits=8, pre_bits=7)),
    "16-bit INTIDs": Hosts(VirtConfig(id_bits=16)),
}


@pytest.mark.parametrize("row", HOSTS.values(), ids=HOSTS)
def test_checks_pass_on_other_hosts(row: Hosts) -> None:
    class OtherHost(Asserting):
        def make_host(self) -> Host:
            machine = Machine(cpus=self.cpus, virt=row.virt)
            return Host(machine, group0_trap=row.group0_trap, group1_trap=row.group1_trap, common_trap=row.common_trap)

    lines: list[str] = []
    assert run_checks(V3_CHECKS, build=OtherHost, write=lines.append) == PASSED, "\n".join(lines)


# -- checks fail ---------------------------------------------------------------------------------


class KicksLost(Board):
    def kick(self, cpu: int) -> None:
        pass


class KicksMisdirected(Board):
    def kick(self, cpu: int) -> None:
        self.kicked[0] = True


class LinesDead(Board):
    def inject(self, intid: int, level: bool) -> None:
        pass


class LinesStuck(Board):
    def inject(self, intid: int, level: bool) -> None:
        if level:
            super().inject(intid, level)


class EveryFifthLost(Board):
    def inject(self, intid: int, level: bool) -> None:
        if intid % 5:
            super().inject(intid, level)


class MaintenanceLost(Board):
    def must_exit(self, cpu: int) -> bool:
        return self.kicked[cpu]


class CompletionsLost(Board):
    def on_completion(self, intid: int, listener: AckNotifier) -> None:
        pass


class CompletionsDoubled(Board):
    def on_completion(self, intid: int, listener: AckNotifier) -> None:
        super().on_completion(intid, listener)
        super().on_completion(intid, listener)


class SgiLosesIrm(Board):
    def msr(self, cpu: int, register: int, value: int) -> bool:
        return super().msr(cpu, register, value & ~SGIR_IRM if register == ICC_SGI1R_EL1 else value)


class SgiReachesEverybody(Board):
    def msr(self, cpu: int, register: int, value: int) -> bool:
        return super().msr(cpu, register, value | 0xFFFF if register == ICC_SGI1R_EL1 else value)


class SgiFromNowhere(Board):
    """The end of one SGI makes another pending."""

    def msr(self, cpu: int, register: int, value: int) -> bool:
        done = super().msr(cpu, register, value)
        if register == ICC_EOIR1_EL1 and value == 1:
            super().msr(cpu, ICC_SGI1R_EL1, 2 << 24 | 1 << cpu)
        return done


class SpuriousAcknowledge(Board):
    def mrs(self, cpu: int, register: int) -> int:
        return 1023 if register == ICC_IAR1_EL1 else super().mrs(cpu, register)


class WrongAcknowledge(Board):
    def mrs(self, cpu: int, register: int) -> int:
        value = super().mrs(cpu, register)
        return value ^ 2 if register == ICC_IAR1_EL1 and value != 1023 else value


class RunningPriorityIdle(Board):
    def mrs(self, cpu: int, register: int) -> int:
        return 0xFF if register == ICC_RPR_EL1 else super().mrs(cpu, register)


class NoRegister(Board):
    def mrs(self, cpu: int, register: int) -> int:
        return -1


class NoFrame(Board):
    def load(self, cpu: int, gpa: int, size: int) -> int:
        return -3


class FiqAsIrq(Board):
    def irq(self, cpu: int) -> bool:
        return super().irq(cpu) or super().fiq(cpu)


class IrqHeld(Board):
    def irq(self, cpu: int) -> bool:
        return True


class WriteIgnored(Board):
    """One system register ignores writes."""

    register: int

    def msr(self, cpu: int, register: int, value: int) -> bool:
        return register == self.register or super().msr(cpu, register, value)


class Eoir1Ignored(WriteIgnored):
    register = ICC_EOIR1_EL1


class Eoir0Ignored(WriteIgnored):
    register = ICC_EOIR0_EL1


class DirIgnored(WriteIgnored):
    register = ICC_DIR_EL1


class PmrIgnored(WriteIgnored):
    register = ICC_PMR_EL1

    def msr(self, cpu: int, register: int, value: int) -> bool:
        return super().msr(cpu, register, value) if value != 0xF0 else Board.msr(self, cpu, register, value)


class BprIgnored(WriteIgnored):
    register = ICC_BPR1_EL1


class CtlrIgnored(WriteIgnored):
    register = ICC_CTLR_EL1


class Igrpen1Set(Board):
    def msr(self, cpu: int, register: int, value: int) -> bool:
        return super().msr(cpu, register, 1 if register == ICC_IGRPEN1_EL1 else value)


class BankIgnored(Board):
    """One register bank of distributor and redistributors ignores writes."""

    first: int
    last: int

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        offset = gpa - GICD_BASE if gpa < GICR_BASE else (gpa - GICR_BASE) % 0x2_0000 - 0x1_0000
        return self.first <= offset <= self.last or super().store(cpu, gpa, size, value)


class IcenablerIgnored(BankIgnored):
    first, last = GICD_ICENABLER, GICD_ICENABLER + 0x7F


class IspendrIgnored(BankIgnored):
    first, last = GICD_ISPENDR, GICD_ISPENDR + 0x7F


class IcpendrIgnored(BankIgnored):
    first, last = GICD_ICPENDR, GICD_ICPENDR + 0x7F


class IcactiverIgnored(BankIgnored):
    first, last = GICD_ICACTIVER, GICD_ICACTIVER + 0x7F


class PriorityIgnored(BankIgnored):
    first, last = GICD_IPRIORITYR, GICD_IPRIORITYR + 0x3FF


class ConfigIgnored(BankIgnored):
    first, last = GICD_ICFGR, GICD_ICFGR + 0xFF


class GroupIgnored(BankIgnored):
    first, last = GICD_IGROUPR, GICD_IGROUPR + 0x7F


class RouterIgnored(BankIgnored):
    first, last = GICD_IROUTER, GICD_IROUTER + 0x1FFF


class AlwaysActive(Board):
    def load(self, cpu: int, gpa: int, size: int) -> int:
        bank = GICD_ISACTIVER <= gpa - GICD_BASE < GICD_ISACTIVER + 0x80
        return 0xFFFF_FFFF if bank else super().load(cpu, gpa, size)


class DistributorOn(BankIgnored):
    """GICD_CTLR stays as the setup left it."""

    first = last = 0
    writes = 0

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        if gpa == GICD_BASE:
            self.writes += 1
            if self.writes <= 2:
                return Board.store(self, cpu, gpa, size, value)
        return super().store(cpu, gpa, size, value)


class Broken(NamedTuple):
    """A board with one thing wrong, and the checks that have to notice."""

    board: type[Board]
    checks: str


BROKEN: Final = {
    "kicks are lost": Broken(KicksLost, "ipi edge level priority eoimode groups overflow affinity"),
    "kicks go to CPU 0": Broken(KicksMisdirected, "ipi edge level affinity"),
    "devices are not heard": Broken(LinesDead, "edge level priority eoimode groups overflow affinity"),
    "lines never fall": Broken(LinesStuck, "level overflow"),
    "some interrupts are lost": Broken(EveryFifthLost, "edge level priority eoimode groups overflow affinity"),
    "the maintenance interrupt is lost": Broken(MaintenanceLost, "level overflow"),
    "completions are not told": Broken(CompletionsLost, "level overflow"),
    "completions are told twice": Broken(CompletionsDoubled, "level overflow"),
    "SGI1R.IRM is ignored": Broken(SgiLosesIrm, "ipi"),
    "SGI1R reaches everybody": Broken(SgiReachesEverybody, "ipi"),
    "SGIs come from nowhere": Broken(SgiFromNowhere, "ipi"),
    "IAR is always spurious": Broken(SpuriousAcknowledge, "ipi active edge level priority overflow affinity"),
    "IAR gives a wrong INTID": Broken(WrongAcknowledge, "ipi active edge level priority overflow affinity"),
    "RPR is always idle": Broken(RunningPriorityIdle, "priority"),
    "system registers are UNDEFINED": Broken(NoRegister, "ipi edge level"),
    "no frame answers": Broken(NoFrame, "ipi active"),
    "Group 0 is signalled as IRQ": Broken(FiqAsIrq, "groups"),
    "the IRQ line is stuck": Broken(IrqHeld, "ipi edge groups"),
    "EOIR1 is ignored": Broken(Eoir1Ignored, "edge level priority eoimode overflow"),
    "EOIR0 is ignored": Broken(Eoir0Ignored, "groups"),
    "DIR is ignored": Broken(DirIgnored, "eoimode"),
    "PMR is ignored": Broken(PmrIgnored, "priority affinity"),
    "BPR1 is ignored": Broken(BprIgnored, "priority"),
    "EOImode is ignored": Broken(CtlrIgnored, "eoimode"),
    "IGRPEN1 is stuck": Broken(Igrpen1Set, "groups"),
    "ICENABLER is ignored": Broken(IcenablerIgnored, "edge"),
    "ISPENDR is ignored": Broken(IspendrIgnored, "level"),
    "ICPENDR is ignored": Broken(IcpendrIgnored, "edge"),
    "ICACTIVER is ignored": Broken(IcactiverIgnored, "active"),
    "IPRIORITYR is ignored": Broken(PriorityIgnored, "priority overflow"),
    "ICFGR is ignored": Broken(ConfigIgnored, "level overflow"),
    "IGROUPR is ignored": Broken(GroupIgnored, "groups"),
    "IROUTER is ignored": Broken(RouterIgnored, "edge affinity"),
    "ISACTIVER reads as ones": Broken(AlwaysActive, "edge eoimode groups level affinity"),
    "the distributor cannot be switched off": Broken(DistributorOn, "groups"),
}
BREAKAGES: Final = [(what, name) for what, row in BROKEN.items() for name in row.checks.split()]


@pytest.mark.parametrize(("what", "name"), BREAKAGES, ids=[f"{name}: {what}" for what, name in BREAKAGES])
def test_a_check_notices(what: str, name: str) -> None:
    lines: list[str] = []
    status = run_checks([name], build=BROKEN[what].board, write=lines.append)
    assert status == FAILED
    assert any(line.startswith(f"FAIL: gicv3: {name}: ") for line in lines)
    assert "unexpected failures" in lines[-1]


# -- checks of a GICv2 fail ------------------------------------------------------------------------

GICC_CTLR: Final = GICC_BASE
GICC_EOIR: Final = GICC_BASE + 0x10
GICC_IAR: Final = GICC_BASE + 0x0C
GICC_AIAR: Final = GICC_BASE + 0x20
GICC_DIR: Final = GICC_BASE + 0x1000
GICD_TYPER: Final = GICD_BASE + 0x004
GICD_ITARGETSR: Final = GICD_BASE + 0x800
GICD_SGIR: Final = GICD_BASE + 0xF00


class StoreChanged(BoardV2):
    """A store to one register loses bits."""

    register: int
    lost = 0xFFFF_FFFF

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return super().store(cpu, gpa, size, value & ~self.lost if gpa == self.register else value)


class SgirLosesItsFilter(StoreChanged):
    register, lost = GICD_SGIR, 3 << 24


class SgirReachesEverybody(BoardV2):
    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return super().store(cpu, gpa, size, value & 0xF | 0xFF << 16 if gpa == GICD_SGIR else value)


class EoirEndsNothing(StoreChanged):
    register = GICC_EOIR

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return gpa == self.register or super().store(cpu, gpa, size, value)


class DirEndsNothing(EoirEndsNothing):
    register = GICC_DIR


class FiqNeverEnabled(StoreChanged):
    register, lost = GICC_CTLR, 1 << 3


class AckCtlIgnored(StoreChanged):
    register, lost = GICC_CTLR, 1 << 2


class EoiModeIgnored(StoreChanged):
    register, lost = GICC_CTLR, 1 << 9


class LoadChanged(BoardV2):
    """A load from one register gives something else."""

    def changed(self, gpa: int, value: int) -> int:
        return value

    def load(self, cpu: int, gpa: int, size: int) -> int:
        return self.changed(gpa, super().load(cpu, gpa, size))


class SenderForgotten(LoadChanged):
    def changed(self, gpa: int, value: int) -> int:
        return value & 0x3FF if gpa == GICC_IAR else value


class NoHint(LoadChanged):
    def changed(self, gpa: int, value: int) -> int:
        return 1023 if gpa == GICC_IAR and value == 1022 else value


class AliasesDead(LoadChanged):
    """As on the machine the golden traces were recorded on."""

    def changed(self, gpa: int, value: int) -> int:
        return 0 if gpa == GICC_AIAR else value


class CpuMissing(LoadChanged):
    def changed(self, gpa: int, value: int) -> int:
        return value - (1 << 5) if gpa == GICD_TYPER else value


class Stored(BoardV2):
    """A frame that is memory: it gives back what was stored."""

    first = GICD_BASE
    last = GICD_BASE

    def __init__(self, cpus: int, lrs: int, spis: int) -> None:
        super().__init__(cpus, lrs, spis)
        self.memory: dict[int, int] = {}

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        if self.first <= gpa <= self.last:
            for n in range(size):
                self.memory[gpa + n] = value >> 8 * n & 0xFF
        return super().store(cpu, gpa, size, value)

    def load(self, cpu: int, gpa: int, size: int) -> int:
        value = super().load(cpu, gpa, size)
        if gpa in self.memory:
            return sum(self.memory[gpa + n] << 8 * n for n in range(size))
        return value


class IdentificationStored(Stored):
    first, last = GICD_TYPER, GICD_BASE + 8


class TargetsStored(Stored):
    first, last = GICD_ITARGETSR, GICD_ITARGETSR + 0x3FF


class PrioritiesStored(Stored):
    first, last = GICD_BASE + 0x400, GICD_BASE + 0x7FF


class TargetsByWord(BoardV2):
    """Byte stores to ITARGETSR and IPRIORITYR are ignored."""

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        bank = GICD_BASE + 0x400 <= gpa < GICD_BASE + 0xC00
        return (bank and size == 1) or super().store(cpu, gpa, size, value)


class BrokenV2(NamedTuple):
    """A board with one thing wrong, and the checks that have to notice."""

    board: type[Board]
    checks: str


BROKEN_V2: Final = {
    "SGIR's filter is ignored": BrokenV2(SgirLosesItsFilter, "ipi active"),
    "SGIR reaches everybody": BrokenV2(SgirReachesEverybody, "ipi active"),
    "IAR does not name the sender": BrokenV2(SenderForgotten, "ipi"),
    "EOIR is ignored": BrokenV2(EoirEndsNothing, "ipi edge level priority overflow groups ackctl"),
    "DIR is ignored": BrokenV2(DirEndsNothing, "eoimode"),
    "EOImode is ignored": BrokenV2(EoiModeIgnored, "eoimode"),
    "FIQEn is ignored": BrokenV2(FiqNeverEnabled, "groups"),
    "AckCtl is ignored": BrokenV2(AckCtlIgnored, "ackctl"),
    "Group 1 is spurious": BrokenV2(NoHint, "ackctl"),
    "the aliases are dead": BrokenV2(AliasesDead, "ackctl groups"),
    "TYPER misses a CPU": BrokenV2(CpuMissing, "mmio"),
    "TYPER and IIDR can be written": BrokenV2(IdentificationStored, "mmio"),
    "ITARGETSR is memory": BrokenV2(TargetsStored, "mmio"),
    "IPRIORITYR is memory": BrokenV2(PrioritiesStored, "mmio"),
    "bytes cannot be stored": BrokenV2(TargetsByWord, "mmio affinity priority"),
}
BREAKAGES_V2: Final = [(what, name) for what, row in BROKEN_V2.items() for name in row.checks.split()]


@pytest.mark.parametrize(("what", "name"), BREAKAGES_V2, ids=[f"{name}: {what}" for what, name in BREAKAGES_V2])
def test_a_check_of_a_gicv2_notices(what: str, name: str) -> None:
    lines: list[str] = []
    assert run_checks([name], gic="v2", build=BROKEN_V2[what].board, write=lines.append) == FAILED
    assert any(line.startswith(f"FAIL: gicv2: {name}: ") for line in lines)


# -- what it prints ------------------------------------------------------------------------------

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
    assert outcomes == V3_CHECKS


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
    assert outcomes == V2_CHECKS
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
