"""What is delivered is said to be, and the two things the answer promises: that it is right, and changes nothing."""

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Machine, VirtConfig
from tests.unit.vgic.explain_program import Step, answers_that_change_nothing, programs, run
from tests.unit.vgic.explain_rig import PPI, SECOND, SPI, gicd, guest, of_group_0, running
from vgic import ConfigError, Explanation, Gate, Host, Vcpu, Vgic, arch
from vgic.errors import EINVAL


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


def steps() -> st.SearchStrategy[list[Step]]:
    """Return programs."""
    mmio = st.sampled_from([("write", at, size, value) for at, size, values in WRITES for value in values])
    sysreg = st.sampled_from([("msr", register, 0, value) for register, values in REGISTERS for value in values])
    read = st.sampled_from([("mrs", arch.ICC_IAR0_EL1, 0, 0), *[("mrs", arch.ICC_IAR1_EL1, 0, 0)] * 3])
    return programs(INTIDS[1:], 25, mmio, sysreg, read)


def access(vcpu: Vcpu, what: str, where: int, size: int, value: int) -> None:
    if what == "write":
        gicd(vcpu, where, value, size)
    elif what == "msr":
        vcpu.msr(where, value)
    else:
        vcpu.mrs(where)


@settings(max_examples=150, deadline=None)
@given(steps(), st.integers(1, 4))
def test_it_tells_what_the_guest_will_see_and_changes_nothing(program: list[Step], lrs: int) -> None:
    vm = running(lrs=lrs)
    run(vm, program, access)
    answers = answers_that_change_nothing(vm, INTIDS)
    for vcpu in vm.vcpus:
        told = [answer.intid for answer in answers if answer.vcpu == vcpu.index and answer.delivered]
        seen = []
        if vm.state()["vcpus"][vcpu.index]["mode"] == "in guest":
            group = 1 if vcpu.pe.virq_taken() else 0
            seen = [vcpu.mrs(arch.ICC_IAR1_EL1 if group else arch.ICC_IAR0_EL1)]
        assert told == [intid for intid in seen if intid != arch.INTID_SPURIOUS], "\n".join(map(str, answers))


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
