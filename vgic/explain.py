"""Why is my interrupt not delivered?  Every gate it has to pass, in order, with the values that decide.

Room:    beside device and guest, above every rule that it repeats in words; vm hands it out.
Never:   changes or counts anything: what depends on the next entry is tried out on copies (tryout).
Holds:   no gate blocks  <=>  the vCPU's guest takes an interrupt now, and acknowledging it returns this one.
         (Where KVM emulates IAR itself, v3.trap_cpuif, its rule for the running priority differs in corners.)

The gates, first to last: the interrupt's own state, the distributor, the target and its ap_list, a list
register, the CPU interface, the vCPU; for a GICv2 guest, what GICC_IAR says to Group 1.  A gate that would block if
those before it did not says so too.
"""

from dataclasses import dataclass

from hw.arch import IAR_CPUID_SHIFT, PRIORITY_IDLE, VMCR_VEOIM
from hw.icv import Icv
from vgic.dist import Dist
from vgic.errors import EINVAL, ConfigError
from vgic.ids import FIRST_LPI, FIRST_SPI, MAX_RESERVED, NR_SGIS
from vgic.irq import oracle
from vgic.tryout import Case, Entry, replica
from vgic.vcpu import IN_GUEST, LEAVING, LOADED, PUT, VcpuGic
from vgic.wording import Names, dotted, names_of


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing an interrupt has to pass."""

    name: str
    blocks: bool
    sentence: str  # says why, with the values; and what to do, where it blocks

    def __str__(self) -> str:
        """Return one line."""
        return f"{'BLOCKS' if self.blocks else 'passes'}  {self.name:<17} {self.sentence}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands between one interrupt and one vCPU's guest; print it."""

    intid: int
    vcpu: int | None  # index of the vCPU looked at; None: the interrupt has none
    gates: tuple[Gate, ...]  # in the order in which an interrupt meets them

    @property
    def first_block(self) -> Gate | None:
        """The first gate that blocks, or None."""
        return next((gate for gate in self.gates if gate.blocks), None)

    @property
    def delivered(self) -> bool:
        """Whether the guest takes it now: its next acknowledge returns this INTID."""
        return self.first_block is None

    def __str__(self) -> str:
        """Return the report: a verdict, then a line for each gate."""
        where = "" if self.vcpu is None else f" on vCPU {self.vcpu}"
        block = self.first_block
        if block is None:
            verdict = f"INTID {self.intid}{where} is delivered: no gate blocks it."
        else:
            verdict = f"INTID {self.intid}{where} is not delivered.\nFirst blocked at: {block.name}. {block.sentence}"
        return "\n".join([verdict, *(f"  {gate}" for gate in self.gates)])


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
    gates = [_exists(case), _vm(dist), _in_service(case, names), _pending(case, names), _enabled(case, names)]
    gates += [_distributor(case, dist, names), _target(case, dist, names)]
    asked = case.vcpu
    if asked is None or asked is not case.home:
        return Explanation(intid, None if asked is None else asked.index, tuple(gates))
    gates.append(_list(case, asked, names))
    entry = Entry(asked)
    gates.append(_list_register(case, asked, entry, names))
    cpu = entry.cpu if case.lr is None else replica(asked, True)
    gates += [
        _interface(case, cpu, names),
        _group(case, cpu, asked, names),
        _mask(case, cpu, names),
        _running(case, cpu, names),
        _most_urgent(case, cpu, names),
        _vcpu(asked),
        _signal(case, cpu, asked),
    ]
    if not cpu.sre:
        gates.append(_legacy(case, cpu))
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


# The CPU interface


def _interface(case: Case, cpu: Icv, names: Names) -> Gate:
    if cpu.en:
        return Gate("CPU interface", False, f"{names.hcr}.En is 1.")
    if case.lr is None:
        return Gate("CPU interface", False, f"{names.hcr}.En is 0, until an entry fills a list register.")
    return Gate("CPU interface", True, f"{names.hcr}.En is 0 although a list register is in use: somebody cleared it.")


def _group(case: Case, cpu: Icv, vcpu: VcpuGic, names: Names) -> Gate:
    register = names.group_enable[case.group]
    if cpu.veng1 if case.group else cpu.veng0:
        return Gate("group enable", False, f"vCPU {vcpu.index} has Group {case.group} enabled.")
    said = f"vCPU {vcpu.index} has Group {case.group} disabled: {register} is 0.  Its guest has to write 1."
    return Gate("group enable", True, said)


def _mask(case: Case, cpu: Icv, names: Names) -> Gate:
    priority, mask = case.priority & cpu.config.pri_mask, cpu.vpmr
    if priority < mask:
        return Gate("priority mask", False, f"Priority {priority:#04x} is above the mask, {names.pmr} = {mask:#04x}.")
    said = f"Priority {priority:#04x} is not above the mask, {names.pmr} = {mask:#04x}"
    said += (
        " (its reset value, which masks everything)." if not mask else ": equal is masked, too." * (priority == mask)
    )
    fix = f"  The guest has to write more than {priority:#04x}, or give the interrupt a lower number."
    return Gate("priority mask", True, said.rstrip(".") + "." + fix)


def _running(case: Case, cpu: Icv, names: Names) -> Gate:
    running = cpu.rpr()
    if running == PRIORITY_IDLE:
        return Gate("running priority", False, f"No interrupt is being handled ({names.rpr} = 0xff).")
    mask = cpu.mask1 if case.group else cpu.mask0
    level = case.priority & cpu.config.pri_mask & mask
    against = running if cpu.config.preempt_raw_rprio else running & mask
    common = case.group == 1 and cpu.vcbpr
    if common and not cpu.sre:
        point = f"{names.bpr[0]} = {cpu.vbpr0}, as CBPR is 1"
    else:
        point = f"{names.bpr[case.group]} = {cpu.read_bpr(case.group)}{', as CBPR is 1' if common else ''}"
    compared = f"preemption level {level:#04x} against {against:#04x} ({point}; {names.rpr} = {running:#04x})"
    if level < against:
        return Gate("running priority", False, f"It preempts what is being handled: {compared}.")
    said = f"It does not preempt what is being handled: {compared}.  The guest has to write its EOIR first."
    return Gate("running priority", True, said)


def _most_urgent(case: Case, cpu: Icv, names: Names) -> Gate:
    name, intid, mask = "most urgent", case.irq.intid, names.intid_mask
    first = cpu.candidate(False)
    if first is None or first.vintid & mask == intid:
        return Gate(name, False, "No other interrupt in a list register comes first.")
    best = first.vintid & mask
    order = [lr.vintid & mask for lr in cpu.lrs if lr.pending or lr.active]
    priority = case.priority & cpu.config.pri_mask
    mine = order.index(intid) if intid in order else len(order)
    if first.priority > priority or (first.priority == priority and order.index(best) > mine):
        return Gate(name, False, f"INTID {best}, pending too, comes after it.")
    if first.priority < priority:
        said = f"INTID {best} comes first: its priority {first.priority:#04x} is above {priority:#04x}"
    else:
        said = f"INTID {best} comes first: it has the same priority {priority:#04x}, and a lower list register"
    return Gate(name, True, f"{said}.  The guest has to acknowledge that one before.")


# The vCPU


def _vcpu(vcpu: VcpuGic) -> Gate:
    me, cpu = f"vCPU {vcpu.index}", vcpu.pe.index
    if vcpu.mode == IN_GUEST:
        return Gate("vCPU", False, f"{me} is in the guest on physical CPU {cpu}.")
    if vcpu.mode == LOADED:
        return Gate("vCPU", True, f"{me} is outside the guest, loaded on physical CPU {cpu}.  enter() it.")
    if vcpu.mode == LEAVING:
        return Gate("vCPU", True, f"{me} is just leaving the guest of physical CPU {cpu}.  enter() it then.")
    if vcpu.mode != PUT:
        return Gate("vCPU", True, f"{me} has trapped: its list registers are filled again before its guest goes on.")
    said = f"{me} is put: no physical CPU holds it." if vcpu.has_run else f"{me} has never run."
    other = vcpu.dist.host.loaded.get(cpu)
    if other is not None and other.mode == IN_GUEST:
        whose = f"vCPU {other.index}" if other.dist is vcpu.dist else "another VM's vCPU"
        return Gate("vCPU", True, f"{said}  Physical CPU {cpu} is running {whose}: enter() it on another one.")
    return Gate("vCPU", True, f"{said}  enter() it.")


def _signal(case: Case, cpu: Icv, vcpu: VcpuGic) -> Gate:
    pe = vcpu.pe
    fiq = case.group == 0 and cpu.vfiqen
    line, flag = ("vFIQ", "F") if fiq else ("vIRQ", "I")
    said = f"Group {case.group} raises {line}"
    if vcpu.mode != IN_GUEST:
        return Gate("signal", False, f"{said}.")
    if not (pe.vfiq_routed if fiq else pe.virq_routed):
        said += f", but HCR_EL2.{flag}MO does not give physical CPU {pe.index} one."
        return Gate("signal", True, said)
    if pe.pstate_f if fiq else pe.pstate_i:
        return Gate("signal", True, f"{said}, which the guest masks: PSTATE.{flag} is 1.")
    return Gate("signal", False, f"{said}, and PSTATE.{flag} does not mask it.")


def _legacy(case: Case, cpu: Icv) -> Gate:
    """What reading GICC_IAR gives a guest without system registers."""
    if case.group == 0:
        return Gate("acknowledge", False, "GICC_IAR acknowledges it.")
    if cpu.vackctl:
        return Gate("acknowledge", False, "GICC_IAR acknowledges it: GICC_CTLR.AckCtl is 1, so Group 1, too.")
    said = "GICC_IAR gives 1022 for Group 1, as GICC_CTLR.AckCtl is 0"
    return Gate("acknowledge", True, f"{said}.  The guest has to read GICC_AIAR instead, or to set AckCtl.")
