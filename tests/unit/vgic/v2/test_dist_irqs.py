"""What GICD of a GICv2 guest does to an interrupt: pending, active, priority, targets, trigger.

What the shared banks do to it is in test_perirq; here is what a GICv2 has of its own.
"""

from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.rig import LEVEL
from tests.unit.vgic.v2.gicd import (
    ICACTIVER,
    ICFGR,
    ICPENDR,
    IPRIORITYR,
    ISACTIVER,
    ISPENDR,
    ITARGETSR,
    ONES,
    PPI,
    SGI,
    SPI,
    WHO,
)
from tests.unit.vgic.v2.rig import Rig

# -- pending -----------------------------------------------------------------------------------------


class Pend(NamedTuple):
    """A write of ones, and (latch, sources) afterwards; before, the SGI waits from CPU 0."""

    who: str
    offset: int
    want: tuple[bool, int]


PENDS: Final = {
    "the guest cannot send an SGI by ISPENDR": Pend("guest", ISPENDR, (True, 0b1)),
    "nor retract one by ICPENDR": Pend("guest", ICPENDR, (True, 0b1)),
    "user space's ISPENDR adds the vCPU itself": Pend("user", ISPENDR, (True, 0b11)),
    "user space's ICPENDR takes all sources": Pend("user", ICPENDR, (False, 0)),
}


@pytest.mark.parametrize("row", PENDS.values(), ids=PENDS)
def test_sgis_pending(row: Pend) -> None:
    rig = Rig(2)
    irq = rig.irq(SGI, vcpu=1, sources=1)
    rig.put(row.who, row.offset, 1 << SGI, of=1)
    assert (irq.pending_latch, irq.source) == row.want
    assert rig.listed(1) == ([SGI] if (row.who, row.offset) == ("user", ISPENDR) else [])
    assert rig.get(row.who, ISPENDR, of=1) >> SGI & 1 == row.want[0]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("intid", [PPI, SPI])
def test_others_pending(intid: int, who: str) -> None:
    rig = Rig()
    irq = rig.irq(intid)
    word, bit = intid // 32 * 4, 1 << intid % 32
    rig.put(who, ISPENDR + word, bit)
    assert (irq.pending_latch, rig.listed(), rig.get(who, ICPENDR + word) & bit) == (True, [intid], bit)
    rig.put(who, ICPENDR + word, bit)
    assert (irq.pending_latch, rig.listed(), rig.get(who, ISPENDR + word) & bit) == (False, [intid], 0)


@pytest.mark.parametrize("physical", [False, True])
@pytest.mark.parametrize("virtual", [False, True])
def test_user_space_reads_a_mapped_level_interrupt_as_it_is_kept(virtual: bool, physical: bool) -> None:
    """The guest sees the wire below; user space what would be migrated: __read_pending()."""
    rig = Rig()
    rig.vcpu.map_irq(PPI, PPI, lambda intid: physical)
    rig.irq(PPI, level=LEVEL, line=virtual)
    for bank in (ISPENDR, ICPENDR):
        assert rig.gicd(bank) >> PPI & 1 == physical
        assert rig.user(bank) >> PPI & 1 == virtual


# -- active ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "source"), [("guest", 2), ("user", 0)])
def test_an_sgi_made_active_names_its_source(who: str, source: int) -> None:
    rig = Rig(3)
    irq = rig.irq(SGI, vcpu=2, active_source=1)
    rig.put(who, ISACTIVER, 1 << SGI, of=2)
    assert (irq.active, irq.active_source, rig.listed(2)) == (True, source, [SGI])
    rig.put(who, ICACTIVER, 1 << SGI, of=2)
    assert (irq.active, irq.active_source, rig.listed(2)) == (False, source, [SGI])


def test_the_source_of_others_is_left_alone() -> None:
    rig = Rig(3)
    irq = rig.irq(PPI, vcpu=2)
    rig.put("guest", ISACTIVER, 1 << PPI, of=2)
    assert (irq.active, irq.active_source) == (True, 0)


@pytest.mark.parametrize(("bank", "stopped"), [(ISACTIVER, False), (ISACTIVER + 4, True)], ids=["private", "SPIs"])
def test_who_is_stopped_to_read_active_state(bank: int, stopped: bool) -> None:
    """A CPU's private interrupts can be in its own list registers only."""
    rig = Rig(2)
    rig.vcpus[1].enter()
    rig.kicks.clear()
    rig.vcpu.enter()
    rig.vcpu.read(0x0800_0000 + bank, 4)
    assert rig.kicks == ([1] if stopped else [])


# -- priority, targets, trigger ----------------------------------------------------------------------


@pytest.mark.parametrize("intid", [SGI, PPI, SPI])
def test_priority(intid: int) -> None:
    rig = Rig(2)
    rig.set_gicd(IPRIORITYR + intid, 0xFF, 1, by=1)
    assert rig.found(intid, 1).priority == 0xF8
    assert rig.gicd(IPRIORITYR + intid, 1, by=1) == 0xF8
    assert rig.gicd(IPRIORITYR + intid, 1, by=0) == (0xF8 if intid == SPI else 0), "private ones are banked"


class Target(NamedTuple):
    """A byte written to ITARGETSR in a VM with 3 CPUs, what it reads as, and who gets the interrupt."""

    value: int
    reads: int
    vcpu: int


TARGETS: Final = {
    "one CPU": Target(0b010, 0b010, 1),
    "of several the lowest gets it": Target(0b110, 0b110, 1),
    "bits of absent CPUs are not kept": Target(0xFF, 0b111, 0),
    "none but absent ones: vCPU 0": Target(0xF8, 0, 0),
    "none at all: vCPU 0": Target(0, 0, 0),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", TARGETS.values(), ids=TARGETS)
def test_targets(row: Target, who: str) -> None:
    rig = Rig(3)
    irq = rig.irq(SPI, vcpu=2, latch=True)
    rig.put(who, ITARGETSR + SPI, row.value)
    assert (irq.route, irq.target) == (row.reads, rig.vcpus[row.vcpu])
    assert rig.get(who, ITARGETSR + SPI) == row.reads
    assert (rig.listed(row.vcpu), rig.kicks) == ([], []), "nothing is looked at again"


def test_targets_by_byte() -> None:
    rig = Rig(8)
    rig.set_gicd(ITARGETSR + SPI, 0x0102_0408)
    rig.set_gicd(ITARGETSR + SPI + 1, 0x80, 1)
    assert rig.gicd(ITARGETSR + SPI) == 0x0102_8008
    assert [rig.found(SPI + n).target for n in range(4)] == [rig.vcpus[n] for n in (3, 7, 1, 0)]


@pytest.mark.parametrize("intid", [SGI, PPI])
def test_private_targets_are_fixed(intid: int) -> None:
    rig = Rig(2)
    rig.set_gicd(ITARGETSR + intid, 1, 1, by=1)
    assert rig.gicd(ITARGETSR + intid, 1, by=1) == 2
    assert rig.found(intid, 1).target is rig.vcpus[1]


def test_a_uniprocessor_reads_its_targets_too() -> None:
    """IHI 0048 has them RAZ/WI there; KVM does not."""
    assert Rig(1).gicd(ITARGETSR) == 0x0101_0101


def test_a_listed_interrupt_moves_when_its_holder_prunes() -> None:
    rig = Rig(2)
    rig.irq(SPI)
    rig.vm.inject(SPI)
    rig.set_gicd(ITARGETSR + SPI, 0b10, 1)
    assert (rig.listed(0), rig.listed(1)) == ([SPI], [])
    rig.vcpu.enter()
    rig.vcpu.exit()
    assert (rig.listed(0), rig.listed(1)) == ([], [SPI])


@pytest.mark.parametrize("who", WHO)
def test_trigger(who: str) -> None:
    rig = Rig()
    for word, want in ((0, 0xAAAA_AAAA), (4, 0), (8, 0x5555_5555 & 0xAAAA_AAAA)):
        rig.put(who, ICFGR + word, 0x5555_5555)
        assert rig.get(who, ICFGR + word) == want
    rig.put(who, ICFGR + 8, ONES)
    assert rig.get(who, ICFGR + 8) == 0xAAAA_AAAA
