"""Guests that are moved to a new machine in the middle of their run."""

from collections.abc import Callable
from typing import NamedTuple

from vmm.config import MachineConfig
from vmm.counts import Counts
from vmm.guests import image
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import End, Outcome

Move = Callable[[Machine, Callable[[int], None]], Machine]
"""Makes another machine of one that pauses, with the same output."""

PRESS_A_KEY = b"press a key"
MIB = 1 << 20
BUDGET = 50_000_000


class Run(NamedTuple):
    """All that a run shows."""

    console: str
    outcome: Outcome
    counts: Counts
    events: str
    ticks: int
    moves: int


def stay(machine: Machine, output: Callable[[int], None]) -> Machine:
    """Pause, and go on."""
    return machine


def run_guest(name: str, config: MachineConfig, move: Move, every: int = 0) -> Run:
    """Run one of our guests, moved whenever it printed `every` bytes and when it asks for it; then a key is pressed."""
    return run(Images(firmware=image(name)), config, move, every)


def run(images: Images, config: MachineConfig, move: Move, every: int = 0) -> Run:
    printed = bytearray()
    asked = [False]

    def output(byte: int) -> None:
        printed.append(byte)
        if every and len(printed) % every == 0:
            machines[-1].pause()
        if byte == PRESS_A_KEY[-1] and printed.endswith(PRESS_A_KEY):
            asked[0] = True
            machines[-1].pause()

    machines = [Machine(config, images, output)]
    moves = 0
    while (outcome := machines[-1].run()).end is End.MARK:
        machines[:] = [move(machines[-1], output)]
        moves += 1
        if asked[0]:
            asked[0] = False
            machines[-1].uart.receive(b"x")
    machine = machines[-1]
    return Run(printed.decode(), outcome, machine.counts, machine.events.digest(), machine.clock.now(), moves)
