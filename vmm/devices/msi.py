"""A test device that sends message-signalled interrupts: a guest without PCI can exercise its ITS with it.

Room:    beside the other devices.
Never:   reads or writes memory: the machine's `send` carries the message to the interrupt controller.

    offset  name              meaning
    0x00    DEVID        rw   DeviceID of the messages
    0x04    EVENTID      rw   EventID: the message's data
    0x08    DOORBELL_LO  rw   where the message is written: address bits 31:0
    0x0c    DOORBELL_HI  rw   ... and bits 63:32
    0x10    SEND         wo   any write sends one message, before the write completes
    0x14    SENT         ro   messages sent so far, modulo 2^32
    0x18    RESULT       ro   what became of the last one: 1 delivered, 0 blocked, else -errno in two's complement

All registers are 32 bits wide and zero at reset; the rest of the page reads as zero.  An 8-byte write of 0x08 sets the
whole doorbell.
"""

from collections.abc import Callable
from typing import Final, final

from vmm.devices.device import PAGE
from vmm.devices.registers import W32, Register, RegisterDevice

DEVID: Final = 0x00
EVENTID: Final = 0x04
DOORBELL_LO: Final = 0x08
DOORBELL_HI: Final = 0x0C
SEND: Final = 0x10
SENT: Final = 0x14
RESULT: Final = 0x18


@final
class MsiSource(RegisterDevice):
    """The device; `send(address, event, device)` returns what RESULT shows."""

    __slots__ = ("_devid", "_doorbell_hi", "_doorbell_lo", "_eventid", "_result", "_send", "_sent")

    def __init__(self, send: Callable[[int, int, int], int]) -> None:
        """Reset state."""
        self._send = send
        self._devid = Register("DEVID", DEVID, W32)
        self._eventid = Register("EVENTID", EVENTID, W32)
        self._doorbell_lo = Register("DOORBELL_LO", DOORBELL_LO, W32)
        self._doorbell_hi = Register("DOORBELL_HI", DOORBELL_HI, W32)
        self._sent = Register("SENT", SENT, keeps=W32)
        self._result = Register("RESULT", RESULT, keeps=W32)
        super().__init__(
            "the MSI source",
            PAGE,
            (
                self._devid,
                self._eventid,
                self._doorbell_lo,
                self._doorbell_hi,
                Register("SEND", SEND, write=self._trigger),
                self._sent,
                self._result,
            ),
        )

    def _trigger(self, _: int) -> None:
        self._sent.value = self._sent.value + 1 & W32
        address = self._doorbell_hi.value << 32 | self._doorbell_lo.value
        self._result.value = self._send(address, self._eventid.value, self._devid.value) & W32
