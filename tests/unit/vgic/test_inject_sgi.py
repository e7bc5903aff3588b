"""SGIs that a guest sends: who gets one."""

from typing import Final, NamedTuple

import pytest

from hw.arch import HCR_TALL1, HCR_TC, ICC_ASGI1R_EL1, ICC_SGI0R_EL1, ICC_SGI1R_EL1, UNDEFINED
from tests.support import make_vm
from tests.unit.vgic.rig import Rig, acknowledge
from vgic import Vgic


class Sgi(NamedTuple):
    """A write by vCPU 1 of five; `affinities` are theirs.  SGI 7 is in group 1 everywhere but on vCPU 3."""

    register: int
    value: int
    sent: list[int]


AFFINITIES: Final = [0x000, 0x001, 0x00F, 0x100, 0x1_02_10]
SGI: Final = 7 << 24
ALL: Final = 1 << 40

SGIS: Final = {
    "to another": Sgi(ICC_SGI1R_EL1, SGI | 0x0001, [0]),
    "to itself": Sgi(ICC_SGI1R_EL1, SGI | 0x0002, [1]),
    "to several of a cluster, absent ones skipped": Sgi(ICC_SGI1R_EL1, SGI | 0xFFFF, [0, 1, 2]),
    "to nobody": Sgi(ICC_SGI1R_EL1, SGI, []),
    "to another cluster by Aff1": Sgi(ICC_SGI1R_EL1, SGI | 1 << 16 | 0x0001, [3]),
    "Aff2 is part of the match": Sgi(ICC_SGI1R_EL1, SGI | 1 << 32 | 0x0001, []),
    "Aff3 is part of the match": Sgi(ICC_SGI1R_EL1, SGI | 1 << 48 | 0x0001, []),
    "the range selector is ignored, so Aff0 of 16 is out of reach": Sgi(
        ICC_SGI1R_EL1, SGI | 1 << 44 | 1 << 32 | 2 << 16 | 0x0001, []
    ),
    "the range selector is ignored": Sgi(ICC_SGI1R_EL1, SGI | 0xF << 44 | 0x0001, [0]),
    "other bits are ignored": Sgi(ICC_SGI1R_EL1, SGI | 0xFF << 56 | 0xF << 28 | 0x7F << 41 & ~(0xF << 44) | 1, [0]),
    "to all but itself": Sgi(ICC_SGI1R_EL1, SGI | ALL, [0, 2, 3, 4]),
    "to all but itself, whatever the target fields say": Sgi(
        ICC_SGI1R_EL1, SGI | ALL | 0xFF << 48 | 0xFF << 32 | 0xFF << 16 | 0xFFFF, [0, 2, 3, 4]
    ),
    "SGI1R sends a group 0 SGI too": Sgi(ICC_SGI1R_EL1, SGI | 1 << 16 | 1, [3]),
    "SGI0R sends none of group 1": Sgi(ICC_SGI0R_EL1, SGI | ALL, [3]),
    "SGI0R to one target with the SGI in group 1": Sgi(ICC_SGI0R_EL1, SGI | 1, []),
    "SGI0R to one target with the SGI in group 0": Sgi(ICC_SGI0R_EL1, SGI | 1 << 16 | 1, [3]),
    "ASGI1R sends none of group 1": Sgi(ICC_ASGI1R_EL1, SGI | ALL, [3]),
    "ASGI1R to one target with the SGI in group 0": Sgi(ICC_ASGI1R_EL1, SGI | 1 << 16 | 1, [3]),
}


def sgi_rig() -> Rig:
    """Five vCPUs with the affinities of the table; vCPU 1 is in the guest."""
    rig = Rig(5)
    for vcpu, affinity in zip(rig.vcpus, AFFINITIES, strict=True):
        vcpu.set_mpidr(affinity)
    rig.vcpus[3].private[7].group = 0
    rig.vcpus[1].enter()
    return rig


def holders(rig: Rig) -> list[int]:
    """Who has SGI 7 pending, by index."""
    return [vcpu.index for vcpu in rig.vcpus if vcpu.private[7].pending_latch or 7 in rig.lr_intids(vcpu.index)]


@pytest.mark.parametrize("row", SGIS.values(), ids=SGIS)
def test_sgi(row: Sgi) -> None:
    rig = sgi_rig()
    assert rig.vcpus[1].msr(row.register, row.value)
    kicked = [index for index in row.sent if index != 1]  # the sender sees its own on its way back
    assert (holders(rig), sorted(rig.kicks)) == (row.sent, kicked)
    rig.vm.check()


@pytest.mark.parametrize("register", [ICC_SGI1R_EL1, ICC_SGI0R_EL1, ICC_ASGI1R_EL1], ids=["SGI1R", "SGI0R", "ASGI1R"])
def test_sgi_registers_cannot_be_read(register: int) -> None:
    assert sgi_rig().vcpus[1].mrs(register) == UNDEFINED


@pytest.mark.parametrize("intid", range(16))
def test_every_sgi_can_be_sent(intid: int) -> None:
    rig = Rig(2)
    rig.vcpus[0].enter()
    rig.vcpus[1].enter()
    rig.vcpus[0].msr(ICC_SGI1R_EL1, intid << 24 | 0b10)
    assert acknowledge(rig.vcpus[1]) == 1023, "it comes with the next entry"
    rig.vcpus[1].exit()
    rig.vcpus[1].enter()
    assert acknowledge(rig.vcpus[1]) == intid


def test_a_disabled_sgi_latches_and_waits() -> None:
    rig = sgi_rig()
    irq = rig.vcpus[0].private[7]
    irq.enabled = False
    rig.vcpus[1].msr(ICC_SGI1R_EL1, SGI | 1)
    assert (irq.pending_latch, rig.listed(0), rig.kicks) == (True, [], [])


def test_an_sgi_to_itself_is_there_when_the_write_returns() -> None:
    """The write leaves the guest, and the entry after it fills the list registers."""
    rig = Rig()
    rig.vcpu.enter()
    rig.vcpu.msr(ICC_SGI1R_EL1, SGI | 1)
    assert acknowledge(rig.vcpu) == 7


def test_two_sgis_before_the_target_looks_are_one() -> None:
    rig = Rig(2)
    rig.vcpus[0].enter()
    for _ in range(2):
        rig.vcpus[0].msr(ICC_SGI1R_EL1, SGI | 0b10)
    rig.vcpus[1].enter()
    assert [acknowledge(rig.vcpus[1]), acknowledge(rig.vcpus[1])] == [7, 1023]


def test_sgi_without_a_gicv3_is_undefined() -> None:
    vm = Vgic(threads=False)
    vcpu = vm.create_vcpu()
    vcpu.enter()
    outcomes = [vcpu.msr(register, 1) for register in (ICC_SGI1R_EL1, ICC_SGI0R_EL1, ICC_ASGI1R_EL1)]
    assert outcomes == [False, False, False]


def test_sgis_are_sent_when_the_cpu_interface_is_emulated_too() -> None:
    vm = make_vm(2, trapped=True)
    vcpu = vm.vcpus[0]
    vcpu.dist.enabled = True
    vcpu.enter()
    assert vcpu.hcr & (HCR_TALL1 | HCR_TC) == HCR_TALL1 | HCR_TC
    assert vcpu.msr(ICC_SGI1R_EL1, SGI | 0b10)
    assert [irq.intid for irq in vm.vcpus[1].ap_list] == [7]
