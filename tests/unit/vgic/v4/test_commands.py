"""What the guest's ITS commands, other ways to an event, and the end of a VM do to a forwarded LPI."""

import pytest

from hw import GicVersion, ItsConfig, V4Config
from hw import arch4 as a
from tests.unit.vgic.its.rig import (
    DISABLED,
    ENABLED,
    clear,
    discard,
    inv,
    invall,
    mapc,
    mapd,
    mapti,
    movall,
    movi,
    raise_event,
)
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, host40, make_host
from vgic import MsiRoute
from vgic.v4.forward import Vlpi


def names(words: list[tuple[int, int, int, int]]) -> list[str]:
    return [a.COMMAND_NAMES[each[0] & 0xFF] for each in words]


def test_inv_disables() -> None:
    """B23: no doorbell for what the guest disabled."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    rig.configure(LPI, DISABLED)
    rig.log.clear()
    rig.do(inv(DEV, 0))
    assert rig.log.names() == []
    assert rig.vct_byte() == DISABLED | 2
    assert rig.wfi()
    rig.msi_from(0)
    assert (rig.kicks, rig.vpe().doorbells) == ([], 0)
    rig.configure(LPI, ENABLED)
    rig.do(inv(DEV, 0))
    assert (rig.kicks, rig.vpe().doorbells) == ([0], 1)
    rig.run()
    assert rig.take() == LPI


@pytest.mark.parametrize("direct_lpi", [True, False])
def test_inv_on_gicv40(direct_lpi: bool) -> None:
    """B24: the event loses its doorbell, too."""
    rig = V4Rig(host=host40(direct_lpi))
    rig.forwarded()
    rig.configure(LPI, DISABLED)
    rig.log.clear()
    rig.do(inv(DEV, 0))
    words = rig.log.words()
    assert names(words) == ["INV", "VSYNC", "VMOVI", "VSYNC"]
    assert words[2] == (a.VMOVI | DEV << 32, rig.vpe().vpeid << 32, 1023 << 32 | 1, 0)
    assert rig.vct_byte() == DISABLED | 2


def test_movi() -> None:
    """B25: what is pending goes along."""
    rig = V4Rig()
    rig.forwarded()
    rig.msi_from(0)
    rig.log.clear()
    rig.do(mapc(1, 1), movi(DEV, 0, 1))
    words = rig.log.words()
    assert names(words) == ["VMOVI", "VSYNC"]
    assert words[0][1] == rig.vpe(1).vpeid << 32
    assert [vpe.vlpis for vpe in rig.direct.vpes] == [0, 1]
    rig.run(0, 0)
    assert rig.take(0) == 1023
    rig.run(1, 1)
    assert rig.take(1) == LPI


def test_mapc_and_movall_move_every_one() -> None:
    """B26, B27."""
    rig = V4Rig()
    for n in range(3):
        rig.forwarded(n)
    rig.map_lpi(3)
    rig.log.clear()
    rig.do(mapc(0, 1))
    assert rig.log.names() == ["VMOVI", "VSYNC"] * 3
    assert [vpe.vlpis for vpe in rig.direct.vpes] == [0, 3]
    rig.do(mapc(2, 0), movi(DEV, 2, 2))
    rig.log.clear()
    rig.do(movall(1, 0))
    assert rig.log.names() == ["VMOVI", "VSYNC"] * 2
    rig.check()
    assert [vpe.vlpis for vpe in rig.direct.vpes] == [3, 0]


@pytest.mark.parametrize("version", [GicVersion.V4_0, GicVersion.V4_1])
def test_invall(version: GicVersion) -> None:
    """B28: bytes are written one by one, then hardware looks at all of them."""
    rig = V4Rig(host=make_host(v4=V4Config(version=version)))
    for n in range(5):
        rig.map_lpi(n)
    rig.forwarded(0)
    rig.forwarded(3)
    for n in range(5):
        rig.configure(LPI + n, 0x51)
    rig.log.clear()
    before = rig.machine.pes[0].cost.mmio_writes
    rig.do(invall(0))
    v41 = version is GicVersion.V4_1
    assert rig.log.names() == ([] if v41 else ["VINVALL", "VSYNC"])
    assert rig.machine.pes[0].cost.mmio_writes - before == v41
    assert [rig.vct_byte(LPI + n) for n in range(5)] == [0x53, 0xA2, 0xA2, 0x53, 0xA2]
    assert all(rig.lpi(LPI + n).priority == 0x50 for n in range(5))


def test_int_and_clear() -> None:
    """B29, B30."""
    rig = V4Rig()
    rig.forwarded()
    rig.log.clear()
    rig.do(raise_event(DEV, 0))
    assert (rig.log.names(), rig.lpi(LPI).pending_latch) == (["INT", "VSYNC"], False)
    rig.do(clear(DEV, 0))
    assert rig.log.names() == ["CLEAR", "VSYNC"]
    rig.run()
    assert rig.take() == 1023


def test_discard_gives_the_vector_back() -> None:
    """B31, B32: later messages go by the host; mapped again, the event is software's."""
    rig = V4Rig()
    msi = rig.forwarded()
    rig.log.clear()
    rig.do(discard(DEV, 0))
    assert rig.log.names() == ["DISCARD", "SYNC", "MAPTI", "SYNC"]
    assert (rig.vpe().vlpis, msi.direct) == (0, None)
    rig.msi_from(0)
    assert msi.taken == 1
    rig.do(mapti(DEV, 0, LPI, 0))
    assert rig.lpi(LPI).direct is None
    rig.msi_from(0)
    assert msi.taken == 2
    rig.run()
    assert [rig.take(), rig.vcpus[0].cost.lr_writes > 0] == [LPI, True]


@pytest.mark.parametrize("how", ["MAPD V=0", "MAPD again", "reset", "BASER"])
def test_every_end_of_a_mapping(how: str) -> None:
    rig = V4Rig()
    msi = rig.forwarded()
    rig.forwarded(1)
    if how == "reset":
        rig.reset()
    elif how == "BASER":
        rig.write(0, 0, 4)
        rig.write(0x100, 0)
    else:
        rig.do(mapd(DEV, 8, valid=how == "MAPD again"))
    assert (msi.direct, rig.vpe().vlpis, msi.device.vm, rig.direct.uses) == (None, 0, None, {})
    rig.check()


def test_a_collection_that_goes_leaves_vlpis_alone() -> None:
    rig = V4Rig()
    rig.forwarded()
    rig.log.clear()
    rig.do(mapc(0, 0, valid=False))
    rig.write(0, 0, 4)  # nor does the guest's disabling of its ITS
    assert rig.log.names() == []
    rig.run()
    rig.msi_from(0)
    assert rig.take() == LPI


def test_a_message_from_user_space_is_delivered_once() -> None:
    """B33: never from the cache."""
    rig = V4Rig()
    rig.map_lpi()
    assert rig.msi(DEV, 0) == 1
    assert rig.cached() == {(DEV, 0)}
    rig.vector()
    assert rig.forward() == 0
    assert rig.cached() == set()
    rig.log.clear()
    assert rig.msi(DEV, 0) == 1
    assert (rig.log.names(), rig.cached()) == (["INT", "VSYNC"], set())
    rig.run()
    assert [rig.take(), rig.take()] == [LPI, 1023]


def test_the_eventfd_works_too() -> None:
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    rig.fds[0].signal()
    rig.vm.irqfd_fired(rig.fds[0])
    assert [rig.take(), rig.take()] == [LPI, 1023]


def test_the_vector_is_given_back_with_the_its_disabled() -> None:
    """B34: found by the vector, not by the guest's tables (Linux 6.15; 6.12 leaves it mapped)."""
    rig = V4Rig()
    msi = rig.forwarded()
    rig.write(0, 0, 4)
    rig.vm.irqfd_deassign(rig.fds[0], 0)
    assert (msi.direct, rig.lpi(LPI).direct) == (None, None)
    rig.check()


def test_another_route() -> None:
    """B60: as in Linux 6.16."""
    rig = V4Rig()
    msi = rig.forwarded()
    rig.map_lpi(5)
    rig.vm.set_gsi_routing([MsiRoute(0, 0x0809_0040, 5, DEV)])
    assert rig.lpi(LPI).direct is None
    assert isinstance(rig.lpi(LPI + 5).direct, Vlpi)
    rig.check()
    rig.vm.set_gsi_routing([])
    assert (rig.lpi(LPI + 5).direct, msi.direct) == (None, None)
    rig.check()


def test_vm_destroyed_with_forwarded_vectors() -> None:
    """B61: nothing is left."""
    rig = V4Rig()
    gic = rig.gicv4
    msi = rig.forwarded()
    rig.forwarded(1)
    rig.run()
    rig.vcpus[0].exit()
    rig.log.clear()
    rig.vm.destroy()
    unmapped = [words for words in rig.log.words() if words[0] & 0xFF == a.VMAPP]
    assert [words[0] & a.VMAPP_ALLOC for words in unmapped] == [a.VMAPP_ALLOC] * 2
    assert (msi.direct, gic.vpeids.used, rig.machine.vpes.by_key) == (None, 0, {})
    for vector in rig.msis.values():
        rig.v4host.free_msi(vector)
    assert gic.lpis.used == 0
    rig.machine.check()
    assert not rig.machine.misuse.records


# GICv4.0: lazy mapping


def test_lazy_mapping() -> None:
    """B55, B56: a VM's vPEs are on an ITS as long as it has vLPIs there; VMOVP names those ITSs."""
    lazy = ItsConfig(vmovp=False)
    rig = V4Rig(host=host40(its=(lazy, lazy)))
    assert all(not vpe.maps for vpe in rig.direct.vpes)
    rig.map_lpi()
    rig.vector(its=1)
    rig.log.clear()
    assert rig.forward() == 0
    assert rig.log.names(0) == []
    assert rig.log.names(1).count("VMAPP") == 2
    rig.run(0, 2)
    moves = [words for words in rig.log.words(1) if words[0] & 0xFF == a.VMOVP]
    assert [words[1] & 0xFFFF for words in moves] == [0b10]
    rig.msi_from(0)
    assert rig.take() == LPI
    rig.vcpus[0].exit()
    rig.vcpus[0].put()
    rig.log.clear()
    rig.vm.remove_producer(rig.fds[0])
    assert rig.log.names(1).count("VMAPP") == 2
    assert all(not vpe.maps for vpe in rig.direct.vpes)
    rig.check()


def test_vmovp_on_several_itss() -> None:
    """All of a list, in the same order, with the same sequence number."""
    lazy = ItsConfig(vmovp=False)
    rig = V4Rig(host=make_host(its=(lazy, lazy)))
    rig.log.clear()
    rig.run(0, 1)
    rig.run(1, 2)
    seen = [
        [words[0] >> 32 for words in rig.log.words(n) if words[0] & 0xFF == a.VMOVP and words[1] & 0xFFFF == 0b11]
        for n in range(2)
    ]
    assert seen[0] == seen[1] == [1, 2]


@pytest.mark.parametrize("last", [0, 1])
def test_a_queue_of_moves_costs_each_vlpi_two(last: int) -> None:
    """The first command of a pass walks; later ones move sets, of which hardware is told at the end."""
    rig = V4Rig()
    for n in range(8):
        rig.forwarded(n)
    rig.do(mapc(1, 1))
    rig.log.clear()
    rig.do(*[movall(0, 1), movall(1, 0)] * 50, movall(1 - last, last))
    assert rig.log.names().count("VMOVI") <= 16
    rig.check()
    assert [vpe.vlpis for vpe in rig.direct.vpes] == ([8, 0] if last == 0 else [0, 8])


def test_a_queue_of_invalls_reads_each_byte_once() -> None:
    """And tells hardware only where something was read."""
    rig = V4Rig()
    for n in range(8):
        rig.forwarded(n)
        rig.configure(LPI + n, 0x51)
    before = rig.machine.pes[0].cost.mmio_writes
    rig.do(*[invall(0)] * 50)
    assert rig.machine.pes[0].cost.mmio_writes - before <= 2
    assert [rig.vct_byte(LPI + n) for n in range(8)] == [0x53] * 8


def test_an_event_that_rings_while_a_queue_is_worked_off() -> None:
    """The doorbell is taken when the queue is empty, as kicks are; and other vectors' handlers run then."""
    rig = V4Rig()
    rig.forwarded(0)
    rig.map_lpi(1)
    rig.vector(1)
    rig.run()
    assert rig.wfi()
    rig.kicks.clear()
    rig.machine.itss[0].msi(DEV, 1)
    rig.do(raise_event(DEV, 0), movall(0, 1), movall(1, 0))
    assert 0 in rig.kicks
    assert rig.msis[1].taken == 1
    rig.run()
    assert {rig.take(), rig.take()} == {LPI, LPI + 1}
