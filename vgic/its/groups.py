"""The attributes of an ITS device (KVM: vgic_its_set_attr() and its like).

Room:    above the registers, the tables and reset; below device.
"""

from typing import Final, final

from vgic.attrgroups import AttrGroup, stop
from vgic.dist import Dist
from vgic.errors import EINVAL, ENODEV, ENXIO, ConfigError, VgicError
from vgic.ids import (
    CTRL_INIT,
    ITS_CTRL_RESET,
    ITS_RESTORE_TABLES,
    ITS_SAVE_TABLES,
    ITS_SIZE,
    SIZE_64K,
    UNDEFINED_ADDR,
    Addr,
    Group,
)
from vgic.its.frame import ItsRegister
from vgic.its.restoretables import restore
from vgic.its.savetables import save
from vgic.its.state import Its
from vgic.mmio import W32, W64, Region
from vgic.ranges import check_new_base

_U32: Final = 0xFFFF_FFFF
_ID_REGS: Final = 0xFFD0


class ItsGroup(AttrGroup):
    """A group of one ITS."""

    __slots__ = ("its",)

    def __init__(self, its: Its) -> None:
        """Name the ITS."""
        self.its = its


@final
class ItsAddrGroup(ItsGroup):
    """KVM_DEV_ARM_VGIC_GRP_ADDR: where the ITS lies."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Return the address, all ones where none is set.  Errors: ENODEV."""
        self._check(attr)
        return self.its.base

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Set the address, once, and put the ITS on the bus.  Errors: ENODEV, EEXIST, EINVAL, E2BIG, ENOSPC."""
        self._check(attr)
        check_new_base("ITS", self.its.base, value, ITS_SIZE, SIZE_64K, dist.ipa_size)
        self.its.base = value
        dist.bus.register(self.its)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO for another address."""
        if attr != Addr.ITS:
            raise ConfigError(ENXIO, f"an ITS has no address of type {attr}")

    @staticmethod
    def _check(attr: int) -> None:
        if attr != Addr.ITS:
            raise VgicError(ENODEV, f"an ITS has no address of type {attr}")


@final
class ItsCtrlGroup(ItsGroup):
    """KVM_DEV_ARM_VGIC_GRP_CTRL: save, restore, reset.  Initialisation has nothing to do."""

    __slots__ = ()

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Do it; what KVM 6.12 does not know it accepts and ignores.  Errors: EBUSY; those of save and restore."""
        if attr == CTRL_INIT:
            return
        stop(dist)
        if attr == ITS_SAVE_TABLES:
            save(self.its)
        elif attr == ITS_RESTORE_TABLES:
            restore(self.its)
        elif attr == ITS_CTRL_RESET:
            self.its.reset()

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: ENXIO."""
        if attr not in (CTRL_INIT, ITS_SAVE_TABLES, ITS_RESTORE_TABLES, ITS_CTRL_RESET):
            raise ConfigError(ENXIO, f"an ITS has no control attribute {attr}")


@final
class ItsRegsGroup(ItsGroup):
    """KVM_DEV_ARM_VGIC_GRP_ITS_REGS: registers at their full width; values are 64-bit."""

    __slots__ = ()

    def get(self, dist: Dist, attr: int, value: int) -> int:
        """Read.  Errors: EINVAL for a misaligned offset; EBUSY; ENXIO without an address or a register."""
        row = self._row(dist, attr)
        accessor = row.accessor
        assert isinstance(accessor, ItsRegister)
        return accessor.get_part(self.its, (attr & _U32) - row.offset, W64 if row.widths & W64 else W32)

    def set(self, dist: Dist, attr: int, value: int) -> None:
        """Write.  Errors: as `get`, and the register's."""
        row = self._row(dist, attr)
        accessor = row.accessor
        assert isinstance(accessor, ItsRegister)
        accessor.user_set(self.its, value if row.widths & W64 else value & _U32)

    def check(self, dist: Dist, attr: int) -> None:
        """Errors: EINVAL, ENXIO."""
        self._aligned(attr)
        if not self.its.table.row_at(attr & _U32).widths:
            raise ConfigError(ENXIO, f"an ITS has no register at {attr & _U32:#x}")

    @staticmethod
    def _aligned(attr: int) -> None:
        offset = attr & _U32
        if offset % (W32 if offset < W64 or offset >= _ID_REGS else W64):
            raise ConfigError(EINVAL, f"ITS register offset {offset:#x} is misaligned")

    def _row(self, dist: Dist, attr: int) -> Region:
        self._aligned(attr)
        stop(dist)
        if self.its.base == UNDEFINED_ADDR:
            raise ConfigError(ENXIO, "the ITS has no address")
        row = self.its.table.row_at(attr & _U32)
        if not row.widths:
            raise ConfigError(ENXIO, f"an ITS has no register at {attr & _U32:#x}")
        return row


def groups_of(its: Its) -> dict[int, AttrGroup]:
    """Return the attribute groups of one ITS."""
    return {Group.ADDR: ItsAddrGroup(its), Group.CTRL: ItsCtrlGroup(its), Group.ITS_REGS: ItsRegsGroup(its)}
