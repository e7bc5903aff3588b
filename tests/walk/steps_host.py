"""Steps of the host: its devices, its vCPU threads, and user space with the VM stopped.

Room:    above pair; `walk` chooses among the functions named in STEPS.
Holds:   a step is a function of the pair and three numbers, of which it takes what it needs: `a` chooses a vCPU,
         `b` and `c` the rest.  One that cannot be done now does nothing.
"""

from collections.abc import Callable
from typing import Final

from hw.arch import FIRST_SPI, GICD_CTLR, ICC_CTLR_EL1, ICC_PMR_EL1
from tests.support import freeze
from tests.walk.naive import Bank, Guest, Line
from tests.walk.pair import Pair
from tests.walk.setup import DIST, IGRPEN, PPIS, PRIVATE, SPIS, TIED
from vgic import BusyError, Group, LineType, VgicError, irq_word
from vgic.irq import Irq

Doing = Callable[[Pair, int, int, int], None]

WIRED: Final = SPIS + PPIS
BANKS: Final = tuple(Bank)
MASKS: Final = (0xF0, 0xFF, 0xA0, 0x80, 0x00, 0xF8, 0xF0, 0xFF)


def any_guest(pair: Pair, a: int) -> Guest:
    return pair.model.guests[a % len(pair.model.guests)]


def wired(pair: Pair, a: int, b: int) -> tuple[Guest, Line]:
    """A PPI of some vCPU, or an SPI and a vCPU that stands for it."""
    guest = any_guest(pair, a)
    return guest, pair.line(guest.index, WIRED[b % len(WIRED)])


def tied(pair: Pair, a: int, b: int) -> tuple[Guest, Line]:
    """An interrupt that a physical one may stand behind, and whose it is."""
    guest = any_guest(pair, a)
    return guest, pair.line(guest.index, TIED[b % len(TIED)])


def some_frame(pair: Pair, b: int, guest: Guest | None = None) -> tuple[int, tuple[int, ...]]:
    """The distributor or, as often, a vCPU's private interrupts, which `guest` gets at; what is played with there."""
    frame = DIST if b & 1 else (b >> 1 & 0xF) % pair.setup.vcpus
    if guest is not None and frame != DIST:
        frame = pair.reachable(guest, frame)
    return frame, SPIS if frame == DIST else PRIVATE


def bits(pool: tuple[int, ...], c: int) -> int:
    """Mostly one bit of a word, sometimes any."""
    return c if c >> 28 == 15 else 1 << pool[c % len(pool)] % 32


# Devices


def inject(pair: Pair, a: int, b: int, c: int) -> None:
    guest, line = wired(pair, a, b)
    level = c & 3 != 0
    owner = "stranger" if c >> 2 & 15 == 0 else line.owner
    vcpu = pair.vcpu(guest) if line.home is not None or c >> 6 & 1 else None
    nothing = owner != line.owner or not (line.level or level)
    before = freeze(pair.dist) if nothing else None
    pair.vm.inject(line.intid, level, vcpu=vcpu, owner=owner)
    pair.model.inject(line, level, owner)
    if nothing:
        assert freeze(pair.dist) == before, f"I31, I34: injecting INTID {line.intid} should have done nothing"
    elif c >> 7 & 1:
        once = freeze(pair.dist)
        pair.vm.inject(line.intid, level, vcpu=vcpu, owner=owner)
        assert freeze(pair.dist) == once, f"I31: INTID {line.intid}: the same level twice is not the same as once"
    pair.settle()


def line(pair: Pair, a: int, b: int, c: int) -> None:
    """KVM_IRQ_LINE, which cannot drive what somebody owns."""
    guest, line = wired(pair, a, b)
    kind = LineType.SPI if line.home is None else LineType.PPI
    pair.vm.irq_line(irq_word(kind, line.intid, guest.vcpu_id), c & 1)
    pair.model.inject(line, c & 1 == 1, None)
    pair.settle()


def wire(pair: Pair, a: int, b: int, c: int) -> None:
    """A device behind a mapped interrupt changes its level; half of the time it also says so."""
    guest, line = tied(pair, a, b)
    level = c & 1 == 1
    pair.drive(guest.index, line.intid, level)
    if c & 2:
        vcpu = pair.vcpu(guest) if line.home is not None else None
        pair.vm.inject(line.intid, level, vcpu=vcpu, owner=line.owner)
        pair.model.inject(line, level, line.owner)
    pair.settle()


def tie(pair: Pair, a: int, b: int, c: int) -> None:
    """Map, unmap or reset a mapped interrupt."""
    guest, line = tied(pair, a, b)
    vcpu = pair.vcpu(guest)
    if c & 7 == 0:
        vcpu.unmap_irq(line.intid)
        line.mapping = None
    elif c & 7 == 1:
        vcpu.reset_mapped(line.intid)
        pair.model.reset_mapped(line)
    else:
        pair.tie(guest, line.intid, c & 0x18 == 0x18, c & 0x20 == 0)
    active = line.mapping is not None and line.active
    assert vcpu.map_is_active(line.intid) == active, f"INTID {line.intid}: mapped and active should be {active}"
    pair.settle()


def own(pair: Pair, a: int, b: int, c: int) -> None:
    guest, line = wired(pair, a, b)
    owner = ("timer", "pmu", None)[c % 3]
    try:
        pair.vcpu(guest).set_owner(line.intid, owner)
    except VgicError:
        assert line.owner not in (None, owner), f"INTID {line.intid}: {owner!r} was refused, owner {line.owner!r}"
    else:
        line.owner = owner
    pair.settle()


# vCPU threads


def enter(pair: Pair, a: int, b: int, c: int) -> None:
    """Where it was last, or on another physical CPU."""
    guest = any_guest(pair, a)
    cpu = c % pair.setup.cpus if b & 1 else None
    if pair.model.can_enter(guest, guest.cpu if cpu is None else cpu):
        pair.enter(guest, cpu)
        return
    before = freeze(pair.dist)
    try:
        pair.vcpu(guest).enter(cpu)
    except BusyError:
        assert freeze(pair.dist) == before, f"a refused entry of vCPU {guest.index} changed something"
    else:
        raise AssertionError(f"vCPU {guest.index} entered on CPU {cpu}, which is taken")


def leave(pair: Pair, a: int, b: int, c: int) -> None:
    running = [guest for guest in pair.model.guests if guest.running]
    if running:
        pair.exit(running[a % len(running)])


def put(pair: Pair, a: int, b: int, c: int) -> None:
    guest = any_guest(pair, a)
    if not guest.running:
        pair.vcpu(guest).put()
        pair.model.put(guest)
        pair.settle()


def wait(pair: Pair, a: int, b: int, c: int) -> None:
    """WFI: ask whether to wake.  I21: if so the next entry shows something pending, if active ones leave room.

    An active SGI that is asked for again hides what is less urgent.
    """
    guest = any_guest(pair, a)
    if guest.running:
        return
    wakes = pair.vcpu(guest).pending()
    pair.model.put(guest)
    pair.settle()
    expected = pair.model.wakes(guest)
    assert wakes == expected, f"vCPU {guest.index} wakes: {wakes}, expected {expected}"
    here = [
        line
        for line in guest.listed.values()
        if line.waiting() and line.priority < guest.saved_pmr and pair.model.wanted(line) is guest
    ]
    active = [line for line in guest.listed.values() if line.active]
    room = len(active) < pair.setup.lrs and not any(line.asks_again() for line in active)
    if here and room and pair.model.can_enter(guest, guest.cpu):
        pair.enter(guest, None)
        assert any(lr.pending for lr in pair.vcpu(guest).pe.virt.lrs), f"I21: vCPU {guest.index} woke for nothing"


def bounce(pair: Pair, a: int, b: int, c: int) -> None:
    """I30: an entry and exit in which the guest does nothing changes nothing but mapped level lines."""
    guest = any_guest(pair, a)
    if pair.model.can_enter(guest, guest.cpu):
        before = [_kept(irq) for irq, _ in pair.pairs]
        pair.enter(guest, None)
        pair.exit(guest)
        assert [_kept(irq) for irq, _ in pair.pairs] == before, "I30: an entry and exit changed an interrupt"


def _kept(irq: Irq) -> tuple[object, ...]:
    wire = irq.line_level if not (irq.hw and irq.level) else None
    sources = (irq.source, irq.active_source)
    return (irq.pending_latch, wire, irq.active, irq.enabled, irq.level, irq.priority, irq.group, irq.route, sources)


# User space


def stopped(pair: Pair) -> bool:
    """Whether user space may access registers; if not, it must be told so, and nothing may change."""
    if not any(guest.running for guest in pair.model.guests):
        for guest in pair.model.guests:
            pair.model.put(guest)
        return True
    before = freeze(pair.dist)
    try:
        pair.device.set_attr(Group.DIST_REGS, pair.user_dist_control(), 0)
    except BusyError:
        assert freeze(pair.dist) == before, "EBUSY, and yet something changed"
    else:
        raise AssertionError("user space changed a register of a running VM")
    return False


def user(pair: Pair, a: int, b: int, c: int) -> None:
    """Read and write a bank."""
    if not stopped(pair):
        return
    bank = BANKS[(b >> 5) % len(BANKS)]
    frame, pool = some_frame(pair, b)
    _, lines = pair.word(frame)
    group, attr = pair.user_word(frame, bank)
    got, expected = pair.device.get_attr(group, attr), pair.model.read_bank(bank, lines, True)
    assert got == expected, f"{bank.value} of frame {frame}: user space reads {got:#x}, expected {expected:#x}"
    value = bits(pool, c)
    if bank in pair.assigned and value != c:  # change one bit
        value ^= expected
    pair.device.set_attr(group, attr, value)
    pair.model.write_bank(bank, lines, value, True)
    pair.settle()


def levels(pair: Pair, a: int, b: int, c: int) -> None:
    """Read and write LEVEL_INFO."""
    if not stopped(pair):
        return
    frame, pool = some_frame(pair, b)
    _, lines = pair.word(frame)
    attr = pair.model.guests[max(frame, 0)].affinity << 32 | (FIRST_SPI if frame == DIST else 0)
    expected = sum(1 << n for n, line in enumerate(lines) if line.level and line.line)
    got = pair.device.get_attr(Group.LEVEL_INFO, attr)
    assert got == expected, f"LEVEL_INFO of frame {frame} reads {got:#x}, expected {expected:#x}"
    value = bits(pool, c)
    if value != c:
        value ^= expected
    pair.device.set_attr(Group.LEVEL_INFO, attr, value)
    pair.model.set_levels(lines, value)
    pair.settle()


def user_cpu(pair: Pair, a: int, b: int, c: int) -> None:
    """Change a saved CPU interface, or the distributor's enable."""
    if not stopped(pair):
        return
    guest = any_guest(pair, a)
    at = guest.affinity << 32
    if b % 4 == 0:
        guest.pmr = guest.saved_pmr = MASKS[c % len(MASKS)]
        pair.device.set_attr(Group.CPU_SYSREGS, at | ICC_PMR_EL1, guest.pmr)
    elif b % 4 == 1:
        guest.enabled[c & 1] = c >> 1 & 7 != 0
        pair.device.set_attr(Group.CPU_SYSREGS, at | IGRPEN[c & 1], guest.enabled[c & 1])
    elif b % 4 == 2:
        ctlr = pair.device.get_attr(Group.CPU_SYSREGS, at | ICC_CTLR_EL1)
        assert ctlr & 3 == guest.cbpr | guest.eoimode << 1, f"user space reads ICC_CTLR_EL1 as {ctlr:#x}"
        pair.device.set_attr(Group.CPU_SYSREGS, at | ICC_CTLR_EL1, ctlr & ~3 | c & 3)
        guest.write_control(c)
    else:
        pair.device.set_attr(Group.DIST_REGS, GICD_CTLR, c & 2)
        pair.model.set_enabled(c & 2 == 2, True)
    pair.settle()


STEPS: Final[dict[str, Doing]] = {
    "inject": inject,
    "line": line,
    "wire": wire,
    "tie": tie,
    "own": own,
    "enter": enter,
    "leave": leave,
    "put": put,
    "wait": wait,
    "bounce": bounce,
    "user": user,
    "levels": levels,
    "user_cpu": user_cpu,
}
