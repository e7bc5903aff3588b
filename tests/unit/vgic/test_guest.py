"""A vCPU as its VMM drives it: where it may be, what each call refuses, what its guest's accesses cost."""

from collections.abc import Callable
from errno import errorcode
from typing import Final, NamedTuple

import pytest

from hw.arch import (
    GICD_CTLR,
    GICD_IPRIORITYR,
    GICD_ISPENDR,
    GICD_TYPER,
    GICR_ISPENDR0,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI0R_EL1,
    ICC_SGI1R_EL1,
    ICC_SRE_EL1,
    ICH_HCR_EL2,
    ISR_EL1,
    ISR_I,
    sysreg,
)
from tests.support import GICD_BASE, GICR_BASE, make_vm, redist_base
from tests.unit.vgic.rig import LEVEL, Rig, acknowledge, end, outcome, spent, take
from vgic import UNCLAIMED, UNDEFINED, Vcpu, Vgic
from vgic.errors import EBUSY, EINVAL
from vgic.vcpu import IN_GUEST, LOADED, PUT, TRAPPED

SPI: Final = 40

# What each call does in each mode: 0, or the errno it raises

CALLS: Final[dict[str, Callable[[Vcpu], object]]] = {
    "enter": lambda v: v.enter(),
    "enter on the same CPU": lambda v: v.enter(v.pe.index),
    "exit": lambda v: v.exit(),
    "put": lambda v: v.put(),
    "pending": lambda v: v.pending(),
    "read": lambda v: v.read(GICD_BASE, 4),
    "write": lambda v: v.write(GICD_BASE, 4, 2),
    "mrs": lambda v: v.mrs(ICC_IAR1_EL1),
    "msr": lambda v: v.msr(ICC_PMR_EL1, 0),
    "set_mpidr": lambda v: v.set_mpidr(v.index),
}

MODES: Final = (PUT, LOADED, IN_GUEST, TRAPPED)
MODE_NAMES: Final = ("put", "loaded", "in the guest", "trapped")

OUTCOMES: Final = {
    #                       put     loaded  in guest trapped
    "enter":               (0,      0,      EBUSY,  EBUSY),
    "enter on the same CPU": (0,    0,      EBUSY,  EBUSY),
    "exit":                (EINVAL, EINVAL, 0,      EINVAL),
    "put":                 (0,      0,      EBUSY,  EBUSY),
    "pending":             (0,      0,      EBUSY,  EBUSY),
    "read":                (EINVAL, EINVAL, 0,      EINVAL),
    "write":               (EINVAL, EINVAL, 0,      EINVAL),
    "mrs":                 (EINVAL, EINVAL, 0,      EINVAL),
    "msr":                 (EINVAL, EINVAL, 0,      EINVAL),
    "set_mpidr":           (0,      EBUSY,  EBUSY,  EBUSY),
}  # fmt: skip
"""A vCPU that is put has never run, where a row cares."""


@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("name", OUTCOMES)
def test_what_is_refused_when(name: str, mode: int) -> None:
    """Trapped means: called from a port, while the guest's access is being handled."""
    rig = Rig(vcpus=2)
    vcpu, call = rig.vcpu, CALLS[name]
    got: list[int] = []
    if mode == LOADED:
        vcpu.enter()
        vcpu.exit()
    elif mode >= IN_GUEST:
        vcpu.enter()
    if mode == TRAPPED:
        rig.vm.kick = lambda index: got.append(outcome(lambda: call(vcpu)))
        vcpu.write(redist_base(1) + GICR_ISPENDR0, 4, 1 << 5)
    else:
        got.append(outcome(lambda: call(vcpu)))
    assert [errorcode.get(number, "ok") for number in got] == [errorcode.get(OUTCOMES[name][mode], "ok")]


TRAPS: Final[dict[str, Callable[[Vcpu], object]]] = {
    "a load": lambda v: v.read(GICD_BASE, 4),
    "a store": lambda v: v.write(GICD_BASE, 4, 2),
    "a trapped MRS": lambda v: v.mrs(ICC_SRE_EL1),
    "a trapped MSR": lambda v: v.msr(ICC_SGI1R_EL1, 0),
}


@pytest.mark.parametrize("access", TRAPS.values(), ids=TRAPS)
def test_every_trapped_access_keeps_its_vcpu_from_being_moved(access: Callable[[Vcpu], object]) -> None:
    """The fold hands an interrupt over to another vCPU, whose kick tries to take this one out of the guest."""
    rig = Rig(2)
    irq = rig.irq(SPI)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    irq.target = rig.vcpus[1]
    got: list[tuple[int, int]] = []
    rig.vm.kick = lambda index: got.append((outcome(rig.vcpu.exit), outcome(rig.vcpu.put)))
    access(rig.vcpu)
    assert (got, rig.vcpu.mode) == ([(EINVAL, EBUSY)], IN_GUEST)


@pytest.mark.parametrize("access", TRAPS.values(), ids=TRAPS)
def test_a_trapped_access_disturbs_nothing_in_service(access: Callable[[Vcpu], object]) -> None:
    """One interrupt acknowledged and one waiting: both are where they were, and the first is ended."""
    rig = Rig()
    for intid, priority in ((SPI, 0x80), (SPI + 1, 0xA0)):
        rig.irq(intid, priority=priority)
        rig.vm.inject(intid)
    rig.vcpu.enter()
    assert acknowledge(rig.vcpu) == SPI
    access(rig.vcpu)
    assert (rig.lr_intids(), rig.vcpu.mrs(ICC_RPR_EL1)) == ([SPI, SPI + 1], 0x80)
    end(rig.vcpu, SPI)
    access(rig.vcpu)
    assert (take(rig.vcpu), rig.listed()) == (SPI + 1, [SPI + 1])


@pytest.mark.parametrize("mode", [LOADED, IN_GUEST], ids=["loaded", "in the guest"])
@pytest.mark.parametrize("cpu", [-1, 1, 99], ids="CPU {}".format)
def test_entering_on_a_cpu_that_does_not_exist(cpu: int, mode: int) -> None:
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    if mode == LOADED:
        vcpu.exit()
    assert outcome(lambda: vcpu.enter(cpu)) == (EINVAL if mode == LOADED else EBUSY)
    assert (vcpu.mode, vcpu.pe.index) == (mode, 0)


# The guest's accesses

SIZES: Final = {"no bytes": 0, "3 bytes": 3, "16 bytes": 16, "a negative size": -4}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_access_has_1_2_4_or_8_bytes(size: int) -> None:
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert outcome(lambda: vcpu.read(GICD_BASE, size)) == EINVAL
    assert outcome(lambda: vcpu.write(GICD_BASE, size, 0)) == EINVAL
    assert vcpu.mode == IN_GUEST


class Access(NamedTuple):
    gpa: int
    size: int
    claimed: bool


GICD_END: Final = GICD_BASE + 0x1_0000
GICR_END: Final = GICR_BASE + 2 * 0x2_0000

ACCESSES: Final = {
    "a register": Access(GICD_BASE + GICD_TYPER, 4, True),
    "a reserved word": Access(GICD_BASE + 0x20, 4, True),
    "a width no register takes": Access(GICD_BASE + GICD_TYPER, 2, True),
    "a misaligned word": Access(GICD_BASE + GICD_TYPER + 1, 4, True),
    "the last byte of the distributor": Access(GICD_END - 1, 1, True),
    "the last bytes of the distributor": Access(GICD_END - 8, 8, True),
    "past the distributor": Access(GICD_END, 4, False),
    "across the end of the distributor": Access(GICD_END - 4, 8, False),
    "before the distributor": Access(GICD_BASE - 4, 4, False),
    "across the start of the distributor": Access(GICD_BASE - 2, 4, False),
    "the first redistributor": Access(GICR_BASE, 4, True),
    "the last redistributor": Access(GICR_END - 4, 4, True),
    "across two redistributors": Access(GICR_BASE + 0x2_0000 - 4, 8, False),
    "past the last redistributor": Access(GICR_END, 4, False),
    "address zero": Access(0, 8, False),
    "the top of the address space": Access((1 << 64) - 1, 1, False),
}


@pytest.mark.parametrize("row", ACCESSES.values(), ids=ACCESSES)
def test_who_claims_an_access(row: Access) -> None:
    """A frame claims all of the access or none of it; what is not claimed goes to the VMM."""
    vcpu = make_vm(2).vcpus[0]
    vcpu.enter()
    assert (vcpu.read(row.gpa, row.size) != UNCLAIMED) == row.claimed
    assert vcpu.write(row.gpa, row.size, 0) == row.claimed
    assert vcpu.mode == IN_GUEST


def test_a_written_value_is_cut_to_its_width() -> None:
    rig = Rig()
    rig.vcpu.enter()
    rig.vcpu.write(GICD_BASE + GICD_IPRIORITYR + SPI, 1, 0xABCD_EF80)
    assert rig.vcpu.read(GICD_BASE + GICD_IPRIORITYR + SPI, 4) == 0x80


READABLE: Final = {
    "PMR": ICC_PMR_EL1,
    "IAR1": ICC_IAR1_EL1,
    "HPPIR1": ICC_HPPIR1_EL1,
    "RPR": ICC_RPR_EL1,
    "BPR1": ICC_BPR1_EL1,
    "CTLR": ICC_CTLR_EL1,
    "IGRPEN1": ICC_IGRPEN1_EL1,
    "SRE": ICC_SRE_EL1,
    "ISR": ISR_EL1,
}
WRITABLE: Final = {
    "PMR": ICC_PMR_EL1,
    "EOIR1": ICC_EOIR1_EL1,
    "DIR": ICC_DIR_EL1,
    "BPR1": ICC_BPR1_EL1,
    "CTLR": ICC_CTLR_EL1,
    "IGRPEN1": ICC_IGRPEN1_EL1,
    "SRE": ICC_SRE_EL1,
    "SGI1R": ICC_SGI1R_EL1,
    "SGI0R": ICC_SGI0R_EL1,
}
OTHERS: Final = {"an EL2 register": ICH_HCR_EL2, "no GIC register": sysreg(3, 0, 1, 0, 0), "no encoding": 1 << 20}
EVERY: Final = {**READABLE, **WRITABLE, **OTHERS}


@pytest.mark.parametrize("trapped", [False, True], ids=["by hardware", "emulated"])
@pytest.mark.parametrize("name", EVERY)
def test_what_is_undefined(name: str, trapped: bool) -> None:
    vcpu = make_vm(trapped=trapped).vcpus[0]
    vcpu.enter()
    assert (vcpu.mrs(EVERY[name]) != UNDEFINED) == (name in READABLE)
    assert vcpu.msr(EVERY[name], 0) == (name in WRITABLE)
    assert vcpu.mode == IN_GUEST


@pytest.mark.parametrize("name", EVERY)
def test_without_a_gicv3_everything_is_undefined_but_isr(name: str) -> None:
    vcpu = Vgic(threads=False).create_vcpu()
    vcpu.enter()
    assert (vcpu.mrs(EVERY[name]) != UNDEFINED) == (name == "ISR")
    assert not vcpu.msr(EVERY[name], 0)


def test_sre_reads_as_fixed_and_ignores_writes() -> None:
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert vcpu.msr(ICC_SRE_EL1, 0)
    assert vcpu.mrs(ICC_SRE_EL1) == 0b111


# Exits by cause


def leave_and_enter(vcpu: Vcpu) -> None:
    vcpu.exit()
    vcpu.enter()


EXITS: Final[dict[str, tuple[Callable[[Vcpu], object], dict[str, int]]]] = {
    "an MMIO read": (lambda v: v.read(GICD_BASE, 4), {"exits_mmio": 1, "entries": 1}),
    "an MMIO write": (lambda v: v.write(GICD_BASE, 4, 2), {"exits_mmio": 1, "entries": 1}),
    "an MMIO read for the VMM": (lambda v: v.read(0, 4), {"exits_mmio": 1, "entries": 1}),
    "an MMIO write for the VMM": (lambda v: v.write(0, 4, 0), {"exits_mmio": 1, "entries": 1}),
    "an SGI": (lambda v: v.msr(ICC_SGI1R_EL1, 2), {"exits_sysreg": 1, "entries": 1}),
    "SRE": (lambda v: v.mrs(ICC_SRE_EL1), {"exits_sysreg": 1, "entries": 1}),
    "an SGI register read, which hardware refuses": (lambda v: v.mrs(ICC_SGI1R_EL1), {}),
    "PMR, which hardware has": (lambda v: v.mrs(ICC_PMR_EL1), {"icv_reads": 1}),
    "PMR written": (lambda v: v.msr(ICC_PMR_EL1, 0), {"icv_writes": 1}),
    "an access without the register": (lambda v: v.mrs(ICH_HCR_EL2), {}),
    "the VMM's exit and entry": (leave_and_enter, {"entries": 1, "exits_host": 1}),
}


@pytest.mark.parametrize("row", EXITS.values(), ids=EXITS)
def test_exits_are_counted_by_cause(row: tuple[Callable[[Vcpu], object], dict[str, int]]) -> None:
    access, want = row
    vcpu = make_vm(2).vcpus[0]
    vcpu.enter()
    assert spent(vcpu, lambda: access(vcpu)) == want


def test_a_refused_call_costs_nothing() -> None:
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert spent(vcpu, lambda: outcome(vcpu.enter) + outcome(lambda: vcpu.read(0, 3)) + outcome(vcpu.put)) == {}


def test_an_access_folds_first_so_that_registers_are_current() -> None:
    """What the guest acknowledged shows in its own reads at once, and goes on afterwards."""
    rig = Rig()
    rig.irq(SPI)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    pending = GICD_BASE + GICD_ISPENDR + 4
    assert rig.vcpu.read(pending, 4) == 1 << SPI - 32
    acknowledge(rig.vcpu)
    assert rig.vcpu.read(pending, 4) == 0
    end(rig.vcpu, SPI)
    assert rig.vcpu.read(GICD_BASE + 0x300 + 4, 4) == 0


def test_an_access_that_makes_something_pending_returns_with_it() -> None:
    rig = Rig()
    rig.irq(SPI)
    rig.vcpu.enter()
    rig.vcpu.write(GICD_BASE + GICD_ISPENDR + 4, 4, 1 << SPI - 32)
    assert (rig.vcpu.mrs(ISR_EL1), take(rig.vcpu)) == (ISR_I, SPI)


def test_the_vmm_injects_into_a_running_guest_which_sees_it_at_its_next_entry() -> None:
    rig = Rig()
    rig.irq(SPI)
    rig.vcpu.enter()
    rig.vm.inject(SPI)
    assert (acknowledge(rig.vcpu), rig.kicks) == (1023, [0])
    rig.vcpu.exit()
    rig.vcpu.enter()
    assert take(rig.vcpu) == SPI


# Where a vCPU runs


def test_vcpus_take_turns_on_fewer_cpus_each_with_its_own_interrupt_in_service() -> None:
    rig = Rig(5, cpus=2)
    for vcpu in rig.vcpus:
        rig.irq(SPI + vcpu.index, vcpu=vcpu.index, priority=0x80 + 8 * vcpu.index)
        rig.vm.inject(SPI + vcpu.index)
    assert [vcpu.pe.index for vcpu in rig.vcpus] == [0, 1, 0, 1, 0]
    for vcpu in rig.vcpus:
        vcpu.enter()
        assert acknowledge(vcpu) == SPI + vcpu.index
        vcpu.exit()
    for vcpu in reversed(rig.vcpus):
        vcpu.enter()
        assert vcpu.mrs(ICC_RPR_EL1) == 0x80 + 8 * vcpu.index
        end(vcpu, SPI + vcpu.index)
        assert vcpu.mrs(ICC_RPR_EL1) == 0xFF
        vcpu.exit()
    assert [rig.listed(vcpu.index) for vcpu in rig.vcpus] == [[]] * 5


def test_a_cpu_is_taken_from_who_holds_it_not_from_who_runs_on_it() -> None:
    vm = make_vm(3, cpus=1)
    first, second, third = vm.vcpus
    first.enter()
    assert outcome(second.enter) == EBUSY
    assert (first.mode, second.mode, second.has_run) == (IN_GUEST, PUT, False)
    first.exit()
    second.enter()
    assert (first.mode, vm.host.loaded) == (PUT, {0: second})
    second.exit()
    third.enter(cpu=0)
    assert (second.mode, vm.host.loaded) == (PUT, {0: third})


def test_a_vcpu_refused_by_a_busy_cpu_stays_where_it_was() -> None:
    vm = make_vm(2)
    first, second = vm.vcpus
    second.enter()
    first.enter()
    first.exit()
    assert outcome(lambda: first.enter(cpu=1)) == EBUSY
    assert (first.pe.index, first.cost is first.pe.cost) == (0, True)
    first.enter()
    assert vm.host.loaded == {0: first, 1: second}


def test_a_vcpu_moves_with_its_interrupt_in_service() -> None:
    """Nested: one preempted by another, neither ended, then the rest of it on another physical CPU."""
    rig = Rig(1, cpus=3)
    vcpu = rig.vcpu
    rig.irq(SPI, level=LEVEL, priority=0xA0)
    rig.irq(SPI + 1, priority=0x40)
    rig.vm.inject(SPI)
    vcpu.enter(cpu=0)
    assert acknowledge(vcpu) == SPI
    rig.vm.inject(SPI + 1)
    vcpu.exit()
    vcpu.enter(cpu=2)
    assert (vcpu.mrs(ICC_RPR_EL1), acknowledge(vcpu), vcpu.mrs(ICC_RPR_EL1)) == (0xA0, SPI + 1, 0x40)
    vcpu.exit()
    vcpu.enter(cpu=1)
    assert (vcpu.mrs(ICC_RPR_EL1), sorted(rig.lr_intids())) == (0x40, [SPI, SPI + 1])
    end(vcpu, SPI + 1)
    rig.vm.inject(SPI, False)
    end(vcpu, SPI)
    assert vcpu.mrs(ICC_RPR_EL1) == 0xFF
    vcpu.exit()
    assert (rig.listed(), rig.vm.host.loaded) == ([], {1: vcpu})
    assert [pe.virt.snapshot().lrs for pe in rig.machine.pes] == [(0, 0, 0, 0)] * 3


def test_a_vcpu_goes_back_to_where_it_was_last() -> None:
    vcpu = make_vm(1, cpus=3).vcpus[0]
    vcpu.enter(cpu=2)
    vcpu.exit()
    vcpu.put()
    vcpu.enter()
    assert vcpu.pe.index == 2


def test_it_is_counted_where_it_happens() -> None:
    vm = make_vm(1, cpus=2)
    vcpu = vm.vcpus[0]
    for cpu in (0, 1, 1):
        vcpu.enter(cpu)
        vcpu.read(GICD_BASE + GICD_CTLR, 4)
        vcpu.exit()
    assert [pe.cost.exits_mmio for pe in vm.host.machine.pes] == [1, 2]
