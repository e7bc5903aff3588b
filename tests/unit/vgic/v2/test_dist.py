"""GICD of a GICv2 guest: every register, seen by the guest and by user space.

What the shared banks do to an interrupt is in test_perirq; here is what a GICv2 has of its own.
"""

from errno import EINVAL
from typing import Final, NamedTuple

import pytest

from hw.arch import GICC_HPPIR, INTID_SPURIOUS
from tests.unit.vgic.rig import LEVEL, outcome
from tests.unit.vgic.v2.rig import GICC_BASE, GICD_BASE, GICV2, GICV3, Rig, make_host
from vgic import CTRL_INIT, Addr, Device, DeviceType, Group, Vgic

CTLR: Final = 0x000
TYPER: Final = 0x004
IIDR: Final = 0x008
IGROUPR: Final = 0x080
ISENABLER: Final = 0x100
ICENABLER: Final = 0x180
ISPENDR: Final = 0x200
ICPENDR: Final = 0x280
ISACTIVER: Final = 0x300
ICACTIVER: Final = 0x380
IPRIORITYR: Final = 0x400
ITARGETSR: Final = 0x800
ICFGR: Final = 0xC00
SGIR: Final = 0xF00
CPENDSGIR: Final = 0xF10
SPENDSGIR: Final = 0xF20

SGI: Final = 5
PPI: Final = 27
SPI: Final = 40
ONES: Final = 0xFFFF_FFFF
WHO: Final = ("guest", "user")

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


# -- pending -----------------------------------------------------------------------------------------


class Pend(NamedTuple):
    """A write of ones, and (latch, sources) afterwards; before, the SGI waits from CPU 0."""

    who: str
    offset: int
    want: tuple[bool, int]


PENDS: Final = {
    "the guest cannot send an SGI by ISPENDR": Pend("guest", ISPENDR, (True, 0b1)),
    "nor retract one by ICPENDR": Pend("guest", ICPENDR, (True, 0b1)),
    "user space's ISPENDR adds the vCPU itself": Pend("user", ISPENDR, (True, 0b11)),
    "user space's ICPENDR takes all sources": Pend("user", ICPENDR, (False, 0)),
}


@pytest.mark.parametrize("row", PENDS.values(), ids=PENDS)
def test_sgis_pending(row: Pend) -> None:
    rig = Rig(2)
    irq = rig.irq(SGI, vcpu=1, sources=1)
    rig.put(row.who, row.offset, 1 << SGI, of=1)
    assert (irq.pending_latch, irq.source) == row.want
    assert rig.listed(1) == ([SGI] if (row.who, row.offset) == ("user", ISPENDR) else [])
    assert rig.get(row.who, ISPENDR, of=1) >> SGI & 1 == row.want[0]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("intid", [PPI, SPI])
def test_others_pending(intid: int, who: str) -> None:
    rig = Rig()
    irq = rig.irq(intid)
    word, bit = intid // 32 * 4, 1 << intid % 32
    rig.put(who, ISPENDR + word, bit)
    assert (irq.pending_latch, rig.listed(), rig.get(who, ICPENDR + word) & bit) == (True, [intid], bit)
    rig.put(who, ICPENDR + word, bit)
    assert (irq.pending_latch, rig.listed(), rig.get(who, ISPENDR + word) & bit) == (False, [intid], 0)


@pytest.mark.parametrize("physical", [False, True])
@pytest.mark.parametrize("virtual", [False, True])
def test_user_space_reads_a_mapped_level_interrupt_as_it_is_kept(virtual: bool, physical: bool) -> None:
    """The guest sees the wire below; user space what would be migrated: __read_pending()."""
    rig = Rig()
    rig.vcpu.map_irq(PPI, PPI, lambda intid: physical)
    rig.irq(PPI, level=LEVEL, line=virtual)
    for bank in (ISPENDR, ICPENDR):
        assert rig.gicd(bank) >> PPI & 1 == physical
        assert rig.user(bank) >> PPI & 1 == virtual


# -- active ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("who", "source"), [("guest", 2), ("user", 0)])
def test_an_sgi_made_active_names_its_source(who: str, source: int) -> None:
    rig = Rig(3)
    irq = rig.irq(SGI, vcpu=2, active_source=1)
    rig.put(who, ISACTIVER, 1 << SGI, of=2)
    assert (irq.active, irq.active_source, rig.listed(2)) == (True, source, [SGI])
    rig.put(who, ICACTIVER, 1 << SGI, of=2)
    assert (irq.active, irq.active_source, rig.listed(2)) == (False, source, [SGI])


def test_the_source_of_others_is_left_alone() -> None:
    rig = Rig(3)
    irq = rig.irq(PPI, vcpu=2)
    rig.put("guest", ISACTIVER, 1 << PPI, of=2)
    assert (irq.active, irq.active_source) == (True, 0)


@pytest.mark.parametrize(("bank", "stopped"), [(ISACTIVER, False), (ISACTIVER + 4, True)], ids=["private", "SPIs"])
def test_who_is_stopped_to_read_active_state(bank: int, stopped: bool) -> None:
    """A CPU's private interrupts can be in its own list registers only."""
    rig = Rig(2)
    rig.vcpus[1].enter()
    rig.kicks.clear()
    rig.vcpu.enter()
    rig.vcpu.read(0x0800_0000 + bank, 4)
    assert rig.kicks == ([1] if stopped else [])


# -- priority, targets, trigger ----------------------------------------------------------------------


@pytest.mark.parametrize("intid", [SGI, PPI, SPI])
def test_priority(intid: int) -> None:
    rig = Rig(2)
    rig.set_gicd(IPRIORITYR + intid, 0xFF, 1, by=1)
    assert rig.found(intid, 1).priority == 0xF8
    assert rig.gicd(IPRIORITYR + intid, 1, by=1) == 0xF8
    assert rig.gicd(IPRIORITYR + intid, 1, by=0) == (0xF8 if intid == SPI else 0), "private ones are banked"


class Target(NamedTuple):
    """A byte written to ITARGETSR in a VM with 3 CPUs, what it reads as, and who gets the interrupt."""

    value: int
    reads: int
    vcpu: int


TARGETS: Final = {
    "one CPU": Target(0b010, 0b010, 1),
    "of several the lowest gets it": Target(0b110, 0b110, 1),
    "bits of absent CPUs are not kept": Target(0xFF, 0b111, 0),
    "none but absent ones: vCPU 0": Target(0xF8, 0, 0),
    "none at all: vCPU 0": Target(0, 0, 0),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", TARGETS.values(), ids=TARGETS)
def test_targets(row: Target, who: str) -> None:
    rig = Rig(3)
    irq = rig.irq(SPI, vcpu=2, latch=True)
    rig.put(who, ITARGETSR + SPI, row.value)
    assert (irq.route, irq.target) == (row.reads, rig.vcpus[row.vcpu])
    assert rig.get(who, ITARGETSR + SPI) == row.reads
    assert (rig.listed(row.vcpu), rig.kicks) == ([], []), "nothing is looked at again"


def test_targets_by_byte() -> None:
    rig = Rig(8)
    rig.set_gicd(ITARGETSR + SPI, 0x0102_0408)
    rig.set_gicd(ITARGETSR + SPI + 1, 0x80, 1)
    assert rig.gicd(ITARGETSR + SPI) == 0x0102_8008
    assert [rig.found(SPI + n).target for n in range(4)] == [rig.vcpus[n] for n in (3, 7, 1, 0)]


@pytest.mark.parametrize("intid", [SGI, PPI])
def test_private_targets_are_fixed(intid: int) -> None:
    rig = Rig(2)
    rig.set_gicd(ITARGETSR + intid, 1, 1, by=1)
    assert rig.gicd(ITARGETSR + intid, 1, by=1) == 2
    assert rig.found(intid, 1).target is rig.vcpus[1]


def test_a_uniprocessor_reads_its_targets_too() -> None:
    """IHI 0048 has them RAZ/WI there; KVM does not."""
    assert Rig(1).gicd(ITARGETSR) == 0x0101_0101


def test_a_listed_interrupt_moves_when_its_holder_prunes() -> None:
    rig = Rig(2)
    rig.irq(SPI)
    rig.vm.inject(SPI)
    rig.set_gicd(ITARGETSR + SPI, 0b10, 1)
    assert (rig.listed(0), rig.listed(1)) == ([SPI], [])
    rig.vcpu.enter()
    rig.vcpu.exit()
    assert (rig.listed(0), rig.listed(1)) == ([], [SPI])


@pytest.mark.parametrize("who", WHO)
def test_trigger(who: str) -> None:
    rig = Rig()
    for word, want in ((0, 0xAAAA_AAAA), (4, 0), (8, 0x5555_5555 & 0xAAAA_AAAA)):
        rig.put(who, ICFGR + word, 0x5555_5555)
        assert rig.get(who, ICFGR + word) == want
    rig.put(who, ICFGR + 8, ONES)
    assert rig.get(who, ICFGR + 8) == 0xAAAA_AAAA


# -- SGIs --------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """A value of SGIR that CPU 1 of 3 writes, and who gets the SGI."""

    value: int
    vcpus: list[int]


SENDS: Final = {
    "to a list": Send(0x0005_0003, [0, 2]),
    "to a list with oneself": Send(0x0002_0003, [1]),
    "to a list with absent CPUs": Send(0x00F9_0003, [0]),
    "to an empty list": Send(0x0000_0003, []),
    "to all others, whatever the list": Send(0x01FF_0003, [0, 2]),
    "to oneself, whatever the list": Send(0x0205_0003, [1]),
    "filter 3 is reserved: nothing happens": Send(0x03FF_0003, []),
    "NSATT and reserved bits are ignored": Send(0xFC05_FFF3, [0, 2]),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", SENDS.values(), ids=SENDS)
def test_send(row: Send, who: str) -> None:
    rig = Rig(3)
    rig.put(who, SGIR, row.value, of=1)
    for index in range(3):
        irq = rig.found(3, index)
        got = index in row.vcpus
        assert (irq.pending_latch, irq.source, rig.listed(index)) == (got, 0b10 * got, [3] * got)
    assert rig.kicks == row.vcpus


def test_send_is_latched_while_disabled() -> None:
    rig = Rig()
    rig.dist.enabled = False
    rig.set_gicd(ICENABLER, 1 << 3)
    rig.set_gicd(SGIR, 0x0200_0003)
    assert (rig.found(3).source, rig.listed(), rig.kicks) == (1, [], [])


def test_twice_from_one_source_is_once_and_sources_are_kept_apart() -> None:
    rig = Rig(3)
    for by in (1, 1, 2):
        rig.set_gicd(SGIR, 0x0001_0003, by=by)
    assert rig.found(3).source == 0b110


def with_ids(host: str, *ids: int) -> tuple[Vgic, Device]:
    """A GICv2 VM whose vCPUs have these ids."""
    vm = Vgic(make_host(host), threads=False)
    for vcpu_id in ids:
        vm.create_vcpu(vcpu_id)
    device = vm.create_device(DeviceType.VGIC_V2)
    device.set_attr(Group.CTRL, CTRL_INIT)
    return vm, device


def test_targets_go_by_index_and_the_source_by_id() -> None:
    """As in KVM; the two differ in a VM whose ids are not 0, 1, 2..."""
    vm, device = with_ids(GICV2, 4, 1)
    device.set_attr(Group.DIST_REGS, 4 << 32 | SGIR, 0x0002_0003)
    assert [vcpu.private[3].source for vcpu in vm.vcpus] == [0, 1 << 4]


def test_a_source_whose_id_has_no_bit_is_lost() -> None:
    """A GICv3 host takes ids above 7 before it knows that the VM gets a GICv2; KVM keeps sources in a byte.

    The SGI is then pending from nobody: its list register stays empty, and it is gone.
    """
    vm, device = with_ids(GICV3, 9)
    vcpu = vm.vcpus[0]
    vcpu.dist.enabled = True
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    device.set_attr(Group.DIST_REGS, 9 << 32 | SGIR, 0x0200_0003)
    device.set_attr(Group.DIST_REGS, 9 << 32 | ISPENDR, 1 << 4)
    assert [(vcpu.private[n].source, vcpu.private[n].pending_latch) for n in (3, 4)] == [(0, True)] * 2
    vcpu.enter()
    assert vcpu.read(GICC_BASE + GICC_HPPIR, 4) == INTID_SPURIOUS
    vcpu.exit()
    assert ([irq.intid for irq in vcpu.ap_list], vcpu.private[3].pending_latch) == ([], False)


class Sources(NamedTuple):
    """A write of SGI 6's byte, which reads 0b0110 before."""

    bank: int
    value: int
    reads: int
    listed: bool


SOURCES: Final = {
    "CPENDSGIR takes one source": Sources(CPENDSGIR, 0b0010, 0b0100, False),
    "CPENDSGIR takes the last": Sources(CPENDSGIR, 0xFF, 0, False),
    "CPENDSGIR of zero": Sources(CPENDSGIR, 0, 0b0110, False),
    "SPENDSGIR adds one source": Sources(SPENDSGIR, 0b1000, 0b1110, True),
    "SPENDSGIR adds CPUs that do not exist": Sources(SPENDSGIR, 0xFF, 0xFF, True),
    "SPENDSGIR of zero looks at it again": Sources(SPENDSGIR, 0, 0b0110, True),
}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", SOURCES.values(), ids=SOURCES)
def test_sources(row: Sources, who: str, size: int) -> None:
    if who == "user" and size == 1:
        return  # user space has words alone
    rig = Rig(2)
    irq = rig.irq(6, vcpu=1, sources=0b0110)
    if size == 1:
        rig.set_gicd(row.bank + 6, row.value, 1, by=1)
    else:
        rig.put(who, row.bank + 4, row.value << 16, of=1)
    assert (irq.source, irq.pending_latch, rig.listed(1)) == (row.reads, row.reads != 0, [6] * row.listed)
    for bank in (CPENDSGIR, SPENDSGIR):
        assert rig.get(who, bank + 4, of=1) == row.reads << 16
        assert rig.get(who, bank + 4, of=0) == 0, "sources are banked"


def test_spendsgir_of_nothing_is_nothing() -> None:
    rig = Rig()
    rig.set_gicd(SPENDSGIR, 0)
    assert (rig.found(0).pending_latch, rig.listed()) == (False, [])
