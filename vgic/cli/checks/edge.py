"""Edge-triggered SPIs: an edge is taken once, and two that meet before the acknowledge are one."""

from typing import Final

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

INTID: Final = 40


def run(guest: Guest, report: Report) -> None:
    """Strike in every state an edge interrupt has."""
    cpu = guest.cpus[-1]
    guest.add_spi(INTID, cpu)
    _once(guest, report, cpu)
    _while_active(guest, report, cpu)
    _while_disabled(guest, report, cpu)
    _cleared(guest, report, cpu)


def _once(guest: Guest, report: Report, cpu: Cpu) -> None:
    with report.prefix("pending"):
        guest.handle_with()
        guest.strike(INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(INTID,)), "Taken once")
        guest.handle_with()
        cpu.mask_irqs()
        guest.strike(INTID)
        guest.settle()
        guest.strike(INTID)
        guest.settle()
        cpu.unmask_irqs()
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(INTID,)), "Two edges before the acknowledge are one")


def _while_active(guest: Guest, report: Report, cpu: Cpu) -> None:
    first = True

    def strike_again(cpu: Cpu) -> None:
        nonlocal first
        iar = guest.acknowledge(cpu)
        if first:
            first = False
            guest.strike(INTID)
            guest.strike(INTID)
            report.expect(not cpu.irq(), "Not signalled again until it ends")
            report.expect(guest.gic.is_pending(cpu, INTID) and guest.gic.is_active(cpu, INTID), "Pending and active")
        guest.gic.end(cpu, iar)

    with report.prefix("active"):
        guest.handle_with(strike_again)
        guest.strike(INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(INTID, INTID)), "Two edges while active are taken once")
        report.expect(not guest.gic.is_active(guest.boot, INTID), "Inactive in the end")


def _while_disabled(guest: Guest, report: Report, cpu: Cpu) -> None:
    with report.prefix("disabled"):
        guest.handle_with()
        guest.gic.disable(guest.boot, INTID)
        guest.strike(INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken")
        report.expect(guest.gic.is_pending(guest.boot, INTID), "Latched")
        guest.gic.enable(guest.boot, INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(INTID,)), "Taken when enabled")


def _cleared(guest: Guest, report: Report, cpu: Cpu) -> None:
    with report.prefix("cleared"):
        guest.handle_with()
        cpu.mask_irqs()
        guest.strike(INTID)
        guest.settle()
        guest.gic.clear_pending(cpu, INTID)
        cpu.unmask_irqs()
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken after ICPENDR")
