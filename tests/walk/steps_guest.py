"""Steps of a guest that runs: its CPU interface, SGIs, and the distributor and redistributor frames.

Room:    above pair, beside steps_host, whose rules for a step hold here too.
"""

from typing import Final

from hw.arch import (
    GICD_IPRIORITYR,
    GICD_IROUTER,
    ICC_ASGI1R_EL1,
    ICC_SGI0R_EL1,
    ICC_SGI1R_EL1,
    ISR_EL1,
    ISR_F,
    ISR_I,
)
from tests.support import GICD_BASE
from tests.walk.naive import ACTIVE_BANKS, PRIORITY_BITS, Bank, Guest
from tests.walk.naive_cpu import SPURIOUS
from tests.walk.pair import Pair
from tests.walk.setup import BANK_OFFSETS, DIST, NR_SPIS, PPIS, SGIS, SPIS, SPIS_A_CONFIG_WORD
from tests.walk.steps_host import BANKS, MASKS, WIRED, Doing, bits, some_frame

PRIORITIES: Final = (0xA0, 0x80, 0xA8, 0x88, 0x00, 0xF8, 0x40, 0x07)
SGIR: Final = ((ICC_SGI1R_EL1, True), (ICC_SGI0R_EL1, False), (ICC_ASGI1R_EL1, False), (ICC_SGI1R_EL1, True))


def running(pair: Pair, a: int) -> Guest | None:
    """A vCPU in the guest, if there is one."""
    inside = [guest for guest in pair.model.guests if guest.running]
    return inside[a % len(inside)] if inside else None


# The CPU interface


def ack(pair: Pair, a: int, b: int, c: int) -> None:
    """Mostly of the group whose line is up."""
    guest = running(pair, a)
    if guest is not None:
        pair.acknowledge(guest, b >> 3 & 1 if b & 7 == 0 else pair.asserted_group(guest))


def end(pair: Pair, a: int, b: int, c: int) -> None:
    """Mostly the last one acknowledged; sometimes an earlier one, or one that never was."""
    guest = running(pair, a)
    if guest is None:
        return
    acked = pair.acked[guest.index]
    group, intid = acked.pop(-1 if b & 7 else c % len(acked)) if acked else (c & 1, SPIS[c % len(SPIS)])
    if b >> 3 & 15 == 0:
        group, intid = c & 1, (SPURIOUS, SPIS[c % len(SPIS)], PPIS[c % len(PPIS)], c & 0xFF_FFFF)[c >> 8 & 3]
    pair.end(guest, group, intid)
    if guest.eoimode and b >> 7 & 1 == 0:
        pair.deactivate(guest, intid)


def deactivate(pair: Pair, a: int, b: int, c: int) -> None:
    guest = running(pair, a)
    if guest is not None:
        shown = sorted(guest.shown)
        pair.deactivate(guest, shown[c % len(shown)] if shown and b & 3 else WIRED[c % len(WIRED)])


def serve(pair: Pair, a: int, b: int, c: int) -> None:
    guest = running(pair, a)
    if guest is not None:
        pair.serve(guest)


def recover(pair: Pair, a: int, b: int, c: int) -> None:
    guest = running(pair, a)
    if guest is not None:
        pair.recover(guest)


def control(pair: Pair, a: int, b: int, c: int) -> None:
    """Write a control register."""
    guest = running(pair, a)
    if guest is None:
        return
    which = b % 8
    if which == 0:
        pair.set_mask(guest, MASKS[c % len(MASKS)])
    elif which in (1, 2):
        pair.set_group(guest, which - 1, c & 15 != 0)
    elif which in (3, 4):
        pair.set_binary_point(guest, which - 3, c & 0xF)
    elif which == 5:
        pair.set_control(guest, c)
    else:
        some = c & 0x1F == 0x1F
        pair.set_active_priorities(guest, which - 6, c if some else 0)
        if some and c >> 5 & 1:  # the same in both groups, which acknowledges alone never make
            pair.set_active_priorities(guest, 7 - which, c)


def look(pair: Pair, a: int, b: int, c: int) -> None:
    """Read a register that has no side effect."""
    guest = running(pair, a)
    if guest is None:
        return
    registers, group = pair.registers, c & 1
    isr = pair.vcpu(guest).mrs(ISR_EL1)
    reads: tuple[tuple[str, object, object], ...] = (
        ("HPPIR", pair.get(guest, registers.hppir[group]) in guest.highest_pending(group), True),
        ("RPR", pair.get(guest, registers.rpr), guest.running_priority()),
        ("PMR", pair.get(guest, registers.pmr), guest.pmr),
        ("BPR", pair.get(guest, registers.bpr[group]), guest.read_bpr(group)),
        ("CTLR", pair.get(guest, registers.ctlr) & registers.ctlr_mask, guest.read_control()),
        ("AP", pair.get(guest, registers.ap[group]), guest.read_ap(group)),
        ("ISR", (isr & ISR_I != 0, isr & ISR_F != 0) in guest.lines_up(), True),
    )
    for name, got, expected in reads:
        assert got == expected, f"vCPU {guest.index}, group {group}: {name} gives {got}, expected {expected}"


def sgi(pair: Pair, a: int, b: int, c: int) -> None:
    """To one, to a cluster, or to all others; through each of the three registers."""
    guest = running(pair, a)
    if guest is None:
        return
    target = pair.model.guests[c % len(pair.model.guests)].affinity
    value = SGIS[b % len(SGIS)] << 24 | (c >> 8 & 1) << 40 | (0xF if c >> 9 & 1 else 1 << (target & 0xF))
    value |= (target >> 8 & 0xFF) << 16 | (target >> 16 & 0xFF) << 32
    register, group1_allowed = SGIR[c >> 10 & 3]
    assert pair.vcpu(guest).msr(register, value)
    pair.model.begin_trap(guest)
    pair.model.sgi(guest, value, group1_allowed)
    pair.reenter(guest)


# The frames


def bank(pair: Pair, a: int, b: int, c: int) -> None:
    """Write a bank: mostly one bit."""
    guest = running(pair, a)
    if guest is None:
        return
    which = BANKS[(b >> 5) % len(BANKS)]
    frame, pool = some_frame(pair, b, guest)
    value = bits(pool, c)
    if which is Bank.GROUP and value != c:  # an assignment: change one bit
        value ^= pair.model.read_bank(which, pair.word(frame)[1], False)
    pair.write_bank(guest, which, frame, value)


def read(pair: Pair, a: int, b: int, c: int) -> None:
    """Read a bank."""
    guest = running(pair, a)
    if guest is None:
        return
    which = BANKS[(b >> 5) % len(BANKS)]
    frame, _ = some_frame(pair, b, guest)
    base, lines = pair.word(frame)
    got = pair.vcpu(guest).read(base + BANK_OFFSETS[which], 4)
    seen: list[int] = []
    pair.model.begin_trap(guest)
    if which in ACTIVE_BANKS and frame != guest.index:
        pair.model.access_active(guest, lambda: seen.append(pair.model.read_bank(which, lines, False)))
    else:
        seen.append(pair.model.read_bank(which, lines, False))
    assert got == seen[0], f"{which.value} of frame {frame} reads {got:#010x}, the naive model has {seen[0]:#010x}"
    pair.reenter(guest)


def priority(pair: Pair, a: int, b: int, c: int) -> None:
    """Write one priority or four, and read them back."""
    guest = running(pair, a)
    if guest is None:
        return
    frame, pool = some_frame(pair, b, guest)
    base, lines = pair.word(frame)
    intid = pool[(b >> 5) % len(pool)]
    first, count = (intid & ~3, 4) if c >> 8 & 1 else (intid, 1)
    value = PRIORITIES[c & 7] | PRIORITIES[c >> 3 & 7] << 8 | PRIORITIES[c >> 5 & 7] << 16 | 0xA0 << 24
    at = (GICD_BASE if frame == DIST else base) + GICD_IPRIORITYR + first
    assert pair.vcpu(guest).write(at, count, value)
    pair.model.begin_trap(guest)
    for n in range(count):
        lines[first % NR_SPIS + n].priority = value >> 8 * n & PRIORITY_BITS
    pair.reenter(guest)
    got = pair.vcpu(guest).read(at, count)
    expected = value & 0xF8F8_F8F8 & (1 << 8 * count) - 1
    assert got == expected, f"IPRIORITYR reads {got:#x} after {value:#x} was written"
    pair.trap_and_return(guest)


def config(pair: Pair, a: int, b: int, c: int) -> None:
    """Change the trigger of one SPI, or of a word of them."""
    guest = running(pair, a)
    if guest is None:
        return
    half = b & 1
    value = c
    if c >> 28 != 15:
        lines = pair.model.spis[SPIS_A_CONFIG_WORD * half :][:SPIS_A_CONFIG_WORD]
        value = sum(2 << 2 * n for n, line in enumerate(lines) if not line.level)
        value ^= 2 << 2 * (SPIS[c % len(SPIS)] % SPIS_A_CONFIG_WORD)
    pair.write_config(guest, half, value)


def route(pair: Pair, a: int, b: int, c: int) -> None:
    """To a vCPU; sometimes to nobody, or with bits that do not count."""
    guest = running(pair, a)
    if guest is None:
        return
    line = pair.line(0, SPIS[b % len(SPIS)])
    value = pair.model.guests[c % len(pair.model.guests)].affinity
    if c >> 8 & 15 == 0:
        value = 0x77 << (c >> 12 & 31)
    elif c >> 8 & 15 == 1:
        value |= 1 << 31 | 1 << 33
    pair.write_route(guest, line, value, 8 if c >> 17 & 1 else 4)
    got = pair.vcpu(guest).read(GICD_BASE + GICD_IROUTER + 8 * line.intid, 8)
    assert got == line.route, f"IROUTER{line.intid} reads {got:#x} after {value:#x} was written"
    pair.trap_and_return(guest)


def ctlr(pair: Pair, a: int, b: int, c: int) -> None:
    """Enable the distributor; sometimes disable it."""
    guest = running(pair, a)
    if guest is not None:
        pair.enable_dist(guest, c & 7 != 0)


STEPS: Final[dict[str, Doing]] = {
    "ack": ack,
    "end": end,
    "deactivate": deactivate,
    "serve": serve,
    "recover": recover,
    "control": control,
    "look": look,
    "sgi": sgi,
    "bank": bank,
    "read": read,
    "priority": priority,
    "config": config,
    "route": route,
    "ctlr": ctlr,
}
