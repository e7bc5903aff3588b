"""The library and its naive model, side by side: each event goes to both, then they are compared.

Room:    above naive and invariants; steps and walk say what happens.
Owns:    one VM, its model, and the devices around them.
Holds:   after `settle` the two agree on every interrupt played with, on what every guest is shown and on every
         line, and the invariants hold.  Every interrupt of the VM is compared now and then.

An event is one call by the VMM or one access by a guest: `settle` after each.
"""

from collections.abc import Hashable

from hw import Pe, VirtConfig
from hw.arch import FIRST_SPI, GICD_CTLR, GICD_ICFGR, GICD_IROUTER, GICR_SGI_BASE
from tests.support import GICD_BASE, device_of, make_vm, redist_base
from tests.walk import invariants
from tests.walk.naive import ACTIVE_BANKS, Bank, Guest, Line, Mapping, Naive
from tests.walk.naive_cpu import FIRST_SPECIAL, SPURIOUS
from tests.walk.setup import (
    ALL_BITS,
    BANK_OFFSETS,
    DIST,
    EVERY_INTERRUPT,
    IGRPEN,
    INTID_MASK,
    LEVEL_AT_BOOT,
    MASK_NOTHING,
    NR_SPIS,
    PRIVATE,
    RESAMPLED,
    SOURCE_SHIFT,
    SPI_OFFSET,
    SPIS,
    SPIS_A_CONFIG_WORD,
    SYSTEM_REGISTERS,
    TIED,
    Setup,
    Wires,
)
from vgic import Group, Vcpu, Vgic
from vgic.irq import Irq
from vgic.vcpu import IN_GUEST


class Pair:
    """The two, and what has happened between them.  As it stands for a GICv3; pair_v2 has what a GICv2 does otherwise.

    registers  how the guest names those of its CPU interface.
    assigned   the banks that user space writes as a whole, 0 as much as 1.
    """

    registers = SYSTEM_REGISTERS
    assigned: tuple[Bank, ...] = (Bank.GROUP, Bank.PEND)

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.vm = self.build()
        self.dist = self.vm.vcpus[0].dist
        self.device = device_of(self.vm)
        self.model = self.build_model()
        self.pairs = list(zip(invariants.everything(self.dist), self.model.lines(), strict=True))
        self.played = [(irq, line) for irq, line in self.pairs if irq.intid in (SPIS if line.home is None else PRIVATE)]
        self.wires = Wires()
        self.told: list[int] = []  # completions that devices heard of, in this event
        for intid in range(FIRST_SPI, FIRST_SPI + NR_SPIS):
            self.vm.add_ack_notifier(intid, self.hear)
        self.model.resampled.update(RESAMPLED)
        self.kicks: set[int] = set()  # vCPUs kicked by the library, in this event
        self.kicked: set[int] = set()  # since their last entry
        self.vm.kick = self.kicks.add
        # by vCPU, oldest first: group, and what the acknowledge gave
        self.acked: list[list[tuple[int, int]]] = [[] for _ in self.vm.vcpus]
        self.owners: dict[int, Hashable] = {}
        self.delivered = 0
        self.events = 0
        self.settle()
        if setup.booted:
            for guest in self.model.guests:
                self.enter(guest, None)
                self.recover(guest)
                self.write_config(guest, 0, sum(2 << 2 * (n - FIRST_SPI) for n in SPIS[:10] if n not in LEVEL_AT_BOOT))
                self.exit(guest)
            for intid in TIED[1:-1] if setup.tied else ():
                self.tie(self.model.guests[-1], intid, False)

    def build(self) -> Vgic:
        setup = self.setup
        return make_vm(
            setup.vcpus,
            cpus=setup.cpus,
            spis=NR_SPIS,
            virt=VirtConfig(n_lr=setup.lrs, pri_bits=setup.pri_bits, pre_bits=setup.pre_bits),
            trapped=setup.trapped,
            affinities=setup.affinities(),
        )

    def build_model(self) -> Naive:
        setup = self.setup
        guests = [
            Guest(index, index, affinity, index % setup.cpus, setup.pri_bits, setup.pre_bits, setup.trapped)
            for index, affinity in enumerate(setup.affinities())
        ]
        for guest in guests:
            for line in guest.private:
                line.route = guest.index  # from init, when every vCPU had the affinity that its id gives it
        return Naive(guests, NR_SPIS, setup.lrs, self.peek)

    def peek(self, index: int) -> set[int]:
        """Which interrupts the library chose when not all fitted."""
        return {lr.vintid & INTID_MASK for lr in self.vm.vcpus[index].pe.virt.lrs if lr.pending or lr.active}

    def hear(self, intid: int) -> None:
        """A device hears that its interrupt was completed."""
        self.told.append(intid)
        if intid in RESAMPLED:
            self.vm.inject(intid, False)

    def line(self, index: int, intid: int) -> Line:
        """An SPI, or a private interrupt of vCPU `index`."""
        return self.model.spis[intid - FIRST_SPI] if intid >= FIRST_SPI else self.model.guests[index].private[intid]

    def vcpu(self, guest: Guest) -> Vcpu:
        return self.vm.vcpus[guest.index]

    def word(self, frame: int) -> tuple[int, list[Line]]:
        """What to add to a bank's offset for the one word that DIST or a vCPU's redistributor has; its interrupts."""
        if frame == DIST:
            return GICD_BASE + 4, self.model.spis
        return redist_base(frame) + GICR_SGI_BASE, self.model.guests[frame].private

    def reachable(self, guest: Guest, frame: int) -> int:
        """The frame that a guest gets at when it wants `frame`."""
        return frame

    def user_word(self, frame: int, bank: Bank) -> tuple[Group, int]:
        """How user space names the word of `word`."""
        if frame == DIST:
            return Group.DIST_REGS, BANK_OFFSETS[bank] + 4
        return Group.REDIST_REGS, GICR_SGI_BASE + BANK_OFFSETS[bank] | self.model.guests[frame].affinity << 32

    def user_dist_control(self) -> int:
        """The attribute, of DIST_REGS, of GICD_CTLR."""
        return GICD_CTLR

    def get(self, guest: Guest, register: int) -> int:
        """The guest reads a register of its CPU interface."""
        return self.vcpu(guest).mrs(register)

    def put(self, guest: Guest, register: int, value: int) -> None:
        """The guest writes a register of its CPU interface."""
        assert self.vcpu(guest).msr(register, value)

    # Comparison

    def settle(self) -> None:
        """Compare the two after one event, and assert the invariants."""
        self.events += 1
        self.kicked |= self.kicks
        self.kicked -= {guest.index for guest in self.model.guests if guest.entered}
        for irq, line in self.played if self.events % EVERY_INTERRUPT else self.pairs:
            _compare_line(irq, line)
        for guest in self.model.guests:
            self._compare_guest(guest)
        self._compare_devices()
        invariants.at_rest(self.vm)
        invariants.nothing_deliverable_is_forgotten(self.dist, self._is_stranded)
        invariants.nobody_misses_a_kick(self.dist, self.kicked, self._is_stranded)
        invariants.owners_never_change(self.dist, self.owners)
        self.kicks.clear()

    def _is_stranded(self, irq: Irq) -> bool:
        return self.line(0 if irq.target is None else irq.target.index, irq.intid).stranded

    def _compare_guest(self, guest: Guest) -> None:
        """Where a vCPU is, what it is shown, its lines, and whether it missed a kick."""
        vcpu = self.vcpu(guest)
        assert (vcpu.mode == IN_GUEST) == guest.running, f"vCPU {guest.index}: in the guest or not?"
        assert guest.index in self.kicks or not guest.kicked, f"vCPU {guest.index} should have been kicked"
        guest.kicked = guest.entered = False
        if not guest.running:
            return
        virt = vcpu.pe.virt
        got = {lr.vintid: (lr.pending, lr.active, lr.priority, lr.group) for lr in virt.lrs if lr.pending or lr.active}
        wanted = {
            intid | (shown.source or 0) << SOURCE_SHIFT: (shown.pending, shown.active, shown.priority, shown.group)
            for intid, shown in guest.shown.items()
            if shown.pending or shown.active
        }
        assert got == wanted, f"vCPU {guest.index} is shown {got}, by the naive model {wanted}"
        held, expected = (virt.ap0, virt.ap1, virt.vpmr), (*guest.ap, guest.pmr)
        assert held == expected, f"vCPU {guest.index}: AP0R, AP1R, PMR are {held}, by the naive model {expected}"
        lines, possible = (virt.virq(), virt.vfiq()), guest.lines_up()
        assert lines in possible, f"vCPU {guest.index}: vIRQ, vFIQ are {lines}, the naive model has {possible}"

    def _compare_devices(self) -> None:
        """I38, and the active state of physical interrupts."""
        self.told.sort()
        self.model.completed.sort()
        assert self.told == self.model.completed, f"completed: told {self.told}, expected {self.model.completed}"
        self.told.clear()
        self.model.completed.clear()
        machine = self.vm.host.machine
        for (cpu, host_irq), active in self.model.phys_active.items():
            now = (machine.dist if cpu < 0 else machine.pes[cpu].private).irq(host_irq).active
            assert now == active, f"physical interrupt {host_irq} of CPU {cpu}: active is {now}, expected {active}"

    # Events that several steps have

    def drive(self, index: int, intid: int, level: bool) -> None:
        """A device drives the wire of the physical interrupt behind `intid`."""
        self.wires.drive(index, intid, level)
        if intid >= FIRST_SPI:
            self.vm.host.machine.dist.set_line(intid + SPI_OFFSET, level)

    def tie(self, guest: Guest, intid: int, soft: bool, ask: bool = True) -> None:
        """Map an interrupt to a physical one; `ask` its device for the level, or else the physical distributor."""
        index, wires = guest.index, self.wires
        host_irq = intid if intid < FIRST_SPI else intid + SPI_OFFSET
        reader = (lambda number: wires.level(index, number)) if ask or intid < FIRST_SPI else None
        self.vcpu(guest).map_irq(intid, host_irq, reader, sw_resample=soft)
        self.line(index, intid).mapping = Mapping(host_irq, soft, lambda: wires.level(index, intid))

    def enter(self, guest: Guest, cpu: int | None) -> None:
        vcpu = self.vcpu(guest)
        vcpu.enter(cpu)
        self.model.enter(guest, guest.cpu if cpu is None else cpu)
        invariants.after_entry(vcpu)
        self.settle()

    def exit(self, guest: Guest) -> None:
        self.vcpu(guest).exit()
        self.model.exit(guest)
        invariants.after_exit(self.vcpu(guest))
        self.settle()

    def acknowledge(self, guest: Guest, group: int) -> int:
        """Read IAR<group>; returns what it gives."""
        pe = self.vcpu(guest).pe
        virt = pe.virt
        before, running = virt.snapshot(), virt.rpr()
        answers = self.answers(pe, group)
        intid = self.get(guest, self.registers.iar[group])
        possible = guest.acknowledgeable(group)
        assert intid in possible, f"vCPU {guest.index}: IAR{group} gave {intid}, the naive model {sorted(possible)}"
        assert (intid != SPURIOUS) in answers, f"hw I3: IAR{group} gave {intid}, by the lines {answers}"
        guest.acknowledge(intid)
        invariants.after_access(before, virt.snapshot())
        invariants.after_acknowledge(before, virt.snapshot(), intid, running, virt.rpr())
        if intid & INTID_MASK < FIRST_SPECIAL:
            self.delivered += 1
            self.acked[guest.index].append((group, intid))
        self.settle()
        return intid

    def answers(self, pe: Pe, group: int) -> tuple[bool, ...]:
        """Whether IAR<group> gives an interrupt, as far as the lines tell."""
        if self.setup.trapped:
            return (False, True)
        return (pe.virt.virq() if group else pe.virt.vfiq(),)

    def end(self, guest: Guest, group: int, intid: int) -> None:
        vcpu = self.vcpu(guest)
        before = vcpu.pe.virt.snapshot()
        self.put(guest, self.registers.eoir[group], intid)
        self.model.end(guest, group, intid)
        invariants.after_access(before, vcpu.pe.virt.snapshot())
        self.settle()

    def deactivate(self, guest: Guest, intid: int) -> None:
        vcpu = self.vcpu(guest)
        before = vcpu.pe.virt.snapshot()
        self.put(guest, self.registers.dir, intid)
        self.model.deactivate(guest, intid)
        invariants.after_access(before, vcpu.pe.virt.snapshot())
        self.settle()

    def serve(self, guest: Guest) -> int:
        """A whole interrupt handler, of the group whose line is up; returns what it served."""
        group = self.asserted_group(guest)
        intid = self.acknowledge(guest, group)
        if intid & INTID_MASK < FIRST_SPECIAL:
            self.acked[guest.index].pop()
            self.end(guest, group, intid)
            if guest.eoimode:
                self.deactivate(guest, intid)
        return intid

    def asserted_group(self, guest: Guest) -> int:
        """Whose acknowledge takes what is signalled: vFIQ is group 0's."""
        return 0 if self.vcpu(guest).pe.virt.vfiq() else 1

    def set_mask(self, guest: Guest, value: int) -> None:
        self.put(guest, self.registers.pmr, value)
        guest.pmr = value & guest.pri_mask
        self.settle()

    def set_group(self, guest: Guest, group: int, enabled: bool) -> None:
        self.put(guest, IGRPEN[group], int(enabled))
        guest.enabled[group] = enabled
        self.settle()

    def set_control(self, guest: Guest, value: int) -> None:
        self.put(guest, self.registers.ctlr, value)
        guest.write_control(value)
        self.settle()

    def set_binary_point(self, guest: Guest, group: int, value: int) -> None:
        self.put(guest, self.registers.bpr[group], value)
        guest.write_bpr(group, value)
        self.settle()

    def set_active_priorities(self, guest: Guest, group: int, value: int) -> None:
        """AP<group>R0, which lays down what has been dropped of the 32 most urgent levels."""
        self.put(guest, self.registers.ap[group], value)
        guest.write_ap(group, value)
        self.settle()

    def write_bank(self, guest: Guest, bank: Bank, frame: int, value: int) -> None:
        """The word of a bank with one bit for each interrupt."""
        base, lines = self.word(frame)
        assert self.vcpu(guest).write(base + BANK_OFFSETS[bank], 4, value)
        self.model.begin_trap(guest)
        if bank in ACTIVE_BANKS and frame != guest.index:
            self.model.access_active(guest, lambda: self.model.write_bank(bank, lines, value, False))
        else:
            self.model.write_bank(bank, lines, value, False)
        self.reenter(guest)

    def write_route(self, guest: Guest, line: Line, value: int, size: int) -> None:
        assert self.vcpu(guest).write(GICD_BASE + GICD_IROUTER + 8 * line.intid, size, value)
        self.model.begin_trap(guest)
        self.model.set_route(line, value)
        self.reenter(guest)

    def write_config(self, guest: Guest, half: int, value: int) -> None:
        """The triggers of one half of the SPIs."""
        assert self.vcpu(guest).write(GICD_BASE + GICD_ICFGR + 8 + 4 * half, 4, value)
        self.model.begin_trap(guest)
        self.model.set_config(self.model.spis[SPIS_A_CONFIG_WORD * half :][:SPIS_A_CONFIG_WORD], value)
        self.reenter(guest)

    def enable_dist(self, guest: Guest, enabled: bool) -> None:
        assert self.vcpu(guest).write(GICD_BASE + GICD_CTLR, 4, 2 if enabled else 0)
        self.model.begin_trap(guest)
        self.model.set_enabled(enabled, False)
        self.reenter(guest)

    def trap_and_return(self, guest: Guest) -> None:
        """The model's part of a guest access that trapped and changed nothing."""
        self.model.begin_trap(guest)
        self.reenter(guest)

    def reenter(self, guest: Guest) -> None:
        """The end of every guest access that trapped."""
        self.model.end_trap(guest)
        invariants.after_entry(self.vcpu(guest))
        self.settle()

    def drained(self) -> None:
        """Whatever else must hold when every guest has taken all it has."""

    def recover(self, guest: Guest) -> None:
        """Enable everything and end whatever is active, as a kernel does that boots, so that nothing hides anything."""
        for group, register in enumerate(self.registers.ap):
            for n in range(1 << guest.pre_bits - 5):
                self.put(guest, register + n * self.registers.ap_step, 0)
            guest.ap[group] = 0
        self.acked[guest.index].clear()
        self.set_mask(guest, MASK_NOTHING)
        self.set_control(guest, 0)
        for group in (0, 1):
            self.set_group(guest, group, True)
        self.enable_dist(guest, True)
        for frame in (DIST, guest.index):
            for bank in (Bank.DEACTIVATE, Bank.ENABLE):
                self.write_bank(guest, bank, frame, ALL_BITS)


def _compare_line(irq: Irq, line: Line) -> None:
    """One interrupt: everything that a register or an entry can show."""
    target, listed = irq.target, irq.queued_on
    got = (
        (irq.pending_latch, irq.line_level, irq.active, irq.enabled, irq.level, irq.priority, irq.group, irq.route),
        irq.hw,
        None if target is None else target.index,
        None if listed is None else listed.index,
        (irq.source, irq.active_source),
    )
    wanted = (
        (line.latch, line.line, line.active, line.enabled, line.level, line.priority, line.group, line.route),
        line.mapping is not None,
        None if line.target is None else line.target.index,
        None if line.listed is None else line.listed.index,
        (line.sources, line.active_source),
    )
    assert got == wanted, (
        f"INTID {irq.intid}: the library has {got}, the naive model {wanted} "
        "(latch, line, active, enabled, level, priority, group, route), mapped, target, listed on, "
        "(sources, active source)"
    )
