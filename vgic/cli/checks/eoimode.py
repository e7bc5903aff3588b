"""EOImode = 1: EOIR drops the running priority, DIR deactivates."""

from typing import Final

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

FIRST: Final = 40
SECOND: Final = 41
IDLE: Final = 0xFF


def run(guest: Guest, report: Report) -> None:
    """Drop one interrupt's priority, take another, deactivate in the order of their arrival."""
    cpu = guest.cpus[-1]
    guest.gic.split_end(cpu, True)
    guest.add_spi(FIRST, cpu)
    _dropped(guest, report, cpu)
    if guest.list_registers < 2:
        report.skip("two: at least 2 list registers needed")
        return
    _two(guest, report, cpu)


def _dropped(guest: Guest, report: Report, cpu: Cpu) -> None:
    gic = guest.gic
    with report.prefix("one"):
        guest.handle_with()  # which writes EOIR, but not DIR
        guest.strike(FIRST)
        guest.settle()
        report.equal(gic.running_priority(cpu), IDLE, "EOIR drops the priority")
        report.expect(gic.is_active(guest.boot, FIRST), "EOIR leaves it active")
        guest.strike(FIRST)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(FIRST,)), "Not taken again while active")
        gic.deactivate(cpu, FIRST)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(FIRST, FIRST)), "Taken again after DIR")
        gic.deactivate(cpu, FIRST)
        report.expect(not gic.is_active(guest.boot, FIRST), "Inactive in the end")


def _two(guest: Guest, report: Report, cpu: Cpu) -> None:
    gic = guest.gic
    with report.prefix("two"):
        guest.handle_with()
        guest.add_spi(SECOND, cpu)
        guest.strike(FIRST)
        guest.settle()
        guest.strike(SECOND)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(FIRST, SECOND)), "Another is taken after the drop")
        states = []
        for intid in (FIRST, SECOND):
            gic.deactivate(cpu, intid)
            states.append((gic.is_active(guest.boot, FIRST), gic.is_active(guest.boot, SECOND)))
        report.equal(states, [(False, True), (False, False)], "DIR deactivates what it names, in any order")
