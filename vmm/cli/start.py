"""What a run begins with: a machine that is switched on with images, or one that was saved.

Room:    below launch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from vmm.cli.console import Console
from vmm.cli.files import hashes
from vmm.cli.options import UsageError
from vmm.config import ConfigError, MachineConfig
from vmm.engine.raw import EngineError
from vmm.loader import Images
from vmm.machine import Machine
from vmm.snapshot import MachineState, SnapshotError, restore


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of a run.

    params  the guest's command line
    hashes  of every file that the machine is made of, by what it is
    build   makes the machine, which prints to the console.  Errors: UsageError
    """

    config: MachineConfig
    params: str
    hashes: Mapping[str, str]
    build: Callable[[Console], Machine]


def switched_on(config: MachineConfig, images: Images) -> Start:
    """Return the start with images."""
    return Start(config, images.params, hashes(images), lambda console: build(config, images, console))


def saved(state: MachineState, data: bytes) -> Start:
    """Return the start of a machine that goes on; `data` is the file it was in."""

    def resume(console: Console) -> Machine:
        console.remember(state.console)
        return _made(state.config, lambda: restore(state, console.put))

    return Start(state.config, "", {"machine": blake2b(data, digest_size=16).hexdigest()}, resume)


def build(config: MachineConfig, images: Images, console: Console) -> Machine:
    """Return the machine, ready to run.  Errors: UsageError."""
    return _made(config, lambda: Machine(config, images, console.put))


def _made(config: MachineConfig, make: Callable[[], Machine]) -> Machine:
    try:
        return make()
    except (ConfigError, EngineError, SnapshotError) as error:
        raise UsageError(str(error)) from None
    except (MemoryError, OSError, OverflowError) as error:
        raise UsageError(f"no room on this host for {config.ram >> 20} MiB of RAM: {error}") from None
