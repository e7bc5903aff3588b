"""What a machine is: everything that, with its input, decides how it runs.

Room:    beside layout.
Never:   changes after construction; reads a file.
Holds:   a configuration that exists is one that can be built.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from hw import GicVersion
from vmm.layout import MAX_CPUS, MAX_RAM, MIB

MAX_CPUS_V2: Final = 8


class ConfigError(Exception):
    """A machine that cannot be: the message shows the values and what they clash with."""


class IrqChip(Enum):
    """The guest's interrupt controller, in kvmtool's words."""

    GICV2 = "gicv2"
    GICV3 = "gicv3"
    GICV3_ITS = "gicv3-its"


def can_host(gic_version: GicVersion, irqchip: IrqChip) -> bool:
    """Whether guests with this interrupt controller run on such a host; a GICv2's has its own GIC, a GICv2."""
    return gic_version is GicVersion.V3 or irqchip is not IrqChip.GICV2


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """One machine, without its images.

    cpus          vCPUs, 1 to 8 (GICv2) or 123 (GICv3)
    pcpus         physical CPUs they share; 0: as many as vCPUs
    ram           bytes, a multiple of 2 MiB
    irqchip       the guest's interrupt controller
    lrs           list registers of each physical CPU, 1 to 16
    gic_version   of the host's GIC: V4_0 and V4_1 inject a GICv3 guest's interrupts directly
    slice_length  instructions of one guest entry at most; 0: 20,000 as long as other vCPUs could run, else 200,000
    budget        instructions of all vCPUs together after which the machine is stopped; 0: none
    fast_engine   use the engine's private state (checked at start) where documented calls are slow; the same run
    exact_time    count a stopped slice's instructions exactly, which needs the engine's private counter
    """

    cpus: int = 1
    pcpus: int = 0
    ram: int = 512 * MIB
    irqchip: IrqChip = IrqChip.GICV3_ITS
    lrs: int = 4
    gic_version: GicVersion = GicVersion.V3
    slice_length: int = 0
    budget: int = 0
    fast_engine: bool = True
    exact_time: bool = True

    @property
    def has_gicv3(self) -> bool:
        """Whether the guest's interrupt controller is a GICv3."""
        return self.irqchip is not IrqChip.GICV2

    def __post_init__(self) -> None:
        """Check every parameter.  Errors: ConfigError."""
        most = MAX_CPUS_V2 if self.irqchip is IrqChip.GICV2 else MAX_CPUS
        for name, value, low, high in (
            ("vCPUs", self.cpus, 1, most),
            ("physical CPUs", self.pcpus, 0, self.cpus),
            ("bytes of RAM", self.ram, 2 * MIB, MAX_RAM),
            ("list registers", self.lrs, 1, 16),
            ("instructions a slice", self.slice_length, 0, 10_000_000),
            ("instructions in all", self.budget, 0, 1 << 62),
        ):
            if not low <= value <= high:
                raise ConfigError(f"{value} {name}: {low} to {high} are possible")
        if not can_host(self.gic_version, self.irqchip):
            raise ConfigError(f"a host with GICv{self.gic_version.value} has no guests with {self.irqchip.value}")
        if self.ram % (2 * MIB):
            raise ConfigError(f"{self.ram:#x} bytes of RAM: not a multiple of 2 MiB")
