"""A GICv2-style guest's acknowledge and end of interrupt, one row for each rule.

A row is the state written to a reset GICv2 with 4 list registers, then accesses in order; frames.py and scenario.py
explain the notation.
    LR = HW<<31 | Grp1<<30 | State<<28 | (prio>>3)<<23 | (PhysicalID<<10 or EOI<<19 | CPUID<<10) | VirtualID
    VMCR = (PMR>>3)<<27 | BPR<<21 | ABPR<<18 | EOImode<<9 | CBPR<<4 | FIQEn<<3 | AckCtl<<2 | Grp1<<1 | Grp0
IAR and EOIR values of 0x400 and more include the source CPU << 10.
"""

import pytest

from hw import arch
from tests.unit.hw.frames import PlayV2, play2

SCENARIOS = {
    "V01 reset values": (
        "",
        (
            "VTR→0x90000003; HCR→0x0; VMCR→0x004C0000; MISR→0x0; EISR0→0x0; ELRSR0→0xF; APR→0x0; V_CTLR→0x0; "
            "V_PMR→0x0; V_BPR→0x2; V_ABPR→0x3; V_RPR→0xFF; V_HPPIR→1023; V_IAR→1023; V_IIDR→0x0002043B"
        ),
    ),
    "V02 SGI returns its source CPU": (
        "HCR=0x1 VMCR=0xF84C0001 LR0=0x18000C05",
        (
            "lines→vIRQ; V_HPPIR→0xC05; V_IAR→0xC05; LR0→0x28000C05; APR→0x00010000; V_RPR→0x80; V_EOIR=0xC05; "
            "LR0→0x08000C05; APR→0x0; ELRSR0→0xF"
        ),
    ),
    "V03 Group 1 with AckCtl=0: IAR gives 1022, AIAR acknowledges": (
        "HCR=0x1 VMCR=0xF84C0002 LR0=0x58000028",
        (
            "lines→vIRQ; V_HPPIR→1022; V_IAR→1022; LR0→0x58000028; V_AHPPIR→40; V_AIAR→40; LR0→0x68000028; "
            "APR→0x00010000; V_AEOIR=40; LR0→0x48000028; APR→0x0"
        ),
    ),
    "V04 Group 1 with AckCtl=1": (
        "HCR=0x1 VMCR=0xF84C0006 LR0=0x58000028",
        "lines→vIRQ; V_HPPIR→40; V_IAR→40; LR0→0x68000028; APR→0x00010000; V_EOIR=40; LR0→0x48000028; APR→0x0",
    ),
    "V05 Group 0 with FIQEn=1 drives vFIQ": (
        "HCR=0x1 VMCR=0xF84C0009 LR0=0x18000028",
        "lines→vFIQ; V_IAR→40",
    ),
    "V06 disabled Group 0 LR is not a candidate; then the Group 1 LR needs AckCtl/AIAR": (
        "HCR=0x1 VMCR=0xF84C0002 LR0=0x14000028 LR1=0x58000029",
        "lines→vIRQ; V_HPPIR→1022; V_IAR→1022",
    ),
    "V07 En=0": (
        "HCR=0x0 VMCR=0xF84C0003 LR0=0x14000028",
        "lines→none; V_HPPIR→40; V_IAR→1023",
    ),
    "V08 priority equal to PMR": (
        "HCR=0x1 VMCR=0x404C0003 LR0=0x14000028",
        "lines→none; V_HPPIR→40; V_IAR→1023",
    ),
    "V09 nested Group 0": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x18000028",
        (
            "V_IAR→40; LR1=0x14000029; lines→vIRQ; V_IAR→41; APR→0x00010100; V_RPR→0x40; V_EOIR=41; APR→0x00010000; "
            "V_RPR→0x80; V_EOIR=40; APR→0x0; V_RPR→0xFF; ELRSR0→0xF"
        ),
    ),
    "V10 BPR=4 (mask 0xE0)": (
        "HCR=0x1 VMCR=0xF88C0003 LR0=0x15800028",
        "V_IAR→40; APR→0x00000100; V_RPR→0x40; LR1=0x14800029; lines→none; V_IAR→1023",
    ),
    "V11 ABPR=6 for Group 1 (mask 0xC0)": (
        "HCR=0x1 VMCR=0xF8580007 LR0=0x57000028",
        "V_IAR→40; APR→0x00000100; LR1=0x54000029; lines→none; V_IAR→1023",
    ),
    "V12 CBPR=1, BPR=5 (mask 0xC0)": (
        "HCR=0x1 VMCR=0xF8AC0017 LR0=0x57000028",
        "V_ABPR→0x3; V_IAR→40; APR→0x00000100; LR1=0x54000029; lines→none; V_IAR→1023",
    ),
    "V13 EOImode 1": (
        "HCR=0x1 VMCR=0xF84C0203 LR0=0x18000028",
        "V_IAR→40; V_EOIR=40; LR0→0x28000028; APR→0x0; V_DIR=40; LR0→0x08000028; HCR→0x1",
    ),
    "V14 EOICount needs a cleared APR bit": (
        "HCR=0x1 VMCR=0xF84C0003 APR=0x00010000",
        "V_EOIR=99; APR→0x0; HCR→0x08000001; V_EOIR=99; HCR→0x08000001",
    ),
    "V15 DIR with no LR": (
        "HCR=0x1 VMCR=0xF84C0203",
        "V_DIR=99; HCR→0x08000001",
    ),
    "V16 EOImode 0: DIR ignored": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x28000028",
        "V_DIR=40; LR0→0x28000028; HCR→0x1",
    ),
    "V17 EOI of a P+A LR": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x38000028 APR=0x00010000",
        "lines→none; V_HPPIR→1023; V_EOIR=40; LR0→0x18000028; lines→vIRQ",
    ),
    "V18 SGI with EOI bit (more sources queued)": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x18080805",
        "V_IAR→0x805; V_EOIR=0x805; LR0→0x08080805; EISR0→0x1; ELRSR0→0xE; MISR→0x1",
    ),
    "V19 wrong-order EOI matches by ID only": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x28000028 LR1=0x24000029 APR=0x00010100",
        "V_EOIR=40; LR0→0x08000028; LR1→0x24000029; APR→0x00010000; HCR→0x1",
    ),
    "V20 VMCR field map and BPR/ABPR minimum": (
        "HCR=0x1 VMCR=0xA074021F",
        (
            "VMCR→0xA074021F; V_CTLR→0x21F; V_PMR→0xA0; V_BPR→0x3; V_ABPR→0x5; V_CTLR=0x1; V_PMR=0xFF; V_BPR=0x0; "
            "V_ABPR=0x0; VMCR→0xF84C0001; V_PMR→0xF8; V_BPR→0x2; V_ABPR→0x3"
        ),
    ),
    "V21 LR RES0 bits": (
        "LR0=0xFFFFFFFF",
        "LR0→0xFF8FFFFF",
    ),
    "V22 UIE / NPIE": (
        "HCR=0x3 VMCR=0xF84C0002",
        "MISR→0x2; HCR=0x9; MISR→0x8; LR0=0x78000028; MISR→0x8; LR0=0x58000028; MISR→0x0",
    ),
    "V23 VGrp enables": (
        "HCR=0x00000031 VMCR=0xF84C0002",
        "MISR→0x20; HCR=0x000000C1; MISR→0x40; V_CTLR=0x1; MISR→0x80; HCR=0x00000031; MISR→0x10",
    ),
    "V24 HW LR: no CPUID in IAR": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x9800B440",
        "V_IAR→64; V_EOIR=64; LR0→0x8800B440; ELRSR0→0xF",
    ),
    "V25 priority 0xF8 undeliverable": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x1F800028",
        "lines→none; V_HPPIR→40; V_IAR→1023",
    ),
    "V26 EOIR with the wrong CPUID": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x18000805",
        "V_IAR→0x805; V_EOIR=5; LR0→0x08000805; APR→0x0; HCR→0x1",
    ),
    "V27 DIR of a Pending LR": (
        "HCR=0x1 VMCR=0xF84C0203 LR0=0x18000028",
        "V_DIR=40; LR0→0x18000028; HCR→0x08000001",
    ),
    "V28 EOIR 1023": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x18000028",
        "V_IAR→40; V_EOIR=1023; LR0→0x28000028; APR→0x00010000",
    ),
    "V29 shared APR for both groups": (
        "HCR=0x1 VMCR=0xF84C0007 LR0=0x18000028",
        "V_IAR→40; LR1=0x54000029; lines→vIRQ; V_IAR→41; APR→0x00010100; V_EOIR=41; APR→0x00010000",
    ),
    "V30 AIAR when Group 0 is best": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028 LR1=0x58000029",
        "V_AIAR→1023; V_AHPPIR→1023; V_IAR→40",
    ),
    "V31 HCR writable bits": (
        "HCR=0xFFFFFFFF",
        "HCR→0xF80000FF",
    ),
    "V32 CPUID field ignored for non-SGI": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x18000C28",
        "V_IAR→40; LR0→0x28000C28",
    ),
}

MORE = {
    "AEOIR ends what IAR acknowledged, and EOIR what AIAR did": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028 LR1=0x58000029",
        "V_IAR→40; V_AEOIR=40; LR0→0x04000028; V_AIAR→41; V_EOIR=41; LR1→0x48000029; APR→0x0; HCR→0x1",
    ),
    "AHPPIR needs sufficient priority, HPPIR does not": (
        "HCR=0x1 VMCR=0x404C0006 LR0=0x58000028",
        "V_HPPIR→40; V_AHPPIR→1023; V_PMR=0x88; V_AHPPIR→40; HCR=0x0; V_AHPPIR→1023; V_HPPIR→40",
    ),
    "IAR of a Group 1 interrupt that cannot preempt is 1023, not 1022": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028",
        "V_IAR→40; LR1=0x58000029; V_HPPIR→1022; V_IAR→1023; V_AIAR→1023",
    ),
    "AEOIR drops whatever is active, also Group 0": (
        "HCR=0x1 VMCR=0xF84C0203 LR0=0x14000028",
        "V_IAR→40; V_AEOIR=1023; APR→0x00000100; V_AEOIR=99; APR→0x0; HCR→0x1; LR0→0x24000028",
    ),
    "a special VirtualID is returned once and never active": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x180003FD",
        "V_IAR→1021; LR0→0x080003FD; APR→0x0; V_IAR→1023",
    ),
    "DIR of special numbers is ignored": (
        "HCR=0x1 VMCR=0xF84C0203",
        "V_DIR=1020; V_DIR=1023; HCR→0x1; V_DIR=1019; HCR→0x08000001",
    ),
    "DIR ignores the source CPU": (
        "HCR=0x1 VMCR=0xF84C0203 LR0=0x28000C05",
        "V_DIR=0x1405; LR0→0x08000C05; HCR→0x1",
    ),
    "EOICount wraps": ("HCR=0xF8000001 VMCR=0xF84C0203", "V_DIR=99; HCR→0x1"),
    "a hardware LR deactivates its PhysicalID, once": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x9800B440",
        "V_IAR→64; phys→-; V_EOIR=64; phys→45; V_EOIR=64; phys→-",
    ),
    "PhysicalID 1020 and up names nothing": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x980FF040",
        "V_IAR→64; V_EOIR=64; LR0→0x880FF040; phys→-",
    ),
    "a hardware LR of SGI 5 shows no CPU": ("HCR=0x1 VMCR=0xF84C0003 LR0=0x98007405", "V_HPPIR→5; V_IAR→5"),
    "CTLR is VMCR, and CBPR chooses the mask at once": (
        "HCR=0x1 VMCR=0xF8AC0007 LR0=0x55000029 APR=0x00004000",
        "lines→vIRQ; V_CTLR=0x17; lines→none; VMCR→0xF8AC0017; V_CTLR=0xFFFFFFFF; V_CTLR→0x21F; VMCR→0xF8AC021F",
    ),
    "ABPR is writable under CBPR, and counts again without": (
        "HCR=0x1 VMCR=0xF84C0013",
        "V_ABPR=0x6; V_ABPR→0x6; V_BPR=0x5; V_BPR→0x5; VMCR→0xF8B80013; V_ABPR=0xFF; V_ABPR→0x7",
    ),
    "APR is one register seen twice": (
        "APR=0x00010100",
        "V_APR→0x00010100; V_RPR→0x40; V_APR=0x80000000; APR→0x80000000; V_RPR→0xF8",
    ),
    "FIQEn moves Group 0 from vIRQ to vFIQ, Group 1 stays": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x18000028",
        "lines→vIRQ; V_CTLR=0xB; lines→vFIQ; LR0=0x58000028; lines→vIRQ",
    ),
}


@pytest.mark.parametrize("row", [*SCENARIOS.values(), *MORE.values()], ids=[*SCENARIOS, *MORE])
def test_scenario(row: tuple[str, str]) -> None:
    play2(*row)


READ_ONLY = ("IAR", "RPR", "HPPIR", "AIAR", "AHPPIR", "IIDR")


@pytest.mark.parametrize("name", READ_ONLY)
def test_writes_to_read_only_registers_are_ignored(name: str) -> None:
    played = play2("HCR=0x1 VMCR=0xF84C0003 LR0=0x18000028 APR=0x80000000", "")
    before = played.icv.snapshot()
    played.do(f"V_{name}=0xFFFFFFFF")
    assert played.icv.snapshot() == before


@pytest.mark.parametrize("offset", [arch.GICC_EOIR, arch.GICC_AEOIR, arch.GICC_DIR, 0x2C, 0xD4, 0xE0, 0x0D, 0x1FFC])
def test_the_rest_of_the_frame_is_raz_wi(offset: int) -> None:
    played = play2("HCR=0x1 VMCR=0xF84C0003 LR0=0x18000028", "")
    before = played.icv.snapshot()
    assert played.gicv.read(offset) == 0
    if offset not in (arch.GICC_EOIR, arch.GICC_AEOIR, arch.GICC_DIR):
        played.gicv.write(offset, 0xFFFF_FFFF)
    assert played.icv.snapshot() == before


def test_every_access_is_counted_once() -> None:
    played = PlayV2()
    cost = played.icv.cost
    reads = ("CTLR", "PMR", "BPR", "ABPR", "IAR", "AIAR", "RPR", "HPPIR", "AHPPIR", "APR", "IIDR")
    writes = ("CTLR", "PMR", "BPR", "ABPR", "EOIR", "AEOIR", "DIR", "APR")
    for name in reads:
        played.read(f"V_{name}")
    for name in writes:
        played.write(f"V_{name}", 0)
    assert (cost.icv_reads, cost.icv_writes) == (len(reads), len(writes))
    assert cost.total() == len(reads) + len(writes)
