"""A device given to a guest: what its VMM does about the device's registers and its MSI-X table.

Room:    between the board and the device; VFIO's place.
Owns:    the table that the guest sees, and the device's own, which the guest does not.
Holds:   a vector of the device is unmasked only while the guest's entry is; it then sends an event of the host's ITS.

The device's registers are mapped into the guest: an access to them is no exit.  The page of the table is not: each
write traps, which is how the VMM learns where the guest wants its interrupts.
"""

from typing import Final, final

from vgic.cli.checks.board import GITS_BASE, GITS_TRANSLATER
from vgic.cli.demos.engine import DmaEngine
from vgic.cli.demos.msix import ENTRY, MsixPort, MsixTable
from vgic.cli.machines.hosted import HostedBoard, Window

BAR: Final = 0x1000_0000
"""Where the guest finds the device's registers, ..."""
TABLE: Final = 0x1001_0000
"""... and its MSI-X table."""
HOST_TRANSLATER: Final = 0x2F03_0040
"""GITS_TRANSLATER of the host's ITS, as the device addresses it."""


@final
class AssignedDevice:
    """An engine with a frame and a vector for each vCPU of the VM on `board`."""

    __slots__ = ("_board", "_own", "direct", "engine", "shown")

    def __init__(self, board: HostedBoard) -> None:
        """Give the device to the guest, no vector being enabled."""
        self._board = board
        self.direct: list[bool | None] = [None] * board.cpus  # by vector: whether hardware delivers it, once assigned
        self._own = MsixTable(board.cpus, _ToHost(self))
        self._own.enable(True)
        self.shown = MsixTable(board.cpus, _FromGuest(self))
        self.shown.enable(True)
        self.engine = DmaEngine(board.cpus, board.ram, self._own)
        board.windows.append(Window(BAR, self.engine.size, self.engine.read, self.engine.write, traps=False))
        board.windows.append(Window(TABLE, ENTRY * board.cpus, self.shown.read, self.shown.write, traps=True))

    def guest_changed(self, vector: int) -> None:
        """The guest wrote an entry: the device's own follows.

        The first time that a vector can be sent, the host requests it and routes it to the guest's event.
        """
        address, data = self.shown.entry(vector)
        wanted = self.shown.sends(vector) and address == GITS_BASE + GITS_TRANSLATER
        if wanted and self.direct[vector] is None:
            self.direct[vector] = self._board.assign(vector, data)
        self._own.set_entry(vector, HOST_TRANSLATER, vector, not wanted)

    def device_sent(self, address: int, data: int) -> None:
        """The device wrote a message."""
        if address == HOST_TRANSLATER:
            self._board.message(data)


@final
class _FromGuest(MsixPort):
    """The table that the guest sees sends nothing: the device does."""

    def __init__(self, device: AssignedDevice) -> None:
        self._device = device

    def changed(self, vector: int) -> None:
        """The guest wrote an entry."""
        self._device.guest_changed(vector)


@final
class _ToHost(MsixPort):
    """The device's own table."""

    def __init__(self, device: AssignedDevice) -> None:
        self._device = device

    def message(self, vector: int, address: int, data: int) -> None:
        """The device sends."""
        self._device.device_sent(address, data)
