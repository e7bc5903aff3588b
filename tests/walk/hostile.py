"""A hostile guest: accesses of every width at any address, any system register, any value.

Room:    above invariants; test_hostile and campaign run it.
Holds:   nothing a guest does raises; what it may break is its own state, never the library's.

Frames are hit at every offset, at the registers' edges more often; so are the gaps between them, the crossing of
their ends, and what is outside.  Devices inject and vCPUs enter, exit and change CPUs meanwhile.
"""

from random import Random
from typing import Final, NamedTuple

from hw import V2Config, VirtConfig
from hw.arch import (
    GICC_AIAR,
    GICC_APR,
    GICC_CTLR,
    GICC_DIR,
    GICC_EOIR,
    GICC_IAR,
    GICC_PMR,
    GICD_CTLR,
    GICD_ISENABLER,
    GICD_SGIR,
    GICD_SPENDSGIR,
    GICR_ISENABLER0,
    ICC_AP0R_EL1,
    ICC_AP1R_EL1,
    ICC_DIR_EL1,
    ICC_EOIR0_EL1,
    ICC_EOIR1_EL1,
    ICC_IAR0_EL1,
    ICC_IAR1_EL1,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    ICC_SGI1R_EL1,
    SYSREG_NAMES,
    UNDEFINED,
)
from hw.config import V2Profile
from hw.cpuif2 import CPUIF2_REGISTERS
from tests.support import GICC_BASE, GICD_BASE, GICR_BASE, make_v2_vm, make_vm, redist_base
from tests.walk import invariants
from tests.walk.setup import Kind
from vgic import UNCLAIMED, Vcpu, Vgic
from vgic.ids import CPU_SIZE_V2, DIST_SIZE_V2, DIST_SIZE_V3, MAX_VCPUS_V2, REDIST_SIZE
from vgic.mmio import RegionTable
from vgic.v2.dist import GICD as GICD_V2
from vgic.v3.dist import GICD
from vgic.v3.redist import GICR
from vgic.vcpu import IN_GUEST

WIDTHS: Final = (1, 2, 4, 4, 4, 8)
VALUES: Final = (0, 0xFFFF_FFFF_FFFF_FFFF, 1, 1 << 31, 1 << 63, 0xFFFF_FFFF, 0x3FF, 8192, 0x7F, 2)
REGISTERS: Final = tuple(SYSREG_NAMES)
HANDLING: Final = (ICC_IAR0_EL1, ICC_IAR1_EL1, ICC_EOIR0_EL1, ICC_EOIR1_EL1, ICC_DIR_EL1, ICC_SGI1R_EL1)
"""What moves interrupts along, so that there is something to break."""


def edges(*tables: RegionTable) -> set[int]:
    """Offsets where a register begins or ends."""
    rows = [row for table in tables for row in table.rows[1:]]
    return {row.offset + at for row in rows for at in (0, row.length, row.length - 4)}


class Map(NamedTuple):
    """Where a guest finds frames.  Not every edge is one of every frame."""

    bases: tuple[int, ...]
    edges: tuple[int, ...]
    inside: int  # bytes of a frame in which any word is tried
    ends: tuple[int, ...]  # offsets where frames end
    handling: tuple[int, ...]  # addresses of what moves interrupts along


MAP_V3: Final = Map(
    (GICD_BASE, GICR_BASE, *(redist_base(n) for n in range(5)), GICR_BASE + 0x1_0000),
    tuple(sorted(edges(GICD, GICR))),
    DIST_SIZE_V3,
    (DIST_SIZE_V3, REDIST_SIZE),
    (),
)
MAP_V2: Final = Map(
    (GICD_BASE, GICD_BASE, GICC_BASE, GICC_BASE),
    tuple(sorted(edges(GICD_V2) | set(CPUIF2_REGISTERS))),
    DIST_SIZE_V2,
    (DIST_SIZE_V2, CPU_SIZE_V2),
    (
        *(GICC_BASE + register for register in (GICC_IAR, GICC_IAR, GICC_AIAR, GICC_EOIR, GICC_DIR)),
        *(GICD_BASE + register for register in (GICD_SGIR, GICD_SGIR, GICD_SPENDSGIR)),
    ),
)
ACCESSES_BETWEEN_CHECKS: Final = 40
NR_SPIS: Final = 64
SHOWN: Final = 30
BOOTED: Final = 0.8  # of the VMs


class HostileError(AssertionError):
    """A guest broke the library; the message has the seed and the last accesses."""


class Attack:
    """One VM, of a certain kind if one is given, and its hostile guests."""

    def __init__(self, seed: int, kind: Kind | None = None) -> None:
        self.rng = rng = Random(seed)
        self.kind = rng.choice(list(Kind)) if kind is None else kind
        self.map = MAP_V3 if self.kind is Kind.V3 else MAP_V2
        self.vm = self.build()
        self.dist = self.vm.vcpus[0].dist
        self.log: list[str] = []
        for vcpu in self.vm.vcpus:
            vcpu.map_irq(27, 27, self.level)
        self.vm.vcpus[0].map_irq(40, 50, None)
        self.vm.add_ack_notifier(41, self.lower)
        self.accesses = 0
        if rng.random() < BOOTED:
            for vcpu in self.vm.vcpus:
                self.boot(vcpu)

    def build(self) -> Vgic:
        rng = self.rng
        vcpus = rng.randint(1, 4)
        cpus = rng.randint(1, vcpus)
        pri_bits = rng.randint(5, 8)
        profile = rng.choice(list(V2Profile))
        virt = VirtConfig(
            n_lr=rng.randint(1, 16),
            pri_bits=pri_bits,
            pre_bits=rng.randint(5, min(pri_bits, 7)),
            id_bits=rng.choice((16, 24)),
            seis=rng.random() < 0.2,
            tds=rng.random() < 0.5,
            sre_legacy=self.kind is Kind.V2_ON_V3,
            v2_profile=profile,
        )
        if self.kind is Kind.V3:
            trapped = (rng.random() < 0.3, rng.random() < 0.3, rng.random() < 0.3)
            return make_vm(vcpus, cpus=cpus, spis=NR_SPIS, virt=virt, trapped=trapped)
        ids = rng.sample(range(MAX_VCPUS_V2), vcpus)
        if self.kind is Kind.V2_ON_V3:
            return make_v2_vm(ids, cpus=cpus, spis=NR_SPIS, virt=virt)
        gic = V2Config(n_lr=rng.choice((1, 2, 4, 16, 64)), profile=profile)
        return make_v2_vm(ids, cpus=cpus, spis=NR_SPIS, gic=gic, forwarded=rng.random() < 0.3)

    def boot(self, vcpu: Vcpu) -> None:
        """Enable everything, so that what follows has interrupts to break."""
        is_v3 = self.kind is Kind.V3
        self.note(f"attacker.boot(vm.vcpus[{vcpu.index}])")
        vcpu.enter()
        vcpu.write(GICD_BASE + GICD_CTLR, 4, 2 if is_v3 else 1)
        for word in range(NR_SPIS // 32):
            vcpu.write(GICD_BASE + GICD_ISENABLER + 4 + 4 * word, 4, 0xFFFF_FFFF)
        if is_v3:
            vcpu.write(redist_base(vcpu.index) + GICR_ISENABLER0, 4, 0xFFFF_FFFF)
            for register, value in ((ICC_PMR_EL1, 0xF8), (ICC_IGRPEN0_EL1, 1), (ICC_IGRPEN1_EL1, 1)):
                vcpu.msr(register, value)
            for n in range(4):
                vcpu.msr(ICC_AP0R_EL1[n], 0)
                vcpu.msr(ICC_AP1R_EL1[n], 0)
        else:
            vcpu.write(GICD_BASE + GICD_ISENABLER, 4, 0xFFFF_FFFF)
            for register, value in ((GICC_PMR, 0xF8), (GICC_CTLR, 3), *((GICC_APR + 4 * n, 0) for n in range(4))):
                vcpu.write(GICC_BASE + register, 4, value)
        vcpu.exit()

    def level(self, intid: int) -> bool:
        """The level of a mapped line, which changes whenever one looks."""
        return self.rng.random() < 0.5

    def lower(self, intid: int) -> None:
        self.vm.inject(intid, False)

    def value(self) -> int:
        rng = self.rng
        kind = rng.random()
        if kind < 0.4:
            return rng.choice(VALUES)
        return rng.getrandbits(64) if kind < 0.6 else 1 << rng.randrange(64) if kind < 0.8 else rng.getrandbits(10)

    def address(self) -> int:
        rng = self.rng
        base = rng.choice(self.map.bases)
        kind = rng.random()
        if kind < 0.2 and self.map.handling:
            return rng.choice(self.map.handling)
        if kind < 0.5:
            return base + rng.choice(self.map.edges) + rng.randint(-9, 9) * (rng.random() < 0.5)
        if kind < 0.9:
            return base + rng.randrange(self.map.inside // 4) * 4 + rng.randrange(8) * (rng.random() < 0.3)
        if kind < 0.97:
            return base + rng.choice(self.map.ends) + rng.randint(-16, 16)
        return rng.getrandbits(rng.randint(1, 64))

    def register(self) -> int:
        kind = self.rng.random()
        if kind < 0.2:
            return self.rng.choice(HANDLING)
        return self.rng.choice(REGISTERS) if kind < 0.85 else self.rng.getrandbits(16)

    def access(self, vcpu: Vcpu) -> None:
        """One access by the guest, whose outcome must be one of those there are."""
        rng = self.rng
        kind = rng.random()
        self.accesses += 1
        if kind < 0.3:
            gpa, width, value = self.address(), rng.choice(WIDTHS), self.value()
            self.note(f"vm.vcpus[{vcpu.index}].write({gpa:#x}, {width}, {value:#x})")
            assert isinstance(vcpu.write(gpa, width, value), bool)
        elif kind < 0.6:
            gpa, width = self.address(), rng.choice(WIDTHS)
            self.note(f"vm.vcpus[{vcpu.index}].read({gpa:#x}, {width})")
            got = vcpu.read(gpa, width)
            assert got == UNCLAIMED or 0 <= got < 1 << 8 * width, f"read {got:#x}"
        elif kind < 0.8:
            register, value = self.register(), self.value()
            self.note(f"vm.vcpus[{vcpu.index}].msr({register:#x}, {value:#x})  # {SYSREG_NAMES.get(register)}")
            assert isinstance(vcpu.msr(register, value), bool)
        else:
            register = self.register()
            self.note(f"vm.vcpus[{vcpu.index}].mrs({register:#x})  # {SYSREG_NAMES.get(register)}")
            got = vcpu.mrs(register)
            assert got == UNDEFINED or 0 <= got < 1 << 64, f"MRS read {got:#x}"
        assert vcpu.mode == IN_GUEST, "the access threw the vCPU out of the guest"

    def elsewhere(self) -> None:
        """Something that is not the guest's doing."""
        rng = self.rng
        vcpu = rng.choice(self.vm.vcpus)
        kind = rng.random()
        if kind < 0.5:
            intid = rng.choice((16, 20, 27, 31, *range(32, 32 + NR_SPIS)))
            level = rng.random() < 0.7
            self.note(f"vm.inject({intid}, {level}, vcpu=vm.vcpus[{vcpu.index}])")
            self.vm.inject(intid, level, vcpu=vcpu)
        elif vcpu.mode == IN_GUEST:
            self.note(f"vm.vcpus[{vcpu.index}].exit()")
            vcpu.exit()
            invariants.after_exit(vcpu)
        elif kind < 0.6 and self.may_enter(vcpu.pe.index):
            self.boot(vcpu)
        else:
            self.enter(vcpu, rng.randrange(len(self.vm.host.machine.pes)))

    def may_enter(self, cpu: int) -> bool:
        holder = self.vm.host.loaded.get(cpu)
        return holder is None or holder.mode != IN_GUEST

    def enter(self, vcpu: Vcpu, cpu: int) -> None:
        if self.may_enter(cpu):
            self.note(f"vm.vcpus[{vcpu.index}].enter({cpu})")
            vcpu.enter(cpu)
            invariants.after_entry(vcpu)

    def note(self, what: str) -> None:
        self.log.append(what)
        if len(self.log) > 2 * SHOWN:
            del self.log[:SHOWN]

    def run(self, accesses: int) -> None:
        while self.accesses < accesses:
            inside = [vcpu for vcpu in self.vm.vcpus if vcpu.mode == IN_GUEST]
            if not inside or self.rng.random() < 0.1:
                self.elsewhere()
            else:
                self.access(self.rng.choice(inside))
                if self.accesses % ACCESSES_BETWEEN_CHECKS == 0:
                    invariants.at_rest(self.vm)
        invariants.at_rest(self.vm)
        self.vm.host.machine.check()


def attack(seed: int, accesses: int, kind: Kind | None = None) -> Vgic:
    """Let hostile guests, of a certain kind of VM if one is given, make `accesses` accesses.

    Raises HostileError, caused by what they broke.
    """
    attacker = Attack(seed, kind)
    try:
        attacker.run(accesses)
    except Exception as error:
        last = "\n".join(f"    {line}" for line in attacker.log[-SHOWN:])
        where = f"seed {seed}, {attacker.kind.value}, access {attacker.accesses}"
        raise HostileError(f"{where}: {type(error).__name__}: {error}\nthe last:\n{last}") from error
    return attacker.vm
