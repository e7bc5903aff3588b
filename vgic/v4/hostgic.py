"""The host's driver of the physical GIC, as far as direct injection needs it: what is there, LPIs, interrupts taken.

Room:    above the ITS driver; below the host, of which each has at most one.
Owns:    physical LPIs and their tables, the numbers of LPIs and vPEs, who is called when an LPI is taken.
Never:   knows a guest; takes an interrupt that is no LPI: those belong to whoever drives the rest of the machine.
Holds:   a physical LPI that is enabled has a handler.

Several VMs share it, so everything that reaches hardware is done with `lock` held; handlers are called without it.
Linux: gic_of_setup_kvm_info(), __gic_update_rdist_properties(), its_init(), its_cpu_init_lpis(),
allocate_vpe_l1_table().
"""

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, final

from hw import Machine, arch4
from hw.arch import (
    FIRST_LPI,
    GICD_CTLR,
    GICD_CTLR_ENABLE_GRP1,
    GICR_CLRLPIR,
    GICR_CTLR,
    GICR_CTLR_ENABLE_LPIS,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SYNCR,
    GICR_TYPER,
    GICR_TYPER_DIRECT_LPI,
    ICC_EOIR1_EL1,
    ICC_HPPIR1_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
)
from hw.arch4 import (
    GICD_TYPER2,
    GICD_TYPER2_VIL,
    GICR_TYPER_COMMON_SHIFT,
    GICR_TYPER_DIRTY,
    GICR_TYPER_RVPEID,
    GICR_TYPER_VLPIS,
    GICR_VPENDBASER,
    GICR_VPROPBASER,
    INVLPIR_V,
    INVLPIR_VPEID_SHIFT,
    VALID,
    VPROPBASER_ENTRY_SIZE_SHIFT,
    VPROPBASER_PAGE_SIZE_SHIFT,
)
from vgic.errors import ENOMEM, VgicError
from vgic.lock import make_lock
from vgic.v4.hostits import VINTID_BITS, HostIts
from vgic.v4.hostmem import BLOCK, Pages
from vgic.v4.proxy import Proxy

if TYPE_CHECKING:
    from hw import Pe
    from vgic.vcpu import VcpuGic

_W32: Final = 4
_W64: Final = 8
_LPI_BITS: Final = 16
_PRIORITY: Final = 0xA0
_ENABLE: Final = 1
_ID_GIC_VSGI: Final = 3
_COMMON: Final = (0, 0xFF00_0000, 0xFFFF_0000, 0xFFFF_FF00)  # by GICR_TYPER.CommonLPIAff


class LpiHandler:
    """Who is told that the host took a physical LPI."""

    __slots__ = ()

    def fired(self) -> None:
        """It was taken."""
        raise NotImplementedError

    def leave(self, cpu: int, other: int) -> None:
        """Physical CPU `cpu` goes offline: `other` shall take it, if that one did."""


class Numbers:
    """Small numbers, each handed out once: the lowest that is free."""

    __slots__ = ("_free", "_next", "end", "first")

    def __init__(self, first: int, end: int) -> None:
        """The numbers first..end-1."""
        self.first = first
        self.end = end
        self._next = first
        self._free: list[int] = []

    @property
    def used(self) -> int:
        """How many are handed out."""
        return self._next - self.first - len(self._free)

    @property
    def left(self) -> int:
        """How many are not."""
        return self.end - self.first - self.used

    def check(self, what: str) -> None:
        """Errors: ENOMEM when all are in use."""
        if not self.left:
            raise VgicError(ENOMEM, f"all {self.end - self.first} {what} are in use")

    def take(self, what: str) -> int:
        """Return a number.  Errors: ENOMEM when all are in use."""
        self.check(what)
        if self._free:
            return heappop(self._free)
        self._next += 1
        return self._next - 1

    def give(self, number: int) -> None:
        """Take one back."""
        heappush(self._free, number)


@final
class HostGic:
    """The GIC of `machine`, taken into use; see `has_v4` for whether it can inject directly."""

    __slots__ = (
        "_config",
        "_handlers",
        "cpus",
        "direct_lpi",
        "dirty",
        "erratum_162100801",
        "has_v4",
        "has_v4_1",
        "has_vsgi",
        "itss",
        "loaded",
        "lock",
        "lpis",
        "machine",
        "offline",
        "pages",
        "proxy",
        "sequence",
        "vpeids",
        "warnings",
    )

    def __init__(self, machine: Machine, base: int, size: int) -> None:
        """Probe and set up; tables are put into the machine's memory from `base` on, `size` bytes at most."""
        self.machine = machine
        self.lock = make_lock(True)
        self.pages = Pages(machine.memory, base, size)
        self.cpus = len(machine.pes)
        self.loaded: dict[int, VcpuGic] = {}  # the host's; physical CPU index -> vCPU
        self.offline: set[int] = set()  # CPUs that take no interrupts
        self.warnings: list[str] = []  # what Linux would print
        self.erratum_162100801 = False  # after VMOVP the new redistributor has to be told to look at configurations
        self.sequence = 0  # of the last VMOVP that several ITSs had to see
        self.lpis = Numbers(FIRST_LPI, 1 << _LPI_BITS)
        self._handlers: dict[int, LpiHandler] = {}
        self._config = 0
        typers = [pe.redist.read(GICR_TYPER, _W64) for pe in machine.pes]
        vlpis = all(typer & GICR_TYPER_VLPIS for typer in typers)
        rvpeid = vlpis and all(typer & GICR_TYPER_RVPEID for typer in typers)
        self.dirty = all(typer & GICR_TYPER_DIRTY for typer in typers)
        self.direct_lpi = all(typer & (GICR_TYPER_DIRECT_LPI | GICR_TYPER_RVPEID) for typer in typers)
        typer2 = machine.dist.read(GICD_TYPER2, _W32)
        nr_vpes = 1 << ((typer2 & 0x1F) + 1 if typer2 & GICD_TYPER2_VIL else 16)
        self.vpeids = Numbers(0, nr_vpes)
        self._start_redistributors()
        vpe_table = self._start_vpe_tables(nr_vpes) if rvpeid else (0, 0)
        if vlpis and not rvpeid:
            for pe in machine.pes:
                pe.redist.write(GICR_VPROPBASER, _W64, VINTID_BITS - 1)
        stride = arch4.GICR_STRIDE_V4 if vlpis else arch4.GICR_STRIDE_V3
        first = machine.fabric.phys.redist_base  # where firmware tables say that redistributors are
        rd_bases = [first + stride * cpu for cpu in range(self.cpus)]
        self.itss = [HostIts(its, self.pages, rd_bases, vpe_table, nr_vpes) for its in machine.itss]
        self.has_v4_1 = rvpeid and any(its.v41 for its in self.itss)
        self.has_v4 = vlpis and any(its.v4 for its in self.itss) and (self.has_v4_1 or not rvpeid)
        self.proxy = Proxy(next((its for its in self.itss if its.v4), None), self.pages, self.cpus)
        sgis = self.has_v4_1 and any(its.vsgi for its in self.itss)
        self.has_vsgi = sgis and all(pe.virt.config.id_gic >= _ID_GIC_VSGI for pe in machine.pes)

    # Set-up

    def _start_redistributors(self) -> None:
        """Physical LPIs on every CPU, which then takes interrupts."""
        machine = self.machine
        self._config = self.pages.take((1 << _LPI_BITS) - FIRST_LPI)
        dist = machine.dist
        dist.write(GICD_CTLR, _W32, dist.read(GICD_CTLR, _W32) | GICD_CTLR_ENABLE_GRP1)
        for pe in machine.pes:
            pending = self.pages.take((1 << _LPI_BITS) // 8)
            pe.redist.write(GICR_PROPBASER, _W64, self._config | _LPI_BITS - 1)
            pe.redist.write(GICR_PENDBASER, _W64, pending)
            pe.redist.write(GICR_CTLR, _W32, GICR_CTLR_ENABLE_LPIS)
            pe.msr_el2(ICC_PMR_EL1, 0xF0)
            pe.msr_el2(ICC_IGRPEN1_EL1, 1)

    def _start_vpe_tables(self, nr_vpes: int) -> tuple[int, int]:
        """One vPE configuration table for each group of redistributors; the first one's address and 64 KiB pages."""
        tables: dict[int, int] = {}
        count = 0
        for pe in self.machine.pes:
            group = self._group(pe.index)
            entry = ((pe.redist.read(GICR_VPROPBASER, _W64) >> VPROPBASER_ENTRY_SIZE_SHIFT & 7) + 1) * 8
            count = (nr_vpes * entry + BLOCK - 1) // BLOCK
            if group not in tables:
                tables[group] = self.pages.take(count * BLOCK)
            value = VALID | tables[group] | 2 << VPROPBASER_PAGE_SIZE_SHIFT | count - 1
            pe.redist.write(GICR_VPROPBASER, _W64, value)
        return next(iter(tables.values())), count

    # ITSs

    @property
    def v4_itss(self) -> list[HostIts]:
        """Those that have vPEs."""
        return [its for its in self.itss if its.v4]

    @property
    def eager(self) -> bool:
        """Whether vPEs are mapped everywhere at once: no ITS has a list to move them by, or vSGIs may use any ITS."""
        return self.has_v4_1 or all(its.vmovp for its in self.v4_itss)

    # Physical LPIs

    def request(self, handler: LpiHandler) -> int:
        """Return an LPI for `handler`, disabled.  Errors: ENOMEM."""
        with self.lock:
            lpi = self.lpis.take("physical LPIs")
            self._handlers[lpi] = handler
            return lpi

    def has_room(self, vpes: int) -> bool:
        """Whether a VM with that many vCPUs can be given its vPEs."""
        return min(self.vpeids.left, self.lpis.left, self.pages.left - 1) >= vpes

    def release(self, lpi: int) -> None:
        """Take one back, which nothing sends any more."""
        with self.lock:
            self.set_config(lpi, False)
            del self._handlers[lpi]
            self.lpis.give(lpi)

    def set_config(self, lpi: int, enabled: bool) -> None:
        """Write the configuration byte of an LPI; hardware has to be told to look at it."""
        self.machine.memory.write(self._config + lpi - FIRST_LPI, 1, _PRIORITY | (_ENABLE if enabled else 0))

    def invalidate(self, lpi: int, cpu: int) -> None:
        """GICR_INVLPIR and GICR_SYNCR, for a physical LPI."""
        self._redist(cpu, GICR_INVLPIR, lpi)

    def invalidate_virtual(self, vintid: int, vpeid: int, cpu: int) -> None:
        """GICR_INVLPIR and GICR_SYNCR, for a vLPI: GICv4.1."""
        self._redist(cpu, GICR_INVLPIR, INVLPIR_V | vpeid << INVLPIR_VPEID_SHIFT | vintid)

    def clear(self, lpi: int, cpu: int) -> None:
        """GICR_CLRLPIR and GICR_SYNCR."""
        self._redist(cpu, GICR_CLRLPIR, lpi)

    def _redist(self, cpu: int, register: int, value: int) -> None:
        redist = self.machine.pes[cpu].redist
        redist.write(register, _W64, value)
        redist.read(GICR_SYNCR, _W32)

    # Interrupts

    def take(self, cpu: int) -> None:
        """Physical CPU `cpu` takes the LPIs that are pending there; a guest that runs on it leaves and comes back.

        What a handler raises comes out when all are taken: the others are other VMs' and devices'.
        """
        pe = self.machine.pes[cpu]
        if cpu in self.offline:
            return
        holder = self.loaded.get(cpu)
        interrupted = False
        failure: BaseException | None = None
        while (handler := self._acknowledge(pe)) is not None:
            if not interrupted and holder is not None and holder.in_guest:
                interrupted = True
                holder.cost.exits_irq += 1
                holder.cost.entries += 1
            try:
                handler.fired()
            except BaseException as raised:
                failure = raised
        if failure is not None:
            raise failure

    def _acknowledge(self, pe: "Pe") -> LpiHandler | None:
        """Acknowledge the best interrupt, if it is an LPI, and return its handler; None if there is none such."""
        with self.lock:
            if not pe.irq() or not FIRST_LPI <= pe.mrs_el2(ICC_HPPIR1_EL1) < 1 << _LPI_BITS:
                return None
            lpi = pe.mrs_el2(ICC_IAR1_EL1)
            pe.msr_el2(ICC_EOIR1_EL1, lpi)
            return self._handlers.get(lpi, _NOBODY)

    def take_all(self) -> None:
        """Every physical CPU takes its LPIs; what a handler raises comes out last."""
        failure: BaseException | None = None
        for cpu in range(self.cpus):
            try:
                self.take(cpu)
            except BaseException as raised:
                failure = raised
        if failure is not None:
            raise failure

    # CPUs that come and go

    def other_cpu(self, cpu: int) -> int:
        """Return a CPU for a vPE that was mapped to `cpu`: one that shares its vPE table, if there is one."""
        online = [n for n in range(self.cpus) if n != cpu and n not in self.offline]
        near = [n for n in online if self._group(n) == self._group(cpu)]
        return (near or online)[0]

    def _group(self, cpu: int) -> int:
        """What redistributors that share tables have in common."""
        pe = self.machine.pes[cpu]
        return pe.aff & _COMMON[pe.redist.read(GICR_TYPER, _W64) >> GICR_TYPER_COMMON_SHIFT & 3]

    def set_offline(self, cpu: int) -> None:
        """A CPU takes no interrupts any more; it took those it had: irq_migrate_all_off_this_cpu()."""
        self.take(cpu)
        with self.lock:
            other = self.other_cpu(cpu)
            for handler in self._handlers.values():
                handler.leave(cpu, other)
            self.offline.add(cpu)

    def warn(self, text: str) -> None:
        """Print a warning once, as Linux's WARN_ON_ONCE does."""
        if text not in self.warnings:
            self.warnings.append(text)

    def poll_vpendbaser(self, cpu: int, mask: int, limit: int) -> int:
        """Read GICR_VPENDBASER until `mask` is clear, for at most `limit` microseconds; the last value."""
        return self.poll(cpu, GICR_VPENDBASER, _W64, mask, limit)

    def poll(self, cpu: int, offset: int, width: int, mask: int, limit: int) -> int:
        """Read a register of a redistributor until `mask` is clear, for at most `limit` microseconds; the last value.

        Time is the machine's: a tick is a microsecond.  Steps grow, as nothing else happens meanwhile.
        """
        redist = self.machine.pes[cpu].redist
        waited = 0
        value = redist.read(offset, width)
        while value & mask and waited < limit:
            step = max(1, waited // 64)
            self.machine.tick(step)
            waited += step
            value = redist.read(offset, width)
        return value


@final
class _Nobody(LpiHandler):
    """An LPI whose handler went while it was pending."""

    __slots__ = ()

    def fired(self) -> None:
        """Spurious."""


_NOBODY: Final = _Nobody()
