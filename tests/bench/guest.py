"""What the guests of test_rows.py and test_rows_v2.py do alike, whatever their CPU interface.

Room:    below the rows.  Of this only enter_exit is ever measured.
"""

from typing import Final

from vgic import Vcpu, Vgic

GICD: Final = 0x0800_0000
PRIORITIES: Final = 0xA0A0_A0A0
"""A word of GICD_IPRIORITYR that gives four interrupts priority 0xA0."""


def set_up_spis(vcpu: Vcpu, spis: int, *, level: bool) -> None:
    """A vCPU in the guest enables all SPIs, with priority 0xA0, as edge (or level) interrupts."""
    for intid in range(32, 32 + spis, 4):
        vcpu.write(GICD + 0x400 + intid, 4, PRIORITIES)
    if level:
        for intid in range(32, 32 + spis, 16):
            vcpu.write(GICD + 0xC00 + intid // 4, 4, 0)
    for intid in range(32, 32 + spis, 32):
        vcpu.write(GICD + 0x100 + intid // 8, 4, 0xFFFF_FFFF)


def enter_exit(vcpu: Vcpu) -> None:
    vcpu.enter()
    vcpu.exit()


def held(vm: Vgic, queued: int) -> Vcpu:
    """vCPU 0 of a VM of level SPIs, with `queued` of them held high: a steady state."""
    for intid in range(32, 32 + queued):
        vm.inject(intid, True)
    enter_exit(vm.vcpus[0])
    return vm.vcpus[0]
