"""`vgic check`: the checks of a GICv3 fail when they should: on each board something is wrong."""

from collections.abc import Callable
from typing import Final

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
)
from tests.conformance.broken import Broken, Eoir1Ignored, KicksLost, SgiLosesIrm, WriteIgnored, each, failing
from vgic import AckNotifier
from vgic.cli.checks.board import GICD_BASE, GICR_BASE, Board


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


@each(BROKEN)
def test_a_check_notices(board: Callable[[int, int, int], Board], name: str) -> None:
    assert "unexpected failures" in failing(board, name)
