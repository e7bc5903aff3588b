"""Registers and queue of the ITS, several ITSs, groups and tables, GICv4.0.  Scenarios H49, H53, H54, H64 to H78."""

from typing import Final

import pytest

from hw import GicVersion, ItsConfig, V4Config, arch
from hw import arch4 as a
from tests.unit.hw.its.test_direct import GROUPS
from tests.unit.hw.rig4 import (
    ALLOC,
    DB,
    DEVICES,
    PRIVATE,
    QUEUE,
    V1,
    VALID,
    VCT,
    VPECT,
    VPT,
    Rig4,
    mapti,
    of_event,
    of_vpe,
    sync,
    vmapp,
    vmapp40,
    vmapti,
    vmovp,
    vsgi,
    vunmapp,
)

V40: Final = V4Config(version=GicVersion.V4_0)
LISTED: Final = (ItsConfig(vmovp=False), ItsConfig(vmovp=False))

# Several ITSs


def test_h49_only_the_last_unmapping_gives_the_tables_back() -> None:
    rig = Rig4(its=[ItsConfig(), ItsConfig()])
    rig.map()
    rig.send(vmapp(0, flags=0), vmapti(0, 1, 0, V1 + 1), its=1)
    rig.msi()
    rig.send(vunmapp(0, 0), its=1)
    assert rig.vpt_bit(0, V1) == 0
    rig.codes()
    rig.send(vunmapp(0, ALLOC))
    assert (rig.vpt_bit(0, V1), rig.codes()) == (1, ["M-35"])


def test_m30_alloc_says_what_is_mapped() -> None:
    rig = Rig4(its=[ItsConfig(), ItsConfig()])
    rig.send(vmapp(0, flags=0))
    rig.send(vmapp(0, flags=ALLOC), its=1)
    rig.send(vunmapp(0, ALLOC))
    rig.send(vunmapp(0, 0), its=1)
    assert (rig.codes(), rig.machine.vpes.by_key) == (["M-30"] * 4, {})


def test_h53_vmovp_waits_for_every_its_of_its_list() -> None:
    rig = Rig4(its=LISTED)
    rig.map()
    rig.send(vmapp(0, flags=0), its=1)
    first, second = rig.machine.itss
    rig.post(vmovp(0, 1, sequence=7, itss=3), of_vpe(a.VSYNC, 0))
    stuck = first.read(a.GITS_CREADR, 8)
    assert first.read(a.GITS_CWRITER, 8) == stuck + 64
    rig.send(vmovp(0, 1, sequence=7, itss=3), its=1)
    assert first.read(a.GITS_CREADR, 8) == stuck + 64
    assert first.cost.by_command[a.VMOVP] == second.cost.by_command[a.VMOVP] == 1
    rig.msi()
    assert (rig.host(1), rig.codes()) == ([DB], [])


def test_h54_crossing_orders_are_found_and_untangled() -> None:
    rig = Rig4(its=LISTED)
    for vpeid in (0, 1):
        rig.send(vmapp(vpeid))
        rig.send(vmapp(vpeid, flags=0), its=1)
    one, two = vmovp(0, 1, sequence=1, itss=3), vmovp(1, 1, sequence=2, itss=3)
    rig.post(one, two)
    rig.post(two, one, its=1)
    assert "M-19" in rig.codes()
    for its in rig.machine.itss:
        assert not its.stalled
    assert [vpe.redist.number for vpe in rig.machine.vpes.by_key.values()] == [1, 1]


def test_vmovp_may_let_the_queue_go_on() -> None:
    """As a hypervisor needs that waits for each ITS before it tells the next."""
    rig = Rig4(its=[ItsConfig(vmovp=False, vmovp_waits=False)] * 2)
    for vpeid in (0, 1):
        rig.send(vmapp(vpeid))
        rig.send(vmapp(vpeid, flags=0), its=1)
    one, two = vmovp(0, 1, sequence=1, itss=3), vmovp(1, 1, sequence=2, itss=3)
    vpes = rig.machine.vpes.by_key
    rig.send(one, of_vpe(a.VSYNC, 0))
    assert vpes[0].redist.number == 0, "not before the other ITS knows"
    rig.send(one, of_vpe(a.VSYNC, 0), its=1)
    assert vpes[0].redist.number == 1
    rig.send(one, two)
    assert rig.codes() == []
    rig.send(two, its=1)
    assert rig.codes() == ["M-19"]
    assert vpes[1].redist.number == 1


def test_m19_a_list_names_every_its_that_maps_the_vpe() -> None:
    rig = Rig4(its=LISTED)
    rig.send(vmapp(0))
    rig.send(vmapp(0, flags=0), its=1)
    rig.send(vmovp(0, 1, sequence=1, itss=1))
    assert rig.codes() == ["M-19"]


def test_a_new_queue_ends_the_wait() -> None:
    rig = Rig4(its=LISTED)
    rig.send(vmapp(0))
    rig.send(vmapp(0, flags=0), its=1)
    rig.post(vmovp(0, 1, sequence=1, itss=3))
    its = rig.machine.itss[0]
    its.write(a.GITS_CTLR, 4, 0)
    its.write(a.GITS_CBASER, 8, VALID | QUEUE)
    its.write(a.GITS_CWRITER, 8, 0)
    its.write(a.GITS_CTLR, 4, 1)
    rig.send(sync(0))
    rig.post(vmovp(0, 1, sequence=1, itss=3), its=1)
    assert rig.machine.itss[1].waiting


# Groups and the vPE table


def copies(rig: Rig4) -> list[bytes]:
    return [rig.memory.load_bytes(VPECT + 0x1_0000 * n, 0x1000) for n in range(2)]


def test_h76_every_group_has_an_equal_copy() -> None:
    rig = Rig4(4, V4Config(common_lpi_aff=2), affinities=GROUPS)
    rig.map()
    seen = set()
    for command in (vmapp(3, 2), vmovp(0, 2), vsgi(0, 4), vunmapp(3)):
        rig.send(command)
        one, other = copies(rig)
        assert one == other
        assert any(one)
        seen.add(one)
    assert len(seen) == 3, "VSGI changes no entry"


def test_h77_a_table_in_use_is_not_zero() -> None:
    rig = Rig4()
    redist = rig.pes[1].redist
    redist.write(a.GICR_VPROPBASER, 8, 0)
    rig.map()
    redist.write(a.GICR_VPROPBASER, 8, VALID | a.VPROPBASER_Z | VPECT)
    assert rig.codes() == ["M-05"]
    rig.res(1)
    rig.msi()
    assert rig.take(1) == [V1]


def test_m12_m13_tables_belong_to_groups() -> None:
    rig = Rig4(4, V4Config(common_lpi_aff=2), affinities=GROUPS)
    redist = rig.pes[3].redist
    redist.write(a.GICR_VPROPBASER, 8, 0)
    redist.write(a.GICR_VPROPBASER, 8, VALID | VPECT)
    assert rig.codes() == ["M-12"]
    redist.write(a.GICR_VPROPBASER, 8, VALID | VPECT + 0x8_0000)
    assert rig.codes() == ["M-13"]
    assert redist.read(a.GICR_VPROPBASER, 8) >> 63 == 0
    redist.write(a.GICR_VPROPBASER, 8, VALID | VPECT + 0x1_0000)
    assert (rig.codes(), redist.read(a.GICR_VPROPBASER, 8)) == ([], VALID | 3 << 59 | VPECT + 0x1_0000)
    redist.write(a.GICR_VPROPBASER, 8, VALID | VPECT)
    assert rig.codes() == ["M-06"]
    for n in (2, 3, 2):
        rig.pes[n].redist.write(a.GICR_VPROPBASER, 8, 0)
    redist.write(a.GICR_VPROPBASER, 8, VALID | VPECT)
    assert rig.codes() == ["M-12"]


def test_h64_second_level_pages_come_first() -> None:
    rig = Rig4()
    level1 = 0x0900_0000
    for pe in rig.pes:
        pe.redist.write(a.GICR_VPROPBASER, 8, 0)
    for pe in rig.pes:
        pe.redist.write(a.GICR_VPROPBASER, 8, VALID | a.VPROPBASER_INDIRECT | level1)
    assert rig.fail(vmapp(200)) == "VMAPP_VPE_OOR"
    rig.memory.write(level1 + 8 * (200 // 128), 8, VALID | 0x0A00_0000)
    rig.send(vmapp(200))
    assert rig.memory.read(0x0A00_0000 + 32 * (200 % 128) + 8, 8) == VPT + 0x1_0000 * 200
    assert rig.codes() == []
    rig.memory.write(0x0A00_0000 + 32 * (200 % 128), 8, 0)
    assert rig.codes() == ["M-14"]


def test_h65_vpeids_have_a_width() -> None:
    rig = Rig4(v4=V4Config(vpeid_bits=8))
    assert rig.machine.dist.read(a.GICD_TYPER2, 4) == a.GICD_TYPER2_NASSGICAP | a.GICD_TYPER2_VIL | 7
    for value in (0, VALID | VPECT | 1):  # two pages: 256 entries
        for pe in rig.pes:
            pe.redist.write(a.GICR_VPROPBASER, 8, value)
    assert rig.fail(vmapp(256)) == "VMAPP_VPE_OOR"
    rig.send(vmapp(255))


def test_svpet_the_its_shares_the_table() -> None:
    rig = Rig4(its=[ItsConfig(svpet=2)])
    rig.send(vmapp(0))
    assert rig.codes() == ["M-13"]
    its = rig.machine.itss[0]
    its.write(a.GITS_CTLR, 4, 0)
    its.write(a.GITS_BASER + 16, 8, VALID | VPECT)
    its.write(a.GITS_CTLR, 4, 1)
    assert rig.machine.vpes.by_key == {}, "the vPE went with its table"
    rig.send(vmapp(0))
    assert (rig.codes(), its.read(a.GITS_TYPER, 8) >> 41 & 3) == ([], 2)


# The frame


def test_registers_of_the_its() -> None:
    rig = Rig4()
    its = rig.machine.itss[0]
    reads = {
        "CTLR": (its.read(a.GITS_CTLR, 4), 1),
        "IIDR": (its.read(a.GITS_IIDR, 4), 0x43B),
        "TYPER, both halves": (its.read(a.GITS_TYPER, 4) | its.read(a.GITS_TYPER + 4, 4) << 32, its.typer),
        "PIDR2": (its.read(a.GITS_PIDR2, 4), 0x40),
        "types of the tables": ([its.read(a.GITS_BASER + 8 * n, 8) >> 56 & 7 for n in range(4)], [1, 4, 2, 0]),
        "a hole": (its.read(0x200, 8), 0),
    }
    for name, (got, want) in reads.items():
        assert got == want, name
    its.write(a.GITS_CTLR, 4, 0)
    assert its.read(a.GITS_CTLR, 4) == a.GITS_CTLR_QUIESCENT
    assert rig.codes() == []


@pytest.mark.parametrize("size", [1, 2, 16])
def test_widths_that_registers_do_not_have(size: int) -> None:
    rig = Rig4()
    its = rig.machine.itss[0]
    its.write(a.GITS_CTLR, size, 0)
    its.write(a.GITS_SGIR, 4, 0)
    assert (its.read(a.GITS_CTLR, size), its.enabled) == (0, True)
    rig.pes[0].redist.write(a.GICR_VPENDBASER, size, 0)
    assert rig.codes() == ["ACCESS_SIZE"] * 4


def test_halves_of_vpendbaser() -> None:
    rig = Rig4()
    rig.map()
    redist = rig.pes[0].redist
    redist.write(a.GICR_VPENDBASER, 4, 0)
    redist.write(a.GICR_VPENDBASER + 4, 4, 0x8C00_0000)
    assert rig.resident()
    redist.write(a.GICR_VPENDBASER + 4, 4, 0x4000_0000)
    assert (rig.resident(), rig.codes()) == (False, [])
    rig.msi()
    assert rig.rung == 1


def test_h66_unmapped_msis_are_reported() -> None:
    rig = Rig4(its=[ItsConfig(umsi=True)])
    its = rig.machine.itss[0]
    its.write(a.GITS_TRANSLATER, 4, 9, devid=5)
    its.write(a.GITS_TRANSLATER, 2, 0x7_0008, devid=5)
    assert its.read(a.GITS_UMSIR, 8) == 5 << 32 | 9
    assert its.read(a.GITS_STATUSR, 4) == a.STATUSR_UMSI | a.STATUSR_OVERFLOW
    its.write(a.GITS_STATUSR, 4, 0xFFFF_FFFF)
    assert (its.read(a.GITS_UMSIR, 8), its.read(a.GITS_STATUSR, 4)) == (0, 0)


def test_h67_tables_are_locked_while_enabled() -> None:
    rig = Rig4()
    its = rig.machine.itss[0]
    for offset in (a.GITS_BASER, a.GITS_CBASER):
        before = its.read(offset, 8)
        its.write(offset, 8, 0)
        assert its.read(offset, 8) == before
    assert rig.codes() == ["M-06", "M-06"]


def test_h68_the_queue_wraps() -> None:
    rig = Rig4()
    its = rig.machine.itss[0]
    for _ in range(10):
        rig.send(*[sync(0)] * 127)
    assert its.cost.syncs == 1270
    its.write(a.GITS_CWRITER, 8, 0x2000)
    before = its.cost.commands
    its.write(a.GITS_CWRITER, 8, 0x2020)
    assert its.cost.commands == before, "beyond the queue"


def test_h69_a_queue_may_stall() -> None:
    rig = Rig4(its=[ItsConfig(stalls=True, seis=True)])
    its = rig.machine.itss[0]
    rig.post(mapti(9, 0, 8192, 0), sync(0))
    at = its.read(a.GITS_CREADR, 8)
    assert at & 1
    assert its.errors[-1].serror
    its.write(a.GITS_CWRITER, 8, its.read(a.GITS_CWRITER, 8) | 1)
    assert its.read(a.GITS_CREADR, 8) == at, "still wrong"
    rig.memory.write(QUEUE + (at & ~1), 8, a.MAPTI)
    its.write(a.GITS_CWRITER, 8, its.read(a.GITS_CWRITER, 8) | 1)
    assert its.read(a.GITS_CREADR, 8) == its.read(a.GITS_CWRITER, 8)


@pytest.mark.parametrize("what", ["the queue", "a table"])
def test_memory_faults_stall(what: str) -> None:
    rig = Rig4()
    its = rig.machine.itss[0]
    its.write(a.GITS_CTLR, 4, 0)
    beyond = 1 << 40
    its.write(a.GITS_CBASER if what == "the queue" else a.GITS_BASER, 8, VALID | beyond)
    its.write(a.GITS_CWRITER, 8, 0)
    its.write(a.GITS_CBASER, 8, its.read(a.GITS_CBASER, 8))
    its.write(a.GITS_CTLR, 4, 1)
    rig.memory.write(QUEUE, 8, a.MAPD)
    its.write(a.GITS_CWRITER, 8, 32)
    assert its.read(a.GITS_CREADR, 8) == a.CREADR_STALLED
    its.msi(0, 0)
    assert its.cost.dropped == 1


def test_h73_m17_commands_for_vpes_that_are_not_mapped() -> None:
    rig = Rig4()
    for number, name in ((a.VSYNC, "VSYNC"), (a.VINVALL, "VINVALL"), (a.INVDB, "INVDB"), (a.VSGI, "VSGI")):
        assert rig.fail(of_vpe(number, 4)) == f"{name}_VPE_UNMAPPED"
    assert rig.fail(vmovp(4, 0)) == "VMOVP_VPE_UNMAPPED"
    assert rig.fail(vmapti(0, 0, 4, V1)) == "VMAPTI_VPE_UNMAPPED"
    assert rig.fail(vunmapp(4)) == "VMAPP_VPE_UNMAPPED"
    assert "SError possible" in rig.misuse.records[0].text
    assert "VSYNC at 0x60 of GITS0's queue: 0000000000000025 0000000400000000" in str(rig.misuse.records[0])
    assert rig.codes() == ["M-17"] * 7
    rig.sgir(4, 0)
    assert rig.codes() == ["M-29"]


def test_h78_m24_vmapti_twice_and_out_of_range() -> None:
    rig = Rig4()
    rig.map()
    rig.send(vmapti(0, 0, 0, V1 + 1))
    assert rig.codes() == ["M-11"]
    assert rig.fail(vmapti(0, 1, 0, 8191)) == "VMAPTI_VINTID_OOR"
    assert rig.fail(vmapti(0, 1, 0, 0x1_0000)) == "VMAPTI_VINTID_OOR"
    assert rig.codes() == ["M-24", "M-24"]
    rig.res()
    rig.msi()
    assert rig.take() == [V1]


def test_m21_doorbells_belong_to_one_vpe() -> None:
    rig = Rig4()
    rig.send(vmapp(0), vmapp(1, db=DB))
    assert rig.codes() == ["M-21"]
    rig.send(vmapp(2), vmapti(0, 0, 0, V1, 9100), vmapti(0, 1, 0, V1 + 1, 9100), vmapti(0, 2, 2, V1, 9100))
    assert rig.codes() == ["M-21"]
    rig.send(vmapti(0, 3, 0, V1 + 2, DB + 2))
    assert rig.codes() == ["M-21"]


# GICv4.0: a vPE is the address of its pending table


def resident40(rig: Rig4, vpeid: int, pending_last: int = 1, n: int = 0) -> None:
    redist = rig.pes[n].redist
    redist.write(a.GICR_VPROPBASER, 8, VCT + 0x1_0000 * vpeid | 15)
    redist.write(a.GICR_VPENDBASER, 8, VALID | pending_last << 61 | VPT + 0x1_0000 * vpeid)
    rig.machine.check()


def leave40(rig: Rig4, n: int = 0) -> int:
    redist = rig.pes[n].redist
    redist.write(a.GICR_VPENDBASER, 8, redist.read(a.GICR_VPENDBASER, 8) & ~VALID)
    rig.machine.check()
    return redist.read(a.GICR_VPENDBASER, 8) >> 61 & 1


@pytest.fixture
def old() -> Rig4:
    """GICv4.0; vPEs 0 and 1 are mapped to PE 0, with vLPI V1 for events 0 and 1 of device 0, doorbells 9100, 9101."""
    rig = Rig4(v4=V40)
    for vpeid in (0, 1):
        rig.vlpi(vpeid, V1, 0xA3)
        rig.lpi(9100 + vpeid, 0x81)
        rig.send(vmapp40(vpeid), vmapti(0, vpeid, vpeid, V1, 9100 + vpeid))
    return rig


def test_h70_the_resident_pending_table_decides(old: Rig4) -> None:
    resident40(old, 0)
    old.msi(0)
    old.msi(1)
    assert (old.take(), old.host(), old.codes()) == ([V1], [9101], [])
    assert leave40(old) == 0
    resident40(old, 1)
    assert old.take() == [V1]


def test_h71_individual_doorbells_do_not_ask_for_the_enable(old: Rig4) -> None:
    old.vlpi(0, V1, 0xA2)
    old.msi(0)
    assert old.host() == [9100]
    resident40(old, 0)
    assert old.take() == []


def test_h72_a_promised_empty_table_is_not_looked_at(old: Rig4) -> None:
    old.vlpi(0, V1 + 1, 0xA3)
    old.send(vmapti(0, 2, 0, V1 + 1))
    old.msi(0)
    resident40(old, 0, pending_last=0)
    assert (old.codes(), old.virq()) == (["M-05"], False)
    old.msi(2)
    assert old.virq()


def test_gicv40_residency_is_reported(old: Rig4) -> None:
    resident40(old, 0)
    old.msi(0)
    assert leave40(old) == 1
    resident40(old, 0, n=1)
    assert old.take(1) == [V1]
    resident40(old, 0)
    assert (old.codes(), old.resident(0)) == (["M-04"], False)


def test_gicv40_a_vpe_may_be_resident_before_it_is_mapped() -> None:
    rig = Rig4(v4=V40)
    rig.vlpi(0, V1, 0xA3)
    resident40(rig, 0)
    rig.send(vmapp40(0), vmapti(0, 0, 0, V1))
    rig.msi()
    assert rig.take() == [V1]
    rig.send(vunmapp(0))
    assert rig.resident()
    leave40(rig)
    assert (rig.machine.vpes.by_key, rig.codes()) == ({}, ["M-35"])


def test_gicv40_sgis_and_vpeids_do_not_exist(old: Rig4) -> None:
    redist = old.pes[0].redist
    assert redist.read(arch.GICR_TYPER, 8) & (a.GICR_TYPER_RVPEID | a.GICR_TYPER_VSGI | a.GICR_TYPER_VLPIS) == 2
    assert old.machine.itss[0].typer & (a.GITS_TYPER_VMAPP | a.GITS_TYPER_VSGI | a.GITS_TYPER_VIRTUAL) == 2
    redist.write(a.GICR_VSGIR, 4, 0)
    redist.write(arch.GICR_INVLPIR, 8, VALID | V1)
    assert (redist.read(a.GICR_VSGIPENDR, 4), old.codes()) == (0, [])


def test_gicv40_moves_its_doorbells_with_the_vpe(old: Rig4) -> None:
    old.send(vmovp(0, 1))
    old.msi(0)
    assert (old.host(0), old.host(1)) == ([], [9100])
    word = old.memory.load(PRIVATE, 8)
    assert (word >> 63, word >> 36 & 0xFFFF, word & 0xF_FFFF_FFFF) == (1, 1, VPT >> 16)


# Ownership of memory

OWNED = {
    "the device table": DEVICES,
    "an ITT": 0x0300_0000,
    "a private vPE table": PRIVATE,
    "the vPE configuration table": VPECT,
    "a pending table": VPT + 1024,
}


@pytest.mark.parametrize("address", OWNED.values(), ids=OWNED)
def test_m14_the_gic_owns_its_tables(address: int) -> None:
    rig = Rig4()
    rig.map()
    before = rig.memory.read_bytes(address, 64) if address < VPT or address >= 0x0300_0000 else bytes(64)
    rig.memory.write(address, 4, 0x1234_5678)
    rig.memory.write(address, 1, 0)
    assert rig.codes() == ["M-14", "M-14"]
    assert rig.memory.load_bytes(address, 64) == before
    rig.msi()
    rig.res()
    assert rig.take() == [V1]


def test_m14_a_table_that_nothing_has_used_may_be_zeroed() -> None:
    rig = Rig4()
    rig.memory.write_bytes(VPECT, bytes(0x1000))
    rig.memory.write_bytes(PRIVATE, bytes(0x1000))
    assert rig.codes() == []
    rig.memory.write(VPECT, 8, 1)
    assert rig.codes() == ["M-14"]


def test_events_of_a_device_are_found_in_its_itt() -> None:
    rig = Rig4()
    rig.map()
    its = rig.machine.itss[0]
    for event in (3, 17, 31):
        rig.send(mapti(0, event, 8300 + event, 0))
    device = its.maps.devices[0]
    device.ites.clear()
    its.maps._cached = 0
    assert [event for event, _ in its.maps.events(device)] == [0, 3, 17, 31]
    rig.send(of_event(a.DISCARD, 0, 17))
    assert [event for event, _ in its.maps.events(device)] == [0, 3, 31]


def test_gicv40_a_narrower_mapping_loses_what_is_beyond(old: Rig4) -> None:
    old.send(vmapti(0, 9, 0, 0x8000))
    old.msi(9)
    old.msi(0)
    old.send(vmapp40(0, bits=15))
    assert old.machine.vpes.by_key[VPT].pending == {V1}
    resident40(old, 0)
    assert old.take() == [V1]


def test_a_vpe_that_is_leaving_may_be_unmapped() -> None:
    rig = Rig4(v4=V4Config(t_settle=5))
    rig.send(vmapp(0))
    rig.res()
    rig.nres(1, 0)
    rig.send(vunmapp(0))
    assert (rig.codes(), rig.vpendbaser() >> 60 & 1, rig.machine.vpes.by_key) == ([], 0, {})
