"""GICD of a GICv3 guest: identification, enable, routing, and that no private interrupt is seen here.

What the banks do to an interrupt is in test_perirq; widths, gaps and bounds of every row are in test_mmio.
"""

from errno import EINVAL
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_CTLR,
    GICD_ICACTIVER,
    GICD_ICFGR,
    GICD_IGROUPR,
    GICD_IIDR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
    GICD_PIDR2,
    GICD_STATUSR,
    GICD_TYPER,
)
from tests.support import GICD_BASE, freeze
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import SPI, Regs
from vgic import UNCLAIMED, Group
from vgic.ap_list import queue

TYPER2: Final = 0x000C
ITARGETSR: Final = 0x0800
IGRPMODR: Final = 0x0D00

# -- GICD_CTLR -----------------------------------------------------------------------------------

CTLR: Final = {
    "nothing: ARE and DS remain": (0x0000_0000, 0x50),
    "EnableGrp1": (0x0000_0002, 0x52),
    "EnableGrp0 is ignored": (0x0000_0001, 0x50),
    "ARE and DS cannot be cleared": (0x0000_0002, 0x52),
    "nASSGIreq needs GICv4.1": (0x0000_0102, 0x52),
    "RWP never reads as one": (0x8000_0000, 0x50),
    "all ones": (0xFFFF_FFFF, 0x52),
}


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize("row", CTLR.values(), ids=CTLR)
def test_ctlr(row: tuple[int, int], who: str) -> None:
    value, reads = row
    regs = Regs()
    regs.dist.enabled = not value & 2
    if who == "guest":
        regs.set_gicd(GICD_CTLR, value)
    else:
        regs.set_user(GICD_CTLR, value)
    assert (regs.gicd(GICD_CTLR), regs.user(GICD_CTLR), regs.dist.enabled) == (reads, reads, bool(value & 2))


def test_the_distributor_resets_disabled() -> None:
    regs = Regs()
    fresh = Regs()
    fresh.dist.enabled = False
    assert (regs.dist.enabled, fresh.gicd(GICD_CTLR)) == (True, 0x50)


class Enable(NamedTuple):
    flags: str  # of SPI 40, on the list of vCPU 1
    kicks: list[int]
    priority: int = 0x80
    pmr: int = 0xF0
    was_enabled: bool = False
    write: int = 2


ENABLES: Final = {
    "what is listed and deliverable kicks its vCPU": Enable("enabled latch listed", [1]),
    "what is masked by priority does not": Enable("enabled latch listed", [], priority=0xF0),
    "one step more urgent does": Enable("enabled latch listed", [1], priority=0xE8),
    "what is disabled does not": Enable("latch listed", []),
    "what is not pending does not": Enable("enabled listed", []),
    "what is active does not": Enable("enabled latch active listed", []),
    "what is not listed does not, and stays unlisted": Enable("enabled latch", []),
    "enabling again kicks nobody": Enable("enabled latch listed", [], was_enabled=True),
    "disabling kicks nobody": Enable("enabled latch listed", [], was_enabled=True, write=0),
    "staying disabled kicks nobody": Enable("enabled latch listed", [], write=0),
}


@pytest.mark.parametrize("row", ENABLES.values(), ids=ENABLES)
def test_enabling_the_distributor_kicks(row: Enable) -> None:
    regs = Regs(vcpus=2)
    irq = regs.irq(SPI)
    irq.target, irq.priority = regs.vcpus[1], row.priority
    regs.given(irq, row.flags)
    regs.vcpus[1].vmcr = row.pmr << 24
    regs.dist.enabled = row.was_enabled
    regs.set_gicd(GICD_CTLR, row.write)
    assert (regs.kicks, regs.flags(irq)) == (row.kicks, row.flags)


def test_user_space_enabling_the_distributor_kicks_nobody() -> None:
    regs = Regs()
    regs.given(regs.irq(SPI), "enabled latch listed")
    regs.vcpus[0].vmcr = 0xF0 << 24
    regs.dist.enabled = False
    regs.set_user(GICD_CTLR, 2)
    assert (regs.dist.enabled, regs.kicks) == (True, [])


STRANDED: Final = {
    "enabling the distributor": (GICD_CTLR, 2, False),
    "ISENABLER, though enabled": (GICD_ISENABLER + 4, 1 << SPI % 32, True),
    "ISENABLER of a neighbour": (GICD_ISENABLER + 4, 1 << SPI % 32 + 1, False),
    "ISPENDR, though pending": (GICD_ISPENDR + 4, 1 << SPI % 32, True),
    "IGROUPR, whatever is written": (GICD_IGROUPR + 4, 0, True),
    "IGROUPR of another word": (GICD_IGROUPR + 8, 0, False),
    "IPRIORITYR": (GICD_IPRIORITYR + SPI, 0x10, False),
    "ICFGR": (GICD_ICFGR + 8, 0xFFFF_FFFF, False),
    "IROUTER": (GICD_IROUTER + SPI * 8, 0, False),
}


@pytest.mark.parametrize("row", STRANDED.values(), ids=STRANDED)
def test_what_became_pending_while_the_distributor_was_off_surfaces_by(row: tuple[int, int, bool]) -> None:
    offset, value, listed = row
    regs = Regs()
    regs.dist.enabled = False
    regs.irq(SPI).enabled = True
    regs.vm.inject(SPI)
    assert regs.flags(regs.irq(SPI)) == "enabled latch"
    if offset != GICD_CTLR:
        regs.set_gicd(GICD_CTLR, 2)
    regs.set_gicd(offset, value, 1 if GICD_IPRIORITYR <= offset < ITARGETSR else 4)
    assert regs.flags(regs.irq(SPI)) == ("enabled latch listed" if listed else "enabled latch")


@pytest.mark.parametrize("surfaces", ["a new edge", "LEVEL_INFO"])
def test_what_was_stranded_surfaces_from_outside_too(surfaces: str) -> None:
    regs = Regs()
    regs.given(regs.irq(SPI), "enabled latch")
    if surfaces == "a new edge":
        regs.vm.inject(SPI)
    else:
        regs.device.set_attr(Group.LEVEL_INFO, 32, 1 << SPI % 32)
    assert regs.irq(SPI).queued_on is regs.vcpus[0]


# -- identification ------------------------------------------------------------------------------

TYPERS: Final = {64: 0x48_0001, 96: 0x48_0002, 256: 0x48_0007, 288: 0x48_0008, 992: 0x48_001E}


@pytest.mark.parametrize(("nr_irqs", "typer"), TYPERS.items(), ids="{} interrupts".format)
def test_typer(nr_irqs: int, typer: int) -> None:
    regs = Regs(spis=nr_irqs - 32)
    assert (regs.gicd(GICD_TYPER), regs.user(GICD_TYPER)) == (typer, typer)


READ_ONLY: Final = {
    "TYPER": (GICD_TYPER, 0x0048_0002),
    "IIDR": (GICD_IIDR, 0x4B00_343B),
    "TYPER2: no GICv4.1": (TYPER2, 0),
    "STATUSR reads as ones": (GICD_STATUSR, 0xFFFF_FFFF),
    "PIDR2 says GICv3": (GICD_PIDR2, 0x3B),
}


@pytest.mark.parametrize("row", READ_ONLY.values(), ids=READ_ONLY)
def test_the_guest_cannot_write(row: tuple[int, int]) -> None:
    offset, reads = row
    regs = Regs()
    for value in (0, 0xFFFF_FFFF):
        regs.set_gicd(offset, value)
        assert (regs.gicd(offset), regs.user(offset)) == (reads, reads)


@pytest.mark.parametrize("offset", [GICD_TYPER, GICD_STATUSR, GICD_PIDR2], ids=["TYPER", "STATUSR", "PIDR2"])
def test_user_space_is_ignored_too(offset: int) -> None:
    regs = Regs()
    before = regs.user(offset)
    regs.set_user(offset, ~before & 0xFFFF_FFFF)
    assert regs.user(offset) == before


def test_all_identification_registers_but_pidr2_read_as_zero() -> None:
    regs = Regs()
    assert {offset: regs.gicd(offset) for offset in range(0xFFD0, 0x1_0000, 4) if regs.gicd(offset)} == {0xFFE8: 0x3B}


IIDRS: Final = {
    "revision 2": (0x4B00_243B, 0, 0x4B00_243B),
    "revision 3, as it was": (0x4B00_343B, 0, 0x4B00_343B),
    "revision 0": (0x4B00_043B, EINVAL, 0x4B00_343B),
    "revision 1": (0x4B00_143B, EINVAL, 0x4B00_343B),
    "revision 4": (0x4B00_443B, EINVAL, 0x4B00_343B),
    "revision 15": (0x4B00_F43B, EINVAL, 0x4B00_343B),
    "another product": (0x4A00_243B, EINVAL, 0x4B00_343B),
    "another variant": (0x4B01_243B, EINVAL, 0x4B00_343B),
    "another implementer": (0x4B00_243A, EINVAL, 0x4B00_343B),
    "a reserved bit": (0x4B10_243B, EINVAL, 0x4B00_343B),
    "nothing of it": (0, EINVAL, 0x4B00_343B),
}


@pytest.mark.parametrize("row", IIDRS.values(), ids=IIDRS)
def test_user_space_chooses_the_revision_and_nothing_else(row: tuple[int, int, int]) -> None:
    value, errno, reads = row
    regs = Regs()
    assert (outcome(regs.set_user, GICD_IIDR, value), regs.gicd(GICD_IIDR)) == (errno, reads)


def test_the_revision_goes_down_and_up_again() -> None:
    regs = Regs()
    got = []
    for value in (0x4B00_243B, 0x4B00_343B, 0x4B00_243B):
        regs.set_user(GICD_IIDR, value)
        got.append(regs.user(GICD_IIDR))
    assert got == [0x4B00_243B, 0x4B00_343B, 0x4B00_243B]


def test_typer2_can_be_written_with_what_it_reads() -> None:
    regs = Regs()
    assert [outcome(regs.set_user, TYPER2, value) for value in (0, 0x100, 0x1F)] == [0, EINVAL, EINVAL]


# -- GICD_IROUTER --------------------------------------------------------------------------------


class Route(NamedTuple):
    writes: tuple[tuple[int, int, int], ...]  # byte within the register, size, value
    reads: int
    target: int | None  # index of the vCPU; the affinities are 0.0.0.0, 0.0.0.1, 0.0.1.0, 0.1.0.0, 1.0.0.0


AFFINITIES: Final = [0x0, 0x1, 0x100, 0x1_0000, 0x100_0000]

ROUTES: Final = {
    "Aff0": Route(((0, 8, 0x1),), 0x1, 1),
    "Aff1": Route(((0, 8, 0x100),), 0x100, 2),
    "Aff2": Route(((0, 8, 0x1_0000),), 0x1_0000, 3),
    "back to vCPU 0": Route(((0, 8, 0x1), (0, 8, 0)), 0, 0),
    "Aff3 is dropped": Route(((0, 8, 1 << 32 | 0x1),), 0x1, 1),
    "so nobody with an Aff3 can be named": Route(((0, 8, 1 << 32),), 0, 0),
    "IRM is dropped, the affinity counts": Route(((0, 8, 1 << 31 | 0x100),), 0x100, 2),
    "bits 30:24 are dropped": Route(((0, 8, 0x7F00_0001),), 0x1, 1),
    "nobody has this affinity": Route(((0, 8, 0x2),), 0x2, None),
    "nobody, and then somebody": Route(((0, 8, 0x2), (0, 8, 0x1)), 0x1, 1),
    "the low half alone": Route(((0, 4, 0x100),), 0x100, 2),
    "the high half is ignored": Route(((0, 8, 0x1), (4, 4, 0xFFFF_FFFF)), 0x1, 1),
    "all ones": Route(((0, 8, (1 << 64) - 1),), 0xFF_FFFF, None),
    "a byte is no access": Route(((0, 1, 0x1),), 0, 0),
}


@pytest.mark.parametrize("row", ROUTES.values(), ids=ROUTES)
def test_irouter(row: Route) -> None:
    regs = Regs(vcpus=5)
    for vcpu, affinity in zip(regs.vcpus, AFFINITIES, strict=True):
        vcpu.set_mpidr(affinity)
    offset = GICD_IROUTER + SPI * 8
    for at, size, value in row.writes:
        regs.set_gicd(offset + at, value, size)
    target = regs.irq(SPI).target
    reads = regs.gicd(offset, 8), regs.gicd(offset), regs.gicd(offset + 4), regs.user(offset), regs.user(offset + 4)
    assert reads == (row.reads, row.reads, 0, row.reads, 0)
    assert (None if target is None else target.index) == row.target
    assert regs.kicks == []


def test_an_spi_resets_to_vcpu_0_whatever_its_affinity() -> None:
    regs = Regs(vcpus=2)
    regs.vcpus[0].set_mpidr(0x7)
    regs.vcpus[1].set_mpidr(0x0)
    assert (regs.gicd(GICD_IROUTER + SPI * 8), regs.irq(SPI).target) == (0, regs.vcpus[0])


def test_routes_of_private_interrupts_are_not_here() -> None:
    regs = Regs()
    before = freeze(regs.dist)
    for intid in range(32):
        regs.set_gicd(GICD_IROUTER + intid * 8, 0x77, 8)
        assert regs.gicd(GICD_IROUTER + intid * 8, 8) == 0
    assert freeze(regs.dist) == before


def test_a_listed_interrupt_stays_listed_when_it_is_routed_elsewhere() -> None:
    regs = Regs(vcpus=2)
    irq = regs.irq(SPI)
    irq.enabled = irq.pending_latch = True
    queue(irq)
    regs.set_gicd(GICD_IROUTER + SPI * 8, 0x1, 8)
    assert (irq.target, irq.queued_on, regs.kicks) == (regs.vcpus[1], regs.vcpus[0], [0])


# -- banks ---------------------------------------------------------------------------------------

RESETS: Final = {
    "IGROUPR: group 1": (GICD_IGROUPR + 4, 0xFFFF_FFFF),
    "ISENABLER: disabled": (GICD_ISENABLER + 4, 0),
    "ISPENDR: idle": (GICD_ISPENDR + 4, 0),
    "ISACTIVER: idle": (GICD_ISACTIVER + 4, 0),
    "IPRIORITYR: most urgent": (GICD_IPRIORITYR + 32, 0),
    "ICFGR: edge": (GICD_ICFGR + 8, 0xAAAA_AAAA),
    "ITARGETSR: unused": (ITARGETSR + 32, 0),
    "IGRPMODR: unused": (IGRPMODR + 4, 0),
}


@pytest.mark.parametrize("row", RESETS.values(), ids=RESETS)
def test_spis_reset_to(row: tuple[int, int]) -> None:
    offset, reads = row
    regs = Regs()
    assert (regs.gicd(offset), regs.user(offset)) == (reads, reads)


@pytest.mark.parametrize("who", ["guest", "user"])
def test_no_private_interrupt_is_seen(who: str) -> None:
    regs = Regs()
    for irq in regs.vcpus[0].private:
        irq.enabled = irq.pending_latch = irq.active = True
        irq.priority = 0x80
    before = freeze(regs.dist)
    words = [*range(0x80, 0x400, 0x80), *range(0x400, 0x420, 4), *range(0x800, 0x820, 4), 0xC00, 0xC04, 0xD00]
    reads = 0
    for offset in words:
        if who == "guest":
            regs.set_gicd(offset, 0xFFFF_FFFF)
            reads |= regs.gicd(offset)
        else:
            regs.set_user(offset, 0xFFFF_FFFF)
            reads |= regs.user(offset)
    assert (reads, freeze(regs.dist), regs.kicks) == (0, before, [])


def test_the_last_word_of_spis_works_in_full() -> None:
    regs = Regs(spis=960)
    regs.set_gicd(GICD_ISENABLER + 30 * 4, 0xFFFF_FFFF)
    regs.set_gicd(GICD_IPRIORITYR + 988, 0xF8F0_E8E0)
    assert (regs.gicd(GICD_ISENABLER + 30 * 4), regs.gicd(GICD_ISENABLER + 31 * 4)) == (0xFFFF_FFFF, 0)
    assert (regs.irq(991).enabled, regs.irq(991).priority) == (True, 0xF8)


def test_itargetsr_and_igrpmodr_are_there_for_user_space_but_hold_nothing() -> None:
    regs = Regs()
    before = freeze(regs.dist)
    for offset in (ITARGETSR + 40, IGRPMODR + 4):
        regs.set_user(offset, 0xFFFF_FFFF)
        regs.set_gicd(offset, 0xFFFF_FFFF)
        assert (regs.device.has_attr(Group.DIST_REGS, offset), regs.user(offset)) == (True, 0)
    assert freeze(regs.dist) == before


# -- active state stops the guests ---------------------------------------------------------------

HALTS: Final = {
    "ISACTIVER of SPIs": (GICD_ISACTIVER + 4, True),
    "ICACTIVER of SPIs": (GICD_ICACTIVER + 4, True),
    "ISACTIVER of private interrupts, which are not here": (GICD_ISACTIVER, False),
    "ISACTIVER past the last SPI": (GICD_ISACTIVER + 12, False),
    "ISPENDR": (GICD_ISPENDR + 4, False),
    "ISENABLER": (GICD_ISENABLER + 4, False),
}


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize("row", HALTS.values(), ids=HALTS)
def test_an_access_stops_the_vcpus_that_run(row: tuple[int, bool], access: str) -> None:
    offset, halts = row
    regs = Regs(vcpus=3)
    regs.vcpus[0].enter()
    regs.vcpus[1].enter()
    if access == "read":
        regs.vcpus[0].read(GICD_BASE + offset, 4)
    else:
        regs.vcpus[0].write(GICD_BASE + offset, 4, 0)
    stopped = [vcpu.cost.exits_irq for vcpu in regs.vcpus]
    assert (stopped, regs.kicks) == (([0, 1, 0], [1]) if halts else ([0, 0, 0], []))


# -- through the bus -----------------------------------------------------------------------------

EDGES: Final = {
    "the first byte": (GICD_BASE, 1, True),
    "the last word": (GICD_BASE + 0xFFFC, 4, True),
    "the last byte": (GICD_BASE + 0xFFFF, 1, True),
    "past the end": (GICD_BASE + 0xFFFC, 8, False),
    "before the start": (GICD_BASE - 4, 8, False),
    "behind it": (GICD_BASE + 0x1_0000, 4, False),
}


@pytest.mark.parametrize("row", EDGES.values(), ids=EDGES)
def test_an_access_belongs_to_the_frame_that_holds_all_of_it(row: tuple[int, int, bool]) -> None:
    gpa, size, claimed = row
    regs = Regs()
    vcpu = regs.vcpus[0]
    vcpu.enter()
    assert (vcpu.read(gpa, size) != UNCLAIMED, vcpu.write(gpa, size, 0)) == (claimed, claimed)


def test_a_guest_write_is_cut_to_its_size() -> None:
    regs = Regs()
    vcpu = regs.vcpus[0]
    vcpu.enter()
    vcpu.write(GICD_BASE + GICD_IPRIORITYR + SPI, 1, 0xFFFF_FFA0)
    assert [irq.priority for irq in regs.dist.spis[SPI - 33 : SPI - 29]] == [0, 0xA0, 0, 0]
