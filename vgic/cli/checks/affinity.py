"""IROUTER or ITARGETSR changed under an interrupt: pending ones move, active ones stay, and nobody's wait.

KVM moves a pending interrupt when the CPU that holds it next leaves the guest, and gives one that lost its
target only when something touches it again; the architecture promises no more.
"""

from typing import Final

from vgic.cli.checks.gic import ALL_OPEN
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

INTID: Final = 40
HELD: Final = 41


def run(guest: Guest, report: Report) -> None:
    """Route to everybody, to nobody, and from one CPU to another."""
    guest.add_spi(INTID, guest.boot)
    _everybody(guest, report)
    _nobody(guest, report)
    if len(guest.cpus) < 2:
        report.skip("pending, active, asleep: at least 2 CPUs needed")
        return
    old, new = guest.boot, guest.cpus[-1]
    _pending(guest, report, old, new)
    _active(guest, report, old, new)
    _asleep(guest, report, old, new)


def _everybody(guest: Guest, report: Report) -> None:
    guest.handle_with()
    for cpu in guest.cpus:
        guest.gic.route(guest.boot, INTID, cpu)
        guest.strike(INTID)
        guest.settle()
    with report.prefix("routed"):
        report.equal(guest.acks(), guest.acks_on(*guest.cpus, intids=(INTID,)), "Taken by each CPU in its turn")


def _nobody(guest: Guest, report: Report) -> None:
    gic, boot = guest.gic, guest.boot
    with report.prefix("nobody"):
        guest.handle_with()
        gic.route_to_nobody(boot, INTID)
        guest.strike(INTID)
        guest.tick()
        if gic.nobody is not None:
            stand_in = guest.cpus[gic.nobody]
            report.equal(guest.acks(), guest.acks_on(stand_in, intids=(INTID,)), f"Taken by CPU {gic.nobody} instead")
            return
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken if no CPU has the affinity")
        report.expect(gic.is_pending(boot, INTID), "Still pending")
        gic.route(boot, INTID, boot)
        gic.enable(boot, INTID)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(boot, intids=(INTID,)), "Taken once routed and looked at again")


def _pending(guest: Guest, report: Report, old: Cpu, new: Cpu) -> None:
    with report.prefix("pending"):
        guest.handle_with()
        guest.gic.route(old, INTID, old)
        old.mask_irqs()
        guest.strike(INTID)
        guest.settle()
        report.expect(old.irq(), "Signalled to the old CPU")
        guest.gic.route(old, INTID, new)
        guest.tick()
        report.equal(guest.acks(), guest.acks_on(new, intids=(INTID,)), "Taken by the new CPU")
        report.expect(not old.irq(), "No longer signalled to the old CPU")
        old.unmask_irqs()
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(new, intids=(INTID,)), "Taken once")


def _active(guest: Guest, report: Report, old: Cpu, new: Cpu) -> None:
    """The old CPU's handler routes a held line away; the new one's quiets the device."""
    active: list[bool] = []

    def route_away_or_quiet(cpu: Cpu) -> None:
        iar = guest.acknowledge(cpu)
        if cpu is old:
            guest.gic.route(cpu, HELD, new)
            guest.tick()
            active.append(guest.gic.is_active(cpu, HELD))
        else:
            cpu.device(HELD, False)
        guest.gic.end(cpu, iar)

    with report.prefix("active"):
        guest.add_spi(HELD, old, level=True)
        guest.handle_with(route_away_or_quiet)
        guest.drive(HELD, True)
        guest.settle()
        report.equal(active, [True], "Stays with the old CPU until it ends")
        report.equal(guest.acks(), guest.acks_on(old, new, intids=(HELD,)), "Taken next by the new CPU")
        report.expect(not guest.gic.is_active(new, HELD), "Inactive in the end")


def _asleep(guest: Guest, report: Report, old: Cpu, new: Cpu) -> None:
    """The old CPU sleeps with the interrupt masked by its PMR; the new one routes it to itself."""
    with report.prefix("asleep"):
        guest.handle_with()
        guest.gic.route(new, INTID, old)
        guest.gic.mask(old, 0)
        guest.settle()
        guest.strike(INTID)
        guest.settle()
        guest.gic.route(new, INTID, new)
        guest.tick()
        report.equal(guest.acks(), guest.acks_on(intids=()), "Not taken while the old CPU sleeps, as in KVM")
        guest.gic.mask(old, ALL_OPEN)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(new, intids=(INTID,)), "Taken by the new CPU when the old one wakes")
