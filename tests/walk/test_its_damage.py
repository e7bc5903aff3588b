"""Tables in guest memory, damaged at random: a restore succeeds or raises the typed error, and never corrupts state.

The naive model restores the same damaged tables, so that a restore that succeeds has made exactly what they say.
"""

from collections import Counter
from errno import EEXIST, EFAULT, EINVAL
from random import Random
from typing import Final

import pytest

from tests.walk.its_naive_lpi import INDIRECT, VALID
from tests.walk.its_pair import COLLECTIONS, CONFIG, DEVICES, HOLE, ITT_SIZE, ITTS, LEVEL2, PENDING, ItsPair, own
from tests.walk.its_walk import boot, finish, random_setup, random_steps, walk

SEEDS: Final = range(24)
DAMAGES: Final = 25
STEPS_BEFORE: Final = 60
STEPS_AFTER: Final = 15
ERRORS: Final = {0, EFAULT, EINVAL, EEXIST}
QUIET: Final = frozenset({"reset", "restore", "save", "table", "register", "user_register", "level1", "redist"})


def places(pair: ItsPair) -> list[int]:
    """Where entries of ITS 0 lie, or might."""
    base = own(0)
    devices = base + (LEVEL2 if pair.setup.indirect else DEVICES)
    return [
        *(devices + 8 * n for n in range(5)),
        *(base + DEVICES + 8 * n for n in range(3)),
        *(base + COLLECTIONS + 8 * n for n in range(5)),
        *(base + ITTS + ITT_SIZE * slot + 8 * n for slot in range(4) for n in range(5)),
        base + LEVEL2 + 0x1_0000,
        PENDING + 1024,
        CONFIG,
    ]


def entries(rng: Random, old: int) -> int:
    """What to store where `old` lies: near it, plausible, or anything."""
    base = own(0)
    slot = base + ITTS + ITT_SIZE * rng.randrange(5)
    return rng.choice(
        (
            0,
            old ^ 1 << rng.randrange(64),
            old ^ 1 << rng.randrange(64) ^ 1 << rng.randrange(64),
            old | VALID,
            rng.getrandbits(64),
            VALID
            | rng.randrange(20) << 49
            | rng.choice((slot, slot, HOLE, base + DEVICES)) >> 8 << 5
            | rng.randrange(32),
            VALID | rng.choice((0, 1, 2, 5, 9, 7, 0xFFFF_FFFF)) << 16 | rng.choice((0, 1, 2, 3, 8191, 8192, 65535)),
            rng.randrange(40) << 48
            | rng.choice((8191, 8192, 8195, 65535, 70000, 73727, 73728)) << 16
            | rng.randrange(4),
            VALID | rng.choice((base + LEVEL2, base + DEVICES, HOLE)),
        )
    )


def damage(pair: ItsPair, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        gpa = rng.choice(places(pair))
        pair.store(gpa, entries(rng, pair.ram.word(gpa) or 0).to_bytes(8, "little"))


def restore(pair: ItsPair) -> int:
    """As a VMM would, into an ITS that was reset; returns the error."""
    naive = pair.model.itss[0]
    base = own(0)
    pair.control(0, 4)
    indirect = INDIRECT * pair.setup.indirect
    for offset, value in ((0x100, VALID | indirect | base + DEVICES), (0x108, VALID | base + COLLECTIONS)):
        pair.user_write_its(0, offset, value)
    error = pair.control(0, 2)
    assert error in ERRORS, f"a restore failed with error {error}"
    if error:
        its = pair.dist.its_list[0]
        assert not its.maps.devices, "a failed restore left devices"
        assert not its.maps.collections, "a failed restore left collections"
        assert not its.maps.cache, "a failed restore left translations"
        assert not naive.devices
    return error


def damaged(seed: int) -> Counter[int]:
    """Walk, save, and restore damaged tables again and again; returns how often each error came."""
    rng = Random(seed)
    pair = ItsPair(random_setup(rng)._replace(tame=True, booted=True))
    boot(pair)
    walk(pair, random_steps(rng, STEPS_BEFORE, QUIET))
    pair.all_out()
    pair.control(0, 1)
    good = {page: bytes(data) for page, data in pair.ram.pages.items()}
    others = pair.picture(pair.dist.its_list[0])
    outcomes: Counter[int] = Counter()
    for _ in range(DAMAGES):
        damage(pair, rng)
        outcomes[restore(pair)] += 1
        assert pair.picture(pair.dist.its_list[0]) == others, "another ITS was touched"
        for page, data in good.items():
            pair.store(page << 12, data)
    pair.user_write_its(0, 0x80, 0)
    walk(pair, random_steps(rng, STEPS_AFTER))
    finish(pair)
    return outcomes


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_tables_restore_or_fail_cleanly(seed: int) -> None:
    damaged(seed)


def test_damage_comes_to_every_outcome() -> None:
    """Success and each error but EEXIST for devices, which only a full ITS has, are reached by these seeds."""
    total: Counter[int] = Counter()
    for seed in SEEDS:
        total += damaged(seed)
    assert all(total[error] for error in ERRORS), f"outcomes {total}"


@pytest.mark.parametrize("again", ["collections and devices", "devices alone"])
def test_restoring_twice_is_refused_and_leaves_nothing(again: str) -> None:
    """A full ITS is not restored over: the library once lost a device's LPIs so, with their references."""
    pair = ItsPair(random_setup(Random(1))._replace(tame=True, booted=True, indirect=False))
    boot(pair)
    pair.control(0, 1)
    if again == "devices alone":  # the first restore fails with the collections, and orphans the events
        assert pair.control(0, 2) == EEXIST
        assert pair.dist.its_list[0].maps.devices, "the failure of collections leaves devices"
    assert pair.control(0, 2) == EEXIST
    if again == "devices alone":
        assert not pair.dist.its_list[0].maps.devices
    finish(pair)


@pytest.mark.parametrize(("distance", "error"), [(30, 0), (31, EINVAL), (0, 0), (32, EINVAL)])
def test_an_event_may_not_point_past_its_table(distance: int, error: int) -> None:
    """Event 1 of 32: the last event that it may point at is 31; there lies nothing, and the table ends."""
    pair = ItsPair(random_setup(Random(1))._replace(tame=True, booted=True, indirect=False))
    boot(pair)
    pair.control(0, 1)
    table = own(0) + ITTS + ITT_SIZE  # of device 1, whose first event is 1
    pair.store(table + 8, (distance << 48 | 8193 << 16).to_bytes(8, "little"))
    assert restore(pair) == error
