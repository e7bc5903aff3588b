"""What must hold of the library's state, each rule a function: assert and name the interrupt or vCPU that breaks it.

Room:    beside walk; looks at the state of vgic and hw, changes nothing.
Holds:   `at_rest` may be asserted whenever no call is in progress, `after_entry` right after a vCPU's entry,
         `after_exit` right after its exit, `after_access` around one access by a guest to its CPU interface.

Without LPIs: what a rule says of them is asserted to be absent.  The laws about sequences
of calls are where those calls are made: I21, I30, I31 and I34 in steps_host, I32, I33 and I38 in the comparison with
the naive model, and with them that no edge is lost in walk.drain.
"""

from collections.abc import Callable, Collection, Hashable, Iterator
from itertools import pairwise
from typing import Final

from hw import Pe
from hw.arch import HCR_EOICOUNT_SHIFT, HCR_UIE, LR_ACTIVE, LR_EOI, LR_HW, LR_PENDING
from hw.ich import IchState
from hw.lr import ListReg
from vgic import Vgic
from vgic.dist import Dist
from vgic.ids import (
    CPU_SIZE_V2,
    DIST_SIZE_V2,
    DIST_SIZE_V3,
    MAX_VCPUS_V2,
    NR_PRIVATE,
    NR_SGIS,
    PRIORITY_MASK,
    REDIST_SIZE,
    UNDEFINED_ADDR,
    V2,
)
from vgic.irq import Irq, oracle
from vgic.vcpu import IN_GUEST, LOADED, PUT, VcpuGic

_LR_STATE: Final = LR_PENDING | LR_ACTIVE
_V2_INTID: Final = 0x3FF  # of what a list register names, for a GICv2 guest; above it, who asked for an SGI
_V2_SOURCE_SHIFT: Final = 10
_LEAST_URGENT: Final = 0xFF

Stranded = Callable[[Irq], bool]
"""Whether an interrupt became deliverable through something that queues nothing: GICD_CTLR, IROUTER, ICFGR."""


def everything(dist: Dist) -> Iterator[Irq]:
    """Every interrupt of the VM, private ones first."""
    for vcpu in dist.vcpus:
        yield from vcpu.private
    yield from dist.spis


# At rest: no call in progress


def lists_and_interrupts_agree(dist: Dist) -> None:
    """I1, I13: an interrupt is on the list of the vCPU it names, once; a target is a vCPU of this VM."""
    listed = [irq for vcpu in dist.vcpus for irq in vcpu.ap_list]
    assert len(listed) == len({id(irq) for irq in listed}), "an interrupt is listed twice"
    for vcpu in dist.vcpus:
        for irq in vcpu.ap_list:
            assert irq.queued_on is vcpu, f"INTID {irq.intid} is on the list of vCPU {vcpu.index}, and thinks otherwise"
    queued = 0
    for irq in everything(dist):
        queued += irq.queued_on is not None
        assert irq.target is None or dist.vcpus[irq.target.index] is irq.target, f"INTID {irq.intid}: stray target"
    assert queued == len(listed), "an interrupt thinks it is listed, and is not"


def only_the_guest_has_list_registers(dist: Dist) -> None:
    """I2: out of the guest a vCPU uses no list register and asks for no underflow interrupt."""
    for vcpu in dist.vcpus:
        assert vcpu.mode in (PUT, LOADED, IN_GUEST), f"vCPU {vcpu.index} was left in the middle of a trap"
        if vcpu.mode != IN_GUEST:
            assert vcpu.used_lrs == 0, f"vCPU {vcpu.index} left list registers in use"
            assert not vcpu.hcr & HCR_UIE, f"vCPU {vcpu.index} left the underflow request set"
        loaded = dist.host.loaded.get(vcpu.pe.index) is vcpu
        assert loaded == (vcpu.mode != PUT), f"vCPU {vcpu.index}: mode {vcpu.mode}, and loaded is {loaded}"
    for cpu, pe in enumerate(dist.host.machine.pes):
        holder = dist.host.loaded.get(cpu)
        if holder is None or holder.mode != IN_GUEST:
            assert not any(lr.encode() for lr in pe.virt.lrs), f"physical CPU {cpu} has stale list registers"


def private_interrupts_stay_home(dist: Dist) -> None:
    """I3, I4: SGIs and PPIs belong to their vCPU; SGIs are edge and PPIs level for ever."""
    for vcpu in dist.vcpus:
        for irq in vcpu.private:
            assert irq.target is vcpu, f"vCPU {vcpu.index}: INTID {irq.intid} has gone away"
            assert irq.queued_on is None or irq.queued_on is vcpu, (
                f"vCPU {vcpu.index}: INTID {irq.intid} listed elsewhere"
            )
            assert irq.level == (irq.intid >= NR_SGIS), f"vCPU {vcpu.index}: INTID {irq.intid} changed its trigger"


def fields_are_in_range(dist: Dist) -> None:
    """I5, I6, I15: priorities have 5 bits, only a GICv2's SGIs have sources, no physical number unless mapped."""
    is_v2 = dist.model is V2
    for irq in everything(dist):
        assert 0 <= irq.priority <= 0xFF, f"INTID {irq.intid}: priority {irq.priority:#x}"
        assert not irq.priority & ~PRIORITY_MASK, f"INTID {irq.intid}: priority {irq.priority:#x}"
        assert irq.group in (0, 1), f"INTID {irq.intid}: group {irq.group}"
        if is_v2 and irq.intid < NR_SGIS:
            assert 0 <= irq.source <= 0xFF, f"I6: SGI {irq.intid}: sources {irq.source:#x}"
        else:
            assert irq.source == irq.active_source == 0, f"I6: INTID {irq.intid} has sources, and is no GICv2's SGI"
        assert 0 <= irq.route <= 0xFFFF_FFFF, f"INTID {irq.intid}: route {irq.route:#x}"


def sgis_wait_by_source(dist: Dist) -> None:
    """I6, I7: a GICv2's SGI is pending exactly while somebody asks for it.

    A vCPU whose id is above 7, possible if it was there before the GICv2, has no bit to ask with.
    """
    if max((vcpu.vcpu_id for vcpu in dist.vcpus), default=0) < MAX_VCPUS_V2:
        for vcpu in dist.vcpus:
            for irq in vcpu.private[:NR_SGIS]:
                what = f"vCPU {vcpu.index}, SGI {irq.intid}"
                assert irq.pending_latch == (irq.source != 0), f"I7: {what}: {irq.pending_latch}, {irq.source:#x}"
                assert irq.active_source < MAX_VCPUS_V2, f"I6: {what}: active source {irq.active_source}"


def targets_follow_masks(dist: Dist) -> None:
    """I13: a GICv2's SPI goes to the lowest CPU that its mask names, or the first; private ones name their own."""
    for irq in dist.spis if dist.vcpus else ():
        lowest = (irq.route & -irq.route).bit_length() - 1 if irq.route else 0
        assert irq.route < 1 << len(dist.vcpus), f"I13: INTID {irq.intid}: mask {irq.route:#x}"
        assert irq.target is dist.vcpus[lowest], f"I13: INTID {irq.intid}: mask {irq.route:#x} and another target"
    if dist.initialized:
        for vcpu in dist.vcpus:
            assert all(irq.route == 1 << vcpu.index for irq in vcpu.private), f"I13: vCPU {vcpu.index}'s own mask"


def lifecycle_flags_agree(dist: Dist) -> None:
    """I10 to I12: ready implies initialised implies created; numbers of interrupts and vCPUs fit."""
    assert not dist.ready or dist.initialized, "ready before initialised"
    assert len(dist.vcpus) <= dist.max_vcpus <= 512, f"{len(dist.vcpus)} vCPUs"
    if dist.ready:
        assert dist.dist_base != UNDEFINED_ADDR, "ready without a distributor address"
        if dist.model is V2:
            assert all(v.window is not None and v.window.base == dist.cpu_base for v in dist.vcpus), "ready, no GICV"
        else:
            assert all(v.redist is not None and v.redist.base != UNDEFINED_ADDR for v in dist.vcpus), "ready, no GICR"
    if dist.model is V2:
        assert len(dist.vcpus) <= MAX_VCPUS_V2, f"I10: {len(dist.vcpus)} vCPUs"
        assert not any(vcpu.redist for vcpu in dist.vcpus), "I10: a GICv2 with redistributors"
    if dist.initialized:
        assert dist.model is not None, "initialised before created"
        assert len(dist.spis) == dist.nr_spis, f"{len(dist.spis)} SPIs, not {dist.nr_spis}"
        assert 32 <= dist.nr_spis <= 960, f"{dist.nr_spis} SPIs"
        assert dist.nr_spis % 32 == 0, f"{dist.nr_spis} SPIs"
        assert all(len(vcpu.private) == NR_PRIVATE for vcpu in dist.vcpus), "private interrupts are missing"


def frames_lie_apart(dist: Dist) -> None:
    """I14: region indices count from 0, slots fit, no two frames overlap once the VM runs."""
    assert [region.index for region in dist.regions] == list(range(len(dist.regions))), "region indices have gaps"
    for region in dist.regions:
        assert not region.count or len(region.slots) <= region.count, f"region {region.index} has too many slots"
    frames = [
        (vcpu.redist.base, REDIST_SIZE)
        for vcpu in dist.vcpus
        if vcpu.redist is not None and vcpu.redist.base != UNDEFINED_ADDR
    ]
    if dist.ready:
        frames.append((dist.dist_base, DIST_SIZE_V2 if dist.model is V2 else DIST_SIZE_V3))
        if dist.model is V2:
            frames.append((dist.cpu_base, CPU_SIZE_V2))
    frames.sort()
    for (base, size), (after, _) in pairwise(frames):
        assert base + size <= after, f"frames at {base:#x} and {after:#x} overlap"


def owners_never_change(dist: Dist, owners: dict[int, Hashable]) -> None:
    """I16: once owned, owned by the same; `owners` is what was seen so far, by identity of the interrupt."""
    for irq in everything(dist):
        before = owners.get(id(irq))
        assert before is None or irq.owner == before, f"INTID {irq.intid} went from {before!r} to {irq.owner!r}"
        if irq.owner is not None:
            owners[id(irq)] = irq.owner


def nothing_deliverable_is_forgotten(dist: Dist, stranded: Stranded) -> None:
    """I17, I19: what the oracle gives to a vCPU is on a list, except what KVM strands; so is what is active."""
    for irq in everything(dist):
        if irq.queued_on is None and oracle(irq) is not None:
            assert stranded(irq), f"INTID {irq.intid} is deliverable, on no list, and nothing stranded it"


def nobody_misses_a_kick(dist: Dist, kicked: Collection[int], stranded: Stranded) -> None:
    """I20: a vCPU in the guest that has not been shown a deliverable interrupt was asked to leave.

    kicked  the indices of vCPUs that were, since their last entry.
    Not so when it had no room, or may see nothing less urgent than an SGI that is asked for again, whose list register
    then asks for the EOI; or when what made it deliverable kicks nobody (`stranded`).
    """
    for vcpu in dist.vcpus:
        if vcpu.mode == IN_GUEST and vcpu.index not in kicked and vcpu.used_lrs < vcpu.nr_lr:
            shown = {irq.intid for irq in vcpu.lr_irqs[: vcpu.used_lrs]}
            if any(lr.eoi and lr.vintid & _V2_INTID < NR_SGIS for lr in vcpu.pe.virt.lrs):
                continue
            for irq in vcpu.ap_list:
                if irq.intid not in shown and oracle(irq) is vcpu:
                    assert stranded(irq), f"vCPU {vcpu.index} runs on, unaware of INTID {irq.intid}"


def nothing_grows(dist: Dist) -> None:
    """No list is longer than there are interrupts, vCPUs or CPUs."""
    cpus = len(dist.host.machine.pes)
    assert len(dist.host.loaded) <= cpus, f"{len(dist.host.loaded)} vCPUs on {cpus} CPUs"
    for vcpu in dist.vcpus:
        assert len(vcpu.ap_list) <= NR_PRIVATE + dist.nr_spis, f"vCPU {vcpu.index} lists {len(vcpu.ap_list)}"
        assert len(vcpu.lr_irqs) <= vcpu.nr_lr, f"vCPU {vcpu.index} remembers {len(vcpu.lr_irqs)} list registers"


def at_rest(vm: Vgic) -> None:
    """Everything above that can be told from the state alone, and the machine's own invariants."""
    vm.check()
    if not vm.vcpus:
        return
    dist = vm.vcpus[0].dist
    lists_and_interrupts_agree(dist)
    only_the_guest_has_list_registers(dist)
    private_interrupts_stay_home(dist)
    fields_are_in_range(dist)
    lifecycle_flags_agree(dist)
    frames_lie_apart(dist)
    nothing_grows(dist)
    if dist.model is V2:
        sgis_wait_by_source(dist)
        targets_follow_masks(dist)
    for pe in vm.host.machine.pes:
        hardware_at_rest(pe)


# After an exit, after an entry


def after_exit(vcpu: VcpuGic) -> None:
    """I18: right after its exit every interrupt on a vCPU's list belongs there."""
    for irq in vcpu.ap_list:
        assert oracle(irq) is vcpu, f"vCPU {vcpu.index} left the guest and still lists INTID {irq.intid}"


def after_entry(vcpu: VcpuGic) -> None:
    """I22 to I29: the list registers, right after they were filled."""
    used, nr_lr = vcpu.used_lrs, vcpu.nr_lr
    lrs = vcpu.pe.virt.lrs
    assert used <= nr_lr == len(lrs), f"{used} of {nr_lr} list registers used"
    for i, lr in enumerate(lrs):
        if i >= used:
            assert not lr.encode(), f"I22: unused LR{i} is {lr.encode():#x}"
        else:
            _one_list_register(vcpu, lr, vcpu.lr_irqs[i])
    shown = vcpu.lr_irqs[:used]
    assert len({irq.intid for irq in shown}) == used, "I23: an INTID is in two list registers"
    here = [irq for irq in vcpu.ap_list if _at_flush(vcpu, irq, shown) is vcpu]
    assert shown == here[:used], "I27: list registers are not in list order"
    fits = _not_overtaking(vcpu, here, shown)
    assert used == min(fits, nr_lr), f"{used} list registers for {len(here)} interrupts, of which {fits} may be shown"
    full = used == nr_lr and shown[-1] is not vcpu.ap_list[-1]
    assert bool(vcpu.hcr & HCR_UIE) == full, f"I28: underflow request {vcpu.hcr & HCR_UIE}, left over {full}"
    _urgent_ones_first(shown, [lr.active for lr in lrs[:used]], here[used:])


def _at_flush(vcpu: VcpuGic, irq: Irq, shown: Collection[Irq]) -> VcpuGic | None:
    """The oracle before the flush took latches and lines: what it showed, it gave to this vCPU."""
    return vcpu if irq in shown else oracle(irq)


def _not_overtaking(vcpu: VcpuGic, here: list[Irq], shown: list[Irq]) -> int:
    """I26 of a GICv2: how many of `here` come before something less urgent than an SGI that is asked for again."""
    several = any(irq.source for irq in shown) or any(
        irq.source.bit_count() + irq.active > 1 for irq in vcpu.ap_list if irq.source
    )
    least_urgent = _LEAST_URGENT
    for count, irq in enumerate(here):
        if several and irq.priority > least_urgent:
            return count
        if irq.source:
            least_urgent = irq.priority
    return len(here)


def _one_sgi(lr: ListReg, irq: Irq, what: str) -> None:
    """I25, I29 of a GICv2's SGI: one request at a time, and the EOI is asked for if there are more."""
    source = lr.vintid >> _V2_SOURCE_SHIFT
    assert lr.vintid & _V2_INTID == irq.intid, f"I23: {what}: the list register names {lr.vintid}"
    assert not (lr.pending and lr.active), f"I25: {what}: active and pending"
    assert not lr.hw, f"{what}: an SGI with a physical interrupt"
    assert not (lr.active and source != irq.active_source), f"{what}: active from {irq.active_source}, shown {source}"
    assert irq.pending_latch == (irq.source != 0), f"I29: {what}: latch {irq.pending_latch}, sources {irq.source:#x}"
    assert lr.eoi == (irq.source != 0), f"{what}: EOI request is {lr.eoi}, sources left {irq.source:#x}"
    lower = irq.source & (1 << source) - 1
    assert not (lr.pending and lower), f"{what}: shown from {source}, before {lower:#x}"


def _one_list_register(vcpu: VcpuGic, lr: ListReg, irq: Irq) -> None:
    what = f"vCPU {vcpu.index}, INTID {irq.intid}"
    linked = irq.hw and not irq.sw_resample
    sgi_v2 = irq.intid < NR_SGIS and vcpu.dist.model is V2
    assert lr.pending or lr.active, f"I22: {what}: a used list register is invalid"
    assert sgi_v2 or lr.vintid == irq.intid, f"I23: {what}: the list register names {lr.vintid}"
    assert irq.queued_on is vcpu, f"I23: {what}: not listed here"
    assert not (lr.hw and lr.eoi), f"I24: {what}: HW and EOI"
    assert not (lr.pending and lr.active and (irq.level or linked)), f"I25: {what}: active and pending"
    assert lr.active == irq.active, f"{what}: active is {irq.active}, in the list register {lr.active}"
    assert (lr.priority, lr.group) == (irq.priority, irq.group), f"{what}: stale priority or group"
    if sgi_v2:
        _one_sgi(lr, irq, what)
        return
    assert (lr.hw, lr.pintid) == (linked, irq.hwintid if linked else 0), f"{what}: wrong physical interrupt"
    assert lr.eoi == (irq.level and not linked), f"{what}: EOI request is {lr.eoi}"
    if lr.pending:
        assert irq.level or not irq.pending_latch, f"I29: {what}: the latch is in the list register and in the record"
        assert not (irq.level and irq.hw and irq.line_level), f"I29: {what}: the line is to be sampled after the exit"


def _urgent_ones_first(shown: list[Irq], active: list[bool], left: list[Irq]) -> None:
    """I26: who is left out when not everything fits."""
    for irq in left:
        if irq.active:
            assert all(active), f"I26: active INTID {irq.intid} was left out for a pending one"
        else:
            for other, is_active in zip(shown, active, strict=True):
                assert is_active or other.priority <= irq.priority, (
                    f"I26: INTID {irq.intid} (priority {irq.priority:#x}) was left out for "
                    f"INTID {other.intid} ({other.priority:#x})"
                )


# The virtual CPU interface


def hardware_at_rest(pe: Pe) -> None:
    """hw I1, I7, I8, I11: status registers and lines are functions of the state."""
    virt = pe.virt
    virt.check()
    elrsr, eisr = virt.read_elrsr(), virt.read_eisr()
    invalid = sum(1 << i for i, lr in enumerate(virt.lrs) if not (lr.pending or lr.active))
    assert not elrsr & eisr, f"hw I1: ELRSR {elrsr:#x}, EISR {eisr:#x}"
    assert elrsr | eisr == invalid, f"hw I1: ELRSR {elrsr:#x}, EISR {eisr:#x}, invalid {invalid:#x}"
    assert not (virt.virq() and virt.vfiq()), "hw I7: both lines"
    assert virt.maintenance() == (virt.en and virt.read_misr() != 0), "hw I8: the maintenance line"


def after_access(before: IchState, after: IchState) -> None:
    """hw I2, I5, I6, I12: what one access by the guest to its CPU interface (not to AP<g>R<n>) may change."""
    changed = 0
    for was, now in zip(before.lrs, after.lrs, strict=True):
        assert (was ^ now) & ~_LR_STATE == 0, f"hw I2: {was:#x} became {now:#x}"
        assert not (now & LR_PENDING and not was & LR_PENDING), f"hw I2: {was:#x} became {now:#x}"
        assert not now & LR_HW or not now & LR_PENDING or not now & LR_ACTIVE, f"I25: {now:#x}"
        assert not (now & LR_EOI and now & LR_HW and was & LR_EOI == 0), f"I24: {now:#x}"
        changed += was != now
    assert changed <= 1, "hw I6: two list registers changed"
    levels = sum((was ^ now).bit_count() for was, now in zip(before.ap0r, after.ap0r, strict=True))
    levels += sum((was ^ now).bit_count() for was, now in zip(before.ap1r, after.ap1r, strict=True))
    assert levels <= 1, "hw I5: two active priorities changed"
    counted = (after.hcr >> HCR_EOICOUNT_SHIFT) - (before.hcr >> HCR_EOICOUNT_SHIFT)
    assert counted in (0, 1, -31), f"hw I12: EOIcount changed by {counted}"


def after_acknowledge(before: IchState, after: IchState, intid: int, running_before: int, running_now: int) -> None:
    """hw I3, I4: an acknowledge takes one pending list register and raises the running priority."""
    taken = [(was, now) for was, now in zip(before.lrs, after.lrs, strict=True) if was != now]
    if intid in (1022, 1023):  # 1022: a GICv2's group 1, which IAR leaves to AIAR
        assert before == after, "hw I3: a spurious acknowledge changed something"
        return
    assert len(taken) == 1, "hw I3: not one list register"
    was, now = taken[0]
    assert was & _LR_STATE == LR_PENDING, f"hw I3: {was:#x} was acknowledged"
    assert now & _LR_STATE == LR_ACTIVE, f"hw I3: acknowledged as {now:#x}"
    assert now & 0xFFFF_FFFF == intid, f"hw I3: {intid} was returned for {now:#x}"
    assert running_now < running_before, f"hw I4: running priority {running_before:#x} to {running_now:#x}"
