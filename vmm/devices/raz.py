"""A page that reads as zero.

Room:    beside the other devices.
"""

from collections.abc import Mapping
from typing import final

from vmm.devices.device import PAGE, Device, Json
from vmm.devices.saved import Saved


@final
class RazWi(Device):
    """Reads as zero, ignores writes: what a guest finds where it looks for a device that is not there."""

    __slots__ = ()

    def __init__(self, size: int = PAGE, name: str = "an empty page") -> None:
        """`size` bytes of nothing."""
        super().__init__(name, size)

    def read(self, offset: int, size: int) -> int:
        """Return zero."""
        return 0

    def write(self, offset: int, size: int, value: int) -> None:
        """Do nothing."""

    def save(self) -> dict[str, Json]:
        """Return that there is no state."""
        return {}

    def load(self, state: Mapping[str, Json]) -> None:
        """Check that there is no state.  Errors: ConfigError."""
        Saved(self.name, state).finish()
