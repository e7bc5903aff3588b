"""A message on its way to an LPI: what KVM_SIGNAL_MSI returns, and the cache.

Source: KVM: vgic_its_inject_msi(), vgic_its_resolve_lpi(), vgic_its_inject_cached_translation().
"""

from functools import partial
from typing import Final

import pytest

from hw import Machine
from tests.unit.vgic.its.rig import (
    BASER0,
    BASER1,
    COLLECTIONS,
    CTLR,
    DEVICES,
    DOORBELL,
    ENABLED,
    GICR_CTLR,
    GITS_BASE,
    VALID,
    Command,
    ItsRig,
    clear,
    discard,
    inv,
    invall,
    mapc,
    mapd,
    mapti,
    minus,
    movall,
    movi,
    raise_event,
    sync,
)
from tests.unit.vgic.rig import outcome
from vgic import DeviceType, Host, Vgic

EBUSY: Final = minus("EBUSY")
EINVAL: Final = minus("EINVAL")
ENODEV: Final = minus("ENODEV")


@pytest.fixture
def rig() -> ItsRig:
    """Event 20 of device 2 is 8195 on vCPU 1, enabled; 21 in a placeholder, 22 an orphan."""
    rig = ItsRig(2)
    rig.configure(8195, ENABLED)
    rig.do(mapc(3, 1), mapc(4, 1), mapd(2), mapti(2, 20, 8195, 3), mapti(2, 21, 8196, 9), mapti(2, 22, 8197, 4))
    rig.do(mapc(4, 0, valid=False))
    return rig


# -- each answer, and that an earlier one hides a later ------------------------------------------------


def test_no_irqchip() -> None:
    vm = Vgic(Host(Machine(cpus=1)), threads=False)
    vm.create_device(DeviceType.ITS)
    assert outcome(lambda: vm.signal_msi(DOORBELL, 0, 0)) == -EINVAL


def test_unknown_flags(rig: ItsRig) -> None:
    assert rig.msi(2, 20) == 1
    for flags in (2, 3, 1 << 31):
        assert rig.msi(2, 20, flags) == EINVAL


def test_no_its() -> None:
    vm = Vgic.gicv3(1, threads=False)
    for flags in (0, 1):
        assert outcome(partial(vm.signal_msi, DOORBELL, 0, 0, flags)) == -ENODEV


def test_no_its_of_this_model() -> None:
    vm = Vgic.gicv2(1, threads=False)
    assert outcome(lambda: vm.signal_msi(DOORBELL, 0, 0)) == -ENODEV


def test_delivered(rig: ItsRig) -> None:
    assert rig.msi(2, 20) == 1
    assert rig.lpi(8195).pending_latch
    assert rig.listed(1) == [8195]
    assert rig.kicks == [1]
    assert rig.taken(1) == 8195
    assert rig.taken(1) == 1023


def test_delivered_though_disabled_or_pending(rig: ItsRig) -> None:
    rig.configure(8195, 0)
    rig.do(inv(2, 20))
    assert [rig.msi(2, 20), rig.msi(2, 20)] == [1, 1]
    assert rig.listed(1) == []


def test_no_device_id(rig: ItsRig) -> None:
    assert rig.msi(2, 20, 0) == EINVAL
    assert rig.msi(2, 20) == 1
    assert rig.msi(2, 20, 0) == 1, "a cached translation asks for none"
    assert rig.msi(2, 20, 0, 0x1000) == EINVAL


@pytest.mark.parametrize("doorbell", [0, 0x0800_0000, 0x080A_0000, GITS_BASE - 1, 0x8000_0000, (1 << 64) - 1], ids=hex)
def test_no_its_at_the_doorbell(doorbell: int, rig: ItsRig) -> None:
    assert rig.msi(2, 20, doorbell=doorbell) == EINVAL


@pytest.mark.parametrize("at", [0, 1, 0x80, 0x1_0040, 0x1_FFFF], ids=hex)
def test_every_byte_of_the_frame_is_a_doorbell(at: int, rig: ItsRig) -> None:
    assert rig.msi(2, 20, doorbell=GITS_BASE + at) == 1


def test_a_guest_cannot_ring_it(rig: ItsRig) -> None:
    vcpu = rig.vcpus[0]
    vcpu.enter()
    assert vcpu.write(DOORBELL, 4, 20)
    vcpu.exit()
    assert not rig.lpi(8195).pending_latch


def test_its_disabled(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    assert rig.msi(2, 20) == EBUSY
    assert rig.msi(7, 7) == EBUSY
    assert rig.msi(2, 20, 0) == EINVAL


BLOCKED: Final = {
    "no device": (7, 20),
    "no event": (2, 7),
    "a placeholder": (2, 21),
    "an orphan": (2, 22),
    "a DeviceID of 17 bits": (0x1_0002, 20),
    "an EventID of 17 bits": (2, 0x1_0014),
    "both of 32 bits": (0xFFFF_FFFF, 0xFFFF_FFFF),
}


@pytest.mark.parametrize(("devid", "eventid"), BLOCKED.values(), ids=BLOCKED)
def test_blocked_by_the_guest(devid: int, eventid: int, rig: ItsRig) -> None:
    assert rig.msi(2, 20) == 1  # nothing of what is cached fits
    before = rig.frozen()
    assert rig.msi(devid, eventid) == 0
    assert rig.frozen() == before
    rig.check()


def test_lpis_disabled(rig: ItsRig) -> None:
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    assert rig.msi(2, 20) == EBUSY
    assert (rig.lpi(8195).pending_latch, rig.cached()) == (False, set())
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    assert rig.msi(2, 20) == 1


def test_int_goes_the_same_way(rig: ItsRig) -> None:
    rig.do(raise_event(2, 20))
    assert rig.lpi(8195).pending_latch
    assert rig.cached() == {(2, 20)}
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.do(raise_event(2, 20))
    assert not rig.lpi(8195).pending_latch


def test_data_and_device_have_32_bits(rig: ItsRig) -> None:
    assert rig.msi(1 << 32 | 2, 1 << 32 | 20) == 1


# -- the cache ------------------------------------------------------------------------------------


def test_only_a_success_is_cached(rig: ItsRig) -> None:
    for devid, eventid in BLOCKED.values():
        rig.msi(devid, eventid)
    assert rig.cached() == set()
    rig.msi(2, 20)
    assert rig.cached() == {(2, 20)}
    assert rig.lpi(8195).refs == 3, "its event, the cache, a vCPU's list"


EMPTIED: Final[dict[str, Command]] = {
    "MAPD V=0": mapd(2, valid=False),
    "MAPD again": mapd(2),
    "MAPC V=0": mapc(3, 0, valid=False),
    "MAPC V=0 of nothing": mapc(7, 0, valid=False),
    "MOVI": movi(2, 20, 3),
    "MOVALL": movall(0, 1),
    "DISCARD": discard(2, 20),
}

KEPT: Final[dict[str, Command]] = {
    "MAPD of another": mapd(7),
    "MAPC": mapc(3, 0),
    "MAPTI": mapti(2, 0, 8200, 3),
    "INV": inv(2, 20),
    "INVALL": invall(3),
    "CLEAR": clear(2, 20),
    "SYNC": sync(0),
    "MOVALL to itself": movall(1, 1),
}


@pytest.mark.parametrize("command", EMPTIED.values(), ids=EMPTIED)
def test_emptied_by_a_command(command: Command, rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.do(command)
    assert rig.cached() == set()
    rig.check()


@pytest.mark.parametrize("command", KEPT.values(), ids=KEPT)
def test_kept_by_a_command(command: Command, rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.do(command)
    assert rig.cached() == {(2, 20)}
    rig.check()


def test_emptied_by_registers(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.write(CTLR, 0, 4)
    assert rig.cached() == set()


@pytest.mark.parametrize(("register", "value"), [(BASER0, DEVICES), (BASER1, COLLECTIONS)], ids=["BASER0", "BASER1"])
def test_emptied_by_a_table_that_changes(register: int, value: int, rig: ItsRig) -> None:
    """Only while disabled, when nothing is cached; KVM empties it all the same."""
    rig.msi(2, 20)
    rig.its.enabled = False
    rig.write(register, VALID | value | 1)
    assert rig.cached() == set()


def test_emptied_by_any_redistributor_whose_lpis_go(rig: ItsRig) -> None:
    rig.msi(2, 20)
    rig.set_gicr(GICR_CTLR, 0, 0, size=4)
    assert rig.cached() == set()
    assert rig.lpi(8195).pending_latch, "it is the other vCPU's"


def test_a_hit_checks_nothing(rig: ItsRig) -> None:
    """MAPC keeps the cache: to a vCPU whose LPIs are disabled the cached message goes, another does not."""
    rig.msi(2, 20)
    rig.set_gicr(GICR_CTLR, 0, 0, size=4)
    rig.msi(2, 20)
    rig.do(mapc(3, 0))
    assert rig.msi(2, 20) == 1
    rig.its.drop_cache()
    assert rig.msi(2, 20) == EBUSY


def test_the_cached_answer_is_the_uncached(rig: ItsRig) -> None:
    for warm in (False, True):
        rig.its.drop_cache()
        for _ in range(1 + warm):
            rig.do(clear(2, 20))
            assert rig.msi(2, 20) == 1
            assert rig.lpi(8195).pending_latch


def test_it_is_the_its_at_the_doorbell_that_translates(rig: ItsRig) -> None:
    rig.add_its(0x0900_0000)
    assert rig.msi(2, 20) == 1
    assert rig.msi(2, 20, doorbell=0x0900_0000) == EBUSY, "the other ITS is disabled, and has a cache of its own"
