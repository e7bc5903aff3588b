"""Random walks agree with the naive model, whatever the machine, the guests and the devices do.

A failure shows the setup and the steps, cut down; `python -m tests.walk.campaign` does the same for longer.
"""

from functools import partial
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.walk.pair_v2 import PairV2
from tests.walk.setup import Kind, Setup
from tests.walk.steps import Step, fails, shrink
from tests.walk.walk import LRS, STEPS, run, seeded

SEEDS: Final = range(40)
KINDS: Final = list(Kind)
STEPS_A_SEED: Final = 1000
LEAST_DELIVERED: Final = 50
BYTES: Final = st.integers(0, 0xFF)


def setups() -> st.SearchStrategy[Setup]:
    return st.builds(
        Setup,
        vcpus=st.integers(1, 4),
        cpus=st.integers(1, 2),
        lrs=st.sampled_from(LRS),
        pri_bits=st.integers(5, 8),
        pre_bits=st.just(5),
        trapped=st.booleans(),
        spread=st.booleans(),
        booted=st.booleans(),
        tied=st.booleans(),
        kind=st.sampled_from(KINDS),
    )


def steps() -> st.SearchStrategy[list[Step]]:
    return st.lists(
        st.builds(Step, st.sampled_from(sorted(STEPS)), BYTES, BYTES, st.integers(0, 0xFFFF_FFFF)), max_size=60
    )


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(setup=setups(), walk=steps())
def test_short_walks_agree(setup: Setup, walk: list[Step]) -> None:
    run(setup, walk)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_long_walks_agree(kind: Kind, seed: int) -> None:
    seeded(seed, STEPS_A_SEED, kind)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_walks_reach_what_they_are_for(kind: Kind) -> None:
    """Together these walks acknowledge, and overflow the list registers, often enough to mean something."""
    pairs = [seeded(1000 + seed, STEPS_A_SEED, kind) for seed in range(4)]
    assert sum(pair.delivered for pair in pairs) > LEAST_DELIVERED
    assert sum(pair.model.overflowed for pair in pairs) > LEAST_DELIVERED
    if kind is not Kind.V3:
        assert sum(pair.model.several for pair in pairs) > LEAST_DELIVERED
        assert sum(pair.ledger.delivered for pair in pairs if isinstance(pair, PairV2)) > LEAST_DELIVERED


def test_a_failing_walk_is_cut_down() -> None:
    """Shrinking keeps a step that fails, and drops those that have no part in it."""
    again = partial(run, Setup(vcpus=1, cpus=1))
    unknown = Step("no such step")
    walk = [Step("enter"), Step("serve"), unknown, Step("leave")]
    assert fails(again, walk)
    assert shrink(again, walk) == [unknown]
