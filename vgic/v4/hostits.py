"""The host's driver of one physical ITS: its tables, its command queue, and the commands in their encodings.

Room:    above hostmem; below the host's GIC driver, vPEs and forwarding, which decide what is sent.
Owns:    the ITS's registers and queue.
Never:   decides anything; reads what the GIC keeps to itself.
Holds:   `send` returns when every command was consumed; a mapping command is followed by its SYNC or VSYNC.

KVM: its_node and its_send_*() of irq-gic-v3-its.c.  Source: IHI 0069H, ITS commands; RDbase is a processor number
or, with GITS_TYPER.PTA, an address.
"""

from struct import Struct
from typing import Final, final

from hw import Its, arch4
from hw.arch4 import (
    BASER_COLLECTION,
    BASER_DEVICE,
    BASER_ENTRY_SIZE_SHIFT,
    BASER_TYPE_SHIFT,
    BASER_VPE,
    COMMAND_SIZE,
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CTLR_ENABLED,
    GITS_CTLR_IMDE,
    GITS_CWRITER,
    GITS_TYPER,
    GITS_TYPER_DEV_BITS_SHIFT,
    GITS_TYPER_ID_BITS_SHIFT,
    GITS_TYPER_ITT_ENTRY_SIZE_SHIFT,
    GITS_TYPER_NID,
    GITS_TYPER_PTA,
    GITS_TYPER_SVPET_SHIFT,
    GITS_TYPER_VIRTUAL,
    GITS_TYPER_VMAPP,
    GITS_TYPER_VMOVP,
    GITS_TYPER_VSGI,
    NO_DOORBELL,
    NR_BASERS,
    VALID,
)
from vgic.errors import EIO, VgicError
from vgic.v4.hostmem import BLOCK, Pages

Words = tuple[int, int, int, int]

VINTID_BITS: Final = 16
"""The width of a guest's LPI numbers, as the virtual ITS has it."""

_WORDS: Final = Struct("<4Q")
_QUEUE_SIZE: Final = 0x1_0000
_PAGE_64K: Final = 2 << 8
_MAX_PAGES: Final = 256
_MAX_DEVICE_BITS: Final = 16
_PTZ_NEVER: Final = 0
_W64: Final = 8
_W32: Final = 4


@final
class HostIts:
    """ITS `its` of the machine, in working order.

    rd_bases   how each redistributor is named with PTA, by CPU
    vpe_table  the redistributors' table, for an ITS that shares it (GITS_TYPER.SVPET); 0: it needs its own
    """

    __slots__ = (
        "_at",
        "_its",
        "_memory",
        "_queue",
        "_rd_bases",
        "device_bits",
        "event_bits",
        "individual",
        "itt_entry",
        "number",
        "proxy_devid",
        "v4",
        "v41",
        "vmovp",
        "vsgi",
    )

    def __init__(self, its: Its, pages: Pages, rd_bases: list[int], vpe_table: tuple[int, int], nr_vpes: int) -> None:
        """Give it tables and a queue, and enable it: its_probe_one()."""
        typer = its.read(GITS_TYPER, _W64)
        self._its = its
        self._memory = pages.memory
        self._rd_bases = [base >> 16 for base in rd_bases] if typer & GITS_TYPER_PTA else list(range(len(rd_bases)))
        self.number = its.number
        self.v4 = typer & GITS_TYPER_VIRTUAL != 0
        self.v41 = typer & GITS_TYPER_VMAPP != 0
        self.vmovp = typer & GITS_TYPER_VMOVP != 0  # VMOVP on this ITS alone suffices
        self.vsgi = typer & GITS_TYPER_VSGI != 0
        self.individual = not typer & GITS_TYPER_NID
        self.device_bits = min((typer >> GITS_TYPER_DEV_BITS_SHIFT & 0x1F) + 1, _MAX_DEVICE_BITS)
        self.proxy_devid = (1 << self.device_bits) - 1  # the last DeviceID, and no device's
        self.event_bits = (typer >> GITS_TYPER_ID_BITS_SHIFT & 0x1F) + 1
        self.itt_entry = (typer >> GITS_TYPER_ITT_ENTRY_SIZE_SHIFT & 0xF) + 1
        entries = {BASER_DEVICE: 1 << self.device_bits, BASER_COLLECTION: len(rd_bases), BASER_VPE: nr_vpes}
        for n in range(NR_BASERS):
            baser = its.read(GITS_BASER + _W64 * n, _W64)
            kind = baser >> BASER_TYPE_SHIFT & 7
            if kind not in entries:
                continue
            size = entries[kind] * ((baser >> BASER_ENTRY_SIZE_SHIFT & 0x1F) + 1)
            count = min((size + BLOCK - 1) // BLOCK, _MAX_PAGES)
            if kind == BASER_VPE and typer >> GITS_TYPER_SVPET_SHIFT & 3:
                base, count = vpe_table
            else:
                base = pages.take(count * BLOCK)
            its.write(GITS_BASER + _W64 * n, _W64, VALID | base | _PAGE_64K | count - 1)
        self._queue = pages.take(_QUEUE_SIZE)
        self._at = 0
        its.write(GITS_CBASER, _W64, VALID | self._queue | _QUEUE_SIZE // 4096 - 1)
        its.write(GITS_CWRITER, _W64, 0)
        its.write(GITS_CTLR, _W32, GITS_CTLR_ENABLED | (GITS_CTLR_IMDE if self.v4 else 0))
        for cpu in range(len(rd_bases)):
            self.send(self._mapc(cpu), self._sync(cpu))

    # The queue

    def post(self, *commands: Words) -> None:
        """Put commands into the queue and tell the ITS, without waiting."""
        at = self._at
        for words in commands:
            self._memory.write_bytes(self._queue + at, _WORDS.pack(*words))
            at = (at + COMMAND_SIZE) % _QUEUE_SIZE
        self._at = at
        self._its.write(GITS_CWRITER, _W64, at)

    def wait(self) -> None:
        """Wait until the queue is empty: its_wait_for_range_completion().  Errors: EIO when it stopped."""
        if self._its.read(GITS_CREADR, _W64) != self._at:
            raise VgicError(EIO, f"ITS {self.number} stopped at {self._its.read(GITS_CREADR, _W64):#x} of its queue")

    def send(self, *commands: Words) -> None:
        """Have commands executed."""
        self.post(*commands)
        self.wait()

    # Physical events

    def map_device(self, devid: int, itt: int, event_bits: int) -> None:
        """MAPD."""
        self.send((arch4.MAPD | devid << 32, event_bits - 1, VALID | itt, 0))

    def unmap_device(self, devid: int) -> None:
        """MAPD with V=0."""
        self.send((arch4.MAPD | devid << 32, 0, 0, 0))

    def map_event(self, devid: int, eventid: int, lpi: int, cpu: int) -> None:
        """MAPTI: the event is LPI `lpi` of that CPU."""
        self.send((arch4.MAPTI | devid << 32, lpi << 32 | eventid, cpu, 0), self._sync(cpu))

    def move_event(self, devid: int, eventid: int, cpu: int) -> None:
        """MOVI."""
        self.send((arch4.MOVI | devid << 32, eventid, cpu, 0), self._sync(cpu))

    def physical(self, number: int, devid: int, eventid: int, cpu: int) -> None:
        """INT, CLEAR, INV or DISCARD of an event that is, or was, physical."""
        self.send((number | devid << 32, eventid, 0, 0), self._sync(cpu))

    # Virtual events

    def virtual(self, number: int, devid: int, eventid: int, vpeid: int) -> None:
        """INT, CLEAR or INV of an event that goes to a vPE."""
        self.send((number | devid << 32, eventid, 0, 0), self._vsync(vpeid))

    def map_vlpi(self, devid: int, eventid: int, vpeid: int, vintid: int, doorbell: int) -> None:
        """VMAPTI."""
        self.send((arch4.VMAPTI | devid << 32, vpeid << 32 | eventid, doorbell << 32 | vintid, 0), self._vsync(vpeid))

    def move_vlpi(self, devid: int, eventid: int, vpeid: int, doorbell: int) -> None:
        """VMOVI with D=1: another vPE, or the same with another doorbell."""
        self.send((arch4.VMOVI | devid << 32, vpeid << 32 | eventid, doorbell << 32 | 1, 0), self._vsync(vpeid))

    # vPEs

    def map_vpe(self, vpeid: int, cpu: int, vpt: int, vct: int, doorbell: int, first: bool) -> None:
        """VMAPP, VSYNC, VINVALL, VSYNC: its_vpe_map_vm().  `first`: no other ITS has it; PTZ is never promised."""
        word0 = arch4.VMAPP
        word1 = vpeid << 32
        if self.v41:
            word0 |= vct | (arch4.VMAPP_ALLOC if first else 0) | _PTZ_NEVER
            word1 |= doorbell
        vmapp = (word0, word1, VALID | self._rd_bases[cpu] << 16, vpt | VINTID_BITS - 1)
        vsync = self._vsync(vpeid)
        self.send(vmapp, vsync)
        self.send((arch4.VINVALL, vpeid << 32, 0, 0), vsync)

    def unmap_vpe(self, vpeid: int, last: bool) -> None:
        """VMAPP with V=0.  GICv4.1's synchronises by itself, and a VSYNC would name a vPE that is not there."""
        if self.v41:
            self.send((arch4.VMAPP | (arch4.VMAPP_ALLOC if last else 0), vpeid << 32, 0, 0))
        else:
            self.send((arch4.VMAPP, vpeid << 32, 0, 0))

    def post_move_vpe(self, vpeid: int, cpu: int, doorbell: int, sequence: int, itss: int) -> None:
        """VMOVP, VSYNC: not waited for, as ITSs of a list go on together."""
        word2 = self._rd_bases[cpu] << 16 | (VALID if self.v41 else 0)
        vmovp = (arch4.VMOVP | sequence << 32, vpeid << 32 | itss, word2, doorbell if self.v41 else 0)
        self.post(vmovp, self._vsync(vpeid))

    def invalidate_vpe(self, vpeid: int) -> None:
        """VINVALL."""
        self.send((arch4.VINVALL, vpeid << 32, 0, 0), self._vsync(vpeid))

    def invalidate_doorbell(self, vpeid: int) -> None:
        """INVDB."""
        self.send((arch4.INVDB, vpeid << 32, 0, 0), self._vsync(vpeid))

    def configure_sgi(self, vpeid: int, sgi: int, enabled: bool, priority: int, group: int, clear: bool) -> None:
        """VSGI: the configuration, or, with `clear`, not pending any more."""
        word0 = arch4.VSGI | sgi << arch4.VSGI_INTID_SHIFT | (priority >> 4) << arch4.VSGI_PRIORITY_SHIFT
        word0 |= arch4.VSGI_GROUP if group else 0
        word0 |= (arch4.VSGI_ENABLE if enabled else 0) | (arch4.VSGI_CLEAR if clear else 0)
        self.send((word0, vpeid << 32, 0, 0), self._vsync(vpeid))

    def send_sgi(self, vpeid: int, sgi: int) -> None:
        """Write GITS_SGIR."""
        self._its.write(arch4.GITS_SGIR, _W64, vpeid << 32 | sgi)

    def _vsync(self, vpeid: int) -> Words:
        return (arch4.VSYNC, vpeid << 32, 0, 0)

    def _sync(self, cpu: int) -> Words:
        return (arch4.SYNC, 0, self._rd_bases[cpu] << 16, 0)

    def _mapc(self, cpu: int) -> Words:
        return (arch4.MAPC, 0, VALID | self._rd_bases[cpu] << 16 | cpu, 0)


NONE: Final = NO_DOORBELL
"""No individual doorbell."""
