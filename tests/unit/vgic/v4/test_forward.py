"""Forwarding: an LPI becomes a vLPI and back, and what the guest's commands do to it meanwhile."""

import errno

import pytest

from hw import ItsConfig
from hw import arch4 as a
from tests.unit.vgic.its.rig import (
    DOORBELL,
    ENABLED,
    discard,
    mapti,
)
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, make_host
from vgic import Group, MsiRoute, PinRoute, VgicError
from vgic.v4.forward import Vlpi
from vgic.v4.hostits import HostIts


def names(words: list[tuple[int, int, int, int]]) -> list[str]:
    return [a.COMMAND_NAMES[each[0] & 0xFF] for each in words]


def test_a_vector_is_forwarded() -> None:
    """B07."""
    rig = V4Rig()
    rig.map_lpi()
    rig.vector()
    rig.log.clear()
    assert rig.forward() == 0
    words = rig.log.words()
    assert names(words) == ["DISCARD", "SYNC", "VMAPTI", "VSYNC"]
    assert words[2] == (a.VMAPTI | DEV << 32, rig.vpe().vpeid << 32, 1023 << 32 | LPI, 0)
    assert rig.vct_byte() == ENABLED | 2
    assert rig.vpe().vlpis == 1
    rig.check()


def test_it_is_forwarded_once() -> None:
    """B08: another vector for the same LPI changes nothing."""
    rig = V4Rig()
    rig.forwarded()
    other = rig.vector(1)
    rig.routes[1] = MsiRoute(1, rig.routes[0].address, 0, DEV) if isinstance(rig.routes[0], MsiRoute) else rig.routes[0]
    rig.vm.set_gsi_routing(list(rig.routes.values()))
    rig.log.clear()
    assert rig.forward(1) == 0
    assert rig.log.names() == []
    assert (rig.vpe().vlpis, other.direct) == (1, None)
    rig.check()


def test_what_was_pending_goes_along() -> None:
    """B09."""
    rig = V4Rig()
    rig.map_lpi()
    assert rig.msi(DEV, 0) == 1
    rig.vector()
    rig.log.clear()
    assert rig.forward() == 0
    assert rig.log.names() == ["DISCARD", "SYNC", "VMAPTI", "VSYNC", "INT", "VSYNC"]
    assert not rig.lpi(LPI).pending_latch
    rig.run()
    assert [rig.take(), rig.take()] == [LPI, 1023]
    assert rig.vcpus[0].cost.lr_writes == 0


def test_what_is_in_a_list_register_goes_along() -> None:
    """B66: guests are halted and folded before a producer is added."""
    rig = V4Rig()
    rig.map_lpi()
    rig.vector()
    assert rig.msi(DEV, 0) == 1
    rig.run()
    assert rig.vcpus[0].used_lrs == 1
    assert rig.forward() == 0
    rig.check()
    assert rig.vcpus[0].used_lrs == 0
    assert [rig.take(), rig.take()] == [LPI, 1023]


def test_a_device_behind_another_its_stays_with_software() -> None:
    """B10."""
    rig = V4Rig(host=make_host(its=(ItsConfig(), ItsConfig(virtual=False))))
    rig.map_lpi()
    rig.vector(its=1)
    with pytest.raises(VgicError) as caught:
        rig.forward()
    assert caught.value.errno == errno.EINVAL
    rig.msi_from(0)
    rig.run()
    assert rig.take() == LPI
    assert rig.msis[0].taken == 1


def test_an_event_the_guest_has_not_mapped() -> None:
    """B11."""
    rig = V4Rig()
    rig.vector()
    assert rig.forward() == 0x010307
    assert rig.msis[0].direct is None


def test_a_device_belongs_to_one_vm() -> None:
    """B12."""
    rig = V4Rig()
    rig.forwarded()
    other = V4Rig(host=rig.v4host)
    other.map_lpi(1)
    other.vector(1)
    with pytest.raises(VgicError) as caught:
        other.forward(1)
    assert caught.value.errno == errno.EINVAL
    rig.vm.remove_producer(rig.fds[0])
    assert other.forward(1) == 0
    other.check()


def test_no_switch_no_forwarding() -> None:
    """B01."""
    rig = V4Rig(host=make_host(enable=False))
    assert rig.dist.direct is None
    assert rig.gic.get_attr(Group.DIST_REGS, 0xC) == 0
    rig.map_lpi()
    rig.vector()
    rig.log.clear()
    assert rig.forward() == 0
    assert rig.log.names() == []
    rig.msi_from(0)
    rig.run()
    assert (rig.take(), rig.vcpus[0].cost.lr_writes > 0) == (LPI, True)


def test_an_interrupt_reaches_a_running_guest_without_the_host() -> None:
    """B13."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    cost = rig.vcpus[0].cost.copy()
    rig.msi_from(0)
    assert rig.take() == LPI
    spent = rig.vcpus[0].cost.diff(cost)
    assert (spent.entries, spent.exits_irq, spent.lr_writes, spent.doorbells, spent.direct_acks) == (0, 0, 0, 0, 1)
    assert rig.msis[0].taken == 0


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("the ITS is disabled", errno.EBUSY),
        ("the target's LPIs are disabled", errno.EBUSY),
        ("the eventfd has a vector", errno.EBUSY),
        ("the vector has an eventfd", errno.EBUSY),
        ("the VM is dead", errno.EIO),
    ],
)
def test_refused(what: str, error: int) -> None:
    rig = V4Rig()
    rig.map_lpi()
    rig.vector()
    rig.vector(1)
    fd, msi = rig.fds[0], rig.msis[0]
    if what.startswith("the ITS"):
        rig.write(0, 0, 4)
    elif what.startswith("the target"):
        rig.set_gicr(0, 0, size=4)
    elif what.startswith("the eventfd"):
        assert rig.vm.add_producer(fd, rig.msis[1]) == 0
    elif what.startswith("the vector"):
        assert rig.vm.add_producer(rig.fds[1], msi) == 0x010307
        rig.map_lpi(1)
        assert rig.vm.add_producer(rig.fds[1], msi) == 0
    else:
        rig.vm.destroy()
    direct = msi.direct
    assert outcome(rig.vm.add_producer, fd, msi) == error
    assert msi.direct is direct


@pytest.mark.parametrize("what", ["a pin", "no DeviceID", "no ITS there", "no route", "no irqfd"])
def test_what_is_no_message_to_the_its_stays_with_software(what: str) -> None:
    """Adding a producer is no error then; KVM returns 0."""
    rig = V4Rig()
    rig.map_lpi()
    rig.vector()
    every: dict[str, list[PinRoute | MsiRoute]] = {
        "a pin": [PinRoute(0, 5)],
        "no DeviceID": [MsiRoute(0, DOORBELL, 0, DEV, 0)],
        "no ITS there": [MsiRoute(0, 0x0700_0040, 0, DEV)],
        "no route": [],
        "no irqfd": [MsiRoute(0, DOORBELL, 0, DEV)],
    }
    rig.vm.set_gsi_routing(every[what])
    if what == "no irqfd":
        rig.vm.irqfd_deassign(rig.fds[0], 0)
    rig.log.clear()
    assert rig.forward() == 0
    assert (rig.log.names(), rig.msis[0].direct) == ([], None)


def test_a_consumer_that_comes_after_its_producer() -> None:
    """irqbypass matches them whichever is first."""
    rig = V4Rig()
    rig.map_lpi()
    msi = rig.vector()
    rig.vm.irqfd_deassign(rig.fds[0], 0)
    assert rig.forward() == 0
    rig.vm.irqfd(rig.fds[0], 0)
    assert isinstance(rig.lpi(LPI).direct, Vlpi)
    rig.vm.irqfd_deassign(rig.fds[0], 0)
    assert rig.lpi(LPI).direct is None
    rig.write(0, 0, 4)
    rig.vm.irqfd(rig.fds[0], 0)
    assert msi.direct is None, "the ITS is disabled, which is no error of the irqfd"
    rig.vm.remove_producer(rig.fds[0])
    rig.vm.remove_producer(rig.fds[0])
    rig.v4host.free_msi(msi)


def test_an_its_that_fails_leaves_the_lpi_with_software(monkeypatch: pytest.MonkeyPatch) -> None:
    """P23."""
    rig = V4Rig()
    rig.map_lpi()
    rig.vector()

    def fail(*_: object) -> None:
        raise VgicError(errno.EIO, "stopped")

    monkeypatch.setattr(HostIts, "map_vlpi", fail)
    rig.run()
    assert outcome(rig.forward) == errno.EIO
    monkeypatch.undo()
    assert (rig.lpi(LPI).direct, rig.msis[0].direct, rig.vpe().vlpis, rig.direct.uses) == (None, None, 0, {})
    assert rig.msis[0].device.vm is None
    rig.msi_from(0)
    assert rig.msis[0].taken == 1
    assert rig.wfi() is False
    rig.run()
    assert rig.take() == LPI


def test_a_vector_that_goes_to_a_guest_is_not_given_back() -> None:
    rig = V4Rig()
    msi = rig.forwarded()
    assert outcome(rig.v4host.free_msi, msi) == errno.EBUSY


def test_two_events_of_one_lpi() -> None:
    """Forwarded by the first; the second reaches it as software's INT; unmapping either ends that, as in KVM."""
    rig = V4Rig()
    msi = rig.forwarded()
    rig.do(mapti(DEV, 1, LPI, 0))
    rig.run()
    rig.log.clear()
    assert rig.msi(DEV, 1) == 1
    assert rig.log.names() == ["INT", "VSYNC"]
    assert [rig.take(), rig.take()] == [LPI, 1023]
    rig.do(discard(DEV, 1))
    assert (msi.direct, rig.lpi(LPI).direct, rig.vpe().vlpis) == (None, None, 0)


def test_enabling_lpis_reads_the_pending_table_into_hardware() -> None:
    rig = V4Rig()
    rig.forwarded()
    rig.set_gicr(0, 0, size=4)
    rig.set_pending_bit(LPI)
    rig.set_gicr(0, 1, size=4)
    assert not rig.lpi(LPI).pending_latch
    rig.run()
    assert rig.take() == LPI
