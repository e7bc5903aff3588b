"""Interrupts tied to physical ones, who owns a line, and what registers do to the physical side."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from hw import Machine, PhysConfig
from hw.arch import (
    GICD_ICACTIVER,
    GICD_ICPENDR,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
    GICR_ISACTIVER0,
    GICR_ISPENDR0,
)
from tests.unit.vgic.rig import LEVEL, Rig
from vgic import Host, Vcpu, Vgic, VgicError
from vgic.errors import EAGAIN, EEXIST, EINVAL
from vgic.mapped import physical_level, set_physical_active

SGI: Final = 5
PPI: Final = 27
SPI: Final = 40
HOST_PPI: Final = 26
HOST_SPI: Final = 50


def high(intid: int) -> bool:
    return True


def low(intid: int) -> bool:
    return False


class Physical(NamedTuple):
    """The physical interrupt below: its state bits."""

    active: bool
    pending: bool


def physical(rig: Rig, host_irq: int = HOST_PPI) -> Physical:
    if host_irq < 32:
        redist = rig.vcpu.pe.redist
        active, pending = redist.read(GICR_ISACTIVER0, 4), redist.read(GICR_ISPENDR0, 4)
    else:
        dist, word = rig.machine.dist, host_irq // 32 * 4
        active, pending = dist.read(GICD_ISACTIVER + word, 4), dist.read(GICD_ISPENDR + word, 4)
    return Physical(active >> host_irq % 32 & 1 == 1, pending >> host_irq % 32 & 1 == 1)


# Tying and untying


class Refusal(NamedTuple):
    """A call that raises; `initialized` says when."""

    call: Callable[[Vcpu], object]
    errno: int
    initialized: bool = True


REFUSALS: Final = {
    "map an interrupt that does not exist": Refusal(lambda v: v.map_irq(96, HOST_SPI), EINVAL),
    "map a special INTID": Refusal(lambda v: v.map_irq(1023, HOST_SPI), EINVAL),
    "map no INTID at all": Refusal(lambda v: v.map_irq(-1, HOST_SPI), EINVAL),
    "map to a physical interrupt past the last": Refusal(lambda v: v.map_irq(PPI, 128), EINVAL),
    "map to no physical interrupt at all": Refusal(lambda v: v.map_irq(PPI, -1), EINVAL),
    "map a private interrupt before there are any": Refusal(lambda v: v.map_irq(PPI, HOST_PPI), EINVAL, False),
    "unmap before init": Refusal(lambda v: v.unmap_irq(PPI), EAGAIN, False),
    "unmap an interrupt that does not exist": Refusal(lambda v: v.unmap_irq(96), EINVAL),
    "own before init": Refusal(lambda v: v.set_owner(PPI, "timer"), EAGAIN, False),
    "own an SGI before init": Refusal(lambda v: v.set_owner(SGI, "timer"), EAGAIN, False),
    "own an SGI": Refusal(lambda v: v.set_owner(SGI, "timer"), EINVAL),
    "own an SPI past the last": Refusal(lambda v: v.set_owner(96, "timer"), EINVAL),
    "own a special INTID": Refusal(lambda v: v.set_owner(1020, "timer"), EINVAL),
    "own an LPI": Refusal(lambda v: v.set_owner(8192, "timer"), EINVAL),
    "own no INTID at all": Refusal(lambda v: v.set_owner(-1, "timer"), EINVAL),
}


@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS)
def test_refused(row: Refusal) -> None:
    vcpu = Rig().vcpu if row.initialized else Vgic(threads=False).create_vcpu()
    with pytest.raises(VgicError) as error:
        row.call(vcpu)
    assert error.value.errno == row.errno


@pytest.mark.parametrize("host_irq", [16, 31, 32, 127], ids="physical {}".format)
def test_map_takes_every_interrupt_of_the_machine(host_irq: int) -> None:
    rig = Rig()
    rig.vcpu.map_irq(PPI, host_irq, high, sw_resample=True)
    irq = rig.irq(PPI)
    assert (irq.hw, irq.host_irq, irq.hwintid, irq.input_level, irq.sw_resample) == (
        True, host_irq, host_irq, high, True
    )  # fmt: skip


def test_map_knows_how_many_interrupts_the_machine_has() -> None:
    vm = Vgic.gicv3(1, 32, host=Host(Machine(phys=PhysConfig(nr_spis=32))), threads=False)
    vm.vcpus[0].map_irq(PPI, 63)
    with pytest.raises(VgicError):
        vm.vcpus[0].map_irq(PPI, 64)


def test_map_does_not_need_init() -> None:
    vm = Vgic(threads=False)
    vm.create_device(7)
    vcpu = vm.create_vcpu()
    vcpu.map_irq(PPI, HOST_PPI)
    assert vcpu.private[PPI].hw


def test_map_changes_no_state() -> None:
    rig = Rig()
    irq = rig.irq(PPI, line=True, latch=True, active=True)
    rig.vcpu.map_irq(PPI, HOST_PPI)
    assert (irq.line_level, irq.pending_latch, irq.active, physical(rig)) == (True, True, True, (False, False))
    assert (irq.input_level, irq.sw_resample) == (None, False), "unless asked for"


def test_unmap_leaves_state_owner_and_the_hosts_number() -> None:
    rig = Rig()
    irq = rig.irq(PPI, line=True, latch=True, active=True)
    rig.vcpu.map_irq(PPI, HOST_PPI, low, sw_resample=True)
    rig.vcpu.set_owner(PPI, "timer")
    rig.vcpu.unmap_irq(PPI)
    assert (irq.hw, irq.hwintid, irq.input_level, irq.sw_resample) == (False, 0, None, False)
    assert irq.mapped_by is None
    assert (irq.line_level, irq.pending_latch, irq.active) == (True, True, True)
    assert (irq.host_irq, irq.owner) == (HOST_PPI, "timer")


def test_unmap_of_one_that_is_not_mapped_is_no_error() -> None:
    rig = Rig()
    rig.vcpu.unmap_irq(PPI)
    assert not rig.irq(PPI).hw


def test_get_map_names_the_physical_interrupt_while_there_is_one() -> None:
    rig = Rig()
    assert rig.vcpu.get_map(PPI) == -1
    rig.vcpu.map_irq(PPI, HOST_PPI)
    assert rig.vcpu.get_map(PPI) == HOST_PPI
    rig.vcpu.unmap_irq(PPI)
    assert rig.vcpu.get_map(PPI) == -1
    assert rig.vcpu.get_map(96) == -1, "no such interrupt"


class Active(NamedTuple):
    mapped: bool
    active: bool
    initialized: bool
    want: bool


ACTIVE: Final = {
    #                                  mapped active init   answer
    "mapped and active": Active(True, True, True, True),
    "mapped and idle": Active(True, False, True, False),
    "active but not mapped": Active(False, True, True, False),
    "before init": Active(True, True, False, False),
}


@pytest.mark.parametrize("row", ACTIVE.values(), ids=ACTIVE)
def test_map_is_active(row: Active) -> None:
    rig = Rig()
    rig.irq(PPI, active=row.active)
    if row.mapped:
        rig.vcpu.map_irq(PPI, HOST_PPI)
    rig.dist.initialized = row.initialized
    assert rig.vcpu.map_is_active(PPI) == row.want


def test_an_interrupt_that_does_not_exist_is_not_active() -> None:
    assert not Rig().vcpu.map_is_active(96)


@pytest.mark.parametrize("mapped", [False, True], ids=["not mapped", "mapped"])
def test_reset(mapped: bool) -> None:
    """State goes, the place on the list stays, and the physical side is not touched."""
    rig = Rig()
    irq = rig.irq(PPI, level=LEVEL)
    rig.vm.inject(PPI, vcpu=rig.vcpu)
    irq.pending_latch = irq.active = True
    if mapped:
        rig.vcpu.map_irq(PPI, HOST_PPI)
        set_physical_active(irq, True)
    before = physical(rig)
    rig.vcpu.reset_mapped(PPI)
    assert (irq.active, irq.pending_latch, irq.line_level) == (not mapped,) * 3
    assert (rig.listed(), physical(rig)) == ([PPI], before)


def test_reset_of_an_interrupt_that_does_not_exist_is_no_error() -> None:
    Rig().vcpu.reset_mapped(96)


# Owners


class Owner(NamedTuple):
    before: str | None
    new: str | None
    errno: int = 0


OWNERS: Final = {
    "nobody's becomes a device's": Owner(None, "timer"),
    "nobody's stays nobody's": Owner(None, None),
    "the same owner again": Owner("timer", "timer"),
    "somebody else's": Owner("timer", "pmu", EEXIST),
    "there is no release": Owner("timer", None, EEXIST),
}


@pytest.mark.parametrize("intid", [16, PPI, SPI], ids=["the first PPI", "a PPI", "an SPI"])
@pytest.mark.parametrize("row", OWNERS.values(), ids=OWNERS)
def test_owner(row: Owner, intid: int) -> None:
    rig = Rig()
    rig.vcpu.set_owner(intid, row.before)
    if row.errno:
        with pytest.raises(VgicError) as error:
            rig.vcpu.set_owner(intid, row.new)
        assert error.value.errno == row.errno
    else:
        rig.vcpu.set_owner(intid, row.new)
    assert rig.irq(intid).owner == (row.before if row.errno else row.new)


# The physical side


PAIRS: Final = {"a PPI": (PPI, HOST_PPI), "an SPI": (SPI, HOST_SPI), "the first SPI": (SPI, 32)}


@pytest.mark.parametrize(("intid", "host_irq"), PAIRS.values(), ids=PAIRS)
def test_physical_active(intid: int, host_irq: int) -> None:
    rig = Rig()
    irq = rig.irq(intid)
    rig.vcpu.map_irq(intid, host_irq)
    set_physical_active(irq, True)
    assert physical(rig, host_irq).active
    set_physical_active(irq, False)
    assert not physical(rig, host_irq).active


def test_a_physical_ppi_is_that_of_the_cpu_the_vcpu_is_on() -> None:
    rig = Rig(1, cpus=2)
    rig.vcpu.map_irq(PPI, HOST_PPI)
    rig.vcpu.enter(cpu=1)
    set_physical_active(rig.irq(PPI), True)
    states = [pe.redist.read(GICR_ISACTIVER0, 4) for pe in rig.machine.pes]
    assert states == [0, 1 << HOST_PPI]


@pytest.mark.parametrize("level", [False, True], ids=["low", "high"])
@pytest.mark.parametrize("host_irq", [HOST_PPI, 32, HOST_SPI], ids=["a PPI", "the first SPI", "an SPI"])
def test_the_physical_level_is_the_pending_state(host_irq: int, level: bool) -> None:
    rig = Rig()
    rig.vcpu.map_irq(PPI, host_irq)
    if host_irq < 32:
        rig.vcpu.pe.redist.set_line(host_irq, level)
    else:
        rig.machine.dist.set_line(host_irq, level)
    assert physical_level(rig.irq(PPI)) == level


@pytest.mark.parametrize("reader", [low, high], ids=["low", "high"])
def test_a_level_reader_goes_before_the_physical_state(reader: Callable[[int], bool]) -> None:
    rig = Rig()
    rig.vcpu.map_irq(PPI, HOST_PPI, reader)
    rig.vcpu.pe.redist.set_line(HOST_PPI, reader is low)
    assert physical_level(rig.irq(PPI)) == (reader is high)


class Bank(NamedTuple):
    """A guest's write of 1 to the bit of mapped PPI 27; what it leaves.  The physical one was pending and active."""

    bank: int
    reader: Callable[[int], bool] = low
    line: bool = False
    active: bool = False
    line_after: bool = False
    latch_after: bool = False
    active_after: bool = False
    below: Physical = Physical(True, True)


BANKS: Final = {
    "ISENABLER samples the line: low stays low": Bank(GICD_ISENABLER),
    "ISENABLER samples the line: it rose": Bank(GICD_ISENABLER, high, line_after=True),
    "ISENABLER samples the line: it fell, so the host may take the next": Bank(
        GICD_ISENABLER, line=True, below=Physical(False, True)
    ),
    "ISENABLER samples the line: it fell while active": Bank(GICD_ISENABLER, line=True, active=True, active_after=True),
    "ISENABLER samples the line: still high": Bank(GICD_ISENABLER, high, line=True, line_after=True),
    "ISPENDR makes it active below, as if the host had taken it": Bank(GICD_ISPENDR, latch_after=True),
    "ICPENDR clears pending and active below": Bank(GICD_ICPENDR, below=Physical(False, False)),
    "ICPENDR leaves active below what is active here": Bank(
        GICD_ICPENDR, active=True, active_after=True, below=Physical(True, False)
    ),
    "ICPENDR leaves the line to the device": Bank(
        GICD_ICPENDR, line=True, line_after=True, below=Physical(False, False)
    ),
    "ISACTIVER": Bank(GICD_ISACTIVER, active_after=True),
    "ICACTIVER": Bank(GICD_ICACTIVER, active=True, below=Physical(False, True)),
}


@pytest.mark.parametrize("row", BANKS.values(), ids=BANKS)
def test_banks(row: Bank) -> None:
    rig = Rig()
    irq = rig.irq(PPI, line=row.line, active=row.active, enabled=False)
    rig.vcpu.map_irq(PPI, HOST_PPI, row.reader)
    redist = rig.vcpu.pe.redist
    redist.write(GICR_ISPENDR0, 4, 1 << HOST_PPI)
    redist.write(GICR_ISACTIVER0, 4, 1 << HOST_PPI)
    frame = rig.vcpu.redist
    assert frame is not None
    frame.write(rig.vcpu, 0x1_0000 + row.bank, 4, 1 << PPI)
    assert (irq.line_level, irq.pending_latch, irq.active) == (row.line_after, row.latch_after, row.active_after)
    assert physical(rig) == row.below


@pytest.mark.parametrize("bank", [GICD_ISPENDR, GICD_ISACTIVER], ids=["ISPENDR", "ISACTIVER"])
def test_what_makes_it_active_below(bank: int) -> None:
    rig = Rig()
    rig.vcpu.map_irq(PPI, HOST_PPI, low)
    frame = rig.vcpu.redist
    assert frame is not None
    frame.write(rig.vcpu, 0x1_0000 + bank, 4, 1 << PPI)
    assert physical(rig) == Physical(True, False)


USER: Final = {
    #                       bank      active before  latch, active after
    "ISPENDR": (GICD_ISPENDR, False, (True, False)),
    "ICPENDR": (GICD_ICPENDR, False, (False, False)),
    "ISACTIVER is ignored": (GICD_ISACTIVER, False, (False, False)),
    "ICACTIVER is ignored": (GICD_ICACTIVER, True, (False, True)),
}


@pytest.mark.parametrize("row", USER.values(), ids=USER)
def test_user_space_never_touches_the_physical_side(row: tuple[int, bool, tuple[bool, bool]]) -> None:
    bank, active, want = row
    rig = Rig()
    irq = rig.irq(PPI, active=active)
    rig.vcpu.map_irq(PPI, HOST_PPI, low)
    frame = rig.vcpu.redist
    assert frame is not None
    frame.user_write(rig.vcpu, 0x1_0000 + bank, 1 << PPI)
    assert (irq.pending_latch, irq.active) == want
    assert physical(rig) == (False, False)


@pytest.mark.parametrize("reader", [low, high], ids=["low", "high"])
def test_ispendr_of_a_mapped_level_interrupt_reads_the_wire(reader: Callable[[int], bool]) -> None:
    rig = Rig()
    rig.irq(PPI, line=reader is low, latch=True)
    rig.vcpu.map_irq(PPI, HOST_PPI, reader)
    frame = rig.vcpu.redist
    assert frame is not None
    assert frame.read(rig.vcpu, 0x1_0000 + GICD_ISPENDR, 4) == (reader is high) << PPI


def test_a_mapped_spi_routed_to_nobody_still_reaches_the_physical_side() -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=LEVEL)
    rig.vcpu.map_irq(SPI, HOST_SPI)
    irq.target = None
    set_physical_active(irq, True)
    rig.machine.dist.set_line(HOST_SPI, True)
    assert (physical(rig, HOST_SPI).active, physical_level(irq)) == (True, True)
