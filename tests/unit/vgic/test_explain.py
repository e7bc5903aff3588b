"""Why an interrupt is not delivered: one row for each gate, and the two things the answer promises."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Machine, VirtConfig
from vgic import CTRL_INIT, ConfigError, Explanation, Gate, Group, Host, Vcpu, Vgic, VgicError, arch
from vgic.errors import EINVAL
from vgic.ids import V3
from vgic.vm import GICD_BASE, GICR_BASE

SPI: Final = 40
SECOND: Final = 41
PPI: Final = 27
ENABLE_SPIS: Final = GICD_BASE + arch.GICD_ISENABLER + 4
GUEST_SPIS: Final = 1 << SPI % 32 | 1 << SECOND % 32 | 1 << 42 % 32 | 1 << 43 % 32


def running(vcpus: int = 2, lrs: int = 4) -> Vgic:
    """Return a VM whose vCPUs are ready for interrupts of Group 1 and have left the guest."""
    vm = Vgic.gicv3(vcpus, lrs=lrs, threads=False)
    for vcpu in vm.vcpus:
        vcpu.enter()
        vcpu.write(GICD_BASE, 4, arch.GICD_CTLR_ENABLE_GRP1)
        vcpu.write(ENABLE_SPIS, 4, GUEST_SPIS)
        for intid in range(SPI, SPI + 4):
            vcpu.write(GICD_BASE + arch.GICD_IPRIORITYR + intid, 1, 0xA0)
        vcpu.write(GICR_BASE + 0x2_0000 * vcpu.index + arch.GICR_ISENABLER0, 4, 1 << PPI)
        vcpu.msr(arch.ICC_PMR_EL1, 0xF0)
        vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
        vcpu.exit()
    return vm


def guest(vm: Vgic, index: int = 0) -> Vcpu:
    """Return a vCPU, in the guest."""
    vcpu = vm.vcpus[index]
    vcpu.enter()
    return vcpu


def gicd(vcpu: Vcpu, offset: int, value: int, size: int = 4) -> None:
    """Write a distributor register as the guest."""
    assert vcpu.write(GICD_BASE + offset, size, value)


# What stops it, one function for each row


def has_few_spis() -> Explanation:
    return running().explain(500)


def is_special() -> Explanation:
    return running().explain(1021)


def is_an_lpi() -> Explanation:
    return running().explain(8192)


def is_negative() -> Explanation:
    vm = running()
    return vm.explain(-5, vm.vcpus[0])


def has_no_vgic() -> Explanation:
    vm = Vgic()
    return vm.explain(3, vm.create_vcpu())


def is_not_initialised() -> Explanation:
    vm = Vgic()
    vm.create_device(V3)
    return vm.explain(SPI)


def is_dead() -> Explanation:
    vm = Vgic()
    vcpu = vm.create_vcpu()
    vm.create_device(V3).set_attr(Group.CTRL, CTRL_INIT)
    with pytest.raises(VgicError):
        vcpu.enter()
    return vm.explain(SPI)


def was_acknowledged() -> Explanation:
    vm = running()
    vm.inject(SPI)
    assert guest(vm).mrs(arch.ICC_IAR1_EL1) == SPI
    return vm.explain(SPI)


def was_acknowledged_and_put() -> Explanation:
    vm = running()
    vm.inject(SPI)
    vcpu = guest(vm)
    vcpu.msr(arch.ICC_CTLR_EL1, arch.CTLR_EOIMODE)
    assert vcpu.mrs(arch.ICC_IAR1_EL1) == SPI
    vcpu.exit()
    vcpu.put()
    return vm.explain(SPI)


def was_acknowledged_and_struck_again() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).mrs(arch.ICC_IAR1_EL1)
    vm.inject(SPI)
    return vm.explain(SPI, vm.vcpus[0])


def is_mapped_and_acknowledged() -> Explanation:
    vm = running()
    vm.vcpus[0].map_irq(PPI, PPI, lambda _: True)
    vm.inject(PPI, vcpu=vm.vcpus[0])
    assert guest(vm).mrs(arch.ICC_IAR1_EL1) == PPI
    return vm.explain(PPI, vm.vcpus[0])


def is_active_outside_the_list_registers() -> Explanation:
    vm = running(lrs=1)
    vcpu = guest(vm)
    gicd(vcpu, arch.GICD_ISACTIVER + 4, 1 << SPI % 32 | 1 << SECOND % 32)
    return vm.explain(SECOND)


def is_active_on_nobody() -> Explanation:
    vm = running()
    vcpu = guest(vm)
    gicd(vcpu, arch.GICD_IROUTER + 8 * SPI, 9, 8)
    gicd(vcpu, arch.GICD_ISACTIVER + 4, 1 << SPI % 32)
    return vm.explain(SPI)


def is_an_edge_that_never_came() -> Explanation:
    return running().explain(SPI)


def has_a_low_line() -> Explanation:
    vm = running()
    return vm.explain(PPI, vm.vcpus[1])


def is_driven_by_another_than_its_owner() -> Explanation:
    vm = running()
    vm.vcpus[0].set_owner(PPI, "timer")
    vm.inject(PPI, vcpu=vm.vcpus[0])
    return vm.explain(PPI, vm.vcpus[0])


def is_disabled() -> Explanation:
    vm = running()
    gicd(guest(vm), arch.GICD_ICENABLER + 4, 1 << SPI % 32)
    vm.inject(SPI)
    return vm.explain(SPI)


def meets_a_disabled_distributor() -> Explanation:
    vm = running()
    gicd(guest(vm), arch.GICD_CTLR, 0)
    vm.inject(SPI)
    return vm.explain(SPI)


def is_routed_to_nobody() -> Explanation:
    vm = running()
    gicd(guest(vm), arch.GICD_IROUTER + 8 * SPI, 0x01_0203, 8)
    vm.inject(SPI)
    return vm.explain(SPI)


def is_asked_about_elsewhere() -> Explanation:
    vm = running()
    vm.inject(SPI)
    return vm.explain(SPI, vm.vcpus[1])


def is_stranded() -> Explanation:
    vm = running()
    vcpu = guest(vm)
    gicd(vcpu, arch.GICD_CTLR, 0)
    vm.inject(SPI)
    gicd(vcpu, arch.GICD_CTLR, arch.GICD_CTLR_ENABLE_GRP1)
    return vm.explain(SPI)


def waits_on_its_old_vcpu() -> Explanation:
    vm = running()
    vm.inject(SPI)
    gicd(guest(vm, 1), arch.GICD_IROUTER + 8 * SPI, 1, 8)
    return vm.explain(SPI)


def is_left_out() -> Explanation:
    vm = running(lrs=2)
    for intid in range(SPI, SPI + 4):
        vm.inject(intid)
    guest(vm)
    return vm.explain(SPI + 3)


def would_be_left_out() -> Explanation:
    vm = running(lrs=2)
    for intid in range(SPI, SPI + 4):
        vm.inject(intid)
    return vm.explain(SPI + 2)


def came_after_the_entry() -> Explanation:
    vm = running()
    guest(vm)
    vm.inject(SPI)
    return vm.explain(SPI)


def found_no_list_register_free() -> Explanation:
    vm = running(lrs=1)
    vm.inject(SECOND)
    gicd(guest(vm), arch.GICD_IPRIORITYR + SPI, 0x40, 1)
    vm.inject(SPI)
    return vm.explain(SPI)


def is_held_high_after_its_end() -> Explanation:
    vm = running()
    gicd(guest(vm), arch.GICD_ICFGR + 4 * (SPI // 16), 0)
    vm.inject(SPI)
    vcpu = vm.vcpus[0]
    vcpu.exit()
    vcpu.enter()
    vcpu.msr(arch.ICC_EOIR1_EL1, vcpu.mrs(arch.ICC_IAR1_EL1))
    return vm.explain(SPI)


def is_cut_off_by_el2() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).pe.virt.write_hcr(0)
    return vm.explain(SPI)


def is_of_a_disabled_group() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).msr(arch.ICC_IGRPEN1_EL1, 0)
    return vm.explain(SPI)


def equals_the_mask() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).msr(arch.ICC_PMR_EL1, 0xA0)
    return vm.explain(SPI)


def meets_the_mask_of_reset() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).msr(arch.ICC_PMR_EL1, 0)
    return vm.explain(SPI)


def does_not_preempt() -> Explanation:
    vm = running()
    vm.inject(SPI)
    vcpu = guest(vm)
    vcpu.msr(arch.ICC_BPR1_EL1, 5)
    vcpu.mrs(arch.ICC_IAR1_EL1)
    gicd(vcpu, arch.GICD_IPRIORITYR + SECOND, 0x98, 1)
    gicd(vcpu, arch.GICD_ISPENDR + 4, 1 << SECOND % 32)
    vcpu.msr(arch.ICC_BPR1_EL1, 7)
    return vm.explain(SECOND)


def has_a_more_urgent_one_ahead() -> Explanation:
    vm = running()
    gicd(guest(vm), arch.GICD_IPRIORITYR + SECOND, 0x80, 1)
    vm.vcpus[0].exit()
    vm.inject(SPI)
    vm.inject(SECOND)
    guest(vm)
    return vm.explain(SPI)


def has_an_equal_one_ahead() -> Explanation:
    vm = running()
    vm.inject(SECOND)
    vm.inject(SPI)
    guest(vm)
    return vm.explain(SPI)


def is_for_a_vcpu_that_never_ran() -> Explanation:
    vm = Vgic(threads=False)
    vm.create_vcpu()
    device = vm.create_device(V3)
    device.set_attr(Group.CTRL, CTRL_INIT)
    device.set_attr(Group.CPU_SYSREGS, arch.ICC_PMR_EL1, 0xF0)
    device.set_attr(Group.CPU_SYSREGS, arch.ICC_IGRPEN1_EL1, 1)
    device.set_attr(Group.DIST_REGS, arch.GICD_CTLR, arch.GICD_CTLR_ENABLE_GRP1)
    device.set_attr(Group.DIST_REGS, arch.GICD_ISENABLER + 4, GUEST_SPIS)
    vm.inject(SPI)
    return vm.explain(SPI)


def is_for_a_vcpu_outside_the_guest() -> Explanation:
    vm = running()
    vm.inject(SPI)
    return vm.explain(SPI)


def is_for_a_vcpu_whose_cpu_is_taken() -> Explanation:
    vm = running(2)
    vm.inject(SPI)
    vm.vcpus[1].enter(0)
    return vm.explain(SPI)


def is_for_a_vcpu_in_a_trap() -> Explanation:
    vm = running()
    seen: list[Explanation] = []
    vcpu = guest(vm)
    gicd(vcpu, arch.GICD_ICFGR + 4 * (SECOND // 16), 0)  # level
    gicd(vcpu, arch.GICD_ISPENDR + 4, 1 << SECOND % 32)
    vcpu.write(GICD_BASE + arch.GICD_IPRIORITYR + SPI, 1, 0x40)  # before what was just completed
    vm.add_ack_notifier(SECOND, lambda _: seen.append(vm.explain(SPI)))
    assert vcpu.mrs(arch.ICC_IAR1_EL1) == SECOND
    vcpu.msr(arch.ICC_EOIR1_EL1, SECOND)
    vm.inject(SPI)
    vcpu.read(0, 4)  # nobody's: but the trap tells of the completion
    return seen[0]


def meets_a_masked_irq() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).pe.pstate_i = True
    return vm.explain(SPI)


def meets_a_masked_fiq() -> Explanation:
    vm = running()
    vcpu = of_group_0(vm)
    vcpu.pe.pstate_f = True
    return vm.explain(SPI)


def meets_an_unrouted_irq() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm).pe.imo = False
    return vm.explain(SPI)


def of_group_0(vm: Vgic) -> Vcpu:
    """Return vCPU 0 in the guest, with the SPI pending in Group 0."""
    vcpu = guest(vm)
    gicd(vcpu, arch.GICD_IGROUPR + 4, 0)
    vcpu.msr(arch.ICC_IGRPEN0_EL1, 1)
    vcpu.exit()
    vm.inject(SPI)
    vcpu.enter()
    return vcpu


class Blocked(NamedTuple):
    """What a set-up ends in: the gate that blocks first, and what its sentence must say."""

    setup: Callable[[], Explanation]
    gate: str
    says: tuple[str, ...]


BLOCKED: Final = {
    "an INTID past the last SPI does not exist": Blocked(has_few_spis, "exists", ("500", "0 to 95")),
    "a special INTID is no interrupt": Blocked(is_special, "exists", ("1021", "special")),
    "an LPI needs an ITS": Blocked(is_an_lpi, "exists", ("8192", "ITS")),
    "a negative INTID does not exist": Blocked(is_negative, "exists", ("-5",)),
    "a VM without a VGIC has no interrupts": Blocked(has_no_vgic, "exists", ("create_device",)),
    "before init there are no interrupts": Blocked(is_not_initialised, "exists", ("CTRL_INIT",)),
    "a dead VM delivers nothing": Blocked(is_dead, "VM", ("EIO",)),
    "an acknowledged interrupt is in service": Blocked(
        was_acknowledged, "in service", ("active on vCPU 0", "40 to ICC_EOIR1_EL1.")
    ),
    "with EOImode 1 it takes DIR, also as saved": Blocked(
        was_acknowledged_and_put, "in service", ("ICC_DIR_EL1", "EOImode is 1")
    ),
    "one that came again while in service waits for its end": Blocked(
        was_acknowledged_and_struck_again, "in service", ("active and pending again",)
    ),
    "the end of a mapped one is physical, too": Blocked(
        is_mapped_and_acknowledged, "in service", ("physical interrupt 27",)
    ),
    "active outside the list registers cannot be ended": Blocked(
        is_active_outside_the_list_registers, "in service", ("no list register", "lost", "GICD_ICACTIVER1")
    ),
    "active with an affinity nobody has": Blocked(is_active_on_nobody, "in service", ("GICD_ICACTIVER1",)),
    "an edge interrupt without an edge": Blocked(is_an_edge_that_never_came, "pending", ("edge", "GICD_ICFGR2")),
    "a level interrupt whose line is low": Blocked(has_a_low_line, "pending", ("line is low",)),
    "an owned line moves for its owner alone": Blocked(
        is_driven_by_another_than_its_owner, "pending", ("owner 'timer'",)
    ),
    "a disabled interrupt": Blocked(is_disabled, "enabled", ("0x00000100 to GICD_ISENABLER1",)),
    "the distributor is disabled": Blocked(
        meets_a_disabled_distributor, "distributor", ("EnableGrp1 is 0", "ISENABLER")
    ),
    "an affinity that nobody has": Blocked(is_routed_to_nobody, "target", ("0.1.2.3", "0.0.0.0, 0.0.0.1", "IROUTER40")),
    "the wrong vCPU was asked about": Blocked(is_asked_about_elsewhere, "target", ("Ask about vCPU 0, not vCPU 1",)),
    "stranded: enabling the distributor lists nothing": Blocked(is_stranded, "list", ("stranded", "ISENABLER")),
    "its old vCPU has not exited yet": Blocked(waits_on_its_old_vcpu, "list", ("vCPU 0 has it listed", "vCPU 1")),
    "more interrupts than list registers": Blocked(
        is_left_out, "list register", ("4 interrupts want 2", "number 4", "INTIDs 40, 41", "UIE")
    ),
    "more interrupts than the next entry has list registers for": Blocked(
        would_be_left_out, "list register", ("number 3",)
    ),
    "it came while the guest was running": Blocked(
        came_after_the_entry, "list register", ("after the entry", "list register 0", "vCPU 0 exit")
    ),
    "it is more urgent than what fills the list registers": Blocked(
        found_no_list_register_free, "list register", ("filled all 1", "list register 0")
    ),
    "a level still high after its end waits for the exit": Blocked(
        is_held_high_after_its_end, "list register", ("completed it", "pending again")
    ),
    "the CPU interface is switched off": Blocked(is_cut_off_by_el2, "CPU interface", ("ICH_HCR_EL2.En is 0",)),
    "the guest has the group disabled": Blocked(is_of_a_disabled_group, "group enable", ("ICC_IGRPEN1_EL1 is 0",)),
    "a priority equal to the mask is masked": Blocked(
        equals_the_mask, "priority mask", ("Priority 0xa0 is not above the mask, ICC_PMR_EL1 = 0xa0", "equal")
    ),
    "the mask of reset masks everything": Blocked(meets_the_mask_of_reset, "priority mask", ("0x00", "reset value")),
    "below the binary point nothing preempts": Blocked(
        does_not_preempt, "running priority", ("0x80 against 0x80", "BPR1 = 7", "ICC_RPR_EL1 = 0xa0")
    ),
    "a more urgent one is pending": Blocked(has_a_more_urgent_one_ahead, "most urgent", ("INTID 41", "0x80", "0xa0")),
    "an equal one has the lower list register": Blocked(
        has_an_equal_one_ahead, "most urgent", ("INTID 41", "same priority 0xa0")
    ),
    "the vCPU has never run": Blocked(is_for_a_vcpu_that_never_ran, "vCPU", ("never run", "enter()")),
    "the vCPU is outside the guest": Blocked(is_for_a_vcpu_outside_the_guest, "vCPU", ("loaded on physical CPU 0",)),
    "another vCPU runs on its physical CPU": Blocked(is_for_a_vcpu_whose_cpu_is_taken, "vCPU", ("running vCPU 1",)),
    "the vCPU is in a trap": Blocked(is_for_a_vcpu_in_a_trap, "vCPU", ("trapped",)),
    "the guest masks IRQs": Blocked(meets_a_masked_irq, "signal", ("vIRQ", "PSTATE.I is 1")),
    "the guest masks FIQs": Blocked(meets_a_masked_fiq, "signal", ("Group 0 raises vFIQ", "PSTATE.F is 1")),
    "nobody gives the guest virtual IRQs": Blocked(meets_an_unrouted_irq, "signal", ("HCR_EL2.IMO",)),
}


@pytest.mark.parametrize("row", BLOCKED.values(), ids=BLOCKED)
def test_the_first_gate_that_blocks_says_why(row: Blocked) -> None:
    answer = row.setup()
    block = answer.first_block
    assert block is not None
    assert block.name == row.gate, str(answer)
    for words in row.says:
        assert words in block.sentence
    assert not answer.delivered


def an_spi() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm)
    return vm.explain(SPI)


def a_ppi() -> Explanation:
    vm = running()
    vm.inject(PPI, vcpu=vm.vcpus[1])
    guest(vm, 1)
    return vm.explain(PPI, vm.vcpus[1])


def an_sgi() -> Explanation:
    vm = running()
    guest(vm).msr(arch.ICC_SGI1R_EL1, 5 << arch.SGIR_INTID_SHIFT | 0b10)
    guest(vm, 1)
    return vm.explain(5, vm.vcpus[1])


def one_of_group_0() -> Explanation:
    vm = running()
    of_group_0(vm)
    return vm.explain(SPI)


def one_that_preempts() -> Explanation:
    vm = running()
    vm.inject(SPI)
    vcpu = guest(vm)
    vcpu.mrs(arch.ICC_IAR1_EL1)
    gicd(vcpu, arch.GICD_IPRIORITYR + SECOND, 0x98, 1)
    gicd(vcpu, arch.GICD_ISPENDR + 4, 1 << SECOND % 32)
    return vm.explain(SECOND)


def one_disabled_from_another_vcpu_too_late() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm)
    other = guest(vm, 1)
    gicd(other, arch.GICD_ICENABLER + 4, 1 << SPI % 32)
    gicd(other, arch.GICD_CTLR, 0)
    return vm.explain(SPI)


def one_routed_away_too_late() -> Explanation:
    vm = running()
    vm.inject(SPI)
    guest(vm)
    gicd(guest(vm, 1), arch.GICD_IROUTER + 8 * SPI, 1, 8)
    return vm.explain(SPI)


DELIVERED: Final[dict[str, tuple[Callable[[], Explanation], str]]] = {
    "an SPI in a list register": (an_spi, "Group 1 raises vIRQ"),
    "a PPI of the vCPU it belongs to": (a_ppi, "private to vCPU 1"),
    "an SGI from another vCPU": (an_sgi, "is an SGI"),
    "Group 0 as an FIQ": (one_of_group_0, "Group 0 raises vFIQ"),
    "one that preempts": (one_that_preempts, "level 0x98 against 0xa0"),
    "one disabled when it was in a list register already": (
        one_disabled_from_another_vcpu_too_late,
        "disabled, but in a list register",
    ),
    "one routed away when it was in a list register already": (
        one_routed_away_too_late,
        "it goes to vCPU 1 after that",
    ),
}


@pytest.mark.parametrize(("setup", "says"), DELIVERED.values(), ids=DELIVERED)
def test_delivered(setup: Callable[[], Explanation], says: str) -> None:
    answer = setup()
    assert answer.first_block is None, str(answer)
    assert says in str(answer)


def test_a_private_interrupt_needs_a_vcpu() -> None:
    with pytest.raises(ConfigError) as raised:
        running().explain(PPI)
    assert raised.value.errno == EINVAL


def test_the_report_names_the_first_gate_and_lists_all() -> None:
    gates = (Gate("exists", False, "It does."), Gate("enabled", True, "It is not."), Gate("list", True, "On none."))
    assert str(Explanation(40, 1, gates)).splitlines() == [
        "INTID 40 on vCPU 1 is not delivered.",
        "First blocked at: enabled. It is not.",
        "  passes  exists            It does.",
        "  BLOCKS  enabled           It is not.",
        "  BLOCKS  list              On none.",
    ]


# What the answer promises

INTIDS: Final = (3, PPI, SPI, SPI + 1, SPI + 2)
PRIORITIES: Final = (0x20, 0x80, 0xA0, 0xA8, 0xF0)
WRITES: Final = (
    (arch.GICD_CTLR, 4, (0, 2)),
    (arch.GICD_ISENABLER + 4, 4, (0x100, 0x700)),
    (arch.GICD_ICENABLER + 4, 4, (0x100, 0x700)),
    (arch.GICD_ISPENDR + 4, 4, (0x100, 0x700)),
    (arch.GICD_ICPENDR + 4, 4, (0x100, 0x700)),
    (arch.GICD_ISACTIVER + 4, 4, (0x100, 0x700)),
    (arch.GICD_ICACTIVER + 4, 4, (0x100, 0x700)),
    (arch.GICD_IGROUPR + 4, 4, (0, 0x100, 0x700)),
    (arch.GICD_ICFGR + 8, 4, (0, 0x2A_0000, 0x20_0000)),
    (arch.GICD_IROUTER + 8 * SPI, 8, (0, 1, 9)),
    *((arch.GICD_IPRIORITYR + intid, 1, PRIORITIES) for intid in range(SPI, SPI + 3)),
)
REGISTERS: Final = (
    (arch.ICC_PMR_EL1, (0, 0xA0, 0xF8)),
    (arch.ICC_BPR0_EL1, (2, 5, 7)),
    (arch.ICC_BPR1_EL1, (3, 5, 7)),
    (arch.ICC_CTLR_EL1, (0, arch.CTLR_CBPR, arch.CTLR_EOIMODE)),
    (arch.ICC_IGRPEN0_EL1, (0, 1)),
    (arch.ICC_IGRPEN1_EL1, (0, 1)),
    (arch.ICC_EOIR0_EL1, INTIDS),
    (arch.ICC_EOIR1_EL1, INTIDS),
    (arch.ICC_DIR_EL1, INTIDS),
    (arch.ICC_SGI1R_EL1, (3 << arch.SGIR_INTID_SHIFT | 0b11,)),
)

Step = tuple[str, int, int, int, int]
"""What is done, the vCPU, and where, how wide and what value as far as it has them."""


def steps() -> st.SearchStrategy[list[Step]]:
    """Return programs."""
    vcpu = st.integers(0, 1)
    mmio = st.sampled_from([("write", at, size, value) for at, size, values in WRITES for value in values])
    sysreg = st.sampled_from([("msr", register, 0, value) for register, values in REGISTERS for value in values])
    read = st.sampled_from([("mrs", arch.ICC_IAR0_EL1, 0, 0), *[("mrs", arch.ICC_IAR1_EL1, 0, 0)] * 3])
    line = st.sampled_from([("inject", intid, 0, level) for intid in INTIDS[1:] for level in (1, 1, 0)])
    move = st.sampled_from([("enter", 0, 0, 0), ("exit", 0, 0, 0), ("put", 0, 0, 0)])
    one = st.tuples(vcpu, st.one_of(mmio, sysreg, read, line, move))
    return st.lists(one.map(lambda step: (step[1][0], step[0], *step[1][1:])), max_size=25)


def run(vm: Vgic, program: list[Step]) -> None:
    """Do each step; one that the guest does enters its vCPU first."""
    for what, index, where, size, value in program:
        vcpu = vm.vcpus[index]
        inside = vm.state()["vcpus"][index]["mode"] == "in guest"
        if what == "inject":
            vm.inject(where, bool(value), vcpu=vcpu if where < 32 else None)
            continue
        if what in ("exit", "put"):
            if inside:
                vcpu.exit()
            if what == "put":
                vcpu.put()
            continue
        if not inside:
            vcpu.enter()
        if what == "write":
            gicd(vcpu, where, value, size)
        elif what == "msr":
            vcpu.msr(where, value)
        elif what == "mrs":
            vcpu.mrs(where)


def everything(vm: Vgic) -> tuple[object, ...]:
    """Return all state there is, and every count."""
    pes = vm.host.machine.pes
    saved = [(v.vmcr, v.hcr, v.used_lrs, *v.ap0r, *v.ap1r) for v in vm.vcpus]
    return (vm.state(), saved, [pe.virt.snapshot() for pe in pes], [pe.cost.as_dict() for pe in pes])


@settings(max_examples=150, deadline=None)
@given(steps(), st.integers(1, 4))
def test_it_tells_what_the_guest_will_see_and_changes_nothing(program: list[Step], lrs: int) -> None:
    vm = running(lrs=lrs)
    run(vm, program)
    before = everything(vm)
    answers = [vm.explain(intid, vcpu) for vcpu in vm.vcpus for intid in INTIDS]
    texts = [str(answer) for answer in answers]
    assert everything(vm) == before
    for vcpu in vm.vcpus:
        told = [answer.intid for answer in answers if answer.vcpu == vcpu.index and answer.delivered]
        seen = []
        if vm.state()["vcpus"][vcpu.index]["mode"] == "in guest":
            group = 1 if vcpu.pe.virq_taken() else 0
            seen = [vcpu.mrs(arch.ICC_IAR1_EL1 if group else arch.ICC_IAR0_EL1)]
        assert told == [intid for intid in seen if intid != arch.INTID_SPURIOUS], "\n".join(texts)


def test_an_spi_is_looked_at_where_it_is() -> None:
    vm = running()
    gicd(guest(vm), arch.GICD_IROUTER + 8 * SPI, 1, 8)
    assert vm.explain(SPI).vcpu == 1
    assert vm.explain(SECOND).vcpu == 0


def test_a_host_of_many_shows_whose_guest_is_in_the_way() -> None:
    host = Host(Machine(cpus=1, virt=VirtConfig(n_lr=4)))
    ours, theirs = (Vgic.gicv3(1, host=host) for _ in range(2))
    theirs.vcpus[0].enter()
    gate = ours.explain(PPI, ours.vcpus[0]).gates[-2]
    assert gate.blocks
    assert "another VM's vCPU" in gate.sentence
