"""Entry and exit: what goes into a list register, what comes back, and what each step costs."""

from collections.abc import Callable
from itertools import product
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICR_ISACTIVER0,
    ICC_DIR_EL1,
    VMCR_VEOIM,
)
from hw.lr import ListReg
from tests.unit.vgic.rig import EDGE, LEVEL, Rig, Tracer, acknowledge, end, take
from vgic import Vcpu
from vgic.irq import Irq

SPI: Final = 40
PPI: Final = 27
HOST_IRQ: Final = 26


# How an interrupt is tied to a physical one

PLAIN: Final = "plain"
MAPPED: Final = "mapped"
RESAMPLED: Final = "mapped, software resampling"
TIES: Final = (PLAIN, MAPPED, RESAMPLED)


class Wire:
    """A device's line, which counts how often it is looked at."""

    def __init__(self, level: bool) -> None:
        self.level = level
        self.looks = 0

    def __call__(self, intid: int) -> bool:
        assert intid == PPI
        self.looks += 1
        return self.level


def one(rig: Rig, level: bool, tie: str, *, active: bool, line: bool, latch: bool, wire: Wire | None = None) -> Irq:
    """PPI 27 in this state and on vCPU 0's list; if tied, to the physical PPI 26."""
    irq = rig.irq(PPI, level=level, active=active, line=line, latch=latch)
    if tie != PLAIN:
        rig.vcpu.map_irq(PPI, HOST_IRQ, wire or Wire(False), sw_resample=tie == RESAMPLED)
    irq.queued_on = rig.vcpu
    irq.refs += 1
    rig.vcpu.ap_list.append(irq)
    return irq


def physically_active(rig: Rig, cpu: int = 0) -> bool:
    """Whether the physical PPI 26 is active."""
    return rig.machine.pes[cpu].redist.read(GICR_ISACTIVER0, 4) >> HOST_IRQ & 1 == 1


def make_physically_active(rig: Rig) -> None:
    """What the host's acknowledge of the physical PPI 26 leaves."""
    rig.vcpu.pe.redist.write(GICR_ISACTIVER0, 4, 1 << HOST_IRQ)


def state(lr: ListReg) -> str:
    """P, A, AP, or nothing."""
    return "A" * lr.active + "P" * lr.pending


# Flush


class Flush(NamedTuple):
    """A record before, the list register it fills, the record after.  None: either way, and unchanged."""

    level: bool
    tie: str
    active: bool
    line: bool | None
    latch: bool | None
    lr: str
    flags: str = ""
    line_after: bool | None = None
    latch_after: bool | None = None


FLUSH: Final = {
    #                                  trigger  tie     active  line   latch
    "edge, an event": Flush(EDGE, PLAIN, False, None, True, "P", latch_after=False),
    "edge, active": Flush(EDGE, PLAIN, True, None, False, "A"),
    "edge, an event while active": Flush(EDGE, PLAIN, True, None, True, "AP", latch_after=False),
    "edge, mapped, an event": Flush(EDGE, MAPPED, False, None, True, "P", "HW", latch_after=False),
    "edge, mapped, active: pending stays on the physical side": Flush(EDGE, MAPPED, True, None, None, "A", "HW"),
    "edge, software resampled, an event": Flush(EDGE, RESAMPLED, False, None, True, "P", latch_after=False),
    "edge, software resampled, active": Flush(EDGE, RESAMPLED, True, None, False, "A"),
    "edge, software resampled, an event while active": Flush(
        EDGE, RESAMPLED, True, None, True, "AP", latch_after=False
    ),
    "level, high": Flush(LEVEL, PLAIN, False, True, None, "P", "EOI"),
    "level, pending by software alone": Flush(LEVEL, PLAIN, False, False, True, "P", "EOI"),
    "level, active: never pending too": Flush(LEVEL, PLAIN, True, None, None, "A", "EOI"),
    "level, mapped, high: the line is dropped": Flush(LEVEL, MAPPED, False, True, None, "P", "HW", line_after=False),
    "level, mapped, pending by software alone": Flush(LEVEL, MAPPED, False, False, True, "P", "HW"),
    "level, mapped, active": Flush(LEVEL, MAPPED, True, None, None, "A", "HW"),
    "level, software resampled, high: the line is dropped": Flush(
        LEVEL, RESAMPLED, False, True, None, "P", "EOI", line_after=False
    ),
    "level, software resampled, pending by software alone": Flush(LEVEL, RESAMPLED, False, False, True, "P", "EOI"),
    "level, software resampled, active": Flush(LEVEL, RESAMPLED, True, None, None, "A", "EOI"),
}


def cases(value: bool | None) -> tuple[bool, ...]:
    """What a column stands for."""
    return (False, True) if value is None else (value,)


@pytest.mark.parametrize("row", FLUSH.values(), ids=FLUSH)
def test_flush(row: Flush) -> None:
    for line, latch in product(cases(row.line), cases(row.latch)):
        rig = Rig()
        irq = one(rig, row.level, row.tie, active=row.active, line=line, latch=latch)
        irq.group, irq.priority = 0, 0x58
        rig.vcpu.enter()
        (lr,) = rig.lrs()
        assert (state(lr), "HW" * lr.hw + "EOI" * lr.eoi) == (row.lr, row.flags)
        assert (lr.vintid, lr.pintid, lr.priority, lr.group) == (PPI, HOST_IRQ if lr.hw else 0, 0x58, 0)
        line_after = line if row.line_after is None else row.line_after
        latch_after = latch if row.latch_after is None else row.latch_after
        assert (irq.line_level, irq.pending_latch, irq.active) == (line_after, latch_after, row.active)


def test_the_flush_rows_cover_every_case_once() -> None:
    """All but what is neither active nor pending, which no list register is given."""
    met = [
        (row.level, row.tie, row.active, line, latch)
        for row in FLUSH.values()
        for line, latch in product(cases(row.line), cases(row.latch))
    ]
    every = product((EDGE, LEVEL), TIES, (False, True), (False, True), (False, True))
    assert sorted(met) == sorted(case for case in every if case[2] or case[4] or (case[0] and case[3]))


@pytest.mark.parametrize("enabled", [False, True], ids=["disabled", "enabled"])
@pytest.mark.parametrize("dist_enabled", [False, True], ids=["distributor off", "distributor on"])
def test_an_active_interrupt_goes_in_whether_or_not_it_is_enabled(dist_enabled: bool, enabled: bool) -> None:
    """With its latch: it can fire again after its deactivation although it is disabled."""
    rig = Rig()
    one(rig, EDGE, PLAIN, active=True, line=False, latch=True).enabled = enabled
    rig.dist.enabled = dist_enabled
    rig.vcpu.enter()
    assert [state(lr) for lr in rig.lrs()] == ["AP"]


STAYS_OUT: Final = {
    #                          trigger  latch  line   distributor
    "a level one with its line low": (LEVEL, False, False, True),
    "an edge without its event": (EDGE, False, False, True),
    "an edge without its event, whatever the wire": (EDGE, False, True, True),
    "anything pending while the distributor is off": (EDGE, True, False, False),
}


@pytest.mark.parametrize("row", STAYS_OUT.values(), ids=STAYS_OUT)
def test_listed_and_not_deliverable_stays_out(row: tuple[bool, bool, bool, bool]) -> None:
    level, latch, line, dist_enabled = row
    rig = Rig()
    one(rig, level, PLAIN, active=False, line=line, latch=latch)
    rig.dist.enabled = dist_enabled
    rig.vcpu.enter()
    assert (rig.lrs(), rig.listed()) == ([], [PPI])
    rig.vcpu.exit()
    assert rig.listed() == []


def test_flush_leaves_what_it_does_not_use_empty() -> None:
    rig = Rig()
    for intid in (40, 41, 42):
        rig.irq(intid)
        rig.vm.inject(intid)
    rig.vcpu.enter()
    assert [lr.vintid for lr in rig.vcpu.pe.virt.lrs] == [40, 41, 42, 0]
    for _ in range(3):
        take(rig.vcpu)
    rig.vcpu.exit()
    assert rig.vcpu.pe.virt.snapshot().lrs == (0, 0, 0, 0)


@pytest.mark.parametrize("row", FLUSH.values(), ids=FLUSH)
def test_an_entry_that_was_aborted_changes_nothing(row: Flush) -> None:
    """Flush is undone by sync when the guest did not run.

    A mapped line is sampled anew; software resampling leaves it low, and the host free to take the interrupt again.
    """
    for line, latch in product(cases(row.line), cases(row.latch)):
        rig = Rig()
        irq = one(rig, row.level, row.tie, active=row.active, line=line, latch=latch, wire=Wire(line))
        rig.vcpu.enter()
        rig.vcpu.exit()
        dropped = row.tie == RESAMPLED and row.line_after is False
        assert (irq.active, irq.pending_latch, irq.line_level) == (row.active, latch, line and not dropped)
        assert rig.listed() == ([PPI] if irq.active or irq.is_pending() else [])


# End to end


def listen(rig: Rig, listener: Callable[[int], None] | None = None) -> list[int]:
    """Collect what completions of SPI 40 are told."""
    told: list[int] = []

    def completed(intid: int) -> None:
        told.append(intid)
        if listener is not None:
            listener(intid)

    rig.vm.add_ack_notifier(SPI, completed)
    return told


def test_a_level_spi_still_high_after_its_completion_is_delivered_again() -> None:
    rig = Rig()
    told = listen(rig)
    irq = rig.irq(SPI, level=LEVEL)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    assert take(rig.vcpu) == SPI
    rig.vcpu.exit()
    assert (told, irq.active, irq.pending_latch, irq.line_level, rig.listed()) == ([SPI], False, False, True, [SPI])
    rig.vcpu.enter()
    assert take(rig.vcpu) == SPI


def test_a_listener_that_lowers_the_line_ends_it() -> None:
    rig = Rig()
    told = listen(rig, lambda intid: rig.vm.inject(intid, False))
    rig.irq(SPI, level=LEVEL)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    take(rig.vcpu)
    rig.vcpu.exit()
    assert (told, rig.listed()) == ([SPI], [])


def test_a_level_spi_only_acknowledged_goes_in_as_active() -> None:
    rig = Rig()
    told = listen(rig)
    irq = rig.irq(SPI, level=LEVEL)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    acknowledge(rig.vcpu)
    rig.vcpu.exit()
    assert irq.active
    rig.vcpu.enter()
    (lr,) = rig.lrs()
    assert (state(lr), lr.eoi, told) == ("A", True, [])
    end(rig.vcpu, SPI)
    rig.vcpu.exit()
    assert (irq.active, told) == (False, [SPI])


NOT_TOLD: Final = {
    #                                   trigger mapped guest
    "an edge": (EDGE, False, take),
    "a mapped one": (LEVEL, True, take),
    "one that is not completed": (LEVEL, False, acknowledge),
    "one that is not acknowledged": (LEVEL, False, lambda vcpu: None),
}


@pytest.mark.parametrize("row", NOT_TOLD.values(), ids=NOT_TOLD)
def test_no_completion_is_told_of(row: tuple[bool, bool, Callable[[Vcpu], object]]) -> None:
    level, mapped, guest = row
    rig = Rig()
    told = listen(rig)
    rig.irq(SPI, level=level)
    if mapped:
        rig.vcpu.map_irq(SPI, 50)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    guest(rig.vcpu)
    rig.vcpu.exit()
    assert told == []


def test_completions_of_a_private_interrupt_are_not_told_of() -> None:
    rig = Rig()
    told = listen(rig)
    rig.vm.trace = tracer = Tracer()
    rig.irq(PPI)
    rig.vm.inject(PPI, vcpu=rig.vcpu)
    rig.vcpu.enter()
    take(rig.vcpu)
    rig.vcpu.exit()
    assert (told, tracer.seen) == ([], [("update", 0, PPI, True)])


def test_a_completion_is_traced_with_its_pin() -> None:
    rig = Rig()
    rig.irq(SPI, level=LEVEL)
    rig.vm.inject(SPI)
    rig.vm.trace = tracer = Tracer()
    rig.vcpu.enter()
    take(rig.vcpu)
    rig.vcpu.exit()
    assert tracer.seen == [("ack", 0, SPI - 32)]


def timer(rig: Rig, level: bool = True) -> tuple[Irq, Wire]:
    """The guest's timer: PPI 27 mapped, its physical interrupt active, its line injected."""
    device = Wire(level)
    irq = rig.irq(PPI)
    rig.vcpu.map_irq(PPI, HOST_IRQ, device)
    make_physically_active(rig)
    rig.vm.inject(PPI, level, vcpu=rig.vcpu)
    return irq, device


def test_a_timer_acknowledged_silenced_and_completed_in_one_run() -> None:
    """Hardware deactivates the physical interrupt; nothing has to be sampled, and nothing is left."""
    rig = Rig()
    irq, device = timer(rig)
    rig.vcpu.enter()
    assert acknowledge(rig.vcpu) == PPI
    device.level = False
    assert physically_active(rig)
    end(rig.vcpu, PPI)
    assert not physically_active(rig)
    rig.vcpu.exit()
    assert (irq.is_pending(), device.looks, rig.listed()) == (False, 0, [])


@pytest.mark.parametrize("level", [False, True], ids=["low by now", "still high"])
def test_a_timer_not_acknowledged_is_sampled_at_the_exit(level: bool) -> None:
    rig = Rig()
    irq, device = timer(rig)
    rig.vcpu.enter()
    device.level = level
    rig.vcpu.exit()
    assert (irq.line_level, rig.listed(), physically_active(rig)) == (level, [PPI] if level else [], level)


def test_a_host_without_hardware_deactivation_clears_the_active_state_itself() -> None:
    rig = Rig()
    rig.irq(PPI)
    rig.vcpu.map_irq(PPI, HOST_IRQ, Wire(True), sw_resample=True)
    make_physically_active(rig)
    rig.vm.inject(PPI, vcpu=rig.vcpu)
    rig.vcpu.enter()
    take(rig.vcpu)
    assert physically_active(rig)
    rig.vcpu.exit()
    assert not physically_active(rig)


def test_an_edge_struck_again_while_active_is_delivered_once_more() -> None:
    rig = Rig()
    rig.irq(SPI)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    acknowledge(rig.vcpu)
    for _ in range(3):
        rig.vm.inject(SPI)
    rig.vcpu.exit()
    rig.vcpu.enter()
    assert [state(lr) for lr in rig.lrs()] == ["AP"]
    end(rig.vcpu, SPI)
    assert [take(rig.vcpu), acknowledge(rig.vcpu)] == [SPI, 1023]
    rig.vcpu.exit()
    assert rig.listed() == []


def test_edges_between_two_entries_are_one() -> None:
    rig = Rig()
    rig.irq(SPI)
    for _ in range(3):
        rig.vm.inject(SPI)
    rig.vcpu.enter()
    assert [take(rig.vcpu), acknowledge(rig.vcpu)] == [SPI, 1023]


def test_a_line_that_rose_and_fell_before_the_entry_is_gone() -> None:
    rig = Rig()
    rig.irq(SPI, level=LEVEL)
    rig.vm.inject(SPI, True)
    rig.vm.inject(SPI, False)
    rig.vcpu.enter()
    assert acknowledge(rig.vcpu) == 1023
    rig.vcpu.exit()
    assert rig.listed() == []


def test_with_eoimode_1_the_interrupt_stays_active_until_dir() -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=LEVEL)
    rig.vcpu.vmcr |= VMCR_VEOIM
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    take(rig.vcpu)
    rig.vcpu.exit()
    assert irq.active
    rig.vcpu.enter()
    rig.vcpu.msr(ICC_DIR_EL1, SPI)
    rig.vcpu.exit()
    assert not irq.active
