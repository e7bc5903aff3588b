"""A VM with an ITS, RAM with every table in it, and a guest's driver to fill the command queue.

Room:    under the tests of the ITS and of LPIs.
Never:   computes an expected value.
Holds:   commands and register values are encoded here from the manual, apart from the library's own decoding.
"""

import errno
from typing import Final

from hw import Machine
from tests.unit.vgic.rig import OPEN, VmRig, outcome, take
from vgic import (
    CTRL_INIT,
    CTRL_SAVE_PENDING_TABLES,
    ITS_CTRL_RESET,
    ITS_RESTORE_TABLES,
    ITS_SAVE_TABLES,
    Addr,
    Device,
    DeviceType,
    Group,
    Host,
    Ram,
    Vgic,
    VgicError,
)
from vgic.irq import Irq
from vgic.its.state import Its

GITS_BASE: Final = 0x0808_0000
DOORBELL: Final = GITS_BASE + 0x1_0040

CTLR: Final = 0x0000
IIDR: Final = 0x0004
TYPER: Final = 0x0008
CBASER: Final = 0x0080
CWRITER: Final = 0x0088
CREADR: Final = 0x0090
BASER0: Final = 0x0100
BASER1: Final = 0x0108

GICR_CTLR: Final = 0x0000
GICR_PROPBASER: Final = 0x0070
GICR_PENDBASER: Final = 0x0078
GICR_INVLPIR: Final = 0x00A0
GICR_INVALLR: Final = 0x00B0
PTZ: Final = 1 << 62

RAM: Final = 0x8000_0000
RAM_SIZE: Final = 0x100_0000
DEVICES: Final = RAM + 0x1_0000
COLLECTIONS: Final = RAM + 0x2_0000
QUEUE: Final = RAM + 0x3_0000
QUEUE_SIZE: Final = 0x1_0000
CONFIG: Final = RAM + 0x4_0000
PENDING: Final = RAM + 0x6_0000  # 64 KiB for each vCPU
ITTS: Final = RAM + 0x10_0000  # 512 KiB for each device
NOWHERE: Final = 0x4000_0000
"""An address that is not RAM."""

VALID: Final = 1 << 63
INDIRECT: Final = 1 << 62
CACHEABLE: Final = 7 << 59 | 1 << 10
"""Attributes every table register takes as they are."""

PRIORITY: Final = 0xA0
ENABLED: Final = PRIORITY | 3
DISABLED: Final = PRIORITY | 2
"""Configuration bytes."""

Command = tuple[int, int, int, int]


def mapd(devid: int, bits: int = 8, itt: int = ITTS, *, valid: bool = True) -> Command:
    return devid << 32 | 0x08, bits - 1, VALID * valid | itt, 0


def mapc(icid: int, rdbase: int, *, valid: bool = True) -> Command:
    return 0x09, 0, VALID * valid | rdbase << 16 | icid, 0


def mapti(devid: int, eventid: int, intid: int, icid: int) -> Command:
    return devid << 32 | 0x0A, intid << 32 | eventid, icid, 0


def mapi(devid: int, eventid: int, icid: int) -> Command:
    return devid << 32 | 0x0B, eventid, icid, 0


def movi(devid: int, eventid: int, icid: int) -> Command:
    return devid << 32 | 0x01, eventid, icid, 0


def movall(source: int, target: int) -> Command:
    return 0x0E, 0, source << 16, target << 16


def discard(devid: int, eventid: int) -> Command:
    return devid << 32 | 0x0F, eventid, 0, 0


def raise_event(devid: int, eventid: int) -> Command:
    return devid << 32 | 0x03, eventid, 0, 0


def clear(devid: int, eventid: int) -> Command:
    return devid << 32 | 0x04, eventid, 0, 0


def inv(devid: int, eventid: int) -> Command:
    return devid << 32 | 0x0C, eventid, 0, 0


def invall(icid: int) -> Command:
    return 0x0D, 0, icid, 0


def sync(rdbase: int) -> Command:
    return 0x05, 0, rdbase << 16, 0


class PatchyRam:
    """RAM, some of whose pages cannot be written (a read-only memory slot)."""

    def __init__(self) -> None:
        self.ram = Ram()
        self.ram.add(RAM, RAM_SIZE)
        self.read_only: set[int] = set()  # addresses of 64 KiB pages
        self.writes: list[tuple[int, int]] = []  # (gpa, size) of what the library wrote

    def read(self, gpa: int, size: int) -> bytes | None:
        return self.ram.read(gpa, size)

    def write(self, gpa: int, data: bytes) -> bool:
        self.writes.append((gpa, len(data)))
        return gpa & ~0xFFFF not in self.read_only and self.ram.write(gpa, data)

    def visible(self, gpa: int) -> bool:
        return self.ram.visible(gpa)


class ItsRig(VmRig):
    """A GICv3 VM with one ITS; unless `bare`, its guest has set tables and queue up and enabled everything."""

    def __init__(
        self, vcpus: int = 4, *, bare: bool = False, ids: tuple[int, ...] = (), host: Host | None = None
    ) -> None:
        self.memory = PatchyRam()
        vm = Vgic(host or Host(Machine(cpus=vcpus)), threads=False, memory=self.memory)
        for n in range(vcpus):
            vm.create_vcpu(ids[n] if ids else n)
        self.gic = vm.create_device(DeviceType.VGIC_V3)
        self.gic.set_attr(Group.ADDR, Addr.V3_DIST, 0x0800_0000)
        self.gic.set_attr(Group.ADDR, Addr.V3_REDIST, 0x080A_0000)
        self.gic.set_attr(Group.CTRL, CTRL_INIT)
        super().__init__(vm, OPEN)
        self.device = self.add_its(GITS_BASE)
        self.its = self.dist.its_list[0]
        if not bare:
            self.set_up()

    def add_its(self, base: int) -> Device:
        device = self.vm.create_device(DeviceType.ITS)
        device.set_attr(Group.ADDR, Addr.ITS, base)
        return device

    def set_up(self) -> None:
        """What a guest's driver does: LPI tables, ITS tables, queue, enables."""
        for n in range(len(self.vcpus)):
            self.set_gicr(GICR_PROPBASER, CONFIG | 15, n)
            self.set_gicr(GICR_PENDBASER, PENDING + n * 0x1_0000, n)
            self.set_gicr(GICR_CTLR, 1, n, size=4)
        self.set_tables()
        self.write(CTLR, 1, 4)

    def set_tables(self) -> None:
        """Give the ITS its tables and its queue."""
        self.write(BASER0, VALID | DEVICES)
        self.write(BASER1, VALID | COLLECTIONS)
        self.write(CBASER, VALID | QUEUE | QUEUE_SIZE // 4096 - 1)

    # -- registers -------------------------------------------------------------------------------

    def read(self, offset: int, size: int = 8, its: Its | None = None) -> int:
        return (its or self.its).read(self.vcpus[0], offset, size)

    def write(self, offset: int, value: int, size: int = 8, its: Its | None = None) -> None:
        (its or self.its).write(self.vcpus[0], offset, size, value)

    def user(self, offset: int) -> int:
        return self.device.get_attr(Group.ITS_REGS, offset)

    def set_user(self, offset: int, value: int) -> None:
        self.device.set_attr(Group.ITS_REGS, offset, value)

    def gicr(self, offset: int, of: int = 0, size: int = 8) -> int:
        frame = self.vcpus[of].redist
        assert frame is not None
        return frame.read(self.vcpus[of], offset, size)

    def set_gicr(self, offset: int, value: int, of: int = 0, size: int = 8) -> None:
        frame = self.vcpus[of].redist
        assert frame is not None
        frame.write(self.vcpus[of], offset, size, value)

    # -- commands and messages -------------------------------------------------------------------

    def do(self, *commands: Command, its: Its | None = None) -> None:
        """Put commands into the queue and have them done."""
        at = self.do_later(*commands, its=its)
        assert self.read(CREADR, its=its) == at, "the queue was not worked off"

    def do_later(self, *commands: Command, its: Its | None = None) -> int:
        """Put commands into the queue and tell the ITS, which need not be enabled; return the new CWRITER."""
        unit = its or self.its
        at = self.read(CWRITER, its=unit)
        for command in commands:
            data = b"".join(word.to_bytes(8, "little") for word in command)
            self.memory.ram.write(unit.queue + at, data)
            at = (at + 32) % unit.queue_size
        self.write(CWRITER, at, its=unit)
        return at

    def msi(self, devid: int, eventid: int, flags: int = 1, doorbell: int = DOORBELL) -> int:
        """KVM_SIGNAL_MSI; the negative errno for an error."""
        try:
            return self.vm.signal_msi(doorbell, eventid, devid, flags)
        except VgicError as error:
            return -error.errno

    def save(self) -> int:
        return outcome(lambda: self.device.set_attr(Group.CTRL, ITS_SAVE_TABLES))

    def restore(self) -> int:
        return outcome(lambda: self.device.set_attr(Group.CTRL, ITS_RESTORE_TABLES))

    def reset(self) -> int:
        return outcome(lambda: self.device.set_attr(Group.CTRL, ITS_CTRL_RESET))

    def save_pending(self) -> int:
        return outcome(lambda: self.gic.set_attr(Group.CTRL, CTRL_SAVE_PENDING_TABLES))

    # -- memory ----------------------------------------------------------------------------------

    def entry(self, gpa: int) -> int:
        """Return 8 little-endian bytes of RAM."""
        data = self.memory.ram.read(gpa, 8)
        assert data is not None
        return int.from_bytes(data, "little")

    def set_entry(self, gpa: int, value: int) -> None:
        assert self.memory.ram.write(gpa, value.to_bytes(8, "little"))

    def configure(self, intid: int, byte: int) -> None:
        assert self.memory.ram.write(CONFIG + intid - 8192, bytes([byte]))

    def pending_bit(self, intid: int, of: int = 0) -> bool:
        data = self.memory.ram.read(PENDING + of * 0x1_0000 + intid // 8, 1)
        assert data is not None
        return bool(data[0] >> intid % 8 & 1)

    def set_pending_bit(self, intid: int, of: int = 0) -> None:
        gpa = PENDING + of * 0x1_0000 + intid // 8
        data = self.memory.ram.read(gpa, 1)
        assert data is not None
        self.memory.ram.write(gpa, bytes([data[0] | 1 << intid % 8]))

    # -- state -----------------------------------------------------------------------------------

    def lpi(self, intid: int) -> Irq:
        irq = self.dist.lpis.get(intid)
        assert irq is not None, f"there is no LPI {intid}"
        return irq

    def lpis(self) -> list[int]:
        return [irq.intid for irq in self.dist.lpis.ascending()]

    def events(self, its: Its | None = None) -> dict[tuple[int, int], tuple[int, int | None]]:
        """(DeviceID, EventID) -> INTID and collection id, None for an orphan."""
        return {
            (device.devid, ite.eventid): (ite.irq.intid, None if ite.collection is None else ite.collection.icid)
            for device in (its or self.its).maps.devices.values()
            for ite in device.ites()
        }

    def devices(self, its: Its | None = None) -> dict[int, tuple[int, int]]:
        """DeviceID -> translation table and EventID bits."""
        return {device.devid: (device.itt, device.bits) for device in (its or self.its).maps.devices.values()}

    def collections(self, its: Its | None = None) -> dict[int, int | None]:
        """Collection id -> vCPU id, None for a placeholder; in order of creation."""
        return {
            collection.icid: None if collection.target is None else collection.target.vcpu_id
            for collection in (its or self.its).maps.collections.values()
        }

    def cached(self) -> set[tuple[int, int]]:
        return {(key >> 16, key & 0xFFFF) for key in self.its.maps.cache}

    def target(self, intid: int) -> int | None:
        target = self.lpi(intid).target
        return None if target is None else target.index

    def frozen(self) -> tuple[object, ...]:
        """All that commands may change, but the queue pointers."""
        return (
            [(self.devices(its), self.events(its), self.collections(its), set(its.maps.cache)) for its in self.itss()],
            [self.frozen_lpi(irq) for irq in self.dist.lpis.ascending()],
            [self.listed(n) for n in range(len(self.vcpus))],
            list(self.memory.writes),
        )

    def itss(self) -> list[Its]:
        return self.dist.its_list

    @staticmethod
    def frozen_lpi(irq: Irq) -> tuple[object, ...]:
        target = None if irq.target is None else irq.target.index
        return (irq.intid, target, irq.enabled, irq.priority, irq.pending_latch, irq.active, irq.refs)

    def taken(self, of: int = 0) -> int:
        """The guest of a vCPU acknowledges and ends one interrupt; return its INTID."""
        vcpu = self.vcpus[of]
        vcpu.enter()
        intid = take(vcpu)
        vcpu.exit()
        return intid

    def check(self) -> None:
        """Assert what always holds: queue pointers, references, the cache."""
        refs: dict[int, int] = {}
        for its in self.itss():
            assert its.cwriter < its.queue_size
            assert its.creadr < its.queue_size
            assert its.cwriter % 32 == its.creadr % 32 == 0
            if its.enabled:
                assert its.creadr == its.cwriter
                assert its.device_table & its.collection_table & its.cbaser & VALID
            else:
                assert not its.maps.cache
            for device in its.maps.devices.values():
                assert 1 <= device.bits <= 16
                for ite in device.ites():
                    assert ite.eventid < 1 << device.bits
                    assert self.dist.lpis.get(ite.irq.intid) is ite.irq
                    assert ite.collection is None or its.maps.collections.get(ite.collection.icid) is ite.collection
                    refs[ite.irq.intid] = refs.get(ite.irq.intid, 0) + 1
            for key, irq in its.maps.cache.items():
                found = its.maps.find(key >> 16, key & 0xFFFF)
                assert found is not None
                assert found.irq is irq
                refs[irq.intid] = refs.get(irq.intid, 0) + 1
        for irq in self.dist.lpis.ascending():
            assert irq.refs == refs.pop(irq.intid, 0) + (irq.queued_on is not None) > 0, f"LPI {irq.intid}"
            assert not irq.priority & 3
        assert not refs, "an event names an LPI that is gone"
        self.vm.check()


def minus(name: str) -> int:
    """Return the negative errno of that name."""
    value: int = getattr(errno, name)
    return -value
