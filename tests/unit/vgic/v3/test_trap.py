"""The CPU interface emulated at EL2: its own rules, which accesses it takes, and what they cost."""

from typing import Final

import pytest

from hw import VirtConfig
from hw.arch import (
    CTLR_EOIMODE,
    CTLR_SEIS,
    GICD_ISACTIVER,
    GICR_ISACTIVER0,
    ICC_AP1R_EL1,
    ICC_CTLR_EL1,
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_NMIAR1_EL1,
    ICC_PMR_EL1,
    ICC_SGI1R_EL1,
    ICC_SRE_EL1,
    ICC_SRE_EL2,
    ISR_EL1,
    UNDEFINED,
)
from tests.unit.vgic.v3.trap_play import make_vcpu, play
from vgic.ids import V2, DeviceType
from vgic.v3.trap import TRAPPED, emulate_read, emulate_write
from vgic.v3.trap_cpuif import bpr1, preemption_level
from vgic.vcpu import VcpuGic

RULES: Final = {
    "priority walk: acknowledge, preempt, end, and ends in the wrong order": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5018000000000028",
        (
            "IAR1→40; AP1R0→0x8; RPR→0x18; LR1=0x5010000000000029; IAR1→41; AP1R0→0xC; RPR→0x10; "
            "LR2=0x501000000000002A; IAR1→1023; HPPIR1→42; EOIR1=41; AP1R0→0x8; LR1→0x1010000000000029; IAR1→42; "
            "AP1R0→0xC; EOIR1=40; AP1R0→0x8; LR0→0x9018000000000028; LR2→0x901000000000002A"
        ),
    ),
    "priority walk: priority must be below PMR": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50F8000000000028",
        "IAR1→1023; HPPIR1→40; LR0→0x50F8000000000028; AP1R0→0x0",
    ),
    "EOIR without IAR, of a pending LR: EOIcount": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "EOIR1=40; LR0→0x5080000000000028; HCR→0x08000001; RPR→0xFF",
    ),
    "EOIR without IAR, of an LR that is active: nothing was dropped, so it stays": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x9080000000000028",
        "EOIR1=40; LR0→0x9080000000000028; HCR→0x1",
    ),
    "EOIR of an INTID out of range drops and counts": (
        "HCR=0x1 VMCR=0xF84C000A AP1R0=0x00010001",
        "EOIR1=8191; AP1R0→0x00010000; HCR→0x08000001; EOIR0=1020; AP1R0→0x0; HCR→0x10000001",
    ),
    "EOIR of an LPI in no LR drops and does not count": (
        "HCR=0x1 VMCR=0xF84C000A AP1R0=0x00010000",
        "EOIR1=8192; AP1R0→0x0; HCR→0x1; EOIR1=0xFFFFFFFF; HCR→0x1",
    ),
    "EOIR ignores the upper half of the register": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=0xABCD00000028; LR0→0x1080000000000028",
    ),
    "EOIR of an LPI through the wrong group: dropped, LR stays active": (
        "HCR=0x1 VMCR=0xF84C020B LR0=0x50A0000000002003",
        "IAR1→8195; EOIR0=8195; AP1R0→0x0; LR0→0x90A0000000002003",
    ),
    "EOIR ends an acknowledged special INTID like any other": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50800000000003FD",
        "IAR1→1021; EOIR1=1021; LR0→0x10800000000003FD; AP1R0→0x0; HCR→0x1",
    ),
    "of two LRs with the same active INTID the lower one is ended": (
        "HCR=0x1 VMCR=0xF84C000A LR1=0x9080000000000028 LR3=0x9080000000000028 AP1R0=0x00010000",
        "EOIR1=40; LR1→0x1080000000000028; LR3→0x9080000000000028",
    ),
    "DIR of a special INTID counts": (
        "HCR=0x1 VMCR=0xF84C020A",
        "DIR=1023; HCR→0x08000001; DIR=8192; HCR→0x08000001",
    ),
    "DIR takes 32 bits of the INTID": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x9080000000000028",
        "DIR=0xFF000028; LR0→0x9080000000000028; HCR→0x1; DIR=0x700000028; LR0→0x1080000000000028",
    ),
    "DIR before EOIR deactivates and drops nothing": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028",
        "IAR1→40; DIR=40; LR0→0x1080000000000028; RPR→0x80",
    ),
    "an LR keeps its EOI request through acknowledge and end": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080020000000028",
        "IAR1→40; LR0→0x9080020000000028; EOIR1=40; LR0→0x1080020000000028; EISR→0x1",
    ),
    "EOIcount leaves the controls alone": (
        "HCR=0xF0000403 VMCR=0xF84C000A",
        "EOIR1=40; HCR→0xF8000403; EOIR1=40; HCR→0x00000403",
    ),
    "BPR writes are raised, then cut to three bits, which hardware raises again": (
        "HCR=0x1 VMCR=0xF84C000A",
        (
            "BPR0=7; BPR0→7; BPR0=8; BPR0→2; BPR0=15; BPR0→7; BPR0=0x8000000000000000; BPR0→2; BPR0=0xC; BPR0→4; "
            "BPR1=7; BPR1→7; BPR1=8; BPR1→3; BPR1=0x8000000000000000; BPR1→3; BPR1=0; BPR1→3; VMCR→0xF88C000A"
        ),
    ),
    "BPR1 under CBPR: BPR0 plus one, saturated, and not writable": (
        "HCR=0x1 VMCR=0xF84C001A",
        "BPR1→3; BPR1=7; BPR1→3; BPR0=6; BPR1→7; BPR0=7; BPR1→7; CTLR=0; BPR1→3",
    ),
    "PMR takes eight bits, of which hardware keeps its own": (
        "HCR=0x1 VMCR=0xF84C000A",
        "PMR=0x1FF; PMR→0xF8; PMR=0x10087; PMR→0x80; VMCR→0x804C000A",
    ),
    "PMR = 0: nothing delivered, HPPIR still reports": (
        "HCR=0x1 VMCR=0x004C000A LR0=0x5000000000000028",
        "IAR1→1023; HPPIR1→40",
    ),
    "IGRPEN takes bit 0, and pending interrupts wait for it": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IGRPEN1=0xFFFE; IGRPEN1→0; HPPIR1→1023; IAR1→1023; LR0→0x5080000000000028; IGRPEN1=3; IGRPEN1→1; IAR1→40",
    ),
    "CTLR takes CBPR and EOImode alone": (
        "HCR=0x1 VMCR=0xF84C000A",
        "CTLR=0xFFFFFFFFFFFFFFFE; CTLR→0x8C02; VMCR→0xF84C020A; CTLR=1; CTLR→0x8C01; VMCR→0xF84C001A",
    ),
    "garbage in the active priorities: nothing is delivered until they are dropped": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5008000000000028",
        (
            "V_AP1R0=0xFFFFFFFFFFFFFFFF; V_AP1R0→0xFFFFFFFF; RPR→0x0; IAR1→1023; HPPIR1→40; V_AP0R0=0x80000000; "
            "EOIR1=99; RPR→0x8; AP1R0→0xFFFFFFFE; EOIR0=99; IAR1→40; AP1R0→0xFFFFFFFE; V_AP1R0=0; RPR→0xF8"
        ),
    ),
    "HPPIR and IAR of a group see nothing behind the other group's better candidate": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x5080000000000028 LR1=0x4040000000000029",
        "HPPIR1→1023; IAR1→1023; HPPIR0→41; IGRPEN0=0; HPPIR0→1023; HPPIR1→40",
    ),
}


@pytest.mark.parametrize(("initial", "accesses"), RULES.values(), ids=RULES)
def test_rules(initial: str, accesses: str) -> None:
    play(initial, accesses)


GROUP0_MASKS: Final = (0xFE, 0xFC, 0xF8, 0xF0, 0xE0, 0xC0, 0x80, 0x00)
GROUP1_MASKS: Final = (0xFF, 0xFE, 0xFC, 0xF8, 0xF0, 0xE0, 0xC0, 0x80)


@pytest.mark.parametrize("bpr", range(8))
def test_preemption_masks(bpr: int) -> None:
    separate = bpr << 21 | bpr << 18
    assert preemption_level(0xFF, 0, separate) == GROUP0_MASKS[bpr]
    assert preemption_level(0xFF, 1, separate) == GROUP1_MASKS[bpr]
    common = bpr << 21 | 1 << 4
    assert bpr1(common) == min(bpr + 1, 7)
    assert preemption_level(0xFF, 1, common) == GROUP1_MASKS[min(bpr + 1, 7)]


def test_only_list_registers_in_use_are_searched() -> None:
    played = play("HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028 LR1=0x5010000000000029 LR2=0x901800000000002A", "")
    played.vcpu.used_lrs = 1
    played.run("HPPIR1→40; IAR1→40; DIR=42; LR2→0x901800000000002A; HCR→0x08000001; EOIR1=42; HCR→0x10000001")
    played.vcpu.used_lrs = 0
    played.run("V_AP1R0=0; HPPIR1→1023; IAR1→1023; DIR=40; LR0→0x9080000000000028; HCR→0x18000001")


def test_priority_0xff_is_never_selected() -> None:
    play("HCR=0x1 VMCR=0xFF4C000A LR0=0x50FF000000000028", "HPPIR1→1023; IAR1→1023", VirtConfig(pri_bits=8, pre_bits=7))


# Physical interrupts


def active(vcpu: VcpuGic, pintid: int) -> bool:
    """The physical active bit."""
    if pintid < 32:
        return bool(vcpu.pe.redist.read(GICR_ISACTIVER0, 4) >> pintid & 1)
    return bool(vcpu.dist.host.machine.dist.read(GICD_ISACTIVER + pintid // 32 * 4, 4) >> pintid % 32 & 1)


@pytest.mark.parametrize("host_eoimode", [0, 1], ids="host EOImode {}".format)
@pytest.mark.parametrize("pintid", [27, 45], ids="pINTID {}".format)
@pytest.mark.parametrize(
    ("initial", "ends"),
    [("VMCR=0xF84C000A", "EOIR1=40"), ("VMCR=0xF84C020A", "EOIR1=40; DIR=40"), ("VMCR=0xF84C020A", "DIR=40; EOIR1=40")],
    ids=["EOIR", "EOIR then DIR", "DIR then EOIR"],
)
def test_deactivating_an_lr_with_hw_deactivates_the_physical_interrupt_once(
    initial: str, ends: str, pintid: int, host_eoimode: int
) -> None:
    played = play(f"HCR=0x1 {initial} LR0={0x7080 << 48 | pintid << 32 | 40:#x}", "")
    vcpu = played.vcpu
    vcpu.pe.msr_el2(ICC_CTLR_EL1, CTLR_EOIMODE * host_eoimode)
    if pintid < 32:
        vcpu.pe.redist.write(GICR_ISACTIVER0, 4, 1 << pintid | 1 << 20)
    else:
        vcpu.dist.host.machine.dist.write(GICD_ISACTIVER + 4, 4, 1 << pintid - 32 | 1 << 20)
    played.run("IAR1→40")
    assert active(vcpu, pintid)
    before = vcpu.pe.cost.copy(), vcpu.dist.host.machine.dist.cost.copy()
    played.run(ends)
    writes = vcpu.pe.cost.diff(before[0]).mmio_writes + vcpu.dist.host.machine.dist.cost.diff(before[1]).mmio_writes
    assert (active(vcpu, pintid), writes) == (False, 1)
    assert active(vcpu, pintid // 32 * 32 + 20), "a neighbour was deactivated"


@pytest.mark.parametrize("pintid", [1020, 1023, 4096, 8191], ids="pINTID {}".format)
def test_a_pintid_that_names_nothing_writes_nothing(pintid: int) -> None:
    played = play(f"HCR=0x1 VMCR=0xF84C000A LR0={0x7080 << 48 | pintid << 32 | 40:#x}", "IAR1→40; EOIR1=40; RPR→0xFF")
    lr = played.vcpu.pe.virt.lrs[0]
    assert (lr.active, lr.hw, lr.pintid) == (False, True, pintid)
    assert played.vcpu.pe.cost.mmio_writes + played.vcpu.dist.host.machine.dist.cost.mmio_writes == 0


# What is declined


@pytest.mark.parametrize("model", [None, V2], ids=["no irqchip", "GICv2"])
def test_a_vm_without_gicv3_is_declined(model: DeviceType | None) -> None:
    vcpu = make_vcpu(model=model)
    vcpu.pe.virt.write_lr(0, 40, True, False, 0x80, 1, False, 0, False)
    before = vcpu.pe.virt.snapshot()
    for register in TRAPPED:
        assert emulate_read(vcpu, register) == UNDEFINED
        assert not emulate_write(vcpu, register, 0xFF)
    assert vcpu.pe.virt.snapshot() == before


UNKNOWN: Final = {
    "ICC_SRE_EL1": ICC_SRE_EL1,
    "ICC_SGI1R_EL1": ICC_SGI1R_EL1,
    "ICC_NMIAR1_EL1": ICC_NMIAR1_EL1,
    "ICC_SRE_EL2": ICC_SRE_EL2,
    "ISR_EL1": ISR_EL1,
    "no register": 0,
}


@pytest.mark.parametrize("register", UNKNOWN.values(), ids=UNKNOWN)
def test_other_registers_are_left_to_the_host(register: int) -> None:
    vcpu = make_vcpu()
    assert emulate_read(vcpu, register) == UNDEFINED
    assert not emulate_write(vcpu, register, 0)


@pytest.mark.parametrize("bits", [5, 6, 7], ids="{} preemption bits".format)
def test_active_priority_registers_the_host_lacks_are_undefined(bits: int) -> None:
    vcpu = make_vcpu(VirtConfig(pri_bits=bits, pre_bits=bits))
    exist = [n for n, register in enumerate(ICC_AP1R_EL1) if emulate_read(vcpu, register) != UNDEFINED]
    assert exist == list(range(1 << (bits - 5)))
    assert [n for n, register in enumerate(ICC_AP1R_EL1) if emulate_write(vcpu, register, 1)] == exist


def test_seis_is_the_hosts_to_hide() -> None:
    vcpu = make_vcpu(VirtConfig(seis=True, a3v=False, id_bits=16, pri_bits=7, pre_bits=6))
    assert emulate_read(vcpu, ICC_CTLR_EL1) == vcpu.pe.virt.config.ctlr == 6 << 8 | CTLR_SEIS
    vcpu.dist.host.seis_a3v = 0
    assert emulate_read(vcpu, ICC_CTLR_EL1) == 6 << 8


def test_emulation_touches_the_hardware_as_el2_alone() -> None:
    vcpu = make_vcpu()
    for register in TRAPPED:
        emulate_read(vcpu, register)
        emulate_write(vcpu, register, 1)
    spent = vcpu.pe.cost
    assert spent.icv_reads + spent.icv_writes + spent.icc_reads + spent.icc_writes == 0
    assert spent.vmcr_writes > 0


def test_acknowledge_and_end_write_two_registers_each() -> None:
    vcpu = play("HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028", "").vcpu
    before = vcpu.pe.cost.copy()
    assert emulate_read(vcpu, ICC_IAR1_EL1) == 40
    assert emulate_write(vcpu, ICC_EOIR1_EL1, 40)
    spent = vcpu.pe.cost.diff(before)
    assert (spent.lr_writes, spent.ap_writes, spent.hcr_writes, spent.vmcr_writes) == (2, 2, 0, 0)


# Emulated and hardware interfaces agree


def test_writes_reach_the_live_vmcr_at_once() -> None:
    vcpu = play("HCR=0x1 VMCR=0x004C000A LR0=0x5080000000000028", "lines→none").vcpu
    emulate_write(vcpu, ICC_PMR_EL1, 0xF0)
    assert vcpu.pe.virt.virq()
