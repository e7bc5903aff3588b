"""GITS: the registers of one ITS, and where its tables lie.

Room:    a table; what a command does is commands'.
Owns:    GITS_CTLR, CBASER, CREADR, CWRITER, BASER0 and BASER1.
Holds:   the translation frame is RAZ/WI: messages come from devices, not from a guest's CPU.
"""

from typing import Final, final

from vgic.errors import EBUSY, EINVAL, ConfigError, VgicError
from vgic.ids import IIDR_IMPLEMENTER, IIDR_PRODUCT, IIDR_REV_SHIFT, ITS_SIZE
from vgic.its.commands import process
from vgic.its.state import (
    BASER_FIXED,
    BASER_RESET,
    ENTRY_SIZE,
    INDIRECT,
    INNER_CACHE_SHIFT,
    TYPE_COLLECTIONS,
    TYPE_DEVICES,
    VALID,
    Its,
)
from vgic.mmio import W32, W64, Accessor, Frame, Region, RegionTable, extract_half, insert_half
from vgic.v3.baser import INNER_SHAREABLE, OUTER_SHAREABLE, SHAREABILITY
from vgic.vcpu import VcpuGic

NR_ABIS: Final = 1

_ENABLED: Final = 1
_QUIESCENT: Final = 1 << 31

# GITS_TYPER: physical LPIs, 8-byte entries, 16 bits of EventID and DeviceID; RDbase is a PE number
TYPER: Final = 15 << 13 | 15 << 8 | (ENTRY_SIZE - 1) << 4 | 1

_OUTER_CACHE_SHIFT: Final = 53
_CACHE: Final = 0b111
_CBASER_ADDRESS_RES0: Final = 0xF << 12
_QUEUE_OFFSET: Final = 0xF_FFE0

_ID_REGS: Final = {0x00: 0x40, 0x10: 0x92, 0x14: 0xB4, 0x18: 0x3B, 0x20: 0x0D, 0x24: 0xF0, 0x28: 0x05, 0x2C: 0xB1}


def _sanitise(value: int) -> int:
    """Return a table register with memory attributes KVM supports."""
    if value & SHAREABILITY == OUTER_SHAREABLE:
        value = value & ~SHAREABILITY | INNER_SHAREABLE
    if value >> INNER_CACHE_SHIFT & _CACHE <= 1:
        value = value & ~(_CACHE << INNER_CACHE_SHIFT) | 3 << INNER_CACHE_SHIFT
    if value >> _OUTER_CACHE_SHIFT & _CACHE > 1:
        value &= ~(_CACHE << _OUTER_CACHE_SHIFT)
    return value


class ItsRegister(Accessor):
    """A register of one ITS: `get` and `set` state its rule for the whole."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the register."""
        return 0

    def set(self, its: Its, value: int) -> None:
        """Take what the guest writes; ignored unless the register says otherwise."""

    def user_set(self, its: Its, value: int) -> None:
        """Take what user space writes: as the guest unless the register says otherwise.  Errors: EBUSY, EINVAL."""
        self.set(its, value)

    def get_part(self, its: Its, at: int, size: int) -> int:
        """Return the whole or a half."""
        return extract_half(self.get(its), at, size)

    def read(self, frame: Frame, vcpu: VcpuGic, at: int, size: int) -> int:
        """Return the whole or a half."""
        assert isinstance(frame, Its)
        return self.get_part(frame, at, size)

    def write(self, frame: Frame, vcpu: VcpuGic, at: int, size: int, value: int) -> None:
        """Merge a half into the whole and take it."""
        assert isinstance(frame, Its)
        self.set(frame, insert_half(self.get(frame), at, size, value))


@final
class Ctlr(ItsRegister):
    """GITS_CTLR: Enabled; Quiescent says that the queue is empty, whether enabled or not."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return both."""
        return (_QUIESCENT if its.creadr == its.cwriter else 0) | its.enabled

    def set(self, its: Its, value: int) -> None:
        """Disable, or enable (refused while a table or the queue is not valid) and process the queue."""
        if not value & _ENABLED:
            its.enabled = False
            its.drop_cache()
        elif its.enabled or its.device_table & its.collection_table & its.cbaser & VALID:
            its.enabled = True
            process(its)


@final
class Iidr(ItsRegister):
    """GITS_IIDR: the revision is that of the table format in guest memory."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return product, revision and implementer."""
        return IIDR_PRODUCT | its.abi << IIDR_REV_SHIFT | IIDR_IMPLEMENTER

    def user_set(self, its: Its, value: int) -> None:
        """Choose a table format.  Errors: EINVAL for one that does not exist."""
        abi = value >> IIDR_REV_SHIFT & 0xF
        if abi >= NR_ABIS:
            raise ConfigError(EINVAL, f"GITS_IIDR revision {abi}: only table format 0 exists")
        its.abi = abi


@final
class Typer(ItsRegister):
    """GITS_TYPER."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the constant."""
        return TYPER


@final
class Cbaser(ItsRegister):
    """GITS_CBASER: where the command queue lies.  A write empties it; ignored while enabled."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the register."""
        return its.cbaser

    def set(self, its: Its, value: int) -> None:
        """Store."""
        if not its.enabled:
            its.cbaser = _sanitise(value) & ~_CBASER_ADDRESS_RES0
            its.creadr = its.cwriter = 0


@final
class Cwriter(ItsRegister):
    """GITS_CWRITER: a write makes the ITS process commands up to it."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the offset."""
        return its.cwriter

    def set(self, its: Its, value: int) -> None:
        """Take an offset within the queue; process if enabled."""
        offset = value & _QUEUE_OFFSET
        if offset < its.queue_size:
            its.cwriter = offset
            if its.enabled:
                process(its)


@final
class Creadr(ItsRegister):
    """GITS_CREADR: how far the ITS has come; only user space sets it."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the offset."""
        return its.creadr

    def user_set(self, its: Its, value: int) -> None:
        """Restore the offset.  Errors: EBUSY while enabled; EINVAL past the queue."""
        if its.enabled:
            raise VgicError(EBUSY, "GITS_CREADR cannot be set while the ITS is enabled")
        offset = value & _QUEUE_OFFSET
        if offset >= its.queue_size:
            raise ConfigError(EINVAL, f"GITS_CREADR {offset:#x} lies past the queue of {its.queue_size:#x} bytes")
        its.creadr = offset


@final
class DeviceTable(ItsRegister):
    """GITS_BASER0: the device table, flat or in two levels.  A change forgets every device."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the register."""
        return its.device_table

    def set(self, its: Its, value: int) -> None:
        """Store, with the fixed fields; ignored while enabled."""
        value = _sanitise(value & ~BASER_FIXED | BASER_RESET & BASER_FIXED | TYPE_DEVICES)
        if not its.enabled and value != its.device_table:
            its.device_table = value
            its.maps.remove_devices()
            its.drop_cache()


@final
class CollectionTable(ItsRegister):
    """GITS_BASER1: the collection table, flat.  A change forgets every collection."""

    __slots__ = ()

    def get(self, its: Its) -> int:
        """Return the register."""
        return its.collection_table

    def set(self, its: Its, value: int) -> None:
        """Store, with the fixed fields; ignored while enabled."""
        value = _sanitise(value & ~(BASER_FIXED | INDIRECT) | BASER_RESET & BASER_FIXED | TYPE_COLLECTIONS)
        if not its.enabled and value != its.collection_table:
            its.collection_table = value
            its.maps.remove_collections()
            its.drop_cache()


@final
class IdRegs(ItsRegister):
    """The identification registers."""

    __slots__ = ()

    def get_part(self, its: Its, at: int, size: int) -> int:
        """Return a byte of the identification."""
        return _ID_REGS.get(at, 0)


GITS: Final = RegionTable(
    "GITS",
    ITS_SIZE,
    (
        #      register       offset  bytes  widths     behaviour
        Region("CTLR",         0x0000,    4, W32,       Ctlr()),
        Region("IIDR",         0x0004,    4, W32,       Iidr()),
        Region("TYPER",        0x0008,    8, W32 | W64, Typer()),
        Region("CBASER",       0x0080,    8, W32 | W64, Cbaser()),
        Region("CWRITER",      0x0088,    8, W32 | W64, Cwriter()),
        Region("CREADR",       0x0090,    8, W32 | W64, Creadr()),
        Region("BASER0",       0x0100,    8, W32 | W64, DeviceTable()),
        Region("BASER1",       0x0108,    8, W32 | W64, CollectionTable()),
        Region("BASER2-7",     0x0110, 0x30, W32 | W64, ItsRegister()),
        Region("ID registers", 0xFFD0, 0x30, W32,       IdRegs()),
    ),
)  # fmt: skip
