"""Entries of the tables in guest memory, encoded from KVM's arm-vgic-its.rst, "ITS Table ABI REV0".

Room:    under the tests of saving and restoring tables.
"""

from typing import Final

from tests.unit.vgic.its.rig import BASER0, BASER1, CBASER, CREADR, CTLR, CWRITER, RAM, VALID, ItsRig

ITT: Final = 0x8010_0000
ITT2: Final = 0x8018_0000
L1: Final = RAM + 0x20_0000
L2: Final = RAM + 0x30_0000
POISON: Final = 0x5A5A_5A5A_5A5A_5A5A
REGISTERS: Final = (CBASER, CREADR, CWRITER, BASER0, BASER1, CTLR)
"""In the order that a restore needs; the tables go before CTLR."""


def dte(itt: int = ITT, bits: int = 8, following: int = 0) -> int:
    return VALID | following << 49 | itt >> 8 << 5 | bits - 1


def cte(icid: int, vcpu_id: int) -> int:
    return VALID | vcpu_id << 16 | icid


def ite(intid: int, icid: int, following: int = 0) -> int:
    return following << 48 | intid << 16 | icid


def poison(rig: ItsRig, *pages: int) -> None:
    for page in pages:
        rig.memory.ram.write(page, b"\x5a" * 0x1_0000)


def table(rig: ItsRig, base: int, count: int) -> list[int]:
    return [rig.entry(base + 8 * n) for n in range(count)]


def round_trip(rig: ItsRig) -> None:
    """Reset, put the registers back in their order, restore the tables, enable."""
    values = {offset: rig.user(offset) for offset in REGISTERS}
    assert rig.reset() == 0
    for offset in REGISTERS[:-1]:
        rig.set_user(offset, values[offset])
    assert rig.restore() == 0
    rig.set_user(CTLR, values[CTLR])
    assert {offset: rig.user(offset) for offset in REGISTERS} == values
