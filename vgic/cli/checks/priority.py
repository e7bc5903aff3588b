"""Which of several interrupts is taken, and which of them interrupts another's handler.

A handler can be interrupted as deep as there are list registers: in KVM an active interrupt keeps its own.
"""

from typing import Final

from vgic.cli.checks.gic import ALL_OPEN
from vgic.cli.checks.guest import NORMAL, Cpu, Guest
from vgic.cli.checks.report import Report

FIRST: Final = 40
PRIORITIES: Final = (0x60, 0xC0, 0x20, 0xA0, 0x00, 0x80)
NESTED: Final = (0xC0, 0x80, 0x40, 0x00)
IDLE: Final = 0xFF
SPURIOUS: Final = 1023


def run(guest: Guest, report: Report) -> None:
    """Order first, then what may preempt what."""
    cpu = guest.cpus[-1]
    _order(guest, report, cpu)
    _mask(guest, report, cpu)
    _not_preempted(guest, report, cpu)
    if guest.list_registers < 2:
        report.skip("nesting, binary point: at least 2 list registers needed")
        return
    _nesting(guest, report, cpu)
    _binary_point(guest, report, cpu)


def _order(guest: Guest, report: Report, cpu: Cpu) -> None:
    with report.prefix("order"):
        guest.handle_with()
        cpu.mask_irqs()
        for intid, priority in enumerate(PRIORITIES, FIRST):
            guest.add_spi(intid, cpu, priority=priority)
            guest.strike(intid)
        guest.settle()
        cpu.unmask_irqs()
        guest.settle()
        ranked = sorted(range(len(PRIORITIES)), key=PRIORITIES.__getitem__)
        wanted = guest.acks_on(cpu, intids=tuple(FIRST + n for n in ranked))
        report.equal(guest.acks(), wanted, "The most urgent is taken first")


def _mask(guest: Guest, report: Report, cpu: Cpu) -> None:
    masked, passed = FIRST, FIRST + 1
    with report.prefix("mask"):
        guest.handle_with()
        guest.add_spi(masked, cpu, priority=0x80)
        guest.add_spi(passed, cpu, priority=0x78)
        guest.gic.mask(cpu, 0x80)
        guest.strike(masked)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(intids=()), "A priority equal to PMR is masked")
        guest.strike(passed)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(passed,)), "A more urgent one is taken")
        guest.gic.mask(cpu, ALL_OPEN)
        guest.settle()
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(passed, masked)), "Raising PMR lets the other through")


def _not_preempted(guest: Guest, report: Report, cpu: Cpu) -> None:
    running, equal, lower = FIRST, FIRST + 1, FIRST + 2
    guest.add_spi(running, cpu, priority=0x80)
    guest.add_spi(equal, cpu, priority=0x80)
    guest.add_spi(lower, cpu, priority=NORMAL)
    seen: list[tuple[bool, int]] = []
    waiting: list[int] = []

    def raise_others(cpu: Cpu) -> None:
        iar = guest.acknowledge(cpu)
        if iar == running:
            guest.strike(lower)
            guest.strike(equal)
            seen.append((cpu.irq(), guest.gic.acknowledge(cpu)))
            waiting.append(guest.gic.highest_pending(cpu))
        guest.gic.end(cpu, iar)

    with report.prefix("waiting"):
        guest.handle_with(raise_others)
        guest.strike(running)
        guest.settle()
        if guest.list_registers > 1:  # one is taken by what runs
            report.equal(waiting, [equal], "HPPIR names the more urgent of those that wait")
        report.equal(seen, [(False, SPURIOUS)], "The same priority or a lower one does not preempt")
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(running, equal, lower)), "Taken afterwards, in order")


def _nesting(guest: Guest, report: Report, cpu: Cpu) -> None:
    """Each handler raises a more urgent interrupt and unmasks IRQs."""
    depth = min(guest.list_registers, len(NESTED))
    for n in range(depth):
        guest.add_spi(FIRST + n, cpu, priority=NESTED[n])
    ended: list[int] = []
    running: list[int] = []

    def nest(cpu: Cpu) -> None:
        iar = guest.acknowledge(cpu)
        running.append(guest.gic.running_priority(cpu))
        if len(running) < depth:
            guest.strike(iar + 1)
            cpu.let_preempt()
        guest.gic.end(cpu, iar)
        ended.append(iar)

    with report.prefix("nesting"):
        guest.handle_with(nest)
        guest.strike(FIRST)
        guest.settle()
        intids = tuple(range(FIRST, FIRST + depth))
        report.equal(guest.acks(), guest.acks_on(cpu, intids=intids), f"Handlers nest {depth} deep")
        report.equal(ended, list(reversed(intids)), "Each ends before the one it interrupted")
        report.equal(running, list(NESTED[:depth]), "RPR is the priority being handled")
        report.equal(guest.gic.running_priority(cpu), IDLE, "RPR is idle in the end")


def _binary_point(guest: Guest, report: Report, cpu: Cpu) -> None:
    """With BPR1 = 5 priorities 0x80 to 0x9F are one level."""
    running, same, higher = FIRST, FIRST + 1, FIRST + 2
    guest.add_spi(running, cpu, priority=0x90)
    guest.add_spi(same, cpu, priority=0x80)
    guest.add_spi(higher, cpu, priority=0x78)
    seen: list[int] = []

    def preempt(cpu: Cpu) -> None:
        iar = guest.acknowledge(cpu)
        if iar == running:
            guest.strike(same)
            seen.append(guest.gic.acknowledge(cpu))
            guest.strike(higher)
            cpu.let_preempt()
        guest.gic.end(cpu, iar)

    with report.prefix("binary-point"):
        guest.handle_with(preempt)
        guest.gic.set_binary_point(cpu, 5)
        guest.strike(running)
        guest.settle()
        guest.gic.set_binary_point(cpu, 0)
        report.equal(seen, [SPURIOUS], "A priority of the same level does not preempt")
        report.equal(guest.acks(), guest.acks_on(cpu, intids=(running, higher, same)), "One of a higher level does")
