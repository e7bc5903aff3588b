"""Several threads on one VM: vCPUs, devices, and a reader of attributes that is told EBUSY.

The switch interval is made so short that the threads are interrupted everywhere; how, differs from run to run.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest

from hw.arch import (
    GICD_CTLR,
    GICD_IROUTER,
    GICD_ISENABLER,
    ICC_EOIR1_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
)
from tests.support import GICD_BASE, device_of, make_vm
from tests.walk import invariants
from tests.walk.naive_cpu import SPURIOUS
from vgic import BusyError, Group, Vcpu, Vgic

VCPUS: Final = 3
INJECTORS: Final = 2
EDGES: Final = 150  # of each injector, each waited for
FIRST: Final = 40
SWITCH_INTERVAL: Final = 1e-5  # seconds
TIMEOUT: Final = 20.0  # seconds, after which a thread counts as stuck


class Crowd:
    """Threads whose first exception ends the test."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self.over = threading.Event()

    def add(self, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self.errors.append(error)
                self.over.set()

        thread = threading.Thread(target=guarded, daemon=True)
        self.threads.append(thread)
        return thread


@pytest.fixture
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    yield
    sys.setswitchinterval(before)


def boot(vm: Vgic) -> None:
    """Edge SPIs 40, 41, ... each routed to another vCPU, everything enabled."""
    for vcpu in vm.vcpus:
        vcpu.enter()
        vcpu.msr(ICC_PMR_EL1, 0xF8)
        vcpu.msr(ICC_IGRPEN1_EL1, 1)
        vcpu.exit()
    first = vm.vcpus[0]
    first.enter()
    first.write(GICD_BASE + GICD_CTLR, 4, 2)
    for n in range(INJECTORS):
        first.write(GICD_BASE + GICD_IROUTER + 8 * (FIRST + n), 8, n % VCPUS)
    first.write(GICD_BASE + GICD_ISENABLER + 4, 4, 0xFFFF_FFFF)
    first.exit()


@pytest.mark.usefixtures("eager_switching")
def test_no_edge_is_lost_between_threads() -> None:
    vm = make_vm(VCPUS, spis=32, lrs=2, threads=True)
    boot(vm)
    device = device_of(vm)
    crowd = Crowd()
    heard = [threading.Semaphore(0) for _ in range(INJECTORS)]
    delivered = [0] * INJECTORS
    told = {"busy": 0, "read": 0}

    def guest(vcpu: Vcpu) -> None:
        turn = 0
        while not crowd.over.is_set():
            vcpu.enter()
            while (intid := vcpu.mrs(ICC_IAR1_EL1)) != SPURIOUS:
                vcpu.msr(ICC_EOIR1_EL1, intid)
                delivered[intid - FIRST] += 1
                heard[intid - FIRST].release()
            if turn % 4 == 0:  # move somebody's interrupt, which must not lose it
                n = turn // 4 % INJECTORS
                vcpu.write(GICD_BASE + GICD_IROUTER + 8 * (FIRST + n), 8, turn % VCPUS)
                vcpu.write(GICD_BASE + GICD_ISENABLER + 4, 4, 0xFFFF_FFFF)  # so that nothing is stranded
            vcpu.exit()
            turn += 1

    def injector(n: int) -> None:
        for _ in range(EDGES):
            vm.inject(FIRST + n)
            assert heard[n].acquire(timeout=TIMEOUT), f"an edge of INTID {FIRST + n} was lost"
            if crowd.over.is_set():
                return

    def reader() -> None:
        while not crowd.over.is_set():
            try:
                assert device.get_attr(Group.DIST_REGS, GICD_CTLR) & 2, "GICD_CTLR lost its enable"
                told["read"] += 1
            except BusyError:
                told["busy"] += 1

    devices = [crowd.add(partial(injector, n)) for n in range(INJECTORS)]
    for vcpu in vm.vcpus:
        crowd.add(partial(guest, vcpu))
    crowd.add(reader)
    for thread in crowd.threads:
        thread.start()
    for thread in devices:
        thread.join(TIMEOUT)
    crowd.over.set()
    for thread in crowd.threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a thread is stuck"
    assert not crowd.errors, crowd.errors
    assert delivered == [EDGES] * INJECTORS, "each edge is delivered exactly once"
    assert told["busy"], "user space never met a running vCPU"
    vm.check()
    invariants.at_rest(vm)
