"""Interrupts coming in: lines and edges, KVM_IRQ_LINE, owners, and what a sleeping vCPU wakes up for."""

from contextlib import suppress
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    ICC_PMR_EL1,
    ISR_EL1,
    ISR_F,
    ISR_I,
    VMCR_VPMR_SHIFT,
)
from tests.unit.vgic.rig import EDGE, LEVEL, OPEN, Rig, Tracer
from vgic import BusyError, LineType, Vgic, VgicError, irq_word
from vgic.errors import EBUSY, EINVAL, ENXIO
from vgic.ids import V3

SPI: Final = 40
PPI: Final = 27


# One line or edge


class Inject(NamedTuple):
    """SPI 40, enabled; what is done to it, and what it is then.  `holder`: listed on vCPU 0 before."""

    level: bool
    line: bool
    latch: bool
    drive: bool
    want: tuple[bool, bool]  # line, latch
    listed: bool
    kicked: bool
    holder: bool = False
    active: bool = False
    enabled: bool = True


INJECT: Final = {
    #                                             trigger line   latch   drive  (line, latch)    listed kicked
    "a level line rises": Inject(LEVEL, False, False, True, (True, False), True, True),
    "a level line that is high already": Inject(LEVEL, True, False, True, (True, False), False, False),
    "a level line that is low already": Inject(LEVEL, False, False, False, (False, False), False, False),
    "a level line falls: it stays listed, without a kick": Inject(
        LEVEL, True, False, False, (False, False), True, False, holder=True
    ),
    "a level line falls while active: its holder is kicked": Inject(
        LEVEL, True, False, False, (False, False), True, True, holder=True, active=True
    ),
    "a level line falls while software holds it pending": Inject(
        LEVEL, True, True, False, (False, True), True, True, holder=True
    ),
    "a level line rises while disabled": Inject(LEVEL, False, False, True, (True, False), False, False, enabled=False),
    "an edge": Inject(EDGE, False, False, True, (False, True), True, True),
    "an edge's fall": Inject(EDGE, False, False, False, (False, False), False, False),
    "an edge's fall does not take the event back": Inject(
        EDGE, False, True, False, (False, True), True, False, holder=True
    ),
    "two edges are one, and kick twice": Inject(EDGE, False, True, True, (False, True), True, True, holder=True),
    "an edge while active": Inject(EDGE, False, False, True, (False, True), True, True, holder=True, active=True),
    "an edge while disabled": Inject(EDGE, False, False, True, (False, True), False, False, enabled=False),
}


@pytest.mark.parametrize("row", INJECT.values(), ids=INJECT)
def test_inject(row: Inject) -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=row.level, line=row.line, latch=row.latch, active=row.active, enabled=row.enabled)
    if row.holder:
        irq.queued_on = rig.vcpu
        irq.refs += 1
        rig.vcpu.ap_list.append(irq)
    rig.vm.inject(SPI, row.drive)
    assert (irq.line_level, irq.pending_latch) == row.want
    assert (rig.listed(), rig.kicks) == ([SPI] if row.listed else [], [0] if row.kicked else [])


class Refusal(NamedTuple):
    """An injection that raises."""

    intid: int
    vcpu: int | None
    errno: int


REFUSALS: Final = {
    "an SGI without a vCPU": Refusal(5, None, EINVAL),
    "a PPI without a vCPU": Refusal(PPI, None, EINVAL),
    "past the last SPI": Refusal(96, None, EINVAL),
    "past the last SPI, a vCPU named": Refusal(96, 0, EINVAL),
    "a special INTID": Refusal(1023, None, EINVAL),
    "between SPIs and LPIs": Refusal(4096, None, EINVAL),
    "an LPI that nobody mapped": Refusal(8192, None, EINVAL),
    "no INTID at all": Refusal(-1, None, EINVAL),
    "no INTID at all, a vCPU named": Refusal(-1, 0, EINVAL),
    "below every INTID, a vCPU named": Refusal(-64, 0, EINVAL),
}


@pytest.mark.parametrize("row", REFUSALS.values(), ids=REFUSALS)
def test_injection_refused(row: Refusal) -> None:
    rig = Rig()
    vcpu = None if row.vcpu is None else rig.vcpus[row.vcpu]
    with pytest.raises(VgicError) as error:
        rig.vm.inject(row.intid, vcpu=vcpu)
    assert (error.value.errno, rig.listed(), rig.kicks) == (row.errno, [], [])


@pytest.mark.parametrize("irqchip", [False, True], ids=["without an irqchip", "with one not initialised"])
def test_injection_needs_init(irqchip: bool) -> None:
    vm = Vgic(threads=False)
    if irqchip:
        vm.create_device(V3)
    with pytest.raises(VgicError) as error:
        vm.inject(SPI)
    assert error.value.errno == EBUSY


def test_a_private_interrupt_is_that_vcpus() -> None:
    rig = Rig(2)
    for vcpu in (0, 1):
        rig.irq(PPI, vcpu=vcpu)
    rig.vm.inject(PPI, vcpu=rig.vcpus[1])
    assert (rig.listed(0), rig.listed(1), rig.kicks) == ([], [PPI], [1])


def test_an_sgi_may_be_injected_by_the_vmm() -> None:
    """As in kvm_vgic_inject_irq(); KVM_IRQ_LINE is what refuses SGIs."""
    rig = Rig()
    rig.vm.inject(5, vcpu=rig.vcpu)
    assert rig.listed() == [5]


def test_an_spi_goes_to_its_target_whichever_vcpu_is_named() -> None:
    rig = Rig(2)
    rig.irq(SPI, vcpu=1)
    rig.vm.inject(SPI, vcpu=rig.vcpus[0])
    assert (rig.listed(0), rig.listed(1)) == ([], [SPI])


# Owners


class Owned(NamedTuple):
    """Who owns SPI 40 and who drives it."""

    owner: object
    driver: object
    heard: bool


OWNED: Final = {
    "nobody's, driven by user space": Owned(None, None, True),
    "nobody's, driven by a device that says who it is": Owned(None, "timer", False),
    "a device's, driven by that device": Owned("timer", "timer", True),
    "a device's, driven by user space": Owned("timer", None, False),
    "a device's, driven by another": Owned("timer", "pmu", False),
}


@pytest.mark.parametrize("level", [EDGE, LEVEL], ids=["edge", "level"])
@pytest.mark.parametrize("row", OWNED.values(), ids=OWNED)
def test_owner(row: Owned, level: bool) -> None:
    rig = Rig()
    irq = rig.irq(SPI, level=level)
    if row.owner is not None:
        rig.vcpu.set_owner(SPI, str(row.owner))
    rig.vm.inject(SPI, owner=None if row.driver is None else str(row.driver))
    assert irq.is_pending() == row.heard, "a stranger has no effect, and gets no error"


# KVM_IRQ_LINE


class Line(NamedTuple):
    """One ioctl on a VM with vCPUs of ids 0 and 300, with 64 SPIs, if it has an irqchip."""

    word: int
    level: int = 1
    irqchip: bool = True
    errno: int = 0
    vcpu: int | None = None  # index of the vCPU that lists `intid` afterwards
    intid: int = 0
    lines: tuple[bool, bool] = (False, False)  # HCR_EL2.VI and VF of vCPU 1


CPU_LINE, SPI_LINE, PPI_LINE = LineType.CPU, LineType.SPI, LineType.PPI

LINES: Final = {
    "an SPI": Line(irq_word(SPI_LINE, SPI), vcpu=0, intid=SPI),
    "an SPI: the vCPU field is ignored": Line(irq_word(SPI_LINE, SPI, 300), vcpu=0, intid=SPI),
    "an SPI: so is one nobody has": Line(irq_word(SPI_LINE, SPI, 4095), vcpu=0, intid=SPI),
    "an SPI: any level but zero is high": Line(irq_word(SPI_LINE, SPI), level=-7, vcpu=0, intid=SPI),
    "an SPI goes low": Line(irq_word(SPI_LINE, SPI), level=0),
    "the first SPI": Line(irq_word(SPI_LINE, 32), vcpu=0, intid=32),
    "the last SPI": Line(irq_word(SPI_LINE, 95), vcpu=0, intid=95),
    "an SPI past the last": Line(irq_word(SPI_LINE, 96), errno=EINVAL),
    "an SPI that is special": Line(irq_word(SPI_LINE, 1020), errno=EINVAL),
    "an SPI that is an LPI nobody mapped": Line(irq_word(SPI_LINE, 8192), errno=EINVAL),
    "an SPI that is a PPI": Line(irq_word(SPI_LINE, 31), errno=EINVAL),
    "an SPI that is an SGI": Line(irq_word(SPI_LINE, 0), errno=EINVAL),
    "an SPI without an irqchip": Line(irq_word(SPI_LINE, SPI), irqchip=False, errno=ENXIO),
    "an SPI that is a PPI without an irqchip": Line(irq_word(SPI_LINE, 31), irqchip=False, errno=ENXIO),
    "a PPI": Line(irq_word(PPI_LINE, PPI), vcpu=0, intid=PPI),
    "a PPI of a vCPU with a high id": Line(irq_word(PPI_LINE, PPI, 300), vcpu=1, intid=PPI),
    "the first PPI": Line(irq_word(PPI_LINE, 16), vcpu=0, intid=16),
    "the last PPI": Line(irq_word(PPI_LINE, 31), vcpu=0, intid=31),
    "a PPI goes low": Line(irq_word(PPI_LINE, PPI), level=0),
    "a PPI that is an SGI": Line(irq_word(PPI_LINE, 15), errno=EINVAL),
    "a PPI that is an SPI": Line(irq_word(PPI_LINE, 32), errno=EINVAL),
    "a PPI of a vCPU nobody has": Line(irq_word(PPI_LINE, PPI, 1), errno=EINVAL),
    "a PPI without an irqchip": Line(irq_word(PPI_LINE, PPI), irqchip=False, errno=ENXIO),
    "a CPU line with an irqchip": Line(irq_word(CPU_LINE, 0, 300), errno=ENXIO),
    "a CPU line with an irqchip, of a vCPU nobody has": Line(irq_word(CPU_LINE, 0, 1), errno=ENXIO),
    "IRQ": Line(irq_word(CPU_LINE, 0, 300), irqchip=False, lines=(True, False)),
    "FIQ": Line(irq_word(CPU_LINE, 1, 300), irqchip=False, lines=(False, True)),
    "IRQ goes low": Line(irq_word(CPU_LINE, 0, 300), level=0, irqchip=False),
    "a CPU line that is neither": Line(irq_word(CPU_LINE, 2, 300), irqchip=False, errno=EINVAL),
    "a CPU line of a vCPU nobody has": Line(irq_word(CPU_LINE, 0, 1), irqchip=False, errno=EINVAL),
    "an unknown type": Line(3 << 24 | SPI, errno=EINVAL),
    "the last type": Line(15 << 24 | SPI, errno=EINVAL),
    "an unknown type without an irqchip": Line(3 << 24 | SPI, irqchip=False, errno=EINVAL),
}


def line_vm(irqchip: bool) -> Vgic:
    """A VM with vCPUs of ids 0 and 300; every interrupt enabled if there is an irqchip."""
    vm = Vgic(threads=False)
    vm.create_vcpu(0)
    vm.create_vcpu(300)
    if irqchip:
        device = vm.create_device(V3)
        device.set_attr(3, 0, 96)
        device.set_attr(4, 0)
        vm.vcpus[0].dist.enabled = True
        for irq in vm.vcpus[0].dist.spis + vm.vcpus[0].private + vm.vcpus[1].private:
            irq.enabled = True
    return vm


@pytest.mark.parametrize("row", LINES.values(), ids=LINES)
def test_irq_line(row: Line) -> None:
    vm = line_vm(row.irqchip)
    if row.errno:
        with pytest.raises(VgicError) as error:
            vm.irq_line(row.word, row.level)
        assert error.value.errno == row.errno
    else:
        vm.irq_line(row.word, row.level)
    lists = [[row.intid] if row.vcpu == vcpu.index else [] for vcpu in vm.vcpus]
    assert [[irq.intid for irq in vcpu.ap_list] for vcpu in vm.vcpus] == lists
    assert (vm.vcpus[1].vi, vm.vcpus[1].vf) == row.lines


def test_irq_line_before_init() -> None:
    vm = Vgic(threads=False)
    vm.create_vcpu()
    vm.create_device(V3)
    for word in (irq_word(SPI_LINE, SPI), irq_word(PPI_LINE, PPI)):
        with pytest.raises(VgicError) as error:
            vm.irq_line(word, 1)
        assert error.value.errno == EBUSY


def test_irq_word_is_the_ioctls_layout() -> None:
    """vcpu2[31:28], type[27:24], vcpu[23:16], number[15:0]."""
    assert irq_word(LineType.PPI, 27, 0x3A5) == 3 << 28 | 2 << 24 | 0xA5 << 16 | 27


def test_irq_line_cannot_drive_an_owned_line() -> None:
    rig = Rig()
    irq = rig.irq(SPI)
    rig.vcpu.set_owner(SPI, "timer")
    rig.vm.irq_line(irq_word(SPI_LINE, SPI), 1)
    assert not irq.pending_latch


CPU_LINES: Final = {"IRQ": (0, ISR_I), "FIQ": (1, ISR_F)}


@pytest.mark.parametrize("row", CPU_LINES.values(), ids=CPU_LINES)
def test_a_cpu_line_reaches_the_guest_and_kicks_when_it_changes(row: tuple[int, int]) -> None:
    number, pending = row
    vm = line_vm(irqchip=False)
    kicks: list[int] = []
    vm.kick = kicks.append
    vcpu = vm.vcpus[1]
    word = irq_word(CPU_LINE, number, 300)
    vcpu.enter()
    vm.irq_line(word, 1)
    vm.irq_line(word, 1)
    assert (vcpu.mrs(ISR_EL1), kicks) == (pending, [1])
    vcpu.exit()
    assert vcpu.pending(), "the line is why the vCPU may run"
    vcpu.enter()
    assert vcpu.mrs(ISR_EL1) == pending, "put and load keep it"
    vm.irq_line(word, 0)
    assert (vcpu.mrs(ISR_EL1), kicks) == (0, [1, 1])


def test_a_cpu_line_of_a_vcpu_that_is_put_is_nobody_elses() -> None:
    vm = line_vm(irqchip=False)
    other = vm.vcpus[0]
    other.enter(cpu=1)
    vm.irq_line(irq_word(CPU_LINE, 0, 300), 1)
    assert (vm.vcpus[1].pe.index, other.mrs(ISR_EL1)) == (1, 0)


TRACED: Final[dict[str, tuple[int, int, list[tuple[object, ...]]]]] = {
    "an SPI": (irq_word(SPI_LINE, SPI), 1, [("line", 1, 0, SPI, 1), ("update", 0, SPI, True)]),
    "a PPI: its vCPU's id, then its index": (
        irq_word(PPI_LINE, PPI, 300),
        5,
        [("line", 2, 300, PPI, 5), ("update", 1, PPI, True)],
    ),
    "an SPI that does not exist": (irq_word(SPI_LINE, 500), 0, [("line", 1, 0, 500, 0), ("update", 0, 500, False)]),
    "a PPI that is an SGI": (irq_word(PPI_LINE, 3), 1, [("line", 2, 0, 3, 1)]),
    "an unknown type": (9 << 24, 1, [("line", 9, 0, 0, 1)]),
}


@pytest.mark.parametrize("row", TRACED.values(), ids=TRACED)
def test_traced_before_it_is_validated(row: tuple[int, int, list[tuple[object, ...]]]) -> None:
    word, level, want = row
    vm = line_vm(irqchip=True)
    vm.trace = tracer = Tracer()
    with suppress(VgicError):
        vm.irq_line(word, level)
    assert tracer.seen == want


def test_an_injection_without_effect_is_traced() -> None:
    rig = Rig()
    rig.vm.trace = tracer = Tracer()
    rig.irq(SPI, level=LEVEL)
    rig.vcpu.set_owner(SPI, "timer")
    rig.vm.inject(SPI)
    assert tracer.seen == [("update", 0, SPI, True)]


# What a vCPU wakes up for


class Wake(NamedTuple):
    """SPI 40 on vCPU 0's list, in a state; the priority mask is 0xA0."""

    priority: int = 0x98
    latch: bool = True
    enabled: bool = True
    active: bool = False
    group: int = 1
    rerouted: bool = False
    dist_enabled: bool = True
    level: bool = EDGE
    line: bool = False
    want: bool = False


WAKE: Final = {
    "more urgent than the mask": Wake(want=True),
    "exactly the mask is masked": Wake(priority=0xA0),
    "less urgent than the mask": Wake(priority=0xA8),
    "not pending": Wake(latch=False),
    "its line high": Wake(latch=False, level=LEVEL, line=True, want=True),
    "its line low": Wake(latch=False, level=LEVEL),
    "an edge's wire is not looked at": Wake(latch=False, line=True),
    "disabled": Wake(enabled=False),
    "active": Wake(active=True),
    "its group is not looked at": Wake(group=0, want=True),
    "nor whether it is about to move to another vCPU": Wake(rerouted=True, want=True),
    "the distributor is off": Wake(dist_enabled=False),
}


@pytest.mark.parametrize("row", WAKE.values(), ids=WAKE)
def test_pending(row: Wake) -> None:
    rig = Rig(2)
    irq = rig.irq(SPI, latch=True)
    irq.queued_on = rig.vcpu
    irq.refs += 1
    rig.vcpu.ap_list.append(irq)
    irq.priority, irq.pending_latch, irq.enabled, irq.active = row.priority, row.latch, row.enabled, row.active
    irq.group, irq.level, irq.line_level = row.group, row.level, row.line
    irq.target = rig.vcpus[row.rerouted]
    rig.dist.enabled = row.dist_enabled
    rig.vcpu.vmcr = 0xA0 << VMCR_VPMR_SHIFT  # both groups disabled
    assert rig.vcpu.pending() == row.want


def test_pending_only_looks_at_what_is_listed() -> None:
    rig = Rig()
    rig.irq(SPI, latch=True)
    assert not rig.vcpu.pending()


def test_pending_uses_the_mask_as_the_guest_left_it() -> None:
    """WFI puts the vCPU first: a stale mask would let it sleep for ever."""
    rig = Rig()
    rig.irq(SPI)
    rig.vcpu.vmcr = OPEN & 0xFFFF
    rig.vcpu.enter()
    rig.vcpu.msr(ICC_PMR_EL1, 0xF8)
    rig.vcpu.exit()
    rig.vm.inject(SPI)
    assert rig.vcpu.pending()


def test_pending_of_a_vcpu_in_the_guest_is_refused() -> None:
    rig = Rig()
    rig.vcpu.enter()
    with pytest.raises(BusyError):
        rig.vcpu.pending()
