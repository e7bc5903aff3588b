"""The UART, as Linux's amba-pl011 driver and kvm-unit-tests use it, and as a hostile guest would."""

from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vmm.devices.rig import Wire, access, accesses, copy_state
from vmm.devices.pl011 import FIFO, OE, RT, RX, TX, Pl011

DR, RSR, FR, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR = 0x00, 0x04, 0x18, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44
FEN: Final = 0x10
LBE: Final = 0x80


class Uart:
    """A UART with what it sent and its wire."""

    def __init__(self, fifo: bool = True) -> None:
        self.sent = bytearray()
        self.wire = Wire()
        self.dev = Pl011(self.wire, self.sent.append)
        if fifo:
            self.put(LCR_H, FEN | 0x60)

    def get(self, offset: int) -> int:
        return self.dev.read(offset, 4)

    def put(self, offset: int, value: int) -> None:
        self.dev.write(offset, 4, value)

    def read_all(self) -> bytes:
        """Read as drivers do: until FR.RXFE."""
        data = bytearray()
        while not self.get(FR) & 0x10:
            data.append(self.get(DR) & 0xFF)
        return bytes(data)


def test_the_identification_is_a_pl011_with_fifos_of_32() -> None:
    ids = [Uart().get(0xFE0 + 4 * n) for n in range(8)]
    assert ids == [0x11, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1]


def test_a_byte_written_before_any_set_up_is_sent() -> None:
    uart = Uart(fifo=False)
    for byte in b"boot\n":
        uart.dev.write(DR, 1, byte)
    assert uart.sent == b"boot\n"
    assert uart.get(FR) & 0xA8 == 0x80, "never full, never busy: FR.TXFE alone"


def test_a_byte_read_when_nothing_was_typed_is_zero() -> None:
    assert Uart(fifo=False).dev.read(DR, 1) == 0


def test_each_byte_sent_raises_the_transmit_interrupt_until_it_is_cleared() -> None:
    uart = Uart()
    uart.put(IMSC, TX)
    assert not uart.wire.high(), "nothing was sent yet"
    uart.put(DR, ord("x"))
    assert uart.wire.high()
    uart.put(ICR, TX)
    assert not uart.wire.high()
    uart.put(DR, ord("y"))
    assert uart.wire.high()


class Typed(NamedTuple):
    """How much is typed, with which FIFO, and FR (RXFE, RXFF) and RIS then."""

    typed: int
    fifo: bool
    ifls: int
    fr: int
    ris: int


TYPED: Final = {
    "nothing": Typed(0, True, 0x12, 0x10, 0),
    "below the trigger level": Typed(15, True, 0x12, 0, RT),
    "at the trigger level": Typed(16, True, 0x12, 0, RT | RX),
    "at the lowest trigger level": Typed(4, True, 0x00, 0, RT | RX),
    "below the highest trigger level": Typed(27, True, 0x20, 0, RT),
    "at a reserved trigger level: half": Typed(16, True, 0x38, 0, RT | RX),
    "as much as fits": Typed(32, True, 0x12, 0x40, RT | RX),
    "more than fits": Typed(1000, True, 0x12, 0x40, RT | RX),
    "one byte without the FIFO": Typed(1, False, 0x20, 0x40, RT | RX),
    "two bytes without the FIFO": Typed(2, False, 0x20, 0x40, RT | RX),
}


@pytest.mark.parametrize("row", TYPED.values(), ids=TYPED)
def test_typing(row: Typed) -> None:
    uart = Uart(row.fifo)
    uart.put(IFLS, row.ifls)
    data = bytes(n & 0xFF for n in range(row.typed))
    uart.dev.receive(data)
    assert (uart.get(FR) & 0x50, uart.get(RIS)) == (row.fr, row.ris)
    assert uart.dev.waiting() == row.typed
    assert uart.read_all() == data, "nothing is lost"
    assert uart.get(RIS) == 0, "reading everything clears both receive interrupts"


def test_reading_below_the_trigger_level_clears_the_receive_interrupt_but_not_the_timeout() -> None:
    uart = Uart()
    uart.dev.receive(bytes(16))
    uart.get(DR)
    assert uart.get(RIS) == RT


def test_input_typed_before_the_driver_unmasks_is_announced_when_it_does() -> None:
    uart = Uart(fifo=False)
    uart.dev.receive(b"x")
    assert not uart.wire.high()
    uart.put(IMSC, RX | RT)
    assert uart.wire.high()
    assert uart.get(MIS) == RX | RT
    assert uart.get(DR) == ord("x")
    assert not uart.wire.high()
    assert uart.wire.changes == 2


def test_a_handler_that_clears_first_and_then_reads_sees_all_input_and_a_quiet_wire() -> None:
    uart = Uart()
    uart.put(IMSC, RX | RT)
    uart.dev.receive(bytes(100))
    uart.put(ICR, RX | RT)
    assert not uart.wire.high()
    assert len(uart.read_all()) == 100
    assert not uart.wire.high()


def test_input_behind_a_full_fifo_raises_the_interrupt_again_when_it_arrives() -> None:
    uart = Uart()
    uart.put(IMSC, RX | RT)
    uart.dev.receive(bytes(FIFO + 1))
    uart.put(ICR, RX | RT)
    uart.get(DR)
    assert uart.wire.high(), "the 33rd byte has arrived"


def test_switching_the_fifo_on_or_off_loses_nothing() -> None:
    uart = Uart()
    uart.dev.receive(b"hello")
    uart.put(LCR_H, 0)
    uart.put(ICR, RX | RT)
    assert uart.get(FR) & 0x50 == 0x40, "a FIFO of one byte is full"
    uart.put(LCR_H, FEN)
    assert uart.get(RIS) == RT, "more bytes arrived"
    assert uart.read_all() == b"hello"


def test_loopback_returns_what_is_sent_and_overruns_when_nobody_reads() -> None:
    uart = Uart()
    uart.put(CR, 0x301 | LBE)
    for n in range(1000):
        uart.put(DR, n & 0xFF)
    assert uart.dev.waiting() == FIFO, "a guest cannot fill the host's memory"
    assert uart.get(RIS) & OE
    assert uart.get(RSR) == 8
    assert uart.get(DR) == 0x800, "the first byte, with DR.OE"
    assert uart.get(DR) == 1, "the second without"
    uart.put(RSR, 0)
    uart.put(ICR, 0x7FF)
    assert (uart.get(RSR), uart.get(RIS)) == (0, 0)
    assert len(uart.sent) == 1000


def test_typed_input_is_not_lost_to_loopback() -> None:
    uart = Uart()
    uart.put(CR, 0x301 | LBE)
    uart.dev.receive(bytes(40))
    uart.put(DR, 1)
    assert uart.read_all() == bytes(40)


def test_a_restored_uart_drives_its_wire_at_once() -> None:
    uart, other = Uart(), Uart(fifo=False)
    uart.put(IMSC, RT)
    uart.dev.receive(b"half read")
    uart.get(DR)
    copy_state(uart.dev, other.dev)
    assert other.wire.high()
    assert other.read_all() == b"alf read"
    assert not other.wire.high()


@given(
    before=st.lists(st.one_of(accesses(0x4C), st.binary(max_size=40)), max_size=30),
    after=st.lists(st.one_of(accesses(0x4C), st.binary(max_size=40)), max_size=30),
)
def test_no_access_raises_or_grows_memory_and_a_restored_uart_goes_on_alike(
    before: list[tuple[int, int, int | None] | bytes], after: list[tuple[int, int, int | None] | bytes]
) -> None:
    uart = Uart()
    typed = play(uart, before)[1]
    other = Uart()
    copy_state(uart.dev, other.dev)
    assert other.wire.high() == uart.wire.high()
    del uart.sent[:]
    seen, more = play(uart, after)
    assert play(other, after) == (seen, more)
    assert (other.sent, other.wire.high(), other.dev.save()) == (uart.sent, uart.wire.high(), uart.dev.save())
    assert uart.dev.waiting() <= typed + more + FIFO


def play(uart: Uart, steps: list[tuple[int, int, int | None] | bytes]) -> tuple[list[int | None], int]:
    """Make the accesses and type the input; what was read, and how much was typed."""
    seen: list[int | None] = []
    typed = 0
    for step in steps:
        if isinstance(step, bytes):
            uart.dev.receive(step)
            typed += len(step)
        else:
            seen.append(access(uart.dev, *step))
        uart.dev.check()
    return seen, typed
