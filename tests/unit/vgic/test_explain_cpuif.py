"""Why a listed interrupt is not delivered, from its list register to the signal: one row for each gate."""

from typing import Final

import pytest

from tests.unit.vgic.explain_rig import (
    GUEST_SPIS,
    SECOND,
    SPI,
    Blocked,
    assert_blocked,
    gicd,
    guest,
    of_group_0,
    running,
)
from vgic import CTRL_INIT, Explanation, Group, Vgic, arch
from vgic.ids import V3
from vgic.vm import GICD_BASE


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


BLOCKED: Final = {
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
    assert_blocked(row.setup(), row.gate, row.says)
