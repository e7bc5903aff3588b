"""Snapshots: what they keep, that a VM can go back and forth between them, and what people read in them.

How they are refused is test_state_refused's; that a moved VM answers as KVM did is tests/golden/test_moving.py's.
"""

import random
import re
import time
from pathlib import Path
from typing import Final

import pytest

from hw import Machine, V2Profile, VirtConfig
from hw.arch import GICD_ISACTIVER
from tests.golden.test_golden import TRACES
from tests.unit.vgic.its.rig import PTZ, ItsRig, mapc, mapd, mapti
from tests.unit.vgic.rig import Rig
from tests.unit.vgic.state_rig import busy_rig, empty_like
from vgic import DeadVmError, DeviceType, Group, Host, Snapshot, Vgic, VgicError
from vgic.cli.replay_steps import execute
from vgic.cli.replay_vm import RECORDED, ReplayVm
from vgic.cli.trace_file import read_trace

# -- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["the same VM", "another VM", "a VM that has vCPUs", "a VM with a lock"])
def test_everything_comes_back(host: str) -> None:
    rig = busy_rig()
    snapshot = rig.vm.save()
    vm = rig.vm if host == "the same VM" else empty_like(rig)
    if host == "a VM that has vCPUs":
        vm.create_vcpu(0)
        vm.create_vcpu(1)
    elif host == "a VM with a lock":
        vm = Vgic(Host(Machine(cpus=2)), memory=rig.memory)
    before = rig.vm.debug_state()
    devices = vm.restore(Snapshot.from_json(snapshot.to_json()))
    if vm is not rig.vm:
        vm.vcpus[1].map_irq(27, 27, lambda intid: True)
    assert vm.save() == snapshot
    assert vm.debug_state() == before
    assert len(devices) == 2
    assert devices[1].get_attr(Group.ADDR, 4) == 0x0808_0000
    dist = vm.vcpus[0].dist
    assert [irq.intid for irq in dist.vcpus[1].ap_list] == [8194, 8192]
    assert len(dist.its_list[0].maps.cache) == 1
    assert dist.vcpus[1].pendbaser & PTZ, "PTZ, which no register shows"
    assert [irq.intid for irq in dist.vcpus[0].ap_list] == [irq.intid for irq in rig.vcpus[0].ap_list]
    assert {irq.intid: irq.refs for irq in dist.lpis.ascending()} == {
        irq.intid: irq.refs for irq in rig.dist.lpis.ascending()
    }
    assert dist.its_budget.used == rig.dist.its_budget.used
    vm.check()


def test_guest_memory_is_left_alone() -> None:
    rig = busy_rig()
    rig.memory.writes.clear()
    vm = empty_like(rig)
    vm.restore(rig.vm.save())
    assert rig.memory.writes == []


def replayed(replay: ReplayVm, path: Path, first: int, last: int) -> list[object]:
    return [execute(replay, step) for step in read_trace(path).steps[first:last]]


NO_RAM: Final = {
    name: path for name, path in TRACES.items() if not any(word in name for word in ("its-", "lpi", "irqfd"))
}


@pytest.mark.parametrize("path", list(NO_RAM.values())[::4], ids=list(NO_RAM)[::4])
def test_a_vm_goes_back_and_lives_the_same_again(path: Path) -> None:
    steps = read_trace(path).steps
    chance = random.Random(path.name)
    first = chance.randrange(1 + max(n for n, step in enumerate(steps) if step.op in ("new", "create_vm")), len(steps))
    replay = ReplayVm(RECORDED[read_trace(path).host])
    replayed(replay, path, 0, first)
    vm = replay.vm
    assert vm is not None
    try:
        snapshot = vm.save()
    except DeadVmError:
        return
    timers, have = set(replay.timers_ready), (len(vm.vcpus), len(replay.devices))
    once = replayed(replay, path, first, len(steps))
    end = vm.debug_state()
    dead = bool(vm.vcpus) and vm.vcpus[0].dist.dead
    if dead or have != (len(vm.vcpus), len(replay.devices)):
        return  # a VM that died, or has got vCPUs or devices since, does not go back
    vm.restore(snapshot)
    assert vm.save() == snapshot
    replay.timers_ready = timers
    assert replayed(replay, path, first, len(steps)) == once
    assert vm.debug_state() == end


def test_the_level_reader_stays_with_its_interrupt_in_the_same_vm() -> None:
    rig = busy_rig()
    reader = rig.vcpus[1].private[27].input_level
    assert reader is not None
    rig.vm.restore(rig.vm.save())
    assert rig.vcpus[1].private[27].input_level is reader


def test_in_another_vm_the_embedder_maps_again_and_the_state_stays() -> None:
    rig = busy_rig()
    vm = empty_like(rig)
    vm.restore(rig.vm.save())
    ppi = vm.vcpus[1].private[27]
    assert (ppi.hw, ppi.hwintid, ppi.active, ppi.owner) == (True, 27, True, "timer")
    assert ppi.input_level is None
    vm.vcpus[1].map_irq(27, 27, lambda intid: True)
    assert ppi.active, "KVM's registers lose the active state of a mapped interrupt"


def test_the_physical_active_state_is_built_too() -> None:
    rig = Rig(1)
    rig.vcpu.map_irq(27, 27)
    rig.vcpu.pe.write_private(GICD_ISACTIVER, 1 << 27)
    vm = Vgic(Host(Machine(cpus=1)), threads=False)
    vm.restore(rig.vm.save())
    assert vm.vcpus[0].pe.read_private(GICD_ISACTIVER) >> 27 & 1


def test_an_owner_without_a_name_is_known_but_not_saved() -> None:
    rig = Rig(1)
    owner = object()
    rig.vcpu.set_owner(27, owner)
    snapshot = rig.vm.save()
    rig.vm.restore(snapshot)
    assert rig.vcpu.private[27].owner is owner, "the same VM keeps it"
    vm = Vgic(Host(Machine(cpus=1)), threads=False)
    vm.restore(snapshot)
    assert vm.vcpus[0].private[27].owner is None
    vm.vcpus[0].set_owner(27, owner)
    assert vm.save() == snapshot


def test_a_slot_lost_to_a_failed_creation_stays_lost() -> None:
    vm = Vgic(Host(Machine(cpus=4)), threads=False)
    gic = vm.create_device(DeviceType.VGIC_V3)
    gic.set_attr(Group.ADDR, 2, 0x0800_0000)
    gic.set_attr(Group.ADDR, 3, 0x080A_0000)
    vm.create_vcpu(0)
    with pytest.raises(VgicError):
        vm.create_vcpu(0)
    vm.create_vcpu(1)
    other = Vgic(Host(Machine(cpus=4)), threads=False)
    other.restore(vm.save())
    vm.create_vcpu(2)
    other.create_vcpu(2)
    assert other.save() == vm.save()
    assert other.vcpus[1].redist is not None
    assert other.vcpus[1].redist.base == 0x080A_0000 + 2 * 0x2_0000


def test_a_vm_at_its_very_beginning() -> None:
    vm = Vgic(Host(Machine(cpus=1)), threads=False)
    other = Vgic(Host(Machine(cpus=1)), threads=False)
    assert other.restore(vm.save()) == ()
    assert other.save() == vm.save()


def test_overflowing_lists_keep_their_order() -> None:
    rig = Rig(1, lrs=2)
    for n, intid in enumerate((50, 33, 47, 40)):
        rig.irq(intid, priority=n * 8)
        rig.vm.inject(intid)
    rig.vcpu.enter()
    rig.vcpu.exit()
    listed = rig.listed()
    vm = Vgic(Host(Machine(cpus=1, virt=VirtConfig(n_lr=4))), threads=False)
    vm.restore(rig.vm.save())
    assert [irq.intid for irq in vm.vcpus[0].ap_list] == listed


@pytest.mark.parametrize("lpis", [50_000])
def test_many_lpis_take_seconds_at_most(lpis: int) -> None:
    rig = ItsRig(2)
    rig.dist.its_budget.cap = 1 << 20
    rig.do(mapc(0, 0), mapd(0, 16))
    for first in range(0, lpis, 2000):
        rig.do(*(mapti(0, n, 8192 + n, 0) for n in range(first, first + 2000)))
    assert len(rig.lpis()) == lpis
    vm = Vgic(Host(Machine(cpus=2)), threads=False, memory=rig.memory, its_cap=1 << 20)
    began = time.process_time()
    text = rig.vm.save().to_json()
    vm.restore(Snapshot.from_json(text))
    assert time.process_time() - began < 3 * 2, "expected below 3 s on an idle machine"
    assert vm.save() == rig.vm.save()


def test_the_page_on_saving_shows_what_works() -> None:
    page = (Path(__file__).parents[3] / "docs/saving.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    exec(compile(block, "saving.md", "exec"), {})


def test_a_limit_lowered_by_a_refused_gicv2_is_kept() -> None:
    machine = Machine(cpus=9, virt=VirtConfig(sre_legacy=True, v2_profile=V2Profile.RECORDED))
    vm = Vgic(Host(machine), threads=False)
    for _ in range(9):
        vm.create_vcpu()
    with pytest.raises(VgicError):
        vm.create_device(DeviceType.VGIC_V2)
    other = Vgic(Host(machine), threads=False)
    other.restore(Snapshot.from_json(vm.save().to_json()))
    with pytest.raises(VgicError):
        other.create_vcpu()


# -- for people ----------------------------------------------------------------------------------


def test_the_text_has_a_line_for_each_interrupt() -> None:
    rig = busy_rig()
    lines = rig.vm.save().to_json().splitlines()
    assert sum('"intid": 40,' in line for line in lines) == 1
    assert max(map(len, lines)) < 450


def test_differences_name_the_value() -> None:
    rig = busy_rig()
    old = rig.vm.save()
    rig.vm.inject(41)
    rig.do(mapti(2, 9, 8197, 0))
    found = {str(difference) for difference in old.differences(rig.vm.save())}
    assert "spis[intid 41].pending_latch: false -> true" in found
    assert "lpis[intid 8197]: absent -> an entry" in found
    assert "its[0].devices[devid 2].events[eventid 9]: absent -> an entry" in found
    assert old.differences(old) == []


def test_the_summary() -> None:
    text = busy_rig().vm.save().summary()
    assert text.startswith("GICv3, 2 vCPUs, 224 SPIs")
    assert "PPI 27: active, disabled; level" in text
    assert "on physical interrupt 27" in text
    assert "ITS 0: enabled, 2 devices" in text
