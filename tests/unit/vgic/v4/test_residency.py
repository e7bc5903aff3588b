"""A vCPU with a vPE: resident, blocked, preempted, moved; its doorbell, once."""

import errno
from collections.abc import Callable
from threading import Thread
from typing import final

import pytest

from hw import GicVersion, Tracer, V4Config, arch
from hw import arch4 as a
from tests.unit.vgic.its.rig import ENABLED, inv
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v4.rig import DEV, LPI, VGRP1, V4Rig, make_host
from vgic.v4.vpe import NOT_CLEANING, NOT_COMMITTED

GICD_CTLR = 0x0800_0000


def vpendbaser(rig: V4Rig, cpu: int = 0) -> int:
    return rig.machine.pes[cpu].redist.read(a.GICR_VPENDBASER, 8)


@final
class When(Tracer):
    """Does something once, in the middle of what the hardware does."""

    def __init__(self, state: str, does: Callable[[], None]) -> None:
        self.state = state
        self.does: Callable[[], None] | None = does

    def event(self, name: str, *fields: object) -> None:
        does = self.does
        if name == "resid" and fields[3] == self.state and does is not None:
            self.does = None
            does()


# Resident, blocked, preempted


def test_resident_while_loaded() -> None:
    """P01, P22: on the CPU that the vCPU is on, and only Group 1 is enabled."""
    rig = V4Rig()
    rig.run(0, 2)
    assert vpendbaser(rig, 2) == a.VPENDBASER_VALID | VGRP1 | rig.vpe().vpeid
    rig.vcpus[0].exit()
    assert rig.vpe().resident, "an exit leaves it"
    rig.vcpus[0].put()
    assert not rig.vpe().resident
    assert not vpendbaser(rig, 2) & a.VPENDBASER_VALID


def test_a_blocked_vcpu_is_woken_once() -> None:
    """B14, B15, P09: one doorbell, however many interrupts."""
    rig = V4Rig()
    for n in range(10):
        rig.forwarded(n)
    rig.run()
    assert rig.wfi()
    rig.kicks.clear()
    rig.msi_from(*range(10))
    assert (rig.kicks, rig.vpe().doorbells, rig.machine.pes[0].cost.doorbells) == ([0], 1, 1)
    assert rig.vcpus[0].pending()
    rig.run()
    assert [rig.take() for _ in range(11)] == [*range(LPI, LPI + 10), 1023]
    assert rig.vcpus[0].cost.lr_writes == 0


def test_what_came_before_it_blocks_keeps_it_awake() -> None:
    """B16, P02: between the decision to wait and the end of residency."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    rig.vpe().in_wfi = True
    rig.v4host.msi(rig.msis[0])
    assert rig.vcpus[0].pending()
    assert rig.vpe().doorbells == 0
    assert not rig.vpe().resident


@pytest.mark.parametrize("early", [False, True], ids=["counted", "rings"])
def test_what_comes_while_it_leaves_wakes_it_either_way(early: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """B17: PendingLast or the doorbell, and never both."""
    rig = V4Rig(host=make_host(v4=V4Config(t_settle=50, settles_early=early)))
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    tick = rig.machine.tick

    def strike(cycles: int) -> None:
        """The hypervisor polls Dirty, and an interrupt comes."""
        monkeypatch.undo()
        assert vpendbaser(rig) & a.VPENDBASER_DIRTY
        rig.machine.itss[0].msi(DEV, 0)
        tick(cycles)

    monkeypatch.setattr(rig.machine, "tick", strike)
    runnable = rig.vcpus[0].pending()
    assert runnable is not early
    rig.v4host.take_interrupts()
    assert rig.vpe().doorbells == early
    assert rig.vcpus[0].pending()
    rig.check()


def test_a_preempted_vcpu_is_not_told() -> None:
    """B18: it will be back anyway."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    rig.vcpus[0].put()
    rig.kicks.clear()
    rig.msi_from(0)
    assert (rig.kicks, rig.vpe().doorbells) == ([], 0)
    rig.run()
    assert rig.take() == LPI


def test_asking_again_does_not_cancel_the_doorbell() -> None:
    """B19: the thread of a blocked vCPU may be scheduled in and out."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    assert rig.wfi()
    for _ in range(3):
        assert not rig.vcpus[0].pending()
        rig.vcpus[0].put()
        assert not rig.vpe().resident
    rig.kicks.clear()
    rig.msi_from(0)
    assert rig.kicks == [0]


def test_a_preempted_vcpu_that_blocks_learns_what_is_pending() -> None:
    """Put without a doorbell, it knows nothing: it is loaded once more before it may block."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    rig.vcpus[0].put()
    assert rig.vpe().pending_last, "the register is UNKNOWN, and taken for 1"
    assert not rig.vcpus[0].pending()
    rig.run()
    rig.vcpus[0].exit()
    rig.vcpus[0].put()
    rig.msi_from(0)
    assert rig.vcpus[0].pending()


def test_it_does_not_block_while_another_has_its_cpu() -> None:
    rig = V4Rig(host=make_host(cpus=1))
    rig.forwarded()
    rig.run(0, 0)
    rig.vcpus[0].exit()
    rig.run(1, 0)
    assert not rig.vpe(0).resident
    assert rig.vcpus[0].pending(), "unknown, so it may not sleep"
    rig.vcpus[1].exit()
    assert not rig.vcpus[0].pending()


def test_a_doorbell_is_not_lost_to_the_end_of_residency() -> None:
    """B20: taken on one CPU while another is at that vPE's descheduling."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    other = Thread(target=lambda: rig.v4host.msi(rig.msis[0]))
    rig.machine.trace = When("absent", other.start)
    rig.vcpus[0].pending()
    rig.machine.trace = None
    other.join()
    assert (rig.vpe().pending_last, rig.vpe().doorbells) == (True, 1)
    assert rig.kicks[-1] == 0
    assert rig.vcpus[0].pending()


def test_a_disabled_interrupt_does_not_wake() -> None:
    rig = V4Rig()
    rig.forwarded(byte=0xA0)
    rig.run()
    assert rig.wfi()
    rig.msi_from(0)
    assert rig.vpe().doorbells == 0
    rig.configure(LPI, ENABLED)
    rig.do(inv(DEV, 0))
    assert rig.vpe().doorbells == 1


# Where it is


def test_a_vcpu_that_moves_takes_its_doorbell_along() -> None:
    """B21, B22."""
    rig = V4Rig()
    rig.forwarded()
    rig.run(0, 0)
    rig.vcpus[0].exit()
    rig.log.clear()
    rig.vcpus[0].put()
    rig.run(0, 0)
    assert rig.log.names() == []
    rig.vcpus[0].exit()
    rig.run(0, 1)
    words = rig.log.words()
    assert [a.COMMAND_NAMES[each[0] & 0xFF] for each in words] == ["VMOVP", "VSYNC"]
    assert words[0][3] == rig.vpe().db
    assert rig.wfi()
    rig.msi_from(0)
    assert [pe.cost.doorbells for pe in rig.machine.pes[:2]] == [0, 1]


def test_the_configuration_is_fetched_again_on_broken_hardware() -> None:
    """B69."""
    machine = make_host(enable=False).machine
    host = type(make_host())(machine, vgic_v4_enable=True, erratum_162100801=True)
    rig = V4Rig(host=host)
    rig.forwarded()
    rig.run(0, 0)
    rig.vcpus[0].exit()
    writes = rig.machine.pes[3].cost.mmio_writes
    rig.run(0, 3)
    assert rig.machine.pes[3].cost.mmio_writes - writes == 2, "GICR_INVALLR, GICR_VPENDBASER"
    rig.check()


@pytest.mark.parametrize("version", [GicVersion.V4_0, GicVersion.V4_1])
def test_a_cpu_goes_offline(version: GicVersion) -> None:
    """B70: the doorbell of a vCPU that is blocked goes elsewhere, as does a vector of the host."""
    rig = V4Rig(host=make_host(v4=V4Config(version=version)))
    rig.forwarded()
    rig.map_lpi(1)
    rig.vector(1, cpu=1)
    rig.run(0, 1)
    assert outcome(rig.v4host.cpu_offline, 1) == errno.EBUSY
    assert rig.wfi()
    rig.v4host.cpu_offline(1)
    assert outcome(rig.v4host.cpu_offline, 1) == errno.EINVAL
    assert rig.vpe().cpu == 0
    rig.msi_from(0)
    assert (rig.vpe().doorbells, rig.machine.pes[0].cost.doorbells) == (1, 1)
    rig.msi_from(1)
    assert (rig.msis[1].taken, rig.msis[1].cpu) == (1, 0)
    assert outcome(rig.vcpus[0].enter) == errno.EINVAL, "it was there"
    rig.run(0, 0)
    assert {rig.take(), rig.take()} == {LPI, LPI + 1}
    rig.v4host.cpu_online(1)
    rig.vcpus[0].exit()
    rig.run(0, 1)


def test_the_last_cpu_stays() -> None:
    host = make_host(cpus=2)
    host.cpu_offline(0)
    assert outcome(host.cpu_offline, 1) == errno.EINVAL


def test_an_offline_cpu_prefers_its_group() -> None:
    host = make_host(cpus=32, v4=V4Config(common_lpi_aff=3))
    rig = V4Rig(vcpus=1, host=host)
    rig.forwarded()
    rig.run(0, 17)
    assert rig.wfi()
    host.cpu_offline(17)
    assert rig.vpe().cpu == 16


# The distributor


def test_enabling_the_distributor_reaches_hardware() -> None:
    """B35: group enables count from residency on, so everybody is reloaded."""
    rig = V4Rig()
    rig.forwarded()
    rig.dist.enabled = False
    rig.run(0, 0)
    rig.run(1, 1)
    assert not vpendbaser(rig, 0) & VGRP1
    rig.msi_from(0)
    assert rig.take() == 1023
    exits = rig.vcpus[0].cost.exits_irq
    rig.vcpus[1].write(GICD_CTLR, 4, 0x12)
    assert [vpendbaser(rig, cpu) & VGRP1 for cpu in (0, 1)] == [VGRP1, VGRP1]
    assert rig.vcpus[0].cost.exits_irq == exits + 1, "it had to leave for that"
    assert rig.take() == LPI
    rig.vcpus[1].write(GICD_CTLR, 4, 0x10)
    rig.msi_from(0)
    assert rig.take() == 1023
    rig.check()


def test_with_the_distributor_disabled_a_vcpu_blocks() -> None:
    """B36."""
    rig = V4Rig()
    rig.forwarded()
    rig.dist.enabled = False
    rig.run()
    rig.msi_from(0)
    assert rig.wfi()
    rig.run(1, 1)
    rig.kicks.clear()
    rig.vcpus[1].write(GICD_CTLR, 4, 0x12)
    assert 0 in rig.kicks
    assert rig.vcpus[0].pending()


# WFI that is left to hardware


def test_wfi_in_hardware() -> None:
    """B54: no exit, no doorbell."""
    rig = V4Rig()
    assert rig.vcpus[0].traps_wfi(), "nothing that hardware could deliver"
    rig.forwarded()
    assert not rig.vcpus[0].traps_wfi()
    assert rig.vcpus[0].traps_wfi(alone=False)
    assert rig.vcpus[1].traps_wfi()
    rig.run()
    cost = rig.vcpus[0].cost.copy()
    assert not rig.vcpus[0].virq()
    rig.msi_from(0)
    assert rig.vcpus[0].virq()
    spent = rig.vcpus[0].cost.diff(cost)
    assert (spent.entries, spent.exits_irq, spent.doorbells, rig.vpe().doorbells) == (0, 0, 0, 0)


@pytest.mark.parametrize("policy", [True, False])
def test_wfi_by_policy(policy: bool) -> None:
    machine = make_host(enable=False).machine
    rig = V4Rig(host=type(make_host())(machine, vgic_v4_enable=True, wfi_trap=policy))
    rig.forwarded()
    assert [vcpu.traps_wfi() for vcpu in rig.vcpus] == [policy, policy]


# Hardware that takes its time


def test_a_scan_that_takes_long_delays_the_entry() -> None:
    rig = V4Rig(host=make_host(v4=V4Config(t_scan=100)))
    rig.forwarded()
    rig.msi_from(0)
    rig.run()
    assert rig.gicv4.warnings == []
    assert rig.take() == LPI


def test_a_scan_that_takes_too_long() -> None:
    """B62: 500 microseconds, then the guest is entered all the same."""
    rig = V4Rig(host=make_host(v4=V4Config(t_scan=600)))
    rig.forwarded()
    rig.run()
    assert rig.gicv4.warnings == [NOT_COMMITTED]
    rig.machine.tick(200)
    rig.msi_from(0)
    assert rig.take() == LPI


def test_a_vcpu_preempted_while_its_table_is_read() -> None:
    """af27e41612ec: Dirty is polled before Valid is cleared."""
    rig = V4Rig(host=make_host(v4=V4Config(t_scan=600)))
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    rig.vcpus[0].put()
    rig.check()


def test_a_table_that_is_never_clean() -> None:
    """B63: rather awake for nothing than asleep for ever."""
    rig = V4Rig(host=make_host(v4=V4Config(t_settle=2_000_000)))
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    assert rig.vcpus[0].pending()
    assert rig.gicv4.warnings == [NOT_CLEANING]


def test_hardware_that_does_not_tell_is_not_asked() -> None:
    """Without GICR_TYPER.Dirty nobody waits for the scan."""
    rig = V4Rig(host=make_host(v4=V4Config(t_scan=100, dirty=False)))
    rig.forwarded()
    reads = rig.machine.pes[0].cost.mmio_reads
    rig.run()
    assert rig.machine.pes[0].cost.mmio_reads == reads


# Beside list registers


def test_urgency_decides_between_a_list_register_and_hardware() -> None:
    """B67: in one entry."""
    rig = V4Rig()
    rig.forwarded()
    rig.irq(3, latch=False, priority=0x20)
    sgi = rig.found(3)
    sgi.pending_latch = True
    rig.run(1, 1)
    rig.vcpus[1].msr(arch.ICC_SGI1R_EL1, 3 << 24 | 1)
    entries = rig.vcpus[0].cost.entries
    rig.run()
    rig.msi_from(0)
    vcpu = rig.vcpus[0]
    assert vcpu.mrs(arch.ICC_IAR1_EL1) == 3
    vcpu.msr(arch.ICC_EOIR1_EL1, 3)
    assert rig.take() == LPI
    assert vcpu.cost.entries == entries + 1
