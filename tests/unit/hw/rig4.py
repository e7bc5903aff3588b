"""A machine with ITSs and direct injection, set up as a hypervisor would, and commands in their real encodings.

Room:    under the tests of its/, vlpi, vpe, direct and misuse.
Owns:    where the tables are, and the notation: one function for each command, one method for each thing done.
Never:   computes an expected value.
Holds:   after every step the machine passes check().
"""

from collections.abc import Sequence
from typing import Final

from hw import ItsConfig, Machine, Memory, PhysConfig, V4Config, VirtConfig, arch
from hw import arch4 as a

CONFIG: Final = 0x0010_0000  # physical LPI configuration
PENDING: Final = 0x0020_0000  # + 64 KiB for each PE
QUEUE: Final = 0x0040_0000  # + 64 KiB for each ITS, as the next three
DEVICES: Final = 0x0050_0000
COLLECTIONS: Final = 0x0060_0000
PRIVATE: Final = 0x0070_0000
VPECT: Final = 0x0080_0000  # + 64 KiB for each group of redistributors
VCT: Final = 0x0100_0000  # + 64 KiB for each vPE
VPT: Final = 0x0200_0000
ITT: Final = 0x0300_0000  # + 64 KiB for each device
DB: Final = 9000  # the default doorbell of vPE n is 9000 + n
V1: Final = 8192  # the vLPI of most tests, its configuration byte being:
V1_BYTE: Final = 0xA3
NO_DB: Final = 1023
ALLOC: Final = a.VMAPP_ALLOC
PTZ: Final = a.VMAPP_PTZ
VALID: Final = a.VALID

Words = tuple[int, int, int, int]


def mapd(devid: int, bits: int = 5, itt: int | None = None, valid: bool = True) -> Words:
    where = ITT + 0x1_0000 * devid if itt is None else itt
    return (a.MAPD | devid << 32, bits - 1, (VALID if valid else 0) | where, 0)


def mapc(icid: int, rd: int, valid: bool = True) -> Words:
    return (a.MAPC, 0, (VALID if valid else 0) | rd << 16 | icid, 0)


def mapti(devid: int, event: int, intid: int, icid: int) -> Words:
    return (a.MAPTI | devid << 32, intid << 32 | event, icid, 0)


def mapi(devid: int, event: int, icid: int) -> Words:
    return (a.MAPI | devid << 32, event, icid, 0)


def movi(devid: int, event: int, icid: int) -> Words:
    return (a.MOVI | devid << 32, event, icid, 0)


def of_event(number: int, devid: int, event: int) -> Words:
    """INT, CLEAR, INV or DISCARD."""
    return (number | devid << 32, event, 0, 0)


def invall(icid: int) -> Words:
    return (a.INVALL, 0, icid, 0)


def movall(rd1: int, rd2: int) -> Words:
    return (a.MOVALL, 0, rd1 << 16, rd2 << 16)


def sync(rd: int) -> Words:
    return (a.SYNC, 0, rd << 16, 0)


def of_vpe(number: int, vpeid: int) -> Words:
    """VSYNC, VINVALL or INVDB."""
    return (number, vpeid << 32, 0, 0)


def vmapp(vpeid: int, rd: int = 0, flags: int = ALLOC, bits: int = 16, db: int | None = None) -> Words:
    doorbell = DB + vpeid if db is None else db
    vct, vpt = VCT + 0x1_0000 * vpeid, VPT + 0x1_0000 * vpeid
    return (a.VMAPP | flags | vct, vpeid << 32 | doorbell, VALID | rd << 16, vpt | bits - 1)


def vmapp40(vpeid: int, rd: int = 0, bits: int = 16) -> Words:
    return (a.VMAPP, vpeid << 32, VALID | rd << 16, VPT + 0x1_0000 * vpeid | bits - 1)


def vunmapp(vpeid: int, flags: int = ALLOC) -> Words:
    return (a.VMAPP | flags, vpeid << 32, 0, 0)


def vmapti(devid: int, event: int, vpeid: int, vintid: int, db: int = NO_DB) -> Words:
    return (a.VMAPTI | devid << 32, vpeid << 32 | event, db << 32 | vintid, 0)


def vmapi(devid: int, event: int, vpeid: int, db: int = NO_DB) -> Words:
    return (a.VMAPI | devid << 32, vpeid << 32 | event, db << 32, 0)


def vmovi(devid: int, event: int, vpeid: int, db: int = NO_DB, change: bool = True) -> Words:
    return (a.VMOVI | devid << 32, vpeid << 32 | event, db << 32 | int(change), 0)


def vmovp(vpeid: int, rd: int, db: int | None = None, sequence: int = 0, itss: int = 0) -> Words:
    new = 0 if db is None else VALID
    return (a.VMOVP | sequence << 32, vpeid << 32 | itss, new | rd << 16, db or 0)


def vsgi(vpeid: int, sgi: int, enable: int = 1, group: int = 1, priority: int = 0xA0, clear: int = 0) -> Words:
    return (a.VSGI | enable << 8 | clear << 9 | group << 10 | priority >> 4 << 20 | sgi << 32, vpeid << 32, 0, 0)


class Rig4:
    """`cpus` PEs, `itss` ITSs, LPIs on, tables installed, device 0 mapped and collection n mapped to PE n."""

    def __init__(
        self,
        cpus: int = 2,
        v4: V4Config | None = None,
        its: Sequence[ItsConfig] = (ItsConfig(),),
        phys: PhysConfig | None = None,
        virt: VirtConfig | None = None,
        affinities: Sequence[int] | None = None,
        strict: bool = False,
        v3: bool = False,
    ) -> None:
        self.v4 = None if v3 else V4Config() if v4 is None else v4
        self.machine = Machine(
            cpus,
            virt,
            phys,
            affinities,
            Memory(1 << 36),
            v4=self.v4,
            its=its,
            strict=strict,
        )
        self.memory = self.machine.memory
        self.misuse = self.machine.misuse
        self.pes = self.machine.pes
        self.its = self.machine.itss[0] if self.machine.itss else None
        self.machine.dist.write(arch.GICD_CTLR, 4, 3)
        for pe in self.pes:
            self._start_pe(pe.index)
        for its_ in self.machine.itss:
            self._start_its(its_.number)
        self.machine.check()

    def _start_pe(self, n: int) -> None:
        pe = self.pes[n]
        pe.imo = pe.fmo = True
        pe.msr_el2(arch.ICC_PMR_EL1, 0xF8)
        pe.msr_el2(arch.ICC_IGRPEN1_EL1, 1)
        pe.redist.write(arch.GICR_PROPBASER, 8, CONFIG | 15)
        pe.redist.write(arch.GICR_PENDBASER, 8, PENDING + 0x1_0000 * n)
        pe.redist.write(arch.GICR_CTLR, 4, 1)
        if self.v4 is not None and self.v4.v41:
            pe.redist.write(a.GICR_VPROPBASER, 8, VALID | VPECT + 0x1_0000 * self.group(n))
        pe.virt.write_vmcr(0xF84C_000B)
        pe.virt.write_hcr(arch.HCR_EN)
        for db in range(16):
            self.memory.write(CONFIG + DB + db - 8192, 1, 0x81)

    def group(self, n: int) -> int:
        """The number of the group of PE n."""
        groups = [id(pe.redist.group) for pe in self.pes]
        return sorted(set(groups), key=groups.index).index(groups[n])

    def _start_its(self, n: int) -> None:
        its = self.machine.itss[n]
        its.write(a.GITS_CBASER, 8, VALID | QUEUE + 0x1_0000 * n)
        its.write(a.GITS_CWRITER, 8, 0)
        for slot, base in enumerate((DEVICES, COLLECTIONS, PRIVATE)):
            its.write(a.GITS_BASER + 8 * slot, 8, VALID | base + 0x1_0000 * n | 15)
        its.write(a.GITS_CTLR, 4, 1)
        self.send(mapd(0, itt=ITT + 0x1000 * n), *[mapc(pe.index, self.rdbase(n, pe.index)) for pe in self.pes], its=n)

    def rdbase(self, its: int, rd: int) -> int:
        """How that ITS names a redistributor."""
        stride = a.GICR_STRIDE_V3 if self.v4 is None else a.GICR_STRIDE_V4
        return 0x2F10_0000 + rd * stride >> 16 if self.machine.itss[its].config.pta else rd

    # Commands and interrupts

    def post(self, *commands: Words, its: int = 0) -> None:
        """Put commands into the queue, and tell the ITS."""
        it = self.machine.itss[its]
        at = it.read(a.GITS_CWRITER, 8)
        for words in commands:
            for n, word in enumerate(words):
                self.memory.write(QUEUE + 0x1_0000 * its + at + 8 * n, 8, word)
            at = (at + 32) % it.queue_size
        it.write(a.GITS_CWRITER, 8, at)
        self.machine.check()

    def send(self, *commands: Words, its: int = 0) -> None:
        """Have commands executed, without error."""
        it = self.machine.itss[its]
        errors = len(it.errors)
        self.post(*commands, its=its)
        assert it.errors[errors:] == [], "a command failed"
        assert it.read(a.GITS_CREADR, 8) == it.read(a.GITS_CWRITER, 8), "the queue stopped"

    def fail(self, command: Words, its: int = 0) -> str:
        """Have a command fail; the name of its error."""
        it = self.machine.itss[its]
        before = len(it.errors)
        self.post(command, its=its)
        assert len(it.errors) == before + 1, "the command did not fail"
        return it.errors[-1].name

    def msi(self, event: int = 0, devid: int = 0, its: int = 0) -> None:
        """A device sends one."""
        self.machine.itss[its].msi(devid, event)
        self.machine.check()

    def sgir(self, vpeid: int, sgi: int, its: int = 0) -> None:
        """Write GITS_SGIR."""
        self.machine.itss[its].write(a.GITS_SGIR, 8, vpeid << 32 | sgi)
        self.machine.check()

    def vlpi(self, vpeid: int, vintid: int, byte: int) -> None:
        """Write a virtual configuration byte."""
        self.memory.write(VCT + 0x1_0000 * vpeid + vintid - 8192, 1, byte)

    def lpi(self, intid: int, byte: int) -> None:
        """Write a physical configuration byte."""
        self.memory.write(CONFIG + intid - 8192, 1, byte)

    def map(self, vpeid: int = 0, rd: int = 0, event: int = 0, db: int | None = None, flags: int = ALLOC) -> None:
        """Map a vPE, and event `event` of device 0 to its vLPI V1, enabled with priority 0xA0."""
        self.vlpi(vpeid, V1, V1_BYTE)
        self.send(vmapp(vpeid, rd, flags, db=db), vmapti(0, event, vpeid, V1), of_vpe(a.VSYNC, vpeid))

    # Residency

    def res(self, n: int = 0, vpeid: int = 0, groups: int = 3) -> None:
        """Make a vPE resident at PE n."""
        value = VALID | vpeid | (groups & 1) << 59 | (groups >> 1) << 58
        self.pes[n].redist.write(a.GICR_VPENDBASER, 8, value)
        self.machine.check()

    def nres(self, doorbell: int, pending_last: int, n: int = 0) -> int:
        """Clear Valid; PendingLast as read back."""
        redist = self.pes[n].redist
        old = redist.read(a.GICR_VPENDBASER, 8) & ~VALID
        redist.write(a.GICR_VPENDBASER, 8, old | doorbell << 62 | pending_last << 61)
        self.machine.check()
        return self.vpendbaser(n) >> 61 & 1

    def vpendbaser(self, n: int = 0) -> int:
        """Read GICR_VPENDBASER."""
        return self.pes[n].redist.read(a.GICR_VPENDBASER, 8)

    def resident(self, n: int = 0) -> bool:
        """Whether Valid is 1."""
        return self.vpendbaser(n) >> 63 != 0

    # What PEs see

    def iar(self, n: int = 0, group: int = 1) -> int:
        """The guest acknowledges."""
        intid = self.pes[n].mrs_el1(arch.ICC_IAR1_EL1 if group else arch.ICC_IAR0_EL1)
        self.machine.check()
        return intid

    def eoi(self, intid: int, n: int = 0) -> None:
        """The guest ends an interrupt."""
        self.pes[n].msr_el1(arch.ICC_EOIR1_EL1, intid)
        self.machine.check()

    def take(self, n: int = 0) -> list[int]:
        """The guest takes and ends everything that it is signalled, in order."""
        taken = []
        while (intid := self.iar(n)) != 1023:
            taken.append(intid)
            self.eoi(intid, n)
        return taken

    def host(self, n: int = 0) -> list[int]:
        """The host takes and ends everything that it is signalled, in order."""
        pe = self.pes[n]
        taken = []
        while (intid := pe.mrs_el2(arch.ICC_IAR1_EL1)) != 1023:
            taken.append(intid)
            pe.msr_el2(arch.ICC_EOIR1_EL1, intid)
        return taken

    def virq(self, n: int = 0) -> bool:
        """The level of vIRQ."""
        return self.pes[n].virq()

    @property
    def rung(self) -> int:
        """How many default doorbells have been rung."""
        return self.machine.fabric.cost.default_doorbells

    def vpt_bit(self, vpeid: int, vintid: int) -> int:
        """A bit of a virtual pending table, as memory has it now."""
        return self.memory.load(VPT + 0x1_0000 * vpeid + vintid // 8, 1) >> vintid % 8 & 1

    def codes(self) -> list[str]:
        """The misuse recorded since the last call."""
        codes = self.misuse.codes()
        self.misuse.clear()
        return codes
