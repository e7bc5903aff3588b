"""The virtual CPU interface with a direct interrupt beside list registers: rows F01 to F06, and who is told."""

import pytest

from hw import GicVersion, Pe, V4Config, VirtConfig, arch
from tests.unit.hw.rig4 import V1, Rig4, mapd, vmapti, vsgi

VLPI = 8200


def rig_with(byte: int, virt: VirtConfig | None = None) -> Rig4:
    """vLPI 8200 is offered; LR 0 has INTID 40 of Group 1, priority 0x80."""
    rig = Rig4(virt=virt)
    rig.map()
    rig.vlpi(0, VLPI, byte)
    rig.send(vmapti(0, 8, 0, VLPI))
    rig.res()
    rig.msi(8)
    rig.pes[0].virt.write_lr(0, 40, True, False, 0x80, 1, False, 0, False)
    return rig


def hppir(rig: Rig4) -> int:
    return rig.pes[0].mrs_el1(arch.ICC_HPPIR1_EL1)


def test_f01_a_list_register_wins_a_tie() -> None:
    assert hppir(rig_with(0x83)) == 40


def test_f02_a_better_direct_interrupt_uses_no_list_register() -> None:
    rig = rig_with(0x7B)
    virt = rig.pes[0].virt
    lr = virt.lrs[0].encode()
    assert (hppir(rig), rig.iar()) == (VLPI, VLPI)
    assert (virt.ap1, virt.lrs[0].encode()) == (0x8000, lr)
    assert VLPI not in rig.machine.vpes.by_key[0].pending
    rig.eoi(VLPI)
    assert (virt.ap1, virt.eoicount) == (0, 0)


def test_f03_group_enable_hides_both() -> None:
    rig = rig_with(0x7B)
    rig.pes[0].msr_el1(arch.ICC_IGRPEN1_EL1, 0)
    assert hppir(rig) == 1023


def test_f04_dvim_hides_the_direct_one() -> None:
    rig = rig_with(0x7B, VirtConfig(dvim=True))
    rig.pes[0].virt.write_hcr(arch.HCR_EN | arch.HCR_DVIM)
    assert hppir(rig) == 40


@pytest.mark.parametrize("suppress", [0, arch.HCR_VSGIEOICOUNT], ids=["F05", "F06"])
def test_f05_f06_a_direct_sgi_counts_unless_told_not_to(suppress: int) -> None:
    rig = Rig4()
    rig.map()
    rig.send(vsgi(0, 3, priority=0x40))
    rig.pes[0].virt.write_hcr(arch.HCR_EN | suppress)
    rig.res()
    rig.sgir(0, 3)
    assert rig.iar() == 3
    rig.eoi(3)
    assert rig.pes[0].virt.eoicount == (0 if suppress else 1)


def test_a_spi_without_list_register_always_counts() -> None:
    rig = rig_with(0x7B)
    virt = rig.pes[0].virt
    virt.write_hcr(arch.HCR_EN | arch.HCR_VSGIEOICOUNT)
    rig.iar()
    rig.eoi(50)
    assert virt.eoicount == 1


def test_registers_that_announce_direct_injection() -> None:
    rig = Rig4()
    virt = rig.pes[0].virt
    assert virt.read_vtr() & arch.VTR_NV4 == 0
    assert virt.config.id_gic == 3
    virt.write_hcr((1 << 32) - 1)
    assert virt.read_hcr() & arch.HCR_VSGIEOICOUNT
    old = Rig4(v4=V4Config(version=GicVersion.V4_0)).pes[0].virt
    old.write_hcr((1 << 32) - 1)
    assert (old.read_hcr() & arch.HCR_VSGIEOICOUNT, old.config.id_gic) == (0, 1)


class Seen:
    """A line watcher that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[int] = []

    def lines_changed(self, pe: Pe) -> None:
        self.lines.append(pe.lines())


def test_watchers_learn_of_direct_interrupts() -> None:
    rig = Rig4()
    rig.map()
    rig.res()
    seen = Seen()
    rig.pes[0].watcher = seen
    rig.msi()
    assert seen.lines == [4]
    rig.eoi(rig.iar())
    assert seen.lines == [4, 0]
    rig.nres(1, 0)
    rig.msi()
    assert seen.lines == [4, 0, 1], "the doorbell is a physical interrupt"
    rig.res()
    assert seen.lines == [4, 0, 1, 4]


def test_preemption_is_as_for_list_registers() -> None:
    rig = rig_with(0x7B)
    pe = rig.pes[0]
    pe.msr_el1(arch.ICC_BPR1_EL1, 3)
    rig.vlpi(0, V1, 0x43)
    rig.res()
    assert rig.iar() == VLPI
    rig.send(mapd(3))
    rig.msi(0)
    assert rig.iar() == V1
    assert pe.mrs_el1(arch.ICC_RPR_EL1) == 0x40
    rig.eoi(V1)
    rig.eoi(VLPI)
    assert rig.iar() == 40


def test_m27_is_not_seen_where_it_is_not() -> None:
    rig = Rig4()
    rig.map()
    rig.vlpi(0, VLPI, 0x43)
    rig.send(vmapti(0, 8, 0, VLPI))
    rig.res()
    rig.msi(0)
    rig.eoi(rig.iar())
    virt = rig.pes[0].virt
    virt.write_lr(0, V1, True, False, 0x80, 1, False, 0, False)
    assert rig.virq(), "the list register has the INTID that was offered last"
    rig.msi(8)
    assert rig.take() == [VLPI, V1]
    assert rig.codes() == []
