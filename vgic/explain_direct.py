"""Why is an interrupt not delivered that hardware delivers by itself?

Room:    beside gates; explain hands over what it knows.
Never:   changes or counts anything: it looks behind the registers (Direct.peek), where software sees nothing.
Holds:   as explain: no gate blocks  <=>  the guest takes an interrupt now, and acknowledging it returns this one.
"""

from vgic.direct import Direct
from vgic.gates import (
    Gate,
    group_gate,
    interface_gate,
    mask_gate,
    running_gate,
    signal_gate,
    urgency_gate,
    vcpu_gate,
)
from vgic.ids import NR_SGIS
from vgic.tryout import Case, replica
from vgic.wording import Names

_SGI_PRIORITY = 0xF0


def direct_gates(case: Case, direct: Direct, names: Names) -> list[Gate]:
    """Return the gates from pending on; fewer where the vCPU asked about is not its target."""
    irq = case.irq
    if irq.intid < NR_SGIS:
        case.priority = irq.priority & _SGI_PRIORITY
    case.active = False
    pending = direct.peek()
    what = "Hardware delivers it, and has it pending." if pending else "Hardware delivers it, and has it not pending."
    gates = [Gate("pending", not pending, what)]
    if irq.enabled:
        gates.append(Gate("enabled", False, "It is enabled."))
    else:
        bank = names.bank("ISENABLER", irq.intid)
        how = bank if irq.intid < NR_SGIS else "its configuration byte, then an INV"
        gates.append(Gate("enabled", True, f"It is disabled.  The guest has to write {how}."))
    vcpu, target = case.vcpu, irq.target
    vpe = None if target is None else target.vpe
    if vcpu is None or target is None or vpe is None or vcpu is not target:
        goes = "nobody" if target is None else f"vCPU {target.index}"
        return [*gates, Gate("target", True, f"It goes to {goes}.  Ask about that one.")]
    gates.append(Gate("target", False, f"It goes to vCPU {target.index}."))
    dist = target.dist
    if vpe.gates_groups and not irq.group:
        said = "It is in Group 0, which KVM never enables for what hardware delivers."
        gates.append(Gate("distributor", True, f"{said}  The guest has to put it into Group 1."))
    elif vpe.gates_groups and not dist.enabled:
        said = f"{names.dist_enable} is 0.  Write {names.dist_enable_value} to GICD_CTLR"
        gates.append(Gate("distributor", True, f"{said}: vCPUs are made resident anew with that."))
    else:
        gates.append(Gate("distributor", False, "The distributor lets hardware deliver."))
    where = f"resident on physical CPU {target.pe.index}" if vpe.resident else "not resident; it is at the next entry"
    gates.append(Gate("vPE", False, f"vCPU {target.index} is {where}."))
    cpu = replica(target, True)
    return [
        *gates,
        interface_gate(case, cpu, names),
        group_gate(case, cpu, target, names),
        mask_gate(case, cpu, names),
        running_gate(case, cpu, names),
        urgency_gate(case, cpu, names),
        vcpu_gate(target),
        signal_gate(case, cpu, target),
    ]
