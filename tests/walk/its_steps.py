"""The steps of an ITS walk: what guests, devices, VMMs and memory do, drawn from few identifiers so that they collide.

Room:    above its_pair, below its_walk.  A step takes numbers and uses what it needs of them.
Holds:   any step may follow any other.

Laws (names in `law_`) are the invariants 21 to 25: a step that asserts what a sequence of commands must do.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

from tests.walk.its_naive_cpu import SPURIOUS, NaiveVcpu
from tests.walk.its_naive_lpi import INDIRECT, PTZ, VALID
from tests.walk.its_pair import (
    COLLECTIONS,
    CONFIG,
    DEVICES,
    HOLE,
    ITT_SIZE,
    ITTS,
    LARGE_ITT,
    LEVEL2,
    PENDING,
    QUEUE,
    ItsPair,
    own,
    words,
)

DEVIDS: Final = (0, 1, 2, 3, 0, 1, 2, 3, 8191, 8192, 9000, 65535, 65536, 0xFFFF_FFFF)
SLOTS: Final = tuple(sorted(set(DEVIDS)))
EVENTIDS: Final = (0, 1, 2, 3, 4, 5, 6, 31, 32, 8192, 8195, 65535, 65536, 0xFFFF_FFFF)
ICIDS: Final = (0, 1, 2, 3, 0, 1, 2, 8191, 8192, 65535)
INTIDS: Final = (*range(8192, 8202), 8192, 8193, 16383, 16384, 65535, 65536, 8191, 0, 0xFFFF_FFFF)
BITS: Final = (3, 5, 5, 5, 6, 1, 14, 16, 17, 32)
CONFIGS: Final = (0xA3, 0xA1, 0x41, 0x01, 0xF9, 0xA2, 0x00, 0xFF, 0x83)
OFFSETS: Final = (
    0,
    4,
    8,
    0x80,
    0x84,
    0x88,
    0x8C,
    0x90,
    0x94,
    0x100,
    0x104,
    0x108,
    0x10C,
    0x110,
    0xFFD0,
    0xFFE8,
    0x1_0040,
)
USER_OFFSETS: Final = (0, 4, 8, 0x80, 0x88, 0x90, 0x90, 0x100, 0x108, 0x110, 0xFFD0)
NOISE: Final = (0, 1 << 10, 2 << 10, 7 << 59, 2 << 53, 1 << 62, 3 << 48, 1 << 12)

T = TypeVar("T")


def of(values: Sequence[T], n: int) -> T:
    return values[n % len(values)]


def a_guest(pair: ItsPair, n: int) -> NaiveVcpu:
    """A vCPU in the guest; one enters if none is."""
    running = pair.running()
    if running:
        return of(running, n)
    guest = of(pair.model.vcpus, n)
    pair.enter(guest)
    return guest


def an_its(pair: ItsPair, n: int) -> int:
    return n % len(pair.model.itss)


def itt(pair: ItsPair, its: int, devid: int, n: int) -> int:
    """Mostly a device's own; in a VM that is not tame another's, one that is no RAM, or one over other tables, too."""
    if pair.setup.tame or n % 8 > 2:
        return own(its) + ITTS + SLOTS.index(devid) * ITT_SIZE
    if n % 8:
        return own(its) + LARGE_ITT
    odd = (HOLE, CONFIG, PENDING, own(its) + ITTS, own(its) + LARGE_ITT + 0x1_F000, own(its) + ITTS + 0x1000)
    return of(odd, n // 8)


def command(pair: ItsPair, its: int, rng: Random) -> bytes:
    """A command with valid, invalid or edge arguments; sometimes with bits flipped, or nothing but noise."""
    devid, eventid, icid = rng.choice(DEVIDS), rng.choice(EVENTIDS), rng.choice(ICIDS)
    if rng.random() < 0.5:
        devid, eventid, icid = devid % 4, eventid % 4, icid % 3
    rdbase = rng.choice([vcpu.vcpu_id for vcpu in pair.model.vcpus] * 4 + [7, 0xFFFF, 0xFFFF_FFFF])
    other = rng.choice([vcpu.vcpu_id for vcpu in pair.model.vcpus] * 4 + [7])
    valid = VALID * (rng.random() < 0.8)
    bits = min(rng.choice(BITS), 6 if pair.setup.tame else 32)
    kind = rng.random()
    if kind < 0.03 and not pair.setup.tame:
        return rng.randbytes(32)
    number = rng.choice((1, 3, 3, 4, 5, 8, 9, 9, 10, 10, 10, 10, 11, 12, 13, 14, 15, 15, 0, 0x21, 0x25))
    if number == 8:
        made = words(8, devid, bits - 1, valid | itt(pair, its, devid, rng.getrandbits(8)))
    elif number == 9:
        made = words(9, 0, 0, valid | rdbase << 16 | icid)
    elif number == 14:
        made = words(14, 0, 0, rdbase << 16, other << 16)
    else:
        intid = rng.choice(INTIDS) if rng.random() < 0.3 else 8192 + rng.randrange(10)
        made = words(number, devid, intid << 32 | eventid, icid)
    if kind < 0.08 and not pair.setup.tame:
        flipped = bytearray(made)
        flipped[rng.randrange(32)] ^= 1 << rng.randrange(8)
        made = bytes(flipped)
    return made


def table(pair: ItsPair, its: int, rng: Random) -> tuple[int, int]:
    """A table register and a value for it."""
    base = own(its)
    offset = rng.choice((0x80, 0x100, 0x108))
    pages = rng.choice((0, 0, 0, 0, 1))
    value = VALID * (rng.random() < 0.9)
    if offset == 0x80:
        value |= rng.choice((base + QUEUE, base + QUEUE, base + QUEUE, HOLE)) | rng.choice((0, 0, 1))
    else:
        at = base + (DEVICES if offset == 0x100 else COLLECTIONS)
        value |= rng.choice((at, at, at, HOLE)) | pages | INDIRECT * pair.setup.indirect
    return offset, value | (rng.choice(NOISE) if rng.random() < 0.2 else 0)


def step_commands(pair: ItsPair, a: int, b: int, c: int) -> None:
    rng, its = Random(c), an_its(pair, a)
    pair.push(its, [command(pair, its, rng) for _ in range(b % 4 + 1)])


def step_map(pair: ItsPair, a: int, b: int, c: int) -> None:
    """A device, its collections and events, all as they should be."""
    its, devid = an_its(pair, a), b % 4
    rng = Random(c)
    ids = [vcpu.vcpu_id for vcpu in pair.model.vcpus]
    if devid not in pair.model.itss[its].devices or c % 4 == 0:
        pair.push(its, [words(8, devid, 4, VALID | own(its) + ITTS + devid * ITT_SIZE)])
    if c % 2:
        pair.push(its, [words(9, 0, 0, VALID | rng.choice(ids) << 16 | icid) for icid in range(3)])
    pair.push(its, [words(10, devid, 8192 + rng.randrange(10) << 32 | n, rng.randrange(3)) for n in range(4)])


def step_rejected(pair: ItsPair, a: int, b: int, c: int) -> None:
    """20: a command whose validation fails changes nothing."""
    its = an_its(pair, a)
    pair.rejected_changes_nothing(its, command(pair, its, Random(c)))


def step_message(pair: ItsPair, a: int, b: int, c: int) -> None:
    base = pair.model.itss[an_its(pair, a)].base
    doorbell = base + of((0x1_0040, 0x1_0040, 0, 0x1_FFFF), c) if b % 16 else of((HOLE, 0x0800_0000, 1 << 63), c)
    devid, eventid = of(DEVIDS, c >> 4), of(EVENTIDS, c >> 8)
    if c >> 12 & 3:
        devid, eventid = devid % 4, eventid % 8
    pair.signal(doorbell, eventid, devid, has_devid=bool(c >> 16 & 7))


def step_known_message(pair: ItsPair, a: int, b: int, c: int) -> None:
    """A message for an event that is mapped."""
    its = pair.model.itss[an_its(pair, a)]
    mapped = [(devid, eventid) for devid, dev in its.devices.items() for eventid in dev.events]
    if mapped:
        devid, eventid = of(mapped, c)
        pair.signal(its.base + 0x1_0040, eventid, devid, has_devid=bool(b % 8))


def step_enter(pair: ItsPair, a: int, b: int, c: int) -> None:
    guest = of(pair.model.vcpus, a)
    if not guest.running:
        pair.enter(guest)


def step_exit(pair: ItsPair, a: int, b: int, c: int) -> None:
    running = pair.running()
    if running:
        pair.exit(of(running, a))


def step_all_out(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.all_out()


def step_ack(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.acknowledge(a_guest(pair, a))


def step_end(pair: ItsPair, a: int, b: int, c: int) -> None:
    """Mostly the last one acknowledged; sometimes another, or one that nobody acknowledged."""
    guest = a_guest(pair, a)
    acked = pair.acked[guest.index]
    if b % 64 == 0 or not acked:
        pair.end(guest, 8192 + c % 10)
    else:
        pair.end(guest, acked.pop(-1 if b % 16 else c % len(acked)))


def step_serve(pair: ItsPair, a: int, b: int, c: int) -> None:
    guest = a_guest(pair, a)
    intid = pair.acknowledge(guest)
    if intid != SPURIOUS:
        pair.end(guest, pair.acked[guest.index].pop())


def step_enable_lpis(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.write_redist(a_guest(pair, a), of(pair.model.vcpus, b), 0, 4, int(c % 4 != 0))


def step_redist(pair: ItsPair, a: int, b: int, c: int) -> None:
    """PROPBASER, PENDBASER, INVLPIR or INVALLR, whole or in halves."""
    owner = of(pair.model.vcpus, b)
    offset, size = of((0x70, 0x78, 0xA0, 0xB0, 0x74, 0x7C, 0xA4, 0xB4), c >> 2), 4
    rng = Random(c)
    value = rng.getrandbits(32) if offset in (0xA4, 0xB4) else of(INTIDS, c >> 6)
    if offset % 8 == 0 and c & 1:
        size = 8
    if offset == 0x70:
        value = rng.choice((CONFIG, CONFIG, CONFIG, HOLE)) | rng.choice((13, 13, 15, 12, 31)) | rng.choice(NOISE[:3])
    elif offset == 0x78:
        good = PENDING + 0x1_0000 * owner.index
        value = rng.choice((good, good, good, HOLE)) | PTZ * (rng.random() < 0.3) | rng.choice(NOISE[:3])
    elif offset in (0x74, 0x7C):
        value = rng.choice((0, 0, 0, 1 << 30, 1 << 24, 2 << 24, 0xFFFF_FFFF))
    pair.write_redist(a_guest(pair, a), owner, offset, size, value & (1 << 8 * size) - 1)


def step_redist_right(pair: ItsPair, a: int, b: int, c: int) -> None:
    """Tables as they should be, LPIs enabled."""
    guest, owner = a_guest(pair, a), of(pair.model.vcpus, b)
    pair.write_redist(guest, owner, 0x70, 8, CONFIG | 13)
    pair.write_redist(guest, owner, 0x78, 8, PENDING + 0x1_0000 * owner.index | PTZ * (c & 1))
    pair.write_redist(guest, owner, 0, 4, 1)


def step_distributor(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.switch(a_guest(pair, a), bool(c % 4))


def step_config(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.store(CONFIG + a % 10, bytes([of(CONFIGS, b)]))


def step_pending(pair: ItsPair, a: int, b: int, c: int) -> None:
    at = PENDING + 0x1_0000 * (b % len(pair.model.vcpus)) + 1024 + a % 2
    pair.store(at, bytes([c & 0xFF]))


def step_level1(pair: ItsPair, a: int, b: int, c: int) -> None:
    """The guest adds or takes away a page of the second level."""
    its = an_its(pair, a)
    base = own(its)
    if pair.setup.indirect:
        page = base + LEVEL2
        entries = (VALID | page, VALID | page + 0x1_0000, 0, page, VALID | HOLE, VALID | base + DEVICES)
        pair.store(base + DEVICES + 8 * (b % 3), of(entries, c).to_bytes(8, "little"))


def step_ctlr(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.write_its(a_guest(pair, b), an_its(pair, a), 0, 4, int(c % 4 != 0))


def step_register(pair: ItsPair, a: int, b: int, c: int) -> None:
    """Anything anywhere in the frame."""
    rng = Random(c)
    offset = rng.choice(OFFSETS) + rng.choice((0, 0, 0, 0, 1, 4))
    value = rng.choice((0, 1, 32, 0x1000, 0xFFFF_FFFF_FFFF_FFFF, rng.getrandbits(64), VALID))
    pair.write_its(a_guest(pair, b), an_its(pair, a), offset, rng.choice((1, 2, 4, 4, 8, 8)), value)


def step_table(pair: ItsPair, a: int, b: int, c: int) -> None:
    its = an_its(pair, a)
    offset, value = table(pair, its, Random(c))
    if b % 4 == 0:
        half = b // 4 % 2
        pair.write_its(a_guest(pair, b), its, offset + 4 * half, 4, value >> 32 * half)
    else:
        pair.write_its(a_guest(pair, b), its, offset, 8, value)


def step_right(pair: ItsPair, a: int, b: int, c: int) -> None:
    """Tables and queue as they should be, and the ITS enabled."""
    its = an_its(pair, a)
    set_up(pair, its, a_guest(pair, b))


def set_up(pair: ItsPair, its: int, guest: NaiveVcpu) -> None:
    base = own(its)
    pair.write_its(guest, its, 0x100, 8, VALID | INDIRECT * pair.setup.indirect | base + DEVICES)
    pair.write_its(guest, its, 0x108, 8, VALID | base + COLLECTIONS)
    pair.write_its(guest, its, 0x80, 8, VALID | base + QUEUE)
    pair.write_its(guest, its, 0, 4, 1)


def step_user_register(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.all_out()
    rng, its = Random(c), an_its(pair, a)
    offset = rng.choice(USER_OFFSETS)
    value = rng.choice((0, 1, 32, 0x1000, rng.getrandbits(64), 0x4B00_043B, 64))
    if offset in (0x80, 0x100, 0x108) and b % 4:
        offset, value = table(pair, its, rng)
    pair.user_write_its(its, offset, value)


def step_save(pair: ItsPair, a: int, b: int, c: int) -> None:
    pair.all_out()
    pair.control(an_its(pair, a), 1)
    if b & 1:
        pair.save_pending()


def step_reset(pair: ItsPair, a: int, b: int, c: int) -> None:
    """A reset; mostly followed by what restores the ITS, as far as memory has it."""
    pair.all_out()
    its = an_its(pair, a)
    naive = pair.model.itss[its]
    registers = naive.cbaser, naive.creadr, naive.cwriter, *naive.baser
    enabled = naive.enabled
    if b & 1:
        pair.control(its, 1)
    pair.control(its, 4)
    if b & 6:
        for offset, value in zip((0x80, 0x90, 0x88, 0x100, 0x108), registers, strict=True):
            pair.user_write_its(its, offset, value)
        pair.control(its, 2)
        pair.user_write_its(its, 0, int(enabled))


def step_restore(pair: ItsPair, a: int, b: int, c: int) -> None:
    """A restore over whatever is there."""
    pair.all_out()
    pair.control(an_its(pair, a), 2)


def a_device(pair: ItsPair, a: int, b: int) -> tuple[int, int] | None:
    """An ITS that takes commands and a device of it that has its own table, with no vCPU in the guest."""
    pair.all_out()
    its = an_its(pair, a)
    naive = pair.model.itss[its]
    ready = naive.enabled and naive.queue == own(its) + QUEUE and naive.baser[0] & 0xFFFF_FFFF_FFFF == 0x600 | own(its)
    if not ready or pair.model.room_for(naive, 0, b % 4) is None:
        return None
    pair.push(its, [words(8, b % 4, 4, VALID | own(its) + ITTS + b % 4 * ITT_SIZE)])
    return its, b % 4


def law_21_mapping_a_device_twice_empties_it(pair: ItsPair, a: int, b: int, c: int) -> None:
    found = a_device(pair, a, b)
    if found is not None:
        its, devid = found
        assert not pair.dist.its_list[its].maps.devices[devid].ites(), "21: a device mapped again has events"


def law_22_mapping_an_event_is_idempotent(pair: ItsPair, a: int, b: int, c: int) -> None:
    found = a_device(pair, a, b)
    if found is not None:
        its, devid = found
        pair.push(its, [words(10, devid, 8192 + c % 10 << 32 | 3, c >> 8 & 3)])
        before = pair.everything()
        pair.push(its, [words(10, devid, 8192 + c % 10 << 32 | 3, c >> 8 & 3)])
        assert pair.everything() == before or 3 not in pair.model.itss[its].devices[devid].events, "22: MAPTI twice"
        if 3 in pair.model.itss[its].devices[devid].events:
            pair.push(its, [words(10, devid, 8192 + (c >> 4) % 10 << 32 | 3, c >> 10 & 3)])
            assert pair.everything() == before, "22: a second MAPTI with other arguments"


def law_23_discard_undoes(pair: ItsPair, a: int, b: int, c: int) -> None:
    found = a_device(pair, a, b)
    if found is None:
        return
    its, devid = found
    before = [irq.intid for irq in pair.dist.lpis.ascending()]
    pair.push(its, [words(10, devid, 8192 + c % 10 << 32 | 2, 0)])
    event = pair.model.itss[its].find(devid, 2)
    if event is not None and event.coll is not None and event.coll.target is not None:
        queued = pair.model.lpis[event.intid].listed is not None
        pair.push(its, [words(15, devid, 2)])
        if not queued:
            assert [irq.intid for irq in pair.dist.lpis.ascending()] == before, "23: an LPI was left behind"
        gpa = own(its) + ITTS + devid * ITT_SIZE + 16
        assert gpa >> 12 in pair.ram.protected or pair.ram.word(gpa) == 0, "23: DISCARD left the entry in memory"


def law_24_moving_there_and_back(pair: ItsPair, a: int, b: int, c: int) -> None:
    found = a_device(pair, a, b)
    if found is None:
        return
    its, devid = found
    ids = [vcpu.vcpu_id for vcpu in pair.model.vcpus]
    pair.push(its, [words(9, 0, 0, VALID | of(ids, c) << 16), words(9, 0, 0, VALID | of(ids, c >> 4) << 16 | 1)])
    pair.push(its, [words(10, devid, 8192 + c % 10 << 32 | 1, 0), words(1, devid, 1, 0)])
    event = pair.model.itss[its].find(devid, 1)
    if event is not None and {0, 1} <= pair.model.itss[its].colls.keys():
        irq = pair.dist.lpis.get(event.intid)
        assert irq is not None
        before = irq.target, irq.pending_latch
        pair.push(its, [words(1, devid, 1, 1), words(1, devid, 1, 0)])
        assert (irq.target, irq.pending_latch) == before, "24: MOVI there and back changed the LPI"


def law_25_orphans_stay(pair: ItsPair, a: int, b: int, c: int) -> None:
    found = a_device(pair, a, b)
    if found is None:
        return
    its, devid = found
    rdbase = pair.model.vcpus[0].vcpu_id
    pair.push(its, [words(10, devid, 8192 + c % 10 << 32, 2)])
    pair.push(its, [words(9, 0, 0, 2), words(9, 0, 0, VALID | rdbase << 16 | 2)])
    base = pair.model.itss[its].base
    assert pair.signal(base + 0x1_0040, 0, devid) == 0, "25: an orphan was translated"


STEPS: Final[dict[str, Callable[[ItsPair, int, int, int], None]]] = {
    name.removeprefix("step_"): step
    for name, step in sorted(globals().items())
    if name.startswith(("step_", "law_")) and callable(step)
}
