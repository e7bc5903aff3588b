"""Commands make LPIs: kvm-unit-tests' `its-trigger`, and the setup it shares with its-migration."""

from typing import Final, NamedTuple

from hw.arch import FIRST_LPI
from vgic.cli.checks.guest import Guest
from vgic.cli.checks.its import CONFIG, CONFIG_ENABLE, Its, Lpis
from vgic.cli.checks.report import Report


class Event(NamedTuple):
    """An event of a device, and the LPI, the collection and the CPU it is mapped to."""

    devid: int
    eventid: int
    intid: int
    icid: int
    cpu: int


DEV2: Final = Event(2, 20, FIRST_LPI + 3, 3, 3)
DEV7: Final = Event(7, 255, FIRST_LPI + 4, 2, 2)
EVENTS: Final = (DEV2, DEV7)


def run(guest: Guest, report: Report) -> None:
    """Map; then INT, alone and together with INV, INVALL and the end of a device."""
    its = setup(guest)
    lpis = its.lpis
    with report.prefix("int"):
        for event in EVENTS:
            its.interrupt(event.devid, event.eventid)
            what = f"dev={event.devid}, eventid={event.eventid:<3} -> lpi= {event.intid}, col={event.icid}"
            expect_lpi(guest, report, event, what)
    with report.prefix("inv/invall"):
        lpis.configure(DEV2.intid, CONFIG & ~CONFIG_ENABLE)
        its.invalidate(DEV2.devid, DEV2.eventid)
        its.interrupt(DEV2.devid, DEV2.eventid)
        expect_lpi(guest, report, None, "dev2/eventid=20 does not trigger any LPI")
        lpis.configure(DEV2.intid)
        its.interrupt(DEV2.devid, DEV2.eventid)
        its.invalidate_all(DEV2.icid)
        expect_lpi(guest, report, DEV2, "dev2/eventid=20 pending LPI is received")
        its.interrupt(DEV2.devid, DEV2.eventid)
        expect_lpi(guest, report, DEV2, "dev2/eventid=20 now triggers an LPI")
    with report.prefix("mapd valid=false"):
        its.unmap_device(DEV2.devid)
        its.interrupt(DEV2.devid, DEV2.eventid)
        expect_lpi(guest, report, None, "no LPI after device unmap")


def start(guest: Guest) -> Its:
    """Enable LPIs on all CPUs, and the ITS: its_enable_defaults().  Errors: GuestError."""
    guest.handle_with()
    its = Its(guest)
    its.start(Lpis(guest))
    return its


def setup(guest: Guest) -> Its:
    """Two devices, an event of each, two collections: its_setup1().  Errors: GuestError."""
    its = start(guest)
    for event in EVENTS:
        its.lpis.configure(event.intid)
    for event in EVENTS:
        its.map_device(event.devid)
    for event in EVENTS:
        its.map_collection(event.icid, guest.cpus[event.cpu])
    for event in EVENTS:
        its.invalidate_all(event.icid)
    for event in EVENTS:
        its.map_event(event.devid, event.eventid, event.intid, event.icid)
    return its


def expect_lpi(guest: Guest, report: Report, event: Event | None, what: str) -> None:
    """Wait, then test that the LPI of `event` was taken once by its CPU, and nothing else; then forget it."""
    guest.settle()
    wanted = guest.acks_on(intids=()) if event is None else guest.acks_on(guest.cpus[event.cpu], intids=(event.intid,))
    found = guest.acks()
    report.expect(found == wanted, what, f"INTIDs taken by each CPU: {found}, expected {wanted}")
    guest.handle_with()
