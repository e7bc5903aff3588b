"""Arguments that several commands have alike.

Room:    beside the commands.
"""

import argparse
from collections.abc import Callable


def between(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a number in low..high, for argparse."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not in {low}..{high}")
        return value

    return parse
