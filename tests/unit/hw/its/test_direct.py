"""Direct injection in GICv4.1: residency, doorbells, delivery beside list registers.  H13 to H63, H74, H79, H80."""

import pytest

from hw import CacheMode, GicVersion, ItsConfig, PhysConfig, V4Config, VirtConfig, arch
from hw import arch4 as a
from tests.unit.hw.rig4 import (
    ALLOC,
    DB,
    NO_DB,
    PTZ,
    V1,
    VALID,
    Rig4,
    mapd,
    of_event,
    of_vpe,
    vmapp,
    vmapti,
    vmovi,
    vmovp,
    vsgi,
    vunmapp,
)

GROUPS = (0x0000_0000, 0x0000_0001, 0x0001_0000, 0x0001_0001)  # two groups of two, by Aff2


@pytest.fixture
def rig() -> Rig4:
    """vPE 0 is mapped to PE 0, with vLPI V1 for event 0 of device 0."""
    it = Rig4()
    it.map()
    return it


@pytest.fixture
def twice() -> Rig4:
    """Two groups of two PEs; vPE 0 is mapped to PE 0."""
    it = Rig4(4, V4Config(common_lpi_aff=2), affinities=GROUPS)
    it.map()
    return it


def with_lr(rig: Rig4, vintid: int, priority: int) -> None:
    rig.pes[0].virt.write_lr(0, vintid, True, False, priority, 1, False, 0, False)


def test_h13_a_resident_vpe_is_signalled_directly(rig: Rig4) -> None:
    rig.res()
    rig.msi()
    assert (rig.virq(), rig.iar()) == (True, V1)
    assert rig.pes[0].mrs_el2(arch.ICH_AP1R0_EL2) == 1 << (0xA0 >> 3)
    assert rig.pes[0].virt.read_elrsr() == 0xF
    rig.eoi(V1)
    assert (rig.rung, rig.host(), rig.virq(), rig.codes()) == (0, [], False, [])
    assert rig.pes[0].cost.direct_acks == 1


def test_h14_h15_one_doorbell_for_a_vpe_that_is_not_resident(rig: Rig4) -> None:
    rig.msi()
    for event in range(1, 10):
        rig.vlpi(0, V1 + event, 0xA3)
        rig.send(vmapti(0, event, 0, V1 + event))
        rig.msi(event)
    assert (rig.rung, rig.host()) == (1, [DB])
    rig.res()
    assert rig.take() == list(range(V1, V1 + 10))


def test_h16_no_second_doorbell_before_the_next_residency(rig: Rig4) -> None:
    rig.vlpi(0, V1 + 1, 0xA3)
    rig.send(vmapti(0, 1, 0, V1 + 1))
    rig.msi()
    assert rig.host() == [DB]
    rig.msi(1)
    assert (rig.rung, rig.host()) == (1, [])
    rig.res()
    assert rig.take() == [V1, V1 + 1]
    rig.nres(1, 0)
    rig.msi(1)
    assert (rig.rung, rig.host()) == (2, [DB])


DESCHEDULED = {
    #                                        Doorbell  PendingLast  doorbells
    "H17: not requested": (0, 0, 0),
    "H18: requested": (1, 0, 1),
    "H19: overruled by PendingLast": (1, 1, 0),
    "preempted": (0, 1, 0),
}


@pytest.mark.parametrize("row", DESCHEDULED.values(), ids=DESCHEDULED)
def test_h17_to_h19_doorbells_are_requested(rig: Rig4, row: tuple[int, int, int]) -> None:
    doorbell, pending_last, rung = row
    rig.res()
    read_back = [rig.nres(doorbell, pending_last)]
    rig.msi()
    assert (rig.rung, len(rig.host())) == (rung, rung)
    rig.res()
    rig.take()
    read_back.append(rig.nres(doorbell, pending_last))
    assert sorted(read_back) == ([0, 1] if pending_last else [0, 0]), "UNKNOWN is not the same twice"


def test_h20_pending_last_instead_of_a_doorbell(rig: Rig4) -> None:
    rig.pes[0].virt.write_vmcr(0x004C_000B)
    rig.res()
    rig.msi()
    assert not rig.virq()
    assert rig.nres(1, 0) == 1
    rig.vlpi(0, V1 + 1, 0xA3)
    rig.send(vmapti(0, 1, 0, V1 + 1))
    rig.msi(1)
    assert (rig.rung, rig.host()) == (0, [])


def test_h21_h22_only_what_is_enabled_counts(rig: Rig4) -> None:
    rig.vlpi(0, V1, 0xA2)
    rig.res()
    rig.msi()
    assert not rig.virq()
    assert rig.nres(1, 0) == 0
    rig.vlpi(0, V1, 0xA3)
    assert rig.rung == 0
    rig.send(of_event(a.INV, 0, 0), of_vpe(a.VSYNC, 0))
    assert (rig.rung, rig.host()) == (1, [DB])


def test_h23_residency_withdraws_a_doorbell_that_is_pending(rig: Rig4) -> None:
    rig.msi()
    assert rig.pes[0].irq()
    rig.res()
    assert rig.host() == []


def test_h24_without_a_doorbell_the_interrupt_waits() -> None:
    rig = Rig4()
    rig.map(db=NO_DB)
    rig.msi()
    assert rig.rung == 0
    rig.res()
    assert rig.take() == [V1]


def test_h25_only_invdb_reaches_a_default_doorbell() -> None:
    rig = Rig4()
    rig.lpi(DB, 0x80)
    rig.map()
    rig.send(vmapti(0, 5, 0, V1 + 5))
    rig.msi()
    assert (rig.rung, rig.host()) == (1, [])
    rig.lpi(DB, 0x81)
    rig.pes[0].redist.write(arch.GICR_INVLPIR, 8, DB)
    assert (rig.codes(), rig.host()) == (["M-28"], [])
    rig.pes[0].redist.write(arch.GICR_INVALLR, 8, 0)
    assert rig.host() == []
    rig.send(of_vpe(a.INVDB, 0))
    assert rig.host() == [DB]


def test_h26_a_vpe_may_be_resident_anywhere_in_its_group(rig: Rig4) -> None:
    rig.res(1)
    rig.msi()
    assert (rig.take(0), rig.take(1)) == ([], [V1])
    rig.nres(1, 0, 1)
    rig.msi()
    assert (rig.host(0), rig.host(1)) == ([DB], [])


def test_h27_a_vpe_stays_in_its_group(twice: Rig4) -> None:
    twice.res(2)
    assert (twice.codes(), twice.resident(2)) == (["M-03"], False)
    twice.send(vmovp(0, 2), of_vpe(a.VSYNC, 0))
    twice.res(2)
    assert (twice.codes(), twice.resident(2)) == ([], True)


def test_h28_doorbells_follow_vmovp(rig: Rig4) -> None:
    rig.send(vmovp(0, 1))
    rig.msi()
    assert (rig.host(0), rig.host(1)) == ([], [DB])


def test_an_outstanding_doorbell_follows_vmovp_and_may_change(rig: Rig4) -> None:
    rig.msi()
    rig.send(vmovp(0, 1, db=DB + 3))
    assert (rig.host(0), rig.host(1)) == ([], [DB + 3])
    rig.res(1)
    rig.take(1)
    rig.nres(1, 0, 1)
    rig.msi()
    assert rig.host(1) == [DB + 3]


def test_h29_a_vpe_is_resident_once(rig: Rig4) -> None:
    rig.res(0)
    rig.res(1)
    assert (rig.codes(), rig.resident(0), rig.resident(1)) == (["M-04"], True, False)


def test_h30_h31_residency_needs_a_mapping_and_a_table(rig: Rig4) -> None:
    rig.res(0, 5)
    assert (rig.codes(), rig.resident()) == (["M-01"], False)
    rig.pes[1].redist.write(a.GICR_VPROPBASER, 8, 0)
    rig.res(1, 0)
    assert (rig.codes(), rig.resident(1)) == (["M-02"], False)
    assert rig.misuse.counts == {}


def test_h32_valid_changed_while_dirty() -> None:
    rig = Rig4(v4=V4Config(t_scan=50))
    rig.map()
    rig.msi()
    rig.res()
    rig.machine.tick(10)
    assert rig.vpendbaser() >> 60 == 0b1001
    assert not rig.virq()
    assert rig.nres(1, 0) == 1
    assert (rig.codes(), rig.vpendbaser() >> 60) == (["M-07"], 0b0110)
    rig.res()
    rig.machine.tick(49)
    assert not rig.virq()
    rig.machine.tick(1)
    assert (rig.virq(), rig.vpendbaser() >> 60) == (True, 0b1000)
    assert rig.take() == [V1]


@pytest.mark.parametrize("early", [False, True], ids=["counted as pending", "counted as later"])
def test_h33_an_interrupt_while_descheduling_is_on_one_side(early: bool) -> None:
    rig = Rig4(v4=V4Config(t_settle=50, settles_early=early))
    rig.map()
    rig.res()
    rig.nres(1, 0)
    rig.machine.tick(25)
    assert rig.vpendbaser() >> 60 & 1
    rig.msi()
    rig.machine.tick(25)
    pending_last = rig.vpendbaser() >> 61 & 1
    assert (pending_last, rig.rung) == ((0, 1) if early else (1, 0))
    assert rig.vpendbaser() >> 60 & 1 == 0
    rig.res()
    assert (rig.take(), rig.codes()) == ([V1], [])


def test_h34_groups_are_sampled_when_the_vpe_becomes_resident(rig: Rig4) -> None:
    rig.res(groups=3)
    rig.res(groups=1)
    assert (rig.codes(), rig.vpendbaser() >> 58 & 3) == (["M-08"], 3)
    rig.res(groups=3)
    assert rig.codes() == []


@pytest.mark.parametrize("counts", [False, True])
def test_h35_a_disabled_group_is_not_offered(counts: bool) -> None:
    rig = Rig4(v4=V4Config(pl_counts_group=counts))
    rig.map()
    rig.res(groups=1)
    rig.msi()
    assert not rig.virq()
    assert rig.nres(1, 0) == (0 if counts else 1)
    rig.send(of_event(a.CLEAR, 0, 0))
    rig.msi()
    assert rig.rung == 0, "PendingLast and doorbells follow one rule"
    rig.res(groups=2)
    assert rig.take() == [V1]


MERGED = {
    #                                             vLPI  LR    taken first
    "H36: the better list register": (0xA3, 0x80, [40, V1]),
    "H37: an equal list register": (0x83, 0x80, [40, V1]),
    "the better vLPI": (0x7B, 0x80, [V1, 40]),
}


@pytest.mark.parametrize("row", MERGED.values(), ids=MERGED)
def test_h36_h37_list_registers_and_direct_interrupts_merge(rig: Rig4, row: tuple[int, int, list[int]]) -> None:
    byte, priority, order = row
    rig.vlpi(0, V1, byte)
    rig.res()
    with_lr(rig, 40, priority)
    rig.msi()
    assert rig.take() == order


def test_h38_equal_vlpis_by_number(rig: Rig4) -> None:
    rig.vlpi(0, 8193, 0x93)
    rig.vlpi(0, V1, 0x93)
    rig.send(vmapti(0, 1, 0, 8193))
    rig.res()
    rig.msi(1)
    rig.msi(0)
    assert rig.iar() == V1


def test_h39_en_gates_direct_interrupts_too(rig: Rig4) -> None:
    pe = rig.pes[0]
    pe.virt.write_hcr(0)
    rig.res()
    rig.msi()
    pe.entering(1)
    assert (rig.virq(), rig.iar(), rig.codes()) == (False, 1023, ["M-31"])
    pe.virt.write_hcr(1)
    pe.entering(1)
    assert (rig.virq(), rig.iar(), rig.codes()) == (True, V1, [])


def test_h40_h41_what_is_offered_can_be_withdrawn(rig: Rig4) -> None:
    rig.res()
    rig.msi()
    rig.send(of_event(a.CLEAR, 0, 0))
    assert (rig.virq(), rig.iar()) == (False, 1023)
    rig.msi()
    rig.vlpi(0, V1, 0xA2)
    assert rig.virq(), "nobody said that it changed"
    rig.send(of_event(a.INV, 0, 0))
    assert (rig.virq(), rig.iar()) == (False, 1023)
    rig.vlpi(0, V1, 0xA3)
    rig.send(of_event(a.INV, 0, 0))
    assert rig.take() == [V1]


def test_h42_vmovi_takes_the_pending_state_along(rig: Rig4) -> None:
    rig.vlpi(1, V1, 0xA3)
    rig.send(vmapp(1, 0))
    rig.msi()
    rig.res(1, 1)
    rig.send(vmovi(0, 0, 1), of_vpe(a.VSYNC, 1))
    assert rig.take(1) == [V1]
    rig.send(vunmapp(0))
    assert (rig.vpt_bit(0, V1), rig.codes()) == (0, [])
    rig.msi()
    assert rig.take(1) == [V1]


@pytest.mark.parametrize("back", ["VMOVI", "VMAPTI"])
def test_what_was_cached_before_an_event_came_does_not_count(rig: Rig4, back: str) -> None:
    """Hypervisors write the byte and move or map the event, without an INV."""
    rig.vlpi(1, V1, 0xA3)
    rig.send(vmapp(1, 0))
    rig.msi()
    if back == "VMOVI":
        rig.send(vmovi(0, 0, 1), of_vpe(a.VSYNC, 1), of_event(a.CLEAR, 0, 0))
    else:
        rig.send(of_event(a.DISCARD, 0, 0))
    rig.vlpi(0, V1, 0xA2)
    rig.send(vmovi(0, 0, 0) if back == "VMOVI" else vmapti(0, 0, 0, V1))
    rig.res(0)
    rig.msi()
    assert (rig.take(0), rig.codes()) == ([], [])


def test_vmovi_into_an_armed_vpe_rings(rig: Rig4) -> None:
    rig.vlpi(1, V1, 0xA3)
    rig.send(vmapp(1, 1))
    rig.res(0)
    rig.nres(0, 0)
    rig.msi()
    rig.send(vmovi(0, 0, 1))
    assert (rig.host(0), rig.host(1)) == ([], [DB + 1])


INDIVIDUAL = 9100


@pytest.mark.parametrize("change", [True, False], ids=["H43: D=1", "H44: D=0"])
def test_h43_h44_vmovi_changes_the_individual_doorbell(change: bool) -> None:
    rig = Rig4()
    rig.lpi(INDIVIDUAL, 0x81)
    rig.send(vmapp(0, db=NO_DB), vmapti(0, 0, 0, V1, INDIVIDUAL))
    rig.send(vmovi(0, 0, 0, NO_DB, change))
    rig.msi()
    assert (rig.host(), rig.codes()) == ([] if change else [INDIVIDUAL], [])


def test_h45_individual_doorbells_ring_every_time() -> None:
    rig = Rig4()
    rig.lpi(INDIVIDUAL, 0x81)
    rig.send(vmapp(0, db=NO_DB), vmapti(0, 0, 0, V1, INDIVIDUAL))
    rig.msi()
    rig.msi()
    assert rig.host() == [INDIVIDUAL]
    rig.send(of_event(a.CLEAR, 0, 0))
    rig.msi()
    assert rig.host() == [INDIVIDUAL]
    assert rig.machine.fabric.cost.individual_doorbells == 2


def test_h46_individual_doorbells_may_not_exist() -> None:
    rig = Rig4(its=[ItsConfig(individual=False)])
    rig.lpi(INDIVIDUAL, 0x81)
    rig.send(vmapp(0, db=NO_DB), vmapti(0, 0, 0, V1, INDIVIDUAL))
    assert rig.codes() == ["M-20"]
    rig.msi()
    assert rig.host() == []
    assert rig.machine.itss[0].read(a.GITS_TYPER, 8) & a.GITS_TYPER_NID


def test_h47_residency_leaves_individual_doorbells_alone() -> None:
    rig = Rig4()
    rig.lpi(INDIVIDUAL, 0x81)
    rig.send(vmapp(0, db=NO_DB), vmapti(0, 0, 0, V1, INDIVIDUAL))
    rig.msi()
    rig.res()
    assert rig.host() == [INDIVIDUAL]


def test_h48_h50_h51_pending_state_survives_an_unmapping(rig: Rig4) -> None:
    rig.res()
    rig.msi()
    rig.nres(0, 1)
    address = 0x0200_0000 + V1 // 8
    rig.memory.read(address, 1)
    assert rig.codes() == ["M-15"]
    assert rig.vpt_bit(0, V1) == 0, "the GIC still has it"
    rig.send(vunmapp(0))
    assert (rig.codes(), rig.memory.read(address, 1)) == (["M-35"], 1 << V1 % 8)
    rig.msi()
    assert rig.machine.itss[0].cost.dropped == 1
    rig.send(vmapp(0))
    rig.res()
    assert rig.take() == [V1]
    rig.msi()
    assert (rig.take(), rig.codes()) == ([V1], [])


def test_h52_ptz_loses_what_is_pending(rig: Rig4) -> None:
    rig.msi()
    rig.send(vunmapp(0))
    rig.codes()
    rig.send(vmapp(0, flags=ALLOC | PTZ))
    assert "1 bits set" in str(rig.misuse.records[0])
    assert rig.codes() == ["M-05"]
    rig.res()
    assert rig.take() == []


def test_descheduling_may_write_the_table_back() -> None:
    rig = Rig4(v4=V4Config(writes_back=True))
    rig.map()
    rig.res()
    rig.msi()
    rig.nres(0, 1)
    assert rig.vpt_bit(0, V1) == 1


def test_h79_a_better_interrupt_replaces_what_is_offered(rig: Rig4) -> None:
    rig.vlpi(0, 8200, 0x23)
    rig.send(vmapti(0, 1, 0, 8200))
    rig.res()
    rig.msi(0)
    rig.msi(1)
    assert rig.iar() == 8200
    assert rig.iar() == 1023, "0xA0 does not preempt 0x20"
    rig.eoi(8200)
    assert rig.take() == [V1]


def test_h80_dvim_hides_direct_interrupts() -> None:
    rig = Rig4(virt=VirtConfig(dvim=True))
    rig.map()
    rig.res()
    rig.pes[0].virt.write_hcr(arch.HCR_EN | arch.HCR_DVIM)
    rig.msi()
    assert (rig.virq(), rig.iar()) == (False, 1023)
    rig.pes[0].virt.write_hcr(arch.HCR_EN)
    assert (rig.virq(), rig.iar()) == (True, V1)


def test_h74_h75_invalidations_of_a_vpe(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    for event in range(1, 4):
        rig.vlpi(0, V1 + event, 0xA2)
        rig.send(vmapti(0, event, 0, V1 + event))
        rig.msi(event)
    rig.res()

    def enable() -> None:
        for event in range(1, 4):
            rig.vlpi(0, V1 + event, 0xA3)

    enable()
    assert rig.take() == []
    redist.write(arch.GICR_INVLPIR, 8, VALID | V1 + 2)
    assert rig.take() == [V1 + 2]
    redist.write(arch.GICR_INVALLR, 8, VALID)
    assert rig.take() == [V1 + 1, V1 + 3]
    for event in range(1, 4):
        rig.vlpi(0, V1 + event, 0xA2)
    rig.send(of_vpe(a.VINVALL, 0))
    for event in range(1, 4):
        rig.msi(event)
    assert rig.take() == []
    enable()
    rig.send(of_vpe(a.VINVALL, 0))
    assert (rig.take(), rig.codes()) == ([V1 + 1, V1 + 2, V1 + 3], [])


@pytest.mark.parametrize("mode", [CacheMode.NONE, CacheMode.RANDOM])
def test_configuration_that_is_not_sticky(mode: CacheMode) -> None:
    rig = Rig4(phys=PhysConfig(cache=mode, cache_seed=5))
    rig.map()
    rig.res()
    rig.vlpi(0, V1, 0xA2)
    rig.msi()
    rig.vlpi(0, V1, 0xA3)
    seen = [rig.virq() for _ in range(30)]
    assert seen[-1]
    assert mode is CacheMode.RANDOM or seen[0]
    assert rig.take() == [V1]


def test_a_cpu_interface_that_tolerates_no_direct_injection() -> None:
    rig = Rig4(virt=VirtConfig(version=GicVersion.V3))
    assert rig.pes[0].virt.read_vtr() & arch.VTR_NV4
    rig.map()
    rig.res()
    assert (rig.codes(), rig.resident()) == (["M-32"], False)


def test_power_and_lpis_stay_on_while_a_vpe_is_resident(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    rig.res()
    redist.write(arch.GICR_WAKER, 4, 2)
    redist.write(arch.GICR_CTLR, 4, 0)
    assert (rig.codes(), redist.asleep, redist.lpis.enabled) == (["M-26", "M-26"], False, True)


def test_m09_m18_a_resident_vpe_is_taken_away(twice: Rig4) -> None:
    twice.res(1)
    twice.send(vmovp(0, 2))
    assert (twice.codes(), twice.vpendbaser(1) >> 60) == (["M-18"], 0b0010)
    twice.res(2)
    twice.send(vunmapp(0))
    assert (twice.codes(), twice.resident(2)) == (["M-09", "M-35"][::-1], False)


def test_m27_one_interrupt_in_two_places(rig: Rig4) -> None:
    rig.res()
    with_lr(rig, V1, 0xA0)
    rig.msi()
    assert rig.iar() == V1
    assert set(rig.codes()) == {"M-27"}


def test_m33_m34_state_of_another_guest(rig: Rig4) -> None:
    slow = Rig4(v4=V4Config(t_settle=5))
    slow.map()
    slow.res()
    slow.nres(1, 0)
    slow.pes[0].virt.write_vmcr(0)
    assert slow.codes() == ["M-33"]
    slow.machine.tick(5)
    slow.pes[0].virt.write_vmcr(0)
    assert slow.codes() == []
    rig.res()
    pe = rig.pes[0]
    pe.entering(70)
    pe.entering(70)
    assert rig.codes() == []
    pe.entering(71)
    assert rig.codes() == ["M-34"]


SGI3 = vsgi(0, 3)


def test_h55_a_virtual_sgi(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    rig.send(SGI3)
    rig.res()
    rig.sgir(0, 3)
    redist.write(a.GICR_VSGIR, 4, 0)
    assert redist.read(a.GICR_VSGIPENDR, 4) == 8
    assert rig.iar() == 3
    redist.write(a.GICR_VSGIR, 4, 0)
    assert redist.read(a.GICR_VSGIPENDR, 4) == 0


def test_h56_h57_a_disabled_sgi_is_pending(rig: Rig4) -> None:
    rig.res()
    rig.sgir(0, 3)
    assert not rig.virq()
    assert rig.nres(1, 0) == 0
    rig.pes[1].redist.write(a.GICR_VSGIR, 4, 0)
    assert rig.pes[1].redist.read(a.GICR_VSGIPENDR, 4) == 8
    assert rig.rung == 0
    rig.send(SGI3)
    assert (rig.rung, rig.host()) == (1, [DB])


def test_h58_clear_leaves_the_configuration_alone(rig: Rig4) -> None:
    rig.send(SGI3)
    rig.sgir(0, 3)
    rig.send(vsgi(0, 3, enable=0, priority=0, clear=1))
    assert rig.codes() == ["M-25"]
    rig.res()
    assert not rig.virq()
    rig.sgir(0, 3)
    assert rig.take() == [3]


def test_h59_a_group_0_sgi(rig: Rig4) -> None:
    rig.send(vsgi(0, 3, group=0))
    rig.res(groups=2)
    rig.sgir(0, 3)
    assert not rig.pes[0].vfiq()
    rig.nres(0, 1)
    rig.res(groups=3)
    assert (rig.pes[0].vfiq(), rig.iar(group=1), rig.iar(group=0)) == (True, 1023, 3)


def test_h60_an_sgi_without_active_state(rig: Rig4) -> None:
    rig.send(SGI3)
    rig.pes[0].msr_el1(arch.ICC_CTLR_EL1, arch.CTLR_EOIMODE)
    rig.res()
    rig.sgir(0, 3)
    assert rig.iar() == 3
    rig.sgir(0, 3)
    assert rig.iar() == 1023
    rig.eoi(3)
    assert rig.iar() == 3, "there is no active state to wait for"


@pytest.mark.parametrize("split", [False, True], ids=["EOIR", "DIR"])
@pytest.mark.parametrize("suppressed", [False, True], ids=["vSGIEOICount=0", "vSGIEOICount=1"])
def test_h61_eoicount_of_direct_sgis(rig: Rig4, split: bool, suppressed: bool) -> None:
    pe = rig.pes[0]
    rig.send(SGI3)
    pe.virt.write_hcr(arch.HCR_EN | (arch.HCR_VSGIEOICOUNT if suppressed else 0))
    pe.msr_el1(arch.ICC_CTLR_EL1, arch.CTLR_EOIMODE if split else 0)
    rig.res()
    rig.sgir(0, 3)
    rig.iar()
    rig.eoi(3)
    counts = [pe.virt.eoicount]
    pe.msr_el1(arch.ICC_DIR_EL1, 3)
    counts.append(pe.virt.eoicount)
    assert counts == ([0, 0] if suppressed else [0, 1] if split else [1, 1])


def test_h62_a_vlpi_is_never_counted(rig: Rig4) -> None:
    rig.res()
    rig.msi()
    rig.eoi(rig.iar())
    assert rig.pes[0].virt.eoicount == 0


def test_h63_a_pending_sgi_counts_for_pending_last(rig: Rig4) -> None:
    rig.send(SGI3)
    rig.res()
    rig.sgir(0, 3)
    assert rig.nres(1, 0) == 1
    rig.res()
    assert rig.take() == [3]


def test_sgi_state_survives_an_unmapping(rig: Rig4) -> None:
    rig.send(SGI3, vsgi(0, 5, priority=0x40))
    rig.sgir(0, 5)
    rig.send(vunmapp(0), vmapp(0))
    rig.res()
    rig.sgir(0, 3)
    assert rig.take() == [5, 3]
    rig.nres(0, 1)
    rig.send(vunmapp(0), vmapp(0, flags=ALLOC | PTZ))
    rig.res()
    rig.sgir(0, 3)
    assert rig.take() == [], "PTZ: disabled"


def test_m22_m23_queries() -> None:
    rig = Rig4(4, V4Config(common_lpi_aff=2, t_query=10), affinities=GROUPS)
    rig.map()
    redist = rig.pes[0].redist
    redist.write(a.GICR_VSGIR, 4, 7)
    assert rig.codes() == ["M-22"]
    assert redist.read(a.GICR_VSGIPENDR, 4) == a.VSGIPENDR_BUSY
    redist.write(a.GICR_VSGIR, 4, 0)
    assert rig.codes() == ["M-23"]
    rig.machine.tick(10)
    assert redist.read(a.GICR_VSGIPENDR, 4) == 0
    rig.pes[2].redist.write(a.GICR_VSGIR, 4, 0)
    assert rig.codes() == ["M-22"]


def test_a_device_that_is_unmapped_takes_its_interrupts_along(rig: Rig4) -> None:
    rig.send(mapd(1), vmapti(1, 0, 0, V1 + 1), vmapti(1, 1, 0, V1 + 2))
    for vintid in (V1 + 1, V1 + 2):
        rig.vlpi(0, vintid, 0x43)
    rig.res()
    rig.msi(0)
    rig.msi(0, devid=1)
    rig.msi(1, devid=1)
    rig.send(mapd(1, valid=False))
    assert (rig.codes(), rig.take()) == (["M-10"], [V1])
