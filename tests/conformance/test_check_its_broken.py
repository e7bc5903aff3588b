"""`vgic check`: the checks of the ITS fail when they should: on each board something is wrong."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_CTLR,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
)
from vgic import CTRL_SAVE_PENDING_TABLES, ITS_RESTORE_TABLES, ITS_SAVE_TABLES, DeviceType, Group
from vgic.cli.check import run_checks
from vgic.cli.checks import CHECKS
from vgic.cli.checks.board import GICR_BASE, GITS_BASE, RAM_BASE, Board
from vgic.cli.checks.guest import Load
from vgic.cli.checks.its import CONFIG
from vgic.cli.checks.migrate import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_TYPER,
)
from vgic.cli.checks.report import FAILED

ITS_CHECKS: Final = [name for name in CHECKS if name.startswith("its-")]
SMALL: Final = Load(2, 16, 8)
FIRST_LPI: Final = 8192

# -- boards --------------------------------------------------------------------------------------


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


class Stored(Board):
    """A register that is memory."""

    register: int

    def __init__(self, cpus: int, lrs: int, spis: int) -> None:
        super().__init__(cpus, lrs, spis)
        self.stored: int | None = None

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        if gpa == GITS_BASE + self.register:
            self.stored = value
        return super().store(cpu, gpa, size, value)

    def load(self, cpu: int, gpa: int, size: int) -> int:
        value = super().load(cpu, gpa, size)
        return self.stored if gpa == GITS_BASE + self.register and self.stored is not None else value


class IidrStored(Stored):
    register = GITS_IIDR


class TyperStored(Stored):
    register = GITS_TYPER


class LoadChanged(Board):
    """A register of the ITS reads otherwise."""

    register: int
    cleared = 0
    set_too = 0

    def load(self, cpu: int, gpa: int, size: int) -> int:
        value = super().load(cpu, gpa, size)
        return value & ~self.cleared | self.set_too if gpa == GITS_BASE + self.register else value


class NoPhysicalLpis(LoadChanged):
    register, cleared = GITS_TYPER, 1


class NoEventIds(LoadChanged):
    register, cleared = GITS_TYPER, 0x1F << 8


class PtaSet(LoadChanged):
    register, set_too = GITS_TYPER, 1 << 19


class NoDeviceTable(LoadChanged):
    register, cleared = GITS_BASER, 7 << 56


class SmallPages(LoadChanged):
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


class KicksLost(Board):
    def kick(self, cpu: int) -> None:
        pass


class EoirIgnored(Board):
    def msr(self, cpu: int, register: int, value: int) -> bool:
        return register == ICC_EOIR1_EL1 or super().msr(cpu, register, value)


class WrongAcknowledge(Board):
    def mrs(self, cpu: int, register: int) -> int:
        value = super().mrs(cpu, register)
        return value ^ 1 if register == ICC_IAR1_EL1 and value >= FIRST_LPI else value


# A VMM that leaves something out when it migrates.


class AttrLost(Board):
    """One attribute is never set."""

    device = DeviceType.VGIC_V3
    group = Group.CTRL
    attr: int

    def set_attr(self, device: DeviceType, group: Group, attr: int, value: int = 0) -> None:
        if (device, group, attr & 0xFFFF_FFFF) != (self.device, self.group, self.attr):
            super().set_attr(device, group, attr, value)


class PendingTablesNotSaved(AttrLost):
    attr = CTRL_SAVE_PENDING_TABLES


class TablesNotSaved(AttrLost):
    device, attr = DeviceType.ITS, ITS_SAVE_TABLES


class TablesNotRestored(AttrLost):
    device, attr = DeviceType.ITS, ITS_RESTORE_TABLES


class ItsRegisterLost(AttrLost):
    device, group = DeviceType.ITS, Group.ITS_REGS


class CbaserNotRestored(ItsRegisterLost):
    attr = GITS_CBASER


class CreadrNotRestored(ItsRegisterLost):
    """All commands run again."""

    attr = GITS_CREADR


class CwriterNotRestored(ItsRegisterLost):
    """The ITS goes round the queue, and the next command has all run again."""

    attr = GITS_CWRITER


class DeviceTableNotRestored(ItsRegisterLost):
    attr = GITS_BASER


class CollectionTableNotRestored(ItsRegisterLost):
    attr = GITS_BASER + 8


class ItsNotEnabled(ItsRegisterLost):
    attr = GITS_CTLR


class RedistRegisterLost(AttrLost):
    group = Group.REDIST_REGS


class PropbaserNotRestored(RedistRegisterLost):
    attr = GICR_PROPBASER


class PendbaserNotRestored(RedistRegisterLost):
    attr = GICR_PENDBASER


class LpisNotEnabled(RedistRegisterLost):
    attr = GICR_CTLR


class DistributorNotEnabled(AttrLost):
    group, attr = Group.DIST_REGS, GICD_CTLR


class PmrNotRestored(AttrLost):
    group, attr = Group.CPU_SYSREGS, ICC_PMR_EL1


class GroupNotEnabled(AttrLost):
    group, attr = Group.CPU_SYSREGS, ICC_IGRPEN1_EL1


class RamLeftBehind(Board):
    """RAM is not copied."""

    def write_ram(self, gpa: int, data: bytes) -> bool:
        return len(data) == self.ram_size or super().write_ram(gpa, data)


class RamCopiedTooEarly(Board):
    """RAM is copied before the tables are saved into it."""

    early: bytes | None = None

    def set_attr(self, device: DeviceType, group: Group, attr: int, value: int = 0) -> None:
        if (device, group, attr) == (DeviceType.ITS, Group.CTRL, ITS_SAVE_TABLES):
            self.early = super().read_ram(RAM_BASE, self.ram_size)
        super().set_attr(device, group, attr, value)

    def read_ram(self, gpa: int, size: int) -> bytes | None:
        return self.early if size == self.ram_size else super().read_ram(gpa, size)


class ConfigDamaged(Board):
    """A byte of the configuration table changes on the way: that of LPI 8192."""

    def write_ram(self, gpa: int, data: bytes) -> bool:
        if len(data) == self.ram_size:
            at = data.index(bytes([CONFIG]))
            data = data[:at] + b"\x81" + data[at + 1 :]
        return super().write_ram(gpa, data)


class Broken(NamedTuple):
    """A board with one thing wrong, and the checks that have to notice."""

    board: Callable[[int, int, int], Board]
    checks: str


ALL: Final = " ".join(name for name in ITS_CHECKS if name != "its-introspection")
ALL_MIGRATIONS: Final = "its-migration its-pending-migration its-migrate-unmapped-collection"
MAPPED_MIGRATIONS: Final = "its-migration its-migrate-unmapped-collection"

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
    "EOIR1 is ignored": Broken(EoirIgnored, "its-pending-migration lpi-stress"),
    "IAR gives a wrong INTID": Broken(WrongAcknowledge, f"{ALL} lpi-stress"),
    "pending tables are not saved": Broken(PendingTablesNotSaved, "its-pending-migration"),
    "ITS tables are not saved": Broken(TablesNotSaved, ALL_MIGRATIONS),
    "ITS tables are not restored": Broken(TablesNotRestored, ALL_MIGRATIONS),
    "CBASER is not restored": Broken(CbaserNotRestored, MAPPED_MIGRATIONS),
    "CREADR is not restored": Broken(CreadrNotRestored, "its-migration"),
    "CWRITER is not restored": Broken(CwriterNotRestored, "its-migration"),
    "BASER0 is not restored": Broken(DeviceTableNotRestored, ALL_MIGRATIONS),
    "BASER1 is not restored": Broken(CollectionTableNotRestored, ALL_MIGRATIONS),
    "GITS_CTLR is not restored": Broken(ItsNotEnabled, MAPPED_MIGRATIONS),
    "PROPBASER is not restored": Broken(PropbaserNotRestored, ALL_MIGRATIONS),
    "PENDBASER is not restored": Broken(PendbaserNotRestored, "its-pending-migration"),
    "EnableLPIs is not restored": Broken(LpisNotEnabled, MAPPED_MIGRATIONS),
    "GICD_CTLR is not restored": Broken(DistributorNotEnabled, ALL_MIGRATIONS),
    "PMR is not restored": Broken(PmrNotRestored, ALL_MIGRATIONS),
    "IGRPEN1 is not restored": Broken(GroupNotEnabled, ALL_MIGRATIONS),
    "RAM is left behind": Broken(RamLeftBehind, ALL_MIGRATIONS),
    "RAM is copied too early": Broken(RamCopiedTooEarly, ALL_MIGRATIONS),
    "a byte of the configuration is damaged": Broken(ConfigDamaged, "its-migrate-unmapped-collection"),
}
BREAKAGES: Final = [(what, name) for what, row in BROKEN.items() for name in row.checks.split()]


@pytest.mark.parametrize(("what", "name"), BREAKAGES, ids=[f"{name}: {what}" for what, name in BREAKAGES])
def test_a_check_notices(what: str, name: str) -> None:
    lines: list[str] = []
    status = run_checks([name], build=BROKEN[what].board, write=lines.append, load=SMALL)
    assert status == FAILED
    assert any(line.startswith(f"FAIL: gicv3: {name}: ") for line in lines)
