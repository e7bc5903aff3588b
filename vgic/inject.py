"""Lines, edges and SGIs coming in: validate, latch, queue, kick.

Room:    above ap_list; below the VM and the trapped SGI registers.
Owns:    Irq.line_level and the setting of Irq.pending_latch by devices.
Never:   removes an interrupt from a list: only prune does, at its holder's exit.
"""

from collections.abc import Hashable
from typing import Final

from vgic.ap_list import queue
from vgic.dist import Dist
from vgic.errors import EINVAL, ENXIO, ConfigError, VgicError
from vgic.ids import FIRST_SPI, NR_SGIS, LineType
from vgic.vcpu import IN_GUEST, PUT, VcpuGic

_SPI: Final = int(LineType.SPI)
_PPI: Final = int(LineType.PPI)
_CPU: Final = int(LineType.CPU)


def inject(dist: Dist, vcpu: VcpuGic | None, intid: int, level: bool, owner: Hashable | None) -> None:
    """Drive the line of one interrupt: kvm_vgic_inject_irq().

        trigger  level                    effect
        level    as it was                none
        level    changed                  the line follows; queued
        edge     low                      none
        edge     high                     latched (two edges before the guest looks are one); queued

    vcpu  whose private interrupt is meant; only traced for an SPI.
    A caller that is not the interrupt's owner has no effect and gets no error.
    A GICv2 is initialised by this; a GICv3 must be before.
    Errors: EBUSY before init, EINVAL when the interrupt does not exist.
    """
    if not dist.initialized:
        dist.guest.ensure_initialized(dist)
    if vcpu is None and intid < FIRST_SPI:
        raise ConfigError(EINVAL, f"INTID {intid} is private: name the vCPU")
    trace = dist.trace
    if trace is not None:
        trace.vgic_update_irq_pending(0 if vcpu is None else vcpu.index, intid, level)
    irq = dist.find_spi(intid) if vcpu is None else vcpu.find_irq(intid)
    if irq is None:
        raise ConfigError(EINVAL, f"INTID {intid} does not exist: this VM has INTIDs 0 to {dist.nr_irqs - 1}")
    if irq.owner != owner:
        return
    if irq.level:
        if irq.line_level == level:
            return
        irq.line_level = level
    elif level:
        irq.pending_latch = True
    else:
        return
    queue(irq)


def irq_word(kind: LineType, number: int, vcpu_id: int = 0) -> int:
    """Return the KVM_IRQ_LINE word for `number`: an INTID, or 0 (IRQ) and 1 (FIQ) for a CPU's own lines.

    Errors: EINVAL for a number past 16 bits or an id past 12 bits.
    """
    if not (0 <= number <= 0xFFFF and 0 <= vcpu_id <= 0xFFF):
        raise ConfigError(EINVAL, f"interrupt {number} of vCPU {vcpu_id} does not fit a KVM_IRQ_LINE word")
    return vcpu_id >> 8 << 28 | kind << 24 | (vcpu_id & 0xFF) << 16 | number


def irq_line(dist: Dist, word: int, level: int) -> None:
    """KVM_IRQ_LINE: `word` is vcpu2[31:28], type[27:24], vcpu[23:16], number[15:0]; any non-zero level is high.

    The CPU lines are for an interrupt controller in user space, SPIs and PPIs for one in the kernel.
    Errors: ENXIO for a line of the other sort; EINVAL for an unknown type or vCPU, or a number of the wrong
    kind; what `inject` raises.
    """
    if not 0 <= word <= 0xFFFF_FFFF:
        raise ConfigError(EINVAL, f"KVM_IRQ_LINE word {word:#x} has more than 32 bits")
    kind = word >> 24 & 0xF
    vcpu_id = (word >> 16 & 0xFF) + (word >> 28 & 0xF) * 256
    number = word & 0xFFFF
    trace = dist.trace
    if trace is not None:
        trace.kvm_irq_line(kind, vcpu_id, number, level)
    if kind not in (_SPI, _PPI, _CPU):
        raise ConfigError(EINVAL, f"unknown KVM_IRQ_LINE type {kind}")
    if (dist.model is None) != (kind == _CPU):
        why = "an in-kernel irqchip, which alone drives its vCPUs" if kind == _CPU else "no in-kernel irqchip"
        raise VgicError(ENXIO, f"KVM_IRQ_LINE {word:#x}: the VM has {why}")
    if kind == _SPI:
        if number < FIRST_SPI:
            raise ConfigError(EINVAL, f"INTID {number} is not an SPI")
        inject(dist, None, number, level != 0, None)
        return
    vcpu = dist.by_id.get(vcpu_id)
    if vcpu is None:
        raise ConfigError(EINVAL, f"no vCPU has id {vcpu_id}")
    if kind == _PPI:
        if not NR_SGIS <= number < FIRST_SPI:
            raise ConfigError(EINVAL, f"INTID {number} is not a PPI")
        inject(dist, vcpu, number, level != 0, None)
    else:
        _cpu_line(vcpu, number, level != 0)


def _cpu_line(vcpu: VcpuGic, number: int, level: bool) -> None:
    """Drive HCR_EL2.VI (0) or VF (1) of one vCPU, past the GIC: vcpu_interrupt_line()."""
    if number > 1:
        raise ConfigError(EINVAL, f"a vCPU has lines 0 (IRQ) and 1 (FIQ), not {number}")
    if number == 0:
        changed = vcpu.vi != level
        vcpu.vi = level
    else:
        changed = vcpu.vf != level
        vcpu.vf = level
    if changed:
        if vcpu.mode == IN_GUEST:  # takes effect as if the kick had it leave and return at once
            vcpu.cost.exits_irq += 1
            vcpu.cost.entries += 1
        if vcpu.mode != PUT:
            vcpu.pe.vi = vcpu.vi
            vcpu.pe.vf = vcpu.vf
        vcpu.kick()


def send_sgi(source: VcpuGic, value: int, group1_allowed: bool) -> None:
    """Send the SGI that a write of ICC_SGI1R, SGI0R or ASGI1R asks for: vgic_v3_dispatch_sgi().

    value           TargetList[15:0], Aff1[23:16], INTID[27:24], Aff2[39:32], IRM[40], Aff3[55:48]; RS is ignored
    group1_allowed  False for SGI0R and ASGI1R: an SGI that its target has in group 1 is not sent
    """
    intid = value >> 24 & 0xF
    if value >> 40 & 1:
        for vcpu in source.dist.vcpus:
            if vcpu is not source:
                _send_one(vcpu, intid, group1_allowed)
        return
    cluster = (value >> 16 & 0xFF) << 8 | (value >> 32 & 0xFF) << 16 | (value >> 48 & 0xFF) << 24
    by_aff = source.dist.by_aff
    targets = value & 0xFFFF
    while targets:
        bit = targets & -targets
        targets ^= bit
        target = by_aff.get(cluster | (bit.bit_length() - 1))
        if target is not None:
            _send_one(target, intid, group1_allowed)


def _send_one(vcpu: VcpuGic, intid: int, group1_allowed: bool) -> None:
    irq = vcpu.private[intid]
    if group1_allowed or not irq.group:
        if irq.direct is not None:
            irq.direct.pend()
            return
        irq.pending_latch = True
        queue(irq)
