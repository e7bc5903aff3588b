"""Unicorn's C library, called without the binding's wrappers, which cost more than the calls.

Room:    the floor of the engine; alone loads Unicorn's library.
Owns:    the library handle, the layouts of what callbacks are handed, and the life of an instance.
Holds:   a call that fails raises EngineError; those that a hot path makes itself, on `lib`, check or need no status.
"""

import ctypes
import weakref
from typing import Final, final

from unicorn.arm64_const import (
    UC_ARM64_REG_CP_REG,
    UC_ARM64_REG_X0,
    UC_ARM64_REG_X29,
    UC_ARM64_REG_X30,
    UC_ARM64_REG_XZR,
    UC_CPU_ARM64_MAX,
)
from unicorn.unicorn_const import (
    UC_ARCH_ARM64,
    UC_CTL_CPU_MODEL,
    UC_CTL_IO_WRITE,
    UC_CTL_TB_FLUSH,
    UC_CTL_TB_REMOVE_CACHE,
    UC_CTL_UC_USE_EXITS,
    UC_MODE_ARM,
)
from unicorn.unicorn_py3.unicorn import uclib

from vmm.engine.arm64 import Register

lib: Final[ctypes.CDLL] = uclib
lib.uc_vmem_translate.restype = ctypes.c_int
lib.uc_vmem_translate.argtypes = (ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)


class EngineError(Exception):
    """The engine is not the one this was written for, or failed without a guest's doing."""


class CpReg(ctypes.Structure):
    """uc_arm64_cp_reg: a system register by its encoding, and its value."""

    _fields_ = (
        ("crn", ctypes.c_uint32),
        ("crm", ctypes.c_uint32),
        ("op0", ctypes.c_uint32),
        ("op1", ctypes.c_uint32),
        ("op2", ctypes.c_uint32),
        ("val", ctypes.c_uint64),
    )


class Block(ctypes.Structure):
    """uc_tb: a translated block."""

    _fields_ = (("pc", ctypes.c_uint64), ("icount", ctypes.c_uint16), ("size", ctypes.c_uint16))


INTR_CALLBACK: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
INSN_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p
)
EDGE_CALLBACK: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(Block), ctypes.POINTER(Block), ctypes.c_void_p
)

X: Final[tuple[int, ...]] = (
    *range(UC_ARM64_REG_X0, UC_ARM64_REG_X0 + 29),
    UC_ARM64_REG_X29,
    UC_ARM64_REG_X30,
    UC_ARM64_REG_XZR,
)
"""Unicorn's name of each general-purpose register; 31 is the zero register."""
NUMBER_OF: Final[dict[int, int]] = {name: number for number, name in enumerate(X)}
"""Number of the general-purpose register that a callback names."""

EVERYWHERE: Final = (1, 0)
"""Begin and end of a hook without bounds."""


def version() -> str:
    """Return the library's version."""
    number: int = lib.uc_version(None, None)
    return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8))


def error_text(status: int) -> str:
    """Return the library's words for a status."""
    text: bytes = lib.uc_strerror(status)
    return f"engine error {status}: {text.decode()}"


def _check(status: int) -> None:
    if status:
        raise EngineError(error_text(status))


def _close(handle: ctypes.c_void_p, context: ctypes.c_void_p) -> None:
    lib.uc_context_free(context)
    lib.uc_close(handle)


@final
class Core:
    """One instance: an AArch64 core of model `max` that ignores the addresses `emu_start` is told to stop at.

    handle   of the instance, for calls on `lib`
    context  a saved state, into which `save` writes: what it says about itself, then `state_size` bytes of the core
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_cp",
        "_cp_ref",
        "_header",
        "_word",
        "_word_ref",
        "context",
        "handle",
        "state_size",
    )

    def __init__(self) -> None:
        """Create the instance.  Errors: EngineError."""
        self.handle = ctypes.c_void_p()
        _check(lib.uc_open(UC_ARCH_ARM64, UC_MODE_ARM, ctypes.byref(self.handle)))
        self._control(UC_CTL_CPU_MODEL, ctypes.c_int(UC_CPU_ARM64_MAX))
        self._control(UC_CTL_UC_USE_EXITS, ctypes.c_int(1))
        self.context = ctypes.c_void_p()
        _check(lib.uc_context_alloc(self.handle, ctypes.byref(self.context)))
        _check(lib.uc_context_save(self.handle, self.context))
        self.state_size: int = ctypes.c_size_t.from_address(self.context_address).value
        self._header: int = lib.uc_context_size(self.handle) - self.state_size
        self._word = ctypes.c_uint64()
        self._word_ref = ctypes.byref(self._word)
        self._cp = CpReg()
        self._cp_ref = ctypes.byref(self._cp)
        self._callbacks: list[object] = []  # the library does not keep them alive
        weakref.finalize(self, _close, self.handle, self.context)

    def _control(self, what: int, *arguments: object) -> None:
        _check(lib.uc_ctl(self.handle, UC_CTL_IO_WRITE << 30 | len(arguments) << 26 | what, *arguments))

    @property
    def address(self) -> int:
        """Where the instance lies in the host's memory."""
        return self.handle.value or 0

    @property
    def context_address(self) -> int:
        """Where the saved state lies in the host's memory."""
        return self.context.value or 0

    def map(self, gpa: int, size: int, permissions: int, host_address: int) -> None:
        """Show host memory, which the caller keeps, at `gpa`."""
        _check(lib.uc_mem_map_ptr(self.handle, gpa, size, permissions, host_address))

    def unmap(self, gpa: int, size: int) -> None:
        """Undo `map`."""
        _check(lib.uc_mem_unmap(self.handle, ctypes.c_uint64(gpa), ctypes.c_size_t(size)))

    def hook(self, kind: int, callback: object, bounds: tuple[int, int] = EVERYWHERE, insn: int = 0) -> int:
        """Install a callback (an object of one of the types above) and return the hook's handle.

        insn  UC_ARM64_INS_*, for a hook of kind UC_HOOK_INSN.
        """
        self._callbacks.append(callback)
        handle = ctypes.c_size_t()
        pointer = ctypes.cast(callback, ctypes.c_void_p)  # type: ignore[arg-type]  # ctypes has no name for its type
        begin, end = map(ctypes.c_uint64, bounds)
        _check(lib.uc_hook_add(self.handle, ctypes.byref(handle), kind, pointer, None, begin, end, ctypes.c_int(insn)))
        return handle.value

    def unhook(self, hook: int) -> None:
        """Remove a hook."""
        _check(lib.uc_hook_del(self.handle, hook))

    def read(self, register: int) -> int:
        """Read a 64-bit register by its UC_ARM64_REG_*."""
        lib.uc_reg_read(self.handle, register, self._word_ref)
        return self._word.value

    def write(self, register: int, value: int) -> None:
        """Write a 64-bit register by its UC_ARM64_REG_*."""
        self._word.value = value
        lib.uc_reg_write(self.handle, register, self._word_ref)

    def sysreg(self, register: Register) -> int:
        """Read a system register as EL3 would."""
        cp = self._cp
        cp.crn, cp.crm, cp.op0, cp.op1, cp.op2 = register
        lib.uc_reg_read(self.handle, UC_ARM64_REG_CP_REG, self._cp_ref)
        value: int = cp.val
        return value

    def set_sysreg(self, register: Register, value: int) -> None:
        """Write a system register as EL3 would; never one that has no storage of its own."""
        cp = self._cp
        cp.crn, cp.crm, cp.op0, cp.op1, cp.op2 = register
        cp.val = value
        lib.uc_reg_write(self.handle, UC_ARM64_REG_CP_REG, self._cp_ref)

    def save(self) -> bytes:
        """Return the core's registers, those that no guest sees included."""
        _check(lib.uc_context_save(self.handle, self.context))
        return ctypes.string_at(self.context_address + self._header, self.state_size)

    def load(self, state: bytes) -> None:
        """Take a core's registers; `context` has them, too.  Errors: ValueError when it is of another size."""
        if len(state) != self.state_size:
            raise ValueError(f"{len(state)} bytes are no core: {self.state_size} are needed")
        ctypes.memmove(self.context_address + self._header, state, len(state))
        _check(lib.uc_context_restore(self.handle, self.context))

    def change(self, offset: int, value: int) -> None:
        """Write 32 bits of the core's state, which no register has, at this offset in the context."""
        _check(lib.uc_context_save(self.handle, self.context))
        ctypes.c_uint32.from_address(self.context_address + offset).value = value
        _check(lib.uc_context_restore(self.handle, self.context))

    def forget_code(self) -> None:
        """Forget every translated block."""
        self._control(UC_CTL_TB_FLUSH)

    def forget_block(self, begin: int, end: int) -> None:
        """Forget the translated blocks in a range of virtual addresses."""
        self._control(UC_CTL_TB_REMOVE_CACHE, ctypes.c_uint64(begin), ctypes.c_uint64(end))
