"""The registers of a GICv2 distributor: kvm-unit-tests' `mmio`, in its words.

Nothing is ever pending: what counts is which bits a write leaves.
"""

from typing import Final

from hw.arch import GICD_IIDR, GICD_IPRIORITYR, GICD_ITARGETSR, GICD_TYPER, GICD_TYPER_ITLINES_MASK
from vgic.cli.checks.guest import Cpu, Guest
from vgic.cli.checks.report import Report

_ICPIDR2: Final = 0xFE8
_FIRST_SPI: Final = 32
_MAX_CPUS: Final = 8
_CPU_NUMBER_SHIFT: Final = 5
_ONES: Final = 0xFFFF_FFFF
_EACH_BYTE: Final = 0x0101_0101
_PATTERNS: Final = (_ONES, 0xA5A5_5A5A, 0)
_PRIORITIES: Final = 0xFF7F_BF3F
_TARGETS: Final = 0x0103_020F
_NEW_BYTE: Final = 0x1F


def run(guest: Guest, report: Report) -> None:
    """Identification, priorities, targets."""
    cpu, gicd = guest.boot, guest.gic.gicd
    typer = cpu.load(gicd + GICD_TYPER)
    intids = 32 * ((typer & GICD_TYPER_ITLINES_MASK) + 1)
    cpus = len(guest.cpus)
    report.info(f"number of implemented SPIs: {intids - _FIRST_SPI}")
    report.expect((typer >> _CPU_NUMBER_SHIFT & 7) + 1 == cpus, f"all {cpus} CPUs have interrupts")
    report.info(f"IIDR: {cpu.load(gicd + GICD_IIDR):#010x}")
    for name, offset in (("GICD_TYPER", GICD_TYPER), ("GICD_IIDR", GICD_IIDR), ("ICPIDR2", _ICPIDR2)):
        report.expect(_is_read_only(cpu, gicd + offset), f"{name} is read-only")
    report.info(f"value of ICPIDR2: {cpu.load(gicd + _ICPIDR2):#010x}")
    with report.prefix("IPRIORITYR"):
        _priorities(cpu, report, gicd + GICD_IPRIORITYR, intids)
    with report.prefix("ITARGETSR"):
        _targets(cpu, report, gicd + GICD_ITARGETSR, intids, cpus)


def _is_read_only(cpu: Cpu, gpa: int) -> bool:
    """Whether no pattern that is stored changes the word."""
    before = cpu.load(gpa)
    for pattern in _PATTERNS:
        cpu.store(gpa, pattern)
        if cpu.load(gpa) != before:
            return False
    return True


def _is_raz_wi(cpu: Cpu, gpa: int) -> bool:
    return cpu.load(gpa) == 0 and _is_read_only(cpu, gpa)


def _priorities(cpu: Cpu, report: Report, bank: int, intids: int) -> None:
    first = bank + _FIRST_SPI
    cpu.store(first, _ONES)
    mask = cpu.load(first)
    bits = mask & 0xFF
    report.expect(mask == bits * _EACH_BYTE, "consistent priority masking")
    report.info(f"priority mask is {mask:#010x}")
    implemented = bits.bit_count()
    from_the_top = bits == 0xFF & 0xFF << 8 - implemented
    report.expect(implemented >= 4 and from_the_top, "implements at least 4 priority bits")
    report.info(f"{implemented} priority bits implemented")
    cpu.store(first, 0)
    report.expect(cpu.load(first) == 0, "clearing priorities")
    report.expect(_is_raz_wi(cpu, bank + intids), "accesses beyond limit RAZ/WI")
    last = bank + intids - 4
    cpu.store(last, _PRIORITIES & mask)
    report.expect(cpu.load(last) == _PRIORITIES & mask, "accessing last SPIs")
    cpu.store(first, _PRIORITIES)
    report.expect(cpu.load(first) == _PRIORITIES & mask, "priorities are preserved")
    _bytes(cpu, report, first, _PRIORITIES, mask)


def _targets(cpu: Cpu, report: Report, bank: int, intids: int, cpus: int) -> None:
    first = bank + _FIRST_SPI
    mask = ((1 << cpus) - 1) * _EACH_BYTE
    if cpus < _MAX_CPUS:
        cpu.store(first, _ONES)
        report.expect(not cpu.load(first) & ~mask, "bits for non-existent CPUs masked")
        report.info(f"{_MAX_CPUS - cpus} non-existent CPUs")
    else:
        report.skip("CPU masking (all CPUs implemented)")
    report.expect(_is_raz_wi(cpu, bank + intids), "accesses beyond limit RAZ/WI")
    cpu.store(first, _TARGETS)
    report.equal(cpu.load(first), _TARGETS & mask, "register content preserved")
    _bytes(cpu, report, first, _TARGETS, mask)


def _bytes(cpu: Cpu, report: Report, word: int, pattern: int, mask: int) -> None:
    """Read byte 1 of a word that was stored as `pattern`, and replace byte 2."""
    report.equal(cpu.load(word + 1, 1), (pattern & mask) >> 8 & 0xFF, "byte reads successful")
    cpu.store(word + 2, _NEW_BYTE, 1)
    wanted = (pattern & ~0xFF_0000 | _NEW_BYTE << 16) & mask
    report.equal(cpu.load(word), wanted, "byte writes successful")
