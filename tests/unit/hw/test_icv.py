"""The guest's acknowledge and end of interrupt, one row for each rule.

A row is the state written to a reset interface with 4 list registers and 5 priority bits, then
accesses in order; scenario.py explains the notation.
    LR = State<<62 | HW<<61 | Group<<60 | Priority<<48 | (pINTID<<32 or EOI<<41) | vINTID
    VMCR = VPMR<<24 | VBPR0<<21 | VBPR1<<18 | VEOIM<<9 | VCBPR<<4 | 8 | VENG1<<1 | VENG0
"""

import pytest

from tests.unit.hw.scenario import play

ACKNOWLEDGE = {
    "A01 one pending Group 1 LR, acknowledge": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        (
            "lines→vIRQ; HPPIR1→40; RPR→0xFF; IAR1→40; LR0→0x9080000000000028; AP1R0→0x00010000; RPR→0x80; lines→none; "
            "IAR1→1023"
        ),
    ),
    "A02 empty interface": (
        "HCR=0x1 VMCR=0xF84C000A",
        "HPPIR1→1023; IAR1→1023; HPPIR0→1023; IAR0→1023; RPR→0xFF; lines→none",
    ),
    "A03 En=0: HPPIR still reports, nothing can be signalled or acknowledged": (
        "HCR=0x0 VMCR=0xF84C000A LR0=0x5080000000000028",
        "lines→none; HPPIR1→40; IAR1→1023; LR0→0x5080000000000028",
    ),
    "A04 group disabled: not even HPPIR sees it": (
        "HCR=0x1 VMCR=0xF84C0008 LR0=0x5080000000000028",
        "lines→none; HPPIR1→1023; IAR1→1023; LR0→0x5080000000000028",
    ),
    "A05 priority equal to VPMR is masked (HPPIR is not)": (
        "HCR=0x1 VMCR=0x804C000A LR0=0x5080000000000028",
        "lines→none; HPPIR1→40; IAR1→1023; LR0→0x5080000000000028",
    ),
    "A06 one step below VPMR passes": (
        "HCR=0x1 VMCR=0x884C000A LR0=0x5080000000000028",
        "lines→vIRQ; IAR1→40; AP1R0→0x00010000",
    ),
    "A07 lowest numeric priority wins; loser cannot preempt": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50A0000000000028 LR1=0x5060000000000029",
        "HPPIR1→41; IAR1→41; LR0→0x50A0000000000028; LR1→0x9060000000000029; AP1R0→0x00001000; HPPIR1→40; IAR1→1023",
    ),
    "A08 equal priority: lowest LR index, not lowest INTID; Invalid LR ignored": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x1020000000000027 LR1=0x5080000000000032 LR2=0x5080000000000021",
        "HPPIR1→50; IAR1→50; LR1→0x9080000000000032; LR2→0x5080000000000021; IAR1→1023",
    ),
    "A09 wrong-group register read has no side effect": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x5080000000000028",
        "HPPIR0→1023; IAR0→1023; LR0→0x5080000000000028; HPPIR1→40",
    ),
    "A10 better Group 0 hides Group 1 from IAR1/HPPIR1": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x5080000000000028 LR1=0x4040000000000029",
        (
            "lines→vFIQ; HPPIR1→1023; IAR1→1023; HPPIR0→41; IAR0→41; LR1→0x8040000000000029; AP0R0→0x00000100; "
            "AP1R0→0x0; RPR→0x40; lines→none"
        ),
    ),
    "A11 disabled Group 0 does not hide Group 1": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028 LR1=0x4040000000000029",
        "lines→vIRQ; HPPIR0→1023; HPPIR1→40; IAR1→40",
    ),
    "A12 Active and P+A LRs are not candidates": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x9020000000000028 LR1=0xD030000000000029 LR2=0x509000000000002A",
        "HPPIR1→42; IAR1→42",
    ),
    "A13 only a P+A LR: nothing signalled": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0xD030000000000029",
        "lines→none; HPPIR1→1023; IAR1→1023; LR0→0xD030000000000029",
    ),
    "A14 nested preemption": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; LR1=0x5040000000000029; lines→vIRQ; IAR1→41; AP1R0→0x00010100; RPR→0x40",
    ),
    "A15 equal group priority does not preempt": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; LR1=0x5080000000000029; lines→none; HPPIR1→41; IAR1→1023",
    ),
    "A16 VBPR1=5 groups 0x40..0x5F; 0x38 still preempts": (
        "HCR=0x1 VMCR=0xF854000A LR0=0x5050000000000028",
        (
            "IAR1→40; AP1R0→0x00000100; RPR→0x40; LR1=0x5040000000000029; lines→none; IAR1→1023; "
            "LR1=0x5038000000000029; lines→vIRQ; IAR1→41; AP1R0→0x00000110"
        ),
    ),
    "A17 VBPR0=4: Group 0 mask 0xE0": (
        "HCR=0x1 VMCR=0xF88C0009 LR0=0x4058000000000028",
        "lines→vFIQ; IAR0→40; AP0R0→0x00000100; RPR→0x40; LR1=0x4048000000000029; lines→none; IAR0→1023",
    ),
    "A18 VCBPR=1: Group 1 uses VBPR0=5 (mask 0xC0)": (
        "HCR=0x1 VMCR=0xF8AC001A LR0=0x5070000000000028",
        "BPR1→0x6; IAR1→40; AP1R0→0x00000100; RPR→0x40; LR1=0x5048000000000029; lines→none; IAR1→1023",
    ),
    "A19 VPMR=0 masks everything, even priority 0": (
        "HCR=0x1 VMCR=0x004C000A LR0=0x5000000000000028",
        "lines→none; HPPIR1→40; IAR1→1023",
    ),
    "A20 priority 0 passes VPMR=8": (
        "HCR=0x1 VMCR=0x084C000A LR0=0x5000000000000028",
        "lines→vIRQ; IAR1→40; AP1R0→0x1; RPR→0x0",
    ),
    "A21 lowest implemented priority 0xF8 can never be signalled (5 bits)": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50F8000000000028",
        "lines→none; HPPIR1→40; IAR1→1023; LR0→0x50F8000000000028",
    ),
    "A22 0xF0 is the lowest deliverable priority (5 bits)": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50F0000000000028",
        "lines→vIRQ; IAR1→40; AP1R0→0x40000000; RPR→0xF0",
    ),
    "A23 LPI INTID held in an LR becomes Active like any other": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50A0000000002003",
        "HPPIR1→8195; IAR1→8195; LR0→0x90A0000000002003; AP1R0→0x00100000",
    ),
    "A24 HW=1 LR acknowledge leaves HW/pINTID intact": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x70A0001B0000001B",
        "IAR1→27; LR0→0xB0A0001B0000001B; AP1R0→0x00100000",
    ),
    "A25 special INTID in an LR: state dropped, no AP bit (UNPREDICTABLE input)": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50800000000003FD",
        "IAR1→1021; LR0→0x10800000000003FD; AP1R0→0x0; RPR→0xFF",
    ),
    "A26 cross-group preemption uses the pending group's mask on both sides": (
        "HCR=0x1 VMCR=0xF85C000B LR0=0x4048000000000028",
        (
            "IAR0→40; LR1=0x5040000000000029; lines→none; IAR1→1023; LR1=0x4040000000000029; lines→vFIQ; IAR0→41; "
            "AP0R0→0x00000300"
        ),
    ),
    "A27 VBPR0=7: Group 0 never preempts": (
        "HCR=0x1 VMCR=0xF8EC000B LR0=0x40F0000000000028",
        "IAR0→40; AP0R0→0x1; RPR→0x0; LR1=0x4000000000000029; lines→none; IAR0→1023",
    ),
    "A28 VBPR1=7: one preemption bit (bit 7)": (
        "HCR=0x1 VMCR=0xF85C000A LR0=0x50F0000000000028",
        "IAR1→40; AP1R0→0x00010000; RPR→0x80; LR1=0x5078000000000029; lines→vIRQ; IAR1→41; AP1R0→0x00010001; RPR→0x0",
    ),
    "A29 guest raises PMR then takes it; 0xFF reads back 0xF8": (
        "HCR=0x1 VMCR=0x404C000A LR0=0x5080000000000028",
        "lines→none; IAR1→1023; PMR=0xFF; PMR→0xF8; lines→vIRQ; IAR1→40",
    ),
    "A30 VCBPR=1 with VBPR0=7: mask 0 for Group 1 too": (
        "HCR=0x1 VMCR=0xF8EC001A LR0=0x50C0000000000028",
        "BPR1→0x7; IAR1→40; AP1R0→0x1; RPR→0x0",
    ),
    "A31 unimplemented priority bits in an LR read as zero": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5087000000000028",
        "LR0→0x5080000000000028; IAR1→40; AP1R0→0x00010000",
    ),
    "A32 equal priority across groups: LR index decides (Group 1 first)": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x5080000000000028 LR1=0x4080000000000029",
        "lines→vIRQ; HPPIR0→1023; HPPIR1→40; IAR0→1023; IAR1→40",
    ),
    "A33 equal priority across groups: LR index decides (Group 0 first)": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x4080000000000029 LR1=0x5080000000000028",
        "lines→vFIQ; HPPIR0→41; HPPIR1→1023; IAR1→1023; IAR0→41; lines→none",
    ),
}

END_OF_INTERRUPT = {
    "B01 EOI, EOImode 0": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=40; LR0→0x1080000000000028; AP1R0→0x0; RPR→0xFF; ELRSR→0xF; EISR→0x0",
    ),
    "B02 EOI of P+A returns to Pending and re-signals": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; LR0=0xD080000000000028; lines→none; EOIR1=40; LR0→0x5080000000000028; lines→vIRQ; IAR1→40",
    ),
    "B03 EOI through the other group's register: drop only": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR0=40; LR0→0x9080000000000028; AP1R0→0x0; RPR→0xFF; HCR→0x1",
    ),
    "B04 EOI of an INTID not in any LR: drop + EOIcount": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=41; LR0→0x9080000000000028; AP1R0→0x0; HCR→0x08000001",
    ),
    "B05 EOI with no AP bit set: ignored although LR is Active": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x9080000000000028",
        "EOIR1=40; LR0→0x9080000000000028; HCR→0x1",
    ),
    "B06 EOI with no AP bit set and no LR: no EOIcount": (
        "HCR=0x1 VMCR=0xF84C000A",
        "EOIR1=40; HCR→0x1; RPR→0xFF",
    ),
    "B07 EOImode 1: drop, then DIR": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=40; LR0→0x9080000000000028; AP1R0→0x0; HCR→0x1; DIR=40; LR0→0x1080000000000028; HCR→0x1",
    ),
    "B08 DIR with no LR: EOIcount": (
        "HCR=0x1 VMCR=0xF84C020A",
        "DIR=40; HCR→0x08000001",
    ),
    "B09 EOImode 0: DIR ignored entirely": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x9080000000000028 AP1R0=0x00010000",
        "DIR=40; LR0→0x9080000000000028; HCR→0x1; DIR=99; HCR→0x1",
    ),
    "B10 EOImode 1, EOIR with no LR": (
        "HCR=0x1 VMCR=0xF84C020A AP1R0=0x00010000",
        "EOIR1=99; AP1R0→0x0; HCR→0x1",
    ),
    "B11 EOIs in the wrong order: both LRs stay Active": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        (
            "IAR1→40; LR1=0x5040000000000029; IAR1→41; EOIR1=40; LR0→0x9080000000000028; LR1→0x9040000000000029; "
            "AP1R0→0x00010000; RPR→0x80; HCR→0x1; EOIR1=41; LR0→0x9080000000000028; LR1→0x9040000000000029; AP1R0→0x0; "
            "HCR→0x1"
        ),
    ),
    "B12 properly nested EOIs": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        (
            "IAR1→40; LR1=0x5040000000000029; IAR1→41; EOIR1=41; LR1→0x1040000000000029; RPR→0x80; EOIR1=40; "
            "LR0→0x1080000000000028; RPR→0xFF; ELRSR→0xF"
        ),
    ),
    "B13 EOIR of a special INTID ignored": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=1023; LR0→0x9080000000000028; AP1R0→0x00010000; HCR→0x1",
    ),
    "B14 LPI in LR: EOIR deactivates even with EOImode 1": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x50A0000000002003",
        "IAR1→8195; EOIR1=8195; LR0→0x10A0000000002003; AP1R0→0x0; HCR→0x1",
    ),
    "B15 LPI not in an LR: drop, no EOIcount": (
        "HCR=0x1 VMCR=0xF84C000A AP1R0=0x00100000",
        "EOIR1=8200; AP1R0→0x0; HCR→0x1",
    ),
    "B16 EOIcount wraps 31 to 0": (
        "HCR=0xF8000001 VMCR=0xF84C000A AP1R0=0x00010000",
        "EOIR1=99; HCR→0x1",
    ),
    "B17 LR.EOI bit raises EISR/MISR.EOI after deactivation": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080020000000028",
        (
            "MISR→0x0; EISR→0x0; ELRSR→0xE; IAR1→40; MISR→0x0; EOIR1=40; LR0→0x1080020000000028; EISR→0x1; ELRSR→0xE; "
            "MISR→0x1; LR0=0x0000000000000000; EISR→0x0; ELRSR→0xF; MISR→0x0"
        ),
    ),
    "B18 AP0 and AP1 at the same level: AP0 is cleared": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x8080000000000028 LR1=0x9080000000000029 AP0R0=0x00010000 AP1R0=0x00010000",
        "EOIR1=41; AP0R0→0x0; AP1R0→0x00010000; LR0→0x8080000000000028; LR1→0x1080000000000029",
    ),
    "B19 BPR raised between ack and EOI: priority mismatch, LR stays Active": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5058000000000028",
        "IAR1→40; BPR1=0x6; EOIR1=40; LR0→0x9058000000000028; AP1R0→0x0; HCR→0x1",
    ),
    "B20 DIR of a Pending LR does not match": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028",
        "DIR=40; LR0→0x5080000000000028; HCR→0x08000001",
    ),
    "B21 DIR of a P+A LR": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0xD080000000000028",
        "DIR=40; LR0→0x5080000000000028; HCR→0x1",
    ),
    "B22 ack/EOI with coarse BPR is self-consistent": (
        "HCR=0x1 VMCR=0xF854000A LR0=0x5058000000000028",
        "IAR1→40; AP1R0→0x00000100; EOIR1=40; LR0→0x1058000000000028; AP1R0→0x0",
    ),
    "B23 the other group holds the higher active priority: wrong drop, no deactivation": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x9080000000000028 LR1=0x8040000000000029 AP1R0=0x00010000 AP0R0=0x00000100",
        "EOIR1=40; LR0→0x9080000000000028; AP0R0→0x0; AP1R0→0x00010000; RPR→0x80",
    ),
    "B24 DIR ignores group and priority": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x8080000000000028",
        "DIR=40; LR0→0x0080000000000028; HCR→0x1",
    ),
    "B25 HW=1 LR after EOI is empty for ELRSR, never EISR": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x7080002D00000028",
        "IAR1→40; EOIR1=40; LR0→0x3080002D00000028; AP1R0→0x0; ELRSR→0xF; EISR→0x0",
    ),
    "B26 DIR of an LPI ignored": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x90A0000000002003",
        "DIR=8195; LR0→0x90A0000000002003; HCR→0x1",
    ),
    "B27 EOImode 1: same-priority interrupt taken while the first is still Active": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028 LR1=0x5080000000000029",
        (
            "IAR1→40; IAR1→1023; EOIR1=40; lines→vIRQ; IAR1→41; LR0→0x9080000000000028; LR1→0x9080000000000029; "
            "AP1R0→0x00010000; EOIR1=41; DIR=40; DIR=41; LR0→0x1080000000000028; LR1→0x1080000000000029; HCR→0x1"
        ),
    ),
    "B28 EOImode 1: DIR before EOIR": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028",
        "IAR1→40; DIR=40; LR0→0x1080000000000028; AP1R0→0x00010000; EOIR1=40; AP1R0→0x0; HCR→0x1",
    ),
    "B29 EOImode changed between ack and EOI leaves a stuck Active LR": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        (
            "IAR1→40; CTLR=0x2; EOIR1=40; LR0→0x9080000000000028; AP1R0→0x0; CTLR=0x0; DIR=40; LR0→0x9080000000000028; "
            "EOIR1=40; LR0→0x9080000000000028; HCR→0x1"
        ),
    ),
    "B30 active interrupt spilled out of the LRs": (
        "HCR=0x5 VMCR=0xF84C000A LR0=0x5080000000000029 AP1R0=0x00100000",
        (
            "RPR→0xA0; IAR1→41; EOIR1=41; LR0→0x1080000000000029; AP1R0→0x00100000; MISR→0x0; EOIR1=40; AP1R0→0x0; "
            "HCR→0x08000005; MISR→0x4"
        ),
    ),
}


@pytest.mark.parametrize(("initial", "accesses"), ACKNOWLEDGE.values(), ids=ACKNOWLEDGE)
def test_selection_masking_preemption_acknowledge(initial: str, accesses: str) -> None:
    play(initial, accesses)


@pytest.mark.parametrize(("initial", "accesses"), END_OF_INTERRUPT.values(), ids=END_OF_INTERRUPT)
def test_priority_drop_and_deactivation(initial: str, accesses: str) -> None:
    play(initial, accesses)
