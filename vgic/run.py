"""Flush the ap_list to list registers before entry, fold them back after exit; load and put a vCPU.

Room:    between ap_list and the physical CPU a vCPU runs on.
Owns:    the list registers, ICH_HCR, VcpuGic.used_lrs and lr_irqs, and the saved CPU interface.
Holds:   flush then sync, with the guest changing nothing, changes no interrupt (order and the line of
         mapped level interrupts excepted).
"""

from hw import Pe
from hw.arch import HCR_EN, HCR_UIE, ICC_SRE_EL2, SRE_ENABLE
from vgic.ap_list import prune
from vgic.dist import Dist
from vgic.errors import BusyError
from vgic.ids import FIRST_SPI
from vgic.irq import Irq
from vgic.mapped import resample
from vgic.overflow import arrange, overflows, underflow_request
from vgic.v3.lr import populate
from vgic.vcpu import IN_GUEST, LOADED, PUT, VcpuGic


def flush(vcpu: VcpuGic) -> None:
    """Fill the list registers from the ap_list: kvm_vgic_flush_hwstate().

    Call only with a non-empty ap_list: an empty one leaves the hardware alone, with ICH_HCR_EL2.En clear.
    """
    nr_lr = vcpu.nr_lr
    ap_list = vcpu.ap_list
    if len(ap_list) > nr_lr and overflows(ap_list, nr_lr):
        arrange(ap_list)
    virt = vcpu.pe.virt
    lr_irqs = vcpu.lr_irqs
    lr_irqs.clear()
    hcr = vcpu.hcr
    enabled = vcpu.dist.enabled
    count = 0
    for irq in ap_list:
        if not irq.active and not (
            irq.enabled and (irq.pending_latch or (irq.level and irq.line_level)) and irq.target is vcpu and enabled
        ):
            continue  # the oracle names somebody else, or nobody: prune's business
        populate(virt, count, irq)
        lr_irqs.append(irq)
        count += 1
        if count == nr_lr:
            if irq is not ap_list[-1]:
                vcpu.hcr = hcr = underflow_request(hcr)
            break
    vcpu.used_lrs = count
    if count:
        virt.write_hcr(hcr)


def sync(vcpu: VcpuGic) -> None:
    """Take back what the guest left in the list registers, then prune: kvm_vgic_sync_hwstate().

    Call only with a non-empty ap_list: an empty one means that no list register was filled.
    """
    used = vcpu.used_lrs
    if used:
        virt = vcpu.pe.virt
        empty = virt.read_elrsr()
        virt.write_hcr(vcpu.hcr & ~HCR_EN)
        vcpu.hcr &= ~HCR_UIE
        vcpu.used_lrs = 0
        lr_irqs = vcpu.lr_irqs
        for i in range(used):
            if empty >> i & 1:
                virt.clear_lr(i)
                fold(lr_irqs[i], False, False, False)
            else:
                lr = virt.read_lr(i)
                pending, active, eoi = lr.pending, lr.active, lr.eoi and not lr.hw
                virt.clear_lr(i)
                fold(lr_irqs[i], pending, active, eoi)
    prune(vcpu)


def fold(irq: Irq, lr_pending: bool, lr_active: bool, lr_eoi: bool) -> None:
    """Take back one interrupt from its list register.

        trigger  LR.pending  LR.active   pending_latch  active
        edge     yes         -           set            LR
        edge     no          -           kept           LR
        level    no          no          cleared        no
        level    (any other pair)        kept           LR

    lr_eoi  the list register asked for an EOI notification; if it came back empty, that is told first of all.
    Never:   writes `line_level`: the wire belongs to the device; mapped ones are sampled anew by `resample`.
    Source:  IHI 0069, ICH_LR<n>_EL2.State.  KVM: vgic_v3_fold_lr_state().
    """
    if lr_eoi and not (lr_pending or lr_active) and irq.intid >= FIRST_SPI:
        notify_completion(irq)
    deactivated = irq.active and not lr_active
    irq.active = lr_active
    if not irq.level:
        if lr_pending:
            irq.pending_latch = True
    else:
        if not (lr_pending or lr_active):
            irq.pending_latch = False
        if irq.hw:
            resample(irq, deactivated, lr_pending)


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


def load(vcpu: VcpuGic) -> None:
    """Make the CPU interface of `vcpu` live on its physical CPU: vgic_v3_load() and __vgic_v3_activate_traps().

    Errors: EBUSY when that CPU is running another vCPU's guest, or holds a vCPU of another VM.
    """
    pe = vcpu.pe
    loaded = vcpu.dist.host.loaded
    holder = loaded.setdefault(pe.index, vcpu)
    if holder is not vcpu:
        if holder.dist is not vcpu.dist:
            raise BusyError(f"physical CPU {pe.index} holds a vCPU of another VM: put it first")
        put(holder)
        loaded[pe.index] = vcpu
    virt = pe.virt
    virt.write_vmcr(vcpu.vmcr)
    apr_count = virt.config.ap_words
    virt.read_vtr()  # KVM derives the number of active-priority registers from it each time
    for n in range(apr_count - 1, -1, -1):
        virt.write_ap(0, n, vcpu.ap0r[n])
    for n in range(apr_count - 1, -1, -1):
        virt.write_ap(1, n, vcpu.ap1r[n])
    _let_guest_use_sre(pe, False)
    if vcpu.hcr & ~(HCR_EN | HCR_UIE):
        virt.write_hcr(vcpu.hcr & ~HCR_EN)
    pe.imo = pe.fmo = pe.amo = True
    pe.vi = vcpu.vi
    pe.vf = vcpu.vf
    vcpu.mode = LOADED


def put(vcpu: VcpuGic) -> None:
    """Save the CPU interface of `vcpu` and free its physical CPU: vgic_v3_put().  Nothing to do if not loaded.

    Errors: EBUSY when it is in the guest.
    """
    if vcpu.mode == PUT:
        return
    if vcpu.mode != LOADED:
        raise BusyError(f"vCPU {vcpu.index} is in the guest")
    pe = vcpu.pe
    virt = pe.virt
    apr_count = virt.config.ap_words
    virt.read_vtr()
    for n in range(apr_count - 1, -1, -1):
        vcpu.ap0r[n] = virt.read_ap(0, n)
    for n in range(apr_count - 1, -1, -1):
        vcpu.ap1r[n] = virt.read_ap(1, n)
    vcpu.vmcr = virt.read_vmcr()
    _let_guest_use_sre(pe, True)
    if vcpu.hcr & ~(HCR_EN | HCR_UIE):
        virt.write_hcr(0)
    pe.imo = pe.fmo = pe.amo = False
    pe.vi = pe.vf = False
    vcpu.mode = PUT
    del vcpu.dist.host.loaded[pe.index]


def _let_guest_use_sre(pe: Pe, allowed: bool) -> None:
    """Set ICC_SRE_EL2.Enable: while a guest is loaded, its ICC_SRE_EL1 accesses trap."""
    sre = pe.mrs_el2(ICC_SRE_EL2)
    pe.msr_el2(ICC_SRE_EL2, sre | SRE_ENABLE if allowed else sre & ~SRE_ENABLE)


def halt_guests(dist: Dist) -> None:
    """Fold the list registers of every vCPU in the guest, so that its state is current: kvm_arm_halt_guest()."""
    for vcpu in dist.vcpus:
        if vcpu.mode == IN_GUEST and vcpu.ap_list:
            sync(vcpu)


def resume_guests(dist: Dist) -> None:
    """Refill what `halt_guests` folded, and kick, as the vCPUs left the guest: kvm_arm_resume_guest().

    A vCPU with list registers in use was brought back by its embedder meanwhile, in answer to a kick.
    """
    for vcpu in dist.vcpus:
        if vcpu.mode == IN_GUEST and not vcpu.used_lrs:
            cost = vcpu.cost
            cost.exits_irq += 1
            cost.entries += 1
            if vcpu.ap_list:
                flush(vcpu)
            vcpu.kick()


def pending(vcpu: VcpuGic) -> bool:
    """Whether a vCPU that is not in the guest has something to wake up for: kvm_vgic_vcpu_pending_irq().

    Any listed interrupt that is pending, enabled, not active and of higher priority than the saved priority
    mask; group enables and running priority are not looked at.  Put the vCPU first: the mask must not be stale.
    """
    if not vcpu.dist.enabled:
        return False
    pmr = vcpu.vmcr >> 24 & 0xFF
    for irq in vcpu.ap_list:
        if (
            irq.enabled
            and not irq.active
            and irq.priority < pmr
            and (irq.pending_latch or (irq.level and irq.line_level))
        ):
            return True
    return False
