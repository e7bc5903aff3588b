"""Why is my interrupt not delivered?  Every gate it has to pass, in order, with the values that decide.

Room:    beside device and guest, above every rule that it repeats in words; vm hands it out.
Never:   changes or counts anything: what depends on the next entry is tried out on copies (tryout).
Holds:   no gate blocks  <=>  the vCPU's guest takes an interrupt now, and acknowledging it returns this one.
         (Where KVM emulates IAR itself, v3.trap_cpuif, its rule for the running priority differs in corners.)

The gates, first to last: the interrupt's own state, the distributor, the target and its ap_list, a list
register, the CPU interface, the vCPU; for a GICv2 guest, what GICC_IAR says to Group 1.  A gate that would block if
those before it did not says so too.
"""

from hw.arch import IAR_CPUID_SHIFT, VMCR_VEOIM
from vgic.dist import Dist
from vgic.errors import EINVAL, ConfigError
from vgic.explain_direct import direct_gates
from vgic.gates import (
    Explanation,
    Gate,
    group_gate,
    interface_gate,
    legacy_gate,
    mask_gate,
    running_gate,
    signal_gate,
    urgency_gate,
    vcpu_gate,
)
from vgic.ids import FIRST_LPI, FIRST_SPI, MAX_RESERVED, NR_SGIS
from vgic.irq import oracle
from vgic.tryout import Case, Entry, replica
from vgic.vcpu import IN_GUEST, PUT, VcpuGic
from vgic.wording import Names, dotted, names_of


def explain(dist: Dist, intid: int, vcpu: VcpuGic | None) -> Explanation:
    """Say which gates stop `intid` on its way to the guest of `vcpu`.

    vcpu    None, for an SPI: the vCPU that holds it, or else the one it is routed to.
    Errors: EINVAL for a private interrupt without a vCPU.  Nothing else raises, however odd the state is.
    """
    if vcpu is None and 0 <= intid < FIRST_SPI:
        raise ConfigError(EINVAL, f"INTID {intid} is private: name the vCPU")
    irq = None
    if dist.initialized and intid >= 0:
        irq = dist.find_spi(intid) if vcpu is None else vcpu.find_irq(intid)
    if irq is None:
        return Explanation(intid, None, (Gate("exists", True, _absence(dist, intid)),))
    case = Case(irq, vcpu)
    names = names_of(dist)
    gates = [_exists(case), _vm(dist)]
    if irq.direct is not None:
        return Explanation(
            intid, None if case.vcpu is None else case.vcpu.index, (*gates, *direct_gates(case, irq.direct, names))
        )
    gates += [_in_service(case, names), _pending(case, names), _enabled(case, names)]
    gates += [_distributor(case, dist, names), _target(case, dist, names)]
    asked = case.vcpu
    if asked is None or asked is not case.home:
        return Explanation(intid, None if asked is None else asked.index, tuple(gates))
    gates.append(_list(case, asked, names))
    entry = Entry(asked)
    gates.append(_list_register(case, asked, entry, names))
    cpu = entry.cpu if case.lr is None else replica(asked, True)
    gates += [
        interface_gate(case, cpu, names),
        group_gate(case, cpu, asked, names),
        mask_gate(case, cpu, names),
        running_gate(case, cpu, names),
        urgency_gate(case, cpu, names),
        vcpu_gate(asked),
        signal_gate(case, cpu, asked),
    ]
    if not cpu.sre:
        gates.append(legacy_gate(case, cpu))
    return Explanation(intid, asked.index, tuple(gates))


# The interrupt's own state


def _absence(dist: Dist, intid: int) -> str:
    if dist.model is None:
        return f"There is no INTID {intid}: the VM has no interrupt controller.  Create one with create_device()."
    if not dist.initialized:
        return f"There is no INTID {intid} yet: the VGIC is not initialised.  Set Group.CTRL, CTRL_INIT."
    if MAX_RESERVED - 3 <= intid <= MAX_RESERVED:
        return f"INTID {intid} is a special number: it stands for no interrupt."
    if intid >= FIRST_LPI:
        return f"INTID {intid} would be an LPI, and no ITS maps it."
    return f"There is no INTID {intid}: this VM has 0 to {dist.nr_irqs - 1} ({dist.nr_spis} SPIs)."


def _exists(case: Case) -> Gate:
    irq = case.irq
    kind = "an SGI" if irq.intid < NR_SGIS else "a PPI" if irq.intid < FIRST_SPI else "an SPI"
    kind = "an LPI" if irq.intid >= FIRST_LPI else kind
    more = f", backed by physical interrupt {irq.hwintid}" if irq.hw else ""
    more += f", driven by {irq.owner!r} alone" if irq.owner is not None else ""
    trigger = "level" if irq.level else "edge"
    sentence = (
        f"INTID {irq.intid} is {kind}: {trigger}-triggered, Group {irq.group}, priority {irq.priority:#04x}{more}."
    )
    return Gate("exists", False, sentence)


def _vm(dist: Dist) -> Gate:
    if dist.dead:
        return Gate(
            "VM", True, "The VM is dead: its first entry failed, and every later one gives EIO.  Build it anew."
        )
    return Gate("VM", False, "The VM has run." if dist.ready else "The VM's first entry is still to come.")


def _in_service(case: Case, names: Names) -> Gate:
    irq, holder, lr = case.irq, case.home, case.lr
    if not case.active:
        return Gate("in service", False, "It is not active: nobody has to deactivate it first.")
    bank = names.bank("ICACTIVER", irq.intid)
    if holder is None:
        return Gate("in service", True, f"It is active, and no vCPU can deactivate it.  Write its bit of {bank}.")
    again = f" and pending again{names.origin(case.twin, None)}" if case.pending else ""
    eoir = names.eoir[case.group]
    if holder.pe.virt.veoim if holder.mode != PUT else holder.vmcr & VMCR_VEOIM:
        how = f"{eoir} (drop) and {names.dir} (deactivate), as EOImode is 1"
    else:
        how = eoir
    value = names.ending(irq, case.twin.active_source)
    said = f"It is active{again} on vCPU {holder.index}, whose guest ends it by writing {value} to {how}."
    if irq.hw and not irq.sw_resample:
        said += f"  That deactivates physical interrupt {irq.hwintid}, too."
    if holder.mode == IN_GUEST and lr is None:
        said += f"  But it is in no list register, so that is lost now.  Let the vCPU exit, or write {bank}."
    return Gate("in service", True, said)


def _pending(case: Case, names: Names) -> Gate:
    irq, lr = case.irq, case.lr
    if lr is not None and lr.pending and irq.queued_on is not None:
        where = f"in list register {case.slot} of vCPU {irq.queued_on.index}"
        return Gate("pending", False, f"It is pending {where}{names.origin(irq, lr.vintid >> IAR_CPUID_SHIFT)}.")
    if case.pending and names.origin(case.twin, None):
        return Gate("pending", False, f"It is pending{names.origin(case.twin, None)}.")
    if case.pending:
        twin = case.twin
        why = "its line is high" if twin.level and twin.line_level else "software set it (ISPENDR)"
        return Gate("pending", False, f"It is pending: {why if irq.level else 'an edge is latched'}.")
    owner = f"  Only its owner {irq.owner!r} can drive it: others are ignored." if irq.owner is not None else ""
    if irq.level:
        return Gate("pending", True, f"It is not pending: its line is low, and no ISPENDR write is kept.{owner}")
    if case.active:
        return Gate("pending", True, f"It is not pending: no edge has come since it became active.{owner}")
    said = "It is not pending: no edge is latched."
    if irq.intid >= FIRST_SPI:
        high = "its line is high, but that" if irq.line_level else "a level held by its device"
        said += f"  It is edge-triggered, so {high} means nothing: GICD_ICFGR{irq.intid // 16} selects level."
    return Gate("pending", True, said + owner)


def _enabled(case: Case, names: Names) -> Gate:
    irq = case.irq
    bank = names.bank("ISENABLER", irq.intid)
    if irq.enabled:
        return Gate("enabled", False, f"It is enabled in {bank}.")
    if case.underway:
        return Gate(
            "enabled", False, "It is disabled, but in a list register since before: that counts after the exit."
        )
    return Gate("enabled", True, f"It is disabled.  Write {1 << irq.intid % 32:#010x} to {bank}.")


# The distributor, and who gets it


def _distributor(case: Case, dist: Dist, names: Names) -> Gate:
    if dist.enabled:
        return Gate("distributor", False, f"{names.dist_enable} is 1, and stands for both groups.")
    if case.underway:
        return Gate("distributor", False, f"{names.dist_enable} is 0, but the list register was filled before.")
    said = f"{names.dist_enable} is 0, which stops both groups.  Write {names.dist_enable_value} to GICD_CTLR"
    after = "." if case.irq.queued_on is not None else "; that lists nothing, so then touch the interrupt (ISENABLER)."
    return Gate("distributor", True, said + after)


def _target(case: Case, dist: Dist, names: Names) -> Gate:
    irq, home, asked = case.irq, case.home, case.vcpu
    if irq.intid < FIRST_SPI and home is not None:
        return Gate("target", False, f"It is private to vCPU {home.index}.")
    route = names.route(irq)
    if home is None:
        have = ", ".join(dotted(vcpu.mpidr) for vcpu in dist.vcpus[:4]) or "none, there is no vCPU"
        said = f"{route}, which no vCPU has (there are {have}{', ...' if len(dist.vcpus) > 4 else ''})."
        return Gate(
            "target", True, f"{said}  Route it, then touch it (ISENABLER): the write of {names.router} lists nothing."
        )
    if irq.target is not home:
        moved = "nobody" if irq.target is None else f"vCPU {irq.target.index}"
        route = f"vCPU {home.index} has it in hand; {route}, so it goes to {moved} after that"
    else:
        route = f"{route}: vCPU {home.index}" if names.is_routed(irq) else f"vCPU {home.index} is its target by reset"
    if asked is home or asked is None:
        return Gate("target", False, f"{route}.")
    return Gate("target", True, f"{route}.  Ask about vCPU {home.index}, not vCPU {asked.index}.")


def _list(case: Case, vcpu: VcpuGic, names: Names) -> Gate:
    irq, holder = case.irq, case.irq.queued_on
    if holder is vcpu:
        place = next((i for i, other in enumerate(vcpu.ap_list, 1) if other is irq), 0)
        return Gate("list", False, f"vCPU {vcpu.index} has it listed, as number {place} of {len(vcpu.ap_list)}.")
    if holder is not None:
        said = f"vCPU {holder.index} has it listed, from before it was routed to vCPU {vcpu.index}, and hands it over"
        return Gate("list", True, f"{said} only when it exits.  Enter vCPU {holder.index} and let it exit.")
    if oracle(case.twin) is vcpu:
        said = f"It is deliverable but stranded: no write of GICD_CTLR, {names.router} or ICFGR puts it on a list"
        return Gate("list", True, f"{said}.  Inject it again, or write its bit of ISENABLER, ISPENDR or IGROUPR.")
    return Gate("list", False, "It is on no list, nor should it be: what opens the gate above may put it on one.")


def _list_register(case: Case, vcpu: VcpuGic, entry: Entry, names: Names) -> Gate:
    name, nr_lr, lr = "list register", vcpu.nr_lr, case.lr
    if lr is not None:
        state = "pending and active" if lr.pending and lr.active else "pending" if lr.pending else "active"
        return Gate(name, False, f"It is {state} in list register {case.slot} of {nr_lr}.")
    if case.irq.queued_on is not vcpu or case.irq.intid not in entry.order:
        return Gate(name, False, "It needs none as long as it is not deliverable and listed.")
    if case.irq.intid in entry.given:
        place = entry.given.index(case.irq.intid)
        if vcpu.mode != IN_GUEST:
            return Gate(name, False, f"The entry will give it list register {place} of {nr_lr}.")
        if case.spent:
            why = "The guest has completed it, and it is pending again"
        else:
            why = "It came after the entry" if vcpu.used_lrs < nr_lr else f"The entry filled all {nr_lr} with others"
        return Gate(name, True, f"{why}: the next entry gives it list register {place}.  Let vCPU {vcpu.index} exit.")
    if entry.stopper is not None and len(entry.given) < nr_lr:
        said = f"It is left out: SGI {entry.stopper} waits from several CPUs, and nothing less urgent may overtake it"
        return Gate(name, True, f"{said}.  Each time the guest ends that SGI, the vCPU exits for the next source.")
    place = entry.order.index(case.irq.intid)
    inside = ", ".join(str(intid) for intid in entry.given)
    said = f"It is left out: {len(entry.order)} interrupts want {nr_lr} list registers, and it is number {place + 1}."
    said += f"  INTIDs {inside} get them (active ones first, then by priority); when at most one of those is left"
    return Gate(name, True, f"{said}, the vCPU exits for the rest ({names.hcr}.UIE).")
