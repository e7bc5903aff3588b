"""Software misuse: records that say what did it, a bounded log, and a strict mode that differs in raising alone."""

import random
from collections.abc import Callable

import pytest

from hw import GicMisuse, GicVersion, ItsConfig, V4Config, arch
from hw import arch4 as a
from hw.misuse import MAX_RECORDS, MISUSES, WARNINGS
from tests.unit.hw.rig4 import (
    DB,
    V1,
    VALID,
    Rig4,
    Words,
    mapc,
    mapd,
    mapti,
    movi,
    of_event,
    of_vpe,
    vmapp,
    vmapp40,
    vmapti,
    vmovi,
    vmovp,
    vsgi,
    vunmapp,
)


def res(rig: Rig4, n: int, vpeid: int) -> None:
    rig.pes[n].redist.write(a.GICR_VPENDBASER, 8, VALID | 3 << 58 | vpeid)


def vprop(rig: Rig4, n: int, value: int) -> None:
    rig.pes[n].redist.write(a.GICR_VPROPBASER, 8, value)


CAUSES: dict[str, tuple[Callable[[Rig4], object], str]] = {
    "M-01": (lambda rig: res(rig, 0, 5), "GICR0+0x20078 = 0x8c00000000000005"),
    "M-03": (lambda rig: res(rig, 1, 0), "GICR1+0x20078 = 0x8c00000000000000"),
    "M-06": (lambda rig: rig.machine.itss[0].write(a.GITS_BASER, 8, 0), "GITS0+0x100 = 0x0"),
    "M-10": (lambda rig: rig.post(mapd(0)), "MAPD at 0xc0 of GITS0's queue: 0000000000000008 0000000000000004"),
    "M-11": (lambda rig: rig.post(vmapti(0, 0, 0, V1)), "VMAPTI at 0xc0 of GITS0's queue"),
    "M-14": (
        lambda rig: rig.memory.write(0x0080_0000, 4, 7),
        "a write of memory, the vPE table of GICR0+0x0",
    ),
    "M-15": (lambda rig: rig.memory.read(0x0200_0400, 4), "a read of memory, the pending table of vPE 0x0+0x400"),
    "M-17": (
        lambda rig: rig.post(of_vpe(a.VSYNC, 9)),
        "VSYNC at 0xc0 of GITS0's queue: 0000000000000025",
    ),
    "M-20": (lambda rig: rig.post(vmapti(0, 1, 0, V1, 9100)), "VMAPTI at"),
    "M-21": (lambda rig: rig.post(vmapp(1, db=DB)), "VMAPP at"),
    "M-22": (lambda rig: rig.pes[0].redist.write(a.GICR_VSGIR, 4, 9), "GICR0+0x20080 = 0x9"),
    "M-24": (lambda rig: rig.post(vmapti(0, 1, 0, 7)), "VMAPTI at"),
    "M-25": (lambda rig: rig.post(vsgi(0, 3, clear=1)), "VSGI at"),
    "M-29": (lambda rig: rig.machine.itss[0].write(a.GITS_SGIR, 8, 9 << 32), "GITS0+0x20020 = 0x900000000"),
    "M-30": (lambda rig: rig.post(vmapp(0)), "VMAPP at"),
    "M-35": (lambda rig: rig.post(vunmapp(0)), "VMAPP at 0xc0 of GITS0's queue: 0000000000000129"),
    "M-27": (lambda rig: twice(rig), "an acknowledge"),
    "ACCESS_SIZE": (lambda rig: rig.machine.itss[0].write(a.GITS_SGIR, 4, 0), "GITS0+0x20020 = 0x4"),
}


def twice(rig: Rig4) -> None:
    """vLPI V1 is pending directly, and in a list register."""
    res(rig, 0, 0)
    rig.pes[0].virt.write_lr(0, V1, True, False, 0xA0, 1, False, 0, False)
    rig.msi()
    rig.pes[0].mrs_el1(arch.ICC_IAR1_EL1)


def rig_of(code: str, strict: bool) -> Rig4:
    its = ItsConfig(individual=code != "M-20")
    rig = Rig4(2, V4Config(common_lpi_aff=3), [its], affinities=(0, 0x100), strict=strict)
    rig.map()
    assert rig.misuse.records == []
    return rig


@pytest.mark.parametrize("code", CAUSES)
def test_a_record_names_what_did_it(code: str) -> None:
    deed, cause = CAUSES[code]
    rig = rig_of(code, False)
    deed(rig)
    record = rig.misuse.records[0]
    assert record.code == code
    assert record.cause.startswith(cause)
    assert str(record).startswith(f"{code}: {MISUSES[code]}")
    assert rig.misuse.counts == {code: 1}


@pytest.mark.parametrize("code", CAUSES)
def test_strict_mode_raises_what_lenient_mode_records(code: str) -> None:
    deed, _ = CAUSES[code]
    lenient, strict = rig_of(code, False), rig_of(code, True)
    deed(lenient)
    if code in WARNINGS:
        deed(strict)
    else:
        with pytest.raises(GicMisuse, match=code) as raised:
            deed(strict)
        assert raised.value.record == lenient.misuse.records[0]
    assert strict.misuse.records == lenient.misuse.records
    strict.machine.check()
    assert state(strict) == state(lenient), "the mode changes nothing else"


def state(rig: Rig4) -> list[object]:
    its = rig.machine.itss[0]
    return [
        [rig.vpendbaser(n) for n in range(2)],
        [its.read(offset, 8) for offset in (a.GITS_CTLR, a.GITS_CREADR, a.GITS_CWRITER, a.GITS_BASER)],
        {n: (sorted(vpe.pending), vpe.config, vpe.armed) for n, vpe in rig.machine.vpes.by_key.items()},
        its.errors,
    ]


def test_the_log_is_bounded() -> None:
    rig = Rig4()
    for _ in range(MAX_RECORDS + 50):
        res(rig, 0, 5)
    assert (len(rig.misuse.records), rig.misuse.counts) == (MAX_RECORDS, {"M-01": MAX_RECORDS + 50})


def test_every_code_has_a_text() -> None:
    assert set(MISUSES) == {*(f"M-{n:02}" for n in range(1, 36)), "ACCESS_SIZE"}
    assert set(MISUSES) > WARNINGS


# Garbage: whatever is written, nothing raises, and the invariants hold


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("version", ["4.0", "4.1", "3"])
def test_garbage(version: str, seed: int) -> None:
    rng = random.Random(f"{version}.{seed}")
    v4 = (
        None
        if version == "3"
        else V4Config(
            version=GicVersion(version),
            common_lpi_aff=rng.choice((0, 3)),
            t_scan=rng.choice((0, 3)),
            t_settle=rng.choice((0, 3)),
            t_query=rng.choice((0, 3)),
            settles_early=rng.random() < 0.5,
        )
    )
    its = [
        ItsConfig(vmovp=seed % 2 == 0, vmovp_waits=seed % 3 > 0, svpet=rng.choice((0, 1)), stalls=rng.random() < 0.3)
        for _ in range(2)
    ]
    rig = Rig4(2, v4, its, affinities=(0, 0x100), v3=v4 is None)
    rig.misuse.clear()
    for step in range(600):
        garbage(rig, rng)
        if step % 20 == 0:
            check(rig)
    check(rig)


def check(rig: Rig4) -> None:
    """The invariants, but for what memory says: garbage lays tables over one another."""
    try:
        rig.machine.check()
    except AssertionError as error:
        if "not in the pending table" not in str(error) and "not in its ITT" not in str(error):
            raise


ITS_OFFSETS = (0x00, 0x40, 0x80, 0x84, 0x88, 0x8C, 0x100, 0x104, 0x108, 0x110, 0x118, 0x1_0040, 0x2_0020)
RD_OFFSETS = (0x00, 0x14, 0x40, 0x48, 0x70, 0x74, 0x78, 0xA0, 0xB0, 0x2_0070, 0x2_0074, 0x2_0078, 0x2_007C, 0x2_0080)
COMMANDS = (*a.COMMAND_NAMES, 0x00, 0x7F)


def word(rng: random.Random) -> int:
    """64 bits, few of them, or values that mean something."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.getrandbits(64)
    if kind == 1:
        return rng.randrange(4) << rng.choice((0, 16, 32, 48, 62))
    base = rng.choice((0x0100_0000, 0x0200_0000, 0x0300_0000, 0x0080_0000, 0x0050_0000, 8192, 8200, 1023))
    return base | rng.choice((0, VALID)) | rng.randrange(3) << 32 | rng.choice((0, 0, 1, 14, 15))


def careless(rig: Rig4, rng: random.Random) -> Words:
    """A command that is well formed, and may be wrong by what has happened before."""
    small = rng.randrange
    dev, event, vpe, rd = small(2), small(4), small(3), small(2)
    vintid = 8192 + small(4)
    doorbell = rng.choice((1023, 9100, 9000 + vpe))
    old = rig.v4 is not None and not rig.v4.v41
    mapping = vmapp40(vpe, rd, 14 + small(3)) if old else vmapp(vpe, rd, small(4) << 8, 14 + small(3))
    return rng.choice(
        (
            mapd(dev, 1 + small(5), valid=small(5) > 0),
            mapc(small(3), rd, small(4) > 0),
            mapti(dev, event, vintid, small(3)),
            movi(dev, event, small(3)),
            of_event(rng.choice((a.INT, a.INT, a.CLEAR, a.INV, a.DISCARD)), dev, event),
            mapping,
            mapping,
            vunmapp(vpe, small(2) << 8),
            vmapti(dev, event, vpe, vintid, doorbell),
            vmapti(dev, event, vpe, vintid, doorbell),
            vmovi(dev, event, vpe, doorbell, small(2) > 0),
            vmovp(vpe, rd, rng.choice((None, 9000 + small(3))), small(3), small(4)),
            vsgi(vpe, small(16), small(2), small(2), small(16) << 4, small(2)),
            of_vpe(rng.choice((a.VSYNC, a.VINVALL, a.INVDB)), vpe),
        )
    )


def garbage(rig: Rig4, rng: random.Random) -> None:
    """One thing that software might do wrong."""
    n = rng.randrange(2)
    redist, its = rig.pes[n].redist, rig.machine.itss[n]
    kind = rng.randrange(10)
    if kind < 4:
        at = its.cwriter
        words = (word(rng) & ~0xFF | rng.choice(COMMANDS), word(rng), word(rng), word(rng))
        for k, value in enumerate(careless(rig, rng) if rng.random() < 0.7 else words):
            rig.memory.store((its.cbaser & a.PA_4K) % (1 << 30) + at + 8 * k, 8, value)
        its.write(a.GITS_CWRITER, 8, (at + 32) % its.queue_size | rng.randrange(2))
    elif kind == 4:
        its.write(rng.choice(ITS_OFFSETS), rng.choice((1, 2, 4, 8)), word(rng), rng.randrange(3))
    elif kind == 5:
        redist.write(rng.choice(RD_OFFSETS), rng.choice((1, 4, 8)), word(rng))
    elif kind == 6:
        redist.write(a.GICR_VPENDBASER, 8, rng.choice((0, VALID)) | rng.randrange(8) << 58 | rng.randrange(3))
    elif kind == 7:
        its.msi(rng.randrange(3), rng.randrange(40))
        its.write(a.GITS_SGIR, 8, rng.randrange(3) << 32 | rng.randrange(16))
    elif kind == 8:
        rig.memory.write(word(rng) % (1 << 26), 8, word(rng))
        its.write(a.GITS_CTLR, 4, rng.randrange(4) > 0)
        rig.machine.tick(rng.randrange(4))
    else:
        rig.pes[n].mrs_el1(arch.ICC_IAR1_EL1)
        rig.host(n)
        for offset in RD_OFFSETS:
            redist.read(offset, 8)
        for offset in ITS_OFFSETS:
            its.read(offset, 4)
