"""Who holds an interrupt: queueing, pruning, moving, and what is never queued at all."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_CTLR,
    GICD_CTLR_ENABLE_GRP1,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
)
from tests.unit.vgic.rig import EDGE, LEVEL, Rig
from vgic import VgicError
from vgic.ap_list import check, prune, queue
from vgic.dist import Dist
from vgic.errors import EBUSY
from vgic.perirq import set_line_levels

SPI: Final = 40


def gicd(rig: Rig, offset: int, size: int, value: int) -> None:
    """A write of the distributor by vCPU 0, the run loop around it left out."""
    frame = rig.dist.frame
    assert frame is not None
    frame.write(rig.vcpu, offset, size, value)


def bit(rig: Rig, bank: int, intid: int = SPI) -> None:
    """Write 1 to the interrupt's bit of a bank."""
    gicd(rig, bank + intid // 32 * 4, 4, 1 << intid % 32)


def route(rig: Rig, aff: int, intid: int = SPI) -> None:
    """Write the interrupt's GICD_IROUTER."""
    gicd(rig, GICD_IROUTER + intid * 8, 8, aff)


# Queueing


class Queue(NamedTuple):
    """SPI 40 in a state; vCPU 0 is its target unless routed elsewhere.  `holder`: who lists it before."""

    enabled: bool = True
    latch: bool = True
    active: bool = False
    target: int | None = 0
    holder: int | None = None
    dist_enabled: bool = True
    listed_on: int | None = None  # afterwards
    kicked: int | None = None


QUEUE: Final = {
    "deliverable goes to its target": Queue(listed_on=0, kicked=0),
    "routed to another vCPU goes there": Queue(target=1, listed_on=1, kicked=1),
    "listed already is a kick and nothing else": Queue(holder=0, listed_on=0, kicked=0),
    "listed on one, routed to another: the new target is kicked, the list left alone": Queue(
        holder=0, target=1, listed_on=0, kicked=1
    ),
    "disabled is not listed": Queue(enabled=False),
    "not pending is not listed": Queue(latch=False),
    "routed to nobody is not listed": Queue(target=None),
    "with the distributor off it is not listed": Queue(dist_enabled=False),
    "listed and no longer deliverable stays listed, without a kick": Queue(latch=False, holder=0, listed_on=0),
    "active is listed although disabled, idle and the distributor off": Queue(
        enabled=False, latch=False, active=True, dist_enabled=False, listed_on=0, kicked=0
    ),
    "active and listed kicks its holder, not its new target": Queue(
        active=True, holder=0, target=1, listed_on=0, kicked=0
    ),
    "active and routed to nobody is not listed": Queue(active=True, target=None),
}


@pytest.mark.parametrize("row", QUEUE.values(), ids=QUEUE)
def test_queue(row: Queue) -> None:
    rig = Rig(2)
    irq = rig.irq(SPI, active=row.active, enabled=row.enabled, latch=row.latch)
    if row.holder is not None:
        irq.queued_on = rig.vcpus[row.holder]
        irq.refs += 1
        rig.vcpus[row.holder].ap_list.append(irq)
    irq.target = None if row.target is None else rig.vcpus[row.target]
    rig.dist.enabled = row.dist_enabled
    queue(irq)
    lists = [[SPI] if row.listed_on == index else [] for index in range(2)]
    assert ([rig.listed(0), rig.listed(1)], rig.kicks) == (lists, [] if row.kicked is None else [row.kicked])


def test_arrivals_go_to_the_tail_whatever_their_priority() -> None:
    rig = Rig()
    for intid, priority in ((50, 0xF0), (33, 0x00), (41, 0x80)):
        queue(rig.irq(intid, latch=True, priority=priority))
    assert rig.listed() == [50, 33, 41]


def test_each_vcpu_lists_its_own_private_interrupt() -> None:
    rig = Rig(2)
    for vcpu in (1, 0):
        queue(rig.irq(5, vcpu=vcpu, latch=True))
    assert (rig.listed(0), rig.listed(1), rig.kicks) == ([5], [5], [1, 0])
    rig.vm.check()


# Pruning


class Prune(NamedTuple):
    """SPI 40 was queued on vCPU 0 pending and enabled; what became of it before vCPU 0 prunes."""

    changed: Callable[[Rig], None]
    listed_on: int | None


def change(**fields: bool) -> Callable[[Rig], None]:
    """Set fields of SPI 40."""

    def apply(rig: Rig) -> None:
        for name, value in fields.items():
            setattr(rig.dist.spis[SPI - 32], name, value)

    return apply


def activate_and_route(rig: Rig) -> None:
    change(active=True)(rig)
    route(rig, 1)


PRUNE: Final = {
    "still deliverable here is kept": Prune(change(), 0),
    "no longer pending is dropped": Prune(change(pending_latch=False), None),
    "its line fallen is dropped": Prune(change(pending_latch=False, level=True), None),
    "its line high is kept": Prune(change(pending_latch=False, level=True, line_level=True), 0),
    "an edge taken is dropped, whatever the wire": Prune(change(pending_latch=False, line_level=True), None),
    "disabled is dropped": Prune(change(enabled=False), None),
    "with the distributor off it is dropped": Prune(lambda rig: setattr(rig.dist, "enabled", False), None),
    "routed to nobody is dropped": Prune(lambda rig: route(rig, 0x99), None),
    "routed to another vCPU moves there": Prune(lambda rig: route(rig, 1), 1),
    "active is kept": Prune(change(active=True, pending_latch=False), 0),
    "active is kept when disabled": Prune(change(active=True, enabled=False), 0),
    "active and routed elsewhere is kept": Prune(activate_and_route, 0),
}


@pytest.mark.parametrize("row", PRUNE.values(), ids=PRUNE)
def test_prune(row: Prune) -> None:
    rig = Rig(2)
    irq = rig.irq(SPI, latch=True)
    queue(irq)
    row.changed(rig)
    rig.kicks.clear()
    prune(rig.vcpu)
    lists = [[SPI] if row.listed_on == index else [] for index in range(2)]
    assert ([rig.listed(0), rig.listed(1)], rig.kicks) == (lists, [1] if row.listed_on == 1 else [])
    rig.vm.check()


def test_several_move_in_list_order_to_the_tails_with_a_kick_each() -> None:
    """Kept ones keep their order; the kicks come when every list is as it will be."""
    rig = Rig(3)
    seen: list[tuple[int, list[int], list[int], list[int]]] = []
    queue(rig.irq(60, vcpu=1, latch=True))
    for intid in (45, 41, 44, 42, 43):
        queue(rig.irq(intid, latch=True))
    for intid, aff in ((45, 1), (41, 2), (42, 1)):
        route(rig, aff, intid)
    rig.dist.spis[44 - 32].pending_latch = False

    def kicked(vcpu: int) -> None:
        seen.append((vcpu, rig.listed(0), rig.listed(1), rig.listed(2)))

    rig.vm.kick = kicked
    prune(rig.vcpu)
    after = ([43], [60, 45, 42], [41])
    assert seen == [(1, *after), (2, *after), (1, *after)]


def test_an_active_interrupt_migrates_once_it_is_deactivated() -> None:
    rig = Rig(2)
    irq = rig.irq(SPI, level=LEVEL, line=True, active=True)
    queue(irq)
    route(rig, 1)
    prune(rig.vcpu)
    assert rig.listed(0) == [SPI]
    irq.active = False
    prune(rig.vcpu)
    assert (rig.listed(0), rig.listed(1)) == ([], [SPI])


# Affinity moves nothing by itself


@pytest.mark.parametrize("queued", [False, True], ids=["unqueued", "queued"])
def test_routing_neither_moves_nor_queues(queued: bool) -> None:
    rig = Rig(2)
    irq = rig.irq(SPI, latch=True)
    if queued:
        queue(irq)
    rig.kicks.clear()
    route(rig, 1)
    assert (rig.listed(0), rig.listed(1), rig.kicks) == ([SPI] if queued else [], [], [])


def test_a_rerouted_interrupt_is_skipped_by_the_old_vcpu_and_moved_at_its_exit() -> None:
    rig = Rig(2)
    queue(rig.irq(SPI, latch=True))
    route(rig, 1)
    rig.vcpu.enter()
    assert rig.lr_intids(0) == [], "flush leaves it to the next prune"
    rig.kicks.clear()
    rig.vcpu.exit()
    assert (rig.listed(0), rig.listed(1), rig.kicks) == ([], [SPI], [1])


# Stranding: what became deliverable without being queued waits for one of these


def enabled_again(rig: Rig) -> Dist:
    """SPI 40 latched while the distributor was off, and the distributor on again: pending, listed nowhere."""
    rig.irq(SPI, level=EDGE)
    rig.dist.enabled = False
    rig.vm.inject(SPI)
    gicd(rig, GICD_CTLR, 4, GICD_CTLR_ENABLE_GRP1)
    return rig.dist


def levels(rig: Rig, value: int) -> None:
    """LEVEL_INFO for INTIDs 32 to 63."""
    set_line_levels(rig.dist.spis[:32], value)


def off_and_on(rig: Rig) -> None:
    gicd(rig, GICD_CTLR, 4, 0)
    gicd(rig, GICD_CTLR, 4, GICD_CTLR_ENABLE_GRP1)


def enter_and_exit(rig: Rig) -> None:
    rig.vcpu.enter()
    rig.vcpu.exit()


STRANDED: Final = {
    #                                                                              listed
    "nothing": (lambda rig: None, False),
    "another edge": (lambda rig: rig.vm.inject(SPI), True),
    "the edge's fall": (lambda rig: rig.vm.inject(SPI, False), False),
    "ISENABLER, though enabled": (lambda rig: bit(rig, GICD_ISENABLER), True),
    "ISPENDR, though pending": (lambda rig: bit(rig, GICD_ISPENDR), True),
    "IGROUPR, unchanged": (lambda rig: gicd(rig, GICD_IGROUPR + 4, 4, 0xFFFF_FFFF), True),
    "ISACTIVER": (lambda rig: bit(rig, GICD_ISACTIVER), True),
    "LEVEL_INFO of 1": (lambda rig: levels(rig, 1 << SPI - 32), True),
    "LEVEL_INFO of 0": (lambda rig: levels(rig, 0), False),
    "IROUTER": (lambda rig: route(rig, 1), False),
    "ICFGR": (lambda rig: gicd(rig, GICD_ICFGR + 8, 4, 0xFFFF_FFFF), False),
    "IPRIORITYR": (lambda rig: gicd(rig, GICD_IPRIORITYR + SPI, 1, 0), False),
    "ICENABLER of another": (lambda rig: bit(rig, GICD_ICENABLER, SPI + 1), False),
    "ICPENDR of another": (lambda rig: bit(rig, GICD_ICPENDR, SPI + 1), False),
    "GICD_CTLR off and on": (off_and_on, False),
    "an entry and exit": (enter_and_exit, False),
}


@pytest.mark.parametrize("row", STRANDED.values(), ids=STRANDED)
def test_what_lists_a_stranded_interrupt(row: tuple[Callable[[Rig], object], bool]) -> None:
    event, want = row
    rig = Rig(2)
    dist = enabled_again(rig)
    assert dist.spis[SPI - 32].is_pending()
    assert rig.listed() == []
    event(rig)
    assert rig.listed() == ([SPI] if want else [])


def test_config_made_level_with_the_wire_high_is_pending_and_unlisted() -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=EDGE)
    levels(rig, 1 << SPI - 32)
    gicd(rig, GICD_ICFGR + SPI // 16 * 4, 4, 0)
    assert (irq.is_pending(), rig.listed()) == (True, [])


def test_a_disabled_distributor_strands_at_the_next_prune_what_was_listed() -> None:
    rig = Rig()
    irq = rig.irq(SPI, latch=True)
    queue(irq)
    gicd(rig, GICD_CTLR, 4, 0)
    rig.vcpu.enter()
    rig.vcpu.exit()
    gicd(rig, GICD_CTLR, 4, GICD_CTLR_ENABLE_GRP1)
    assert (irq.is_pending(), rig.listed()) == (True, [])


def test_enabling_the_distributor_kicks_those_who_list_something_deliverable() -> None:
    rig = Rig(3)
    queue(rig.irq(SPI, vcpu=1, latch=True))
    queue(rig.irq(SPI + 1, vcpu=2, active=True))
    gicd(rig, GICD_CTLR, 4, 0)
    rig.kicks.clear()
    gicd(rig, GICD_CTLR, 4, GICD_CTLR_ENABLE_GRP1)
    assert rig.kicks == [1], "an active interrupt is nothing to wake up for"
    gicd(rig, GICD_CTLR, 4, GICD_CTLR_ENABLE_GRP1)
    assert rig.kicks == [1], "it was enabled already"


# The room's invariants


def lose(rig: Rig) -> None:
    rig.vcpu.ap_list.clear()


def double(rig: Rig) -> None:
    rig.vcpu.ap_list.append(rig.vcpu.ap_list[0])


def disown(rig: Rig) -> None:
    rig.vcpu.ap_list[0].queued_on = None


def misplace(rig: Rig) -> None:
    rig.vcpu.ap_list[0].queued_on = rig.vcpus[1]


BROKEN: Final = {
    "an interrupt without its list": (lose, "lost its list"),
    "an interrupt listed twice": (double, "listed twice"),
    "a listed interrupt that thinks it is not": (disown, "thinks otherwise"),
    "a listed interrupt that thinks it is elsewhere": (misplace, "thinks otherwise"),
}


@pytest.mark.parametrize("row", BROKEN.values(), ids=BROKEN)
def test_check_finds(row: tuple[Callable[[Rig], None], str]) -> None:
    breaks, message = row
    rig = Rig(2)
    queue(rig.irq(5, latch=True))
    check(rig.vcpu)
    breaks(rig)
    with pytest.raises(AssertionError, match=message):
        rig.vm.check()


def test_a_lost_spi_is_found_too() -> None:
    rig = Rig()
    queue(rig.irq(SPI, latch=True))
    lose(rig)
    with pytest.raises(AssertionError, match="lost its list"):
        rig.vm.check()


def test_injection_before_init_is_refused_and_lists_nothing() -> None:
    rig = Rig()
    rig.dist.initialized = False
    with pytest.raises(VgicError) as error:
        rig.vm.inject(SPI)
    assert (error.value.errno, rig.listed()) == (EBUSY, [])
