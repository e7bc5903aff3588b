"""The machines the golden traces were recorded on, rebuilt from public names, and the VM that runs there.

Room:    below replay_steps; an ordinary embedder of the library.
Owns:    the VM being driven, its devices and its RAM.
Never:   uses a name that an embedder does not have.

The recorded platforms, one VM at a time: a GICv3 host with 4 list registers, 5 priority and preemption bits and 24-bit
INTIDs, all of which are VirtConfig's defaults; and a GICv2 host with 4 list registers whose GICV_IIDR is 0x0002043B.
"""

from collections.abc import Callable
from typing import Final, final

from hw import GicVersion, ItsConfig, Machine, V2Config, V2Profile, V4Config, VirtConfig
from vgic import Addr, Device, DeviceType, EventCounter, Host, MsiRoute, PinRoute, Ram, Vcpu, Vgic
from vgic.cli.trace_file import MalformedStepError

VIRT: Final = VirtConfig(n_lr=4, pri_bits=5, pre_bits=5, id_bits=24)
COMPATIBLE: Final = VirtConfig(
    n_lr=4, pri_bits=5, pre_bits=5, id_bits=24, sre_legacy=True, v2_profile=V2Profile.RECORDED
)
GICV2: Final = V2Config(n_lr=4, profile=V2Profile.RECORDED)
MAX_CPUS: Final = 16
MAX_CPUS_V2: Final = 8

BuildMachine = Callable[[int], Machine]
"""Given the number of vCPUs; a machine has as many physical CPUs, as far as any scenario runs them."""


def gicv3(vcpus: int) -> Machine:
    """The machine of traces/v3."""
    return Machine(cpus=min(max(vcpus, 1), MAX_CPUS), virt=VIRT)


def gicv2(vcpus: int) -> Machine:
    """The machine of traces/v2."""
    return Machine(cpus=min(max(vcpus, 1), MAX_CPUS_V2), gic=GICV2)


def gicv3_compatible(vcpus: int) -> Machine:
    """A GICv3 that can be a GICv2 to its guests, whose GICV frame is the recorded one's."""
    return Machine(cpus=min(max(vcpus, 1), MAX_CPUS), virt=COMPATIBLE)


def gicv40(vcpus: int) -> Machine:
    """A GICv4.0 machine with one ITS and the recorded virtual CPU interface."""
    return _gicv4(vcpus, V4Config(version=GicVersion.V4_0))


def gicv41(vcpus: int) -> Machine:
    """A GICv4.1 machine with one ITS and the recorded virtual CPU interface."""
    return _gicv4(vcpus, V4Config())


def _gicv4(vcpus: int, v4: V4Config) -> Machine:
    return Machine(cpus=min(max(vcpus, 1), MAX_CPUS), virt=VIRT, v4=v4, its=(ItsConfig(),), strict=True)


RECORDED: Final[dict[str, BuildMachine]] = {"v2": gicv2, "v3": gicv3}
"""The machine a trace was recorded on, by the name its header gives."""

SUBSTITUTES: Final[dict[str, BuildMachine]] = {"v3": gicv3_compatible, "v4.0": gicv40, "v4.1": gicv41}
"""Another machine that can run the same steps, by the name `--on` gives: GICv2 guests on v3, GICv3 guests on v4."""

FRAMES: Final[dict[DeviceType, dict[Addr, int]]] = {
    DeviceType.VGIC_V2: {Addr.V2_DIST: 0x0800_0000, Addr.V2_CPU: 0x0801_0000},
    DeviceType.VGIC_V3: {Addr.V3_DIST: 0x0800_0000, Addr.V3_REDIST: 0x080A_0000},
    DeviceType.ITS: {Addr.ITS: 0x0808_0000},
}
"""Where `new` puts a device's frames."""

RAM_BASE: Final = 0x8000_0000
RAM_SIZE: Final = 64 << 20

TIMERS: Final = {27: "virtual timer", 30: "physical timer"}
"""PPI -> its owner.  Each is tied to the hardware interrupt of the same number when a vCPU first runs."""


def always_low(intid: int) -> bool:
    """The timers' output: no scenario programs them."""
    return False


@final
class ReplayVm:
    """The VM in use, the machine for it and those after it, and the vCPUs whose timers are set up."""

    def __init__(self, build: BuildMachine = gicv3) -> None:
        """Begin without a VM."""
        self.build = build
        self.vm: Vgic | None = None
        self.ram = Ram()
        self.devices: dict[str, Device] = {}  # "gic", "its": the last one created
        self.routes: list[PinRoute | MsiRoute] = []  # for the next table
        self.irqfds: dict[int, tuple[EventCounter, EventCounter]] = {}  # GSI -> its last eventfd and resample eventfd
        self.vcpus: list[Vcpu] = []
        self.timers_ready: set[int] = set()

    def start(self, vcpus: int) -> Vgic:
        """Replace the VM, its RAM and the machine."""
        self.ram = Ram()
        self.ram.add(RAM_BASE, RAM_SIZE)
        vm = Vgic(Host(self.build(vcpus), vgic_v4_enable=True), threads=False, memory=self.ram)
        self.vm = vm
        self.devices = {}
        self.routes = []
        self.irqfds = {}
        self.vcpus = []
        self.timers_ready = set()
        for _ in range(vcpus):
            self.vcpus.append(vm.create_vcpu())
        return vm

    def enter(self, index: int) -> Vcpu:
        """Enter a vCPU; the first time, its timers take their PPIs before the guest runs.  Errors: VgicError."""
        if index >= len(self.vcpus):
            raise MalformedStepError(f"there is no vCPU {index}")
        vcpu = self.vcpus[index]
        vcpu.enter()
        if "gic" in self.devices and index not in self.timers_ready:
            vcpu.exit()
            self.timers_ready.add(index)
            for intid, owner in TIMERS.items():
                vcpu.set_owner(intid, owner)
                vcpu.map_irq(intid, intid, always_low)
            vcpu.enter()
        return vcpu

    def running_vm(self) -> Vgic:
        """Return the VM.  Errors: MalformedStepError before the first one."""
        if self.vm is None:
            raise MalformedStepError("there is no VM yet")
        return self.vm

    def create_device(self, kind: DeviceType) -> Device:
        """Create a device; attributes go to the last one of its kind.  Errors: VgicError."""
        device = self.running_vm().create_device(kind)
        self.devices["its" if kind is DeviceType.ITS else "gic"] = device
        return device

    def device(self, name: str) -> Device:
        """Return a device by the name steps give it.  Errors: MalformedStepError."""
        device = self.devices.get(name)
        if device is None:
            raise MalformedStepError(f"the VM has no device {name!r}")
        return device
