"""LPIs: the way through a list register, new targets, references.

Source: IHI 0069H, "Locality-specific peripheral interrupts".
"""

from typing import Final

import pytest

from tests.unit.vgic.its.rig import (
    CTLR,
    DISABLED,
    ENABLED,
    GICR_CTLR,
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
from tests.unit.vgic.v3.lpi_rig import LPI, OTHER, latched, rig_with_lpis


@pytest.fixture
def rig() -> ItsRig:
    return rig_with_lpis()


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
