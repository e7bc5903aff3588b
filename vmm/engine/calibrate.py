"""Where this very build of the engine keeps what no documented call shows: found by experiment, never assumed.

Room:    beside port; runs tiny programs in scratch instances before the first core is made.
Holds:   a layout that is returned gave the right answer to every question; else there is an error that says which not.
"""

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from mmap import mmap
from typing import Final

from unicorn.arm64_const import UC_ARM64_REG_PC, UC_ARM64_REG_PSTATE
from unicorn.unicorn_const import UC_HOOK_INTR, UC_PROT_ALL

from vmm.engine import arm64
from vmm.engine.raw import INTR_CALLBACK, Core, EngineError, X, lib

_BASE: Final = 0x1_0000
_PATTERN: Final = 0x0123_4567_89AB_CDE0
_COUNT: Final = 12345
_ENGINE_BYTES: Final = 0x800
"""How much of the engine's object is searched for its counter."""

# Unicorn 2.1.4: candidates, each of which is checked
_CPU: Final = 0x1B8
_X0: Final = 0xA390
_CONTEXT_X0: Final = 40 + 64
_PC: Final = 256
_SYNDROME: Final = 0xB90
_FAULT_ADDRESS: Final = 0xB98
_TARGET_EL: Final = 0xBA0
_PSTATE: Final = _PC + 8
_AARCH64: Final = _PC + 12

CONTEXT_SYNDROME: Final = _CONTEXT_X0 + _SYNDROME
CONTEXT_FAULT_ADDRESS: Final = _CONTEXT_X0 + _FAULT_ADDRESS
CONTEXT_TARGET_EL: Final = _CONTEXT_X0 + _TARGET_EL
"""Where a saved context holds what the last exception was."""
CONTEXT_AARCH64: Final = _CONTEXT_X0 + _AARCH64
"""Where it holds whether the core is in AArch64 state."""

_NOP, _LOOP, _ERET = 0xD503_201F, 0x17FF_FFFF, 0xD69F_03E0
_A32_LOOP: Final = 0xEAFF_FFFE
_A32_USER: Final = 0x1D0
_EXCEPTIONS: Final = {
    "SVC #0xabc": (0xD401_5781, 0x5600_0ABC, 1),
    "BRK #0x123": (0xD420_2460, 0xF200_0123, 1),
    "HVC #0x77": (0xD400_0EE2, 0x5A00_0077, 2),
}
"""Instruction, syndrome, and the exception level it goes to."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets.

    counter         of the instruction counter in the engine's object
    cpu             of the pointer to the CPU object, likewise
    x0              of X0 in the CPU object
    pc, syndrome, fault_address, target_el, pstate (of which only EL and SP lie there), aarch64   from X0
    """

    counter: int
    cpu: int = _CPU
    x0: int = _X0
    pc: int = _PC
    syndrome: int = _SYNDROME
    fault_address: int = _FAULT_ADDRESS
    target_el: int = _TARGET_EL
    pstate: int = _PSTATE
    aarch64: int = _AARCH64


def _scratch(*words: int) -> tuple[Core, mmap]:
    """Return a core at the first of these instructions, at EL1 under an EL2, and the memory that it has."""
    core = Core()
    memory = mmap(-1, 0x1000)
    memory[: 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)
    core.map(_BASE, len(memory), UC_PROT_ALL, ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    core.set_sysreg(arm64.SCR_EL3, arm64.SCR)
    core.set_sysreg(arm64.HCR_EL2, arm64.HCR_RW)
    return core, memory


def _at_exception(core: Core, look: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
    """Run `core` to its first exception and return what `look` sees there."""
    seen: list[tuple[int, ...]] = []

    def take(_engine: int, _kind: int, _user: int) -> None:
        seen.append(look())
        lib.uc_emu_stop(core.handle)

    core.hook(UC_HOOK_INTR, INTR_CALLBACK(take))
    lib.uc_emu_start(core.handle, _BASE, 0, 0, 100)
    if not seen:
        raise EngineError("this build of Unicorn reports no exception")
    return seen[0]


def _u32(address: int) -> int:
    return ctypes.c_uint32.from_address(address).value


def _u64(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def _found(value: int, wanted: int, what: str) -> None:
    if value != wanted:
        raise EngineError(f"this build of Unicorn keeps {what} elsewhere: found {value:#x} instead of {wanted:#x}")


@cache
def check_context() -> None:
    """Check where a saved context holds the last exception.  Errors: EngineError."""
    for name, (word, syndrome, target) in _EXCEPTIONS.items():
        core, _memory = _scratch(word)
        found = _at_exception(core, partial(_look_at_context, core))
        _found(found[0], syndrome, f"the syndrome of {name} in a context")
        _found(found[1], target, f"the target level of {name} in a context")
    core, _memory = _scratch(_ERET, _A32_LOOP)
    for want in (1, 0):
        core.save()
        _found(_u32(core.context_address + CONTEXT_AARCH64), want, "the execution state in a context")
        core.set_sysreg(arm64.ELR_EL1, _BASE + 4)
        core.set_sysreg(arm64.SPSR_EL1, _A32_USER)
        lib.uc_emu_start(core.handle, _BASE, 0, 0, 1)


def _look_at_context(core: Core) -> tuple[int, ...]:
    core.save()
    at = core.context_address
    return _u32(at + CONTEXT_SYNDROME), _u32(at + CONTEXT_TARGET_EL)


@cache
def find_counter() -> int:
    """Return where the engine's object counts instructions.  Errors: EngineError."""
    core, _memory = _scratch(_NOP, _LOOP)
    lib.uc_emu_start(core.handle, _BASE, 0, 0, _COUNT)
    data = ctypes.string_at(core.address, _ENGINE_BYTES)
    found = [
        at
        for at in range(0, _ENGINE_BYTES - 16, 8)
        if data[at + 8 : at + 16] == struct.pack("<Q", _COUNT)
        and struct.unpack_from("<Q", data, at)[0] in (_COUNT, _COUNT + 1)
    ]
    if len(found) != 1:
        raise EngineError(f"this build of Unicorn has {len(found)} candidates for its instruction counter")
    return found[0]


@cache
def calibrate() -> Layout:
    """Return the layout of the engine's objects.  Errors: EngineError."""
    check_context()
    layout = Layout(find_counter())
    for name, (word, syndrome, target) in _EXCEPTIONS.items():
        core, _memory = _scratch(_NOP, word)
        x0 = _u64(core.address + layout.cpu) + layout.x0
        for number in range(31):
            core.write(X[number], _PATTERN + number)
            _found(_u64(x0 + 8 * number), _PATTERN + number, f"X{number}")
        found = _at_exception(core, partial(_look_inside, core, x0, layout))
        _found(found[0], syndrome, f"the syndrome of {name}")
        _found(found[1], target, f"the target level of {name}")
        _found(found[2], found[3], "the program counter")
        _found(found[4], 2, "the count of instructions inside a run")
        _found(_u32(x0 + layout.aarch64), 1, "the execution state")
        _found(_u32(x0 + layout.pstate) & 0xF, arm64.PSTATE_RESET & 0xF, "the exception level")
        core.write(UC_ARM64_REG_PSTATE, 0)
        _found(_u32(x0 + layout.pstate) & 0xF, 0, "the exception level")
    return layout


def _look_inside(core: Core, x0: int, layout: Layout) -> tuple[int, ...]:
    return (
        _u32(x0 + layout.syndrome),
        _u32(x0 + layout.target_el),
        _u64(x0 + layout.pc),
        core.read(UC_ARM64_REG_PC),
        _u64(core.address + layout.counter),
    )
