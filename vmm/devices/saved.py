"""Reading back one device's saved state, which anybody may have edited since.

Room:    below the devices.
Never:   changes a device: a device takes over the values once all of them were found good.
"""

from collections.abc import Mapping, Sequence
from typing import final

from vmm.config import ConfigError
from vmm.devices.device import Json

_SHOWN = 40


@final
class Saved:
    """The members of one saved state; each is asked for once, by name.  Every method raises ConfigError."""

    __slots__ = ("_device", "_left")

    def __init__(self, device: str, state: Mapping[str, Json]) -> None:
        """`device`: whose state it is, for messages."""
        self._device = device
        self._left = dict(state)

    def number(self, name: str, mask: int) -> int:
        """Return a number that has no bits outside `mask`."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int) or value & ~mask:
            raise self._refusal(name, value, f"a number within {mask:#x}")
        return value

    def number_or_none(self, name: str, mask: int) -> int | None:
        """Return a number as `number` does, or None."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return None
        return self.number(name, mask)

    def flag(self, name: str) -> bool:
        """Return a flag."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise self._refusal(name, value, "true or false")
        return value

    def data(self, name: str) -> bytes:
        """Return bytes, written as `bytes.hex` does."""
        value = self._take(name)
        if isinstance(value, str):
            try:
                return bytes.fromhex(value)
            except ValueError:
                pass
        raise self._refusal(name, value, "pairs of hexadecimal digits")

    def word(self, name: str, words: Sequence[str]) -> str:
        """Return one of `words`."""
        value = self._take(name)
        if isinstance(value, str) and value in words:
            return value
        raise self._refusal(name, value, f"one of {', '.join(words)}")

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._take(name)
        if isinstance(value, str):
            return value
        raise self._refusal(name, value, "a text")

    def items(self, name: str) -> list[Json]:
        """Return a list."""
        value = self._take(name)
        if isinstance(value, list):
            return value
        raise self._refusal(name, value, "a list")

    def members(self, name: str) -> Mapping[str, Json]:
        """Return a record's members."""
        value = self._take(name)
        if isinstance(value, dict):
            return value
        raise self._refusal(name, value, "a record")

    def records(self, name: str, count: int) -> list[Mapping[str, Json]]:
        """Return the members of each of `count` records."""
        value = self._take(name)
        if not isinstance(value, list) or len(value) != count:
            raise self._refusal(name, value, f"a list of {count} records")
        records: list[Mapping[str, Json]] = []
        for record in value:
            if not isinstance(record, dict):
                raise self._refusal(name, record, "a record")
            records.append(record)
        return records

    def finish(self) -> None:
        """Everything was asked for: what is left does not belong here."""
        for name, value in self._left.items():
            raise self._refusal(name, value, "known")

    def _take(self, name: str) -> Json:
        if name not in self._left:
            raise ConfigError(f"the saved state of {self._device} has no {name}")
        return self._left.pop(name)

    def _refusal(self, name: str, value: Json, wanted: str) -> ConfigError:
        shown = repr(value)
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "..."
        return ConfigError(f"the saved state of {self._device}: {name} is {shown}, not {wanted}")
