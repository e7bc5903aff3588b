"""A guest kernel as small as kvm-unit-tests': CPUs that take interrupts, sleep, and wait for each other.

Room:    above the board, below the checks; the interrupt controller's driver is the module `gic`.
Owns:    which CPU runs and which sleeps, PSTATE.I, and the lists of what was acknowledged.
Holds:   all CPUs run at once: one leaves the guest only when the host takes its physical CPU away, for a device
         access, or in WFI.  So a kick or a maintenance interrupt that gets lost shows.
         A test's code runs on one CPU and `settle` lets the others catch up; nothing here needs a clock.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, final

from vgic import arch
from vgic.cli.checks.board import RAM_BASE, Board
from vgic.cli.checks.gic import Gic
from vgic.cli.checks.migrate import migrate
from vgic.cli.checks.port import GuestError, Port

SENDER: Final = 1
"""The CPU that sends, if there are several: kvm-unit-tests' IPI_SENDER."""

STORM: Final = 1000
"""Interrupts taken by one CPU, or rounds of all, that mean it will never end."""

NORMAL: Final = 0xA0
"""The priority of everything that does not choose one: kvm-unit-tests' GICD_INT_DEF_PRI."""

PAGE: Final = 0x1_0000
"""Size and alignment of most tables: 64 KiB pages."""


class Load(NamedTuple):
    """How much `lpi-stress` does: what a test finds on its command line."""

    devices: int = 4
    events: int = 16  # of each device
    iterations: int = 25  # messages for each event


@final
class Cpu(Port):
    """One CPU of the guest."""

    __slots__ = ("_board", "_masked", "_running", "acks", "affinity", "handler", "index", "senders", "spurious")

    def __init__(self, board: Board, index: int, handler: "Callable[[Cpu], None]") -> None:
        """Build a CPU that has not run yet."""
        self._board = board
        self._running = False  # False: before its first entry, or blocked in WFI
        self._masked = False  # PSTATE.I
        self.index = index
        self.affinity = board.affinity(index)
        self.handler = handler  # runs with IRQs masked
        self.acks: list[int] = []  # INTIDs in the order of their acknowledges
        self.senders: list[int] = []  # who sent the SGIs, where IAR says so
        self.spurious = 0  # acknowledges that gave none

    # -- instructions ----------------------------------------------------------------------------

    def load(self, gpa: int, size: int = 4) -> int:
        """Load from a frame.  Errors: GuestError."""
        self._host()
        value = self._board.load(self.index, gpa, size)
        if value < 0:
            raise GuestError(f"CPU {self.index}: data abort: load of {size} bytes at {gpa:#x}")
        return value

    def store(self, gpa: int, value: int, size: int = 4) -> None:
        """Store to a frame.  Errors: GuestError."""
        self._host()
        if not self._board.store(self.index, gpa, size, value):
            raise GuestError(f"CPU {self.index}: data abort: store of {size} bytes at {gpa:#x}")

    def mrs(self, register: int) -> int:
        """Read a system register.  Errors: GuestError."""
        self._host()
        value = self._board.mrs(self.index, register)
        if value < 0:
            raise GuestError(f"CPU {self.index}: undefined: MRS {arch.SYSREG_NAMES[register]}")
        return value

    def msr(self, register: int, value: int) -> None:
        """Write a system register.  Errors: GuestError."""
        self._host()
        if not self._board.msr(self.index, register, value):
            raise GuestError(f"CPU {self.index}: undefined: MSR {arch.SYSREG_NAMES[register]}, {value:#x}")

    def device(self, intid: int, *levels: bool) -> None:
        """Access a device whose reaction is to drive its line to each of `levels`, the CPU being out of the guest."""
        self._host()
        self._board.exit(self.index)
        for level in levels:
            self._board.inject(intid, level)
        self._board.enter(self.index)

    def tick(self) -> None:
        """Leave the guest for something that has nothing to do with it, and come back.  A sleeping CPU sleeps on."""
        if self._running:
            self._board.exit(self.index)
            self._board.enter(self.index)

    def pause(self) -> None:
        """Leave the guest, for the VMM to look at it."""
        if self._running:
            self._board.exit(self.index)

    def resume(self) -> None:
        """Go on where `pause` stopped it; one in WFI looks whether it is still to wait."""
        if self._running:
            self._board.enter(self.index)
        else:
            self._board.kicked[self.index] = True

    def irq(self) -> bool:
        """Whether an IRQ would be taken if they were not masked."""
        self._host()
        return self._board.irq(self.index)

    def fiq(self) -> bool:
        """Whether an FIQ would be taken if they were not masked."""
        self._host()
        return self._board.fiq(self.index)

    def _host(self) -> None:
        """Between two instructions: wake if asleep, and let the host have the CPU if it asks for it."""
        board = self._board
        if not self._running:
            board.enter(self.index)
            self._running = True
        elif board.must_exit(self.index):
            board.exit(self.index)
            board.enter(self.index)

    # -- interrupts ------------------------------------------------------------------------------

    def mask_irqs(self) -> None:
        """Set PSTATE.I.  A CPU that masks its IRQs does not sleep: it waits for memory to change."""
        self._host()
        self._masked = True

    def unmask_irqs(self) -> None:
        """Clear PSTATE.I; what waits is taken when the CPU next runs."""
        self._masked = False

    def let_preempt(self) -> None:
        """In a handler: take what preempts it.  Errors: GuestError."""
        self._masked = False
        self.take_interrupts()
        self._masked = True

    def run(self) -> bool:
        """Do what there is to do, then WFI; return whether there was something.  Errors: GuestError."""
        board = self._board
        woken = board.kicked[self.index]
        if not self._running:
            board.kicked[self.index] = False
            if not woken or not board.has_work(self.index):
                return False
        self._host()
        if self._masked:
            return woken
        taken = self.take_interrupts()
        self._wfi()
        return woken or taken

    def take_interrupts(self) -> bool:
        """Take IRQs until none is signalled, and go on running; return whether there was one.  Errors: GuestError."""
        taken = 0
        while self.irq():
            taken += 1
            if taken > STORM:
                raise GuestError(f"CPU {self.index}: interrupt storm: INTIDs {sorted(set(self.acks))}")
            self._masked = True
            self.handler(self)
            self._masked = False
        return taken > 0

    def _wfi(self) -> None:
        """Sleep, unless the VMM says that there is something to do."""
        self._host()
        if self._board.wfi(self.index):
            self._running = False
            if self._board.has_work(self.index):
                self._host()


@final
class Guest:
    """A booted guest: its CPUs, its interrupt controller's driver, and its devices."""

    __slots__ = ("_board", "_free", "cpus", "gic", "load")

    def __init__(self, board: Board, gic: Gic, load: Load | None = None) -> None:
        """Boot: set up the distributor on CPU 0, then each CPU's own part.  Errors: GuestError."""
        self._board = board
        self._free = RAM_BASE  # RAM from here on is not in use
        self.gic = gic
        self.load = load or Load()
        self.cpus = [Cpu(board, index, self.acknowledge_and_end) for index in range(board.cpus)]
        gic.setup_distributor(self.boot)
        for cpu in self.cpus:
            gic.setup_cpu(cpu)
        self.settle()

    @property
    def boot(self) -> Cpu:
        """The CPU that configures things."""
        return self.cpus[0]

    @property
    def sender(self) -> Cpu:
        """The CPU that sends SGIs."""
        return self.cpus[min(SENDER, len(self.cpus) - 1)]

    @property
    def list_registers(self) -> int:
        """List registers of each physical CPU.  A guest cannot know; some tests must."""
        return self._board.lrs

    @property
    def maintenance_exits(self) -> int:
        """How often a maintenance interrupt took a CPU out of the guest.  A guest cannot know; some tests must."""
        return self._board.maintenance_exits

    def acknowledge_and_end(self, cpu: Cpu) -> None:
        """Handle an interrupt as the tests do that only count."""
        iar = self.acknowledge(cpu)
        if self.gic.intid(iar) != arch.INTID_SPURIOUS:
            self.gic.end(cpu, iar)

    def acknowledge(self, cpu: Cpu) -> int:
        """Acknowledge, note it, and return what IAR gave."""
        iar = self.gic.acknowledge(cpu)
        intid = self.gic.intid(iar)
        if intid == arch.INTID_SPURIOUS:
            cpu.spurious += 1
        else:
            cpu.acks.append(intid)
            sender = self.gic.sender(iar)
            if sender is not None:
                cpu.senders.append(sender)
        return iar

    def handle_with(self, handler: Callable[[Cpu], None] | None = None) -> None:
        """Make every CPU handle interrupts with `handler` (default: count them), and forget what was counted."""
        for cpu in self.cpus:
            cpu.handler = handler or self.acknowledge_and_end
            cpu.acks.clear()
            cpu.senders.clear()
            cpu.spurious = 0

    def acks(self) -> list[list[int]]:
        """Return what each CPU acknowledged since `handle_with`."""
        return [list(cpu.acks) for cpu in self.cpus]

    def acks_on(self, *targets: Cpu, intids: tuple[int, ...]) -> list[list[int]]:
        """Return what `acks` gives if each of `targets` acknowledged `intids`, and the other CPUs nothing."""
        return [list(intids) if cpu in targets else [] for cpu in self.cpus]

    def settle(self) -> None:
        """Let every CPU run until none has anything left to do.  Errors: GuestError when that does not happen."""
        for _ in range(STORM):
            busy = False
            for cpu in self.cpus:
                busy |= cpu.run()
            if not busy:
                return
        raise GuestError("the CPUs never come to rest")

    def tick(self) -> None:
        """Let the host interrupt every CPU that runs, as its own timer does now and then; then settle."""
        for cpu in self.cpus:
            cpu.tick()
        self.settle()

    def migrate(self) -> None:
        """Have the VMM move the VM to another host; the CPUs go on there.  Errors: VgicError."""
        for cpu in self.cpus:
            cpu.pause()
        migrate(self._board)
        for cpu in self.cpus:
            cpu.resume()

    # -- memory ----------------------------------------------------------------------------------

    def allocate(self, size: int, align: int = PAGE) -> int:
        """Return the address of `size` bytes of RAM that are zero."""
        gpa = -(-self._free // align) * align
        self._free = gpa + size
        return gpa

    def read(self, gpa: int, size: int) -> bytes:
        """Read RAM.  Errors: GuestError."""
        data = self._board.read_ram(gpa, size)
        if data is None:
            raise GuestError(f"data abort: {size} bytes at {gpa:#x} are no RAM")
        return data

    def write(self, gpa: int, data: bytes) -> None:
        """Write RAM.  Errors: GuestError."""
        if not self._board.write_ram(gpa, data):
            raise GuestError(f"data abort: {len(data)} bytes at {gpa:#x} are no RAM")

    # -- devices ---------------------------------------------------------------------------------

    def add_spi(self, intid: int, target: Cpu, *, level: bool = False, priority: int = NORMAL) -> None:
        """Configure and enable an SPI that nothing has made pending."""
        gic, boot = self.gic, self.boot
        gic.disable(boot, intid)
        gic.set_level(boot, intid, level)
        gic.set_priority(boot, intid, priority)
        gic.route(boot, intid, target)
        gic.enable(boot, intid)

    def strike(self, intid: int) -> None:
        """Let a device send an edge."""
        self._board.inject(intid, True)
        self._board.inject(intid, False)

    def drive(self, intid: int, level: bool) -> None:
        """Let a device drive its line."""
        self._board.inject(intid, level)

    def send_message(self, devid: int, eventid: int) -> bool:
        """Let a device send a message; whether the VMM learns that it became an interrupt.  Errors: VgicError."""
        return self._board.signal_msi(devid, eventid) == 1

    def on_completion(self, intid: int, listener: Callable[[int], None]) -> None:
        """Let the VMM call `listener` when the guest has completed a level SPI."""
        self._board.on_completion(intid, listener)
