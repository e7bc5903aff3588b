"""The GICv3 CPU interface in software: select, acknowledge, drop, deactivate, on live list registers.

Room:    below trap, which gives each rule here its registers; above the EL2 interface of one physical CPU.
Owns:    nothing: the state is the hardware's, read and written register by register.
Never:   looks at an Irq or at the ap_list: a list register that changes here is folded at the next exit.
Holds:   only the list registers that the last flush filled (`used_lrs`) are searched.

This is KVM's interface, not the architecture's; what a guest can tell apart is said where it happens.
Source: IHI 0069H, ICV_*_EL1.  KVM: hyp/vgic-v3-sr.c.
"""

from typing import Final

from hw.arch import (
    FIRST_LPI,
    FIRST_SPECIAL,
    FIRST_SPI,
    GICD_ICACTIVER,
    GICR_ICACTIVER0,
    HCR_EOICOUNT_SHIFT,
    INTID_SPURIOUS,
    PRIORITY_IDLE,
    VMCR_VBPR0_SHIFT,
    VMCR_VBPR1_SHIFT,
    VMCR_VBPR_MASK,
    VMCR_VCBPR,
    VMCR_VENG0,
    VMCR_VENG1,
    VMCR_VEOIM,
    VMCR_VPMR_MASK,
    VMCR_VPMR_SHIFT,
    VTR_PREBITS_SHIFT,
)
from hw.ich import Ich
from hw.lr import ListReg
from vgic.vcpu import VcpuGic

WRITTEN_INTID: Final = 0xFFFF_FFFF
"""What is taken of a value written to EOIR or DIR: 32 bits, however many of them the hardware implements."""

_EOICOUNT_ONE: Final = 1 << HCR_EOICOUNT_SHIFT
_HCR_MASK: Final = 0xFFFF_FFFF
_VTR_PREBITS_MASK: Final = 7
_W32: Final = 4


# Priorities and binary points


def preemption_bits(vtr: int) -> int:
    """The priority bits that take part in preemption, 5 to 7, from ICH_VTR_EL2."""
    return (vtr >> VTR_PREBITS_SHIFT & _VTR_PREBITS_MASK) + 1


def min_bpr1(vtr: int) -> int:
    """The lowest binary point of group 1, and the shift from a level to its active-priority bit: bpr_min in KVM."""
    return 8 - preemption_bits(vtr)


def ap_words(vtr: int) -> int:
    """The active-priority registers of each group: 1, 2 or 4."""
    return 1 << (preemption_bits(vtr) - 5)


def bpr0(vmcr: int) -> int:
    """The binary point of group 0."""
    return vmcr >> VMCR_VBPR0_SHIFT & VMCR_VBPR_MASK


def bpr1(vmcr: int) -> int:
    """The binary point of group 1, which CBPR makes that of group 0 plus one, 7 at most: __vgic_v3_get_bpr1()."""
    if vmcr & VMCR_VCBPR:
        return min(bpr0(vmcr) + 1, VMCR_VBPR_MASK)
    return vmcr >> VMCR_VBPR1_SHIFT & VMCR_VBPR_MASK


def preemption_level(priority: int, group: int, vmcr: int) -> int:
    """`priority` without the bits below the binary point of `group`: __vgic_v3_pri_to_pre().

        BPR           0   1   2   3   4   5   6   7
        group 0 mask  FE  FC  F8  F0  E0  C0  80  00
        group 1 mask  FF  FE  FC  F8  F0  E0  C0  80

    With CBPR and BPR0 = 7 group 1 keeps one bit, because BPR1 saturates; hardware would give it none.
    """
    below = bpr1(vmcr) if group else bpr0(vmcr) + 1
    return priority >> below << below


# Active priorities


def running_priority(virt: Ich) -> int:
    """The most urgent active priority of both groups, or 0xFF: __vgic_v3_get_highest_active_priority()."""
    vtr = virt.read_vtr()
    for n in range(ap_words(vtr)):
        active = virt.read_ap(0, n) | virt.read_ap(1, n)
        if active:
            return (32 * n + _lowest(active)) << min_bpr1(vtr)
    return PRIORITY_IDLE


def _activate(virt: Ich, group: int, level: int) -> None:
    """Set the active-priority bit of a preemption level: __vgic_v3_set_active_priority()."""
    bit = level >> min_bpr1(virt.read_vtr())
    n = bit // 32
    virt.write_ap(group, n, virt.read_ap(group, n) | 1 << bit % 32)


def _drop(virt: Ich) -> int:
    """Clear the most urgent active priority; return it, 0xFF if nothing was active.

    Of the same level in both groups, group 1's goes (the modelled hardware takes group 0's).
    KVM: __vgic_v3_clear_highest_active_priority().
    """
    vtr = virt.read_vtr()
    for n in range(ap_words(vtr)):
        ap0 = virt.read_ap(0, n)
        ap1 = virt.read_ap(1, n)
        if ap0 | ap1:
            lowest = _lowest(ap0 | ap1)
            bit = 1 << lowest
            if ap1 & bit:
                virt.write_ap(1, n, ap1 ^ bit)
            else:
                virt.write_ap(0, n, ap0 ^ bit)
            return (32 * n + lowest) << min_bpr1(vtr)
    return PRIORITY_IDLE


def _lowest(word: int) -> int:
    return (word & -word).bit_length() - 1


# Searching the list registers


def _candidate(vcpu: VcpuGic, vmcr: int) -> tuple[int, ListReg] | None:
    """The most urgent pending interrupt of an enabled group, and its list register's index.

    One that is also active is no candidate, nor is priority 0xFF; the lowest list register wins a tie.
    Priority mask and running priority are not looked at.  KVM: __vgic_v3_highest_priority_lr().
    """
    virt = vcpu.pe.virt
    best = PRIORITY_IDLE
    chosen = None
    for i in range(vcpu.used_lrs):
        lr = virt.read_lr(i)
        enabled = vmcr & (VMCR_VENG1 if lr.group else VMCR_VENG0)
        if lr.pending and not lr.active and enabled and lr.priority < best:
            best = lr.priority
            chosen = i, lr
    return chosen


def _active(vcpu: VcpuGic, intid: int) -> tuple[int, ListReg] | None:
    """The first list register that has `intid` active, pending as well or not: __vgic_v3_find_active_lr()."""
    virt = vcpu.pe.virt
    for i in range(vcpu.used_lrs):
        lr = virt.read_lr(i)
        if lr.active and lr.vintid == intid:
            return i, lr
    return None


# What the guest asks for


def highest_pending(vcpu: VcpuGic, group: int) -> int:
    """HPPIR<group>: the candidate's INTID, or 1023 if there is none or it is of the other group."""
    found = _candidate(vcpu, vcpu.pe.virt.read_vmcr())
    return found[1].vintid if found is not None and found[1].group == group else INTID_SPURIOUS


def acknowledge(vcpu: VcpuGic, group: int) -> int:
    """IAR<group>: make the candidate active, or return 1023 and change nothing: __vgic_v3_read_iar().

    The running priority is compared as it is, only the candidate's priority is masked (the manual masks both).
    An LPI becomes active too, and a list register that names 1020..1023 is acknowledged like any other.
    """
    virt = vcpu.pe.virt
    vmcr = virt.read_vmcr()
    found = _candidate(vcpu, vmcr)
    if found is None:
        return INTID_SPURIOUS
    i, lr = found
    if lr.group != group or (vmcr >> VMCR_VPMR_SHIFT & VMCR_VPMR_MASK) <= lr.priority:
        return INTID_SPURIOUS
    level = preemption_level(lr.priority, group, vmcr)
    if running_priority(virt) <= level:
        return INTID_SPURIOUS
    _set_state(virt, i, lr, False, True)
    _activate(virt, group, level)
    return lr.vintid


def end(vcpu: VcpuGic, group: int, intid: int) -> None:
    """EOIR<group>: drop the running priority, whatever is written, then deactivate: __vgic_v3_write_eoir().

        LR active  EOImode  intid  group and level  after the drop
        no         -        LPI    -                nothing
        no         -        other  -                EOIcount + 1
        yes        1        other  -                nothing: deactivation is DIR's
        yes        1        LPI    as dropped       deactivated
        yes        0        -      as dropped       deactivated
        yes        (otherwise)                      stays active: the guest ended another one

    1020..1023 are INTIDs like any other here, where the manual has the write ignored.  EOIcount also counts with
    nothing to drop and with EOImode 1, where the manual does not count; nothing in KVM reads it.
    """
    virt = vcpu.pe.virt
    dropped = _drop(virt)
    found = _active(vcpu, intid)
    if found is None:
        if intid < FIRST_LPI:
            _count_eoi(virt)
        return
    i, lr = found
    vmcr = virt.read_vmcr()
    if vmcr & VMCR_VEOIM and intid < FIRST_LPI:
        return
    if lr.group == group and preemption_level(lr.priority, group, vmcr) == dropped:
        _deactivate_lr(vcpu, i, lr)


def deactivate(vcpu: VcpuGic, intid: int) -> None:
    """DIR: deactivate, whatever the group and priority, and drop nothing: __vgic_v3_write_dir().

    Ignored with EOImode 0 and for LPIs; counted in EOIcount when no list register has `intid` active.
    """
    virt = vcpu.pe.virt
    if not virt.read_vmcr() & VMCR_VEOIM or intid >= FIRST_LPI:
        return
    found = _active(vcpu, intid)
    if found is None:
        _count_eoi(virt)
    else:
        _deactivate_lr(vcpu, found[0], found[1])


def _deactivate_lr(vcpu: VcpuGic, i: int, lr: ListReg) -> None:
    """Clear the active bit and, with HW, deactivate the physical interrupt first: __vgic_v3_clear_active_lr()."""
    if lr.hw:
        _deactivate_physical(vcpu, lr.pintid)
    _set_state(vcpu.pe.virt, i, lr, lr.pending, False)


def _deactivate_physical(vcpu: VcpuGic, pintid: int) -> None:
    """Clear the active bit of a physical SGI, PPI or SPI; nothing for a pINTID that names none.

    KVM writes ICC_DIR_EL1, which it may because it runs only on hosts with EOImode 1.  Nothing here obliges the
    host to that, and ICACTIVER does the same whatever the EOImode.
    """
    bit = 1 << pintid % 32
    if pintid < FIRST_SPI:
        vcpu.pe.redist.write(GICR_ICACTIVER0, _W32, bit)
    elif pintid < FIRST_SPECIAL:
        vcpu.dist.host.machine.dist.write(GICD_ICACTIVER + pintid // 32 * 4, _W32, bit)


def _set_state(virt: Ich, i: int, lr: ListReg, pending: bool, active: bool) -> None:
    virt.write_lr(i, lr.vintid, pending, active, lr.priority, lr.group, lr.hw, lr.pintid, lr.eoi)


def _count_eoi(virt: Ich) -> None:
    """Add one to ICH_HCR_EL2.EOIcount, which wraps: __vgic_v3_bump_eoicount()."""
    virt.write_hcr(virt.read_hcr() + _EOICOUNT_ONE & _HCR_MASK)
