"""Saving a machine and going on with a rebuilt one, as a migration does.

Room:    the seam between a session and the machine's snapshots.
"""

from collections.abc import Callable

from vmm.machine import Machine


def migrate(machine: Machine, output: Callable[[int], None]) -> Machine:
    """Return the machine that goes on where `machine` was stopped with End.MARK, printing to `output`.

    Nothing is rebuilt yet: the same machine goes on.
    """
    del output
    machine.outcome = None
    return machine
