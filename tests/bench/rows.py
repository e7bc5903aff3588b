"""The questions asked of performance and the answers wanted: one table, read by the harness and by people.

Room:    data only.  The workloads are in test_rows.py, one test for each row, named test_<row id>.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Scale(Enum):
    """What a row's figures count."""

    UNITS = "units"  # bare method calls, see unit.py
    MS = "ms"  # milliseconds
    KB = "KB"  # 1000 bytes that tracemalloc sees


@dataclass(frozen=True, slots=True)
class Row:
    """`must`: the limit the project promises.  `goal`: what it aims at.  None: not stated."""

    must: float
    goal: float | None
    scale: Scale = Scale.UNITS


# The self-test is the unit measured as a row: anything but 1 is the harness's own error.
# A row stated "per" something divides by the count its test passes as `per`.
ROWS: Final[dict[str, Row]] = {
    "bare_method_call": Row(1.1, 1),
    "entry_exit_empty_unlocked": Row(3, 2),
    "entry_exit_empty_locked": Row(8, 6),
    "edge_spi": Row(130, 70),
    "level_spi_eoi_callback": Row(160, 90),
    "entry_exit_4_held": Row(130, 60),
    "per_queued_of_256": Row(6, 3.5),
    "sgi_broadcast_sent_per_target": Row(20, 10),
    "sgi_broadcast_complete_per_target": Row(120, 70),
    "isenabler_read": Row(90, 60),
    "isenabler_write": Row(160, 100),
    "vm_4_vcpus_960_spis_create": Row(5, None, Scale.MS),
    "vm_4_vcpus_960_spis_size": Row(600, None, Scale.KB),
}
