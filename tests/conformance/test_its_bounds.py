"""One guest write never causes unbounded work: the worst queues, on all that a guest can map; and with KVM's results.

What KVM does, the same ITS says when it gets the same commands one by one: then each walks all there is, as KVM does.
"""

from random import Random
from time import process_time
from typing import Final

import pytest

from tests.conformance.its_storms import FIRST, LONGEST, STORMS, Scale, queue
from tests.unit.vgic.its.rig import (
    CBASER,
    CONFIG,
    CREADR,
    CTLR,
    CWRITER,
    DISABLED,
    ENABLED,
    RAM,
    VALID,
    Command,
    ItsRig,
)
from vgic import Host

MB_QUEUE: Final = RAM + 0x60_0000
SECONDS: Final = 5.0
FULL: Final = Scale(57_344, 8, 16)
SMALL: Final = Scale(40, 3, 6)
WRITES_A_COMMAND: Final = 9
"""Configuration bytes that one command may write to, so that they have to be read again."""


class CountingRig(ItsRig):
    """Its queue has 1 MiB, and reads of configuration bytes are counted."""

    def __init__(self, scale: Scale, seed: int = 0, host: Host | None = None) -> None:
        super().__init__(scale.vcpus, host=host)
        self.write(CTLR, 0, 4)
        self.write(CBASER, VALID | MB_QUEUE | 0xFF)
        self.write(CTLR, 1, 4)
        self.config_reads = 0
        ram, dice = self.memory.ram, Random(seed)

        def read(gpa: int, size: int) -> bytes | None:
            self.config_reads += size == 1 and CONFIG <= gpa < CONFIG + scale.events
            return ram.read(gpa, size)

        self.memory.read = read  # type: ignore[method-assign]  # the library is given the object, not the method
        for start in range(0, len(scale.mapping), LONGEST):
            self.run(scale.mapping[start : start + LONGEST])
        for n in range(0, scale.events, 3):
            self.msi(1, n)
        for n in range(scale.events):  # whatever was read is out of date, and some of what is pending can be delivered
            self.configure(FIRST + n, dice.choice((ENABLED, DISABLED, 0x41)))
        self.config_reads = 0

    def run(self, commands: list[Command]) -> float:
        """Put commands in the queue; return how many seconds of CPU time the write of CWRITER takes."""
        at = self.read(CWRITER)
        for command in commands:
            self.memory.ram.write(self.its.queue + at, b"".join(word.to_bytes(8, "little") for word in command))
            at = (at + 32) % self.its.queue_size
        start = process_time()
        self.write(CWRITER, at)
        took = process_time() - start
        assert self.read(CREADR) == at, "the queue was not worked off"
        return took

    def everything(self) -> tuple[object, bytes | None, set[int]]:
        """All that the commands may change."""
        return self.frozen(), self.memory.ram.read(CONFIG, FULL.events), set(self.kicks)


@pytest.mark.parametrize("storm", STORMS)
def test_the_longest_queue(storm: str) -> None:
    """32,767 commands over 114,688 events of 57,344 LPIs: seconds, and each LPI is read when it may have changed."""
    rig = CountingRig(FULL)
    commands = queue(storm, FULL, LONGEST)
    took = rig.run(commands)
    assert took < SECONDS
    assert rig.config_reads <= 2 * FULL.events + WRITES_A_COMMAND * LONGEST, "more than the bound in batch.py"
    rig.check()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("storm", STORMS)
def test_one_queue_does_what_its_commands_do_one_by_one(storm: str, seed: int) -> None:
    commands = queue(storm, SMALL, 400, seed)
    whole, single = CountingRig(SMALL, seed), CountingRig(SMALL, seed)
    for each in (whole, single):
        each.kicks.clear()
    size = 10 + 60 * seed
    for start in range(0, len(commands), size):
        part = commands[start : start + size]
        whole.run(part)
        for command in part:
            single.run([command])
        assert whole.everything() == single.everything(), f"commands {start} to {start + len(part)}"
    whole.check()
