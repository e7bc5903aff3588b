"""Steps that only a GICv2 has, or that it does by other registers.

Room:    above pair_v2, beside steps_guest and steps_host, whose rules for a step hold here too; the same names stand
         for the same kind of step.
"""

from typing import Final

from hw.arch import (
    GICC_ABPR,
    GICC_APR,
    GICC_BPR,
    GICC_CTLR,
    GICC_PMR,
    GICD_CPENDSGIR,
    GICD_CTLR,
    GICD_ITARGETSR,
    GICD_SPENDSGIR,
)
from tests.support import GICD_BASE
from tests.walk.naive import Line
from tests.walk.pair import Pair
from tests.walk.pair_v2 import PairV2
from tests.walk.setup import NR_SPIS, PRIVATE, SGIS, SPIS
from tests.walk.steps_guest import running
from tests.walk.steps_host import MASKS, Doing, any_guest, stopped, user
from vgic import Group

GICD_IIDR: Final = 0x008
FILTERS: Final = (0, 0, 0, 0, 0, 1, 2, 3)  # of SGIR: named CPUs, all others, itself, reserved
TARGETED: Final = SPIS + PRIVATE


def nothing(pair: Pair, a: int, b: int, c: int) -> None:
    """A step of the other version."""


def gicv2(pair: Pair) -> PairV2:
    assert isinstance(pair, PairV2), "walk chooses the steps that fit"
    return pair


def sgi(pair: Pair, a: int, b: int, c: int) -> None:
    """To one or several, to all others, to itself; mostly the same SGI, so that it waits from several."""
    guest = running(pair, a)
    if guest is not None:
        targets = c >> 8 & 0xFF if c >> 3 & 1 else 1 << (c >> 4 & 0xF) % pair.setup.vcpus
        intid = SGIS[b % len(SGIS)] if b & 0xC0 == 0 else SGIS[0]
        gicv2(pair).send(guest, FILTERS[c & 7] << 24 | targets << 16 | (c >> 16 & 1) << 15 | intid)


def sources(pair: Pair, a: int, b: int, c: int) -> None:
    """Set or clear sources, or look at them, by the guest or by user space."""
    guest = running(pair, a)
    v2 = gicv2(pair)
    add, by_user = b & 3 != 0, b & 0xC == 0
    first, size = (SGIS[c % len(SGIS)] & ~3, 4) if by_user or b & 0x10 else (SGIS[c % len(SGIS)], 1)
    value = c >> 8 if b & 0x20 else 1 << (c >> 8 & 7) | 1 << (c >> 11 & 7)
    register = GICD_SPENDSGIR if add else GICD_CPENDSGIR
    if by_user:
        if not stopped(pair):
            return
        guest = any_guest(pair, a)
        attr = v2.user_attr(guest, register + first)
        assert v2.device.get_attr(Group.DIST_REGS, attr) == _sources_of(guest.private[first : first + size])
        v2.device.set_attr(Group.DIST_REGS, attr, value & 0xFFFF_FFFF)
        v2.change_sources(guest, first, size, value, add)
        v2.settle()
    elif guest is not None:
        v2.write_sources(guest, first, size, value, add)
        got = v2.vcpu(guest).read(GICD_BASE + register + first, size)
        v2.model.begin_trap(guest)
        expected = _sources_of(guest.private[first : first + size])
        assert got == expected, f"vCPU {guest.index}: sources of SGI {first} read {got:#x}, expected {expected:#x}"
        v2.reenter(guest)


def _sources_of(lines: list[Line]) -> int:
    return sum(line.sources << 8 * n for n, line in enumerate(lines))


def targets(pair: Pair, a: int, b: int, c: int) -> None:
    """ITARGETSR of one interrupt or four; sometimes none or CPUs that do not exist; sometimes by user space."""
    v2 = gicv2(pair)
    guest = running(pair, a)
    intid = TARGETED[b % len(TARGETED)] if c >> 30 == 0 else SPIS[b % len(SPIS)]
    if b >> 5 == 0:
        if stopped(pair):
            lines = v2.model.spis[(intid & ~3) % NR_SPIS :][:4]
            attr = v2.user_attr(any_guest(pair, a), GICD_ITARGETSR + lines[0].intid)
            assert v2.device.get_attr(Group.DIST_REGS, attr) == _targets_of(lines)
            v2.device.set_attr(Group.DIST_REGS, attr, c)
            for n, line in enumerate(lines):
                v2.model.set_route(line, c >> 8 * n & 0xFF)
            v2.settle()
        return
    if guest is None:
        return
    first, size = (intid & ~3, 4) if b >> 5 == 1 else (intid, 1)
    pool, at = (guest.private, first) if intid < NR_SPIS else (v2.model.spis, first - NR_SPIS)
    value = 1 << c % pair.setup.vcpus if size == 1 and c >> 8 & 3 else c & (1 << 8 * size) - 1
    v2.write_targets(guest, pool[at : at + size], value)
    got = v2.vcpu(guest).read(GICD_BASE + GICD_ITARGETSR + first, size)
    expected = _targets_of(pool[at : at + size])
    assert got == expected, f"ITARGETSR of {first} reads {got:#x} after {value:#x} was written, expected {expected:#x}"
    v2.trap_and_return(guest)


def _targets_of(lines: list[Line]) -> int:
    return sum(line.route << 8 * n for n, line in enumerate(lines))


def user_bank(pair: Pair, a: int, b: int, c: int) -> None:
    """As for a GICv3, and the ledger hears of SGIs."""
    v2 = gicv2(pair)
    before = [line.sources for line in v2.sgis()]
    user(pair, a, b, c)
    v2.note_sources(before)


def user_cpu(pair: Pair, a: int, b: int, c: int) -> None:
    """Change a saved CPU interface, the distributor's enable, or what user space may do to groups."""
    if not stopped(pair):
        return
    v2 = gicv2(pair)
    guest, device = any_guest(pair, a), pair.device
    registers = {
        GICC_CTLR: guest.read_control(),
        GICC_PMR: guest.pmr >> 3,
        GICC_BPR: guest.bpr[0],
        GICC_ABPR: guest.bpr[1],
        GICC_APR: guest.read_ap(1),
    }
    for offset, expected in registers.items():
        got = device.get_attr(Group.CPU_REGS, v2.user_attr(guest, offset))
        assert got == expected, f"vCPU {guest.index}: GICC {offset:#x} is {got:#x} for user space, not {expected:#x}"
    which = b % 8
    if which < len(registers):
        offset = tuple(registers)[which]
        if offset == GICC_CTLR:
            value = c & 0x21F | (3 if c >> 10 & 3 else 0)
            guest.write_control(value)
        elif offset == GICC_PMR:
            value = MASKS[c % len(MASKS)] >> 3
            guest.pmr = guest.saved_pmr = value << 3
        elif offset == GICC_APR:
            value = c if c & 0x1F == 0x1F else 0
            guest.write_ap(1, value)
        else:
            value = c & 7
            guest.bpr[offset == GICC_ABPR] = value  # raised to its minimum when it is loaded
        device.set_attr(Group.CPU_REGS, v2.user_attr(guest, offset), value)
    elif which == 5:
        iidr = v2.user_attr(guest, GICD_IIDR)
        device.set_attr(Group.DIST_REGS, iidr, device.get_attr(Group.DIST_REGS, iidr))
        v2.model.groups_unlocked = True
    else:
        device.set_attr(Group.DIST_REGS, v2.user_attr(guest, GICD_CTLR), c & 1)
        v2.model.set_enabled(c & 1 == 1, True)
    pair.settle()


GICV3_HAS_NOT: Final[dict[str, Doing]] = {"sources": nothing}
STEPS: Final[dict[str, Doing]] = {
    "sgi": sgi,
    "sources": sources,
    "route": targets,
    "user": user_bank,
    "user_cpu": user_cpu,
    "levels": nothing,
}
