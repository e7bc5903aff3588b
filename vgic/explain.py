"""Why is my interrupt not delivered?  Every gate it has to pass, in order, with the values that decide.

Room:    beside device and guest, above every rule that it repeats in words; vm hands it out.
Never:   changes or counts anything: what depends on the next entry is tried out on copies (tryout).
Holds:   no gate blocks  <=>  the vCPU's guest takes an interrupt now, and acknowledging it returns this one.
         (Where KVM emulates IAR itself, v3.trap_cpuif, its rule for the running priority differs in corners.)

The gates, first to last: the interrupt's own state, the distributor, the target and its ap_list, a list
register, the CPU interface, the vCPU.  A gate that would block if those before it did not says so too.
"""

from dataclasses import dataclass

from hw.arch import INTID_SPURIOUS, PRIORITY_IDLE, VMCR_VEOIM
from hw.icv import Icv
from vgic.dist import Dist
from vgic.errors import EINVAL, ConfigError
from vgic.ids import FIRST_LPI, FIRST_SPI, MAX_RESERVED, NR_SGIS
from vgic.irq import oracle
from vgic.tryout import Case, Entry, replica
from vgic.vcpu import IN_GUEST, LOADED, PUT, VcpuGic


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
    gates = [_exists(case), _vm(dist), _in_service(case), _pending(case), _enabled(case), _distributor(case, dist)]
    gates.append(_target(case, dist))
    asked = case.vcpu
    if asked is None or asked is not case.home:
        return Explanation(intid, None if asked is None else asked.index, tuple(gates))
    gates.append(_list(case, asked))
    entry = Entry(asked)
    gates.append(_list_register(case, asked, entry))
    cpu = entry.cpu if case.lr is None else replica(asked, True)
    gates += [
        _interface(case, cpu),
        _group(case, cpu, asked),
        _mask(case, cpu),
        _running(case, cpu),
        _most_urgent(case, cpu),
        _vcpu(asked),
        _signal(case, cpu, asked),
    ]
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


def _in_service(case: Case) -> Gate:
    irq, holder, lr = case.irq, case.home, case.lr
    if not case.active:
        return Gate("in service", False, "It is not active: nobody has to deactivate it first.")
    bank = "GICR_ICACTIVER0" if irq.intid < FIRST_SPI else f"GICD_ICACTIVER{irq.intid // 32}"
    if holder is None:
        return Gate("in service", True, f"It is active, and no vCPU can deactivate it.  Write its bit of {bank}.")
    again = " and pending again" if case.pending else ""
    if holder.pe.virt.veoim if holder.mode != PUT else holder.vmcr & VMCR_VEOIM:
        how = f"ICC_EOIR{case.group}_EL1 (drop) and ICC_DIR_EL1 (deactivate), as EOImode is 1"
    else:
        how = f"ICC_EOIR{case.group}_EL1"
    said = f"It is active{again} on vCPU {holder.index}, whose guest ends it by writing {irq.intid} to {how}."
    if irq.hw and not irq.sw_resample:
        said += f"  That deactivates physical interrupt {irq.hwintid}, too."
    if holder.mode == IN_GUEST and lr is None:
        said += f"  But it is in no list register, so that is lost now.  Let the vCPU exit, or write {bank}."
    return Gate("in service", True, said)


def _pending(case: Case) -> Gate:
    irq = case.irq
    if case.underway and irq.queued_on is not None:
        return Gate("pending", False, f"It is pending in list register {case.slot} of vCPU {irq.queued_on.index}.")
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


def _enabled(case: Case) -> Gate:
    irq = case.irq
    bank = "GICR_ISENABLER0" if irq.intid < FIRST_SPI else f"GICD_ISENABLER{irq.intid // 32}"
    if irq.enabled:
        return Gate("enabled", False, f"It is enabled in {bank}.")
    if case.underway:
        return Gate(
            "enabled", False, "It is disabled, but in a list register since before: that counts after the exit."
        )
    return Gate("enabled", True, f"It is disabled.  Write {1 << irq.intid % 32:#010x} to {bank}.")


# The distributor, and who gets it


def _distributor(case: Case, dist: Dist) -> Gate:
    if dist.enabled:
        return Gate("distributor", False, "GICD_CTLR.EnableGrp1 is 1, and stands for both groups.")
    if case.underway:
        return Gate("distributor", False, "GICD_CTLR.EnableGrp1 is 0, but the list register was filled before.")
    said = "GICD_CTLR.EnableGrp1 is 0, which stops both groups.  Write 2 to GICD_CTLR"
    after = "." if case.irq.queued_on is not None else "; that lists nothing, so then touch the interrupt (ISENABLER)."
    return Gate("distributor", True, said + after)


def _target(case: Case, dist: Dist) -> Gate:
    irq, home, asked = case.irq, case.home, case.vcpu
    if irq.intid < FIRST_SPI and home is not None:
        return Gate("target", False, f"It is private to vCPU {home.index}.")
    route = f"GICD_IROUTER{irq.intid} names affinity {_dotted(irq.route)}"
    if home is None:
        have = ", ".join(_dotted(vcpu.mpidr) for vcpu in dist.vcpus[:4]) or "none, there is no vCPU"
        said = f"{route}, which no vCPU has (there are {have}{', ...' if len(dist.vcpus) > 4 else ''})."
        return Gate("target", True, f"{said}  Route it, then touch it (ISENABLER): the write of IROUTER lists nothing.")
    if irq.target is not home:
        moved = "nobody" if irq.target is None else f"vCPU {irq.target.index}"
        route = f"vCPU {home.index} has it in hand; {route}, so it goes to {moved} after that"
    else:
        route = (
            f"{route}: vCPU {home.index}" if irq.route == home.mpidr else f"vCPU {home.index} is its target by reset"
        )
    if asked is home or asked is None:
        return Gate("target", False, f"{route}.")
    return Gate("target", True, f"{route}.  Ask about vCPU {home.index}, not vCPU {asked.index}.")


def _dotted(aff: int) -> str:
    return ".".join(str(aff >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _list(case: Case, vcpu: VcpuGic) -> Gate:
    irq, holder = case.irq, case.irq.queued_on
    if holder is vcpu:
        place = next((i for i, other in enumerate(vcpu.ap_list, 1) if other is irq), 0)
        return Gate("list", False, f"vCPU {vcpu.index} has it listed, as number {place} of {len(vcpu.ap_list)}.")
    if holder is not None:
        said = f"vCPU {holder.index} has it listed, from before it was routed to vCPU {vcpu.index}, and hands it over"
        return Gate("list", True, f"{said} only when it exits.  Enter vCPU {holder.index} and let it exit.")
    if oracle(case.twin) is vcpu:
        said = "It is deliverable but stranded: on no list, as no write of GICD_CTLR, IROUTER or ICFGR puts it on one"
        return Gate("list", True, f"{said}.  Inject it again, or write its bit of ISENABLER, ISPENDR or IGROUPR.")
    return Gate("list", False, "It is on no list, nor should it be: what opens the gate above may put it on one.")


def _list_register(case: Case, vcpu: VcpuGic, entry: Entry) -> Gate:
    name, nr_lr, lr = "list register", vcpu.nr_lr, case.lr
    if lr is not None:
        state = "pending and active" if lr.pending and lr.active else "pending" if lr.pending else "active"
        return Gate(name, False, f"It is {state} in list register {case.slot} of {nr_lr}.")
    if case.irq.queued_on is not vcpu or case.irq.intid not in entry.order:
        return Gate(name, False, "It needs none as long as it is not deliverable and listed.")
    place = entry.order.index(case.irq.intid)
    in_guest = vcpu.mode == IN_GUEST
    if place < nr_lr:
        if not in_guest:
            return Gate(name, False, f"The entry will give it list register {place} of {nr_lr}.")
        if case.spent:
            why = "The guest has completed it, and it is pending again"
        else:
            why = "It came after the entry" if vcpu.used_lrs < nr_lr else f"The entry filled all {nr_lr} with others"
        return Gate(name, True, f"{why}: the next entry gives it list register {place}.  Let vCPU {vcpu.index} exit.")
    inside = ", ".join(str(intid) for intid in entry.order[:nr_lr])
    said = f"It is left out: {len(entry.order)} interrupts want {nr_lr} list registers, and it is number {place + 1}."
    said += f"  INTIDs {inside} get them (active ones first, then by priority); when at most one of those is left"
    return Gate(name, True, said + ", the vCPU exits for the rest (ICH_HCR_EL2.UIE).")


# The CPU interface


def _interface(case: Case, cpu: Icv) -> Gate:
    if cpu.en:
        return Gate("CPU interface", False, "ICH_HCR_EL2.En is 1.")
    if case.lr is None:
        return Gate("CPU interface", False, "ICH_HCR_EL2.En is 0, until an entry fills a list register.")
    return Gate("CPU interface", True, "ICH_HCR_EL2.En is 0 although a list register is in use: somebody cleared it.")


def _group(case: Case, cpu: Icv, vcpu: VcpuGic) -> Gate:
    register = f"ICC_IGRPEN{case.group}_EL1"
    if cpu.veng1 if case.group else cpu.veng0:
        return Gate("group enable", False, f"vCPU {vcpu.index} has Group {case.group} enabled.")
    said = f"vCPU {vcpu.index} has Group {case.group} disabled: {register} is 0.  Its guest has to write 1."
    return Gate("group enable", True, said)


def _mask(case: Case, cpu: Icv) -> Gate:
    priority, mask = case.priority & cpu.config.pri_mask, cpu.vpmr
    if priority < mask:
        return Gate("priority mask", False, f"Priority {priority:#04x} is above the mask, ICC_PMR_EL1 = {mask:#04x}.")
    said = f"Priority {priority:#04x} is not above the mask, ICC_PMR_EL1 = {mask:#04x}"
    said += (
        " (its reset value, which masks everything)." if not mask else ": equal is masked, too." * (priority == mask)
    )
    fix = f"  The guest has to write more than {priority:#04x}, or give the interrupt a lower number."
    return Gate("priority mask", True, said.rstrip(".") + "." + fix)


def _running(case: Case, cpu: Icv) -> Gate:
    running = cpu.rpr()
    if running == PRIORITY_IDLE:
        return Gate("running priority", False, "No interrupt is being handled (ICC_RPR_EL1 = 0xff).")
    mask = cpu.mask1 if case.group else cpu.mask0
    level = case.priority & cpu.config.pri_mask & mask
    against = running if cpu.config.preempt_raw_rprio else running & mask
    point = f"BPR{case.group} = {cpu.read_bpr(case.group)}{', as CBPR is 1' if case.group and cpu.vcbpr else ''}"
    compared = f"preemption level {level:#04x} against {against:#04x} ({point}; ICC_RPR_EL1 = {running:#04x})"
    if level < against:
        return Gate("running priority", False, f"It preempts what is being handled: {compared}.")
    said = f"It does not preempt what is being handled: {compared}.  The guest has to write its EOIR first."
    return Gate("running priority", True, said)


def _most_urgent(case: Case, cpu: Icv) -> Gate:
    name = "most urgent"
    best = cpu.hppir(0)
    if best == INTID_SPURIOUS:
        best = cpu.hppir(1)
    if best in (INTID_SPURIOUS, case.irq.intid):
        return Gate(name, False, "No other interrupt in a list register comes first.")
    order = [lr.vintid for lr in cpu.lrs if lr.pending or lr.active]
    first = next(lr for lr in cpu.lrs if lr.vintid == best)
    priority = case.priority & cpu.config.pri_mask
    mine = order.index(case.irq.intid) if case.irq.intid in order else len(order)
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
