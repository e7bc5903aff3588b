"""What a hostile guest can do to an ITS: nothing but to itself.

Each test is one way that the KVM VGIC has to stand up to (or its past CVEs were about): no exception leaves the
library, nothing outside RAM is touched, and every invariant of the maps and references holds afterwards.
"""

import random
from typing import Final

import pytest

from tests.unit.vgic.its.rig import (
    BASER0,
    BASER1,
    CBASER,
    COLLECTIONS,
    CONFIG,
    CREADR,
    CTLR,
    CWRITER,
    DEVICES,
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GITS_BASE,
    INDIRECT,
    ITTS,
    NOWHERE,
    PENDING,
    QUEUE,
    RAM,
    RAM_SIZE,
    VALID,
    Command,
    ItsRig,
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
from vgic import UNCLAIMED

ITT: Final = ITTS
L1: Final = RAM + 0x20_0000
L2: Final = RAM + 0x30_0000
EFAULT: Final = 14
EINVAL: Final = 22


@pytest.fixture
def rig() -> ItsRig:
    """Two vCPUs; events 0 to 9 of device 1 are LPIs 8192 on, in collection 0, enabled."""
    rig = ItsRig(2)
    for intid in range(8192, 8202):
        rig.configure(intid, ENABLED)
    rig.do(mapc(0, 0), mapc(1, 1), mapd(1), *[mapti(1, n, 8192 + n, 0) for n in range(10)])
    return rig


# -- the queue ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_as_commands(seed: int, rig: ItsRig) -> None:
    dice = random.Random(seed)
    at = rig.read(CWRITER)
    rig.memory.ram.write(QUEUE, dice.randbytes(0x1_0000))
    rig.write(CWRITER, at - 32)
    assert rig.read(CREADR) == at - 32, "the queue drains"
    rig.check()


@pytest.mark.parametrize("seed", range(8))
def test_random_commands_that_nearly_make_sense(seed: int, rig: ItsRig) -> None:
    dice = random.Random(seed)

    def some(*often: int) -> int:
        return dice.choice((*often, dice.getrandbits(16), dice.getrandbits(32)))

    for _ in range(20):
        commands: list[Command] = []
        for _ in range(50):
            number = dice.choice(
                (0x01, 0x03, 0x04, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, dice.getrandbits(8))
            )
            itt = dice.choice((ITT, ITT + 0x100, NOWHERE, DEVICES, QUEUE, PENDING, (1 << 52) - 0x100))
            dw2 = itt if number == 0x08 else some(0, 1) << 16 | some(0, 1, 9) & 0xFFFF
            commands.append(
                (
                    some(1, 2) << 32 | number,
                    some(8192, 8200) << 32 | (dice.randrange(32) if number == 0x08 else some(0, 5)),
                    dice.getrandbits(1) << 63 | dw2,
                    some(0, 1) << 16,
                )
            )
        rig.do(*commands)
        rig.msi(some(1, 2), some(0, 5))
        rig.check()
    for n in range(2):
        while rig.taken(n) != 1023:
            rig.check()


@pytest.mark.parametrize("base", [NOWHERE, RAM + RAM_SIZE - 0x1_0000, GITS_BASE], ids=["no RAM", "in part", "MMIO"])
def test_queue_outside_ram(base: int, rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | base | 0xFF)
    rig.write(CTLR, 1, 4)
    rig.write(CWRITER, 0xF_FFE0)
    assert rig.read(CREADR) == 0xF_FFE0
    rig.check()


@pytest.mark.parametrize("value", [0x1_0000, 0xF_FFFF, (1 << 64) - 1, 0x3F, 0x1F], ids=hex)
def test_cwriter_that_cannot_be(value: int, rig: ItsRig) -> None:
    rig.write(CWRITER, value)
    assert rig.read(CWRITER) % 32 == 0
    assert rig.read(CWRITER) == rig.read(CREADR) < 0x1_0000


def test_queue_that_overlaps_the_tables(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | QUEUE)
    rig.write(BASER1, VALID | QUEUE)
    rig.write(CTLR, 1, 4)
    rig.do(mapc(0, 0), mapd(1, 16, QUEUE), *[mapti(1, n, 8192 + n, 0) for n in range(100)])
    rig.do(*[discard(1, n) for n in range(100)], *[mapd(n, valid=False) for n in range(1000)])
    assert rig.save() == 0
    rig.check()


def test_one_queue_full_of_walks_over_all_lpis(rig: ItsRig) -> None:
    """CPU time of the guest that asked, and nothing else; how much, test_its_bounds says."""
    rig.do(*[invall(0) if n % 2 else movall(n // 2 % 2, 1 - n // 2 % 2) for n in range(2000)])
    rig.check()


# -- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [NOWHERE, (1 << 48) - 0x1_0000, 0xF000, GITS_BASE], ids=hex)
@pytest.mark.parametrize("register", [BASER0, BASER1], ids=["BASER0", "BASER1"])
@pytest.mark.parametrize("indirect", [0, INDIRECT], ids=["flat", "two-level"])
def test_huge_tables_that_are_not_ram(indirect: int, register: int, base: int, rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(register, VALID | indirect | base | 0xFF)
    rig.write(CTLR, 1, 4)
    rig.do(mapd(3), mapd(1), mapc(4, 0), mapti(1, 50, 8300, 9), mapd(1, valid=False))
    assert rig.save() in (0, EFAULT)
    assert rig.restore() != 0
    rig.check()


LEVEL1: Final = {
    "not valid": L2,
    "the first level itself": VALID | L1,
    "no RAM": VALID | NOWHERE,
    "the top of memory": (1 << 64) - 1,
}


@pytest.mark.parametrize("entry", LEVEL1.values(), ids=LEVEL1)
def test_first_levels(entry: int, rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.write(CTLR, 1, 4)
    for n in range(8):
        rig.set_entry(L1 + 8 * n, entry)
    rig.do(*[mapd(n << 13 | 5) for n in range(9)], mapd(5, valid=False))
    assert rig.save() == 0
    rig.reset()
    rig.set_tables()
    rig.restore()
    rig.check()


def test_first_level_that_changes_at_run_time(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.write(CTLR, 1, 4)
    rig.set_entry(L1, VALID | L2)
    rig.do(mapd(1), mapti(1, 0, 8192, 0))
    for entry in (0, VALID | NOWHERE, VALID | L1):
        rig.set_entry(L1, entry)
        rig.do(mapd(2), mapd(2, valid=False))
        assert rig.msi(1, 0) == 1, "what is mapped stays mapped"
        assert rig.save() == 0
        rig.check()


@pytest.mark.parametrize("bits", range(17, 33))
def test_mapd_with_too_many_bits(bits: int, rig: ItsRig) -> None:
    before = rig.frozen()
    rig.do(mapd(1, bits))
    assert rig.frozen() == before


@pytest.mark.parametrize("devid", [0x1_0000, 0x1_0001, 0x8000_0001, 0xFFFF_FFFF], ids=hex)
def test_device_ids_past_16_bits(devid: int, rig: ItsRig) -> None:
    before = rig.frozen()
    rig.do(mapd(devid), mapd(devid, valid=False), mapti(devid, 0, 8300, 0), raise_event(devid, 0))
    assert rig.msi(devid, 0) == 0
    assert rig.frozen() == before


def test_more_than_the_vm_may_map(rig: ItsRig) -> None:
    """2^32 events are possible; the cap fails as an allocation in KVM, and leaves no trace."""
    budget = rig.dist.its_budget
    budget.cap = budget.used + 5
    rig.do(mapd(2, 16), mapti(2, 0, 8300, 0), mapti(2, 1, 8301, 17), mapd(3))
    before = rig.frozen()
    assert budget.used == budget.cap
    rig.do(mapd(4), mapti(2, 2, 8302, 0), mapti(2, 3, 8303, 18), mapc(19, 0))
    assert rig.frozen() == before
    assert budget.refused == 4
    rig.do(discard(2, 0), mapti(2, 2, 8302, 0))
    assert (2, 2) in rig.events()
    rig.do(mapd(2), mapd(3))
    rig.check()
    assert rig.reset() == 0
    assert budget.used == 0


def test_overlapping_event_tables(rig: ItsRig) -> None:
    rig.do(*[mapd(n, 16, ITT) for n in range(1, 5)])
    rig.do(*[mapti(n, m, 8192 + m, 0) for n in range(1, 5) for m in range(100)])
    assert rig.save() == 0
    rig.do(*[discard(n, m) for n in range(1, 5) for m in range(50)])
    rig.check()


def test_many_events_of_one_lpi(rig: ItsRig) -> None:
    rig.do(mapd(2, 16), *[mapti(2, n, 8300, n % 2) for n in range(1000)])
    assert rig.lpi(8300).refs == 1000
    assert [rig.msi(2, n) for n in range(1000)] == [1] * 1000
    rig.check()
    rig.do(mapd(2, valid=False))
    rig.check()
    assert rig.taken(0) != 8300, "not enabled"


def test_the_cache_grows_with_events_alone(rig: ItsRig) -> None:
    for devid in range(30):
        for eventid in range(30):
            rig.msi(devid, eventid)
    assert len(rig.cached()) == 10


@pytest.mark.parametrize("intid", [0, 1, 1023, 8191, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF], ids=hex)
def test_intids_that_are_no_lpis(intid: int, rig: ItsRig) -> None:
    before = rig.frozen()
    rig.do(mapti(1, 100, intid, 0))
    assert rig.frozen() == before


@pytest.mark.parametrize("rdbase", [2, 0xFFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF], ids=hex)
def test_vcpus_that_are_not_there(rdbase: int, rig: ItsRig) -> None:
    before = rig.frozen()
    rig.do(mapc(0, rdbase), mapc(50, rdbase), movall(0, rdbase), movall(rdbase, 0), movall(rdbase, rdbase))
    assert rig.frozen() == before


def test_collections_that_go_while_messages_come(rig: ItsRig) -> None:
    for n in range(10):
        assert rig.msi(1, n) == 1
    rig.do(mapc(0, 0, valid=False))
    assert [rig.msi(1, n) for n in range(10)] == [0] * 10
    rig.do(movi(1, 0, 1), discard(1, 1), raise_event(1, 2), inv(1, 3), mapti(1, 4, 8300, 1))
    assert rig.save() == 0
    assert all(rig.entry(ITT + 8 * n) == 0 for n in range(10)), "orphans are saved as nothing"
    rig.check()


# -- LPIs that are unmapped while somebody holds them --------------------------------------------------


def test_unmapped_while_queued_and_while_loaded(rig: ItsRig) -> None:
    for n in range(10):
        rig.msi(1, n)
    vcpu = rig.vcpus[0]
    vcpu.enter()
    rig.do(discard(1, 0), discard(1, 9), mapd(1, valid=False))
    rig.check()
    vcpu.exit()
    assert {rig.taken() for _ in range(10)} == set(range(8192, 8202))
    assert rig.lpis() == []
    rig.check()


def test_unmapped_and_mapped_in_a_tight_loop_on_two_itss(rig: ItsRig) -> None:
    rig.add_its(0x0900_0000)
    other = rig.dist.its_list[1]
    for offset, value in ((BASER0, RAM + 0x80_0000), (BASER1, RAM + 0x81_0000), (CBASER, RAM + 0x82_0000 | 0xF)):
        rig.write(offset, VALID | value, its=other)
    rig.write(CTLR, 1, 4, its=other)
    for n in range(2):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
    rig.set_gicr(GICR_PROPBASER, CONFIG | 15)
    for n in range(2):
        rig.set_gicr(GICR_CTLR, 1, n, size=4)
    rig.do(mapc(0, 1), mapd(1, 8, ITT + 0x1000), its=other)
    for _ in range(50):
        rig.do(discard(1, 0), mapti(1, 0, 8192, 0))
        rig.do(mapti(1, 0, 8192, 0), raise_event(1, 0), discard(1, 0), its=other)
        rig.msi(1, 0)
        rig.check()
    assert rig.lpis().count(8192) == 1


def test_enable_toggled_while_messages_come(rig: ItsRig) -> None:
    for n in range(50):
        rig.msi(1, n % 10)
        rig.do(raise_event(1, 3))
        rig.set_gicr(GICR_CTLR, n & 1, n >> 1 & 1, size=4)
        rig.check()


def test_configuration_table_moved_under_live_lpis(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PROPBASER, ITT | 12, 1)
    rig.do(invall(0), mapti(1, 100, 8192, 0))
    assert len(rig.lpis()) == 10, "those above the limit stay"
    assert (1, 100) not in rig.events()
    assert not rig.lpi(8192).enabled, "read from the new table"
    rig.check()


def test_lpi_tables_outside_ram(rig: ItsRig) -> None:
    for n in range(2):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
        rig.set_gicr(GICR_PENDBASER, NOWHERE, n)
        rig.set_gicr(GICR_PROPBASER, NOWHERE | 15, n)
        rig.set_gicr(GICR_CTLR, 1, n, size=4)
    before = rig.events()
    rig.do(mapti(1, 100, 8300, 0), inv(1, 0), invall(0))
    assert (rig.events(), rig.lpi(8192).enabled) == (before, True)
    assert rig.save_pending() == EFAULT
    rig.check()


def test_tables_on_top_of_each_other(rig: ItsRig) -> None:
    for n in range(2):
        rig.set_gicr(GICR_CTLR, 0, n, size=4)
        rig.set_gicr(GICR_PENDBASER, DEVICES, n)
    rig.set_gicr(GICR_PROPBASER, DEVICES | 15)
    rig.memory.ram.write(DEVICES, b"\xff" * 0x1_0000)
    for n in range(2):
        rig.set_gicr(GICR_CTLR, 1, n, size=4)
    rig.do(mapd(2, 16, DEVICES), *[mapti(2, n, 9000 + n, n % 2) for n in range(200)])
    rig.do(*[discard(2, n) for n in range(100)], mapd(2, valid=False), mapd(3, valid=False))
    assert rig.save() == 0
    assert rig.save_pending() == 0
    assert all(RAM <= gpa < RAM + RAM_SIZE for gpa, _ in rig.memory.writes)
    rig.check()


# -- registers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_table_registers_in_halves_and_any_order(seed: int, rig: ItsRig) -> None:
    dice = random.Random(seed)
    for _ in range(300):
        offset = dice.choice((BASER0, BASER1, CBASER, CWRITER, CREADR, CTLR)) + 4 * dice.getrandbits(1)
        rig.write(offset, dice.getrandbits(32), 4)
        for register in (BASER0, BASER1, CBASER):
            value = rig.read(register)
            assert value >> 10 & 3 != 2
            assert value >> 59 & 7 > 1 or value == 0
            assert value >> 53 & 7 <= 1
        rig.check()


@pytest.mark.parametrize("missing", [BASER0, BASER1, CBASER], ids=["BASER0", "BASER1", "CBASER"])
def test_enabling_without(missing: int, rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(missing, 0)
    rig.write(CTLR, 1, 4)
    assert not rig.read(CTLR, 4) & 1


def test_every_size_and_offset(rig: ItsRig) -> None:
    vcpu = rig.vcpus[0]
    dice = random.Random(1)
    vcpu.enter()
    for offset in (*range(0x150), *range(0xFFC0, 0x1_0080), 0x1_FFFC, 0x1_FFFF):
        for size in (1, 2, 4, 8):
            if offset + size <= 0x2_0000:
                assert vcpu.read(GITS_BASE + offset, size) != UNCLAIMED
                assert vcpu.write(GITS_BASE + offset, size, dice.getrandbits(8 * size))
    vcpu.exit()
    rig.check()


# -- messages -------------------------------------------------------------------------------------


def test_flood_of_a_valid_message(rig: ItsRig) -> None:
    assert {rig.msi(1, 0) for _ in range(1000)} == {1}
    assert rig.listed() == [8192]
    assert (rig.taken(), rig.taken()) == (8192, 1023)


def test_flood_of_invalid_messages(rig: ItsRig) -> None:
    before = rig.frozen()
    for n in range(1000):
        assert rig.msi(n + 100, n) == 0
    assert rig.frozen() == before


@pytest.mark.parametrize(("devid", "eventid"), [(0x1_0001, 0), (1, 0x1_0000), (0, 0x1_0000), (0x1_0001, 0x1_0000)])
def test_wide_numbers_meet_no_cached_translation(devid: int, eventid: int, rig: ItsRig) -> None:
    assert rig.msi(1, 0) == 1
    rig.taken()
    assert rig.msi(devid, eventid) == 0
    assert not rig.lpi(8192).pending_latch


# -- saving and restoring what a guest has prepared -----------------------------------------------------


def test_tables_in_read_only_memory(rig: ItsRig) -> None:
    rig.memory.read_only |= {DEVICES, COLLECTIONS, ITT}
    rig.do(mapd(2, 8, ITT + 0x1000), mapti(2, 0, 8300, 0), discard(1, 0), mapd(2, valid=False))
    assert list(rig.devices()) == [1]
    assert (1, 0) not in rig.events()
    assert rig.save() == EFAULT, "a guest can block its own migration"
    rig.check()


def test_damaged_tables_do_not_stop_a_save(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | INDIRECT | L1)
    rig.write(CTLR, 1, 4)
    rig.set_entry(L1, VALID | L2)
    rig.do(mapd(1), mapd(9))
    rig.set_entry(L1, 0)
    assert rig.save() == 0


@pytest.mark.parametrize("seed", range(6))
def test_planted_entries(seed: int, rig: ItsRig) -> None:
    """Random but plausible tables: they are taken if they agree with each other, or nothing is left."""
    dice = random.Random(seed)
    rig.write(CTLR, 0, 4)
    rig.reset()
    rig.set_tables()
    for n in range(3):
        rig.set_entry(COLLECTIONS + 8 * n, VALID | dice.choice((0, 1, 0xFFFF_FFFF, seed)) << 16 | n)
    for n in range(0, 64, 4):
        distance = dice.choice((1, 4, 4, 16383))
        rig.set_entry(DEVICES + 8 * n, VALID | distance << 49 | (ITT + 0x800 * n) >> 8 << 5 | dice.choice((7, 7, 15)))
        for m in range(0, 32, 2):
            intid = dice.choice((8192, 8300, 9000 + m, 9000 + m, 0x8000))
            rig.set_entry(ITT + 0x800 * n + 8 * m, dice.choice((2, 2, 1)) << 48 | intid << 16 | dice.randrange(3))
    refused = rig.restore()
    assert refused in (0, EINVAL, EFAULT)
    if refused:
        assert (rig.devices(), rig.collections()) == ({}, {})
    rig.check()
    rig.reset()
    rig.check()
