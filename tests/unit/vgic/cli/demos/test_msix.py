"""An MSI-X table: what is sent when, and what the guest's loads and stores do to it."""

import pytest

from vgic.cli.demos.msix import CONTROL, DATA, ENTRY, MsixPort, MsixTable


class Port(MsixPort):
    def __init__(self) -> None:
        self.sent: list[tuple[int, int, int]] = []
        self.written: list[int] = []

    def message(self, vector: int, address: int, data: int) -> None:
        self.sent.append((vector, address, data))

    def changed(self, vector: int) -> None:
        self.written.append(vector)


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def table(port: Port) -> MsixTable:
    return MsixTable(3, port)


def test_after_reset_nothing_is_sent(table: MsixTable, port: Port) -> None:
    for vector in range(3):
        table.fire(vector)
        assert table.read(vector * ENTRY + CONTROL, 4) == 1, "masked"
        assert table.is_pending(vector)
    table.enable(True)
    assert port.sent == []


def test_an_unmasked_vector_sends_its_message_each_time(table: MsixTable, port: Port) -> None:
    table.enable(True)
    table.set_entry(1, 0x1_2345_6780, 7, masked=False)
    table.fire(1)
    table.fire(1)
    assert port.sent == [(1, 0x1_2345_6780, 7)] * 2
    assert not table.is_pending(1)


@pytest.mark.parametrize("by", ["mask bit", "enable"])
def test_what_had_to_wait_is_sent_once(table: MsixTable, port: Port, by: str) -> None:
    table.enable(by != "enable")
    table.set_entry(2, 0x1000, 5, masked=by == "mask bit")
    table.fire(2)
    table.fire(2)
    assert port.sent == []
    if by == "enable":
        table.enable(True)
    else:
        table.write(2 * ENTRY + CONTROL, 4, 0)
    assert port.sent == [(2, 0x1000, 5)]
    assert not table.is_pending(2)


def test_loads_see_what_was_stored(table: MsixTable, port: Port) -> None:
    table.write(ENTRY, 8, 0x1_0808_0040)
    table.write(ENTRY + DATA, 8, 0x0000_0000_0000_0009)
    assert table.entry(1) == (0x1_0808_0040, 9)
    assert [table.read(ENTRY + at, 4) for at in (0, 4, DATA, CONTROL)] == [0x0808_0040, 1, 9, 0]
    assert (table.read(ENTRY, 8), table.read(ENTRY + DATA, 8)) == (0x1_0808_0040, 9)
    assert set(port.written) == {1}
    table.write(ENTRY + 4, 4, 0)
    assert table.entry(1)[0] == 0x0808_0040


@pytest.mark.parametrize(("offset", "size"), [(3 * ENTRY, 4), (1, 4), (0, 2), (4, 8), (0, 1)])
def test_accesses_that_are_none(table: MsixTable, port: Port, offset: int, size: int) -> None:
    """Past the table, unaligned, of another width."""
    before = [table.read(at, 8) for at in range(0, 3 * ENTRY, 8)]
    table.write(offset, size, 0xFF)
    assert table.read(offset, size) == 0
    assert [table.read(at, 8) for at in range(0, 3 * ENTRY, 8)] == before
    assert port.written == []
