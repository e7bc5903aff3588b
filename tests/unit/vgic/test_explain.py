"""Why an interrupt is not delivered, from whether it exists to who has it listed: one row for each gate."""

from typing import Final

import pytest

from tests.unit.vgic.explain_rig import PPI, SECOND, SPI, Blocked, assert_blocked, gicd, guest, running
from vgic import CTRL_INIT, Explanation, Group, Vgic, VgicError, arch
from vgic.ids import V3


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
}


@pytest.mark.parametrize("row", BLOCKED.values(), ids=BLOCKED)
def test_the_first_gate_that_blocks_says_why(row: Blocked) -> None:
    assert_blocked(row.setup(), row.gate, row.says)
