"""The banks that GICv2 and GICv3 share: what a bit does to its interrupt, for the guest and for user space.

A row says a state, one write of the interrupt's bit, and the state after it; it holds for every kind of interrupt
unless it names kinds.  Mapped interrupts come last, with the physical interrupt beside the virtual one.
"""

from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
)
from tests.support import freeze_irq
from tests.unit.vgic.v3.conftest import PPI, SGI, SPI, Regs
from vgic.perirq import line_levels, set_line_levels

BANKS: Final = {
    "IGROUPR": GICD_IGROUPR,
    "ISENABLER": GICD_ISENABLER,
    "ICENABLER": GICD_ICENABLER,
    "ISPENDR": GICD_ISPENDR,
    "ICPENDR": GICD_ICPENDR,
    "ISACTIVER": GICD_ISACTIVER,
    "ICACTIVER": GICD_ICACTIVER,
}

LEVEL_SPI: Final = 42
KINDS: Final = {"an SGI": SGI, "a PPI": PPI, "an edge SPI": SPI, "a level SPI": LEVEL_SPI}


def make_regs() -> Regs:
    regs = Regs()
    regs.irq(LEVEL_SPI).level = True
    return regs


class Write(NamedTuple):
    who: str  # "guest" or "user"
    bank: str
    before: str
    after: str
    kicked: bool
    bit: int = 1
    dist: bool = True  # the distributor is enabled


ANY_KIND: Final = {
    "enabling what nobody asked for": Write("guest", "ISENABLER", "", "enabled", kicked=False),
    "enabling what is pending lists it": Write("guest", "ISENABLER", "latch", "enabled latch listed", kicked=True),
    "enabling what is enabled and stranded lists it": Write(
        "guest", "ISENABLER", "enabled latch", "enabled latch listed", kicked=True
    ),
    "enabling what is listed kicks again": Write(
        "guest", "ISENABLER", "enabled latch listed", "enabled latch listed", kicked=True
    ),
    "enabling with the distributor off strands": Write(
        "guest", "ISENABLER", "latch", "enabled latch", kicked=False, dist=False
    ),
    "enabling an active, unlisted one lists it": Write(
        "guest", "ISENABLER", "active", "enabled active listed", kicked=True
    ),
    "not enabling": Write("guest", "ISENABLER", "latch", "latch", kicked=False, bit=0),
    "user space enabling what is pending lists it": Write(
        "user", "ISENABLER", "latch", "enabled latch listed", kicked=True
    ),
    "disabling keeps pending state and list": Write(
        "guest", "ICENABLER", "enabled latch listed", "latch listed", kicked=False
    ),
    "disabling what is active keeps it active and listed": Write(
        "guest", "ICENABLER", "enabled active listed", "active listed", kicked=False
    ),
    "not disabling": Write("guest", "ICENABLER", "enabled latch", "enabled latch", kicked=False, bit=0),
    "user space disabling": Write("user", "ICENABLER", "enabled latch listed", "latch listed", kicked=False),
    "setting pending lists what is enabled": Write("guest", "ISPENDR", "enabled", "enabled latch listed", kicked=True),
    "setting pending while disabled just latches": Write("guest", "ISPENDR", "", "latch", kicked=False),
    "setting pending with the distributor off just latches": Write(
        "guest", "ISPENDR", "enabled", "enabled latch", kicked=False, dist=False
    ),
    "setting pending what is active re-latches it": Write(
        "guest", "ISPENDR", "enabled active listed", "enabled latch active listed", kicked=True
    ),
    "not setting pending": Write("guest", "ISPENDR", "enabled latch", "enabled latch", kicked=False, bit=0),
    "user space setting pending lists": Write("user", "ISPENDR", "enabled", "enabled latch listed", kicked=True),
    "user space writing 0 to ISPENDR clears the latch and unlists nothing": Write(
        "user", "ISPENDR", "enabled latch listed", "enabled listed", kicked=False, bit=0
    ),
    "clearing pending unlists nothing": Write(
        "guest", "ICPENDR", "enabled latch listed", "enabled listed", kicked=False
    ),
    "clearing pending what is active as well": Write(
        "guest", "ICPENDR", "enabled latch active listed", "enabled active listed", kicked=False
    ),
    "not clearing pending": Write("guest", "ICPENDR", "latch", "latch", kicked=False, bit=0),
    "user space cannot clear pending there": Write("user", "ICPENDR", "latch", "latch", kicked=False),
    "activating lists, enabled or not": Write("guest", "ISACTIVER", "", "active listed", kicked=True),
    "activating lists with the distributor off": Write(
        "guest", "ISACTIVER", "", "active listed", kicked=True, dist=False
    ),
    "activating what is active kicks again": Write("guest", "ISACTIVER", "active listed", "active listed", kicked=True),
    "not activating": Write("guest", "ISACTIVER", "", "", kicked=False, bit=0),
    "user space activating lists": Write("user", "ISACTIVER", "", "active listed", kicked=True),
    "deactivating unlists nothing": Write("guest", "ICACTIVER", "active listed", "listed", kicked=False),
    "deactivating leaves the latch": Write(
        "guest", "ICACTIVER", "enabled latch active listed", "enabled latch listed", kicked=False
    ),
    "not deactivating": Write("guest", "ICACTIVER", "active listed", "active listed", kicked=False, bit=0),
    "user space deactivating": Write("user", "ICACTIVER", "active listed", "listed", kicked=False),
    "any group, also the one it has, lists what is stranded": Write(
        "guest", "IGROUPR", "enabled latch", "enabled latch listed", kicked=True
    ),
    "group 0 lists what is stranded": Write(
        "guest", "IGROUPR", "enabled latch", "enabled latch listed", kicked=True, bit=0
    ),
    "user space's group lists what is stranded": Write(
        "user", "IGROUPR", "enabled latch", "enabled latch listed", kicked=True
    ),
}


@pytest.mark.parametrize("intid", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("row", ANY_KIND.values(), ids=ANY_KIND)
def test_a_bit_does_to_its_interrupt(row: Write, intid: int) -> None:
    regs = make_regs()
    regs.dist.enabled = row.dist
    for irq in [*regs.vcpus[0].private, *regs.dist.spis]:
        irq.enabled = False
    irq = regs.irq(intid)
    regs.given(irq, row.before)
    regs.write_word(row.who, BANKS[row.bank], intid, row.bit << intid % 32)
    assert (regs.flags(irq), regs.kicks) == (row.after, [0] if row.kicked else [])
    regs.vm.check()


def test_an_spi_without_a_target_latches_and_activates_but_is_listed_nowhere() -> None:
    regs = make_regs()
    irq = regs.irq(SPI)
    irq.target = None
    for bank in ("ISENABLER", "ISPENDR", "ISACTIVER"):
        regs.write_word("guest", BANKS[bank], SPI, 1 << SPI % 32)
    assert (regs.flags(irq), regs.kicks) == ("enabled latch active", [])


def test_one_write_lists_in_intid_order() -> None:
    regs = make_regs()
    regs.write_word("guest", GICD_ISENABLER, 32, 0xFFFF_FFFF)
    regs.write_word("guest", GICD_ISPENDR, 32, 0x8000_4102)
    assert [irq.intid for irq in regs.vcpus[0].ap_list] == [33, 40, 46, 63]


WORDS: Final = {**dict.fromkeys(BANKS.values(), 32), GICD_IPRIORITYR: 4, GICD_ICFGR: 16}
"""Bank -> how many interrupts a word covers."""


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize("value", [0, 0xFFFF_FFFF], ids=["zeroes", "ones"])
@pytest.mark.parametrize("bank", WORDS)
def test_a_word_touches_the_interrupts_it_covers(bank: int, value: int, who: str) -> None:
    regs = make_regs()
    regs.dist.enabled = False
    for irq in regs.dist.spis:
        regs.given(irq, "enabled latch")
        irq.priority, irq.level = 0x40, bool(irq.intid % 2)
    covered = range(48, 52) if bank == GICD_IPRIORITYR else range(48, 64) if bank == GICD_ICFGR else range(32, 64)
    before = [freeze_irq(irq) for irq in regs.dist.spis if irq.intid not in covered]
    regs.write_word(who, bank, 48, value)
    assert [freeze_irq(irq) for irq in regs.dist.spis if irq.intid not in covered] == before
    assert len(covered) == WORDS[bank]


class Read(NamedTuple):
    state: str
    pending: dict[str, bool]  # kind of trigger -> what the guest reads in ISPENDR and ICPENDR
    latch: bool  # what user space reads in ISPENDR


PENDING: Final = {
    "idle": Read("", {"edge": False, "level": False}, latch=False),
    "latched": Read("latch", {"edge": True, "level": True}, latch=True),
    "line high": Read("line", {"edge": False, "level": True}, latch=False),
    "line high, and latched": Read("line latch", {"edge": True, "level": True}, latch=True),
    "active": Read("active", {"edge": False, "level": False}, latch=False),
    "enabled or not": Read("enabled latch", {"edge": True, "level": True}, latch=True),
}


@pytest.mark.parametrize("intid", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("row", PENDING.values(), ids=PENDING)
def test_pending_reads(row: Read, intid: int) -> None:
    regs = make_regs()
    irq = regs.irq(intid)
    regs.given(irq, row.state)
    want = row.pending["level" if irq.level else "edge"]
    guest = regs.bit("guest", GICD_ISPENDR, intid), regs.bit("guest", GICD_ICPENDR, intid)
    user = regs.bit("user", GICD_ISPENDR, intid), regs.bit("user", GICD_ICPENDR, intid)
    assert (guest, user) == ((want, want), (row.latch, False))


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize("intid", KINDS.values(), ids=KINDS)
def test_enable_and_active_read_as_they_are(who: str, intid: int) -> None:
    regs = make_regs()
    irq = regs.irq(intid)
    for flags in ("", "enabled", "active", "enabled active latch line"):
        regs.given(irq, flags)
        enabled = [regs.bit(who, bank, intid) for bank in (GICD_ISENABLER, GICD_ICENABLER)]
        active = [regs.bit(who, bank, intid) for bank in (GICD_ISACTIVER, GICD_ICACTIVER)]
        assert (enabled, active) == (["enabled" in flags] * 2, ["active" in flags] * 2), flags


def test_clearing_the_latch_of_a_level_interrupt_whose_line_is_high_leaves_it_pending() -> None:
    regs = make_regs()
    irq = regs.irq(LEVEL_SPI)
    regs.given(irq, "enabled line latch listed")
    regs.write_word("guest", GICD_ICPENDR, LEVEL_SPI, 1 << LEVEL_SPI % 32)
    assert (regs.flags(irq), regs.bit("guest", GICD_ISPENDR, LEVEL_SPI)) == ("enabled line listed", True)


@pytest.mark.parametrize("who", ["guest", "user"])
def test_groups_of_a_word_are_assigned(who: str) -> None:
    regs = make_regs()
    for intid in (0, 32):
        regs.write_word(who, GICD_IGROUPR, intid, 0x0F0F_1234)
        groups = sum(regs.irq(intid + n).group << n for n in range(32))
        assert (groups, regs.bit(who, GICD_IGROUPR, intid + 2)) == (0x0F0F_1234, True)
    assert all(irq.group == 1 for irq in regs.dist.spis[32:]), "the next word is untouched"


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize("intid", KINDS.values(), ids=KINDS)
def test_priorities_keep_five_bits_and_nobody_is_told(who: str, intid: int) -> None:
    regs = make_regs()
    first = intid & ~3
    for n in range(4):
        regs.irq(first + n).enabled = regs.irq(first + n).pending_latch = True
    regs.write_word(who, GICD_IPRIORITYR, first, 0xFF_A7_08_07)
    got = [regs.irq(first + n).priority for n in range(4)]
    assert (got, regs.kicks, regs.vcpus[0].ap_list) == ([0x00, 0x08, 0xA0, 0xF8], [], [])


@pytest.mark.parametrize("who", ["guest", "user"])
def test_triggers_of_private_interrupts_are_fixed(who: str) -> None:
    regs = make_regs()
    for value in (0xFFFF_FFFF, 0):
        regs.write_word(who, GICD_ICFGR, 0, value)
        regs.write_word(who, GICD_ICFGR, 16, value)
    assert [irq.level for irq in regs.vcpus[0].private] == [False] * 16 + [True] * 16


class Trigger(NamedTuple):
    bits: int
    level: bool


TRIGGERS: Final = {
    "00 is level": Trigger(0b00, True),
    "01 is level: the low bit is ignored": Trigger(0b01, True),
    "10 is edge": Trigger(0b10, False),
    "11 is edge": Trigger(0b11, False),
}


@pytest.mark.parametrize("who", ["guest", "user"])
@pytest.mark.parametrize("intid", [32, SPI, LEVEL_SPI, 95])
@pytest.mark.parametrize("row", TRIGGERS.values(), ids=TRIGGERS)
def test_the_trigger_of_an_spi(row: Trigger, intid: int, who: str) -> None:
    regs = make_regs()
    irq = regs.irq(intid)
    regs.given(irq, "enabled latch line active")
    regs.write_word(who, GICD_ICFGR, intid, row.bits << intid % 16 * 2)
    read = regs.gicd(GICD_ICFGR + intid // 16 * 4) >> intid % 16 * 2 & 3
    assert (irq.level, read) == (row.level, 0 if row.level else 2)
    assert (regs.flags(irq), regs.kicks) == ("enabled latch line active", []), "nothing else changes, nobody is told"


# -- mapped interrupts: the physical one moves with the virtual one --------------------------------

HOST_PPI: Final = 26
HOST_SPI: Final = 50
MAPPED: Final = {"a PPI": (PPI, HOST_PPI), "a level SPI": (LEVEL_SPI, HOST_SPI), "an edge SPI": (SPI, HOST_SPI)}


class Mapped(NamedTuple):
    who: str
    bank: str
    before: str
    physical: str  # "active", "pending" before
    after: str
    physically: str  # afterwards


ANY_MAPPED: Final = {
    "the guest sets pending: physically active": Mapped(
        "guest", "ISPENDR", "enabled", "", "enabled latch listed", "active"
    ),
    "user space sets pending: nothing physical": Mapped("user", "ISPENDR", "enabled", "", "enabled latch listed", ""),
    "the guest clears pending: physically neither": Mapped(
        "guest", "ICPENDR", "enabled latch listed", "active pending", "enabled listed", ""
    ),
    "the guest clears pending of an active one: physically still active": Mapped(
        "guest", "ICPENDR", "enabled latch active listed", "active pending", "enabled active listed", "active"
    ),
    "user space cannot clear pending": Mapped(
        "user", "ICPENDR", "enabled latch listed", "active pending", "enabled latch listed", "active pending"
    ),
    "the guest activates: physically too": Mapped("guest", "ISACTIVER", "", "", "active listed", "active"),
    "user space cannot activate": Mapped("user", "ISACTIVER", "", "", "", ""),
    "the guest deactivates: physically too": Mapped("guest", "ICACTIVER", "active listed", "active", "listed", ""),
    "user space cannot deactivate": Mapped("user", "ICACTIVER", "active listed", "active", "active listed", "active"),
    "user space enables: nothing physical": Mapped("user", "ISENABLER", "line", "active", "enabled line", "active"),
    "the guest disables: nothing physical": Mapped(
        "guest", "ICENABLER", "enabled active listed", "active pending", "active listed", "active pending"
    ),
}


@pytest.mark.parametrize("intids", MAPPED.values(), ids=MAPPED)
@pytest.mark.parametrize("row", ANY_MAPPED.values(), ids=ANY_MAPPED)
def test_a_bit_does_to_a_mapped_interrupt(row: Mapped, intids: tuple[int, int]) -> None:
    regs = make_regs()
    intid, host_irq = intids
    regs.vcpus[0].map_irq(intid, host_irq)
    irq = regs.irq(intid)
    regs.given(irq, row.before)
    regs.set_physical(host_irq, row.physical)
    regs.write_word(row.who, BANKS[row.bank], intid, 1 << intid % 32)
    after = row.after
    if row.bank == "ISENABLER" and irq.level:
        after += " listed"  # its line is high
    assert (regs.flags(irq), regs.physical(host_irq)) == (after, row.physically)


def test_the_physical_side_of_an_spi_does_not_depend_on_where_it_is_routed() -> None:
    regs = make_regs()
    regs.vcpus[0].map_irq(SPI, HOST_SPI)
    regs.irq(SPI).target = None
    states = []
    for bank in ("ISACTIVER", "ICACTIVER"):
        regs.write_word("guest", BANKS[bank], SPI, 1 << SPI % 32)
        states.append(regs.physical(HOST_SPI))
    assert states == ["active", ""]


class Sampled(NamedTuple):
    before: str
    wire: bool  # what the device drives when the guest enables
    after: str
    physically: str  # active before


SAMPLED: Final = {
    "the line is still high": Sampled("line", True, "enabled line listed", "active"),
    "the line rose unseen": Sampled("", True, "enabled line listed", "active"),
    "the line fell unseen: physically deactivated": Sampled("line", False, "enabled", ""),
    "the line fell, but the guest is handling it": Sampled(
        "line active listed", False, "enabled active listed", "active"
    ),
    "the line was low and is low": Sampled("", False, "enabled", "active"),
    "the line fell, but it was latched": Sampled("line latch", False, "enabled latch listed", ""),
}


@pytest.mark.parametrize("intids", [MAPPED["a PPI"], MAPPED["a level SPI"]], ids=["a PPI", "a level SPI"])
@pytest.mark.parametrize("row", SAMPLED.values(), ids=SAMPLED)
def test_enabling_a_mapped_level_interrupt_samples_its_line(row: Sampled, intids: tuple[int, int]) -> None:
    regs = make_regs()
    intid, host_irq = intids
    asked: list[int] = []

    def wire(number: int) -> bool:
        asked.append(number)
        return row.wire

    regs.vcpus[0].map_irq(intid, host_irq, wire)
    irq = regs.irq(intid)
    regs.given(irq, row.before)
    regs.set_physical(host_irq, "active")
    regs.write_word("guest", GICD_ISENABLER, intid, 1 << intid % 32)
    assert (regs.flags(irq), regs.physical(host_irq), asked) == (row.after, row.physically, [intid])


def test_user_space_deactivating_a_mapped_interrupt_is_only_another_look_at_it() -> None:
    regs = make_regs()
    regs.vcpus[0].map_irq(SPI, HOST_SPI)
    kicks = []
    for flags in ("active listed", ""):
        regs.vcpus[0].ap_list.clear()
        regs.irq(SPI).queued_on = None
        regs.given(regs.irq(SPI), flags)
        regs.write_word("user", GICD_ICACTIVER, SPI, 1 << SPI % 32)
        kicks.append(regs.kicks.copy())
    assert kicks == [[0], [0]]


def test_enabling_a_mapped_edge_interrupt_samples_nothing() -> None:
    regs = make_regs()
    asked: list[int] = []

    def wire(number: int) -> bool:
        asked.append(number)
        return True

    regs.vcpus[0].map_irq(SPI, HOST_SPI, wire)
    regs.write_word("guest", GICD_ISENABLER, SPI, 1 << SPI % 32)
    assert (regs.irq(SPI).enabled, asked) == (True, [])


@pytest.mark.parametrize("latch", [False, True], ids=["not latched", "latched"])
@pytest.mark.parametrize("wire", [False, True], ids=["wire low", "wire high"])
@pytest.mark.parametrize("reader", [False, True], ids=["the distributor is asked", "the device is asked"])
def test_a_mapped_level_interrupt_reads_pending_as_its_wire(latch: bool, wire: bool, reader: bool) -> None:
    regs = make_regs()
    regs.vcpus[0].map_irq(LEVEL_SPI, HOST_SPI, (lambda _: wire) if reader else None)
    if not reader:
        regs.machine.dist.set_line(HOST_SPI, wire)
    irq = regs.irq(LEVEL_SPI)
    irq.pending_latch = latch
    irq.line_level = not wire
    reads = [regs.bit(who, bank, LEVEL_SPI) for who in ("guest", "user") for bank in (GICD_ISPENDR, GICD_ICPENDR)]
    assert reads == [wire, wire, latch, False]


# -- line levels ---------------------------------------------------------------------------------


def test_line_levels_read_as_zero_for_edge_interrupts() -> None:
    regs = make_regs()
    for irq in (regs.irq(SPI), regs.irq(LEVEL_SPI)):
        irq.line_level = True
    assert line_levels(regs.dist.spis[:32]) == 1 << LEVEL_SPI % 32


def test_line_levels_are_set_whatever_the_trigger_and_high_ones_looked_at_again() -> None:
    regs = make_regs()
    for irq in regs.dist.spis:
        irq.enabled = irq.line_level = True
    value = 1 << SPI % 32 | 1 << LEVEL_SPI % 32
    set_line_levels(regs.dist.spis[:32], value)
    lines = sum(irq.line_level << n for n, irq in enumerate(regs.dist.spis[:32]))
    assert (lines, [irq.intid for irq in regs.vcpus[0].ap_list]) == (value, [LEVEL_SPI])


def test_sgis_have_no_line() -> None:
    regs = make_regs()
    set_line_levels(regs.vcpus[0].private, 0xFFFF_FFFF)
    assert [irq.line_level for irq in regs.vcpus[0].private] == [False] * 16 + [True] * 16
