"""A tiny language for driving a whole machine: every exception level, the distributor, the wires.

Room:    under the tests of pe, icc, machine and of forwarding, whose tables are written in it.
Owns:    the notation, and the physical GIC that those tables start from.
Never:   computes an expected value.
Holds:   every access goes by encoding or MMIO; after each one the machine passes check().

Register names are as in scenario.py; a prefix says who accesses.  Accesses are separated by "; ".

    IAR1→45, PMR=0xF0      EL2: ICC_*, the physical CPU interface (C_AP1R0 for its active priorities)
    LR0=0x.., MISR→0x1     EL2: ICH_*
    g.IAR1→64              EL1: physical or virtual, as HCR_EL2 says (C_AP1R0, ISR, SGI1R, ...)
    m.IAR0→1020            EL3; m.CTLR_EL3=4 and so on name registers of EL3
    0.., 1.., before these the PE: 1:g.IAR1→64; default PE 0
    g.PMR→TRAP_EL2 0x6230100D     an access that traps, and its syndrome; also UNDEFINED
    imo=1, scr_ns=0        a control bit or line of the PE, set as an attribute
    lines→IRQ+vIRQ         the lines of the PE: IRQ or FIQ, vIRQ or vFIQ, none
    P45→1, A45→0           bits of ISPENDR and ISACTIVER by MMIO, of the PE for SGIs and PPIs
    pend45, unpend45       writes of ISPENDR and ICPENDR by MMIO
    line26=1               a wire
    lpi8192, PL8192→1      an LPI arrives; its bit in the pending table
"""

import re
from typing import Final

from hw import Machine, Memory, Pe, PhysConfig, VirtConfig, arch

PROPBASE: Final = 0x10000
PENDBASE: Final = 0x20000
OUTCOMES: Final = {
    arch.UNDEFINED: "UNDEFINED",
    arch.TRAP_EL1: "TRAP_EL1",
    arch.TRAP_EL2: "TRAP_EL2",
    arch.TRAP_EL3: "TRAP_EL3",
}
LINES: Final = ((1, "IRQ"), (2, "FIQ"), (4, "vIRQ"), (8, "vFIQ"))
SYNTAX: Final = re.compile(r"(?:(\d+):)?([a-zA-Z_.0-9]+?)(?:(=|→)(.*))?")


class Rig:
    """One machine being driven."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = machine or Machine(memory=Memory(0x40000))

    def run(self, accesses: str) -> None:
        """Perform accesses separated by "; "."""
        for access in accesses.split("; "):
            self.do(access)
            self.machine.check()

    def do(self, access: str) -> None:
        """Perform one access, and compare if it is a read."""
        matched = SYNTAX.fullmatch(access)
        assert matched, f"{access!r} is not in the notation"
        index, name, sign, text = matched.groups()
        pe = self.machine.pes[int(index or 0)]
        if sign == "→":
            expected = str(text)
            assert self.observe(pe, name, expected) == expected, access
        elif sign is None:
            self.event(pe, name)
        elif name.islower() or name.startswith(("scr_", "sre_", "pstate_", "line", "e2h")):
            self.set(pe, name, int(text, 0))
        else:
            value, _, outcome = str(text).partition(" ")
            got = write(pe, name, int(value, 0))
            assert show(pe, got, outcome or "0x0") == (outcome or "0x0"), access

    def set(self, pe: Pe, name: str, value: int) -> None:
        """Drive a wire, or set a control bit."""
        if name.startswith("line"):
            intid = int(name.removeprefix("line"))
            (pe.redist if intid < arch.FIRST_SPI else self.machine.dist).set_line(intid, value != 0)
        else:
            setattr(pe, name, value if name.startswith("sre_") else value != 0)

    def event(self, pe: Pe, name: str) -> None:
        """An LPI, or a write of ISPENDR or ICPENDR."""
        intid = int(name.lstrip("unpedli"))
        if name.startswith("lpi"):
            pe.redist.set_lpi(intid)
        else:
            self.poke(pe, arch.GICD_ISPENDR if name.startswith("pend") else arch.GICD_ICPENDR, intid)

    def poke(self, pe: Pe, register: int, intid: int) -> None:
        """Write 1 to the bit of `intid` in a bitmap register."""
        self.write_irq(pe, register + intid // 32 * 4, 4, 1 << intid % 32, intid)

    def write_irq(self, pe: Pe, offset: int, size: int, value: int, intid: int) -> None:
        """Write a register of the frame where `intid` lives, from the most privileged state."""
        if intid < arch.FIRST_SPI:
            pe.redist.write(arch.GICR_SGI_BASE + offset, size, value, secure=True)
        else:
            self.machine.dist.write(offset, size, value, secure=True)

    def bit(self, pe: Pe, register: int, intid: int) -> int:
        """The bit of `intid` in a bitmap register."""
        offset = register + intid // 32 * 4
        if intid < arch.FIRST_SPI:
            word = pe.redist.read(arch.GICR_SGI_BASE + offset, 4, secure=True)
        else:
            word = self.machine.dist.read(offset, 4, secure=True)
        return word >> intid % 32 & 1

    def observe(self, pe: Pe, name: str, like: str) -> str:
        """What a read gives, written like `like`."""
        if name == "lines":
            return "+".join(text for bit, text in LINES if pe.lines() & bit) or "none"
        if re.fullmatch(r"[PA]\d+", name):
            register = arch.GICD_ISPENDR if name[0] == "P" else arch.GICD_ISACTIVER
            return str(self.bit(pe, register, int(name[1:])))
        if name.startswith("PL"):
            intid = int(name[2:])
            table = pe.redist.lpis.pendbaser & arch.PENDBASER_ADDRESS_MASK
            return str(self.machine.memory.read(table + intid // 8, 1) >> intid % 8 & 1)
        return show(pe, read(pe, name), like)


def show(pe: Pe, got: int, like: str) -> str:
    """Write an outcome the way the expected text is written."""
    if got in OUTCOMES:
        return f"{OUTCOMES[got]} 0x{pe.esr:08X}" if " " in like else OUTCOMES[got]
    return f"0x{got:0{len(like) - 2}X}" if like.startswith("0x") else str(got)


def read(pe: Pe, name: str) -> int:
    """Read the register that `name` means, at the level it names."""
    who, encoding = decode(name)
    if who == "g":
        return pe.mrs_el1(encoding)
    return pe.mrs_el3(encoding) if who == "m" else pe.mrs_el2(encoding)


def write(pe: Pe, name: str, value: int) -> int:
    """Write the register that `name` means, at the level it names."""
    who, encoding = decode(name)
    if who == "g":
        return pe.msr_el1(encoding, value)
    return pe.msr_el3(encoding, value) if who == "m" else pe.msr_el2(encoding, value)


def decode(name: str) -> tuple[str, int]:
    """Who accesses, and the encoding: of ICH_<name>_EL2 at EL2 if there is one, else of ICC_<name>."""
    who, _, register = name.rpartition(".")
    by_name = arch.SYSREG_BY_NAME
    if register == "ISR":
        return who, arch.ISR_EL1
    if not who and f"ICH_{register}_EL2" in by_name:
        return who, by_name[f"ICH_{register}_EL2"]
    register = register.removeprefix("C_")
    if register.startswith("ICH_"):
        return who, by_name[register]
    return who, by_name[f"ICC_{register}" if register.endswith(("_EL1", "_EL2", "_EL3")) else f"ICC_{register}_EL1"]


def configure(rig: Rig, pe: Pe, intid: int, priority: int, group: int, edge: bool = False) -> None:
    """Enable an interrupt by MMIO, level-sensitive unless `edge`; an SPI is routed to `pe`."""
    if group:
        rig.write_irq(pe, arch.GICD_IGROUPR + intid // 32 * 4, 4, group_word(rig, pe, intid), intid)
    rig.write_irq(pe, arch.GICD_IPRIORITYR + intid, 1, priority, intid)
    if edge:
        rig.write_irq(pe, arch.GICD_ICFGR + intid // 16 * 4, 4, 2 << intid % 16 * 2, intid)
    if intid >= arch.FIRST_SPI:
        aff = pe.aff
        rig.write_irq(pe, arch.GICD_IROUTER + 8 * intid, 8, (aff >> 24) << 32 | aff & 0xFF_FFFF, intid)
    rig.poke(pe, arch.GICD_ISENABLER, intid)


def group_word(rig: Rig, pe: Pe, intid: int) -> int:
    """IGROUPR<n> with the bit of `intid` set as well."""
    offset = arch.GICD_IGROUPR + intid // 32 * 4
    if intid < arch.FIRST_SPI:
        word = pe.redist.read(arch.GICR_SGI_BASE + offset, 4, secure=True)
    else:
        word = rig.machine.dist.read(offset, 4, secure=True)
    return word | 1 << intid % 32


def host_rig(virt: VirtConfig | None = None, phys: PhysConfig | None = None, cpus: int = 1) -> Rig:
    """A host as KVM sets it up: PMR 0xF0, Group 1 on, EOImode 1, everything Group 1.

    INTID   what            priority   trigger
    3       SGI             0x60       edge
    25      maintenance     0x80       level
    26      PPI             0xA0       level
    45, 46  SPI to PE 0     0xA0       edge
    """
    rig = Rig(Machine(cpus, virt or VirtConfig(), phys or PhysConfig(), memory=Memory(0x40000)))
    rig.machine.dist.write(arch.GICD_CTLR, 4, arch.GICD_CTLR_ENABLE_GRP0 | arch.GICD_CTLR_ENABLE_GRP1, secure=True)
    for pe in rig.machine.pes:
        configure(rig, pe, 3, 0x60, 1)
        configure(rig, pe, 25, 0x80, 1)
        configure(rig, pe, 26, 0xA0, 1)
        for register, value in (("PMR", 0xF0), ("CTLR", arch.CTLR_EOIMODE), ("IGRPEN1", 1)):
            write(pe, register, value)
    for spi in (45, 46):
        configure(rig, rig.machine.pes[0], spi, 0xA0, 1)
    rig.machine.dist.write(arch.GICD_ICFGR + 8, 4, 2 << 13 * 2 | 2 << 14 * 2, secure=True)
    return rig


def enable_lpis(rig: Rig, pe: Pe, lpis: dict[int, int]) -> None:
    """Give `pe` tables in memory with those configuration bytes, and enable its LPIs."""
    for intid, byte in lpis.items():
        rig.machine.memory.write(PROPBASE + intid - arch.FIRST_LPI, 1, byte)
    pe.redist.write(arch.GICR_PROPBASER, 8, PROPBASE | 13)  # 14 bits: LPIs up to 16383
    pe.redist.write(arch.GICR_PENDBASER, 8, PENDBASE + (pe.index << 16))
    pe.redist.write(arch.GICR_CTLR, 4, arch.GICR_CTLR_ENABLE_LPIS)
