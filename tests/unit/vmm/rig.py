"""Small guests in whole machines: where their parts lie, how they stop, and what exception stopped them.

Room:    above asm, below the VMM's tests.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed: pip install 'vgic[vmm]'")

from tests.unit.vmm import asm
from vmm.config import IrqChip, MachineConfig
from vmm.layout import FLAT_OFFSET, MIB, RAM_BASE
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import Outcome

CODE: Final = RAM_BASE + FLAT_OFFSET
VECTORS: Final = CODE + 0x1000
SECOND: Final = CODE + 0x2000
"""Where the second vCPU starts, if the first one asks for it."""
USER: Final = CODE + 0x3000
"""Where EL0 starts, if EL1 goes there."""
DATA: Final = CODE + 0x8000

SYSTEM_OFF: Final = 0x8400_0008
CPU_ON: Final = 0xC400_0003

OFF: Final = [*asm.mov(0, SYSTEM_OFF), asm.hvc(), asm.SPIN]
"""Switch the machine off; X1 and up can be read afterwards."""

SYNC_SPX: Final = 0x200
SYNC_SP0: Final = 0x000
IRQ_SPX: Final = 0x280
FIQ_SPX: Final = 0x300
SYNC_EL0: Final = 0x400
IRQ_EL0: Final = 0x480
_NONE: Final = 0xFFFF

Parts = Mapping[int, Sequence[int]]


class Taken(NamedTuple):
    """The exception that stopped a guest, as its vector saw it."""

    vector: int
    esr: int
    far: int
    elr: int
    spsr: int

    @property
    def exception_class(self) -> int:
        """ESR.EC."""
        return self.esr >> 26


def _reporting(vector: int) -> asm.Words:
    """A vector that keeps in X20 to X24 what happened, and switches off."""
    looks = (asm.mrs(at, register) for at, register in enumerate((asm.ESR, asm.FAR, asm.ELR, asm.SPSR), 20))
    return [*looks, *asm.mov(24, vector + 1), *OFF]


def firmware(code: Sequence[int], parts: Parts | None = None, *, vbar: int = VECTORS) -> bytes:
    """Return a flat image: `code` with VBAR_EL1 set before it, vectors that report, and `parts` by address."""
    places: dict[int, Sequence[int]] = {VECTORS + at: _reporting(at) for at in range(0, 0x800, 0x80)}
    places[CODE] = [*set_vbar(vbar), *code]
    places |= parts or {}
    data = bytearray(max(at + 4 * len(words) for at, words in places.items()) - CODE)
    for at, words in places.items():
        data[at - CODE : at - CODE + 4 * len(words)] = asm.image(words)
    return bytes(data)


def set_vbar(vbar: int = VECTORS) -> asm.Words:
    """VBAR_EL1 := vbar; takes X30."""
    return [*asm.mov(30, vbar), asm.msr(asm.VBAR, 30)]


def start_of(code: Sequence[int], word: int = 0, *, vbar: int = VECTORS) -> int:
    """Return the address of a word of what `firmware` was given as code."""
    return CODE + 4 * (len(set_vbar(vbar)) + word)


def to_user(pstate: int = 0x3C0, entry: int = USER) -> asm.Words:
    """Go to EL0, or wherever `pstate` says; takes X30."""
    return [*asm.mov(30, pstate), asm.msr(asm.SPSR, 30), *asm.mov(30, entry), asm.msr(asm.ELR, 30), asm.ERET]


def cpu_on(mpidr: int, entry: int = SECOND, context: int = 0) -> asm.Words:
    """PSCI CPU_ON; the result is in X0."""
    return [*asm.mov(0, CPU_ON), *asm.mov(1, mpidr), *asm.mov(2, entry), *asm.mov(3, context), asm.hvc()]


def build(
    code: Sequence[int],
    parts: Parts | None = None,
    *,
    vbar: int = VECTORS,
    chip: IrqChip = IrqChip.GICV3_ITS,
    cpus: int = 1,
    pcpus: int = 0,
    slice_length: int = 5000,
    budget: int = 1_000_000,
    fast: bool = True,
    exact: bool = True,
    printed: bytearray | None = None,
) -> Machine:
    """Return a machine that has not run."""
    config = MachineConfig(
        cpus=cpus,
        pcpus=pcpus,
        ram=4 * MIB,
        irqchip=chip,
        slice_length=slice_length,
        budget=budget,
        fast_engine=fast,
        exact_time=exact,
    )
    console = bytearray() if printed is None else printed
    return Machine(config, Images(firmware=firmware(code, parts, vbar=vbar)), console.append)


def taken(machine: Machine, cpu: int = 0) -> Taken | None:
    """Return the exception that stopped a vCPU; None if it was none."""
    x = machine.cpus[cpu].engine.x
    return Taken(x(24) - 1, x(20), x(21), x(22), x(23)) if x(24) else None


def x(machine: Machine, *registers: int, cpu: int = 0) -> tuple[int, ...]:
    """Return registers of a vCPU."""
    return tuple(machine.cpus[cpu].engine.x(number) for number in registers)


def same_run(first: Machine, second: Machine) -> None:
    """Assert that two machines that ran did the same."""
    assert first.outcome == second.outcome
    assert first.counts == second.counts
    assert first.events.digest() == second.events.digest()


__all__ = ["Outcome"]
