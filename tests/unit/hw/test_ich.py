"""ICH_* as EL2 sees them: register views, status, context switch, and both ways of reaching a register.

Rows are written as in test_icv.py.
"""

import pytest

from hw import arch
from hw.config import VirtConfig
from hw.cost import Cost
from hw.icv import Icv
from tests.unit.hw.scenario import play

VIEWS = {
    "C01 PMR implements 5 bits, upper bits of the write ignored": (
        "HCR=0x1 VMCR=0x004C000A",
        "PMR=0xFF; PMR→0xF8; VMCR→0xF84C000A; PMR=0x7; PMR→0x0; PMR=0x1F0; PMR→0xF0",
    ),
    "C02 BPR minimum values": (
        "HCR=0x1 VMCR=0xF84C000A",
        (
            "BPR0=0x0; BPR1=0x0; BPR0→0x2; BPR1→0x3; VMCR→0xF84C000A; BPR0=0x7; BPR1=0x4; BPR0→0x7; BPR1→0x4; "
            "VMCR→0xF8F0000A"
        ),
    ),
    "C03 BPR1 view under CBPR": (
        "HCR=0x1 VMCR=0xF898001A",
        "BPR0→0x4; BPR1→0x5; BPR1=0x3; BPR1→0x5; VMCR→0xF898001A; BPR0=0x7; BPR1→0x7; CTLR=0x0; BPR1→0x6",
    ),
    "C04 CTLR read-only and writable fields": (
        "HCR=0x1 VMCR=0xF84C000A",
        "CTLR→0x8C00; CTLR=0xFFFFFFFF; CTLR→0x8C03; VMCR→0xF84C021A; CTLR=0x2; CTLR→0x8C02; VMCR→0xF84C020A",
    ),
    "C05 VMCR write clamps BPR fields, forces VFIQEn": (
        "VMCR=0x0",
        "VMCR→0x004C0008; BPR0→0x2; BPR1→0x3; PMR→0x0; IGRPEN0→0x0; IGRPEN1→0x0; VMCR=0xF8000003; VMCR→0xF84C000B",
    ),
    "C06 VMCR RES0/RES1 bits": (
        "VMCR=0xF8FFFFFF",
        "VMCR→0xF8FC021B",
    ),
    "C07 IGRPEN registers alias VENG0/1": (
        "HCR=0x1 VMCR=0xF84C0008",
        "IGRPEN0=0x1; IGRPEN1=0x3; IGRPEN0→0x1; IGRPEN1→0x1; VMCR→0xF84C000B; IGRPEN0=0x0; VMCR→0xF84C000A",
    ),
    "C08 RPR is the lowest bit over both groups": (
        "HCR=0x1 VMCR=0xF84C000A AP0R0=0x00100000 AP1R0=0x80000000",
        "RPR→0xA0; AP1R0=0x80000002; RPR→0x8; AP0R0→0x00100000; AP1R0→0x80000002",
    ),
    "C09 guest writes to AP registers take effect at once": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "AP1R0=0x1; RPR→0x0; lines→none; AP1R0=0x0; RPR→0xFF; lines→vIRQ",
    ),
    "C10 VTR of the reference configuration": (
        "",
        "VTR→0x90B80003",
    ),
    "C11 LR RES0 bits": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0xFFFFFFFFFFFFFFFF",
        "LR0→0xF0F81FFF00FFFFFF; LR1=0xDFFFFFFFFFFFFFFF; LR1→0xD0F8020000FFFFFF",
    ),
}

STATUS_AND_SWITCH = {
    "D01 ELRSR / EISR with a mix of LRs": (
        (
            "HCR=0x1 VMCR=0xF84C000A LR0=0x1000000000000000 LR1=0x1080020000000028 LR2=0x5080000000000029 "
            "LR3=0x308002AA0000002A"
        ),
        "ELRSR→0x9; EISR→0x2; MISR→0x1",
    ),
    "D02 UIE, 0 valid": (
        "HCR=0x3 VMCR=0xF84C000A",
        "MISR→0x2",
    ),
    "D03 UIE, 1 valid": (
        "HCR=0x3 VMCR=0xF84C000A LR0=0x9080000000000028",
        "MISR→0x2",
    ),
    "D04 UIE, 2 valid": (
        "HCR=0x3 VMCR=0xF84C000A LR0=0x9080000000000028 LR1=0xD080000000000029",
        "MISR→0x0",
    ),
    "D05 NPIE clears while one LR is Pending": (
        "HCR=0x9 VMCR=0xF84C000A LR0=0x9080000000000028 LR1=0x5088000000000029",
        "MISR→0x0; IAR1→41; LR1=0x9088000000000029; MISR→0x8",
    ),
    "D06 NPIE: P+A does not count as pending": (
        "HCR=0x9 VMCR=0xF84C000A LR0=0xD080000000000028",
        "MISR→0x8",
    ),
    "D07 LRENPIE follows EOIcount; software clears the count": (
        "HCR=0x5 VMCR=0xF84C000A AP1R0=0x00010000",
        "MISR→0x0; EOIR1=99; MISR→0x4; HCR→0x08000005; HCR=0x5; MISR→0x0",
    ),
    "D08 VGrp1EIE/DIE": (
        "HCR=0x00000041 VMCR=0xF84C000A",
        "MISR→0x40; HCR=0x00000081; MISR→0x0; IGRPEN1=0x0; MISR→0x80; HCR=0x00000041; MISR→0x0",
    ),
    "D09 VGrp0EIE/DIE": (
        "HCR=0x00000011 VMCR=0xF84C0009",
        "MISR→0x10; HCR=0x00000021; MISR→0x0; IGRPEN0=0x0; MISR→0x20; HCR=0x00000011; MISR→0x0",
    ),
    "D10 MISR reads true state even with En=0 (line low)": (
        "HCR=0xA VMCR=0xF84C000A LR0=0x1000020000000028",
        "MISR→0xB",
    ),
    "D11 vFIQ then vIRQ": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x4040000000000028 LR1=0x5080000000000029",
        "lines→vFIQ; IAR0→40; lines→none; EOIR0=40; lines→vIRQ",
    ),
    "D12 HCR writable bits": (
        "HCR=0xFFFFFFFFFFFFFFFF",
        "HCR→0xF8007CFF",
    ),
    "T01 save vCPU A with an Active LR, run B, restore A": (
        "HCR=0x1 VMCR=0xF04C000A LR0=0x5080000000000028",
        (
            "IAR1→40; AP1R0→0x00010000; VMCR→0xF04C000A; LR0→0x9080000000000028; HCR=0x0; LR0=0x0000000000000000; "
            "AP1R0=0x0; VMCR=0xC04C000A; LR0=0x50A0000000000032; HCR=0x1; lines→vIRQ; IAR1→50; AP1R0→0x00100000; "
            "EOIR1=50; LR0→0x10A0000000000032; AP1R0→0x0; HCR=0x0; LR0=0x0000000000000000; VMCR=0xF04C000A; "
            "AP1R0=0x00010000; HCR=0x1; LR0=0x9080000000000028; RPR→0x80; PMR→0xF0; EOIR1=40; LR0→0x1080000000000028; "
            "AP1R0→0x0"
        ),
    ),
    "T02 Active LR restored without its AP bit cannot be EOIed": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x9080000000000028",
        "RPR→0xFF; EOIR1=40; LR0→0x9080000000000028; AP1R0=0x00010000; EOIR1=40; LR0→0x1080000000000028",
    ),
    "T03 restored Active LR may sit in a different index": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x1000000000000000 LR1=0x1000000000000000 LR2=0x9080000000000028 AP1R0=0x00010000",
        "EOIR1=40; LR2→0x1080000000000028; AP1R0→0x0",
    ),
    "W01 lines recomputed after each of HCR, AP, VMCR, LR writes": (
        "VMCR=0xF84C000A LR0=0x5080000000000028",
        (
            "lines→none; HCR=0x1; lines→vIRQ; AP1R0=0x00010000; lines→none; AP1R0=0x00020000; lines→vIRQ; "
            "VMCR=0x804C000A; lines→none; VMCR=0xF84C0008; lines→none; VMCR=0xF84C000A; lines→vIRQ; "
            "LR0=0x0000000000000000; lines→none"
        ),
    ),
    "W02 BPR1 write alone removes the signal": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5050000000000028 AP1R0=0x00000800",
        "RPR→0x58; lines→vIRQ; BPR1=0x4; lines→none; BPR1=0x5; lines→none",
    ),
    "W03 CBPR write alone removes the signal": (
        "HCR=0x1 VMCR=0xF8AC000A LR0=0x5050000000000028 AP1R0=0x00004000",
        "RPR→0x70; lines→vIRQ; CTLR=0x1; lines→none",
    ),
    "W04 group disable does not affect running priority or EOI": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; IGRPEN1=0x0; RPR→0x80; EOIR1=40; LR0→0x1080000000000028; RPR→0xFF",
    ),
    "W05 EOI works with En=0": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; HCR=0x0; EOIR1=40; LR0→0x1080000000000028; AP1R0→0x0",
    ),
    "W06 RPR extremes": (
        "AP0R0=0x80000000",
        "RPR→0xF8; AP0R0=0x1; RPR→0x0",
    ),
    "W07 EOIR uses only the implemented INTID bits": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=0xFF000028; LR0→0x1080000000000028; AP1R0→0x0",
    ),
    "W08 writing Invalid+EOI immediately raises EOI maintenance": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x1080020000000028",
        "EISR→0x1; ELRSR→0xE; MISR→0x1",
    ),
}


@pytest.mark.parametrize(("initial", "accesses"), VIEWS.values(), ids=VIEWS)
def test_register_views(initial: str, accesses: str) -> None:
    play(initial, accesses)


@pytest.mark.parametrize(("initial", "accesses"), STATUS_AND_SWITCH.values(), ids=STATUS_AND_SWITCH)
def test_status_maintenance_context_switch(initial: str, accesses: str) -> None:
    played = play(initial, accesses)
    assert played.icv.maintenance() == (played.icv.en and played.read("MISR") != 0)


EXISTENCE = {
    "F12 16 LRs, all zero": (VirtConfig(n_lr=16), "ELRSR→0xFFFF; LR15→0x0"),
    "F12 4 LRs: LR4 does not exist": (VirtConfig(), "LR3→0x0; LR4→UNDEFINED; LR4=UNDEFINED; LR15→UNDEFINED"),
    "F13 5 preemption bits: one AP register per group": (
        VirtConfig(),
        "AP1R0→0x0; AP1R1→UNDEFINED; AP1R1=UNDEFINED; V_AP0R1→UNDEFINED; V_AP0R1=UNDEFINED",
    ),
    "7 preemption bits: four AP registers per group": (
        VirtConfig(pri_bits=7, pre_bits=7),
        "AP1R3=0x80000000; V_AP1R3→0x80000000; RPR→0xFE; V_AP0R2=0x1; AP0R2→0x1; RPR→0x80; AP1R3→0x80000000",
    ),
    "status registers cannot be written": (
        VirtConfig(),
        "VTR=UNDEFINED; MISR=UNDEFINED; EISR=UNDEFINED; ELRSR=UNDEFINED",
    ),
    "the guest cannot write what is read-only, nor read what is write-only": (
        VirtConfig(),
        (
            "IAR0=UNDEFINED; IAR1=UNDEFINED; HPPIR0=UNDEFINED; HPPIR1=UNDEFINED; RPR=UNDEFINED; "
            "EOIR0→UNDEFINED; EOIR1→UNDEFINED; DIR→UNDEFINED"
        ),
    ),
    "SRE and the SGI registers have no virtual form": (
        VirtConfig(),
        "SRE→UNDEFINED; SGI1R=UNDEFINED; ASGI1R=UNDEFINED; SGI0R=UNDEFINED; NMIAR1→UNDEFINED",
    ),
}


@pytest.mark.parametrize(("config", "accesses"), EXISTENCE.values(), ids=EXISTENCE)
def test_which_registers_exist(config: VirtConfig, accesses: str) -> None:
    play("", accesses, config)


def test_icc_sre_el2_is_not_an_ich_register() -> None:
    icv = Icv(VirtConfig(), Cost())
    assert icv.read_ich(arch.ICC_SRE_EL2) == arch.UNDEFINED
    assert not icv.write_ich(arch.ICC_SRE_EL2, 0xF)


def test_tdir_and_dvim_exist_only_if_configured() -> None:
    play("HCR=0xFFFFFFFF", "HCR→0xF8003CFF", VirtConfig(tds=False))
    play("HCR=0xFFFFFFFF", "HCR→0xF800FCFF", VirtConfig(dvim=True))


TRAPS = {
    0x0: (False, False, False, False),
    0x0400: (True, False, False, False),
    0x0800: (False, True, False, False),
    0x1000: (False, False, True, False),
    0x4000: (False, False, False, True),
    0x5C01: (True, True, True, True),
}


@pytest.mark.parametrize(("hcr", "traps"), TRAPS.items(), ids=map(hex, TRAPS))
def test_trap_bits_are_decoded_by_write_and_by_restore(hcr: int, traps: tuple[bool, bool, bool, bool]) -> None:
    icv = play("HCR=0x5401", "HCR→0x5401").icv
    icv.write_hcr(hcr)
    assert (icv.tc, icv.tall0, icv.tall1, icv.tdir) == traps
    other = Icv(VirtConfig(), Cost())
    other.restore(icv.snapshot())
    assert (other.tc, other.tall0, other.tall1, other.tdir) == traps


FAST_WRITES = {
    "pending SPI": (40, True, False, 0x80, 1, False, 0, False),
    "active Group 0 SGI": (3, False, True, 0x20, 0, False, 0, False),
    "pending and active, EOI wanted": (41, True, True, 0xF8, 1, False, 0, True),
    "forwarded hardware interrupt": (27, True, False, 0xA0, 1, True, 27, False),
    "with HW=1 the EOI bit is the physical INTID's": (64, True, False, 0xA0, 1, True, 0x1FFF, True),
    "with HW=0 there is no physical INTID": (64, True, False, 0xA0, 1, False, 45, True),
    "bits that are not implemented are dropped": (0xFF00_2003, False, False, 0x87, 0, True, 0xFFFF, False),
}


@pytest.mark.parametrize("fields", FAST_WRITES.values(), ids=FAST_WRITES)
def test_fast_write_equals_write_by_encoding(fields: tuple[int, bool, bool, int, int, bool, int, bool]) -> None:
    vintid, pending, active, priority, group, hw, pintid, eoi = fields
    fast = Icv(VirtConfig(), Cost())
    fast.write_lr(2, vintid, pending, active, priority, group, hw, pintid, eoi)
    value = (active << 63 | pending << 62 | hw << 61 | group << 60 | priority << 48 | vintid) | (
        pintid << 32 & 0x1FFF << 32 if hw else eoi << 41
    )
    coded = Icv(VirtConfig(), Cost())
    assert coded.write_ich(arch.ICH_LR2_EL2, value)
    assert fast.snapshot() == coded.snapshot()
    assert fast.cost.as_dict() == coded.cost.as_dict()
    assert fast.read_lr(2).encode() == coded.read_ich(arch.ICH_LR2_EL2)


def test_clear_lr_writes_zero() -> None:
    icv = Icv(VirtConfig(), Cost())
    assert icv.write_ich(arch.ICH_LR1_EL2, 0xFFFF_FFFF_FFFF_FFFF)
    icv.clear_lr(1)
    assert icv.read_ich(arch.ICH_LR1_EL2) == 0
    assert icv.cost.lr_writes == 2


def test_read_lr_is_the_live_register() -> None:
    icv = play("HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028", "lines→vIRQ").icv
    lr = icv.read_lr(0)
    icv.iar(1)
    assert (lr.vintid, lr.pending, lr.active) == (40, False, True)


def test_the_fast_path_reads_what_the_encodings_read() -> None:
    icv = play(
        "HCR=0x4800104F VMCR=0xF08C0213 LR0=0x1000020000000028 LR1=0x9080000000000029 AP0R0=0x20 AP1R0=0x10000",
        "HCR→0x4800104F",
    ).icv
    assert icv.read_hcr() == icv.read_ich(arch.ICH_HCR_EL2)
    assert icv.read_vmcr() == icv.read_ich(arch.ICH_VMCR_EL2)
    assert icv.read_vtr() == icv.read_ich(arch.ICH_VTR_EL2)
    assert icv.read_elrsr() == icv.read_ich(arch.ICH_ELRSR_EL2) == 0b1100
    assert icv.read_eisr() == icv.read_ich(arch.ICH_EISR_EL2) == 0b0001
    assert icv.read_misr() == icv.read_ich(arch.ICH_MISR_EL2)
    assert icv.read_ap(0, 0) == icv.read_ich(arch.ICH_AP0R0_EL2) == 0x20
    assert icv.read_ap(1, 0) == icv.read_ich(arch.ICH_AP1R0_EL2) == 0x10000


COUNTED = {
    "lr_writes": "LR0=0x0",
    "lr_reads": "LR0→0x0",
    "hcr_writes": "HCR=0x0",
    "hcr_reads": "HCR→0x0",
    "vmcr_writes": "VMCR=0x0",
    "vmcr_reads": "VMCR→0x004C0008",
    "ap_writes": "AP0R0=0x0; AP1R0=0x0",
    "ap_reads": "AP0R0→0x0; AP1R0→0x0",
    "elrsr_reads": "ELRSR→0xF",
    "status_reads": "EISR→0x0; MISR→0x0",
    "vtr_reads": "VTR→0x90B80003",
    "icv_reads": "IAR0→1023; IAR1→1023; HPPIR0→1023; HPPIR1→1023; RPR→0xFF; PMR→0x0; BPR0→2; BPR1→3; CTLR→0x8C00; "
    "IGRPEN0→0; IGRPEN1→0; V_AP0R0→0x0; V_AP1R0→0x0",
    "icv_writes": "EOIR0=1; EOIR1=1; DIR=1; PMR=0; BPR0=0; BPR1=0; CTLR=0; IGRPEN0=0; IGRPEN1=0; V_AP0R0=0; V_AP1R0=0",
}


@pytest.mark.parametrize(("counter", "accesses"), COUNTED.items(), ids=COUNTED)
def test_each_access_is_counted_once_in_its_class(counter: str, accesses: str) -> None:
    cost = play("", accesses).icv.cost
    assert {name: count for name, count in cost.as_dict().items() if count} == {counter: accesses.count(";") + 1}
    assert cost.total() == accesses.count(";") + 1


def test_undefined_accesses_wires_and_snapshots_cost_nothing() -> None:
    icv = play("", "LR4→UNDEFINED; LR4=UNDEFINED; VTR=UNDEFINED; EOIR1→UNDEFINED; V_AP1R1=UNDEFINED; lines→none").icv
    icv.maintenance()
    icv.restore(icv.snapshot())
    assert icv.cost.total() == 0


def test_entry_and_exit_cost_what_kvm_pays() -> None:
    """N used LRs, one of them found Invalid: HCR, N LRs in; ELRSR, HCR, N-1 reads, N clears out."""
    icv = Icv(VirtConfig(), Cost())
    icv.write_hcr(arch.HCR_EN)
    for i in range(3):
        icv.write_lr(i, 40 + i, i != 0, False, 0x80, 1, False, 0, False)
    before = icv.cost.copy()
    assert (before.hcr_writes, before.lr_writes, before.total()) == (1, 3, 4)
    empty = icv.read_elrsr()
    icv.write_hcr(0)
    for i in range(3):
        if not empty >> i & 1:
            icv.read_lr(i)
        icv.clear_lr(i)
    spent = icv.cost.diff(before)
    assert (spent.elrsr_reads, spent.hcr_writes, spent.lr_reads, spent.lr_writes) == (1, 1, 2, 3)
    assert spent.total() == 7
    icv.cost.reset()
    assert icv.cost.total() == 0
