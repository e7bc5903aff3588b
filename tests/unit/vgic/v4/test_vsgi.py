"""SGIs that hardware delivers: negotiated, configured by the redistributor's registers, sent, read back."""

import errno

import pytest

from hw import GicVersion, V4Config, VirtConfig, arch
from hw import arch4 as a
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v4.rig import V4Rig, make_host
from vgic import Group
from vgic.v4.registers import NASSGICAP, NASSGIREQ
from vgic.v4.vpe41 import NO_ANSWER, Vpe41
from vgic.v4.vsgi import Vsgi

GICD_CTLR = 0x0800_0000
GICD_TYPER2 = 0x0800_000C
SGI = 0x1_0000
IGROUPR0, ISENABLER0, ICENABLER0 = SGI + 0x80, SGI + 0x100, SGI + 0x180
ISPENDR0, ICPENDR0, ISACTIVER0, ICACTIVER0 = SGI + 0x200, SGI + 0x280, SGI + 0x300, SGI + 0x380
IPRIORITYR0 = SGI + 0x400
OFF, ON = 0x10, 0x12
IRM = 1 << 40


def negotiated(vcpus: int = 2, v4: V4Config | None = None, strict: bool = True) -> V4Rig:
    """A guest that does without active SGIs, its vCPUs running each on its own CPU."""
    rig = V4Rig(vcpus, host=make_host(v4=v4, strict=strict))
    for n in range(vcpus):
        rig.run(n, n)
    switch(rig, True)
    rig.log.clear()
    return rig


def switch(rig: V4Rig, on: bool) -> None:
    rig.vcpus[0].write(GICD_CTLR, 4, OFF)
    rig.vcpus[0].write(GICD_CTLR, 4, ON | (NASSGIREQ if on else 0))
    rig.check()


def send(rig: V4Rig, sgi: int, targets: int, register: int = arch.ICC_SGI1R_EL1, sender: int = 0) -> None:
    rig.vcpus[sender].msr(register, sgi << 24 | targets)
    rig.check()


def hardware(rig: V4Rig, sgi: int, of: int = 0) -> tuple[int, int, int]:
    """Enable, group, priority, as the hardware has them."""
    byte = rig.machine.vpes.by_key[rig.vpe(of).vpeid].config[sgi]
    return byte & 1, byte >> 1 & 1, byte & 0xFC


# Negotiation


@pytest.mark.parametrize(
    ("v4", "virt", "capable"),
    [
        pytest.param(V4Config(), None, True, id="all of it is GICv4.1"),
        pytest.param(V4Config(vsgi=False), None, False, id="an ITS without SGIs"),
        pytest.param(V4Config(), VirtConfig(version=GicVersion.V4_0), False, id="B68: an older CPU interface"),
        pytest.param(V4Config(version=GicVersion.V4_0), None, False, id="GICv4.0"),
    ],
)
def test_the_offer(v4: V4Config, virt: VirtConfig | None, capable: bool) -> None:
    rig = V4Rig(host=make_host(v4=v4, virt=virt))
    rig.run()
    told = NASSGICAP if capable else 0
    assert rig.vcpus[0].read(GICD_TYPER2, 4) == told
    switch(rig, True)
    assert bool(rig.vcpus[0].read(GICD_CTLR, 4) & NASSGIREQ) is capable
    assert isinstance(rig.found(0).direct, Vsgi) is capable
    rig.vcpus[0].exit()
    assert outcome(rig.gic.set_attr, Group.DIST_REGS, 0xC, told) == 0
    assert outcome(rig.gic.set_attr, Group.DIST_REGS, 0xC, told ^ NASSGICAP) == errno.EINVAL, "B53"
    rig.forwarded()
    rig.run()
    rig.msi_from(0)
    assert rig.take() == 8192, "vLPIs are direct everywhere"


def test_it_cannot_be_changed_while_enabled() -> None:
    """B37, P24."""
    rig = V4Rig()
    rig.run()
    seen = []
    for value in (ON | NASSGIREQ, OFF, ON | NASSGIREQ, ON, OFF | NASSGIREQ, OFF):
        rig.vcpus[0].write(GICD_CTLR, 4, value)
        seen.append(rig.vcpus[0].read(GICD_CTLR, 4))
        rig.check()
    on, off = 0x52, 0x50
    assert seen == [on, off, on | NASSGIREQ, on | NASSGIREQ, off | NASSGIREQ, off]


def test_every_sgi_of_every_vcpu_is_handed_over() -> None:
    """B38: two VSGIs for each: its configuration, then not pending."""
    rig = V4Rig()
    for n in range(2):
        rig.run(n, n)
    rig.found(5, 1).priority = 0x48
    rig.found(6, 1).enabled = False
    rig.found(7, 1).group = 0
    rig.log.clear()
    switch(rig, True)
    assert rig.log.names() == ["VSGI", "VSYNC"] * 64
    assert [hardware(rig, n, 1) for n in (5, 6, 7)] == [(1, 1, 0x40), (0, 1, 0), (1, 0, 0)]
    assert rig.vcpus[1].cost.exits_irq >= 1, "nobody runs meanwhile"


def test_pending_goes_along_and_comes_back() -> None:
    """B39, B40: latch to hardware, hardware to latch; delivered once."""
    rig = V4Rig()
    rig.run()
    rig.dist.enabled = False
    rig.found(5).pending_latch = True
    switch(rig, True)
    assert not rig.found(5).pending_latch
    assert rig.machine.itss[0].cost.vsgis == 1
    assert rig.take() == 5
    assert rig.take() == 1023
    rig.vcpus[0].msr(arch.ICC_PMR_EL1, 0)
    send(rig, 5, 1)
    rig.vcpus[0].write(GICD_CTLR, 4, OFF)
    assert (rig.found(5).pending_latch, rig.found(5).direct) == (True, None)
    assert hardware(rig, 5)[0] == 0
    rig.vcpus[0].msr(arch.ICC_PMR_EL1, 0xF0)
    writes = rig.vcpus[0].cost.lr_writes
    rig.vcpus[0].write(GICD_CTLR, 4, ON)
    assert [rig.take(), rig.take()] == [5, 1023]
    assert rig.vcpus[0].cost.lr_writes > writes


def test_one_that_is_active_loses_that_state() -> None:
    rig = V4Rig()
    rig.run()
    send(rig, 3, 1)
    assert rig.vcpus[0].mrs(arch.ICC_IAR1_EL1) == 3
    switch(rig, True)
    assert not rig.found(3).active
    rig.vcpus[0].msr(arch.ICC_EOIR1_EL1, 3)
    send(rig, 3, 1)
    assert rig.take() == 3


# Sending


def test_one_trap_and_no_list_register() -> None:
    """C3, C6: no target leaves its guest; the sender's exit is the only one."""
    rig = negotiated()
    before = [vcpu.cost.copy() for vcpu in rig.vcpus]
    for _ in range(5):
        send(rig, 1, 0b10)
        assert rig.take(1) == 1
    sender, target = (vcpu.cost.diff(cost) for vcpu, cost in zip(rig.vcpus, before, strict=True))
    assert (sender.exits_sysreg, sender.exits_irq, sender.lr_writes) == (5, 0, 0)
    assert (target.entries, target.exits_irq, target.lr_writes, target.direct_acks) == (0, 0, 0, 5)
    assert rig.log.names() == []


def test_broadcast() -> None:
    """B41, C5: a GITS_SGIR write for each target, and one exit."""
    rig = negotiated(4)
    rig.kicks.clear()
    vsgis = rig.machine.itss[0].cost.vsgis
    exits = rig.vcpus[0].cost.exits_sysreg
    send(rig, 2, IRM)
    assert rig.machine.itss[0].cost.vsgis - vsgis == 3
    assert rig.vcpus[0].cost.exits_sysreg - exits == 1
    assert rig.kicks == []
    assert [rig.take(n) for n in range(4)] == [1023, 2, 2, 2]


def test_a_blocked_target_is_woken_once() -> None:
    """C4."""
    rig = negotiated()
    assert rig.wfi(1)
    rig.kicks.clear()
    for n in range(4):
        send(rig, n, 0b10)
    assert (rig.kicks, rig.vpe(1).doorbells) == ([1], 1)
    rig.run(1, 1)
    assert [rig.take(1) for _ in range(5)] == [0, 1, 2, 3, 1023]


@pytest.mark.parametrize(
    ("register", "group", "sent"),
    [
        (arch.ICC_SGI1R_EL1, 1, True),
        (arch.ICC_SGI1R_EL1, 0, True),
        (arch.ICC_SGI0R_EL1, 0, True),
        (arch.ICC_SGI0R_EL1, 1, False),
        (arch.ICC_ASGI1R_EL1, 1, False),
    ],
    ids=["1 to 1", "B43: 1 to 0", "0 to 0", "B42: 0 to 1", "other 1 to 1"],
)
def test_the_group_is_checked_by_software(register: int, group: int, sent: bool) -> None:
    """Hardware has no check; and Group 0 is never enabled there, so what is sent to it stays pending, as in KVM."""
    rig = negotiated()
    rig.set_gicr(IGROUPR0, 0xFFFF if group else 0xFFFF & ~(1 << 4), 1, size=4)
    send(rig, 4, 0b10, register)
    assert rig.gicr(ISPENDR0, 1, 4) == (1 << 4 if sent else 0)
    assert rig.vcpus[1].mrs(arch.ICC_IAR0_EL1) == 1023
    assert rig.take(1) == (4 if sent and group else 1023)


# Registers


def test_group_and_priority() -> None:
    """B47, E3: a VSGI for each SGI of the access; bit 3 of a priority has no place in hardware."""
    rig = negotiated()
    rig.set_gicr(IGROUPR0, 0xFFF0, 1, size=4)
    assert rig.log.names() == ["VSGI", "VSYNC"] * 16
    rig.set_gicr(IPRIORITYR0, 0x00A8_4040, 1, size=4)
    assert rig.log.names() == ["VSGI", "VSYNC"] * 4
    rig.set_gicr(IPRIORITYR0 + 5, 0xA8, 1, size=1)
    assert rig.log.names() == ["VSGI", "VSYNC"]
    assert [hardware(rig, n, 1) for n in (0, 2, 5)] == [(1, 0, 0x40), (1, 0, 0xA0), (1, 1, 0xA0)]
    assert rig.gicr(IPRIORITYR0 + 5, 1, 1) == 0xA8
    assert rig.gicr(IPRIORITYR0, 1, 4) == 0x00A8_4040
    assert rig.gicr(IGROUPR0, 1, 4) & 0xFFFF == 0xFFF0


def test_enable() -> None:
    """B65: the first ICENABLER works, too (KVM 6.12 sends nothing for it)."""
    rig = negotiated()
    rig.set_gicr(ICENABLER0, 1 << 3 | 1 << 4, 1, size=4)
    assert rig.log.names() == ["VSGI", "VSYNC"] * 2
    send(rig, 3, 0b10)
    assert rig.take(1) == 1023
    rig.set_gicr(ICENABLER0, 1 << 3, 1, size=4)
    assert rig.log.names() == [], "it is disabled already"
    rig.set_gicr(ISENABLER0, 1 << 3 | 1 << 5, 1, size=4)
    assert rig.log.names() == ["VSGI", "VSYNC"]
    assert rig.take(1) == 3
    assert rig.gicr(ISENABLER0, 1, 4) & 0xFFFF == 0xFFFF & ~(1 << 4)


def test_pending() -> None:
    """B44, B45: hardware is asked for each SGI; clearing leaves the configuration alone."""
    rig = negotiated()
    rig.set_gicr(ICENABLER0, 0xFFFF, 1, size=4)
    rig.log.clear()
    rig.set_gicr(ISPENDR0, 1 << 1 | 1 << 9, 1, size=4)
    assert (rig.log.names(), rig.machine.itss[0].cost.vsgis) == ([], 2)
    before = rig.machine.pes[1].cost.copy()
    assert rig.gicr(ISPENDR0, 1, 4) == 0x0202
    spent = rig.machine.pes[1].cost.diff(before)
    assert (spent.mmio_writes, spent.mmio_reads) == (16, 16)
    config = hardware(rig, 9, 1)
    rig.set_gicr(ICPENDR0, 1 << 9, 1, size=4)
    words = rig.log.words()
    assert [a.COMMAND_NAMES[each[0] & 0xFF] for each in words] == ["VSGI", "VSYNC"]
    assert words[0][0] & a.VSGI_CLEAR
    assert (rig.gicr(ICPENDR0, 1, 4), hardware(rig, 9, 1)) == (0x0002, config)
    assert not rig.found(1, 1).pending_latch


def test_there_is_no_active_state() -> None:
    """B46; what a physical SGI or a list register would show is not there."""
    rig = negotiated()
    rig.set_gicr(ISACTIVER0, 1 << 3 | 1 << 20, 1, size=4)
    assert rig.gicr(ISACTIVER0, 1, 4) == 1 << 20, "the PPI has one"
    rig.set_gicr(ICACTIVER0, 1 << 3 | 1 << 20, 1, size=4)
    send(rig, 3, 0b10)
    assert rig.vcpus[1].mrs(arch.ICC_IAR1_EL1) == 3
    assert rig.gicr(ISACTIVER0, 1, 4) == 0
    send(rig, 3, 0b10)
    rig.vcpus[1].msr(arch.ICC_EOIR1_EL1, 3)
    assert rig.take(1) == 3


def test_no_answer() -> None:
    """B48: counts as not pending; what is asked for is told."""
    rig = negotiated(v4=V4Config(t_query=1 << 40), strict=False)
    vpe = rig.direct.vpe_of(rig.vcpus[1])
    assert isinstance(vpe, Vpe41)
    assert outcome(vpe.pending_sgis) == errno.ENXIO
    assert rig.gicv4.warnings == [NO_ANSWER]
    assert rig.gicr(ISPENDR0, 1, 4) == 0


def test_what_user_space_writes_reaches_hardware() -> None:
    """KVM leaves out enables, which is safe only before the first entry; here they go along."""
    rig = negotiated()
    for vcpu in rig.vcpus:
        vcpu.exit()
    mpidr = rig.vcpus[1].mpidr << 32
    rig.gic.set_attr(Group.REDIST_REGS, mpidr | ISPENDR0, 1 << 3)
    rig.gic.set_attr(Group.REDIST_REGS, mpidr | ISPENDR0, 1 << 4)
    assert rig.gic.get_attr(Group.REDIST_REGS, mpidr | ISPENDR0) == 1 << 4
    assert rig.gicr(ISPENDR0, 1, 4) == 1 << 4
    rig.gic.set_attr(Group.REDIST_REGS, mpidr | ICENABLER0, 0xFFFF)
    assert hardware(rig, 4, 1)[0] == 0
    rig.gic.set_attr(Group.REDIST_REGS, mpidr | ISENABLER0, 0x0010)
    assert hardware(rig, 4, 1)[0] == 1
    rig.gic.set_attr(Group.REDIST_REGS, mpidr | IPRIORITYR0 + 4, 0x20)
    assert hardware(rig, 4, 1) == (1, 1, 0x20)
    rig.gic.set_attr(Group.REDIST_REGS, mpidr | ISACTIVER0, 1 << 4)
    assert rig.gicr(ISACTIVER0, 1, 4) == 0
    rig.check()


def test_user_space_switches() -> None:
    """B52's first half: before a vCPU has run, at the first entry; later, at once (KVM: never)."""
    rig = V4Rig()
    rig.gic.set_attr(Group.DIST_REGS, 0, ON | NASSGIREQ)
    assert rig.dist.nassgireq
    assert rig.found(0).direct is None
    rig.run()
    assert rig.found(0).direct is not None
    rig.vcpus[0].exit()
    rig.gic.set_attr(Group.DIST_REGS, 0, ON)
    assert rig.found(0).direct is None
    rig.check()


def test_the_state_is_shown() -> None:
    rig = negotiated()
    rig.vcpus[1].msr(arch.ICC_PMR_EL1, 0)
    send(rig, 3, 0b10)
    shown = rig.vm.state()["vcpus"][1]["interrupts"][3]
    assert (shown["hw"], shown["pending_latch"]) == (True, True)
