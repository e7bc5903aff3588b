"""A VM whose interrupts can be asked about, and what a set-up that blocks one ends in.

Room:    under test_explain and the test_explain_* beside it.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from vgic import Explanation, Vcpu, Vgic, arch
from vgic.vm import GICD_BASE, GICR_BASE

SPI: Final = 40
SECOND: Final = 41
PPI: Final = 27
ENABLE_SPIS: Final = GICD_BASE + arch.GICD_ISENABLER + 4
GUEST_SPIS: Final = 1 << SPI % 32 | 1 << SECOND % 32 | 1 << 42 % 32 | 1 << 43 % 32


def running(vcpus: int = 2, lrs: int = 4) -> Vgic:
    """Return a VM whose vCPUs are ready for interrupts of Group 1 and have left the guest."""
    vm = Vgic.gicv3(vcpus, lrs=lrs, threads=False)
    for vcpu in vm.vcpus:
        vcpu.enter()
        vcpu.write(GICD_BASE, 4, arch.GICD_CTLR_ENABLE_GRP1)
        vcpu.write(ENABLE_SPIS, 4, GUEST_SPIS)
        for intid in range(SPI, SPI + 4):
            vcpu.write(GICD_BASE + arch.GICD_IPRIORITYR + intid, 1, 0xA0)
        vcpu.write(GICR_BASE + 0x2_0000 * vcpu.index + arch.GICR_ISENABLER0, 4, 1 << PPI)
        vcpu.msr(arch.ICC_PMR_EL1, 0xF0)
        vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
        vcpu.exit()
    return vm


def guest(vm: Vgic, index: int = 0) -> Vcpu:
    """Return a vCPU, in the guest."""
    vcpu = vm.vcpus[index]
    vcpu.enter()
    return vcpu


def gicd(vcpu: Vcpu, offset: int, value: int, size: int = 4) -> None:
    """Write a distributor register as the guest."""
    assert vcpu.write(GICD_BASE + offset, size, value)


def of_group_0(vm: Vgic) -> Vcpu:
    """Return vCPU 0 in the guest, with the SPI pending in Group 0."""
    vcpu = guest(vm)
    gicd(vcpu, arch.GICD_IGROUPR + 4, 0)
    vcpu.msr(arch.ICC_IGRPEN0_EL1, 1)
    vcpu.exit()
    vm.inject(SPI)
    vcpu.enter()
    return vcpu


class Blocked(NamedTuple):
    """What a set-up ends in: the gate that blocks first, and what its sentence must say."""

    setup: Callable[[], Explanation]
    gate: str
    says: tuple[str, ...]


def assert_blocked(answer: Explanation, gate: str, says: tuple[str, ...]) -> None:
    block = answer.first_block
    assert block is not None
    assert block.name == gate, str(answer)
    for words in says:
        assert words in block.sentence
    assert not answer.delivered
