"""GITS: every register of the control frame, and the translation page.  Source: IHI 0069H, chapter 12; KVM's masks."""

from typing import Final, NamedTuple

import pytest

from tests.unit.vgic.its.rig import (
    BASER0,
    BASER1,
    CBASER,
    COLLECTIONS,
    CREADR,
    CTLR,
    CWRITER,
    DEVICES,
    GITS_BASE,
    IIDR,
    INDIRECT,
    QUEUE,
    TYPER,
    VALID,
    ItsRig,
    mapc,
    mapd,
    mapti,
    raise_event,
)
from tests.unit.vgic.rig import outcome
from vgic import UNCLAIMED

ONES: Final = (1 << 64) - 1
LOW: Final = 0xFFFF_FFFF

RESETS: Final = {
    "CTLR: quiescent": (CTLR, 4, 0x8000_0000),
    "IIDR": (IIDR, 4, 0x4B00_043B),
    "TYPER": (TYPER, 8, 0x1_EF71),
    "CBASER": (CBASER, 8, 0),
    "CWRITER": (CWRITER, 8, 0),
    "CREADR": (CREADR, 8, 0),
    "BASER0: devices": (BASER0, 8, 0x1907_0000_0000_0600),
    "BASER1: collections": (BASER1, 8, 0x1C07_0000_0000_0600),
    **{f"BASER{n}: none": (0x100 + 8 * n, 8, 0) for n in range(2, 8)},
    "PIDR4": (0xFFD0, 4, 0x40),
    "PIDR5": (0xFFD4, 4, 0),
    "PIDR6": (0xFFD8, 4, 0),
    "PIDR7": (0xFFDC, 4, 0),
    "PIDR0": (0xFFE0, 4, 0x92),
    "PIDR1": (0xFFE4, 4, 0xB4),
    "PIDR2: GICv3": (0xFFE8, 4, 0x3B),
    "PIDR3": (0xFFEC, 4, 0),
    "CIDR0": (0xFFF0, 4, 0x0D),
    "CIDR1": (0xFFF4, 4, 0xF0),
    "CIDR2": (0xFFF8, 4, 0x05),
    "CIDR3": (0xFFFC, 4, 0xB1),
}


@pytest.fixture
def bare() -> ItsRig:
    return ItsRig(1, bare=True)


@pytest.mark.parametrize(("offset", "size", "value"), RESETS.values(), ids=RESETS)
def test_reset_value(offset: int, size: int, value: int, bare: ItsRig) -> None:
    assert bare.read(offset, size) == value
    assert bare.user(offset) == value, "user space sees the same"


CONSTANT: Final = ("IIDR", "TYPER", "CREADR", "PIDR", "CIDR", *(f"BASER{n}" for n in range(2, 8)))


@pytest.mark.parametrize(
    ("offset", "size", "value"),
    [row for name, row in RESETS.items() if name.startswith(CONSTANT)],
    ids=[name for name in RESETS if name.startswith(CONSTANT)],
)
@pytest.mark.parametrize("written", [LOW, 0xA5A5_5A5A, 0])
def test_guest_cannot_change_it(offset: int, size: int, value: int, written: int, bare: ItsRig) -> None:
    """kvm-unit-tests, its-introspection, asks this of IIDR and TYPER."""
    bare.write(offset, written << 32 | written if size == 8 else written, size)
    bare.write(offset, written, 4)
    assert bare.read(offset, size) == value


HALVES: Final = [offset for offset, size, _ in RESETS.values() if size == 8]


@pytest.mark.parametrize("offset", HALVES, ids=hex)
def test_halves_are_read_as_such(offset: int, bare: ItsRig) -> None:
    bare.set_tables()
    whole = bare.read(offset)
    assert (bare.read(offset, 4), bare.read(offset + 4, 4)) == (whole & LOW, whole >> 32)


class Refused(NamedTuple):
    offset: int
    size: int


REFUSED: Final = {
    "a byte": Refused(IIDR, 1),
    "half a word": Refused(IIDR, 2),
    "a byte of a 64-bit register": Refused(TYPER, 1),
    "64 bits of a word": Refused(CTLR, 8),
    "64 bits of an ID register": Refused(0xFFE0, 8),
    "64 bits, misaligned": Refused(TYPER + 4, 8),
    "a word, misaligned": Refused(IIDR + 2, 4),
    "MPIDR": Refused(0x18, 4),
    "STATUSR": Refused(0x40, 4),
    "UMSIR": Refused(0x48, 8),
    "the gap behind CREADR": Refused(0x98, 8),
    "the gap behind BASER7": Refused(0x140, 8),
    "TRANSLATER": Refused(0x1_0040, 4),
    "the end of the translation page": Refused(0x1_FFFC, 4),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_other_accesses_read_zero_and_ignore_writes(row: Refused, bare: ItsRig) -> None:
    vcpu = bare.vcpus[0]
    before = [bare.read(offset, size) for offset, size, _ in RESETS.values()]
    vcpu.enter()
    assert vcpu.read(GITS_BASE + row.offset, row.size) == 0
    assert vcpu.write(GITS_BASE + row.offset, row.size, ONES >> 64 - 8 * row.size), "the frame claims it"
    vcpu.exit()
    assert [bare.read(offset, size) for offset, size, _ in RESETS.values()] == before


def test_the_frame_ends_after_128k(bare: ItsRig) -> None:
    vcpu = bare.vcpus[0]
    vcpu.enter()
    assert vcpu.read(GITS_BASE - 4, 4) == UNCLAIMED
    # what follows here is the redistributor
    assert bare.dist.bus.find(GITS_BASE + 0x2_0000, 4) is not bare.its
    vcpu.exit()


# -- GITS_BASER<n>, GITS_CBASER: masks and sanitising ----------------------------------------------

SHARE: Final = 10
INNER: Final = 59
OUTER: Final = 53

SANITISED: Final = {
    "non-shareable stays": (0 << SHARE | 7 << INNER, 0 << SHARE | 7 << INNER),
    "inner shareable stays": (1 << SHARE | 7 << INNER, 1 << SHARE | 7 << INNER),
    "outer shareable becomes inner": (2 << SHARE | 7 << INNER, 1 << SHARE | 7 << INNER),
    "reserved shareability stays": (3 << SHARE | 7 << INNER, 3 << SHARE | 7 << INNER),
    "device memory becomes RaWb": (0 << INNER, 3 << INNER),
    "non-cacheable becomes RaWb": (1 << INNER, 3 << INNER),
    **{f"inner cacheability {n} stays": (n << INNER, n << INNER) for n in range(2, 8)},
    "outer as inner stays": (7 << INNER | 0 << OUTER, 7 << INNER | 0 << OUTER),
    "outer non-cacheable stays": (7 << INNER | 1 << OUTER, 7 << INNER | 1 << OUTER),
    **{f"outer cacheability {n} becomes as inner": (7 << INNER | n << OUTER, 7 << INNER) for n in range(2, 8)},
}

FIXED: Final = {BASER0: 0x0107_0000_0000_0200, BASER1: 0x0407_0000_0000_0200, CBASER: 0}


@pytest.mark.parametrize(("written", "stored"), SANITISED.values(), ids=SANITISED)
@pytest.mark.parametrize("offset", FIXED, ids=["BASER0", "BASER1", "CBASER"])
def test_memory_attributes(offset: int, written: int, stored: int, bare: ItsRig) -> None:
    bare.write(offset, written)
    assert bare.read(offset) == stored | FIXED[offset]


MASKS: Final = {
    "BASER0: type, entry size and page size are fixed": (BASER0, ONES, 0xF907_FFFF_FFFF_FEFF),
    "BASER0: all zero": (BASER0, 0, 0x1907_0000_0000_0200),
    "BASER1: no second level": (BASER1, ONES, 0xBC07_FFFF_FFFF_FEFF),
    "BASER1: all zero": (BASER1, 0, 0x1C07_0000_0000_0200),
    "CBASER: 64 KiB aligned, the rest is kept": (CBASER, ONES, 0xFF1F_FFFF_FFFF_0FFF),
    "CBASER: all zero": (CBASER, 0, 0x1800_0000_0000_0000),
    "CWRITER: an offset": (CWRITER, ONES & ~0xF_F000, 0xFE0),
    "CWRITER: no Retry, 32-byte steps": (CWRITER, 0x3F, 0x20),
}


@pytest.mark.parametrize(("offset", "written", "stored"), MASKS.values(), ids=MASKS)
def test_mask(offset: int, written: int, stored: int, bare: ItsRig) -> None:
    bare.write(offset, written)
    assert bare.read(offset) == stored


@pytest.mark.parametrize(("offset", "written", "stored"), MASKS.values(), ids=MASKS)
def test_user_space_writes_as_the_guest(offset: int, written: int, stored: int, bare: ItsRig) -> None:
    bare.set_user(offset, written)
    assert bare.user(offset) == stored


@pytest.mark.parametrize("order", [(0, 4), (4, 0)], ids=["low first", "high first"])
@pytest.mark.parametrize("offset", [BASER0, BASER1, CBASER], ids=["BASER0", "BASER1", "CBASER"])
def test_halves_make_the_whole(offset: int, order: tuple[int, int], bare: ItsRig) -> None:
    value = VALID | 7 << INNER | 1 << SHARE | DEVICES | 0x3
    for at in order:
        bare.write(offset + at, value >> 8 * at & LOW, 4)
    assert bare.read(offset) == value | FIXED[offset]


def test_each_half_is_sanitised(bare: ItsRig) -> None:
    bare.write(CBASER, 2 << SHARE, 4)
    assert bare.read(CBASER) == 3 << INNER | 1 << SHARE


TABLES: Final = {BASER0: VALID | DEVICES, BASER1: VALID | COLLECTIONS, CBASER: VALID | QUEUE | 0xF}


@pytest.mark.parametrize("offset", TABLES, ids=["BASER0", "BASER1", "CBASER"])
def test_locked_while_enabled(offset: int) -> None:
    rig = ItsRig(1)
    before = rig.read(offset)
    rig.write(offset, 0)
    rig.write(offset, 0, 4)
    rig.write(offset + 4, 0, 4)
    rig.set_user(offset, 0)  # silently, for user space too
    assert rig.read(offset) == before


# -- a table register that changes drops what the table was for ------------------------------------


def mapped() -> ItsRig:
    rig = ItsRig(2)
    rig.configure(8192, 0)
    rig.do(mapc(0, 0), mapd(1), mapti(1, 2, 8192, 0), raise_event(1, 2))
    rig.write(CTLR, 0, 4)
    return rig


CHANGES: Final = {
    "the same": (0, 0, True),
    "the same, unsanitised: 2 becomes 1 again": (1 << SHARE, 2 << SHARE, True),
    "another size": (0, 1, False),
    "another address": (0, 0x1_0000, False),
    "another attribute": (0, 1 << SHARE, False),
    "not valid any more": (0, VALID, False),
}


@pytest.mark.parametrize(("before", "flip", "kept"), CHANGES.values(), ids=CHANGES)
def test_device_table_change_forgets_devices(before: int, flip: int, kept: bool) -> None:
    rig = ItsRig(2)
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, VALID | DEVICES | before)
    rig.write(CTLR, 1, 4)
    rig.do(mapc(0, 0), mapd(1), mapti(1, 2, 8192, 0))
    rig.write(CTLR, 0, 4)
    rig.write(BASER0, (VALID | DEVICES) ^ flip)
    assert rig.devices().keys() == ({1} if kept else set())
    assert rig.lpis() == ([8192] if kept else []), "its events' references go with it"
    assert rig.collections() == {0: 0}
    rig.check()


@pytest.mark.parametrize(("before", "flip", "kept"), CHANGES.values(), ids=CHANGES)
def test_collection_table_change_makes_orphans(before: int, flip: int, kept: bool) -> None:
    rig = ItsRig(2)
    rig.write(CTLR, 0, 4)
    rig.write(BASER1, VALID | COLLECTIONS | before)
    rig.write(CTLR, 1, 4)
    rig.do(mapc(0, 0), mapd(1), mapti(1, 2, 8192, 0))
    rig.write(CTLR, 0, 4)
    rig.write(BASER1, (VALID | COLLECTIONS) ^ flip)
    assert rig.collections() == ({0: 0} if kept else {})
    assert rig.events() == {(1, 2): (8192, 0 if kept else None)}
    assert rig.target(8192) == 0, "the LPI keeps its target"
    rig.check()


def test_indirection_is_a_change() -> None:
    rig = mapped()
    rig.write(BASER0, VALID | INDIRECT | DEVICES)
    assert rig.devices() == {}
    assert rig.read(BASER0) & INDIRECT


def test_a_change_writes_no_memory() -> None:
    rig = mapped()
    rig.memory.writes.clear()
    rig.write(BASER0, 0)
    rig.write(BASER1, 0)
    assert rig.memory.writes == []


# -- GITS_CTLR ------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", TABLES, ids=["BASER0", "BASER1", "CBASER"])
def test_enabling_needs_every_table(offset: int, bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(offset, TABLES[offset] & ~VALID)
    bare.write(CTLR, 1, 4)
    assert bare.read(CTLR, 4) == 0x8000_0000, "refused, silently"
    bare.set_user(CTLR, 1)
    assert bare.read(CTLR, 4) == 0x8000_0000, "for user space too"
    bare.write(offset, TABLES[offset])
    bare.write(CTLR, 1, 4)
    assert bare.read(CTLR, 4) == 0x8000_0001


@pytest.mark.parametrize("value", [1, LOW, 0x8000_0003])
def test_only_bit_0_counts(value: int, bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CTLR, value, 4)
    assert bare.read(CTLR, 4) == 0x8000_0001
    bare.write(CTLR, value & ~1, 4)
    assert bare.read(CTLR, 4) == 0x8000_0000


def test_quiescent_is_about_the_pointers_alone(bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CWRITER, 0x40)
    assert bare.read(CTLR, 4) == 0, "not enabled, not quiescent"
    bare.write(CTLR, 1, 4)
    assert bare.read(CTLR, 4) == 0x8000_0001
    assert bare.read(CREADR) == 0x40, "what was waiting is done before the write completes"


@pytest.mark.parametrize("user", [False, True], ids=["guest", "user space"])
def test_enabling_runs_the_queue(user: bool, bare: ItsRig) -> None:
    bare.set_tables()
    bare.do_later(mapc(3, 0))
    assert bare.collections() == {}
    if user:
        bare.set_user(CTLR, 1)
    else:
        bare.write(CTLR, 1, 4)
    assert bare.collections() == {3: 0}


def test_enabling_again_runs_the_queue_too(bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CTLR, 1, 4)
    bare.its.cwriter = 0x20
    bare.write(CTLR, 1, 4)
    assert bare.read(CREADR) == 0x20


def test_disabling_keeps_everything_but_the_cache() -> None:
    rig = ItsRig(2)
    rig.do(mapc(0, 0), mapd(1), mapti(1, 2, 8192, 0))
    assert rig.msi(1, 2) == 1
    assert rig.cached() == {(1, 2)}
    at = rig.read(CWRITER)
    rig.write(CTLR, 0, 4)
    assert rig.cached() == set()
    assert (rig.read(CREADR), rig.read(CWRITER)) == (at, at)
    assert rig.events() == {(1, 2): (8192, 0)}
    assert rig.lpi(8192).pending_latch
    rig.write(CTLR, 1, 4)
    assert rig.msi(1, 2) == 1
    rig.check()


# -- queue pointers -------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [False, True], ids=["guest", "user space"])
@pytest.mark.parametrize("pages", [1, 2, 256])
def test_cwriter_past_the_queue_is_dropped(pages: int, user: bool, bare: ItsRig) -> None:
    bare.write(CBASER, VALID | QUEUE | pages - 1)
    write = bare.set_user if user else bare.write
    last = pages * 4096 - 32
    write(CWRITER, last)
    if pages < 256:  # a larger offset has no bits
        write(CWRITER, pages * 4096)
    assert bare.read(CWRITER) == last


def test_cwriter_halves(bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CWRITER, 0x60, 4)
    bare.write(CWRITER + 4, LOW, 4)
    assert bare.read(CWRITER) == 0x60
    bare.write(CTLR, 1, 4)
    assert bare.read(CREADR) == 0x60


def test_upper_half_of_cwriter_starts_the_queue_again(bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CTLR, 1, 4)
    bare.its.cwriter = 0x20
    bare.write(CWRITER + 4, 0, 4)
    assert bare.read(CREADR) == 0x20


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("user", [False, True], ids=["guest", "user space"])
def test_cbaser_empties_the_queue(user: bool, size: int, bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CWRITER, 0x40)
    bare.set_user(CREADR, 0x20)
    value = bare.read(CBASER)
    if user:
        bare.set_user(CBASER, value)
    else:
        bare.write(CBASER, value if size == 8 else value & LOW, size)
    assert (bare.read(CWRITER), bare.read(CREADR), bare.read(CBASER)) == (0, 0, value), "even the same value does"


CREADRS: Final = {
    "an offset": (0x40, 0, 0x40),
    "low bits and Stalled are dropped": (0x5F, 0, 0x40),
    "high bits too": (0xFFFF_FFFF_FFF0_0020, 0, 0x20),
    "the last": (0xFFE0, 0, 0xFFE0),
    "past the queue": (0x1_0000, -22, 0),
}


@pytest.mark.parametrize(("written", "errno", "stored"), CREADRS.values(), ids=CREADRS)
def test_user_space_sets_creadr(written: int, errno: int, stored: int, bare: ItsRig) -> None:
    bare.set_tables()
    assert outcome(lambda: bare.set_user(CREADR, written)) == -errno
    assert bare.read(CREADR) == stored
    assert not bare.its.enabled, "nothing runs"


def test_creadr_with_no_queue_yet(bare: ItsRig) -> None:
    """CBASER 0 is a queue of one 4 KiB page."""
    bare.set_user(CREADR, 0xFE0)
    assert outcome(lambda: bare.set_user(CREADR, 0x1000)) == 22


def test_creadr_while_enabled() -> None:
    rig = ItsRig(1)
    assert outcome(lambda: rig.set_user(CREADR, 0)) == 16


def test_creadr_of_the_guest_is_read_only(bare: ItsRig) -> None:
    bare.set_tables()
    bare.write(CREADR, 0x40)
    bare.write(CREADR, 0x40, 4)
    assert bare.read(CREADR) == 0


# -- GITS_IIDR: the format of saved tables ----------------------------------------------------------


@pytest.mark.parametrize("value", [0, 0x4B00_043B, 0xFFFF_0FFF, ONES & ~0xF000], ids=hex)
def test_table_format_0(value: int, bare: ItsRig) -> None:
    bare.set_user(IIDR, value)
    assert bare.user(IIDR) == 0x4B00_043B


@pytest.mark.parametrize("value", [0x1000, 0xF000, 0x4B00_143B], ids=hex)
def test_no_other_table_format(value: int, bare: ItsRig) -> None:
    assert outcome(lambda: bare.set_user(IIDR, value)) == 22
    assert bare.user(IIDR) == 0x4B00_043B


@pytest.mark.parametrize("offset", [TYPER, *(0x100 + 8 * n for n in range(2, 8)), *range(0xFFD0, 0x1_0000, 4)], ids=hex)
def test_user_space_writes_a_constant_without_effect(offset: int, bare: ItsRig) -> None:
    before = bare.user(offset)
    bare.set_user(offset, ONES)
    assert bare.user(offset) == before


def test_reads_have_no_effect() -> None:
    rig = mapped()
    before = rig.frozen()
    for offset in range(0, 0x2_0000, 4):
        rig.read(offset, 4)
        rig.read(offset, 8)
    assert rig.frozen() == before
