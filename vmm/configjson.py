"""A machine's configuration as JSON has it, in recordings, saved machines and reports.

Room:    beside config.
Holds:   from_json(as_json(config)) == config.  Anything else gives ConfigError, and says what is wrong.
"""

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import Final

from vmm.config import ConfigError, MachineConfig

_KINDS: Final = {field.name: type(getattr(MachineConfig(), field.name)) for field in fields(MachineConfig)}


def as_json(config: MachineConfig) -> dict[str, bool | int | str]:
    """Return each parameter by its name."""
    return {name: plain(getattr(config, name)) for name in _KINDS}


def plain(value: object) -> bool | int | str:
    """Return a parameter's value as JSON has it."""
    found = value.value if isinstance(value, Enum) else value
    assert isinstance(found, int | str)
    return found


def from_json(members: Mapping[str, object]) -> MachineConfig:
    """Return the configuration that became `members`.  Errors: ConfigError."""
    if set(members) != set(_KINDS):
        raise ConfigError(f"a configuration of {', '.join(members) or 'nothing'}; it has {', '.join(_KINDS)}")
    values = {name: _value(name, kind, members[name]) for name, kind in _KINDS.items()}
    return MachineConfig(**values)  # type: ignore[arg-type]  # each is of its field's type


def _value(name: str, kind: type, value: object) -> object:
    if issubclass(kind, Enum):
        for member in kind:
            if member.value == value:
                return member
        raise ConfigError(f"{name!r} is {value!r}, none of {', '.join(str(member.value) for member in kind)}")
    if type(value) is not kind:
        raise ConfigError(f"{name!r} is {value!r}, not of type {kind.__name__}")
    return value
