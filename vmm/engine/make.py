"""Which kind of core a machine gets.

Room:    the engine's door: above its cores.
"""

from collections.abc import Callable
from functools import cache

from vmm.engine.calibrate import calibrate, find_counter
from vmm.engine.fast import FastEngine
from vmm.engine.memory import GuestRam
from vmm.engine.port import Engine
from vmm.engine.raw import Core, version

Maker = Callable[[GuestRam, int, bool], Engine]


def engine_maker(fast: bool, exact_time: bool) -> Maker:
    """Return what makes a core from memory, MPIDR and whether there are others.

    fast        with views of the engine's private state instead of slower documented calls
    exact_time  with the engine's private counter
    Errors: EngineError when this build of the engine keeps them elsewhere.
    """
    layout = calibrate() if fast else None
    counter = find_counter() if exact_time else None

    def make(ram: GuestRam, mpidr: int, shared: bool) -> Engine:
        engine = Engine(ram, mpidr, shared) if layout is None else FastEngine(ram, mpidr, shared, layout)
        if counter is not None:
            engine.count_exactly(counter)
        return engine

    return make


@cache
def engine_name() -> str:
    """Return what has to be the same for one engine to load a core that another one saved."""
    return f"unicorn {version()}, {Core().state_size} bytes a core"
