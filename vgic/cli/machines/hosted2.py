"""The same with a GICv2, which has no messages: each vector of the device is an SPI, as a GICv2m frame makes of it.

Room:    beside hosted.
Owns:    the host's driver of the physical GICv2, as far as the device needs it.
"""

from collections.abc import Callable
from typing import Final

from hw import Machine, Pe, V2Config
from hw.arch import (
    GICC_CTLR_ENABLE_GRP0,
    GICD_CTLR,
    GICD_ICFGR,
    GICD_IPRIORITYR,
    GICD_ISENABLER,
    GICD_ITARGETSR,
    IAR_INTID_MASK,
    INTID_SPURIOUS,
)
from vgic import EventCounter, Host
from vgic.cli.checks.board import BoardV2
from vgic.cli.machines.hosted import HostedBoard

FIRST_VECTOR: Final = 40
"""Vector n is SPI 40 + n, to the host and to the guest."""

_FIRST_SPI: Final = 32
_OPEN: Final = 0xF0
_PRIORITY: Final = 0xA0
_W32: Final = 4


class HostedBoardV2(HostedBoard):
    """A GICv2 guest on a GICv2."""

    kind = BoardV2.kind
    has_its = BoardV2.has_its
    frames = BoardV2.frames

    __slots__ = ("_handlers",)

    def make_host(self) -> Host:
        """Return the host."""
        machine = Machine(self.spare + 1, gic=V2Config(n_lr=self.lrs))
        self._handlers: dict[int, Callable[[], None]] = {}
        machine.dist.write(GICD_CTLR, _W32, GICC_CTLR_ENABLE_GRP0)
        machine.pes[self.spare].gicc.write_pmr(_OPEN)
        machine.pes[self.spare].gicc.write_ctlr(GICC_CTLR_ENABLE_GRP0)
        self.host = Host(machine)
        return self.host

    @property
    def _pe(self) -> Pe:
        return self.host.machine.pes[self.spare]

    def assign(self, vector: int, eventid: int) -> bool:
        """Have the host take a vector's SPI, and an irqfd pass it on; `eventid` is the guest's SPI, less 40."""
        fd = EventCounter()
        intid = FIRST_VECTOR + vector
        dist = self.host.machine.dist
        edge = dist.read(GICD_ICFGR + intid // 16 * 4, _W32) | 2 << intid % 16 * 2
        dist.write(GICD_ICFGR + intid // 16 * 4, _W32, edge)
        dist.write(GICD_IPRIORITYR + intid, 1, _PRIORITY)
        dist.write(GICD_ITARGETSR + intid, 1, 1 << self.spare)
        dist.write(GICD_ISENABLER + intid // 32 * 4, _W32, 1 << intid % 32)
        self._handlers[intid] = self._handler(fd)
        self.vm.irqfd(fd, FIRST_VECTOR + eventid - _FIRST_SPI)
        return False

    def send(self, vector: int) -> None:
        """The device pulses the line of a vector; the host takes it."""
        dist, gicc = self.host.machine.dist, self._pe.gicc
        dist.set_line(FIRST_VECTOR + vector, True)
        dist.set_line(FIRST_VECTOR + vector, False)
        while self._pe.irq():
            intid = gicc.iar(False) & IAR_INTID_MASK
            gicc.eoir(intid)
            if intid == INTID_SPURIOUS:
                break
            self._handlers[intid]()
