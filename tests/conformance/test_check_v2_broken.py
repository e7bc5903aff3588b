"""`vgic check --gic v2`: the checks of a GICv2 fail when they should: on each board something is wrong."""

from collections.abc import Callable
from typing import Final

from tests.conformance.broken import Broken, LoadChanged, Stored, each, failing
from vgic.cli.checks.board import GICC_BASE, GICD_BASE, Board, BoardV2

GICC_CTLR: Final = GICC_BASE
GICC_EOIR: Final = GICC_BASE + 0x10
GICC_IAR: Final = GICC_BASE + 0x0C
GICC_AIAR: Final = GICC_BASE + 0x20
GICC_DIR: Final = GICC_BASE + 0x1000
GICD_TYPER: Final = GICD_BASE + 0x004
GICD_ITARGETSR: Final = GICD_BASE + 0x800
GICD_SGIR: Final = GICD_BASE + 0xF00


class StoreChanged(BoardV2):
    """A store to one register loses bits."""

    register: int
    lost = 0xFFFF_FFFF

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return super().store(cpu, gpa, size, value & ~self.lost if gpa == self.register else value)


class SgirLosesItsFilter(StoreChanged):
    register, lost = GICD_SGIR, 3 << 24


class SgirReachesEverybody(BoardV2):
    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return super().store(cpu, gpa, size, value & 0xF | 0xFF << 16 if gpa == GICD_SGIR else value)


class EoirEndsNothing(StoreChanged):
    register = GICC_EOIR

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        return gpa == self.register or super().store(cpu, gpa, size, value)


class DirEndsNothing(EoirEndsNothing):
    register = GICC_DIR


class FiqNeverEnabled(StoreChanged):
    register, lost = GICC_CTLR, 1 << 3


class AckCtlIgnored(StoreChanged):
    register, lost = GICC_CTLR, 1 << 2


class EoiModeIgnored(StoreChanged):
    register, lost = GICC_CTLR, 1 << 9


class SenderForgotten(LoadChanged, BoardV2):
    def changed(self, gpa: int, value: int) -> int:
        return value & 0x3FF if gpa == GICC_IAR else value


class NoHint(LoadChanged, BoardV2):
    def changed(self, gpa: int, value: int) -> int:
        return 1023 if gpa == GICC_IAR and value == 1022 else value


class AliasesDead(LoadChanged, BoardV2):
    """As on the machine the golden traces were recorded on."""

    def changed(self, gpa: int, value: int) -> int:
        return 0 if gpa == GICC_AIAR else value


class CpuMissing(LoadChanged, BoardV2):
    def changed(self, gpa: int, value: int) -> int:
        return value - (1 << 5) if gpa == GICD_TYPER else value


class IdentificationStored(Stored, BoardV2):
    first, last = GICD_TYPER, GICD_BASE + 8


class TargetsStored(Stored, BoardV2):
    first, last = GICD_ITARGETSR, GICD_ITARGETSR + 0x3FF


class PrioritiesStored(Stored, BoardV2):
    first, last = GICD_BASE + 0x400, GICD_BASE + 0x7FF


class TargetsByWord(BoardV2):
    """Byte stores to ITARGETSR and IPRIORITYR are ignored."""

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        bank = GICD_BASE + 0x400 <= gpa < GICD_BASE + 0xC00
        return (bank and size == 1) or super().store(cpu, gpa, size, value)


BROKEN: Final = {
    "SGIR's filter is ignored": Broken(SgirLosesItsFilter, "ipi active"),
    "SGIR reaches everybody": Broken(SgirReachesEverybody, "ipi active"),
    "IAR does not name the sender": Broken(SenderForgotten, "ipi"),
    "EOIR is ignored": Broken(EoirEndsNothing, "ipi edge level priority overflow groups ackctl"),
    "DIR is ignored": Broken(DirEndsNothing, "eoimode"),
    "EOImode is ignored": Broken(EoiModeIgnored, "eoimode"),
    "FIQEn is ignored": Broken(FiqNeverEnabled, "groups"),
    "AckCtl is ignored": Broken(AckCtlIgnored, "ackctl"),
    "Group 1 is spurious": Broken(NoHint, "ackctl"),
    "the aliases are dead": Broken(AliasesDead, "ackctl groups"),
    "TYPER misses a CPU": Broken(CpuMissing, "mmio"),
    "TYPER and IIDR can be written": Broken(IdentificationStored, "mmio"),
    "ITARGETSR is memory": Broken(TargetsStored, "mmio"),
    "IPRIORITYR is memory": Broken(PrioritiesStored, "mmio"),
    "bytes cannot be stored": Broken(TargetsByWord, "mmio affinity priority"),
}


@each(BROKEN)
def test_a_check_of_a_gicv2_notices(board: Callable[[int, int, int], Board], name: str) -> None:
    failing(board, name, gic="v2")
