"""The DMA test engine: its commands, what it may not reach, and its interrupt."""

from typing import Final

import pytest

from vgic import Ram
from vgic.cli.demos import engine
from vgic.cli.demos.engine import (
    BEGIN,
    COMMAND,
    COPY,
    DONE,
    END,
    FAULT,
    FILL,
    FRAME,
    IDLE,
    MISCONFIGURED,
    STATUS,
    SUM,
    TARGET,
    TRANSACTIONS,
    VALUE,
    VECTOR,
    DmaEngine,
)
from vgic.cli.demos.msix import MsixPort, MsixTable

RAM: Final = 0x4000_0000


class Rig(MsixPort):
    def __init__(self) -> None:
        self.sent: list[int] = []
        self.ram = Ram()
        self.ram.add(RAM, 0x1000)
        self.msix = MsixTable(2, self)
        self.msix.enable(True)
        for vector in range(2):
            self.msix.set_entry(vector, 0, vector, masked=False)
        self.engine = DmaEngine(2, self.ram, self.msix)

    def message(self, vector: int, address: int, data: int) -> None:
        self.sent.append(vector)

    def start(self, command: int, begin: int, size: int, target: int = 0, value: int = 0, frame: int = 0) -> int:
        """Start a transaction; its status."""
        at = frame * FRAME
        for register, content in ((BEGIN, begin), (END, begin + size - 1), (TARGET, target), (VALUE, value)):
            self.engine.write(at + register, 8, content)
        self.engine.write(at + VECTOR, 4, frame)
        self.engine.write(at + COMMAND, 4, command)
        return self.engine.read(at + STATUS, 4)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_after_reset_it_is_idle(rig: Rig) -> None:
    assert (rig.engine.read(STATUS, 4), rig.engine.read(TRANSACTIONS, 4)) == (IDLE, 0)


def test_copy(rig: Rig) -> None:
    data = bytes(range(32))
    rig.ram.write(RAM, data)
    assert rig.start(COPY, RAM, 32, RAM + 0x100) == DONE
    assert rig.ram.read(RAM + 0x100, 40) == data + bytes(8)
    assert rig.engine.read(VALUE, 8) == sum(int.from_bytes(data[n : n + 8], "little") for n in range(0, 32, 8))
    assert rig.sent == [0]


def test_fill_is_drand48s_sequence(rig: Rig) -> None:
    assert rig.start(FILL, RAM, 16, value=1) == DONE
    first = 0x5DEECE66D + 0xB
    second = (first * 0x5DEECE66D + 0xB) & 0xFFFF_FFFF_FFFF
    assert rig.ram.read(RAM, 16) == first.to_bytes(8, "little") + second.to_bytes(8, "little")
    assert rig.engine.read(VALUE, 8) == first + second


def test_sum_moves_nothing(rig: Rig) -> None:
    rig.ram.write(RAM, b"\xff" * 16)
    assert rig.start(SUM, RAM, 16) == DONE
    assert rig.engine.read(VALUE, 8) == (2 * (2**64 - 1)) & (2**64 - 1)
    assert rig.ram.read(RAM + 16, 16) == bytes(16)


@pytest.mark.parametrize(
    ("command", "begin", "size", "target", "status"),
    [
        (COPY, RAM, 16, 0x1000, FAULT),
        (COPY, 0x1000, 16, RAM, FAULT),
        (COPY, RAM + 0xFF8, 16, RAM, FAULT),
        (FILL, 0x1000, 16, 0, FAULT),
        (SUM, 0x1000, 16, 0, FAULT),
        (SUM, RAM, 15, 0, MISCONFIGURED),
        (SUM, RAM + 4, 16, 0, MISCONFIGURED),
        (SUM, RAM, 0, 0, MISCONFIGURED),
        (SUM, RAM, (1 << 20) + 8, 0, MISCONFIGURED),
        (9, RAM, 16, 0, MISCONFIGURED),
    ],
)
def test_what_goes_wrong_is_a_status_and_an_interrupt(
    rig: Rig, command: int, begin: int, size: int, target: int, status: int
) -> None:
    assert rig.start(command, begin, size, target) == status
    assert rig.sent == [0]
    assert rig.ram.read(RAM, 0x1000) == bytes(0x1000)


def test_frames_are_apart(rig: Rig) -> None:
    assert rig.start(FILL, RAM, 8, frame=1) == DONE
    assert rig.start(FILL, RAM, 8, frame=1) == DONE
    assert [rig.engine.read(n * FRAME + TRANSACTIONS, 4) for n in range(2)] == [0, 2]
    assert rig.sent == [1, 1]
    assert rig.engine.size == 2 * FRAME


def test_registers_have_their_width_and_some_only_tell(rig: Rig) -> None:
    rig.engine.write(STATUS, 4, 7)
    rig.engine.write(TRANSACTIONS, 4, 7)
    rig.engine.write(BEGIN, 4, 7)
    rig.engine.write(0x30, 4, 7)
    assert [rig.engine.read(at, 4) for at in (STATUS, TRANSACTIONS, BEGIN, 0x30)] == [0] * 4
    assert rig.engine.read(BEGIN, 8) == 0


def test_a_vector_that_is_none_is_not_fired(rig: Rig) -> None:
    rig.engine.write(VECTOR, 4, 2)
    rig.engine.write(COMMAND, 4, engine.SUM)
    assert rig.sent == []
