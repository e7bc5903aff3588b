"""A device that may send only so many messages in so many cycles: what waits, what becomes of it, who is unaffected."""

import errno
from collections.abc import Callable
from threading import Thread
from typing import Final

import pytest

from hw import ItsConfig, Machine
from tests.unit.vgic.its.rig import discard
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, host40, make_host
from vgic import DeviceLimit, EventCounter, Host, HostMsi, Vgic, VgicError

HOSTS: Final = {"GICv4.1": make_host, "GICv4.0": host40}


def limited(rig: V4Rig, messages: int = 1, cycles: int = 100) -> DeviceLimit:
    return rig.v4host.limit_device(DEV, messages, cycles)


def counters(limit: DeviceLimit) -> tuple[int, int, int, int, int, tuple[int, ...]]:
    limit.check()
    return limit.passed, limit.throttled, limit.released, limit.merged, limit.dropped, limit.held


def all_taken(rig: V4Rig, n: int = 0) -> list[int]:
    """What the running guest acknowledges, until there is nothing."""
    return list(iter(lambda: rig.take(n), 1023))


def vectors(host: Host, count: int, devid: int = 3) -> tuple[list[HostMsi], list[int]]:
    """Vectors that go to the host, and the list of those it took."""
    taken: list[int] = []

    def handler(n: int) -> Callable[[], None]:
        return lambda: taken.append(n)

    return [host.request_msi(devid, n, handler(n), vectors=count) for n in range(count)], taken


# -- what waits ----------------------------------------------------------------------------------


def test_without_a_limit_nothing_waits() -> None:
    rig = V4Rig()
    msi = rig.forwarded()
    rig.run()
    for _ in range(100):
        rig.v4host.msi(msi)
        assert rig.take() == LPI
    gic = rig.machine.account().gic
    assert (gic.msis, gic.throttled) == (100, 0)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_message_too_many_waits_until_it_is_due(host: Callable[[], Host]) -> None:
    rig = V4Rig(host=host())
    msi = rig.forwarded()
    limit = limited(rig)
    rig.run()
    rig.msi_from(0)
    assert rig.take() == LPI
    rig.msi_from(0)
    assert counters(limit) == (1, 1, 0, 0, 0, (0,))
    assert (limit.due, rig.vcpus[0].virq()) == (rig.machine.now + 100, False)
    rig.v4host.tick(99)
    assert not rig.vcpus[0].virq()
    rig.v4host.tick(1)
    assert all_taken(rig) == [LPI]
    assert counters(limit) == (1, 1, 1, 0, 0, ())
    assert limit.due is None
    assert msi.taken == 0
    gic = rig.machine.account().gic
    assert (gic.msis, gic.throttled, gic.dropped) == (2, 1, 0)
    assert rig.vcpus[0].cost.lr_writes == 0, "it was a vLPI all the way"


def test_a_vector_that_goes_to_the_host_waits_likewise() -> None:
    host = make_host()
    (msi,), taken = vectors(host, 1)
    limit = host.limit_device(3, 2, 100)
    for _ in range(3):
        host.msi(msi)
    assert (taken, counters(limit)) == ([0, 0], (2, 1, 0, 0, 0, (0,)))
    host.tick(50)
    assert taken == [0, 0, 0]


def test_so_does_one_of_a_host_without_gicv4() -> None:
    host = Host(Machine(2, its=[ItsConfig()]))
    (msi,), taken = vectors(host, 1)
    host.limit_device(3, 1, 10)
    host.msi(msi)
    host.msi(msi)
    assert taken == [0]
    host.tick(10)
    assert taken == [0, 0]


def test_messages_of_a_vector_that_waits_are_one() -> None:
    host = make_host()
    (one, other), taken = vectors(host, 2)
    limit = host.limit_device(3, 1, 10)
    host.msi(one, 1_000_000_000)
    host.msi(other)
    host.msi(one)
    assert counters(limit) == (1, 1_000_000_001, 0, 999_999_999, 0, (0, 1))
    host.tick(100)
    assert taken == [0, 0, 1]
    assert counters(limit) == (1, 1_000_000_001, 2, 999_999_999, 0, ())


def test_a_new_message_does_not_overtake_what_became_due() -> None:
    host = make_host()
    msis, taken = vectors(host, 4)
    limit = host.limit_device(3, 3, 30)
    host.msi(msis[0], 3)
    for msi in msis[1:]:
        host.msi(msi)
    host.machine.tick(25)
    host.msi(msis[0])
    assert (taken, limit.held) == ([0, 1, 2], (3, 0))


@pytest.mark.parametrize("times", [0, -1])
def test_no_message_is_none(times: int) -> None:
    host = make_host()
    (msi,), taken = vectors(host, 1)
    limit = host.limit_device(3, 1, 10)
    host.msi(msi)
    host.msi(msi)
    before = counters(limit)
    host.msi(msi, times)
    assert (counters(limit), taken) == (before, [0])


def test_what_waits_is_sent_in_the_order_in_which_it_began_to() -> None:
    host = make_host()
    msis, taken = vectors(host, 4)
    host.limit_device(3, 1, 10)
    for n in (2, 3, 0, 3, 1, 2):
        host.msi(msis[n])
    host.tick(10)
    host.msi(msis[3])  # anew: behind the others
    host.tick(100)
    assert taken == [2, 3, 0, 1, 2, 3]


def test_a_vector_that_floods_does_not_starve_its_neighbour() -> None:
    host = make_host()
    (loud, quiet), taken = vectors(host, 2)
    host.limit_device(3, 1, 10)
    for n in range(100):
        host.msi(loud, 50)
        if n == 50:
            host.msi(quiet)
        host.tick(1)
    assert taken.count(1) == 1
    assert len(taken) == 11


def test_each_is_sent_when_it_is_due_however_long_the_tick() -> None:
    host = make_host()
    when: list[int] = []
    msis = [host.request_msi(3, n, lambda: when.append(host.machine.now)) for n in range(5)]
    limit = host.limit_device(3, 2, 7)
    for msi in msis:
        host.msi(msi)
    host.tick(1000)
    assert when == [0, 0, 4, 7, 11], "2 at once, then one in 3.5 cycles"
    assert host.machine.now == 1000
    for _ in range(3):
        host.msi(msis[0])
    assert limit.held == (0,), "a long silence does not grant more than the limit"


def test_a_handler_may_have_its_device_send_again() -> None:
    """A driver that starts the next transfer in its handler: the flood is as fast as the limit, and the tick ends."""
    host = make_host()
    when: list[int] = []

    def again() -> None:
        when.append(host.machine.now)
        host.msi(msi)

    msi = host.request_msi(3, 0, again)
    host.limit_device(3, 1, 10)
    host.msi(msi)
    host.tick(35)
    assert when == [0, 10, 20, 30]


def test_what_became_due_by_the_machines_own_clock_is_sent_by_any_tick() -> None:
    host = make_host()
    (msi,), taken = vectors(host, 1)
    host.limit_device(3, 1, 10)
    host.msi(msi)
    host.msi(msi)
    host.machine.tick(10)
    assert taken == [0]
    host.tick()
    assert taken == [0, 0]


def test_the_limit_bounds_the_device_not_a_message_that_nobody_wants() -> None:
    """The ITS drops those of events that are not requested; they wait for nothing, and use nothing up."""
    host = make_host()
    (one, other), taken = vectors(host, 2)
    limit = host.limit_device(3, 1, 10)
    host.free_msi(other)
    for _ in range(5):
        host.msi(other)
    host.msi(one)
    assert (taken, counters(limit)) == ([0], (1, 0, 0, 0, 0, ()))
    assert host.machine.account().gic.dropped == 5


# -- a blocked vCPU, a flood, other devices ------------------------------------------------------


def test_a_message_that_waited_wakes_a_blocked_vcpu() -> None:
    rig = V4Rig()
    rig.forwarded()
    limited(rig)
    rig.run()
    rig.msi_from(0)
    assert rig.take() == LPI
    assert rig.wfi(), "nothing is pending for the vPE"
    rig.kicks.clear()
    rig.msi_from(0)
    assert rig.kicks == []
    rig.v4host.tick(100)
    assert rig.kicks == [0]
    rig.run()
    assert rig.take() == LPI


def test_a_flood_leaves_other_devices_and_vms_alone() -> None:
    """Device DEV floods one VM; another VM's device, and another of the same host, send as ever."""
    host = make_host()
    rig, other = V4Rig(1, host=host), V4Rig(1, host=host)
    loud = rig.forwarded()
    other.map_lpi()
    victim = other.vector(devid=DEV + 1)
    assert other.forward() == 0
    plain = host.request_msi(DEV + 2, 0)
    limit = limited(rig, 3, 1000)
    rig.run(cpu=0)
    other.run(cpu=1)
    for n in range(200):
        host.msi(loud, 10)
        host.msi(victim)
        host.msi(plain)
        assert other.take() == LPI, "at once, each time"
        assert plain.taken == n + 1
    assert (limit.passed, limit.throttled, limit.held) == (3, 1997, (0,))
    assert host.machine.itss[0].cost.msis == 3 + 400


def test_devices_of_different_itss_with_the_same_number_are_not_mixed_up() -> None:
    host = make_host(its=[ItsConfig(), ItsConfig()])
    one = host.request_msi(3, 0)
    other = host.request_msi(3, 0, its=1)
    limit = host.limit_device(3, 1, 10, its=1)
    for _ in range(3):
        host.msi(one)
        host.msi(other)
    assert (one.taken, other.taken, limit.throttled) == (3, 1, 2)
    assert [its.cost.throttled for its in host.machine.itss] == [0, 2]


def test_devices_that_send_from_several_threads_lose_nothing() -> None:
    host = make_host()
    msis, _ = vectors(host, 4)
    limit = host.limit_device(3, 5, 50)

    def send(msi: HostMsi) -> None:
        for _ in range(200):
            host.msi(msi)

    threads = [Thread(target=send, args=(msi,)) for msi in msis]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        host.tick(1)
    for thread in threads:
        thread.join()
    limit.check()
    assert limit.passed + limit.throttled == 800
    assert limit.passed + limit.released <= 5 + host.machine.now * 5 // 50
    host.tick(100)
    assert limit.held == ()
    assert host.machine.account().gic.msis == limit.passed + limit.released


# -- vectors that come and go --------------------------------------------------------------------


def test_the_limit_is_there_before_the_device_has_vectors() -> None:
    host = make_host()
    limit = host.limit_device(3, 1, 10)
    (msi,), _ = vectors(host, 1)
    host.msi(msi)
    host.msi(msi)
    assert limit.held == (0,)


def test_a_vector_that_is_freed_takes_its_message_along() -> None:
    """As a pending interrupt with free_irq(): nobody is there to be told."""
    host = make_host()
    (one, other), taken = vectors(host, 2)
    limit = host.limit_device(3, 1, 10)
    for msi in (one, one, other):
        host.msi(msi)
    host.free_msi(one)
    assert counters(limit) == (1, 2, 0, 0, 1, (1,))
    again = host.request_msi(3, 0, lambda: taken.append(9))
    host.tick(100)
    assert taken == [0, 1], "the new owner of the event is not told of what came before"
    host.msi(again)
    assert taken == [0, 1, 9]


def test_freeing_and_requesting_grants_no_messages() -> None:
    host = make_host()
    limit = host.limit_device(3, 2, 1000)
    taken = 0
    for _ in range(20):
        msi = host.request_msi(3, 0)
        host.msi(msi)
        taken += msi.taken
        host.free_msi(msi)
    assert taken == 2
    assert counters(limit) == (2, 18, 0, 0, 18, ())


def test_a_freed_vectors_handle_does_not_get_around_the_limit() -> None:
    host = make_host()
    limit = host.limit_device(3, 1, 10)
    old = host.request_msi(3, 0)
    host.free_msi(old)
    new = host.request_msi(3, 0)
    for _ in range(3):
        host.msi(old)
    assert (new.taken, counters(limit)) == (1, (1, 2, 0, 1, 0, (0,)))


def test_a_producer_that_is_removed_keeps_its_message_for_the_host() -> None:
    """Forwarding ends while a message waits: unlike a vLPI that is pending, it is not lost."""
    rig = V4Rig()
    msi = rig.forwarded()
    limit = limited(rig)
    rig.run()
    rig.msi_from(0, 0)
    assert rig.take() == LPI
    rig.vm.remove_producer(rig.fds[0])
    assert limit.held == (0,)
    rig.v4host.tick(100)
    rig.check()
    assert msi.taken == 1
    rig.vcpus[0].exit()
    rig.run()
    assert all_taken(rig) == [LPI], "through the eventfd"


def test_a_message_that_waited_goes_where_the_vector_goes_by_then() -> None:
    """It waited while the vector went to the host; a producer is added; hardware delivers it."""
    rig = V4Rig()
    rig.map_lpi()
    msi = rig.vector()
    limited(rig)
    rig.run()
    rig.msi_from(0, 0)
    assert msi.taken == 1
    rig.vcpus[0].exit()
    rig.run()
    assert all_taken(rig) == [LPI]
    assert rig.forward() == 0
    rig.v4host.tick(100)
    assert all_taken(rig) == [LPI]
    assert msi.taken == 1


def test_a_guest_that_discards_its_event_does_not_get_around_the_limit() -> None:
    rig = V4Rig()
    msi = rig.forwarded()
    limit = limited(rig)
    rig.run()
    rig.msi_from(0, 0)
    rig.do(discard(DEV, 0))
    rig.msi_from(0)
    assert (msi.taken, counters(limit)) == (0, (1, 2, 0, 1, 0, (0,)))
    rig.v4host.tick(100)
    assert msi.taken == 1, "the host's; it finds no event of the guest's"
    rig.check()


def test_a_saved_vm_loses_no_message_that_waits() -> None:
    """They are the device's: the VM is saved, ended, restored on the host, and told when its producer is back."""
    rig = V4Rig()
    msi = rig.forwarded()
    limit = limited(rig)
    rig.run()
    rig.msi_from(0, 0)
    assert rig.take() == LPI
    rig.vcpus[0].exit()
    saved = rig.vm.save()
    assert limit.held == (0,)
    rig.vm.destroy()
    assert limit.held == (0,)
    vm = Vgic(rig.v4host, memory=rig.memory)
    vm.restore(saved)
    fd = EventCounter()
    vm.set_gsi_routing([rig.routes[0]])
    vm.irqfd(fd, 0)
    assert vm.add_producer(fd, msi) == 0
    vm.vcpus[0].enter()
    assert not vm.vcpus[0].virq()
    rig.v4host.tick(100)
    assert vm.vcpus[0].virq()
    assert msi.taken == 0


def test_an_unplugged_cpu_takes_no_message_that_waits() -> None:
    host = make_host()
    msi = host.request_msi(3, 0, cpu=2)
    host.limit_device(3, 1, 10)
    host.msi(msi)
    host.msi(msi)
    host.cpu_offline(2)
    host.tick(10)
    assert (msi.taken, msi.cpu) == (2, 0)


# -- changing and lifting ------------------------------------------------------------------------


def test_lifting_sends_all_that_waits() -> None:
    host = make_host()
    msis, taken = vectors(host, 4)
    limit = host.limit_device(3, 1, 1000)
    for msi in msis:
        host.msi(msi)
    host.unlimit_device(3)
    assert taken == [0, 1, 2, 3]
    assert (limit.passed, limit.released, limit.held) == (1, 3, ())
    for msi in msis:
        host.msi(msi)
    assert taken == [0, 1, 2, 3] * 2
    host.unlimit_device(3)
    host.unlimit_device(999, its=7)


def test_a_limit_that_is_changed_goes_on_counting_and_grants_nothing() -> None:
    host = make_host()
    msis, taken = vectors(host, 4)
    limit = host.limit_device(3, 2, 1000)
    for msi in msis:
        host.msi(msi)
    for _ in range(10):
        assert host.limit_device(3, 50, 100) is limit
    assert (taken, limit.held) == ([0, 1], (2, 3))
    host.tick(2)
    assert taken == [0, 1, 2]
    host.tick(2)
    assert taken == [0, 1, 2, 3]
    assert (limit.messages, limit.cycles, limit.throttled) == (50, 100, 2)


def test_a_limit_that_is_tightened_takes_credit_away() -> None:
    host = make_host()
    (msi,), taken = vectors(host, 1)
    host.limit_device(3, 10, 1000)
    limit = host.limit_device(3, 2, 1000)
    for _ in range(5):
        host.msi(msi)
    assert (taken, limit.held) == ([0, 0], (0,))


def test_what_is_due_when_the_limit_is_changed_is_sent() -> None:
    host = make_host()
    (msi,), taken = vectors(host, 1)
    host.limit_device(3, 1, 10)
    host.msi(msi)
    host.msi(msi)
    host.machine.tick(10)
    host.limit_device(3, 1, 1_000_000)
    assert taken == [0, 0]


REFUSED: Final = {
    #                                    DeviceID messages cycles ITS
    "no messages at all": (3, 0, 10, 0, errno.EINVAL),
    "fewer": (3, -1, 10, 0, errno.EINVAL),
    "in no time": (3, 1, 0, 0, errno.EINVAL),
    "in less": (3, 1, -5, 0, errno.EINVAL),
    "a device that cannot be": (0xFFFF, 1, 10, 0, errno.EINVAL),
    "nor that": (-1, 1, 10, 0, errno.EINVAL),
    "an ITS that is not there": (3, 1, 10, 1, errno.ENODEV),
    "nor that one": (3, 1, 10, -1, errno.ENODEV),
}


@pytest.mark.parametrize(("devid", "messages", "cycles", "its", "number"), REFUSED.values(), ids=REFUSED)
def test_refused(devid: int, messages: int, cycles: int, its: int, number: int) -> None:
    host = make_host()
    (msi,), taken = vectors(host, 1)
    limit = host.limit_device(3, 1, 10)
    host.msi(msi)
    host.msi(msi)
    before = counters(limit)
    with pytest.raises(VgicError) as error:
        host.limit_device(devid, messages, cycles, its=its)
    assert error.value.errno == number
    assert (limit.messages, limit.cycles, counters(limit), taken) == (1, 10, before, [0])


def test_a_machine_without_an_its_has_no_device_to_limit() -> None:
    host = Host(Machine())
    with pytest.raises(VgicError) as error:
        host.limit_device(3, 1, 10)
    assert error.value.errno == errno.ENODEV
    assert host.gic is None
    host.unlimit_device(3)
    host.tick(5)
    assert host.machine.now == 5


def test_time_does_not_go_back() -> None:
    host = make_host()
    with pytest.raises(VgicError) as error:
        host.tick(-1)
    assert error.value.errno == errno.EINVAL
    assert host.machine.now == 0
