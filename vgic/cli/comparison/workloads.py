"""The workloads: what a device and the guest's CPUs do, again and again, while the hardware counts.

Room:    above the machines; below what adds the counters up.
Holds:   each round begins and ends with every CPU that takes part in the guest, running, or as it finds it asleep.
         An interrupt is sent when the last one was taken, so none is coalesced: as many are taken as were sent.
"""

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple, final

from hw import Account
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.machines.hosted import HostedBoard
from vgic.cli.machines.kinds import KINDS, assign_vectors, boot

BURST: Final = 8
"""Messages of different vectors that `msi-burst` sends at once."""

SGI: Final = 1
MIN_CPUS: Final = 2


class WorkloadError(Exception):
    """The machine did not do what the workload is about: an interrupt is lost, or hardware was misused."""


@final
class Bench:
    """A guest on a machine, with every CPU running."""

    def __init__(self, kind: str, cpus: int, lrs: int, *, alone: bool = False) -> None:
        """Boot.  Errors: GuestError."""
        self.board: HostedBoard = KINDS[kind].board(cpus, lrs, alone=alone)
        self.guest: Guest = boot(self.board)
        assign_vectors(self.guest, self.board, [self.target] * BURST)
        self.guest.handle_with()
        self.sent = 0
        for cpu in self.guest.cpus:
            cpu.take_interrupts()

    @property
    def target(self) -> Cpu:
        """The CPU that the device's vectors go to, and IPIs."""
        return self.guest.cpus[0]

    def message(self, *vectors: int) -> None:
        """The device sends messages."""
        self.sent += len(vectors)
        for vector in vectors:
            self.board.send(vector)

    def sleep(self) -> None:
        """The target executes WFI with nothing to do."""
        if self.target.run():
            raise WorkloadError("an interrupt nobody sent kept a CPU from its WFI")

    def wake(self) -> None:
        """If the target left the guest for its WFI, a kick must bring it back; it takes what is there."""
        board, index = self.board, self.target.index
        if board.blocked[index] and not (board.kicked[index] and board.has_work(index)):
            raise WorkloadError(f"CPU {index} sleeps on, with an interrupt for it")
        self.target.take_interrupts()


def msi_running(bench: Bench, random: Random) -> None:
    """Send to a CPU that runs."""
    bench.message(0)
    bench.target.take_interrupts()


def msi_preempted(bench: Bench, random: Random) -> None:
    """Send to a CPU that the host has taken off its physical CPU; it comes back and takes the interrupt."""
    bench.target.irq()
    bench.board.preempt(bench.target.index)
    bench.message(0)
    bench.board.enter(bench.target.index)
    bench.target.take_interrupts()


def msi_moved(bench: Bench, random: Random) -> None:
    """Send to a CPU that the host has preempted and that comes back on another physical CPU."""
    bench.target.irq()
    bench.board.preempt(bench.target.index)
    bench.message(0)
    bench.board.move(bench.target.index)
    bench.target.take_interrupts()


def msi_wfi(bench: Bench, random: Random) -> None:
    """Send to a CPU in WFI."""
    bench.sleep()
    bench.message(0)
    bench.wake()


def msi_burst(bench: Bench, random: Random) -> None:
    """Send eight messages to a CPU in WFI before it gets to run."""
    bench.sleep()
    bench.message(*range(BURST))
    bench.wake()


def ipi(bench: Bench, random: Random) -> None:
    """One running CPU interrupts another."""
    bench.sent += 1
    bench.guest.gic.send(bench.guest.sender, SGI, (bench.target,))
    bench.target.take_interrupts()


def ipi_broadcast(bench: Bench, random: Random) -> None:
    """One running CPU interrupts all others, which run."""
    cpus = bench.guest.cpus
    bench.sent += len(cpus) - 1
    bench.guest.gic.send_others(bench.guest.sender, SGI)
    for cpu in cpus:
        cpu.take_interrupts()


def mix(bench: Bench, random: Random) -> None:
    """One of the others."""
    random.choices(_MIXED, _WEIGHTS)[0](bench, random)


Step = Callable[[Bench, Random], None]

_MIXED: Final[tuple[Step, ...]] = (msi_running, msi_preempted, msi_moved, msi_wfi, ipi, ipi_broadcast)
_WEIGHTS: Final = (8, 2, 1, 2, 4, 1)


class Workload(NamedTuple):
    """A workload; `alone`: each physical CPU has one vCPU and nothing else to run."""

    what: str
    step: Step
    alone: bool = False


WORKLOADS: Final[dict[str, Workload]] = {
    "msi-running": Workload("MSI to a running vCPU", msi_running),
    "msi-preempted": Workload("MSI to a preempted vCPU", msi_preempted),
    "msi-moved": Workload("MSI to a vCPU that moves to another CPU", msi_moved),
    "msi-wfi": Workload("MSI to a vCPU in WFI", msi_wfi),
    "msi-wfi-alone": Workload("the same, the vCPU alone on its CPU", msi_wfi, alone=True),
    "msi-burst": Workload(f"{BURST} MSIs at once to a vCPU in WFI", msi_burst),
    "ipi": Workload("IPI between running vCPUs", ipi),
    "ipi-broadcast": Workload("IPI to all other vCPUs, running", ipi_broadcast),
    "mix": Workload("a mix of MSIs and IPIs", mix),
}


class Measured(NamedTuple):
    """One workload on one machine."""

    workload: str
    kind: str
    delivered: int  # interrupts that guests acknowledged
    account: Account  # what the machine did meanwhile


def measure(workload: str, kind: str, interrupts: int, cpus: int, lrs: int, seed: int) -> Measured:
    """Run a workload until `interrupts` were sent, after one round that does not count.

    Errors: WorkloadError, GuestError.
    """
    it = WORKLOADS[workload]
    bench = Bench(kind, cpus, lrs, alone=it.alone)
    random = Random(seed)
    it.step(bench, random)
    bench.guest.handle_with()
    bench.sent = 0
    before = bench.board.account()
    while bench.sent < interrupts:
        it.step(bench, random)
    spent = bench.board.account().diff(before)
    delivered = sum(len(acks) for acks in bench.guest.acks())
    if delivered != bench.sent:
        raise WorkloadError(f"{bench.sent} interrupts were sent, and {delivered} taken")
    if bench.board.misuse:
        raise WorkloadError(f"the GIC reports misuse: {bench.board.misuse[0]}")
    return Measured(workload, kind, delivered, spent)
