"""GICH: its register layouts, and that its fast path is the same interface as on a GICv3.

Rows are in the notation of frames.py; GICV's own rules are in test_gicv.py.
"""

from typing import NamedTuple

import pytest

from hw import V2Config, VirtConfig, arch
from hw.config import GichConfig
from hw.cost import Cost
from hw.gich import Gich, RecordedGich, encode_lr
from hw.icv import Icv
from tests.unit.hw.frames import PlayV2, play2

VIEWS = {
    "HW=0: EOI, CPUID, VirtualID; [18:13] read as zero": ("", "LR0=0x7FFFFFFF; LR0→0x7F881FFF"),
    "HW=1: PhysicalID takes the place of EOI and CPUID": ("", "LR0=0xFFFFFFFF; LR0→0xFF8FFFFF; LR0=0x0; LR0→0x0"),
    "the last of four LRs, and the first that does not exist": (
        "",
        "LR3=0x18000028; LR3→0x18000028; LR4=0x18000028; LR4→0x0; LR63→0x0",
    ),
    "VTR, MISR, EISR and ELRSR are read-only": (
        "HCR=0x1",
        "VTR=0x0; MISR=0xFF; EISR0=0xF; ELRSR0=0x0; VTR→0x90000003; MISR→0x0; EISR0→0x0; ELRSR0→0xF",
    ),
    "VMCR keeps its fields, and clamps the binary points": (
        "",
        "VMCR=0xFFFFFFFF; VMCR→0xF8FC021F; VMCR=0x0; VMCR→0x004C0000",
    ),
    "HCR takes the count back": ("", "HCR=0xF8000001; HCR→0xF8000001; HCR=0x1; HCR→0x1"),
    "APR is stored as it is written": ("", "APR=0xFFFFFFFF; APR→0xFFFFFFFF; V_RPR→0x0"),
    "ELRSR and EISR with a mix of LRs": (
        "HCR=0x1 LR0=0x08000000 LR1=0x08080028 LR2=0x18000029 LR3=0x88AAA82A",
        "ELRSR0→0x9; EISR0→0x2; MISR→0x1; LR1=0x0; ELRSR0→0xB; EISR0→0x0; MISR→0x0",
    ),
    "LRENPIE follows EOICount": (
        "HCR=0x5 VMCR=0xF84C0203",
        "MISR→0x0; V_DIR=99; MISR→0x4; HCR→0x08000005; HCR=0x5; MISR→0x0",
    ),
    "a pending and active LR is not pending for NP": ("HCR=0x9 LR0=0x38000028", "MISR→0x8"),
}


@pytest.mark.parametrize("row", VIEWS.values(), ids=VIEWS)
def test_view(row: tuple[str, str]) -> None:
    play2(*row)


def test_sixty_four_list_registers() -> None:
    played = play2(
        "HCR=0x1 VMCR=0xF84C0003 LR63=0x14000028 LR32=0x18000029 LR40=0x0808002A",
        "VTR→0x9000003F; ELRSR0→0xFFFFFFFF; ELRSR1→0x7FFFFEFE; EISR0→0x0; EISR1→0x00000100; MISR→0x1; V_IAR→40; "
        "V_EOIR=40; LR63→0x04000028; ELRSR1→0xFFFFFEFE; V_IAR→41",
        V2Config(n_lr=64),
    )
    assert played.icv.read_elrsr() == 0xFFFF_FEFE_FFFF_FFFF


def test_np_may_count_pending_and_active() -> None:
    play2("HCR=0x9 LR0=0x38000028", "MISR→0x0", V2Config(np_counts_pa=True))


def test_hardware_deactivation_may_be_missing() -> None:
    play2("HCR=0x1 VMCR=0xF84C0003 LR0=0xA800B440 APR=0x1", "V_EOIR=64; phys→-", V2Config(hw_deactivation=False))


# The fast path


class Written(NamedTuple):
    """The arguments of write_lr, and the word that the frame then has."""

    n: int
    vintid: int
    pending: bool
    active: bool
    priority: int
    group: int
    hw: bool
    pintid: int
    eoi: bool
    word: int


LRS = {
    "Group 0": Written(0, 40, True, False, 0x80, 0, False, 0, False, 0x1800_0028),
    "Group 1, active": Written(1, 41, False, True, 0x40, 1, False, 0, False, 0x6400_0029),
    "an SGI with its source, EOI": Written(2, 3 << 10 | 5, True, False, 0x60, 0, False, 0, True, 0x1608_0C05),
    "hardware, pending and active": Written(3, 64, True, True, 0xA0, 0, True, 45, False, 0xBA00_B440),
    "a priority loses the bits that do not exist": Written(0, 40, True, False, 0x87, 0, False, 0, False, 0x1800_0028),
}


@pytest.mark.parametrize("row", LRS.values(), ids=LRS)
def test_fast_path_writes_what_the_frame_reads(row: Written) -> None:
    n, vintid, pending, active, priority, group, hw, pintid, eoi, word = row
    fast, framed = PlayV2(), PlayV2()
    fast.gich.write_lr(n, vintid, pending, active, priority, group, hw, pintid, eoi)
    assert fast.gich.read(arch.GICH_LR + 4 * n) == word
    framed.gich.write(arch.GICH_LR + 4 * n, word)
    assert framed.gich.snapshot() == fast.gich.snapshot()
    assert encode_lr(framed.gich.read_lr(n)) == word
    fast.gich.check()
    fast.gich.clear_lr(n)
    assert fast.gich.read(arch.GICH_LR + 4 * n) == 0


def test_fast_path_and_frame_are_one_register() -> None:
    gich = PlayV2().gich
    gich.write_vmcr(0xA074_021F)
    assert gich.read(arch.GICH_VMCR) == gich.read_vmcr() == 0xA074_021F
    gich.write_hcr(0xFFFF_FFFF)
    assert gich.read(arch.GICH_HCR) == gich.read_hcr() == 0xF800_00FF
    gich.write_ap(1, 0, 0x100)
    assert gich.read(arch.GICH_APR) == gich.read_ap(1, 0) == 0x100


def test_group_0_has_no_active_priorities_of_its_own() -> None:
    """A hypervisor that saves and restores both, as on a GICv3, does no harm."""
    gich = PlayV2().gich
    gich.write_ap(0, 0, 0xFFFF_FFFF)
    assert gich.read_ap(0, 0) == 0
    gich.check()


def test_hcr_has_no_traps() -> None:
    gich = PlayV2().gich
    gich.write_hcr(0xFFFF_FFFF)
    assert (gich.tc, gich.tall0, gich.tall1, gich.tdir) == (False, False, False, False)


COUNTED = {
    "HCR": ("hcr_reads", "hcr_writes"),
    "VTR": ("vtr_reads", ""),
    "VMCR": ("vmcr_reads", "vmcr_writes"),
    "MISR": ("status_reads", ""),
    "EISR0": ("status_reads", ""),
    "EISR1": ("status_reads", ""),
    "ELRSR0": ("elrsr_reads", ""),
    "ELRSR1": ("elrsr_reads", ""),
    "APR": ("ap_reads", "ap_writes"),
    "LR2": ("lr_reads", "lr_writes"),
}


@pytest.mark.parametrize("name", COUNTED)
def test_accesses_count_as_those_of_a_gicv3(name: str) -> None:
    played = PlayV2()
    read, write = COUNTED[name]
    played.read(name)
    assert {key: n for key, n in played.icv.cost.as_dict().items() if n} == {read: 1}
    played.icv.cost.reset()
    played.write(name, 0)
    assert {key: n for key, n in played.icv.cost.as_dict().items() if n} == ({write: 1} if write else {})


@pytest.mark.parametrize("kind", [Gich, RecordedGich])
def test_snapshots_move_between_interfaces(kind: type[Gich]) -> None:
    config = GichConfig()
    one, other = kind(config, Cost()), kind(config, Cost())
    one.write(arch.GICH_VMCR, 0xA074_0217)
    one.write(arch.GICH_HCR, 0xF800_0081)
    one.write(arch.GICH_APR, 0x0001_0000)
    one.write(arch.GICH_LR, 0x2808_0C05)
    one.write(arch.GICH_LR + 4, 0x9A00_B440)
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    assert [other.read(arch.GICH_LR + 4 * n) for n in range(2)] == [0x2808_0C05, 0x9A00_B440]
    other.check()


def test_vmcr_differs_from_a_gicv3_only_in_what_sre_decides() -> None:
    v2, v3 = PlayV2().gich, Icv(VirtConfig(), Cost())
    for value in (0, 0xF84C_0003, 0xFFFF_FFFF):
        v2.write_vmcr(value)
        v3.write_vmcr(value)
        assert v2.read_vmcr() & ~0xC == v3.read_vmcr() & ~0xC
        assert v3.read_vmcr() & 0xC == arch.VMCR_VFIQEN
        assert v2.read_vmcr() & 0xC == value & 0xC


def test_check_notices_what_a_gich_cannot_hold() -> None:
    gich = PlayV2().gich
    gich.write_lr(0, 3 << 10 | 5, True, False, 0x80, 0, True, 45, False)
    with pytest.raises(AssertionError, match="both PhysicalID and CPUID"):
        gich.check()
    gich.write_lr(0, 64, True, False, 0x80, 0, True, 1024, False)
    with pytest.raises(AssertionError, match="more than 10 bits"):
        gich.check()
