"""A machine that is saved and restored goes on as if it had not been; what is no machine is refused."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytest

from tests.unit.vmm.moving import BUDGET, MIB, run_guest, stay
from vgic import Vgic
from vmm.config import IrqChip, MachineConfig
from vmm.guests import image
from vmm.kvmstate import KvmState
from vmm.layout import RAM_BASE
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import End
from vmm.snapshot import MachineState, SnapshotError, Through, migrate, restore, save

V2, V3, ITS = IrqChip.GICV2, IrqChip.GICV3, IrqChip.GICV3_ITS


def config(irqchip: IrqChip, cpus: int, **more: Any) -> MachineConfig:  # Any: as MachineConfig has them
    return MachineConfig(
        **{"cpus": cpus, "irqchip": irqchip, "ram": 8 * MIB, "budget": BUDGET, "slice_length": 20_000, **more}
    )


MOVES: Final = {
    "every interrupt state, 1 vCPU, GICv2": ("mark", config(V2, 1), 60),
    "every interrupt state, 4 vCPUs, GICv2": ("mark", config(V2, 4), 60),
    "every interrupt state, 4 vCPUs, GICv3": ("mark", config(V3, 4), 60),
    "every interrupt state, 4 vCPUs, ITS": ("mark", config(ITS, 4), 60),
    "every interrupt state, vCPUs sharing CPUs": ("mark", config(ITS, 4, pcpus=2), 60),
    "LPIs, 1 vCPU": ("lpi", config(ITS, 1), 50),
    "LPIs, short slices": ("lpi", config(ITS, 3, slice_length=777), 50),
    "LPIs, documented calls alone": ("lpi", config(ITS, 4, fast_engine=False), 50),
    "SGIs": ("ipi", config(V3, 4), 20),
    "SPIs, short slices": ("spi", config(V2, 3, slice_length=777), 40),
    "timers": ("timer", config(V3, 1), 30),
    "timers, vCPUs sharing CPUs": ("timer", config(V2, 4, pcpus=2), 60),
    "sleepers": ("wfi", config(V3, 4), 20),
    "more interrupts than list registers": ("overflow", config(V2, 4, lrs=1), 20),
    "aborts": ("fault", config(V3, 3, slice_length=777), 20),
}


@pytest.mark.parametrize(("guest", "config", "every"), MOVES.values(), ids=MOVES)
def test_a_guest_goes_on_instruction_by_instruction_as_if_it_had_not_been_moved(
    guest: str, config: MachineConfig, every: int
) -> None:
    stayed = run_guest(guest, config, stay, every)
    moved = run_guest(guest, config, migrate, every)
    assert moved.moves > 2
    assert stayed.outcome.end is End.POWERED_OFF, stayed.console
    assert moved == stayed


@pytest.mark.parametrize("cpus", [1, 4], ids="{} vCPUs".format)
@pytest.mark.parametrize("irqchip", [V3, ITS], ids=lambda chip: chip.value)
def test_through_kvms_formats_a_gicv3_guest_cannot_tell_either(irqchip: IrqChip, cpus: int) -> None:
    stayed = run_guest("mark", config(irqchip, cpus), stay)
    assert run_guest("mark", config(irqchip, cpus), partial(migrate, through=Through.KVM)) == stayed


@pytest.mark.parametrize("cpus", [1, 4], ids="{} vCPUs".format)
def test_through_kvms_formats_a_gicv2s_line_becomes_a_latch_and_nothing_else_is_lost(cpus: int) -> None:
    """GICD_ISPENDR shows user space a level interrupt whose line is high, and sets a latch when it is restored."""
    moved = run_guest("mark", config(V2, cpus), partial(migrate, through=Through.KVM))
    assert re.findall(r"FAIL: .*", moved.console) == ["FAIL: gicv2: mark: wire: low when lowered"]
    assert moved.outcome.end is End.POWERED_OFF


def test_a_machine_that_was_saved_can_be_run_on() -> None:
    def save_only(machine: Machine, output: Callable[[int], None]) -> Machine:
        save(machine)
        return machine

    assert run_guest("mark", config(ITS, 4), save_only, 60) == run_guest("mark", config(ITS, 4), stay, 60)


def paused(config: MachineConfig, guest: str = "mark") -> Machine:
    """A guest that has asked to be migrated."""
    printed = bytearray()
    machine = Machine(config, Images(firmware=image(guest)), lambda byte: feed(byte))

    def feed(byte: int) -> None:
        printed.append(byte)
        if printed.endswith(b"press a key"):
            machine.pause("it asks for it")

    outcome = machine.run()
    assert (outcome.end, outcome.detail) == (End.MARK, "it asks for it")
    return machine


def silent(_: int) -> None:
    """Where nobody looks at the console."""


@pytest.mark.parametrize("through", Through, ids=lambda through: through.value)
def test_what_was_restored_saves_as_it_was_saved(through: Through) -> None:
    state = save(paused(config(V3, 2)), through, b"tail")
    assert state.console == b"tail"
    again = save(restore(state, silent), through, b"tail")
    assert again.cores == state.cores
    assert again.ram == state.ram
    if through is Through.SNAPSHOT:
        assert again == state


def test_a_run_that_has_ended_has_nothing_to_go_on_with() -> None:
    machine = Machine(config(V3, 1), Images(firmware=image("silent-exit")), silent)
    machine.run()
    with pytest.raises(SnapshotError, match="its run has ended"):
        save(machine)


def test_a_budget_that_is_used_up_is_no_end() -> None:
    short = MachineConfig(ram=8 * MIB, budget=30_000)
    machine = Machine(short, Images(firmware=image("timer")), silent)
    assert machine.run().end is End.BUDGET
    state = save(machine)
    longer = restore(replace(state, config=replace(short, budget=BUDGET)), silent)
    assert longer.run().end is End.POWERED_OFF


def parts(state: MachineState, name: str, change: Callable[[Any], object]) -> MachineState:  # Any: JSON
    """Change a copy of one part."""
    changed = copy.deepcopy(dict(state.parts))
    change(changed[name])
    return replace(state, parts=changed)


Damage = Callable[[MachineState], MachineState]
DAMAGES: Final[dict[str, tuple[Damage, str]]] = {
    "another engine": (lambda s: replace(s, engine="unicorn 9.9.9"), "saved with unicorn 9.9.9"),
    "a vCPU without a core": (lambda s: replace(s, cores=s.cores[:1]), "cores: there are 1 for 2 vCPUs"),
    "half a core": (lambda s: replace(s, cores=(s.cores[0], s.cores[1][:-8])), "core 1: "),
    "RAM below RAM": (lambda s: replace(s, ram=((RAM_BASE - 4096, bytes(4096)), *s.ram)), "ram: "),
    "RAM past its end": (lambda s: replace(s, ram=(*s.ram, (RAM_BASE + 8 * MIB - 1, b"12"))), "ram: "),
    "RAM twice": (lambda s: replace(s, ram=(s.ram[0], *s.ram)), "ram: "),
    "more vCPUs": (lambda s: replace(s, config=config(V3, 3)), "3"),
    "another interrupt controller": (lambda s: replace(s, config=config(V2, 2)), "the interrupt controller: "),
    "an ITS that is not there": (lambda s: replace(s, config=config(ITS, 2)), "the interrupt controller: "),
    "another VM's interrupts": (lambda s: replace(s, gic=Vgic.gicv3(vcpus=3).save()), "the interrupt controller: "),
    "KVM's formats, cut off": (lambda s: replace(s, gic=KvmState(())), "the interrupt controller: "),
    "an unknown power": (lambda s: parts(s, "cpus", lambda cpus: cpus[0].update(power="asleep")), "power"),
    "a timer without registers": (lambda s: parts(s, "cpus", lambda cpus: cpus[0]["timer"].clear()), "cntv_ctl"),
    "a device missing": (lambda s: parts(s, "devices", lambda devices: devices.pop("the PL011")), "the PL011"),
    "a device too many": (lambda s: parts(s, "devices", lambda devices: devices.update(x={})), "x"),
    "a turn of nobody": (lambda s: parts(s, "machine", lambda machine: machine.update(turn=9)), "turn"),
    "a log of half events": (lambda s: parts(s, "events", lambda log: log.update(recent="00")), "event log"),
    "a counter below zero": (lambda s: parts(s, "counts", lambda counts: counts.update(slices=-1)), "slices"),
    "a physical CPU's unknown vCPU": (lambda s: parts(s, "physical", lambda cpus: cpus[0].update(current=1)), "CPU 0"),
    "an interrupt without its timer": (
        lambda s: parts(s, "cpus", lambda cpus: [c["timer"].update(cntv_line=False) for c in cpus]),
        "interrupt 27 is high, but its timer's line is not",
    ),
}


@pytest.fixture(scope="module")
def state() -> MachineState:
    return save(paused(config(V3, 2)))


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_no_machine_is_refused(state: MachineState, damage: Damage, words: str) -> None:
    with pytest.raises(SnapshotError, match=re.escape(words)):
        restore(damage(state), silent)
