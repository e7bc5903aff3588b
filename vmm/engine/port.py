"""Engine: one AArch64 core, by Unicorn's documented calls alone.

Room:    the port between a vCPU and Unicorn.
Owns:    one Unicorn instance, its hooks, and the EL2 registers it runs under.
Holds:   a callback never raises into C: what went wrong is kept, the core stops, and `run` raises it.
"""

import ctypes
import re
from mmap import mmap
from typing import Final, Protocol, final

from unicorn.arm64_const import (
    UC_ARM64_INS_MRS,
    UC_ARM64_INS_MSR,
    UC_ARM64_INS_SYS,
    UC_ARM64_REG_ELR_EL1,
    UC_ARM64_REG_ESR_EL1,
    UC_ARM64_REG_FAR_EL1,
    UC_ARM64_REG_PC,
    UC_ARM64_REG_PSTATE,
    UC_ARM64_REG_SP,
    UC_ARM64_REG_SP_EL0,
    UC_ARM64_REG_SP_EL1,
    UC_ARM64_REG_VBAR_EL1,
)
from unicorn.unicorn_const import (
    UC_HOOK_EDGE_GENERATED,
    UC_HOOK_INSN,
    UC_HOOK_INTR,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    UC_PROT_WRITE,
)

from vmm.engine import arm64
from vmm.engine.calibrate import CONTEXT_AARCH64, CONTEXT_FAULT_ADDRESS, CONTEXT_SYNDROME, CONTEXT_TARGET_EL
from vmm.engine.memory import TABLES_PA, GuestRam
from vmm.engine.raw import (
    EDGE_CALLBACK,
    EVERYWHERE,
    INSN_CALLBACK,
    INTR_CALLBACK,
    NUMBER_OF,
    Block,
    Core,
    CpReg,
    X,
    lib,
)
from vmm.esr import ILLEGAL_STATE, UNDEFINED_INSTRUCTION

_TIMER_INSN: Final = re.compile(rb"(?s)(?=([\x00-\xff][\x24\xe0-\xef][\x1b\x3b]\xd5))")
"""MRS or MSR with op1=3, CRn=14: the counters and timers that cannot be trapped to EL2 here.

And with CRn=2, CRm=4: RNDR, which cannot either."""
_RNDR: Final = (2, 4, 3)
"""CRn, CRm and op1 of the random numbers, which would be the host's."""
_MAX_TIMER_HOOKS: Final = 256
"""Addresses that get a hook of their own; a guest with more of them gets hooks everywhere instead."""
_MAX_BLOCKS: Final = 1 << 17
"""Blocks translated between two flushes: for those it forgets singly the engine keeps memory, up to a gigabyte."""
_SCRATCH_SIZE: Final = 0x1000
_BRANCH_TO_SELF: Final = (0x1400_0000).to_bytes(4, "little")
_CODE_LINE: Final = 64
"""CTR_EL0.IminLine, in bytes."""
_TWO_PLACES: Final = 1
"""Instead of an address, which is even: code was translated at more than one."""
_READ_BIT: Final = 1 << 21
"""In the encodings of MRS and MSR: it is an MRS."""


class Handler(Protocol):
    """What a core calls when its guest does what the engine cannot."""

    def exception(self, kind: int) -> None:
        """An exception of the engine's number `kind` was taken: to EL2, or to EL1 and to be completed."""

    def timer_read(self, register: int) -> int:
        """MRS of a timer register, by 16-bit encoding; returns the value, or -1: the core's own."""

    def timer_write(self, register: int, value: int) -> bool:
        """MSR of a timer register; False: the core's own."""

    def maintenance(self, crn: int, crm: int) -> None:
        """An invalidation of translations (CRn 8) or instructions (CRn 7), which other cores must hear of."""


@final
class _Scratch:
    """A page of code at address 0 of one core, while this context lasts; nothing else can be there."""

    __slots__ = ("_core", "_page", "_view")

    def __init__(self, core: Core, code: bytes) -> None:
        self._core = core
        self._page = mmap(-1, _SCRATCH_SIZE)
        self._page[: len(code)] = code
        self._view = ctypes.c_char.from_buffer(self._page)

    def __enter__(self) -> None:
        self._core.map(0, _SCRATCH_SIZE, UC_PROT_ALL, ctypes.addressof(self._view))

    def __exit__(self, *_: object) -> None:
        self._core.unmap(0, _SCRATCH_SIZE)


class Engine:
    """One core.

    ram     physical memory, shared by all cores of a machine
    mpidr   what its guest reads as MPIDR_EL1
    shared  whether there are other cores, which must hear of maintenance instructions
    """

    def __init__(self, ram: GuestRam, mpidr: int, shared: bool) -> None:
        """Make a core that is off; `reset` brings it to its first instruction."""
        self.ram = ram
        self.mpidr = mpidr
        self.failure: BaseException | None = None
        self.handler: Handler | None = None
        self.hcr = 0
        self.stopped = False  # the last run was ended by `stop`
        self.refusal = 0  # ... because the guest used what it was told that there is not: the ESR it is to get for that
        self._refused_at = 0
        core = self.core = Core()
        core.map(ram.base, ram.size, UC_PROT_ALL, ram.host_address)
        core.map(TABLES_PA, len(ram.tables), UC_PROT_READ, ram.tables_address)
        self._handle = core.handle
        self._counter: ctypes.c_uint64 | None = None
        self._count = 0  # of the call of the engine that runs, or ran last
        self._before = 0  # instructions of this run in earlier calls
        self._pa = ctypes.c_uint64()
        self._pa_ref = ctypes.byref(self._pa)
        self._translate_first()
        self._set_el2()
        core.write(UC_ARM64_REG_PSTATE, arm64.PSTATE_RESET)
        core.set_sysreg(arm64.VPIDR_EL2, core.sysreg(arm64.MIDR_EL1))
        self._reset_state = core.save()
        self._timer_hooks: dict[int, int] = {}  # address of the instruction, bit 0 set for MRS -> hook
        self._stale: list[tuple[int, int]] = []  # blocks translated before their hooks were there
        self._all_stale = False
        self._blocks = 0  # translated since all were forgotten
        self._lines: dict[int, int] = {}  # physical address of each line that was translated -> its virtual one
        self._shared = shared
        self._hook()

    # -- life ------------------------------------------------------------------------------------

    def _translate_first(self) -> None:
        """Run one instruction of nobody's: the engine does not report the first block that an instance translates."""
        with _Scratch(self.core, _BRANCH_TO_SELF):
            lib.uc_emu_start(self._handle, 0, 0, 0, 1)

    def _set_el2(self) -> None:
        """Write the registers of EL2 and EL3; the last one makes the core look at all of them."""
        self.core.set_sysreg(arm64.SCR_EL3, arm64.SCR)
        self.core.set_sysreg(arm64.CNTHCTL_EL2, 0)
        self.core.set_sysreg(arm64.MDCR_EL2, arm64.MDCR)
        self.core.set_sysreg(arm64.VMPIDR_EL2, self.mpidr)
        self.core.set_sysreg(arm64.VTCR_EL2, arm64.VTCR)
        self.core.set_sysreg(arm64.VTTBR_EL2, TABLES_PA)
        self.hcr = arm64.HCR
        self.core.set_sysreg(arm64.HCR_EL2, arm64.HCR)

    def reset(self, entry: int, argument: int) -> None:
        """Bring the core to `entry` at EL1 with the MMU off, `argument` in X0 and all else as after reset."""
        self.core.load(self._reset_state)
        self._set_el2()
        self.set_pc(entry)
        self.set_x(0, argument)
        self.flush_tlb()

    def save(self) -> bytes:
        """Return the core's whole state, for `load` into another of the same engine version."""
        return self.core.save()

    def load(self, state: bytes) -> None:
        """Take the state of another core.  Errors: ValueError when it is not one."""
        self.core.load(state)
        debug = self._debug_registers()
        if any(debug.values()):
            self._write_debug_registers(debug)
            self.core.load(state)
        self._set_el2()
        self.flush_tlb()
        self.flush_code()

    def _debug_registers(self) -> dict[arm64.Register, int]:
        """Read what breakpoints and watchpoints are set by, in the order in which to write it."""
        core = self.core
        features = core.sysreg(arm64.ID_AA64DFR0_EL1)
        return {
            register: core.sysreg(register)
            for op2, field in arm64.DEBUG_PAIRS
            for number in range((features >> field & 0xF) + 1)
            for register in (arm64.debug_register(op2, number), arm64.debug_register(op2 + 1, number))
        }

    def _write_debug_registers(self, values: dict[arm64.Register, int]) -> None:
        """Let the core execute the writes, at EL1 and all by itself: a core acts on no other ones."""
        self.core.load(self._reset_state)
        self.core.set_sysreg(arm64.HCR_EL2, arm64.HCR_RW)
        code = b"".join(arm64.msr_x0(register) for register in values)
        with _Scratch(self.core, code):
            for index, value in enumerate(values.values()):
                self.set_x(0, value)
                lib.uc_emu_start(self._handle, 4 * index, 0, 0, 1)

    # -- running ---------------------------------------------------------------------------------

    def run(self, count: int) -> int:
        """Run up to `count` instructions, until `stop`, or until an engine error, whose number is returned.

        What the engine has translated before makes no difference, where it can tell how many it has executed.
        Errors: whatever a handler raised.
        """
        self.stopped = False
        self._before = 0
        self._count = count
        while True:
            error: int = lib.uc_emu_start(self._handle, self.pc(), 0, 0, self._count)
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            if not self._stale and not self._all_stale:
                return error
            self._retranslate()
            if error or self.stopped:
                return error
            if self._counter is None:
                self.stopped = True
                return 0
            executed = min(self._counter.value, self._count)
            self._before += executed
            self._count -= executed
            if not self._count:
                return 0

    def _retranslate(self) -> None:
        """Forget the blocks that lack a hook, or all."""
        for block in self._stale:
            self.core.forget_block(*block)
        self._stale.clear()
        if self._all_stale:
            self._all_stale = False
            self.flush_code()

    def stop(self) -> None:
        """End `run` after the instruction that is being executed."""
        self.stopped = True
        lib.uc_emu_stop(self._handle)

    def _refuse(self, syndrome: int) -> None:
        """End `run`, and let the guest have this exception."""
        self.refusal = syndrome
        self._refused_at = self.pc()
        self.stop()

    def refuse_aarch32(self) -> None:
        """End `run`: the guest returned to AArch32 state, where nothing has been executed yet."""
        self._refuse(ILLEGAL_STATE)

    def undo_refused(self) -> int:
        """After `run`: go back to before what was refused, and return the ESR of the exception to take there."""
        syndrome, self.refusal = self.refusal, 0
        if syndrome == ILLEGAL_STATE:
            self._leave_aarch32()
        else:
            self.set_pc(self._refused_at)
        return syndrome

    def _leave_aarch32(self) -> None:
        """Make an illegal exception return of the one to AArch32 that the engine has made: EL and SP stay."""
        core = self.core
        core.change(CONTEXT_AARCH64, 1)
        pstate = self.pstate() & 0xF  # what it was before the return
        spsr = core.sysreg(arm64.SPSR_EL1) & arm64.SPSR_RETURNED
        core.write(UC_ARM64_REG_PSTATE, spsr | pstate | arm64.PSTATE_IL)
        self.set_pc(core.read(UC_ARM64_REG_ELR_EL1))
        core.set_sysreg(arm64.HCR_EL2, self.hcr)  # makes the core look at its state
        self.flush_code()

    def executed(self) -> int:
        """Instructions that the present, or last, `run` has executed; -1: without `count_exactly` nobody can tell."""
        return -1 if self._counter is None else self._before + min(self._counter.value, self._count)

    def count_exactly(self, counter_offset: int) -> None:
        """Read the engine's own counter from now on, which lies at this offset (see `calibrate`)."""
        self._counter = ctypes.c_uint64.from_address(self.core.address + counter_offset)

    def set_lines(self, irq: bool, fiq: bool) -> None:
        """Drive the vIRQ and vFIQ wires."""
        want = arm64.HCR | irq << 7 | fiq << 6
        if want != self.hcr:
            self.hcr = want
            self.core.set_sysreg(arm64.HCR_EL2, want)

    def flush_tlb(self) -> None:
        """Forget every translation of an address."""
        self.core.set_sysreg(arm64.TLBI_VMALLE1, 0)

    def flush_code(self) -> None:
        """Forget every translated block."""
        self._lines.clear()
        self._blocks = 0
        self.core.forget_code()

    # -- registers -------------------------------------------------------------------------------

    def x(self, number: int) -> int:
        """Read X0 to X30; 31 is the zero register."""
        if number == 31:
            return 0
        return self.core.read(X[number])

    def set_x(self, number: int, value: int) -> None:
        """Write X0 to X30; 31 is the zero register."""
        if number != 31:
            self.core.write(X[number], value)

    def pc(self) -> int:
        """Read the program counter."""
        return self.core.read(UC_ARM64_REG_PC)

    def set_pc(self, value: int) -> None:
        """Write the program counter."""
        self.core.write(UC_ARM64_REG_PC, value)

    def pstate(self) -> int:
        """Read PSTATE, in the layout of SPSR_EL1."""
        return self.core.read(UC_ARM64_REG_PSTATE) & 0xFFFF_FFFF

    def instruction(self, va: int) -> int:
        """Return the instruction word at `va`, or 0 if it cannot be fetched."""
        if lib.uc_vmem_translate(self._handle, va, UC_PROT_EXEC, self._pa_ref):
            return 0
        at = self._pa.value - self.ram.base
        return int.from_bytes(self.ram.data[at : at + 4], "little") if 0 <= at < self.ram.size else 0

    def at_el0(self) -> bool:
        """Whether the core is at EL0."""
        return not self.pstate() & 0xC

    def in_aarch32(self) -> bool:
        """Whether the core is in AArch32 state, which its guest was told that there is not."""
        lib.uc_context_save(self._handle, self.core.context)
        return not ctypes.c_uint32.from_address(self.core.context_address + CONTEXT_AARCH64).value

    def write_fault(self, va: int) -> int:
        """Return the fault status code of a store to `va`, or 0 if the guest's own tables allow it."""
        core = self.core
        par = core.sysreg(arm64.PAR_EL1)
        core.set_sysreg(arm64.AT_S1E0W if self.at_el0() else arm64.AT_S1E1W, va)
        result = core.sysreg(arm64.PAR_EL1)
        core.set_sysreg(arm64.PAR_EL1, par)
        return result >> 1 & 0x3F if result & 1 else 0

    def writable_at(self, va: int) -> int:
        """Return the guest physical address that the guest can write at `va`, or -1."""
        failed = lib.uc_vmem_translate(self._handle, va, UC_PROT_WRITE, self._pa_ref)
        return -1 if failed else self._pa.value

    def _executable_at(self, va: int) -> int:
        """Return the guest physical address of the instruction at `va`, or -1 if it cannot be fetched."""
        failed = lib.uc_vmem_translate(self._handle, va, UC_PROT_EXEC, self._pa_ref)
        return -1 if failed else self._pa.value

    def vector_base(self) -> int:
        """Read VBAR_EL1."""
        return self.core.read(UC_ARM64_REG_VBAR_EL1)

    # -- exceptions ------------------------------------------------------------------------------

    def syndrome(self) -> int:
        """Return the ESR of the exception being handled; call it first, once: the next two read what it fetched."""
        lib.uc_context_save(self._handle, self.core.context)
        return ctypes.c_uint32.from_address(self.core.context_address + CONTEXT_SYNDROME).value

    def fault_address(self) -> int:
        """Return the FAR of the exception being handled."""
        return ctypes.c_uint64.from_address(self.core.context_address + CONTEXT_FAULT_ADDRESS).value

    def target_el(self) -> int:
        """Return the exception level that the exception being handled goes to."""
        return ctypes.c_uint32.from_address(self.core.context_address + CONTEXT_TARGET_EL).value

    def enter_el1(self, syndrome: int, fault_address: int | None) -> None:
        """Take a synchronous exception to EL1 at the present PC: AArch64.TakeException().

        fault_address  what FAR_EL1 becomes; None leaves it.
        """
        core = self.core
        pstate = self.pstate()
        from_el0 = not pstate & 0xC
        core.write(
            UC_ARM64_REG_SP_EL1 if pstate & 1 and not from_el0 else UC_ARM64_REG_SP_EL0, core.read(UC_ARM64_REG_SP)
        )
        core.write(UC_ARM64_REG_SP, core.read(UC_ARM64_REG_SP_EL1))
        core.write(UC_ARM64_REG_ELR_EL1, self.pc())
        core.write(UC_ARM64_REG_ESR_EL1, syndrome)
        if fault_address is not None:
            core.write(UC_ARM64_REG_FAR_EL1, fault_address)
        pan = pstate & arm64.PSTATE_PAN
        if not self.core.sysreg(arm64.SCTLR_EL1) & arm64.SCTLR_SPAN:
            pan = arm64.PSTATE_PAN
        core.write(UC_ARM64_REG_PSTATE, arm64.PSTATE_RESET | pan)
        vector = 0x400 if from_el0 else 0x200 if pstate & 1 else 0
        self.set_pc(self.vector_base() + vector & 0xFFFF_FFFF_FFFF_FFFF)
        self.core.set_sysreg(arm64.SPSR_EL1, pstate)  # last: it makes the core look at its new exception level

    def complete_exception(self, syndrome: int) -> None:
        """Take to EL1 the exception being handled, whose syndrome is given."""
        self.enter_el1(syndrome, self.fault_address() if has_fault_address(syndrome) else None)

    # -- hooks -----------------------------------------------------------------------------------

    def _hook(self) -> None:
        """Install the callbacks."""
        self.core.hook(UC_HOOK_INTR, INTR_CALLBACK(self._on_exception))
        self.core.hook(UC_HOOK_EDGE_GENERATED, EDGE_CALLBACK(self._on_block))
        self.core.hook(UC_HOOK_INSN, INSN_CALLBACK(self._on_sys), insn=UC_ARM64_INS_SYS)
        self._timer_callbacks = {
            True: (INSN_CALLBACK(self._on_mrs), UC_ARM64_INS_MRS),
            False: (INSN_CALLBACK(self._on_msr), UC_ARM64_INS_MSR),
        }

    def _fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self.stop()

    def _on_exception(self, _engine: int, kind: int, _user: int) -> None:
        try:
            assert self.handler is not None
            self.handler.exception(kind)
        except BaseException as failure:
            self._fail(failure)

    def _on_sys(self, _engine: int, _register: int, cp: int, _user: int) -> int:
        try:
            insn = CpReg.from_address(cp)
            crn, crm = insn.crn, insn.crm
            if crn == 7:
                if crm not in (1, 5):
                    return 0
                self._invalidate_code(insn.val if insn.op1 == 3 else -1)
            if self._shared and crn in (7, 8):
                assert self.handler is not None
                self.handler.maintenance(crn, crm)
        except BaseException as failure:
            self._fail(failure)
        return 0

    def _invalidate_code(self, va: int) -> None:
        """IC IVAU of `va`, or, if that is -1, IC IALLU: the engine itself misses stores, above all by another address.

        To the engine a block goes by its virtual address, at which there may be something else by now.
        """
        line = -1
        if va >= 0:
            if lib.uc_vmem_translate(self._handle, va, UC_PROT_READ, self._pa_ref):
                return
            line = self._pa.value & -_CODE_LINE
            if line not in self._lines:
                return
            va = self._lines[line]
            if va != _TWO_PLACES and self._executable_at(va) == line:
                del self._lines[line]
                self.core.forget_block(va, va + _CODE_LINE)
                return
        if self._lines:
            self._all_stale = True
            lib.uc_emu_stop(self._handle)

    def _on_mrs(self, _engine: int, register: int, cp: int, _user: int) -> int:
        try:
            insn = CpReg.from_address(cp)
            if insn.crn != 14 or insn.op1 != 3:
                if (insn.crn, insn.crm, insn.op1) != _RNDR:
                    return 0
                self._refuse(UNDEFINED_INSTRUCTION)
                return 1
            assert self.handler is not None
            value = self.handler.timer_read(_encoding(insn))
            if value < 0:
                return 0
            self.set_x(NUMBER_OF[register], value)
        except BaseException as failure:
            self._fail(failure)
        return 1

    def _on_msr(self, _engine: int, _register: int, cp: int, _user: int) -> int:
        try:
            insn = CpReg.from_address(cp)
            if insn.crn != 14 or insn.op1 != 3:
                return 0
            assert self.handler is not None
            return self.handler.timer_write(_encoding(insn), insn.val)
        except BaseException as failure:
            self._fail(failure)
        return 1

    def _on_block(self, _engine: int, block: "ctypes._Pointer[Block]", _previous: object, _user: int) -> None:
        """Hook the timer instructions of a block that was just translated, and have it translated again."""
        try:
            if self.in_aarch32():
                self.refuse_aarch32()
                return
            tb = block.contents
            pc: int = tb.pc
            size: int = tb.size
            if lib.uc_vmem_translate(self._handle, pc, UC_PROT_EXEC, self._pa_ref):
                return
            for line in range(self._pa.value & -_CODE_LINE, self._pa.value + size, _CODE_LINE):
                va = line - self._pa.value + pc
                if self._lines.setdefault(line, va) != va:
                    self._lines[line] = _TWO_PLACES
            self._blocks += 1
            if self._blocks == _MAX_BLOCKS:
                self._all_stale = True
                lib.uc_emu_stop(self._handle)
            at = self._pa.value - self.ram.base
            for match in _TIMER_INSN.finditer(self.ram.data[at : at + size]):
                read = bool(int.from_bytes(match[1], "little") & _READ_BIT)
                key = pc + match.start() | read
                if not match.start() & 3 and key not in self._timer_hooks and len(self._timer_hooks) < _MAX_TIMER_HOOKS:
                    self._hook_timer(key, read)
                    self._stale.append((pc, pc + size))
                    lib.uc_emu_stop(self._handle)
        except BaseException as failure:
            self._fail(failure)

    def _hook_timer(self, key: int, read: bool) -> None:
        """Add the hook of one timer instruction, or, for a guest that has too many, those of all."""
        callback, insn = self._timer_callbacks[read]
        if len(self._timer_hooks) == _MAX_TIMER_HOOKS - 1:
            for handle in self._timer_hooks.values():
                self.core.unhook(handle)
            self._timer_hooks[key] = self.core.hook(UC_HOOK_INSN, callback, EVERYWHERE, insn)
            callback, insn = self._timer_callbacks[not read]
            self.core.hook(UC_HOOK_INSN, callback, EVERYWHERE, insn)
            self._all_stale = True
        else:
            va = key & ~1
            self._timer_hooks[key] = self.core.hook(UC_HOOK_INSN, callback, (va, va), insn)


def has_fault_address(syndrome: int) -> bool:
    """Whether the exception with this ESR sets FAR_EL1: aborts, PC alignment and watchpoints."""
    return syndrome >> 26 in (0x20, 0x21, 0x22, 0x24, 0x25, 0x34, 0x35)


def _encoding(insn: CpReg) -> int:
    encoding: int = insn.op0 << 14 | insn.op1 << 11 | insn.crn << 7 | insn.crm << 3 | insn.op2
    return encoding
