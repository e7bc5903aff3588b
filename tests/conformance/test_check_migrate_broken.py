"""`vgic check`: the migrations fail when they should: with each board the VMM leaves something out."""

from collections.abc import Callable
from typing import Final

from hw.arch import GICD_CTLR, GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER, ICC_IGRPEN1_EL1, ICC_PMR_EL1
from tests.conformance.broken import Broken, each, failing
from vgic import CTRL_SAVE_PENDING_TABLES, ITS_RESTORE_TABLES, ITS_SAVE_TABLES, DeviceType, Group
from vgic.cli.checks.board import RAM_BASE, Board
from vgic.cli.checks.its import CONFIG
from vgic.cli.checks.migrate import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER


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


ALL_MIGRATIONS: Final = "its-migration its-pending-migration its-migrate-unmapped-collection"
MAPPED_MIGRATIONS: Final = "its-migration its-migrate-unmapped-collection"


BROKEN: Final = {
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


@each(BROKEN)
def test_a_check_notices(board: Callable[[int, int, int], Board], name: str) -> None:
    failing(board, name)
