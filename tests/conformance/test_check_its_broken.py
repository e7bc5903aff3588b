"""`vgic check`: the checks of the ITS fail when they should: on each board something is wrong."""

from collections.abc import Callable
from typing import Final

from hw.arch import GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER, ICC_EOIR1_EL1, ICC_IAR1_EL1
from tests.conformance.broken import Broken, Eoir1Ignored, KicksLost, LoadChanged, Stored, each, failing
from vgic.cli.checks import CHECKS
from vgic.cli.checks.board import GICR_BASE, GITS_BASE, Board
from vgic.cli.checks.guest import Load
from vgic.cli.checks.migrate import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_TYPER,
)

SMALL: Final = Load(2, 16, 8)
FIRST_LPI: Final = 8192


class CommandLost(Board):
    """The ITS takes one command for another that does nothing: SYNC."""

    number: int
    sync = 0x05
    queue = 0
    at = 0

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        if gpa == GITS_BASE + GITS_CBASER:
            self.queue = value & 0xF_FFFF_FFFF_0000
        if gpa == GITS_BASE + GITS_CWRITER and value:
            number = self.ram.read(self.queue + self.at, 1)
            assert number is not None
            if self.loses(number[0]):
                self.ram.write(self.queue + self.at, bytes([self.sync]))
            self.at = value
        return super().store(cpu, gpa, size, value)

    def loses(self, number: int) -> bool:
        return number == self.number


class IntLost(CommandLost):
    number = 0x03


class MapdLost(CommandLost):
    number = 0x08


class MapcLost(CommandLost):
    number = 0x09


class MaptiLost(CommandLost):
    number = 0x0A


class InvLost(CommandLost):
    number = 0x0C


class InvallLost(CommandLost):
    number = 0x0D


class UnmapLost(CommandLost):
    """The third MAPD, the only one with V = 0."""

    mapds = 0

    def loses(self, number: int) -> bool:
        self.mapds += number == 0x08
        return number == 0x08 and self.mapds > 2


class QueueStuck(Board):
    def load(self, cpu: int, gpa: int, size: int) -> int:
        return 0x40 if gpa == GITS_BASE + GITS_CREADR else super().load(cpu, gpa, size)


class QueueSlow(Board):
    polls = 0

    def load(self, cpu: int, gpa: int, size: int) -> int:
        value = super().load(cpu, gpa, size)
        if gpa == GITS_BASE + GITS_CREADR:
            self.polls += 1
            return value if self.polls % 2 == 0 else 0xFFFE0
        return value


class ItsStaysOff(Board):
    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return gpa == GITS_BASE + GITS_CTLR or super().store(cpu, gpa, size, value)


class IidrStored(Stored):
    first = last = GITS_BASE + GITS_IIDR


class TyperStored(Stored):
    first = last = GITS_BASE + GITS_TYPER


class ItsReads(LoadChanged):
    """A register of the ITS reads otherwise."""

    register: int
    cleared = 0
    set_too = 0

    def changed(self, gpa: int, value: int) -> int:
        return value & ~self.cleared | self.set_too if gpa == GITS_BASE + self.register else value


class NoPhysicalLpis(ItsReads):
    register, cleared = GITS_TYPER, 1


class NoEventIds(ItsReads):
    register, cleared = GITS_TYPER, 0x1F << 8


class PtaSet(ItsReads):
    register, set_too = GITS_TYPER, 1 << 19


class NoDeviceTable(ItsReads):
    register, cleared = GITS_BASER, 7 << 56


class SmallPages(ItsReads):
    register, cleared = GITS_BASER, 3 << 8


class RedistWriteLost(Board):
    """Every redistributor ignores writes to one register."""

    register: int

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        redist = GICR_BASE <= gpa < GICR_BASE + self.cpus * 0x2_0000
        return (redist and gpa % 0x2_0000 == (GICR_BASE + self.register) % 0x2_0000) or super().store(
            cpu, gpa, size, value
        )


class PropbaserLost(RedistWriteLost):
    register = GICR_PROPBASER


class PendbaserLost(RedistWriteLost):
    register = GICR_PENDBASER


class EnableLpisLost(RedistWriteLost):
    register = GICR_CTLR


class MessagesLost(Board):
    messages = 0

    def signal_msi(self, devid: int, eventid: int) -> int:
        self.messages += 1
        return super().signal_msi(devid, eventid) if self.messages % 50 else 1


class MessagesBlocked(Board):
    def signal_msi(self, devid: int, eventid: int) -> int:
        return super().signal_msi(devid, eventid) if eventid % 5 else 0


class MessagesMixedUp(Board):
    def signal_msi(self, devid: int, eventid: int) -> int:
        return super().signal_msi(devid, eventid ^ (eventid == 5))


class MessagesDoubled(Board):
    """The end of one LPI sends one message again."""

    def msr(self, cpu: int, register: int, value: int) -> bool:
        done = super().msr(cpu, register, value)
        if register == ICC_EOIR1_EL1 and value == FIRST_LPI + 3:
            super().signal_msi(0, 3)
        return done


class CollectionsMixedUp(CommandLost):
    """MAPC names another CPU's redistributor."""

    def loses(self, number: int) -> bool:
        if number == 0x09:
            word = self.ram.read(self.queue + self.at + 16, 8)
            assert word is not None
            self.ram.write(self.queue + self.at + 16, (int.from_bytes(word, "little") ^ 1 << 16).to_bytes(8, "little"))
        return False


class WrongAcknowledge(Board):
    def mrs(self, cpu: int, register: int) -> int:
        value = super().mrs(cpu, register)
        return value ^ 1 if register == ICC_IAR1_EL1 and value >= FIRST_LPI else value


ITS_CHECKS: Final = [name for name in CHECKS if name.startswith("its-")]
ALL: Final = " ".join(name for name in ITS_CHECKS if name != "its-introspection")

BROKEN: Final = {
    "INT is lost": Broken(IntLost, "its-trigger its-migration its-migrate-unmapped-collection"),
    "MAPD is lost": Broken(MapdLost, f"{ALL} lpi-stress"),
    "MAPC is lost": Broken(MapcLost, f"{ALL} lpi-stress"),
    "MAPTI is lost": Broken(MaptiLost, f"{ALL} lpi-stress"),
    "INV is lost": Broken(InvLost, "its-trigger"),
    "INVALL is lost": Broken(InvallLost, "its-trigger"),
    "MAPD does not unmap": Broken(UnmapLost, "its-trigger"),
    "MAPC takes another CPU": Broken(CollectionsMixedUp, f"{ALL} lpi-stress"),
    "the queue stands still": Broken(QueueStuck, f"{ALL} lpi-stress"),
    "the queue is slow": Broken(QueueSlow, "lpi-stress"),
    "the ITS stays off": Broken(ItsStaysOff, f"{ALL} lpi-stress"),
    "IIDR can be written": Broken(IidrStored, "its-introspection"),
    "TYPER can be written": Broken(TyperStored, "its-introspection"),
    "there are no physical LPIs": Broken(NoPhysicalLpis, "its-introspection"),
    "EventIDs have no width": Broken(NoEventIds, "its-introspection"),
    "RDbase is an address": Broken(PtaSet, "its-trigger lpi-stress"),
    "there is no device table": Broken(NoDeviceTable, "its-introspection its-trigger"),
    "tables have small pages": Broken(SmallPages, "its-trigger"),
    "PROPBASER is ignored": Broken(PropbaserLost, f"{ALL} lpi-stress"),
    "PENDBASER is ignored": Broken(PendbaserLost, "its-pending-migration"),
    "EnableLPIs is ignored": Broken(EnableLpisLost, f"{ALL} lpi-stress"),
    "some messages are lost": Broken(MessagesLost, "lpi-stress"),
    "some messages are blocked": Broken(MessagesBlocked, "lpi-stress"),
    "some messages go elsewhere": Broken(MessagesMixedUp, "lpi-stress"),
    "some messages come twice": Broken(MessagesDoubled, "lpi-stress"),
    "kicks are lost": Broken(KicksLost, "its-trigger lpi-stress"),
    "EOIR1 is ignored": Broken(Eoir1Ignored, "its-pending-migration lpi-stress"),
    "IAR gives a wrong INTID": Broken(WrongAcknowledge, f"{ALL} lpi-stress"),
}


@each(BROKEN)
def test_a_check_notices(board: Callable[[int, int, int], Board], name: str) -> None:
    failing(board, name, load=SMALL)
