"""System-register encodings: the packing, the names, and that no two registers share one."""

import pytest

from hw import arch

ENCODINGS = {
    "ICC_PMR_EL1": 0xC230,
    "ICC_IAR1_EL1": 0xC660,
    "ICC_AP1R0_EL1": 0xC648,
    "ICC_SGI1R_EL1": 0xC65D,
    "ICC_SRE_EL1": 0xC665,
    "ISR_EL1": 0xC608,
    "ICH_HCR_EL2": 0xE658,
    "ICH_LR0_EL2": 0xE660,
    "ICH_LR15_EL2": 0xE66F,
    "ICC_SRE_EL3": 0xF665,
}


@pytest.mark.parametrize(("name", "packed"), ENCODINGS.items())
def test_encodings(name: str, packed: int) -> None:
    assert arch.SYSREG_BY_NAME[name] == packed
    assert arch.SYSREG_NAMES[packed] == name


def test_no_two_registers_share_an_encoding() -> None:
    assert len(arch.SYSREG_NAMES) == len(arch.SYSREG_BY_NAME)


def test_families_agree_with_their_members() -> None:
    assert arch.ICH_LR_EL2[9] == arch.ICH_LR9_EL2
    assert arch.ICH_AP1R_EL2[3] == arch.ICH_AP1R3_EL2
    assert arch.ICC_AP0R_EL1[1] == arch.ICC_AP0R1_EL1


def test_answers_without_a_value_are_no_registers() -> None:
    assert {"UNDEFINED", "TRAP_EL1", "TRAP_EL2"}.isdisjoint(arch.SYSREG_BY_NAME)
