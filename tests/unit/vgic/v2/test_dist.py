"""GICD of a GICv2 guest: every register, seen by the guest and by user space; control and identification."""

from errno import EINVAL
from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v2.gicd import (
    CPENDSGIR,
    CTLR,
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IIDR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    ITARGETSR,
    ONES,
    SGIR,
    SPENDSGIR,
    SPI,
    TYPER,
    WHO,
)
from tests.unit.vgic.v2.rig import Rig
from vgic import Group

# -- what every register is ------------------------------------------------------------------------


class Register(NamedTuple):
    """A register or bank as the manual and KVM have it: offset, bytes, and widths that a guest may use."""

    offset: int
    length: int
    widths: tuple[int, ...]
    bits: int = 0  # per interrupt


REGISTERS: Final = {
    "CTLR": Register(CTLR, 4, (4,)),
    "TYPER": Register(TYPER, 4, (4,)),
    "IIDR": Register(IIDR, 4, (4,)),
    "IGROUPR": Register(IGROUPR, 0x80, (4,), 1),
    "ISENABLER": Register(ISENABLER, 0x80, (4,), 1),
    "ICENABLER": Register(ICENABLER, 0x80, (4,), 1),
    "ISPENDR": Register(ISPENDR, 0x80, (4,), 1),
    "ICPENDR": Register(ICPENDR, 0x80, (4,), 1),
    "ISACTIVER": Register(ISACTIVER, 0x80, (4,), 1),
    "ICACTIVER": Register(ICACTIVER, 0x80, (4,), 1),
    "IPRIORITYR": Register(IPRIORITYR, 0x400, (1, 4), 8),
    "ITARGETSR": Register(ITARGETSR, 0x400, (1, 4), 8),
    "ICFGR": Register(ICFGR, 0x100, (4,), 2),
    "SGIR": Register(SGIR, 4, (4,)),
    "CPENDSGIR": Register(CPENDSGIR, 0x10, (1, 4)),
    "SPENDSGIR": Register(SPENDSGIR, 0x10, (1, 4)),
}


@pytest.mark.parametrize("row", REGISTERS.values(), ids=REGISTERS)
def test_widths_and_extent(row: Register) -> None:
    rig = Rig()
    table = rig.frame.table
    first, last = table.row_at(row.offset), table.row_at(row.offset + row.length - 4)
    assert first is last
    assert (first.offset, first.length, first.bits) == (row.offset, row.length, row.bits)
    assert tuple(size for size in (1, 2, 4, 8) if first.widths & size) == row.widths


def test_nothing_else_is_there() -> None:
    rig = Rig()
    covered = {row.offset + at for row in REGISTERS.values() for at in range(0, row.length, 4)}
    for offset in range(0, 0x1000, 4):
        if offset not in covered:
            rig.set_gicd(offset, ONES)
            rig.set_user(offset, ONES)
            assert (rig.gicd(offset), rig.user(offset)) == (0, 0), hex(offset)
            assert not rig.device.has_attr(Group.DIST_REGS, offset), hex(offset)


@pytest.mark.parametrize("row", REGISTERS.values(), ids=REGISTERS)
def test_no_other_access_counts(row: Register) -> None:
    """Halfwords, doublewords and what is not aligned read as zero and are ignored."""
    rig = Rig(2)
    before = [rig.gicd(offset) for offset in range(0, 0x1000, 4)]
    for size in (1, 2, 4, 8):
        for offset in range(row.offset, row.offset + min(row.length, 8)):
            if size not in row.widths or offset % size:
                rig.set_gicd(offset, (1 << 8 * size) - 1, size)
                assert rig.gicd(offset, size) == 0, (hex(offset), size)
    assert [rig.gicd(offset) for offset in range(0, 0x1000, 4)] == before


@pytest.mark.parametrize("row", REGISTERS.values(), ids=REGISTERS)
def test_past_the_last_interrupt(row: Register) -> None:
    """96 INTIDs: the words after them are RAZ/WI, and unknown to HAS_ATTR."""
    if not row.bits:
        return
    rig = Rig(spis=64)
    end = row.offset + 96 * row.bits // 8
    for offset in (end, row.offset + row.length - 4):
        rig.set_gicd(offset, ONES)
        rig.set_user(offset, ONES)
        assert (rig.gicd(offset), rig.user(offset)) == (0, 0)
        assert not rig.device.has_attr(Group.DIST_REGS, offset)
    assert rig.device.has_attr(Group.DIST_REGS, end - 4)


RESET: Final = {
    "CTLR": (CTLR, 0),
    "TYPER: 96 interrupts, 3 CPUs": (TYPER, 0x42),
    "IIDR: revision 3": (IIDR, 0x4B00_343B),
    "IGROUPR0: Group 0": (IGROUPR, 0),
    "IGROUPR1: Group 0": (IGROUPR + 4, 0),
    "ISENABLER0: SGIs are enabled": (ISENABLER, 0xFFFF),
    "ICENABLER0 reads the same": (ICENABLER, 0xFFFF),
    "ISENABLER1": (ISENABLER + 4, 0),
    "ISPENDR0": (ISPENDR, 0),
    "ICPENDR1": (ICPENDR + 4, 0),
    "ISACTIVER0": (ISACTIVER, 0),
    "ICACTIVER1": (ICACTIVER + 4, 0),
    "IPRIORITYR0": (IPRIORITYR, 0),
    "IPRIORITYR8": (IPRIORITYR + 32, 0),
    "ITARGETSR0: oneself": (ITARGETSR, 0x0202_0202),
    "ITARGETSR7: oneself": (ITARGETSR + 28, 0x0202_0202),
    "ITARGETSR8: nobody": (ITARGETSR + 32, 0),
    "ICFGR0: SGIs are edges": (ICFGR, 0xAAAA_AAAA),
    "ICFGR1: PPIs are levels": (ICFGR + 4, 0),
    "ICFGR2: SPIs are edges": (ICFGR + 8, 0xAAAA_AAAA),
    "SGIR is write-only": (SGIR, 0),
    "CPENDSGIR": (CPENDSGIR, 0),
    "SPENDSGIR": (SPENDSGIR, 0),
    "ICPIDR2 is not there": (0xFE8, 0),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", RESET.values(), ids=RESET)
def test_reset(row: tuple[int, int], who: str) -> None:
    rig = Rig(3)
    rig.dist.enabled = False
    offset, reads = row
    assert rig.get(who, offset, of=1) == reads


# -- control and identification --------------------------------------------------------------------


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("value", "reads"), [(0, 0), (1, 1), (2, 0), (3, 1), (ONES, 1)])
def test_ctlr(value: int, reads: int, who: str) -> None:
    """One enable, in bit 0, for both groups."""
    rig = Rig()
    rig.dist.enabled = not reads
    rig.put(who, CTLR, value)
    assert (rig.gicd(CTLR), rig.user(CTLR), rig.dist.enabled) == (reads, reads, bool(reads))


@pytest.mark.parametrize("who", WHO)
def test_enabling_kicks_who_has_something_listed(who: str) -> None:
    rig = Rig(2)
    rig.vm.inject(SPI)
    irq = rig.irq(SPI, latch=True, vcpu=1)
    rig.set_gicd(ISENABLER + 4, 1 << SPI % 32)
    assert irq.queued_on is rig.vcpus[1]
    rig.dist.enabled = False
    rig.kicks.clear()
    rig.put(who, CTLR, 0)
    assert rig.kicks == []
    rig.put(who, CTLR, 1)
    assert rig.kicks == [1]
    rig.put(who, CTLR, 1)
    assert rig.kicks == [1], "it was on already"


TYPERS: Final = {
    (1, 32): 0x01,
    (8, 32): 0xE1,
    (8, 64): 0xE2,
    (8, 224): 0xE7,
    (8, 256): 0xE8,
    (8, 960): 0xFE,
}


@pytest.mark.parametrize(("vcpus", "spis"), TYPERS)
def test_typer(vcpus: int, spis: int) -> None:
    rig = Rig(vcpus, spis=spis)
    rig.set_gicd(TYPER, ONES)
    rig.set_user(TYPER, ONES)
    assert (rig.gicd(TYPER), rig.user(TYPER)) == (TYPERS[vcpus, spis],) * 2


IIDRS: Final = {
    "revision 2": (0x4B00_243B, 0),
    "revision 3": (0x4B00_343B, 0),
    "revision 1 is of old kernels": (0x4B00_143B, EINVAL),
    "revision 0 is of older ones": (0x4B00_043B, EINVAL),
    "revision 4 is not yet there": (0x4B00_443B, EINVAL),
    "another product": (0x4A00_343B, EINVAL),
    "another variant": (0x4B01_343B, EINVAL),
    "another implementer": (0x4B00_343C, EINVAL),
}


@pytest.mark.parametrize("row", IIDRS.values(), ids=IIDRS)
def test_iidr(row: tuple[int, int]) -> None:
    """A revision that is accepted unlocks user space's IGROUPR, whichever it is."""
    value, error = row
    rig = Rig()
    rig.set_gicd(IIDR, value)
    assert rig.gicd(IIDR) == 0x4B00_343B, "the guest cannot choose"
    assert outcome(lambda: rig.set_user(IIDR, value)) == error
    assert rig.gicd(IIDR) == (0x4B00_343B if error else value)
    rig.set_user(IGROUPR + 4, ONES)
    assert rig.user(IGROUPR + 4) == (0 if error else ONES)


def test_the_guests_groups_need_no_unlocking() -> None:
    rig = Rig()
    rig.set_gicd(IGROUPR + 4, 0xF0F0)
    rig.set_gicd(IGROUPR, 0x30)
    assert (rig.gicd(IGROUPR + 4), rig.user(IGROUPR)) == (0xF0F0, 0x30)


def test_user_spaces_groups_list_what_is_stranded() -> None:
    rig = Rig()
    rig.set_user(IIDR, 0x4B00_243B)
    rig.irq(SPI, latch=True)
    rig.set_user(IGROUPR + 4, 0)
    assert rig.listed() == [SPI]
