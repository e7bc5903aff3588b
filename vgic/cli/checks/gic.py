"""The guest's driver for its interrupt controller.

Room:    between the guest's kernel and its instructions.
Owns:    where each CPU's redistributor is, once found.
Holds:   what GICv2 and GICv3 have in common is in `Gic`; each model is a class beside the other.
         The calling CPU is always the first argument: it is the one that executes the accesses.
"""

from collections.abc import Iterable
from typing import Final

from hw.arch import (
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
)
from vgic.cli.checks.port import Port

ALL_OPEN: Final = 0xF0
"""The priority mask that lets everything through but the lowest two of 32 levels: kvm-unit-tests' choice."""


class Gic:
    """What the tests ask of an interrupt controller, and the register banks that every GIC has."""

    name: str  # the first prefix of the report
    nobody: int | None = None  # the CPU that gets what is routed to nobody, if one does

    def __init__(self, gicd: int) -> None:
        """Know the distributor's address."""
        self.gicd = gicd

    # -- setting up ------------------------------------------------------------------------------

    def setup_distributor(self, cpu: Port) -> None:
        """Enable the distributor, once."""
        raise NotImplementedError

    def setup_cpu(self, cpu: Port) -> None:
        """Enable SGIs and the CPU interface of the calling CPU."""
        raise NotImplementedError

    def enable_distributor(self, cpu: Port, on: bool) -> None:
        """Let the distributor forward interrupts, or stop it."""
        raise NotImplementedError

    def route(self, cpu: Port, intid: int, target: Port) -> None:
        """Deliver an SPI to the CPU `target`."""
        raise NotImplementedError

    def route_to_nobody(self, cpu: Port, intid: int) -> None:
        """Deliver an SPI to a CPU that does not exist."""
        raise NotImplementedError

    def separate_groups(self, cpu: Port) -> None:
        """Have Group 1 taken as IRQ and Group 0, once enabled, as FIQ."""
        raise NotImplementedError

    # -- SGIs ------------------------------------------------------------------------------------

    def send_self(self, cpu: Port, sgi: int) -> None:
        """Send an SGI to the calling CPU."""
        raise NotImplementedError

    def send(self, cpu: Port, sgi: int, targets: Iterable[Port]) -> None:
        """Send an SGI to each of `targets`, with as few writes as the register allows."""
        raise NotImplementedError

    def send_others(self, cpu: Port, sgi: int) -> None:
        """Send an SGI to every CPU but the calling one."""
        raise NotImplementedError

    # -- the CPU interface -----------------------------------------------------------------------

    def acknowledge(self, cpu: Port) -> int:
        """Return IAR, whole."""
        raise NotImplementedError

    def intid(self, iar: int) -> int:
        """Return the INTID in what IAR gave."""
        raise NotImplementedError

    def sender(self, iar: int) -> int | None:
        """Return the CPU that sent the SGI in what IAR gave; None where IAR does not say."""
        return None

    def end(self, cpu: Port, iar: int) -> None:
        """Write EOIR."""
        raise NotImplementedError

    def deactivate(self, cpu: Port, iar: int) -> None:
        """Write DIR."""
        raise NotImplementedError

    def split_end(self, cpu: Port, on: bool) -> None:
        """Choose EOImode: whether `end` only drops the running priority."""
        raise NotImplementedError

    def acknowledge_group0(self, cpu: Port) -> int:
        """Acknowledge what is signalled as FIQ."""
        raise NotImplementedError

    def end_group0(self, cpu: Port, iar: int) -> None:
        """End what is signalled as FIQ."""
        raise NotImplementedError

    def enable_group(self, cpu: Port, group: int, on: bool) -> None:
        """Let the CPU interface signal a group."""
        raise NotImplementedError

    def mask(self, cpu: Port, priority: int) -> None:
        """Let only what is more urgent than `priority` through."""
        raise NotImplementedError

    def set_binary_point(self, cpu: Port, point: int) -> None:
        """Choose how many low priority bits do not count for preemption; 0 is raised to what is implemented."""
        raise NotImplementedError

    def running_priority(self, cpu: Port) -> int:
        """Return the priority of what the calling CPU handles; 0xFF when that is nothing."""
        raise NotImplementedError

    def highest_pending(self, cpu: Port) -> int:
        """Return the most urgent pending INTID."""
        raise NotImplementedError

    # -- one interrupt's state -------------------------------------------------------------------

    def bank(self, cpu: Port, intid: int) -> int:
        """Return the frame whose register banks hold `intid`, as seen by the calling CPU."""
        raise NotImplementedError

    def enable(self, cpu: Port, intid: int) -> None:
        """Write ISENABLER."""
        self._write_bit(cpu, GICD_ISENABLER, intid)

    def disable(self, cpu: Port, intid: int) -> None:
        """Write ICENABLER."""
        self._write_bit(cpu, GICD_ICENABLER, intid)

    def set_pending(self, cpu: Port, intid: int) -> None:
        """Write ISPENDR."""
        self._write_bit(cpu, GICD_ISPENDR, intid)

    def clear_pending(self, cpu: Port, intid: int) -> None:
        """Write ICPENDR."""
        self._write_bit(cpu, GICD_ICPENDR, intid)

    def is_pending(self, cpu: Port, intid: int) -> bool:
        """Read ISPENDR."""
        return self._read_bit(cpu, GICD_ISPENDR, intid)

    def clear_active(self, cpu: Port, intid: int) -> None:
        """Write ICACTIVER."""
        self._write_bit(cpu, GICD_ICACTIVER, intid)

    def is_active(self, cpu: Port, intid: int) -> bool:
        """Read ISACTIVER."""
        return self._read_bit(cpu, GICD_ISACTIVER, intid)

    def set_priority(self, cpu: Port, intid: int, priority: int) -> None:
        """Write a byte of IPRIORITYR."""
        cpu.store(self.bank(cpu, intid) + GICD_IPRIORITYR + intid, priority, 1)

    def set_level(self, cpu: Port, intid: int, level: bool) -> None:
        """Make an SPI level-sensitive, or edge-triggered, in ICFGR."""
        gpa = self.bank(cpu, intid) + GICD_ICFGR + intid // 16 * 4
        edge = 2 << intid % 16 * 2
        word = cpu.load(gpa)
        cpu.store(gpa, word & ~edge if level else word | edge)

    def set_group(self, cpu: Port, intid: int, group: int) -> None:
        """Put an interrupt in Group 0 or 1."""
        gpa = self.bank(cpu, intid) + GICD_IGROUPR + intid // 32 * 4
        bit = 1 << intid % 32
        word = cpu.load(gpa)
        cpu.store(gpa, word | bit if group else word & ~bit)

    def _write_bit(self, cpu: Port, register: int, intid: int) -> None:
        cpu.store(self.bank(cpu, intid) + register + intid // 32 * 4, 1 << intid % 32)

    def _read_bit(self, cpu: Port, register: int, intid: int) -> bool:
        return bool(cpu.load(self.bank(cpu, intid) + register + intid // 32 * 4) >> intid % 32 & 1)
