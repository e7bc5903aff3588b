"""Group 0 is signalled as FIQ; a group that is off, or a distributor, keeps what is pending."""

from typing import Final

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

INTID: Final = 40
SPURIOUS: Final = 1023


def run(guest: Guest, report: Report) -> None:
    """Move one SPI between the groups, and switch off what would signal it."""
    cpu = guest.cpus[-1]
    for each in guest.cpus:
        guest.gic.separate_groups(each)
    guest.add_spi(INTID, cpu)
    guest.gic.set_group(guest.boot, INTID, 1)
    _group0(guest, report, cpu)
    _group_off(guest, report, cpu)
    _distributor_off(guest, report, cpu)


def _group0(guest: Guest, report: Report, cpu: Cpu) -> None:
    gic = guest.gic
    with report.prefix("group0"):
        guest.handle_with()
        gic.set_group(guest.boot, INTID, 0)
        cpu.mask_irqs()
        guest.strike(INTID)
        guest.settle()
        report.equal((cpu.irq(), cpu.fiq()), (False, False), "Silent while Group 0 is off")
        gic.enable_group(cpu, 0, True)
        report.equal((cpu.irq(), cpu.fiq()), (False, True), "Signalled as FIQ")
        report.equal(gic.acknowledge(cpu), SPURIOUS, "IAR1 does not take it")
        iar = gic.acknowledge_group0(cpu)
        report.equal(iar, INTID, "IAR0 takes it")
        gic.end_group0(cpu, iar)
        report.expect(not cpu.fiq() and not gic.is_active(cpu, INTID), "EOIR0 ends it")
        gic.enable_group(cpu, 0, False)
        gic.set_group(guest.boot, INTID, 1)
        cpu.unmask_irqs()
        guest.settle()


def _group_off(guest: Guest, report: Report, cpu: Cpu) -> None:
    with report.prefix("group1"):
        guest.handle_with()
        guest.gic.enable_group(cpu, 1, False)
        guest.strike(INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken while Group 1 is off")
        guest.gic.enable_group(cpu, 1, True)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(INTID,)), "Taken when it is on again")


def _distributor_off(guest: Guest, report: Report, cpu: Cpu) -> None:
    """KVM looks at such an interrupt only when something else touches it: here ISENABLER."""
    gic, boot = guest.gic, guest.boot
    with report.prefix("distributor"):
        guest.handle_with()
        gic.enable_distributor(boot, False)
        guest.strike(INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken while the distributor is off")
        gic.enable_distributor(boot, True)
        gic.enable(boot, INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(INTID,)), "Taken when it is on and looked at again")
