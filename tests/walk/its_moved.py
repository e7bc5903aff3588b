"""A VM with ITSs, moved by KVM's own formats: saved by one VMM, restored by another.

Room:    above its_pair; test_its_roundtrip moves VMs in the middle of a walk, and goes on walking.
Holds:   everything comes from attributes, guest memory and CPU registers, in the order KVM's documentation asks for.

`LOSSES` is all that these formats lose: each is a function that makes the naive model forget what the move forgets.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Final

from hw.arch import ICC_AP1R0_EL1, ICC_IGRPEN1_EL1, ICC_PMR_EL1
from tests.walk.its_naive import NaiveVm
from tests.walk.its_naive_lpi import PTZ, Event, sanitised
from tests.walk.its_pair import ItsPair
from vgic.ids import Group

ITS_REGISTERS: Final = (4, 0x80, 0x90, 0x88, 0x100, 0x108)
"""IIDR; CBASER, which zeroes the two after it; CREADR; CWRITER; BASER0 and 1.  CTLR comes after the tables."""
CPU_REGISTERS: Final = (ICC_PMR_EL1, ICC_IGRPEN1_EL1, ICC_AP1R0_EL1)


def events_without_collection(model: NaiveVm) -> None:
    """An orphan is saved as nothing."""
    for its in model.itss:
        for dev in its.devices.values():
            dev.events = {n: event for n, event in dev.events.items() if event.coll is not None}


def devices_without_entry(model: NaiveVm) -> None:
    """A device whose table entry the guest has taken away is not saved."""
    for its in model.itss:
        its.devices = {n: dev for n, dev in sorted(its.devices.items()) if model.room_for(its, 0, n) is not None}


def targets_set_by_movall(model: NaiveVm) -> None:
    """An LPI goes to the target of the collection its first event is in; of what MOVALL did nothing is saved.

    First is the lowest EventID of the lowest DeviceID of the first ITS, and the same for LPIs that several events,
    in several collections, have in common.
    """
    found: set[int] = set()
    for its in model.itss:
        for devid in sorted(its.devices):
            for _, event in sorted(its.devices[devid].events.items()):
                if event.coll is not None and event.intid not in found:
                    found.add(event.intid)
                    model.lpis[event.intid].target = event.coll.target


def latches_of_other_targets(model: NaiveVm) -> None:
    """A latch is in the pending table of the target there was: one without a target, or with another now, loses it.

    A bit that the guest itself set in the table of the new target is taken instead.
    """
    for lpi in model.lpis.values():
        byte = None
        if lpi.target is not None:
            byte = model.ram.read(model.pending_byte(model.vcpus[lpi.target], lpi.intid), 1)
        lpi.latch = byte is not None and bool(byte[0] >> lpi.intid % 8 & 1)


def active_lpis(model: NaiveVm) -> None:
    """No register or table says that an LPI is active; its active priority stays."""
    for lpi in model.lpis.values():
        lpi.active = False


def lpis_without_event(model: NaiveVm) -> None:
    """An LPI whose last event was unmapped is delivered only by the VM that has it listed."""
    needed = {event.intid for its in model.itss for event in its.events()}
    model.lpis = {n: lpi for n, lpi in model.lpis.items() if n in needed}


def configuration_not_read_yet(model: NaiveVm) -> None:
    """Configuration is read again from memory, invalidated or not."""
    for lpi in model.lpis.values():
        at = (model.propbaser & 0xF_FFFF_FFFF_F000) + lpi.intid - 8192
        byte = model.ram.read(at, 1)
        assert byte is not None
        lpi.enabled, lpi.priority = bool(byte[0] & 1), byte[0] & 0xFC


def where_lpis_waited(model: NaiveVm) -> None:
    """An LPI that is deliverable is listed by the restore, also where nothing had listed it."""
    for lpi in model.lpis.values():
        lpi.listed = None
        model.look(lpi)
    model.kicked.clear()


def cached_translations(model: NaiveVm) -> None:
    """The translation cache is empty: a message without a DeviceID fails again, one to a disabled vCPU too."""
    for its in model.itss:
        its.known = set()


def zero_table_hints(model: NaiveVm) -> None:
    """GICR_PENDBASER.PTZ reads as zero, so that it is restored as zero."""
    for vcpu in model.vcpus:
        vcpu.pendbaser &= ~PTZ


def queues_never_placed(model: NaiveVm) -> None:
    """GITS_CBASER is zero until somebody writes it, were it zero: restoring it gives it memory attributes."""
    for its in model.itss:
        its.cbaser = sanitised(its.cbaser, 10, 59, 53)


def pending_bits(model: NaiveVm) -> None:
    """The bits of LPIs are taken from the pending tables in memory when they are restored."""
    for lpi in model.lpis.values():
        if lpi.target is not None and lpi.latch:
            at = model.pending_byte(model.vcpus[lpi.target], lpi.intid)
            byte = model.ram.read(at, 1)
            assert byte is not None
            assert model.ram.write(at, bytes([byte[0] & ~(1 << lpi.intid % 8)]))


LOSSES: Final[tuple[Callable[[NaiveVm], None], ...]] = (
    events_without_collection,
    devices_without_entry,
    lpis_without_event,
    active_lpis,
    targets_set_by_movall,
    latches_of_other_targets,
    configuration_not_read_yet,
    pending_bits,
    where_lpis_waited,
    cached_translations,
    zero_table_hints,
    queues_never_placed,
)
"""In the order in which they are applied."""


def picture(model: NaiveVm) -> object:
    """Everything a loss can touch, as a value."""
    itss = [
        (
            [
                (devid, eventid, event.intid, None if event.coll is None else event.coll.icid)
                for devid, dev in sorted(its.devices.items())
                for eventid, event in ((-1, Event(dev.bits, None)), *sorted(dev.events.items()))
            ],
            [(icid, coll.target) for icid, coll in its.colls.items()],
            sorted(its.known),
            its.cbaser,
        )
        for its in model.itss
    ]
    lpis = [(n, v.target, v.enabled, v.priority, v.latch, v.active, v.listed) for n, v in model.lpis.items()]
    memory = [bytes(data) for _, data in sorted(model.ram.pages.items())]
    return itss, lpis, memory, [vcpu.pendbaser for vcpu in model.vcpus]


def move(pair: ItsPair, losses: tuple[Callable[[NaiveVm], None], ...] = LOSSES) -> tuple[ItsPair, set[str]]:
    """Save, restore, and return the new VM with what its model should have become; and which losses it had."""
    pair.all_out()
    saved = [pair.control(its, 1) for its in range(pair.setup.itss)]
    assert not any(saved), "this guest blocks its own move"
    assert not pair.save_pending()
    model = deepcopy(pair.model)
    suffered: set[str] = set()
    for lose in losses:
        before = picture(model)
        lose(model)
        if picture(model) != before:
            suffered.add(lose.__name__)
    for lpi in model.lpis.values():
        lpi.touched = True
    new = ItsPair(pair.setup, pair.ram.copy(), model)
    new.acked = [list(intids) for intids in pair.acked]
    _copy_cpus(pair, new)
    for source, target in zip(pair.its_devices, new.its_devices, strict=True):
        for offset in ITS_REGISTERS:
            target.set_attr(Group.ITS_REGS, offset, source.get_attr(Group.ITS_REGS, offset))
        target.set_attr(Group.CTRL, 2)
        target.set_attr(Group.ITS_REGS, 0, source.get_attr(Group.ITS_REGS, 0))
    for its, target in enumerate(new.its_devices):
        for offset in (0, *ITS_REGISTERS, 8, 0xFFE8):
            value = target.get_attr(Group.ITS_REGS, offset)
            wanted = model.read_its(model.itss[its], offset, 4 if offset in (0, 4, 0xFFE8) else 8)
            assert value == wanted, f"ITS {its}: register {offset:#x} is {value:#x}, was {wanted:#x}"
    new.ram.dirty.update(new.ram.pages)
    new.settle()
    return new, suffered


def _copy_cpus(pair: ItsPair, new: ItsPair) -> None:
    """Distributor, redistributors and CPU interfaces."""
    new.gic.set_attr(Group.DIST_REGS, 0, pair.gic.get_attr(Group.DIST_REGS, 0))
    affinities = [vcpu.mpidr << 32 for vcpu in pair.vm.vcpus]
    for affinity in affinities:
        for offset in (0x70, 0x74, 0x78, 0x7C):
            value = pair.gic.get_attr(Group.REDIST_REGS, affinity | offset)
            new.gic.set_attr(Group.REDIST_REGS, affinity | offset, value)
        for register in CPU_REGISTERS:
            new.gic.set_attr(
                Group.CPU_SYSREGS, affinity | register, pair.gic.get_attr(Group.CPU_SYSREGS, affinity | register)
            )
    for affinity in affinities:
        new.gic.set_attr(Group.REDIST_REGS, affinity, pair.gic.get_attr(Group.REDIST_REGS, affinity) & 1)
