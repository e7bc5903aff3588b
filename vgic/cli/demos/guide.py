"""The example programs of Arm's guide "GICv3 and v4, Virtualization", access for access, on a GICv4.1 machine.

Room:    hw alone: the driver below writes what the programs write, at the addresses that they use.
Holds:   the command words, and every line that main_vlpi prints, are those of the guide, its misprints among them.

main_vlpi sends vLPI 8192 to a vPE, first while it is not resident; main_vsgi does the same with a virtual SGI.
PE 0 is the hypervisor, in EL3; PE 1 is in its guest the whole time.  The guide prints no log of main_vsgi: the one line
there that main_vlpi does not have is ours.
"""

from collections.abc import Callable
from typing import Final, final

from hw import GicMisuse, ItsConfig, Machine, Memory, PhysConfig, V4Config, arch
from hw import arch4 as a

GICD: Final = 0x2F00_0000
ITS: Final = 0x2F02_0000
RD: Final = (0x2F10_0000, 0x2F14_0000)
CONFIG, PEND0, PEND1, QUEUE = 0x8002_0000, 0x8003_0000, 0x8004_0000, 0x8005_0000
DEVICES, COLLECTIONS, VPECT = 0x8006_0000, 0x8007_0000, 0x8008_0000
VCT, VPT, ITT = 0x8009_0000, 0x800A_0000, 0x800B_0000
VPEID: Final = 0
VLPI: Final = 8192
VSGI_INTID: Final = 0
DOORBELL: Final = 8192

Words = tuple[int, int, int, int]

MAPD: Final = (0x0000000000000008, 0x0000000000000001, 0x80000000800B0000, 0)
VMAPP: Final = (0x0000000080090329, 0x0000000000002000, 0x8000000000000000, 0x00000000800A000E)
INVDB: Final = (0x000000000000002E, 0, 0, 0)
VMAPTI: Final = (0x000000000000002A, 0, 0x000003FF00002000, 0)
VSYNC: Final = (0x0000000000000025, 0, 0, 0)
INV: Final = (0x000000000000000C, 0, 0, 0)
INT: Final = (0x0000000000000003, 0, 0, 0)
SYNC: Final = (0x0000000000000005, 0, 0, 0)
VSGI: Final = (0x0000000000000523, 0, 0, 0)

_SPECIAL_NON_SECURE: Final = 1021  # "a Non-secure Group 1 interrupt waits": acknowledge it in the other security state
_LABELS: Final = ("DW0", "DW1", "DW2", "DW0")  # of a command's four words, the fourth as the guide prints it


class GuideError(Exception):
    """The hardware is not what the program needs, or did not do what it waits for."""


@final
class Program:
    """The examples: `main_vlpi`, `main_vsgi` and their functions.  `say` is called with each line of the log.

    Errors of every method: GuideError.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Switch the machine on."""
        self.say = say
        self.machine = Machine(
            2,
            phys=PhysConfig(single_security=False, phys_pri_bits=8),
            affinities=(0, 1),
            memory=Memory(1 << 40),
            v4=V4Config(common_lpi_aff=2),
            its=[ItsConfig(svpet=2)],
            strict=True,
        )
        self.memory = self.machine.memory
        self.its = self.machine.itss[0]
        self._next = 0  # offset in the queue

    def main_vlpi(self) -> None:
        """Send vLPI 8192 to vPE 0 before it is resident: a doorbell; the guest gets it when the vPE is."""
        self.require()
        self.initialise()
        for words in (MAPD, VMAPP, INVDB, VMAPTI, VSYNC):
            self.command(words)
        self.say(f"main(): Sending vLPI {VLPI} to vPEID {VPEID}")
        self.command(INV)
        self.command(INT)
        self._doorbell_and_delivery(VLPI)

    def main_vsgi(self) -> None:
        """The same with virtual SGI 0, which needs no device and no list register."""
        self.require()
        self.initialise()
        for words in (VMAPP, INVDB, SYNC, VSYNC, VSGI):
            self.command(words)
        self.say(f"main(): Sending vSGI {VSGI_INTID} to vPEID {VPEID}")
        self.write(ITS + a.GITS_SGIR, 8, VPEID << 32 | VSGI_INTID)
        self._doorbell_and_delivery(VSGI_INTID)
        self.write(RD[1] + a.GICR_VSGIR, 4, VPEID)
        _expect(self.read(RD[1] + a.GICR_VSGIPENDR, 4), 0, "GICR_VSGIPENDR")

    def _doorbell_and_delivery(self, intid: int) -> None:
        self.fiq()
        self.make_resident(group0=True, group1=True)
        self.say("main(): Test end")
        _expect(self.guest_irq(), intid, "the guest's ICC_IAR1_EL1")
        self.say("Secondary Core in IRQ handler")

    # What the programs share

    def require(self) -> None:
        """The checks that the programs make of their hardware."""
        typer = self.read(ITS + a.GITS_TYPER, 8)
        _expect(typer >> a.GITS_TYPER_SVPET_SHIFT & 3, 2, "GITS_TYPER.SVPET")
        _expect(typer & a.GITS_TYPER_PTA, 0, "GITS_TYPER.PTA")
        _expect(self.read(ITS + a.GITS_MPIDR, 4), 0, "GITS_MPIDR")
        for n, kind in enumerate((a.BASER_DEVICE, a.BASER_COLLECTION, a.BASER_VPE)):
            _expect(self.read(ITS + a.GITS_BASER + 8 * n, 8) >> a.BASER_TYPE_SHIFT & 7, kind, f"GITS_BASER{n}.Type")
        _expect(self.read(RD[0] + arch.GICR_TYPER, 8) & a.GICR_TYPER_RVPEID, a.GICR_TYPER_RVPEID, "GICR_TYPER.RVPEID")

    def initialise(self) -> None:
        """Everything up to GITS_CTLR.Enabled, and PE 1's entry into its guest."""
        self.write(GICD, 4, 0x37)  # GICD_CTLR: affinity routing and all groups, in both security states
        for pe in self.machine.pes:
            pe.msr_el3(arch.ICC_PMR_EL1, 0xFF)
            pe.msr_el3(arch.ICC_IGRPEN0_EL1, 1)
            pe.msr_el3(arch.ICC_IGRPEN1_EL3, 3)
        self.memory.write_bytes(CONFIG, bytes(0x1000))
        for n, table in enumerate((PEND0, PEND1)):
            self._physical_lpis(n, table)
        for n in range(2):
            self.say(f"setVPEConfTableAddr:: Setting up vPE Configuration Table on RD{n} at {VPECT:#x}, with 1 pages")
            self.write(RD[n] + a.GICR_VPROPBASER, 8, a.VALID | a.VPROPBASER_Z | VPECT)
        self.say(f"configureVLPI:: Configuring vINITD {VLPI} as priority 0x0 and enable=1")
        self.memory.write(VCT + VLPI - arch.FIRST_LPI, 1, 0x03)
        self.say(f"configureLPI:: Configuring INTID {DOORBELL}, with priority 0x0 and enable 0x1, on RD0")
        self.memory.write(CONFIG + DOORBELL - arch.FIRST_LPI, 1, 0x03)
        self._its()
        guest = self.machine.pes[1]
        guest.imo = guest.fmo = guest.amo = True
        guest.virt.write_vmcr(0xFF00_001B)
        guest.msr_el2(arch.ICH_LR0_EL2, 1)  # the program leaves that there: no pending, no active state
        guest.virt.write_hcr(arch.HCR_EN)

    def _physical_lpis(self, n: int, table: int) -> None:
        self.say(f"setLPIConfigTableAddr:: Installing LPI Configuration Table on RD{n}")
        self.say(f"setLPIConfigTableAddr:: Tabble base {CONFIG:#x}, with 15 ID bits")
        self.write(RD[n] + arch.GICR_PROPBASER, 8, CONFIG | 14)
        self.say(f"setLPIPendingTableAddr:: Installing LPI Pending Table on RD{n}")
        self.say(f"setLPIPendingTableAddr:: Tabble base {table:#x}, with 15 ID bits")
        self.write(RD[n] + arch.GICR_PENDBASER, 8, table)
        self.say(f"enableLPIs:: Enabling physical LPIs on RD{n}")
        self.write(RD[n] + arch.GICR_CTLR, 4, self.read(RD[n] + arch.GICR_CTLR, 4) | arch.GICR_CTLR_ENABLE_LPIS)

    def _its(self) -> None:
        self.say(f"initITSCommandQueue:: Setting up Command Queue at {QUEUE:#x}, with 1 pages")
        self.write(ITS + a.GITS_CBASER, 8, a.VALID | QUEUE)
        self.write(ITS + a.GITS_CWRITER, 8, 0)
        for n, (table, pages) in enumerate(((DEVICES, 16), (COLLECTIONS, 16), (VPECT, 1))):
            self.say(f"setITSTableAddr:: Setting up ITS table {n} at {table:#x}, with {pages} pages")
            self.memory.write_bytes(table, bytes(pages << 12))
            self.write(ITS + a.GITS_BASER + 8 * n, 8, a.VALID | table | pages - 1)
        self.write(ITS + a.GITS_CTLR, 4, a.GITS_CTLR_ENABLED)

    def command(self, words: Words) -> None:
        """itsAddCommand(), and the wait for CREADR."""
        at = QUEUE + self._next
        self.say("itsAddCommand:: Wrote command with:")
        for n, (label, word) in enumerate(zip(_LABELS, words, strict=True)):
            self.memory.write(at + 8 * n, 8, word)
            self.say(f"{label}: {self.memory.read_bytes(at + 8 * n, 8)[::-1].hex(' ')}")
        self._next += a.COMMAND_SIZE
        self.write(ITS + a.GITS_CWRITER, 8, self._next)
        _expect(self.read(ITS + a.GITS_CREADR, 8), self._next, "GITS_CREADR")

    def fiq(self) -> None:
        """PE 0's handler in EL3, which is Secure until it has to acknowledge for Non-secure state."""
        pe = self.machine.pes[0]
        pe.scr_ns = False
        _expect(pe.fiq(), True, "PE 0's FIQ, raised by a Non-secure Group 1 interrupt while PE 0 is in EL3")
        intid = pe.mrs_el3(arch.ICC_IAR0_EL1)
        self.say(f"FIQ: Received INTID {intid}")
        _expect(intid, _SPECIAL_NON_SECURE, "ICC_IAR0_EL1")
        self.say("FIQ: Received Non-secure interrupt from the ITS")
        pe.scr_ns = True
        intid = pe.mrs_el3(arch.ICC_IAR1_EL1)
        self.say(f"FIQ: Read INTID {intid} from IAR1")
        pe.msr_el3(arch.ICC_EOIR1_EL1, intid)
        pe.scr_ns = False
        _expect(intid, DOORBELL, "ICC_IAR1_EL1")

    def make_resident(self, *, group0: bool, group1: bool) -> None:
        """makeResident() of vPE 0 on RD1.  The guide's function mixes up its two groups, which both are 1 there."""
        self.say(f"makeResident:: Making vPEID {VPEID:#x} resident on RD1")
        value = a.VALID | (a.VPENDBASER_VGRP0EN if group0 else 0) | (a.VPENDBASER_VGRP1EN if group1 else 0)
        self.write(RD[1] + a.GICR_VPENDBASER, 8, value | VPEID)

    def guest_irq(self) -> int:
        """PE 1's guest takes its interrupt, acknowledges and ends it."""
        pe = self.machine.pes[1]
        _expect(pe.virq_taken(), True, "PE 1's virtual IRQ")
        intid = pe.mrs_el1(arch.ICC_IAR1_EL1)
        _expect(
            pe.msr_el1(arch.ICC_EOIR1_EL1, intid),
            0,
            "the outcome of the guest's write of ICC_EOIR1_EL1, which must not trap,",
        )
        return intid

    # Accesses of PE 0, which are Secure

    def write(self, address: int, size: int, value: int) -> None:
        """Write a register."""
        try:
            if address >= RD[0]:
                n = int(address >= RD[1])
                self.machine.pes[n].redist.write(address - RD[n], size, value, secure=True)
            elif address >= ITS:
                self.its.write(address - ITS, size, value)
            else:
                self.machine.dist.write(address - GICD, size, value, secure=True)
        except GicMisuse as misuse:
            raise GuideError(f"the GIC reports misuse: {misuse}") from misuse

    def read(self, address: int, size: int) -> int:
        """Read a register of the ITS or of a redistributor."""
        if address >= RD[0]:
            n = int(address >= RD[1])
            return self.machine.pes[n].redist.read(address - RD[n], size, secure=True)
        return self.its.read(address - ITS, size)


def _expect(got: int, expected: int, what: str) -> None:
    if got != expected:
        raise GuideError(f"{what} is {got:#x}, and the program needs {expected:#x}")
