"""Random walks of devices with a limit; a failure prints the seed and the last steps."""

import pytest

from tests.walk.limit_walk import FREE, LimitWalk

STEPS = 300


@pytest.mark.parametrize("seed", range(16))
def test_nothing_is_lost_and_nothing_is_too_fast(seed: int) -> None:
    walk = LimitWalk(seed)
    try:
        walk.run(STEPS)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}; the last steps:\n" + "\n".join(walk.steps[-20:])) from error
    assert walk.taken
    assert walk.arrived[FREE] == walk.naive[FREE].attempts, "a device without a limit"
