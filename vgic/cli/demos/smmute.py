"""A guest with a DMA test engine of its own: it runs transactions, and takes the engine's interrupts.

Room:    the guest's driver of the engine, above the device and the machine; the command shows what it returns.
Holds:   vector n of the engine is LPI 8192 + n, of vCPU n; transaction n runs in frame n % vcpus, and so on that vCPU.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, final

from hw import Account
from hw.arch import FIRST_LPI
from vgic import DeviceLimit
from vgic.cli.checks.board import GITS_BASE, GITS_TRANSLATER
from vgic.cli.checks.guest import Cpu
from vgic.cli.demos import engine
from vgic.cli.demos.assigned import BAR, TABLE, AssignedDevice
from vgic.cli.demos.msix import CONTROL, DATA, ENTRY
from vgic.cli.figures import Figures
from vgic.cli.machines.hosted import DEVID
from vgic.cli.machines.kinds import KINDS, boot, map_events

CYCLES_OF_A_COPY: Final = 2
"""A copy moves each byte twice."""


class Transaction(NamedTuple):
    """What became of one transaction."""

    number: int
    cpu: int  # the vCPU that started it and took its interrupt
    status: int  # engine.STATUSES
    value: int
    cycles: int  # as assumed: the engine's work, its message, and what that cost the vCPU; and what the message waited
    output: bytes  # the buffer, as the guest finds it after the interrupt
    sound: bool  # the value is the sum of what is in the buffer


class TransactionError(Exception):
    """The engine did not answer."""


@final
class Guest:
    """The guest and its engine, on a machine of `kind`, every vCPU running.

    watch  called with the board when the guest is booted, before its vectors are set up.
    limit  how many messages the engine may send in how many cycles.
    Errors: GuestError, VgicError.
    """

    def __init__(
        self,
        kind: str,
        cpus: int,
        size: int,
        watch: Callable[["Guest"], None] | None = None,
        limit: tuple[int, int] | None = None,
    ) -> None:
        """Boot, map events, set vectors up."""
        self.board = KINDS[kind].board(cpus)
        self.guest = boot(self.board)
        self.device = AssignedDevice(self.board)
        self._size = size
        self._source = self.guest.allocate(size)
        self._output = [self.guest.allocate(size) for _ in self.guest.cpus]
        self._answered = False
        map_events(self.guest, self.guest.cpus)
        if watch is not None:
            watch(self)
        for cpu in self.guest.cpus:
            self._set_vector(cpu)
        self.guest.handle_with(self._interrupt)
        for cpu in self.guest.cpus:
            cpu.take_interrupts()
        self.limit: DeviceLimit | None = None
        if limit is not None:
            self.limit = self.board.host.limit_device(DEVID, *limit)

    @property
    def direct(self) -> bool:
        """Whether hardware delivers every vector."""
        return all(self.device.direct)

    def _set_vector(self, cpu: Cpu) -> None:
        """Write a vector's entry of the MSI-X table, and unmask it: pci_write_msg_msix()."""
        boot, entry = self.guest.boot, TABLE + ENTRY * cpu.index
        boot.store(entry, GITS_BASE + GITS_TRANSLATER, 8)
        boot.store(entry + DATA, cpu.index)
        boot.store(entry + CONTROL, 0)

    def _interrupt(self, cpu: Cpu) -> None:
        """The engine's handler."""
        iar = self.guest.acknowledge(cpu)
        if iar == FIRST_LPI + cpu.index:
            self._answered = True
        self.guest.gic.end(cpu, iar)

    def run(self, number: int, command: int, figures: Figures) -> Transaction:
        """Run a transaction and wait for its interrupt; it takes its time.  Errors: TransactionError, GuestError."""
        cpu = self.guest.cpus[number % len(self.guest.cpus)]
        frame = BAR + engine.FRAME * cpu.index
        output = self._output[cpu.index]
        self.guest.write(self._source, _pattern(number, self._size))
        begin = self._source if command == engine.COPY else output
        if command == engine.SUM:
            self.guest.write(output, _pattern(number, self._size))
        before = self.board.account()
        self._answered = False
        for register, value in (
            (engine.BEGIN, begin),
            (engine.END, begin + self._size - 1),
            (engine.TARGET, output),
            (engine.VALUE, number),
        ):
            cpu.store(frame + register, value, 8)
        cpu.store(frame + engine.VECTOR, cpu.index)
        cpu.store(frame + engine.COMMAND, command)
        cpu.take_interrupts()
        waited = 0 if self._answered else self._wait(cpu)
        if not self._answered:
            raise TransactionError(f"transaction {number}: vCPU {cpu.index} got no interrupt")
        status = cpu.load(frame + engine.STATUS)
        value = cpu.load(frame + engine.VALUE, 8)
        data = self.guest.read(output, self._size)
        cycles = figures.cycles(self.board.account().diff(before), 1)
        cycles += self._size * (CYCLES_OF_A_COPY if command == engine.COPY else 1) // engine.BYTES_PER_CYCLE
        self.board.host.tick(cycles)
        return Transaction(number, cpu.index, status, value, cycles + waited, data, value == engine.sum64(data))

    def _wait(self, cpu: Cpu) -> int:
        """Let time pass until a message is sent that waits for the limit; how long that took."""
        due = None if self.limit is None else self.limit.due
        if due is None:
            return 0
        waits = due - self.board.host.machine.now
        self.board.host.tick(waits)
        cpu.take_interrupts()
        return waits

    def account(self) -> Account:
        """What the machine has done until now."""
        return self.board.account()


def _pattern(number: int, size: int) -> bytes:
    """Return the contents of a transaction's input, different for each."""
    return bytes((number * 16 + at) & 0xFF for at in range(size))
