"""Machine: RAM, vCPUs, devices and a VGIC, and the loop that runs them.

Room:    the top of the VMM, below the command line.
Owns:    every part of the machine, and which vCPU runs.
Holds:   the same configuration and input give the same run, instruction by instruction: one thread, vCPUs in
         index order, time from instructions, no host clock and no randomness.
         A slice is a guest entry: the VGIC's vCPU is loaded and flushed, the core runs, it is synced and put.
"""

from collections.abc import Callable, Mapping
from typing import Final, final

from vmm.bus import Bus
from vmm.clock import END_OF_TIME, FREQUENCY, Clock
from vmm.config import ConfigError, MachineConfig
from vmm.counts import Counts
from vmm.devices.device import Json
from vmm.devices.msi import MsiSource
from vmm.devices.pl011 import Pl011
from vmm.devices.pl031 import Pl031
from vmm.devices.raz import RazWi
from vmm.devices.saved import Saved
from vmm.engine.make import engine_maker
from vmm.engine.memory import GuestRam
from vmm.engine.raw import error_text
from vmm.eventlog import KICK, LINE, MESSAGE, EventLog
from vmm.gic import TIMER_OWNER, Gic
from vmm.guestcpu import GuestCpu, Power
from vmm.layout import (
    MSI_BASE,
    RAM_BASE,
    RTC_BASE,
    RTC_SPI,
    UART_BASE,
    UART_SPI,
    VIRTIO_BASE,
)
from vmm.loader import Images, place
from vmm.outcome import End, Outcome
from vmm.psci import Psci
from vmm.schedule import PhysicalCpu
from vmm.timer import NEVER

EPOCH: Final = 1_700_000_000
"""Seconds since 1970 that the clock chip shows when the machine is switched on."""

_IN_TURN: Final = 20_000
_ALONE: Final = 200_000
"""Instructions of a slice: every one costs an entry and an exit, but while vCPUs take turns they must not be long."""
_MAX_WARNINGS: Final = 20
_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF

Poll = Callable[[int | None], bool]
"""Called between rounds for what comes from outside: with 0 while vCPUs run; with the ticks until something happens
by itself, or None for never, when all of them wait.  Returns whether something came; it may move the clock on first.
With None it waits until something does: False says that nothing ever will."""


@final
class Machine:
    """One machine, switched on and not yet run.

    output  called with every byte that the guest prints
    """

    def __init__(self, config: MachineConfig, images: Images | None, output: Callable[[int], None]) -> None:
        """Build the machine, put the images in its RAM and switch its first vCPU on.  Errors: ConfigError.

        images  None: everything is left empty and off, for a saved machine to be loaded
        """
        self.config = config
        self.clock = Clock()
        self.counts = Counts()
        self.events = EventLog()
        self.outcome: Outcome | None = None
        self.warnings: dict[str, int] = {}
        self.running: GuestCpu | None = None
        self.has_gicv3 = config.has_gicv3
        self.ram = GuestRam(RAM_BASE, config.ram)
        self.gic = Gic(config, self.ram, self._kick)
        self.bus = Bus()
        self.uart = Pl011(self._uart_line, output)
        self.rtc = Pl031(self._seconds, self._rtc_line)
        self.msi = MsiSource(self._message)
        for base, device in (
            (UART_BASE, self.uart),
            (RTC_BASE, self.rtc),
            (MSI_BASE, self.msi),
            (VIRTIO_BASE, RazWi(0x1000)),
        ):
            self.bus.add(base, device)
        make = engine_maker(config.fast_engine, config.exact_time)
        self.cpus = [
            GuestCpu(self, index, make(self.ram, mpidr(vcpu.mpidr), config.cpus > 1), vcpu)
            for index, vcpu in enumerate(self.gic.vm.vcpus)
        ]
        self._by_affinity = {cpu.affinity: cpu for cpu in self.cpus}
        self._deadlines = [NEVER] * (len(self.cpus) + 1)  # of each vCPU's timers; last: of the clock chip
        cpus = config.pcpus or config.cpus
        self.physical = [PhysicalCpu(index, self.cpus[index::cpus]) for index in range(cpus)]
        self.psci = Psci(self)
        self._turn = 0  # the physical CPU whose turn it is in this round
        self._idle = True  # no vCPU has run in this round
        self._pausing: str | None = None
        if images is not None:
            self.gic.map_timers([cpu.timer for cpu in self.cpus])
            placement = place(images, config, FREQUENCY)
            for gpa, data in placement.pieces:
                self.ram.write(gpa, data)
            self.cpus[0].power_on(placement.entry, placement.dtb_gpa)

    # -- what parts of the machine tell it -------------------------------------------------------

    def finish(self, end: End, detail: str = "") -> None:
        """End the run, after the instruction that is being executed; the first to say so is heard."""
        if self.outcome is None:
            self.outcome = Outcome(end, detail)
        if self.running is not None:
            self.running.engine.stop()

    def pause(self, detail: str = "") -> None:
        """Let `run` return End.MARK at the end of this slice; called again, it goes on as if it had not."""
        self._pausing = detail

    def warn(self, text: str) -> None:
        """Note something that is no error of ours but that a user wants to know; repeated ones are counted."""
        if text in self.warnings or len(self.warnings) < _MAX_WARNINGS:
            self.warnings[text] = self.warnings.get(text, 0) + 1

    def cpu_at(self, affinity: int) -> GuestCpu | None:
        """Return the vCPU with this affinity, in MPIDR_EL1's layout."""
        return self._by_affinity.get(affinity)

    def timer_line(self, cpu: GuestCpu, intid: int, level: bool) -> None:
        """A timer's output moved."""
        self.events.add(LINE | cpu.index << 8, intid, level)
        self.gic.vm.inject(intid, level, vcpu=cpu.gic, owner=TIMER_OWNER)

    def timer_moved(self, cpu: GuestCpu) -> None:
        """A timer's deadline is another one, though its vCPU does not run."""
        self._deadlines[cpu.index] = cpu.timer.deadline()

    def _kick(self, index: int) -> None:
        """A vCPU must look at its interrupts; if another one runs, its slice ends."""
        self.counts.kicks += 1
        self.events.add(KICK | index << 8, 0, 0)
        cpu = self.cpus[index]
        cpu.kicked = True
        running = self.running
        if cpu is not running:
            if cpu.power is Power.RUNNING:
                self.counts.forced += 1
            if running is not None:
                running.engine.stop()

    def _spi(self, intid: int, level: bool) -> None:
        self.events.add(LINE, intid, level)
        self.gic.vm.inject(intid, level)

    def _uart_line(self, level: bool) -> None:
        self._spi(UART_SPI, level)

    def _rtc_line(self, level: bool) -> None:
        self._spi(RTC_SPI, level)

    def _seconds(self) -> int:
        return EPOCH + self.clock.now() // FREQUENCY

    def _message(self, address: int, eventid: int, devid: int) -> int:
        result = self.gic.send(address, eventid, devid)
        self.events.add(MESSAGE, devid << 32 | eventid, result)
        return result

    # -- running ---------------------------------------------------------------------------------

    def run(self, poll: Poll | None = None) -> Outcome:
        """Run until something ends it; say what.  Errors: EngineError, for a defect of ours, never for a guest's."""
        clock = self.clock
        while True:
            while self._turn < len(self.physical):
                physical = self.physical[self._turn]
                self._turn += 1
                cpu = physical.pick(clock.now())
                if cpu is not None:
                    self._idle = False
                    self._slice(physical, cpu)
                    if self.outcome is not None or self._pausing is not None:
                        return self._stopped()
            self._turn = 0
            if self._idle:
                self._wait(poll)
            elif poll is not None:
                poll(0)
            self._idle = True
            if self.outcome is not None or self._pausing is not None:
                return self._stopped()

    def _stopped(self) -> Outcome:
        """Say why `run` returns: it has ended, or else it pauses."""
        detail, self._pausing = self._pausing or "", None
        return self.outcome or Outcome(End.MARK, detail)

    def _slice(self, physical: PhysicalCpu, cpu: GuestCpu) -> None:
        """One guest entry of `cpu`."""
        clock = self.clock
        counts = self.counts
        engine = cpu.engine
        gic = cpu.gic
        now = clock.now()
        deadline = min(self._deadlines)
        if now >= deadline:
            deadline = self._update_timers(now)
        length = self.config.slice_length or (_ALONE if self._alone(cpu) else _IN_TURN)
        limit = max(min(length, deadline - now), 1)
        if self.config.budget:
            limit = min(limit, self.config.budget - counts.instructions)
            if counts.instructions >= self.config.budget:
                self.finish(End.BUDGET, f"{counts.instructions} instructions")
                return
        cpu.prepare(now)
        gic.enter(physical.index)
        self.gic.load_timers(gic, cpu.timer)
        cpu.kicked = False
        engine.set_lines(gic.virq(), gic.vfiq())
        self.running = cpu
        clock.start(engine)
        try:
            error = engine.run(limit)
        except Exception as failure:
            failure.add_note(cpu.where())
            raise
        finally:
            counts.instructions += clock.finish(limit, engine.stopped)
            self.running = None
        if engine.refusal:
            cpu.refuse()
        counts.slices += 1
        gic.exit()
        if error:
            self.finish(End.ENGINE, f"{error_text(error)}: {cpu.where()}")
        if cpu.wants_wfi:
            cpu.wants_wfi = False
            if gic.pending():
                physical.make_way()
            else:
                cpu.power = Power.WAITING
        else:
            gic.put()
        self._deadlines[cpu.index] = cpu.timer.deadline()
        self._deadlines[-1] = self._rtc_deadline()

    def _alone(self, cpu: GuestCpu) -> bool:
        """Whether no other vCPU could run; one that comes to it ends the slice."""
        for other in self.cpus:
            if other is not cpu and (other.power is Power.RUNNING or (other.kicked and other.power is Power.WAITING)):
                return False
        return True

    def _update_timers(self, now: int) -> int:
        """Raise the lines that are due; return the next deadline."""
        deadlines = self._deadlines
        for cpu in self.cpus:
            if now >= deadlines[cpu.index]:
                cpu.timer.update()
                deadlines[cpu.index] = cpu.timer.deadline()
        if now >= deadlines[-1]:
            self.rtc.poll()
            deadlines[-1] = self._rtc_deadline()
        return min(deadlines)

    def _rtc_deadline(self) -> int:
        seconds = self.rtc.deadline()
        return NEVER if seconds is None else (seconds - EPOCH) * FREQUENCY

    def _wait(self, poll: Poll | None) -> None:
        """No vCPU can run: go on to the next deadline, or wait for the world outside."""
        if all(cpu.power is Power.OFF for cpu in self.cpus):
            self.finish(End.ALL_OFF)
            return
        deadline = min(self._deadlines)
        now = self.clock.now()
        if deadline < END_OF_TIME:
            if poll is not None and poll(max(deadline - now, 0)):
                return
            self.clock.jump(deadline)
            self._update_timers(self.clock.now())
        elif poll is None or not poll(None):
            self.finish(End.DEADLOCK, "; ".join(cpu.where() for cpu in self.cpus if cpu.power is Power.WAITING))

    # -- saving ----------------------------------------------------------------------------------

    def save(self) -> dict[str, Json]:
        """Return what is the machine's own, none of its parts'; between slices."""
        return {
            "turn": self._turn,
            "idle": self._idle,
            "warnings": dict(self.warnings),
        }

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned, when all parts have taken theirs.  Errors: ConfigError."""
        saved = Saved("the machine", state)
        turn = saved.number("turn", _MASK64)
        idle = saved.flag("idle")
        counted = saved.members("warnings")
        warnings = Saved("the machine's warnings", counted)
        texts = {text: warnings.number(text, _MASK64) for text in counted}
        saved.finish()
        if turn > len(self.physical):
            raise ConfigError(
                f"the saved state of the machine: the turn of {turn} of {len(self.physical)} physical CPUs"
            )
        self._turn, self._idle, self.warnings = turn, idle, texts
        for cpu in self.cpus:
            self.timer_moved(cpu)
        self._deadlines[-1] = self._rtc_deadline()


def mpidr(affinity: int) -> int:
    """Return MPIDR_EL1 for Aff3.Aff2.Aff1.Aff0."""
    return 1 << 31 | affinity & 0xFF_FFFF | affinity >> 24 << 32
