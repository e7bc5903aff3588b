"""Which machines there are to choose from, and a guest that is booted on one, with a device given to it.

Room:    above the boards and the checks' guest.
Holds:   event n of the device is LPI 8192 + n to the guest, or with a GICv2 SPI 40 + n.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hw import GicVersion, V4Config
from hw.arch import FIRST_LPI
from vgic.cli.checks.board import GICC_BASE, GICD_BASE, GICR_BASE
from vgic.cli.checks.gic import Gic
from vgic.cli.checks.gicv2 import GicV2
from vgic.cli.checks.gicv3 import GicV3
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.its import Its, Lpis
from vgic.cli.machines.hosted import DEVID, HostedBoard
from vgic.cli.machines.hosted2 import FIRST_VECTOR, HostedBoardV2


class HostedBoardV40(HostedBoard):
    """On a GICv4.0: vLPIs."""

    v4 = V4Config(version=GicVersion.V4_0)

    __slots__ = ()


class HostedBoardV41(HostedBoard):
    """On a GICv4.1: vLPIs and vSGIs."""

    v4 = V4Config()

    __slots__ = ()


class Kind(NamedTuple):
    """A machine."""

    name: str
    board: type[HostedBoard]
    max_cpus: int  # vCPUs


KINDS: Final[dict[str, Kind]] = {
    "2": Kind("GICv2", HostedBoardV2, 6),
    "3": Kind("GICv3", HostedBoard, 510),
    "4": Kind("GICv4.0", HostedBoardV40, 510),
    "4.1": Kind("GICv4.1", HostedBoardV41, 510),
}
"""By what the command line calls them."""


def boot(board: HostedBoard) -> Guest:
    """Return a guest on that board, which does without active SGIs if it may, as Linux does.  Errors: GuestError."""
    driver: Gic = GicV2(GICD_BASE, GICC_BASE)
    if board.has_its:
        driver = GicV3(GICD_BASE, GICR_BASE, active_sgis=False)
    return Guest(board, driver)


def assign_vectors(guest: Guest, board: HostedBoard, targets: Sequence[Cpu]) -> bool:
    """Map an event for each of `targets`, and have a vector of the device go to each; whether hardware delivers them.

    Errors: GuestError.
    """
    map_events(guest, targets)
    direct = [board.assign(vector, vector) for vector in range(len(targets))]
    guest.settle()
    return all(direct)


def map_events(guest: Guest, targets: Sequence[Cpu]) -> None:
    """Have the guest's driver make event n of the device an interrupt of `targets[n]`.  Errors: GuestError."""
    if isinstance(guest.gic, GicV2):
        for event, cpu in enumerate(targets):
            guest.add_spi(FIRST_VECTOR + event, cpu)
        return
    lpis = Lpis(guest)
    its = Its(guest)
    its.start(lpis)
    its.map_device(DEVID)
    for cpu in guest.cpus:
        its.map_collection(cpu.index, cpu)
    for event, cpu in enumerate(targets):
        lpis.configure(FIRST_LPI + event)
        its.map_event(DEVID, event, FIRST_LPI + event, cpu.index)
