"""Snapshots: what they keep, how they are refused, and that a VM can go back and forth between them.

That a moved VM answers as KVM did is tests/golden/test_moving.py's.
"""

import copy
import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from hw import Machine, V2Config, V2Profile, VirtConfig
from hw.arch import GICD_ISACTIVER
from tests.golden.test_golden import TRACES
from tests.unit.vgic.its.rig import (
    ENABLED,
    GICR_CTLR,
    GICR_PENDBASER,
    ITTS,
    PTZ,
    ItsRig,
    discard,
    mapc,
    mapd,
    mapti,
    movall,
)
from tests.unit.vgic.rig import Rig
from vgic import BusyError, DeadVmError, DeviceType, Group, Host, PinRoute, Snapshot, StateError, Vgic, VgicError
from vgic.cli.replay_steps import execute
from vgic.cli.replay_vm import RECORDED, ReplayVm
from vgic.cli.trace_file import read_trace
from vgic.snapshot.forms import Json

Tree = dict[str, Json]


def busy_rig() -> ItsRig:
    """A VM with something of everything: LPIs pending, listed, moved, orphaned, cached; PTZ; a route."""
    rig = ItsRig(2)
    for n in range(6):
        rig.configure(8192 + n, ENABLED)
    for vcpu in rig.vcpus:
        vcpu.enter()
        vcpu.exit()
    rig.set_gicr(GICR_CTLR, 0, 1, size=4)
    rig.set_gicr(GICR_PENDBASER, PTZ | 0x8007_0000, 1)
    rig.do(mapd(2), mapd(7, 4, ITTS + 0x8_0000), mapc(0, 0), mapc(1, 1), mapc(2, 1))
    rig.do(mapti(2, 0, 8192, 0), mapti(2, 5, 8193, 1), mapti(7, 3, 8194, 0), mapti(7, 4, 8195, 9), mapti(2, 6, 8196, 2))
    rig.do(mapc(2, 0, valid=False), movall(0, 1))
    assert rig.msi(7, 3) == 1
    rig.do(discard(7, 3))  # its LPI lives on in the list of vCPU 1
    assert rig.msi(2, 0) == 1
    rig.dist.spis[8].enabled = True
    rig.vm.inject(40)
    rig.vcpus[1].map_irq(27, 27, lambda intid: True)
    rig.vcpus[1].set_owner(27, "timer")
    rig.vcpus[1].private[27].active = True
    rig.vm.set_gsi_routing([PinRoute(3, 8)])
    return rig


def tree_of(snapshot: Snapshot) -> Tree:
    tree: Tree = json.loads(snapshot.to_json())
    return tree


def sealed(tree: Tree) -> str:
    """The text of a tree, its checksum made right."""
    text = json.dumps(tree["state"], sort_keys=True, separators=(",", ":")).encode()
    return json.dumps({**tree, "checksum": "sha256:" + hashlib.sha256(text).hexdigest()})


def empty_like(rig: ItsRig) -> Vgic:
    return Vgic(Host(Machine(cpus=len(rig.vcpus))), threads=False, memory=rig.memory)


def refused(snapshot_text: str | bytes) -> StateError:
    with pytest.raises(StateError) as raised:
        Snapshot.from_json(snapshot_text)
    assert raised.value.where, "an error says where"
    return raised.value


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


# -- refusals ------------------------------------------------------------------------------------


def test_save_and_restore_wait_for_no_guest() -> None:
    rig = Rig(1)
    snapshot = rig.vm.save()
    rig.vcpu.enter()
    for call in (rig.vm.save, lambda: rig.vm.restore(snapshot)):
        with pytest.raises(BusyError):
            call()
    rig.vcpu.exit()
    assert rig.vm.save() != snapshot, "loaded is no hindrance"
    rig.vm.destroy()
    for call in (rig.vm.save, lambda: rig.vm.restore(snapshot)):
        with pytest.raises(DeadVmError):
            call()


def test_any_flipped_bit_is_found() -> None:
    text = busy_rig().vm.save().to_json().encode()
    chance = random.Random(1)
    for _ in range(250):
        at = chance.randrange(len(text) - 1)
        flipped = bytearray(text)
        flipped[at] ^= 1 << chance.randrange(8)
        refused(bytes(flipped))


@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_a_cut_text_is_refused(part: float) -> None:
    text = Rig(1).vm.save().to_json()
    refused(text[: int((len(text) - 3) * part)])


ENVELOPES: Final[dict[str, tuple[str, Callable[[Tree], object]]]] = {
    "another format": ("format", lambda tree: tree.update(format="qcow2")),
    "no format": ("format", lambda tree: tree.pop("format")),
    "a later version": ("version", lambda tree: tree.update(version=2)),
    "a version that is true": ("version", lambda tree: tree.update(version=True)),
    "no state": ("state", lambda tree: tree.pop("state")),
    "something else": ("'note'", lambda tree: tree.update(note="mine")),
    "a wrong checksum": ("checksum", lambda tree: tree.update(checksum="sha256:00")),
    "no checksum": ("checksum", lambda tree: tree.pop("checksum")),
    "a state of another kind": ("state", lambda tree: tree.update(state=[1])),
}


@pytest.mark.parametrize("row", ENVELOPES.values(), ids=ENVELOPES)
def test_the_envelope(row: tuple[str, Callable[[Tree], object]]) -> None:
    where, change = row
    tree = tree_of(Rig(1).vm.save())
    change(tree)
    assert refused(json.dumps(tree)).where == where


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"{", b"[]", b"null", b"NaN", b"1" * 5000, b"[" * 200_000, b'{"format":1,"format":2}'],
    ids=lambda text: repr(text[:20]),
)
def test_no_snapshot_at_all(text: bytes) -> None:
    refused(text)


def at(tree: Json, path: str) -> tuple[Json, str | int]:
    """Return the container and the key that a path names."""
    steps: list[str | int] = []
    for part in path.split("."):
        name, *indices = part.replace("]", "").split("[")
        steps += [name, *map(int, indices)]
    for step in steps[:-1]:
        tree = descend(tree, step)
    return tree, steps[-1]


def descend(tree: Json, step: str | int) -> Json:
    if isinstance(tree, dict) and isinstance(step, str):
        return tree[step]
    assert isinstance(tree, list)
    assert isinstance(step, int)
    return tree[step]


def put(tree: Json, step: str | int, value: Json) -> None:
    if isinstance(tree, dict) and isinstance(step, str):
        tree[step] = value
    else:
        assert isinstance(tree, list)
        assert isinstance(step, int)
        tree[step] = value


CONTRADICTIONS: Final[dict[str, tuple[str, Json, str]]] = {
    "a priority KVM does not implement": ("vcpus[1].interrupts[27].priority", 7, "7 has unimplemented bits"),
    "a priority out of range": ("spis[3].priority", 256, "not in 0..255"),
    "an INTID in another's place": ("vcpus[0].interrupts[4].intid", 5, "5 stands where 4 belongs"),
    "a PPI for another vCPU": ("vcpus[0].interrupts[20].target", 1, "goes to vCPU 0"),
    "a PPI that is edge": ("vcpus[0].interrupts[20].trigger", "edge", "level, for ever"),
    "a trigger nobody knows": ("spis[0].trigger", "both", "none of 'edge', 'level'"),
    "an SPI for a vCPU that is not there": ("spis[0].target", 2, "there is no vCPU 2"),
    "a flag that is a number": ("spis[0].enabled", 1, "not true or false"),
    "a number that is a flag": ("spis[0].group", True, "not a whole number"),
    "an affinity in decimal": ("vcpus[0].affinity", "17", "hexadecimal"),
    "a list register's worth of nothing": ("vcpus[0].ap_list[0]", 900, "there is no INTID 900"),
    "ready before it was initialised": ("distributor.initialized", False, "before initialisation"),
    "a GICv2 with redistributors": ("distributor.model", "GICv2", "has room for 8"),
    "a VM without a GIC": ("distributor.model", "none", "without an interrupt controller"),
    "more SPIs than there are": ("distributor.nr_spis", 64, "not distributor.nr_spis"),
    "a revision that never was": ("distributor.implementation_rev", 1, "revisions 2 and 3"),
    "a distributor over the redistributors": ("distributor.dist_base", "0x80a0000", "overlaps the distributor"),
    "a misaligned distributor": ("distributor.dist_base", "0x8000001", "not aligned"),
    "a bus with a frame twice": ("distributor.bus[1]", "GICD", "twice"),
    "a slot that is taken": ("vcpus[1].redistributor.slot", 0, "another vCPU's"),
    "a slot nobody took": ("vcpus[1].redistributor.slot", 5, "is not used"),
    "a region that is not there": ("vcpus[1].redistributor.region", 1, "no region 1"),
    "an id twice": ("vcpus[1].vcpu_id", 0, "another vCPU's"),
    "a mapping on a vCPU that is not there": ("vcpus[1].interrupts[27].mapped.vcpu", 9, "no vCPU 9"),
    "a mapping to two interrupts": ("vcpus[1].interrupts[27].mapped.hwintid", 26, "is not host_irq"),
    "sources of a GICv3's SGI": ("vcpus[1].interrupts[3].source", 1, "only a GICv2's SGI"),
    "two owners": ("vcpus[1].interrupts[27].opaque_owner", True, "owned by 'timer'"),
    "an LPI nobody needs": ("its[0].devices[0].events[1].intid", 8192, "mapped by no event"),
    "an event of an LPI that is not there": ("its[0].devices[0].events[1].intid", 9000, "there is no LPI 9000"),
    "an event past its device's bits": ("its[0].devices[1].events[0].eventid", 16, "more than 4 bits"),
    "an event in a collection that is not there": ("its[0].devices[0].events[0].icid", 77, "no collection 77"),
    "devices out of order": ("its[0].devices[1].devid", 1, "1 comes after 2"),
    "a collection twice": ("its[0].collections[1].icid", 0, "there twice"),
    "a collection for nobody there": ("its[0].collections[0].target", 2, "no vCPU 2"),
    "a queue pointer past the queue": ("its[0].creadr", "0x10000", "no command in a queue"),
    "an ITS with commands left": ("its[0].creadr", "0x0", "are left"),
    "an enabled ITS without tables": ("its[0].device_table", "0x1807000000000600", "fixed fields"),
    "a table format of the future": ("its[0].abi", 1, "not in 0..0"),
    "routes twice": ("routes[0].address", "0x8080000", "not to both"),
    "a host of another kind": ("host.gic", "GICv5", "none of"),
}


@pytest.mark.parametrize("row", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions(row: tuple[str, Json, str]) -> None:
    path, value, why = row
    tree = tree_of(busy_rig().vm.save())
    container, step = at(tree["state"], path)
    put(container, step, value)
    error = refused(sealed(tree))
    assert why in error.reason
    if why.startswith(("7 has", "there is no", "not in", "not true")):
        assert error.where == path


@pytest.mark.parametrize("name", ["enabled", "intid"])
def test_missing_and_unknown_members(name: str) -> None:
    tree = tree_of(Rig(1).vm.save())
    container, _ = at(tree["state"], f"spis[2].{name}")
    assert isinstance(container, dict)
    value = container.pop(name)
    assert refused(sealed(tree)).where == f"spis[2].{name}"
    container[name] = value
    container["colour"] = "blue"
    assert refused(sealed(tree)).where == "spis[2].colour"


def leaves(tree: Json) -> Iterator[tuple[Json, str | int]]:
    if isinstance(tree, dict):
        for name, member in tree.items():
            yield tree, name
            yield from leaves(member)
    elif isinstance(tree, list):
        for n, each in enumerate(tree):
            yield tree, n
            yield from leaves(each)


ODD: Final[tuple[Json, ...]] = (
    None, True, False, 0, 1, 2, 3, 7, 8, 31, 32, 33, 224, 255, 8192, 8193, 65535, 1 << 70, -1, 1.5,
    "", "0x0", "0x1", "0x10000", "0xffffffffffffffff", "edge", "level", "GICv2", "none", [], [0], [[]], {},
)  # fmt: skip


def attempt(vm: Vgic, text: str) -> Snapshot | None:
    """Restore, or return None if that is refused as it must be."""
    try:
        snapshot = Snapshot.from_json(text)
        vm.restore(snapshot)
    except StateError:
        return None
    return snapshot


def test_whatever_a_text_says_it_is_refused_or_restored_whole() -> None:
    """Random values at random places, with a right checksum: no other error, and no half-built VM."""
    rig = busy_rig()
    tree = tree_of(rig.vm.save())
    state = json.dumps(tree["state"])
    count = len(list(leaves(tree["state"])))
    chance = random.Random(2)
    restored = 0
    untouched = empty_like(rig).save()
    places = [chance.randrange(count) for _ in range(150)] + list(range(60)) + list(range(count - 60, count))
    for place in places:
        changed: Json = json.loads(state)
        container, step = list(leaves(changed))[place]
        value = chance.choice(ODD)
        put(container, step, copy.deepcopy(value))
        vm = empty_like(rig)
        snapshot = attempt(vm, sealed({**tree, "state": changed}))
        if snapshot is None:
            assert vm.save() == untouched, "refused, but something stayed"
            continue
        restored += 1
        vm.check()
        vm.debug_state()
        again = vm.save()
        assert all(
            ".input_level" in d.where or d.where.startswith("host.") or ".cpu" in d.where
            for d in snapshot.differences(again)
        ), (step, value, snapshot.differences(again))
    assert restored > 20, "most values at most places make sense"


OTHER_VMS: Final[dict[str, tuple[str, Callable[[], Vgic]]]] = {
    "a GICv2 host": ("host.gic", lambda: Vgic(Host(Machine(cpus=2, gic=V2Config())), threads=False)),
    "an address space of another size": ("ipa_bits", lambda: Vgic(Host(Machine(cpus=2)), threads=False, ipa_bits=36)),
    "a host with another SEIS": (
        "host.seis_a3v",
        lambda: Vgic(Host(Machine(cpus=2, virt=VirtConfig(seis=True))), threads=False),
    ),
    "a VM with more vCPUs": ("vcpus", lambda: Vgic.gicv3(3, host=Host(Machine(cpus=3)), threads=False)),
    "a VM without an ITS may get one": ("", lambda: Vgic.gicv3(2, 32, host=Host(Machine(cpus=2)), threads=False)),
    "a VM whose guest may map less": ("its", lambda: Vgic(Host(Machine(cpus=2)), threads=False, its_cap=3)),
}


@pytest.mark.parametrize("row", OTHER_VMS.values(), ids=OTHER_VMS)
def test_other_vms(row: tuple[str, Callable[[], Vgic]]) -> None:
    where, build = row
    snapshot = busy_rig().vm.save()
    vm = build()
    before = vm.save()
    if not where:
        vm.restore(snapshot)
        return
    with pytest.raises(StateError) as raised:
        vm.restore(snapshot)
    assert raised.value.where == where
    assert vm.save() == before


def test_a_host_with_fewer_priority_bits_is_refused_but_a_lowered_guest_is_not() -> None:
    small = Host(Machine(cpus=1, virt=VirtConfig(pri_bits=5, pre_bits=5)))
    big = Vgic.gicv3(1, 32, host=Host(Machine(cpus=1, virt=VirtConfig(pri_bits=7, pre_bits=7))), threads=False)
    with pytest.raises(StateError) as raised:
        Vgic(small, threads=False).restore(big.save())
    assert raised.value.where == "vcpus[0].interface.pri_bits"
    big.vcpus[0].pri_bits = 5
    vm = Vgic(small, threads=False)
    vm.restore(big.save())
    assert vm.vcpus[0].pri_bits == 5


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
