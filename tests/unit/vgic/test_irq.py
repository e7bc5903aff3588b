"""The questions asked of one interrupt: is it pending, and on whose list does it belong."""

import sys
from itertools import product
from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.rig import EDGE, LEVEL, Rig
from vgic.irq import Irq, oracle

SPI: Final = 40

PENDING: Final = {
    #                                             trigger  line   latch   pending
    "edge without an event": (EDGE, False, False, False),
    "edge latched": (EDGE, False, True, True),
    "edge does not look at the wire": (EDGE, True, False, False),
    "edge latched with the wire high": (EDGE, True, True, True),
    "level with the wire low": (LEVEL, False, False, False),
    "level made pending by software": (LEVEL, False, True, True),
    "level with the wire high": (LEVEL, True, False, True),
    "level with the wire high and made pending by software": (LEVEL, True, True, True),
}


@pytest.mark.parametrize("row", PENDING.values(), ids=PENDING)
def test_pending(row: tuple[bool, bool, bool, bool]) -> None:
    level, line, latch, want = row
    irq = Rig().irq(SPI, level=level, line=line, latch=latch)
    assert irq.is_pending() == want


def test_an_irq_fills_lines_of_the_cache() -> None:
    line = 64
    assert sys.getsizeof(Irq(40, True, False, None)) in (3 * line - 8, 3 * line)  # rounded up to a multiple of 16


class Oracle(NamedTuple):
    """vCPU 0 is the target and vCPU 1 holds the interrupt, where a row says so.  None in a row: either way."""

    active: bool
    enabled: bool | None
    pending: bool | None
    target: bool | None
    dist_enabled: bool | None
    queued: bool | None
    want: str  # "holder", "target" or "none"


ORACLE: Final = {
    #                                    active  enabled pending target  dist   queued  belongs to
    "active stays where it is listed": Oracle(True, None, None, None, None, True, "holder"),
    "active and unlisted belongs to its target": Oracle(True, None, None, True, None, False, "target"),
    "active, unlisted and routed to nobody": Oracle(True, None, None, False, None, False, "none"),
    "pending and enabled, routed to nobody": Oracle(False, True, True, False, None, None, "none"),
    "pending and enabled while the distributor is off": Oracle(False, True, True, True, False, None, "none"),
    "pending and enabled goes to its target, listed elsewhere or not": Oracle(
        False, True, True, True, True, None, "target"
    ),
    "disabled": Oracle(False, False, None, None, None, None, "none"),
    "not pending": Oracle(False, None, False, None, None, None, "none"),
}


def meant(row: Oracle) -> list[tuple[bool, bool, bool, bool, bool, bool]]:
    """Every combination that a row stands for."""
    either = (False, True)
    return list(
        product(
            (row.active,),
            either if row.enabled is None else (row.enabled,),
            either if row.pending is None else (row.pending,),
            either if row.target is None else (row.target,),
            either if row.dist_enabled is None else (row.dist_enabled,),
            either if row.queued is None else (row.queued,),
        )
    )


@pytest.mark.parametrize("group", [0, 1], ids="group {}".format)
@pytest.mark.parametrize("hw", [False, True], ids="hw={}".format)
@pytest.mark.parametrize("source", ["latch", "wire"])
@pytest.mark.parametrize("row", ORACLE.values(), ids=ORACLE)
def test_oracle(row: Oracle, source: str, hw: bool, group: int) -> None:
    """Group and mapping are looked at by nobody, nor is priority."""
    for active, enabled, pending, target, dist_enabled, queued in meant(row):
        rig = SHARED
        irq = rig.irq(SPI, level=source == "wire", enabled=enabled, active=active, priority=0xF8, group=group)
        irq.mapped_by = rig.vcpus[1] if hw else None
        irq.pending_latch = pending and source == "latch"
        irq.line_level = pending and source == "wire"
        irq.target = rig.vcpus[0] if target else None
        irq.queued_on = rig.vcpus[1] if queued else None
        rig.dist.enabled = dist_enabled
        want = {"holder": rig.vcpus[1], "target": rig.vcpus[0], "none": None}[row.want]
        assert oracle(irq) is want


SHARED: Final = Rig(2)


def test_the_oracle_rows_cover_every_case() -> None:
    assert set().union(*map(meant, ORACLE.values())) == set(product((False, True), repeat=6))


RESET: Final = {
    #        INTID  level  enabled
    "an SGI is edge and enabled": (5, EDGE, True),
    "a PPI is level and disabled": (27, LEVEL, False),
    "an SPI is edge and disabled": (SPI, EDGE, False),
}


@pytest.mark.parametrize("row", RESET.values(), ids=RESET)
def test_reset(row: tuple[int, bool, bool]) -> None:
    intid, level, enabled = row
    rig = Rig(2)
    irq = rig.vcpu.find_irq(intid)
    assert irq is not None
    assert (irq.level, irq.enabled, irq.group, irq.priority) == (level, enabled, 1, 0)
    assert (irq.active, irq.pending_latch, irq.line_level, irq.hw) == (False, False, False, False)
    assert (irq.target, irq.queued_on, irq.owner) == (rig.vcpu, None, None)
