"""What the bus asks of a device.

Room:    the floor of the devices.
Never:   knows an address: a device sees offsets.

No ABC: one would only move the mistake of a missing method from its first call, which every device's tests make,
to construction, and a method of a plain class is what compiles to a direct call.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

PAGE: Final = 0x1000


class Device:
    """`size` bytes of guest physical address space, and what lies behind them.

    Whatever a guest does, `read` and `write` return, and neither takes more than a constant amount of memory.
    """

    __slots__ = ("name", "size")

    def __init__(self, name: str, size: int) -> None:
        """`name`: how messages call it; `size` bytes from where the bus puts it."""
        self.name = name
        self.size = size

    def read(self, offset: int, size: int) -> int:
        """Return the `size` bytes (1, 2, 4 or 8) at `offset`."""
        raise NotImplementedError

    def write(self, offset: int, size: int, value: int) -> None:
        """Take the low `size` bytes (1, 2, 4 or 8) of `value` at `offset`."""
        raise NotImplementedError

    def save(self) -> dict[str, Json]:
        """Return the state that a guest can see or will see."""
        raise NotImplementedError

    def load(self, state: Mapping[str, Json]) -> None:
        """Take back what `save` returned, and drive the interrupt line as that state does.

        Errors: ConfigError, and nothing changed, if `save` cannot have written `state`.
        """
        raise NotImplementedError
