"""What comes back from a list register: every record, everything a guest can do with it, and the physical side."""

from itertools import product
from typing import Final, NamedTuple

import pytest

from hw.arch import GICD_ISACTIVER
from tests.unit.vgic.rig import EDGE, LEVEL, Rig
from tests.unit.vgic.test_run import (
    FLUSH,
    HOST_IRQ,
    PLAIN,
    PPI,
    RESAMPLED,
    SPI,
    Wire,
    cases,
    make_physically_active,
    one,
    physically_active,
)
from vgic.irq import Irq
from vgic.lr import LrRules

RULES: Final = LrRules()

# Fold: every record, every list register it fills, everything a guest can do with it

DONE: Final = {"P": ("P", "A", ""), "A": ("A", ""), "AP": ("AP", "P", "A", "")}
"""What a list register entered as may come back as."""


class Folded(NamedTuple):
    """What a record is after the run."""

    active: bool
    latch: bool
    line: bool
    sampled: bool  # the device's wire was looked at
    cleared: bool  # the physical active state was cleared by the fold


def expected(level: bool, tie: str, entered: Irq, left: str, wire: bool) -> Folded:
    """The rules one by one, from the record as the flush left it and the state the guest left."""
    active, pending = "A" in left, "P" in left
    latch, line = entered.pending_latch, entered.line_level
    if not level:
        return Folded(active, latch or pending, line, False, False)
    latch = latch and (active or pending)
    if tie == PLAIN:
        return Folded(active, latch, line, False, False)
    if tie == RESAMPLED:
        return Folded(active, latch, line, False, not active and not latch)
    if pending or (entered.active and not active and line):
        return Folded(active, latch, wire, True, not wire)
    return Folded(active, latch, line, False, False)


RUNS: Final = [
    (level, tie, active, line, latch, left)
    for row in FLUSH.values()
    for level, tie, active, line, latch in product(
        (row.level,), (row.tie,), (row.active,), cases(row.line), cases(row.latch)
    )
    for left in DONE[row.lr]
]


def run_name(run: tuple[bool, str, bool, bool, bool, str]) -> str:
    level, tie, active, line, latch, left = run
    flags = "+".join([*["active"] * active, *["high"] * line, *["latched"] * latch])
    return f"{'level' if level else 'edge'} {tie}: {flags} comes back {left or 'empty'}"


@pytest.mark.parametrize("wire", [False, True], ids=["wire low", "wire high"])
@pytest.mark.parametrize("run", RUNS, ids=map(run_name, RUNS))
def test_fold(run: tuple[bool, str, bool, bool, bool, str], wire: bool) -> None:
    level, tie, active, line, latch, left = run
    rig = Rig()
    device = Wire(wire)
    irq = one(rig, level, tie, active=active, line=line, latch=latch, wire=device)
    rig.vcpu.enter()
    want = expected(level, tie, irq, left, wire)
    (lr,) = rig.lrs()
    lr.active, lr.pending = "A" in left, "P" in left
    make_physically_active(rig)
    rig.vcpu.exit()
    assert (irq.active, irq.pending_latch, irq.line_level) == (want.active, want.latch, want.line)
    assert (device.looks, physically_active(rig)) == (want.sampled, not want.cleared)
    stays = irq.active or irq.is_pending()
    assert rig.listed() == ([PPI] if stays else []), "and then it is pruned"


class Back(NamedTuple):
    """One list register folded: the rule by itself."""

    level: bool
    latch: bool
    active: bool  # the record's, before
    lr: str
    want: tuple[bool, bool]  # pending_latch, active


FOLDS: Final = {
    #                                                    trigger latch  active LR
    "edge never acknowledged is kept": Back(EDGE, False, False, "P", (True, False)),
    "edge acknowledged": Back(EDGE, False, False, "A", (False, True)),
    "edge acknowledged, another event meanwhile": Back(EDGE, True, False, "A", (True, True)),
    "edge completed": Back(EDGE, False, False, "", (False, False)),
    "edge completed, another event meanwhile": Back(EDGE, True, False, "", (True, False)),
    "edge never acknowledged, another event meanwhile: one": Back(EDGE, True, False, "P", (True, False)),
    "edge still active, its second event waiting": Back(EDGE, False, True, "AP", (True, True)),
    "edge deactivated, its second event waiting": Back(EDGE, False, True, "P", (True, False)),
    "edge active comes back active": Back(EDGE, False, True, "A", (False, True)),
    "edge deactivated": Back(EDGE, False, True, "", (False, False)),
    "level never acknowledged": Back(LEVEL, False, False, "P", (False, False)),
    "level pending by software, never acknowledged": Back(LEVEL, True, False, "P", (True, False)),
    "level pending by software, acknowledged": Back(LEVEL, True, False, "A", (True, True)),
    "level pending by software, completed": Back(LEVEL, True, False, "", (False, False)),
    "level deactivated loses what software set meanwhile": Back(LEVEL, True, True, "", (False, False)),
    "level still active": Back(LEVEL, True, True, "A", (True, True)),
}


@pytest.mark.parametrize("line", [False, True], ids=["line low", "line high"])
@pytest.mark.parametrize("row", FOLDS.values(), ids=FOLDS)
def test_fold_rule(row: Back, line: bool) -> None:
    irq = Rig().irq(SPI, level=row.level, latch=row.latch, active=row.active, line=line)
    RULES.fold(irq, irq.intid, "P" in row.lr, "A" in row.lr)
    assert (irq.pending_latch, irq.active) == row.want
    assert irq.line_level == line, "the wire belongs to the device"


# Resampling, with the physical side


class Resample(NamedTuple):
    """A mapped level interrupt folded: its record before, the list register, the device."""

    active: bool
    latch: bool
    line: bool
    lr: str
    wire: bool
    line_after: bool
    looked: bool
    physically_active: bool
    software: bool = False


RESAMPLE: Final = {
    #                                              active latch  line   LR   wire   line after looked still active below
    "exit before the acknowledge, still high": Resample(False, False, False, "P", True, True, True, True),
    "exit before the acknowledge, low by now": Resample(False, False, False, "P", False, False, True, False),
    "acknowledged: nothing to ask": Resample(False, False, False, "A", True, False, False, True),
    "acknowledged and completed in one run: hardware did it": Resample(
        False, False, False, "", True, False, False, True
    ),
    "raised again while acknowledged and completed in one run: not asked": Resample(
        False, False, True, "", False, True, False, True
    ),
    "raised again while active, completed, still high": Resample(True, False, True, "", True, True, True, True),
    "raised again while active, completed, low by now": Resample(True, False, True, "", False, False, True, False),
    "completed without being raised again": Resample(True, False, False, "", True, False, False, True),
    "raised again while active, still active": Resample(True, False, True, "A", False, True, False, True),
    "completed and marked pending by a new assertion, still high": Resample(
        True, False, False, "P", True, True, True, True
    ),
    "software: completed": Resample(False, False, False, "", True, False, False, False, software=True),
    "software: completed while active": Resample(True, False, False, "", True, False, False, False, software=True),
    "software: raised again while active, completed: the line is kept": Resample(
        True, False, True, "", False, True, False, False, software=True
    ),
    "software: exit before the acknowledge": Resample(
        False, False, False, "P", True, False, False, False, software=True
    ),
    "software: exit before the acknowledge, latched": Resample(
        False, True, False, "P", True, False, False, True, software=True
    ),
    "software: acknowledged": Resample(False, False, False, "A", True, False, False, True, software=True),
}


@pytest.mark.parametrize("row", RESAMPLE.values(), ids=RESAMPLE)
def test_resampling(row: Resample) -> None:
    rig = Rig()
    device = Wire(row.wire)
    irq = rig.irq(PPI, active=row.active, latch=row.latch, line=row.line)
    rig.vcpu.map_irq(PPI, HOST_IRQ, device, sw_resample=row.software)
    make_physically_active(rig)
    RULES.fold(irq, irq.intid, "P" in row.lr, "A" in row.lr)
    assert (irq.line_level, device.looks) == (row.line_after, row.looked)
    assert physically_active(rig) == row.physically_active


@pytest.mark.parametrize("level", [False, True], ids=["low", "high"])
def test_without_a_level_reader_the_physical_distributor_is_asked(level: bool) -> None:
    rig = Rig()
    irq = rig.irq(PPI)
    rig.vcpu.map_irq(PPI, HOST_IRQ)
    rig.vcpu.pe.redist.set_line(HOST_IRQ, level)
    RULES.fold(irq, irq.intid, True, False)
    assert irq.line_level == level


@pytest.mark.parametrize("level", [False, True], ids=["low", "high"])
def test_a_mapped_spi_asks_the_distributor(level: bool) -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=LEVEL)
    rig.vcpu.map_irq(SPI, 50)
    dist = rig.machine.dist
    dist.write(GICD_ISACTIVER + 4, 4, 1 << 50 - 32)
    dist.set_line(50, level)
    RULES.fold(irq, irq.intid, True, False)
    assert (irq.line_level, dist.read(GICD_ISACTIVER + 4, 4) != 0) == (level, level)
