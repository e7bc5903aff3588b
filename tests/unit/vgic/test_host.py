"""The host: what KVM learns of the machine, its boot options, and the machine several VMs share."""

from typing import Final, NamedTuple

import pytest

from hw import Machine, VirtConfig
from hw.arch import CTLR_A3V, CTLR_SEIS, HCR_TALL0, HCR_TALL1, HCR_TC, HCR_TDIR, ICC_CTLR_EL1
from tests.support import make_vm
from vgic import Host, Vgic
from vgic.host import NO_GIC_TRAPS


class Probe(NamedTuple):
    """A configuration, and what is read of ICH_VTR_EL2."""

    config: VirtConfig
    nr_lr: int
    pri_bits: int
    id_bits_code: int
    seis_a3v: int


PROBES: Final = {
    #                            configuration                            LRs  priority  INTID  SEIS, A3V
    "the default": Probe(VirtConfig(), 4, 5, 1, CTLR_A3V),
    "one list register": Probe(VirtConfig(n_lr=1), 1, 5, 1, CTLR_A3V),
    "16 list registers": Probe(VirtConfig(n_lr=16), 16, 5, 1, CTLR_A3V),
    "8 priority bits": Probe(VirtConfig(pri_bits=8, pre_bits=7), 4, 8, 1, CTLR_A3V),
    "16-bit INTIDs": Probe(VirtConfig(id_bits=16), 4, 5, 0, CTLR_A3V),
    "local SErrors": Probe(VirtConfig(seis=True), 4, 5, 1, CTLR_A3V | CTLR_SEIS),
    "no Aff3": Probe(VirtConfig(a3v=False), 4, 5, 1, 0),
}


@pytest.mark.parametrize("row", PROBES.values(), ids=PROBES)
def test_probe(row: Probe) -> None:
    host = Host(Machine(virt=row.config))
    assert (host.nr_lr, host.pri_bits, host.id_bits_code, host.seis_a3v) == row[1:]


@pytest.mark.parametrize("trapped", [False, True], ids=["by hardware", "emulated"])
@pytest.mark.parametrize("row", PROBES.values(), ids=PROBES)
def test_a_guest_sees_what_was_probed(row: Probe, trapped: bool) -> None:
    vcpu = make_vm(virt=row.config, trapped=trapped).vcpus[0]
    vcpu.enter()
    assert vcpu.nr_lr == row.nr_lr
    assert vcpu.mrs(ICC_CTLR_EL1) == row.seis_a3v | (row.pri_bits - 1) << 8 | row.id_bits_code << 11


OPTIONS: Final = {
    #                group0 group1 common
    "none": (False, False, False, 0),
    "kvm-arm.vgic_v3_group0_trap": (True, False, False, HCR_TALL0),
    "kvm-arm.vgic_v3_group1_trap": (False, True, False, HCR_TALL1),
    "kvm-arm.vgic_v3_common_trap": (False, False, True, HCR_TC),
    "all": (True, True, True, HCR_TALL0 | HCR_TALL1 | HCR_TC),
}


@pytest.mark.parametrize("row", OPTIONS.values(), ids=OPTIONS)
def test_boot_options_are_traps_while_a_vcpu_is_loaded(row: tuple[bool, bool, bool, int]) -> None:
    group0, group1, common, bits = row
    host = Host(Machine(), group0_trap=group0, group1_trap=group1, common_trap=common)
    vcpu = Vgic.gicv3(1, 32, host=host, threads=False).vcpus[0]
    virt = host.machine.pes[0].virt
    vcpu.enter()
    assert virt.read_hcr() & (HCR_TALL0 | HCR_TALL1 | HCR_TC | HCR_TDIR) == bits
    vcpu.exit()
    vcpu.put()
    assert virt.read_hcr() == 0


def test_a_vm_without_a_gic_traps_everything_on_any_host() -> None:
    host = Host(Machine())
    Vgic(host, threads=False).create_vcpu().enter()
    assert host.machine.pes[0].virt.read_hcr() == NO_GIC_TRAPS == HCR_TALL0 | HCR_TALL1 | HCR_TC


def test_probing_reads_one_register() -> None:
    machine = Machine()
    assert Host(machine).trap_bits == 0
    assert (machine.pes[0].cost.total(), machine.pes[0].cost.vtr_reads) == (1, 1)


def test_vms_share_a_machine_each_on_its_cpus() -> None:
    host = Host(Machine(cpus=2))
    first, second = (Vgic.gicv3(1, 32, host=host, threads=False).vcpus[0] for _ in range(2))
    assert host.loaded == {}
    first.enter(cpu=0)
    second.enter(cpu=1)
    assert host.loaded == {0: first, 1: second}
    first.exit()
    first.put()
    assert host.loaded == {1: second}


def test_a_vm_makes_its_own_host_unless_given_one() -> None:
    assert len(Vgic().host.machine.pes) == 8
    assert len(Vgic.gicv3(3).host.machine.pes) == 3
