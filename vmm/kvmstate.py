"""The interrupt controller's state in KVM's own formats, saved and restored in the order a VMM has to keep.

Room:    beside gic, whose devices it reads and writes, attribute by attribute.
Never:   hands on an object: what the new VM knows went through guest memory or through a number.
Holds:   `_steps` is the one legal order.  Restoring goes through it from the top; saving reads the same registers.

    save     tables into guest memory; registers; then guest memory, which the tables have changed
    restore  guest memory; distributor; redistributors, where the LPI tables lie; CPU interfaces; lines; ITS registers,
             its tables, GITS_CTLR; then every vCPU looks at its interrupts, and every device drives its line again

What is lost that way is told in docs/saving.md.
Source: Linux, Documentation/virt/kvm/devices/arm-vgic.rst, arm-vgic-v3.rst and arm-vgic-its.rst.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from vgic import CTRL_SAVE_PENDING_TABLES, ITS_RESTORE_TABLES, ITS_SAVE_TABLES, Group, arch
from vmm.gic import Gic
from vmm.layout import SPIS

_GIC, _ITS = 0, 1
"""Which of the interrupt controller's devices."""

_ONES: Final = 0xFFFF_FFFF
_PRIVATE: Final = 32
_SGIS: Final = 16

# GICv2's distributor (IHI 0048), where it is not GICv3's
_ITARGETSR: Final = 0x800
_SPENDSGIR: Final = 0xF20
_GICC: Final = (0x00, 0x04, 0x08, 0x1C, 0xD0)
"""CTLR, PMR, BPR, ABPR, APR0."""

_GITS_IIDR: Final = 0x0004
_GITS_QUEUE: Final = (0x0080, 0x0090, 0x0088)
"""CBASER, which clears the other two; CREADR, CWRITER."""
_GITS_BASER: Final = 0x0100
_GITS_BASERS: Final = 2
_GITS_CTLR: Final = 0x0000


class Step(NamedTuple):
    """One attribute of the new VM to set: to `value`, or, if that is None, to those bits it has in the old one."""

    device: int
    group: int
    attr: int
    value: int | None = None
    bits: int = -1


class Bank(NamedTuple):
    """Registers with `bits` for each interrupt; `clear` is the bank that first has to clear them, if one does."""

    offset: int
    bits: int
    clear: int | None = None


# Where and how before whether: an interrupt is looked at when it becomes enabled, active or pending.
_BANKS: Final = (
    Bank(arch.GICD_IGROUPR, 1),
    Bank(arch.GICD_ICFGR, 2),
    Bank(arch.GICD_IPRIORITYR, 8),
    Bank(arch.GICD_ISENABLER, 1, arch.GICD_ICENABLER),
    Bank(arch.GICD_ISACTIVER, 1, arch.GICD_ICACTIVER),
    Bank(arch.GICD_ISPENDR, 1),
)


@dataclass(frozen=True, slots=True)
class KvmState:
    """What a VMM carries from one VM to the next besides guest memory: attributes and their values, in order."""

    steps: tuple[tuple[int, int, int, int], ...]


def save(gic: Gic) -> KvmState:
    """Bring the tables in guest memory up to date, then read every register.  Errors: VgicError."""
    if gic.config.has_gicv3:
        if len(gic.devices) > _ITS:
            gic.devices[_ITS].set_attr(Group.CTRL, ITS_SAVE_TABLES)
        gic.devices[_GIC].set_attr(Group.CTRL, CTRL_SAVE_PENDING_TABLES)
    return KvmState(tuple((step.device, int(step.group), step.attr, _value(gic, step)) for step in _steps(gic)))


def _value(gic: Gic, step: Step) -> int:
    if step.value is not None:
        return step.value
    return gic.devices[step.device].get_attr(step.group, step.attr) & step.bits


def restore(gic: Gic, state: KvmState) -> None:
    """Set a new VM's registers, when its guest memory is there.  Errors: VgicError, ValueError."""
    for wanted, (device, group, attr, value) in zip(_steps(gic), state.steps, strict=True):
        if (wanted.device, wanted.group, wanted.attr) != (device, group, attr) or wanted.value not in (None, value):
            raise ValueError(f"group {group}, attribute {attr:#x} of device {device} is out of order")
        gic.devices[device].set_attr(group, attr, value)


def _steps(gic: Gic) -> Iterator[Step]:
    """Everything, in order."""
    if not gic.config.has_gicv3:
        yield from _gicv2(range(gic.config.cpus))
        return
    affinities = [vcpu.mpidr << 32 for vcpu in gic.vm.vcpus]
    yield from _distributor()
    for affinity in affinities:
        yield from _redistributor(affinity)
    for affinity in affinities:
        yield from _cpu_interface(gic, affinity)
    for first in range(_PRIVATE, _PRIVATE + SPIS, 32):
        yield Step(_GIC, Group.LEVEL_INFO, affinities[0] | first)
    for affinity in affinities:
        yield Step(_GIC, Group.LEVEL_INFO, affinity)
    if len(gic.devices) > _ITS:
        yield from _its()


def _distributor() -> Iterator[Step]:
    """GICD: CTLR first, as an interrupt that is looked at while the distributor is off is forgotten."""
    yield Step(_GIC, Group.DIST_REGS, arch.GICD_IIDR)
    yield Step(_GIC, Group.DIST_REGS, arch.GICD_CTLR)
    for at in range(_PRIVATE * 8, (_PRIVATE + SPIS) * 8, 4):
        yield Step(_GIC, Group.DIST_REGS, arch.GICD_IROUTER + at)
    yield from _banks(Group.DIST_REGS, 0, _PRIVATE, SPIS)


def _redistributor(affinity: int) -> Iterator[Step]:
    """GICR of one CPU: EnableLPIs after the two base registers, which it locks."""
    for register in (arch.GICR_PROPBASER, arch.GICR_PENDBASER):
        yield Step(_GIC, Group.REDIST_REGS, affinity | register)
        yield Step(_GIC, Group.REDIST_REGS, affinity | register + 4)
    yield Step(_GIC, Group.REDIST_REGS, affinity | arch.GICR_CTLR)
    yield from _banks(Group.REDIST_REGS, affinity | arch.GICR_SGI_BASE, 0, _PRIVATE)


def _banks(group: Group, base: int, first: int, count: int) -> Iterator[Step]:
    for bank in _BANKS:
        for at in range(first * bank.bits // 8, (first + count) * bank.bits // 8, 4):
            if bank.clear is not None:
                yield Step(_GIC, group, base + bank.clear + at, _ONES)
            yield Step(_GIC, group, base + bank.offset + at)


def _cpu_interface(gic: Gic, affinity: int) -> Iterator[Step]:
    """ICC_*_EL1 of one CPU: BPR1 before CTLR.CBPR hides it, and CTLR's priority bits before the registers they give."""
    control = gic.devices[_GIC].get_attr(Group.CPU_SYSREGS, affinity | arch.ICC_CTLR_EL1)
    active_priorities = range({7: 4, 6: 2}.get((control >> 8 & 7) + 1, 1))
    for register in (
        arch.ICC_SRE_EL1,
        arch.ICC_BPR0_EL1,
        arch.ICC_BPR1_EL1,
        arch.ICC_CTLR_EL1,
        arch.ICC_PMR_EL1,
        arch.ICC_IGRPEN0_EL1,
        arch.ICC_IGRPEN1_EL1,
        *(arch.ICC_AP0R0_EL1 + n for n in active_priorities),
        *(arch.ICC_AP1R0_EL1 + n for n in active_priorities),
    ):
        yield Step(_GIC, Group.CPU_SYSREGS, affinity | register)


def _its() -> Iterator[Step]:
    """GITS: CBASER before the queue's offsets, which it clears; CTLR last: it locks everything and starts the ITS."""
    yield Step(_ITS, Group.ITS_REGS, _GITS_IIDR)
    for register in _GITS_QUEUE:
        yield Step(_ITS, Group.ITS_REGS, register)
    for n in range(_GITS_BASERS):
        yield Step(_ITS, Group.ITS_REGS, _GITS_BASER + n * 8)
    yield Step(_ITS, Group.CTRL, ITS_RESTORE_TABLES, 0)
    yield Step(_ITS, Group.ITS_REGS, _GITS_CTLR)


def _gicv2(vcpu_ids: range) -> Iterator[Step]:
    """Everything of a GICv2: banked registers are reached through their vCPU's id."""
    yield Step(_GIC, Group.DIST_REGS, arch.GICD_IIDR)
    yield Step(_GIC, Group.DIST_REGS, arch.GICD_CTLR)
    for at in range(_PRIVATE, _PRIVATE + SPIS, 4):
        yield Step(_GIC, Group.DIST_REGS, _ITARGETSR + at)
    yield from _banks(Group.DIST_REGS, 0, _PRIVATE, SPIS)
    for vcpu_id in vcpu_ids:
        base = vcpu_id << 32
        for step in _banks(Group.DIST_REGS, base, 0, _PRIVATE):
            # of an SGI that is pended by user space KVM takes the receiver for the sender
            yield step if step.attr != base + arch.GICD_ISPENDR else step._replace(bits=_ONES << _SGIS)
        for at in range(0, _SGIS, 4):  # the senders, and thereby that it is pending
            yield Step(_GIC, Group.DIST_REGS, base + _SPENDSGIR + at)
    for vcpu_id in vcpu_ids:
        for offset in _GICC:
            yield Step(_GIC, Group.CPU_REGS, vcpu_id << 32 | offset)
