"""The VGIC device: which attributes there are, and what each refuses, in the order KVM looks.

Regions have their own tests (v3/test_regions), and so have the registers behind the attributes.
"""

from errno import E2BIG, EBUSY, EEXIST, EINVAL, EIO, ENOENT, ENXIO
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_CTLR,
    GICD_IIDR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISENABLER,
    GICR_ISENABLER0,
    GICR_TYPER,
    ICC_PMR_EL1,
    ICC_SRE_EL1,
)
from tests.support import freeze
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import PPI, SPI, Regs, Story
from vgic import CREATE_DEVICE_TEST, CTRL_INIT, CTRL_SAVE_PENDING_TABLES, Addr, DeviceType, Group, Vgic
from vgic.ap_list import queue

UNSET: Final = (1 << 64) - 1
IPA: Final = 1 << 40
AFF_1: Final = 1 << 32  # names vCPU 1 in the attribute of a register
NOBODY: Final = 0x77 << 32

# -- groups ------------------------------------------------------------------------------------------


class Exists(NamedTuple):
    group: int
    attr: int
    errno: int


EXISTS: Final = {
    "ADDR: the GICv3 distributor": Exists(Group.ADDR, Addr.V3_DIST, 0),
    "ADDR: redistributors": Exists(Group.ADDR, Addr.V3_REDIST, 0),
    "ADDR: a redistributor region": Exists(Group.ADDR, Addr.V3_REDIST_REGION, 0),
    "ADDR: the GICv2 distributor": Exists(Group.ADDR, Addr.V2_DIST, ENXIO),
    "ADDR: the GICv2 CPU interface": Exists(Group.ADDR, Addr.V2_CPU, ENXIO),
    "ADDR: an ITS": Exists(Group.ADDR, Addr.ITS, ENXIO),
    "ADDR: what has no meaning": Exists(Group.ADDR, 6, ENXIO),
    "DIST_REGS": Exists(Group.DIST_REGS, GICD_CTLR, 0),
    "DIST_REGS: whatever the affinity": Exists(Group.DIST_REGS, NOBODY | GICD_CTLR, 0),
    "DIST_REGS: the last SPIs": Exists(Group.DIST_REGS, GICD_ISENABLER + 8, 0),
    "DIST_REGS: past the last SPI": Exists(Group.DIST_REGS, GICD_ISENABLER + 12, ENXIO),
    "DIST_REGS: private interrupts, though RAZ": Exists(Group.DIST_REGS, GICD_ISENABLER, 0),
    "DIST_REGS: the high half of a route": Exists(Group.DIST_REGS, GICD_IROUTER + SPI * 8 + 4, 0),
    "DIST_REGS: a route past the last SPI": Exists(Group.DIST_REGS, GICD_IROUTER + 96 * 8, ENXIO),
    "DIST_REGS: misaligned": Exists(Group.DIST_REGS, GICD_IPRIORITYR + 33, ENXIO),
    "DIST_REGS: a gap": Exists(Group.DIST_REGS, 0x40, ENXIO),
    "DIST_REGS: past the frame": Exists(Group.DIST_REGS, 0x1_0000, ENXIO),
    "DIST_REGS: far past the frame": Exists(Group.DIST_REGS, 0x8000_0000, ENXIO),
    "REDIST_REGS": Exists(Group.REDIST_REGS, GICR_TYPER, 0),
    "REDIST_REGS: the high half": Exists(Group.REDIST_REGS, GICR_TYPER + 4, 0),
    "REDIST_REGS: SGI_base": Exists(Group.REDIST_REGS, AFF_1 | GICR_ISENABLER0, 0),
    "REDIST_REGS: an affinity nobody has": Exists(Group.REDIST_REGS, NOBODY | GICR_TYPER, EINVAL),
    "REDIST_REGS: misaligned": Exists(Group.REDIST_REGS, GICR_TYPER + 2, ENXIO),
    "REDIST_REGS: misaligned, of nobody": Exists(Group.REDIST_REGS, NOBODY | GICR_TYPER + 2, EINVAL),
    "REDIST_REGS: a gap": Exists(Group.REDIST_REGS, 0x40, ENXIO),
    "REDIST_REGS: past the frames": Exists(Group.REDIST_REGS, 0x2_0000, ENXIO),
    "CPU_SYSREGS": Exists(Group.CPU_SYSREGS, AFF_1 | ICC_PMR_EL1, 0),
    "CPU_SYSREGS: what has no encoding": Exists(Group.CPU_SYSREGS, 0, ENXIO),
    "CPU_SYSREGS: an affinity nobody has": Exists(Group.CPU_SYSREGS, NOBODY, EINVAL),
    "LEVEL_INFO": Exists(Group.LEVEL_INFO, 32, 0),
    "LEVEL_INFO: neither vCPU nor INTID are looked at": Exists(Group.LEVEL_INFO, NOBODY | 33, 0),
    "LEVEL_INFO: another kind": Exists(Group.LEVEL_INFO, 1 << 10, ENXIO),
    "LEVEL_INFO: the last kind": Exists(Group.LEVEL_INFO, 1 << 31, ENXIO),
    "NR_IRQS": Exists(Group.NR_IRQS, 0, 0),
    "NR_IRQS: any attribute": Exists(Group.NR_IRQS, 77, 0),
    "CTRL: INIT": Exists(Group.CTRL, CTRL_INIT, 0),
    "CTRL: SAVE_PENDING_TABLES": Exists(Group.CTRL, CTRL_SAVE_PENDING_TABLES, 0),
    "CTRL: an ITS's SAVE_TABLES": Exists(Group.CTRL, 1, ENXIO),
    "CTRL: an ITS's RESTORE_TABLES": Exists(Group.CTRL, 2, ENXIO),
    "CTRL: an ITS's RESET": Exists(Group.CTRL, 4, ENXIO),
    "CPU_REGS: a GICv2's": Exists(Group.CPU_REGS, 0, ENXIO),
    "ITS_REGS: an ITS's": Exists(Group.ITS_REGS, 0, ENXIO),
    "no group": Exists(9, 0, ENXIO),
}


@pytest.mark.parametrize("row", EXISTS.values(), ids=EXISTS)
def test_has_attr(row: Exists) -> None:
    device = Regs(vcpus=2).device
    assert outcome(device.check_attr, row.group, row.attr) == row.errno
    assert device.has_attr(row.group, row.attr) is (row.errno == 0)


@pytest.mark.parametrize("group", [Group.CPU_REGS, Group.ITS_REGS, 9, 1 << 20], ids=str)
def test_what_is_no_group_can_be_neither_read_nor_set(group: int) -> None:
    device = Regs().device
    assert [outcome(call, group, 0) for call in (device.get_attr, device.set_attr)] == [ENXIO, ENXIO]


@pytest.mark.parametrize("attr", [CTRL_INIT, CTRL_SAVE_PENDING_TABLES, 1, 9])
def test_control_attributes_have_no_value(attr: int) -> None:
    assert outcome(Regs().device.get_attr, Group.CTRL, attr) == ENXIO


def test_has_attr_counts_spis_as_they_are_now() -> None:
    story = Story("vcpu 0; device")
    attrs = [GICD_ISENABLER, GICD_ISENABLER + 4, GICD_ISENABLER + 8]
    known = [[story.device.has_attr(Group.DIST_REGS, attr) for attr in attrs]]
    story.tell("irqs 64")
    known.append([story.device.has_attr(Group.DIST_REGS, attr) for attr in attrs])
    assert known == [[True, False, False], [True, True, False]]


def test_without_a_vcpu_there_are_no_registers() -> None:
    device = Story("device; init").device
    attrs = [(Group.DIST_REGS, GICD_CTLR), (Group.REDIST_REGS, GICR_TYPER), (Group.CPU_SYSREGS, ICC_PMR_EL1)]
    for call in (device.check_attr, device.get_attr, device.set_attr):
        assert [outcome(call, group, attr) for group, attr in attrs] == [EINVAL] * 3


def test_a_device_made_to_ask_leads_nowhere() -> None:
    vm = Vgic(threads=False)
    device = vm.create_device(DeviceType.VGIC_V3, CREATE_DEVICE_TEST)
    errnos = [
        outcome(device.check_attr, Group.NR_IRQS, 0),
        outcome(device.set_attr, Group.CTRL, CTRL_INIT),
        outcome(device.get_attr, Group.NR_IRQS, 0),
    ]
    assert errnos == [ENXIO] * 3


@pytest.mark.parametrize("value", [-1 << 64, 1 << 64])
def test_a_value_is_an_unsigned_64_bit_number(value: int) -> None:
    device = Story("device").device
    assert outcome(device.set_attr, Group.NR_IRQS, 0, value | 64) == EINVAL
    assert outcome(device.get_attr, Group.ADDR, Addr.V3_REDIST_REGION, value) == EINVAL


# -- ADDR --------------------------------------------------------------------------------------------

DIST_BASES: Final = {
    "zero": (0, 0),
    "anywhere": (0x0800_0000, 0),
    "the last 64 KiB": (IPA - 0x1_0000, 0),
    "misaligned": (0x0800_1000, EINVAL),
    "misaligned, and past the end": (IPA + 0x1000, EINVAL),
    "the end of guest physical space": (IPA, E2BIG),
    "far past it": (1 << 63, E2BIG),
    "one that ends at 2^64": ((1 << 64) - 0x1_0000, EINVAL),
}


@pytest.mark.parametrize("row", DIST_BASES.values(), ids=DIST_BASES)
def test_the_distributors_base(row: tuple[int, int]) -> None:
    base, errno = row
    device = Story("device").device
    errnos = outcome(device.set_attr, Group.ADDR, Addr.V3_DIST, base)
    assert (errnos, device.get_attr(Group.ADDR, Addr.V3_DIST)) == (errno, UNSET if errno else base)


@pytest.mark.parametrize("base", [0x0800_0000, 0x0900_0000, 1, IPA], ids=hex)
def test_it_is_set_once(base: int) -> None:
    story = Story("device; dist 0x8000000")
    assert outcome(story.device.set_attr, Group.ADDR, Addr.V3_DIST, base) == EEXIST


def test_it_may_be_set_after_init_and_over_redistributors() -> None:
    Story("vcpu 0; device; init; legacy 0x8000000; dist 0x8010000")


@pytest.mark.parametrize("attr", [Addr.V2_DIST, Addr.V2_CPU, Addr.ITS, 6, UNSET], ids=str)
def test_no_other_addresses(attr: int) -> None:
    device = Story("device").device
    errnos = outcome(device.set_attr, Group.ADDR, attr, 1), outcome(device.get_attr, Group.ADDR, attr)
    assert errnos == (ENXIO, ENXIO)


def test_unknown_regions() -> None:
    device = Story("device").device
    assert outcome(device.get_attr, Group.ADDR, Addr.V3_REDIST_REGION, 0) == ENOENT


# -- NR_IRQS -----------------------------------------------------------------------------------------

COUNTS: Final = {
    "one word of SPIs": (64, 0),
    "three": (128, 0),
    "the most": (992, 0),
    "no SPI": (32, EINVAL),
    "nothing": (0, EINVAL),
    "not a multiple of 32": (65, EINVAL),
    "the most INTIDs below the special ones": (1020, EINVAL),
    "as the documentation has it": (1024, EINVAL),
    "far too many": (4096, EINVAL),
    "32 bits are looked at": (1 << 32 | 96, 0),
}


@pytest.mark.parametrize("row", COUNTS.values(), ids=COUNTS)
def test_nr_irqs(row: tuple[int, int]) -> None:
    count, errno = row
    device = Story("device").device
    got = outcome(device.set_attr, Group.NR_IRQS, 0, count)
    assert (got, device.get_attr(Group.NR_IRQS, 0)) == (errno, 32 if errno else count & 0xFFFF_FFFF)


NR_IRQS_ORDER: Final = {
    "once": "device; irqs 64; irqs 64 -> EBUSY; irqs 96 -> EBUSY",
    "a bad number before a late one": "device; irqs 64; irqs 65 -> EINVAL",
    "not after init took the default": "device; init; irqs 256 -> EBUSY",
    "a bad number after init": "device; init; irqs 1024 -> EINVAL",
    "a bad one does not count": "device; irqs 1024 -> EINVAL; irqs 64",
}


@pytest.mark.parametrize("story", NR_IRQS_ORDER.values(), ids=NR_IRQS_ORDER)
def test_nr_irqs_is_chosen(story: str) -> None:
    Story(story)


def test_the_default_is_256() -> None:
    assert Story("device; init").device.get_attr(Group.NR_IRQS, 0) == 256


# -- CTRL --------------------------------------------------------------------------------------------


def test_init_again_changes_nothing() -> None:
    regs = Regs()
    regs.irq(SPI).enabled = True
    before = freeze(regs.dist)
    regs.device.set_attr(Group.CTRL, CTRL_INIT)
    assert freeze(regs.dist) == before


def test_init_does_not_mind_a_running_vcpu_once_done() -> None:
    regs = Regs()
    regs.vcpus[0].enter()
    assert outcome(regs.device.set_attr, Group.CTRL, CTRL_INIT) == 0


def test_saving_pending_tables_without_lpis_changes_nothing() -> None:
    regs = Regs()
    regs.irq(SPI).pending_latch = True
    before = freeze(regs.dist)
    regs.device.set_attr(Group.CTRL, CTRL_SAVE_PENDING_TABLES)
    assert freeze(regs.dist) == before


def test_saving_pending_tables_is_refused() -> None:
    early = Story("vcpu 0; device").device
    regs = Regs()
    regs.vcpus[0].enter()
    errnos = [outcome(device.set_attr, Group.CTRL, CTRL_SAVE_PENDING_TABLES) for device in (early, regs.device)]
    assert errnos == [ENXIO, EBUSY]


@pytest.mark.parametrize("attr", [1, 2, 4, 9, 1 << 40])
def test_what_is_no_control_attribute_does_nothing(attr: int) -> None:
    device = Story("device").device
    errno = outcome(device.set_attr, Group.CTRL, attr)
    assert (errno, outcome(device.set_attr, Group.NR_IRQS, 0, 64)) == (ENXIO, 0), "init would have frozen the number"


# -- register groups: who, then busy, then init, then what ---------------------------------------------


class Order(NamedTuple):
    group: int
    attr: int
    running: bool  # another vCPU is in the guest
    errno: int


REGISTER_ORDER: Final = {
    "REDIST_REGS: nobody, while one runs": Order(Group.REDIST_REGS, NOBODY, True, EINVAL),
    "CPU_SYSREGS: nobody, while one runs": Order(Group.CPU_SYSREGS, NOBODY, True, EINVAL),
    "LEVEL_INFO: nobody, while one runs": Order(Group.LEVEL_INFO, NOBODY, True, EINVAL),
    "DIST_REGS: nobody is no matter": Order(Group.DIST_REGS, NOBODY | GICD_IIDR, False, 0),
    "DIST_REGS: one runs": Order(Group.DIST_REGS, GICD_CTLR, True, EBUSY),
    "DIST_REGS: one runs, and there is no register": Order(Group.DIST_REGS, 0x40, True, EBUSY),
    "REDIST_REGS: one runs": Order(Group.REDIST_REGS, AFF_1, True, EBUSY),
    "CPU_SYSREGS: one runs, and there is no register": Order(Group.CPU_SYSREGS, 0, True, EBUSY),
    "CPU_SYSREGS: no register": Order(Group.CPU_SYSREGS, 0, False, ENOENT),
    "LEVEL_INFO: one runs, and the INTID is odd": Order(Group.LEVEL_INFO, 33, True, EBUSY),
    "LEVEL_INFO: an INTID between words": Order(Group.LEVEL_INFO, 33, False, EINVAL),
    "LEVEL_INFO: another kind": Order(Group.LEVEL_INFO, 1 << 10, False, EINVAL),
    "LEVEL_INFO: the last kind": Order(Group.LEVEL_INFO, 1 << 31, False, EINVAL),
    "DIST_REGS: no register is no error": Order(Group.DIST_REGS, 0x40, False, 0),
    "DIST_REGS: nor is a misaligned one": Order(Group.DIST_REGS, GICD_IIDR + 2, False, 0),
    "DIST_REGS: nor one past the frame": Order(Group.DIST_REGS, 0x8000_0000, False, 0),
    "REDIST_REGS: no register is no error": Order(Group.REDIST_REGS, 0x2_0000, False, 0),
}


@pytest.mark.parametrize("access", ["get", "set"])
@pytest.mark.parametrize("row", REGISTER_ORDER.values(), ids=REGISTER_ORDER)
def test_a_register_access_is_refused(row: Order, access: str) -> None:
    regs = Regs(vcpus=3)
    if row.running:
        regs.vcpus[2].enter()
    before = freeze(regs.dist)
    value = regs.device.get_attr(row.group, row.attr) if row.errno == 0 else 0
    call = regs.device.get_attr if access == "get" else regs.device.set_attr
    assert outcome(call, row.group, row.attr, value) == row.errno
    assert freeze(regs.dist) == before


@pytest.mark.parametrize("access", ["get", "set"])
@pytest.mark.parametrize(
    ("group", "attr", "errno"),
    [
        (Group.DIST_REGS, GICD_CTLR, EBUSY),
        (Group.REDIST_REGS, GICR_TYPER, EBUSY),
        (Group.REDIST_REGS, AFF_1 | GICR_TYPER, EINVAL),
        (Group.CPU_SYSREGS, 0, EBUSY),
        (Group.LEVEL_INFO, 33, EBUSY),
    ],
    ids=["DIST_REGS", "REDIST_REGS", "REDIST_REGS of nobody", "CPU_SYSREGS, no register", "LEVEL_INFO, odd INTID"],
)
def test_before_init_every_register_is_busy(group: int, attr: int, errno: int, access: str) -> None:
    device = Story("vcpu 0; device").device
    assert outcome(device.get_attr if access == "get" else device.set_attr, group, attr) == errno


def test_registers_are_those_of_the_vcpu_named() -> None:
    regs = Regs(vcpus=2)
    regs.vcpus[1].set_mpidr(0x0403_0201)
    attr = 0x0403_0201 << 32
    regs.device.set_attr(Group.REDIST_REGS, attr | GICR_ISENABLER0, 1 << PPI)
    regs.device.set_attr(Group.CPU_SYSREGS, attr | ICC_PMR_EL1, 0x80)
    assert [vcpu.private[PPI].enabled for vcpu in regs.vcpus] == [False, True]
    assert [vcpu.vmcr >> 24 for vcpu in regs.vcpus] == [0, 0x80]


def test_a_vcpu_outside_the_guest_is_put_so_that_its_registers_are_current() -> None:
    regs = Regs()
    vcpu = regs.vcpus[0]
    vcpu.enter()
    vcpu.msr(ICC_PMR_EL1, 0xA0)
    vcpu.exit()
    assert regs.device.get_attr(Group.CPU_SYSREGS, ICC_PMR_EL1) == 0xA0
    regs.device.set_attr(Group.CPU_SYSREGS, ICC_PMR_EL1, 0x50)
    vcpu.enter()
    assert vcpu.mrs(ICC_PMR_EL1) == 0x50


def test_frames_take_32_bits_and_system_registers_64() -> None:
    regs = Regs()
    regs.device.set_attr(Group.DIST_REGS, GICD_ISENABLER + 4, 0xFF << 32 | 1)
    assert regs.device.get_attr(Group.DIST_REGS, GICD_ISENABLER + 4) == 1
    assert outcome(regs.device.set_attr, Group.CPU_SYSREGS, ICC_SRE_EL1, 1 << 63) == EINVAL


# -- LEVEL_INFO --------------------------------------------------------------------------------------


class Levels(NamedTuple):
    attr: int
    value: int
    reads: int


LEVELS: Final = {
    "PPIs of the vCPU named": Levels(AFF_1, 0x8001_0000, 0x8001_0000),
    "SGIs have no line": Levels(AFF_1, 0x0001_FFFF, 0x0001_0000),
    "edge SPIs read as zero": Levels(32, 0xFFFF_FFFF, 1 << SPI % 32),
    "the last SPIs": Levels(64, 0x8000_0001, 0),
    "past the last SPI": Levels(96, 0xFFFF_FFFF, 0),
    "INTIDs no VM can have": Levels(992, 0xFFFF_FFFF, 0),
}


@pytest.mark.parametrize("row", LEVELS.values(), ids=LEVELS)
def test_level_info(row: Levels) -> None:
    regs = Regs(vcpus=2)
    regs.irq(SPI).level = True
    regs.device.set_attr(Group.LEVEL_INFO, row.attr, row.value)
    assert regs.device.get_attr(Group.LEVEL_INFO, row.attr) == row.reads
    assert not any(irq.line_level for irq in regs.vcpus[0].private), "vCPU 0 was not named"


def test_a_line_is_set_whatever_the_trigger_and_shows_once_it_is_level() -> None:
    regs = Regs()
    regs.device.set_attr(Group.LEVEL_INFO, 32, 1 << SPI % 32)
    as_edge = regs.device.get_attr(Group.LEVEL_INFO, 32)
    regs.irq(SPI).level = True
    assert (as_edge, regs.device.get_attr(Group.LEVEL_INFO, 32)) == (0, 1 << SPI % 32)


def test_raising_a_line_lists_and_lowering_it_unlists_nothing() -> None:
    regs = Regs()
    irq = regs.irq(PPI)
    irq.enabled = True
    regs.device.set_attr(Group.LEVEL_INFO, 0, 1 << PPI)
    raised = regs.flags(irq)
    regs.device.set_attr(Group.LEVEL_INFO, 0, 0)
    assert (raised, regs.flags(irq)) == ("enabled line listed", "enabled listed")


def test_nobody_owns_a_line_against_level_info() -> None:
    regs = Regs()
    regs.vcpus[0].set_owner(PPI, "timer")
    regs.device.set_attr(Group.LEVEL_INFO, 0, 1 << PPI)
    assert regs.irq(PPI).line_level


# -- the whole of it -----------------------------------------------------------------------------------


def test_a_dead_vm_answers_nothing() -> None:
    story = Story("vcpu 0; device; init; run 0 -> ENXIO")
    device = story.device
    errnos = [
        outcome(device.check_attr, Group.NR_IRQS, 0),
        outcome(device.get_attr, Group.NR_IRQS, 0),
        outcome(device.set_attr, Group.CTRL, CTRL_INIT),
        outcome(device.get_attr, 9, 0),
    ]
    assert errnos == [EIO] * 4


SAVED: Final = [
    *((Group.DIST_REGS, offset) for offset in (GICD_IIDR, GICD_CTLR)),
    *((Group.DIST_REGS, bank + n * 4) for bank in (0x80, 0x100, 0x200, 0x300) for n in (1, 2)),
    *((Group.DIST_REGS, GICD_IPRIORITYR + intid) for intid in range(32, 96, 4)),
    *((Group.DIST_REGS, 0xC00 + n * 4) for n in range(2, 6)),
    *((Group.DIST_REGS, GICD_IROUTER + intid * 8) for intid in range(32, 96)),
    *((Group.REDIST_REGS, 0x1_0000 + bank) for bank in (0x80, 0x100, 0x200, 0x300, 0xC00, 0xC04)),
    *((Group.REDIST_REGS, 0x1_0400 + n) for n in range(0, 32, 4)),
    *((Group.LEVEL_INFO, intid) for intid in (0, 32, 64)),
]


def test_get_all_and_set_all_reproduce_what_the_guest_reads() -> None:
    old, new = Regs(), Regs()
    for irq in [*old.vcpus[0].private, *old.dist.spis]:
        n = irq.intid
        irq.enabled, irq.pending_latch, irq.active = n % 2 == 0, n % 3 == 0, n % 5 == 0
        irq.priority, irq.group, irq.route = n * 8 & 0xF8, int(n % 7 > 0), 0
        irq.level = irq.level if n < 32 else n % 4 == 1
        irq.line_level = irq.level and n % 8 == 1
        queue(irq)
    # ICENABLER for what resets enabled
    new.device.set_attr(Group.REDIST_REGS, 0x1_0180, 0xFFFF_FFFF)
    for group, attr in SAVED:
        new.device.set_attr(group, attr, old.device.get_attr(group, attr))
    frames = [(old.gicd_frame(), new.gicd_frame()), (old.gicr_frame(0), new.gicr_frame(0))]
    for frame, restored in frames:
        for offset in range(0, frame.table.size, 4):
            got, want = restored.read(new.vcpus[0], offset, 4), frame.read(old.vcpus[0], offset, 4)
            assert got == want, (frame.table.name, hex(offset))
