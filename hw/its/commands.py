"""The commands of a GICv3 ITS, and the table in which every command is found by its number.

Room:    above frame, maps and vcommands; below machine.
Owns:    what MOVI, INT, CLEAR, SYNC, MAPD, MAPC, MAPTI, MAPI, INV, INVALL, MOVALL and DISCARD do.
Never:   changes CREADR or a register.
Holds:   a command that is in error changes nothing.

INT, CLEAR, INV and DISCARD act on whatever the event is: an LPI, or a vLPI of a vPE.
Source: IHI 0069H, ITS commands.
"""

from typing import Final, final

from hw.arch import FIRST_LPI
from hw.arch4 import (
    CLEAR,
    DISCARD,
    INT,
    INV,
    INVALL,
    INVDB,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    MOVI,
    NO_DOORBELL,
    SYNC,
    U32,
    VALID,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPTI,
    VMOVI,
    VMOVP,
    VSGI,
    VSYNC,
)
from hw.its.core import ItsCore, Words
from hw.its.frame import CommandSet
from hw.its.maps import ITT_ADDRESS, Device, Ite
from hw.its.vcommands import (
    Command,
    Invdb,
    Vinvall,
    Vmapi,
    Vmapp,
    Vmapti,
    Vmovi,
    Vsgi,
    Vsync,
    count_target,
    use_individual,
)
from hw.its.vmovp import Rendezvous, Vmovp

ICID: Final = 0xFFFF
RDBASE_MASK: Final = 0xF_FFFF_FFFF  # bits 51:16 of a word


@final
class Commands(CommandSet):
    """All commands of all ITSs of a machine."""

    def __init__(self, rendezvous: Rendezvous) -> None:
        """`rendezvous` is where VMOVPs meet that several ITSs have to see."""
        self.rendezvous = rendezvous
        self._table: dict[int, Command] = {
            MOVI: _Movi(),
            INT: _Int(),
            CLEAR: _Clear(),
            SYNC: _Sync(),
            MAPD: _Mapd(),
            MAPC: _Mapc(),
            MAPTI: _Mapti(),
            MAPI: _Mapi(),
            INV: _Inv(),
            INVALL: _Invall(),
            MOVALL: _Movall(),
            DISCARD: _Discard(),
        }
        self._virtual: dict[int, Command] = {
            VMOVI: Vmovi(),
            VMOVP: Vmovp(rendezvous),
            VSYNC: Vsync(),
            VMAPP: Vmapp(),
            VMAPTI: Vmapti(),
            VMAPI: Vmapi(),
            VINVALL: Vinvall(),
        }
        self._v41: dict[int, Command] = {INVDB: Invdb(), VSGI: Vsgi()}

    def execute(self, its: ItsCore, words: Words) -> str:
        """Execute one; the name of its error, or nothing."""
        number = words[0] & 0xFF
        command = self._table.get(number)
        if command is None and its.virtual:
            command = self._virtual.get(number)
        if command is None and its.v41 and (number != VSGI or its.has_vsgi):
            command = self._v41.get(number)
        return "UNKNOWN_COMMAND" if command is None else command.run(its, words)

    def abandon(self, its: ItsCore) -> None:
        """Whatever `its` waits for, it no longer does."""
        self.rendezvous.abandon(its)


def _find(its: ItsCore, words: Words) -> Ite | None:
    """The event that DW0 and DW1 name, if it is mapped."""
    return its.find(words[0] >> 32, words[1] & U32)


def _clear(its: ItsCore, ite: Ite) -> None:
    """The interrupt of `ite` is no longer pending."""
    if ite.virtual:
        vpe = its.vpes.get(ite.where)
        if vpe is not None:
            vpe.clear(ite.intid)
    else:
        redist = its.collection(ite.where)
        if redist is not None:
            redist.lpis.clear_pending(ite.intid)


def _discard(its: ItsCore, device: Device, eventid: int, ite: Ite) -> None:
    """Unmap an event, whose interrupt is no longer pending."""
    its.maps.drop_event(device, eventid)
    if ite.virtual:
        count_target(its, ite.where, -1)
        use_individual(its, ite.doorbell, ite.where, -1)


class _Mapd(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """MAPD: map a device to its ITT, or unmap it.  Events that it has are lost (UNPREDICTABLE)."""
        devid = words[0] >> 32
        bits = (words[1] & 0x1F) + 1
        valid = words[2] & VALID != 0
        itt = words[2] & ITT_ADDRESS
        maps = its.maps
        at = maps.device_entry(devid)
        if at < 0:
            return "MAPD_DEVICE_OOR"
        if valid and bits > its.config.event_bits:
            return "MAPD_ITTSIZE_OOR"
        device = maps.device(devid)
        if device is not None:
            events = maps.events(device)
            if events:
                its.misuse.report("M-10", f"device {devid:#x} has {len(events)} events")
            lost: dict[int, set[int]] = {}  # vPEID -> vLPIs
            for eventid, ite in events:
                if ite.virtual:
                    lost.setdefault(ite.where, set()).add(ite.intid)
                else:
                    _clear(its, ite)
                _discard(its, device, eventid, ite)
            for vpeid, vintids in lost.items():
                vpe = its.vpes.get(vpeid)
                if vpe is not None:
                    vpe.clear_all(vintids)
            maps.unmap_device(device, at)
        if valid:
            maps.map_device(devid, at, itt, bits)
        return ""


class _Mapc(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """MAPC: map a collection to a redistributor, or unmap it.  What is pending stays where it is."""
        icid = words[2] & ICID
        number = -1
        if words[2] & VALID:
            redist = its.redistributor(words[2] >> 16 & RDBASE_MASK)
            if redist is None:
                return "MAPC_RD_OOR"
            number = redist.number
        return "" if its.maps.map_collection(icid, number) else "MAPC_COLLECTION_OOR"


class _Mapti(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """MAPTI: map an event to an LPI of a collection, which need not be mapped yet."""
        return self.map(its, words, words[1] >> 32)

    def map(self, its: ItsCore, words: Words, intid: int) -> str:
        """Map the event to `intid`; an event that is mapped stays as it is (UNPREDICTABLE)."""
        device = its.maps.device(words[0] >> 32)
        eventid = words[1] & U32
        if device is None:
            return "MAPTI_DEVICE_UNMAPPED"
        if eventid >> device.bits:
            return "MAPTI_EVENT_OOR"
        if not FIRST_LPI <= intid < 1 << its.fabric.phys.lpi_id_bits:
            return "MAPTI_INTID_OOR"
        if its.maps.event(device, eventid) is not None:
            its.misuse.report("M-11", f"event {eventid} of device {device.devid:#x}")
        else:
            its.maps.set_event(device, eventid, Ite(False, intid, words[2] & ICID, NO_DOORBELL))
        return ""


@final
class _Mapi(_Mapti):
    def run(self, its: ItsCore, words: Words) -> str:
        """MAPI: MAPTI with the EventID for INTID."""
        return self.map(its, words, words[1] & U32)


@final
class _Movi(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """MOVI: move an LPI, pending or not, to another collection."""
        device = its.maps.device(words[0] >> 32)
        eventid = words[1] & U32
        ite = None if device is None else its.maps.event(device, eventid)
        if device is None or ite is None or ite.virtual:
            return "MOVI_UNMAPPED_INTERRUPT"
        icid = words[2] & ICID
        to = its.collection(icid)
        if to is None:
            return "MOVI_UNMAPPED_COLLECTION"
        source = its.collection(ite.where)
        ite.where = icid
        its.maps.set_event(device, eventid, ite)
        if source is not None:
            source.lpis.move(ite.intid, to.lpis)
        return ""


@final
class _Discard(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """DISCARD: unmap an event, and forget that its interrupt is pending."""
        device = its.maps.device(words[0] >> 32)
        eventid = words[1] & U32
        ite = None if device is None else its.maps.event(device, eventid)
        if device is None or ite is None:
            return "DISCARD_UNMAPPED_INTERRUPT"
        _clear(its, ite)
        _discard(its, device, eventid, ite)
        return ""


@final
class _Clear(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """CLEAR: forget that the interrupt is pending."""
        ite = _find(its, words)
        if ite is None:
            return "CLEAR_UNMAPPED_INTERRUPT"
        _clear(its, ite)
        return ""


@final
class _Int(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """INT: what an MSI does."""
        ite = _find(its, words)
        if ite is None:
            return "INT_UNMAPPED_INTERRUPT"
        its.deliver(ite)
        return ""


@final
class _Inv(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """INV: look again at the configuration of the interrupt."""
        ite = _find(its, words)
        if ite is None:
            return "INV_UNMAPPED_INTERRUPT"
        if ite.virtual:
            vpe = its.vpes.get(ite.where)
            if vpe is not None:
                vpe.invalidate(ite.intid)
        else:
            redist = its.collection(ite.where)
            if redist is not None:
                redist.lpis.invalidate(ite.intid)
        return ""


@final
class _Invall(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """INVALL: look again at the configuration of every LPI of the collection's redistributor."""
        redist = its.collection(words[2] & ICID)
        if redist is None:
            return "INVALL_UNMAPPED_COLLECTION"
        redist.lpis.invalidate_all()
        return ""


@final
class _Movall(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """MOVALL: move every pending LPI of one redistributor to another."""
        source = its.redistributor(words[2] >> 16 & RDBASE_MASK)
        to = its.redistributor(words[3] >> 16 & RDBASE_MASK)
        if source is None or to is None:
            return "MOVALL_RD_OOR"
        source.lpis.move_all(to.lpis)
        return ""


@final
class _Sync(Command):
    def run(self, its: ItsCore, words: Words) -> str:
        """SYNC: whatever was sent to that redistributor has arrived."""
        return "" if its.redistributor(words[2] >> 16 & RDBASE_MASK) is not None else "SYNC_RD_OOR"
