"""The real-time clock: counting, setting, the match, and what a hostile guest writes."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vmm.devices.rig import Wire, access, accesses, copy_state
from vmm.devices.pl031 import Pl031

DR, MR, LR, CR, IMSC, RIS, MIS, ICR = range(0x00, 0x20, 4)
NOW: Final = 1_700_000_000


class Clock:
    """A clock, the seconds it is shown, and its wire."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now
        self.wire = Wire()
        self.dev = Pl031(lambda: self.now, self.wire)

    def get(self, offset: int) -> int:
        return self.dev.read(offset, 4)

    def put(self, offset: int, value: int) -> None:
        self.dev.write(offset, 4, value)


def test_the_identification_is_what_kvm_unit_tests_wants() -> None:
    ids = [Clock().get(0xFE0 + 4 * n) for n in range(8)]
    assert ids == [0x31, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1]


def test_it_counts_the_machine_s_seconds_from_reset_on() -> None:
    clock = Clock()
    assert (clock.get(DR), clock.get(CR)) == (NOW, 1)
    clock.put(CR, 0)
    clock.now += 5
    assert (clock.get(DR), clock.get(CR)) == (NOW + 5, 1), "it cannot be stopped"


def test_lr_sets_it() -> None:
    clock = Clock()
    clock.put(LR, 100)
    clock.now += 7
    assert (clock.get(DR), clock.get(LR)) == (107, 100)


def test_the_counter_wraps_at_32_bits() -> None:
    clock = Clock()
    clock.put(LR, 0xFFFF_FFFF)
    clock.now += 2
    assert clock.get(DR) == 1


def test_the_match_interrupts_once_at_its_second() -> None:
    clock = Clock()
    clock.put(MR, NOW + 10)
    assert clock.dev.deadline() is None, "a masked match changes nothing"
    clock.put(IMSC, 1)
    assert clock.dev.deadline() == NOW + 10
    clock.now += 9
    clock.dev.poll()
    assert not clock.wire.high()
    clock.now += 1
    clock.dev.poll()
    assert clock.wire.high()
    assert (clock.get(RIS), clock.get(MIS), clock.dev.deadline()) == (1, 1, None)
    clock.put(ICR, 1)
    assert (clock.wire.high(), clock.get(RIS), clock.dev.deadline()) == (False, 0, None)
    clock.now += 1 << 33
    clock.dev.poll()
    assert not clock.wire.high(), "once for each write of MR or LR"


def test_a_match_that_nobody_polled_is_seen_by_the_guest_s_next_access() -> None:
    clock = Clock()
    clock.put(IMSC, 1)
    clock.put(MR, NOW + 10)
    clock.now += 60
    assert clock.get(DR) == NOW + 60
    assert clock.wire.high()


def test_a_masked_match_shows_in_ris_and_interrupts_when_unmasked() -> None:
    clock = Clock()
    clock.put(MR, NOW + 1)
    clock.now += 1
    assert (clock.get(RIS), clock.get(MIS), clock.wire.high()) == (1, 0, False)
    clock.put(IMSC, 1)
    assert clock.wire.high()
    clock.put(IMSC, 0)
    assert not clock.wire.high()


def test_a_match_of_this_very_second_interrupts_at_once() -> None:
    clock = Clock()
    clock.put(IMSC, 1)
    clock.put(MR, NOW)
    assert clock.wire.high()


def test_a_match_in_the_past_comes_after_the_counter_has_wrapped() -> None:
    clock = Clock()
    clock.put(IMSC, 1)
    clock.put(MR, NOW - 1)
    assert clock.dev.deadline() == NOW + (1 << 32) - 1


def test_setting_the_clock_moves_the_match() -> None:
    clock = Clock()
    clock.put(IMSC, 1)
    clock.put(MR, 1000)
    clock.put(LR, 990)
    assert clock.dev.deadline() == NOW + 10


def test_an_unused_clock_has_no_deadline() -> None:
    clock = Clock(now=0)
    clock.put(IMSC, 1)
    clock.dev.poll()
    assert (clock.dev.deadline(), clock.wire.high()) == (None, False)


def test_a_match_that_came_between_save_and_load_interrupts_on_load() -> None:
    clock, other = Clock(), Clock()
    clock.put(IMSC, 1)
    clock.put(MR, NOW + 5)
    state = clock.dev.save()
    other.now += 5
    other.dev.load(state)
    assert other.wire.high()


STEPS: Final = st.lists(st.one_of(accesses(0x20), st.integers(0, 1 << 34)), max_size=30)


@pytest.mark.parametrize("start", [0, NOW])
@given(before=STEPS, after=STEPS)
def test_no_access_raises_and_a_restored_clock_goes_on_alike(
    start: int, before: list[tuple[int, int, int | None] | int], after: list[tuple[int, int, int | None] | int]
) -> None:
    clock = Clock(start)
    play(clock, before)
    other = Clock(clock.now)
    copy_state(clock.dev, other.dev)
    assert play(other, after) == play(clock, after)
    assert (other.wire.high(), other.dev.save()) == (clock.wire.high(), clock.dev.save())


def play(clock: Clock, steps: list[tuple[int, int, int | None] | int]) -> list[int | None]:
    """Make the accesses, let the seconds pass; what was read."""
    seen: list[int | None] = []
    for step in steps:
        if isinstance(step, int):
            clock.now += step
            clock.dev.poll()
            assert (clock.dev.deadline() or clock.now + 1) > clock.now, "no deadline is left behind"
        else:
            seen.append(access(clock.dev, *step))
        clock.dev.check()
    return seen
