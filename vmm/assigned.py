"""The MSI source as an assigned device: on a GICv4 host, its messages go to the guest by hardware.

Room:    beside gic, which sends through it on such a host.
Owns:    the vectors that the device has on the host, each with its eventfd and its route to the guest's ITS.
Never:   grows without bound: a device has as many vectors as it has; further messages go by software.
Holds:   what the guest sees is the same either way.

VFIO asks for a vector when the guest's driver sets one up.  This device has no such driver: each of its events gets a
vector with its first message, and goes to hardware again with the first one after the guest has mapped it anew.
"""

from typing import Final, NamedTuple, final

from vgic import EventCounter, Host, HostMsi, MsiRoute, Vgic, VgicError

VECTORS: Final = 256
_DEVID: Final = 1
"""The device's ID at the host's ITS, whatever the guest calls it."""
DELIVERED: Final = 1


class _Line(NamedTuple):
    """One vector, and what it signals."""

    vector: HostMsi
    eventfd: EventCounter


@final
class AssignedDevice:
    """The vectors of the one assigned device of a VM."""

    __slots__ = ("_doorbell", "_host", "_lines", "_routes", "_vm")

    def __init__(self, host: Host, vm: Vgic, doorbell: int) -> None:
        """No vector yet.  doorbell: the guest physical address of its GITS_TRANSLATER."""
        self._host = host
        self._vm = vm
        self._doorbell = doorbell
        self._lines: dict[tuple[int, int], _Line] = {}  # (the guest's DeviceID, EventID)
        self._routes: list[MsiRoute] = []

    def send(self, address: int, eventid: int, devid: int) -> bool:
        """Send a message by hardware; False: it has to go by software."""
        line = self._lines.get((devid, eventid))
        if line is None:
            if address != self._doorbell or len(self._lines) == VECTORS:
                return False
            line = self._new(eventid, devid)
        elif address != self._doorbell:
            return False
        if line.vector.direct is None and not self._forward(line):
            return False
        self._host.msi(line.vector)
        return True

    def _new(self, eventid: int, devid: int) -> _Line:
        """Request a vector, and route its eventfd to the guest's event."""
        number = len(self._lines)
        eventfd = EventCounter()
        vector = self._host.request_msi(_DEVID, number, vectors=VECTORS)
        self._routes.append(MsiRoute(gsi=number, address=self._doorbell, data=eventid, devid=devid))
        self._vm.set_gsi_routing(self._routes)
        self._vm.irqfd(eventfd, number)
        line = self._lines[devid, eventid] = _Line(vector, eventfd)
        return line

    def _forward(self, line: _Line) -> bool:
        """Have the vector go to the guest; False while the guest has nothing that it could go to."""
        try:
            self._vm.remove_producer(line.eventfd)  # of a forwarding that the guest's commands have ended
            self._vm.add_producer(line.eventfd, line.vector)
        except VgicError:
            return False
        return line.vector.direct is not None
