"""Migration, as a VMM does it: all state out of one VM through the devices' attributes, and into a new one.

Room:    above the board, below the guest, whose CPUs are stopped meanwhile.
Never:   hands on an object: what the new VM knows went through RAM or through a number.
Holds:   `_steps` is the one legal order.  Restoring goes through it from the top; saving reads the same registers.

Order (Linux: Documentation/virt/kvm/devices/arm-vgic-v3.rst and arm-vgic-its.rst):
    save     tables into RAM, then registers, then RAM, which the tables have changed
    restore  RAM; distributor and redistributors, where the LPI tables lie; ITS registers; its tables; GITS_CTLR
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from hw.arch import (
    GICD_CTLR,
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_IGROUPR,
    GICD_IIDR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SGI_BASE,
    ICC_AP0R0_EL1,
    ICC_AP1R0_EL1,
    ICC_BPR0_EL1,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_SRE_EL1,
)
from vgic import CTRL_SAVE_PENDING_TABLES, ITS_RESTORE_TABLES, ITS_SAVE_TABLES, DeviceType, Group
from vgic.cli.checks.board import RAM_BASE, Board

GITS_CTLR: Final = 0x0000
GITS_IIDR: Final = 0x0004
GITS_TYPER: Final = 0x0008
GITS_CBASER: Final = 0x0080
GITS_CWRITER: Final = 0x0088
GITS_CREADR: Final = 0x0090
GITS_BASER: Final = 0x0100
NR_BASERS: Final = 8
"""Registers of the ITS (IHI 0069)."""

_GIC: Final = DeviceType.VGIC_V3
_ITS: Final = DeviceType.ITS
_ONES: Final = 0xFFFF_FFFF
_PRIVATE: Final = 32


class Step(NamedTuple):
    """One attribute of the new VM to set: to `value`, or, if that is None, to what it is in the old one."""

    device: DeviceType
    group: Group
    attr: int
    value: int | None = None


class Bank(NamedTuple):
    """Registers with `bits` for each interrupt; `clear` is the bank that first has to clear them, if one does."""

    offset: int
    bits: int
    clear: int | None = None


# Where and how before whether: an interrupt is looked at when it becomes enabled, active or pending.
BANKS: Final = (
    Bank(GICD_IGROUPR, 1),
    Bank(GICD_ICFGR, 2),
    Bank(GICD_IPRIORITYR, 8),
    Bank(GICD_ISENABLER, 1, GICD_ICENABLER),
    Bank(GICD_ISACTIVER, 1, GICD_ICACTIVER),
    Bank(GICD_ISPENDR, 1),  # assigns, so nothing has to be cleared
)


def migrate(board: Board) -> None:
    """Replace the board's VM, whose vCPUs are out of the guest, by a new one in the same state.  Errors: VgicError."""
    board.set_attr(_ITS, Group.CTRL, ITS_SAVE_TABLES)
    board.set_attr(_GIC, Group.CTRL, CTRL_SAVE_PENDING_TABLES)
    registers = [
        step._replace(value=board.get_attr(step.device, step.group, step.attr)) if step.value is None else step
        for step in _steps(board)
    ]
    memory = board.read_ram(RAM_BASE, board.ram_size)
    assert memory is not None, "the board's RAM is where the board put it"
    board.power_off()
    board.power_on()
    board.write_ram(RAM_BASE, memory)
    for step in registers:
        assert step.value is not None
        board.set_attr(step.device, step.group, step.attr, step.value)


def _steps(board: Board) -> Iterator[Step]:
    affinities = [board.affinity(cpu) << 32 for cpu in range(board.cpus)]
    yield from _distributor(board.spis)
    for affinity in affinities:
        yield from _redistributor(affinity)
    for affinity in affinities:
        yield from _cpu_interface(board, affinity)
    for first in range(_PRIVATE, _PRIVATE + board.spis, 32):
        yield Step(_GIC, Group.LEVEL_INFO, affinities[0] | first)
    for affinity in affinities:
        yield Step(_GIC, Group.LEVEL_INFO, affinity)
    yield from _its()


def _distributor(spis: int) -> Iterator[Step]:
    """GICD: CTLR first, as an interrupt that is looked at while the distributor is off is forgotten."""
    yield Step(_GIC, Group.DIST_REGS, GICD_IIDR)
    yield Step(_GIC, Group.DIST_REGS, GICD_CTLR)
    for at in range(_PRIVATE * 8, (_PRIVATE + spis) * 8, 4):
        yield Step(_GIC, Group.DIST_REGS, GICD_IROUTER + at)
    yield from _banks(Group.DIST_REGS, 0, _PRIVATE, spis)


def _redistributor(affinity: int) -> Iterator[Step]:
    """GICR of one CPU: EnableLPIs last, as it locks the two base registers."""
    for register in (GICR_PROPBASER, GICR_PENDBASER):
        yield Step(_GIC, Group.REDIST_REGS, affinity | register)
        yield Step(_GIC, Group.REDIST_REGS, affinity | register + 4)
    yield Step(_GIC, Group.REDIST_REGS, affinity | GICR_CTLR)
    yield from _banks(Group.REDIST_REGS, affinity | GICR_SGI_BASE, 0, _PRIVATE)


def _banks(group: Group, base: int, first: int, count: int) -> Iterator[Step]:
    for bank in BANKS:
        for at in range(first * bank.bits // 8, (first + count) * bank.bits // 8, 4):
            if bank.clear is not None:
                yield Step(_GIC, group, base + bank.clear + at, _ONES)
            yield Step(_GIC, group, base + bank.offset + at)


def _cpu_interface(board: Board, affinity: int) -> Iterator[Step]:
    """ICC_*_EL1 of one CPU: BPR1 before CTLR.CBPR hides it, and CTLR's priority bits before the registers they give."""
    priority_bits = (board.get_attr(_GIC, Group.CPU_SYSREGS, affinity | ICC_CTLR_EL1) >> 8 & 7) + 1
    active_priorities = range({7: 4, 6: 2}.get(priority_bits, 1))  # with 8, too, KVM has but one
    registers = [ICC_SRE_EL1, ICC_BPR0_EL1, ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_PMR_EL1, ICC_IGRPEN0_EL1, ICC_IGRPEN1_EL1]
    registers += [bank + n for bank in (ICC_AP0R0_EL1, ICC_AP1R0_EL1) for n in active_priorities]
    for register in registers:
        yield Step(_GIC, Group.CPU_SYSREGS, affinity | register)


def _its() -> Iterator[Step]:
    """GITS: CBASER first, as it clears the queue's offsets; CTLR last, as it locks everything and starts the ITS."""
    for register in (GITS_IIDR, GITS_CBASER, GITS_CREADR, GITS_CWRITER):
        yield Step(_ITS, Group.ITS_REGS, register)
    for n in range(NR_BASERS):
        yield Step(_ITS, Group.ITS_REGS, GITS_BASER + n * 8)
    yield Step(_ITS, Group.CTRL, ITS_RESTORE_TABLES, 0)
    yield Step(_ITS, Group.ITS_REGS, GITS_CTLR)
