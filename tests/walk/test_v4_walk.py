"""Random walks of a guest on GICv4 and on GICv3 at once; a failure prints the seed and the last steps."""

import pytest

from hw import GicVersion
from tests.walk.v4_walk import V4Walk

STEPS = 250


@pytest.mark.parametrize("version", [GicVersion.V4_1, GicVersion.V4_0])
@pytest.mark.parametrize("seed", range(24))
def test_the_guest_cannot_tell(seed: int, version: GicVersion) -> None:
    walk = V4Walk(seed, version)
    try:
        walk.run(STEPS)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}; the last steps:\n" + "\n".join(walk.steps[-20:])) from error
