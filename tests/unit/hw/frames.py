"""The language of scenario.py for a guest with a GICV frame, on a GICv2 and on a GICv3.

Room:    under the tests of gich, gicv and of GICv2-style guests.
Owns:    which register a short name means there.
Never:   computes an expected value.
Holds:   every access goes by MMIO, or by encoding to ICH_*; after each one the interface passes check().

    V_IAR→0xC05     the guest: GICV_IAR (also EOIR, DIR, CTLR, PMR, BPR, ABPR, AIAR, APR, IIDR, ...)
    LR0=0x18000C05  the hypervisor: GICH_LR0 (also HCR, VTR, VMCR, MISR, EISR0, ELRSR1, APR); on a GICv3 ICH_LR0_EL2
    lines, phys     as in scenario.py
"""

from hw import Machine, V2Config, V2Profile, VirtConfig, arch
from hw.gicv import Gicv
from tests.unit.hw.scenario import Play

RECORDED = V2Config(profile=V2Profile.RECORDED)


class PlayV2(Play):
    """One PE's virtual interface on a GICv2 being driven through its frames."""

    def __init__(self, config: V2Config | None = None) -> None:
        pe = Machine(gic=config or V2Config()).pes[0]
        assert pe.gicv is not None
        super().__init__(icv=pe.virt)
        self.gich = pe.gich
        self.gicv = pe.gicv

    def write(self, name: str, value: int) -> bool:
        """Write a register by its short name; here nothing is UNDEFINED."""
        if name.startswith("V_"):
            self.gicv.write(guest_offset(name), value)
        else:
            self.gich.write(host_offset(name), value)
        return True

    def read(self, name: str) -> int:
        """Read a register by its short name."""
        return self.gicv.read(guest_offset(name)) if name.startswith("V_") else self.gich.read(host_offset(name))


class PlayLegacy(Play):
    """A GICv2-style guest on a GICv3: its ICC_SRE_EL1.SRE is 0."""

    def __init__(self, config: VirtConfig | None = None) -> None:
        pe = Machine(virt=config or VirtConfig(sre_legacy=True)).pes[0]
        pe.imo = pe.fmo = pe.amo = True
        assert pe.msr_el2(arch.ICC_SRE_EL1, 0) == 0
        assert pe.gicv is not None
        super().__init__(icv=pe.virt)
        self.gicv: Gicv = pe.gicv
        self.do("VMCR=0x0")

    def write(self, name: str, value: int) -> bool:
        """Write a register by its short name; False if that is UNDEFINED."""
        if not name.startswith("V_"):
            return super().write(name, value)
        self.gicv.write(guest_offset(name), value)
        return True

    def read(self, name: str) -> int:
        """Read a register by its short name; arch.UNDEFINED if that is."""
        return self.gicv.read(guest_offset(name)) if name.startswith("V_") else super().read(name)


def guest_offset(name: str) -> int:
    """The offset of GICV_<name>, which is that of GICC_<name>."""
    return OFFSETS[f"GICC_{name.removeprefix('V_')}"]


def host_offset(name: str) -> int:
    """The offset of GICH_<name>; LR<n> is one of an array."""
    if name.startswith("LR"):
        return arch.GICH_LR + 4 * int(name.removeprefix("LR"))
    return OFFSETS[f"GICH_{name}"]


# GICC_CTLR and so on, but no field of them: those have a second underscore
OFFSETS: dict[str, int] = {
    name: value for name, value in vars(arch).items() if name.startswith(("GICC_", "GICH_")) and name.count("_") == 1
}


def play2(initial: str, accesses: str, config: V2Config | None = None) -> PlayV2:
    """Apply the writes of `initial`, separated by spaces, to a reset GICv2; then perform `accesses`."""
    played = PlayV2(config)
    played.start(initial, accesses)
    return played


def play_legacy(initial: str, accesses: str, config: VirtConfig | None = None) -> PlayLegacy:
    """The same on a GICv3 whose guest is GICv2-style."""
    played = PlayLegacy(config)
    played.start(initial, accesses)
    return played
