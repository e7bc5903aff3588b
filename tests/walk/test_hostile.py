"""Hostile guests raise nothing, break no invariant and make nothing grow."""

import gc
from typing import Final

import pytest

from tests.walk.hostile import attack
from tests.walk.setup import Kind

SEEDS: Final = range(20)
KINDS: Final = list(Kind)
ACCESSES_A_SEED: Final = 5_000
LEAK: Final = 300  # objects; a leak of one for each access would be thousands


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_hostile_guests(kind: Kind, seed: int) -> None:
    attack(seed, ACCESSES_A_SEED, kind)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_hostile_guests_use_no_memory(kind: Kind) -> None:
    """The objects that a VM is made of do not depend on how much its guests did."""
    counts = []
    for accesses in (1_000, 6_000):
        gc.collect()
        before = len(gc.get_objects())
        vm = attack(1, accesses, kind)
        gc.collect()
        counts.append(len(gc.get_objects()) - before)
        del vm
    assert abs(counts[1] - counts[0]) < LEAK, f"objects after 1000 and 6000 accesses: {counts}"
