"""What entry, exit, load and put cost: the hardware accesses of each, as KVM makes them on a VHE host."""

from typing import Final

import pytest

from hw import VirtConfig
from hw.arch import ICC_SGI1R_EL1
from tests.support import make_vm
from tests.unit.vgic.rig import LEVEL, OPEN, Rig, spent, take
from vgic.ap_list import queue
from vgic.run import load, put

SPI: Final = 40


def filled(used: int, ended: int) -> Rig:
    """`used` edge SPIs in list registers, `ended` of them completed by the guest."""
    rig = Rig(lrs=16)
    rig.vcpu.enter()
    rig.vcpu.exit()
    for intid in range(32, 32 + used):
        rig.irq(intid)
        rig.vm.inject(intid)
    rig.vcpu.enter()
    for _ in range(ended):
        take(rig.vcpu)
    return rig


@pytest.mark.parametrize("used", [0, 1, 2, 4, 16], ids="{} list registers".format)
def test_cost_of_an_entry(used: int) -> None:
    rig = filled(used, 0)
    rig.vcpu.exit()
    want = {"entries": 1, "exits_host": 1}
    if used:
        want |= {"hcr_writes": 1, "lr_writes": used}
    assert spent(rig.vcpu, rig.vcpu.enter) == want


EXITS: Final = [(0, 0), (1, 0), (1, 1), (4, 0), (4, 3), (4, 4), (16, 5), (16, 16)]


@pytest.mark.parametrize(
    ("used", "ended"), EXITS, ids=[f"{used} list registers, {ended} empty" for used, ended in EXITS]
)
def test_cost_of_an_exit(used: int, ended: int) -> None:
    rig = filled(used, ended)
    want = {"elrsr_reads": 1, "hcr_writes": 1, "lr_reads": used - ended, "lr_writes": used} if used else {}
    assert spent(rig.vcpu, rig.vcpu.exit) == {name: count for name, count in want.items() if count}


def test_a_completion_that_is_owed_is_read_too() -> None:
    """A list register that asked for EOI maintenance is not empty to ICH_ELRSR, so its content is read."""
    rig = Rig()
    rig.irq(SPI, level=LEVEL)
    rig.vm.inject(SPI)
    rig.vcpu.enter()
    take(rig.vcpu)
    assert spent(rig.vcpu, rig.vcpu.exit) == {"elrsr_reads": 1, "hcr_writes": 1, "lr_reads": 1, "lr_writes": 1}


def test_a_list_with_nothing_to_deliver_costs_no_access() -> None:
    rig = Rig()
    irq = rig.irq(SPI)
    rig.vm.inject(SPI)
    irq.pending_latch = False
    assert rig.listed() == [SPI]
    load(rig.vcpu)
    assert spent(rig.vcpu, rig.vcpu.enter) == {"entries": 1, "exits_host": 1}
    assert spent(rig.vcpu, rig.vcpu.exit) == {}


@pytest.mark.parametrize("pre_bits", [5, 6, 7], ids="{} preemption bits".format)
def test_cost_of_load_and_put(pre_bits: int) -> None:
    vcpu = make_vm(virt=VirtConfig(pri_bits=pre_bits, pre_bits=pre_bits)).vcpus[0]
    aprs = 2 << pre_bits - 5
    sre = {"sre_reads": 1, "sre_writes": 1}
    assert spent(vcpu, lambda: load(vcpu)) == {"vtr_reads": 1, "vmcr_writes": 1, "ap_writes": aprs, **sre}
    assert spent(vcpu, lambda: put(vcpu)) == {"vtr_reads": 1, "vmcr_reads": 1, "ap_reads": aprs, **sre}


def test_acknowledge_and_end_cost_two_accesses_and_no_exit() -> None:
    rig = filled(1, 0)
    assert spent(rig.vcpu, lambda: take(rig.vcpu)) == {"icv_reads": 1, "icv_writes": 1}


def test_acknowledge_and_end_cost_two_exits_when_they_trap() -> None:
    vcpu = make_vm(trapped=True).vcpus[0]
    vcpu.dist.enabled = True
    vcpu.vmcr = OPEN
    vcpu.private[5].priority = 0xA0
    vcpu.private[5].pending_latch = True
    queue(vcpu.private[5])
    vcpu.enter()
    cost = spent(vcpu, lambda: take(vcpu))
    assert (cost["exits_sysreg"], cost["entries"]) == (2, 2)
    assert not {"icv_reads", "icv_writes"} & cost.keys()


def test_an_sgi_costs_one_exit() -> None:
    rig = Rig(2)
    rig.vcpu.enter()
    assert spent(rig.vcpu, lambda: rig.vcpu.msr(ICC_SGI1R_EL1, 0b10)) == {"exits_sysreg": 1, "entries": 1}
