"""The console: a PL011 UART whose other end is as fast as the guest.

Room:    beside the other devices.
Owns:    what was typed and not yet read.
Never:   waits, loses input, looks at baud rates or at CR's enable bits: early consoles and kvm-unit-tests set neither.
Holds:   the wire is high  <=>  RIS & IMSC is not zero.  Checked by check().
         The receive FIFO is the front of `_input`; what is behind it has not arrived yet as far as the guest can tell.
         Only the host lengthens `_input` beyond the FIFO: a guest that fills it in loopback gets an overrun.

Revision r1p5: FIFOs of 32.  Transmission takes no time, so the transmit FIFO is always empty and each write of DR is a
passage through its trigger level.  The receive timeout is immediate.  The modem's inputs say that somebody listens.
Source: DDI 0183G.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, final

from vmm.devices.device import PAGE, Json
from vmm.devices.registers import Register, RegisterDevice, primecell
from vmm.devices.saved import Saved

FIFO: Final = 32
TRIGGERS: Final = (FIFO // 8, FIFO // 4, FIFO // 2, FIFO * 3 // 4, FIFO * 7 // 8)
"""By IFLS.RXIFLSEL; the reserved values act as the reset value does."""
_RESET_TRIGGER: Final = 2

DR_OE: Final = 1 << 11
RSR_OE: Final = 1 << 3
FR_CONNECTED: Final = 1 << 2 | 1 << 1 | 1 << 0  # DCD, DSR, CTS
FR_RXFE: Final = 1 << 4
FR_RXFF: Final = 1 << 6
FR_TXFE: Final = 1 << 7
LCR_H_FEN: Final = 1 << 4
CR_LBE: Final = 1 << 7
RX: Final = 1 << 4
TX: Final = 1 << 5
RT: Final = 1 << 6
OE: Final = 1 << 10
INTERRUPTS: Final = 0x7FF


@final
class Pl011(RegisterDevice):
    """One UART; `line` is told each change of its interrupt, `output` each byte sent."""

    __slots__ = (
        "_cr",
        "_depth",
        "_ifls",
        "_imsc",
        "_input",
        "_lcr_h",
        "_level",
        "_line",
        "_output",
        "_overrun",
        "_ris",
        "_rsr",
    )

    def __init__(self, line: Callable[[bool], None], output: Callable[[int], None]) -> None:
        """Reset state, nothing typed."""
        self._line = line
        self._output = output
        self._input: deque[int] = deque()
        self._depth = 1  # of the receive FIFO, as LCR_H.FEN says
        self._level = False  # the wire, as `line` was last told
        self._overrun = False  # a byte was lost since DR was last read
        self._rsr = Register("RSR", 0x004, keeps=RSR_OE, write=self._clear_errors)
        self._lcr_h = Register("LCR_H", 0x02C, 0xFF, write=self._resize)
        self._cr = Register("CR", 0x030, 0xFF87, 0x300)
        self._ifls = Register("IFLS", 0x034, 0x3F, 0x12)
        self._imsc = Register("IMSC", 0x038, INTERRUPTS, write=self._drive)
        self._ris = Register("RIS", 0x03C, keeps=INTERRUPTS)
        super().__init__(
            "the PL011",
            PAGE,
            (
                Register("DR", 0x000, read=self._receive_one, write=self._send_one),
                self._rsr,
                Register("FR", 0x018, read=self._flags),
                Register("ILPR", 0x020, 0xFF),
                Register("IBRD", 0x024, 0xFFFF),
                Register("FBRD", 0x028, 0x3F),
                self._lcr_h,
                self._cr,
                self._ifls,
                self._imsc,
                self._ris,
                Register("MIS", 0x040, read=self._masked),
                Register("ICR", 0x044, write=self._clear),
                Register("DMACR", 0x048, 0x7),
                *primecell(part=0x011, revision=3),
            ),
        )

    def receive(self, data: bytes) -> None:
        """Somebody typed `data`; what does not fit into the FIFO arrives as the guest reads."""
        before = self._received()
        self._input.extend(data)
        if self._received() > before:
            self._arrived()

    def waiting(self) -> int:
        """Return how many bytes were typed and not yet read."""
        return len(self._input)

    # The receive FIFO

    def _received(self) -> int:
        return min(len(self._input), self._depth)

    def _trigger(self) -> int:
        if self._depth == 1:
            return 1
        select = self._ifls.value >> 3 & 7
        return TRIGGERS[select if select < len(TRIGGERS) else _RESET_TRIGGER]

    def _arrived(self) -> None:
        """At least one byte has entered the FIFO."""
        self._ris.value |= RT
        if self._received() >= self._trigger():
            self._ris.value |= RX
        self._drive()

    def _receive_one(self) -> int:
        if not self._input:
            return 0
        value = self._input.popleft()
        if self._overrun:
            self._overrun = False
            value |= DR_OE
        if len(self._input) >= self._depth:
            self._arrived()  # the next one, from behind
            return value
        if self._received() < self._trigger():
            self._ris.value &= ~RX
        if not self._input:
            self._ris.value &= ~RT
        self._drive()
        return value

    def _resize(self, lcr_h: int) -> None:
        before = self._received()
        self._depth = FIFO if lcr_h & LCR_H_FEN else 1
        if self._received() > before:
            self._arrived()

    # What the other registers do

    def _send_one(self, value: int) -> None:
        self._ris.value |= TX
        if self._cr.value & CR_LBE:
            self._loop(value & 0xFF)
        self._drive()
        self._output(value & 0xFF)

    def _loop(self, byte: int) -> None:
        if len(self._input) < self._depth:
            self._input.append(byte)
            self._arrived()
        else:
            self._overrun = True
            self._rsr.value = RSR_OE
            self._ris.value |= OE

    def _flags(self) -> int:
        received = self._received()
        empty = 0 if received else FR_RXFE
        full = FR_RXFF if received == self._depth else 0
        return FR_CONNECTED | FR_TXFE | empty | full

    def _clear_errors(self, _: int) -> None:
        self._rsr.value = 0

    def _masked(self) -> int:
        return self._ris.value & self._imsc.value

    def _clear(self, which: int) -> None:
        self._ris.value &= ~which
        self._drive()

    def _drive(self, _: int = 0) -> None:
        level = self._masked() != 0
        if level is not self._level:
            self._level = level
            self._line(level)

    # Snapshots

    def save(self) -> dict[str, Json]:
        """Return the registers, and what was typed and not yet read."""
        return {**super().save(), "overrun": self._overrun, "input": bytes(self._input).hex()}

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned, and drive the wire.  Errors: ConfigError."""
        saved = Saved(self.name, state)
        kept = self._read_kept(saved)
        overrun = saved.flag("overrun")
        typed = saved.data("input")
        saved.finish()
        self._keep(kept)
        self._overrun = overrun
        self._input = deque(typed)
        self._depth = FIFO if self._lcr_h.value & LCR_H_FEN else 1
        self._drive()

    def check(self) -> None:
        """Assert what holds."""
        assert self._level == (self._masked() != 0), "the wire is RIS & IMSC"
        assert self._depth == (FIFO if self._lcr_h.value & LCR_H_FEN else 1), "LCR_H.FEN says how deep the FIFO is"
