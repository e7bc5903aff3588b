"""A VM with ITSs and its naive model, side by side: one method does one thing to both and compares them.

Room:    between the library's public API and its_naive; its_steps draws what to do.
Holds:   after every method both are equal in everything that is no accident of the library.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, final

from hw import Machine, VirtConfig
from hw.arch import GICD_CTLR, ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1
from tests.support import GICD_BASE, GICR_BASE, redist_base
from tests.walk import its_invariants, its_naive_saved
from tests.walk.its_naive import NaiveVm
from tests.walk.its_naive_cpu import MASK, SPURIOUS, NaiveVcpu
from tests.walk.its_naive_lpi import VALID, NaiveIts
from tests.walk.its_ram import WalkRam
from vgic import Vgic, VgicError
from vgic.host import Host
from vgic.ids import CTRL_INIT, CTRL_SAVE_PENDING_TABLES, ITS, V3, Addr, Group
from vgic.its.devices import Device as ItsDevice
from vgic.its.state import Its

ITS_BASE: Final = 0x0C00_0000
ITS_STRIDE: Final = 0x2_0000
RAM: Final = 0x4000_0000
CONFIG: Final = RAM  # 64 KiB of configuration bytes: 16 bits of INTID
PENDING: Final = RAM + 0x2_0000  # a table each vCPU, 64 KiB apart
OWN: Final = RAM + 0x10_0000  # from here on tables of one ITS after the other
OWN_SIZE: Final = 0x10_0000
DEVICES, COLLECTIONS, QUEUE, LEVEL2, ITTS, LARGE_ITT = 0, 0x2_0000, 0x4_0000, 0x5_0000, 0x8_0000, 0x9_0000
"""Within them.  LEVEL2 has two pages, and stays empty of RAM behind them."""
ITT_SIZE: Final = 0x200
HOLE: Final = 0x7000_0000
QUEUE_SIZE: Final = 0x1000
IDS: Final = ((0, 1, 2, 3), (5, 2, 9, 0))


class ItsSetup(NamedTuple):
    vcpus: int = 2
    itss: int = 2
    lrs: int = 4
    indirect: bool = False
    spread: bool = False  # vCPU ids that are no indexes
    protected: bool = False  # the last pending table and a part of the ITTs are read-only
    booted: bool = True
    tame: bool = False  # commands name only tables that are RAM, one for each device


def make_ram(setup: ItsSetup) -> WalkRam:
    """The guest's memory, with default priorities and everything enabled."""
    ram = WalkRam()
    ram.add(CONFIG, 0x1_0000)
    for index in range(setup.vcpus):
        ram.add(PENDING + 0x1_0000 * index, 0x2000)
    for n in range(setup.itss):
        base = own(n)
        for at, size in (
            (DEVICES, 0x1_0000),
            (COLLECTIONS, 0x1_0000),
            (QUEUE, QUEUE_SIZE),
            (LEVEL2, 0x2_0000),
            (ITTS, 0x2000),
            (LARGE_ITT, 0x2_0000),
        ):
            ram.add(base + at, size)
        if setup.indirect:
            ram.set_word(base + DEVICES, VALID | base + LEVEL2)
            ram.set_word(base + DEVICES + 8, VALID | base + LEVEL2 + 0x1_0000)
    ram.write(CONFIG, b"\xa3" * 0x1_0000)
    if setup.protected:
        ram.protect(PENDING + 0x1_0000 * (setup.vcpus - 1), 0x1000)
        ram.protect(own(0) + ITTS + 0x1000, 0x1000)
    return ram


def own(n: int) -> int:
    """Where the tables of ITS `n` begin."""
    return OWN + OWN_SIZE * n


def words(number: int, devid: int = 0, w1: int = 0, w2: int = 0, w3: int = 0) -> bytes:
    """A command."""
    return b"".join((word & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little") for word in (devid << 32 | number, w1, w2, w3))


@final
class ItsPair:
    """One VM and its naive model."""

    def __init__(self, setup: ItsSetup, ram: WalkRam | None = None, model: NaiveVm | None = None) -> None:
        """Build both; with `ram` and `model` those of a VM that is to be restored."""
        self.setup = setup
        self.ram = make_ram(setup) if ram is None else ram
        ids = list(IDS[setup.spread][: setup.vcpus])
        bases = [ITS_BASE + n * ITS_STRIDE for n in range(setup.itss)]
        virt = VirtConfig(n_lr=setup.lrs, pri_bits=5, pre_bits=5, id_bits=24)
        self.vm = Vgic(Host(Machine(cpus=setup.vcpus, virt=virt)), threads=False, memory=self.ram)
        for vcpu_id in ids:
            self.vm.create_vcpu(vcpu_id)
        self.gic = self.vm.create_device(V3)
        self.gic.set_attr(Group.NR_IRQS, 0, 64)
        self.gic.set_attr(Group.ADDR, Addr.V3_DIST, GICD_BASE)
        self.gic.set_attr(Group.ADDR, Addr.V3_REDIST, GICR_BASE)
        self.gic.set_attr(Group.CTRL, CTRL_INIT)
        self.its_devices = [self.vm.create_device(ITS) for _ in bases]
        for device, base in zip(self.its_devices, bases, strict=True):
            device.set_attr(Group.ADDR, Addr.ITS, base)
        self.dist = self.vm.vcpus[0].dist
        self.model = NaiveVm(self.ram.copy(), ids, setup.lrs, bases) if model is None else model
        self.kicks: set[int] = set()
        self.vm.kick = self.kicks.add
        self.acked: list[list[int]] = [[] for _ in ids]
        self.delivered = 0
        self.rejected = 0

    # Comparison

    def settle(self) -> None:
        """Compare the two and assert the invariants."""
        model, dist = self.model, self.dist
        assert model.kicked <= self.kicks, f"kicked {self.kicks}, the naive model {model.kicked}"
        model.kicked.clear()
        self.kicks.clear()
        difference = self.ram.difference(model.ram)
        assert not difference, f"memory, and the naive model's: {difference}"
        assert (dist.propbaser, dist.enabled) == (model.propbaser, model.on), f"PROPBASER {dist.propbaser:#x}"
        lpis = {irq.intid: its_invariants.fields(irq) for irq in dist.lpis.ascending()}
        wanted = {
            n: (lpi.target, lpi.enabled, lpi.priority, lpi.latch, lpi.active, lpi.listed)
            for n, lpi in model.lpis.items()
        }
        assert lpis == wanted, f"LPIs (target, enabled, priority, latch, active, listed) {_unequal(lpis, wanted)}"
        for its, naive in zip(dist.its_list, model.itss, strict=True):
            _compare(its, naive)
        for guest in model.vcpus:
            self._compare_guest(guest)
        its_invariants.at_rest(dist, {n for n, lpi in model.lpis.items() if lpi.touched})

    def _compare_guest(self, guest: NaiveVcpu) -> None:
        vcpu = self.vm.vcpus[guest.index]
        assert vcpu.lpis_enabled == guest.lpis_enabled, f"vCPU {guest.index}: EnableLPIs"
        assert vcpu.pendbaser == guest.pendbaser, f"vCPU {guest.index}: PENDBASER {vcpu.pendbaser:#x}"
        if guest.running:
            lrs = {
                lr.vintid: (lr.pending, lr.active, lr.priority) for lr in vcpu.pe.virt.lrs if lr.pending or lr.active
            }
            wanted = {
                n: (shown.pending, shown.active, shown.priority)
                for n, shown in guest.shown.items()
                if shown.pending or shown.active
            }
            assert lrs == wanted, f"vCPU {guest.index} is shown {_unequal(lrs, wanted)}"
            assert vcpu.virq() == (guest.acknowledgeable() != {SPURIOUS}), f"vCPU {guest.index}: vIRQ is wrong"

    def picture(self, but: Its | None = None) -> object:
        """The library's ITSs (all `but` one), as a value."""
        return [(_registers(its), _maps(its), sorted(its.maps.cache)) for its in self.dist.its_list if its is not but]

    # The guest

    def running(self) -> list[NaiveVcpu]:
        return [guest for guest in self.model.vcpus if guest.running]

    def enter(self, guest: NaiveVcpu) -> None:
        self.vm.vcpus[guest.index].enter()
        guest.running = True
        self._load(guest)
        self.settle()

    def exit(self, guest: NaiveVcpu) -> None:
        self.vm.vcpus[guest.index].exit()
        guest.running = False
        self.model.leave(guest)
        self.settle()

    def all_out(self) -> None:
        for guest in self.running():
            self.exit(guest)

    def _load(self, guest: NaiveVcpu) -> None:
        lrs = self.vm.vcpus[guest.index].pe.virt.lrs
        self.model.load(guest, {lr.vintid for lr in lrs if lr.pending or lr.active})

    def start(self, guest: NaiveVcpu) -> None:
        """What a guest does first."""
        vcpu = self.vm.vcpus[guest.index]
        assert vcpu.msr(ICC_PMR_EL1, MASK)
        assert vcpu.msr(ICC_IGRPEN1_EL1, 1)

    def trap(self, guest: NaiveVcpu, gpa: int, size: int, value: int, effect: Callable[[], object]) -> None:
        """A guest's store, which in the naive model has `effect`."""
        assert self.vm.vcpus[guest.index].write(gpa, size, value)
        guest.trapped = True
        self.model.leave(guest)
        effect()
        self._load(guest)
        guest.trapped = False
        self.settle()

    def acknowledge(self, guest: NaiveVcpu) -> int:
        intid = self.vm.vcpus[guest.index].mrs(ICC_IAR1_EL1)
        possible = guest.acknowledgeable()
        assert intid in possible, f"vCPU {guest.index} acknowledged {intid}, the naive model has {possible}"
        if intid != SPURIOUS:
            guest.acknowledge(intid)
            self.acked[guest.index].append(intid)
            self.delivered += 1
        self.settle()
        return intid

    def end(self, guest: NaiveVcpu, intid: int) -> None:
        assert self.vm.vcpus[guest.index].msr(ICC_EOIR1_EL1, intid)
        guest.end(intid)
        self.settle()

    def switch(self, guest: NaiveVcpu, on: bool) -> None:
        self.trap(guest, GICD_BASE + GICD_CTLR, 4, 2 * on, lambda: self.model.switch(on))

    def write_redist(self, guest: NaiveVcpu, owner: NaiveVcpu, offset: int, size: int, value: int) -> None:
        """A store to the redistributor of `owner`.  Clearing EnableLPIs halts every vCPU for a moment."""
        disables = offset == 0 and size == 4 and not value & 1 and owner.lpis_enabled

        def effect() -> None:
            if disables:
                self._disable(owner)
            else:
                self.model.write_redist(owner, offset, size, value)

        self.trap(guest, redist_base(owner.index) + offset, size, value, effect)

    def _disable(self, owner: NaiveVcpu) -> None:
        halted = [guest for guest in self.running() if not guest.trapped]
        for guest in halted:
            guest.trapped = True
        for guest in halted:
            self.model.leave(guest)
        self.model.disable_lpis(owner)
        for guest in halted:
            self._load(guest)
            guest.trapped = False

    def write_its(self, guest: NaiveVcpu, its: int, offset: int, size: int, value: int) -> None:
        naive = self.model.itss[its]
        value &= (1 << 8 * size) - 1
        self.trap(guest, naive.base + offset, size, value, lambda: self.model.write_its(naive, offset, size, value))
        got = self.vm.vcpus[guest.index].read(naive.base + offset, size)
        guest.trapped = True
        self.model.leave(guest)
        self._load(guest)
        guest.trapped = False
        wanted = self.model.read_its(naive, offset, size)
        assert got == wanted, f"ITS {its} reads {got:#x} at {offset:#x} by {size}, the naive model's {wanted:#x}"
        self.settle()

    # The VMM

    def attempt(self, what: Callable[[], None]) -> int:
        """The errno of a call, 0 if it went well; anything but the typed error comes out."""
        try:
            what()
        except VgicError as error:
            return error.errno
        return 0

    def user_write_its(self, its: int, offset: int, value: int) -> None:
        """A register write by user space, at an offset where there is one; every vCPU is out."""
        device = self.its_devices[its]
        got = self.attempt(lambda: device.set_attr(Group.ITS_REGS, offset, value))
        wanted = self.model.user_write_its(self.model.itss[its], offset, value)
        assert got == wanted, f"ITS {its}, {offset:#x} := {value:#x}: error {got}, the naive model {wanted}"
        self.settle()

    def control(self, its: int, attr: int) -> int:
        """Save (1), restore (2) or reset (4); every vCPU is out.  Returns the error."""
        got = self.attempt(lambda: self.its_devices[its].set_attr(Group.CTRL, attr))
        naive = self.model.itss[its]
        wanted = 0
        if attr == 1:
            wanted = its_naive_saved.save(self.model, naive)
        elif attr == 2:
            wanted = its_naive_saved.restore(self.model, naive)
        else:
            self.model.reset(naive)
        assert got == wanted, f"ITS {its}, control {attr}: error {got}, the naive model {wanted}"
        self.settle()
        return got

    def save_pending(self) -> int:
        got = self.attempt(lambda: self.gic.set_attr(Group.CTRL, CTRL_SAVE_PENDING_TABLES))
        wanted = self.model.save_pending()
        assert got == wanted, f"saving pending tables: error {got}, the naive model {wanted}"
        self.settle()
        return got

    def signal(self, doorbell: int, data: int, devid: int, has_devid: bool = True) -> int:
        """A message; returns what KVM_SIGNAL_MSI does, errors negative."""
        try:
            got = self.vm.signal_msi(doorbell, data, devid, int(has_devid))
        except VgicError as error:
            got = -error.errno
        wanted = self.model.signal(doorbell, data, devid, has_devid)
        assert got == wanted, f"message {data:#x} of {devid:#x} gives {got}, the naive model has {wanted}"
        self.settle()
        return got

    def store(self, gpa: int, data: bytes) -> None:
        """The guest, or a device, writes memory."""
        assert self.ram.write(gpa, data) == self.model.ram.write(gpa, data)

    # Commands

    def push(self, its: int, commands: list[bytes]) -> None:
        """Append commands and write CWRITER, by a guest if one runs; nothing if they do not fit."""
        naive = self.model.itss[its]
        at = naive.cwriter
        for command in commands:
            after = (at + 32) % naive.queue_size
            if after == naive.creadr:
                break
            self.store(naive.queue + at, command)
            at = after
        others = self.picture(self.dist.its_list[its])
        running = self.running()
        if running:
            self.write_its(running[at // 32 % len(running)], its, 0x88, 8, at)
        else:
            self.user_write_its(its, 0x88, at)
        assert self.picture(self.dist.its_list[its]) == others, "18: commands changed another ITS"
        if naive.enabled and at < naive.queue_size:
            assert naive.creadr == naive.cwriter == at, "19: the queue was not drained"

    def rejected_changes_nothing(self, its: int, command: bytes) -> None:
        """One command, with every vCPU out; 20: if its validation fails, nothing changes."""
        self.all_out()
        naive = self.model.itss[its]
        if not naive.enabled or not self.model.ram.visible(naive.queue + naive.cwriter):
            return
        before = self.everything()
        at = naive.cwriter
        self.store(naive.queue + at, command)
        self.ram.dirty.clear()
        self.model.ram.dirty.clear()
        probe = [int.from_bytes(command[n : n + 8], "little") for n in (0, 8, 16, 24)]
        offset = (at + 32) % naive.queue_size
        assert not self.attempt(lambda: self.its_devices[its].set_attr(Group.ITS_REGS, 0x88, offset))
        outcome = self.model.execute(naive, probe)
        self.model.reap()
        naive.cwriter = naive.creadr = offset
        if outcome > 0xFFFF:
            self.rejected += 1
            assert not self.ram.dirty, f"20: a rejected command ({outcome:#x}) wrote memory"
            assert self.everything() == before, f"20: a rejected command ({outcome:#x}) changed something"
        self.settle()

    def everything(self) -> object:
        """All maps, caches and LPIs, as a value."""
        maps = [(_maps(its), sorted(its.maps.cache)) for its in self.dist.its_list]
        return maps, [(irq.intid, its_invariants.fields(irq), irq.refs) for irq in self.dist.lpis.ascending()]


def _unequal(mine: Mapping[int, object], theirs: Mapping[int, object]) -> str:
    keys = [key for key in sorted(mine.keys() | theirs.keys()) if mine.get(key) != theirs.get(key)]
    return "; ".join(f"{key}: {mine.get(key)}, by the naive model {theirs.get(key)}" for key in keys)


def _registers(its: Its) -> tuple[int, ...]:
    return (its.enabled, its.cbaser, its.creadr, its.cwriter, its.device_table, its.collection_table)


def _events(device: ItsDevice) -> dict[int, tuple[int, int | None]]:
    return {
        ite.eventid: (ite.irq.intid, None if ite.collection is None else ite.collection.icid) for ite in device.ites()
    }


def _maps(its: Its) -> tuple[object, object]:
    devices = {devid: (device.itt, device.bits, _events(device)) for devid, device in its.maps.devices.items()}
    collections = [
        (icid, None if collection.target is None else collection.target.index)
        for icid, collection in its.maps.collections.items()
    ]
    return devices, collections


def _compare(its: Its, naive: NaiveIts) -> None:
    got, wanted = _registers(its), (naive.enabled, naive.cbaser, naive.creadr, naive.cwriter, *naive.baser)
    assert got == wanted, f"registers {[hex(value) for value in got]}, by the naive model {[hex(n) for n in wanted]}"
    devices, collections = _maps(its)
    expected = {
        devid: (
            dev.itt,
            dev.bits,
            {n: (event.intid, None if event.coll is None else event.coll.icid) for n, event in dev.events.items()},
        )
        for devid, dev in naive.devices.items()
    }
    assert devices == expected, f"devices {devices}, by the naive model {expected}"
    assert collections == [(icid, coll.target) for icid, coll in naive.colls.items()], f"collections {collections}"
    cached = {(key >> 16, key & 0xFFFF) for key in its.maps.cache}
    assert cached == naive.known, f"cached {cached}, by the naive model {naive.known}"
