"""A VM that is saved and built again on another machine, again and again, goes on answering as KVM did."""

import random
from pathlib import Path
from typing import Final

import pytest

from tests.golden.test_golden import TRACES
from vgic import DeadVmError, Host, Snapshot, Vgic
from vgic.cli.replay import agree
from vgic.cli.replay_steps import execute
from vgic.cli.replay_vm import RECORDED, TIMERS, ReplayVm, always_low
from vgic.cli.trace_file import read_trace

MOVES: Final = 4
"""How often a VM moves in one trace, at random steps."""

MOVABLE: Final = {name: path for name, path in TRACES.items() if "irqfd" not in name}
"""Eventfds are the VMM's, which would have to bind them again."""


def move(replay: ReplayVm) -> None:
    """Save, build anew from the text, and supply again what no snapshot can hold."""
    old = replay.vm
    if old is None:
        return
    try:
        snapshot = old.save()
    except DeadVmError:
        return
    text = snapshot.to_json()
    vm = Vgic(Host(replay.build(len(old.vcpus))), threads=False, memory=replay.ram)
    devices = vm.restore(Snapshot.from_json(text))
    for index in replay.timers_ready:
        for intid in TIMERS:
            vm.vcpus[index].map_irq(intid, intid, always_low)
    assert vm.save() == snapshot, snapshot.differences(vm.save())
    assert vm.save().to_json() == text
    assert vm.debug_state() == old.debug_state()
    vm.check()
    replay.vm = vm
    replay.vcpus = list(vm.vcpus)
    for name in replay.devices:
        replay.devices[name] = devices[0 if name == "gic" else -1]


@pytest.mark.parametrize("path", MOVABLE.values(), ids=MOVABLE)
def test_a_moved_vm_answers_as_kvm_did(path: Path) -> None:
    trace = read_trace(path)
    replay = ReplayVm(RECORDED[trace.host])
    chance = random.Random(path.name)
    moves = set(chance.sample(range(len(trace.steps)), min(MOVES, len(trace.steps))))
    for n, step in enumerate(trace.steps):
        if n in moves:
            move(replay)
        got = execute(replay, step)
        assert agree(step.expect, got), f"step {n}, {step.fields}: {got} instead of {step.expect}"
