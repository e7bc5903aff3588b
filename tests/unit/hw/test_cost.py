"""Counters: what is spent between two moments, by one PE, by one ITS, and by a whole machine."""

import pytest

from hw import Account, Cost, Machine, PhysConfig, Traffic, V2Config, arch
from hw import arch4 as a
from hw.cost import COUNTERS, TRAFFIC
from tests.unit.hw.rig4 import DB, V1, Rig4, mapti, of_vpe, vmovp


def test_every_exit_has_a_cause() -> None:
    cost = Cost()
    cost.entries = 15
    cost.exits_mmio, cost.exits_sysreg, cost.exits_irq, cost.exits_wfi = 1, 2, 3, 4
    assert cost.exits_host == 5, "what is left is the VMM's"


def test_counters_add_up_and_subtract() -> None:
    one, other = Cost(), Cost()
    for n, name in enumerate(COUNTERS):
        setattr(one, name, n)
        setattr(other, name, 2 * n + 1)
    total = one.copy()
    total.add(other)
    assert total.diff(other).as_dict() == one.as_dict()
    assert one.as_dict() != total.as_dict()


def test_traffic_adds_up_and_subtracts_with_its_commands() -> None:
    one, other = Traffic(), Traffic()
    for n, name in enumerate(TRAFFIC):
        setattr(one, name, n)
        setattr(other, name, 3 * n)
    one.by_command = {a.INV: 1, a.INT: 2}
    other.by_command = {a.INV: 4, a.SYNC: 1}
    total = Traffic()
    total.add(one)
    total.add(other)
    assert total.by_command == {a.INV: 5, a.INT: 2, a.SYNC: 1}
    spent = total.diff(one)
    assert (spent.as_dict(), spent.by_command) == (other.as_dict(), {a.INV: 4, a.SYNC: 1})


def test_an_account_is_the_whole_machines() -> None:
    rig = Rig4()
    rig.map()
    before = rig.machine.account()
    frozen = before.as_dict()
    rig.msi()
    rig.res(1)
    assert rig.take(1) == [V1]
    rig.send(vmovp(0, 1), of_vpe(a.VSYNC, 0))
    spent = rig.machine.account().diff(before)
    assert isinstance(spent, Account)
    pes, gic = spent.pes, spent.gic
    assert (pes.direct_acks, pes.doorbells, pes.residencies, pes.lr_writes) == (1, 1, 1, 0)
    assert (gic.msis, gic.default_doorbells, gic.commands, gic.syncs) == (1, 1, 2, 1)
    assert gic.by_command == {a.VMOVP: 1, a.VSYNC: 1}
    assert before.as_dict() == frozen, "an account is a copy"
    assert spent.as_dict()["commands"] == 2


@pytest.mark.parametrize("taken", [1, 3])
def test_physical_interrupts_taken_are_counted_gicv3(taken: int) -> None:
    """Not a read of IAR that acknowledges nothing."""
    rig = Rig4(v3=True)
    rig.lpi(DB, 0xA1)
    rig.send(mapti(0, 0, DB, 0))
    for _ in range(taken):
        rig.msi()
        assert rig.host() == [DB]
    assert rig.pes[0].cost.phys_acks == taken


def test_physical_interrupts_taken_are_counted_gicv2() -> None:
    machine = Machine(1, gic=V2Config(), phys=PhysConfig())
    gicc = machine.pes[0].gicc
    machine.dist.write(arch.GICD_CTLR, 4, 1)
    machine.dist.write(arch.GICD_ISENABLER + 4, 4, 1 << 8)
    gicc.write_pmr(0xF0)
    gicc.write_ctlr(arch.GICC_CTLR_ENABLE_GRP0)
    machine.dist.set_line(40, True)
    assert gicc.iar(False) == 40
    assert gicc.iar(False) == 1023
    assert machine.account().pes.phys_acks == 1
