"""LPIs: the configuration table, and when it is read.

Source: IHI 0069H, "Locality-specific peripheral interrupts"; KVM: update_lpi_config().
"""

from typing import Final

import pytest

from tests.unit.vgic.its.rig import (
    CONFIG,
    DISABLED,
    ENABLED,
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PROPBASER,
    Command,
    ItsRig,
    clear,
    inv,
    invall,
    mapc,
    movall,
    movi,
    raise_event,
)
from tests.unit.vgic.v3.lpi_rig import LPI, OTHER, latched, rig_with_lpis


@pytest.fixture
def rig() -> ItsRig:
    return rig_with_lpis()


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
