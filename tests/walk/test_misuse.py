"""A VMM that calls anything at any time: only VgicError, with an errno of KVM's, and a refused call changes nothing.

What KVM itself leaves behind is excepted by name: `STICKY`.
"""

import errno
from collections.abc import Callable
from random import Random
from typing import Final

import pytest

from hw import Machine, V2Config, VirtConfig
from hw.arch import ICC_CTLR_EL1, SYSREG_NAMES
from tests.support import GICC_BASE, GICD_BASE, GICR_BASE, Frozen, freeze
from tests.walk import invariants
from tests.walk.setup import Kind
from vgic import CREATE_DEVICE_TEST, CTRL_INIT, Addr, Device, DeviceType, Group, Host, Vgic, VgicError
from vgic.ids import NR_SGIS
from vgic.v2.cpuif import GICC
from vgic.v2.dist import GICD as GICD_V2
from vgic.v3.dist import GICD
from vgic.v3.redist import GICR

SEEDS: Final = range(40)
KINDS: Final = list(Kind)
CALLS_A_SEED: Final = 400
SHOWN: Final = 30

ERRNOS: Final = {
    errno.E2BIG,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EEXIST,
    errno.EINVAL,
    errno.EIO,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENXIO,
}
STICKY: Final = (
    ("create_vcpu", errno.EEXIST),  # the redistributor's slot stays used
    ("create_device", errno.E2BIG),  # the limit of vCPUs stays what the refused model needs
    ("create_irqchip", errno.E2BIG),
    ("first entry", errno.ENXIO),  # kills the VM
    ("first entry", errno.EINVAL),
    ("first entry", errno.EBUSY),
    (f"set CPU_SYSREGS {ICC_CTLR_EL1:#x}", errno.EINVAL),  # keeps the priority and INTID bits that it had lowered
)
LAZY: Final = ("inject", "irq_line", "set DIST_REGS", "get DIST_REGS", "set CPU_REGS", "get CPU_REGS")
"""What initialises a GICv2 before anything else is looked at, and so may be refused and yet have done that."""

ADDRESSES: Final = (
    0,
    0x0800_0000,
    0x080A_0000,
    0x0801_0000,
    0x1000,
    (1 << 40) - 0x1_0000,
    1 << 40,
    (1 << 64) - 0x1_0000,
)
NUMBERS: Final = (
    -1,
    0,
    1,
    2,
    7,
    15,
    16,
    27,
    31,
    32,
    40,
    63,
    64,
    95,
    96,
    256,
    991,
    1019,
    1020,
    1023,
    1024,
    8192,
    1 << 32,
)


class Vmm:
    """One VM, and a VMM that has lost its mind."""

    def __init__(self, seed: int, kind: Kind) -> None:
        self.rng = rng = Random(seed)
        self.kind = kind
        virt = VirtConfig(n_lr=rng.randint(1, 4), pri_bits=rng.randint(5, 7), sre_legacy=kind is Kind.V2_ON_V3)
        cpus = rng.randint(1, 2)
        machine = Machine(cpus, gic=V2Config(n_lr=virt.n_lr)) if kind is Kind.V2 else Machine(cpus, virt)
        self.vm = Vgic(Host(machine, gicv_trap=rng.random() < 0.1), threads=False)
        self.dist = self.vm._dist  # a VM without vCPUs has no other way in
        self.devices: list[Device] = []
        self.what = ""
        self.log: list[str] = []
        self.begin_well(rng.randint(0, 4))

    def begin_well(self, stage: int) -> None:
        """Do what a sane VMM does first, up to a stage, so that madness meets all of a VM's life."""
        is_v2 = self.kind is not Kind.V3 and self.dist.host.has_gicv2_guests
        if stage >= 1:
            for _ in range(self.rng.randint(1, 3)):
                self.vm.create_vcpu()
            self.devices.append(self.vm.create_device(DeviceType.VGIC_V2 if is_v2 else DeviceType.VGIC_V3))
        if stage >= 2:
            self.devices[0].set_attr(Group.NR_IRQS, 0, 64)
            self.devices[0].set_attr(Group.ADDR, Addr.V2_DIST if is_v2 else Addr.V3_DIST, GICD_BASE)
            if is_v2:
                self.devices[0].set_attr(Group.ADDR, Addr.V2_CPU, GICC_BASE)
            else:
                self.devices[0].set_attr(Group.ADDR, Addr.V3_REDIST, GICR_BASE)
        if stage >= 3:
            self.devices[0].set_attr(Group.CTRL, CTRL_INIT)
        if stage >= 4:
            self.vm.vcpus[0].enter()

    def call(self) -> None:
        """One call.  Raises AssertionError when it breaks a promise."""
        rng = self.rng
        action = rng.choice(ACTIONS)
        before = freeze(self.dist)
        was_initialized = self.dist.initialized
        refusal = self.refusal_of(action)
        if refusal is None:
            self.log.append(self.what)
            return
        self.log.append(f"{self.what} -> {refusal}")
        assert refusal.errno in ERRNOS, f"{self.what} raised {refusal!r}"
        if self.dist.initialized and not was_initialized:
            assert self.dist.model is DeviceType.VGIC_V2, f"{self.what} initialised a GICv3"
            assert self.what.startswith(LAZY), f"{self.what} was refused, and initialised the GICv2"
        elif not any(self.what.startswith(name) and refusal.errno == number for name, number in STICKY):
            assert_unchanged(before, freeze(self.dist), self.what)

    def refusal_of(self, action: "Action") -> VgicError | None:
        """Do it; return the error it raised."""
        self.what = action.__name__
        try:
            action(self)
        except VgicError as error:
            return error
        return None

    def number(self) -> int:
        return self.rng.choice(NUMBERS) if self.rng.random() < 0.8 else self.rng.randint(-5, 1100)

    def value(self) -> int:
        rng = self.rng
        kind = rng.random()
        if kind < 0.3:
            return rng.choice(ADDRESSES)
        if kind < 0.5:
            return rng.choice(ADDRESSES) | rng.randint(0, 4) << 52 | rng.randint(0, 3)
        if kind < 0.7:
            return rng.choice((64, 96, 0, 1, 2, 3, 7, 0x4B00343B, 0x4B00243B, -1, 1 << 64))
        return rng.getrandbits(rng.randint(1, 64))

    def attr(self, group: int) -> int:
        rng = self.rng
        if rng.random() < 0.1:
            return rng.getrandbits(64)
        aff = rng.choice((0, 0, 1, 2, 0x100, 0xFFFF_FFFF)) << 32
        if self.dist.model is DeviceType.VGIC_V2 and group in (Group.DIST_REGS, Group.CPU_REGS):
            row = rng.choice((GICD_V2 if group == Group.DIST_REGS else GICC).rows)
            return aff | row.offset + rng.choice((0, 4, 8, 1, row.length))
        if group in (Group.DIST_REGS, Group.REDIST_REGS):
            row = rng.choice((GICD if group == Group.DIST_REGS else GICR).rows)
            return aff | row.offset + rng.choice((0, 4, 8, 1, row.length))
        if group == Group.CPU_SYSREGS:
            return aff | rng.choice(tuple(SYSREG_NAMES))
        if group == Group.LEVEL_INFO:
            return aff | rng.choice((0, 32, 64, 992, 31, 1 << 10))
        if group == Group.ADDR:
            return int(rng.choice((*Addr, 6)))
        return rng.choice((0, 1, 2, 3, 4, 9))


Action = Callable[[Vmm], None]


def create_vcpu(vmm: Vmm) -> None:
    vmm.vm.create_vcpu(None if vmm.rng.random() < 0.5 else vmm.number())


def create_device(vmm: Vmm) -> None:
    kind = vmm.rng.choice((*DeviceType, DeviceType.VGIC_V2, DeviceType.VGIC_V3, 0, 99))
    vmm.devices.append(vmm.vm.create_device(kind, vmm.rng.choice((0, 0, CREATE_DEVICE_TEST, 2))))


def create_irqchip(vmm: Vmm) -> None:
    if vmm.rng.random() < 0.1:  # would end most walks before they begin
        vmm.vm.create_irqchip()


def set_device_addr(vmm: Vmm) -> None:
    number = vmm.rng.choice((0, 1, 2, 3, 1 << 16, 1 << 32, -1))
    addr = vmm.rng.choice((*ADDRESSES, vmm.value()))
    vmm.what = f"set_device_addr {number:#x} to {addr:#x}"
    vmm.vm.set_device_addr(number, addr)


def attribute(vmm: Vmm) -> None:
    rng = vmm.rng
    if not vmm.devices:
        return
    device = rng.choice(vmm.devices)
    group = rng.choice((*Group, *Group, 9, -1))
    attr, value = vmm.attr(group), vmm.value()
    name = Group(group).name if group in tuple(Group) else str(group)
    kind = rng.random()
    if kind < 0.6:
        shown = attr & 0xFFFF if group == Group.CPU_SYSREGS else attr
        vmm.what = f"set {name} {shown:#x} to {value:#x}"
        device.set_attr(group, attr, value)
    elif kind < 0.8:
        vmm.what = f"get {name} {attr:#x} {value:#x}"
        assert device.get_attr(group, attr, value) >= 0, f"{vmm.what} is negative"
    else:
        vmm.what = f"has {name} {attr:#x}"
        device.check_attr(group, attr)


def irq_line(vmm: Vmm) -> None:
    rng = vmm.rng
    word = rng.getrandbits(32)
    if rng.random() < 0.8:
        word = rng.randrange(4) << 24 | rng.randrange(3) << 16 | max(vmm.number(), 0) & 0xFFFF
    vmm.what = f"irq_line {word:#x}"
    vmm.vm.irq_line(word, rng.choice((0, 1, 2)))


def inject(vmm: Vmm) -> None:
    vcpu = vmm.rng.choice((None, *vmm.vm.vcpus))
    intid, owner = vmm.number(), vmm.rng.choice((None, None, "somebody"))
    if 0 <= intid < NR_SGIS and vmm.dist.model is DeviceType.VGIC_V2:
        return  # as in KVM nothing refuses it, and a GICv2's SGI is then pending without a source: I7
    vmm.what = f"inject {intid} on {vcpu.index if vcpu is not None else None} by {owner}"
    vmm.vm.inject(intid, vmm.rng.random() < 0.7, vcpu=vcpu, owner=owner)


def ack_notifier(vmm: Vmm) -> None:
    intid = vmm.number()
    vmm.what = f"notifier {intid}"
    if vmm.rng.random() < 0.5:
        vmm.vm.add_ack_notifier(intid, _listen)
    else:
        vmm.vm.remove_ack_notifier(intid, _listen)


def _listen(intid: int) -> None:
    """A device that does not care."""


def of_a_vcpu(vmm: Vmm) -> None:
    """Any call on a vCPU, whatever it is doing."""
    rng = vmm.rng
    if not vmm.vm.vcpus:
        return
    vcpu = rng.choice(vmm.vm.vcpus)
    intid = vmm.number()
    calls: dict[str, Callable[[], object]] = {
        "enter": lambda: vcpu.enter(rng.choice((None, None, 0, 1, -1, 99))),
        "exit": vcpu.exit,
        "put": vcpu.put,
        "pending": vcpu.pending,
        "read": lambda: vcpu.read(rng.choice(ADDRESSES), rng.choice((1, 2, 4, 8, 0, 3, -4, 16))),
        "write": lambda: vcpu.write(rng.choice(ADDRESSES) + 0x100, rng.choice((4, 8, 0, 5)), vmm.value()),
        "mrs": lambda: vcpu.mrs(rng.choice(tuple(SYSREG_NAMES))),
        "msr": lambda: vcpu.msr(rng.choice(tuple(SYSREG_NAMES)), vmm.value()),
        "map_irq": lambda: vcpu.map_irq(intid, vmm.number(), sw_resample=rng.random() < 0.3),
        "unmap_irq": lambda: vcpu.unmap_irq(intid),
        "map_is_active": lambda: vcpu.map_is_active(intid),
        "reset_mapped": lambda: vcpu.reset_mapped(intid),
        "set_owner": lambda: vcpu.set_owner(intid, rng.choice((None, "somebody", "another"))),
        "set_mpidr": lambda: vcpu.set_mpidr(rng.choice((0, 1, 0x100, -1, 1 << 32, 0xFFFF_FFFF))),
    }
    name = rng.choice(("enter", "enter", "exit", *calls))
    first = name == "enter" and not vmm.dist.ready
    if first and rng.random() < 0.9:  # it mostly kills the VM
        return
    vmm.what = f"{'first entry' if first else name} of vCPU {vcpu.index} ({intid})"
    calls[name]()


ACTIONS: Final[tuple[Action, ...]] = (
    create_vcpu,
    create_device,
    create_irqchip,
    set_device_addr,
    *(attribute,) * 8,
    *(irq_line,) * 2,
    *(inject,) * 2,
    ack_notifier,
    *(of_a_vcpu,) * 8,
)


def assert_unchanged(before: Frozen, after: Frozen, what: str) -> None:
    """Name the part of the VM that a refused call changed."""
    for was, now in zip(before, after, strict=True):
        assert was == now, f"{what} was refused, and changed\n{was}\nto\n{now}"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_a_mad_vmm_gets_errors(kind: Kind, seed: int) -> None:
    vmm = Vmm(seed, kind)
    try:
        for _ in range(CALLS_A_SEED):
            vmm.call()
            invariants.at_rest(vmm.vm)
    except Exception as error:
        last = "\n".join(f"    {line}" for line in (*vmm.log[-SHOWN:], vmm.what))
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}\nthe last calls:\n{last}") from error
