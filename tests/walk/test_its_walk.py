"""Random walks of ITSs agree with the naive model, keep every invariant, and leave nothing behind.

A failure shows the setup and the steps, cut down; `python -m tests.walk.campaign` does the same for longer.
"""

import gc
import tracemalloc
from collections import Counter
from functools import partial
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.walk import its_invariants
from tests.walk.its_naive_lpi import VALID
from tests.walk.its_pair import ITT_SIZE, ITTS, ItsPair, ItsSetup, own, words
from tests.walk.its_steps import STEPS
from tests.walk.its_walk import LRS, boot, random_steps, run, seeded, walk
from tests.walk.steps import Step, fails, shrink
from vgic.irq import Irq
from vgic.its.devices import Collection, Device, Ite

SEEDS: Final = range(45)
STEPS_A_SEED: Final = 600
LEAST: Final = 50
BYTES: Final = st.integers(0, 0xFF)
ROUNDS: Final = 300
LEAST_GROWTH: Final = 4096  # bytes, over all rounds
DOORBELL: Final = 0x1_0040


def setups() -> st.SearchStrategy[ItsSetup]:
    return st.builds(
        ItsSetup,
        vcpus=st.integers(1, 4),
        itss=st.integers(1, 3),
        lrs=st.sampled_from(LRS),
        indirect=st.booleans(),
        spread=st.booleans(),
        protected=st.booleans(),
        booted=st.booleans(),
    )


def steps() -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(Step, st.sampled_from(sorted(STEPS)), BYTES, BYTES, st.integers(0, 0xFFFF_FFFF)), max_size=40
    )


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(setup=setups(), made=steps())
def test_short_walks_agree(setup: ItsSetup, made: list[Step]) -> None:
    run(setup, made)


@pytest.mark.parametrize("seed", SEEDS)
def test_long_walks_agree(seed: int) -> None:
    seeded(seed, STEPS_A_SEED)


def test_walks_reach_what_they_are_for() -> None:
    """Together these walks deliver, overflow, run commands and have some rejected often enough to mean something."""
    pairs = [seeded(1000 + seed, STEPS_A_SEED) for seed in range(8)]
    assert sum(pair.delivered for pair in pairs) > LEAST
    assert sum(pair.model.overflowed for pair in pairs) > LEAST
    assert sum(pair.rejected for pair in pairs) > LEAST
    assert sum(pair.model.commands for pair in pairs) > LEAST * 40


def test_a_failing_walk_is_cut_down() -> None:
    """Shrinking keeps a step that fails, and drops those that have no part in it."""
    again = partial(run, ItsSetup(vcpus=1, itss=1))
    unknown = Step("no such step")
    made = [Step("enter"), Step("serve"), unknown, Step("commands")]
    assert fails(again, made)
    assert shrink(again, made) == [unknown]


def test_every_invariant_has_its_function() -> None:
    """1 to 17 are functions; the rest are asserted where commands are issued, or are laws among the steps."""
    numbers = {int(name[1:].split("_")[0]) for name in vars(its_invariants) if name[0] == "i" and name[1].isdigit()}
    assert numbers == set(range(1, 18))
    laws = {int(name.split("_")[1]) for name in STEPS if name.startswith("law_")}
    assert laws == set(range(21, 26))


def _alive() -> Counter[type]:
    """How many of the library's objects there are, of those that come and go; an SPI is one too."""
    gc.collect()
    return Counter(type(thing) for thing in gc.get_objects() if type(thing) in (Irq, Ite, Device, Collection))


def test_nothing_grows_with_the_length_of_a_walk() -> None:
    """No object that a map does not reach is alive, however long one walks."""
    before = _alive()
    pair = ItsPair(ItsSetup(vcpus=2, itss=2))
    boot(pair)
    made = random_steps(Random(5), 1500)
    for at in range(0, len(made), 500):
        walk(pair, made[at : at + 500])
        fixed = sum(len(vcpu.private) for vcpu in pair.vm.vcpus) + len(pair.dist.spis)
        devices = [device for its in pair.dist.its_list for device in its.maps.devices.values()]
        reached = {
            Irq: fixed + len(pair.dist.lpis),
            Device: len(devices),
            Ite: 0,  # made when asked for
            Collection: sum(len(its.maps.collections) for its in pair.dist.its_list),
        }
        collections = {
            id(collection) for device in devices for collection in device.collections if collection is not None
        }
        assert len(collections) <= reached[Collection]
        now = _alive()
        assert {kind: now[kind] - before[kind] for kind in reached} == reached


def test_nothing_grows_with_the_number_of_commands_and_messages() -> None:
    """Mapping, flooding, delivering and unmapping again and again takes no memory that is not given back."""
    pair = ItsPair(ItsSetup(vcpus=1, itss=1, indirect=False))
    boot(pair)
    vm, vcpu, its = pair.vm, pair.vm.vcpus[0], pair.dist.its_list[0]
    queue = own(0) + 0x4_0000
    commands = (
        words(8, 2, 4, VALID | own(0) + ITTS + 2 * ITT_SIZE),
        words(10, 2, 8200 << 32, 0),
        words(10, 2, 8201 << 32 | 1, 1),
        words(3, 2, 1),
        words(15, 2, 0),
        words(10, 2, 8202 << 32, 99),
        words(9, 0, 0, 99),
        words(8, 2),
    )

    def one_round() -> None:
        vcpu.enter()
        for n, command in enumerate(commands):
            pair.ram.write(queue + its.cwriter, command)
            vcpu.write(its.base + 0x88, 8, (its.cwriter + 32) % its.queue_size)
            if n == 2:
                for eventid in (0, 1, 0, 1, 7, 0x1_0000):
                    vm.signal_msi(its.base + DOORBELL, eventid, 2)
        vcpu.exit()

    for _ in range(10):
        one_round()
    sizes = len(pair.dist.lpis), len(vcpu.ap_list), len(its.maps.cache), len(its.maps.collections)
    tracemalloc.start()
    try:
        one_round()
        gc.collect()
        start = tracemalloc.get_traced_memory()[0]
        for _ in range(ROUNDS):
            one_round()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - start
    finally:
        tracemalloc.stop()
    assert grown < LEAST_GROWTH, f"{grown} bytes more after {ROUNDS} rounds"
    assert (len(pair.dist.lpis), len(vcpu.ap_list), len(its.maps.cache), len(its.maps.collections)) == sizes
