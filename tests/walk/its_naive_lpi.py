"""A naive model of LPIs: dictionaries and sets, no reference counts, no cache of translations.

Room:    below its_naive, which adds registers and commands; like it beside the library, which it must not import.
Holds:   an LPI object exists while an event of any ITS names it or a vCPU has it listed; `reap` says so after the fact.
         What KVM's translation cache lets a VMM see is `known`: pairs whose messages skip every check.
"""

from errno import EBUSY, EFAULT, EINVAL
from typing import Final, final

from tests.walk.its_naive_cpu import Lpi, NaiveVcpu, Shown
from tests.walk.its_ram import WalkRam

NOBODY: Final = 0xFFFF_FFFF
VALID: Final = 1 << 63
INDIRECT: Final = 1 << 62
PTZ: Final = 1 << 62
FIRST_LPI: Final = 8192
L1_ADDRESS: Final = 0xF_FFFF_FFFF_0000
BASER_RESET: Final = (0x1907_0000_0000_0600, 0x1C07_0000_0000_0600)


def sanitised(value: int, share: int, inner: int, outer: int) -> int:
    """A table register as KVM stores it; shifts of its Shareability, InnerCache and OuterCache."""
    fields = [value >> share & 3, value >> inner & 7, value >> outer & 7]
    value &= ~(3 << share | 7 << inner | 7 << outer)
    fields[0] = {2: 1}.get(fields[0], fields[0])
    fields[1] = {0: 3, 1: 3}.get(fields[1], fields[1])
    fields[2] = fields[2] if fields[2] in (0, 1) else 0
    return value | fields[0] << share | fields[1] << inner | fields[2] << outer


@final
class Coll:
    def __init__(self, icid: int, target: int | None) -> None:
        self.icid = icid
        self.target = target  # a vCPU's index


@final
class Event:
    def __init__(self, intid: int, coll: Coll | None) -> None:
        self.intid = intid
        self.coll = coll  # None: an orphan


@final
class Dev:
    def __init__(self, itt: int, bits: int) -> None:
        self.itt = itt
        self.bits = bits
        self.events: dict[int, Event] = {}


@final
class NaiveIts:
    """One ITS."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.enabled = False
        self.cbaser = self.creadr = self.cwriter = 0
        self.baser = list(BASER_RESET)
        self.devices: dict[int, Dev] = {}
        self.colls: dict[int, Coll] = {}  # in order of creation
        self.known: set[tuple[int, int]] = set()

    @property
    def queue(self) -> int:
        return self.cbaser & 0xF_FFFF_FFFF_0000

    @property
    def queue_size(self) -> int:
        return (self.cbaser & 0xFF) * 4096 + 4096

    def events(self) -> list[Event]:
        return [event for dev in self.devices.values() for event in dev.events.values()]

    def find(self, devid: int, eventid: int) -> Event | None:
        return self.devices[devid].events.get(eventid) if devid in self.devices else None

    def orphan(self, coll: Coll | None) -> None:
        """The events of a collection, or of all (None), lose theirs."""
        for event in self.events():
            if coll is None or event.coll is coll:
                event.coll = None


class NaiveLpis:
    """All LPIs and vCPUs of one VM, and the maps of its ITSs; registers and commands are NaiveVm's."""

    def __init__(self, ram: WalkRam, vcpu_ids: list[int], lrs: int, bases: list[int]) -> None:
        self.ram = ram
        self.vcpus = [NaiveVcpu(index, vcpu_id) for index, vcpu_id in enumerate(vcpu_ids)]
        self.lrs = lrs
        self.itss = [NaiveIts(base) for base in bases]
        self.lpis: dict[int, Lpi] = {}
        self.propbaser = 0x580
        self.on = False  # GICD_CTLR
        self.kicked: set[int] = set()
        self.overflowed = 0
        self.commands = 0

    # Delivery

    def owner(self, lpi: Lpi) -> int | None:
        """On whose list it belongs."""
        if lpi.active:
            return lpi.target if lpi.listed is None else lpi.listed
        return lpi.target if lpi.enabled and lpi.latch and self.on else None

    def look(self, lpi: Lpi) -> None:
        """Something was done to it: list it if it belongs on a list."""
        lpi.touched = True
        owner = self.owner(lpi)
        if owner is not None:
            lpi.listed = owner if lpi.listed is None else lpi.listed
            if not self.vcpus[owner].trapped:
                self.kicked.add(owner)

    def retarget(self, lpi: Lpi, target: int | None) -> None:
        lpi.target = target
        lpi.touched = False

    def reap(self) -> None:
        """Forget LPIs that nothing needs."""
        needed = {event.intid for its in self.itss for event in its.events()}
        self.lpis = {n: lpi for n, lpi in sorted(self.lpis.items()) if n in needed or lpi.listed is not None}

    def listed(self, vcpu: NaiveVcpu) -> list[Lpi]:
        return [lpi for lpi in self.lpis.values() if lpi.listed == vcpu.index]

    def leave(self, vcpu: NaiveVcpu) -> None:
        """The guest stops: its list registers are folded, and what belongs elsewhere goes there."""
        for intid, shown in vcpu.shown.items():
            lpi = self.lpis[intid]
            lpi.active = shown.active
            lpi.latch |= shown.pending
        vcpu.shown = {}
        for lpi in self.listed(vcpu):
            lpi.listed = self.owner(lpi)
            if lpi.listed is not None and lpi.listed != vcpu.index and not self.vcpus[lpi.listed].trapped:
                self.kicked.add(lpi.listed)
        self.reap()

    def load(self, vcpu: NaiveVcpu, chosen: set[int]) -> None:
        """The guest goes on; `chosen` are the INTIDs it is shown if not all fit."""
        fit = [
            lpi for lpi in self.listed(vcpu) if lpi.active or (lpi.target == vcpu.index and self.owner(lpi) is not None)
        ]
        if len(fit) > self.lrs:
            self.overflowed += 1
            left = [lpi for lpi in fit if lpi.intid not in chosen]
            fit = [lpi for lpi in fit if lpi.intid in chosen]
            assert len(fit) == self.lrs, f"vCPU {vcpu.index} is shown {sorted(chosen)}, not {self.lrs} of its own"
            worst = max(lpi.urgency() for lpi in fit)
            assert all(lpi.urgency() >= worst for lpi in left), f"vCPU {vcpu.index} is shown the less urgent"
        for lpi in fit:
            vcpu.shown[lpi.intid] = Shown(lpi.latch, lpi.active, lpi.priority & 0xF8)
            lpi.latch = False

    # Tables in memory

    def configure(self, lpi: Lpi, only: int | None = None) -> bool:
        """Read the configuration byte; apply it if the LPI goes to `only` (None: anyway)."""
        byte = self.ram.read((self.propbaser & 0xF_FFFF_FFFF_F000) + lpi.intid - FIRST_LPI, 1)
        if byte is None:
            return False
        if only is None or lpi.target == only:
            lpi.enabled, lpi.priority = bool(byte[0] & 1), byte[0] & 0xFC
            self.look(lpi)
        return True

    def pending_byte(self, vcpu: NaiveVcpu, intid: int) -> int:
        return (vcpu.pendbaser & 0xF_FFFF_FFFF_0000) + intid // 8

    def obtain(self, intid: int, target: int | None) -> bool:
        """An event needs the LPI: create it unless it is there."""
        if intid in self.lpis:
            return True
        lpi = self.lpis[intid] = Lpi(intid, target)
        if not self.configure(lpi):
            return False
        if target is None:
            return True
        at, bit = self.pending_byte(self.vcpus[target], intid), 1 << intid % 8
        byte = self.ram.read(at, 1)
        if byte is None:
            return False
        lpi.latch = bool(byte[0] & bit)
        self.look(lpi)
        return not lpi.latch or self.ram.write(at, bytes([byte[0] & ~bit]))

    def room_for(self, its: NaiveIts, table: int, number: int) -> int | None:
        """Where an id's entry lies in the device (0) or collection (1) table, None if it cannot be stored."""
        baser = its.baser[table]
        base = baser & 0xFFFF_FFFF_0000 | (baser >> 12 & 0xF) << 48
        size = ((baser & 0xFF) + 1) * 65536
        if number > 0xFFFF:
            return None
        if baser & INDIRECT:
            level1 = self.ram.word(base + number // 8192 * 8) if number // 8192 < size // 8 else None
            if level1 is None or not level1 & VALID:
                return None
            base, number = level1 & L1_ADDRESS, number % 8192
        elif number >= size // 8:
            return None
        return base + 8 * number if self.ram.visible(base + 8 * number) else None

    def room_for_event(self, dev: Dev, eventid: int) -> int | None:
        at = dev.itt + 8 * eventid
        return at if eventid < 1 << dev.bits and self.ram.visible(at) else None

    def save_pending(self) -> int:
        for lpi in self.lpis.values():
            if lpi.target is not None:
                at, bit = self.pending_byte(self.vcpus[lpi.target], lpi.intid), 1 << lpi.intid % 8
                byte = self.ram.read(at, 1)
                if byte is None:
                    return EFAULT
                new = byte[0] | bit if lpi.latch else byte[0] & ~bit
                if new != byte[0] and not self.ram.write(at, bytes([new])):
                    return EFAULT
        return 0

    # Messages

    def vcpu_of(self, vcpu_id: int) -> NaiveVcpu | None:
        return next((vcpu for vcpu in self.vcpus if vcpu.vcpu_id == vcpu_id), None)

    def signal(self, doorbell: int, data: int, devid: int, has_devid: bool) -> int:
        """KVM_SIGNAL_MSI: 1, 0, or a negative error."""
        its = next((its for its in self.itss if its.base <= doorbell < its.base + 0x2_0000), None)
        if its is not None and (devid, data) in its.known:
            self._latch(its.devices[devid].events[data].intid)
            return 1
        if not has_devid or its is None:
            return -EINVAL
        return self.translate(its, devid, data)

    def _latch(self, intid: int) -> None:
        self.lpis[intid].latch = True
        self.look(self.lpis[intid])

    def translate(self, its: NaiveIts, devid: int, eventid: int) -> int:
        if not its.enabled:
            return -EBUSY
        event = its.find(devid, eventid)
        if event is None or event.coll is None or event.coll.target is None:
            return 0
        if not self.vcpus[event.coll.target].lpis_enabled:
            return -EBUSY
        its.known.add((devid, eventid))
        self._latch(event.intid)
        return 1

    # Redistributors

    def write_redist(self, vcpu: NaiveVcpu, offset: int, size: int, value: int) -> None:
        """A write to RD_base; EnableLPIs 1 -> 0 is `disable_lpis`."""
        whole, shift, mask = offset & ~7, offset % 8 * 8, (1 << 8 * size) - 1
        if whole == 0xA0 and not shift and vcpu.lpis_enabled:
            lpi = self.lpis.get(value & 0xFFFF_FFFF)
            if lpi is not None:
                self.configure(lpi)
        elif whole == 0xB0 and not shift and vcpu.lpis_enabled:
            self.configure_all(vcpu.index)
        elif whole == 0x70 and not vcpu.lpis_enabled:
            merged = self.propbaser & ~(mask << shift) | value << shift
            self.propbaser = sanitised(merged & ~(0x1F << 59 | 0xF << 52 | 3 << 5), 10, 7, 56)
        elif whole == 0x78 and not vcpu.lpis_enabled:
            merged = vcpu.pendbaser & ~(mask << shift) | value << shift
            vcpu.pendbaser = sanitised(merged & ~(1 << 63 | 7 << 59 | 0xF << 52 | 0xF << 12 | 0x7F), 10, 7, 56)
        elif offset == 0 and size == 4 and value & 1 and not vcpu.lpis_enabled:
            vcpu.lpis_enabled = True
            if not vcpu.pendbaser & PTZ:
                self._load_pending(vcpu)

    def _load_pending(self, vcpu: NaiveVcpu) -> None:
        for lpi in self.lpis.values():
            byte = self.ram.read(self.pending_byte(vcpu, lpi.intid), 1)
            if byte is None:
                return
            if lpi.target == vcpu.index:
                lpi.latch = bool(byte[0] >> lpi.intid % 8 & 1)
            self.look(lpi)

    def disable_lpis(self, vcpu: NaiveVcpu) -> None:
        """Every vCPU is out of the guest."""
        for lpi in self.listed(vcpu):
            lpi.latch, lpi.listed = False, None
        for its in self.itss:
            its.known.clear()
        vcpu.lpis_enabled = False
        self.reap()

    def configure_all(self, target: int) -> None:
        for lpi in self.lpis.values():
            self.configure(lpi, target)

    def switch(self, on: bool) -> None:
        """GICD_CTLR.EnableGrp1."""
        if on and not self.on:
            for lpi in self.lpis.values():
                lpi.touched = False
        self.on = on
