"""Physical LPIs through an ITS: GICv3's commands, caching, and the registers of LPIs.  Scenarios H01 to H12."""

import pytest

from hw import CacheMode, GicVersion, ItsConfig, PhysConfig, V4Config, arch
from hw import arch4 as a
from tests.unit.hw.rig4 import (
    CONFIG,
    PENDING,
    Rig4,
    invall,
    mapc,
    mapd,
    mapi,
    mapti,
    movall,
    movi,
    of_event,
    sync,
)


@pytest.fixture(params=["GICv3", "GICv4.1"])
def rig(request: pytest.FixtureRequest) -> Rig4:
    """LPI 8193, priority 0xA0 and enabled, is event 0 of device 0, in the collection of PE 0."""
    it = Rig4(v3=request.param == "GICv3")
    it.lpi(8193, 0xA1)
    it.send(mapti(0, 0, 8193, 0))
    return it


def pending(rig: Rig4, n: int) -> list[int]:
    return sorted(rig.pes[n].redist.lpis.pending)


def test_h01_an_lpi_goes_to_the_redistributor_of_its_collection(rig: Rig4) -> None:
    rig.send(of_event(a.INT, 0, 0))
    assert (rig.host(0), rig.host(1)) == ([8193], [])
    rig.msi(0)
    assert rig.host(0) == [8193]


def test_h02_configuration_is_cached_until_inv(rig: Rig4) -> None:
    rig.lpi(8193, 0xA0)
    rig.msi(0)
    assert rig.host() == []
    rig.lpi(8193, 0xA1)
    assert rig.host() == []
    rig.send(of_event(a.INV, 0, 0), sync(0))
    assert rig.host() == [8193]


@pytest.mark.parametrize("command", [of_event(a.INV, 0, 0), invall(0)], ids=["INV", "INVALL"])
def test_invalidations_reach_the_redistributor(rig: Rig4, command: tuple[int, int, int, int]) -> None:
    rig.lpi(8193, 0xA0)
    rig.msi(0)
    assert rig.host() == []
    rig.lpi(8193, 0xA1)
    rig.send(command)
    assert rig.host() == [8193]


def test_without_caches_no_invalidation_is_needed() -> None:
    rig = Rig4(phys=PhysConfig(cache=CacheMode.NONE))
    rig.lpi(8193, 0xA0)
    rig.send(mapti(0, 0, 8193, 0))
    rig.msi(0)
    assert rig.host() == []
    rig.lpi(8193, 0xA1)
    assert rig.host() == [8193]


def test_h03_an_lpi_that_is_pending_collapses(rig: Rig4) -> None:
    for _ in range(3):
        rig.msi(0)
    assert rig.host() == [8193]


def test_h04_movi_takes_the_pending_state_along(rig: Rig4) -> None:
    rig.msi(0)
    rig.send(movi(0, 0, 1))
    assert (rig.host(0), rig.host(1)) == ([], [8193])
    rig.msi(0)
    assert (rig.host(0), rig.host(1)) == ([], [8193])


def test_h05_discard_forgets_both(rig: Rig4) -> None:
    rig.msi(0)
    rig.send(of_event(a.DISCARD, 0, 0))
    assert rig.host() == []
    assert rig.fail(of_event(a.INT, 0, 0)) == "INT_UNMAPPED_INTERRUPT"
    its = rig.machine.itss[0]
    assert its.errors[-1].number == 0x010307
    rig.msi(0)
    assert its.cost.dropped == 1


def test_h06_clear_keeps_the_mapping(rig: Rig4) -> None:
    rig.msi(0)
    rig.send(of_event(a.CLEAR, 0, 0))
    assert rig.host() == []
    rig.msi(0)
    assert rig.host() == [8193]


def test_h07_movall_takes_everything_pending_along(rig: Rig4) -> None:
    for event in range(1, 5):
        rig.lpi(8193 + event, 0xA1)
        rig.send(mapti(0, event, 8193 + event, 0))
        rig.msi(event)
    rig.send(movall(0, 1))
    assert (rig.host(0), rig.host(1)) == ([], [8194, 8195, 8196, 8197])


def test_h08_table_registers_are_locked_while_lpis_are_enabled(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    before = redist.read(arch.GICR_PROPBASER, 8)
    redist.write(arch.GICR_PROPBASER, 8, 0)
    redist.write(arch.GICR_PENDBASER, 8, 0)
    assert redist.read(arch.GICR_PROPBASER, 8) == before
    assert rig.misuse.records[0].cause == "GICR0+0x70 = 0x0"
    assert rig.codes() == ["M-06", "M-06"]


def test_h09_lpis_that_cannot_be_disabled_stay_enabled() -> None:
    rig = Rig4(phys=PhysConfig(ces=False))
    redist = rig.pes[0].redist
    redist.write(arch.GICR_CTLR, 4, 0)
    assert redist.read(arch.GICR_CTLR, 4) == arch.GICR_CTLR_IR | arch.GICR_CTLR_ENABLE_LPIS


def test_h10_disabling_leaves_the_pending_table_up_to_date(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    rig.msi(0)
    redist.write(arch.GICR_CTLR, 4, 0)
    assert redist.read(arch.GICR_CTLR, 4) & (arch.GICR_CTLR_ENABLE_LPIS | arch.GICR_CTLR_RWP) == 0
    assert rig.memory.read(PENDING + 8193 // 8, 1) == 1 << 8193 % 8


def test_h11_a_promised_zero_table_is_looked_at(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    rig.msi(0)
    redist.write(arch.GICR_CTLR, 4, 0)
    redist.write(arch.GICR_PENDBASER, 8, PENDING | arch.PENDBASER_PTZ)
    redist.write(arch.GICR_CTLR, 4, 1)
    assert "loses 1 pending LPIs" in str(rig.misuse.records[0])
    assert (rig.codes(), rig.host()) == (["M-05"], [])


def test_h12_registers_of_direct_lpis(rig: Rig4) -> None:
    redist = rig.pes[0].redist
    redist.write(arch.GICR_SETLPIR, 8, 8200)
    assert pending(rig, 0) == [8200]
    redist.write(arch.GICR_CLRLPIR, 8, 8200)
    assert (pending(rig, 0), redist.read(arch.GICR_SYNCR, 4)) == ([], 0)


def test_without_direct_lpis_only_invalidation_remains() -> None:
    rig = Rig4(phys=PhysConfig(direct_lpi=False))
    redist = rig.pes[0].redist
    redist.write(arch.GICR_SETLPIR, 8, 8200)
    assert pending(rig, 0) == []
    assert redist.read(arch.GICR_TYPER, 8) & arch.GICR_TYPER_DIRECT_LPI == 0


def test_m16_redistributors_of_a_group_share_the_configuration_table(rig: Rig4) -> None:
    redist = rig.pes[1].redist
    redist.write(arch.GICR_CTLR, 4, 0)
    redist.write(arch.GICR_PROPBASER, 8, CONFIG + 0x1_0000 | 15)
    redist.write(arch.GICR_CTLR, 4, 1)
    rig.machine.check()
    assert rig.codes() == ["M-16"]


def test_shareability_reads_as_zero_where_tables_are_not_coherent() -> None:
    rig = Rig4(phys=PhysConfig(coherent=False), its=[ItsConfig(coherent=False)])
    redist, its = rig.pes[0].redist, rig.machine.itss[0]
    redist.write(arch.GICR_CTLR, 4, 0)
    redist.write(arch.GICR_PROPBASER, 8, CONFIG | 0xC00 | 15)
    its.write(a.GITS_CTLR, 4, 0)
    its.write(a.GITS_CBASER, 8, a.VALID | 0xC00)
    assert redist.read(arch.GICR_PROPBASER, 8) == CONFIG | 15
    assert its.read(a.GITS_CBASER, 8) == a.VALID


ERRORS = {
    "a device beyond the table": (mapd(0x1_0000), "MAPD_DEVICE_OOR", 0x010801),
    "more events than EventIDs": (mapd(3, 17), "MAPD_ITTSIZE_OOR", 0x010802),
    "a collection to no redistributor": (mapc(3, 2), "MAPC_RD_OOR", 0x010902),
    "MAPTI of no device": (mapti(9, 0, 8192, 0), "MAPTI_DEVICE_UNMAPPED", 0x010A04),
    "MAPTI beyond the ITT": (mapti(0, 32, 8192, 0), "MAPTI_EVENT_OOR", 0x010A05),
    "MAPTI to an SPI": (mapti(0, 1, 40, 0), "MAPTI_INTID_OOR", 0x010A06),
    "MAPTI beyond the LPIs": (mapti(0, 1, 0x1_0000, 0), "MAPTI_INTID_OOR", 0x010A06),
    "MAPI to what is no LPI": (mapi(0, 1, 0), "MAPTI_INTID_OOR", 0x010A06),
    "MOVI of nothing": (movi(0, 1, 0), "MOVI_UNMAPPED_INTERRUPT", 0x010107),
    "MOVI to nowhere": (movi(0, 0, 5), "MOVI_UNMAPPED_COLLECTION", 0x010109),
    "INT of nothing": (of_event(a.INT, 0, 1), "INT_UNMAPPED_INTERRUPT", 0x010307),
    "CLEAR of nothing": (of_event(a.CLEAR, 0, 1), "CLEAR_UNMAPPED_INTERRUPT", 0x010507),
    "INV of nothing": (of_event(a.INV, 0, 1), "INV_UNMAPPED_INTERRUPT", 0x010C07),
    "DISCARD of nothing": (of_event(a.DISCARD, 4, 1), "DISCARD_UNMAPPED_INTERRUPT", 0x010F07),
    "INVALL of nowhere": (invall(5), "INVALL_UNMAPPED_COLLECTION", 0x010D09),
    "MOVALL to nowhere": (movall(0, 2), "MOVALL_RD_OOR", 0x010E01),
    "SYNC with nothing": (sync(7), "SYNC_RD_OOR", 0),
    "no such command": ((0x7F, 0, 0, 0), "UNKNOWN_COMMAND", 0),
}


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS)
def test_command_errors_are_skipped(rig: Rig4, row: tuple[tuple[int, int, int, int], str, int]) -> None:
    command, name, number = row
    its = rig.machine.itss[0]
    before = its.maps.collections.copy(), len(its.maps.devices)
    assert rig.fail(command) == name
    assert its.errors[-1].number == number
    assert (its.maps.collections, len(its.maps.devices)) == before
    assert its.read(a.GITS_CREADR, 8) == its.read(a.GITS_CWRITER, 8), "the queue stopped"
    assert rig.codes() == []


def test_v4_commands_do_not_exist_on_gicv3() -> None:
    rig = Rig4(v3=True)
    for number in (a.VMAPP, a.VMAPTI, a.VMOVP, a.VSYNC, a.INVDB, a.VSGI):
        assert rig.fail((number, 0, 0, 0)) == "UNKNOWN_COMMAND"
    old = Rig4(v4=V4Config(version=GicVersion.V4_0))
    for number in (a.INVDB, a.VSGI):
        assert old.fail((number, 0, 0, 0)) == "UNKNOWN_COMMAND"


def test_m10_m11_mapping_what_is_mapped(rig: Rig4) -> None:
    rig.send(mapti(0, 0, 8300, 1))
    assert rig.codes() == ["M-11"]
    rig.msi(0)
    rig.send(mapd(0))
    assert (rig.codes(), rig.host()) == (["M-10"], [])
    assert rig.fail(of_event(a.INT, 0, 0)) == "INT_UNMAPPED_INTERRUPT"
    rig.send(mapd(0, valid=False))
    assert rig.fail(mapti(0, 0, 8193, 0)) == "MAPTI_DEVICE_UNMAPPED"
    assert rig.codes() == []


def test_tables_survive_in_memory(rig: Rig4) -> None:
    """Registers saved and restored, as around a suspend: translations are as they were."""
    its = rig.machine.itss[0]
    saved = [its.read(a.GITS_BASER + 8 * n, 8) for n in range(3)]
    its.write(a.GITS_CTLR, 4, 0)
    for n in range(3):
        its.write(a.GITS_BASER + 8 * n, 8, 0)
    assert its.maps.devices == {}
    for n, value in enumerate(saved):
        its.write(a.GITS_BASER + 8 * n, 8, value)
    its.write(a.GITS_CTLR, 4, 1)
    rig.msi(0)
    assert (rig.host(), rig.codes()) == ([8193], [])


def test_collections_held_in_the_its_need_no_table() -> None:
    rig = Rig4(v3=True, its=[ItsConfig(hcc=8)])
    its = rig.machine.itss[0]
    its.write(a.GITS_CTLR, 4, 0)
    its.write(a.GITS_BASER + 8, 8, 0)
    its.write(a.GITS_CTLR, 4, 1)
    rig.lpi(8193, 0xA1)
    rig.send(mapc(7, 1), mapti(0, 0, 8193, 7))
    rig.msi(0)
    assert rig.host(1) == [8193]
    assert rig.fail(mapc(8, 1)) == "MAPC_COLLECTION_OOR"
    rig.send(mapc(7, 0, valid=False))
    rig.msi(0)
    assert its.cost.dropped == 1


@pytest.mark.parametrize("v3", [True, False], ids=["128 KiB apart", "256 KiB apart"])
def test_rdbase_may_be_an_address(v3: bool) -> None:
    rig = Rig4(v3=v3, its=[ItsConfig(pta=True)])
    rig.lpi(8193, 0xA1)
    rig.send(mapti(0, 0, 8193, 1))
    rig.msi(0)
    assert (rig.host(0), rig.host(1)) == ([], [8193])
    assert rig.fail(mapc(3, 0x2F11)) == "MAPC_RD_OOR"
    assert rig.fail(mapc(3, 1)) == "MAPC_RD_OOR"
