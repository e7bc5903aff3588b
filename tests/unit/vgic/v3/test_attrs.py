"""ICC_*_EL1 as user space saves and restores them: what each register takes, gives and refuses.

The VMCR is checked in the form of ICH_VMCR_EL2, which is what the next entry loads.
"""

from errno import EINVAL, ENOENT, ENXIO
from typing import Final, NamedTuple

import pytest

from hw import VirtConfig
from hw.arch import (
    ICC_AP0R_EL1,
    ICC_AP1R_EL1,
    ICC_ASGI1R_EL1,
    ICC_BPR0_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR0_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI0R_EL1,
    ICC_SGI1R_EL1,
    ICC_SRE_EL1,
    ISR_EL1,
    SYSREG_BY_NAME,
    SYSREG_NAMES,
)
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v3.conftest import Regs
from vgic import Group

FIQEN: Final = 1 << 3  # reads as one for a GICv3 guest, so every write sets it
CTLR_HOST: Final = 4 << 8 | 1 << 11 | 1 << 15
"""ICC_CTLR_EL1 of the default machine: 5 priority bits, 24-bit INTIDs, A3V."""


class Cpu(Regs):
    """One vCPU's registers as user space sees them."""

    def get(self, register: int) -> int:
        return self.device.get_attr(Group.CPU_SYSREGS, register)

    def set(self, register: int, value: int) -> None:
        self.device.set_attr(Group.CPU_SYSREGS, register, value)

    @property
    def vmcr(self) -> int:
        return self.vcpus[0].vmcr


class Field(NamedTuple):
    register: int
    value: int
    reads: int
    vmcr: int  # but for FIQEn


FIELDS: Final = {
    "PMR": Field(ICC_PMR_EL1, 0xF8, 0xF8, 0xF800_0000),
    "PMR keeps bits the hardware lacks": Field(ICC_PMR_EL1, 0xFF, 0xFF, 0xFF00_0000),
    "PMR takes 8 bits": Field(ICC_PMR_EL1, 0xABCD_1380, 0x80, 0x8000_0000),
    "BPR0": Field(ICC_BPR0_EL1, 2, 2, 2 << 21),
    "BPR0 has no minimum": Field(ICC_BPR0_EL1, 0, 0, 0),
    "BPR0 takes 3 bits": Field(ICC_BPR0_EL1, 9, 1, 1 << 21),
    "BPR1": Field(ICC_BPR1_EL1, 3, 3, 3 << 18),
    "BPR1 has no minimum": Field(ICC_BPR1_EL1, 0, 0, 0),
    "BPR1 takes 3 bits": Field(ICC_BPR1_EL1, 0xFF, 7, 7 << 18),
    "IGRPEN0": Field(ICC_IGRPEN0_EL1, 1, 1, 1),
    "IGRPEN0 takes a bit": Field(ICC_IGRPEN0_EL1, 0xFFFE, 0, 0),
    "IGRPEN1": Field(ICC_IGRPEN1_EL1, 1, 1, 2),
    "IGRPEN1 takes a bit": Field(ICC_IGRPEN1_EL1, 3, 1, 2),
    "CTLR: EOImode": Field(ICC_CTLR_EL1, CTLR_HOST | 2, CTLR_HOST | 2, 1 << 9),
    "CTLR: CBPR": Field(ICC_CTLR_EL1, CTLR_HOST | 1, CTLR_HOST | 1, 1 << 4),
    "CTLR: PMHE, RSS and ExtRange are ignored": Field(ICC_CTLR_EL1, CTLR_HOST | 0xC_0044, CTLR_HOST, 0),
}


@pytest.mark.parametrize("row", FIELDS.values(), ids=FIELDS)
def test_a_field(row: Field) -> None:
    cpu = Cpu()
    cpu.set(row.register, row.value)
    assert (cpu.get(row.register), cpu.vmcr) == (row.reads, row.vmcr | FIQEN)


MASKS: Final = {
    ICC_PMR_EL1: 0xFF << 24,
    ICC_BPR0_EL1: 7 << 21,
    ICC_BPR1_EL1: 7 << 18,
    ICC_IGRPEN0_EL1: 1,
    ICC_IGRPEN1_EL1: 2,
}


@pytest.mark.parametrize(("register", "mask"), MASKS.items(), ids=lambda value: SYSREG_NAMES.get(value, ""))
def test_a_field_leaves_its_neighbours_alone(register: int, mask: int) -> None:
    cpu = Cpu()
    for each in MASKS:
        cpu.set(each, 0xFF)
    full = cpu.vmcr
    cpu.set(register, 0)
    assert (full, cpu.vmcr) == (sum(MASKS.values()) | FIQEN, full & ~mask)


def test_before_anything_was_written_all_is_zero() -> None:
    cpu = Cpu()
    registers = [ICC_PMR_EL1, ICC_BPR0_EL1, ICC_BPR1_EL1, ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1]
    assert ([cpu.get(register) for register in registers], cpu.get(ICC_CTLR_EL1)) == ([0] * 5, CTLR_HOST)


VMCRS: Final = {
    "both groups, BPR1 3, BPR0 2, PMR F8": (
        {"PMR": 0xF8, "BPR0": 2, "BPR1": 3, "IGRPEN0": 1, "IGRPEN1": 1},
        0xF84C_000B,
    ),
    "group 1, EOImode, BPR1 3, BPR0 2, PMR F0": (
        {"PMR": 0xF0, "BPR0": 2, "BPR1": 3, "IGRPEN1": 1, "CTLR": CTLR_HOST | 2},
        0xF04C_020A,
    ),
}


@pytest.mark.parametrize("row", VMCRS.values(), ids=VMCRS)
def test_the_whole_vmcr(row: tuple[dict[str, int], int]) -> None:
    values, vmcr = row
    cpu = Cpu()
    for name, value in values.items():
        cpu.set(SYSREG_BY_NAME[f"ICC_{name}_EL1"], value)
    assert cpu.vmcr == vmcr


CBPR_READS: Final = {0: 1, 2: 3, 6: 7, 7: 7}


@pytest.mark.parametrize(("bpr0", "bpr1"), CBPR_READS.items(), ids="BPR0 {}".format)
def test_with_cbpr_bpr1_follows_bpr0_and_is_not_written(bpr0: int, bpr1: int) -> None:
    cpu = Cpu()
    cpu.set(ICC_BPR1_EL1, 5)
    cpu.set(ICC_BPR0_EL1, bpr0)
    cpu.set(ICC_CTLR_EL1, CTLR_HOST | 1)
    cpu.set(ICC_BPR1_EL1, 4)
    common = cpu.get(ICC_BPR1_EL1)
    cpu.set(ICC_CTLR_EL1, CTLR_HOST)
    assert (common, cpu.get(ICC_BPR1_EL1)) == (bpr1, 5)


def test_hardware_raises_the_binary_points_once_the_guest_has_run() -> None:
    cpu = Cpu()
    before = cpu.get(ICC_BPR0_EL1), cpu.get(ICC_BPR1_EL1)
    cpu.vcpus[0].enter()
    cpu.vcpus[0].exit()
    assert (before, (cpu.get(ICC_BPR0_EL1), cpu.get(ICC_BPR1_EL1))) == ((0, 0), (2, 3))


def test_what_the_guest_wrote_is_what_user_space_reads_and_back() -> None:
    cpu = Cpu()
    vcpu = cpu.vcpus[0]
    vcpu.enter()
    for register, value in ((ICC_PMR_EL1, 0xA0), (ICC_BPR1_EL1, 4), (ICC_IGRPEN1_EL1, 1), (ICC_CTLR_EL1, 2)):
        vcpu.msr(register, value)
    vcpu.exit()
    saved = [cpu.get(register) for register in (ICC_PMR_EL1, ICC_BPR1_EL1, ICC_IGRPEN1_EL1)]
    cpu.set(ICC_PMR_EL1, 0xF0)
    vcpu.enter()
    assert (saved, vcpu.mrs(ICC_PMR_EL1), vcpu.mrs(ICC_CTLR_EL1) & 3) == ([0xA0, 4, 1], 0xF0, 2)


# -- ICC_CTLR_EL1: what another host had -------------------------------------------------------------


class Ctlr(NamedTuple):
    value: int
    errno: int
    reads: int  # afterwards
    virt: VirtConfig = VirtConfig()


CTLRS: Final = {
    "as it reads": Ctlr(CTLR_HOST, 0, CTLR_HOST),
    "fewer priority bits stick": Ctlr(3 << 8 | 1 << 11 | 1 << 15, 0, 3 << 8 | 1 << 11 | 1 << 15),
    "more priority bits": Ctlr(5 << 8 | 1 << 11 | 1 << 15, EINVAL, CTLR_HOST),
    "fewer INTID bits stick": Ctlr(4 << 8 | 1 << 15, 0, 4 << 8 | 1 << 15),
    "more INTID bits": Ctlr(4 << 8 | 2 << 11 | 1 << 15, EINVAL, CTLR_HOST),
    "more INTID bits, after fewer priority bits were taken": Ctlr(
        3 << 8 | 2 << 11 | 1 << 15, EINVAL, 3 << 8 | 1 << 11 | 1 << 15
    ),
    "SEIS, after fewer of both were taken": Ctlr(3 << 8 | 1 << 14 | 1 << 15, EINVAL, 3 << 8 | 1 << 15),
    "SEIS this host lacks": Ctlr(CTLR_HOST | 1 << 14, EINVAL, CTLR_HOST),
    "no A3V": Ctlr(CTLR_HOST & ~(1 << 15), EINVAL, CTLR_HOST),
    "a refused one leaves EOImode": Ctlr(CTLR_HOST | 1 << 14 | 2, EINVAL, CTLR_HOST),
    "SEIS this host has": Ctlr(
        4 << 8 | 1 << 11 | 1 << 14, 0, 4 << 8 | 1 << 11 | 1 << 14, VirtConfig(seis=True, a3v=False)
    ),
    "without the SEIS this host has": Ctlr(
        4 << 8 | 1 << 11, EINVAL, 4 << 8 | 1 << 11 | 1 << 14, VirtConfig(seis=True, a3v=False)
    ),
    "A3V this host lacks": Ctlr(CTLR_HOST, EINVAL, 4 << 8 | 1 << 11, VirtConfig(a3v=False)),
    "7 priority bits, 16-bit INTIDs": Ctlr(
        6 << 8 | 1 << 15, 0, 6 << 8 | 1 << 15, VirtConfig(pri_bits=7, pre_bits=7, id_bits=16)
    ),
}


@pytest.mark.parametrize("row", CTLRS.values(), ids=CTLRS)
def test_ctlr(row: Ctlr) -> None:
    cpu = Cpu(virt=row.virt)
    assert (outcome(cpu.set, ICC_CTLR_EL1, row.value), cpu.get(ICC_CTLR_EL1)) == (row.errno, row.reads)


def test_what_was_lowered_cannot_be_raised_again() -> None:
    cpu = Cpu()
    lowered = 3 << 8 | 1 << 15
    errnos = [outcome(cpu.set, ICC_CTLR_EL1, value) for value in (lowered, CTLR_HOST, lowered)]
    assert (errnos, cpu.get(ICC_CTLR_EL1)) == ([0, EINVAL, 0], lowered)


# -- ICC_SRE_EL1 -------------------------------------------------------------------------------------

SRES: Final = {0: EINVAL, 1: 0, 6: EINVAL, 7: 0, 0xFFFF_FFFE: EINVAL, 0xFFFF_FFFF: 0}


@pytest.mark.parametrize(("value", "errno"), SRES.items(), ids="{:#x}".format)
def test_sre_must_be_set_and_nothing_else_matters(value: int, errno: int) -> None:
    cpu = Cpu()
    assert (outcome(cpu.set, ICC_SRE_EL1, value), cpu.get(ICC_SRE_EL1)) == (errno, 7)


# -- active priorities -------------------------------------------------------------------------------

LAST_AP: Final = {5: 0, 6: 1, 7: 3, 8: 0}
"""Priority bits -> the last register; KVM knows no host with 8."""


@pytest.mark.parametrize("group", [0, 1])
@pytest.mark.parametrize(("pri_bits", "last"), LAST_AP.items(), ids="{} bits".format)
def test_active_priority_registers_end_where_the_priority_bits_say(pri_bits: int, last: int, group: int) -> None:
    cpu = Cpu(virt=VirtConfig(pri_bits=pri_bits, pre_bits=min(pri_bits, 7)))
    registers = (ICC_AP0R_EL1, ICC_AP1R_EL1)[group]
    want = [0 if n <= last else EINVAL for n in range(4)]
    gets = [outcome(cpu.get, register) for register in registers]
    sets = [outcome(cpu.set, register, 1 << 31 | n) for n, register in enumerate(registers)]
    assert (gets, sets) == (want, want)
    assert [cpu.get(register) for register in registers[: last + 1]] == [1 << 31 | n for n in range(last + 1)]


def test_active_priorities_take_32_bits_and_the_groups_are_apart() -> None:
    cpu = Cpu()
    cpu.set(ICC_AP0R_EL1[0], 0x1234_5678_0000_0001)
    cpu.set(ICC_AP1R_EL1[0], 0xFFFF_FFFF_8000_0000)
    assert (cpu.get(ICC_AP0R_EL1[0]), cpu.get(ICC_AP1R_EL1[0])) == (1, 0x8000_0000)


def test_lowering_the_priority_bits_takes_registers_away() -> None:
    cpu = Cpu(virt=VirtConfig(pri_bits=7, pre_bits=7))
    before = outcome(cpu.get, ICC_AP1R_EL1[3])
    cpu.set(ICC_CTLR_EL1, 5 << 8 | 1 << 11 | 1 << 15)
    assert [before, *(outcome(cpu.get, register) for register in ICC_AP1R_EL1)] == [0, 0, 0, EINVAL, EINVAL]


# -- what is not there -------------------------------------------------------------------------------

ABSENT: Final = [
    ICC_IAR0_EL1, ICC_IAR1_EL1, ICC_EOIR0_EL1, ICC_EOIR1_EL1, ICC_HPPIR0_EL1, ICC_HPPIR1_EL1, ICC_RPR_EL1,
    ICC_DIR_EL1, ICC_SGI0R_EL1, ICC_SGI1R_EL1, ICC_ASGI1R_EL1, ISR_EL1, SYSREG_BY_NAME["ICH_HCR_EL2"],
    SYSREG_BY_NAME["ICH_VMCR_EL2"], SYSREG_BY_NAME["ICH_LR0_EL2"], SYSREG_BY_NAME["ICC_SRE_EL2"],
]  # fmt: skip


@pytest.mark.parametrize("register", ABSENT, ids=SYSREG_NAMES.__getitem__)
def test_other_registers_are_not_there(register: int) -> None:
    cpu = Cpu()
    errnos = [outcome(call, register) for call in (cpu.get, lambda enc: cpu.set(enc, 0))]
    assert (errnos, outcome(cpu.device.check_attr, Group.CPU_SYSREGS, register)) == ([ENOENT, ENOENT], ENXIO)


PRESENT: Final = [
    ICC_PMR_EL1, ICC_BPR0_EL1, *ICC_AP0R_EL1, *ICC_AP1R_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_SRE_EL1,
    ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1,
]  # fmt: skip


@pytest.mark.parametrize("register", PRESENT, ids=SYSREG_NAMES.__getitem__)
def test_has_attr_knows_every_register_even_one_this_host_lacks(register: int) -> None:
    assert Cpu().device.has_attr(Group.CPU_SYSREGS, register)


def test_bits_31_to_16_of_the_attribute_are_ignored() -> None:
    cpu = Cpu()
    cpu.set(0xFFFF_0000 | ICC_PMR_EL1, 0x90)
    assert (cpu.get(ICC_PMR_EL1), cpu.get(0x1234_0000 | ICC_PMR_EL1)) == (0x90, 0x90)
