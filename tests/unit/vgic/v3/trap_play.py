"""Scenarios for the CPU interface emulated at EL2, in the notation of tests/unit/hw/scenario.py.

Room:    under test_trap and test_trap_hardware.
Holds:   the guest's accesses are emulated, EL2's are made on the live registers.
"""

from hw import Machine, VirtConfig
from tests.unit.hw.scenario import Play, el2_encoding, guest_encoding
from vgic.bus import Bus
from vgic.dist import Dist
from vgic.host import Host
from vgic.ids import V3, DeviceType
from vgic.v3.model import MODEL_V3
from vgic.v3.trap import emulate_read, emulate_write
from vgic.vcpu import VcpuGic


def make_vcpu(config: VirtConfig | None = None, model: DeviceType | None = V3) -> VcpuGic:
    """A vCPU on the only physical CPU of a machine, with every list register in use."""
    machine = Machine(cpus=1, virt=config or VirtConfig())
    dist = Dist(Host(machine), Bus(), 40, MODEL_V3)
    dist.model = model
    vcpu = VcpuGic(dist, 0, 0, machine.pes[0])
    vcpu.used_lrs = len(vcpu.pe.virt.lrs)
    return vcpu


class TrapPlay(Play):
    """A virtual interface whose guest accesses all trap."""

    def __init__(self, vcpu: VcpuGic) -> None:
        super().__init__(vcpu.pe.virt.config)
        self.vcpu = vcpu
        self.icv = vcpu.pe.virt

    def write(self, name: str, value: int) -> bool:
        if el2_encoding(name) is not None:
            return super().write(name, value)
        return emulate_write(self.vcpu, guest_encoding(name), value)

    def read(self, name: str) -> int:
        if el2_encoding(name) is not None:
            return super().read(name)
        return emulate_read(self.vcpu, guest_encoding(name))


def play(initial: str, accesses: str, config: VirtConfig | None = None) -> TrapPlay:
    """As scenario.play, with the guest's accesses emulated."""
    played = TrapPlay(make_vcpu(config))
    for access in initial.split():
        played.do(access)
    if accesses:
        played.run(accesses)
    return played
