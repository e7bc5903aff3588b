"""Small guests that test the interrupt controller from the inside, as kvm-unit-tests do.

Room:    below the command `vgic check`; `board` is the VMM, `guest` and `gic` the guest's kernel, one module a check.
Never:   reaches past the library's public names.
Holds:   a check starts with a new VM, so checks do not depend on each other.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from vgic.cli.checks import (
    ackctl,
    active,
    affinity,
    edge,
    eoimode,
    groups,
    introspection,
    ipi,
    level,
    migration,
    mmio,
    overflow,
    priority,
    stress,
    trigger,
)
from vgic.cli.checks.guest import Guest
from vgic.cli.checks.report import Report

V2: Final = "v2"
V3: Final = "v3"


class Check(NamedTuple):
    """What a check does, the guest that does it, on which GICs it makes sense, and how many CPUs it needs."""

    what: str
    run: Callable[[Guest, Report], None]
    gics: tuple[str, ...] = (V2, V3)
    cpus: int = 1


CHECKS: Final[dict[str, Check]] = {
    "ipi": Check("SGIs to self, to a list of CPUs, to all others", ipi.run),
    "active": Check("ICACTIVER ends an interrupt instead of EOIR", active.run),
    "edge": Check("edges that meet: before the acknowledge, while active, while disabled", edge.run),
    "level": Check("a held line, end-of-interrupt notification, resampling", level.run),
    "priority": Check("order, nesting, priority mask, binary point", priority.run),
    "eoimode": Check("priority drop and deactivation split", eoimode.run),
    "groups": Check("Group 0 as FIQ, group and distributor enables", groups.run),
    "overflow": Check("more interrupts than list registers", overflow.run),
    "affinity": Check("routing changed while pending, active, asleep; nobody there", affinity.run),
    "mmio": Check("the distributor's registers: masks, bounds, byte accesses", mmio.run, (V2,)),
    "ackctl": Check("Group 1 without system registers: 1022, AckCtl, the aliases", ackctl.run, (V2,)),
    "its-introspection": Check("what the ITS says of itself", introspection.run, (V3,), 4),
    "its-trigger": Check("INT, INV, INVALL, and the end of a device", trigger.run, (V3,), 4),
    "its-migration": Check("LPIs after migration", migration.run_migration, (V3,), 4),
    "its-pending-migration": Check("256 LPIs pending on two CPUs", migration.run_pending_migration, (V3,), 4),
    "its-migrate-unmapped-collection": Check(
        "an event whose collection is mapped after migration", migration.run_unmapped_collection, (V3,), 4
    ),
    "lpi-stress": Check("many LPIs, each accounted for", stress.run, (V3,)),
}


def checks_of(gic: str) -> list[str]:
    """Return the names of the checks that make sense on a GIC."""
    return [name for name, check in CHECKS.items() if gic in check.gics]
