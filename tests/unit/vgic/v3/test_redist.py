"""GICR of a GICv3 guest: identity, LPI table registers without LPIs, and one vCPU's SGIs and PPIs.

What the banks do to an interrupt is in test_perirq; widths, gaps and bounds of every row are in test_mmio.
"""

from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_IIDR,
    GICR_CTLR,
    GICR_ICACTIVER0,
    GICR_ICENABLER0,
    GICR_ICFGR0,
    GICR_ICFGR1,
    GICR_IGROUPR0,
    GICR_IGRPMODR0,
    GICR_IIDR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_IPRIORITYR,
    GICR_ISACTIVER0,
    GICR_ISENABLER0,
    GICR_ISPENDR0,
    GICR_PENDBASER,
    GICR_PIDR2,
    GICR_PROPBASER,
    GICR_SETLPIR,
    GICR_STATUSR,
    GICR_SYNCR,
    GICR_TYPER,
    GICR_WAKER,
    ICC_IAR1_EL1,
)
from tests.support import freeze, redist_base
from tests.unit.vgic.v3.conftest import PPI, SGI, Regs, Story
from vgic import Group
from vgic.v3.baser import sanitise_attributes

ONES: Final = (1 << 64) - 1
NSACR: Final = 0x1_0E00

# -- RD_base -------------------------------------------------------------------------------------

RESETS: Final = {
    "CTLR: CES and IR": (GICR_CTLR, 0x6),
    "IIDR: revision 0 whatever GICD_IIDR's": (GICR_IIDR, 0x4B00_043B),
    "STATUSR": (GICR_STATUSR, 0),
    "WAKER: never asleep": (GICR_WAKER, 0),
    "PROPBASER, low": (GICR_PROPBASER, 0),
    "PROPBASER, high": (GICR_PROPBASER + 4, 0),
    "PENDBASER, low: inner shareable, RaWb": (GICR_PENDBASER, 0x580),
    "PENDBASER, high": (GICR_PENDBASER + 4, 0),
    "SYNCR: nothing in flight": (GICR_SYNCR, 0),
    "PIDR2 says GICv3": (GICR_PIDR2, 0x3B),
    "IGROUPR0: group 1": (GICR_IGROUPR0, 0xFFFF_FFFF),
    "ISENABLER0: SGIs on, PPIs off": (GICR_ISENABLER0, 0x0000_FFFF),
    "ICENABLER0: the same": (GICR_ICENABLER0, 0x0000_FFFF),
    "ISPENDR0": (GICR_ISPENDR0, 0),
    "ISACTIVER0": (GICR_ISACTIVER0, 0),
    "IPRIORITYR": (GICR_IPRIORITYR + 28, 0),
    "ICFGR0: SGIs are edge": (GICR_ICFGR0, 0xAAAA_AAAA),
    "ICFGR1: PPIs are level": (GICR_ICFGR1, 0),
}


@pytest.mark.parametrize("row", RESETS.values(), ids=RESETS)
def test_reset_values(row: tuple[int, int]) -> None:
    offset, reads = row
    regs = Regs(vcpus=2)
    assert (regs.gicr(offset, of=1), regs.user_gicr(offset, of=1)) == (reads, reads)


IMMUNE: Final = {
    "CTLR: no ITS, so no LPIs to enable": GICR_CTLR,
    "IIDR": GICR_IIDR,
    "TYPER, low": GICR_TYPER,
    "TYPER, high": GICR_TYPER + 4,
    "STATUSR": GICR_STATUSR,
    "WAKER": GICR_WAKER,
    "SETLPIR: reserved here": GICR_SETLPIR,
    "INVLPIR": GICR_INVLPIR,
    "INVLPIR, high": GICR_INVLPIR + 4,
    "INVALLR": GICR_INVALLR,
    "SYNCR": GICR_SYNCR,
    "PIDR2": GICR_PIDR2,
    "ICFGR0": GICR_ICFGR0,
    "ICFGR1": GICR_ICFGR1,
    "IGRPMODR0": GICR_IGRPMODR0,
    "NSACR": NSACR,
    "SGI_base's identification registers, which are not there": 0x1_FFE8,
}


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize("offset", IMMUNE.values(), ids=IMMUNE)
def test_writes_are_ignored(offset: int, who: str) -> None:
    regs = Regs()
    before, reads = freeze(regs.dist), regs.gicr(offset)
    for value in (0, 1, 0xFFFF_FFFF):
        if who == "guest":
            regs.set_gicr(offset, value)
        else:
            regs.set_user_gicr(offset, value)
        assert (regs.gicr(offset), regs.user_gicr(offset)) == (reads, reads)
    assert freeze(regs.dist) == before


def test_all_identification_registers_but_pidr2_read_as_zero() -> None:
    regs = Regs()
    assert [offset for offset in range(0xFFD0, 0x1_0000, 4) if regs.gicr(offset)] == [0xFFE8]


def test_ces_and_ir_came_with_revision_3() -> None:
    regs = Regs()
    reads = [regs.gicr(GICR_CTLR)]
    for iidr in (0x4B00_243B, 0x4B00_343B):
        regs.set_user(GICD_IIDR, iidr)
        reads.append(regs.gicr(GICR_CTLR))
    assert reads == [0x6, 0, 0x6]


# -- GICR_TYPER ----------------------------------------------------------------------------------


class Typer(NamedTuple):
    vcpu_id: int
    affinity: int | None  # as user space chose it; None: the default
    reads: int


TYPERS: Final = {
    "vCPU 0": Typer(0, None, 0x0000_0000_0000_0000),
    "vCPU 15 ends the first cluster": Typer(15, None, 0x0000_000F_0000_0F00),
    "vCPU 16 starts the next": Typer(16, None, 0x0000_0100_0000_1000),
    "the last id": Typer(511, None, 0x0000_1F0F_0001_FF00),
    "another affinity": Typer(1, 0x0102_03, 0x0001_0203_0000_0100),
    "Aff3 does not show": Typer(1, 0x0901_0203, 0x0001_0203_0000_0100),
}


@pytest.mark.parametrize("row", TYPERS.values(), ids=TYPERS)
def test_typer_says_who_owns_the_frame(row: Typer) -> None:
    story = Story(f"vcpu {row.vcpu_id}; vcpu 500; device; legacy 0x0; init")
    vcpu = story.by_id[row.vcpu_id]
    if row.affinity is not None:
        vcpu.set_mpidr(row.affinity)
    assert vcpu.redist is not None
    halves = [story.device.get_attr(Group.REDIST_REGS, vcpu.mpidr << 32 | offset) for offset in (8, 12)]
    assert (vcpu.redist.read(vcpu, GICR_TYPER, 8), halves[1] << 32 | halves[0]) == (row.reads, row.reads)


def test_a_walk_over_frames_until_last_finds_every_vcpu() -> None:
    regs = Regs(vcpus=20)
    vcpu = regs.vcpus[7]
    vcpu.enter()
    found: list[int] = []
    last = False
    while not last:
        typer = vcpu.read(redist_base(len(found)) + GICR_TYPER, 8)
        found.append(typer >> 32)
        last = bool(typer & 0x10)
    assert found == [n // 16 << 8 | n % 16 for n in range(20)]


# -- GICR_PROPBASER and GICR_PENDBASER -------------------------------------------------------------


class Base(NamedTuple):
    register: int
    value: int
    reads: int


BASES: Final = {
    "PROPBASER: 0": Base(GICR_PROPBASER, 0, 0x180),
    "PROPBASER: all ones": Base(GICR_PROPBASER, ONES, 0x000F_FFFF_FFFF_FF9F),
    "PROPBASER: an address and IDbits": Base(GICR_PROPBASER, 0x4000_000D, 0x4000_018D),
    "PROPBASER: bit 12 is address": Base(GICR_PROPBASER, 0x4000_1000, 0x4000_1180),
    "PROPBASER: outer shareable becomes inner": Base(GICR_PROPBASER, 0x0100_0000_8000_0880, 0x0100_0000_8000_0580),
    "PENDBASER: 0": Base(GICR_PENDBASER, 0, 0x180),
    "PENDBASER: all ones": Base(GICR_PENDBASER, ONES, 0x000F_FFFF_FFFF_0F80),
    "PENDBASER: PTZ does not read back": Base(GICR_PENDBASER, 1 << 62 | 0x4000_0000, 0x4000_0180),
    "PENDBASER: bits 15:12 are not address": Base(GICR_PENDBASER, 0x4000_F000, 0x4000_0180),
    "PENDBASER: outer shareable becomes inner": Base(GICR_PENDBASER, 0x0100_0000_8000_0880, 0x0100_0000_8000_0580),
}


@pytest.mark.parametrize("row", BASES.values(), ids=BASES)
def test_table_registers_keep_what_kvm_supports(row: Base) -> None:
    regs = Regs(vcpus=2)
    regs.set_gicr(row.register, row.value, 8, of=1)
    halves = regs.gicr(row.register, of=1), regs.gicr(row.register + 4, of=1)
    user = regs.user_gicr(row.register, of=1), regs.user_gicr(row.register + 4, of=1)
    want = row.reads & 0xFFFF_FFFF, row.reads >> 32
    assert (regs.gicr(row.register, 8, of=1), halves, user) == (row.reads, want, want)


@pytest.mark.parametrize("row", BASES.values(), ids=BASES)
@pytest.mark.parametrize("low_first", [True, False], ids=["low half first", "high half first"])
def test_user_space_writes_table_registers_by_halves(row: Base, low_first: bool) -> None:
    regs = Regs()
    halves = [(0, row.value & 0xFFFF_FFFF), (4, row.value >> 32)]
    for at, half in halves if low_first else halves[::-1]:
        regs.set_user_gicr(row.register + at, half)
    assert regs.gicr(row.register, 8) == row.reads


ATTRIBUTES: Final = {
    "non-shareable is kept": (0b00 << 10 | 0b011 << 7, 0b00 << 10 | 0b011 << 7),
    "inner shareable is kept": (0b01 << 10 | 0b011 << 7, 0b01 << 10 | 0b011 << 7),
    "outer shareable becomes inner": (0b10 << 10 | 0b011 << 7, 0b01 << 10 | 0b011 << 7),
    "reserved shareability is kept": (0b11 << 10 | 0b011 << 7, 0b11 << 10 | 0b011 << 7),
    "inner device memory becomes RaWb": (0b000 << 7, 0b011 << 7),
    "inner non-cacheable becomes RaWb": (0b001 << 7, 0b011 << 7),
    "other inner cacheability is kept": (0b010 << 7, 0b010 << 7),
    "the last inner cacheability is kept": (0b111 << 7, 0b111 << 7),
    "outer same as inner is kept": (0b000 << 56 | 0b111 << 7, 0b000 << 56 | 0b111 << 7),
    "outer non-cacheable is kept": (0b001 << 56 | 0b111 << 7, 0b001 << 56 | 0b111 << 7),
    "other outer cacheability becomes same as inner": (0b010 << 56 | 0b111 << 7, 0b111 << 7),
    "the last outer cacheability too": (0b111 << 56 | 0b111 << 7, 0b111 << 7),
}


@pytest.mark.parametrize("row", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_memory_attributes(row: tuple[int, int]) -> None:
    assert sanitise_attributes(row[0]) == row[1]


def test_writing_the_upper_half_sanitises_the_lower_too() -> None:
    regs = Regs()
    regs.set_gicr(GICR_PROPBASER + 4, 0)
    assert regs.gicr(GICR_PROPBASER) == 0x180


def test_ptz_is_remembered_though_it_reads_as_zero() -> None:
    regs = Regs()
    regs.set_gicr(GICR_PENDBASER, ONES, 8)
    kept = [regs.vcpus[0].pendbaser]
    regs.set_gicr(GICR_PENDBASER, 0x5000_0580)
    kept.append(regs.vcpus[0].pendbaser)
    regs.set_gicr(GICR_PENDBASER + 4, 0)
    kept.append(regs.vcpus[0].pendbaser)
    assert kept == [0x400F_FFFF_FFFF_0F80, 0x400F_FFFF_5000_0580, 0x5000_0580]


def test_propbaser_is_one_for_all_and_pendbaser_everybodys_own() -> None:
    regs = Regs(vcpus=3)
    regs.set_gicr(GICR_PROPBASER, 0x4000_078D, 8, of=1)
    regs.set_gicr(GICR_PENDBASER, 0x5000_0780, 8, of=1)
    bases = [(regs.gicr(GICR_PROPBASER, 8, of=n), regs.gicr(GICR_PENDBASER, 8, of=n)) for n in range(3)]
    assert bases == [(0x4000_078D, 0x580), (0x4000_078D, 0x5000_0780), (0x4000_078D, 0x580)]


# -- SGI_base: the banks of one vCPU ----------------------------------------------------------------


class Bank(NamedTuple):
    offset: int
    value: int
    field: str  # of Irq
    set: set[int]  # the INTIDs that have it afterwards


BANKS: Final = {
    "ISENABLER0": Bank(GICR_ISENABLER0, 0x8001_0000, "enabled", {*range(16), 16, 31}),
    "ICENABLER0 can disable SGIs": Bank(GICR_ICENABLER0, 0x0000_00FF, "enabled", set(range(8, 16))),
    "ISPENDR0 works for SGIs too": Bank(GICR_ISPENDR0, 0x0801_0021, "pending_latch", {0, 5, 16, 27}),
    "ISACTIVER0": Bank(GICR_ISACTIVER0, 0x0801_0021, "active", {0, 5, 16, 27}),
    "IGROUPR0": Bank(GICR_IGROUPR0, 0x8000_0001, "group", {0, 31}),
}


@pytest.mark.parametrize("by", [0, 1], ids=["by another vCPU", "by its owner"])
@pytest.mark.parametrize("row", BANKS.values(), ids=BANKS)
def test_a_frame_acts_on_the_vcpu_that_owns_it(row: Bank, by: int) -> None:
    regs = Regs(vcpus=2)
    regs.set_gicr(row.offset, row.value, of=1, by=by)
    after = {irq.intid for irq in regs.vcpus[1].private if getattr(irq, row.field)}
    fresh = {irq.intid for irq in Regs().vcpus[0].private if getattr(irq, row.field)}
    assert (after, {irq.intid for irq in regs.vcpus[0].private if getattr(irq, row.field)}) == (row.set, fresh)
    assert regs.gicr(row.offset, of=1, by=by) == sum(1 << intid for intid in row.set)


def test_an_sgi_set_pending_in_anothers_frame_is_listed_there() -> None:
    regs = Regs(vcpus=2)
    regs.set_gicr(GICR_ISPENDR0, 1 << SGI, of=1, by=0)
    assert ([[irq.intid for irq in vcpu.ap_list] for vcpu in regs.vcpus], regs.kicks) == ([[], [SGI]], [1])


def test_priorities_by_byte_and_word() -> None:
    regs = Regs(vcpus=2)
    regs.set_gicr(GICR_IPRIORITYR + PPI, 0xFF, 1, of=1)
    regs.set_gicr(GICR_IPRIORITYR + 4, 0x4433_2211, of=1)
    got = {irq.intid: irq.priority for vcpu in regs.vcpus for irq in vcpu.private if irq.priority}
    assert got == {4: 0x10, 5: 0x20, 6: 0x30, 7: 0x40, PPI: 0xF8}
    assert (regs.gicr(GICR_IPRIORITYR + 24, of=1), regs.gicr(GICR_IPRIORITYR + PPI, 1, of=1)) == (0xF800_0000, 0xF8)


# -- active state stops the guests -----------------------------------------------------------------


class Halt(NamedTuple):
    offset: int
    by: int
    stopped: list[int]  # exits forced on vCPUs 0, 1, 2, all of which are in the guest


HALTS: Final = {
    "ISACTIVER0 by its owner stops nobody": Halt(GICR_ISACTIVER0, 1, [0, 0, 0]),
    "ICACTIVER0 by its owner stops nobody": Halt(GICR_ICACTIVER0, 1, [0, 0, 0]),
    "ISACTIVER0 by another stops everybody": Halt(GICR_ISACTIVER0, 0, [0, 1, 1]),
    "ICACTIVER0 by another stops everybody": Halt(GICR_ICACTIVER0, 2, [1, 1, 0]),
    "ISPENDR0 by another stops nobody": Halt(GICR_ISPENDR0, 0, [0, 0, 0]),
    "ISENABLER0 by another stops nobody": Halt(GICR_ISENABLER0, 0, [0, 0, 0]),
}


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize("row", HALTS.values(), ids=HALTS)
def test_an_access_to_the_frame_of_vcpu_1(row: Halt, access: str) -> None:
    regs = Regs(vcpus=3)
    for vcpu in regs.vcpus:
        vcpu.enter()
    if access == "read":
        regs.vcpus[row.by].read(redist_base(1) + row.offset, 4)
    else:
        regs.vcpus[row.by].write(redist_base(1) + row.offset, 4, 0)
    kicked = [n for n, exits in enumerate(row.stopped) if exits]
    assert ([vcpu.cost.exits_irq for vcpu in regs.vcpus], regs.kicks) == (row.stopped, kicked)


def test_what_another_vcpu_acknowledged_reads_active_and_can_be_deactivated() -> None:
    regs = Regs(vcpus=2)
    holder, other = regs.vcpus[1], regs.vcpus[0]
    holder.vmcr = 0xF0 << 24 | 0b10
    regs.set_gicr(GICR_ISPENDR0, 1 << SGI, of=1)
    holder.enter()
    other.enter()
    acknowledged = holder.mrs(ICC_IAR1_EL1)
    active = other.read(redist_base(1) + GICR_ISACTIVER0, 4)
    other.write(redist_base(1) + GICR_ICACTIVER0, 4, 1 << SGI)
    holder.exit()
    assert (acknowledged, active, regs.irq(SGI, of=1).active) == (SGI, 1 << SGI, False), "no later fold undoes it"


def test_what_lies_in_anothers_list_registers_does_not_read_as_pending() -> None:
    regs = Regs(vcpus=2)
    regs.set_gicr(GICR_ISPENDR0, 1 << SGI, of=1)
    regs.vcpus[1].enter()
    moved = regs.gicr(GICR_ISPENDR0, of=1, by=0)
    regs.vcpus[1].exit()
    assert (moved, regs.gicr(GICR_ISPENDR0, of=1, by=0)) == (0, 1 << SGI)
