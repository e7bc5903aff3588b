"""One ITS: its registers and its command queue.

Room:    the top of its/; devices and a hypervisor write here.
Owns:    GITS_* and the queue.
Never:   decides what a command does: commands and vcommands do.
Holds:   tables and queue change only while the ITS is disabled.

A command has taken effect, everywhere, when CREADR passes it: SYNC and VSYNC have nothing left to wait for.
Registers that are not named here are RAZ/WI.
Source: IHI 0069H, GITS_*.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, final

from hw.arch import IIDR_ARM
from hw.arch4 import (
    BASER_COLLECTION,
    BASER_DEVICE,
    BASER_ENTRY_SIZE_SHIFT,
    BASER_INDIRECT,
    BASER_PA,
    BASER_PAGE_SIZE_SHIFT,
    BASER_RO,
    BASER_SHAREABILITY,
    BASER_SIZE_MASK,
    BASER_TYPE_SHIFT,
    BASER_VPE,
    CBASER_MASK,
    COMMAND_SIZE,
    CREADR_STALLED,
    CWRITER_RETRY,
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CTLR_ENABLED,
    GITS_CTLR_IMDE,
    GITS_CTLR_NUMBER_SHIFT,
    GITS_CTLR_QUIESCENT,
    GITS_CWRITER,
    GITS_IIDR,
    GITS_MPIDR,
    GITS_PIDR2,
    GITS_SGIR,
    GITS_STATUSR,
    GITS_TRANSLATER,
    GITS_TYPER,
    GITS_UMSIR,
    NR_BASERS,
    PA_4K,
    QUEUE_OFFSET_MASK,
    STATUSR_MASK,
    STATUSR_UMSI,
    SYNC,
    VALID,
    VSYNC,
)
from hw.config4 import ItsConfig
from hw.fabric import Fabric
from hw.its.core import ItsCore, Words
from hw.its.maps import COLLECTION_ENTRY, DEVICE_ENTRY, ItsError, MemoryFault
from hw.misuse import MAX_RECORDS
from hw.physirq import W32, W64, merge, part
from hw.redist import Redistributor
from hw.tables import Table
from hw.vpes import VPECT_ENTRY, Vpes

WORDS: Final = Struct("<4Q")
PRIVATE_VPE_ENTRY: Final = 8
BASER_WRITABLE: Final = (1 << 64) - 1 & ~BASER_RO
MAX_ITSS: Final = 16  # that a VMOVP list has room for


class CommandSet:
    """What executes commands: see commands.Commands."""

    def execute(self, its: ItsCore, words: Words) -> str:
        """Execute one; the name of its error, or nothing."""
        raise NotImplementedError

    def abandon(self, its: ItsCore) -> None:
        """Whatever `its` waits for, it no longer does."""
        raise NotImplementedError


@final
class Its(ItsCore):
    """ITS `number` of a machine, in front of its redistributors."""

    def __init__(
        self,
        number: int,
        config: ItsConfig,
        fabric: Fabric,
        vpes: Vpes,
        redists: Sequence[Redistributor],
        commands: CommandSet,
    ) -> None:
        """Reset state: disabled, no tables, no queue."""
        super().__init__(number, config, fabric, vpes, redists)
        self.commands = commands
        self.imde = False
        self.cbaser = 0
        self.cwriter = 0
        self.creadr = 0
        self.stalled = False
        self._running = False
        sizes = DEVICE_ENTRY, COLLECTION_ENTRY, VPECT_ENTRY if self.svpet else PRIVATE_VPE_ENTRY
        types = BASER_DEVICE, BASER_COLLECTION, BASER_VPE if self.virtual else 0
        self._fixed = [
            type_ << BASER_TYPE_SHIFT | (size - 1) << BASER_ENTRY_SIZE_SHIFT if type_ else 0
            for type_, size in zip(types, sizes, strict=True)
        ]
        self.basers = [*self._fixed, *[0] * (NR_BASERS - 3)]

    # Registers

    def read(self, offset: int, size: int) -> int:
        """Read `size` bytes at `offset` of the ITS frames."""
        if size not in (W32, W64) or offset % size:
            self._wrong_size(offset, size)
            return 0
        if size == W64 and offset in (GITS_CTLR, GITS_STATUSR):
            return self._word(offset)
        value = self._word(offset)
        if value >= 0 and size == W32:
            return value
        return part(self._double(offset & ~7), offset % W64, size)

    def _word(self, offset: int) -> int:
        """The 32-bit register at `offset`, or -1."""
        if offset == GITS_CTLR:
            value = (GITS_CTLR_ENABLED if self.enabled else 0) | (GITS_CTLR_IMDE if self.imde else 0)
            value |= self.number << GITS_CTLR_NUMBER_SHIFT
            return value | (0 if self.enabled else GITS_CTLR_QUIESCENT)
        if offset == GITS_IIDR:
            return IIDR_ARM
        if offset == GITS_MPIDR:
            return self.config.mpidr if self.svpet else 0
        if offset == GITS_STATUSR:
            return self.statusr
        if offset == GITS_PIDR2:
            return (4 if self.virtual else 3) << 4
        return -1

    def _double(self, offset: int) -> int:
        """The 64-bit register at `offset`, or 0."""
        if offset == GITS_TYPER:
            return self.typer
        if offset == GITS_CBASER:
            return self.cbaser
        if offset == GITS_CWRITER:
            return self.cwriter
        if offset == GITS_CREADR:
            return self.creadr | (CREADR_STALLED if self.stalled else 0)
        if offset == GITS_UMSIR:
            return self.umsir
        n = offset - GITS_BASER >> 3
        return self.basers[n] if 0 <= n < NR_BASERS else 0

    def write(self, offset: int, size: int, value: int, devid: int = 0) -> None:
        """Write `size` bytes at `offset` of the ITS frames; `devid` is the DeviceID of who writes."""
        if offset == GITS_SGIR and size == W64 and self.has_vsgi:
            self.send_sgi(value)
        elif offset == GITS_TRANSLATER and size in (2, W32):
            self.msi(devid, value & ((1 << 8 * size) - 1))
        else:
            self.misuse.doing(self.name, offset, value)
            if size not in (W32, W64) or offset % size or offset in (GITS_SGIR, GITS_TRANSLATER):
                self._wrong_size(offset, size)
            else:
                self._write(offset, size, value)
            self.dist.notify()
            self.misuse.done()

    def _write(self, offset: int, size: int, value: int) -> None:
        register, at = offset & ~7, offset % W64
        n = register - GITS_BASER >> 3
        if register == GITS_CWRITER:
            self._write_cwriter(merge(self.cwriter, at, size, value))
        elif register == GITS_CBASER:
            self._write_cbaser(merge(self.cbaser, at, size, value))
        elif 0 <= n < NR_BASERS:
            self._write_baser(n, merge(self.basers[n], at, size, value))
        elif offset == GITS_CTLR:
            self.enabled = value & GITS_CTLR_ENABLED != 0
            self.imde = value & GITS_CTLR_IMDE != 0
            self.run()
        elif offset == GITS_STATUSR:
            self.statusr &= ~(value & STATUSR_MASK)
            if not self.statusr & STATUSR_UMSI:
                self.umsir = 0

    def _write_cbaser(self, value: int) -> None:
        if self.enabled:
            self.misuse.report("M-06", "GITS_CBASER")
            return
        self.cbaser = value & CBASER_MASK & (-1 if self.config.coherent else ~BASER_SHAREABILITY)
        self.creadr = 0
        self.stalled = False
        self.commands.abandon(self)

    def _write_baser(self, n: int, value: int) -> None:
        """Give the ITS a table, or take it away; RO fields and slots without a type ignore writes."""
        if n >= len(self._fixed) or not self._fixed[n]:
            return
        if self.enabled:
            self.misuse.report("M-06", f"GITS_BASER{n}")
            return
        value &= BASER_WRITABLE & (-1 if self.config.coherent else ~BASER_SHAREABILITY)
        if value >> BASER_PAGE_SIZE_SHIFT & 3 == 3:
            value &= ~(1 << BASER_PAGE_SIZE_SHIFT)
        self.basers[n] = value | self._fixed[n]
        page_bits = 12 + 2 * (value >> BASER_PAGE_SIZE_SHIFT & 3)
        base = value & BASER_PA
        if page_bits == 16:
            base = base & ~0xF000 | (base & 0xF000) << 36
        entry_size = (self._fixed[n] >> BASER_ENTRY_SIZE_SHIFT & 0x1F) + 1
        indirect = value & BASER_INDIRECT != 0
        pages = (value & BASER_SIZE_MASK) + 1
        what = f"{('the device', 'the collection', 'the vPE')[n]} table of {self.name}"
        if n == 0:
            self.maps.set_device_table(None)
        elif n == 1:
            self.maps.set_collection_table(None)
        elif self.vpe_table is not None:
            self._forget_vpes()
            self.vpe_table.release()
            self.vpe_table = None
        if value & VALID:
            table = Table(self.fabric, base, pages, page_bits, indirect, entry_size, what)
            if n == 0:
                self.targets.clear()
                self.individual.clear()
                self.maps.set_device_table(table)
            elif n == 1:
                self.maps.set_collection_table(table)
            else:
                self.vpe_table = table

    def _forget_vpes(self) -> None:
        """The vPE table is taken away: no vPE is mapped here any more."""
        for vpeid in list(self.vpes):
            self.unmap_vpe(vpeid)

    def _wrong_size(self, offset: int, size: int) -> None:
        self.misuse.doing(self.name, offset, size)
        self.misuse.report("ACCESS_SIZE", f"{size} bytes")
        self.misuse.done()

    # The queue

    @property
    def queue_size(self) -> int:
        """Bytes of the queue."""
        return ((self.cbaser & 0xFF) + 1) << 12

    def _write_cwriter(self, value: int) -> None:
        self.cwriter = value & QUEUE_OFFSET_MASK
        if value & CWRITER_RETRY:
            self.stalled = False
        self.run()

    def run(self) -> None:
        """Execute commands from CREADR to CWRITER, until one stalls or waits."""
        if self._running or self.cwriter >= self.queue_size:
            return
        self._running = True
        while self.enabled and self.cbaser & VALID and self.creadr != self.cwriter:
            if self.stalled or self.waiting or not self._step():
                break
        self._running = False

    def _step(self) -> bool:
        """Execute the command at CREADR; False if the queue stops there."""
        at = (self.cbaser & PA_4K) + self.creadr
        memory = self.fabric.memory
        if not memory.contains(at, COMMAND_SIZE):
            return self._failed("QUEUE_FAULT", (0, 0, 0, 0), True)
        data = memory.load_bytes(at, COMMAND_SIZE)
        words: Words = WORDS.unpack(data)
        self.misuse.doing_command(self.name, self.creadr, words)
        number = words[0] & 0xFF
        try:
            error = self.commands.execute(self, words)
        except MemoryFault:
            return self._failed("MEMORY_FAULT", words, True)
        if self.fabric.trace is not None:
            self.fabric.trace.event("its_cmd", self.number, self.creadr, words, error)
        if self.waiting:  # not done: it runs again, or is passed, once the other ITSs are there
            return False
        self.count_command(number)
        if error and not self._failed(error, words, self.config.stalls):
            return False
        self.advance()
        return True

    def count_command(self, number: int) -> None:
        """A command was executed."""
        cost = self.cost
        cost.commands += 1
        cost.by_command[number] = cost.by_command.get(number, 0) + 1
        if number in (SYNC, VSYNC):
            cost.syncs += 1

    def resume(self, number: int) -> None:
        """Command `number`, which waited for other ITSs, is done: go on behind it."""
        self.waiting = False
        self.count_command(number)
        self.advance()
        self.run()

    def advance(self) -> None:
        """CREADR passes the command that it is on."""
        self.creadr = (self.creadr + COMMAND_SIZE) % self.queue_size

    def _failed(self, name: str, words: Words, stalls: bool) -> bool:
        """A command is in error; whether the queue goes on."""
        self.cost.errors += 1
        if len(self.errors) < MAX_RECORDS:
            self.errors.append(ItsError(name, ERRORS.get(name, 0), words, self.config.seis))
        self.stalled = stalls
        return not stalls


# Numbers that the manual and hypervisors give command errors; those of GICv4's commands are not published

ERRORS: Final[dict[str, int]] = {
    "MAPD_DEVICE_OOR": 0x010801,
    "MAPD_ITTSIZE_OOR": 0x010802,
    "MAPC_RD_OOR": 0x010902,
    "MAPC_COLLECTION_OOR": 0x010903,
    "MAPTI_DEVICE_UNMAPPED": 0x010A04,
    "MAPTI_EVENT_OOR": 0x010A05,
    "MAPTI_INTID_OOR": 0x010A06,
    "MOVI_UNMAPPED_INTERRUPT": 0x010107,
    "MOVI_UNMAPPED_COLLECTION": 0x010109,
    "INT_UNMAPPED_INTERRUPT": 0x010307,
    "CLEAR_UNMAPPED_INTERRUPT": 0x010507,
    "INV_UNMAPPED_INTERRUPT": 0x010C07,
    "DISCARD_UNMAPPED_INTERRUPT": 0x010F07,
    "INVALL_UNMAPPED_COLLECTION": 0x010D09,
    "MOVALL_RD_OOR": 0x010E01,
}
