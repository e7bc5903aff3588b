"""Does a snapshot contradict itself?  Each value alone is in its range already.

Room:    above records; knows no VM.
Holds:   what passes can be built, and has every invariant that must hold between two calls.
"""

from typing import Final, NoReturn

from vgic.bus import MAX_DEVICES
from vgic.errors import StateError
from vgic.ids import (
    CPU_SIZE_V2,
    DIST_SIZE_V2,
    DIST_SIZE_V3,
    FIRST_LPI,
    FIRST_SPI,
    MAX_VCPUS_V2,
    MAX_VCPUS_V3,
    NR_PRIVATE,
    NR_SGIS,
    PRIORITY_MASK,
    REDIST_SIZE,
    SIZE_4K,
    SIZE_64K,
)
from vgic.ranges import overlaps
from vgic.snapshot.check_its import check_its, lpi_holders
from vgic.snapshot.records import IrqRecord, VcpuRecord, VmRecord
from vgic.snapshot.schema import EDGE, LEVEL, MODEL_GICV2, MODEL_GICV3, MODEL_NONE

_LPI_PRIORITY_MASK: Final = 0xFC
_LIMITS: Final = {MODEL_GICV2: MAX_VCPUS_V2, MODEL_GICV3: MAX_VCPUS_V3}
_APRS: Final = 4


def check(vm: VmRecord) -> None:
    """Raise StateError for the first contradiction."""
    _distributor(vm)
    _regions(vm)
    for n, vcpu in enumerate(vm.vcpus):
        _vcpu(vm, n, vcpu, f"vcpus[{n}]")
    _names(vm)
    for n, irq in enumerate(vm.spis):
        _spi(vm, n, irq)
    check_its(vm)
    _lpis(vm)
    _lists(vm)
    _bus(vm)
    _routes(vm)


def _refuse(where: str, why: str) -> NoReturn:
    raise StateError(where, why)


# -- the distributor and where frames lie ------------------------------------------------------


def _distributor(vm: VmRecord) -> None:
    dist, at = vm.distributor, "distributor"
    limit = _LIMITS.get(dist.model)
    if limit is not None and dist.max_vcpus != limit:
        _refuse(f"{at}.max_vcpus", f"a {dist.model} has room for {limit}, not {dist.max_vcpus}")
    if limit is not None and len(vm.vcpus) > limit:  # without a GIC, one that was refused may have lowered the limit
        _refuse("vcpus", f"{len(vm.vcpus)} vCPUs where there is room for {limit}")
    if dist.model == MODEL_NONE and dist.initialized:
        _refuse(f"{at}.initialized", "it is set without an interrupt controller")
    if dist.ready and not dist.initialized:
        _refuse(f"{at}.ready", "it is set before initialisation")
    if dist.nassgireq and not (dist.initialized and dist.model == MODEL_GICV3):
        _refuse(f"{at}.nassgireq", "it is set without an initialised GICv3")
    if dist.enabled and not dist.initialized:
        _refuse(f"{at}.enabled", "it is set before initialisation")
    if dist.nr_spis % 32 or (dist.initialized and not dist.nr_spis):
        _refuse(f"{at}.nr_spis", f"{dist.nr_spis} is no number of SPIs: a multiple of 32")
    if dist.implementation_rev == 1 or (dist.initialized and not dist.implementation_rev):
        _refuse(f"{at}.implementation_rev", f"{dist.implementation_rev}: revisions 2 and 3 exist")
    if len(vm.spis) != (dist.nr_spis if dist.initialized else 0):
        _refuse("spis", f"{len(vm.spis)} SPIs, not distributor.nr_spis")
    _bases(vm)


def _bases(vm: VmRecord) -> None:
    dist, at = vm.distributor, "distributor"
    gicv2 = dist.model == MODEL_GICV2
    size, alignment = (DIST_SIZE_V2, SIZE_4K) if gicv2 else (DIST_SIZE_V3, SIZE_64K)
    for name, base, bytes_ in (("dist_base", dist.dist_base, size), ("cpu_base", dist.cpu_base, CPU_SIZE_V2)):
        if base is None:
            if dist.ready and (gicv2 or name == "dist_base"):
                _refuse(f"{at}.{name}", "it is missing in a VM that has run")
            continue
        if dist.model == MODEL_NONE or (name == "cpu_base" and not gicv2):
            _refuse(f"{at}.{name}", f"the VM's interrupt controller ({dist.model}) has no such frame")
        if base % alignment or base + bytes_ > 1 << vm.ipa_bits:
            _refuse(f"{at}.{name}", f"{base:#x} is not aligned to {alignment:#x}, or beyond the guest's address space")
    if (
        dist.ready
        and dist.dist_base is not None
        and dist.cpu_base is not None
        and overlaps(dist.dist_base, size, dist.cpu_base, CPU_SIZE_V2)
    ):
        _refuse(f"{at}.cpu_base", f"{dist.cpu_base:#x} overlaps the distributor at {dist.dist_base:#x}")


def _regions(vm: VmRecord) -> None:
    dist = vm.distributor
    taken: list[tuple[int, int]] = []
    for n, region in enumerate(dist.regions):
        at = f"distributor.regions[{n}]"
        if dist.model != MODEL_GICV3:
            _refuse(at, f"a VM with interrupt controller {dist.model} has no redistributors")
        if not region.count and len(dist.regions) > 1:
            _refuse(f"{at}.count", "a region without limit must be the only one")
        if region.count > 0xFFF:
            _refuse(f"{at}.count", f"{region.count} is more than 4095")
        if region.count and region.slots_used > region.count:
            _refuse(f"{at}.slots_used", f"{region.slots_used} of {region.count} slots are used")
        size = (region.count or len(vm.vcpus)) * REDIST_SIZE
        if region.base % SIZE_64K or region.base + size > 1 << vm.ipa_bits:
            _refuse(f"{at}.base", f"{region.base:#x} is not 64 KiB aligned, or runs past the guest's address space")
        if any(overlaps(region.base, size, base, other) for base, other in taken):
            _refuse(f"{at}.base", f"{region.base:#x} overlaps an earlier region")
        used = dist.ready and region.slots_used  # KVM does not check regions that come after the first entry
        if used and dist.dist_base is not None and overlaps(region.base, size, dist.dist_base, DIST_SIZE_V3):
            _refuse(f"{at}.base", f"{region.base:#x} overlaps the distributor at {dist.dist_base:#x}")
        taken.append((region.base, size))
    placed: set[tuple[int, int]] = set()
    for n, vcpu in enumerate(vm.vcpus):
        at, place = f"vcpus[{n}].redistributor", vcpu.redistributor
        if place is None:
            if dist.ready and dist.model == MODEL_GICV3:
                _refuse(at, "it is missing in a VM that has run")
            continue
        if place.region >= len(dist.regions):
            _refuse(f"{at}.region", f"there is no region {place.region}")
        if place.slot >= dist.regions[place.region].slots_used:
            _refuse(f"{at}.slot", f"slot {place.slot} of region {place.region} is not used")
        if (place.region, place.slot) in placed:
            _refuse(f"{at}.slot", f"slot {place.slot} of region {place.region} is another vCPU's")
        placed.add((place.region, place.slot))


def _bus(vm: VmRecord) -> None:
    """Every frame that has an address must be there, each once, in order of address."""
    dist, at = vm.distributor, "distributor.bus"
    bases = {f"GITS {n}": its.base for n, its in enumerate(vm.its) if its.base is not None}
    for n, vcpu in enumerate(vm.vcpus):
        place = vcpu.redistributor
        if place is not None:
            bases[f"GICR {n}"] = dist.regions[place.region].base + place.slot * REDIST_SIZE
    if dist.ready and dist.dist_base is not None:
        bases["GICD"] = dist.dist_base
    reached = 0
    for n, name in enumerate(dist.bus):
        base = bases.pop(name, None)
        if base is None:
            _refuse(f"{at}[{n}]", f"{name!r} is no frame that has an address, or is there twice")
        if base < reached:
            _refuse(f"{at}[{n}]", f"{name} lies below the frame before it")
        reached = base
    if bases:
        _refuse(at, f"{next(iter(bases))} has an address but is not there")
    if len(dist.bus) > MAX_DEVICES:
        _refuse(at, f"{len(dist.bus)} frames: {MAX_DEVICES} are possible")


# -- vCPUs and their interrupts ----------------------------------------------------------------


def _names(vm: VmRecord) -> None:
    seen: set[int] = set()
    for n, vcpu in enumerate(vm.vcpus):
        if vcpu.vcpu_id in seen:
            _refuse(f"vcpus[{n}].vcpu_id", f"{vcpu.vcpu_id} is another vCPU's")
        seen.add(vcpu.vcpu_id)


def _vcpu(vm: VmRecord, n: int, vcpu: VcpuRecord, at: str) -> None:
    dist = vm.distributor
    gicv3 = dist.model == MODEL_GICV3
    if vcpu.has_run and dist.model != MODEL_NONE and not dist.ready:
        _refuse(f"{at}.has_run", "it is set, but no vCPU has entered the guest with this interrupt controller")
    if vcpu.lpis_enabled and not (gicv3 and vm.its):
        _refuse(f"{at}.lpis_enabled", "it is set without an ITS")
    if vcpu.pendbaser and not gicv3:
        _refuse(f"{at}.pendbaser", f"a VM with interrupt controller {dist.model} has no redistributors")
    for name, words in (("ap0r", vcpu.interface.ap0r), ("ap1r", vcpu.interface.ap1r)):
        if len(words) != _APRS:
            _refuse(f"{at}.interface.{name}", f"{len(words)} words, not {_APRS}")
    if dist.initialized and not vcpu.interface.pri_bits:
        _refuse(f"{at}.interface.pri_bits", "it is 0 after initialisation")
    if len(vcpu.interrupts) not in (0, NR_PRIVATE) or (dist.initialized and not vcpu.interrupts):
        _refuse(f"{at}.interrupts", f"{len(vcpu.interrupts)} private interrupts, not {NR_PRIVATE}")
    if vcpu.interrupts and dist.model == MODEL_NONE:
        _refuse(f"{at}.interrupts", "there are some without an interrupt controller")
    for intid, irq in enumerate(vcpu.interrupts):
        here = f"{at}.interrupts[{intid}]"
        if irq.intid != intid:
            _refuse(f"{here}.intid", f"{irq.intid} stands where {intid} belongs")
        if irq.target != n:
            _refuse(f"{here}.target", f"a private interrupt of vCPU {n} goes to vCPU {n}, not {irq.target}")
        if irq.trigger != (LEVEL if intid >= NR_SGIS else EDGE):
            _refuse(f"{here}.trigger", "an SGI is edge and a PPI level, for ever")
        _irq(vm, irq, here)
        if intid < NR_SGIS:
            _sgi(vm, irq, here)


def _sgi(vm: VmRecord, irq: IrqRecord, at: str) -> None:
    if irq.line_level:
        _refuse(f"{at}.line_level", "an SGI has no line")
    if irq.mapped is not None:
        _refuse(f"{at}.mapped", "an SGI is never mapped")
    if irq.owner is not None or irq.opaque_owner:
        _refuse(f"{at}.owner", "nobody owns an SGI")
    if irq.source and not irq.pending_latch:
        _refuse(f"{at}.source", f"{irq.source:#x} have asked, but it is not pending")


def _irq(vm: VmRecord, irq: IrqRecord, at: str) -> None:
    """What holds for every interrupt."""
    implemented = PRIORITY_MASK if irq.intid < FIRST_LPI else _LPI_PRIORITY_MASK
    if irq.priority & ~implemented:
        _refuse(f"{at}.priority", f"{irq.priority} has unimplemented bits")
    if irq.target is not None and irq.target >= len(vm.vcpus):
        _refuse(f"{at}.target", f"there is no vCPU {irq.target}")
    if irq.intid >= NR_SGIS or vm.distributor.model != MODEL_GICV2:
        if irq.source:
            _refuse(f"{at}.source", "only a GICv2's SGI has sources")
        if irq.active_source:
            _refuse(f"{at}.active_source", "only a GICv2's SGI has sources")
    if irq.owner is not None and irq.opaque_owner:
        _refuse(f"{at}.opaque_owner", f"it is owned by {irq.owner!r}")
    mapped = irq.mapped
    if mapped is None:
        return
    if mapped.hwintid != irq.host_irq:
        _refuse(f"{at}.mapped.hwintid", f"{mapped.hwintid} is not host_irq, {irq.host_irq}")
    if mapped.vcpu >= len(vm.vcpus):
        _refuse(f"{at}.mapped.vcpu", f"there is no vCPU {mapped.vcpu}")


def _spi(vm: VmRecord, n: int, irq: IrqRecord) -> None:
    at = f"spis[{n}]"
    if irq.intid != FIRST_SPI + n:
        _refuse(f"{at}.intid", f"{irq.intid} stands where {FIRST_SPI + n} belongs")
    _irq(vm, irq, at)
    if vm.distributor.model == MODEL_GICV2 and vm.vcpus:
        if irq.route >> len(vm.vcpus):
            _refuse(f"{at}.route", f"{irq.route:#x} names CPUs that do not exist")
        lowest = (irq.route & -irq.route).bit_length() - 1 if irq.route else 0
        if irq.target != lowest:
            _refuse(f"{at}.target", f"route {irq.route:#x} gives it to vCPU {lowest}, not {irq.target}")


def _lpis(vm: VmRecord) -> None:
    held = lpi_holders(vm)
    for vcpu in vm.vcpus:
        held.update(intid for intid in vcpu.ap_list if intid >= FIRST_LPI)
    last = 0
    for n, irq in enumerate(vm.lpis):
        at = f"lpis[{n}]"
        if irq.intid <= last:
            _refuse(f"{at}.intid", f"{irq.intid} comes after {last}")
        last = irq.intid
        if irq.trigger != EDGE:
            _refuse(f"{at}.trigger", "an LPI is edge")
        if irq.intid not in held:
            _refuse(at, f"LPI {irq.intid} is mapped by no event, cached by no ITS and on no list")
        _irq(vm, irq, at)


def _lists(vm: VmRecord) -> None:
    """Every listed interrupt exists, and is listed once in the VM."""
    lpis = {irq.intid for irq in vm.lpis}
    shared: dict[int, int] = {}
    for n, vcpu in enumerate(vm.vcpus):
        private: set[int] = set()
        for i, intid in enumerate(vcpu.ap_list):
            at = f"vcpus[{n}].ap_list[{i}]"
            if intid < NR_PRIVATE:
                if not vcpu.interrupts:
                    _refuse(at, f"there is no INTID {intid}")
                if intid in private:
                    _refuse(at, f"INTID {intid} is listed twice")
                private.add(intid)
                continue
            if intid - FIRST_SPI >= len(vm.spis) and intid not in lpis:
                _refuse(at, f"there is no INTID {intid}")
            if intid in shared:
                _refuse(at, f"INTID {intid} is listed on vCPU {shared[intid]} already")
            shared[intid] = n


# -- routes ------------------------------------------------------------------------------------


def _routes(vm: VmRecord) -> None:
    seen: set[int] = set()
    for n, route in enumerate(vm.routes or ()):
        at = f"routes[{n}]"
        if route.gsi in seen:
            _refuse(f"{at}.gsi", f"GSI {route.gsi} is routed twice")
        seen.add(route.gsi)
        if route.pin is not None and (route.address or route.data or route.devid or route.flags):
            _refuse(f"{at}.pin", "a route goes to a pin or to an address, not to both")
