"""SGIs of a GICv2 guest in list registers: their sources go in one by one, and come back."""

from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.arch import GICC_CTLR, GICC_CTLR_ACKCTL, HCR_UIE
from hw.lr import ListReg
from tests.unit.vgic.rig import LEVEL
from tests.unit.vgic.v2.rig import BOTH_HOSTS, Rig
from vgic.ap_list import queue
from vgic.v2.lr import LrRulesV2

SGI: Final = 5
SPI: Final = 40
SPURIOUS: Final = 1023


def vintid(intid: int, source: int) -> int:
    return source << 10 | intid


class Lr(NamedTuple):
    """What matters of a list register."""

    vintid: int
    pending: bool
    active: bool
    eoi: bool


def seen(lr: ListReg) -> Lr:
    assert not lr.hw
    return Lr(lr.vintid, lr.pending, lr.active, lr.eoi)


# -- populate ------------------------------------------------------------------------------------


class Populate(NamedTuple):
    """An SGI's state, its list register, and (sources, latch) afterwards."""

    active: bool
    sources: int
    lr: Lr
    after: tuple[int, bool]


POPULATE: Final = {
    "pending from one CPU": Populate(False, 0b0100, Lr(vintid(SGI, 2), True, False, False), (0, False)),
    "pending from CPU 0": Populate(False, 0b0001, Lr(vintid(SGI, 0), True, False, False), (0, False)),
    "pending from several: the lowest first": Populate(
        False, 0b1010_0010, Lr(vintid(SGI, 1), True, False, True), (0b1010_0000, True)
    ),
    "pending from CPU 7": Populate(False, 0x80, Lr(vintid(SGI, 7), True, False, False), (0, False)),
    "active": Populate(True, 0, Lr(vintid(SGI, 3), False, True, False), (0, False)),
    "active, and another waits: never pending and active": Populate(
        True, 0b1, Lr(vintid(SGI, 3), False, True, True), (0b1, True)
    ),
    "active, and several wait": Populate(True, 0b1001, Lr(vintid(SGI, 3), False, True, True), (0b1001, True)),
}


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize("row", POPULATE.values(), ids=POPULATE)
def test_populate(row: Populate, host: str) -> None:
    rig = Rig(host=host)
    irq = rig.irq(SGI, active=row.active, sources=row.sources, active_source=3, group=1, priority=0x50)
    LrRulesV2().populate(rig.vcpu.pe.virt, 2, irq)
    lr = rig.vcpu.pe.virt.lrs[2]
    assert seen(lr) == row.lr
    assert (lr.group, lr.priority) == (1, 0x50)
    assert (irq.source, irq.pending_latch) == row.after


@pytest.mark.parametrize("level", [False, LEVEL], ids=["edge", "level"])
def test_others_are_as_on_a_gicv3(level: bool) -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=level, latch=True)
    LrRulesV2().populate(rig.vcpu.pe.virt, 0, irq)
    assert seen(rig.vcpu.pe.virt.lrs[0]) == Lr(SPI, True, False, level)


# -- fold ----------------------------------------------------------------------------------------


class Fold(NamedTuple):
    """What a list register from CPU 2 came back as, and (active, active_source, sources, latch) afterwards.

    Before, the SGI is active from CPU 6, and CPU 0 waits if `waits`.
    """

    pending: bool
    active: bool
    waits: bool
    after: tuple[bool, int, int, bool]


FOLD: Final = {
    "never acknowledged: its source waits again": Fold(True, False, False, (False, 6, 0b100, True)),
    "never acknowledged, beside another": Fold(True, False, True, (False, 6, 0b101, True)),
    "acknowledged": Fold(False, True, False, (True, 2, 0, False)),
    "acknowledged, another waits": Fold(False, True, True, (True, 2, 0b1, True)),
    "completed": Fold(False, False, False, (False, 6, 0, False)),
    "completed, another waits": Fold(False, False, True, (False, 6, 0b1, True)),
}


@pytest.mark.parametrize("row", FOLD.values(), ids=FOLD)
def test_fold(row: Fold) -> None:
    rig = Rig()
    irq = rig.irq(SGI, active=True, sources=int(row.waits), active_source=6)
    LrRulesV2().fold(irq, vintid(SGI, 2), row.pending, row.active)
    assert (irq.active, irq.active_source, irq.source, irq.pending_latch) == row.after


@given(
    st.lists(
        st.tuples(st.integers(0, 15), st.integers(0, 255), st.booleans(), st.integers(0, 7), st.integers(0, 31)),
        max_size=10,
        unique_by=lambda sgi: sgi[0],
    ),
    st.integers(1, 6),
    st.sampled_from(BOTH_HOSTS),
)
def test_entry_and_exit_without_the_guest_change_nothing(
    sgis: list[tuple[int, int, bool, int, int]], lrs: int, host: str
) -> None:
    rig = Rig(lrs=lrs, host=host)
    irqs = [
        rig.irq(intid, sources=sources, active=active, active_source=source, priority=priority << 3)
        for intid, sources, active, source, priority in sgis
    ]
    for irq in irqs:
        queue(irq)

    def state() -> list[tuple[int, bool, bool, int, bool]]:
        return [
            (irq.source, irq.pending_latch, irq.active, irq.active_source, irq.queued_on is not None) for irq in irqs
        ]

    before = state()
    rig.vcpu.enter()
    held = [lr.vintid & 0x3FF for lr in rig.lrs()]
    assert len(set(held)) == len(held), "no INTID stands in two list registers"
    assert all(lr.pending != lr.active for lr in rig.lrs()), "never pending and active"
    rig.vcpu.exit()
    assert state() == before


# -- who gets a list register ----------------------------------------------------------------------


class Fill(NamedTuple):
    """SGIs (intid, sources, active, priority) in order of arrival; the list registers; whether more are asked for.

    `lrs` are vINTIDs, in order.
    """

    sgis: list[tuple[int, int, bool, int]]
    lrs: list[int]
    underflow: bool
    nr_lr: int = 4


FILL: Final = {
    "one source each: order of arrival": Fill(
        [(1, 1, False, 0xA0), (2, 2, False, 0x50)], [vintid(1, 0), vintid(2, 1)], False
    ),
    "several sources: sorted, and nothing less urgent overtakes the rest": Fill(
        [(1, 1, False, 0xA0), (2, 0b110, False, 0x50)], [vintid(2, 1)], False
    ),
    "the equally urgent go in too": Fill(
        [(1, 1, False, 0x50), (2, 0b110, False, 0x50), (3, 1, False, 0x58)], [vintid(1, 0), vintid(2, 1)], False
    ),
    "what is more urgent comes first": Fill(
        [(2, 0b110, False, 0x50), (1, 1, False, 0x48)], [vintid(1, 0), vintid(2, 1)], False
    ),
    "an active one with one more source waiting is several, too": Fill(
        [(1, 1, False, 0xA0), (2, 0b1, True, 0x50)], [vintid(2, 0)], False
    ),
    "an active one that waits for nobody stops nothing": Fill(
        [(2, 0, True, 0x50), (1, 1, False, 0xA0)], [vintid(2, 0), vintid(1, 0)], False
    ),
    "trap: it also stops an active one behind it, without asking for more": Fill(
        [(2, 0b1, True, 0x50), (3, 0, True, 0xA0), (1, 1, False, 0x40)], [vintid(2, 0)], False
    ),
    "two with several sources": Fill(
        [(1, 0b11, False, 0x50), (2, 0b11, False, 0x50)], [vintid(1, 0), vintid(2, 0)], False
    ),
    "full: the rest is asked for": Fill(
        [(1, 0b11, False, 0x50), (2, 0b11, False, 0x50)], [vintid(1, 0)], True, nr_lr=1
    ),
    "full with the last: nothing is": Fill([(1, 0b11, False, 0x50)], [vintid(1, 0)], False, nr_lr=1),
    "sources count: two interrupts want three list registers": Fill(
        [(1, 1, False, 0xA0), (2, 0b11, False, 0xA8)], [vintid(1, 0), vintid(2, 0)], False, nr_lr=2
    ),
}


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize("row", FILL.values(), ids=FILL)
def test_fill(row: Fill, host: str) -> None:
    rig = Rig(3, lrs=row.nr_lr, host=host)
    for intid, sources, active, priority in row.sgis:
        queue(rig.irq(intid, sources=sources, active=active, priority=priority))
    rig.vcpu.enter()
    assert [lr.vintid for lr in rig.lrs()] == row.lrs
    assert bool(rig.vcpu.hcr & HCR_UIE) == row.underflow


def test_what_is_not_for_this_vcpu_is_skipped_but_can_stop_the_walk() -> None:
    rig = Rig(2)
    queue(rig.irq(1, sources=0b11, priority=0x50))
    queue(rig.irq(SPI, latch=True, priority=0x40))
    rig.found(SPI).target = rig.vcpus[1]
    queue(rig.irq(2, sources=1, priority=0x50))
    rig.vcpu.enter()
    assert [lr.vintid for lr in rig.lrs()] == [vintid(1, 0), vintid(2, 0)]


# -- what the guest sees -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_each_source_is_delivered_with_its_cpu(host: str) -> None:
    """The end of one raises the maintenance interrupt, which brings the next."""
    rig = Rig(8, host=host)
    for source in (6, 1, 3):
        rig.set_gicd(0xF00, 0x0001_0005, by=source)
    taken = []
    for _ in range(3):
        rig.vcpu.enter()
        iar = rig.acknowledge()
        taken.append(iar)
        assert rig.acknowledge() == SPURIOUS, "one at a time"
        rig.end(iar)
        assert rig.vcpu.pe.virt.maintenance() == (len(taken) < 3)
        rig.vcpu.exit()
    assert taken == [vintid(5, 1), vintid(5, 3), vintid(5, 6)]
    assert rig.listed() == []


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_the_rest_waits_until_the_guest_has_deactivated(host: str) -> None:
    rig = Rig(4, host=host)
    for source in (1, 2):
        rig.set_gicd(0xF00, 0x0001_0005, by=source)
    rig.vcpu.enter()
    assert rig.acknowledge() == vintid(5, 1)
    rig.vcpu.exit()
    irq = rig.found(5)
    assert (irq.active, irq.active_source, irq.source) == (True, 1, 0b100)
    rig.vcpu.enter()
    assert rig.acknowledge() == SPURIOUS
    rig.end(vintid(5, 1))
    rig.vcpu.exit()
    rig.vcpu.enter()
    assert rig.acknowledge() == vintid(5, 2)


def test_group_1_needs_ackctl() -> None:
    rig = Rig(2)
    rig.irq(SGI, group=1)
    rig.set_gicd(0xF00, 0x0001_0005, by=1)
    rig.vcpu.enter()
    assert rig.acknowledge() == 1022
    rig.set_gicc(GICC_CTLR, 3 | GICC_CTLR_ACKCTL)
    assert rig.acknowledge() == vintid(5, 1)
