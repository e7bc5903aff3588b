"""An event gets its LPI: what MAPTI and the restore of a table have in common.

Room:    above the maps and the LPI tables.
"""

from vgic.its.devices import Collection, Device
from vgic.its.state import Its
from vgic.v3.lpi import create


def map_event(its: Its, device: Device, eventid: int, intid: int, collection: Collection) -> bool:
    """Map an event to an LPI, created if need be; False, and nothing mapped, if that fails.

    It fails when the VM's budget is spent, or the LPI's configuration or pending byte is not RAM.
    """
    budget = its.maps.budget
    if not budget.take():
        return False
    irq = create(its.dist, intid, collection.target)
    if irq is None:
        budget.used -= 1
        return False
    device.add(eventid, irq, collection)
    return True
