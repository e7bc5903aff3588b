"""The machines the golden traces were recorded on, rebuilt from public names, and what each step does to a VM there.

Room:    below replay; an ordinary embedder of the library.
Owns:    the VM being driven.
Never:   uses a name that an embedder does not have.
Holds:   `execute` returns an outcome for every step, whatever it says; it never raises.

The recorded platforms, one VM at a time: a GICv3 host with 4 list registers, 5 priority and preemption bits and 24-bit
INTIDs, all of which are VirtConfig's defaults; and a GICv2 host with 4 list registers whose GICV_IIDR is 0x0002043B.
"""

from collections.abc import Callable
from typing import Final, final

from hw import Machine, V2Config, V2Profile, VirtConfig
from vgic import (
    CTRL_INIT,
    UNCLAIMED,
    UNDEFINED,
    Addr,
    Device,
    DeviceType,
    Group,
    Host,
    Vcpu,
    Vgic,
    VgicError,
    arch,
)
from vgic.cli.trace_file import JsonObject, MalformedStepError, Step

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


RECORDED: Final[dict[str, BuildMachine]] = {"v2": gicv2, "v3": gicv3}
"""The machine a trace was recorded on, by the name its header gives."""

SUBSTITUTES: Final[dict[str, BuildMachine]] = {"v3": gicv3_compatible}
"""Another machine that can run the same steps, by the name `--on` gives."""

FRAMES: Final[dict[DeviceType, dict[Addr, int]]] = {
    DeviceType.VGIC_V2: {Addr.V2_DIST: 0x0800_0000, Addr.V2_CPU: 0x0801_0000},
    DeviceType.VGIC_V3: {Addr.V3_DIST: 0x0800_0000, Addr.V3_REDIST: 0x080A_0000},
}
"""Where `new` puts a GIC's frames."""

TIMERS: Final = {27: "virtual timer", 30: "physical timer"}
"""PPI -> its owner.  Each is tied to the hardware interrupt of the same number when a vCPU first runs."""

DEVICE_TYPES: Final = {"v2": DeviceType.VGIC_V2, "v3": DeviceType.VGIC_V3}
SIZES: Final = (1, 2, 4, 8)
U32: Final = 0xFFFF_FFFF


def always_low(intid: int) -> bool:
    """The timers' output: no scenario programs them."""
    return False


class UnsupportedError(Exception):
    """An operation this release cannot do."""


@final
class ReplayVm:
    """The VM in use, the machine for it and those after it, and the vCPUs whose timers are set up."""

    def __init__(self, build: BuildMachine = gicv3) -> None:
        """Begin without a VM."""
        self.build = build
        self.vm: Vgic | None = None
        self.gic: Device | None = None
        self.vcpus: list[Vcpu] = []
        self.timers_ready: set[int] = set()

    def execute(self, step: Step) -> JsonObject:
        """Do one step and return what came of it, in the form of a recorded `expect`.

        Besides the recorded forms: {"undefined": true} for an access that gave the guest an exception,
        {"unsupported": op}, {"malformed": why}, and {"raised": what} for an error the library should not make.
        """
        operation = OPERATIONS.get(step.op)
        try:
            if operation is None:
                raise UnsupportedError
            return operation(self, step)
        except UnsupportedError:
            return {"unsupported": step.op}
        except MalformedStepError as error:
            return {"malformed": str(error)}
        except Exception as error:  # a replay outlives whatever the library does wrong, and reports it
            return {"raised": f"{type(error).__name__}: {error}"}

    def start(self, vcpus: int) -> Vgic:
        """Replace the VM, and the machine."""
        vm = Vgic(Host(self.build(vcpus)), threads=False)
        self.vm = vm
        self.gic = None
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
        if self.gic is not None and index not in self.timers_ready:
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

    def device(self, step: Step) -> Device:
        """Return the device a step names.  Errors: UnsupportedError for an ITS; MalformedStepError."""
        name = step.text("dev")
        if name == "its":
            raise UnsupportedError
        if name != "gic":
            raise MalformedStepError(f"there is no device {name!r}")
        if self.gic is None:
            raise MalformedStepError("the VM has no gic")
        return self.gic


# -- the VM --------------------------------------------------------------------------------------


def new(replay: ReplayVm, step: Step) -> JsonObject:
    """A fresh VM with vCPUs and a GIC, addresses set, initialised if asked for."""
    kind, vcpus, nr_irqs = device_type(step.text("irqchip")), step.number("vcpus"), step.number("nr_irqs")
    its, init = step.flag("its"), step.flag("init")
    try:
        gic = replay.start(vcpus).create_device(kind)
        replay.gic = gic
        if nr_irqs:
            gic.set_attr(Group.NR_IRQS, 0, nr_irqs)
        for attr, base in FRAMES[kind].items():
            gic.set_attr(Group.ADDR, attr, base)
        if init:
            gic.set_attr(Group.CTRL, CTRL_INIT)
    except VgicError as error:
        return {"ret": -error.errno}
    if its:
        raise UnsupportedError  # the VM is there, without the ITS
    return {"ret": 0}


def create_vm(replay: ReplayVm, step: Step) -> JsonObject:
    """A fresh VM with vCPUs alone; those created before an error stay."""
    try:
        replay.start(step.number("vcpus"))
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def create_vcpu(replay: ReplayVm, step: Step) -> JsonObject:
    """One more vCPU."""
    try:
        replay.vcpus.append(replay.running_vm().create_vcpu())
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def create_device(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_CREATE_DEVICE; the first GIC stays the one attributes go to."""
    try:
        gic = replay.running_vm().create_device(device_type(step.text("type")))
    except VgicError as error:
        return {"ret": -error.errno}
    replay.gic = gic
    return {"ret": 0}


def device_type(name: str) -> DeviceType:
    """Return the type a step names.  Errors: UnsupportedError for an ITS; MalformedStepError."""
    if name == "its":
        raise UnsupportedError
    if name not in DEVICE_TYPES:
        raise MalformedStepError(f"there is no device type {name!r}")
    return DEVICE_TYPES[name]


# -- the guest -----------------------------------------------------------------------------------


def read(replay: ReplayVm, step: Step) -> JsonObject:
    """A guest load."""
    index, gpa, size = step.number("vcpu"), step.hexadecimal("addr"), access_size(step)
    try:
        vcpu = replay.enter(index)
    except VgicError as error:
        return {"err": -error.errno}
    try:
        value = vcpu.read(gpa, size)
    finally:
        vcpu.exit()
    return {"unclaimed": True} if value == UNCLAIMED else {"value": hex(value)}


def write(replay: ReplayVm, step: Step) -> JsonObject:
    """A guest store."""
    index, gpa, size = step.number("vcpu"), step.hexadecimal("addr"), access_size(step)
    value = step.hexadecimal("value")
    try:
        vcpu = replay.enter(index)
    except VgicError as error:
        return {"err": -error.errno}
    try:
        claimed = vcpu.write(gpa, size, value)
    finally:
        vcpu.exit()
    return {} if claimed else {"unclaimed": True}


def mrs(replay: ReplayVm, step: Step) -> JsonObject:
    """A guest system register read."""
    index, register = step.number("vcpu"), system_register(step)
    try:
        vcpu = replay.enter(index)
    except VgicError as error:
        return {"err": -error.errno}
    try:
        value = vcpu.mrs(register)
    finally:
        vcpu.exit()
    return {"undefined": True} if value == UNDEFINED else {"value": hex(value)}


def msr(replay: ReplayVm, step: Step) -> JsonObject:
    """A guest system register write."""
    index, register, value = step.number("vcpu"), system_register(step), step.hexadecimal("value")
    try:
        vcpu = replay.enter(index)
    except VgicError as error:
        return {"err": -error.errno}
    try:
        done = vcpu.msr(register, value)
    finally:
        vcpu.exit()
    return {} if done else {"undefined": True}


def access_size(step: Step) -> int:
    """Return the width of a load or store.  Errors: MalformedStepError."""
    size = step.number("size")
    if size not in SIZES:
        raise MalformedStepError(f"no access has {size} bytes")
    return size


def system_register(step: Step) -> int:
    """Return the encoding of the register a step names.  Errors: MalformedStepError."""
    name = step.text("reg")
    register = arch.SYSREG_BY_NAME.get(name)
    if register is None:
        raise MalformedStepError(f"there is no system register {name!r}")
    return register


# -- the VMM -------------------------------------------------------------------------------------


def irq_line(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_IRQ_LINE."""
    word, level = step.hexadecimal("irq"), step.number("level")
    if word > U32:
        raise MalformedStepError(f"irq {word:#x} has more than 32 bits")
    try:
        replay.running_vm().irq_line(word, level)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def attr_get(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_GET_DEVICE_ATTR."""
    group, attr = step.number("group"), step.hexadecimal("attr")
    buffer = step.hexadecimal("value") if "value" in step.fields else 0
    try:
        return {"value": hex(replay.device(step).get_attr(group, attr, buffer))}
    except VgicError as error:
        return {"ret": -error.errno}


def attr_set(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_SET_DEVICE_ATTR."""
    group, attr, value = step.number("group"), step.hexadecimal("attr"), step.hexadecimal("value")
    try:
        replay.device(step).set_attr(group, attr, value)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def attr_has(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_HAS_DEVICE_ATTR."""
    group, attr = step.number("group"), step.hexadecimal("attr")
    try:
        replay.device(step).check_attr(group, attr)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def debug_state(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM's debugfs file vgic-state."""
    return {"text": replay.running_vm().debug_state()}


OPERATIONS: Final[dict[str, Callable[[ReplayVm, Step], JsonObject]]] = {
    "new": new,
    "create_vm": create_vm,
    "create_vcpu": create_vcpu,
    "create_device": create_device,
    "read": read,
    "write": write,
    "mrs": mrs,
    "msr": msr,
    "irq_line": irq_line,
    "attr_get": attr_get,
    "attr_set": attr_set,
    "attr_has": attr_has,
    "debug_state": debug_state,
}
