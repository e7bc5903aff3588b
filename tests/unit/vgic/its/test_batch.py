"""Commands of one pass, past the second that concerns many events: what the sets must not forget.

Each row is a queue; the same commands one by one are what KVM does, as then each walks all there is.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.its.rig import (
    CONFIG,
    DISABLED,
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    ITTS,
    NOWHERE,
    PENDING,
    Command,
    ItsRig,
    clear,
    discard,
    inv,
    invall,
    mapc,
    mapd,
    mapti,
    movall,
    movi,
    raise_event,
)

LPI: Final = 8192
SPARE: Final = 8203
"""Mapped by nobody at first."""
SETS: Final = (movall(2, 3), movall(3, 2))
"""With the second of these the sets are there; nothing goes to vCPU 2 or 3."""


def nothing_else(rig: ItsRig) -> None:
    pass


def disabled_in_memory(rig: ItsRig) -> None:
    for n in range(10):
        rig.configure(LPI + n, DISABLED)


def pending_and_then_enabled(rig: ItsRig) -> None:
    """All LPIs are latched; that they are enabled, an INVALL has to find."""
    disabled_in_memory(rig)
    rig.do(invall(0))
    for n in range(10):
        rig.msi(1, n)
        rig.configure(LPI + n, ENABLED)


def pending_table_over_configuration(rig: ItsRig) -> None:
    """The pending byte of SPARE is the configuration byte of an LPI; the bit in it belongs to the priority."""
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PENDBASER, CONFIG, 1)
    rig.set_gicr(GICR_CTLR, 1, 1, size=4)
    rig.memory.ram.write(CONFIG + SPARE // 8, b"\xff")
    rig.do(mapti(1, 200, LPI + SPARE // 8, 1))


def pending_table_that_cannot_be_written(rig: ItsRig) -> None:
    rig.set_pending_bit(SPARE)
    rig.configure(SPARE, ENABLED)
    rig.memory.read_only.add(PENDING)


class Queue(NamedTuple):
    """`prepare` the VM, then these commands; `finds` what must have come of them."""

    prepare: Callable[[ItsRig], None]
    commands: tuple[Command, ...]
    finds: Callable[[ItsRig], bool]


QUEUES: Final = {
    "MOVALL there, and some of it back": Queue(
        nothing_else,
        (movall(0, 1), movi(1, 0, 0), movall(1, 2)),
        lambda rig: [rig.target(LPI + n) for n in range(3)] == [0, 2, 2],
    ),
    "INT finds where MOVALL sent it": Queue(
        nothing_else, (movall(0, 1), raise_event(1, 4)), lambda rig: rig.listed(1) == [LPI + 4]
    ),
    "INT of a new LPI": Queue(
        nothing_else,
        (mapti(1, 20, SPARE, 1), movall(1, 0), raise_event(1, 20)),
        lambda rig: rig.target(SPARE) == 0,
    ),
    "INV queues where MAPC sent it": Queue(
        pending_and_then_enabled, (mapc(0, 1), inv(1, 4)), lambda rig: rig.listed(1) == [LPI + 4]
    ),
    "INVALL queues where MAPC sent them, in order of INTID": Queue(
        pending_and_then_enabled, (mapc(0, 1), invall(1)), lambda rig: rig.listed(1) == [LPI + n for n in range(10)]
    ),
    "INVALL leaves an LPI alone that goes elsewhere, and has it later": Queue(
        pending_and_then_enabled,
        (movi(1, 4, 1), invall(0), movall(0, 3), movall(1, 0), invall(0)),
        lambda rig: rig.listed(0)[-1] == LPI + 4,
    ),
    "INVALL of an LPI that died": Queue(
        pending_and_then_enabled, (discard(1, 4), invall(0)), lambda rig: LPI + 4 not in rig.listed(0)
    ),
    "an LPI that died, moved": Queue(
        nothing_else, (movall(0, 1), discard(1, 4), movall(1, 0)), lambda rig: LPI + 4 not in rig.lpis()
    ),
    "an LPI that died and came again": Queue(
        pending_and_then_enabled,
        (invall(1), movall(0, 1), discard(1, 4), mapti(1, 4, LPI + 4, 0), invall(0), invall(1)),
        lambda rig: rig.target(LPI + 4) == 0 and LPI + 4 not in rig.listed(1),
    ),
    "an event that left its collection does not move with it": Queue(
        nothing_else, (mapc(0, 3), movi(1, 4, 1), mapc(0, 2)), lambda rig: rig.target(LPI + 4) == 1
    ),
    "of two events of one LPI one leaves": Queue(
        nothing_else,
        (mapti(1, 20, LPI, 0), mapc(0, 3), discard(1, 20), mapc(0, 2)),
        lambda rig: rig.target(LPI) == 2,
    ),
    "both leave": Queue(
        nothing_else,
        (mapti(1, 20, LPI, 0), mapti(1, 21, LPI, 1), mapc(0, 3), discard(1, 20), discard(1, 0), mapc(0, 2)),
        lambda rig: rig.target(LPI) == 3,
    ),
    "orphans, and a collection of the same name": Queue(
        nothing_else,
        (mapc(0, 3), mapc(0, 0, valid=False), mapc(0, 2), mapti(1, 20, LPI, 0), mapc(0, 1)),
        lambda rig: (rig.target(LPI), rig.target(LPI + 1)) == (1, 3) and rig.events()[1, 1] == (LPI + 1, None),
    ),
    "a device that goes": Queue(
        nothing_else,
        (mapc(0, 3), mapd(1, valid=False), mapd(1), mapti(1, 0, LPI, 1), mapc(0, 2)),
        lambda rig: rig.target(LPI) == 1,
    ),
    "an LPI without a target gets one": Queue(
        nothing_else,
        (mapti(1, 20, SPARE, 7), mapti(1, 21, SPARE, 0), raise_event(1, 21), invall(0), mapc(7, 0), invall(0)),
        lambda rig: rig.target(SPARE) == 0,
    ),
    "DISCARD clears configuration bytes": Queue(
        pending_and_then_enabled,
        (mapd(2, 8, CONFIG), mapti(2, 0, SPARE, 1), invall(0), discard(2, 0), invall(0)),
        lambda rig: [rig.lpi(LPI + n).enabled for n in range(10)] == [n > 7 for n in range(10)],
    ),
    "a pending bit that is taken clears one in a configuration byte": Queue(
        pending_table_over_configuration,
        (invall(1), mapti(1, 20, SPARE, 1), invall(1)),
        lambda rig: rig.lpi(LPI + SPARE // 8).priority == 0xFC & ~(1 << SPARE % 8),
    ),
    "an LPI that failed to be mapped is delivered where MOVALL sent it": Queue(
        pending_table_that_cannot_be_written,
        (mapti(1, 20, SPARE, 0), movall(0, 3)),
        lambda rig: rig.target(SPARE) == 3 and (1, 20) not in rig.events(),
    ),
    "INVALL kicks for what is pending, by the vCPU it goes to now": Queue(
        pending_and_then_enabled,
        (invall(0), movall(0, 1), invall(1)),
        lambda rig: set(rig.kicks) == {0, 1},
    ),
    "INVALL does not kick for what was cleared": Queue(
        pending_and_then_enabled,
        (invall(0), *(clear(1, n) for n in range(10)), movall(0, 1), invall(1)),
        lambda rig: set(rig.kicks) == {0},
    ),
    "INVALL does not kick for what it finds disabled": Queue(
        disabled_in_memory, (raise_event(1, 0), movall(0, 1), invall(1)), lambda rig: set(rig.kicks) == {0}
    ),
    "INVALL kicks for what was raised after an INVALL": Queue(
        nothing_else, (invall(0), raise_event(1, 0), movall(0, 1), invall(1)), lambda rig: set(rig.kicks) == {0, 1}
    ),
    "an event's table that is no RAM": Queue(
        nothing_else,
        (mapd(2, 8, NOWHERE), mapti(2, 0, SPARE, 0), mapc(0, 1)),
        lambda rig: SPARE not in rig.lpis(),
    ),
}


def prepared(row: Queue) -> ItsRig:
    """Four vCPUs; events 0 to 9 of device 1 are LPIs 8192 on, in collection 0 to vCPU 0; 1 goes to vCPU 1."""
    rig = ItsRig(4)
    for n in range(10):
        rig.configure(LPI + n, ENABLED)
    rig.do(mapc(0, 0), mapc(1, 1), mapd(1, 8, ITTS), *(mapti(1, n, LPI + n, 0) for n in range(10)))
    row.prepare(rig)
    rig.kicks.clear()
    return rig


@pytest.mark.parametrize("row", QUEUES.values(), ids=QUEUES)
def test_a_queue_and_its_commands_one_by_one(row: Queue) -> None:
    whole, single = prepared(row), prepared(row)
    whole.do(*SETS, *row.commands)
    for command in (*SETS, *row.commands):
        single.do(command)
    assert row.finds(single), "the row is not about what it says"
    assert whole.frozen() == single.frozen()
    assert set(whole.kicks) == set(single.kicks)
    whole.check()


def test_kicks_wait_until_the_queue_is_empty() -> None:
    """Whoever is kicked may look at everything: the queue is worked off, and each LPI knows its target."""
    rig = prepared(Queue(nothing_else, (), lambda rig: True))
    seen: list[tuple[int, bool, int | None]] = []
    rig.vm.kick = lambda index: seen.append((index, rig.its.creadr == rig.its.cwriter, rig.target(LPI + 5)))
    rig.do(*SETS, raise_event(1, 0), movall(0, 1), raise_event(1, 1), raise_event(1, 0), movall(1, 3))
    assert seen == [(0, True, 3), (1, True, 3)]
