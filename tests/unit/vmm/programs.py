"""Random programs that mean no good: instructions of every kind, most of them aimed at what a VMM emulates.

Room:    beside rig; draws from a seeded generator, so that a seed names a program.
"""

from random import Random
from typing import Final

from tests.unit.vmm import asm
from tests.unit.vmm.rig import CODE, DATA, SECOND, VECTORS, build, cpu_on, set_vbar
from vmm.config import IrqChip
from vmm.machine import Machine

MACHINES: Final = ((IrqChip.GICV2, 1), (IrqChip.GICV2, 2), (IrqChip.GICV3_ITS, 1), (IrqChip.GICV3_ITS, 2))
BUDGET: Final = 3000

_ADDRESSES: Final = (
    *(0x0800_0000, 0x0801_0000, 0x0802_0000, 0x0808_0000, 0x0809_0040, 0x080A_0000, 0x080B_0000, 0x080C_0000),
    *(0x0900_0000, 0x0901_0000, 0x0902_0000, 0x0A00_0000, 0x0C00_0000),
    *(0x4000_0000, CODE, DATA, 0x403F_FFFC, 0x4040_0000, 0x3FFF_FFF8),
    *(0, 1 << 39, (1 << 39) + 0x1000, 1 << 40, 0xFFFF_0000_0000_0000),
)
_VALUES: Final = (0, 1, 3, 0x3C0, 0x3C5, 0x1D0, 0x30D0_0801, 0x30D0_0800, 1 << 63, (1 << 64) - 1)
_FIXED: Final = (
    *(asm.hvc(), asm.hvc(), asm.smc(), asm.svc(1), asm.brk(3), asm.ERET, asm.WFI, asm.WFE, asm.ISB),
    *(asm.daifclr(15), asm.daifset(3), asm.spsel(0), asm.spsel(1)),
)
_SYSTEM: Final = (
    *(asm.SCTLR, asm.VBAR, asm.TTBR0, asm.TTBR1, asm.TCR, asm.SPSR, asm.ELR, asm.CNTKCTL, asm.CPACR),
    *(asm.CNTV_CTL, asm.CNTV_CVAL, asm.CNTV_TVAL, asm.CNTP_CTL, asm.CNTP_CVAL, asm.DC_ZVA, asm.IC_IVAU),
    *(asm.ICC_PMR, asm.ICC_IGRPEN1, asm.ICC_SGI1R, asm.ICC_EOIR1, asm.ICC_CTLR),
)


def _anything(random: Random) -> int:
    return random.getrandbits(32)


def _system(random: Random) -> int:
    """MRS, MSR, SYS and hints, anywhere in their space, with an eye on timers and the GIC."""
    crn = random.choice((0, 1, 2, 3, 4, 4, 5, 7, 8, 12, 12, 13, 14, 14, random.randrange(16)))
    op1 = random.choice((0, 3, random.randrange(8)))
    register = (random.choice((0, 1, 2, 3, 3, 3)), op1, crn, random.randrange(16), random.randrange(8))
    return asm.msr(register, random.randrange(32)) | random.getrandbits(1) << 21


def _write(random: Random) -> int:
    return asm.msr(random.choice(_SYSTEM), random.randrange(32))


def _memory(random: Random) -> int:
    """Loads and stores of every addressing mode, by a base register that holds an address worth a try."""
    low = random.randrange(1, 10) << 5 | random.randrange(32)
    size = random.getrandbits(2) << 30
    kind = random.randrange(7)
    if kind < 4:
        at = random.choice((0, 1, 2, 3, random.randrange(64), random.randrange(4096)))
        return 0x3900_0000 | size | random.getrandbits(2) << 22 | at << 10 | low
    if kind == 4:
        return 0x3800_0000 | size | random.getrandbits(2) << 22 | random.getrandbits(12) << 10 | low
    if kind == 5:
        return 0x2800_0000 | size | random.getrandbits(3) << 22 | random.getrandbits(12) << 10 | low
    return 0x0800_0000 | size | random.getrandbits(3) << 21 | random.getrandbits(11) << 10 | low


def _constant(random: Random) -> int:
    psci = random.choice((0x8400_0000, 0xC400_0000)) | random.randrange(12)
    return random.choice(asm.mov(random.randrange(10), random.choice((psci, random.choice(_ADDRESSES)))))


def _jump(random: Random) -> int:
    where = random.randrange(-8, 8)
    return random.choice((asm.b(where), asm.cbz(random.randrange(32), where), asm.br(random.randrange(31))))


def _fixed(random: Random) -> int:
    return random.choice(_FIXED)


_KINDS: Final = (
    *[_anything] * 3,
    *[_system] * 5,
    *[_memory] * 5,
    *[_fixed] * 2,
    *(_write, _write, _constant, _constant, _jump),
)


def word(random: Random) -> int:
    """Draw one instruction."""
    return random.choice(_KINDS)(random)


def program(random: Random) -> asm.Words:
    """Draw registers that are worth a try, and 64 instructions."""
    words = []
    for register in range(1, 10):
        words += asm.mov(register, random.choice(_ADDRESSES) + random.choice((0, 0, random.randrange(0, 0x1000, 8))))
    for register in range(10, 20):
        value = random.choice((*_VALUES, random.getrandbits(64), random.getrandbits(32), CODE + random.randrange(256)))
        words += asm.mov(register, value)
    words += asm.mov(0, random.choice((0x8400_0000, 0xC400_0000)) | random.randrange(12))
    return [*words, *(word(random) for _ in range(64)), asm.b(-60)]


def hostile(seed: int, *, fast: bool = True, exact: bool = True, budget: int = BUDGET) -> Machine:
    """Return the machine that a seed names, before it runs."""
    random = Random(seed)
    chip, cpus = MACHINES[seed % len(MACHINES)]
    first, second = program(random), program(random)
    skip = [asm.mrs(29, asm.ELR), asm.add(29, 29, 4), asm.msr(asm.ELR, 29), asm.ERET]
    style = random.randrange(3)  # vectors that report and end, that skip what faulted, that are random
    parts: dict[int, asm.Words] = {}
    for at in range(0, 0x800, 0x80) if style else ():
        parts[VECTORS + at] = skip if style == 1 else [word(random) for _ in range(32)]
    parts[SECOND] = [*set_vbar(), *second]
    return build(
        [*(cpu_on(1) if cpus > 1 else []), *first],
        parts,
        chip=chip,
        cpus=cpus,
        pcpus=random.randrange(cpus + 1),
        slice_length=random.choice((1, 7, 100, 1000)),
        budget=budget,
        fast=fast,
        exact=exact,
    )
