"""Walks and hostile guests for as long as one likes: python -m tests.walk.campaign --steps 1000000 --seed 1

    --steps     steps of random walks beside the naive model (default 1000000)
    --its-steps steps of random walks with ITSs beside theirs (default 300000)
    --accesses  accesses by hostile guests (default 1000000)
    --seed      the first seed; each walk has its own (default 1)

Every kind of VM has its turn.  Prints a line now and then; a failure prints its seed, the last steps and the walk cut
down, and exits with 1.
"""

import argparse
import sys

from tests.walk import its_walk
from tests.walk.hostile import HostileError, attack
from tests.walk.steps import WalkError
from tests.walk.walk import seeded

STEPS_A_WALK = 1000
ACCESSES_A_GUEST = 10_000
WALKS_A_LINE = 50


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def campaign_its(seed: int, steps: int) -> None:
    """Raises WalkError."""
    delivered = commands = 0
    walks = -(-steps // STEPS_A_WALK)
    for n in range(walks):
        pair = its_walk.seeded(seed + n, STEPS_A_WALK)
        delivered += pair.delivered
        commands += pair.model.commands
        if (n + 1) % WALKS_A_LINE == 0 or n + 1 == walks:
            done = (n + 1) * STEPS_A_WALK
            say(f"{done} steps with ITSs, seeds {seed}..{seed + n}: {commands} commands, {delivered} LPIs delivered")


def campaign(seed: int, steps: int, accesses: int) -> None:
    """Raises WalkError or HostileError."""
    delivered = overflowed = several = 0
    walks = -(-steps // STEPS_A_WALK)
    for n in range(walks):
        pair = seeded(seed + n, STEPS_A_WALK)
        delivered += pair.delivered
        overflowed += pair.model.overflowed
        several += pair.model.several
        if (n + 1) % WALKS_A_LINE == 0 or n + 1 == walks:
            done = (n + 1) * STEPS_A_WALK
            found = f"{delivered} delivered, {overflowed} overflows, {several} times an SGI from several CPUs"
            say(f"{done} steps, seeds {seed}..{seed + n}: {found}")
    guests = -(-accesses // ACCESSES_A_GUEST)
    for n in range(guests):
        attack(seed + n, ACCESSES_A_GUEST)
        if (n + 1) % WALKS_A_LINE == 0 or n + 1 == guests:
            say(f"{(n + 1) * ACCESSES_A_GUEST} hostile accesses, seeds {seed}..{seed + n}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Random walks beside the naive models, and hostile guests.")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--its-steps", type=int, default=300_000)
    parser.add_argument("--accesses", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        campaign(options.seed, options.steps, options.accesses)
        campaign_its(options.seed, options.its_steps)
    except (WalkError, HostileError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
