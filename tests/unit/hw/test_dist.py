"""The physical distributor's registers, and the state of an SPI behind them."""

from typing import Final, NamedTuple

import pytest

from hw import PhysConfig, arch
from hw.dist3 import DistributorV3
from hw.physirq import PER_IRQ, ROUTE_ANY

TWO_STATES: Final = PhysConfig(single_security=False)
WORD: Final = 0xFFFF_FFFF


class Stored(NamedTuple):
    """A register array: what a word of ones reads back as, for SPIs 32 and up."""

    offset: int  # the word, or words, of INTID 32
    reads: int


STORED = {
    "IGROUPR": Stored(0x0084, 0xFFFF_FFFF),
    "ISENABLER": Stored(0x0104, 0xFFFF_FFFF),
    "ICENABLER, after ISENABLER": Stored(0x0184, 0),
    "ISPENDR": Stored(0x0204, 0xFFFF_FFFF),
    "ICPENDR": Stored(0x0284, 0),
    "ISACTIVER": Stored(0x0304, 0xFFFF_FFFF),
    "ICACTIVER": Stored(0x0384, 0),
    "IPRIORITYR keeps the implemented bits": Stored(0x0420, 0xF8F8_F8F8),
    "ICFGR keeps the upper bit of each pair": Stored(0x0C08, 0xAAAA_AAAA),
    "IGRPMODR is RAZ/WI with one security state": Stored(0x0D04, 0),
    "IROUTER, low half with IRM": Stored(0x6100, 0x8000_0000),
    "IROUTER, high half: Aff3": Stored(0x6104, 0xFF),
    "TYPER is read-only": Stored(0x0004, 0x057A_0003),
    "IIDR is read-only": Stored(0x0008, 0x43B),
    "CTLR has the enables, E1NWF, ARE and DS": Stored(0x0000, 0xD3),
    "nothing at STATUSR": Stored(0x0010, 0),
    "nothing at SETSPI_NSR": Stored(0x0040, 0),
    "nothing at NSACR": Stored(0x0E08, 0),
    "nothing at the end of the frame": Stored(0xFFFC, 0),
    "nothing beyond the frame": Stored(0x1_0000, 0),
    "INTID 0..31 are not here": Stored(0x0100, 0),
    "nor their priorities": Stored(0x0400, 0),
    "nor a router for INTID 31": Stored(0x60F8, 0),
    "nor an SPI beyond the last": Stored(0x0110, 0),
    "nor its router": Stored(0x6400, 0),
}


@pytest.mark.parametrize("row", STORED.values(), ids=STORED)
def test_word_of_ones(row: Stored) -> None:
    dist = DistributorV3(PhysConfig())
    dist.write(row.offset, 4, WORD)
    assert dist.read(row.offset, 4) == row.reads
    dist.check()


@pytest.mark.parametrize("row", PER_IRQ, ids=[row.name for row in PER_IRQ])
def test_width_and_alignment(row: object) -> None:
    """Words everywhere, bytes in IPRIORITYR; anything else is RAZ/WI."""
    register = next(r for r in PER_IRQ if r is row)
    config = PhysConfig(single_security=register.name != "IGRPMODR", phys_pri_bits=8)
    at = register.offset + 4 * register.bits  # SPI 32
    for size, offset in ((2, 0), (8, 0), (4, 1), (4, 2), (1, 0), (1, 3)):
        dist = DistributorV3(config)
        dist.write(at + offset, size, (1 << 8 * size) - 1, secure=True)
        dist.write(at + offset - 1, 3, 0xFFFFFF, secure=True)
        bytewise = size == 1 and register.bits == 8
        assert dist.read(at, 4, secure=True) == (0xFF << 8 * offset if bytewise else 0), (size, offset)
        dist.write(at, 4, WORD, secure=True)
        assert dist.read(at + offset, size, secure=True) == (0xFF if bytewise else 0), (size, offset)


def test_router_is_one_register_in_halves_or_whole() -> None:
    dist = DistributorV3(PhysConfig())
    dist.write(0x6168, 8, 0x12_0034_5678)
    assert dist.irq(45).route == 0x1234_5678
    assert (dist.read(0x6168, 4), dist.read(0x616C, 4)) == (0x34_5678, 0x12)
    dist.write(0x616C, 4, 0)
    assert dist.read(0x6168, 8) == 0x34_5678
    dist.write(0x6168, 4, 1 << 31 | 5)
    assert (dist.irq(45).route, dist.read(0x6168, 8)) == (ROUTE_ANY, 1 << 31)
    dist.write(0x616A, 4, 0)
    dist.write(0x6168, 2, 0)
    assert dist.irq(45).route == ROUTE_ANY, "wrong alignment and width"


class Life(NamedTuple):
    """What happens to SPI 45, and its (pending, active) afterwards."""

    edge: bool
    events: str
    want: tuple[int, int]


LIVES = {
    "a rising edge is latched": Life(True, "up", (1, 0)),
    "a falling edge does not clear it": Life(True, "up down", (1, 0)),
    "an acknowledged edge is active only": Life(True, "up ack", (0, 1)),
    "a second edge while active is latched": Life(True, "up ack down up", (1, 1)),
    "a wire that stays high is no second edge": Life(True, "up ack up", (0, 1)),
    "a level is pending while it is high": Life(False, "up", (1, 0)),
    "a level that falls is gone": Life(False, "up down", (0, 0)),
    "an acknowledged level still high is pending and active": Life(False, "up ack", (1, 1)),
    "an acknowledged level that falls is active": Life(False, "up ack down", (0, 1)),
    "ISPENDR of a level stays until the acknowledge": Life(False, "pend up down", (1, 0)),
    "and not longer": Life(False, "pend ack", (0, 1)),
    "ICPENDR clears the latch": Life(True, "up unpend", (0, 0)),
    "ICPENDR does not clear a wire": Life(False, "pend up unpend", (1, 0)),
    "ISACTIVER makes it active at once": Life(True, "active", (0, 1)),
    "ICACTIVER makes it inactive, pending kept": Life(True, "up ack down up inactive", (1, 0)),
    "becoming level-sensitive keeps the latch": Life(True, "up down to_level", (1, 0)),
    "becoming edge-triggered loses the wire": Life(False, "up to_edge", (0, 0)),
    "becoming level-sensitive finds the wire": Life(True, "up ack to_level", (1, 1)),
}


@pytest.mark.parametrize("row", LIVES.values(), ids=LIVES)
def test_life(row: Life) -> None:
    dist = DistributorV3(PhysConfig())
    bit = 1 << 45 - 32
    dist.write(0x0C08, 4, 2 << 2 * 13 if row.edge else 0)
    for event in row.events.split():
        if event in ("up", "down"):
            dist.set_line(45, event == "up")
        elif event == "ack":
            dist.acknowledge(dist.irq(45))
        elif event in ("to_level", "to_edge"):
            dist.write(0x0C08, 4, 2 << 2 * 13 if event == "to_edge" else 0)
        else:
            register = {"pend": 0x204, "unpend": 0x284, "active": 0x304, "inactive": 0x384}[event]
            dist.write(register, 4, bit)
        dist.check()
    assert (dist.read(0x204, 4) >> 13, dist.read(0x304, 4) >> 13) == row.want
    assert dist.read(0x284, 4) == dist.read(0x204, 4), "both views of pending"


VIEWS = {
    #   written by, value:                 Secure view  Non-secure view
    "reset": (True, 0, 0x30, 0x10),
    "Secure state enables every group": (True, WORD, 0xB7, 0x12),
    "Secure state cannot set DS or clear ARE": (True, 0x40, 0x30, 0x10),
    "Non-secure state enables its own group": (False, WORD, 0x32, 0x12),
    "Non-secure EnableGrp1 is RES0 with affinity routing": (False, 1, 0x30, 0x10),
}


@pytest.mark.parametrize("row", VIEWS.values(), ids=VIEWS)
def test_ctlr_views(row: tuple[bool, int, int, int]) -> None:
    """GICD_CTLR with two security states."""
    secure, value, secure_view, nonsecure_view = row
    dist = DistributorV3(TWO_STATES)
    dist.write(0, 4, value, secure)
    assert (dist.read(0, 4, True), dist.read(0, 4, False)) == (secure_view, nonsecure_view)


def test_nonsecure_writes_leave_secure_enables() -> None:
    dist = DistributorV3(TWO_STATES)
    dist.write(0, 4, 7, secure=True)
    dist.write(0, 4, 0)
    assert dist.read(0, 4, secure=True) == 0x35


HIDDEN = {
    "Group 0": (0, 0, True),
    "Secure Group 1": (0, 1, True),
    "Non-secure Group 1": (1, 0, False),
    "the reserved encoding is Non-secure Group 1": (1, 1, False),
}


@pytest.mark.parametrize("row", HIDDEN.values(), ids=HIDDEN)
def test_nonsecure_state_sees_its_own_interrupts(row: tuple[int, int, bool]) -> None:
    group, modifier, hidden = row
    dist = DistributorV3(TWO_STATES)
    dist.write(0x0084, 4, group, secure=True)
    dist.write(0x0D04, 4, modifier, secure=True)
    for offset, value in ((0x104, 1), (0x204, 1), (0x304, 1), (0x420, 0xA0), (0xC08, 2), (0x6100, 7)):
        dist.write(offset, 4, value)
        assert dist.read(offset, 4) == (0 if hidden else value), hex(offset)
        expected = 0 if hidden else 0xD0 if offset == 0x420 else value
        assert dist.read(offset, 4, secure=True) == expected, hex(offset)
    assert (dist.read(0x0084, 4), dist.read(0x0D04, 4)) == (0, 0), "the group itself is Secure state's to know"
    dist.write(0x0084, 4, 1 - group)
    dist.write(0x0D04, 4, 1 - modifier)
    assert (dist.read(0x0084, 4, True), dist.read(0x0D04, 4, True)) == (group, modifier)


def test_secure_priority_seen_from_nonsecure_state() -> None:
    dist = DistributorV3(TWO_STATES)
    dist.write(0x0084, 4, 1, secure=True)
    for secure, view in ((0xA0, 0x40), (0x80, 0x00), (0xF8, 0xF0)):
        dist.write(0x420, 1, secure, secure=True)
        assert dist.read(0x420, 1) == view


TYPERS = {
    "no SPIs": (PhysConfig(nr_spis=0), 0),
    "96 SPIs": (PhysConfig(), 3),
    "988 SPIs": (PhysConfig(nr_spis=988), 31),
}


@pytest.mark.parametrize("row", TYPERS.values(), ids=TYPERS)
def test_typer_counts_words(row: tuple[PhysConfig, int]) -> None:
    config, lines = row
    assert DistributorV3(config).read(4, 4) & 0x1F == lines


def test_typer_tells_of_two_security_states() -> None:
    assert DistributorV3(TWO_STATES).read(4, 4) & arch.GICD_TYPER_SECURITY_EXTN


def test_lines_of_intids_that_are_no_spi_are_an_error() -> None:
    with pytest.raises(AssertionError, match="INTID 31 is not one of"):
        DistributorV3(PhysConfig()).set_line(31, True)


def test_accesses_are_counted() -> None:
    dist = DistributorV3(PhysConfig())
    dist.read(0, 4)
    dist.write(0, 4, 0)
    dist.write(0x9999, 3, 0)
    assert (dist.cost.mmio_reads, dist.cost.mmio_writes) == (1, 2)
