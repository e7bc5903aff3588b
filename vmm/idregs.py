"""Which features a guest is told of: the ID registers as HCR_EL2.TID3 lets a hypervisor answer them.

Room:    beside the vCPU.
Holds:   what is hidden either needs EL2 set-up that is not made, does not work in the engine, or would bring the
         host's randomness into the guest.
"""

from typing import Final

from vmm.engine.arm64 import Register

_FIELD: Final = 0xF


def _encoding(crm: int, op2: int) -> int:
    return 3 << 14 | crm << 3 | op2


ID_AA64PFR0: Final = _encoding(4, 0)
ID_AA64PFR1: Final = _encoding(4, 1)
ID_AA64ZFR0: Final = _encoding(4, 4)
ID_AA64DFR0: Final = _encoding(5, 0)
ID_AA64ISAR0: Final = _encoding(6, 0)
ID_AA64ISAR1: Final = _encoding(6, 1)
ID_AA64MMFR0: Final = _encoding(7, 0)
ID_AA64MMFR1: Final = _encoding(7, 1)

_GIC: Final = 24
_SVE: Final = 32
_HIDDEN: Final[dict[int, int]] = {
    ID_AA64PFR0: _FIELD << _SVE | _FIELD << _GIC | 0xFFFF,
    ID_AA64PFR1: -1,
    ID_AA64ZFR0: -1,
    ID_AA64DFR0: _FIELD << 8,  # PMUVer
    ID_AA64ISAR0: _FIELD << 60,  # RNDR
    ID_AA64ISAR1: 0xFF << 4 | 0xFF << 24,  # APA, API, GPA, GPI
    ID_AA64MMFR0: _FIELD << 16 | _FIELD << 8,  # BigEndEL0, BigEnd: devices answer in little-endian
    ID_AA64MMFR1: _FIELD << 8,  # VH
}
_EL_64_BIT_ONLY: Final = 1 << 4 | 1
"""PFR0.EL1 and EL0: AArch64 only; there is no EL2 and no EL3 for the guest."""


def is_id_register(encoding: int) -> bool:
    """Whether HCR_EL2.TID3 traps the register: op0 3, op1 0, CRn 0, CRm 1 to 7."""
    return encoding >> 7 == 3 << 7 and encoding >> 3 & 0xF in range(1, 8)


def as_register(encoding: int) -> Register:
    """Return the engine's name of an ID register."""
    return (0, encoding >> 3 & 0xF, 3, 0, encoding & 7)


def shown(encoding: int, value: int, gicv3: bool) -> int:
    """Return what the guest reads of an ID register whose core has `value`."""
    value &= ~_HIDDEN.get(encoding, 0)
    if encoding == ID_AA64PFR0:
        value |= _EL_64_BIT_ONLY | gicv3 << _GIC
    return value
