"""The commands of GICv4.0 and GICv4.1 but VMOVP.

Room:    above frame and vpes; commands has the table.
Owns:    what VMAPP, VMAPTI, VMAPI, VMOVI, VSGI, VSYNC, VINVALL and INVDB do; who uses an individual doorbell.
Never:   changes CREADR or a register.
Holds:   a command that is in error changes nothing; one that names a vPE not mapped on its ITS is misuse, too.

Source: IHI 0069H, ITS commands; IHI 0069H 5.3.19 (VMAPP) for Alloc and PTZ.
"""

from typing import Final, final

from hw.arch import FIRST_LPI
from hw.arch4 import (
    NO_DOORBELL,
    PA_64K,
    U32,
    VALID,
    VLPI_ENABLE,
    VMAPP_ALLOC,
    VMAPP_PTZ,
    VSGI_CLEAR,
    VSGI_ENABLE,
    VSGI_GROUP,
    VSGI_INTID_SHIFT,
    VSGI_PRIORITY_SHIFT,
)
from hw.its.core import VPEID_MASK, ItsCore, Words
from hw.its.maps import Ite, MemoryFault
from hw.redist import Redistributor
from hw.tables import FAULT
from hw.vpe import Vpe

RDBASE_MASK: Final = 0xF_FFFF_FFFF  # bits 51:16 of a word
MIN_VPT_BITS: Final = 14
MAX_VPT_BITS: Final = 24


class Command:
    """One command number."""

    def run(self, its: ItsCore, words: Words) -> str:
        """Execute it on `its`; the name of its error, or nothing."""
        raise NotImplementedError


def named_vpe(its: ItsCore, words: Words) -> Vpe | None:
    """The vPE in DW1[47:32], which has to be mapped on this ITS."""
    vpeid = words[1] >> 32 & VPEID_MASK
    vpe = its.vpes.get(vpeid)
    if vpe is None:
        its.misuse.report("M-17", f"vPE {vpeid}")
    return vpe


def count_target(its: ItsCore, vpeid: int, change: int) -> None:
    """One event more, or one fewer, goes to that vPE."""
    count = its.targets.get(vpeid, 0) + change
    if count > 0:
        its.targets[vpeid] = count
    else:
        its.targets.pop(vpeid, None)


def use_individual(its: ItsCore, doorbell: int, vpeid: int, change: int) -> None:
    """One event more, or one fewer, of that vPE uses an individual doorbell, which belongs to one vPE."""
    if doorbell == NO_DOORBELL:
        return
    use = its.individual.get(doorbell)
    if use is None:
        if change > 0:
            its.individual[doorbell] = [vpeid, change]
    elif change < 0:
        use[1] += change
        if use[1] <= 0:
            del its.individual[doorbell]
    else:
        use[1] += change
        if use[0] != vpeid:
            its.misuse.report("M-21", f"LPI {doorbell} is the individual doorbell of vPEs {use[0]} and {vpeid}")
    default = its.fabric.doorbells.get(doorbell)
    vpe = its.vpes.get(vpeid)
    if change > 0 and default is not None and (vpe is None or vpe.db != doorbell):
        its.misuse.report("M-21", f"LPI {doorbell} is the default doorbell of another vPE")


def is_doorbell(its: ItsCore, intid: int) -> bool:
    """Whether `intid` can be a doorbell: an LPI, or none."""
    return intid == NO_DOORBELL or FIRST_LPI <= intid < 1 << its.fabric.phys.lpi_id_bits


def checked_doorbell(its: ItsCore, doorbell: int) -> int:
    """The individual doorbell that a command names, NO_DOORBELL, or -1 if it is no LPI."""
    if doorbell == NO_DOORBELL:
        return NO_DOORBELL
    if its.v41 and not its.config.individual:
        its.misuse.report("M-20", f"LPI {doorbell}")
        return NO_DOORBELL
    return doorbell if is_doorbell(its, doorbell) else -1


@final
class Vmapp(Command):
    """VMAPP maps a vPE to a redistributor, or unmaps it; GICv4.1's layout has more."""

    def run(self, its: ItsCore, words: Words) -> str:
        """Map with V=1, unmap with V=0."""
        vpeid = words[1] >> 32 & VPEID_MASK
        v4 = its.fabric.v4
        if v4 is None or vpeid >= v4.nr_vpes:
            return "VMAPP_VPE_OOR"
        if not words[2] & VALID:
            return self._unmap(its, vpeid, words)
        redist = its.redistributor(words[2] >> 16 & RDBASE_MASK)
        if redist is None:
            return "VMAPP_RD_OOR"
        bits = (words[3] & 0x1F) + 1
        vpt = words[3] & PA_64K
        if not MIN_VPT_BITS <= bits <= MAX_VPT_BITS or not its.all_vpes.readable(vpt, bits):
            return "VMAPP_VPT_OOR"
        at = -1 if its.vpe_table is None else its.vpe_table.entry(vpeid)
        room = its.all_vpes.room(vpeid)
        if FAULT in (at, room):
            raise MemoryFault
        if at < 0 or room < 0:
            return "VMAPP_VPE_OOR"
        if its.v41:
            if not is_doorbell(its, words[1] & U32):
                return "VMAPP_DOORBELL_OOR"
            return self._map_v41(its, vpeid, redist, vpt, bits, words)
        return self._map_v40(its, vpeid, redist, vpt, bits)

    def _map_v40(self, its: ItsCore, vpeid: int, redist: Redistributor, vpt: int, bits: int) -> str:
        """The vPE with that pending table, which another ITS may have mapped, or a redistributor made resident."""
        old = its.vpes.get(vpeid)
        if old is not None and old.vpt != vpt:
            its.unmap_vpe(vpeid)
        vpe = its.all_vpes.by_key.get(vpt)
        if vpe is None:
            vpe = Vpe(its.fabric, vpeid, redist, vpt, -1, bits)
            its.all_vpes.create(vpt, vpe, False)
        vpe.vpeid = vpeid
        vpe.redist = redist
        vpe.resize(bits)
        self._enter(its, vpeid, vpe)
        return ""

    def _map_v41(self, its: ItsCore, vpeid: int, redist: Redistributor, vpt: int, bits: int, words: Words) -> str:
        """{V,Alloc} = {1,1}: the first mapping, with which the GIC takes over the tables; {1,0}: a further one."""
        if redist.number not in its.all_vpes.tables:
            its.misuse.report("M-02", f"{redist.name} has no vPE table")
            return "VMAPP_NO_TABLE"
        self._check_shared(its)
        vpe = its.all_vpes.by_key.get(vpeid)
        alloc = words[0] & VMAPP_ALLOC != 0
        if alloc != (vpe is None):
            its.misuse.report("M-30", f"Alloc={int(alloc)}, mapped on ITSs {0 if vpe is None else vpe.maps:#b}")
        if vpe is None:
            vpe = Vpe(its.fabric, vpeid, redist, vpt, words[0] & PA_64K, bits)
            its.all_vpes.create(vpeid, vpe, words[0] & VMAPP_PTZ != 0)
            vpe.set_doorbell(words[1] & U32, redist)
            vpe.armed = vpe.db != NO_DOORBELL
        self._enter(its, vpeid, vpe)
        its.all_vpes.store(vpe)
        return ""

    def _check_shared(self, its: ItsCore) -> None:
        """GITS_TYPER.SVPET: the ITS's vPE table is the one of the redistributors that GITS_MPIDR names."""
        table = its.vpe_table
        if not its.svpet or table is None:
            return
        mask = (0, 0xFF00_0000, 0xFFFF_0000, 0xFFFF_FF00)[its.svpet]
        for redist in its.redists:
            shared = its.all_vpes.tables.get(redist.number)
            if shared is not None and (redist.aff ^ its.config.mpidr) & mask == 0 and not shared.same(table):
                its.misuse.report("M-13", f"{its.name} has {table.base:#x}, {redist.name} {shared.base:#x}")
                return

    def _enter(self, its: ItsCore, vpeid: int, vpe: Vpe) -> None:
        its.vpes[vpeid] = vpe
        vpe.maps |= 1 << its.number
        store_private(its, vpeid)

    def _unmap(self, its: ItsCore, vpeid: int, words: Words) -> str:
        """{0,0}: other ITSs keep it; {0,1}: the last unmapping, after which software owns the tables again."""
        vpe = its.vpes.get(vpeid)
        if vpe is None:
            its.misuse.report("M-17", f"vPE {vpeid}")
            return "VMAPP_VPE_UNMAPPED"
        if its.v41:
            alloc = words[0] & VMAPP_ALLOC != 0
            if alloc != (vpe.maps == 1 << its.number):
                its.misuse.report("M-30", f"Alloc={int(alloc)}, mapped on ITSs {vpe.maps:#b}")
        if its.targets.get(vpeid):
            its.misuse.report("M-35", f"{its.targets[vpeid]} events go to vPE {vpeid}")
        its.unmap_vpe(vpeid)
        store_private(its, vpeid)
        return ""


def store_private(its: ItsCore, vpeid: int) -> None:
    """Write the entry of a vPE table that this ITS has for itself: Valid, width, redistributor, VPT."""
    table = its.vpe_table
    if table is None or its.svpet:
        return
    at = table.entry(vpeid)
    if at < 0:
        return
    vpe = its.vpes.get(vpeid)
    word = 0 if vpe is None else VALID | (vpe.bits - 1) << 52 | vpe.redist.number << 36 | vpe.vpt >> 16
    table.use(at)
    its.fabric.memory.store(at, 8, word)
    its.cost.table_writes += 1


class Vmapti(Command):
    """VMAPTI maps an event to a vLPI of a vPE."""

    def run(self, its: ItsCore, words: Words) -> str:
        """The vINTID is in DW2."""
        return self.map(its, words, words[2] & U32)

    def map(self, its: ItsCore, words: Words, vintid: int) -> str:
        """Map the event; one that is mapped stays as it is (UNPREDICTABLE)."""
        device = its.maps.device(words[0] >> 32)
        eventid = words[1] & U32
        vpeid = words[1] >> 32 & VPEID_MASK
        if device is None:
            return "VMAPTI_DEVICE_UNMAPPED"
        if eventid >> device.bits:
            return "VMAPTI_EVENT_OOR"
        vpe = named_vpe(its, words)
        if vpe is None:
            return "VMAPTI_VPE_UNMAPPED"
        if not FIRST_LPI <= vintid < 1 << vpe.bits:
            its.misuse.report("M-24", f"vINTID {vintid} of vPE {vpeid}, which has {vpe.bits} bits")
            return "VMAPTI_VINTID_OOR"
        if its.maps.event(device, eventid) is not None:
            its.misuse.report("M-11", f"event {eventid} of device {device.devid:#x}")
            return ""
        doorbell = checked_doorbell(its, words[2] >> 32)
        if doorbell < 0:
            return "VMAPTI_DOORBELL_OOR"
        its.maps.set_event(device, eventid, Ite(True, vintid, vpeid, doorbell))
        vpe.forget(vintid)
        count_target(its, vpeid, 1)
        use_individual(its, doorbell, vpeid, 1)
        return ""


@final
class Vmapi(Vmapti):
    """VMAPI is VMAPTI with the EventID for vINTID."""

    def run(self, its: ItsCore, words: Words) -> str:
        """The vINTID is in DW1."""
        return self.map(its, words, words[1] & U32)


@final
class Vmovi(Command):
    """VMOVI moves a vLPI to another vPE, or changes its individual doorbell."""

    def run(self, its: ItsCore, words: Words) -> str:
        """The vINTID stays; with D=0 the doorbell stays, too.  A pending vLPI arrives at the new vPE."""
        device = its.maps.device(words[0] >> 32)
        eventid = words[1] & U32
        ite = None if device is None else its.maps.event(device, eventid)
        if device is None or ite is None or not ite.virtual:
            return "VMOVI_UNMAPPED_INTERRUPT"
        vpe = named_vpe(its, words)
        if vpe is None:
            return "VMOVI_VPE_UNMAPPED"
        vpeid = words[1] >> 32 & VPEID_MASK
        doorbell = ite.doorbell
        if words[2] & 1:
            doorbell = checked_doorbell(its, words[2] >> 32)
            if doorbell < 0:
                return "VMOVI_DOORBELL_OOR"
        old = its.vpes.get(ite.where)
        count_target(its, ite.where, -1)
        use_individual(its, ite.doorbell, ite.where, -1)
        ite.where = vpeid
        ite.doorbell = doorbell
        its.maps.set_event(device, eventid, ite)
        count_target(its, vpeid, 1)
        use_individual(its, doorbell, vpeid, 1)
        if old is not vpe:
            vpe.forget(ite.intid)
            if old is not None and old.clear(ite.intid):
                vpe.pend(ite.intid, doorbell)
        return ""


@final
class Vsgi(Command):
    """VSGI configures an SGI of a vPE, or makes it not pending."""

    def run(self, its: ItsCore, words: Words) -> str:
        """Clear=1 ignores the configuration beside it: doing both takes two commands."""
        vpe = named_vpe(its, words)
        if vpe is None:
            return "VSGI_VPE_UNMAPPED"
        word = words[0]
        sgi = word >> VSGI_INTID_SHIFT & 0xF
        byte = (word >> VSGI_PRIORITY_SHIFT & 0xF) << 4
        byte |= (2 if word & VSGI_GROUP else 0) | (VLPI_ENABLE if word & VSGI_ENABLE else 0)
        if not word & VSGI_CLEAR:
            vpe.configure_sgi(sgi, byte)
            return ""
        if byte != vpe.config[sgi]:
            its.misuse.report("M-25", f"SGI {sgi} is {vpe.config[sgi]:#x}, the command says {byte:#x}")
        vpe.clear(sgi)
        return ""


@final
class Vsync(Command):
    """VSYNC: whatever was sent for that vPE has arrived."""

    def run(self, its: ItsCore, words: Words) -> str:
        """Nothing, if the vPE is mapped."""
        return "" if named_vpe(its, words) is not None else "VSYNC_VPE_UNMAPPED"


@final
class Vinvall(Command):
    """VINVALL: look again at the configuration of every vLPI of a vPE."""

    def run(self, its: ItsCore, words: Words) -> str:
        """Wherever in its group it is resident."""
        vpe = named_vpe(its, words)
        if vpe is None:
            return "VINVALL_VPE_UNMAPPED"
        vpe.invalidate_all()
        return ""


@final
class Invdb(Command):
    """INVDB: look again at the configuration of a vPE's default doorbell."""

    def run(self, its: ItsCore, words: Words) -> str:
        """At every redistributor."""
        vpe = named_vpe(its, words)
        if vpe is None:
            return "INVDB_VPE_UNMAPPED"
        doorbell = its.fabric.doorbells.get(vpe.db)
        if doorbell is not None:
            doorbell.byte = vpe.redist.lpis.table_byte(vpe.db)
        return ""
