"""A guest's driver of a GICv2: the CPU interface in memory, CPU masks, SGIs with their source.

Room:    beside gic, whose questions it answers for one GIC version.
"""

from collections.abc import Iterable
from typing import Final, final

from hw.arch import (
    GICC_AEOIR,
    GICC_AHPPIR,
    GICC_AIAR,
    GICC_BPR,
    GICC_CTLR,
    GICC_CTLR_ACKCTL,
    GICC_CTLR_ENABLE_GRP0,
    GICC_CTLR_ENABLE_GRP1,
    GICC_CTLR_EOIMODE,
    GICC_CTLR_FIQEN,
    GICC_DIR,
    GICC_EOIR,
    GICC_HPPIR,
    GICC_IAR,
    GICC_PMR,
    GICC_RPR,
    GICD_CTLR,
    GICD_IPRIORITYR,
    GICD_ISENABLER,
    GICD_ITARGETSR,
    GICD_SGIR,
    GICD_SGIR_FILTER_SHIFT,
    GICD_SGIR_TARGETS_SHIFT,
    GICD_TYPER,
    GICD_TYPER_ITLINES_MASK,
    IAR_CPUID_SHIFT,
    IAR_INTID_MASK,
    NR_SGIS,
)
from vgic.cli.checks.gic import ALL_OPEN, Gic
from vgic.cli.checks.port import Port

_SGI_ENABLES: Final = (1 << NR_SGIS) - 1
_SGI_PRIORITIES: Final = 0xA0A0A0A0
_MAX_INTIDS: Final = 1020
_FIRST_SPI: Final = 32
_TO_LIST: Final = 0
_TO_OTHERS: Final = 1
_TO_SELF: Final = 2


@final
class GicV2(Gic):
    """GICv2: everything is memory-mapped; all is Group 0, signalled as IRQ, unless groups are separated."""

    name = "gicv2"
    nobody = 0  # what has no target goes to CPU 0, as KVM has it

    def __init__(self, gicd: int, gicc: int) -> None:
        """Know the addresses of the distributor and of the CPU interface."""
        super().__init__(gicd)
        self.gicc = gicc
        self._separate = False

    # -- setting up ------------------------------------------------------------------------------

    def setup_distributor(self, cpu: Port) -> None:
        """Give every SPI priority 0xA0 and enable the distributor, as kvm-unit-tests' gicv2_enable_defaults() does."""
        gicd = self.gicd
        intids = min(32 * ((cpu.load(gicd + GICD_TYPER) & GICD_TYPER_ITLINES_MASK) + 1), _MAX_INTIDS)
        for intid in range(_FIRST_SPI, intids, 4):
            cpu.store(gicd + GICD_IPRIORITYR + intid, _SGI_PRIORITIES)
        cpu.store(gicd + GICD_CTLR, 1)

    def setup_cpu(self, cpu: Port) -> None:
        """All private interrupts of priority 0xA0, SGIs enabled; Group 0 on, mask open."""
        for intid in range(0, _FIRST_SPI, 4):
            cpu.store(self.gicd + GICD_IPRIORITYR + intid, _SGI_PRIORITIES)
        cpu.store(self.gicd + GICD_ISENABLER, _SGI_ENABLES)
        cpu.store(self.gicc + GICC_PMR, ALL_OPEN)
        cpu.store(self.gicc + GICC_CTLR, GICC_CTLR_ENABLE_GRP0)

    def enable_distributor(self, cpu: Port, on: bool) -> None:
        """Write GICD_CTLR."""
        cpu.store(self.gicd + GICD_CTLR, int(on))

    def route(self, cpu: Port, intid: int, target: Port) -> None:
        """Write a byte of ITARGETSR."""
        cpu.store(self.gicd + GICD_ITARGETSR + intid, 1 << target.index, 1)

    def route_to_nobody(self, cpu: Port, intid: int) -> None:
        """Write a zero byte of ITARGETSR."""
        cpu.store(self.gicd + GICD_ITARGETSR + intid, 0, 1)

    def separate_groups(self, cpu: Port) -> None:
        """Group 1 instead of Group 0, taken through the aliased registers; FIQEn for Group 0."""
        self._separate = True
        cpu.store(self.gicc + GICC_CTLR, GICC_CTLR_ENABLE_GRP1 | GICC_CTLR_FIQEN)

    # -- SGIs ------------------------------------------------------------------------------------

    def send_self(self, cpu: Port, sgi: int) -> None:
        """Write SGIR with the filter for it."""
        self._send(cpu, sgi, _TO_SELF, 0)

    def send(self, cpu: Port, sgi: int, targets: Iterable[Port]) -> None:
        """Write SGIR with a list."""
        self._send(cpu, sgi, _TO_LIST, sum(1 << target.index for target in targets))

    def send_others(self, cpu: Port, sgi: int) -> None:
        """Write SGIR with the filter for it."""
        self._send(cpu, sgi, _TO_OTHERS, 0)

    def _send(self, cpu: Port, sgi: int, where: int, targets: int) -> None:
        cpu.store(self.gicd + GICD_SGIR, where << GICD_SGIR_FILTER_SHIFT | targets << GICD_SGIR_TARGETS_SHIFT | sgi)

    # -- the CPU interface -----------------------------------------------------------------------

    def acknowledge(self, cpu: Port) -> int:
        """Read IAR, or AIAR when that is for Group 0 alone."""
        return self.acknowledge_group1(cpu) if self._separate else cpu.load(self.gicc + GICC_IAR)

    def intid(self, iar: int) -> int:
        """Return it without the CPUID."""
        return iar & IAR_INTID_MASK

    def sender(self, iar: int) -> int | None:
        """Return an SGI's CPUID."""
        return iar >> IAR_CPUID_SHIFT if self.intid(iar) < NR_SGIS else None

    def end(self, cpu: Port, iar: int) -> None:
        """Write EOIR, or AEOIR, with the CPUID."""
        if self._separate:
            self.end_group1(cpu, iar)
        else:
            cpu.store(self.gicc + GICC_EOIR, iar)

    def deactivate(self, cpu: Port, iar: int) -> None:
        """Write DIR."""
        cpu.store(self.gicc + GICC_DIR, iar)

    def split_end(self, cpu: Port, on: bool) -> None:
        """Write CTLR.EOImode."""
        self._control(cpu, GICC_CTLR_EOIMODE, on)

    def acknowledge_group0(self, cpu: Port) -> int:
        """Read IAR."""
        return cpu.load(self.gicc + GICC_IAR)

    def end_group0(self, cpu: Port, iar: int) -> None:
        """Write EOIR."""
        cpu.store(self.gicc + GICC_EOIR, iar)

    def acknowledge_group1(self, cpu: Port) -> int:
        """Read AIAR."""
        return cpu.load(self.gicc + GICC_AIAR)

    def end_group1(self, cpu: Port, iar: int) -> None:
        """Write AEOIR."""
        cpu.store(self.gicc + GICC_AEOIR, iar)

    def acknowledge_both(self, cpu: Port, on: bool) -> None:
        """Write CTLR.AckCtl."""
        self._control(cpu, GICC_CTLR_ACKCTL, on)

    def enable_group(self, cpu: Port, group: int, on: bool) -> None:
        """Write CTLR.EnableGrp0 or EnableGrp1."""
        self._control(cpu, GICC_CTLR_ENABLE_GRP1 if group else GICC_CTLR_ENABLE_GRP0, on)

    def _control(self, cpu: Port, bit: int, on: bool) -> None:
        control = cpu.load(self.gicc + GICC_CTLR)
        cpu.store(self.gicc + GICC_CTLR, control | bit if on else control & ~bit)

    def mask(self, cpu: Port, priority: int) -> None:
        """Write PMR."""
        cpu.store(self.gicc + GICC_PMR, priority)

    def set_binary_point(self, cpu: Port, point: int) -> None:
        """Write BPR, which counts from one bit less than a GICv3's BPR1."""
        cpu.store(self.gicc + GICC_BPR, max(point - 1, 0))

    def running_priority(self, cpu: Port) -> int:
        """Read RPR."""
        return cpu.load(self.gicc + GICC_RPR)

    def highest_pending(self, cpu: Port) -> int:
        """Read HPPIR."""
        return self.intid(cpu.load(self.gicc + GICC_HPPIR))

    def highest_pending_group1(self, cpu: Port) -> int:
        """Read AHPPIR."""
        return self.intid(cpu.load(self.gicc + GICC_AHPPIR))

    # -- one interrupt's state -------------------------------------------------------------------

    def bank(self, cpu: Port, intid: int) -> int:
        """SGIs and PPIs are banked in the distributor."""
        return self.gicd
