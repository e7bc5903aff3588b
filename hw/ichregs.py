"""ICH_*_EL2 by encoding: a register is a row.

Room:    below ich, whose read_ich and write_ich look here; the fast path by name does not.
Never:   holds state.
"""

from typing import TYPE_CHECKING, Final

from hw.arch import (
    ICH_AP0R_EL2,
    ICH_AP1R_EL2,
    ICH_EISR_EL2,
    ICH_ELRSR_EL2,
    ICH_HCR_EL2,
    ICH_LR_EL2,
    ICH_MISR_EL2,
    ICH_VMCR_EL2,
    ICH_VTR_EL2,
    UNDEFINED,
)

if TYPE_CHECKING:
    from hw.ich import Ich


class IchRegister:
    """One ICH_* encoding.  A method left out is an access that is UNDEFINED."""

    def read(self, ich: "Ich") -> int:
        """Read the register, or UNDEFINED."""
        return UNDEFINED

    def write(self, ich: "Ich", value: int) -> bool:
        """Write the register; False if that is UNDEFINED."""
        return False


class _Hcr(IchRegister):
    def read(self, ich: "Ich") -> int:
        return ich.read_hcr()

    def write(self, ich: "Ich", value: int) -> bool:
        ich.write_hcr(value)
        return True


class _Vmcr(IchRegister):
    def read(self, ich: "Ich") -> int:
        return ich.read_vmcr()

    def write(self, ich: "Ich", value: int) -> bool:
        ich.write_vmcr(value)
        return True


class _Vtr(IchRegister):
    def read(self, ich: "Ich") -> int:
        return ich.read_vtr()


class _Misr(IchRegister):
    def read(self, ich: "Ich") -> int:
        return ich.read_misr()


class _Eisr(IchRegister):
    def read(self, ich: "Ich") -> int:
        return ich.read_eisr()


class _Elrsr(IchRegister):
    def read(self, ich: "Ich") -> int:
        return ich.read_elrsr()


class _Lr(IchRegister):
    def __init__(self, n: int) -> None:
        self.n = n

    def read(self, ich: "Ich") -> int:
        return ich.read_lr(self.n).encode() if self.n < len(ich.lrs) else UNDEFINED

    def write(self, ich: "Ich", value: int) -> bool:
        if self.n >= len(ich.lrs):
            return False
        ich.cost.lr_writes += 1
        ich.lrs[self.n].decode(value, ich.config.pri_mask, ich.config.vintid_mask)
        return True


class _Ap(IchRegister):
    def __init__(self, group: int, n: int) -> None:
        self.group = group
        self.n = n

    def read(self, ich: "Ich") -> int:
        return ich.read_ap(self.group, self.n) if self.n < ich.config.ap_words else UNDEFINED

    def write(self, ich: "Ich", value: int) -> bool:
        if self.n >= ich.config.ap_words:
            return False
        ich.write_ap(self.group, self.n, value)
        return True


ICH_REGISTERS: Final[dict[int, IchRegister]] = {
    ICH_HCR_EL2: _Hcr(),
    ICH_VTR_EL2: _Vtr(),
    ICH_MISR_EL2: _Misr(),
    ICH_EISR_EL2: _Eisr(),
    ICH_ELRSR_EL2: _Elrsr(),
    ICH_VMCR_EL2: _Vmcr(),
    **{ICH_LR_EL2[n]: _Lr(n) for n in range(16)},
    **{ICH_AP0R_EL2[n]: _Ap(0, n) for n in range(4)},
    **{ICH_AP1R_EL2[n]: _Ap(1, n) for n in range(4)},
}
