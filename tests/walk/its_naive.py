"""A naive model of ITSs: their registers and commands.

Room:    beside the library, which it must not import; its_pair compares the two.

What a guest command is answered with internally is returned as KVM's error number, for the tests alone.
"""

from errno import EBUSY, EFAULT, EINVAL, ENODEV
from typing import Final, final

from tests.walk.its_naive_lpi import (
    BASER_RESET,
    FIRST_LPI,
    INDIRECT,
    NOBODY,
    VALID,
    Coll,
    Dev,
    Event,
    NaiveIts,
    NaiveLpis,
    sanitised,
)

E_INT_NOT_DELIVERED: Final = 1


@final
class NaiveVm(NaiveLpis):
    """All ITSs, LPIs and vCPUs of one VM."""

    # Registers of one ITS

    def read_its(self, its: NaiveIts, offset: int, size: int) -> int:
        ids = {0: 0x40, 16: 0x92, 20: 0xB4, 24: 0x3B, 32: 0x0D, 36: 0xF0, 40: 0x05, 44: 0xB1}
        if size not in (4, 8) or offset % size:
            return 0
        if size == 4 and (offset in (0, 4) or 0xFFD0 <= offset <= 0xFFFC):
            quiescent = (its.creadr == its.cwriter) << 31
            return {0: quiescent | its.enabled, 4: 0x4B00_043B}.get(offset, ids.get(offset - 0xFFD0, 0))
        wholes = {8: 0x1EF71, 0x80: its.cbaser, 0x88: its.cwriter, 0x90: its.creadr}
        wholes |= {0x100: its.baser[0], 0x108: its.baser[1]}
        whole = wholes.get(offset & ~7, 0)
        return whole >> offset % 8 * 8 & (1 << 8 * size) - 1 if offset >= 8 else 0

    def write_its(self, its: NaiveIts, offset: int, size: int, value: int) -> None:
        """A write by the guest."""
        if size not in (4, 8) or offset % size:
            return
        if offset == 0 and size == 4:
            self._write_ctlr(its, value & 1)
        if offset >= 8:
            whole, shift, mask = offset & ~7, offset % 8 * 8, (1 << 8 * size) - 1
            merged = self.read_its(its, whole, 8) & ~(mask << shift) | value << shift
            if whole == 0x88:
                self._write_cwriter(its, merged & 0xF_FFE0)
            elif not its.enabled:
                self._write_table(its, whole, merged)

    def _write_ctlr(self, its: NaiveIts, enable: int) -> None:
        if not enable:
            its.enabled = False
            its.known.clear()
        elif its.enabled or all(register & VALID for register in (*its.baser, its.cbaser)):
            its.enabled = True
            self.run(its)

    def _write_cwriter(self, its: NaiveIts, offset: int) -> None:
        if offset < its.queue_size:
            its.cwriter = offset
            if its.enabled:
                self.run(its)

    def _write_table(self, its: NaiveIts, whole: int, value: int) -> None:
        if whole == 0x80:
            its.cbaser = sanitised(value, 10, 59, 53) & ~0xF000
            its.creadr = its.cwriter = 0
        if whole not in (0x100, 0x108):
            return
        table = whole >> 3 & 1
        fixed = 7 << 56 | 0x1F << 48 | 3 << 8 | (INDIRECT if table else 0)
        value = sanitised(value & ~fixed, 10, 59, 53) | BASER_RESET[table] & (7 << 56 | 0x1F << 48 | 3 << 8)
        if value != its.baser[table]:
            its.baser[table] = value
            its.known.clear()
            if table:
                its.colls = {}
                its.orphan(None)
            else:
                its.devices = {}
            self.reap()

    def user_write_its(self, its: NaiveIts, offset: int, value: int) -> int:
        """A write by user space, with no vCPU in the guest: 0 or an error."""
        if offset == 4:
            return EINVAL if value >> 12 & 0xF else 0
        if offset == 0x90:
            if its.enabled:
                return EBUSY
            if value & 0xF_FFE0 >= its.queue_size:
                return EINVAL
            its.creadr = value & 0xF_FFE0
            return 0
        self.write_its(its, offset, 4 if offset < 8 or offset >= 0xFFD0 else 8, value)
        return 0

    def reset(self, its: NaiveIts) -> None:
        its.baser = [register & ~VALID for register in its.baser]
        its.cbaser = its.creadr = its.cwriter = 0
        its.enabled = False
        its.devices, its.colls, its.known = {}, {}, set()
        self.reap()

    # Commands

    def run(self, its: NaiveIts) -> None:
        """Execute what is queued."""
        while its.creadr != its.cwriter:
            data = self.ram.read(its.queue + its.creadr, 32)
            if data is not None:
                self.execute(its, [int.from_bytes(data[at : at + 8], "little") for at in (0, 8, 16, 24)])
                self.reap()
            its.creadr = (its.creadr + 32) % its.queue_size

    def execute(self, its: NaiveIts, w: list[int]) -> int:
        """One command; returns 0, KVM's internal error, or EFAULT for what failed half way."""
        self.commands += 1
        devid, eventid, icid = w[0] >> 32, w[1] & NOBODY, w[2] & 0xFFFF
        match w[0] & 0xFF:
            case 0x08:
                return self._mapd(its, devid, (w[1] & 0x1F) + 1, w[2])
            case 0x09:
                return self._mapc(its, icid, w[2])
            case 0x0A:
                return self._mapti(its, devid, eventid, w[1] >> 32, icid)
            case 0x0B:
                return self._mapti(its, devid, eventid, eventid, icid)
            case 0x0D:
                coll = its.colls.get(icid)
                if coll is None or coll.target is None:
                    return 0x010D09
                self.configure_all(coll.target)
            case 0x0E:
                return self._movall(its, w)
            case 0x01 | 0x03 | 0x04 | 0x0C | 0x0F:
                return self._on_event(its, w[0] & 0xFF, devid, eventid, icid)
            case 0x05:
                return 0
            case _:
                return ENODEV
        return 0

    def _mapd(self, its: NaiveIts, devid: int, bits: int, w2: int) -> int:
        at = self.room_for(its, 0, devid)
        if at is None:
            return 0x010801
        if w2 & VALID and bits > 16:
            return 0x010802
        if devid in its.devices:
            del its.devices[devid]
            its.known.clear()
        if w2 & VALID:
            its.devices[devid] = Dev(w2 & 0xF_FFFF_FFFF_FF00, bits)
        elif not self.ram.set_word(at, 0):
            return EFAULT
        return 0

    def _mapc(self, its: NaiveIts, icid: int, w2: int) -> int:
        coll = its.colls.get(icid)
        if not w2 & VALID:
            if coll is not None:
                its.orphan(its.colls.pop(icid))
            its.known.clear()
            return 0
        vcpu = self.vcpu_of(w2 >> 16 & NOBODY)
        if vcpu is None:
            return 0x010902
        if coll is None:
            if self.room_for(its, 1, icid) is None:
                return 0x010903
            its.colls[icid] = Coll(icid, vcpu.index)
            return 0
        coll.target = vcpu.index
        for event in its.events():
            if event.coll is coll:
                self.retarget(self.lpis[event.intid], vcpu.index)
        return 0

    def _mapti(self, its: NaiveIts, devid: int, eventid: int, intid: int, icid: int) -> int:
        dev = its.devices.get(devid)
        if dev is None:
            return 0x010A04
        if self.room_for_event(dev, eventid) is None:
            return 0x010A05
        if not FIRST_LPI <= intid < 1 << min((self.propbaser & 0x1F) + 1, 16):
            return 0x010A06
        if eventid in dev.events:
            return 0
        if icid not in its.colls and self.room_for(its, 1, icid) is None:
            return 0x010903
        coll = its.colls.get(icid, Coll(icid, None))
        if not self.obtain(intid, coll.target):
            return EFAULT
        its.colls[icid] = coll
        dev.events[eventid] = Event(intid, coll)
        return 0

    def _movall(self, its: NaiveIts, w: list[int]) -> int:
        source, target = self.vcpu_of(w[2] >> 16 & NOBODY), self.vcpu_of(w[3] >> 16 & NOBODY)
        if source is None or target is None:
            return 0x010E01
        if source is not target:
            for lpi in self.lpis.values():
                if lpi.target == source.index:
                    self.retarget(lpi, target.index)
            its.known.clear()
        return 0

    def _on_event(self, its: NaiveIts, number: int, devid: int, eventid: int, icid: int) -> int:
        """MOVI, INT, CLEAR, INV, DISCARD."""
        event = its.find(devid, eventid)
        if event is None:
            return 0x010007 | number << 8
        lpi = self.lpis[event.intid]
        mapped = event.coll is not None and event.coll.target is not None
        if number == 0x03:
            return 0 if self.translate(its, devid, eventid) == 1 else E_INT_NOT_DELIVERED
        if number == 0x04:
            lpi.latch = False
        elif number == 0x0C:
            return 0 if self.configure(lpi) else EFAULT
        elif number == 0x0F:
            if not mapped:
                return 0x010F07
            its.known.clear()
            dev = its.devices[devid]
            del dev.events[eventid]
            at = self.room_for_event(dev, eventid)
            return 0 if at is not None and self.ram.set_word(at, 0) else EFAULT
        else:
            coll = its.colls.get(icid)
            if not mapped or coll is None or coll.target is None:
                return 0x010109
            event.coll = coll
            its.known.clear()
            self.retarget(lpi, coll.target)
        return 0
