"""Saving a machine and going on with a rebuilt one, as a migration does.

Room:    the seam between a session and the machine's snapshots.
"""

from collections.abc import Callable

from vmm.machine import Machine
from vmm.snapshot import Through
from vmm.snapshot import migrate as rebuilt


def migrate(machine: Machine, output: Callable[[int], None]) -> Machine:
    """Return a new machine that goes on where `machine` was stopped with End.MARK, printing to `output`.

    A GICv3 goes through KVM's formats, as VMMs move it and tests of migration expect it to; a GICv2 would lose the
    lines of level interrupts that way.  Errors: SnapshotError.
    """
    return rebuilt(machine, output, Through.KVM if machine.has_gicv3 else Through.SNAPSHOT)
