"""Snapshots that are refused, whole: damaged, contradictory, or of a VM unlike the one that is to be restored."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from hw import Machine, V2Config, VirtConfig
from tests.unit.vgic.rig import Rig
from tests.unit.vgic.state_rig import Tree, busy_rig, empty_like, refused, sealed, tree_of
from vgic import BusyError, DeadVmError, Host, Snapshot, StateError, Vgic
from vgic.snapshot.forms import Json


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
