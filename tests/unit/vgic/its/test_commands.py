"""What all commands have in common: encodings, the queue they come from, and that one which fails changes nothing.

Source: IHI 0069H, "ITS commands"; KVM: vgic_its_handle_command() and the handlers it calls.
"""

from typing import Final

import pytest

from tests.unit.vgic.its.events_rig import rig_with_events
from tests.unit.vgic.its.rig import (
    CBASER,
    CREADR,
    CTLR,
    CWRITER,
    ENABLED,
    NOWHERE,
    QUEUE,
    QUEUE_SIZE,
    RAM,
    VALID,
    Command,
    ItsRig,
    clear,
    discard,
    inv,
    invall,
    mapc,
    mapd,
    mapi,
    mapti,
    movall,
    movi,
    raise_event,
    sync,
)


@pytest.fixture
def rig() -> ItsRig:
    return rig_with_events()


# -- encodings ------------------------------------------------------------------------------------


def test_encodings_of_the_manual() -> None:
    rig = ItsRig(4)
    rig.do(
        (0x0000_0002_0000_0008, 0x7, 0x8000_0000_8001_0000, 0),
        (0x9, 0, 0x8000_0000_0003_0003, 0),
        (0x0000_0002_0000_000A, 0x0000_2003_0000_0014, 0x3, 0),
    )
    assert rig.devices() == {2: (0x8001_0000, 8)}
    assert rig.collections() == {3: 3}
    assert rig.events() == {(2, 20): (8195, 3)}


RES0: Final = 0xDEAD_0000_FFFF_FF00


def test_reserved_bits_are_ignored() -> None:
    rig = ItsRig(4)
    rig.do(
        (2 << 32 | 0xFFFF_FF08, 0xFFFF_FFFF_FFFF_FFE7, VALID | 0x7FF0_0000_8010_00FF, 1 << 63 | 5),
        (0xFFFF_FFFF_FFFF_FF09, ~0 & (1 << 64) - 1, VALID | 0x7FFF_0000_0003_0003, 7),
        (2 << 32 | 0xFFFF_FF0A, 8195 << 32 | 20, 0xFFFF_FFFF_FFFF_0003, 7),
    )
    assert rig.devices() == {2: (0x8010_0000, 8)}
    assert rig.collections() == {3: 3}
    assert rig.events() == {(2, 20): (8195, 3)}


UNKNOWN: Final = sorted(set(range(0x100)) - {0x01, 0x03, 0x04, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F})


def test_other_numbers_do_nothing(rig: ItsRig) -> None:
    """GICv4's commands are among them."""
    before = rig.frozen()
    for number in UNKNOWN:
        rig.do((2 << 32 | number, 20, VALID | 3, 3))
    assert rig.frozen() == before


def test_sync_does_nothing(rig: ItsRig) -> None:
    before = rig.frozen()
    rig.do(sync(0), sync(77))
    assert rig.frozen() == before


# -- the queue ------------------------------------------------------------------------------------


def test_the_queue_wraps(rig: ItsRig) -> None:
    rig.do(*[sync(0)] * (QUEUE_SIZE // 32 - 10))
    rig.do(*[sync(0)] * 20, mapc(11, 1))
    assert rig.read(CREADR) == rig.read(CWRITER)
    assert rig.collections()[11] == 1


def test_the_longest_pass() -> None:
    rig = ItsRig(1)
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | QUEUE + 0x50_0000 | 0xFF)
    rig.write(CTLR, 1, 4)
    rig.do(*[mapc(1, 0)] * 32767)
    assert rig.read(CREADR) == 0xF_FFE0


def test_disabled_nothing_runs(rig: ItsRig) -> None:
    rig.write(CTLR, 0, 4)
    at = rig.read(CREADR)
    rig.do_later(mapc(11, 1))
    assert (rig.read(CREADR), 11 in rig.collections()) == (at, False)
    rig.write(CTLR, 1, 4)
    assert rig.collections()[11] == 1


def test_unreadable_commands_are_skipped() -> None:
    rig = ItsRig(1)
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | NOWHERE | 0xF)
    rig.write(CWRITER, 0x100)
    rig.write(CTLR, 1, 4)
    assert rig.read(CREADR) == 0x100
    assert rig.collections() == {}


def test_queue_that_leaves_ram(rig: ItsRig) -> None:
    """The last 64 KiB of RAM, and a queue of twice that."""
    rig.write(CTLR, 0, 4)
    rig.write(CBASER, VALID | RAM + 0xFF_0000 | 0x1F)
    rig.write(CTLR, 1, 4)
    before = rig.frozen()[0]
    rig.do_later(*[mapc(11, 1)] * (0x1_0000 // 32 + 4))
    assert rig.read(CREADR) == 0x1_0080, "what is not there is skipped, and the queue goes on"
    assert rig.frozen()[0] != before


def test_a_command_is_read_before_it_runs(rig: ItsRig) -> None:
    """MAPD V=0 zeroes an entry that is the command itself."""
    at = rig.read(CWRITER)
    rig.write(CTLR, 0, 4)
    rig.write(0x100, VALID | (QUEUE & ~0xFFFF))
    rig.write(CTLR, 1, 4)
    rig.do(mapd(at // 8 + 2, valid=False), mapc(11, 1))
    assert rig.entry(QUEUE + at + 16) == 0, "the guest shot itself"
    assert rig.collections()[11] == 1


# -- a command that fails -----------------------------------------------------------------------------

BAD: Final[dict[str, Command]] = {
    "MAPD: DeviceID past 16 bits": mapd(0x1_0000),
    "MAPD: DeviceID past the table": mapd(0x2000),
    "MAPD V=0: DeviceID past the table": mapd(0x2000, valid=False),
    "MAPD: 17 bits of EventID": mapd(2, 17),
    "MAPD: 32 bits of EventID": mapd(2, 32),
    "MAPC: no such vCPU": mapc(3, 4),
    "MAPC: RDbase with 32 bits": mapc(3, 0x8000_0000),
    "MAPC: RDbase -1": mapc(3, 0xFFFF_FFFF),
    "MAPC: id past the table": mapc(0x2000, 0),
    "MAPTI: no device": mapti(3, 0, 8200, 3),
    "MAPTI: no device, 32 bits": mapti(0x1_0002, 0, 8200, 3),
    "MAPTI: event past the device": mapti(2, 256, 8200, 3),
    "MAPTI: event with 32 bits": mapti(2, 0x1_0000_0000 - 236, 8200, 3),
    "MAPTI: no LPI": mapti(2, 0, 8191, 3),
    "MAPTI: INTID 0": mapti(2, 0, 0, 3),
    "MAPTI: INTID past 16 bits": mapti(2, 0, 0x1_0000, 3),
    "MAPTI: INTID -1": mapti(2, 0, 0xFFFF_FFFF, 3),
    "MAPTI: mapped already": mapti(2, 20, 8200, 0),
    "MAPTI: mapped already, as an orphan": mapti(2, 30, 8200, 0),
    "MAPTI: mapped already, before the id is looked at": mapti(2, 20, 8200, 0x2000),
    "MAPTI: collection past the table": mapti(2, 0, 8200, 0x2000),
    "MAPI: event is no LPI": mapi(2, 5, 3),
    "MOVI: no event": movi(2, 5, 0),
    "MOVI: no device": movi(3, 20, 0),
    "MOVI: from a placeholder": movi(2, 21, 0),
    "MOVI: an orphan": movi(2, 30, 0),
    "MOVI: to a placeholder": movi(2, 20, 9),
    "MOVI: to no collection": movi(2, 20, 5),
    "MOVALL: from no vCPU": movall(4, 0),
    "MOVALL: to no vCPU": movall(3, 4),
    "MOVALL: to itself": movall(3, 3),
    "DISCARD: no event": discard(2, 5),
    "DISCARD: no device": discard(3, 20),
    "DISCARD: a placeholder's": discard(2, 21),
    "DISCARD: an orphan": discard(2, 30),
    "INT: no event": raise_event(2, 5),
    "INT: no device": raise_event(0x1_0002, 20),
    "INT: a placeholder's": raise_event(2, 21),
    "INT: an orphan": raise_event(2, 30),
    "CLEAR: no event": clear(2, 5),
    "INV: no event": inv(2, 5),
    "INVALL: no collection": invall(5),
    "INVALL: a placeholder": invall(9),
}


@pytest.mark.parametrize("command", BAD.values(), ids=BAD)
def test_bad_command_changes_nothing(command: Command, rig: ItsRig) -> None:
    rig.do(raise_event(2, 20))
    for intid in (8195, 8196, 8197):
        rig.configure(intid, ENABLED)  # to be seen if anything reads it
    before = rig.frozen()
    rig.do(command)
    assert rig.frozen() == before
    assert rig.read(CTLR, 4) == 0x8000_0001, "no stall"
    rig.check()
