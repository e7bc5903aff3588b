"""Several PEs: SGIs, routing, and what holds after any sequence of accesses."""

from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hw
from hw import Machine, Memory, PhysConfig, VirtConfig, arch
from hw.physirq import PhysIrq
from tests.unit.hw.rig import PENDBASE, PROPBASE, Rig, configure, host_rig

AFFINITIES: Final = (0, 1, 15, 16, 0x1_00, 0x1_00_00, 0x01_00_00_00, 0x03_02_01_23)


class Sgi(NamedTuple):
    """What PE 0 writes to ICC_SGI1R_EL1, and which PEs of AFFINITIES get it."""

    value: int
    reaches: set[int]


SGIS = {
    "TargetList names Aff0 0..15": Sgi(0x8003, {0, 1, 2}),
    "an empty TargetList names nobody": Sgi(0, set()),
    "RS 1 names Aff0 16..31": Sgi(1 << 44 | 1, {3}),
    "a PE that does not exist is passed over": Sgi(0x4, set()),
    "Aff1": Sgi(1 << 16 | 1, {4}),
    "Aff2": Sgi(1 << 32 | 1, {5}),
    "Aff3": Sgi(1 << 48 | 1, {6}),
    "all levels at once": Sgi(3 << 48 | 2 << 44 | 2 << 32 | 1 << 16 | 8, {7}),
    "a wrong RS": Sgi(3 << 48 | 2 << 32 | 1 << 16 | 8, set()),
    "IRM: everyone else, whatever the rest says": Sgi(1 << 40 | 0xFFFF, set(range(1, 8))),
}


@pytest.mark.parametrize("row", SGIS.values(), ids=SGIS)
def test_sgi_reaches(row: Sgi) -> None:
    machine = Machine(len(AFFINITIES), affinities=AFFINITIES)
    assert machine.pes[0].msr_el2(arch.ICC_SGI1R_EL1, 7 << 24 | row.value) == 0
    pending = {pe.index for pe in machine.pes if pe.redist.irq(7).pending()}
    assert pending == row.reaches
    machine.check()


def test_sgi_from_one_pe_interrupts_another() -> None:
    rig = host_rig(cpus=2)
    rig.run("SGI1R=0x03000002; lines→none; 1:lines→IRQ; 1:IAR1→3; 1:EOIR1=3; 1:A3→1; A3→0; 1:DIR=3; 1:A3→0")


def test_spi_follows_its_route() -> None:
    rig = host_rig(cpus=2)
    rig.run("pend45; lines→IRQ; 1:lines→none; 1:IAR1→1023")
    configure(rig, rig.machine.pes[1], 45, 0xA0, 1)
    rig.run("lines→none; HPPIR1→1023; 1:lines→IRQ; 1:IAR1→45")


def test_any_pe_may_take_a_one_of_n_spi_but_only_one_does() -> None:
    rig = host_rig(cpus=2)
    rig.machine.dist.write(arch.GICD_IROUTER + 8 * 45, 8, arch.IROUTER_IRM)
    rig.run("pend45; lines→IRQ; 1:lines→IRQ; 1:IAR1→45; lines→none; IAR1→1023")


def test_any_pe_may_deactivate_an_spi_but_only_its_own_ppi() -> None:
    rig = host_rig(cpus=2)
    rig.run("pend45; IAR1→45; EOIR1=45; 1:DIR=45; A45→0; line26=1; IAR1→26; EOIR1=26; 1:DIR=26; A26→1; DIR=26; A26→0")


def test_default_affinities_fill_clusters_of_sixteen() -> None:
    assert [pe.aff for pe in Machine(18).pes][14:] == [14, 15, 0x100, 0x101]


WRONG = {
    "no CPU": (0, None, "0 CPUs"),
    "too few": (2, (0,), "2 CPUs"),
    "twice the same": (2, (1, 1), "different"),
    "too wide": (1, (1 << 32,), "Aff3.Aff2.Aff1.Aff0"),
}


@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG)
def test_impossible_affinities_are_refused(row: tuple[int, tuple[int, ...] | None, str]) -> None:
    cpus, affinities, message = row
    with pytest.raises(ValueError, match=message):
        Machine(cpus, affinities=affinities)


def test_the_clock_shows_the_time_that_passed() -> None:
    machine = Machine()
    machine.tick(3)
    machine.tick(4)
    assert machine.now == 7


def test_package_names_what_it_exports() -> None:
    assert all(hasattr(hw, name) for name in hw.__all__)


def test_session_of_the_package_docstring() -> None:
    source = str(hw.__doc__).split("\n\n")[-1]
    exec("\n".join(line.removeprefix("    ") for line in source.splitlines()), {"Machine": Machine, "arch": arch})


# Anything that software can do

CONFIGS = {
    "one state": (VirtConfig(), PhysConfig()),
    "two states": (VirtConfig(), PhysConfig(single_security=False, nr_spis=32)),
    "other widths": (
        VirtConfig(n_lr=2, pri_bits=7, pre_bits=7, sre_legacy=True),
        PhysConfig(phys_pri_bits=8, nr_spis=32, id_bits=16),
    ),
    "6 bits, two states, legacy": (
        VirtConfig(n_lr=3, pri_bits=6, pre_bits=6, sre_legacy=True),
        PhysConfig(phys_pri_bits=6, nr_spis=64, single_security=False),
    ),
}

ENCODINGS: Final = (*arch.SYSREG_NAMES, arch.sysreg(3, 0, 12, 12, 0) + 4, 0, 0xFFFF)
INTERESTING: Final = (
    arch.GICD_CTLR,
    arch.GICD_IGROUPR,
    arch.GICD_IGROUPR + 4,
    arch.GICD_ISENABLER,
    arch.GICD_ISENABLER + 4,
    arch.GICD_ISPENDR,
    arch.GICD_ISPENDR + 4,
    arch.GICD_ICPENDR + 4,
    arch.GICD_ISACTIVER + 4,
    arch.GICD_ICACTIVER + 4,
    arch.GICD_IPRIORITYR + 32,
    arch.GICD_ICFGR + 8,
    arch.GICD_IGRPMODR + 4,
    arch.GICD_IROUTER + 8 * 32,
)
RD_REGISTERS: Final = (arch.GICR_CTLR, arch.GICR_WAKER, arch.GICR_PROPBASER, arch.GICR_PENDBASER, arch.GICR_SETLPIR)
VALUES: Final = st.one_of(
    st.sampled_from((0, 1, 2, 3, 32, 40, 0x80, 0xF8, 0xFFFF_FFFF, 8192, 1023, (1 << 64) - 1, PROPBASE | 13, PENDBASE)),
    st.integers(0, (1 << 64) - 1),
    st.builds(  # a list register
        lambda state, flags, priority, pintid, vintid: (
            state << 62 | flags << 60 | priority << 48 | pintid << 32 | vintid
        ),
        st.integers(1, 3),
        st.integers(0, 3),
        st.sampled_from((0, 0x40, 0x80, 0xF0)),
        st.sampled_from((0, 26, 40, 512)),
        st.sampled_from((3, 26, 40, 8192)),
    ),
)
OFFSETS: Final = st.one_of(
    st.sampled_from(INTERESTING + tuple(arch.GICR_SGI_BASE + o for o in INTERESTING) + RD_REGISTERS),
    st.integers(0, 0x2_0000),
)
CONTROLS: Final = (
    "imo",
    "fmo",
    "amo",
    "tge",
    "e2h",
    "vi",
    "vf",
    "scr_ns",
    "scr_eel2",
    "scr_irq",
    "scr_fiq",
    "pstate_i",
)

PE: Final = st.integers(0, 1)
STEPS: Final = st.one_of(
    st.tuples(st.just("mrs"), PE, st.integers(0, 3), st.sampled_from(ENCODINGS), st.just(0)),
    st.tuples(st.just("msr"), PE, st.integers(0, 3), st.sampled_from(ENCODINGS), VALUES),
    st.tuples(st.sampled_from(("gicd", "gicr")), PE, st.sampled_from((1, 2, 4, 8, 104, 108)), OFFSETS, VALUES),
    st.tuples(st.just("control"), PE, st.integers(0, 1), st.sampled_from(range(len(CONTROLS))), st.just(0)),
    st.tuples(st.just("line"), PE, st.integers(0, 1), st.sampled_from((16, 26, 31, 32, 40)), st.just(0)),
)
Step = tuple[str, int, int, int, int]


def perform(machine: Machine, step: Step) -> None:
    """One access, wire or control bit; sizes over 100 are Secure accesses."""
    what, number, how, where, value = step
    pe = machine.pes[number]
    if what == "mrs":
        got = (pe.mrs_el0, pe.mrs_el1, pe.mrs_el2, pe.mrs_el3)[how](where)
        assert arch.TRAP_EL3 <= got < 1 << 64
    elif what == "msr":
        assert (pe.msr_el0, pe.msr_el1, pe.msr_el2, pe.msr_el3)[how](where, value) in range(arch.TRAP_EL3, 1)
    elif what == "control":
        setattr(pe, CONTROLS[where], how != 0)
    elif what == "line":
        (pe.redist if where < 32 else machine.dist).set_line(where, how != 0)
    else:
        frame = machine.dist if what == "gicd" else pe.redist
        size, secure = how % 100, how > 100
        frame.write(where, size, value, secure)
        assert 0 <= frame.read(where, size, secure) < 1 << 8 * size


def observable(machine: Machine) -> list[object]:
    """What looking at the machine shows; looking changes nothing."""
    seen: list[object] = [machine.dist.read(offset, 4, True) for offset in INTERESTING]
    for pe in machine.pes:
        seen += [pe.redist.read(arch.GICR_SGI_BASE + offset, 4, True) for offset in INTERESTING]
        seen += [pe.lines(), pe.isr_el1(), pe.virt.snapshot(), list(pe.phys.ap), sorted(pe.redist.lpis.pending)]
    return seen


def irqs(machine: Machine) -> list[PhysIrq]:
    """Every SGI, PPI and SPI of the machine."""
    return [irq for pe in machine.pes for irq in pe.redist.irqs] + machine.dist.irqs


@pytest.mark.parametrize("configs", CONFIGS.values(), ids=CONFIGS)
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=25))
def test_any_access_keeps_the_machine_whole(configs: tuple[VirtConfig, PhysConfig], steps: list[Step]) -> None:
    machine = Machine(2, *configs, memory=Memory(0x30000))
    for step in steps:
        perform(machine, step)
        machine.check()
    assert observable(machine) == observable(machine)


WIRES: Final = ("pend45", "pend46", "pend3", "unpend45", "line26=1", "line26=0", "HCR=0x3", "HCR=0x1")
CONTROL: Final = ("PMR=0xF0", "PMR=0xA0", "BPR1=6", "BPR1=0", "CTLR=0", "CTLR=2", "IGRPEN1=0", "IGRPEN1=1")
HOST_STEPS: Final = (*WIRES, *CONTROL, "iar", "iar", "eoi", "dir")


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(HOST_STEPS), max_size=40))
def test_acknowledge_takes_exactly_what_is_signalled(steps: list[str]) -> None:
    """IAR1 returns an interrupt exactly if IRQ was high; it was pending, becomes active, raises the priority."""
    rig: Rig = host_rig()
    pe = rig.machine.pes[0]
    taken: list[int] = []
    for step in steps:
        if step == "iar":
            high, before, running = pe.irq(), {irq.intid for irq in irqs(rig.machine) if irq.active}, pe.phys.running()
            intid = pe.mrs_el2(arch.ICC_IAR1_EL1)
            after = {irq.intid for irq in irqs(rig.machine) if irq.active}
            assert high == (intid != arch.INTID_SPURIOUS)
            assert after - before == ({intid} if high else set())
            assert (pe.phys.running() < running) == high
            taken += [intid] if high else []
        elif step in ("eoi", "dir"):
            intid = taken.pop() if taken else 45
            pe.msr_el2(arch.ICC_EOIR1_EL1 if step == "eoi" else arch.ICC_DIR_EL1, intid)
        else:
            rig.run(step)
        rig.machine.check()
