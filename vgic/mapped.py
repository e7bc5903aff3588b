"""Interrupts backed by a physical one (arch timers, forwarded devices), and who owns a line.

Room:    beside inject; drives the physical distributor and redistributors by their registers.
Owns:    Irq.mapped_by, host_irq, input_level, sw_resample, owner.
Holds:   an interrupt is mapped while mapped_by is not None; where an SPI is routed does not matter here.
"""

from collections.abc import Hashable
from typing import Final

from hw.arch import GICD_ICACTIVER, GICD_ICPENDR, GICD_ISACTIVER, GICD_ISPENDR
from vgic.errors import EAGAIN, EEXIST, EINVAL, ConfigError, VgicError
from vgic.ids import FIRST_SPI, NR_SGIS
from vgic.irq import Irq
from vgic.ports import LevelReader
from vgic.vcpu import VcpuGic

_W32: Final = 4


def _physical_write(irq: Irq, bank: int) -> None:
    """Write the bit of `irq`'s physical interrupt in one register bank: irq_set_irqchip_state()."""
    word, bit = bank + irq.host_irq // 32 * 4, 1 << irq.host_irq % 32
    vcpu = irq.mapped_by
    assert vcpu is not None, f"INTID {irq.intid} is not mapped"
    if irq.host_irq < FIRST_SPI:
        vcpu.pe.write_private(word, bit)
    else:
        vcpu.dist.host.machine.dist.write(word, _W32, bit)


def set_physical_active(irq: Irq, active: bool) -> None:
    """Set or clear the active state of the interrupt below `irq`: vgic_irq_set_phys_active()."""
    _physical_write(irq, GICD_ISACTIVER if active else GICD_ICACTIVER)


def clear_physical_pending(irq: Irq) -> None:
    """Clear the pending state of the interrupt below `irq`."""
    _physical_write(irq, GICD_ICPENDR)


def physical_level(irq: Irq) -> bool:
    """Return the level that drives `irq` now, its device's or the physical one: vgic_get_phys_line_level()."""
    if irq.input_level is not None:
        return bool(irq.input_level(irq.intid))
    vcpu = irq.mapped_by
    assert vcpu is not None, f"INTID {irq.intid} is not mapped"
    word, bit = GICD_ISPENDR + irq.host_irq // 32 * 4, irq.host_irq % 32
    machine = vcpu.dist.host.machine
    state = vcpu.pe.read_private(word) if irq.host_irq < FIRST_SPI else machine.dist.read(word, _W32)
    return bool(state >> bit & 1)


def resample(irq: Irq, deactivated: bool, lr_pending: bool) -> None:
    """Bring the line of a mapped level interrupt up to date after its list register was folded.

        sw_resample  lr_pending  deactivated  line    effect
        yes          -           -            -       physical active cleared once neither active nor latched
        no           yes         -            -       line := physical level (dropped by flush, not yet acknowledged)
        no           no          yes          high    line := physical level (raised again while it was active)
        no           (otherwise)                      nothing

    A read that gives low clears the physical active state, so that the host takes the next assertion.
    KVM: vgic_irq_handle_resampling().
    """
    if irq.sw_resample:
        if not (irq.active or irq.pending_latch):
            set_physical_active(irq, False)
    elif lr_pending or (deactivated and irq.line_level):
        irq.line_level = physical_level(irq)
        if not irq.line_level:
            set_physical_active(irq, False)


def map_irq(vcpu: VcpuGic, host_irq: int, intid: int, input_level: LevelReader | None, sw_resample: bool) -> None:
    """Tie `intid` to the physical interrupt `host_irq`: kvm_vgic_map_phys_irq().

    Errors: EINVAL when either interrupt does not exist, or for an SGI.
    """
    irq = vcpu.find_irq(intid)
    if irq is None or intid < NR_SGIS:
        raise ConfigError(EINVAL, f"cannot map INTID {intid}: vCPU {vcpu.index} has no such PPI or SPI")
    if not 0 <= host_irq < FIRST_SPI + vcpu.dist.host.machine.dist.config.nr_spis:
        raise ConfigError(EINVAL, f"cannot map INTID {intid}: the machine has no interrupt {host_irq}")
    irq.host_irq = host_irq
    irq.mapped_by = vcpu
    irq.input_level = input_level
    irq.sw_resample = sw_resample


def unmap_irq(vcpu: VcpuGic, intid: int) -> None:
    """Untie `intid`; its state and owner stay: kvm_vgic_unmap_phys_irq().

    Errors: EAGAIN before init, EINVAL when the interrupt does not exist.
    """
    irq = _initialized_irq(vcpu, intid)
    irq.mapped_by = None
    irq.input_level = None
    irq.sw_resample = False


def get_map(vcpu: VcpuGic, intid: int) -> int:
    """Return the physical interrupt that `intid` is tied to, or -1: kvm_vgic_get_map()."""
    irq = vcpu.find_irq(intid)
    return irq.host_irq if irq is not None and irq.hw else -1


def map_is_active(vcpu: VcpuGic, intid: int) -> bool:
    """Whether `intid` is mapped and active: kvm_vgic_map_is_active(). False before init."""
    if not vcpu.dist.initialized:
        return False
    irq = vcpu.find_irq(intid)
    return irq is not None and irq.hw and irq.active


def reset_mapped(vcpu: VcpuGic, intid: int) -> None:
    """Forget the active, pending and line state of a mapped interrupt: kvm_vgic_reset_mapped_irq()."""
    irq = vcpu.find_irq(intid)
    if irq is not None and irq.hw:
        irq.active = irq.pending_latch = irq.line_level = False


def set_owner(vcpu: VcpuGic, intid: int, owner: Hashable | None) -> None:
    """Make `owner` the only device that can drive `intid`: kvm_vgic_set_owner().

    Errors: EAGAIN before init, EINVAL for an SGI or an interrupt that does not exist, EEXIST when somebody
    else owns it (also when `owner` is None: there is no release).
    """
    irq = _initialized_irq(vcpu, intid)
    if intid < NR_SGIS:
        raise ConfigError(EINVAL, f"INTID {intid} is an SGI: nobody can own it")
    if irq.owner is not None and irq.owner != owner:
        raise VgicError(EEXIST, f"INTID {intid} is owned by {irq.owner!r}, not by {owner!r}")
    irq.owner = owner


def _initialized_irq(vcpu: VcpuGic, intid: int) -> Irq:
    if not vcpu.dist.initialized:
        raise VgicError(EAGAIN, "the VGIC is not initialised")
    irq = vcpu.find_irq(intid)
    if irq is None:
        raise ConfigError(EINVAL, f"vCPU {vcpu.index} has no interrupt {intid}")
    return irq
