"""The virtual interface of the emulated GIC-400 on which traces were recorded, where it differs from the manual.

Rows are as in test_gicv.py.  All of its rows that the differences do not touch hold here, too.
"""

import pytest

from tests.unit.hw.frames import RECORDED, play2
from tests.unit.hw.test_gicv import SCENARIOS

DIFFERENT = ("V02", "V03", "V06", "V07", "V08", "V25", "V30")
SAME = {name: row for name, row in SCENARIOS.items() if not name.startswith(DIFFERENT)}

PENDING = {
    "V07 En=0: nothing is pending": (
        "HCR=0x0 VMCR=0xF84C0003 LR0=0x14000028",
        "lines→none; V_HPPIR→1023; V_IAR→1023",
    ),
    "V08 priority equal to PMR: not pending": (
        "HCR=0x1 VMCR=0x404C0003 LR0=0x14000028",
        "lines→none; V_HPPIR→1023; V_IAR→1023; V_PMR=0x48; lines→vIRQ; V_HPPIR→40",
    ),
    "V25 priority 0xF8: never pending": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x1F800028",
        "lines→none; V_HPPIR→1023; V_IAR→1023",
    ),
    "no group enabled: nothing is pending": (
        "HCR=0x1 VMCR=0xF84C0000 LR0=0x14000028 LR1=0x58000029",
        "lines→none; V_HPPIR→1023; V_IAR→1023",
    ),
    "V06 a disabled Group 0 is not skipped: it hides Group 1, is acknowledged, and raises no line": (
        "HCR=0x1 VMCR=0xF84C0002 LR0=0x14000028 LR1=0x58000029",
        "lines→none; V_HPPIR→40; V_IAR→40; LR0→0x24000028; APR→0x00000100; V_EOIR=40; lines→vIRQ; V_HPPIR→1022",
    ),
    "a disabled Group 1 is not skipped either": (
        "HCR=0x1 VMCR=0xF84C0005 LR0=0x54000028 LR1=0x18000029",
        "lines→none; V_HPPIR→40; V_IAR→40; LR0→0x64000028; V_EOIR=40; lines→vIRQ; V_IAR→41",
    ),
    "a disabled Group 0 raises no vFIQ": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x14000028",
        "lines→none; V_HPPIR→40; V_CTLR=0x9; lines→vFIQ",
    ),
    "the lowest LR wins a tie, active LRs are no candidates": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x34000027 LR1=0x18000028 LR2=0x18000029",
        "V_HPPIR→40; V_IAR→40; LR2→0x18000029",
    ),
}

ACKNOWLEDGE = {
    "V02 HPPIR shows no source CPU, IAR does": (
        "HCR=0x1 VMCR=0xF84C0001 LR0=0x18000C05",
        "lines→vIRQ; V_HPPIR→5; V_IAR→0xC05; LR0→0x28000C05; V_EOIR=0xC05; LR0→0x08000C05; APR→0x0",
    ),
    "HPPIR does not look at the running priority": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028 LR1=0x18000029",
        "V_IAR→40; V_HPPIR→41; V_IAR→1023",
    ),
    "IAR of a Group 1 interrupt is 1022 even if it cannot preempt": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028",
        "V_IAR→40; LR1=0x58000029; V_HPPIR→1022; V_IAR→1022; LR1→0x58000029; lines→none",
    ),
    "with AckCtl it is 1023 then": (
        "HCR=0x1 VMCR=0xF84C0007 LR0=0x14000028",
        "V_IAR→40; LR1=0x58000029; V_HPPIR→41; V_IAR→1023",
    ),
    "the whole priority is compared with the running one": (
        "HCR=0x1 VMCR=0xF88C0003 LR0=0x15800028",
        "V_IAR→40; APR→0x00000100; LR1=0x14000029; lines→none; LR1=0x13800029; lines→vIRQ; V_IAR→41; APR→0x00000110",
    ),
    "even where the mask would hide the difference": (
        "HCR=0x1 VMCR=0xF8AC0003 APR=0x00000800 LR0=0x15000028",
        "V_RPR→0x58; lines→vIRQ; V_IAR→40; APR→0x00000900",
    ),
}

END = {
    "EOIR with nothing active deactivates all the same": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x28000028 LR1=0x38000029",
        "V_EOIR=40; LR0→0x08000028; HCR→0x1; V_EOIR=41; LR1→0x18000029; HCR→0x1",
    ),
    "and the physical interrupt with it": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0xA800B440",
        "V_EOIR=64; LR0→0x8800B440; phys→45; V_EOIR=64; phys→-",
    ),
    "but counts nothing": ("HCR=0x1 VMCR=0xF84C0003", "V_EOIR=99; V_EOIR=1023; HCR→0x1"),
    "and leaves it to DIR with EOImode 1": (
        "HCR=0x1 VMCR=0xF84C0203 LR0=0x28000028",
        "V_EOIR=40; LR0→0x28000028; V_DIR=40; LR0→0x08000028",
    ),
    "an interrupt ended twice, then the next one out of order": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028 LR1=0x18000029",
        "V_IAR→40; V_EOIR=40; V_IAR→41; V_EOIR=40; APR→0x0; HCR→0x08000001; V_EOIR=41; LR1→0x08000029; HCR→0x08000001",
    ),
}

ALIASES = {
    "V03 AIAR and AHPPIR read as zero, AEOIR is ignored": (
        "HCR=0x1 VMCR=0xF84C0002 LR0=0x58000028",
        "lines→vIRQ; V_HPPIR→1022; V_IAR→1022; V_AHPPIR→0; V_AIAR→0; LR0→0x58000028; V_AEOIR=40; LR0→0x58000028",
    ),
    "V30 also when Group 0 is best": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x14000028 LR1=0x58000029",
        "V_AIAR→0; V_AHPPIR→0; V_IAR→40",
    ),
    "AEOIR neither drops nor deactivates": (
        "HCR=0x1 VMCR=0xF84C0007 LR0=0x58000028",
        "V_IAR→40; V_AEOIR=40; APR→0x00010000; LR0→0x68000028; V_EOIR=40; APR→0x0; LR0→0x48000028",
    ),
}

ROWS = SAME | PENDING | ACKNOWLEDGE | END | ALIASES


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_scenario(row: tuple[str, str]) -> None:
    play2(*row, RECORDED)


def test_every_access_is_counted_once() -> None:
    played = play2("VMCR=0xF84C0003", "", RECORDED)
    played.icv.cost.reset()
    for name in ("IAR", "AIAR", "HPPIR", "AHPPIR", "IAR"):
        played.read(f"V_{name}")
    played.do("HCR=0x1")
    played.do("LR0=0x58000028")
    assert played.read("V_IAR") == 1022
    for name in ("EOIR", "AEOIR", "DIR"):
        played.write(f"V_{name}", 0)
    played.do("APR=0x1")
    played.write("V_EOIR", 0)
    assert (played.icv.cost.icv_reads, played.icv.cost.icv_writes) == (6, 4)
