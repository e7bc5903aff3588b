"""The guest's driver for LPIs: its ITS, and the redistributors' part.

Room:    beside the driver `gic`, above the guest's kernel; below the checks of the ITS.
Owns:    the guest's tables and the command queue, in RAM.
Holds:   a command is complete when `send` returns.
         RDbase is a PE number: GITS_TYPER.PTA is checked when the driver starts.

kvm-unit-tests: lib/arm64/gic-v3-its.c, gic-v3-its-cmd.c, lib/arm/gic-v3.c.
"""

from typing import Final, final

from hw.arch import (
    FIRST_LPI,
    GICR_CTLR,
    GICR_CTLR_ENABLE_LPIS,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_TYPER,
    PENDBASER_PTZ,
)
from vgic.cli.checks.board import GITS_BASE
from vgic.cli.checks.gicv3 import GicV3
from vgic.cli.checks.guest import PAGE, Cpu, Guest
from vgic.cli.checks.migrate import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_TYPER,
    NR_BASERS,
)
from vgic.cli.checks.port import GuestError

CONFIG: Final = 0xA3
"""A byte of the configuration table: priority 0xA0, RES1, enabled (kvm-unit-tests' LPI_PROP_DEFAULT)."""
CONFIG_ENABLE: Final = 1

ID_BITS: Final = 14
"""INTIDs of the tests: 16384 of them, half of them LPIs."""

TYPE_DEVICES: Final = 1
TYPE_COLLECTIONS: Final = 4
"""GITS_BASER.Type."""

EVENT_BITS: Final = 8
"""Bits of the tests' EventIDs."""

_VALID: Final = 1 << 63
_TYPER_PTA: Final = 1 << 19
_BASER_TYPE_SHIFT: Final = 56
_BASER_PAGE_SIZE: Final = 0b11 << 8
_BASER_64K: Final = 0b10 << 8
_ENABLED: Final = 1

_QUEUE_SIZE: Final = PAGE
_QUEUE_PAGES: Final = _QUEUE_SIZE // 4096
_COMMAND_SIZE: Final = 32
_POLLS: Final = 1000
_ITE_SIZE: Final = 8
_ITT_ALIGN: Final = 256

_MAPD: Final = 0x08
_MAPC: Final = 0x09
_MAPTI: Final = 0x0A
_INT: Final = 0x03
_INV: Final = 0x0C
_INVALL: Final = 0x0D


@final
class Lpis:
    """The configuration table that all redistributors share, and a pending table for each of them."""

    __slots__ = ("_gic", "_guest", "config_table", "pending_tables")

    def __init__(self, guest: Guest, id_bits: int = ID_BITS) -> None:
        """Allocate the tables, tell the redistributors, enable LPIs on all.  Errors: GuestError on another GIC."""
        if not isinstance(guest.gic, GicV3):
            raise GuestError("only a GICv3 has LPIs")
        self._guest = guest
        self._gic = guest.gic
        self.config_table = guest.allocate(1 << id_bits)
        self.pending_tables = [guest.allocate(PAGE) for _ in guest.cpus]
        for cpu, table in zip(guest.cpus, self.pending_tables, strict=True):
            guest.boot.store(self._redist(cpu) + GICR_PROPBASER, self.config_table | id_bits - 1, 8)
            guest.boot.store(self._redist(cpu) + GICR_PENDBASER, table, 8)
        for cpu in guest.cpus:
            self.enable(cpu, True)

    def _redist(self, cpu: Cpu) -> int:
        return self._gic.redists[cpu.index]

    def enable(self, cpu: Cpu, on: bool) -> None:
        """Write GICR_CTLR.EnableLPIs of a CPU."""
        gpa = self._redist(cpu) + GICR_CTLR
        control = self._guest.boot.load(gpa)
        self._guest.boot.store(gpa, control | GICR_CTLR_ENABLE_LPIS if on else control & ~GICR_CTLR_ENABLE_LPIS)

    def have_pending_table_read(self, cpu: Cpu) -> None:
        """Clear GICR_PENDBASER.PTZ: the table is not all zero when LPIs are next enabled."""
        gpa = self._redist(cpu) + GICR_PENDBASER
        self._guest.boot.store(gpa, self._guest.boot.load(gpa, 8) & ~PENDBASER_PTZ, 8)

    def number(self, cpu: Cpu) -> int:
        """Return GICR_TYPER.Processor_Number, which MAPC wants."""
        return self._guest.boot.load(self._redist(cpu) + GICR_TYPER, 8) >> 8 & 0xFFFF

    def configure(self, intid: int, config: int = CONFIG) -> None:
        """Write a byte of the configuration table; an INV has to follow."""
        self._guest.write(self.config_table + intid - FIRST_LPI, bytes([config]))

    def configuration(self, intid: int) -> int:
        """Read a byte of the configuration table."""
        return self._guest.read(self.config_table + intid - FIRST_LPI, 1)[0]

    def set_pending(self, cpu: Cpu, intid: int) -> None:
        """Set a bit of a CPU's pending table."""
        gpa = self.pending_tables[cpu.index] + intid // 8
        self._guest.write(gpa, bytes([self._guest.read(gpa, 1)[0] | 1 << intid % 8]))


@final
class Its:
    """The ITS: found, given its tables, enabled."""

    __slots__ = ("_cpu", "_guest", "_itts", "_queue", "_write_at", "basers", "lpis", "polls", "typer")

    def __init__(self, guest: Guest) -> None:
        """Read what there is; `start` does the rest."""
        self._guest = guest
        self._cpu = guest.boot
        self._itts: dict[int, tuple[int, int]] = {}  # DeviceID -> address and EventID bits
        self._write_at = 0  # offset of the next command
        self.polls = 0  # the most reads of GITS_CREADR that one command took
        self.typer = self._cpu.load(GITS_BASE + GITS_TYPER, 8)
        self.basers: dict[int, int] = {}  # GITS_BASER.Type -> offset of the register
        for offset in range(GITS_BASER, GITS_BASER + NR_BASERS * 8, 8):
            found = self.baser(offset) >> _BASER_TYPE_SHIFT & 7
            if found:
                self.basers[found] = offset

    def baser(self, offset: int) -> int:
        """Read a GITS_BASER."""
        return self._cpu.load(GITS_BASE + offset, 8)

    def start(self, lpis: Lpis) -> None:
        """Allocate tables and queue, and enable.  Errors: GuestError for an ITS this driver cannot drive."""
        self.lpis = lpis
        if self.typer & _TYPER_PTA:
            raise GuestError("GITS_TYPER.PTA: target addresses are not PE numbers")
        for kind in (TYPE_DEVICES, TYPE_COLLECTIONS):
            if kind not in self.basers:
                raise GuestError(f"no GITS_BASER has type {kind}")
            self._set_table(self.basers[kind])
        self._queue = self._guest.allocate(_QUEUE_SIZE)
        self._cpu.store(GITS_BASE + GITS_CBASER, self._queue | _QUEUE_PAGES - 1 | _VALID, 8)
        self._cpu.store(GITS_BASE + GITS_CWRITER, 0, 8)
        self._cpu.store(GITS_BASE + GITS_CTLR, _ENABLED)
        if not self._cpu.load(GITS_BASE + GITS_CTLR) & _ENABLED:
            raise GuestError("GITS_CTLR.Enabled cannot be set")

    def _set_table(self, offset: int) -> None:
        baser = self.baser(offset)
        if baser & _BASER_PAGE_SIZE != _BASER_64K:
            raise GuestError(f"GITS_BASER at {offset:#x} is {baser:#x}: pages are not 64 KiB")
        self._cpu.store(GITS_BASE + offset, baser | self._guest.allocate(PAGE) | _VALID, 8)

    # -- commands --------------------------------------------------------------------------------

    def send(self, *words: int) -> None:
        """Send a command of up to four doublewords and wait.  Errors: GuestError if it never completes."""
        command = b"".join(word.to_bytes(8, "little") for word in words)
        self._guest.write(self._queue + self._write_at, command.ljust(_COMMAND_SIZE, b"\0"))
        self._write_at = (self._write_at + _COMMAND_SIZE) % _QUEUE_SIZE
        self._cpu.store(GITS_BASE + GITS_CWRITER, self._write_at, 8)
        for n in range(1, _POLLS):
            if self._cpu.load(GITS_BASE + GITS_CREADR, 8) == self._write_at:
                self.polls = max(self.polls, n)
                return
        raise GuestError("ITS command queue timeout")

    def map_device(self, devid: int, event_bits: int = EVENT_BITS) -> None:
        """MAPD, with a new ITT unless the device had one."""
        if devid not in self._itts:
            size = max(_ITE_SIZE << event_bits, _ITT_ALIGN)
            self._itts[devid] = self._guest.allocate(size, _ITT_ALIGN), event_bits
        itt, bits = self._itts[devid]
        self.send(devid << 32 | _MAPD, bits - 1, itt | _VALID)

    def unmap_device(self, devid: int) -> None:
        """MAPD with V = 0."""
        itt, bits = self._itts[devid]
        self.send(devid << 32 | _MAPD, bits - 1, itt)

    def map_collection(self, icid: int, cpu: Cpu) -> None:
        """MAPC."""
        self.send(_MAPC, 0, self.lpis.number(cpu) << 16 | icid | _VALID)

    def map_event(self, devid: int, eventid: int, intid: int, icid: int) -> None:
        """MAPTI."""
        self.send(devid << 32 | _MAPTI, intid << 32 | eventid, icid)

    def interrupt(self, devid: int, eventid: int) -> None:
        """INT."""
        self.send(devid << 32 | _INT, eventid)

    def invalidate(self, devid: int, eventid: int) -> None:
        """INV."""
        self.send(devid << 32 | _INV, eventid)

    def invalidate_all(self, icid: int) -> None:
        """INVALL."""
        self.send(_INVALL, 0, icid)
