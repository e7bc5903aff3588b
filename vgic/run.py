"""Flush the ap_list to list registers before entry, fold them back after exit; load and put a vCPU.

Room:    between ap_list and the physical CPU a vCPU runs on.
Owns:    the list registers, ICH_HCR, VcpuGic.used_lrs and lr_irqs, and which vCPU a physical CPU holds.
Holds:   flush then sync, with the guest changing nothing, changes no interrupt (order and the line of
         mapped level interrupts excepted).
"""

from hw import Pe
from hw.arch import HCR_UIE, VMCR_VPMR_MASK, VMCR_VPMR_SHIFT
from vgic.ap_list import prune
from vgic.dist import Dist
from vgic.errors import EINVAL, BusyError, ConfigError
from vgic.ids import FIRST_SPI
from vgic.irq import Irq, oracle
from vgic.overflow import underflow_request
from vgic.vcpu import IN_GUEST, LOADED, PUT, TRAPPED, VcpuGic


def flush(vcpu: VcpuGic) -> None:
    """Fill the list registers from the ap_list: kvm_vgic_flush_hwstate().

    Call only with a non-empty ap_list: an empty one leaves the hardware alone, with ICH_HCR_EL2.En clear.
    """
    nr_lr = vcpu.nr_lr
    ap_list = vcpu.ap_list
    rules = vcpu.lr_rules.arrange(ap_list, nr_lr)
    vcpu.entry_rules = rules
    if rules.several:
        count = _fill_with_sources(vcpu)
    else:
        virt = vcpu.pe.virt
        lr_irqs = vcpu.lr_irqs
        lr_irqs.clear()
        enabled = vcpu.dist.enabled
        count = 0
        for irq in ap_list:
            if not irq.active and not (
                irq.enabled and (irq.pending_latch or (irq.level and irq.line_level)) and irq.target is vcpu and enabled
            ):
                continue  # the oracle names somebody else, or nobody: prune's business
            rules.populate(virt, count, irq)
            lr_irqs.append(irq)
            count += 1
            if count == nr_lr:
                if irq is not ap_list[-1]:
                    vcpu.hcr = underflow_request(vcpu.hcr)
                break
    vcpu.used_lrs = count
    if count:
        vcpu.pe.virt.write_hcr(vcpu.hcr)


def _fill_with_sources(vcpu: VcpuGic) -> int:
    """Fill list registers when a GICv2 SGI waits from several CPUs; return how many were.

    All sources of the SGI must be seen before anything less urgent, so the walk stops there; its list register's
    EOI notification brings the vCPU out for the next source, without an underflow request.
    """
    virt = vcpu.pe.virt
    lr_irqs = vcpu.lr_irqs
    lr_irqs.clear()
    least_urgent = 0xFF
    for irq in vcpu.ap_list:
        if irq.priority > least_urgent:
            break
        if oracle(irq) is not vcpu:
            continue
        vcpu.entry_rules.populate(virt, len(lr_irqs), irq)
        lr_irqs.append(irq)
        if irq.source:
            least_urgent = irq.priority
        if len(lr_irqs) == vcpu.nr_lr:
            if irq is not vcpu.ap_list[-1]:
                vcpu.hcr = underflow_request(vcpu.hcr)
            break
    return len(lr_irqs)


def sync(vcpu: VcpuGic) -> None:
    """Take back what the guest left in the list registers, then prune: kvm_vgic_sync_hwstate().

    Call only with a non-empty ap_list: an empty one means that no list register was filled.
    Completions are told of when every list register has been read and cleared, so that whatever a listener does meets a
    consistent vCPU.  If a port raises, everything is folded all the same, and its exception comes out last.
    """
    used = vcpu.used_lrs
    failure: BaseException | None = None
    if used:
        virt = vcpu.pe.virt
        empty = virt.read_elrsr()
        virt.write_hcr(vcpu.hcr & vcpu.host_hcr)
        vcpu.hcr &= ~HCR_UIE
        vcpu.used_lrs = 0
        rules = vcpu.entry_rules
        lr_irqs = vcpu.lr_irqs
        completed: list[Irq] | None = None
        for i in range(used):
            irq = lr_irqs[i]
            vintid = 0
            pending = active = False
            if not empty >> i & 1:
                lr = virt.read_lr(i)
                vintid, pending, active = lr.vintid, lr.pending, lr.active
                if not (pending or active) and irq.intid >= FIRST_SPI:  # it asked for the EOI, or ELRSR would show it
                    completed = [irq] if completed is None else [*completed, irq]
                    virt.clear_lr(i)
                    continue
            virt.clear_lr(i)
            try:
                rules.fold(irq, vintid, pending, active)
            except BaseException as raised:
                failure = raised
        if completed is not None:
            failure = _complete(vcpu, completed) or failure
    prune(vcpu)
    if failure is not None:
        raise failure


def _complete(vcpu: VcpuGic, completed: list[Irq]) -> BaseException | None:
    """Tell of each completion, then fold it; return what a listener raised."""
    failure: BaseException | None = None
    for irq in completed:
        try:
            notify_completion(irq)
        except BaseException as raised:
            failure = raised
        try:
            vcpu.lr_rules.fold(irq, 0, False, False)
        except BaseException as raised:
            failure = raised
    return failure


def notify_completion(irq: Irq) -> None:
    """Tell whoever listens that the guest completed a level SPI: kvm_notify_acked_irq().

    Runs before the record changes, so that a listener that lowers the line is seen by the prune that follows.
    """
    target = irq.queued_on
    if target is None:
        return
    dist = target.dist
    trace = dist.trace
    if trace is not None:
        trace.kvm_ack_irq(0, irq.intid - FIRST_SPI)
    listeners = dist.ack_notifiers.get(irq.intid)
    if listeners is not None:
        for listener in listeners:
            listener(irq.intid)
    if dist.resamplers:
        pin = irq.intid - FIRST_SPI
        gsi = pin if dist.routes is None else dist.gsi_of_pin.get(pin)
        resampler = None if gsi is None else dist.resamplers.get(gsi)
        if resampler is not None:
            resampler.completed()


def check_free(vcpu: VcpuGic, pe: Pe) -> None:
    """Check that `vcpu` may be loaded on `pe`.

    Errors: EBUSY when that CPU is in another vCPU's guest, or holds a vCPU of another VM; EINVAL when it is offline.
    """
    gic = vcpu.dist.host.gic
    if gic is not None and pe.index in gic.offline:
        raise ConfigError(EINVAL, f"physical CPU {pe.index} is offline")
    holder = vcpu.dist.host.loaded.get(pe.index)
    if holder is None or holder is vcpu:
        return
    if holder.dist is not vcpu.dist:
        raise BusyError(f"physical CPU {pe.index} holds a vCPU of another VM: put it first")
    if holder.mode != LOADED:
        raise BusyError(f"physical CPU {pe.index} is in the guest of vCPU {holder.index}")


def load(vcpu: VcpuGic) -> None:
    """Make the CPU interface of `vcpu` live on its physical CPU, which `check_free` found free: kvm_vgic_load()."""
    pe = vcpu.pe
    host = vcpu.dist.host
    holder = host.loaded.setdefault(pe.index, vcpu)
    if holder is not vcpu:
        check_free(vcpu, pe)  # another VM's thread may have been quicker
        put(holder)
        host.loaded[pe.index] = vcpu
    host.switch.load(vcpu)
    pe.imo = pe.fmo = pe.amo = True
    pe.vi = vcpu.vi
    pe.vf = vcpu.vf
    vcpu.mode = LOADED


def put(vcpu: VcpuGic) -> None:
    """Save the CPU interface of `vcpu` and free its physical CPU: kvm_vgic_put().  Nothing to do if not loaded.

    Errors: EBUSY when it is in the guest.
    """
    if vcpu.mode == PUT:
        return
    if vcpu.mode != LOADED:
        raise BusyError(f"vCPU {vcpu.index} is in the guest")
    pe = vcpu.pe
    host = vcpu.dist.host
    host.switch.put(vcpu)
    pe.imo = pe.fmo = pe.amo = False
    pe.vi = pe.vf = False
    vcpu.mode = PUT
    del host.loaded[pe.index]


def halt_guests(dist: Dist) -> list[VcpuGic]:
    """Take every vCPU out of the guest and fold its list registers; return those: kvm_arm_halt_guest()."""
    halted = [vcpu for vcpu in dist.vcpus if vcpu.mode == IN_GUEST]
    for vcpu in halted:
        vcpu.mode = TRAPPED
    for vcpu in halted:
        vcpu.cost.exits_irq += 1
        if vcpu.ap_list:
            sync(vcpu)
    return halted


def resume_guests(halted: list[VcpuGic]) -> None:
    """Refill what `halt_guests` folded, and kick, as the vCPUs left the guest: kvm_arm_resume_guest()."""
    for vcpu in halted:
        if vcpu.ap_list:
            flush(vcpu)
        vcpu.mode = IN_GUEST
        vcpu.cost.entries += 1
    for vcpu in halted:
        vcpu.kick()


def pending(vcpu: VcpuGic) -> bool:
    """Whether a vCPU that is not in the guest has something to wake up for: kvm_vgic_vcpu_pending_irq().

    Any listed interrupt that is pending, enabled, not active and of higher priority than the saved priority
    mask; group enables and running priority are not looked at.  Put the vCPU first: the mask must not be stale.
    """
    if not vcpu.dist.enabled:
        return False
    vpe = vcpu.vpe
    if vpe is not None and vpe.pending_last:
        return True
    pmr = vcpu.vmcr >> VMCR_VPMR_SHIFT & VMCR_VPMR_MASK
    for irq in vcpu.ap_list:
        if (
            irq.enabled
            and not irq.active
            and irq.priority < pmr
            and (irq.pending_latch or (irq.level and irq.line_level))
        ):
            return True
    return False


def kick_pending(dist: Dist) -> None:
    """Kick every vCPU that has something to take, as the distributor was just enabled: vgic_kick_vcpus()."""
    for vcpu in dist.vcpus:
        if vcpu.mode == LOADED:
            put(vcpu)  # or its priority mask would be stale
        if pending(vcpu):
            vcpu.kick()
