"""One ITS: its registers, its command queue, and the way of an MSI.

Room:    the top of its/; devices and a hypervisor write here.
Owns:    GITS_* and the queue; the vPEs that are mapped on this ITS.
Never:   decides what a command does: commands and vcommands do.
Holds:   vpe in self.vpes.values()  <=>  its bit of this ITS in vpe.maps is set.  Checked by check().

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
    GICR_STRIDE_V3,
    GICR_STRIDE_V4,
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
    GITS_TYPER_SVPET_SHIFT,
    GITS_TYPER_VIRTUAL,
    GITS_TYPER_VMAPP,
    GITS_TYPER_VSGI,
    GITS_UMSIR,
    NO_DOORBELL,
    NR_BASERS,
    PA_4K,
    QUEUE_OFFSET_MASK,
    STATUSR_MASK,
    STATUSR_OVERFLOW,
    STATUSR_UMSI,
    SYNC,
    U32,
    VALID,
    VSYNC,
)
from hw.config4 import ItsConfig
from hw.cost import Traffic
from hw.fabric import Fabric
from hw.its.maps import COLLECTION_ENTRY, DEVICE_ENTRY, Ite, ItsError, Maps, MemoryFault
from hw.misuse import MAX_RECORDS
from hw.physirq import W32, W64, merge, part
from hw.redist import Redistributor
from hw.tables import Table
from hw.vpe import Vpe
from hw.vpes import VPECT_ENTRY, Vpes

WORDS: Final = Struct("<4Q")
PRIVATE_VPE_ENTRY: Final = 8
BASER_WRITABLE: Final = (1 << 64) - 1 & ~BASER_RO
MAX_ITSS: Final = 16  # that a VMOVP list has room for
VPEID_MASK: Final = 0xFFFF

Words = tuple[int, int, int, int]


class CommandSet:
    """What executes commands: see commands.Commands."""

    def execute(self, its: "Its", words: Words) -> str:
        """Execute one; the name of its error, or nothing."""
        raise NotImplementedError

    def abandon(self, its: "Its") -> None:
        """Whatever `its` waits for, it no longer does."""
        raise NotImplementedError


@final
class Its:
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
        self.number = number
        self.name = f"GITS{number}"
        self.config = config
        self.fabric = fabric
        self.misuse = fabric.misuse
        self.all_vpes = vpes
        self.redists = redists
        self.dist = redists[0].dist
        self.commands = commands
        self.cost = Traffic()
        self.maps = Maps(fabric, config, self.cost)
        self.typer = config.typer(fabric.v4)
        self.virtual = self.typer & GITS_TYPER_VIRTUAL != 0
        self.v41 = self.typer & GITS_TYPER_VMAPP != 0
        self.has_vsgi = self.typer & GITS_TYPER_VSGI != 0
        self.svpet = self.typer >> GITS_TYPER_SVPET_SHIFT & 3
        self.vpe_table: Table | None = None
        self.vpes: dict[int, Vpe] = {}  # mapped here, by vPEID
        self.targets: dict[int, int] = {}  # vPEID -> how many events of this ITS go to it
        self.individual: dict[int, list[int]] = {}  # doorbell -> [vPEID, how many events of it use it]
        self.errors: list[ItsError] = []  # the first MAX_RECORDS of them
        # Registers
        self.enabled = False
        self.imde = False
        self.cbaser = 0
        self.cwriter = 0
        self.creadr = 0
        self.stalled = False
        self.waiting = False  # a VMOVP waits for other ITSs: CREADR stays on it
        self._running = False
        self.statusr = 0
        self.umsir = 0
        sizes = DEVICE_ENTRY, COLLECTION_ENTRY, VPECT_ENTRY if self.svpet else PRIVATE_VPE_ENTRY
        types = BASER_DEVICE, BASER_COLLECTION, BASER_VPE if self.virtual else 0
        self._fixed = [
            type_ << BASER_TYPE_SHIFT | (size - 1) << BASER_ENTRY_SIZE_SHIFT if type_ else 0
            for type_, size in zip(types, sizes, strict=True)
        ]
        self.basers = [*self._fixed, *[0] * (NR_BASERS - 3)]

    # Translation

    def msi(self, devid: int, eventid: int) -> None:
        """Device `devid` writes `eventid` to GITS_TRANSLATER."""
        self.cost.msis += 1
        if self.enabled:
            device = self.maps.devices.get(devid)
            ite = None if device is None else device.ites.get(eventid)
            try:
                if ite is None:
                    ite = self._look_up(devid, eventid)
                if ite is not None and ite.virtual:  # as deliver() does
                    vpe = self.vpes.get(ite.where)
                    if vpe is not None:
                        vpe.pend(ite.intid, ite.doorbell)
                        if self.dist.listeners:
                            self.dist.notify()
                        return
                elif ite is not None and self.deliver(ite):
                    if self.dist.listeners:
                        self.dist.notify()
                    return
            except MemoryFault:
                pass
        self.cost.dropped += 1

    def deliver(self, ite: Ite) -> bool:
        """Make the interrupt of `ite` pending; False if its collection or vPE is not mapped."""
        if ite.virtual:
            vpe = self.vpes.get(ite.where)
            if vpe is None:
                return False
            vpe.pend(ite.intid, ite.doorbell)
            return True
        redist = self.collection(ite.where)
        if redist is None:
            return False
        redist.set_lpi(ite.intid)
        return True

    def collection(self, icid: int) -> Redistributor | None:
        """The redistributor of a collection, if that is mapped."""
        number = self.maps.collection(icid)
        return self.redists[number] if 0 <= number < len(self.redists) else None

    def find(self, devid: int, eventid: int) -> Ite | None:
        """The event, if it is mapped."""
        device = self.maps.device(devid)
        return None if device is None else self.maps.event(device, eventid)

    def _look_up(self, devid: int, eventid: int) -> Ite | None:
        """The event, if it is mapped; else report the MSI, if UMSI says so."""
        ite = self.find(devid, eventid)
        if ite is None and self.config.umsi:
            if self.statusr & STATUSR_UMSI:
                self.statusr |= STATUSR_OVERFLOW
            else:
                self.statusr |= STATUSR_UMSI
                self.umsir = (devid & U32) << 32 | eventid & U32
        return ite

    def send_sgi(self, value: int) -> None:
        """Write GITS_SGIR: make an SGI of a vPE pending, whatever its group."""
        self.cost.vsgis += 1
        vpe = self.vpes.get(value >> 32 & VPEID_MASK)
        if vpe is not None and self.enabled:
            vpe.pend(value & 0xF, NO_DOORBELL)
            if self.dist.listeners:
                self.dist.notify()
            return
        self.cost.dropped += 1
        if vpe is None:
            self.misuse.doing(self.name, GITS_SGIR, value)
            self.misuse.report("M-29", f"vPE {value >> 32 & VPEID_MASK}")
            self.misuse.done()

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

    def unmap_vpe(self, vpeid: int) -> None:
        """A vPE is no longer mapped here.  GICv4.1: with the last mapping goes the vPE."""
        vpe = self.vpes.pop(vpeid)
        vpe.maps &= ~(1 << self.number)
        if not vpe.maps:
            if vpe.frame is not None and self.v41:
                self.misuse.report("M-09", f"vPE {vpeid}")
                vpe.frame.evict()
            key = vpeid if self.v41 else vpe.vpt
            if vpe.frame is None and key in self.all_vpes.by_key:
                self.all_vpes.end(key, vpe)
        if self.v41:
            self.all_vpes.store(vpe)

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

    # What commands need

    def redistributor(self, rdbase: int) -> Redistributor | None:
        """The redistributor that the RDbase field, bits 51:16 of a word, names."""
        if self.config.pta:
            stride = GICR_STRIDE_V3 if self.fabric.v4 is None else GICR_STRIDE_V4
            number, rest = divmod((rdbase << 16) - self.fabric.phys.redist_base, stride)
            if rest:
                return None
        else:
            number = rdbase
        return self.redists[number] if 0 <= number < len(self.redists) else None

    def check(self) -> None:
        """Assert what always holds."""
        self.maps.check()
        for vpeid, vpe in self.vpes.items():
            assert vpe.maps >> self.number & 1, f"{self.name}: vPE {vpeid} does not know that it is mapped here"
        for vpe in self.all_vpes.by_key.values():
            mapped = any(vpe is other for other in self.vpes.values())
            assert mapped == bool(vpe.maps >> self.number & 1), f"{self.name}: vPE {vpe.vpeid} is lost"


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
