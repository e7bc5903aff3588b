"""Random walks of direct injection; a failure prints the seed and the last steps."""

import pytest

from tests.walk.direct_walk import DirectWalk

STEPS = 400


@pytest.mark.parametrize("seed", range(12))
def test_direct_walk(seed: int) -> None:
    walk = DirectWalk(seed)
    try:
        walk.run(STEPS)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}; the last steps:\n" + "\n".join(walk.steps[-20:])) from error
