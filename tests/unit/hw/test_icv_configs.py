"""The virtual CPU interface in other configurations, and the readings of the manual one can choose.

Rows are written as in test_icv.py, with the configuration in front.
"""

import pytest

from hw.config import VirtConfig
from tests.unit.hw.scenario import Play, play

PREEMPTION_BITS = {
    "E01 5/5": (
        VirtConfig(pri_bits=5, pre_bits=5),
        (
            "IAR1→40; AP1R0→0x00010000; RPR→0x80; LR1=0x5084000000000029; LR1→0x5080000000000029; IAR1→1023; EOIR1=40; "
            "LR0→0x1080000000000028; RPR→0xFF; BPR0=0; BPR1=0; BPR0→2; BPR1→3"
        ),
    ),
    "E02 6/6": (
        VirtConfig(pri_bits=6, pre_bits=6),
        (
            "IAR1→40; AP1R0→0x0; AP1R1→0x2; RPR→0x84; LR1=0x5084000000000029; IAR1→1023; EOIR1=40; "
            "LR0→0x1084000000000028; RPR→0xFF; BPR0=0; BPR1=0; BPR0→1; BPR1→2"
        ),
    ),
    "E03 7/7": (
        VirtConfig(pri_bits=7, pre_bits=7),
        (
            "IAR1→40; AP1R2→0x8; RPR→0x86; LR1=0x5084000000000029; IAR1→41; EOIR1=40; "
            "LR0→0x9086000000000028; RPR→0x86; BPR0=0; BPR1=0; BPR0→0; BPR1→1"
        ),
    ),
    "E04 8/7": (
        VirtConfig(pri_bits=8, pre_bits=7),
        (
            "IAR1→40; AP1R2→0x8; RPR→0x86; LR1=0x5084000000000029; IAR1→41; EOIR1=40; "
            "LR0→0x9086000000000028; RPR→0x86; BPR0=0; BPR1=0; BPR0→0; BPR1→1"
        ),
    ),
    "E05 8/5": (
        VirtConfig(pri_bits=8, pre_bits=5),
        (
            "IAR1→40; AP1R0→0x00010000; RPR→0x80; LR1=0x5084000000000029; IAR1→1023; EOIR1=40; "
            "LR0→0x1086000000000028; RPR→0xFF; BPR0=0; BPR1=0; BPR0→2; BPR1→3"
        ),
    ),
    "E06 7/6": (
        VirtConfig(pri_bits=7, pre_bits=6),
        (
            "IAR1→40; AP1R1→0x2; RPR→0x84; LR1=0x5084000000000029; IAR1→1023; EOIR1=40; "
            "LR0→0x1086000000000028; RPR→0xFF; BPR0=0; BPR1=0; BPR0→1; BPR1→2"
        ),
    ),
}


@pytest.mark.parametrize(("config", "accesses"), PREEMPTION_BITS.values(), ids=PREEMPTION_BITS)
def test_priority_0x86_then_0x84(config: VirtConfig, accesses: str) -> None:
    play("HCR=0x1 VMCR=0xF000000A LR0=0x5086000000000028", accesses, config)


SWITCHES = {
    "an EOIR that drops nothing counts": (
        VirtConfig(eoicount_without_drop=True),
        "HCR=0x1 VMCR=0xF84C000A LR0=0x9080000000000028",
        "EOIR1=41; HCR→0x08000001; EOIR1=40; LR0→0x9080000000000028; HCR→0x08000001",
    ),
    "EOIR counts although DIR would deactivate": (
        VirtConfig(eoicount_on_eoir_mode1=True),
        "HCR=0x1 VMCR=0xF84C020A AP1R0=0x00010000",
        "EOIR1=99; AP1R0→0x0; HCR→0x08000001; EOIR1=99; HCR→0x08000001",
    ),
    "the same level in both groups: Group 1 drops": (
        VirtConfig(drop_tie_ap1=True),
        "HCR=0x1 VMCR=0xF84C000B LR0=0x8080000000000028 LR1=0x9080000000000029 AP0R0=0x00010000 AP1R0=0x00010000",
        "EOIR1=41; AP0R0→0x00010000; AP1R0→0x0; LR1→0x1080000000000029; EOIR0=40; AP0R0→0x0; LR0→0x0080000000000028",
    ),
    "the running priority is compared unmasked": (
        VirtConfig(preempt_raw_rprio=True),
        "HCR=0x1 VMCR=0xF85C000B LR0=0x4048000000000028",
        "IAR0→40; RPR→0x48; LR1=0x5040000000000029; lines→vIRQ; IAR1→41; RPR→0x0",
    ),
    "pending and active counts as pending": (
        VirtConfig(np_counts_pa=True),
        "HCR=0x9 VMCR=0xF84C000A LR0=0xD080000000000028",
        "MISR→0x0; LR0=0x9080000000000028; MISR→0x8",
    ),
    "deactivation does not reach the hardware": (
        VirtConfig(hw_deactivation=False),
        "HCR=0x1 VMCR=0xF84C000A LR0=0x7080002D00000028",
        "IAR1→40; EOIR1=40; LR0→0x3080002D00000028; phys→-",
    ),
}


@pytest.mark.parametrize(("config", "initial", "accesses"), SWITCHES.values(), ids=SWITCHES)
def test_switches(config: VirtConfig, initial: str, accesses: str) -> None:
    play(initial, accesses, config)


HARDWARE_DEACTIVATION = {
    "EOImode 0: EOIR deactivates": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x7080002D00000028",
        "IAR1→40; phys→-; EOIR1=40; phys→45",
    ),
    "EOImode 1: DIR deactivates": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x7080002D00000028",
        "IAR1→40; EOIR1=40; phys→-; DIR=40; phys→45; DIR=40; phys→-",
    ),
    "the wrong EOI deactivates nothing": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x7080002D00000028",
        "IAR1→40; EOIR1=41; phys→-; LR0→0xB080002D00000028",
    ),
    "pending and active is deactivated and stays pending": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0xF080002D00000028 AP1R0=0x10000",
        "EOIR1=40; phys→45; LR0→0x7080002D00000028",
    ),
    "pINTID 1023 names no interrupt": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x708003FF00000028",
        "IAR1→40; EOIR1=40; LR0→0x308003FF00000028; phys→-",
    ),
}


@pytest.mark.parametrize(("initial", "accesses"), HARDWARE_DEACTIVATION.values(), ids=HARDWARE_DEACTIVATION)
def test_deactivating_an_lr_with_hw(initial: str, accesses: str) -> None:
    play(initial, accesses)


def test_without_a_physical_gic_an_lr_with_hw_still_deactivates() -> None:
    played = play("HCR=0x1 VMCR=0xF84C000A LR0=0x7080002D00000028", "IAR1→40")
    played.icv.deactivate_port = None
    played.do("EOIR1=40")
    played.do("LR0→0x3080002D00000028")


SECURE = {
    "F07 BPR1 has the minimum of BPR0, and its mask": (
        "HCR=0x1 VMCR=0xF84C000A",
        "BPR1=0x0; BPR1→0x2; LR0=0x5048000000000028; IAR1→40; RPR→0x48",
    ),
    "F08 under CBPR BPR1 is BPR0": ("HCR=0x1 VMCR=0xF88C001A", "BPR1→0x4; BPR1=0x6; BPR0→0x6; BPR1→0x6"),
}


@pytest.mark.parametrize(("initial", "accesses"), SECURE.values(), ids=SECURE)
def test_secure_virtual_interface(initial: str, accesses: str) -> None:
    played = Play()
    played.icv.secure = True
    played.run(initial.replace(" ", "; "))
    played.run(accesses)


def test_leaving_secure_state_restores_the_non_secure_minimum() -> None:
    played = Play()
    played.icv.secure = True
    played.do("BPR1=0x2")
    played.icv.secure = False
    played.do("BPR1→0x3")
    assert played.icv.mask1 == 0xF8


def test_vmcr_written_for_a_gicv2_guest_holds_its_controls() -> None:
    """The stored half of the legacy interface: FIQEn=0 sends Group 0 to vIRQ."""
    played = Play(VirtConfig(sre_legacy=True))
    played.icv.sre = False
    played.run("HCR=0x1; VMCR=0xF8000001; VMCR→0xF84C0001; LR0=0x4080000000000028; lines→vIRQ")
    played.icv.sre = True
    played.run("VMCR→0xF84C0009; lines→vFIQ; VMCR=0xF8000005; VMCR→0xF84C0009")
    played.icv.sre = False
    played.run("VMCR→0xF84C0009; VMCR=0xF8000005; VMCR→0xF84C0005; lines→vIRQ")
