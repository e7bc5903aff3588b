"""LPIs across migration: kvm-unit-tests' its-migration, its-pending-migration, its-migrate-unmapped-collection."""

from typing import Final

from hw.arch import FIRST_LPI
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.its import CONFIG
from vgic.cli.checks.report import Report
from vgic.cli.checks.trigger import DEV2, DEV7, EVENTS, Event, expect_lpi, setup, start

PENDING: Final = 256
"""LPIs that its-pending-migration migrates, one half on each of two CPUs."""

_TAKEN_BEFORE: Final = 8
_UNMAPPED: Final = Event(DEV2.devid, 0, FIRST_LPI, 0, 0)


def run_migration(guest: Guest, report: Report) -> None:
    """Map, migrate, trigger.

    One event is triggered before, too: if its INT were in the queue again afterwards, it would come again.
    """
    its = setup(guest)
    its.interrupt(DEV7.devid, DEV7.eventid)
    guest.settle()
    guest.handle_with()
    _migrate(guest, report)
    for event in EVENTS:
        its.interrupt(event.devid, event.eventid)
        where = f"dev{event.devid}/eventid={event.eventid} triggers LPI {event.intid} on PE #{event.cpu}"
        expect_lpi(guest, report, event, f"{where} after migration")


def run_pending_migration(guest: Guest, report: Report) -> None:
    """Make LPIs pending in the tables of two CPUs, migrate, and let the CPUs take them.

    One of the two sleeps.  The other is in the guest with its IRQs masked, so that list registers are full, and has
    taken some already: their bits, which the guest itself had set, have to be clear when the table is read again.
    """
    its = start(guest)
    lpis = its.lpis
    pes = guest.cpus[-1], guest.cpus[-2]
    pes[0].mask_irqs()
    its.map_device(DEV2.devid)
    for cpu in pes:
        its.map_collection(cpu.index, cpu)
        lpis.enable(cpu, False)
    wanted: dict[Cpu, list[int]] = {cpu: [] for cpu in guest.cpus}
    for n in range(PENDING):
        cpu, intid = pes[not n & 1], FIRST_LPI + n
        its.map_event(DEV2.devid, n, intid, cpu.index)
        lpis.configure(intid)
        lpis.set_pending(cpu, intid)
        wanted[cpu].append(intid)
    for cpu in pes:
        its.invalidate_all(cpu.index)
    for cpu in pes:
        lpis.have_pending_table_read(cpu)
    for cpu in pes:
        lpis.enable(cpu, True)
    for _ in range(_TAKEN_BEFORE):
        guest.acknowledge_and_end(pes[0])
    _migrate(guest, report)
    pes[0].unmask_irqs()
    guest.settle()
    found = {cpu: sorted(cpu.acks) for cpu in guest.cpus}
    report.expect(
        found == wanted,
        f"{PENDING // 2} LPIs on both PE0 and PE1 after migration",
        "; ".join(
            f"CPU {cpu.index}: took {len(cpu.acks)}, lacks {sorted(set(wanted[cpu]) - set(cpu.acks))[:8]}"
            for cpu in guest.cpus
        ),
    )


def run_unmapped_collection(guest: Guest, report: Report) -> None:
    """Migrate an event whose collection is not mapped yet; map that afterwards."""
    its = setup(guest)
    lpis = its.lpis
    its.map_event(_UNMAPPED.devid, _UNMAPPED.eventid, _UNMAPPED.intid, _UNMAPPED.icid)
    lpis.configure(_UNMAPPED.intid)
    _migrate(guest, report)
    its.map_collection(_UNMAPPED.icid, guest.cpus[_UNMAPPED.cpu])
    its.invalidate_all(_UNMAPPED.icid)
    its.interrupt(DEV7.devid, DEV7.eventid)
    expect_lpi(guest, report, DEV7, f"dev7/eventid= 255 triggered LPI {DEV7.intid} on PE #{DEV7.cpu}")
    config = lpis.configuration(_UNMAPPED.intid)
    report.equal(config, CONFIG, f"Config of LPI {_UNMAPPED.intid} was properly migrated")
    its.interrupt(_UNMAPPED.devid, _UNMAPPED.eventid)
    expect_lpi(guest, report, _UNMAPPED, f"dev2/eventid = 0 triggered LPI {_UNMAPPED.intid} on PE{_UNMAPPED.cpu}")


def _migrate(guest: Guest, report: Report) -> None:
    guest.migrate()
    guest.settle()
    report.info("Migration complete")
