"""Accesses to active state that need what other vCPUs have in their list registers."""

from typing import Final, NamedTuple

import pytest

from hw.arch import GICD_ICACTIVER, GICD_ISACTIVER, GICR_ISACTIVER0
from tests.support import GICD_BASE, redist_base
from tests.unit.vgic.rig import Rig, acknowledge, end
from vgic.vcpu import LOADED

SPI: Final = 40
PPI: Final = 27


class Halt(NamedTuple):
    """vCPU 0 accesses ISACTIVER or ICACTIVER while vCPU 1 has an interrupt acknowledged, in a list register."""

    gpa: int  # of ISACTIVER
    intid: int
    accessor: int
    halts: bool


HALTS: Final = {
    "an SPI": Halt(GICD_BASE + GICD_ISACTIVER + 4, SPI, 0, True),
    "an SPI, by its own vCPU": Halt(GICD_BASE + GICD_ISACTIVER + 4, SPI, 1, True),
    "a private interrupt of another vCPU": Halt(redist_base(1) + GICR_ISACTIVER0, PPI, 0, True),
    "a private interrupt, by its own vCPU": Halt(redist_base(1) + GICR_ISACTIVER0, PPI, 1, False),
}


def halting(row: Halt) -> Rig:
    """Both vCPUs and a bystander in the guest; vCPU 1 has acknowledged the row's interrupt, and is not kicked yet."""
    rig = Rig(3)
    rig.irq(row.intid, vcpu=1)
    rig.irq(50, vcpu=2)
    if row.intid == PPI:
        rig.vm.inject(PPI, vcpu=rig.vcpus[1])
    else:
        rig.vm.inject(SPI)
    rig.vm.inject(50)
    for vcpu in rig.vcpus:
        vcpu.enter()
    assert acknowledge(rig.vcpus[1]) == row.intid
    rig.kicks.clear()
    return rig


@pytest.mark.parametrize("row", HALTS.values(), ids=HALTS)
def test_active_state_is_read_from_running_guests(row: Halt) -> None:
    rig = halting(row)
    value = rig.vcpus[row.accessor].read(row.gpa, 4)
    assert value == 1 << row.intid % 32
    others = [vcpu.index for vcpu in rig.vcpus if vcpu.index != row.accessor]
    assert rig.kicks == (others if row.halts else [])
    halted = [int(row.halts and vcpu.index in others) for vcpu in rig.vcpus]
    assert [vcpu.pe.cost.exits_irq for vcpu in rig.vcpus] == halted
    assert [vcpu.pe.cost.exits_host for vcpu in rig.vcpus] == [1, 1, 1], "each is in the guest once"


@pytest.mark.parametrize("row", HALTS.values(), ids=HALTS)
def test_a_deactivation_by_register_survives_the_guests_exit(row: Halt) -> None:
    """Without the halt, the holder's fold would make it active again."""
    rig = halting(row)
    rig.vcpus[row.accessor].write(row.gpa + GICD_ICACTIVER - GICD_ISACTIVER, 4, 1 << row.intid % 32)
    rig.vcpus[1].exit()
    irq = rig.vcpus[1].find_irq(row.intid)
    assert irq is not None
    assert not irq.active


@pytest.mark.parametrize("row", HALTS.values(), ids=HALTS)
def test_an_activation_by_register_survives_too(row: Halt) -> None:
    rig = halting(row)
    end(rig.vcpus[1], row.intid)
    rig.vcpus[row.accessor].write(row.gpa, 4, 1 << row.intid % 32)
    rig.vcpus[1].exit()
    irq = rig.vcpus[1].find_irq(row.intid)
    assert irq is not None
    assert irq.active


def test_halted_guests_go_on_with_what_they_had() -> None:
    rig = halting(HALTS["an SPI"])
    rig.vcpus[0].read(GICD_BASE + GICD_ICACTIVER + 4, 4)
    end(rig.vcpus[1], SPI)
    rig.vcpus[1].exit()
    assert acknowledge(rig.vcpus[2]) == 50
    assert rig.listed(1) == []


def test_a_vcpu_that_is_not_in_the_guest_is_not_halted() -> None:
    rig = halting(HALTS["an SPI"])
    rig.vcpus[2].exit()
    rig.kicks.clear()
    rig.vcpus[0].read(GICD_BASE + GICD_ISACTIVER + 4, 4)
    assert (rig.kicks, rig.vcpus[2].mode) == ([1], LOADED)


def test_a_halt_moves_nothing_of_a_vcpu_that_is_not_in_the_guest() -> None:
    """Only its holder's exit does."""
    rig = Rig(2)
    irq = rig.irq(SPI, vcpu=1)
    rig.vm.inject(SPI)
    irq.target = rig.vcpus[0]
    rig.vcpus[0].enter()
    rig.vcpus[0].read(GICD_BASE + GICD_ISACTIVER + 4, 4)
    assert (rig.listed(0), rig.listed(1)) == ([], [SPI])


def test_a_vcpu_that_its_kick_brings_back_keeps_what_it_entered_with() -> None:
    """The VMM answers a kick at once, exit and entry, in the middle of the access that halted everybody."""
    rig = Rig(2)
    for intid in (SPI, SPI + 1):
        rig.irq(intid, vcpu=1)
    rig.vm.inject(SPI + 1)
    for vcpu in rig.vcpus:
        vcpu.enter()

    def leave_and_enter(index: int) -> None:
        if index == 1:
            rig.vcpus[1].exit()
            rig.vcpus[1].enter()

    rig.vm.kick = leave_and_enter
    rig.vcpus[0].write(GICD_BASE + GICD_ISACTIVER + 4, 4, 1 << SPI % 32)
    assert sorted(rig.lr_intids(1)) == [SPI, SPI + 1]
    assert acknowledge(rig.vcpus[1]) == SPI + 1
