"""A GICv2-style guest on a GICv3 (`sre_legacy`): the GICV frame over the ICH_* state.

Rows are in the notation of frames.py; here the hypervisor's registers are ICH_*, 64 bits for an LR.
    LR = State<<62 | HW<<61 | Group<<60 | Priority<<48 | (pINTID<<32 or EOI<<41) | CPUID<<10 | INTID
"""

import pytest

from hw import Machine, VirtConfig, arch
from tests.unit.hw.frames import PlayLegacy, play_legacy

SCENARIOS = {
    "F09 VMCR holds AckCtl and FIQEn, Group 0 is a vIRQ": (
        "HCR=0x1 VMCR=0xF8000001 LR0=0x4080000000000028",
        "VMCR→0xF84C0001; lines→vIRQ; VMCR=0xF8000005; VMCR→0xF84C0005; V_CTLR→0x5",
    ),
    "F11 an SGI with its source, active in AP1R": (
        "HCR=0x1 VMCR=0xF84C0001 LR0=0x4080000000000C05",
        (
            "V_HPPIR→0xC05; V_IAR→0xC05; LR0→0x8080000000000C05; AP0R0→0x0; AP1R0→0x00010000; V_RPR→0x80; "
            "V_EOIR=0xC05; LR0→0x0080000000000C05; AP1R0→0x0"
        ),
    ),
    "Group 1 with AckCtl=0: 1022, or AIAR": (
        "HCR=0x1 VMCR=0xF84C0002 LR0=0x5080000000000028",
        "lines→vIRQ; V_HPPIR→1022; V_IAR→1022; V_AIAR→40; AP1R0→0x00010000; V_AEOIR=40; LR0→0x1080000000000028",
    ),
    "FIQEn makes Group 0 a vFIQ": ("HCR=0x1 VMCR=0xF84C0009 LR0=0x4080000000000028", "lines→vFIQ; V_IAR→40"),
    "EOImode 1 and DIR": (
        "HCR=0x1 VMCR=0xF84C0201 LR0=0x4080000000000028",
        "V_IAR→40; V_EOIR=40; LR0→0x8080000000000028; V_DIR=40; LR0→0x0080000000000028; V_DIR=40; HCR→0x08000001",
    ),
    "EOIR looks at neither group nor priority": (
        "HCR=0x1 VMCR=0xF84C0003 LR0=0x9080000000000028 LR1=0x8040000000000029 AP1R0=0x00010100",
        "V_EOIR=40; LR0→0x1080000000000028; LR1→0x8040000000000029; AP1R0→0x00010000",
    ),
    "a hardware interrupt shows no CPU, and is deactivated below": (
        "HCR=0x1 VMCR=0xF84C0001 LR0=0x6080002D00000405",
        "V_IAR→5; V_EOIR=5; phys→45; LR0→0x2080002D00000405",
    ),
    "trap bits mean nothing to the frame": ("HCR=0x5C01 VMCR=0xF84C0001 LR0=0x4080000000000028", "V_IAR→40"),
    "the version is that of a GICv3": ("", "V_IIDR→0x0003043B"),
}


@pytest.mark.parametrize("row", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(row: tuple[str, str]) -> None:
    play_legacy(*row)


SEVEN_BITS = {
    "binary points and priorities are as wide as the GICv3 has them": (
        "HCR=0x1 VMCR=0xFF000003 LR0=0x4086000000000028",
        (
            "V_BPR→0x0; V_ABPR→0x1; V_PMR→0xFE; V_IAR→40; AP1R2→0x00000008; V_RPR→0x86; LR1=0x4084000000000029; "
            "V_IAR→41; V_EOIR=41; V_EOIR=40; LR0→0x0086000000000028; V_RPR→0xFF"
        ),
    ),
    "four active-priority registers": (
        "AP1R0=0x1 AP1R3=0x80000000",
        "V_APR→0x1; V_RPR→0x0; V_APR=0x0; V_RPR→0xFE; AP1R0→0x0; AP0R0→0x0",
    ),
}


@pytest.mark.parametrize("row", SEVEN_BITS.values(), ids=SEVEN_BITS)
def test_seven_priority_bits(row: tuple[str, str]) -> None:
    play_legacy(*row, VirtConfig(pri_bits=7, pre_bits=7, sre_legacy=True))


def test_every_active_priority_register_is_in_the_frame() -> None:
    played = PlayLegacy(VirtConfig(pri_bits=7, pre_bits=7, sre_legacy=True))
    for n in range(4):
        played.gicv.write(arch.GICC_APR + 4 * n, 1 << n)
        assert played.gicv.read(arch.GICC_APR + 4 * n) == played.icv.read_ap(1, n) == 1 << n


def test_vmcr_written_while_sre_is_still_set() -> None:
    """F10: FIQEn was RES1 at the time, so every Group 0 interrupt is a vFIQ."""
    pe = Machine(virt=VirtConfig(sre_legacy=True)).pes[0]
    pe.imo = pe.fmo = pe.amo = True
    pe.virt.write_vmcr(0xF800_0001)
    pe.msr_el2(arch.ICC_SRE_EL1, 0)
    assert pe.virt.read_vmcr() == 0xF84C_0009
    pe.virt.write_hcr(arch.HCR_EN)
    pe.virt.write_lr(0, 40, True, False, 0x80, 0, False, 0, False)
    assert (pe.virq(), pe.vfiq()) == (False, True)
    assert pe.gicv is not None
    assert pe.gicv.read(arch.GICC_IAR) == 40


def test_system_registers_trap_to_the_guest_itself() -> None:
    pe = Machine(virt=VirtConfig(sre_legacy=True)).pes[0]
    pe.imo = pe.fmo = pe.amo = True
    pe.msr_el2(arch.ICC_SRE_EL1, 0)
    pe.virt.write_hcr(arch.HCR_EN | arch.HCR_TALL1)
    assert pe.mrs_el1(arch.ICC_IAR1_EL1) == arch.TRAP_EL1


def test_with_sre_set_the_frame_follows_the_rules_of_vmcr() -> None:
    """UNPREDICTABLE: AckCtl cannot be set, FIQEn cannot be cleared."""
    pe = Machine(virt=VirtConfig(sre_legacy=True)).pes[0]
    assert pe.gicv is not None
    pe.gicv.write(arch.GICC_CTLR, arch.GICC_CTLR_ENABLE_GRP1 | arch.GICC_CTLR_ACKCTL)
    assert pe.gicv.read(arch.GICC_CTLR) == arch.GICC_CTLR_ENABLE_GRP1 | arch.GICC_CTLR_FIQEN
    pe.check()


def test_without_legacy_support_there_is_no_frame() -> None:
    assert Machine().pes[0].gicv is None
