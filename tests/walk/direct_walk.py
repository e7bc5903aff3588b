"""Seeded random walks of software that uses GICv4.1 as it should, beside a model that keeps sets and nothing else.

Room:    hw alone; the machine, its tables and the commands are rig4's.
Owns:    the naive model: what is pending and enabled, who is resident where, whose doorbell is armed.
Never:   looks inside the machine for an expected value.
Holds:   after every step: lines, VPENDBASER, doorbells and the log of misuse (empty) are what the model says;
         at the end every interrupt that is pending is taken, once.
"""

import random
from typing import Final, final

from hw import ItsConfig, V4Config
from hw import arch4 as a
from tests.unit.hw.rig4 import (
    ALLOC,
    DB,
    Rig4,
    of_event,
    of_vpe,
    vmapp,
    vmapti,
    vmovi,
    vmovp,
    vsgi,
    vunmapp,
)

NR_VPES: Final = 3
NR_PES: Final = 2
NR_EVENTS: Final = 6
VINTIDS: Final = range(8192, 8196)
PRIORITIES: Final = (0x20, 0x80, 0xA0, 0xA4)
SGIS: Final = (0, 3, 15)


@final
class NaiveVpe:
    """One vPE: sets and flags."""

    def __init__(self) -> None:
        self.mapped = False
        self.rd = 0
        self.pending: set[int] = set()
        self.bytes: dict[int, int] = {}  # INTID -> priority, group, enable, as a vLPI's byte
        self.resident = -1
        self.groups = 0
        self.armed = False
        self.rung = False  # its doorbell is pending

    def ready(self) -> set[int]:
        """What is pending and enabled."""
        return {n for n in self.pending if self.bytes.get(n, 2) & 1}

    def best(self) -> int:
        """What its guest takes next, or 1023."""
        ranks = [(self.bytes[n] & 0xFC, n) for n in self.ready() if self.groups >> (self.bytes[n] >> 1 & 1) & 1]
        return min(ranks)[1] if ranks else 1023


@final
class DirectWalk:
    """One walk.  The last steps are kept for the report of a failure."""

    def __init__(self, seed: object) -> None:
        self.rng = random.Random(f"direct.{seed}")
        self.steps: list[str] = []
        early = self.rng.random() < 0.5
        itss = 1 + self.rng.randrange(2)
        vmovp_once, waits = self.rng.random() < 0.5, self.rng.random() < 0.5
        self.rig = Rig4(
            NR_PES,
            V4Config(settles_early=early, writes_back=self.rng.random() < 0.5),
            [ItsConfig(vmovp=vmovp_once, vmovp_waits=waits) for _ in range(itss)],
        )
        self.itss = range(itss)
        self.sequence = 0
        self.vpes = [NaiveVpe() for _ in range(NR_VPES)]
        self.events: dict[tuple[int, int], tuple[int, int]] = {}  # (ITS, EventID) -> (vPE, vINTID)
        for vpe in self.vpes:
            vpe.bytes = dict.fromkeys(range(16), 0) | dict.fromkeys(VINTIDS, 2)
        self.rung = 0

    def run(self, steps: int) -> None:
        """Walk, then take everything."""
        doings = [
            self.map,
            self.unmap,
            self.map_event,
            self.discard,
            self.move_event,
            self.move_vpe,
            self.configure,
            self.configure_sgi,
            self.clear,
            self.clear_sgi,
            self.enter,
            self.leave,
            self.host,
            *[self.fire] * 4,
            *[self.fire_sgi] * 3,
            *[self.take] * 4,
        ]
        for _ in range(steps):
            doing = self.rng.choice(doings)
            before = [vpe.ready() for vpe in self.vpes]
            self.steps.append(doing.__name__)
            doing(self.rng.randrange(NR_VPES))
            self.settle(before)
            self.compare()
        self.drain()

    def note(self, text: str) -> None:
        self.steps[-1] += " " + text

    # What software does

    def map(self, n: int) -> None:
        vpe = self.vpes[n]
        if vpe.mapped:
            return
        vpe.mapped, vpe.rd = True, self.rng.randrange(NR_PES)
        for its in self.itss:
            self.rig.send(vmapp(n, vpe.rd, 0 if its else ALLOC), its=its)
        vpe.armed, vpe.rung = True, False

    def unmap(self, n: int) -> None:
        vpe = self.vpes[n]
        if not vpe.mapped or vpe.resident >= 0 or self.rng.random() < 0.5:
            return
        for key, (where, vintid) in list(self.events.items()):
            if where == n:
                self.rig.send(of_event(a.DISCARD, 0, key[1]), its=key[0])
                del self.events[key]
                vpe.pending.discard(vintid)
        for its in self.itss:
            self.rig.send(vunmapp(n, ALLOC if its == self.itss[-1] else 0), its=its)
        vpe.mapped = vpe.armed = vpe.rung = False

    def key(self) -> tuple[int, int]:
        return self.rng.choice(self.itss), self.rng.randrange(NR_EVENTS)

    def map_event(self, n: int) -> None:
        key, vintid = self.key(), self.rng.choice(VINTIDS)
        if self.vpes[n].mapped and key not in self.events:
            self.rig.send(vmapti(0, key[1], n, vintid), of_vpe(a.VSYNC, n), its=key[0])
            self.events[key] = n, vintid
            self.note(f"{key} {n} {vintid}")

    def discard(self, _: int) -> None:
        key = self.key()
        if key in self.events and self.rng.random() < 0.5:
            self.rig.send(of_event(a.DISCARD, 0, key[1]), its=key[0])
            n, vintid = self.events.pop(key)
            self.vpes[n].pending.discard(vintid)

    def move_event(self, n: int) -> None:
        key = self.key()
        if key in self.events and self.vpes[n].mapped:
            self.rig.send(vmovi(0, key[1], n), of_vpe(a.VSYNC, n), its=key[0])
            old, vintid = self.events[key]
            self.events[key] = n, vintid
            if vintid in self.vpes[old].pending:
                self.vpes[old].pending.discard(vintid)
                self.vpes[n].pending.add(vintid)

    def move_vpe(self, n: int) -> None:
        vpe = self.vpes[n]
        if vpe.mapped:
            vpe.rd = self.rng.randrange(NR_PES)
            self.sequence += 1
            everywhere = not self.rig.machine.itss[0].config.vmovp
            mask = (1 << len(self.itss)) - 1
            for its in self.itss if everywhere else self.itss[:1]:
                self.rig.post(vmovp(n, vpe.rd, DB + n, self.sequence, mask), its=its)

    def configure(self, n: int) -> None:
        vpe = self.vpes[n]
        vintid, byte = self.rng.choice(VINTIDS), self.rng.choice(PRIORITIES) | 2 | self.rng.randrange(2)
        self.rig.vlpi(n, vintid, byte)
        if vpe.mapped:
            how = self.rng.randrange(3)
            if how == 0:
                self.rig.send(of_vpe(a.VINVALL, n))
            elif how == 1:
                self.rig.pes[vpe.rd].redist.write(0xA0, 8, a.VALID | n << 32 | vintid)
            else:
                self.rig.pes[1 - vpe.rd].redist.write(0xB0, 8, a.VALID | n << 32)
        vpe.bytes[vintid] = byte
        self.note(f"{n} {vintid} {byte:#x}")

    def configure_sgi(self, n: int) -> None:
        if self.vpes[n].mapped:
            sgi, enable, group = self.rng.choice(SGIS), self.rng.randrange(2), self.rng.randrange(2)
            priority = self.rng.choice((0x20, 0x80, 0xA0))
            self.rig.send(vsgi(n, sgi, enable, group, priority))
            self.vpes[n].bytes[sgi] = priority | group << 1 | enable

    def clear(self, _: int) -> None:
        key = self.key()
        if key in self.events:
            self.rig.send(of_event(a.CLEAR, 0, key[1]), its=key[0])
            n, vintid = self.events[key]
            self.vpes[n].pending.discard(vintid)

    def clear_sgi(self, n: int) -> None:
        if self.vpes[n].mapped:
            sgi = self.rng.choice(SGIS)
            byte = self.vpes[n].bytes[sgi]
            self.rig.send(vsgi(n, sgi, byte & 1, byte >> 1 & 1, byte & 0xF0, clear=1))
            self.vpes[n].pending.discard(sgi)

    def fire(self, _: int) -> None:
        key = self.key()
        if self.rng.random() < 0.5:
            self.rig.msi(key[1], its=key[0])
        elif key in self.events:
            self.rig.send(of_event(a.INT, 0, key[1]), its=key[0])
        else:
            return
        if key in self.events:
            n, vintid = self.events[key]
            self.vpes[n].pending.add(vintid)
            self.note(f"{n} {vintid}")

    def fire_sgi(self, n: int) -> None:
        if self.vpes[n].mapped:
            sgi = self.rng.choice(SGIS)
            self.rig.sgir(n, sgi, its=self.rng.choice(self.itss))
            self.vpes[n].pending.add(sgi)

    def enter(self, n: int) -> None:
        pe, vpe = self.rng.randrange(NR_PES), self.vpes[n]
        if vpe.mapped and vpe.resident < 0 and all(other.resident != pe for other in self.vpes):
            vpe.resident, vpe.groups = pe, self.rng.choice((2, 3))
            vpe.armed = vpe.rung = False
            self.rig.res(pe, n, vpe.groups)
            self.note(f"{n} on {pe}")

    def leave(self, n: int) -> None:
        vpe = self.vpes[n]
        if vpe.resident >= 0:
            doorbell, returns = self.rng.randrange(2), self.rng.randrange(2)
            pending_last = self.rig.nres(doorbell, returns, vpe.resident)
            assert returns or pending_last == bool(vpe.ready()), f"PendingLast {pending_last}"
            vpe.armed = bool(doorbell and not returns and not vpe.ready())
            vpe.resident = -1
            self.note(f"{n} doorbell={doorbell} returns={returns}")

    def take(self, n: int) -> None:
        vpe = self.vpes[n]
        if vpe.resident < 0:
            return
        best = vpe.best()
        group = vpe.bytes[best] >> 1 & 1 if best != 1023 else 1
        taken = self.rig.iar(vpe.resident, group)
        assert taken == best, f"the guest of vPE {n} took {taken}, not {best}"
        if taken != 1023:
            vpe.pending.discard(taken)
            self.rig.pes[vpe.resident].virt.eoir(group, taken)

    def host(self, _: int) -> None:
        for pe in range(NR_PES):
            taken = self.rig.host(pe)
            want = [DB + n for n, vpe in enumerate(self.vpes) if vpe.rung and vpe.rd == pe]
            assert taken == want, f"the host of PE {pe} took {taken}, not {want}"
        for vpe in self.vpes:
            vpe.rung = False

    # What follows from it

    def settle(self, before: list[set[int]]) -> None:
        """Doorbells ring for what became ready; not for what a pending table had when it was mapped."""
        for n, vpe in enumerate(self.vpes):
            if vpe.armed and vpe.resident < 0 and vpe.ready() - before[n]:
                vpe.armed, vpe.rung = False, True

    def compare(self) -> None:
        """Every line and register that can be seen."""
        rig = self.rig
        assert rig.codes() == [], "misuse"
        for pe in range(NR_PES):
            vpe = next((vpe for vpe in self.vpes if vpe.resident == pe), None)
            best = 1023 if vpe is None else vpe.best()
            group = -1 if vpe is None or best == 1023 else vpe.bytes[best] >> 1 & 1
            lines = rig.pes[pe].virq(), rig.pes[pe].vfiq()
            assert lines == (group == 1, group == 0), f"PE {pe}: lines {lines}, best {best}"
            assert rig.resident(pe) == (vpe is not None)
            assert rig.pes[pe].irq() == any(vpe.rung and vpe.rd == pe for vpe in self.vpes), f"PE {pe}: doorbell"
        n = self.rng.randrange(NR_VPES)
        if self.vpes[n].mapped:
            redist = rig.pes[self.rng.randrange(NR_PES)].redist
            redist.write(a.GICR_VSGIR, 4, n)
            sgis = sum(1 << sgi for sgi in SGIS if sgi in self.vpes[n].pending)
            assert redist.read(a.GICR_VSGIPENDR, 4) == sgis, f"SGIs of vPE {n}"

    def drain(self) -> None:
        """Every vPE becomes resident once more, and takes what it has."""
        for n, vpe in enumerate(self.vpes):
            if vpe.resident >= 0:
                self.steps.append("leave")
                self.leave(n)
        for n, vpe in enumerate(self.vpes):
            if vpe.mapped:
                vpe.groups = 3
                self.rig.res(0, n)
                vpe.resident = 0
                while vpe.best() != 1023:
                    self.take(n)
                assert self.rig.iar(0) == self.rig.iar(0, 0) == 1023
                self.rig.nres(0, 1)
                vpe.resident = -1
