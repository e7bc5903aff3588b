"""More interrupts than list registers: none is lost, none comes twice, and the urgent ones do not wait.

The CPU keeps IRQs masked while they arrive, so that all are pending at once.  Then nothing kicks it any more:
the list registers are refilled because they run empty, which raises the maintenance interrupt.
"""

from typing import Final

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

FIRST: Final = 40
LEVELS: Final = 28
STEP: Final = 11
"""Coprime to LEVELS, so that the priorities of successive INTIDs jump about."""


def run(guest: Guest, report: Report) -> None:
    """Once with edges, once with lines that stay high until handled, once with a latecomer."""
    cpu = guest.cpus[-1]
    count = 2 * guest.list_registers + 3
    priorities = {FIRST + n: 8 + 8 * (n * STEP % LEVELS) for n in range(count)}
    report.info(f"{count} interrupts, {guest.list_registers} list registers")
    with report.prefix("edge"):
        _drain(guest, report, cpu, priorities, level=False)
    with report.prefix("level"):
        _drain(guest, report, cpu, priorities, level=True)
    with report.prefix("late"):
        _latecomer(guest, report, cpu, priorities)


def _pend_all(guest: Guest, cpu: Cpu, priorities: dict[int, int], *, level: bool) -> None:
    cpu.mask_irqs()
    for intid, priority in priorities.items():
        guest.add_spi(intid, cpu, level=level, priority=priority)
        if level:
            guest.drive(intid, True)
        else:
            guest.strike(intid)
    guest.settle()


def _drain(guest: Guest, report: Report, cpu: Cpu, priorities: dict[int, int], *, level: bool) -> None:
    completed: list[int] = []

    def quiet_and_end(cpu: Cpu) -> None:
        iar = guest.acknowledge(cpu)
        guest.drive(iar, False)
        guest.gic.end(cpu, iar)

    guest.handle_with(quiet_and_end)
    if level:
        for intid in priorities:
            guest.on_completion(intid, completed.append)
    _pend_all(guest, cpu, priorities, level=level)
    before = guest.maintenance_exits
    cpu.unmask_irqs()
    guest.settle()
    refills = guest.maintenance_exits - before
    report.equal(sorted(cpu.acks), sorted(priorities), "Each is taken exactly once")
    taken = [priorities.get(intid, -1) for intid in cpu.acks]
    report.equal(taken, sorted(taken), "The most urgent come first")
    report.equal([other.acks for other in guest.cpus if other is not cpu and other.acks], [], "No other CPU takes one")
    if level:
        report.equal(completed, cpu.acks, "The VMM is told of each completion, in order")
    else:
        report.expect(refills > 0, "Refilled by maintenance interrupts", "there was none")


def _latecomer(guest: Guest, report: Report, cpu: Cpu, priorities: dict[int, int]) -> None:
    late = FIRST + len(priorities)
    guest.handle_with()
    guest.add_spi(late, cpu, priority=0)
    _pend_all(guest, cpu, priorities, level=False)
    guest.strike(late)
    guest.settle()
    cpu.unmask_irqs()
    guest.settle()
    report.equal(cpu.acks[:1], [late], "The most urgent gets a list register although all are in use")
    report.equal(sorted(cpu.acks), [*sorted(priorities), late], "Each is taken exactly once")
