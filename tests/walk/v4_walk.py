"""Seeded random walks of one guest on two hosts: GICv4, which injects directly, and GICv3, which has list registers.

Room:    above v4_side and v4_invariants.
Owns:    what both are made to do, and when their answers must agree: always.
Holds:   after every step the guest of each takes the same interrupts, in the same order, and GICv4's invariants hold.

Interrupts have different priorities, so that their order is no matter of taste.  KVM's own differences are kept out:

    what it does                                             so the walk
    CLEAR, and disabling, do not reach a list register       has vCPUs leave their guests for commands
    DISCARD and the end of forwarding lose what is pending   does them only with nothing pending
    an active LPI stays with the vCPU that has it            moves and forwards none that is active
    what came while the distributor was disabled waits       has the guest touch everything afterwards
    an LPI that is unmapped lives on while it is listed       has every vCPU run for a moment then
    what is moved waits for the vCPU that had it to exit     has every vCPU run for a moment then
    one that is active ends only if its priority is as it was  configures none that is active
    an active SGI keeps that state when SGIs become direct   switches only while none is active
"""

import random
from collections.abc import Callable
from typing import Final, final

from hw import CacheMode, GicVersion, ItsConfig, Machine, Memory, PhysConfig, V4Config
from tests.unit.vgic.its.rig import clear, discard, inv, invall, mapc, mapd, mapti, movall, movi, raise_event
from tests.unit.vgic.v4.rig import DEV, LPI
from tests.walk.v4_invariants import Watch, check
from tests.walk.v4_side import NR_VECTORS, SPURIOUS, Side
from vgic import Host
from vgic.v4.vm import ItsVm

NR_VCPUS: Final = 3
NR_CPUS: Final = 3
NR_EVENTS: Final = NR_VECTORS + 2  # the last are of an emulated device
SGIS: Final = (1, 5, 9)
NASSGIREQ: Final = 1 << 8
GICR_SGI: Final = 0x1_0000
ISENABLER0, ICENABLER0 = GICR_SGI + 0x100, GICR_SGI + 0x180
ISPENDR0, ICPENDR0 = GICR_SGI + 0x200, GICR_SGI + 0x280
IPRIORITYR0 = GICR_SGI + 0x400
MAX_NESTED: Final = 3


def byte_of(n: int, low: bool, enabled: bool) -> int:
    """One of the two configuration bytes of LPI n: no two LPIs share a priority."""
    return 0x08 + 0x20 * n + (0x10 if low else 0) | enabled


@final
class V4Walk:
    """One walk.  The last steps are kept for the report of a failure."""

    def __init__(self, seed: object, version: GicVersion = GicVersion.V4_1) -> None:
        self.rng = rng = random.Random(f"v4.{seed}")
        self.steps: list[str] = []
        self.v41 = version is GicVersion.V4_1
        self.all_direct = self.v41 and rng.random() < 0.5
        self.v4 = V4Config(version=version, settles_early=rng.random() < 0.5, vsgi=rng.random() < 0.8)
        cache = rng.choice(list(CacheMode))
        self.phys = PhysConfig(direct_lpi=rng.random() < 0.5, cache=cache, cache_seed=rng.randrange(1 << 16))
        self.itss = [ItsConfig(vmovp=rng.random() < 0.5)] * rng.randint(1, 2)
        self.sides = [Side(self._host(), NR_VCPUS), Side(self._plain(), NR_VCPUS)]
        self._watch()
        self.bytes = [byte_of(n, False, True) for n in range(NR_EVENTS)]
        self.mapped: dict[int, int] = {}  # event -> collection
        self.active: list[list[int]] = [[] for _ in range(NR_VCPUS)]
        for side in self.sides:
            side.commands(mapd(DEV, 8), *(mapc(v, v) for v in range(NR_VCPUS)))
            for v in range(NR_VCPUS):
                for sgi in SGIS:
                    side.gicr(v, IPRIORITYR0 + sgi, 0x10 * sgi, 1)
        for n in range(NR_EVENTS):
            for side in self.sides:
                side.configure(n, self.bytes[n])
            self.map_event(n, n % NR_VCPUS)
        self._both(Side.everybody)

    def _host(self) -> Host:
        machine = Machine(NR_CPUS, phys=self.phys, memory=Memory(1 << 38), v4=self.v4, its=list(self.itss), strict=True)
        return Host(machine, vgic_v4_enable=True)

    def _plain(self) -> Host:
        return Host(Machine(NR_CPUS, memory=Memory(1 << 38), its=list(self.itss), strict=True))

    def _watch(self) -> None:
        direct = self.sides[0].dist.direct
        assert isinstance(direct, ItsVm)
        self.direct = direct
        self.watch = Watch(self.sides[0].machine, list(self.itss))

    def run(self, steps: int) -> None:
        """Walk, then take everything."""
        doings: list[Callable[[], None]] = [
            self.leave,
            self.put,
            self.wait,
            self.interrupt,
            self.clear,
            self.invalidate,
            self.invalidate_all,
            self.move,
            self.retarget,
            self.move_all,
            self.unmap,
            self.map_again,
            self.attach,
            self.attach,
            self.detach,
            self.sgi_register,
            self.distributor,
            *[self.enter] * 4,
            *[self.strike] * 8,
            *[self.send] * 4,
            *[self.acknowledge] * 6,
            *[self.end] * 6,
        ]
        moves = self.rng.randrange(steps)
        for n in range(steps):
            doing = self.rng.choice(doings)
            self.steps.append(doing.__name__)
            doing()
            if n == moves:
                self.steps.append("migrate")
                self.migrate()
            self.compare()
        self.drain()

    def note(self, text: str) -> None:
        self.steps[-1] += " " + text

    # Doing something on both sides

    def _both(self, do: Callable[[Side], None]) -> None:
        for side in self.sides:
            do(side)

    def _settled(self, do: Callable[[Side], None]) -> None:
        """With list registers folded; where hardware has everything, its guests go on running."""
        direct, plain = self.sides
        running = [] if self.all_direct_now() else direct.pause()
        do(direct)
        direct.resume(running)
        running = plain.pause()
        do(plain)
        plain.resume(running)

    def all_direct_now(self) -> bool:
        """Whether no list register is in use on the first side."""
        return self.all_direct and not any(vcpu.ap_list for vcpu in self.sides[0].vcpus)

    def _running(self) -> list[int]:
        return [vcpu.index for vcpu in self.sides[1].vcpus if vcpu.in_guest]

    def _pending(self, n: int) -> bool:
        """Whether an LPI is pending, by the side that has it in latches and list registers."""
        plain = self.sides[1]
        running = plain.pause()
        irq = plain.lpi(n)
        pending = irq is not None and irq.pending_latch
        plain.resume(running)
        return pending

    def _busy(self, n: int) -> bool:
        return any(LPI + n in stack for stack in self.active)

    def _event(self) -> int:
        return self.rng.randrange(NR_EVENTS)

    # vCPUs

    def enter(self) -> None:
        v, cpu = self.rng.randrange(NR_VCPUS), self.rng.randrange(NR_CPUS)
        taken = {self.sides[1].vcpus[other].pe.index for other in self._running()}
        if v not in self._running() and cpu not in taken:
            self._both(lambda side: side.vcpus[v].enter(cpu))
            self.note(f"{v} on {cpu}")

    def leave(self) -> None:
        if self._running():
            v = self.rng.choice(self._running())
            self._both(lambda side: side.vcpus[v].exit())
            self.note(f"{v}")

    def put(self) -> None:
        v = self.rng.randrange(NR_VCPUS)
        if v not in self._running():
            self._both(lambda side: side.vcpus[v].put())
            self.note(f"{v}")

    def wait(self) -> None:
        """WFI: nobody may sleep on the first side who would be awake on the second.

        An active LPI that is pending again wakes nobody, and a vLPI is never active: what moved between them differs.
        """
        v = self.rng.randrange(NR_VCPUS)
        if v in self._running():
            self._both(lambda side: side.vcpus[v].exit())
        self.note(f"{v}")
        direct, plain = (side.vcpus[v].pending() for side in self.sides)
        assert direct or not plain or self.active[v], "asleep with something to do"

    # The guest's commands

    def map_event(self, n: int, c: int) -> None:
        self._settled(lambda side: side.commands(mapti(DEV, n, LPI + n, c)))
        self.mapped[n] = c

    def interrupt(self) -> None:
        n = self._event()
        self._settled(lambda side: side.commands(raise_event(DEV, n)))
        self.note(f"{n}")

    def clear(self) -> None:
        n = self._event()
        self._settled(lambda side: side.commands(clear(DEV, n)))
        self.note(f"{n}")

    def invalidate(self) -> None:
        n = self._event()
        if n in self.mapped and not self._busy(n):
            self._configure(n)
            self._settled(lambda side: side.commands(inv(DEV, n)))

    def _configure(self, n: int) -> None:
        self.bytes[n] = byte_of(n, self.rng.random() < 0.5, self.rng.random() < 0.7)
        self._both(lambda side: side.configure(n, self.bytes[n]))
        self.note(f"{n} {self.bytes[n]:#x}")

    def invalidate_all(self) -> None:
        changed = [n for n in self.mapped if not self._busy(n) and self.rng.random() < 0.5]
        for n in changed:
            self._configure(n)
        # an LPI need not go where a collection does
        commands = [invall(c) for c in range(NR_VCPUS)] + [inv(DEV, n) for n in changed]
        self._settled(lambda side: side.commands(*commands))

    def move(self) -> None:
        n, c = self._event(), self.rng.randrange(NR_VCPUS)
        if n in self.mapped and not self._busy(n):
            self._settled(lambda side: side.commands(movi(DEV, n, c)))
            self._both(Side.everybody)
            self.mapped[n] = c
            self.note(f"{n} to {c}")

    def retarget(self) -> None:
        """MAPC; two of them, and MOVALL, so that the sets of a pass are used."""
        c, v, w = (self.rng.randrange(NR_VCPUS) for _ in range(3))
        if not any(self.active):
            self._settled(lambda side: side.commands(mapc(c, v), movall(v, w), mapc(c, w), invall(c)))
            self._both(Side.everybody)
            self.note(f"{c}: {v}, {w}")

    def move_all(self) -> None:
        v, w = self.rng.randrange(NR_VCPUS), self.rng.randrange(NR_VCPUS)
        if not any(self.active):
            self._settled(lambda side: side.commands(movall(v, w)))
            self._both(Side.everybody)
            self.note(f"{v} to {w}")

    def unmap(self) -> None:
        n = self._event()
        if n in self.mapped and not self._busy(n) and not self._pending(n) and self.rng.random() < 0.5:
            self._settled(lambda side: side.commands(discard(DEV, n)))
            self._both(Side.everybody)
            del self.mapped[n]
            self.note(f"{n}")

    def map_again(self) -> None:
        for n in range(NR_EVENTS):
            if n not in self.mapped:
                self.map_event(n, self.rng.randrange(NR_VCPUS))
                self.note(f"{n}")

    # Forwarding

    def attach(self) -> None:
        n = self.rng.randrange(NR_VECTORS)
        if n in self.mapped and not self._busy(n):
            self._settled(lambda side: side.produce(n))
            self.note(f"{n}")

    def detach(self) -> None:
        n = self.rng.randrange(NR_VECTORS)
        if not self._pending(n) and not self.all_direct:
            self._settled(lambda side: side.withdraw(n))
            self.note(f"{n}")

    def strike(self) -> None:
        n = self._event()
        if self.all_direct and n >= NR_VECTORS:
            return
        direct, plain = self.sides
        direct.strike(n)
        direct.heed()
        running = plain.pause()
        plain.strike(n)
        plain.resume(running)
        self.note(f"{n}")

    # SGIs and the distributor

    def send(self) -> None:
        if self._running():
            v, sgi, targets = self.rng.choice(self._running()), self.rng.choice(SGIS), self.rng.randrange(8)
            self._both(lambda side: side.send(v, sgi, targets))
            self.note(f"{v}: {sgi} to {targets:03b}")

    def sgi_register(self) -> None:
        v, sgi = self.rng.randrange(NR_VCPUS), self.rng.choice(SGIS)
        how = self.rng.choice((ISENABLER0, ISENABLER0, ICENABLER0, ISPENDR0, ICPENDR0, IPRIORITYR0))
        if any(sgi in stack for stack in self.active):
            return
        if how == IPRIORITYR0:
            priority = 0x10 * sgi + 0x10 * self.rng.randrange(2)
            self._settled(lambda side: side.gicr(v, IPRIORITYR0 + sgi, priority, 1))
        else:
            self._settled(lambda side: side.gicr(v, how, 1 << sgi))
        self.note(f"{v}: {how:#x} of {sgi}")

    def distributor(self) -> None:
        """Disabled and enabled again, maybe with other SGIs; then the guest touches all it has."""
        if any(intid < 16 for stack in self.active for intid in stack):
            return
        value = self.rng.choice((0x12, 0x12 | NASSGIREQ))
        self.note(f"{value:#x}")

        def switch(side: Side) -> None:
            side.gicd(0, 0x10 | value & NASSGIREQ)
            side.gicd(0, value)
            side.commands(*(invall(c) for c in range(NR_VCPUS)))
            for v in range(NR_VCPUS):
                enabled = sum(1 << sgi for sgi in SGIS if side.vcpus[v].private[sgi].enabled)
                side.gicr(v, ISENABLER0, enabled)

        self._settled(switch)

    # What the guest takes

    def acknowledge(self) -> None:
        if self._running():
            v = self.rng.choice(self._running())
            if len(self.active[v]) < MAX_NESTED:
                intid = self._acknowledge(v)
                self.note(f"{v}: {intid}")

    def _acknowledge(self, v: int) -> int:
        explained = self.sides[0].explained(v) if self.rng.random() < 0.2 else None
        direct, plain = (side.acknowledge(v) for side in self.sides)
        takes = [] if direct == SPURIOUS else [direct]
        assert explained is None or explained == takes, f"took {takes}, explained {explained}"
        assert direct == plain, f"vCPU {v} took {direct}, not {plain}"
        if plain != SPURIOUS:
            self.active[v].append(plain)
        return plain

    def end(self) -> None:
        ready = [v for v in self._running() if self.active[v]]
        if ready:
            v = self.rng.choice(ready)
            intid = self.active[v].pop()
            self._both(lambda side: side.end(v, intid))
            self.note(f"{v}: {intid}")

    # Comparing

    def compare(self) -> None:
        direct, plain = self.sides
        for side in self.sides:
            side.resume(side.pause())
            side.vm.check()
        check(self.direct, direct.vcpus, direct.msis, self.watch)
        for v in range(NR_VCPUS):
            one, other = direct.vcpus[v], plain.vcpus[v]
            if one.in_guest:
                assert one.virq() == other.virq(), f"vCPU {v}: line {one.virq()}, not {other.virq()}"
            elif one.vpe is not None and one.vpe.in_wfi:
                assert one.pending() or not other.pending() or self.active[v], f"vCPU {v} sleeps on"

    def migrate(self) -> None:
        """Each side's snapshot goes to the other kind of host, unless the guest needs what that has not."""
        if not self.v41:
            if any(self._pending(n) for n in self.sides[0].produced):
                return  # a GICv4.0 does not say which are pending, so they cannot be saved
            self._settled(Side.withdraw_all)
        for side in self.sides:
            side.pause()
        saved = [side.leave() for side in self.sides]
        texts = [pending_of(snapshot.to_json()) for snapshot, _ in saved]
        assert texts[0] == texts[1], f"pending: {texts[0]}, not {texts[1]}"
        self._gone()
        if not self.sides[0].dist.nassgireq:
            saved.reverse()
        self.sides = [Side(self._host(), NR_VCPUS, saved[0]), Side(self._plain(), NR_VCPUS, saved[1])]
        self._watch()

    def _gone(self) -> None:
        """P20."""
        host = self.sides[0].host
        assert host.gic is not None
        assert (host.gic.vpeids.used, host.gic.lpis.used, host.machine.vpes.by_key) == (0, 0, {}), "P20"

    def drain(self) -> None:
        """Every guest ends and takes all it has."""
        self._both(lambda side: side.resume(side.pause()))
        for v in range(NR_VCPUS):
            self.steps.append(f"drain {v}")
            for side in self.sides:
                side.pause()
                side.vcpus[v].enter(0)
            while True:
                while self.active[v]:
                    intid = self.active[v].pop()
                    for side in self.sides:
                        side.end(v, intid)
                    self.compare()
                if self._acknowledge(v) == SPURIOUS:
                    break
            self.compare()
        for side in self.sides:
            side.pause()
            side.withdraw_all()
            side.leave()
        self._gone()


def pending_of(text: str) -> list[str]:
    """What a snapshot tells of the state of pending interrupts, but for the active state that direct ones have not."""
    lines = [line.strip().rstrip(",") for line in text.splitlines() if '"pending_latch": true' in line]
    return [line.replace('"active": true', '"active": false') for line in lines]
