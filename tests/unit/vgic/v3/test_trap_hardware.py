"""The CPU interface emulated at EL2 does what the hardware's does, but for a few things that KVM does otherwise.

A row of the hardware's tests must hold here too, unless DIFFERENCES names it; neither can a guest of random accesses
tell the two apart.
"""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import VirtConfig
from hw.cost import Cost
from hw.icv import Icv
from tests.unit.hw.scenario import guest_encoding
from tests.unit.hw.test_ich import EXISTENCE, STATUS_AND_SWITCH, VIEWS
from tests.unit.hw.test_icv import ACKNOWLEDGE, END_OF_INTERRUPT
from tests.unit.hw.test_icv_configs import PREEMPTION_BITS, SWITCHES
from tests.unit.vgic.v3.trap_play import make_vcpu, play
from vgic.v3.trap import emulate_read, emulate_write
from vgic.vcpu import VcpuGic

# Where KVM's interface and the modelled hardware's part ways: hardware's row -> what is read here

DIFFERENCES: Final = {
    "A03 En=0: HPPIR still reports, nothing can be signalled or acknowledged": (
        "HCR=0x0 VMCR=0xF84C000A LR0=0x5080000000000028",
        "HPPIR1→40; IAR1→40; LR0→0x9080000000000028",
    ),
    "A25 special INTID in an LR: state dropped, no AP bit (UNPREDICTABLE input)": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x50800000000003FD",
        "IAR1→1021; LR0→0x90800000000003FD; AP1R0→0x00010000; RPR→0x80",
    ),
    "A26 cross-group preemption uses the pending group's mask on both sides": (
        "HCR=0x1 VMCR=0xF85C000B LR0=0x4048000000000028",
        "IAR0→40; LR1=0x5040000000000029; IAR1→41; LR1→0x9040000000000029; AP1R0→0x1; RPR→0x0",
    ),
    "A30 VCBPR=1 with VBPR0=7: mask 0 for Group 1 too": (
        "HCR=0x1 VMCR=0xF8EC001A LR0=0x50C0000000000028",
        "BPR1→0x7; IAR1→40; AP1R0→0x10000; RPR→0x80",
    ),
    "B06 EOI with no AP bit set and no LR: no EOIcount": (
        "HCR=0x1 VMCR=0xF84C000A",
        "EOIR1=40; HCR→0x08000001",
    ),
    "B10 EOImode 1, EOIR with no LR": (
        "HCR=0x1 VMCR=0xF84C020A AP1R0=0x00010000",
        "EOIR1=99; AP1R0→0x0; HCR→0x08000001",
    ),
    "B13 EOIR of a special INTID ignored": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=1023; LR0→0x9080000000000028; AP1R0→0x0; HCR→0x08000001",
    ),
    "B18 AP0 and AP1 at the same level: AP0 is cleared": (
        "HCR=0x1 VMCR=0xF84C000B LR0=0x8080000000000028 LR1=0x9080000000000029 AP0R0=0x00010000 AP1R0=0x00010000",
        "EOIR1=41; AP0R0→0x00010000; AP1R0→0x0; LR0→0x8080000000000028; LR1→0x1080000000000029",
    ),
    "B28 EOImode 1: DIR before EOIR": (
        "HCR=0x1 VMCR=0xF84C020A LR0=0x5080000000000028",
        "IAR1→40; DIR=40; LR0→0x1080000000000028; AP1R0→0x00010000; EOIR1=40; AP1R0→0x0; HCR→0x08000001",
    ),
    "W07 EOIR uses only the implemented INTID bits": (
        "HCR=0x1 VMCR=0xF84C000A LR0=0x5080000000000028",
        "IAR1→40; EOIR1=0xFF000028; LR0→0x9080000000000028; AP1R0→0x0; HCR→0x1",
    ),
}

HARDWARE: Final = {**ACKNOWLEDGE, **END_OF_INTERRUPT, **VIEWS, **STATUS_AND_SWITCH}
SHARED: Final = {name: row for name, row in HARDWARE.items() if name not in DIFFERENCES}


@pytest.mark.parametrize(("initial", "accesses"), SHARED.values(), ids=SHARED)
def test_what_hardware_does_is_emulated(initial: str, accesses: str) -> None:
    play(initial, accesses)


@pytest.mark.parametrize(("initial", "accesses"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_where_kvm_differs_from_hardware(initial: str, accesses: str) -> None:
    play(initial, accesses)


def test_every_difference_is_a_row_of_the_hardware() -> None:
    assert set(DIFFERENCES) <= set(HARDWARE)


@pytest.mark.parametrize(("config", "accesses"), PREEMPTION_BITS.values(), ids=PREEMPTION_BITS)
def test_every_number_of_preemption_bits(config: VirtConfig, accesses: str) -> None:
    play("HCR=0x1 VMCR=0xF000000A LR0=0x5086000000000028", accesses, config)


# The rows that turn on one switch only of several that KVM's reading needs at once are covered by DIFFERENCES
KVM_READINGS: Final = {
    name: SWITCHES[name]
    for name in (
        "an EOIR that drops nothing counts",
        "the same level in both groups: Group 1 drops",
        "the running priority is compared unmasked",
        "pending and active counts as pending",
    )
}


@pytest.mark.parametrize(("config", "initial", "accesses"), KVM_READINGS.values(), ids=KVM_READINGS)
def test_hardware_that_reads_the_manual_as_kvm_does(config: VirtConfig, initial: str, accesses: str) -> None:
    play(initial, accesses, config)


@pytest.mark.parametrize(("config", "accesses"), EXISTENCE.values(), ids=EXISTENCE)
def test_which_registers_exist(config: VirtConfig, accesses: str) -> None:
    play("", accesses, config)


# The rules of each register, where the hardware's rows leave something open


INTIDS: Final = (1, 40, 41, 900, 8195)
IDLE_INTIDS: Final = (99, 1019, 8191, 8200)  # in no list register

list_registers = st.builds(
    lambda intid, state, group, priority, eoi: state << 62 | group << 60 | priority << 48 | eoi << 41 | intid,
    st.sampled_from(INTIDS),
    st.sampled_from((0, 1, 1, 1, 2, 3)),
    st.integers(0, 1),
    st.one_of(st.sampled_from((0x00, 0x40, 0x48, 0x80, 0xF0)), st.integers(0, 0xFF)),
    st.integers(0, 1),
)
vmcrs = st.builds(
    lambda pmr, bpr0, bpr1, flags: pmr << 24 | bpr0 << 21 | bpr1 << 18 | flags,
    st.sampled_from((0xFF, 0xFF, 0xF0, 0x48, 0)),
    st.integers(0, 6),  # 7 with CBPR is a difference
    st.integers(0, 7),
    st.sampled_from((0x003, 0x003, 0x203, 0x013, 0x213, 0x001, 0x202)),
)
words = st.one_of(st.just(0), st.sampled_from((0x1, 0x100, 0x10000, 0x80000000)), st.integers(0, 0xFFFFFFFF))
ended = st.sampled_from(INTIDS + IDLE_INTIDS)
reads = st.one_of(
    st.tuples(st.sampled_from(("IAR0", "IAR1", "IAR1", "HPPIR0", "HPPIR1", "RPR")), st.none()),
    st.tuples(st.sampled_from(("PMR", "BPR0", "BPR1", "CTLR", "IGRPEN0", "IGRPEN1")), st.none()),
    st.tuples(st.sampled_from(("AP0R0", "AP1R0", "AP1R1")), st.none()),
)
writes = st.one_of(
    st.tuples(st.sampled_from(("EOIR0", "EOIR1", "EOIR1", "DIR")), ended),
    st.tuples(st.just("PMR"), st.integers(0, 0x1FF)),
    st.tuples(st.just("BPR0"), st.integers(0, 0xFFFFFFFFFFFFFFFF).filter(lambda value: value & 7 != 7)),
    st.tuples(st.just("BPR1"), st.integers(0, 0xFFFFFFFFFFFFFFFF)),
    st.tuples(st.sampled_from(("CTLR", "IGRPEN0", "IGRPEN1")), st.integers(0, 3)),
    st.tuples(st.sampled_from(("AP0R0", "AP1R0", "AP1R1")), words),
)
bits = st.sampled_from(((5, 5), (7, 6), (8, 7)))


def same_state(vcpu: VcpuGic, icv: Icv, lrs: list[int], vmcr: int, ap0: int, ap1: int) -> None:
    """Write one state to both interfaces."""
    for virt in (vcpu.pe.virt, icv):
        virt.write_hcr(1)
        virt.write_vmcr(vmcr)
        virt.write_ap(0, 0, ap0)
        virt.write_ap(1, 0, ap1)
        for i, value in enumerate(lrs):
            virt.write_lr(
                i,
                value & 0xFFFFFFFF,
                value >> 62 & 1 != 0,
                value >> 63 & 1 != 0,
                value >> 48 & 0xFF,
                value >> 60 & 1,
                False,
                0,
                value >> 41 & 1 != 0,
            )


def both(vcpu: VcpuGic, icv: Icv, name: str, value: int | None) -> int:
    """Make one guest access on both interfaces; it must give and leave the same.  Return what a read gave."""
    register = guest_encoding(name)
    if value is None:
        emulated, real = emulate_read(vcpu, register), icv.read_icv(register)
    else:
        emulated, real = emulate_write(vcpu, register, value), icv.write_icv(register, value)
    assert emulated == real, f"{name} {value}"
    assert vcpu.pe.virt.snapshot() == icv.snapshot(), f"{name} {value}"
    return emulated


@settings(max_examples=150, deadline=None)
@given(bits, st.lists(list_registers, max_size=4), vmcrs, words, words, st.lists(reads | writes, max_size=12))
def test_any_guest_on_hardware_that_reads_the_manual_as_kvm_does(
    widths: tuple[int, int], lrs: list[int], vmcr: int, ap0: int, ap1: int, accesses: list[tuple[str, int | None]]
) -> None:
    """The remaining differences are left out: 1020 to 1023, INTIDs too wide, CBPR with BPR0 = 7, En = 0."""
    config = VirtConfig(
        pri_bits=widths[0],
        pre_bits=widths[1],
        eoicount_without_drop=True,
        eoicount_on_eoir_mode1=True,
        drop_tie_ap1=True,
        preempt_raw_rprio=True,
    )
    vcpu, icv = make_vcpu(config), Icv(config, Cost())
    same_state(vcpu, icv, lrs, vmcr, ap0, ap1)
    for name, value in accesses:
        both(vcpu, icv, name, value)


@settings(max_examples=60, deadline=None)
@given(
    bits,
    st.lists(list_registers, min_size=1, max_size=4, unique_by=lambda value: value & 0xFFFFFFFF),
    st.integers(2, 6),
    st.booleans(),
    st.booleans(),
)
def test_a_guest_that_ends_what_it_acknowledges_cannot_tell_emulation_from_hardware(
    widths: tuple[int, int], lrs: list[int], bpr0: int, cbpr: bool, split: bool
) -> None:
    """Hardware as the manual has it.  Both groups have one binary point: else preemption across groups differs."""
    config = VirtConfig(pri_bits=widths[0], pre_bits=widths[1])
    vcpu, icv = make_vcpu(config), Icv(config, Cost())
    pending = [value & ~(1 << 63) | 1 << 62 for value in lrs]
    same_state(vcpu, icv, pending, 0xFF << 24 | bpr0 << 21 | (bpr0 + 1) << 18 | split << 9 | cbpr << 4 | 3, 0, 0)
    nested: list[tuple[int, int]] = []
    done = 0
    while True:
        taken = [(group, both(vcpu, icv, f"IAR{group}", None)) for group in (0, 1)]
        nested += [(group, intid) for group, intid in taken if intid != 1023]
        if not nested:
            break
        group, intid = nested.pop()
        both(vcpu, icv, f"EOIR{group}", intid)
        if split and intid < 8192:
            both(vcpu, icv, "DIR", intid)
        done += 1
        both(vcpu, icv, "RPR", None)
    assert done == sum(value >> 48 & 0xFF & config.pri_mask < (0xFF & config.pri_mask) for value in pending)
    assert (vcpu.pe.virt.read_ap(0, 0), vcpu.pe.virt.read_ap(1, 0), icv.eoicount) == (0, 0, 0)
