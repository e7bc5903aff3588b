"""Vectors of devices, and VMMs that are careless with them: a VgicError, and nothing changed."""

import pytest

from hw import Machine, Memory, V2Config
from tests.unit.vgic.its.rig import DOORBELL
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, make_host
from vgic import Host, MsiRoute, VgicError
from vgic.errors import EBUSY, EINVAL, ENODEV, ENOMEM


def used(rig: V4Rig) -> tuple[int, int]:
    return rig.gicv4.lpis.used, rig.gicv4.pages.used


@pytest.mark.parametrize(
    ("devid", "eventid", "vectors", "cpu", "errno"),
    [
        (3, 32, 32, 0, EINVAL),  # the device has events 0 to 31
        (3, -1, 32, 0, EINVAL),
        (3, 0, 0, 0, EINVAL),
        (3, 0, -5, 0, EINVAL),
        (3, 0, 1 << 20, 0, EINVAL),
        (3, 0, 32, 4, EINVAL),
        (DEV, 0, 32, 0, EBUSY),
    ],
)
def test_a_request_that_fails_leaves_nothing(devid: int, eventid: int, vectors: int, cpu: int, errno: int) -> None:
    rig = V4Rig()
    rig.vector()
    before = used(rig)
    rig.log.clear()
    with pytest.raises(VgicError) as caught:
        rig.v4host.request_msi(devid, eventid, vectors=vectors, cpu=cpu)
    assert caught.value.errno == errno
    assert used(rig) == before
    assert rig.log.names() == []
    if devid == 3:
        rig.v4host.request_msi(3, 200, vectors=256)  # the failed request does not say how many vectors it has


def test_a_cpu_that_is_offline_takes_nothing() -> None:
    """Another does, as for vectors that were there before."""
    host = make_host(cpus=3)
    before = host.request_msi(3, 0, cpu=1)
    host.cpu_offline(1)
    after = host.request_msi(3, 1, cpu=1)
    for vector in (before, after):
        host.msi(vector)
    assert [before.taken, after.taken] == [1, 1]


def test_no_lpi_is_left() -> None:
    rig = V4Rig()
    rig.gicv4.lpis.end = LPI + rig.gicv4.lpis.used
    before = used(rig)
    with pytest.raises(VgicError) as caught:
        rig.v4host.request_msi(3, 0)
    assert caught.value.errno == ENOMEM
    assert used(rig) == before


def test_a_vector_is_given_back_once() -> None:
    rig = V4Rig()
    vector = rig.vector()
    rig.v4host.free_msi(vector)
    again = rig.v4host.request_msi(DEV, 0)
    rig.log.clear()
    with pytest.raises(VgicError) as caught:
        rig.v4host.free_msi(vector)
    assert caught.value.errno == EINVAL
    assert rig.log.names() == []
    assert again.requested


def test_a_vector_of_another_host_is_none_of_ours() -> None:
    """The VM's vPEs are unknown to that host's ITS, or, worse, are another VM's there."""
    rig, other = V4Rig(), V4Rig()
    other.forwarded()
    rig.map_lpi()
    rig.vector()
    stranger = other.v4host.request_msi(DEV, 7)
    for log in (rig.log, other.log):
        log.clear()
    for careless in (
        lambda: rig.vm.add_producer(rig.fds[0], stranger),
        lambda: rig.v4host.free_msi(stranger),
        lambda: rig.v4host.msi(stranger),
        lambda: make_host(its=()).msi(stranger),
    ):
        with pytest.raises(VgicError) as caught:
            careless()
        assert caught.value.errno == EINVAL
    assert rig.log.names() == other.log.names() == []
    assert rig.forward() == 0, "the eventfd has no producer yet"
    rig.check()
    other.check()


def test_a_vector_that_was_given_back_is_not_forwarded() -> None:
    """Its LPI may be somebody else's by now."""
    rig = V4Rig()
    rig.map_lpi()
    rig.v4host.free_msi(rig.vector())
    with pytest.raises(VgicError) as caught:
        rig.forward()
    assert caught.value.errno == EINVAL


def test_nor_when_it_was_a_producer_without_a_route() -> None:
    rig = V4Rig()
    rig.map_lpi()
    vector = rig.vector()
    rig.vm.set_gsi_routing([])
    assert rig.forward() == 0
    assert vector.direct is None
    rig.v4host.free_msi(vector)
    rig.log.clear()
    rig.vm.set_gsi_routing([MsiRoute(0, DOORBELL, 0, DEV)])
    assert vector.direct is None
    assert rig.log.names() == []


def test_a_handler_that_raises_keeps_nothing_from_others() -> None:
    """What it raises comes out of the call in which the host took its interrupt, once all were taken."""
    host = make_host(cpus=2)

    def careless() -> None:
        raise LookupError

    first = host.request_msi(3, 0, careless)
    others = [host.request_msi(4, 0), host.request_msi(5, 0, cpu=1)]
    its = host.machine.itss[0]
    for devid in (3, 4, 5):
        its.msi(devid, 0)
    with pytest.raises(LookupError):
        host.take_interrupts()
    assert [first.taken, *(other.taken for other in others)] == [1, 1, 1]


def test_tables_lie_in_memory() -> None:
    for tables in (-0x1_0000, 1 << 38):
        with pytest.raises(VgicError) as caught:
            Host(Machine(1, memory=Memory(1 << 38)), tables=tables)
        assert caught.value.errno == EINVAL


def test_a_gicv2_host_knows_nothing_of_unplugged_cpus() -> None:
    with pytest.raises(VgicError) as caught:
        Host(Machine(2, gic=V2Config())).cpu_offline(1)
    assert caught.value.errno == ENODEV


def test_a_cpu_that_is_not_there() -> None:
    host = make_host(cpus=2)
    for careless in (host.take_interrupts, host.cpu_online, host.cpu_offline):
        for cpu in (-1, 2):
            with pytest.raises(VgicError) as caught:
                careless(cpu)
            assert caught.value.errno == EINVAL
