"""Queues that a hostile guest fills with commands that each concern every mapped event.

Room:    beside test_its_bounds, which runs them: on a VM with all that a guest may map, and on a small one.
"""

from collections.abc import Iterator
from itertools import cycle, islice
from random import Random
from typing import Final, NamedTuple

from tests.unit.vgic.its.rig import (
    CONFIG,
    ITTS,
    Command,
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

LONGEST: Final = 32_767
FIRST: Final = 8192


class Scale(NamedTuple):
    """What is mapped: `events` of device 1 in collection 0, LPIs from FIRST; as many of device 2 in 1, the same LPIs.

    Device 3 has its events' table over the configuration table.
    """

    events: int
    vcpus: int
    bits: int

    @property
    def mapping(self) -> list[Command]:
        """The commands that map it."""
        return [
            *(mapc(icid, icid % self.vcpus) for icid in range(4)),
            mapd(1, self.bits, ITTS),
            mapd(2, self.bits, ITTS + 0x8_0000),
            mapd(3, self.bits, CONFIG),
            *(mapti(1, n, FIRST + n, 0) for n in range(self.events)),
            *(mapti(2, n, FIRST + n, 1) for n in range(self.events)),
        ]


def invall_of_two(scale: Scale, dice: Random) -> Iterator[Command]:
    return cycle((invall(0), invall(1)))


def movall_there_and_back(scale: Scale, dice: Random) -> Iterator[Command]:
    return cycle((movall(0, 1), movall(1, 0)))


def movall_around_with_invall(scale: Scale, dice: Random) -> Iterator[Command]:
    for n in cycle(range(scale.vcpus)):
        yield movall(n, (n + 1) % scale.vcpus)
        yield invall((n + 1) % scale.vcpus)


def collections_that_share_their_lpis(scale: Scale, dice: Random) -> Iterator[Command]:
    return cycle((mapc(0, 0), mapc(1, 1), invall(0), mapc(0, 1), mapc(1, 0), invall(1)))


def retarget_and_one_event(scale: Scale, dice: Random) -> Iterator[Command]:
    """Each command on one event has to know where that one goes now."""
    one = (raise_event, inv, clear)
    while True:
        yield mapc(0, dice.randrange(scale.vcpus))
        yield dice.choice(one)(1, dice.randrange(scale.events))
        yield invall(dice.randrange(2))
        yield movi(1, dice.randrange(scale.events), dice.choice((0, 1)))


def orphans(scale: Scale, dice: Random) -> Iterator[Command]:
    """Collections come and go, with all the events that can be moved back into them."""
    while True:
        yield mapc(2, 0, valid=False)
        yield mapc(2, 1)
        for _ in range(3):
            yield movi(dice.choice((1, 2)), dice.randrange(scale.events), 2)
        yield mapc(dice.randrange(3), 0, valid=dice.random() < 0.99)


def devices_remapped(scale: Scale, dice: Random) -> Iterator[Command]:
    """A full device goes; what comes in its place is filled again, as far as the queue reaches, and goes, too."""
    for few in cycle((scale.events, 3, 1, 50)):
        yield mapd(1, scale.bits, ITTS, valid=dice.random() < 0.5)
        yield mapd(1, scale.bits, ITTS)
        for n in range(min(few, 3000)):
            yield mapti(1, n, FIRST + dice.randrange(scale.events), dice.choice((0, 1, 9)))
            yield (invall(0), mapc(1, n % scale.vcpus), movall(n % 2, 1 - n % 2), mapc(9, 1))[n % 4]


def configuration_overwritten(scale: Scale, dice: Random) -> Iterator[Command]:
    """DISCARD writes an empty entry over configuration bytes, so that INVALL has something to do each time."""
    while True:
        n = dice.randrange(scale.events // 8)
        yield mapti(3, n, FIRST + dice.randrange(scale.events), 0)
        yield discard(3, n)
        yield invall(dice.randrange(2))
        yield mapd(0, valid=False)


def first_event_again_and_again(scale: Scale, dice: Random) -> Iterator[Command]:
    return cycle((discard(1, 0), mapti(1, 0, FIRST, 0), movall(0, 1), mapc(0, 0), invall(0)))


def targets_that_come_late(scale: Scale, dice: Random) -> Iterator[Command]:
    """Events in collections without a target, which the LPIs then get, and lose their last event."""
    while True:
        icid = dice.randrange(10, 40)
        n = dice.randrange(scale.events)
        yield discard(1, n)
        yield discard(2, n)
        yield mapti(1, n, FIRST + n, icid)
        yield mapti(2, n, FIRST + n, 0)
        yield raise_event(2, n)
        yield dice.choice((mapc(icid, dice.randrange(scale.vcpus)), movi(1, n, 0), movall(0, 1)))
        yield invall(dice.choice((icid, 0, 1)))


def everything(scale: Scale, dice: Random) -> Iterator[Command]:
    """Any command on anything, those that concern many most of the time."""
    while True:
        devid, n, icid = dice.randrange(1, 4), dice.randrange(scale.events), dice.randrange(6)
        vcpu = dice.randrange(scale.vcpus)
        yield dice.choice(
            (
                *(invall(icid), invall(icid), movall(vcpu, dice.randrange(scale.vcpus)), mapc(icid, vcpu)),
                *(mapc(icid, vcpu), mapc(icid, vcpu, valid=dice.random() < 0.5), movi(devid, n, icid)),
                *(raise_event(devid, n), clear(devid, n), inv(devid, n), discard(devid, n)),
                *(mapti(devid, n, FIRST + dice.randrange(scale.events), icid),) * 3,
                mapd(devid, scale.bits, CONFIG if devid == 3 else ITTS + devid * 0x8_0000, valid=dice.random() < 0.5)
                if dice.random() < 0.05
                else invall(icid),
            )
        )


STORMS: Final = {
    storm.__name__.replace("_", " "): storm
    for storm in (
        invall_of_two,
        movall_there_and_back,
        movall_around_with_invall,
        collections_that_share_their_lpis,
        retarget_and_one_event,
        orphans,
        devices_remapped,
        configuration_overwritten,
        first_event_again_and_again,
        targets_that_come_late,
        everything,
    )
}


def queue(name: str, scale: Scale, count: int, seed: int = 0) -> list[Command]:
    """The first `count` commands of a storm."""
    return list(islice(STORMS[name](scale, Random(seed)), count))
