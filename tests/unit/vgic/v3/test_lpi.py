"""LPIs: configuration and pending tables, EnableLPIs, references, and the way through a list register.

Source: IHI 0069H, "Locality-specific peripheral interrupts"; KVM: update_lpi_config(), its_sync_lpi_pending_table(),
vgic_v3_lpi_sync_pending_status(), vgic_flush_pending_lpis(), vgic_v3_save_pending_tables().
"""

import errno
from typing import Final

import pytest

from tests.unit.vgic.its.rig import (
    CONFIG,
    CTLR,
    DISABLED,
    ENABLED,
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    NOWHERE,
    PENDING,
    PTZ,
    RAM,
    Command,
    ItsRig,
    clear,
    discard,
    inv,
    invall,
    mapc,
    mapd,
    mapti,
    movall,
    movi,
    raise_event,
)
from tests.unit.vgic.rig import acknowledge, end
from vgic import CTRL_SAVE_PENDING_TABLES, DeviceType, Group, Vgic, VgicError

LPI: Final = 8195
OTHER: Final = 8200
LOW: Final = 0xFFFF_FFFF


@pytest.fixture
def rig() -> ItsRig:
    """LPI in collection 3 on vCPU 1, OTHER in collection 0 on vCPU 0; both enabled."""
    rig = ItsRig(3)
    rig.configure(LPI, ENABLED)
    rig.configure(OTHER, ENABLED)
    rig.do(mapc(3, 1), mapc(0, 0), mapd(2), mapti(2, 20, LPI, 3), mapti(2, 21, OTHER, 0))
    rig.memory.writes.clear()
    rig.kicks.clear()
    return rig


def latched(rig: ItsRig, of: int = 1) -> None:
    """An LPI that is pending and not queued: disabled when it came."""
    rig.configure(LPI, DISABLED)
    rig.do(inv(2, 20), raise_event(2, 20))
    assert rig.listed(of) == []


# -- the configuration byte -----------------------------------------------------------------------

BYTES: Final = {
    "disabled": (0xA0, False, 0xA0),
    "enabled": (0xA1, True, 0xA0),
    "bit 1 says nothing": (0xA3, True, 0xA0),
    "six bits of priority": (0xFF, True, 0xFC),
    "zero": (0, False, 0),
}


@pytest.mark.parametrize(("byte", "enabled", "priority"), BYTES.values(), ids=BYTES)
def test_configuration_byte(byte: int, enabled: bool, priority: int, rig: ItsRig) -> None:
    rig.configure(LPI, byte)
    rig.do(inv(2, 20))
    irq = rig.lpi(LPI)
    assert (irq.enabled, irq.priority, irq.group, irq.level) == (enabled, priority, 1, False)


UNREAD: Final[dict[str, Command]] = {
    "CLEAR": clear(2, 20),
    "INT": raise_event(2, 20),
    "MAPC": mapc(3, 2),
    "MOVI": movi(2, 20, 0),
    "MOVALL": movall(1, 0),
    "INVALL of another vCPU": invall(0),
    "INV of another": inv(2, 21),
}


@pytest.mark.parametrize("command", UNREAD.values(), ids=UNREAD)
def test_commands_that_do_not_read_it(command: Command, rig: ItsRig) -> None:
    rig.configure(LPI, 0x40)
    rig.do(command)
    assert (rig.lpi(LPI).enabled, rig.lpi(LPI).priority) == (True, 0xA0)


def test_nothing_but_asking_reads_it(rig: ItsRig) -> None:
    rig.configure(LPI, 0x40)
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    for n in range(3):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
    rig.set_gicr(GICR_PROPBASER, CONFIG | 14)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    rig.msi(2, 20)
    assert rig.taken(1) == LPI
    assert rig.lpi(LPI).priority == 0xA0


# -- GICR_INVLPIR, GICR_INVALLR ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 8])
def test_invlpir_whatever_the_target(size: int, rig: ItsRig) -> None:
    rig.configure(LPI, 0x41)
    rig.set_gicr(GICR_INVLPIR, LPI, 2, size)
    assert rig.lpi(LPI).priority == 0x40


@pytest.mark.parametrize("size", [4, 8])
def test_invallr_of_its_own(size: int, rig: ItsRig) -> None:
    rig.configure(LPI, 0x41)
    rig.configure(OTHER, 0x41)
    rig.set_gicr(GICR_INVALLR, 0, 0, size)
    assert (rig.lpi(LPI).priority, rig.lpi(OTHER).priority) == (0xA0, 0x40)


@pytest.mark.parametrize("register", [GICR_INVLPIR, GICR_INVALLR], ids=["INVLPIR", "INVALLR"])
def test_upper_half_does_nothing(register: int, rig: ItsRig) -> None:
    rig.configure(LPI, 0x41)
    rig.set_gicr(register + 4, LPI, 1, 4)
    assert rig.lpi(LPI).priority == 0xA0
    assert rig.gicr(register, 1) == 0


def test_v_and_vpeid_are_ignored(rig: ItsRig) -> None:
    rig.configure(LPI, 0x41)
    rig.set_gicr(GICR_INVLPIR, 0xFFFF_FFFF << 32 | LPI, 1)
    assert rig.lpi(LPI).priority == 0x40


@pytest.mark.parametrize("register", [GICR_INVLPIR, GICR_INVALLR], ids=["INVLPIR", "INVALLR"])
def test_invalidation_needs_lpis_enabled_here(register: int, rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.configure(LPI, 0x41)
    rig.set_gicr(register, LPI, 1)
    assert rig.lpi(LPI).priority == 0xA0


@pytest.mark.parametrize("intid", [0, 32, 1023, 8191, 8192, 0xFFFF_FFFF])
def test_invlpir_of_no_lpi(intid: int, rig: ItsRig) -> None:
    before = rig.frozen()
    rig.set_gicr(GICR_INVLPIR, intid, 1)
    assert rig.frozen() == before


def test_nothing_is_ever_in_progress(rig: ItsRig) -> None:
    assert rig.gicr(0xC0, size=4) == 0


@pytest.mark.parametrize("asking", ["INV", "INVALL", "INVLPIR", "INVALLR"])
def test_enabling_delivers_what_was_latched(asking: str, rig: ItsRig) -> None:
    latched(rig)
    rig.configure(LPI, ENABLED)
    if asking == "INVLPIR":
        rig.set_gicr(GICR_INVLPIR, LPI, 0)
    elif asking == "INVALLR":
        rig.set_gicr(GICR_INVALLR, 0, 1)
    else:
        rig.do(inv(2, 20) if asking == "INV" else invall(3))
    assert rig.listed(1) == [LPI]
    assert rig.kicks == [1]
    assert rig.taken(1) == LPI


def test_disabling_a_queued_lpi_leaves_it_listed_until_the_next_exit(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.configure(LPI, DISABLED)
    rig.do(inv(2, 20))
    assert rig.listed(1) == [LPI]
    assert rig.taken(1) == 1023
    assert rig.listed(1) == []
    assert rig.lpi(LPI).pending_latch
    rig.check()


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


# -- delivery ---------------------------------------------------------------------------------------


def test_twice_before_delivery_is_once(rig: ItsRig) -> None:
    rig.do(raise_event(2, 20), raise_event(2, 20))
    assert (rig.taken(1), rig.taken(1)) == (LPI, 1023)


def test_latched_while_the_distributor_is_off(rig: ItsRig) -> None:
    rig.dist.enabled = False
    assert rig.msi(2, 20) == 1
    rig.dist.enabled = True
    assert rig.listed(1) == [], "the enable alone queues nothing"
    rig.do(inv(2, 20))
    assert rig.taken(1) == LPI


def test_active_between_acknowledge_and_end(rig: ItsRig) -> None:
    """Not visible in any register, but the list register says so, and the next one waits."""
    vcpu = rig.vcpus[1]
    rig.msi(2, 20)
    vcpu.enter()
    assert acknowledge(vcpu) == LPI
    vcpu.exit()
    assert rig.lpi(LPI).active
    assert rig.listed(1) == [LPI]
    rig.msi(2, 20)
    vcpu.enter()
    assert acknowledge(vcpu) == 1023
    end(vcpu, LPI)
    vcpu.exit()
    assert rig.taken(1) == LPI
    assert not rig.lpi(LPI).active
    rig.check()


def test_active_it_stays_where_it_is_whatever_target_it_is_given(rig: ItsRig) -> None:
    vcpu = rig.vcpus[1]
    rig.msi(2, 20)
    vcpu.enter()
    assert acknowledge(vcpu) == LPI
    vcpu.exit()
    rig.do(movi(2, 20, 0))
    assert rig.msi(2, 20) == 1
    assert (rig.listed(0), rig.listed(1)) == ([], [LPI])
    vcpu.enter()
    end(vcpu, LPI)
    vcpu.exit()
    assert (rig.listed(0), rig.listed(1)) == ([LPI], [])
    assert rig.taken(0) == LPI


def test_active_across_disabling(rig: ItsRig) -> None:
    vcpu = rig.vcpus[1]
    rig.msi(2, 20)
    vcpu.enter()
    assert acknowledge(vcpu) == LPI
    vcpu.exit()
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    assert (rig.lpi(LPI).active, rig.listed(1)) == (True, [])
    rig.check()


def test_clear_does_not_reach_a_list_register(rig: ItsRig) -> None:
    vcpu = rig.vcpus[1]
    rig.msi(2, 20)
    vcpu.enter()
    rig.do(clear(2, 20))
    vcpu.exit()
    assert rig.lpi(LPI).pending_latch, "set again by the fold"


# -- retargeting ------------------------------------------------------------------------------------

RETARGET: Final[dict[str, Command]] = {"MAPC": mapc(3, 2), "MOVI": movi(2, 20, 5), "MOVALL": movall(1, 2)}


@pytest.mark.parametrize("command", RETARGET.values(), ids=RETARGET)
def test_queued_it_moves_when_its_old_vcpu_leaves_the_guest(command: Command, rig: ItsRig) -> None:
    rig.do(mapc(5, 2))
    rig.msi(2, 20)
    rig.do(command)
    assert (rig.listed(1), rig.listed(2)) == ([LPI], [])
    rig.kicks.clear()
    assert rig.taken(1) == 1023, "not loaded where it is"
    assert (rig.listed(1), rig.listed(2), rig.kicks) == ([], [LPI], [2])
    assert rig.taken(2) == LPI
    rig.check()


def test_becoming_targeted_does_not_queue(rig: ItsRig) -> None:
    """kvm-unit-tests send INVALL after such a MAPC."""
    rig.configure(8300, ENABLED)
    rig.do(mapti(2, 0, 8300, 17))
    rig.lpi(8300).pending_latch = True
    rig.do(mapc(17, 1))
    assert rig.listed(1) == []
    rig.do(invall(17))
    assert rig.taken(1) == 8300


# -- references -------------------------------------------------------------------------------------


def test_unmapped_while_queued_it_is_still_delivered(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.do(mapd(2, valid=False))
    assert rig.lpis() == [LPI]
    assert rig.lpi(LPI).refs == 1
    assert rig.taken(1) == LPI
    assert rig.lpis() == []


def test_unmapped_while_not_queued_its_pending_state_is_lost(rig: ItsRig) -> None:
    latched(rig)
    rig.do(discard(2, 20), mapti(2, 20, LPI, 3))
    assert not rig.lpi(LPI).pending_latch


def test_mapped_again_while_queued_it_is_the_old_one(rig: ItsRig) -> None:
    rig.msi(2, 20)
    old = rig.lpi(LPI)
    rig.configure(LPI, DISABLED)
    rig.do(discard(2, 20), mapti(2, 0, LPI, 0))
    assert rig.lpi(LPI) is old
    assert (rig.target(LPI), old.enabled, old.pending_latch) == (1, True, True)
    rig.check()


def test_unmapped_in_a_list_register(rig: ItsRig) -> None:
    vcpu = rig.vcpus[1]
    rig.msi(2, 20)
    vcpu.enter()
    assert acknowledge(vcpu) == LPI
    rig.do(discard(2, 20))
    assert rig.lpis() == [LPI, OTHER]
    end(vcpu, LPI)
    vcpu.exit()
    assert rig.lpis() == [OTHER]
    rig.check()


def test_its_disabled_has_no_say_in_delivery(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.write(CTLR, 0, 4)
    assert rig.taken(1) == LPI
