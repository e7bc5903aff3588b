"""LPIs of a GICv3 guest: their configuration and pending tables in guest memory.

Room:    above ap_list; below the redistributor's registers and the ITS.
Owns:    an LPI's enabled, priority and, from the pending table, its latch.
Never:   reads a table when an interrupt is injected or delivered: what is read stays until software asks anew.
"""

from typing import Final

from vgic.ap_list import flush_lpis, queue
from vgic.dist import Dist
from vgic.errors import ENXIO, ConfigError, GuestMemoryError
from vgic.ids import FIRST_LPI
from vgic.irq import Irq
from vgic.run import halt_guests, resume_guests
from vgic.v3.baser import PTZ
from vgic.vcpu import VcpuGic

_CONFIG_TABLE: Final = 0xF_FFFF_FFFF_F000  # GICR_PROPBASER[51:12]
_PENDING_TABLE: Final = 0xF_FFFF_FFFF_0000  # GICR_PENDBASER[51:16]
_PRIORITY: Final = 0xFC
_ENABLE: Final = 1


def config_byte(dist: Dist, intid: int) -> int:
    """Return the guest physical address of an LPI's configuration byte."""
    return (dist.propbaser & _CONFIG_TABLE) + intid - FIRST_LPI


def pending_byte(vcpu: VcpuGic, intid: int) -> int:
    """Return the guest physical address of the byte with an LPI's bit in the pending table of `vcpu`."""
    return (vcpu.pendbaser & _PENDING_TABLE) + intid // 8


def read_config(dist: Dist, irq: Irq, only_for: VcpuGic | None) -> bool:
    """Read the configuration byte of `irq` again and look at it anew: update_lpi_config().

    only_for  apply it only if the LPI targets that vCPU.
    Returns False, and changes nothing, if the byte is not RAM.
    """
    memory = dist.memory
    byte = None if memory is None else memory.read(config_byte(dist, irq.intid), 1)
    if byte is None:
        return False
    if only_for is None or irq.target is only_for:
        irq.priority = byte[0] & _PRIORITY
        irq.enabled = bool(byte[0] & _ENABLE)
        if irq.direct is not None:
            irq.direct.configure(byte[0], only_for is None)
        queue(irq)
    return True


def take_pending(dist: Dist, irq: Irq) -> bool:
    """Move the bit of a new LPI from its target's pending table to its latch: vgic_v3_lpi_sync_pending_status().

    Returns False if the byte is not RAM.  Without a target there is nothing to take.
    """
    vcpu = irq.target
    if vcpu is None:
        return True
    memory = dist.memory
    gpa = pending_byte(vcpu, irq.intid)
    byte = None if memory is None else memory.read(gpa, 1)
    if memory is None or byte is None:
        return False
    bit = 1 << irq.intid % 8
    irq.pending_latch = bool(byte[0] & bit)
    queue(irq)
    return not irq.pending_latch or memory.write(gpa, bytes([byte[0] & ~bit]))


def create(dist: Dist, intid: int, target: VcpuGic | None) -> Irq | None:
    """Return the LPI `intid` with a reference for the caller, creating it if there is none: vgic_add_lpi().

    One that exists already is left untouched, its target too.  None if a table byte is not RAM.
    """
    irq = dist.lpis.get(intid)
    if irq is not None:
        irq.refs += 1
        return irq
    irq = Irq(intid, False, False, target)
    dist.lpis.add(irq)
    if read_config(dist, irq, None) and take_pending(dist, irq):
        return irq
    dist.lpis.put(irq)
    return None


def set_enabled(vcpu: VcpuGic, enabled: bool) -> None:
    """Write GICR_CTLR.EnableLPIs: vgic_mmio_write_v3r_ctlr()."""
    dist = vcpu.dist
    if not dist.has_its or enabled == vcpu.lpis_enabled:
        return
    if enabled:
        vcpu.lpis_enabled = True
        if not vcpu.pendbaser & PTZ:
            _load_pending(vcpu)
        return
    # KVM leaves list registers of a running vCPU alone; folded first, none of its LPIs is left behind in one.
    halted = halt_guests(dist)
    try:
        flush_lpis(vcpu)
        for its in dist.its_list:
            its.drop_cache()
        vcpu.lpis_enabled = False
    finally:
        resume_guests(halted)


def _load_pending(vcpu: VcpuGic) -> None:
    """Take the pending bits of all LPIs that target `vcpu`: its_sync_lpi_pending_table().

    Bits stay in memory.  The first byte that is not RAM ends the walk.
    """
    dist = vcpu.dist
    memory = dist.memory
    table = vcpu.pendbaser & _PENDING_TABLE
    at = -1
    bits = 0
    for irq in dist.lpis.ascending():
        if irq.intid // 8 != at:
            at = irq.intid // 8
            byte = None if memory is None else memory.read(table + at, 1)
            if byte is None:
                return
            bits = byte[0]
        if irq.target is vcpu:
            if irq.direct is None:
                irq.pending_latch = bool(bits >> irq.intid % 8 & 1)
            elif bits >> irq.intid % 8 & 1:
                irq.direct.pend()
        queue(irq)


def invalidate_one(vcpu: VcpuGic, intid: int) -> None:
    """Write GICR_INVLPIR: read one configuration byte again, whatever the LPI's target."""
    if vcpu.lpis_enabled and intid >= FIRST_LPI:
        irq = vcpu.dist.lpis.get(intid)
        if irq is not None:
            read_config(vcpu.dist, irq, None)


def invalidate_all(vcpu: VcpuGic) -> None:
    """Read the configuration of every LPI that targets `vcpu` again: vgic_its_invall()."""
    for irq in vcpu.dist.lpis.ascending():
        read_config(vcpu.dist, irq, vcpu)
    if vcpu.vpe is not None:
        vcpu.vpe.invalidate_all()


def save_pending_tables(dist: Dist) -> None:
    """Bring every pending table in line with the latches: vgic_v3_save_pending_tables().

    A byte is written only where its bit differs.  LPIs without a target are left out.
    Errors: ENXIO before init; EFAULT, with earlier bytes written, where a table is not RAM.
    """
    if not dist.initialized:
        raise ConfigError(ENXIO, "the VGIC is not initialised: it has no pending tables to save")
    direct = dist.direct
    if direct is None:
        _save_pending(dist)
        return
    direct.unmap_vpes()
    try:
        _save_pending(dist)
    finally:
        direct.map_vpes()


def _save_pending(dist: Dist) -> None:
    memory = dist.memory
    for irq in dist.lpis.ascending():
        vcpu = irq.target
        if vcpu is None:
            continue
        gpa = pending_byte(vcpu, irq.intid)
        pending = irq.pending_latch or (irq.direct is not None and irq.direct.is_pending())
        byte = None if memory is None else memory.read(gpa, 1)
        if memory is None or byte is None:
            raise GuestMemoryError(gpa, "the LPI pending table")
        bit = 1 << irq.intid % 8
        if bool(byte[0] & bit) != pending and not memory.write(gpa, bytes([byte[0] ^ bit])):
            raise GuestMemoryError(gpa, "the LPI pending table")
