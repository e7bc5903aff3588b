"""A PE with a GICv2, beside one with a GICv3: which frames it has, which registers it has not, who is told."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Machine, Pe, PhysConfig, V2Config, VirtConfig, arch
from tests.unit.hw.frames import OFFSETS, RECORDED
from tests.unit.hw.rig2 import GUEST, Host, host


def test_private_words_are_one_interface_for_both_gics() -> None:
    for machine in (Machine(2), Machine(2, gic=V2Config())):
        one, other = machine.pes
        one.write_private(arch.GICD_ISACTIVER, 1 << 27)
        assert one.read_private(arch.GICD_ISACTIVER) == 1 << 27
        assert other.read_private(arch.GICD_ISACTIVER) == 0
        one.private.set_line(27, True)
        assert one.read_private(arch.GICD_ISPENDR) == 1 << 27
        one.write_private(arch.GICD_ICACTIVER, 1 << 27)
        assert not one.private.irq(27).active
        assert (one.cost.mmio_reads, one.cost.mmio_writes) == (2, 2)
        assert (machine.dist.cost.mmio_reads, machine.dist.cost.mmio_writes) == (0, 0)


def test_gicv2_has_no_system_registers() -> None:
    pe = host().machine.pes[0]
    pe.imo = pe.fmo = True
    for encoding in arch.SYSREG_NAMES:
        if encoding != arch.ISR_EL1:
            reads = (pe.mrs_el0(encoding), pe.mrs_el1(encoding), pe.mrs_el2(encoding), pe.mrs_el3(encoding))
            assert set(reads) == {arch.UNDEFINED}
        writes = (pe.msr_el0(encoding, 0), pe.msr_el1(encoding, 0), pe.msr_el2(encoding, 0), pe.msr_el3(encoding, 0))
        assert set(writes) == {arch.UNDEFINED}


def test_isr_shows_the_lines_of_each_level() -> None:
    it = host()
    pe = it.machine.pes[0]
    it.run("pend45")
    assert (pe.mrs_el1(arch.ISR_EL1), pe.mrs_el2(arch.ISR_EL1)) == (arch.ISR_I, arch.ISR_I)
    it.run(f"{GUEST}; VMCR=0xF84C0009; HCR=0x1; LR0=0x1A000040; lines→IRQ+vFIQ")
    assert (pe.mrs_el1(arch.ISR_EL1), pe.mrs_el2(arch.ISR_EL1)) == (arch.ISR_F, arch.ISR_I)
    assert (pe.irq_taken(), pe.vfiq_taken(), pe.virq_taken()) == (True, True, False)


def test_recorded_profile_is_chosen_once_for_frame_and_lines() -> None:
    it = host(1, RECORDED)
    it.run(f"{GUEST}; HCR=0x1; VMCR=0xF84C0002; LR0=0x14000028; lines→none; V_HPPIR→40; V_AIAR→0; V_IAR→40")


class Recorder:
    """Remembers the lines at each change."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def lines_changed(self, pe: Pe) -> None:
        self.seen.append(pe.lines())


def test_watcher_is_told_of_accesses_to_every_frame() -> None:
    it = host(2)
    pe = it.machine.pes[0]
    watcher = pe.watcher = Recorder()
    it.run(f"{GUEST}; HCR=0x1; LR0=0x1A000040; V_RPR→0xFF; V_IAR→64; V_EOIR=64")
    it.run("pend45; pend45; PMR=0xA0; PMR=0xF0; IAR→45; EOIR=45; 1:DIR=45; 1:D0F00=0x00010003")
    assert watcher.seen == [4, 0, 1, 0, 1, 0, 1]
    pe.watcher = None
    it.run("V_IAR→1023; IAR→1027")
    assert len(watcher.seen) == 7


def test_a_gicv2_takes_nothing_of_a_gicv3() -> None:
    with pytest.raises(ValueError, match=r"virt=VirtConfig\(.*\) is not None"):
        Machine(virt=VirtConfig(), gic=V2Config())
    with pytest.raises(ValueError, match="single_security=False is not True"):
        Machine(phys=PhysConfig(single_security=False), gic=V2Config())


def test_a_gicv2_has_at_most_eight_pes() -> None:
    Machine(8, gic=V2Config()).check()
    with pytest.raises(ValueError, match="cpus=9"):
        Machine(9, gic=V2Config())


# Anything that software can do

WORDS: Final = st.sampled_from(
    (
        *(0, 1, 2, 3, 5, 26, 45, 64, 0x405, 1023, 0x201, 0x207, 0x21F, 0xF0, 0xFFFF_FFFF),
        *(0x9A00_B440, 0x1808_0C05, 0x5A00_0028, 0xF84C_0003, 0x0200_0003, 0x00FF_0005),
    )
)
FRAMES: Final = st.one_of(
    st.tuples(st.just("gicc"), st.sampled_from([at for name, at in OFFSETS.items() if name.startswith("GICC_")])),
    st.tuples(st.just("gicv"), st.integers(0, 0x2F).map(lambda n: n & ~3)),
    st.tuples(st.just("gicv"), st.sampled_from((arch.GICC_DIR, arch.GICC_APR, arch.GICC_IAR, arch.GICC_EOIR))),
    st.tuples(st.just("gich"), st.sampled_from((0, 4, 8, 0x10, 0x20, 0x30, 0xF0, 0x100, 0x104, 0x10C, 0x110))),
    st.tuples(st.just("gicd"), st.integers(0, 0x400).map(lambda n: n * 4)),
    st.tuples(st.just("line"), st.sampled_from((16, 26, 32, 45))),
)
STEPS: Final = st.tuples(st.integers(0, 1), st.booleans(), FRAMES, WORDS)


def step(it: Host, pe: Pe, write: bool, where: tuple[str, int], value: int) -> None:
    """One access or wire; a read gives a word."""
    frame, offset = where
    assert pe.gicv is not None
    if frame == "line":
        (pe.private if offset < arch.FIRST_SPI else it.dist).set_line(offset, write)
    elif frame == "gicd":
        it.dist.write(offset, 4, value, cpu=pe.index)
        assert 0 <= it.dist.read(offset, 4, cpu=pe.index) < 1 << 32
    elif frame == "gich":
        pe.gich.write(offset, value)
        assert 0 <= pe.gich.read(offset) < 1 << 32
    else:
        cpuif = pe.gicc if frame == "gicc" else pe.gicv
        if write:
            cpuif.write(offset, value)
        else:
            assert 0 <= cpuif.read(offset) < 1 << 32


@pytest.mark.parametrize("config", [V2Config(), RECORDED], ids=["arch", "recorded"])
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_any_access_keeps_the_machine_whole(
    config: V2Config, steps: list[tuple[int, bool, tuple[str, int], int]]
) -> None:
    it = host(2, config)
    for cpu, write, where, value in steps:
        step(it, it.machine.pes[cpu], write, where, value)
        it.machine.check()
