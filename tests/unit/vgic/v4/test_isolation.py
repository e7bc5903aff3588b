"""What one VM, or its devices, can do to another on the same host: nothing."""

import random
from dataclasses import dataclass

import pytest

from hw import GicVersion, V4Config, arch
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, make_host
from vgic.v4.registers import NASSGIREQ

GICD = 0x0800_0000
GICR = 0x080A_0000
GITS = 0x0808_0000
QUEUE_SIZE = 0x1_0000
FRAMES = [GICD, *(GICR + n * 0x1_0000 for n in range(4)), *(GITS + n * 0x1_0000 for n in range(3))]


@dataclass
class Pair:
    """A victim in its guest on CPUs 0 and 1, and a hostile guest of the same host on CPUs 2 and 3."""

    victim: V4Rig
    hostile: V4Rig


def pair(version: GicVersion) -> Pair:
    host = make_host(v4=V4Config(version=version))
    victim, hostile = V4Rig(host=host), V4Rig(host=host)
    for rig, first, device in ((victim, 0, 100), (hostile, 2, 200)):
        for n in range(2):
            rig.map_lpi(n, n)
            rig.vector(n, devid=device)
            assert rig.forward(n) == 0
        rig.run(0, first)
        rig.vcpus[0].write(GICD, 4, 0x10)
        rig.vcpus[0].write(GICD, 4, 0x12 | NASSGIREQ)
    victim.msi_from(0, 1)
    victim.vcpus[1].enter(1)
    victim.wfi(1)
    victim.kicks.clear()
    return Pair(victim, hostile)


def frozen(rig: V4Rig) -> list[object]:
    """Everything of a VM that hardware has, and what the host knows of it."""
    machine = rig.machine
    found: list[object] = [list(rig.kicks), rig.machine.memory.read_bytes(rig.direct.vct, 256)]
    for vpe in rig.direct.vpes:
        key = vpe.vpeid if vpe.gic.has_v4_1 else vpe.vpt
        unit = machine.vpes.by_key.get(key)
        found.append((vpe.resident, vpe.cpu, vpe.maps, vpe.pending_last, vpe.doorbells, vpe.vlpis))
        if unit is not None:
            found.append((sorted(unit.pending), unit.vct, unit.vpt, unit.armed, unit.rung, unit.redist.number))
            found.append([unit.config[n] for n in range(16)])
    for msi in rig.msis.values():
        ite = machine.itss[0].find(msi.device.devid, msi.eventid)
        assert ite is not None
        found.append((ite.virtual, ite.intid, ite.where, msi.taken))
    return found


def garbage(rng: random.Random) -> int:
    return rng.choice((0, 1, 8, 1 << 63, 0xFFFF_FFFF, LPI, DEV << 32, rng.getrandbits(64), rng.getrandbits(16)))


def attack(rig: V4Rig, rng: random.Random) -> None:
    """One thing that a guest, or a device that it has, can do."""
    vcpu = rig.vcpus[0]
    if not vcpu.in_guest:
        vcpu.enter(2)
    how = rng.randrange(5)
    if how == 0:
        at = rig.read(0x88)
        for _ in range(rng.randint(1, 8)):
            number = rng.choice((*range(0x10), *range(0x20, 0x30), 0xFF))
            words = [garbage(rng) & ~0xFF | number, garbage(rng), garbage(rng), garbage(rng)]
            if rng.random() < 0.5:  # names that exist somewhere
                words[0] = rng.choice((DEV, 100, 200)) << 32 | number
                words[1] = rng.randrange(3) << 32 | rng.randrange(3)
            rig.memory.ram.write(rig.its.queue + at, b"".join(word.to_bytes(8, "little") for word in words))
            at = (at + 32) % QUEUE_SIZE
        vcpu.write(GITS + 0x88, 8, at)
    elif how == 1:
        frame = rng.choice(
            (GICD, GICR, GICR + 0x1_0000, GICR + 0x2_0000, GICR + 0x3_0000, GITS, GITS + 0x1_0000, GITS + 0x2_0000)
        )
        size = rng.choice((4, 8))
        at = rng.choice((0x20, 0x40, 0x70, 0x78, 0x80, 0x88, 0xA0, 0xB0, rng.randrange(0, 0x1000, size)))
        vcpu.write(frame + at, size, garbage(rng))
        vcpu.read(frame + at, size)
    elif how == 2:
        register = rng.choice((arch.ICC_SGI1R_EL1, arch.ICC_SGI0R_EL1, arch.ICC_ASGI1R_EL1))
        vcpu.msr(register, garbage(rng) | rng.choice((0, 1 << 40, 3)))
    elif how == 3:
        rig.v4host.machine.itss[0].msi(rng.choice((200, 201, 0)), rng.randrange(4))
        rig.v4host.take_interrupts()
    else:
        vcpu.msr(arch.ICC_EOIR1_EL1, vcpu.mrs(arch.ICC_IAR1_EL1))
        vcpu.exit()
        vcpu.pending()


@pytest.mark.parametrize("version", [GicVersion.V4_0, GicVersion.V4_1])
@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_guest_reaches_nobody_else(version: GicVersion, seed: int) -> None:
    both = pair(version)
    before = frozen(both.victim)
    rng = random.Random(f"hostile {seed}")
    for _ in range(300):
        attack(both.hostile, rng)
    assert frozen(both.victim) == before
    both.victim.check()
    both.hostile.machine.check()
    assert not both.victim.machine.misuse.records, "nor does it make the hypervisor do wrong"
    assert both.victim.take() == LPI
    assert both.victim.vcpus[1].pending()
    if both.hostile.vcpus[0].in_guest:
        both.hostile.vcpus[0].exit()
    both.hostile.vm.destroy()
    assert both.victim.vpe(0).resident
    both.victim.msi_from(0)
    assert both.victim.take() == LPI


def test_equal_names_in_two_guests_are_different_things() -> None:
    """Both guests call their device 16, their event 0 and its LPI 8192."""
    both = pair(GicVersion.V4_1)
    both.victim.take()
    both.hostile.msi_from(0)
    assert both.victim.vcpus[0].mrs(arch.ICC_IAR1_EL1) == 1023
    assert both.hostile.take() == LPI


def test_one_guests_sgis_stay_inside() -> None:
    both = pair(GicVersion.V4_1)
    both.victim.take()
    both.hostile.vcpus[0].msr(arch.ICC_SGI1R_EL1, 5 << 24 | 1 << 40)
    both.hostile.vcpus[0].msr(arch.ICC_SGI1R_EL1, 5 << 24 | 0b11)
    assert both.victim.take() == 1023
    assert both.hostile.take() == 5
