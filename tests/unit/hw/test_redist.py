"""A physical redistributor: SGIs and PPIs, its control registers, and LPIs with their tables."""

from typing import Final

import pytest

from hw import Machine, Memory, Pe, PhysConfig, arch
from hw.redist import Redistributor
from tests.unit.hw.rig import PENDBASE, PROPBASE, Rig, enable_lpis, host_rig

WORD: Final = 0xFFFF_FFFF
SGI: Final = arch.GICR_SGI_BASE


def redist(config: PhysConfig | None = None) -> Redistributor:
    """The redistributor of the only PE, with 256 KiB of memory."""
    return Machine(phys=config, memory=Memory(0x40000)).pes[0].redist


STORED = {
    #                                        offset   a word of ones reads back as
    "CTLR: EnableLPIs, CES and IR": (0x0000, 7),
    "IIDR": (0x0004, 0x43B),
    "TYPER, low half: Last, DirectLPI, PLPIS": (0x0008, 0x19),
    "TYPER, high half: the affinity": (0x000C, 0),
    "WAKER": (0x0014, 6),
    "PROPBASER, low half": (0x0070, 0xFFFF_FF9F),
    "PROPBASER, high half": (0x0074, 0x070F_FFFF),
    "PENDBASER, low half": (0x0078, 0xFFFF_0F80),
    "PENDBASER, high half: PTZ reads as zero": (0x007C, 0x070F_FFFF),
    "SETLPIR is write-only": (0x0040, 0),
    "SYNCR is never busy": (0x00C0, 0),
    "nothing at STATUSR": (0x0010, 0),
    "IGROUPR0": (SGI + 0x080, WORD),
    "ISENABLER0": (SGI + 0x100, WORD),
    "ISPENDR0": (SGI + 0x200, WORD),
    "ISACTIVER0": (SGI + 0x300, WORD),
    "ICACTIVER0": (SGI + 0x380, 0),
    "IPRIORITYR0": (SGI + 0x400, 0xF8F8_F8F8),
    "ICFGR0: SGIs are edge-triggered, read-only": (SGI + 0xC00, 0xAAAA_AAAA),
    "ICFGR1": (SGI + 0xC04, 0xAAAA_AAAA),
    "IGRPMODR0 with one security state": (SGI + 0xD00, 0),
    "no word 1": (SGI + 0x104, 0),
    "no priorities beyond INTID 31": (SGI + 0x420, 0),
    "no IROUTER": (SGI + 0x6000, 0),
    "nothing beyond the frames": (0x2_0000, 0),
}


@pytest.mark.parametrize("row", STORED.values(), ids=STORED)
def test_word_of_ones(row: tuple[int, int]) -> None:
    offset, reads = row
    it = redist()
    it.write(offset, 4, WORD)
    assert it.read(offset, 4) == reads
    for size in (1, 2, 3):
        assert it.read(offset, size) == (0xF8 if offset == SGI + 0x400 and size == 1 else 0)


def test_sgi_configuration_is_fixed() -> None:
    it = redist()
    it.write(SGI + 0xC00, 4, 0)
    it.write(SGI + 0xC04, 4, 0)
    assert (it.read(SGI + 0xC00, 4), it.read(SGI + 0xC04, 4)) == (0xAAAA_AAAA, 0)


def test_typer_names_the_pe() -> None:
    machine = Machine(3, affinities=(0, 0x0100_0203, 7))
    typers = [pe.redist.read(8, 8) for pe in machine.pes]
    assert typers == [0x09, 0x0100_0203 << 32 | 1 << 8 | 0x09, 7 << 32 | 2 << 8 | 0x19]
    assert machine.pes[1].redist.read(12, 4) == 0x0100_0203


def test_waker_belongs_to_secure_state() -> None:
    it = redist(PhysConfig(single_security=False))
    it.write(0x14, 4, 2)
    assert it.read(0x14, 4, secure=True) == 0
    it.write(0x14, 4, 2, secure=True)
    assert (it.read(0x14, 4, secure=True), it.read(0x14, 4)) == (6, 0)


def test_a_sleeping_pe_is_left_alone() -> None:
    rig = host_rig()
    pe = rig.machine.pes[0]
    pe.redist.write(0x14, 4, 2)
    rig.run("pend3; pend45; lines→none; HPPIR1→1023; IAR1→1023; P3→1")
    pe.redist.write(0x14, 4, 0)
    rig.run("lines→IRQ; IAR1→3")


def test_maintenance_wire_belongs_to_the_virtual_interface() -> None:
    it = redist()
    with pytest.raises(AssertionError, match="PPI 25 is wired"):
        it.set_line(25, True)
    with pytest.raises(AssertionError, match="INTID 15 is not a PPI"):
        it.set_line(15, True)


def test_edge_triggered_maintenance_is_latched_when_looked_at() -> None:
    rig = host_rig()
    rig.machine.pes[0].redist.write(arch.GICR_ICFGR1, 4, 2 << 2 * (25 - 16))
    rig.run("HCR=0x3; P25→1; HCR=0x0; P25→1; IAR1→25; P25→0; HCR=0x3; P25→1; A25→1")


# LPIs


def lpi_rig(lpis: dict[int, int]) -> tuple[Rig, Pe]:
    """A host with LPIs enabled and those configuration bytes."""
    rig = host_rig()
    pe = rig.machine.pes[0]
    enable_lpis(rig, pe, lpis)
    return rig, pe


LPIS = {
    "best priority first": "lpi8193; lpi8194; IAR1→8194; EOIR1=8194; IAR1→8193",
    "equal priority: lowest INTID": "lpi8195; lpi8193; IAR1→8193",
    "disabled: pending, but not forwarded": "lpi8196; PL8196→1; lines→none; HPPIR1→1023",
    "an SGI or SPI of the same priority comes first": "lpi8193; pend45; HPPIR1→45",
    "a better LPI comes before an SPI": "lpi8194; pend45; HPPIR1→8194",
    "the same LPI can be taken again after the drop": "lpi8193; IAR1→8193; lpi8193; EOIR1=8193; IAR1→8193",
    "beyond the tables: dropped": "lpi16384; lines→none; HPPIR1→1023",
    "not an LPI: dropped": "lpi8191; lpi45; lines→none; P45→0",
}


@pytest.mark.parametrize("accesses", LPIS.values(), ids=LPIS)
def test_lpi(accesses: str) -> None:
    rig, _ = lpi_rig({8193: 0xA1, 8194: 0x81, 8195: 0xA3, 8196: 0xA0})
    rig.run(accesses)


def test_lpis_need_group_1_enabled_in_the_distributor() -> None:
    rig, _ = lpi_rig({8192: 0x81})
    rig.machine.dist.write(arch.GICD_CTLR, 4, arch.GICD_CTLR_ENABLE_GRP0)
    rig.run("lpi8192; PL8192→1; lines→none")
    rig.machine.dist.write(arch.GICD_CTLR, 4, arch.GICD_CTLR_ENABLE_GRP1)
    rig.run("lines→IRQ")


def test_configuration_is_cached_until_invalidated() -> None:
    rig, pe = lpi_rig({8192: 0x81, 8193: 0xA1})
    memory = rig.machine.memory
    rig.run("lpi8192; lines→IRQ")
    memory.write(PROPBASE, 1, 0x80)
    rig.run("lines→IRQ")
    pe.redist.write(arch.GICR_INVLPIR, 8, 8193)
    rig.run("lines→IRQ")
    pe.redist.write(arch.GICR_INVLPIR, 8, 8192)
    rig.run("lines→none; PL8192→1")
    memory.write(PROPBASE, 1, 0x81)
    rig.run("lines→none")
    pe.redist.write(arch.GICR_INVALLR, 8, 0)
    rig.run("lines→IRQ")


def test_direct_lpi_registers() -> None:
    rig, pe = lpi_rig({8200: 0x81})
    pe.redist.write(arch.GICR_SETLPIR, 8, 8200)
    rig.run("PL8200→1; lines→IRQ")
    pe.redist.write(arch.GICR_CLRLPIR, 4, 8200)
    rig.run("PL8200→0; lines→none")
    pe.redist.write(arch.GICR_CLRLPIR, 4, 8200)
    pe.redist.write(arch.GICR_SETLPIR + 4, 4, 8200)
    rig.run("PL8200→0; lines→none")


def test_enabling_reads_the_pending_table_unless_it_is_promised_zero() -> None:
    rig = host_rig()
    pe = rig.machine.pes[0]
    memory = rig.machine.memory
    memory.write(PENDBASE + 8200 // 8, 1, 1 << 8200 % 8)
    memory.write(PENDBASE + 45 // 8, 1, 1 << 45 % 8)  # the first KiB is not ours
    enable_lpis(rig, pe, {8200: 0x81})
    rig.run("lines→IRQ; HPPIR1→8200; P45→0")
    pe.redist.write(arch.GICR_CTLR, 4, 0)
    rig.run("lines→none; PL8200→1")
    pe.redist.write(arch.GICR_PENDBASER, 8, PENDBASE | arch.PENDBASER_PTZ)
    pe.redist.write(arch.GICR_CTLR, 4, 1)
    assert pe.redist.lpis.pending == set()
    pe.redist.write(arch.GICR_CTLR, 4, 0)
    pe.redist.write(arch.GICR_CTLR, 4, 1)
    rig.run("lines→IRQ; IAR1→8200; PL8200→0")


def test_table_registers_are_locked_while_enabled() -> None:
    rig, pe = lpi_rig({})
    for offset in (arch.GICR_PROPBASER, arch.GICR_PENDBASER):
        before = pe.redist.read(offset, 8)
        pe.redist.write(offset, 8, 0)
        assert pe.redist.read(offset, 8) == before
    rig.run("lpi8192; PL8192→1")


def test_tables_outside_memory_hold_nothing() -> None:
    rig = host_rig()
    it = rig.machine.pes[0].redist
    it.write(arch.GICR_PROPBASER, 8, 0x8000_0000 | 15)
    it.write(arch.GICR_PENDBASER, 8, 0x9000_0000)
    it.write(arch.GICR_CTLR, 4, 1)
    rig.run("lpi8192; lines→none")
    it.check()


def test_too_few_id_bits_leave_no_lpis() -> None:
    rig = host_rig()
    it = rig.machine.pes[0].redist
    it.write(arch.GICR_PROPBASER, 8, PROPBASE | 12)
    it.write(arch.GICR_PENDBASER, 8, PENDBASE)
    it.write(arch.GICR_CTLR, 4, 1)
    it.set_lpi(8192)
    assert it.lpis.pending == set()


def test_lpi_priority_is_nonsecure_with_two_security_states() -> None:
    it = redist(PhysConfig(single_security=False))
    it.lpis.memory.write(PROPBASE, 1, 0x41)
    it.write(arch.GICR_PROPBASER, 8, PROPBASE | 13)
    assert it.lpis.priority(8192) == 0xA0
