"""Which features a guest is told of."""

from typing import Final

import pytest

from vmm.idregs import as_register, is_id_register, shown

MAX: Final = {
    # register    (CRm, op2)   of the engine's core      with a GICv3         with a GICv2
    "PFR0": ((4, 0), 0x1_0011_2222, 0x0111_0011, 0x0011_0011),
    "PFR1": ((4, 1), 0x1, 0, 0),
    "ZFR0": ((4, 4), 0x1, 0, 0),
    "DFR0": ((5, 0), 0x1030_5506, 0x1030_5006, 0x1030_5006),
    "ISAR0": ((6, 0), 0x1021_1111_1021_2120, 0x0021_1111_1021_2120, 0x0021_1111_1021_2120),
    "ISAR1": ((6, 1), 0x0111_0121_1012, 0x0111_0021_1002, 0x0111_0021_1002),
    "MMFR0": ((7, 0), 0x1124, 0x1024, 0x1024),
    "MMFR1": ((7, 1), 0x21_1120, 0x21_1020, 0x21_1020),
    "MMFR2": ((7, 2), 0x11, 0x11, 0x11),
    "MIDR-like, of AArch32": ((1, 0), 0x131, 0x131, 0x131),
}


def encoding(crm: int, op2: int) -> int:
    return 0xC000 | crm << 3 | op2


@pytest.mark.parametrize(("where", "core", "gicv3", "gicv2"), MAX.values(), ids=MAX)
def test_what_is_shown_of_the_core(where: tuple[int, int], core: int, gicv3: int, gicv2: int) -> None:
    register = encoding(*where)
    assert hex(shown(register, core, True)) == hex(gicv3)
    assert hex(shown(register, core, False)) == hex(gicv2)


def test_which_registers_are_id_registers() -> None:
    found = {register for register in range(1 << 16) if is_id_register(register)}
    assert found == {encoding(crm, op2) for crm in range(1, 8) for op2 in range(8)}


def test_the_engines_name_of_one() -> None:
    assert as_register(encoding(6, 1)) == (0, 6, 3, 0, 1)
