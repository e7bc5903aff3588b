"""More interrupts than list registers: when the list is sorted, by what, and who is left outside."""

from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.arch import HCR_UIE
from tests.unit.vgic.rig import EDGE, LEVEL, Rig, acknowledge, end
from vgic.ap_list import queue
from vgic.irq import Irq
from vgic.overflow import arrange, overflows, underflow_request, urgency

LRS: Final = 2


class State(NamedTuple):
    """One entry of a list."""

    active: bool = False
    pending: bool = True
    enabled: bool = True
    priority: int = 0xA0
    level: bool = EDGE
    target: int | None = 0
    wire: bool | None = None  # default: what makes a level one pending


def entries(*states: State) -> list[Irq]:
    """A list of SPIs from INTID 32 on, in these states."""
    rig = Rig(2)
    irqs = []
    for intid, state in enumerate(states, 32):
        irq = rig.irq(intid, level=state.level, enabled=state.enabled, active=state.active, priority=state.priority)
        irq.pending_latch = state.pending and not state.level
        irq.line_level = state.pending and state.level if state.wire is None else state.wire
        irq.target = None if state.target is None else rig.vcpus[state.target]
        irqs.append(irq)
    return irqs


IDLE: Final = State(pending=False)

SORTED: Final = {
    "as many as list registers": ([State(), State()], False),
    "one too many": ([State(), State(), State()], True),
    "one too many, one of them idle": ([State(), IDLE, State()], False),
    "an idle one that is enabled and waits for its device": (
        [State(), State(level=LEVEL, pending=False), State()],
        False,
    ),
    "the wire counts": ([State(level=LEVEL), State(level=LEVEL), State(level=LEVEL)], True),
    "active ones count": ([State(active=True, pending=False), State(active=True), State()], True),
    "pending and active counts once": ([State(active=True), State(active=True)], False),
    "a disabled one counts": ([State(), State(), State(enabled=False)], True),
    "one on its way to another vCPU counts": ([State(), State(), State(target=1)], True),
    "one routed to nobody counts": ([State(), State(), State(target=None)], True),
    "an edge's wire does not count": ([State(), State(pending=False, wire=True), State()], False),
    "an empty list": ([], False),
}


@pytest.mark.parametrize("row", SORTED.values(), ids=SORTED)
def test_overflows(row: tuple[list[State], bool]) -> None:
    states, want = row
    assert overflows(entries(*states), LRS) == want


# Each row: entries in list order, and the order (by position) that sorting gives.
ORDER: Final = {
    "the lower number first": ([State(priority=0xA0), State(priority=0x20), State(priority=0x80)], [1, 2, 0]),
    "a tie keeps its order": ([State(priority=0x80), State(priority=0x80), State(priority=0x80)], [0, 1, 2]),
    "active before the most urgent pending one": ([State(priority=0), State(active=True, priority=0xF8)], [1, 0]),
    "active before pending when disabled too": (
        [State(priority=0), State(active=True, pending=False, enabled=False)],
        [1, 0],
    ),
    "actives keep their order whatever their priority": (
        [State(active=True, priority=0xF8), State(active=True, priority=0x00), State(active=True, priority=0x80)],
        [0, 1, 2],
    ),
    "active and active with pending are equal": (
        [State(active=True, pending=False), State(active=True, pending=True)],
        [0, 1],
    ),
    "disabled after the least urgent enabled one": ([State(enabled=False, priority=0), State(priority=0xF8)], [1, 0]),
    "idle after the least urgent pending one": ([State(pending=False, priority=0), State(priority=0xF8)], [1, 0]),
    "disabled and idle ones keep their order whatever their priority": (
        [State(enabled=False, priority=0xF8), State(pending=False, priority=0), State(enabled=False, priority=0x80)],
        [0, 1, 2],
    ),
    "a level one with its line low is idle": ([State(level=LEVEL, pending=False, priority=0), State()], [1, 0]),
    "an edge without its event is idle, whatever the wire": (
        [State(pending=False, wire=True, priority=0), State()],
        [1, 0],
    ),
    "trigger and target do not matter": (
        [State(target=1), State(level=LEVEL), State(target=None), State(level=LEVEL, target=1)],
        [0, 1, 2, 3],
    ),
    "all keys at once": (
        [
            State(enabled=False, priority=0),
            State(priority=0x80),
            State(active=True, priority=0xF8),
            State(priority=0x10),
            State(pending=False),
            State(active=True, pending=False, priority=0),
            State(priority=0x10),
        ],
        [2, 5, 3, 6, 1, 0, 4],
    ),
}


@pytest.mark.parametrize("row", ORDER.values(), ids=ORDER)
def test_arrange(row: tuple[list[State], list[int]]) -> None:
    states, want = row
    irqs = entries(*states)
    arrange(irqs)
    assert [irq.intid - 32 for irq in irqs] == want


STATES: Final = st.builds(
    State,
    active=st.booleans(),
    pending=st.booleans(),
    enabled=st.booleans(),
    priority=st.sampled_from([0x00, 0x80, 0xF8]),
    level=st.booleans(),
)
POOL: Final = entries(*[State()] * 12)


@given(st.lists(STATES, max_size=12))
def test_sorting_is_stable_and_twice_is_once(states: list[State]) -> None:
    irqs = POOL[: len(states)]
    for irq, state in zip(irqs, states, strict=True):
        irq.active, irq.enabled, irq.priority, irq.level = state.active, state.enabled, state.priority, state.level
        irq.pending_latch, irq.line_level = state.pending and not state.level, state.pending and state.level
    arrange(irqs)
    once = list(irqs)
    arrange(irqs)
    assert irqs == once
    assert once == sorted(once, key=lambda irq: (urgency(irq), irq.intid)), "equals are in order of arrival"


# What a guest sees of it


class Fill(NamedTuple):
    """Entries with INTIDs from 32 on, and what two list registers are given."""

    states: list[State]
    lrs: list[int]
    underflow: bool
    listed: list[int]  # the list afterwards


FILL: Final = {
    "fewer than list registers": Fill([State()], [32], False, [32]),
    "as many as list registers": Fill([State(priority=0xF8), State(priority=0)], [32, 33], False, [32, 33]),
    "the least urgent is left outside": Fill(
        [State(priority=0xF0), State(priority=0), State(priority=0x80)], [33, 34], True, [33, 34, 32]
    ),
    "active ones push out the most urgent": Fill(
        [State(priority=0), State(active=True), State(active=True, pending=False)], [33, 34], True, [33, 34, 32]
    ),
    "of too many actives the oldest get in": Fill(
        [State(active=True, priority=0xF8), State(active=True, priority=0x80), State(active=True, priority=0)],
        [32, 33],
        True,
        [32, 33, 34],
    ),
    "unsorted: list order, and what is not deliverable is skipped": Fill(
        [State(priority=0xF8), IDLE, State(priority=0)], [32, 34], False, [32, 33, 34]
    ),
    "more is asked for even when the rest is undeliverable": Fill(
        [State(), State(), State(enabled=False)], [32, 33], True, [32, 33, 34]
    ),
    "an undeliverable one is skipped before the list registers are full": Fill(
        [State(priority=0xF8), State(target=1, priority=0), State(priority=0x80)], [34, 32], False, [33, 34, 32]
    ),
    "nothing deliverable": Fill([IDLE, State(enabled=False)], [], False, [32, 33]),
}


def entered(fill: Fill) -> Rig:
    """vCPU 0 entered with these entries on its list; vCPU 1 exists."""
    rig = Rig(2, lrs=LRS)
    for intid, state in enumerate(fill.states, 32):
        irq = rig.irq(intid, latch=True)
        queue(irq)
        irq.active, irq.enabled, irq.priority = state.active, state.enabled, state.priority
        irq.pending_latch = state.pending
        irq.target = None if state.target is None else rig.vcpus[state.target]
    rig.vcpu.enter()
    return rig


@pytest.mark.parametrize("row", FILL.values(), ids=FILL)
def test_who_gets_a_list_register(row: Fill) -> None:
    rig = entered(row)
    underflow = rig.vcpu.pe.virt.read_hcr() & HCR_UIE != 0
    assert (rig.lr_intids(), underflow, rig.listed()) == (row.lrs, row.underflow, row.listed)


@pytest.mark.parametrize("row", FILL.values(), ids=FILL)
def test_the_underflow_request_ends_with_the_run(row: Fill) -> None:
    rig = entered(row)
    rig.vcpu.exit()
    assert (rig.vcpu.hcr & HCR_UIE, rig.vcpu.used_lrs, rig.vcpu.pe.virt.maintenance()) == (0, 0, False)


def test_underflow_request_adds_to_what_is_there() -> None:
    assert underflow_request(0x1001) == 0x1001 | HCR_UIE


def test_underflow_brings_the_guest_back_for_the_rest() -> None:
    """With one of two left in, the maintenance interrupt rises; the next entry brings the others, best first."""
    fill = FILL["the least urgent is left outside"]
    rig = entered(fill)
    virt = rig.vcpu.pe.virt
    assert not virt.maintenance()
    assert acknowledge(rig.vcpu) == 33
    assert not virt.maintenance(), "an active interrupt still fills its list register"
    end(rig.vcpu, 33)
    assert virt.maintenance()
    rig.vcpu.exit()
    rig.vcpu.enter()
    assert (rig.lr_intids(), virt.maintenance()) == ([34, 32], False)


def test_an_active_interrupt_outside_the_list_registers_cannot_be_ended() -> None:
    """Linux 6.12 loses the deactivation: nobody reads EOIcount."""
    rig = entered(FILL["of too many actives the oldest get in"])
    virt = rig.vcpu.pe.virt
    virt.write_ap(1, 0, 1)
    end(rig.vcpu, 34)
    assert virt.eoicount == 1
    rig.vcpu.exit()
    assert rig.dist.spis[2].active


def test_the_order_stays_and_later_arrivals_go_behind_it() -> None:
    rig = entered(FILL["the least urgent is left outside"])
    rig.vcpu.exit()
    queue(rig.irq(50, latch=True, priority=0))
    assert rig.listed() == [33, 34, 32, 50]
    rig.vcpu.enter()
    assert rig.listed() == [33, 50, 34, 32], "until the next entry, which sorts again"
