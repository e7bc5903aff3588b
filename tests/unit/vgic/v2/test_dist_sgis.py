"""SGIs of a GICv2 guest: GICD_SGIR, and the sources kept by GICD_CPENDSGIR and GICD_SPENDSGIR."""

from typing import Final, NamedTuple

import pytest

from hw.arch import GICC_HPPIR, INTID_SPURIOUS
from tests.unit.vgic.v2.gicd import CPENDSGIR, ICENABLER, ISPENDR, SGIR, SPENDSGIR, WHO
from tests.unit.vgic.v2.rig import GICC_BASE, GICD_BASE, GICV2, GICV3, Rig, make_host
from vgic import CTRL_INIT, Addr, Device, DeviceType, Group, Vgic

# -- SGIs --------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """A value of SGIR that CPU 1 of 3 writes, and who gets the SGI."""

    value: int
    vcpus: list[int]


SENDS: Final = {
    "to a list": Send(0x0005_0003, [0, 2]),
    "to a list with oneself": Send(0x0002_0003, [1]),
    "to a list with absent CPUs": Send(0x00F9_0003, [0]),
    "to an empty list": Send(0x0000_0003, []),
    "to all others, whatever the list": Send(0x01FF_0003, [0, 2]),
    "to oneself, whatever the list": Send(0x0205_0003, [1]),
    "filter 3 is reserved: nothing happens": Send(0x03FF_0003, []),
    "NSATT and reserved bits are ignored": Send(0xFC05_FFF3, [0, 2]),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", SENDS.values(), ids=SENDS)
def test_send(row: Send, who: str) -> None:
    rig = Rig(3)
    rig.put(who, SGIR, row.value, of=1)
    for index in range(3):
        irq = rig.found(3, index)
        got = index in row.vcpus
        assert (irq.pending_latch, irq.source, rig.listed(index)) == (got, 0b10 * got, [3] * got)
    assert rig.kicks == row.vcpus


def test_send_is_latched_while_disabled() -> None:
    rig = Rig()
    rig.dist.enabled = False
    rig.set_gicd(ICENABLER, 1 << 3)
    rig.set_gicd(SGIR, 0x0200_0003)
    assert (rig.found(3).source, rig.listed(), rig.kicks) == (1, [], [])


def test_twice_from_one_source_is_once_and_sources_are_kept_apart() -> None:
    rig = Rig(3)
    for by in (1, 1, 2):
        rig.set_gicd(SGIR, 0x0001_0003, by=by)
    assert rig.found(3).source == 0b110


def with_ids(host: str, *ids: int) -> tuple[Vgic, Device]:
    """A GICv2 VM whose vCPUs have these ids."""
    vm = Vgic(make_host(host), threads=False)
    for vcpu_id in ids:
        vm.create_vcpu(vcpu_id)
    device = vm.create_device(DeviceType.VGIC_V2)
    device.set_attr(Group.CTRL, CTRL_INIT)
    return vm, device


def test_targets_go_by_index_and_the_source_by_id() -> None:
    """As in KVM; the two differ in a VM whose ids are not 0, 1, 2..."""
    vm, device = with_ids(GICV2, 4, 1)
    device.set_attr(Group.DIST_REGS, 4 << 32 | SGIR, 0x0002_0003)
    assert [vcpu.private[3].source for vcpu in vm.vcpus] == [0, 1 << 4]


def test_a_source_whose_id_has_no_bit_is_lost() -> None:
    """A GICv3 host takes ids above 7 before it knows that the VM gets a GICv2; KVM keeps sources in a byte.

    The SGI is then pending from nobody: its list register stays empty, and it is gone.
    """
    vm, device = with_ids(GICV3, 9)
    vcpu = vm.vcpus[0]
    vcpu.dist.enabled = True
    device.set_attr(Group.ADDR, Addr.V2_DIST, GICD_BASE)
    device.set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
    device.set_attr(Group.DIST_REGS, 9 << 32 | SGIR, 0x0200_0003)
    device.set_attr(Group.DIST_REGS, 9 << 32 | ISPENDR, 1 << 4)
    assert [(vcpu.private[n].source, vcpu.private[n].pending_latch) for n in (3, 4)] == [(0, True)] * 2
    vcpu.enter()
    assert vcpu.read(GICC_BASE + GICC_HPPIR, 4) == INTID_SPURIOUS
    vcpu.exit()
    assert ([irq.intid for irq in vcpu.ap_list], vcpu.private[3].pending_latch) == ([], False)


class Sources(NamedTuple):
    """A write of SGI 6's byte, which reads 0b0110 before."""

    bank: int
    value: int
    reads: int
    listed: bool


SOURCES: Final = {
    "CPENDSGIR takes one source": Sources(CPENDSGIR, 0b0010, 0b0100, False),
    "CPENDSGIR takes the last": Sources(CPENDSGIR, 0xFF, 0, False),
    "CPENDSGIR of zero": Sources(CPENDSGIR, 0, 0b0110, False),
    "SPENDSGIR adds one source": Sources(SPENDSGIR, 0b1000, 0b1110, True),
    "SPENDSGIR adds CPUs that do not exist": Sources(SPENDSGIR, 0xFF, 0xFF, True),
    "SPENDSGIR of zero looks at it again": Sources(SPENDSGIR, 0, 0b0110, True),
}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("row", SOURCES.values(), ids=SOURCES)
def test_sources(row: Sources, who: str, size: int) -> None:
    if who == "user" and size == 1:
        return  # user space has words alone
    rig = Rig(2)
    irq = rig.irq(6, vcpu=1, sources=0b0110)
    if size == 1:
        rig.set_gicd(row.bank + 6, row.value, 1, by=1)
    else:
        rig.put(who, row.bank + 4, row.value << 16, of=1)
    assert (irq.source, irq.pending_latch, rig.listed(1)) == (row.reads, row.reads != 0, [6] * row.listed)
    for bank in (CPENDSGIR, SPENDSGIR):
        assert rig.get(who, bank + 4, of=1) == row.reads << 16
        assert rig.get(who, bank + 4, of=0) == 0, "sources are banked"


def test_spendsgir_of_nothing_is_nothing() -> None:
    rig = Rig()
    rig.set_gicd(SPENDSGIR, 0)
    assert (rig.found(0).pending_latch, rig.listed()) == (False, [])
