"""Small guests that test the interrupt controller from the inside, as kvm-unit-tests do.

Room:    below the command `vgic check`; `board` is the VMM, `guest` and `gic` the guest's kernel, one module a check.
Never:   reaches past the library's public names.
Holds:   a check starts with a new VM, so checks do not depend on each other.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from vgic.cli.checks import active, affinity, edge, eoimode, groups, ipi, level, overflow, priority
from vgic.cli.checks.guest import Guest
from vgic.cli.checks.report import Report


class Check(NamedTuple):
    """What a check does, and the guest that does it."""

    what: str
    run: Callable[[Guest, Report], None]


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
}
