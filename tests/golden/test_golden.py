"""Every trace recorded on a real KVM replays, through the public interface, without a difference."""

from pathlib import Path
from typing import Final

import pytest

from vgic.cli.replay import replay_trace
from vgic.cli.report import describe
from vgic.cli.trace_file import read_trace

HERE: Final = Path(__file__).resolve().parent
TRACES: Final = {str(path.relative_to(HERE)): path for path in sorted(HERE.rglob("*.jsonl.gz"))}


@pytest.mark.parametrize("path", TRACES.values(), ids=TRACES)
def test_golden(path: Path) -> None:
    result = replay_trace(read_trace(path), limit=3)
    assert not result.mismatches, f"\n{describe(result)}"


def test_there_are_traces() -> None:
    assert TRACES, f"no trace below {HERE}"
