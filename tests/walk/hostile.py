"""A hostile guest: accesses of every width at any address, any system register, any value.

Room:    above invariants; test_hostile and campaign run it.
Holds:   nothing a guest does raises; what it may break is its own state, never the library's.

Frames are hit at every offset, at the registers' edges more often; so are the gaps between them, the crossing of
their ends, and what is outside.  Devices inject and vCPUs enter, exit and change CPUs meanwhile.
"""

from random import Random
from typing import Final

from hw import VirtConfig
from hw.arch import (
    GICD_CTLR,
    GICD_ISENABLER,
    GICR_ISENABLER0,
    ICC_IGRPEN0_EL1,
    ICC_IGRPEN1_EL1,
    ICC_PMR_EL1,
    SYSREG_NAMES,
    UNDEFINED,
)
from tests.support import GICD_BASE, GICR_BASE, make_vm, redist_base
from tests.walk import invariants
from vgic import UNCLAIMED, Vcpu, Vgic
from vgic.ids import DIST_SIZE_V3, REDIST_SIZE
from vgic.v3.dist import GICD
from vgic.v3.redist import GICR
from vgic.vcpu import IN_GUEST

WIDTHS: Final = (1, 2, 4, 4, 4, 8)
VALUES: Final = (0, 0xFFFF_FFFF_FFFF_FFFF, 1, 1 << 31, 1 << 63, 0xFFFF_FFFF, 0x3FF, 8192, 0x7F, 2)
REGISTERS: Final = tuple(SYSREG_NAMES)
EDGES: Final = tuple(
    sorted({row.offset + at for row in (*GICD.rows[1:], *GICR.rows[1:]) for at in (0, row.length, row.length - 4)})
)
ACCESSES_BETWEEN_CHECKS: Final = 40
NR_SPIS: Final = 64
SHOWN: Final = 30
BOOTED: Final = 0.8  # of the VMs


class HostileError(AssertionError):
    """A guest broke the library; the message has the seed and the last accesses."""


class Attack:
    """One VM and its hostile guests."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        vcpus = rng.randint(1, 4)
        pri_bits = rng.randint(5, 8)
        self.vm = make_vm(
            vcpus,
            cpus=rng.randint(1, vcpus),
            spis=NR_SPIS,
            virt=VirtConfig(
                n_lr=rng.randint(1, 16),
                pri_bits=pri_bits,
                pre_bits=rng.randint(5, min(pri_bits, 7)),
                id_bits=rng.choice((16, 24)),
                seis=rng.random() < 0.2,
                tds=rng.random() < 0.5,
            ),
            trapped=(rng.random() < 0.3, rng.random() < 0.3, rng.random() < 0.3),
        )
        self.dist = self.vm.vcpus[0].dist
        self.log: list[str] = []
        for vcpu in self.vm.vcpus:
            vcpu.map_irq(27, 27, self.level)
        self.vm.vcpus[0].map_irq(40, 50, None)
        self.vm.add_ack_notifier(41, self.lower)
        self.accesses = 0
        if rng.random() < BOOTED:
            self.boot()

    def boot(self) -> None:
        """Enable everything, so that what follows has interrupts to break."""
        for vcpu in self.vm.vcpus:
            vcpu.enter()
            vcpu.write(GICD_BASE + GICD_CTLR, 4, 2)
            for word in range(NR_SPIS // 32):
                vcpu.write(GICD_BASE + GICD_ISENABLER + 4 + 4 * word, 4, 0xFFFF_FFFF)
            vcpu.write(redist_base(vcpu.index) + GICR_ISENABLER0, 4, 0xFFFF_FFFF)
            for register, value in ((ICC_PMR_EL1, 0xF8), (ICC_IGRPEN0_EL1, 1), (ICC_IGRPEN1_EL1, 1)):
                vcpu.msr(register, value)
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
        base = rng.choice((GICD_BASE, GICR_BASE, redist_base(rng.randrange(5)), GICR_BASE + 0x1_0000))
        kind = rng.random()
        if kind < 0.5:
            return base + rng.choice(EDGES) + rng.randint(-9, 9) * (rng.random() < 0.5)
        if kind < 0.9:
            return base + rng.randrange(DIST_SIZE_V3 // 4) * 4 + rng.randrange(8) * (rng.random() < 0.3)
        if kind < 0.97:
            return base + rng.choice((DIST_SIZE_V3, REDIST_SIZE)) + rng.randint(-16, 16)
        return rng.getrandbits(rng.randint(1, 64))

    def register(self) -> int:
        return self.rng.choice(REGISTERS) if self.rng.random() < 0.8 else self.rng.getrandbits(16)

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
        else:
            self.enter(vcpu, rng.randrange(len(self.vm.host.machine.pes)))

    def enter(self, vcpu: Vcpu, cpu: int) -> None:
        holder = self.vm.host.loaded.get(cpu)
        if holder is None or holder.mode != IN_GUEST:
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


def attack(seed: int, accesses: int) -> Vgic:
    """Let hostile guests make `accesses` accesses.  Raises HostileError, caused by what they broke."""
    attacker = Attack(seed)
    try:
        attacker.run(accesses)
    except Exception as error:
        last = "\n".join(f"    {line}" for line in attacker.log[-SHOWN:])
        what = f"{type(error).__name__}: {error}"
        raise HostileError(f"seed {seed}, access {attacker.accesses}: {what}\nthe last:\n{last}") from error
    return attacker.vm
