"""LPIs: EnableLPIs, and pending tables read and saved.

Source: IHI 0069H, "Locality-specific peripheral interrupts"; KVM: its_sync_lpi_pending_table(),
vgic_v3_lpi_sync_pending_status(), vgic_flush_pending_lpis(), vgic_v3_save_pending_tables().
"""

import errno

import pytest

from tests.unit.vgic.its.rig import (
    DISABLED,
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    NOWHERE,
    PENDING,
    PTZ,
    RAM,
    ItsRig,
    inv,
    mapc,
    mapti,
)
from tests.unit.vgic.v3.lpi_rig import LPI, OTHER, latched, rig_with_lpis
from vgic import CTRL_SAVE_PENDING_TABLES, DeviceType, Group, Vgic, VgicError


@pytest.fixture
def rig() -> ItsRig:
    return rig_with_lpis()


# -- GICR_CTLR.EnableLPIs and the pending table ---------------------------------------------------------


def test_enabling_takes_the_pending_table(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_pending_bit(LPI, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert rig.lpi(LPI).pending_latch
    assert rig.listed(1) == [LPI]
    assert rig.pending_bit(LPI, 1), "bits stay in memory"
    assert rig.memory.writes == []


def test_enabling_overwrites_latches(rig: ItsRig) -> None:
    latched(rig)
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    assert rig.lpi(LPI).pending_latch, "it was not listed: disabling keeps it"
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert not rig.lpi(LPI).pending_latch


def test_ptz_reads_nothing_and_clears_nothing(rig: ItsRig) -> None:
    latched(rig)
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PENDBASER, PTZ | PENDING, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert rig.lpi(LPI).pending_latch
    assert not rig.gicr(GICR_PENDBASER, 1) & PTZ, "it reads as zero"


def test_the_pending_table_is_read_for_lpis_of_this_vcpu(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_pending_bit(OTHER, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert not rig.lpi(OTHER).pending_latch


def test_neighbours_of_one_byte(rig: ItsRig) -> None:
    """A byte is read once; the LPIs it is about may be any of its eight, and another vCPU's between them."""
    for n in range(8):
        rig.do(mapti(2, 100 + n, 8208 + n, 0 if n == 3 else 3))
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    for n in (0, 3, 5, 7):
        rig.set_pending_bit(8208 + n, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert [n for n in range(8) if rig.lpi(8208 + n).pending_latch] == [0, 5, 7]


def test_the_first_unreadable_byte_ends_the_walk(rig: ItsRig) -> None:
    """A pending table whose second 4 KiB page is the last of RAM: 1024 bytes for INTIDs 8192 on, and then nothing."""
    rig.memory.ram.add(NOWHERE, 1025 + 8)  # bytes for INTIDs below 8264
    rig.do(mapti(2, 1, 8263, 3), mapti(2, 2, 8264, 3), mapti(2, 3, 8300, 3))
    for intid in (8263, 8264, 8300):
        rig.lpi(intid).pending_latch = True
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PENDBASER, NOWHERE, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert [rig.lpi(intid).pending_latch for intid in (8263, 8264, 8300)] == [False, True, True]


def test_disabling_flushes_the_list(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.msi(2, 21)
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    assert (rig.listed(1), rig.lpi(LPI).pending_latch) == ([], False)
    assert (rig.listed(0), rig.lpi(OTHER).pending_latch) == ([OTHER], True), "the other vCPU's stays"
    assert rig.cached() == set()
    assert rig.memory.writes == [], "nothing is saved"
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert rig.taken(1) == 1023
    rig.check()


def test_disabling_keeps_other_interrupts(rig: ItsRig) -> None:
    spi = rig.dist.spis[0]
    spi.enabled, spi.target = True, rig.vcpus[1]
    rig.vm.inject(32)
    rig.msi(2, 20)
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    assert rig.listed(1) == [32]


def test_writes_of_the_same_state_do_nothing(rig: ItsRig) -> None:
    rig.set_pending_bit(LPI, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert not rig.lpi(LPI).pending_latch
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.lpi(LPI).pending_latch = True
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    assert rig.lpi(LPI).pending_latch


def test_without_an_its_there_are_no_lpis() -> None:
    vm = Vgic.gicv3(1, threads=False)
    redist = vm.vcpus[0].redist
    assert redist is not None
    redist.write(vm.vcpus[0], GICR_CTLR, 4, 1)
    assert not redist.read(vm.vcpus[0], GICR_CTLR, 4) & 1


@pytest.mark.parametrize("register", [GICR_PROPBASER, GICR_PENDBASER], ids=["PROPBASER", "PENDBASER"])
def test_table_registers_are_locked_while_enabled(register: int, rig: ItsRig) -> None:
    before = rig.gicr(register, 1)
    rig.set_gicr(register, 0, 1)
    assert rig.gicr(register, 1) == before
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(register, 0, 1)
    assert rig.gicr(register, 1) != before, "by this redistributor's state alone"


def test_propbaser_through_another_redistributor(rig: ItsRig) -> None:
    """Accepted while one has its LPIs disabled; later reads use the new table and the new limit."""
    rig.set_gicr(GICR_CTLR, 0, 2, size=4)
    rig.set_gicr(GICR_PROPBASER, RAM + 0x5_0000 | 12, 2)
    rig.do(inv(2, 20), mapti(2, 0, 8192, 3))
    assert not rig.lpi(LPI).enabled
    assert rig.events().keys() == {(2, 20), (2, 21)}, "mapped ones stay, above the limit or not"


# -- a new LPI and its pending bit --------------------------------------------------------------------


@pytest.mark.parametrize("enabled", [True, False], ids=["LPIs enabled", "disabled"])
@pytest.mark.parametrize("ptz", [0, PTZ], ids=["", "PTZ"])
def test_a_new_lpi_takes_its_pending_bit(ptz: int, enabled: bool, rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PENDBASER, ptz | PENDING + 0x1_0000, 1)
    rig.set_gicr(GICR_CTLR, enabled, 1, size=4)
    rig.configure(8300, ENABLED)
    rig.set_pending_bit(8300, 1)
    rig.set_pending_bit(8301, 1)
    rig.do(mapti(2, 0, 8300, 3))
    assert rig.lpi(8300).pending_latch
    assert rig.listed(1) == [8300]
    assert (rig.pending_bit(8300, 1), rig.pending_bit(8301, 1)) == (False, True), "its own bit is cleared"


def test_a_new_lpi_without_a_target_leaves_it(rig: ItsRig) -> None:
    rig.set_pending_bit(8300, 1)
    rig.do(mapti(2, 0, 8300, 17), mapc(17, 1))
    assert rig.pending_bit(8300, 1)
    assert not rig.lpi(8300).pending_latch


def test_a_pending_bit_that_cannot_be_cleared_fails_the_mapping(rig: ItsRig) -> None:
    rig.configure(8300, DISABLED)
    rig.set_pending_bit(8300, 1)
    rig.memory.read_only.add(PENDING + 0x1_0000)
    rig.do(mapti(2, 0, 8300, 3))
    assert (2, 0) not in rig.events()
    assert 8300 not in rig.lpis()
    rig.do(mapti(2, 0, 8301, 3))
    assert (2, 0) in rig.events(), "a clear bit needs no write"
    rig.check()


# -- SAVE_PENDING_TABLES ------------------------------------------------------------------------------


def test_saving_brings_bits_in_line(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.set_pending_bit(OTHER, 0)  # stale
    rig.set_pending_bit(8400, 1)  # nobody's
    assert rig.save_pending() == 0
    assert (rig.pending_bit(LPI, 1), rig.pending_bit(OTHER, 0), rig.pending_bit(8400, 1)) == (True, False, True)
    assert rig.lpi(LPI).pending_latch
    rig.memory.writes.clear()
    assert rig.save_pending() == 0
    assert rig.memory.writes == [], "written only when different"


def test_saving_skips_lpis_without_a_target(rig: ItsRig) -> None:
    rig.do(mapti(2, 0, 8300, 17))
    rig.lpi(8300).pending_latch = True
    assert rig.save_pending() == 0
    assert rig.memory.writes == []


def test_saving_folds_list_registers(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.vcpus[1].enter()
    assert not rig.lpi(LPI).pending_latch, "loaded"
    assert rig.save_pending() == errno.EBUSY
    rig.vcpus[1].exit()
    assert rig.save_pending() == 0
    assert rig.pending_bit(LPI, 1)


@pytest.mark.parametrize("how", ["not RAM", "read only"])
def test_saving_to_what_cannot_be_written(how: str, rig: ItsRig) -> None:
    rig.msi(2, 20)
    if how == "read only":
        rig.memory.read_only.add(PENDING + 0x1_0000)
    else:
        rig.vcpus[1].pendbaser = NOWHERE
    assert rig.save_pending() == errno.EFAULT


def test_saving_needs_an_initialised_gicv3() -> None:
    vm = Vgic(threads=False)
    vm.create_vcpu()
    gic = vm.create_device(DeviceType.VGIC_V3)
    with pytest.raises(VgicError) as refused:
        gic.set_attr(Group.CTRL, CTRL_SAVE_PENDING_TABLES)
    assert refused.value.errno == errno.ENXIO
