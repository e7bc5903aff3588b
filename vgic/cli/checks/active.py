"""ICACTIVER ends an interrupt in place of EOIR: kvm-unit-tests' `active`.

The interrupt must not come back, although its priority is never dropped.
"""

from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.ipi import SGI, expect_acks
from vgic.cli.checks.report import Report


def run(guest: Guest, report: Report) -> None:
    """Send an SGI to self; the handler clears its active state and returns."""
    sender = guest.sender
    seen: list[tuple[bool, bool]] = []

    def clear_active(cpu: Cpu) -> None:
        if guest.gic.intid(guest.acknowledge(cpu)) == SGI:
            before = guest.gic.is_active(cpu, SGI)
            guest.gic.clear_active(cpu, SGI)
            seen.append((before, guest.gic.is_active(cpu, SGI)))

    guest.handle_with(clear_active)
    with report.prefix("self"):
        guest.gic.send_self(sender, SGI)
        expect_acks(guest, report, [sender])
        report.equal(seen, [(True, False)], "ISACTIVER follows: active in the handler, not after ICACTIVER")
