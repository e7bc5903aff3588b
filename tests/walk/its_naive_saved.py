"""The naive model's tables in memory: what a save writes, and what a restore makes of what it finds.

Room:    above its_naive; may not import the library.
"""

from errno import EEXIST, EFAULT, EINVAL

from tests.walk.its_naive import NaiveVm
from tests.walk.its_naive_lpi import FIRST_LPI, INDIRECT, L1_ADDRESS, NOBODY, VALID, Coll, Dev, Event, NaiveIts


def save(vm: NaiveVm, its: NaiveIts) -> int:
    """ITS_SAVE_TABLES: 0 or EFAULT."""
    if its.baser[0] & VALID:
        stored = [(devid, at) for devid in sorted(its.devices) if (at := vm.room_for(its, 0, devid)) is not None]
        for (devid, at), after in zip(stored, stored[1:] + stored[-1:], strict=True):
            dev = its.devices[devid]
            if not _save_events(vm, dev):
                return EFAULT
            step = min(after[0] - devid, 16383)
            if not vm.ram.set_word(at, VALID | step << 49 | dev.itt >> 8 << 5 | dev.bits - 1):
                return EFAULT
    if its.baser[1] & VALID:
        base = its.baser[1] & 0xFFFF_FFFF_0000 | (its.baser[1] >> 12 & 0xF) << 48
        words = [
            VALID | (NOBODY if coll.target is None else vm.vcpus[coll.target].vcpu_id) << 16 | coll.icid
            for coll in its.colls.values()
        ]
        if len(words) < ((its.baser[1] & 0xFF) + 1) * 8192:
            words.append(0)
        for n, word in enumerate(words):
            if not vm.ram.set_word(base + 8 * n, word):
                return EFAULT
    return 0


def _save_events(vm: NaiveVm, dev: Dev) -> bool:
    ids = sorted(dev.events)
    for eventid, after in zip(ids, ids[1:] + ids[-1:], strict=True):
        event = dev.events[eventid]
        word = 0 if event.coll is None else (after - eventid) << 48 | event.intid << 16 | event.coll.icid
        if not vm.ram.set_word(dev.itt + 8 * eventid, word):
            return False
    return True


def restore(vm: NaiveVm, its: NaiveIts) -> int:
    """ITS_RESTORE_TABLES: 0 or an error, after which the ITS has no collection and, mostly, no device."""
    error = _restore_colls(vm, its) if its.baser[1] & VALID else 0
    if error:
        its.colls = {}
        its.orphan(None)
        return error
    error = _restore_devices(vm, its) if its.baser[0] & VALID else 0
    if error:
        its.colls, its.devices, its.known = {}, {}, set()
    vm.reap()
    return error


def _restore_colls(vm: NaiveVm, its: NaiveIts) -> int:
    base = its.baser[1] & 0xFFFF_FFFF_0000 | (its.baser[1] >> 12 & 0xF) << 48
    for n in range(((its.baser[1] & 0xFF) + 1) * 8192):
        word = vm.ram.word(base + 8 * n)
        if word is None:
            return EFAULT
        if not word & VALID:
            return 0
        vcpu, icid = vm.vcpu_of(word >> 16 & NOBODY), word & 0xFFFF
        if vcpu is None and word >> 16 & NOBODY != NOBODY:
            return EINVAL
        if icid in its.colls:
            return EEXIST
        if vm.room_for(its, 1, icid) is None:
            return EINVAL
        its.colls[icid] = Coll(icid, None if vcpu is None else vcpu.index)
    return 0


def _restore_devices(vm: NaiveVm, its: NaiveIts) -> int:
    baser = its.baser[0]
    base = baser & 0xFFFF_FFFF_0000 | (baser >> 12 & 0xF) << 48
    entries = ((baser & 0xFF) + 1) * 8192
    if not baser & INDIRECT:
        return max(_restore_page(vm, its, base, 0, entries), 0)
    for index in range(entries):
        level1 = vm.ram.word(base + 8 * index)
        if level1 is None:
            return EFAULT
        if level1 & VALID:
            outcome = _restore_page(vm, its, level1 & L1_ADDRESS, index * 8192, 8192)
            if outcome:
                return max(outcome, 0)
    return 0


def _restore_page(vm: NaiveVm, its: NaiveIts, base: int, first: int, entries: int) -> int:
    """Some consecutive device entries: 0 to go on, -1 when one said it was the last, or an error."""
    at = 0
    while at < entries:
        word = vm.ram.word(base + 8 * at)
        if word is None:
            return EFAULT
        if word & VALID:
            error = _restore_device(vm, its, first + at, word)
            if error:
                return error
            if not word >> 49 & 0x3FFF:
                return -1
        at += word >> 49 & 0x3FFF if word & VALID else 1
    return 0


def _restore_device(vm: NaiveVm, its: NaiveIts, devid: int, word: int) -> int:
    bits = (word & 0x1F) + 1
    if bits > 16 or vm.room_for(its, 0, devid) is None:
        return EINVAL
    if devid in its.devices:
        return EEXIST
    dev = its.devices[devid] = Dev((word >> 5 & 0xFFF_FFFF_FFFF) << 8, bits)
    eventid = 0
    while eventid < 1 << bits:
        entry = vm.ram.word(dev.itt + 8 * eventid)
        if entry is None:
            return EFAULT
        step, intid, icid = entry >> 48, entry >> 16 & NOBODY, entry & 0xFFFF
        if intid:
            if intid < FIRST_LPI or eventid + step >= 1 << bits or icid not in its.colls:
                return EINVAL
            if vm.room_for_event(dev, eventid) is None:
                return EINVAL
            if not vm.obtain(intid, its.colls[icid].target):
                return EFAULT
            dev.events[eventid] = Event(intid, its.colls[icid])
            if not step:
                break
        eventid += step if intid else 1
    return 0
