"""ICC_*_EL1 accesses that reach the host: SGI generation, ICC_SRE_EL1, and everything that is UNDEFINED there."""

from typing import Final, NamedTuple

import pytest

from hw.arch import (
    ICC_ASGI1R_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR0_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI0R_EL1,
    ICC_SGI1R_EL1,
    ICC_SRE_EL1,
    SYSREG_NAMES,
    UNDEFINED,
)
from tests.support import make_vm
from tests.unit.vgic.v3.conftest import SGI, Regs
from vgic import Vgic
from vgic.v3 import sysreg

# -- SGI generation --------------------------------------------------------------------------------

AFFINITIES: Final = [0x0, 0x1, 0xF, 0x100, 0x2_0000, 0x0300_0000, 0x10]
"""Aff3.Aff2.Aff1.Aff0 of vCPUs 0 to 6; vCPU 1 sends."""

IRM: Final = 1 << 40


class Sgi(NamedTuple):
    value: int  # but for the INTID
    reach: set[int]  # indices of the vCPUs that get it


SGIS: Final = {
    "one target": Sgi(1 << 0, {0}),
    "itself": Sgi(1 << 1, {1}),
    "several": Sgi(1 << 0 | 1 << 1 | 1 << 15, {0, 1, 2}),
    "all bits: those who are not there are passed over": Sgi(0xFFFF, {0, 1, 2}),
    "nobody there": Sgi(1 << 7, set()),
    "an empty list": Sgi(0, set()),
    "Aff1": Sgi(1 << 16 | 1 << 0, {3}),
    "Aff2": Sgi(2 << 32 | 1 << 0, {4}),
    "Aff3 takes part": Sgi(3 << 48 | 1 << 0, {5}),
    "Aff3 that nobody has": Sgi(1 << 48 | 1 << 0, set()),
    "all of the affinity must match": Sgi(2 << 32 | 1 << 16 | 1 << 0, set()),
    "RS is ignored: Aff0 of 16 cannot be named": Sgi(1 << 44 | 1 << 0, {0}),
    "IRM: all but the sender": Sgi(IRM, {0, 2, 3, 4, 5, 6}),
    "IRM: whatever else is said": Sgi(IRM | 3 << 48 | 7 << 32 | 0xFF << 16 | 1 << 1, {0, 2, 3, 4, 5, 6}),
    "reserved bits are ignored": Sgi(1 << 63 | 0x7F << 41 & ~(0xF << 44) | 0xF << 28 | 1 << 0, {0}),
}


def sgi_regs() -> Regs:
    regs = Regs(vcpus=len(AFFINITIES))
    for vcpu, affinity in zip(regs.vcpus, AFFINITIES, strict=True):
        vcpu.set_mpidr(affinity)
    return regs


def reached(regs: Regs, intid: int) -> set[int]:
    return {vcpu.index for vcpu in regs.vcpus if vcpu.private[intid].pending_latch}


@pytest.mark.parametrize("intid", [0, SGI, 15])
@pytest.mark.parametrize("row", SGIS.values(), ids=SGIS)
def test_an_sgi_reaches(row: Sgi, intid: int) -> None:
    regs = sgi_regs()
    sender = regs.vcpus[1]
    sender.enter()
    assert sender.msr(ICC_SGI1R_EL1, row.value | intid << 24)
    sender.exit()
    listed = {vcpu.index for vcpu in regs.vcpus if vcpu.ap_list}
    assert (reached(regs, intid), listed) == (row.reach, row.reach)
    latched = {irq.intid for vcpu in regs.vcpus for irq in vcpu.private if irq.pending_latch}
    assert latched == ({intid} if row.reach else set()), "no other SGI"


@pytest.mark.parametrize("intid", [0, 15])
def test_a_broadcast_kicks_everybody_else_once(intid: int) -> None:
    regs = sgi_regs()
    regs.vcpus[1].enter()
    regs.vcpus[1].msr(ICC_SGI1R_EL1, IRM | intid << 24)
    assert sorted(regs.kicks) == [0, 2, 3, 4, 5, 6]


class Grouped(NamedTuple):
    register: int
    group: int  # of the SGI, at its target
    sent: bool


GROUPED: Final = {
    "SGI1R, group 0 there": Grouped(ICC_SGI1R_EL1, 0, True),
    "SGI1R, group 1 there": Grouped(ICC_SGI1R_EL1, 1, True),
    "SGI0R, group 0 there": Grouped(ICC_SGI0R_EL1, 0, True),
    "SGI0R, group 1 there": Grouped(ICC_SGI0R_EL1, 1, False),
    "ASGI1R, group 0 there": Grouped(ICC_ASGI1R_EL1, 0, True),
    "ASGI1R, group 1 there": Grouped(ICC_ASGI1R_EL1, 1, False),
}


@pytest.mark.parametrize("value", [1 << 0, IRM], ids=["to one", "to all"])
@pytest.mark.parametrize("row", GROUPED.values(), ids=GROUPED)
def test_the_targets_group_decides(row: Grouped, value: int) -> None:
    regs = Regs(vcpus=2)
    regs.irq(SGI, of=0).group = row.group
    regs.irq(SGI, of=1).group = 1 - row.group
    regs.vcpus[1].enter()
    assert regs.vcpus[1].msr(row.register, value | SGI << 24)
    assert reached(regs, SGI) == ({0} if row.sent else set())


def test_a_disabled_sgi_is_latched_but_not_listed() -> None:
    regs = Regs(vcpus=2)
    regs.irq(SGI, of=0).enabled = False
    regs.vcpus[1].enter()
    regs.vcpus[1].msr(ICC_SGI1R_EL1, 1 << 0 | SGI << 24)
    assert (regs.flags(regs.irq(SGI, of=0)), regs.kicks) == ("latch", [])


def test_an_sgi_sent_to_itself_is_there_when_the_guest_goes_on() -> None:
    regs = Regs()
    vcpu = regs.vcpus[0]
    vcpu.enter()
    vcpu.msr(ICC_PMR_EL1, 0xF0)
    vcpu.msr(ICC_IGRPEN1_EL1, 1)
    vcpu.msr(ICC_SGI1R_EL1, 1 << 0 | SGI << 24)
    assert vcpu.mrs(ICC_IAR1_EL1) == SGI


# -- what is not there -----------------------------------------------------------------------------

WRITE_ONLY: Final = [ICC_SGI1R_EL1, ICC_SGI0R_EL1, ICC_ASGI1R_EL1, ICC_EOIR0_EL1, ICC_EOIR1_EL1, ICC_DIR_EL1]
READ_ONLY: Final = [ICC_IAR0_EL1, ICC_IAR1_EL1, ICC_HPPIR0_EL1, ICC_HPPIR1_EL1, ICC_RPR_EL1]

modes = pytest.mark.parametrize("trapped", [False, True], ids=["in hardware", "trapped"])


def running(trapped: bool) -> Vgic:
    vm = make_vm(1, trapped=trapped)
    vm.vcpus[0].enter()
    return vm


@modes
@pytest.mark.parametrize("register", WRITE_ONLY, ids=SYSREG_NAMES.__getitem__)
def test_a_write_only_register_cannot_be_read(register: int, trapped: bool) -> None:
    assert running(trapped).vcpus[0].mrs(register) == UNDEFINED


@modes
@pytest.mark.parametrize("register", READ_ONLY, ids=SYSREG_NAMES.__getitem__)
def test_a_read_only_register_cannot_be_written(register: int, trapped: bool) -> None:
    assert not running(trapped).vcpus[0].msr(register, 0)


@modes
def test_sre_is_fixed(trapped: bool) -> None:
    vcpu = running(trapped).vcpus[0]
    reads = []
    for value in (0, 7, 1):
        assert vcpu.msr(ICC_SRE_EL1, value)
        reads.append(vcpu.mrs(ICC_SRE_EL1))
    assert reads == [7, 7, 7]


ICC_EL1: Final = {name: enc for enc, name in SYSREG_NAMES.items() if name.startswith("ICC_") and name.endswith("EL1")}


HANDLED: Final = {
    ICC_SGI1R_EL1: (UNDEFINED, True),
    ICC_SGI0R_EL1: (UNDEFINED, True),
    ICC_ASGI1R_EL1: (UNDEFINED, True),
    ICC_SRE_EL1: (7, True),
}


@pytest.mark.parametrize("register", ICC_EL1.values(), ids=ICC_EL1)
def test_the_host_handles_sgis_and_sre_and_nothing_else(register: int) -> None:
    vcpu = Regs().vcpus[0]
    got = sysreg.read(vcpu, register), sysreg.write(vcpu, register, 0)
    assert got == HANDLED.get(register, (UNDEFINED, False))


@modes
@pytest.mark.parametrize("register", ICC_EL1.values(), ids=ICC_EL1)
def test_without_a_gicv3_every_register_is_undefined(register: int, trapped: bool) -> None:
    vm = Vgic(make_vm(1, trapped=trapped).host, threads=False)
    vcpu = vm.create_vcpu()
    vcpu.enter()
    assert (vcpu.mrs(register), vcpu.msr(register, 0)) == (UNDEFINED, False)
