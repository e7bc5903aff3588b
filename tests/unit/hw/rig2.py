"""A tiny language for driving a machine with a GICv2: the hypervisor, the guest, the distributor, the wires.

Room:    under the tests of gicc, dist2 and pe2, whose tables are written in it.
Owns:    the notation, and the physical GIC that those tables start from.
Never:   computes an expected value.
Holds:   every access goes by MMIO; after each one the machine passes check().

    IAR→45, PMR=0xF0      GICC, by the hypervisor
    LR0=0x.., HCR→0x1     GICH
    V_IAR→64              GICV, by the guest
    D0F00=0x02000003      the word of GICD at an offset (hexadecimal)
    1:IAR→45              the same from PE 1
    P45→1, A45→0          bits of ISPENDR and ISACTIVER, as the PE reads them
    pend45, line26=1      ISPENDR, a wire
    lines→IRQ+vIRQ        the lines of the PE: IRQ or FIQ, vIRQ or vFIQ, none
    imo=1                 a control bit of the PE
"""

import re
from typing import Final

from hw import Machine, Pe, PhysConfig, V2Config, arch
from hw.dist2 import DistributorV2
from tests.unit.hw.frames import OFFSETS, guest_offset, host_offset
from tests.unit.hw.rig import LINES

SYNTAX: Final = re.compile(r"(?:(\d):)?(\w+?)(?:(=|→)(.*))?")
BOTH: Final = arch.GICC_CTLR_ENABLE_GRP0 | arch.GICC_CTLR_ENABLE_GRP1


class Host:
    """A machine with a GICv2, driven by MMIO."""

    def __init__(self, cpus: int = 1, config: V2Config | None = None, phys: PhysConfig | None = None) -> None:
        self.machine = Machine(cpus, phys=phys, gic=config or V2Config())
        dist = self.machine.dist
        assert isinstance(dist, DistributorV2)
        self.dist = dist

    def run(self, accesses: str) -> None:
        """Perform accesses separated by "; "."""
        for access in accesses.split("; "):
            matched = SYNTAX.fullmatch(access)
            assert matched, f"{access!r} is not in the notation"
            index, name, sign, text = matched.groups()
            pe = self.machine.pes[int(index or 0)]
            if sign == "→":
                assert self.observe(pe, name, text) == text, access
            else:
                self.act(pe, name, int(text or "0", 0))
            self.machine.check()

    def act(self, pe: Pe, name: str, value: int) -> None:
        """Write a register, drive a wire, set a control bit of the PE."""
        if name.startswith("pend"):
            intid = int(name.removeprefix("pend"))
            self.dist.write(arch.GICD_ISPENDR + intid // 32 * 4, 4, 1 << intid % 32, cpu=pe.index)
        elif name.startswith("line"):
            intid = int(name.removeprefix("line"))
            (pe.private if intid < arch.FIRST_SPI else self.dist).set_line(intid, value != 0)
        elif name.islower():
            setattr(pe, name, value != 0)
        elif name.startswith("V_"):
            assert pe.gicv is not None
            pe.gicv.write(guest_offset(name), value)
        elif f"GICC_{name}" in OFFSETS:
            pe.gicc.write(OFFSETS[f"GICC_{name}"], value)
        elif re.fullmatch(r"D[0-9A-F]{4}", name):
            self.dist.write(int(name[1:], 16), 4, value, cpu=pe.index)
        else:
            pe.gich.write(host_offset(name), value)

    def observe(self, pe: Pe, name: str, like: str) -> str:
        """What a read gives, written like `like`."""
        if name == "lines":
            return "+".join(text for bit, text in LINES if pe.lines() & bit) or "none"
        if re.fullmatch(r"[PA]\d+", name):
            intid = int(name[1:])
            register = arch.GICD_ISPENDR if name[0] == "P" else arch.GICD_ISACTIVER
            value = self.dist.read(register + intid // 32 * 4, 4, cpu=pe.index) >> intid % 32 & 1
        elif name.startswith("V_"):
            assert pe.gicv is not None
            value = pe.gicv.read(guest_offset(name))
        elif f"GICC_{name}" in OFFSETS:
            value = pe.gicc.read(OFFSETS[f"GICC_{name}"])
        elif re.fullmatch(r"D[0-9A-F]{4}", name):
            value = self.dist.read(int(name[1:], 16), 4, cpu=pe.index)
        else:
            value = pe.gich.read(host_offset(name))
        return f"0x{value:0{len(like) - 2}X}" if like.startswith("0x") else str(value)


def host(cpus: int = 1, config: V2Config | None = None) -> Host:
    """As a hypervisor sets it up: PMR 0xF0, EOImode 1, everything Group 0.

    INTID   what            priority   trigger
    0..15   SGI             0x60       edge
    25      maintenance     0x80       level
    26      PPI             0xA0       level
    45, 46  SPI to PE 0     0xA0       edge
    """
    it = Host(cpus, config)
    dist = it.dist
    dist.write(arch.GICD_CTLR, 4, BOTH)
    dist.write(arch.GICD_ICFGR + 8, 4, 2 << 13 * 2 | 2 << 14 * 2)
    dist.write(arch.GICD_ISENABLER + 4, 4, 3 << 13)
    for spi in (45, 46):
        dist.write(arch.GICD_IPRIORITYR + spi, 1, 0xA0)
        dist.write(arch.GICD_ITARGETSR + spi, 1, 1)
    for pe in it.machine.pes:
        for sgi in range(16):
            dist.write(arch.GICD_IPRIORITYR + sgi, 1, 0x60, cpu=pe.index)
        dist.write(arch.GICD_IPRIORITYR + 25, 1, 0x80, cpu=pe.index)
        dist.write(arch.GICD_IPRIORITYR + 26, 1, 0xA0, cpu=pe.index)
        pe.write_private(arch.GICD_ISENABLER, 3 << 25 | 0xFFFF)
        pe.gicc.write(arch.GICC_PMR, 0xF0)
        pe.gicc.write(arch.GICC_CTLR, arch.GICC_CTLR_ENABLE_GRP0 | arch.GICC_CTLR_EOIMODE)
    return it


GUEST: Final = "imo=1; fmo=1; VMCR=0xF84C0001"
