"""The questions asked of performance and the answers wanted: one table, read by the harness and by people.

Room:    data only.  The workloads are in test_rows.py, test_rows_v2.py, test_rows_its.py, test_rows_direct.py
         and test_rows_v4.py: one test for each row, named test_<row id>.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final


class Scale(Enum):
    """What a row's figures count."""

    UNITS = "units"  # bare method calls, see unit.py
    MS = "ms"  # milliseconds
    KB = "KB"  # 1000 bytes that tracemalloc sees


@dataclass(frozen=True, slots=True)
class Row:
    """`must`: the limit the project promises.  `goal`: what it aims at.  None: not stated.

    beside   a row measured before in the same run, which this one is compared with.
    times    of which it may take this many times as much, and
    more     this many more, in the scale of both (None: not stated).
    """

    must: float
    goal: float | None
    scale: Scale = Scale.UNITS
    beside: str | None = None
    times: float | None = None
    more: float | None = None


RATIO: Final = 1.25
"""What a GICv2 guest may cost of a GICv3 guest's figure."""

IN_ORDER: Final = 1.3
"""What an operation may cost with 50,000 mapped LPIs of what it costs with 1,000, LPI after LPI."""

AT_RANDOM: Final = 6
"""What it may cost more in random order, where the processor's caches no longer hold what is next."""


# The self-test is the unit measured as a row: anything but 1 is the harness's own error.
# A row stated "per" something divides by the count its test passes as `per`.
_OWN: Final[dict[str, Row]] = {
    "bare_method_call": Row(1.1, 1),
}
_GICV3: Final[dict[str, Row]] = {
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

# The same with a GICv2 guest, whose CPU interface is memory-mapped.
_GICV2: Final[dict[str, Row]] = {
    f"v2_{row_id}": replace(row, must=RATIO * row.must, beside=row_id, times=RATIO) for row_id, row in _GICV3.items()
}

# LPIs: 50 devices with 1,000 events each are mapped, unless the row says otherwise.
_ITS: Final[dict[str, Row]] = {
    "msi_cached": Row(40, 20),
    "msi_uncached": Row(80, 40),
    "msi_to_eoi": Row(150, 80),
    "mapti": Row(160, 90),
    "msi_cached_in_order_of_1000": Row(40, 20),
    "msi_cached_in_order_of_50000": Row(40, 20, beside="msi_cached_in_order_of_1000", times=IN_ORDER),
    "msi_cached_at_random_of_1000": Row(40, 20),
    "msi_cached_at_random_of_50000": Row(46, None, beside="msi_cached_at_random_of_1000", more=AT_RANDOM),
    "msi_uncached_in_order_of_1000": Row(80, 40),
    "msi_uncached_in_order_of_50000": Row(80, 40, beside="msi_uncached_in_order_of_1000", times=IN_ORDER),
    "msi_uncached_at_random_of_1000": Row(80, 40),
    "msi_uncached_at_random_of_50000": Row(86, None, beside="msi_uncached_at_random_of_1000", more=AT_RANDOM),
    "bytes_per_lpi": Row(0.5, None, Scale.KB),
    "bytes_per_lpi_one_event_a_device": Row(0.9, None, Scale.KB),
}

# Direct injection by GICv4.1 hardware, from the event to the guest's EOI; no hypervisor takes part.
_DIRECT: Final[dict[str, Row]] = {
    "direct_vlpi": Row(120, None),
    "direct_vsgi": Row(120, None),
    "residency_64_pending": Row(400, None),
}

# The same with the hypervisor that set it up, the VM's lock on.
_V4: Final[dict[str, Row]] = {
    "v4_vlpi": Row(120, None),
    "v4_vsgi": Row(120, None),
    "v4_residency_64_pending": Row(400, None),
}
ROWS: Final[dict[str, Row]] = _OWN | _GICV3 | _GICV2 | _ITS | _DIRECT | _V4
