"""The locked vCPU: the same methods, every one of them under the VM's lock."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final

import pytest

from hw.arch import GICR_ISPENDR0, ICC_PMR_EL1
from tests.support import GICD_BASE, freeze, make_vm, redist_base
from vgic import Vcpu, Vgic, VgicError
from vgic.locked import LockedVcpu


def public_methods(kind: type) -> set[str]:
    """What a class itself defines for its callers."""
    return {name for name, member in vars(kind).items() if callable(member) and not name.startswith("_")}


def test_every_public_method_is_overridden_and_no_other_is_added() -> None:
    assert public_methods(LockedVcpu) == public_methods(Vcpu)


class RecordingLock:
    """Counts how deep it is held, and how often it was taken."""

    def __init__(self) -> None:
        self.depth = 0
        self.taken = 0

    def acquire(self) -> bool:
        self.depth += 1
        self.taken += 1
        return True

    def release(self) -> None:
        self.depth -= 1

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.release()


PPI: Final = 27

CALLS: Final[dict[str, Callable[[Vcpu], object]]] = {
    "enter": lambda v: v.enter(0),
    "exit": lambda v: v.exit(),
    "put": lambda v: v.put(),
    "pending": lambda v: v.pending(),
    "read": lambda v: v.read(GICD_BASE, 4),
    "write": lambda v: v.write(redist_base(0) + GICR_ISPENDR0, 4, 1 << 5),
    "mrs": lambda v: v.mrs(ICC_PMR_EL1),
    "msr": lambda v: v.msr(ICC_PMR_EL1, 0x80),
    "map_irq": lambda v: v.map_irq(PPI, 26, lambda intid: True, sw_resample=True),
    "unmap_irq": lambda v: v.unmap_irq(PPI),
    "get_map": lambda v: v.get_map(PPI),
    "map_is_active": lambda v: v.map_is_active(PPI),
    "traps_wfi": lambda v: v.traps_wfi(),
    "virq": lambda v: v.virq(),
    "vfiq": lambda v: v.vfiq(),
    "maintenance": lambda v: v.maintenance(),
    "reset_mapped": lambda v: v.reset_mapped(PPI),
    "set_owner": lambda v: v.set_owner(PPI, "timer"),
    "set_mpidr": lambda v: v.set_mpidr(3),
}
IN_GUEST: Final = ("exit", "read", "write", "mrs", "msr")
OUT_OF_GUEST: Final = ("put", "pending")
FAILING: Final[dict[str, Callable[[Vcpu], object]]] = {
    "enter": lambda v: v.enter(7),
    "exit": lambda v: v.exit(),
    "put": lambda v: v.put(),
    "pending": lambda v: v.pending(),
    "read": lambda v: v.read(0, 4),
    "write": lambda v: v.write(0, 4, 0),
    "mrs": lambda v: v.mrs(ICC_PMR_EL1),
    "msr": lambda v: v.msr(ICC_PMR_EL1, 0),
    "map_irq": lambda v: v.map_irq(PPI, 9999),
    "unmap_irq": lambda v: v.unmap_irq(999),
    "set_owner": lambda v: v.set_owner(5, "timer"),
    "set_mpidr": lambda v: v.set_mpidr(-1),
}


def locked(vcpus: int = 1) -> tuple[Vgic, LockedVcpu, RecordingLock]:
    """A VM whose first vCPU has a lock that records."""
    vm = make_vm(vcpus, threads=True)
    vcpu = vm.vcpus[0]
    assert isinstance(vcpu, LockedVcpu)
    lock = RecordingLock()
    vcpu.lock = lock
    return vm, vcpu, lock


NEVER_FAIL: Final = {"get_map", "map_is_active", "reset_mapped", "traps_wfi", "virq", "vfiq", "maintenance"}


def test_every_method_is_tried() -> None:
    assert CALLS.keys() == public_methods(Vcpu)
    assert FAILING.keys() | NEVER_FAIL == public_methods(Vcpu)


@pytest.mark.parametrize("name", CALLS)
def test_takes_the_lock_once_and_does_what_the_other_does(name: str) -> None:
    vm, vcpu, lock = locked()
    plain = make_vm(threads=False)
    if name in IN_GUEST:
        vcpu.enter()
        plain.vcpus[0].enter()
    lock.taken = 0
    assert CALLS[name](vcpu) == CALLS[name](plain.vcpus[0])
    assert (lock.taken, lock.depth) == (1, 0)
    for each in (vm, plain):
        each.vcpus[0].private[PPI].input_level = None  # a function: no two are equal
    assert freeze(vcpu.dist) == freeze(plain.vcpus[0].dist)


@pytest.mark.parametrize("name", FAILING)
def test_gives_the_lock_back_when_it_fails(name: str) -> None:
    _, vcpu, lock = locked()
    if name in OUT_OF_GUEST:
        vcpu.enter()
        lock.taken = 0
    with pytest.raises(VgicError):
        FAILING[name](vcpu)
    assert (lock.taken, lock.depth) == (1, 0)


def test_ports_are_called_with_the_lock_held_and_may_call_back() -> None:
    vm, vcpu, lock = locked(vcpus=2)
    depths: list[int] = []

    def kicked(index: int) -> None:
        depths.append(lock.depth)
        depths.append(vcpu.map_is_active(PPI))

    vm.kick = kicked
    vcpu.dist.enabled = True
    vcpu.enter()
    vcpu.write(redist_base(1) + GICR_ISPENDR0, 4, 1 << 5)
    assert depths == [1, False]


def test_vcpus_of_a_vm_share_its_lock() -> None:
    vm = make_vm(2, threads=True)
    first, second = vm.vcpus
    assert isinstance(first, LockedVcpu)
    assert isinstance(second, LockedVcpu)
    assert first.lock is second.lock


def test_a_vm_without_threads_has_vcpus_without_a_lock() -> None:
    assert [type(vcpu) for vcpu in make_vm(2, threads=False).vcpus] == [Vcpu, Vcpu]


def test_a_vcpu_waits_for_who_holds_the_lock() -> None:
    vm = make_vm(threads=True)
    vcpu = vm.vcpus[0]
    assert isinstance(vcpu, LockedVcpu)
    entered = threading.Event()

    def run() -> None:
        vcpu.enter()
        entered.set()

    thread = threading.Thread(target=run, daemon=True)
    with vcpu.lock:
        thread.start()
        assert not entered.wait(0.02)
    assert entered.wait(10)
    thread.join()
