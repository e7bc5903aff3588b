"""Group 1 in a GICv2 guest: what IAR says to it without AckCtl, with it, and what the aliased registers do."""

from typing import Final

from vgic.cli.checks.gicv2 import GicV2
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.port import GuestError
from vgic.cli.checks.report import Report

GROUP1: Final = 40
GROUP0: Final = 41
LEGACY: Final = 1022
SPURIOUS: Final = 1023


def run(guest: Guest, report: Report) -> None:
    """One interrupt of each group, taken in each way.  Errors: GuestError on another GIC."""
    gic, cpu = guest.gic, guest.cpus[-1]
    if not isinstance(gic, GicV2):
        raise GuestError("only a GICv2 has AckCtl")
    cpu.mask_irqs()
    gic.enable_group(cpu, 1, True)
    guest.add_spi(GROUP1, cpu)
    gic.set_group(guest.boot, GROUP1, 1)
    with report.prefix("hint"):
        guest.strike(GROUP1)
        guest.settle()
        report.expect(cpu.irq() and not cpu.fiq(), "Group 1 is signalled as IRQ")
        report.equal(gic.highest_pending(cpu), LEGACY, "HPPIR gives 1022")
        report.equal(gic.acknowledge(cpu), LEGACY, "IAR gives 1022")
        report.expect(gic.is_pending(cpu, GROUP1) and not gic.is_active(cpu, GROUP1), "It stays pending")
    with report.prefix("alias"):
        report.equal(gic.highest_pending_group1(cpu), GROUP1, "AHPPIR names it")
        iar = gic.acknowledge_group1(cpu)
        report.equal(iar, GROUP1, "AIAR takes it")
        gic.end_group1(cpu, iar)
        report.expect(not gic.is_active(cpu, GROUP1), "AEOIR ends it")
    with report.prefix("AckCtl"):
        gic.acknowledge_both(cpu, True)
        guest.strike(GROUP1)
        guest.settle()
        _take(report, gic, cpu, GROUP1, "IAR takes Group 1")
        gic.acknowledge_both(cpu, False)
    with report.prefix("group0"):
        guest.add_spi(GROUP0, cpu)
        guest.strike(GROUP0)
        guest.settle()
        report.equal(gic.acknowledge_group1(cpu), SPURIOUS, "AIAR does not take it")
        _take(report, gic, cpu, GROUP0, "IAR does")


def _take(report: Report, gic: GicV2, cpu: Cpu, intid: int, what: str) -> None:
    iar = gic.acknowledge(cpu)
    report.equal(iar, intid, what)
    gic.end(cpu, iar)
