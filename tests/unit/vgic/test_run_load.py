"""Load and put: a vCPU's CPU interface comes to a physical CPU, and goes."""

import pytest

from hw import Machine, VirtConfig
from hw.arch import (
    ICC_AP0R_EL1,
    ICC_AP1R_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_IGRPEN0_EL1,
    ICC_PMR_EL1,
    SRE_ENABLE,
)
from tests.support import make_vm
from tests.unit.vgic.rig import Rig, spent
from vgic import BusyError, Host, Vcpu, Vgic
from vgic.run import load, put
from vgic.vcpu import LOADED, PUT


def interface(vcpu: Vcpu) -> tuple[int, ...]:
    """What the guest sees of its CPU interface."""
    registers = (ICC_PMR_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_IGRPEN0_EL1, *ICC_AP0R_EL1, *ICC_AP1R_EL1)
    return tuple(vcpu.mrs(register) for register in registers)


@pytest.mark.parametrize("pre_bits", [5, 6, 7], ids="{} preemption bits".format)
def test_the_cpu_interface_travels_with_its_vcpu(pre_bits: int) -> None:
    """Two vCPUs take turns on one physical CPU; neither sees the other."""
    vm = make_vm(2, cpus=1, virt=VirtConfig(pri_bits=pre_bits, pre_bits=pre_bits))
    seen = []
    for vcpu in vm.vcpus:
        vcpu.enter()
        for n in range(1 << pre_bits - 5):
            vcpu.msr(ICC_AP0R_EL1[n], 0x100 << n + 8 * vcpu.index)
            vcpu.msr(ICC_AP1R_EL1[n], 0x1 << n + 8 * vcpu.index)
        vcpu.msr(ICC_PMR_EL1, 0x80 + 0x40 * vcpu.index)
        vcpu.msr(ICC_BPR1_EL1, 4 + vcpu.index)
        vcpu.msr(ICC_CTLR_EL1, 1 + vcpu.index)
        vcpu.msr(ICC_IGRPEN0_EL1, vcpu.index)
        seen.append(interface(vcpu))
        vcpu.exit()
    assert seen[0] != seen[1]
    for vcpu, want in zip(vm.vcpus, seen, strict=True):
        vcpu.enter()
        assert interface(vcpu) == want
        vcpu.exit()


def test_load_and_put_open_and_close_the_machine_to_the_guest() -> None:
    rig = Rig()
    pe = rig.vcpu.pe
    rig.vcpu.vi = rig.vcpu.vf = True
    load(rig.vcpu)
    assert (pe.vi, pe.vf) == (True, True)
    assert (pe.imo, pe.fmo, pe.amo, pe.sre_el2 & SRE_ENABLE) == (True, True, True, 0)
    assert (rig.vcpu.mode, rig.vm.host.loaded) == (LOADED, {0: rig.vcpu})
    put(rig.vcpu)
    assert (pe.imo, pe.fmo, pe.amo, pe.sre_el2 & SRE_ENABLE) == (False, False, False, SRE_ENABLE)
    assert (pe.vi, pe.vf, rig.vcpu.vi, rig.vcpu.vf) == (False, False, True, True)
    assert (rig.vcpu.mode, rig.vm.host.loaded) == (PUT, {})


def test_traps_are_on_while_loaded_and_off_when_put() -> None:
    vm = make_vm(trapped=True)
    vcpu = vm.vcpus[0]
    virt = vcpu.pe.virt
    load(vcpu)
    assert (virt.tc, virt.tall0, virt.tall1, virt.en) == (True, True, True, False)
    put(vcpu)
    assert (virt.tc, virt.tall0, virt.tall1, virt.en) == (False, False, False, False)


def test_put_of_a_vcpu_that_is_put_costs_nothing() -> None:
    rig = Rig()
    assert spent(rig.vcpu, rig.vcpu.put) == {}


def test_put_of_a_vcpu_in_the_guest_is_refused() -> None:
    rig = Rig()
    rig.vcpu.enter()
    with pytest.raises(BusyError):
        rig.vcpu.put()


def test_a_vcpu_of_another_vm_is_not_put_for_this_one() -> None:
    host = Host(Machine())
    first, second = (Vgic.gicv3(1, 32, host=host, threads=False).vcpus[0] for _ in range(2))
    first.enter()
    first.exit()
    with pytest.raises(BusyError):
        second.enter()
    first.put()
    second.enter()
    assert host.loaded == {0: second}
