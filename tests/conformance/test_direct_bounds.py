"""One guest write never causes unbounded work where hardware delivers the LPIs that the queue is about, and they pend.

Each of the guest's commands then costs hardware commands, and what those cost must not grow with what is pending.
"""

from collections.abc import Iterator
from itertools import count, islice
from random import Random
from typing import Final

import pytest

from hw import GicVersion, V4Config
from tests.conformance.its_storms import FIRST, LONGEST, STORMS, Scale, queue
from tests.conformance.test_its_bounds import FULL, SECONDS, SMALL, CountingRig
from tests.unit.vgic.its.rig import DOORBELL, ENABLED, Command, clear, discard, inv, invall, mapti, movi, raise_event
from tests.unit.vgic.v4.rig import host40, make_host
from vgic import Host, HostMsi, MsiRoute
from vgic.v4.forward import set_forwarding

VECTORS: Final = 4096
FORWARDED: Final = 7
"""Every seventh event of device 1 is forwarded."""


class DirectRig(CountingRig):
    """Some of its LPIs go directly; nobody runs, so that what is pending stays so."""

    def __init__(self, scale: Scale, vectors: int, seed: int = 0, host: Host | None = None) -> None:
        super().__init__(scale, seed, host or make_host(cpus=scale.vcpus))
        self.msis: list[HostMsi] = []
        self.struck = [n * FORWARDED % scale.events for n in range(vectors)]
        for n, event in enumerate(self.struck):
            self.msis.append(self.v4host.request_msi(9, n, vectors=vectors))
            assert set_forwarding(self.dist, self.msis[n], MsiRoute(n, DOORBELL, event, 1)) == 0
        self.run([raise_event(1, event) for event in self.struck])

    @property
    def v4host(self) -> Host:
        return self.vm.host

    def forwarded(self) -> int:
        return sum(msi.direct is not None for msi in self.msis)

    def enable_all(self, scale: Scale) -> None:
        """And have the hardware know it."""
        for n in range(scale.events):
            self.configure(FIRST + n, ENABLED)
        self.run([invall(icid) for icid in range(4)])

    def pending(self) -> list[list[int]]:
        """The vLPIs that each vPE has pending."""
        units = self.v4host.machine.vpes.by_key
        return [sorted(units[vpeid].pending) for vpeid in sorted(units)]

    def ready(self) -> list[list[int]]:
        """What of those the hardware would deliver, in that order."""
        units = self.v4host.machine.vpes.by_key
        return [units[vpeid].ready1 for vpeid in sorted(units)]


def clear_and_pend(events: list[int]) -> Iterator[Command]:
    for n in count():
        yield clear(1, events[n % len(events)])
        yield raise_event(1, events[n % len(events)])


def move_there_and_back(events: list[int]) -> Iterator[Command]:
    for n in count():
        yield movi(1, events[n % len(events)], (n // len(events) + 1) % 2)


def look_again(events: list[int]) -> Iterator[Command]:
    for n in count():
        yield inv(1, events[n % len(events)])


def change_a_few_then_invall(events: list[int]) -> Iterator[Command]:
    """DISCARD writes over the configuration of 8 LPIs: hardware has to be told of one or two each time."""
    for n in count():
        yield mapti(3, n % (FULL.events // 8), FIRST + 1, 0)
        yield discard(3, n % (FULL.events // 8))
        yield invall(0)


@pytest.mark.parametrize("version", [GicVersion.V4_1, GicVersion.V4_0])
def test_the_longest_queue_about_what_is_pending(version: GicVersion) -> None:
    host = make_host(cpus=FULL.vcpus, v4=V4Config(version=version))
    rig = DirectRig(FULL, VECTORS, host=host)
    rig.enable_all(FULL)
    assert sum(map(len, rig.pending())) == VECTORS
    for storm in (clear_and_pend, move_there_and_back, look_again, change_a_few_then_invall):
        took = rig.run(list(islice(storm(rig.struck), LONGEST)))
        assert took < SECONDS, f"{storm.__name__}: {took} s"
    assert rig.forwarded() == VECTORS
    host.machine.check()
    rig.check()


@pytest.mark.parametrize("version", [4.0, 4.1])
@pytest.mark.parametrize("storm", STORMS)
def test_one_queue_does_what_its_commands_do_one_by_one(storm: str, version: float) -> None:
    """Also in hardware: what is pending where, what it knows of the configuration, what is still forwarded."""
    commands = queue(storm, SMALL, 300, seed=1)
    hosts = [make_host(cpus=SMALL.vcpus) if version == 4.1 else host40(cpus=SMALL.vcpus) for _ in range(2)]
    whole, single = (DirectRig(SMALL, 20, seed=1, host=host) for host in hosts)
    dice = Random(2)
    while commands:
        size = dice.randrange(1, 60)
        part, commands = commands[:size], commands[size:]
        whole.run(part)
        for command in part:
            single.run([command])
        assert whole.everything()[:2] == single.everything()[:2]
        assert whole.pending() == single.pending()
        assert whole.ready() == single.ready()
        assert whole.forwarded() == single.forwarded()
        for rig in (whole, single):
            rig.check()
            rig.v4host.machine.check()
