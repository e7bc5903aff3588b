"""GICC, and what a hypervisor on a GICv2 does with it: forwarding, the maintenance interrupt, two groups.

Rows are in the notation of rig2.py on the host that host() sets up.
    0x9A00B440: LR pending, HW, PhysicalID 45, VirtualID 64, priority 0xA0, Group 0
"""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import PhysConfig, arch
from tests.unit.hw.frames import OFFSETS
from tests.unit.hw.rig2 import GUEST, Host, host

TAKEN = "pend45; lines→IRQ; HPPIR→45; P45→1; A45→0; IAR→45; P45→0; A45→1; RPR→0xA0; EOIR=45; RPR→0xFF; A45→1"
FORWARDED = f"{GUEST}; {TAKEN}; HCR=0x1; LR0=0x9A00B440; lines→vIRQ"

SCENARIOS = {
    "P19 a forwarded SPI is deactivated by the guest's EOI": (
        f"{FORWARDED}; V_IAR→64; LR0→0xAA00B440; A45→1; V_EOIR=64; LR0→0x8A00B440; APR→0x0; ELRSR0→0xF; EISR0→0x0; "
        "MISR→0x0; A45→0; lines→none"
    ),
    "P20 underflow raises the maintenance interrupt, and clearing UIE lowers it": (
        f"{GUEST}; HCR=0x3; P25→1; lines→IRQ; HPPIR→25; IAR→25; RPR→0x80; HCR=0x1; P25→0; A25→1; EOIR=25; DIR=25; "
        "A25→0; lines→none"
    ),
    "P21 a host with EOImode 1 deactivates with DIR": "pend45; IAR→45; EOIR=45; A45→1; DIR=45; A45→0; RPR→0xFF",
    "an edge while it is forwarded waits for the guest (P02)": (
        f"{FORWARDED}; pend45; P45→1; A45→1; lines→vIRQ; IAR→1023; V_IAR→64; V_EOIR=64; P45→1; A45→0; lines→IRQ; IAR→45"
    ),
    "a guest with EOImode 1 deactivates with DIR (P03)": (
        f"{FORWARDED}; V_CTLR=0x201; V_IAR→64; V_EOIR=64; LR0→0xAA00B440; A45→1; V_DIR=64; LR0→0x8A00B440; A45→0"
    ),
    "a guest that ends another INTID deactivates nothing (P04)": (
        f"{FORWARDED}; V_IAR→64; V_EOIR=65; LR0→0xAA00B440; HCR→0x08000001; A45→1"
    ),
    "a level still high is pending again after the guest's EOI (P05)": (
        f"{GUEST}; line26=1; lines→IRQ; IAR→26; P26→1; A26→1; EOIR=26; lines→none; HCR=0x1; LR0=0x9A00681A; V_IAR→26; "
        "V_EOIR=26; P26→1; A26→0; lines→IRQ; line26=0; P26→0; lines→none"
    ),
    "the maintenance interrupt needs En (P08)": "HCR=0x2; P25→0; lines→none; HCR=0x3; P25→1; lines→IRQ",
    "a host with EOImode 0 deactivates with EOIR, and DIR does nothing": (
        "CTLR=0x1; pend45; IAR→45; DIR=45; A45→1; EOIR=45; A45→0; RPR→0xFF"
    ),
    "EOIR of another INTID drops all the same (P10)": "pend45; IAR→45; EOIR=46; RPR→0xFF; A45→1",
    "EOIR with nothing active does nothing": "CTLR=0x1; D0304=0x2000; A45→1; EOIR=45; A45→1",
    "special numbers end nothing": "pend45; IAR→45; EOIR=1023; RPR→0xA0; DIR=1023; DIR=1000; A45→1",
    "PMR masks a priority equal to it, but HPPIR does not look (P14)": (
        "PMR=0xA0; pend45; lines→none; HPPIR→45; IAR→1023; PMR=0xA8; lines→IRQ; IAR→45"
    ),
    "equal priorities: lowest INTID, one at a time (P15)": (
        "pend46; pend45; IAR→45; IAR→1023; EOIR=45; IAR→46; A45→1; A46→1"
    ),
    "a better one preempts": "pend45; IAR→45; line26=1; IAR→1023; D0F00=0x02000003; IAR→3; RPR→0x60; APR→0x00101000",
    "PMR keeps the implemented bits, the binary points their minimum": (
        "PMR=0xFF; PMR→0xF8; BPR=0x0; BPR→0x2; ABPR=0x0; ABPR→0x3; BPR=0xFF; BPR→0x7; ABPR=0x5; ABPR→0x5"
    ),
    "a coarse binary point keeps others from preempting": (
        "BPR=0x6; pend45; IAR→45; RPR→0x80; D0F00=0x02000003; lines→IRQ; IAR→3; RPR→0x0; EOIR=3; EOIR=45; BPR=0x7; "
        "pend46; IAR→46; RPR→0x0; DIR=3; D0F00=0x02000003; lines→none"
    ),
    "CTLR keeps what exists": "CTLR=0xFFFFFFFF; CTLR→0x21F; CTLR=0x0; CTLR→0x0",
    "APR can be saved and restored": "pend45; IAR→45; APR→0x00100000; APR=0x0; RPR→0xFF; APR=0x00100000; RPR→0xA0",
    "the read-only, write-only and missing registers": "IIDR→0x0002043B; IIDR=0x0; IIDR→0x0002043B; EOIR→0x0; DIR→0x0",
    "an invalid PhysicalID ends in the virtual interface alone": (
        f"{GUEST}; HCR=0x1; LR0=0x9A0FFC40; V_IAR→64; V_EOIR=64; LR0→0x8A0FFC40"
    ),
    "a PhysicalID of an SGI is not deactivated": (
        f"{GUEST}; D0F00=0x02000003; IAR→3; EOIR=3; HCR=0x1; LR0=0x9A000C40; V_IAR→64; V_EOIR=64; LR0→0x8A000C40; A3→1"
    ),
}

GROUPS = {
    "Group 1 needs AckCtl or AIAR": (
        "D0084=0x2000; CTLR=0x203; pend45; lines→IRQ; HPPIR→1022; IAR→1022; AHPPIR→45; A45→0; AIAR→45; A45→1; "
        "AEOIR=45; RPR→0xFF; DIR=45; CTLR=0x207; pend45; HPPIR→45; IAR→45"
    ),
    "AIAR does not take Group 0": "CTLR=0x203; pend45; AIAR→1023; AHPPIR→1023; P45→1; IAR→45",
    "AHPPIR needs sufficient priority": "D0084=0x2000; CTLR=0x203; PMR=0xA0; pend45; AHPPIR→1023; HPPIR→1022",
    "FIQEn makes Group 0 an FIQ": "CTLR=0x20B; pend45; lines→FIQ; D0084=0x2000; lines→IRQ",
    "a group disabled in GICC_CTLR is not looked at": (
        "D0084=0x4000; CTLR=0x206; pend45; pend46; HPPIR→46; IAR→46; CTLR=0x201; EOIR=46; HPPIR→45; IAR→45"
    ),
    "a group disabled in GICD_CTLR is not looked at": (
        "D0084=0x4000; D0000=0x2; CTLR=0x207; pend45; pend46; HPPIR→46; D0000=0x3; HPPIR→45; D0000→0x3"
    ),
    "ABPR is Group 1's binary point": (
        "D0084=0x6000; CTLR=0x207; ABPR=0x7; pend45; IAR→45; RPR→0x80; CTLR=0x217; EOIR=45; pend46; IAR→46; RPR→0xA0"
    ),
}


@pytest.mark.parametrize("accesses", [*SCENARIOS.values(), *GROUPS.values()], ids=[*SCENARIOS, *GROUPS])
def test_scenario(accesses: str) -> None:
    host().run(accesses)


def test_physical_accesses_are_counted() -> None:
    pe = host().machine.pes[0]
    pe.cost.reset()
    for name in ("CTLR", "PMR", "BPR", "ABPR", "IAR", "AIAR", "RPR", "HPPIR", "AHPPIR", "APR", "IIDR"):
        pe.gicc.read(OFFSETS[f"GICC_{name}"])
    for name in ("CTLR", "PMR", "BPR", "ABPR", "EOIR", "AEOIR", "DIR", "APR"):
        pe.gicc.write(OFFSETS[f"GICC_{name}"], 0)
    assert (pe.cost.icc_reads, pe.cost.icc_writes, pe.cost.total()) == (11, 8, 19)


def test_seven_physical_priority_bits() -> None:
    it = Host(phys=PhysConfig(phys_pri_bits=7))
    it.run("D0000=0x1; CTLR=0x1; PMR=0xFF; PMR→0xFE; D0100=0x8; D0F00=0x02000003; IAR→3; APR→0x1; APR=0x0")
    it.run("BPR→0x0; ABPR→0x1")
    gicc = it.machine.pes[0].gicc
    gicc.write(arch.GICC_APR + 4 * 3, 1 << 31)
    assert (gicc.read(arch.GICC_APR + 12), gicc.read(arch.GICC_RPR)) == (1 << 31, 0xFE)
    gicc.check()


WIRES: Final = ("pend45", "pend46", "line26=1", "line26=0", "HCR=0x3", "HCR=0x1", "D0F00=0x02000003")
CONTROL: Final = ("PMR=0xF0", "PMR=0xA0", "BPR=6", "BPR=0", "CTLR=0x201", "CTLR=0x1", "CTLR=0x0")


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from((*WIRES, *CONTROL, "iar", "iar", "eoi", "dir")), max_size=40))
def test_acknowledge_takes_exactly_what_is_signalled(steps: list[str]) -> None:
    """IAR returns an interrupt exactly if IRQ was high; it becomes active and raises the running priority."""
    it = host()
    pe = it.machine.pes[0]
    taken: list[int] = []
    for one in steps:
        if one == "iar":
            high, before, running = pe.irq(), active(it), pe.gicc.running()
            value = pe.gicc.read(arch.GICC_IAR)
            assert high == (value != arch.INTID_SPURIOUS)
            assert active(it) - before == ({value & arch.IAR_INTID_MASK} if high else set())
            assert (pe.gicc.running() < running) == high
            taken += [value] if high else []
        elif one in ("eoi", "dir"):
            pe.gicc.write(arch.GICC_EOIR if one == "eoi" else arch.GICC_DIR, taken.pop() if taken else 45)
        else:
            it.run(one)
        it.machine.check()


def active(it: Host) -> set[int]:
    """Every active interrupt of PE 0 and the distributor."""
    return {irq.intid for irq in it.machine.pes[0].private.irqs + it.dist.irqs if irq.active}
