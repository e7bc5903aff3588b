"""The MSI source: what a guest's registers make it send, and what it shows of the outcome."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vmm.devices.rig import access, accesses, copy_state
from vmm.devices.msi import DEVID, DOORBELL_HI, DOORBELL_LO, EVENTID, RESULT, SEND, SENT, MsiSource


class Source:
    """A source, the messages it sent, and what becomes of the next one."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int, int]] = []
        self.outcome = 1
        self.dev = MsiSource(self.send)

    def send(self, address: int, event: int, device: int) -> int:
        self.sent.append((address, event, device))
        return self.outcome


def test_a_write_of_send_sends_what_the_other_registers_say() -> None:
    source = Source()
    source.dev.write(DEVID, 4, 7)
    source.dev.write(EVENTID, 4, 12)
    source.dev.write(DOORBELL_LO, 4, 0x08090040)
    source.dev.write(DOORBELL_HI, 4, 0x1)
    assert source.sent == []
    source.dev.write(SEND, 4, 0)
    assert source.sent == [(0x1_0809_0040, 12, 7)]


def test_the_doorbell_is_set_by_one_doubleword() -> None:
    source = Source()
    source.dev.write(DOORBELL_LO, 8, 0x1234_5678_9ABC_DEF0)
    source.dev.write(SEND, 1, 1)
    assert source.sent == [(0x1234_5678_9ABC_DEF0, 0, 0)]


OUTCOMES: Final = {"delivered": (1, 1), "blocked": (0, 0), "an errno": (-22, 0xFFFF_FFEA)}


@pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES)
def test_sent_and_result_tell_what_became_of_it(outcome: tuple[int, int]) -> None:
    source = Source()
    source.outcome, shown = outcome
    for count in (1, 2):
        source.dev.write(SEND, 4, 0)
        assert (source.dev.read(SENT, 4), source.dev.read(RESULT, 4)) == (count, shown)
    source.dev.write(SENT, 8, 0)
    assert source.dev.read(SENT, 8) == shown << 32 | 2, "both are read-only"


def test_send_reads_as_zero() -> None:
    assert Source().dev.read(SEND, 4) == 0


@given(before=st.lists(accesses(0x20), max_size=20), after=st.lists(accesses(0x20), max_size=20))
def test_no_access_raises_and_a_restored_source_goes_on_alike(
    before: list[tuple[int, int, int | None]], after: list[tuple[int, int, int | None]]
) -> None:
    source, other = Source(), Source()
    for step in before:
        access(source.dev, *step)
    sent = len(source.sent)
    copy_state(source.dev, other.dev)
    assert other.sent == [], "loading sends nothing"
    for step in after:
        assert access(source.dev, *step) == access(other.dev, *step)
    assert (other.sent, other.dev.save()) == (source.sent[sent:], source.dev.save())
