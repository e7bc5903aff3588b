"""Configurations: what they report, what they derive, and what they refuse."""

from collections.abc import Callable

import pytest

from hw.config import PhysConfig, V2Config, VirtConfig

VTR = {
    "the default": (VirtConfig(), 0x90B8_0003),
    "16-bit INTIDs": (VirtConfig(id_bits=16), 0x9038_0003),
    "16 LRs, 7 of 8 bits preempt": (VirtConfig(n_lr=16, pri_bits=8, pre_bits=7), 0xF8B8_000F),
    "SEIS and DVIM, no A3V, no TDIR": (VirtConfig(seis=True, a3v=False, tds=False, dvim=True), 0x90D4_0003),
    "GICH_VTR of a GICv2": (V2Config().gich, 0x9000_0003),
    "a GICv2 with 64 LRs": (V2Config(n_lr=64).gich, 0x9000_003F),
}


@pytest.mark.parametrize(("config", "vtr"), VTR.values(), ids=VTR)
def test_vtr(config: VirtConfig, vtr: int) -> None:
    assert config.vtr == vtr


#        pre_bits: AP registers, AP shift, minimum of BPR0, of BPR1
DERIVED = {5: (1, 3, 2, 3), 6: (2, 2, 1, 2), 7: (4, 1, 0, 1)}


@pytest.mark.parametrize(("pre_bits", "derived"), DERIVED.items(), ids="pre_bits={}".format)
def test_derived_from_the_preemption_bits(pre_bits: int, derived: tuple[int, int, int, int]) -> None:
    virt = VirtConfig(pri_bits=7, pre_bits=pre_bits)
    assert (virt.ap_words, virt.ap_shift, virt.min_bpr0, virt.min_bpr1) == derived
    phys = PhysConfig(phys_pri_bits=pre_bits)
    assert (phys.ap_words, phys.ap_shift, phys.min_bpr0, phys.min_bpr1) == derived


@pytest.mark.parametrize(("pri_bits", "mask"), {5: 0xF8, 6: 0xFC, 7: 0xFE, 8: 0xFF}.items())
def test_implemented_priority_bits(pri_bits: int, mask: int) -> None:
    assert VirtConfig(pri_bits=pri_bits).pri_mask == mask
    assert PhysConfig(phys_pri_bits=pri_bits).pri_mask == mask


def test_bit_0_of_a_priority_never_preempts() -> None:
    assert PhysConfig(phys_pri_bits=8).pre_bits == 7


def test_ctlr_reports_widths() -> None:
    assert VirtConfig().ctlr == PhysConfig().ctlr == 0x8C00
    assert VirtConfig(pri_bits=8, id_bits=16, seis=True, a3v=False).ctlr == 0x4700


#        SPIs: INTIDs, GICD_TYPER.ITLinesNumber
LINES = {0: (32, 0), 96: (128, 3), 960: (992, 30), 988: (1020, 31)}


@pytest.mark.parametrize(("nr_spis", "derived"), LINES.items())
def test_lines_of_the_distributor(nr_spis: int, derived: tuple[int, int]) -> None:
    config = PhysConfig(nr_spis=nr_spis)
    assert (config.nr_intids, config.it_lines_number) == derived


REFUSED: dict[str, Callable[[], object]] = {
    r"n_lr=0 is not in 1\.\.16": lambda: VirtConfig(n_lr=0),
    r"n_lr=17 is not in 1\.\.16": lambda: VirtConfig(n_lr=17),
    r"n_lr=0 is not in 1\.\.64": lambda: V2Config(n_lr=0),
    r"n_lr=65 is not in 1\.\.64": lambda: V2Config(n_lr=65),
    r"iidr=4294967296 is not a 32-bit value": lambda: V2Config(iidr=1 << 32),
    r"pri_bits=4 is not in 5\.\.8": lambda: VirtConfig(pri_bits=4),
    r"pre_bits=6 is not in 5\.\.5 \(pri_bits=5\)": lambda: VirtConfig(pre_bits=6),
    r"pre_bits=8 is not in 5\.\.7 \(pri_bits=8\)": lambda: VirtConfig(pri_bits=8, pre_bits=8),
    r"id_bits=20 is not 16 or 24": lambda: VirtConfig(id_bits=20),
    r"phys_pri_bits=9 is not in 5\.\.8": lambda: PhysConfig(phys_pri_bits=9),
    r"nr_spis=40 is not a multiple of 32": lambda: PhysConfig(nr_spis=40),
    r"nr_spis=992 is not a multiple of 32 up to 960": lambda: PhysConfig(nr_spis=992),
    r"lpi_id_bits=24 is not in 14\.\.16": lambda: PhysConfig(id_bits=16, lpi_id_bits=24),
}


@pytest.mark.parametrize(("message", "build"), REFUSED.items(), ids=REFUSED)
def test_what_the_architecture_does_not_allow_is_refused(message: str, build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=message):
        build()
