"""The machine below the hypervisor: GIC hardware, modelled as registers, state and lines.

Room:    below vgic and the toy VMM, from which it imports nothing.
Owns:    the behaviour of the physical GIC, of the virtual CPU interface, and of what traps where.
Never:   knows of guests, vCPUs or a hypervisor's data; runs code; reads a clock.
Holds:   an access that the architecture defines never raises.

A machine with a GICv2 is Machine(cpus=2, gic=V2Config()); its guests use pe.gicv instead of system registers.

    machine = Machine(cpus=2)
    pe = machine.pes[0]
    pe.imo = pe.fmo = True
    pe.virt.write_vmcr(0xF84C000A)
    pe.virt.write_hcr(arch.HCR_EN)
    pe.virt.write_lr(0, 40, True, False, 0x80, 1, False, 0, False)
    assert pe.virq() and pe.mrs_el1(arch.ICC_IAR1_EL1) == 40
"""

from hw import arch, arch4
from hw.config import CacheMode, GicVersion, PhysConfig, V2Config, V2Profile, VirtConfig
from hw.config4 import ItsConfig, V4Config
from hw.cost import Account, Cost, Traffic
from hw.its import Its, ItsError
from hw.machine import Machine
from hw.memory import BusError, Memory
from hw.misuse import GicMisuse, Misuse, MisuseLog
from hw.pe import LineWatcher, Pe
from hw.trace import TraceLog, Tracer

__all__ = [
    "Account",
    "BusError",
    "CacheMode",
    "Cost",
    "GicMisuse",
    "GicVersion",
    "Its",
    "ItsConfig",
    "ItsError",
    "LineWatcher",
    "Machine",
    "Memory",
    "Misuse",
    "MisuseLog",
    "Pe",
    "PhysConfig",
    "TraceLog",
    "Tracer",
    "Traffic",
    "V2Config",
    "V2Profile",
    "V4Config",
    "VirtConfig",
    "arch",
    "arch4",
]
