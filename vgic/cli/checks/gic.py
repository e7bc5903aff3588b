"""The guest's driver for its interrupt controller.

Room:    between the guest's kernel and its instructions.
Owns:    where each CPU's redistributor is, once found.
Holds:   what GICv2 and GICv3 have in common is in `Gic`; each model is a class beside the other.
         The calling CPU is always the first argument: it is the one that executes the accesses.
"""

from collections.abc import Iterable
from typing import Final, final

from hw.arch import (
    CTLR_CBPR,
    CTLR_EOIMODE,
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
    GICD_CTLR_ARE,
    GICD_CTLR_ENABLE_GRP0,
    GICD_CTLR_ENABLE_GRP1,
    GICD_CTLR_RWP,
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_IROUTER,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
    GICD_ITARGETSR,
    GICD_SGIR,
    GICD_SGIR_FILTER_SHIFT,
    GICD_SGIR_TARGETS_SHIFT,
    GICD_TYPER,
    GICD_TYPER_ITLINES_MASK,
    GICR_SGI_BASE,
    GICR_TYPER,
    GICR_TYPER_AFF_SHIFT,
    GICR_TYPER_LAST,
    IAR_CPUID_SHIFT,
    IAR_INTID_MASK,
    ICC_BPR1_EL1,
    ICC_CTLR_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_RPR_EL1,
    ICC_SGI1R_EL1,
    NR_SGIS,
    SGIR_AFF1_SHIFT,
    SGIR_AFF2_SHIFT,
    SGIR_AFF3_SHIFT,
    SGIR_INTID_SHIFT,
    SGIR_IRM,
)
from vgic.cli.checks.port import GuestError, Port

ALL_OPEN: Final = 0xF0
"""The priority mask that lets everything through but the lowest two of 32 levels: kvm-unit-tests' choice."""

_ONES: Final = 0xFFFF_FFFF
_SGI_ENABLES: Final = (1 << NR_SGIS) - 1
_SGI_PRIORITIES: Final = 0xA0A0A0A0
_MAX_INTIDS: Final = 1020
_FIRST_SPI: Final = 32
_REDIST_STRIDE: Final = 0x20000
_RWP_POLLS: Final = 1000
_TO_LIST: Final = 0
_TO_OTHERS: Final = 1
_TO_SELF: Final = 2
_ENABLE: Final = GICD_CTLR_ARE | GICD_CTLR_ENABLE_GRP1 | GICD_CTLR_ENABLE_GRP0


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


@final
class GicV3(Gic):
    """GICv3 with affinity routing and the system-register CPU interface."""

    name = "gicv3"

    def __init__(self, gicd: int, gicr: int) -> None:
        """Know the addresses of the distributor and of the first redistributor."""
        super().__init__(gicd)
        self.gicr = gicr
        self.redists: dict[int, int] = {}  # CPU index -> its redistributor

    # -- setting up ------------------------------------------------------------------------------

    def setup_distributor(self, cpu: Port) -> None:
        """Do as kvm-unit-tests' gicv3_enable_defaults() does, slip included.

        Its loop over IGROUPR counts INTIDs where it should count words, and so writes all ones to the banks that
        follow: with 256 INTIDs ISENABLER, with more than 896 everything up to ICACTIVER.  Guests must survive that.
        """
        gicd = self.gicd
        intids = min(32 * ((cpu.load(gicd + GICD_TYPER) & GICD_TYPER_ITLINES_MASK) + 1), _MAX_INTIDS)
        cpu.store(gicd + GICD_CTLR, 0)
        self._wait_for_writes(cpu)
        cpu.store(gicd + GICD_CTLR, _ENABLE)
        self._wait_for_writes(cpu)
        for offset in range(0, intids, 4):
            cpu.store(gicd + GICD_IGROUPR + offset, _ONES)

    def _wait_for_writes(self, cpu: Port) -> None:
        for _ in range(_RWP_POLLS):
            if not cpu.load(self.gicd + GICD_CTLR) & GICD_CTLR_RWP:
                return
        raise GuestError("GICD_CTLR.RWP stays set")

    def setup_cpu(self, cpu: Port) -> None:
        """Find the redistributor; all SGIs in Group 1, priority 0xA0, enabled; Group 1 on, mask open."""
        sgis = self._find_redist(cpu) + GICR_SGI_BASE
        cpu.store(sgis + GICD_IGROUPR, _ONES)
        for offset in range(0, NR_SGIS, 4):
            cpu.store(sgis + GICD_IPRIORITYR + offset, _SGI_PRIORITIES)
        cpu.store(sgis + GICD_ISENABLER, _SGI_ENABLES)
        cpu.msr(ICC_PMR_EL1, ALL_OPEN)
        cpu.msr(ICC_IGRPEN1_EL1, 1)

    def _find_redist(self, cpu: Port) -> int:
        """Walk the redistributors to the one with the calling CPU's affinity, and remember it."""
        at = self.gicr
        while True:
            typer = cpu.load(at + GICR_TYPER, 8)
            if typer >> GICR_TYPER_AFF_SHIFT == cpu.affinity:
                self.redists[cpu.index] = at
                return at
            if typer & GICR_TYPER_LAST:
                raise GuestError(f"CPU {cpu.index}: no redistributor has affinity {cpu.affinity:#x}")
            at += _REDIST_STRIDE

    def enable_distributor(self, cpu: Port, on: bool) -> None:
        """Write GICD_CTLR."""
        cpu.store(self.gicd + GICD_CTLR, _ENABLE if on else 0)
        self._wait_for_writes(cpu)

    def route(self, cpu: Port, intid: int, target: Port) -> None:
        """Write IROUTER."""
        self._write_router(cpu, intid, target.affinity)

    def route_to_nobody(self, cpu: Port, intid: int) -> None:
        """Write IROUTER with Aff2 = Aff1 = Aff0 = 255, which no CPU of ours has."""
        self._write_router(cpu, intid, 0xFF_FFFF)

    def _write_router(self, cpu: Port, intid: int, affinity: int) -> None:
        aff3 = affinity >> 24
        cpu.store(self.gicd + GICD_IROUTER + intid * 8, affinity & 0xFF_FFFF | aff3 << 32, 8)

    def separate_groups(self, cpu: Port) -> None:
        """Do nothing: they are."""

    # -- SGIs ------------------------------------------------------------------------------------

    def send_self(self, cpu: Port, sgi: int) -> None:
        """Send to a list of one."""
        self.send(cpu, sgi, (cpu,))

    def send(self, cpu: Port, sgi: int, targets: Iterable[Port]) -> None:
        """Write SGI1R once for each cluster of up to 16 CPUs."""
        clusters: dict[int, int] = {}
        for target in targets:
            cluster = target.affinity >> 8
            clusters[cluster] = clusters.get(cluster, 0) | 1 << (target.affinity & 0xFF)
        for cluster, targets_in_it in clusters.items():
            aff1, aff2, aff3 = cluster & 0xFF, cluster >> 8 & 0xFF, cluster >> 16
            where = aff3 << SGIR_AFF3_SHIFT | aff2 << SGIR_AFF2_SHIFT | aff1 << SGIR_AFF1_SHIFT | targets_in_it
            cpu.msr(ICC_SGI1R_EL1, sgi << SGIR_INTID_SHIFT | where)

    def send_others(self, cpu: Port, sgi: int) -> None:
        """Write SGI1R with IRM."""
        cpu.msr(ICC_SGI1R_EL1, sgi << SGIR_INTID_SHIFT | SGIR_IRM)

    # -- the CPU interface -----------------------------------------------------------------------

    def acknowledge(self, cpu: Port) -> int:
        """Read IAR1."""
        return cpu.mrs(ICC_IAR1_EL1)

    def intid(self, iar: int) -> int:
        """Return all of it."""
        return iar

    def end(self, cpu: Port, iar: int) -> None:
        """Write EOIR1."""
        cpu.msr(ICC_EOIR1_EL1, iar)

    def deactivate(self, cpu: Port, iar: int) -> None:
        """Write DIR."""
        cpu.msr(ICC_DIR_EL1, iar)

    def split_end(self, cpu: Port, on: bool) -> None:
        """Write ICC_CTLR.EOImode."""
        control = cpu.mrs(ICC_CTLR_EL1) & (CTLR_CBPR | CTLR_EOIMODE)
        cpu.msr(ICC_CTLR_EL1, control | CTLR_EOIMODE if on else control & ~CTLR_EOIMODE)

    def acknowledge_group0(self, cpu: Port) -> int:
        """Read IAR0."""
        return cpu.mrs(ICC_IAR0_EL1)

    def end_group0(self, cpu: Port, iar: int) -> None:
        """Write EOIR0."""
        cpu.msr(ICC_EOIR0_EL1, iar)

    def enable_group(self, cpu: Port, group: int, on: bool) -> None:
        """Write IGRPEN0 or IGRPEN1."""
        cpu.msr(ICC_IGRPEN1_EL1 if group else ICC_IGRPEN0_EL1, int(on))

    def mask(self, cpu: Port, priority: int) -> None:
        """Write PMR."""
        cpu.msr(ICC_PMR_EL1, priority)

    def set_binary_point(self, cpu: Port, point: int) -> None:
        """Write BPR1; 0 is raised to what is implemented."""
        cpu.msr(ICC_BPR1_EL1, point)

    def running_priority(self, cpu: Port) -> int:
        """Read RPR."""
        return cpu.mrs(ICC_RPR_EL1)

    def highest_pending(self, cpu: Port) -> int:
        """Read HPPIR1."""
        return cpu.mrs(ICC_HPPIR1_EL1)

    # -- one interrupt's state -------------------------------------------------------------------

    def bank(self, cpu: Port, intid: int) -> int:
        """SGIs and PPIs are in the calling CPU's redistributor."""
        return self.gicd if intid >= _FIRST_SPI else self.redists[cpu.index] + GICR_SGI_BASE


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
