"""A GICv2 VM beside its naive model: the frames that replace system registers, and a ledger of SGIs.

Room:    above pair, whose events and comparisons it keeps; steps_v2 has the steps that only a GICv2 has.
Holds:   each delivery of an SGI from a source was asked for by it, and after each request there is a delivery,
         whatever the naive model says: the ledger is kept of requests and acknowledges alone.
"""

from collections import Counter
from typing import Final, final

from hw import Pe, V2Config, VirtConfig
from hw.arch import (
    GICC_ABPR,
    GICC_AEOIR,
    GICC_AHPPIR,
    GICC_AIAR,
    GICC_APR,
    GICC_BPR,
    GICC_CTLR,
    GICC_DIR,
    GICC_EOIR,
    GICC_HPPIR,
    GICC_IAR,
    GICC_PMR,
    GICC_RPR,
    GICD_CPENDSGIR,
    GICD_CTLR,
    GICD_ITARGETSR,
    GICD_SGIR,
    GICD_SPENDSGIR,
)
from tests.support import GICC_BASE, GICD_BASE, make_v2_vm
from tests.walk.naive import NR_SGIS, Bank, Guest, Line, Naive
from tests.walk.naive_v2 import LEGACY, GuestV2, NaiveV2
from tests.walk.pair import Pair
from tests.walk.setup import BANK_OFFSETS, DIST, INTID_MASK, NR_SPIS, SOURCE_SHIFT, Kind, Registers
from vgic import Group, Vgic

GICC: Final = Registers(
    iar=(GICC_IAR, GICC_AIAR),
    eoir=(GICC_EOIR, GICC_AEOIR),
    hppir=(GICC_HPPIR, GICC_AHPPIR),
    bpr=(GICC_BPR, GICC_ABPR),
    ap=(GICC_APR, GICC_APR),
    ap_step=4,
    pmr=GICC_PMR,
    rpr=GICC_RPR,
    ctlr=GICC_CTLR,
    ctlr_mask=0x21F,
    dir=GICC_DIR,
)
PRIORITY_BITS: Final = 5  # of a GICv2
SCATTERED: Final = (5, 2, 7, 0)  # vCPU ids
MAX_ID: Final = 8

Request = tuple[int, int, int]
"""Whose SGI, its INTID, and the id of the vCPU that asks."""


@final
class Ledger:
    """SGIs asked for and not delivered yet."""

    def __init__(self) -> None:
        self.owed: set[Request] = set()  # must be delivered again
        self.due: Counter[Request] = Counter()  # how often that may be: requests merge, or not
        self.delivered = 0

    def ask(self, target: int, intid: int, sources: int) -> None:
        for source in range(MAX_ID):
            if sources >> source & 1:
                self.owed.add((target, intid, source))
                self.due[target, intid, source] += 1

    def retract(self, target: int, intid: int, sources: int) -> None:
        for source in range(MAX_ID):
            if sources >> source & 1:
                self.owed.discard((target, intid, source))
                self.due[target, intid, source] = 0

    def deliver(self, request: Request) -> None:
        assert self.due[request] > 0, f"vCPU {request[0]}: SGI {request[1]} from {request[2]} was not asked for"
        self.delivered += 1
        self.due[request] -= 1
        self.owed.discard(request)


@final
class PairV2(Pair):
    """The two, with a GICv2."""

    registers = GICC
    assigned = (Bank.GROUP,)
    model: NaiveV2

    def build(self) -> Vgic:
        setup = self.setup
        self.ledger = Ledger()
        virt = None
        if setup.kind is Kind.V2_ON_V3:
            virt = VirtConfig(n_lr=setup.lrs, pri_bits=setup.pri_bits, pre_bits=setup.pre_bits, sre_legacy=True)
        return make_v2_vm(
            self.ids(),
            cpus=setup.cpus,
            spis=NR_SPIS,
            gic=V2Config(n_lr=setup.lrs),
            virt=virt,
            forwarded=setup.trapped and virt is None,
        )

    def build_model(self) -> Naive:
        setup = self.setup
        on_v3 = setup.kind is Kind.V2_ON_V3
        pri_bits, pre_bits = (setup.pri_bits, setup.pre_bits) if on_v3 else (PRIORITY_BITS, PRIORITY_BITS)
        guests = [
            GuestV2(index, vcpu_id, index, index % setup.cpus, pri_bits, pre_bits, False)
            for index, vcpu_id in enumerate(self.ids())
        ]
        model = NaiveV2(guests, NR_SPIS, setup.lrs, self.peek)
        model.reset()
        return model

    def ids(self) -> list[int]:
        return list((SCATTERED if self.setup.spread else range(MAX_ID))[: self.setup.vcpus])

    # How registers are reached

    def word(self, frame: int) -> tuple[int, list[Line]]:
        if frame == DIST:
            return super().word(frame)
        return GICD_BASE, self.model.guests[frame].private

    def reachable(self, guest: Guest, frame: int) -> int:
        """A guest's private interrupts are banked."""
        return guest.index

    def user_word(self, frame: int, bank: Bank) -> tuple[Group, int]:
        if frame == DIST:
            return Group.DIST_REGS, self.user_attr(self.model.guests[-1], BANK_OFFSETS[bank] + 4)
        return Group.DIST_REGS, self.user_attr(self.model.guests[frame], BANK_OFFSETS[bank])

    def user_dist_control(self) -> int:
        return self.user_attr(self.model.guests[-1], GICD_CTLR)

    @staticmethod
    def user_attr(guest: Guest, offset: int) -> int:
        return guest.vcpu_id << 32 | offset

    def get(self, guest: Guest, register: int) -> int:
        return self.vcpu(guest).read(GICC_BASE + register, 4)

    def put(self, guest: Guest, register: int, value: int) -> None:
        assert self.vcpu(guest).write(GICC_BASE + register, 4, value)

    # Events

    def acknowledge(self, guest: Guest, group: int) -> int:
        value = super().acknowledge(guest, group)
        intid = value & INTID_MASK
        if intid < NR_SGIS:
            self.ledger.deliver((guest.index, intid, value >> SOURCE_SHIFT))
        return value

    def answers(self, pe: Pe, group: int) -> tuple[bool, ...]:
        """IAR gives 1022 for a group 1 that it does not acknowledge; AIAR gives nothing of group 0."""
        up = pe.virt.virq() or pe.virt.vfiq()
        return (False, up) if group else (up,)

    def asserted_group(self, guest: Guest) -> int:
        """AIAR's only if IAR would give 1022."""
        return 1 if self.get(guest, GICC_HPPIR) == LEGACY else 0

    def set_group(self, guest: Guest, group: int, enabled: bool) -> None:
        guest.enabled[group] = enabled
        self.put(guest, GICC_CTLR, guest.read_control())
        self.settle()

    def set_control(self, guest: Guest, value: int) -> None:
        """The modes; the group enables stay."""
        super().set_control(guest, value & ~3 | guest.read_control() & 3)

    def enable_dist(self, guest: Guest, enabled: bool) -> None:
        assert self.vcpu(guest).write(GICD_BASE + GICD_CTLR, 4, int(enabled))
        self.model.begin_trap(guest)
        self.model.set_enabled(enabled, False)
        self.reenter(guest)

    def write_targets(self, guest: Guest, lines: list[Line], value: int) -> None:
        """ITARGETSR of one interrupt or four."""
        assert self.vcpu(guest).write(GICD_BASE + GICD_ITARGETSR + lines[0].intid, len(lines), value)
        self.model.begin_trap(guest)
        for n, line in enumerate(lines):
            if line.home is None:
                self.model.set_route(line, value >> 8 * n & 0xFF)
        self.reenter(guest)

    def send(self, guest: Guest, value: int) -> None:
        """SGIR."""
        assert self.vcpu(guest).write(GICD_BASE + GICD_SGIR, 4, value)
        self.model.begin_trap(guest)
        for line in self.model.sgir(guest, value):
            self._asked(line, 1 << guest.vcpu_id)
        self.reenter(guest)

    def write_sources(self, guest: Guest, first: int, size: int, value: int, add: bool) -> None:
        """SPENDSGIR or CPENDSGIR of `size` SGIs, by the guest."""
        register = GICD_SPENDSGIR if add else GICD_CPENDSGIR
        assert self.vcpu(guest).write(GICD_BASE + register + first, size, value)
        self.model.begin_trap(guest)
        self.change_sources(guest, first, size, value, add)
        self.reenter(guest)

    def change_sources(self, guest: Guest, first: int, size: int, value: int, add: bool) -> None:
        """What that does to the model."""
        for n, line in enumerate(guest.private[first : first + size]):
            sources = value >> 8 * n & 0xFF
            if add:
                self.model.add_sources(line, sources)
                self._asked(line, sources)
            else:
                self.model.drop_sources(line, sources)
                self.ledger.retract(guest.index, line.intid, sources)

    def _asked(self, line: Line, sources: int) -> None:
        assert line.home is not None, "SGIs are private"
        self.ledger.ask(line.home.index, line.intid, sources)

    def note_sources(self, before: list[int]) -> None:
        """User space changed SGIs, whose sources were as in `before`: tell the ledger."""
        for line, were in zip(self.sgis(), before, strict=True):
            assert line.home is not None, "SGIs are private"
            self._asked(line, line.sources & ~were)
            self.ledger.retract(line.home.index, line.intid, were & ~line.sources)

    def sgis(self) -> list[Line]:
        return [line for guest in self.model.guests for line in guest.private[:NR_SGIS]]

    def drained(self) -> None:
        """No request of an SGI was lost."""
        pmr = self.model.guests[0].pmr
        lost = [
            (target, intid, source)
            for target, intid, source in sorted(self.ledger.owed)
            if self.model.guests[target].private[intid].priority < pmr
        ]
        assert not lost, f"asked for and never delivered, by target, INTID and source: {lost}"
