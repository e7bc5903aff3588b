"""What a GICv2 guest's entry, exit, load and put cost on each host, and what they carry."""

from typing import Final

import pytest

from hw import VirtConfig
from hw.arch import (
    GICC_ABPR,
    GICC_APR,
    GICC_BPR,
    GICC_CTLR,
    GICC_PMR,
    HCR_EN,
    ICC_IAR1_EL1,
    ICC_PMR_EL1,
    ICC_SGI1R_EL1,
    ICC_SRE_EL1,
    UNDEFINED,
)
from tests.support import make_vm
from tests.unit.vgic.rig import spent
from tests.unit.vgic.v2.rig import BOTH_HOSTS, GICV2, GICV3, OPEN, Rig
from vgic import Host, Vgic
from vgic.ap_list import queue
from vgic.run import load, put


def filled(host: str, used: int, ended: int = 0) -> Rig:
    """`used` edge SPIs ready for list registers; with `ended`, in the guest, and that many completed."""
    rig = Rig(lrs=16, host=host)
    rig.vcpu.enter()
    rig.vcpu.exit()
    for intid in range(32, 32 + used):
        queue(rig.irq(intid, latch=True))
    if ended:
        rig.vcpu.enter()
        for _ in range(ended):
            rig.end(rig.acknowledge())
    return rig


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize("used", [0, 1, 4, 16], ids="{} list registers".format)
def test_entry(used: int, host: str) -> None:
    rig = filled(host, used)
    want = {"entries": 1, "exits_host": 1}
    assert spent(rig.vcpu, rig.vcpu.enter) == want | ({"hcr_writes": 1, "lr_writes": used} if used else {})


@pytest.mark.parametrize("host", BOTH_HOSTS)
@pytest.mark.parametrize(("used", "ended"), [(0, 0), (1, 1), (4, 3), (4, 4), (16, 5)])
def test_exit(used: int, ended: int, host: str) -> None:
    """One ELRSR read, an LR read for each that is not empty, a write for each."""
    rig = filled(host, used, ended)
    if not ended:
        rig.vcpu.enter()
    want = {"elrsr_reads": 1, "hcr_writes": 1, "lr_reads": used - ended, "lr_writes": used} if used else {}
    assert spent(rig.vcpu, rig.vcpu.exit) == {name: count for name, count in want.items() if count}


def test_load_and_put_on_a_gicv2() -> None:
    """GICH_VMCR and GICH_APR, nothing else."""
    rig = Rig()
    assert spent(rig.vcpu, lambda: load(rig.vcpu)) == {"vmcr_writes": 1, "ap_writes": 1}
    assert spent(rig.vcpu, lambda: put(rig.vcpu)) == {"vmcr_reads": 1, "ap_reads": 1}


@pytest.mark.parametrize("bits", [5, 7])
def test_load_and_put_on_a_gicv3(bits: int) -> None:
    """As for a GICv3 guest, and ICC_SRE_EL1.SRE cleared for it, set for the host; ICH_HCR_EL2 traps throughout."""
    ap_registers = 2 * (1 << bits - 5)
    virt = VirtConfig(sre_legacy=True, pri_bits=bits, pre_bits=bits)
    third = make_vm(1, virt=virt).vcpus[0]
    second = Vgic.gicv2(1, host=make_vm(1, virt=virt).host, threads=False).vcpus[0]
    loaded, saved = spent(third, lambda: load(third)), spent(third, lambda: put(third))
    assert loaded == {"vmcr_writes": 1, "ap_writes": ap_registers, "vtr_reads": 1, "sre_reads": 1, "sre_writes": 1}
    assert saved == {"vmcr_reads": 1, "ap_reads": ap_registers, "vtr_reads": 1, "sre_reads": 1, "sre_writes": 1}
    more = {"sre_writes": 2, "hcr_writes": 1}
    assert spent(second, lambda: load(second)) == loaded | more
    assert spent(second, lambda: put(second)) == saved | more


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_acknowledge_and_end_cost_two_accesses(host: str) -> None:
    rig = filled(host, 1)
    rig.vcpu.enter()
    assert spent(rig.vcpu, lambda: rig.end(rig.acknowledge())) == {"icv_reads": 1, "icv_writes": 1}


# -- what is carried -----------------------------------------------------------------------------


GUEST: Final = {GICC_CTLR: 0x21F, GICC_PMR: 0x58, GICC_BPR: 4, GICC_ABPR: 6, GICC_APR: 0x8000_0001}
SAVED: Final = 0x58 << 24 | 4 << 21 | 6 << 18 | 0x21F


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_the_saved_form_is_the_same_on_both_hosts(host: str) -> None:
    """AckCtl and FIQEn are the guest's own on a GICv3 host, too."""
    rig = Rig(host=host)
    rig.vcpu.enter()
    for offset, value in GUEST.items():
        rig.set_gicc(offset, value)
    rig.vcpu.exit()
    rig.vcpu.put()
    assert (rig.vcpu.vmcr, rig.vcpu.ap1r, rig.vcpu.ap0r) == (SAVED, [0x8000_0001, 0, 0, 0], [0] * 4)
    rig.vcpu.enter()
    assert {offset: rig.gicc(offset) for offset in GUEST} == GUEST


@pytest.mark.parametrize("vmcr", [0, OPEN, SAVED, 0xFFFF_FFFF], ids=hex)
def test_a_vmcr_means_the_same_on_both_hosts(vmcr: int) -> None:
    """GICH_VMCR has five bits of priority mask, where ICH_VMCR_EL2 with five priority bits has them."""
    seen = []
    for host in BOTH_HOSTS:
        rig = Rig(host=host)
        rig.vcpu.vmcr = vmcr
        rig.vcpu.enter()
        seen.append([rig.gicc(offset) for offset in (GICC_CTLR, GICC_PMR, GICC_BPR, GICC_ABPR)])
        rig.vcpu.exit()
        rig.vcpu.put()
        seen[-1].append(rig.vcpu.vmcr)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("register", [ICC_IAR1_EL1, ICC_PMR_EL1, ICC_SRE_EL1, ICC_SGI1R_EL1])
@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_a_gicv2_guest_has_no_system_registers(host: str, register: int) -> None:
    rig = Rig(host=host)
    rig.vcpu.enter()
    assert rig.vcpu.mrs(register) == UNDEFINED
    assert not rig.vcpu.msr(register, 0)


def test_guests_of_both_models_share_a_gicv3() -> None:
    """ICC_SRE_EL1 changes with the vCPU that is loaded; the other's interface is not disturbed."""
    host: Host = make_vm(1, virt=VirtConfig(sre_legacy=True)).host
    second = Vgic.gicv2(1, host=host, threads=False).vcpus[0]
    third = Vgic.gicv3(1, host=host, threads=False).vcpus[0]
    base = 0x0801_0000
    for _ in range(2):
        second.enter()
        assert second.pe.virt.sre is False
        second.write(base + GICC_CTLR, 4, 0x7)
        assert second.read(base + GICC_CTLR, 4) == 0x7
        second.exit()
        second.put()
        third.enter()
        assert third.pe.virt.sre is True
        assert third.msr(ICC_PMR_EL1, 0x80)
        assert third.mrs(ICC_PMR_EL1) == 0x80
        third.exit()
        third.put()
    assert (second.vmcr & 0xF, third.vmcr >> 24) == (0x7, 0x80)


def test_the_hcr_of_each_host() -> None:
    """A GICv3 host makes every system register access trap, so that it is UNDEFINED; a GICv2 has none."""
    assert Rig(host=GICV2).vcpu.hcr == HCR_EN
    assert Rig(host=GICV3).vcpu.hcr & ~HCR_EN
