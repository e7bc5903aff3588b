"""The command queue: decode, and one handler for each command.

Room:    above the maps and tables; below the registers that start it.
Owns:    GITS_CREADR while it runs, and every change of the maps.
Never:   stalls or reports: a command that is wrong has only the effects its handler says, and the queue goes on.
Holds:   a command is copied before it runs, so the guest cannot change it meanwhile.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from vgic.errors import VgicError
from vgic.ids import FIRST_LPI
from vgic.its.devices import NOT_MAPPED, Collection, Device, Ite
from vgic.its.events import map_event
from vgic.its.state import ENTRY_SIZE, VALID, Its
from vgic.its.tables import collection_fits, device_entry, event_entry, write_entry
from vgic.its.translate import trigger
from vgic.v3.lpi import read_config
from vgic.vcpu import VcpuGic

COMMAND_SIZE: Final = 32
_WORDS: Final = Struct("<4Q")

Words = tuple[int, int, int, int]

_U32: Final = 0xFFFF_FFFF
_ICID: Final = 0xFFFF
_RDBASE_SHIFT: Final = 16
_ITT_ADDRESS: Final = 0xF_FFFF_FFFF_FF00
_MAX_EVENT_BITS: Final = 16
_PROPBASER_ID_BITS: Final = 0x1F
_MAX_ID_BITS: Final = 16


def process(its: Its) -> None:
    """Execute commands from CREADR to CWRITER: vgic_its_process_commands()."""
    dist = its.dist
    memory = dist.memory
    size = its.queue_size
    dist.holds_kicks = True
    try:
        while its.creadr != its.cwriter:
            data = None if memory is None else memory.read(its.queue + its.creadr, COMMAND_SIZE)
            if data is not None:
                execute(its, data)
            its.creadr = (its.creadr + COMMAND_SIZE) % size
    finally:
        if its.batch.walked:
            its.batch.end()
        dist.holds_kicks = False
        if dist.held_kicks:
            dist.release_kicks()
        if dist.direct is not None:
            dist.direct.settle()


def execute(its: Its, data: bytes) -> None:
    """Execute one 32-byte command; unknown numbers do nothing: vgic_its_handle_command()."""
    words = _WORDS.unpack(data)
    handler = HANDLERS.get(words[0] & 0xFF)
    if handler is not None:
        handler(its, words)


def _target(its: Its, rdbase: int) -> VcpuGic | None:
    """Return the vCPU an RDbase names: PTA is 0, so it is a vCPU id."""
    return its.dist.by_id.get(rdbase & _U32)


def _find(its: Its, words: Words) -> Ite | None:
    return its.maps.find(words[0] >> 32, words[1] & _U32)


def _mapped(its: Its, icid: int) -> Collection | None:
    """Return a collection that exists and has a target."""
    collection = its.maps.collections.get(icid)
    return collection if collection is not None and collection.target is not None else None


def mapd(its: Its, words: Words) -> None:
    """MAPD: map or unmap a device.  Either way an existing one loses all its events."""
    devid = words[0] >> 32
    bits = (words[1] & 0x1F) + 1
    valid = words[2] & VALID
    gpa = device_entry(its, devid)
    if gpa is None or (valid and bits > _MAX_EVENT_BITS):
        return
    device = its.maps.devices.get(devid)
    if device is not None:
        its.batch.unmap_device(device)
        its.maps.remove_device(device)
    if valid:
        its.maps.add_device(Device(devid, words[2] & _ITT_ADDRESS, bits))
    else:
        _clear_entry(its, gpa)


def _clear_entry(its: Its, gpa: int) -> None:
    """Write an empty table entry, wherever the guest has its tables; a failure is nobody's business."""
    write_entry(its.dist, gpa, 0)
    its.batch.wrote(gpa, ENTRY_SIZE)


def mapc(its: Its, words: Words) -> None:
    """MAPC: map a collection to a vCPU, with every event that it has; or unmap it, which makes orphans of them."""
    icid = words[2] & _ICID
    collection = its.maps.collections.get(icid)
    if not words[2] & VALID:
        if collection is not None:
            its.batch.remove_collection(collection)
        its.drop_cache()
        return
    vcpu = _target(its, words[2] >> _RDBASE_SHIFT)
    if vcpu is None:
        return
    if collection is None:
        if collection_fits(its, icid):
            its.maps.add_collection(Collection(icid, vcpu))
    else:
        collection.target = vcpu
        its.batch.retarget(collection)


def mapti(its: Its, words: Words) -> None:
    """MAPTI: map an event to an LPI in a collection, which need not be mapped yet."""
    _map_event(its, words, words[1] >> 32)


def mapi(its: Its, words: Words) -> None:
    """MAPI: MAPTI with the EventID as INTID."""
    _map_event(its, words, words[1] & _U32)


def _map_event(its: Its, words: Words, intid: int) -> None:
    eventid = words[1] & _U32
    device = its.maps.devices.get(words[0] >> 32)
    if device is None or event_entry(its, device, eventid) is None:
        return
    id_bits = min((its.dist.propbaser & _PROPBASER_ID_BITS) + 1, _MAX_ID_BITS)
    if not FIRST_LPI <= intid < 1 << id_bits or device.at(eventid) != NOT_MAPPED:
        return
    icid = words[2] & _ICID
    collection = its.maps.collections.get(icid)
    made = collection is None
    if collection is None:
        collection = Collection(icid, None)
        if not collection_fits(its, icid) or not its.maps.add_collection(collection):
            return
    mapped = map_event(its, device, eventid, intid, collection)
    its.batch.mapped(device, eventid, intid)
    if made and not mapped:
        its.maps.remove_placeholder(collection)


def movi(its: Its, words: Words) -> None:
    """MOVI: move an event to another collection, both mapped."""
    ite = _find(its, words)
    collection = _mapped(its, words[2] & _ICID)
    if ite is None or ite.collection is None or ite.collection.target is None or collection is None:
        return
    its.drop_cache()
    its.batch.move(ite, collection)


def movall(its: Its, words: Words) -> None:
    """MOVALL: send every LPI of the VM that goes to one vCPU to another; collections stay as they are."""
    source = _target(its, words[2] >> _RDBASE_SHIFT)
    target = _target(its, words[3] >> _RDBASE_SHIFT)
    if source is None or target is None or source is target:
        return
    its.batch.move_all(source, target)
    its.drop_cache()


def discard(its: Its, words: Words) -> None:
    """DISCARD: unmap an event of a mapped collection, and clear its entry in memory."""
    eventid = words[1] & _U32
    device = its.maps.devices.get(words[0] >> 32)
    if device is None or (at := device.at(eventid)) == NOT_MAPPED:
        return
    collection = device.collections[at]
    if collection is None or collection.target is None:
        return
    its.drop_cache()
    its.batch.unmap(device, eventid)
    its.maps.remove_event(device, at)
    gpa = event_entry(its, device, eventid)
    if gpa is not None:
        _clear_entry(its, gpa)


def clear(its: Its, words: Words) -> None:
    """CLEAR: forget that an event came."""
    ite = _find(its, words)
    if ite is not None:
        ite.irq.pending_latch = False
        if ite.irq.direct is not None:
            ite.irq.direct.clear()
        its.batch.heard(ite.irq)


def interrupt(its: Its, words: Words) -> None:
    """INT: as a message from the device."""
    ite = _find(its, words)
    if ite is None:
        return
    its.batch.look(ite.irq)
    try:
        trigger(its, words[0] >> 32, words[1] & _U32)
    except VgicError:
        return  # what a device would be told, nobody tells the guest
    its.batch.heard(ite.irq)


def inv(its: Its, words: Words) -> None:
    """INV: read the configuration of one LPI again."""
    ite = _find(its, words)
    if ite is not None:
        its.batch.look(ite.irq)
        read_config(its.dist, ite.irq, None)


def invall(its: Its, words: Words) -> None:
    """INVALL: read the configuration of every LPI that goes to the collection's vCPU again."""
    collection = _mapped(its, words[2] & _ICID)
    if collection is not None and collection.target is not None:
        its.batch.invalidate_all(collection.target)


HANDLERS: Final[dict[int, Callable[[Its, Words], None]]] = {
    0x01: movi,
    0x03: interrupt,
    0x04: clear,
    0x08: mapd,
    0x09: mapc,
    0x0A: mapti,
    0x0B: mapi,
    0x0C: inv,
    0x0D: invall,
    0x0E: movall,
    0x0F: discard,
}
"""Command number -> handler.  SYNC (0x05) has nothing to wait for; others do not exist in this ITS."""
