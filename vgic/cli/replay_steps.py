"""What each step of a golden trace does to the VM it runs in.

Room:    below replay; replay_vm has the VM.  An ordinary embedder of the library.
Never:   uses a name that an embedder does not have.
Holds:   `execute` returns an outcome for every step, whatever it says; it never raises.
"""

from collections.abc import Callable
from errno import EFAULT
from typing import Final

from vgic import (
    CTRL_INIT,
    UNCLAIMED,
    UNDEFINED,
    DeviceType,
    EventCounter,
    Group,
    MsiRoute,
    PinRoute,
    VgicError,
    arch,
)
from vgic.cli.replay_vm import FRAMES, RAM_SIZE, ReplayVm
from vgic.cli.trace_file import JsonObject, MalformedStepError, Step

DEVICE_TYPES: Final = {"v2": DeviceType.VGIC_V2, "v3": DeviceType.VGIC_V3, "its": DeviceType.ITS}
GICS: Final = (DeviceType.VGIC_V2, DeviceType.VGIC_V3)
SIZES: Final = (1, 2, 4, 8)
U8: Final = 0xFF
U32: Final = 0xFFFF_FFFF


def execute(replay: ReplayVm, step: Step) -> JsonObject:
    """Do one step and return what came of it, in the form of a recorded `expect`.

    Besides the recorded forms: {"undefined": true} for an access that gave the guest an exception,
    {"unsupported": op}, {"malformed": why}, and {"raised": what} for an error the library should not make.
    """
    operation = OPERATIONS.get(step.op)
    if operation is None:
        return {"unsupported": step.op}
    try:
        return operation(replay, step)
    except MalformedStepError as error:
        return {"malformed": str(error)}
    except Exception as error:  # a replay outlives whatever the library does wrong, and reports it
        return {"raised": f"{type(error).__name__}: {error}"}


# -- the VM --------------------------------------------------------------------------------------


def new(replay: ReplayVm, step: Step) -> JsonObject:
    """A fresh VM with vCPUs, a GIC and an ITS if asked for: addresses set, initialised if asked for."""
    kind, vcpus, nr_irqs = device_type(step.text("irqchip")), step.number("vcpus"), step.number("nr_irqs")
    its, init = step.flag("its"), step.flag("init")
    if kind not in GICS:
        raise MalformedStepError("an ITS is no irqchip")
    try:
        replay.start(vcpus)
        gic = replay.create_device(kind)
        if nr_irqs:
            gic.set_attr(Group.NR_IRQS, 0, nr_irqs)
        for attr, base in FRAMES[kind].items():
            gic.set_attr(Group.ADDR, attr, base)
        if init:
            gic.set_attr(Group.CTRL, CTRL_INIT)
        if its:
            device = replay.create_device(DeviceType.ITS)
            for attr, base in FRAMES[DeviceType.ITS].items():
                device.set_attr(Group.ADDR, attr, base)
            device.set_attr(Group.CTRL, CTRL_INIT)
    except VgicError as error:
        return {"ret": -error.errno}
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
    """KVM_CREATE_DEVICE."""
    kind = device_type(step.text("type"))
    try:
        replay.create_device(kind)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def device_type(name: str) -> DeviceType:
    """Return the type a step names.  Errors: MalformedStepError."""
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


def signal_msi(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_SIGNAL_MSI."""
    doorbell, data, devid, flags = (
        step.hexadecimal("addr"),
        word(step, "data"),
        word(step, "devid"),
        word(step, "flags"),
    )
    try:
        return {"ret": replay.running_vm().signal_msi(doorbell, data, devid, flags)}
    except VgicError as error:
        return {"ret": -error.errno}


def word(step: Step, name: str) -> int:
    """Return a number of 32 bits.  Errors: MalformedStepError."""
    value = step.number(name)
    if value > U32:
        raise MalformedStepError(f"{name} {value:#x} has more than 32 bits")
    return value


def attr_get(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_GET_DEVICE_ATTR."""
    group, attr = step.number("group"), step.hexadecimal("attr")
    buffer = step.hexadecimal("value") if "value" in step.fields else 0
    try:
        return {"value": hex(replay.device(step.text("dev")).get_attr(group, attr, buffer))}
    except VgicError as error:
        return {"ret": -error.errno}


def attr_set(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_SET_DEVICE_ATTR."""
    group, attr, value = step.number("group"), step.hexadecimal("attr"), step.hexadecimal("value")
    try:
        replay.device(step.text("dev")).set_attr(group, attr, value)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def attr_has(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_HAS_DEVICE_ATTR."""
    group, attr = step.number("group"), step.hexadecimal("attr")
    try:
        replay.device(step.text("dev")).check_attr(group, attr)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def mem_write(replay: ReplayVm, step: Step) -> JsonObject:
    """The VMM stores a little-endian number in guest memory."""
    gpa, size, value = step.hexadecimal("addr"), access_size(step), step.hexadecimal("value")
    if value >> 8 * size:
        raise MalformedStepError(f"{value:#x} has more than {size} bytes")
    return {"ret": 0 if replay.ram.write(gpa, value.to_bytes(size, "little")) else -EFAULT}


def mem_fill(replay: ReplayVm, step: Step) -> JsonObject:
    """The VMM fills guest memory with one byte."""
    gpa, size, value = step.hexadecimal("addr"), step.number("size"), step.number("value")
    if value > U8:
        raise MalformedStepError(f"{value:#x} is no byte")
    return {"ret": 0 if size <= RAM_SIZE and replay.ram.write(gpa, bytes([value]) * size) else -EFAULT}


def mem_read(replay: ReplayVm, step: Step) -> JsonObject:
    """The VMM reads a little-endian number from guest memory."""
    data = replay.ram.read(step.hexadecimal("addr"), access_size(step))
    return {"ret": -EFAULT} if data is None else {"value": hex(int.from_bytes(data, "little"))}


def route_irqchip(replay: ReplayVm, step: Step) -> JsonObject:
    """An entry of the next routing table: a pin."""
    replay.routes.append(PinRoute(word(step, "gsi"), word(step, "pin")))
    return {"ret": 0}


def route_msi(replay: ReplayVm, step: Step) -> JsonObject:
    """An entry of the next routing table: a message."""
    gsi, doorbell, data, devid = word(step, "gsi"), step.hexadecimal("addr"), word(step, "data"), word(step, "devid")
    replay.routes.append(MsiRoute(gsi, doorbell, data, devid))
    return {"ret": 0}


def set_routing(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_SET_GSI_ROUTING with the entries since the last one."""
    entries, replay.routes = replay.routes, []
    try:
        replay.running_vm().set_gsi_routing(entries)
    except VgicError as error:
        return {"ret": -error.errno}
    return {"ret": 0}


def irqfd(replay: ReplayVm, step: Step) -> JsonObject:
    """KVM_IRQFD with fresh eventfds."""
    gsi, resample = word(step, "gsi"), step.flag("resample")
    eventfd, resamplefd = EventCounter(), EventCounter()
    try:
        replay.running_vm().irqfd(eventfd, gsi, resamplefd if resample else None)
    except VgicError as error:
        return {"ret": -error.errno}
    replay.irqfds[gsi] = (eventfd, resamplefd)
    return {"ret": 0}


def irqfd_signal(replay: ReplayVm, step: Step) -> JsonObject:
    """The last eventfd of a GSI is signalled."""
    eventfd, _ = bound(replay, step)
    eventfd.signal()
    replay.running_vm().irqfd_fired(eventfd)
    return {"ret": 0}


def irqfd_resampled(replay: ReplayVm, step: Step) -> JsonObject:
    """The counter of the last resample eventfd of a GSI is read."""
    _, resamplefd = bound(replay, step)
    return {"value": hex(resamplefd.take())}


def bound(replay: ReplayVm, step: Step) -> tuple[EventCounter, EventCounter]:
    """Return the eventfds of the GSI a step names.  Errors: MalformedStepError."""
    gsi = word(step, "gsi")
    if gsi not in replay.irqfds:
        raise MalformedStepError(f"GSI {gsi} has no irqfd")
    return replay.irqfds[gsi]


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
    "signal_msi": signal_msi,
    "mem_write": mem_write,
    "mem_fill": mem_fill,
    "mem_read": mem_read,
    "route_irqchip": route_irqchip,
    "route_msi": route_msi,
    "set_routing": set_routing,
    "irqfd": irqfd,
    "irqfd_signal": irqfd_signal,
    "irqfd_resampled": irqfd_resampled,
    "attr_get": attr_get,
    "attr_set": attr_set,
    "attr_has": attr_has,
    "debug_state": debug_state,
}
