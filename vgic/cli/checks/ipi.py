"""SGIs to self, to a list of CPUs, to all others: kvm-unit-tests' `ipi`.

Each must be acknowledged exactly once by every CPU it was sent to, and by no other.  A GICv2 also says who sent it.
"""

from typing import Final

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

SGI: Final = 1
RECEIVED: Final = "Interrupts received"


def run(guest: Guest, report: Report) -> None:
    """Send from the sender in each of the three ways."""
    sender = guest.sender
    guest.handle_with()
    with report.prefix("self"):
        guest.gic.send_self(sender, SGI)
        expect_acks(guest, report, [sender])
    if len(guest.cpus) < 2:
        report.skip("target-list, broadcast: at least 2 CPUs needed")
        return
    with report.prefix("target-list"):
        targets = [cpu for cpu in guest.cpus if (cpu.index ^ sender.index) & 1]
        guest.handle_with()
        guest.gic.send(sender, SGI, targets)
        expect_acks(guest, report, targets)
    with report.prefix("broadcast"):
        guest.handle_with()
        guest.gic.send_others(sender, SGI)
        expect_acks(guest, report, [cpu for cpu in guest.cpus if cpu is not sender])


def expect_acks(guest: Guest, report: Report, targets: list[Cpu]) -> None:
    """Wait, then test that each of `targets` acknowledged the SGI once, and nobody anything else: check_acked()."""
    guest.settle()
    missing = [cpu.index for cpu in targets if SGI not in cpu.acks]
    wrong = [cpu.index for cpu in guest.cpus if any(intid != SGI for intid in cpu.acks)]
    surplus = [cpu.index for cpu in guest.cpus if cpu.acks.count(SGI) > (cpu in targets)]
    spurious = [cpu.index for cpu in guest.cpus if cpu.spurious]
    deceived = [cpu.index for cpu in guest.cpus if any(sender != guest.sender.index for sender in cpu.senders)]
    report.expect(
        not (missing or wrong or surplus or spurious or deceived),
        RECEIVED,
        f"CPUs with none: {missing}; too many: {surplus}; a wrong INTID: {wrong}; a spurious one: {spurious}; "
        f"a wrong sender: {deceived}",
    )
