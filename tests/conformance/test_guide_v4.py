"""The example programs of Arm's guide "GICv3 and v4, Virtualization", access for access, on a GICv4.1 machine.

Room:    hw alone: the driver below writes what the programs write, at the addresses that they use.
Holds:   the command words are those that the guide prints.

main_vlpi.c sends vLPI 8192 to a vPE, first while it is not resident; main_vsgi.c does the same with a virtual SGI.
"""

from typing import Final

import pytest

from hw import ItsConfig, Machine, Memory, PhysConfig, TraceLog, V4Config, arch
from hw import arch4 as a

GICD: Final = 0x2F00_0000
ITS: Final = 0x2F02_0000
RD: Final = (0x2F10_0000, 0x2F14_0000)
CONFIG, PEND0, PEND1, QUEUE = 0x8002_0000, 0x8003_0000, 0x8004_0000, 0x8005_0000
DEVICES, COLLECTIONS, VPECT = 0x8006_0000, 0x8007_0000, 0x8008_0000
VCT, VPT, ITT = 0x8009_0000, 0x800A_0000, 0x800B_0000
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

SETUP_LOG: Final = """\
setLPIConfigTableAddr:: Installing LPI Configuration Table on RD0
setLPIConfigTableAddr:: Tabble base 0x80020000, with 15 ID bits
setLPIPendingTableAddr:: Installing LPI Pending Table on RD0
setLPIPendingTableAddr:: Tabble base 0x80030000, with 15 ID bits
enableLPIs:: Enabling physical LPIs on RD0
setLPIConfigTableAddr:: Installing LPI Configuration Table on RD1
setLPIConfigTableAddr:: Tabble base 0x80020000, with 15 ID bits
setLPIPendingTableAddr:: Installing LPI Pending Table on RD1
setLPIPendingTableAddr:: Tabble base 0x80040000, with 15 ID bits
enableLPIs:: Enabling physical LPIs on RD1
setVPEConfTableAddr:: Setting up vPE Configuration Table on RD0 at 0x80080000, with 1 pages
setVPEConfTableAddr:: Setting up vPE Configuration Table on RD1 at 0x80080000, with 1 pages
configureVLPI:: Configuring vINITD 8192 as priority 0x0 and enable=1
configureLPI:: Configuring INTID 8192, with priority 0x0 and enable 0x1, on RD0
initITSCommandQueue:: Setting up Command Queue at 0x80050000, with 1 pages
setITSTableAddr:: Setting up ITS table 0 at 0x80060000, with 16 pages
setITSTableAddr:: Setting up ITS table 1 at 0x80070000, with 16 pages
setITSTableAddr:: Setting up ITS table 2 at 0x80080000, with 1 pages
""".splitlines()

FIQ_LOG: Final = """\
FIQ: Received INTID 1021
FIQ: Received Non-secure interrupt from the ITS
FIQ: Read INTID 8192 from IAR1
makeResident:: Making vPEID 0x0 resident on RD1
main(): Test end
Secondary Core in IRQ handler
""".splitlines()


class Program:
    """The example's functions, with its log; it fails if the ITS does not consume a command."""

    def __init__(self) -> None:
        self.log: list[str] = []
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
        self.next = 0

    def write(self, address: int, size: int, value: int) -> None:
        """A Secure write by PE 0, which runs at EL3."""
        if address >= RD[0]:
            n = int(address >= RD[1])
            self.machine.pes[n].redist.write(address - RD[n], size, value, secure=True)
        elif address >= ITS:
            self.its.write(address - ITS, size, value)
        else:
            self.machine.dist.write(address - GICD, size, value, secure=True)
        self.machine.check()

    def read(self, address: int, size: int) -> int:
        """A Secure read by PE 0."""
        if address >= RD[0]:
            n = int(address >= RD[1])
            return self.machine.pes[n].redist.read(address - RD[n], size, secure=True)
        return self.its.read(address - ITS, size)

    def require(self) -> None:
        """The checks that the program makes of its hardware."""
        typer = self.read(ITS + a.GITS_TYPER, 8)
        assert typer >> a.GITS_TYPER_SVPET_SHIFT & 3 == 2
        assert not typer & a.GITS_TYPER_PTA
        assert self.read(ITS + a.GITS_MPIDR, 4) == 0
        assert [self.read(ITS + a.GITS_BASER + 8 * n, 8) >> 56 & 7 for n in range(3)] == [1, 4, 2]
        assert self.read(RD[0] + arch.GICR_TYPER, 8) & a.GICR_TYPER_RVPEID

    def initialise(self) -> None:
        """Everything up to GITS_CTLR.Enabled."""
        log = self.log.append
        self.write(GICD, 4, 0x37)
        for pe in self.machine.pes:
            pe.msr_el3(arch.ICC_PMR_EL1, 0xFF)
            pe.msr_el3(arch.ICC_IGRPEN0_EL1, 1)
            pe.msr_el3(arch.ICC_IGRPEN1_EL3, 3)
        self.memory.write_bytes(CONFIG, bytes(0x1000))
        for n, table in enumerate((PEND0, PEND1)):
            self.write(RD[n] + 0x70, 8, 0x8002000E)
            log(f"setLPIConfigTableAddr:: Installing LPI Configuration Table on RD{n}")
            log(f"setLPIConfigTableAddr:: Tabble base {CONFIG:#x}, with 15 ID bits")
            self.write(RD[n] + 0x78, 8, table)
            log(f"setLPIPendingTableAddr:: Installing LPI Pending Table on RD{n}")
            log(f"setLPIPendingTableAddr:: Tabble base {table:#x}, with 15 ID bits")
            self.write(RD[n], 4, self.read(RD[n], 4) | 1)
            log(f"enableLPIs:: Enabling physical LPIs on RD{n}")
        for n in range(2):
            self.write(RD[n] + 0x2_0070, 8, 0x8010000080080000)
            log(f"setVPEConfTableAddr:: Setting up vPE Configuration Table on RD{n} at {VPECT:#x}, with 1 pages")
        self.memory.write(VCT, 1, 0x03)
        log("configureVLPI:: Configuring vINITD 8192 as priority 0x0 and enable=1")
        self.memory.write(CONFIG, 1, 0x03)
        log("configureLPI:: Configuring INTID 8192, with priority 0x0 and enable 0x1, on RD0")
        self.write(ITS + 0x80, 8, 0x8000000080050000)
        self.write(ITS + 0x88, 8, 0)
        log(f"initITSCommandQueue:: Setting up Command Queue at {QUEUE:#x}, with 1 pages")
        tables = ((DEVICES, 16), (COLLECTIONS, 16), (VPECT, 1))
        for n, (table, pages) in enumerate(tables):
            self.memory.write_bytes(table, bytes(pages << 12))
            self.write(ITS + 0x100 + 8 * n, 8, 0x8000000000000000 | table | pages - 1)
            log(f"setITSTableAddr:: Setting up ITS table {n} at {table:#x}, with {pages} pages")
        self.write(ITS, 4, 1)
        guest = self.machine.pes[1]
        guest.imo = guest.fmo = guest.amo = True
        guest.virt.write_vmcr(0xFF00_001B)
        guest.msr_el2(arch.ICH_LR0_EL2, 1)
        guest.virt.write_hcr(arch.HCR_EN)

    def command(self, words: Words) -> None:
        """itsAddCommand(), and the wait for CREADR."""
        for n, word in enumerate(words):
            self.memory.write(QUEUE + self.next + 8 * n, 8, word)
        self.log.append("itsAddCommand:: Wrote command with:")
        for n, label in enumerate(("DW0", "DW1", "DW2", "DW0")):  # the fourth label as printed
            shown = self.memory.read_bytes(QUEUE + self.next + 8 * n, 8)[::-1].hex(" ")
            self.log.append(f"{label}: {shown}")
        self.next += 32
        self.write(ITS + 0x88, 8, self.next)
        assert self.read(ITS + 0x90, 8) == self.next, "not consumed"

    def fiq(self) -> None:
        """The handler at EL3, which is Secure until it has to acknowledge for Non-secure state."""
        pe = self.machine.pes[0]
        pe.scr_ns = False
        assert pe.fiq(), "PE 0 is in EL3: a Non-secure Group 1 interrupt is an FIQ"
        intid = pe.mrs_el3(arch.ICC_IAR0_EL1)
        self.log.append(f"FIQ: Received INTID {intid}")
        assert intid == 1021
        self.log.append("FIQ: Received Non-secure interrupt from the ITS")
        pe.scr_ns = True
        intid = pe.mrs_el3(arch.ICC_IAR1_EL1)
        self.log.append(f"FIQ: Read INTID {intid} from IAR1")
        pe.msr_el3(arch.ICC_EOIR1_EL1, intid)
        pe.scr_ns = False

    def make_resident(self) -> None:
        """makeResident() of vPE 0 on RD1, and the end of main()."""
        self.write(RD[1] + 0x2_0078, 8, 0x8C00000000000000)
        self.log.append("makeResident:: Making vPEID 0x0 resident on RD1")
        self.log.append("main(): Test end")

    def guest_irq(self) -> int:
        """PE 1's guest takes its interrupt."""
        pe = self.machine.pes[1]
        assert pe.virq_taken()
        intid = pe.mrs_el1(arch.ICC_IAR1_EL1)
        pe.msr_el1(arch.ICC_EOIR1_EL1, intid)
        self.log.append("Secondary Core in IRQ handler")
        return intid


@pytest.fixture
def program() -> Program:
    it = Program()
    it.require()
    it.initialise()
    return it


def test_vlpi(program: Program) -> None:
    machine, its = program.machine, program.its
    machine.trace = trace = TraceLog()
    assert program.log == SETUP_LOG
    exits = machine.pes[1].cost.copy()
    for words in (MAPD, VMAPP, INVDB, VMAPTI, VSYNC):
        program.command(words)
    assert "DW2: 00 00 03 ff 00 00 20 00" in program.log
    program.log.append("main(): Sending vLPI 8192 to vPEID 0")
    program.command(INV)
    program.command(INT)
    at = len(program.log)
    program.fiq()
    program.make_resident()
    assert program.guest_irq() == 8192
    assert program.log[at:] == FIQ_LOG
    assert its.cost.commands == 7
    assert its.cost.by_command.get(a.MAPC, 0) == 0
    assert (machine.fabric.cost.default_doorbells, machine.fabric.cost.individual_doorbells) == (1, 0)
    assert machine.pes[1].redist.lpis.pending == set()
    assert not machine.pes[0].fiq()
    assert machine.misuse.records == []
    assert trace.named("vint_pend", "doorbell", "lpi_pend", "lpi_clear", "resid", "offer", "vint_ack") == [
        ("vint_pend", 0, 8192),
        ("doorbell", 0, "default", DOORBELL, 0),
        ("lpi_pend", 0, DOORBELL),
        ("lpi_clear", 0, DOORBELL),
        ("resid", 1, 0, "absent", "scanning", False),
        ("resid", 1, 0, "scanning", "resident", False),
        ("offer", 1, 0, 8192, 0, 1),
        ("vint_ack", 0, 8192),
    ]
    assert [event[4] for event in trace.named("its_cmd")] == [""] * 7
    spent = machine.pes[1].cost.diff(exits)
    assert (spent.lr_writes, spent.exits_irq, spent.direct_acks) == (0, 0, 1)
    program.write(RD[1] + 0x2_0078, 8, 0x2000000000000000)
    program.machine.misuse.strict = False
    program.command((0x129, 0, 0, 0))
    assert machine.misuse.codes() == ["M-35"], "the example leaves the event mapped"
    assert program.memory.read(VPT + 8192 // 8, 1) & 1 == 0


def test_vsgi(program: Program) -> None:
    machine = program.machine
    for words in (VMAPP, INVDB, SYNC, VSYNC, VSGI):
        program.command(words)
    program.write(ITS + 0x2_0020, 8, 0)
    program.fiq()
    program.make_resident()
    pe = machine.pes[1]
    assert program.guest_irq() == 0
    assert pe.virt.eoicount == 1, "no list register was there to deactivate"
    program.write(RD[1] + 0x2_0080, 4, 0)
    assert program.read(RD[1] + 0x2_0088, 4) == 0
    assert (machine.misuse.records, machine.fabric.cost.default_doorbells) == ([], 1)
