"""Saving a whole machine and building it again.

Room:    above the machine, below the command line.
Never:   reads or writes a file: `statefile` makes bytes of a MachineState, the command line keeps them.
Holds:   a machine that was saved between two slices and restored, here or elsewhere, goes on instruction by
         instruction as the one it was saved from: console, counters and event hash cannot tell.
         Nothing is half restored: there is a machine that is the saved one, or there is an error.

A state is refused that contradicts itself or was saved with another build of the engine.  One that somebody forged is
a program for the guest, and for the engine below it: trust it as you trust that guest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from vgic import Snapshot, VgicError
from vmm import kvmstate
from vmm.config import ConfigError, MachineConfig
from vmm.devices.device import Json
from vmm.devices.saved import Saved
from vmm.engine.make import engine_name
from vmm.kvmstate import KvmState
from vmm.layout import PPI_PHYS, PPI_VIRT
from vmm.machine import Machine
from vmm.outcome import End
from vmm.rampages import Piece, pieces

_ENDED: Final = frozenset((End.POWERED_OFF, End.RESET, End.ALL_OFF, End.DEADLOCK, End.TRIPLE_FAULT, End.ENGINE))
"""Nothing comes after these."""
_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF


class SnapshotError(Exception):
    """A machine that cannot be saved, or a state that is none: says where and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where = where
        self.why = why


class Through(Enum):
    """In which form the interrupt controller's state travels."""

    SNAPSHOT = "snapshot"  # the library's own: nothing is lost
    KVM = "kvm"  # registers by attribute and tables in guest memory, as VMMs migrate it


@dataclass(frozen=True, slots=True)
class MachineState:
    """A whole machine at one moment.

    config   the machine's; what does not show to its guest may be replaced: fast_engine, budget
    engine   which engine the cores are of
    parts    what is neither core, RAM nor interrupt controller, by part
    cores    each vCPU's core
    gic      the interrupt controller
    ram      what is not zero of it
    console  the end of what the guest had printed, for those who look at whole lines
    """

    config: MachineConfig
    engine: str
    parts: Mapping[str, Json]
    cores: tuple[bytes, ...] = field(repr=False)
    gic: Snapshot | KvmState = field(repr=False)
    ram: tuple[Piece, ...] = field(repr=False)
    console: bytes = b""


def save(machine: Machine, through: Through = Through.SNAPSHOT, console: bytes = b"") -> MachineState:
    """Return the state of a machine that does not run; it may be run on.

    Errors: SnapshotError for one whose run has ended, and when the guest has no RAM where KVM's formats need it.
    """
    if machine.running is not None:
        raise SnapshotError("the machine", "a vCPU is running: it can be saved between two slices")
    if machine.outcome is not None and machine.outcome.end in _ENDED:
        raise SnapshotError("the machine", f"its run has ended: {machine.outcome.end.name}")
    parts: dict[str, Json] = {
        "clock": machine.clock.now(),
        "machine": machine.save(),
        "cpus": [cpu.save() for cpu in machine.cpus],
        "physical": [physical.save() for physical in machine.physical],
        "devices": {device.name: device.save() for _, device in machine.bus.devices()},
        "counts": machine.counts.save(),
        "events": machine.events.save(),
    }
    cores = tuple(cpu.engine.save() for cpu in machine.cpus)
    try:
        gic = machine.gic.vm.save() if through is Through.SNAPSHOT else kvmstate.save(machine.gic)
    except VgicError as error:
        raise SnapshotError("the interrupt controller", str(error)) from None
    return MachineState(machine.config, engine_name(), parts, cores, gic, pieces(machine.ram), console)


def restore(state: MachineState, output: Callable[[int], None]) -> Machine:
    """Build a machine that goes on from `state`, printing to `output`.

    Errors: SnapshotError for a state that no machine of this configuration, or of this engine, can have; OSError when
    the host has no room.
    """
    if state.engine != engine_name():
        raise SnapshotError("engine", f"the machine was saved with {state.engine}, but this is {engine_name()}")
    machine = Machine(state.config, None, output)
    try:
        _restore_ram(machine, state.ram)
        _restore_cores(machine, state.cores)
        _restore_parts(machine, state)
    except ConfigError as error:
        raise SnapshotError("parts", str(error)) from None
    return machine


def migrate(machine: Machine, output: Callable[[int], None], through: Through = Through.SNAPSHOT) -> Machine:
    """Return a new machine that goes on where `machine`, which is of no more use, was stopped."""
    return restore(save(machine, through), output)


# -- restoring -----------------------------------------------------------------------------------


def _restore_ram(machine: Machine, ram: tuple[Piece, ...]) -> None:
    end = machine.ram.base
    for gpa, data in ram:
        if gpa < end or not machine.ram.write(gpa, data):
            raise SnapshotError("ram", f"{len(data)} bytes at {gpa:#x} do not lie between {end:#x} and the end of RAM")
        end = gpa + len(data)


def _restore_cores(machine: Machine, cores: tuple[bytes, ...]) -> None:
    if len(cores) != len(machine.cpus):
        raise SnapshotError("cores", f"there are {len(cores)} for {len(machine.cpus)} vCPUs")
    for cpu, core in zip(machine.cpus, cores, strict=True):
        try:
            cpu.engine.load(core)
        except ValueError as error:
            raise SnapshotError(f"core {cpu.index}", str(error)) from None


def _restore_parts(machine: Machine, state: MachineState) -> None:
    """Restore everything else.

    Devices drive their lines when they are loaded: before the interrupt controller, which knows its lines itself, or,
    through KVM's formats for a GICv2, relies on that.  Nobody is kicked by it, and the log forgets it.
    """
    saved = Saved("the machine", state.parts)
    now = saved.number("clock", _MASK64)
    own = saved.members("machine")
    cpus = saved.records("cpus", len(machine.cpus))
    physical = saved.records("physical", len(machine.physical))
    devices = Saved("the devices", saved.members("devices"))
    counts = saved.members("counts")
    events = saved.members("events")
    saved.finish()
    vm = machine.gic.vm
    kick, vm.kick = vm.kick, None
    for _, device in machine.bus.devices():
        device.load(devices.members(device.name))
    devices.finish()
    machine.clock.jump(now)
    for cpu, record in zip(machine.cpus, cpus, strict=True):
        cpu.load(record)
    for each, record in zip(machine.physical, physical, strict=True):
        each.load(record)
    _restore_gic(machine, state.gic)
    vm.kick = kick
    machine.counts.load(counts)
    machine.events.load(events)
    machine.load(own)


def _restore_gic(machine: Machine, state: Snapshot | KvmState) -> None:
    gic = machine.gic
    timers = [cpu.timer for cpu in machine.cpus]
    try:
        if isinstance(state, Snapshot):
            gic.devices = list(gic.vm.restore(state))
            gic.map_timers(timers)
            _check_lines(machine)
        else:
            kvmstate.restore(gic, state)
            gic.map_timers(timers)
            _look_again(machine)
    except (VgicError, ValueError) as error:
        raise SnapshotError("the interrupt controller", str(error)) from None


def _check_lines(machine: Machine) -> None:
    """No timer interrupt is held high by a timer that does not drive its line, which is always level-triggered.

    The other way round there is no rule: of one that is in a list register KVM takes the line for low.
    """
    for cpu, vcpu in zip(machine.cpus, machine.gic.vm.state()["vcpus"], strict=True):
        for intid, comparator in ((PPI_VIRT, cpu.timer.virtual), (PPI_PHYS, cpu.timer.physical)):
            if vcpu["interrupts"][intid]["line_level"] and not comparator.level:
                raise SnapshotError(f"vCPU {cpu.index}", f"interrupt {intid} is high, but its timer's line is not")


def _look_again(machine: Machine) -> None:
    """After KVM's formats, as KVM does when it first runs the vCPUs: timers drive their lines, and every vCPU looks."""
    for cpu in machine.cpus:
        machine.timer_line(cpu, PPI_VIRT, cpu.timer.virtual.level)
        machine.timer_line(cpu, PPI_PHYS, cpu.timer.physical.level)
        cpu.kicked = True
