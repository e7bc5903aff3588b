"""The distributor of a GICv2: who sends an SGI, who is a target, what is banked.

Rows are in the notation of rig2.py on the host that host() sets up, with 4 PEs.
"""

import pytest

from hw import arch
from tests.unit.hw.rig2 import host

SGIS = {
    "to a list of PEs": ("1:D0F00=0x00050003", {0, 2}),
    "to everyone else": ("1:D0F00=0x01FF0003", {0, 2, 3}),
    "to oneself": ("1:D0F00=0x02FF0003", {1}),
    "a reserved filter": ("1:D0F00=0x03FF0003", set[int]()),
    "PEs that do not exist are passed over": ("1:D0F00=0x00F00003", set[int]()),
}


@pytest.mark.parametrize("row", SGIS.values(), ids=SGIS)
def test_sgi_reaches(row: tuple[str, set[int]]) -> None:
    send, reached = row
    it = host(4)
    it.run(send)
    assert {pe.index for pe in it.machine.pes if pe.private.irq(3).pending()} == reached
    for index in reached:
        it.run(f"{index}:lines→IRQ; {index}:IAR→{1 << 10 | 3}; {index}:lines→none")


SOURCES = {
    "one source at a time, the lowest first; the others wait for the end": (
        "3:D0F00=0x00010005; 1:D0F00=0x00010005; D0F24→0x00000A00; HPPIR→1029; IAR→1029; P5→1; A5→1; lines→none; "
        "EOIR=1029; lines→none; DIR=1029; lines→IRQ; IAR→3077; P5→0; EOIR=3077; DIR=3077; A5→0; lines→none"
    ),
    "sent twice by one PE is pending once": "1:D0F00=0x00010005; 1:D0F00=0x00010005; IAR→1029; P5→0",
    "SPENDSGIR and CPENDSGIR show and change the sources": (
        "D0F20=0x01020408; D0F20→0x01020408; D0F10→0x01020408; P0→1; P3→1; D0F10=0x00000008; D0F20→0x01020400; P0→0; "
        "1:D0F20→0x00000000"
    ),
    "sources that do not exist cannot be set": "D0F2C=0xF0F0F0F0; D0F2C→0x00000000; P12→0",
    "ISPENDR and ICPENDR do not change SGIs": (
        "D0200=0xFFFF; D0200→0x00000000; D0F20=0x00000001; D0280=0xFFFF; D0200→0x00000001"
    ),
    "an SGI can be made active": "D0300=0x20; A5→1; D0F24=0x00000100; lines→none; D0380=0x20; lines→IRQ",
}


@pytest.mark.parametrize("accesses", SOURCES.values(), ids=SOURCES)
def test_sgi_sources(accesses: str) -> None:
    host(4).run(accesses)


TARGETS = {
    "of INTIDs 0..31 are the accessing PE": "D0800→0x01010101; 2:D081C→0x04040404; 2:D0800=0x0; 2:D0800→0x04040404",
    "of SPIs are writable, for PEs that exist": "D0824=0xFFFFFFFF; D0824→0x0F0F0F0F; D0824=0x0; D0824→0x0",
    "decide where an SPI goes": (
        "pend45; lines→IRQ; 2:lines→none; D082C=0x00000400; lines→none; HPPIR→1023; 2:lines→IRQ; 2:IAR→45"
    ),
    "several: the first acknowledge takes it": (
        "D082C=0x00000600; pend45; lines→none; 1:lines→IRQ; 2:lines→IRQ; 1:IAR→45; 2:lines→none; 2:IAR→1023; "
        "1:EOIR=45; 2:DIR=45; A45→0"
    ),
    "none: it waits": "D082C=0x0; pend45; lines→none; P45→1; D082C=0x00000100; lines→IRQ",
}


@pytest.mark.parametrize("accesses", TARGETS.values(), ids=TARGETS)
def test_targets(accesses: str) -> None:
    host(4).run(accesses)


def test_a_lone_pe_is_every_target() -> None:
    host(1).run("D082C=0x0; D082C→0x0; D0800→0x0; pend45; IAR→45")


DISTRIBUTOR = {
    "TYPER and IIDR": "D0004→0x00000063; D0008→0x0000043B; D0004=0x0; D0004→0x00000063",
    "there is no affinity routing, no IGRPMODR, no SGIR to read": (
        "D0000=0xFFFFFFFF; D0000→0x3; D0D04=0xFFFFFFFF; D0D04→0x0; D6100=0x1; D6100→0x0; D0F00→0x0; D0FFC→0x0"
    ),
    "the words of INTIDs 0..31 are banked": (
        "D0180=0xFFFFFFFF; D0100→0x0; 1:D0100→0x0600FFFF; 1:D0300=0x04000000; A26→0; 1:A26→1; 1:D0400→0x60606060"
    ),
    "SPIs are not": "D0104→0x00006000; 3:D0184=0x2000; D0104→0x00004000",
    "ICFGR makes a PPI edge": "D0C04=0x00200000; line26=1; line26=0; P26→1; IAR→26; P26→0",
}


@pytest.mark.parametrize("accesses", DISTRIBUTOR.values(), ids=DISTRIBUTOR)
def test_distributor(accesses: str) -> None:
    host(4).run(accesses)


def test_widths() -> None:
    """Bytes reach priorities, targets and SGI sources; nothing else but aligned words exists."""
    dist = host(4).dist
    dist.write(arch.GICD_SPENDSGIR + 7, 1, 5)
    assert dist.read(arch.GICD_SPENDSGIR + 4, 4) == 5 << 24
    assert dist.read(arch.GICD_ITARGETSR + 45, 1) == 1
    assert dist.read(arch.GICD_IPRIORITYR + 45, 1) == 0xA0
    for offset, size in ((arch.GICD_CTLR, 1), (arch.GICD_ISENABLER, 1), (arch.GICD_IPRIORITYR, 2), (0x402, 4)):
        assert dist.read(offset, size) == 0
    dist.write(arch.GICD_CTLR, 1, 0)
    dist.write(arch.GICD_SGIR, 2, 0x0001_0003)
    assert (dist.read(arch.GICD_CTLR, 4), dist.read(arch.GICD_SPENDSGIR, 4)) == (3, 0)
