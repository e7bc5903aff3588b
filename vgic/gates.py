"""What explanations consist of, and the gates that every interrupt meets last: the CPU interface and the vCPU.

Room:    below explain and explain_direct.
Never:   changes or counts anything: what is asked of a CPU interface is asked of a copy.
"""

from dataclasses import dataclass

from hw.arch import PRIORITY_IDLE
from hw.icv import Icv
from vgic.tryout import Case
from vgic.vcpu import IN_GUEST, LEAVING, LOADED, PUT, VcpuGic
from vgic.wording import Names


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


# The CPU interface


def interface_gate(case: Case, cpu: Icv, names: Names) -> Gate:
    """Whether the virtual CPU interface is on at all."""
    if cpu.en:
        return Gate("CPU interface", False, f"{names.hcr}.En is 1.")
    if case.lr is None:
        return Gate("CPU interface", False, f"{names.hcr}.En is 0, until an entry fills a list register.")
    return Gate("CPU interface", True, f"{names.hcr}.En is 0 although a list register is in use: somebody cleared it.")


def group_gate(case: Case, cpu: Icv, vcpu: VcpuGic, names: Names) -> Gate:
    """Whether the guest has the interrupt's group enabled."""
    register = names.group_enable[case.group]
    if cpu.veng1 if case.group else cpu.veng0:
        return Gate("group enable", False, f"vCPU {vcpu.index} has Group {case.group} enabled.")
    said = f"vCPU {vcpu.index} has Group {case.group} disabled: {register} is 0.  Its guest has to write 1."
    return Gate("group enable", True, said)


def mask_gate(case: Case, cpu: Icv, names: Names) -> Gate:
    """Whether it is more urgent than the priority mask."""
    priority, mask = case.priority & cpu.config.pri_mask, cpu.vpmr
    if priority < mask:
        return Gate("priority mask", False, f"Priority {priority:#04x} is above the mask, {names.pmr} = {mask:#04x}.")
    said = f"Priority {priority:#04x} is not above the mask, {names.pmr} = {mask:#04x}"
    said += (
        " (its reset value, which masks everything)." if not mask else ": equal is masked, too." * (priority == mask)
    )
    fix = f"  The guest has to write more than {priority:#04x}, or give the interrupt a lower number."
    return Gate("priority mask", True, said.rstrip(".") + "." + fix)


def running_gate(case: Case, cpu: Icv, names: Names) -> Gate:
    """Whether it preempts what the guest is at."""
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


def urgency_gate(case: Case, cpu: Icv, names: Names) -> Gate:
    """Whether another interrupt comes before it."""
    name, intid, mask = "most urgent", case.irq.intid, names.intid_mask
    first = cpu.candidate(False)
    if first is None or first.vintid & mask == intid:
        return Gate(name, False, "No other interrupt in a list register comes first.")
    best = first.vintid & mask
    order = [lr.vintid & mask for lr in cpu.lrs if lr.pending or lr.active]
    priority = case.priority & cpu.config.pri_mask
    mine = order.index(intid) if intid in order else len(order)
    other = order.index(best) if best in order else len(order)  # one that hardware offers is in none
    if first.priority > priority or (first.priority == priority and other > mine):
        return Gate(name, False, f"INTID {best}, pending too, comes after it.")
    if first.priority < priority:
        said = f"INTID {best} comes first: its priority {first.priority:#04x} is above {priority:#04x}"
    else:
        said = f"INTID {best} comes first: it has the same priority {priority:#04x}, and a lower list register"
    return Gate(name, True, f"{said}.  The guest has to acknowledge that one before.")


# The vCPU


def vcpu_gate(vcpu: VcpuGic) -> Gate:
    """Whether the vCPU is in its guest."""
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


def signal_gate(case: Case, cpu: Icv, vcpu: VcpuGic) -> Gate:
    """Whether the line it raises reaches the guest."""
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


def legacy_gate(case: Case, cpu: Icv) -> Gate:
    """What reading GICC_IAR gives a guest without system registers."""
    if case.group == 0:
        return Gate("acknowledge", False, "GICC_IAR acknowledges it.")
    if cpu.vackctl:
        return Gate("acknowledge", False, "GICC_IAR acknowledges it: GICC_CTLR.AckCtl is 1, so Group 1, too.")
    said = "GICC_IAR gives 1022 for Group 1, as GICC_CTLR.AckCtl is 0"
    return Gate("acknowledge", True, f"{said}.  The guest has to read GICC_AIAR instead, or to set AckCtl.")
