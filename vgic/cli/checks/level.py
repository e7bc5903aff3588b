"""Level-sensitive SPIs: taken as long as the line is high, and the VMM learns of each completion."""

from typing import Final

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

HELD: Final = 40
RESAMPLED: Final = 41
TIMES: Final = 3


def run(guest: Guest, report: Report) -> None:
    """Hold a line, lower it in time and too early, and let the VMM resample one."""
    cpu = guest.cpus[-1]
    guest.add_spi(HELD, cpu, level=True)
    _held(guest, report, cpu)
    _lowered(guest, report, cpu)
    _registers(guest, report, cpu)
    _resample(guest, report, cpu)


def _held(guest: Guest, report: Report, cpu: Cpu) -> None:
    """The guest quiets the device only in its third handler."""
    completed: list[int] = []
    while_active: list[bool] = []
    after_end: list[bool] = []

    def quiet_at_last(cpu: Cpu) -> None:
        iar = guest.acknowledge(cpu)
        while_active.append(cpu.irq())
        if len(cpu.acks) == TIMES:
            cpu.device(HELD, False)
        guest.gic.end(cpu, iar)
        after_end.append(cpu.irq())

    with report.prefix("held"):
        guest.handle_with(quiet_at_last)
        guest.on_completion(HELD, completed.append)
        guest.drive(HELD, True)
        guest.settle()
        report.expect(not any(while_active), "Not signalled again while active")
        report.equal(after_end, [True] * (TIMES - 1) + [False], "Signalled again at once when it ends")
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(HELD,) * TIMES), "Taken again until the line falls")
        report.equal(completed, [HELD] * TIMES, "The VMM is told of each completion")


def _lowered(guest: Guest, report: Report, cpu: Cpu) -> None:
    with report.prefix("lowered"):
        guest.handle_with()
        cpu.device(HELD, True, False)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken if the line falls before the entry")
        cpu.mask_irqs()
        guest.drive(HELD, True)
        signalled = cpu.irq()
        cpu.device(HELD, False)
        report.equal((signalled, cpu.irq()), (True, False), "The CPU's line falls with the device's")
        cpu.unmask_irqs()
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken if the line falls before the acknowledge")


def _registers(guest: Guest, report: Report, cpu: Cpu) -> None:
    gic, boot = guest.gic, guest.boot
    with report.prefix("registers"):
        guest.handle_with()
        gic.disable(boot, HELD)
        seen = []
        for level in (True, False):
            guest.drive(HELD, level)
            seen.append(gic.is_pending(boot, HELD))
        gic.enable(boot, HELD)
        report.equal(seen, [True, False], "ISPENDR shows the line")
        gic.set_pending(boot, HELD)
        gic.clear_pending(cpu, HELD)
        gic.set_pending(boot, HELD)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(HELD,)), "ISPENDR is taken once, with the line low")
        report.expect(not gic.is_pending(boot, HELD) and not gic.is_active(boot, HELD), "Idle in the end")


def _resample(guest: Guest, report: Report, cpu: Cpu) -> None:
    """The VMM lowers the line at each completion; a device with more to say raises it again at once."""
    left = TIMES
    resampled = 0

    def resample(intid: int) -> None:
        nonlocal left, resampled
        resampled += 1
        guest.drive(intid, False)
        left -= 1
        if left:
            guest.drive(intid, True)

    with report.prefix("resample"):
        guest.handle_with()
        guest.add_spi(RESAMPLED, cpu, level=True)
        guest.on_completion(RESAMPLED, resample)
        guest.drive(RESAMPLED, True)
        guest.settle()
        wanted = guest.acks_on(cpu, intids=(RESAMPLED,) * TIMES)
        report.equal(guest.acks(), wanted, "Taken once for each time the device raised it")
        report.equal(resampled, TIMES, "The line was sampled after each completion")
