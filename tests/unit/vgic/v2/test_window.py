"""The guest's GICC frame: mapped to GICV, or forwarded by EL2."""

from typing import Final, NamedTuple

import pytest

from hw.arch import GICC_BPR, GICC_CTLR, GICC_DIR, GICC_IAR, GICC_IIDR, GICC_PMR, INTID_SPURIOUS
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v2.rig import BOTH_HOSTS, GICC_BASE, GICV2, GICV3, Rig, make_host
from vgic import UNCLAIMED, DeviceType, Vgic
from vgic.ap_list import queue
from vgic.errors import ENODEV

SPI: Final = 40
ONES: Final = 0xFFFF_FFFF


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_mapped_accesses_do_not_leave_the_guest(host: str) -> None:
    rig = Rig(host=host)
    queue(rig.irq(SPI, latch=True))
    rig.vcpu.enter()
    before = rig.vcpu.pe.cost.copy()
    iar = rig.acknowledge()
    rig.end(iar)
    spent = {name: n for name, n in rig.vcpu.pe.cost.diff(before).as_dict().items() if n}
    assert (iar, spent) == (SPI, {"icv_reads": 1, "icv_writes": 1})
    assert rig.vcpu.used_lrs == 1, "nothing was folded"


def test_forwarded_accesses_trap_to_el2_and_fold_nothing() -> None:
    rig = Rig(gicv_trap=True)
    queue(rig.irq(SPI, latch=True))
    rig.vcpu.enter()
    before = rig.vcpu.pe.cost.copy()
    iar = rig.acknowledge()
    rig.end(iar)
    spent = {name: n for name, n in rig.vcpu.pe.cost.diff(before).as_dict().items() if n}
    assert (iar, spent) == (SPI, {"icv_reads": 1, "icv_writes": 1, "entries": 2, "exits_mmio": 2})
    assert (rig.vcpu.used_lrs, rig.vcpu.serror) == (1, False)


class Access(NamedTuple):
    """An access that is no aligned word."""

    offset: int
    size: int


ODD: Final = {
    "a byte": Access(GICC_PMR, 1),
    "a halfword": Access(GICC_PMR, 2),
    "a doubleword": Access(GICC_CTLR, 8),
    "a word across two": Access(GICC_PMR + 2, 4),
    "a byte of the last word": Access(0x1FFF, 1),
}


@pytest.mark.parametrize("trapped", [False, True], ids=["mapped", "forwarded"])
@pytest.mark.parametrize("row", ODD.values(), ids=ODD)
def test_words_alone(row: Access, trapped: bool) -> None:
    """GICV ignores the rest; EL2 skips it and gives the guest an SError."""
    rig = Rig(gicv_trap=trapped)
    rig.vcpu.enter()
    assert rig.vcpu.read(GICC_BASE + row.offset, row.size) == 0
    assert rig.vcpu.serror == trapped
    rig.vcpu.serror = False
    assert rig.vcpu.write(GICC_BASE + row.offset, row.size, 0)
    assert rig.vcpu.serror == trapped
    assert rig.gicc(GICC_PMR) == 0xF8


EDGES: Final = {
    "the first word": (0, 4, True),
    "DIR, in the second page": (GICC_DIR, 4, True),
    "the last word": (0x1FFC, 4, True),
    "before the frame": (-4, 4, False),
    "past the frame": (0x2000, 4, False),
    "across its start": (-4, 8, False),
    "across its end": (0x1FFC, 8, False),
}


@pytest.mark.parametrize("trapped", [False, True], ids=["mapped", "forwarded"])
@pytest.mark.parametrize("row", EDGES.values(), ids=EDGES)
def test_extent(row: tuple[int, int, bool], trapped: bool) -> None:
    offset, size, claimed = row
    rig = Rig(gicv_trap=trapped)
    rig.vcpu.enter()
    assert (rig.vcpu.read(GICC_BASE + offset, size) != UNCLAIMED) == claimed
    assert rig.vcpu.write(GICC_BASE + offset, size, 0) == claimed
    assert not rig.vcpu.serror


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_each_vcpu_has_its_own(host: str) -> None:
    rig = Rig(2, host=host)
    for vcpu in rig.vcpus:
        vcpu.enter()
    rig.set_gicc(GICC_BPR, 5, of=1)
    assert (rig.gicc(GICC_BPR, 0), rig.gicc(GICC_BPR, 1)) == (2, 5)


@pytest.mark.parametrize("host", BOTH_HOSTS)
def test_it_moves_with_the_vcpu(host: str) -> None:
    rig = Rig(2, host=host)
    rig.vcpu.enter()
    rig.set_gicc(GICC_PMR, 0x58)
    rig.vcpu.exit()
    rig.vcpu.enter(5)
    assert (rig.gicc(GICC_PMR), rig.vcpu.pe.index) == (0x58, 5)


def test_the_iidr_is_the_hardwares() -> None:
    found = []
    for host in BOTH_HOSTS:
        rig = Rig(host=host)
        rig.vcpu.enter()
        found.append(rig.gicc(GICC_IIDR))
    assert found == [0x0002_043B, 0x0003_043B]


def test_nothing_is_there_before_the_first_entry() -> None:
    rig = Rig()
    assert rig.vcpu.window is None
    rig.vcpu.enter()
    assert rig.gicc(GICC_IAR) == INTID_SPURIOUS


def test_a_gicv3_host_needs_a_gicv_of_whole_pages() -> None:
    """A GICv2 host forwards; a GICv3 host then gives its guests no GICv2."""
    assert make_host(GICV2, gicv_trap=True).has_gicv2_guests
    host = make_host(GICV3, gicv_trap=True)
    assert not host.has_gicv2_guests
    vm = Vgic(host, threads=False)
    assert outcome(lambda: vm.create_device(DeviceType.VGIC_V2)) == ENODEV
