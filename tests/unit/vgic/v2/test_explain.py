"""Why a GICv2 guest's interrupt is not delivered, on either host; rows shared with GICv3 are in ../test_explain*."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.arch import GICC_AIAR, GICC_APR, GICC_BPR, GICC_CTLR, GICC_EOIR, GICC_IAR, GICC_PMR
from tests.unit.vgic.explain_program import Step, answers_that_change_nothing, programs, run
from tests.unit.vgic.explain_rig import assert_blocked
from tests.unit.vgic.rig import LEVEL
from tests.unit.vgic.v2.rig import BOTH_HOSTS, GICC_BASE, GICD_BASE, GICV2, GICV3, Rig, make_host
from vgic import CTRL_INIT, DeviceType, Explanation, Group, Vcpu, Vgic
from vgic.ap_list import queue

SGI: Final = 5
PPI: Final = 27
SPI: Final = 40
SECOND: Final = 41
SGIR: Final = 0xF00
GRP0, GRP1, ACKCTL, FIQEN, CBPR, EOIMODE = 1, 2, 4, 8, 0x10, 0x200


def listed(rig: Rig, *intids: int, group: int = 0) -> Rig:
    """Queue edge SPIs, and enter."""
    for intid in intids:
        queue(rig.irq(intid, latch=True, group=group))
    rig.vcpu.enter()
    return rig


def sent(rig: Rig, *sources: int) -> Rig:
    """Send the SGI to CPU 0 from each source."""
    for source in sources:
        rig.set_gicd(SGIR, 1 << 16 | SGI, by=source)
    return rig


# What stops it, one function for each row


def group_1_without_ackctl(host: str) -> Explanation:
    return listed(Rig(host=host), SPI, group=1).vm.explain(SPI)


def the_group_is_off(host: str) -> Explanation:
    rig = listed(Rig(host=host), SPI)
    rig.set_gicc(GICC_CTLR, GRP1)
    return rig.vm.explain(SPI)


def the_distributor_is_off(host: str) -> Explanation:
    rig = Rig(host=host)
    rig.dist.enabled = False
    rig.irq(SPI, latch=True)
    return rig.vm.explain(SPI)


def it_is_disabled(host: str) -> Explanation:
    rig = Rig(host=host)
    rig.irq(PPI, enabled=False, level=LEVEL, line=True)
    return rig.vm.explain(PPI, rig.vcpu)


def it_is_stranded(host: str) -> Explanation:
    rig = Rig(host=host)
    rig.irq(SPI, latch=True)
    return rig.vm.explain(SPI)


def asked_elsewhere(host: str) -> Explanation:
    rig = Rig(3, host=host)
    rig.set_gicd(0x800 + SPI, 0b110, 1)
    rig.irq(SPI, latch=True, vcpu=1)
    return rig.vm.explain(SPI, rig.vcpu)


def routed_to_no_cpu(host: str) -> Explanation:
    rig = Rig(2, host=host)
    rig.set_gicd(0x800 + SPI, 0, 1)
    rig.irq(SPI, latch=True)
    return rig.vm.explain(SPI, rig.vcpus[1])


def the_sgi_is_active(host: str) -> Explanation:
    rig = sent(Rig(4, host=host), 3, 2)
    rig.vcpu.enter()
    assert rig.acknowledge() == 2 << 10 | SGI
    return rig.vm.explain(SGI, rig.vcpu)


def the_sgi_was_never_sent(host: str) -> Explanation:
    rig = Rig(host=host)
    return rig.vm.explain(SGI, rig.vcpu)


def it_is_active_with_split_end(host: str) -> Explanation:
    rig = listed(Rig(host=host), SPI)
    rig.set_gicc(GICC_CTLR, GRP0 | EOIMODE)
    rig.end(rig.acknowledge())
    rig.vcpu.exit()
    rig.vcpu.put()
    return rig.vm.explain(SPI)


def an_sgi_with_more_sources_stops_the_walk(host: str) -> Explanation:
    rig = sent(Rig(4, host=host), 1, 2)
    queue(rig.irq(SPI, latch=True, priority=0xA8))
    rig.found(SGI).priority = 0xA0
    rig.vcpu.enter()
    return rig.vm.explain(SPI)


def the_next_source_waits_for_the_exit(host: str) -> Explanation:
    rig = sent(Rig(4, host=host), 1, 2)
    rig.vcpu.enter()
    rig.end(rig.acknowledge())
    return rig.vm.explain(SGI, rig.vcpu)


def more_than_list_registers(host: str) -> Explanation:
    return listed(Rig(host=host, lrs=2), 40, 41, 42).vm.explain(42)


def the_mask_is_closed(host: str) -> Explanation:
    rig = listed(Rig(host=host), SPI)
    rig.set_gicc(GICC_PMR, 0xA0)
    return rig.vm.explain(SPI)


def it_does_not_preempt(host: str) -> Explanation:
    """The active priority of the other group counts, too: there is one register."""
    rig = listed(Rig(host=host), SPI)
    rig.set_gicc(GICC_APR, 1 << 20)
    return rig.vm.explain(SPI)


def it_does_not_preempt_under_cbpr(host: str) -> Explanation:
    rig = listed(Rig(host=host), SPI, group=1)
    rig.set_gicc(GICC_CTLR, GRP0 | GRP1 | ACKCTL | CBPR)
    rig.set_gicc(GICC_BPR, 5)
    rig.set_gicc(GICC_APR, 1 << (0x80 >> 3))
    return rig.vm.explain(SPI)


def another_is_more_urgent(host: str) -> Explanation:
    rig = sent(Rig(4, host=host), 3)
    rig.found(SGI).priority = 0x20
    return listed(rig, SPI).vm.explain(SPI)


def irqs_are_masked(host: str) -> Explanation:
    rig = listed(Rig(host=host), SPI)
    rig.vcpu.pe.pstate_i = True
    return rig.vm.explain(SPI)


def fiqs_are_masked(host: str) -> Explanation:
    rig = listed(Rig(host=host), SPI)
    rig.set_gicc(GICC_CTLR, GRP0 | FIQEN)
    rig.vcpu.pe.pstate_f = True
    return rig.vm.explain(SPI)


def the_vcpu_has_never_run(host: str) -> Explanation:
    rig = Rig(host=host)
    queue(rig.irq(SPI, latch=True))
    return rig.vm.explain(SPI)


class Blocked(NamedTuple):
    """What a set-up ends in: the gate that blocks first, and what its sentence must say."""

    setup: Callable[[str], Explanation]
    gate: str
    says: tuple[str, ...]


BLOCKED: Final = {
    "IAR gives 1022 for Group 1": Blocked(group_1_without_ackctl, "acknowledge", ("1022", "GICC_AIAR", "AckCtl")),
    "the guest has the group disabled": Blocked(
        the_group_is_off, "group enable", ("GICC_CTLR.EnableGrp0 is 0", "write 1")
    ),
    "the distributor is disabled": Blocked(
        the_distributor_is_off, "distributor", ("GICD_CTLR.Enable is 0", "Write 1 to GICD_CTLR")
    ),
    "a private interrupt is enabled in the distributor": Blocked(
        it_is_disabled, "enabled", ("0x08000000 to GICD_ISENABLER0",)
    ),
    "stranded": Blocked(it_is_stranded, "list", ("ITARGETSR",)),
    "routed to two CPUs, of which the lower gets it": Blocked(
        asked_elsewhere, "target", ("GICD_ITARGETSR10 names CPUs 1, 2: vCPU 1", "not vCPU 0")
    ),
    "routed to none": Blocked(routed_to_no_cpu, "target", ("vCPU 0", "not vCPU 1")),
    "an SGI is ended with its source, and the other source waits": Blocked(
        the_sgi_is_active, "in service", ("pending again from CPU 3", "writing 2053 to GICC_EOIR.")
    ),
    "an SGI that nobody sent": Blocked(the_sgi_was_never_sent, "pending", ("no edge",)),
    "EOImode": Blocked(it_is_active_with_split_end, "in service", ("GICC_EOIR (drop)", "GICC_DIR")),
    "an SGI with more sources lets nothing less urgent past": Blocked(
        an_sgi_with_more_sources_stops_the_walk, "list register", ("SGI 5 waits from several CPUs", "next source")
    ),
    "the next source comes with the next entry": Blocked(
        the_next_source_waits_for_the_exit, "list register", ("completed it", "next entry")
    ),
    "more interrupts than list registers": Blocked(
        more_than_list_registers, "list register", ("number 3", "INTIDs 40, 41", "_HCR", ".UIE")
    ),
    "the mask": Blocked(the_mask_is_closed, "priority mask", ("GICC_PMR = 0xa0", "equal")),
    "what is active in either group": Blocked(
        it_does_not_preempt, "running priority", ("0xa0 against 0xa0", "GICC_BPR = 2", "GICC_RPR = 0xa0")
    ),
    "CBPR: Group 1 uses Group 0's binary point": Blocked(
        it_does_not_preempt_under_cbpr, "running priority", ("0x80 against 0x80", "GICC_BPR = 5, as CBPR is 1")
    ),
    "an SGI comes first, whoever sent it": Blocked(another_is_more_urgent, "most urgent", ("INTID 5", "0x20")),
    "Group 0 is an IRQ by default": Blocked(irqs_are_masked, "signal", ("Group 0 raises vIRQ", "PSTATE.I")),
    "Group 0 is an FIQ with FIQEn": Blocked(fiqs_are_masked, "signal", ("Group 0 raises vFIQ", "PSTATE.F")),
    "the vCPU has never run": Blocked(the_vcpu_has_never_run, "vCPU", ("never run",)),
}


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize("row", BLOCKED.values(), ids=BLOCKED)
def test_the_first_gate_that_blocks_says_why(row: Blocked, host: str) -> None:
    answer = row.setup(host)
    assert_blocked(answer, row.gate, row.says)
    for absent in (" ICC_", "_EL1", "GICR_", "IROUTER"):
        assert absent not in str(answer), "a GICv2 guest has no such thing"


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_delivered_with_what_waits_behind(host: str) -> None:
    rig = sent(Rig(4, host=host), 3, 1)
    rig.vcpu.enter()
    answer = rig.vm.explain(SGI, rig.vcpu)
    assert answer.delivered
    assert "from CPU 1, and from CPU 3" in str(answer)


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_pending_from_several_before_the_entry(host: str) -> None:
    rig = sent(Rig(4, host=host), 3, 1)
    assert "It is pending from CPUs 1, 3." in str(rig.vm.explain(SGI, rig.vcpu))


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_ackctl_lets_iar_acknowledge_group_1(host: str) -> None:
    rig = listed(Rig(host=host), SPI, group=1)
    rig.set_gicc(GICC_CTLR, GRP1 | ACKCTL)
    answer = rig.vm.explain(SPI)
    assert answer.delivered
    assert "AckCtl is 1" in str(answer)


def test_the_hosts_own_names() -> None:
    assert "GICH_HCR.En" in str(more_than_list_registers(GICV2))
    assert "ICH_HCR_EL2.En" in str(more_than_list_registers(GICV3))


def test_before_init() -> None:
    vm = Vgic(make_host(), threads=False)
    vcpu = vm.create_vcpu()
    device = vm.create_device(DeviceType.VGIC_V2)
    assert not vm.explain(SPI).delivered
    device.set_attr(Group.CTRL, CTRL_INIT)
    assert vm.explain(SPI, vcpu).gates[-1].name == "acknowledge"


def test_a_put_gicv3_guest_beside_a_running_gicv2_one() -> None:
    """The physical CPU is in legacy mode just now; the other VM's guest will not be."""
    host = make_host(GICV3, cpus=1)
    second, third = Vgic.gicv2(1, host=host, threads=False), Vgic.gicv3(1, host=host, threads=False)
    second.vcpus[0].enter()
    assert third.explain(PPI, third.vcpus[0]).gates[-1].name == "signal"
    assert second.explain(PPI, second.vcpus[0]).gates[-1].name == "acknowledge"


# What the answer promises

INTIDS: Final = (SGI, PPI, SPI, SECOND)
PRIORITIES: Final = (0x20, 0xA0, 0xA8)
GICD_WRITES: Final = (
    (0x000, 4, (0, 1)),
    (0x080, 4, (0, 1 << SGI)),
    (0x084, 4, (0, 0x100, 0x300)),
    (0x104, 4, (0x100, 0x300)),
    (0x184, 4, (0x100, 0x300)),
    (0x204, 4, (0x100, 0x300)),
    (0x284, 4, (0x300,)),
    (0x300, 4, (1 << SGI,)),
    (0x304, 4, (0x100, 0x300)),
    (0x380, 4, (1 << SGI,)),
    (0x384, 4, (0x100, 0x300)),
    (0xC08, 4, (0, 0x2A_0000)),
    (SGIR, 4, (0x0003_0005, 0x0100_0005, 0x0200_0005)),
    (0xF14, 4, (0x100, 0x300)),
    (0xF24, 4, (0x100, 0x300, 0xFF00)),
    *((0x800 + intid, 1, (0, 1, 2, 3)) for intid in (SPI, SECOND)),
    *((0x400 + intid, 1, PRIORITIES) for intid in (SGI, SPI, SECOND)),
)
GICC_WRITES: Final = (
    (GICC_CTLR, (0, GRP0, GRP0 | GRP1, 7, 0xF, 0x1F, 3 | FIQEN, 7 | EOIMODE)),
    (GICC_PMR, (0, 0xA0, 0xF8)),
    (GICC_BPR, (2, 5, 7)),
    (GICC_EOIR, (*INTIDS, 1 << 10 | SGI)),
    (0x1C, (3, 6)),
    (0x1000, INTIDS),
)


def steps() -> st.SearchStrategy[list[Step]]:
    """Return programs."""
    gicd = st.sampled_from([("gicd", at, size, value) for at, size, values in GICD_WRITES for value in values])
    gicc = st.sampled_from([("gicc", at, 4, value) for at, values in GICC_WRITES for value in values])
    read = st.sampled_from([("read", GICC_AIAR, 4, 0), *[("read", GICC_IAR, 4, 0)] * 3])
    return programs(INTIDS[1:], 30, gicd, gicc, read)


def access(vcpu: Vcpu, what: str, where: int, size: int, value: int) -> None:
    if what == "gicd":
        vcpu.write(GICD_BASE + where, size, value)
    elif what == "gicc":
        vcpu.write(GICC_BASE + where, size, value)
    else:
        vcpu.read(GICC_BASE + where, size)


@settings(max_examples=150, deadline=None)
@given(steps(), st.integers(1, 4), st.sampled_from(BOTH_HOSTS))
def test_it_tells_what_the_guest_will_see_and_changes_nothing(program: list[Step], lrs: int, host: str) -> None:
    rig = Rig(2, lrs=lrs, host=host)
    for index in (0, 1):
        rig.irq(PPI, vcpu=index)
    for intid in (SPI, SECOND):
        rig.irq(intid)
    run(rig.vm, program, access)
    answers = answers_that_change_nothing(rig.vm, INTIDS)
    for vcpu in rig.vcpus:
        told = [answer.intid for answer in answers if answer.vcpu == vcpu.index and answer.delivered]
        seen = []
        if vcpu.pe.virq_taken() or vcpu.pe.vfiq_taken():
            seen = [vcpu.read(GICC_BASE + GICC_IAR, 4) & 0x3FF]
        assert told == [intid for intid in seen if intid < 1020], "\n".join(map(str, answers))
