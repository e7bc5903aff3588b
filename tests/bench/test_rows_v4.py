"""The rows of rows.py for direct injection with the hypervisor that set it up: a VM on a GICv4.1 host."""

from typing import Final

from hw import ItsConfig, Machine, Memory, V4Config
from tests.bench.measure import RowFixture
from vgic import (
    CTRL_INIT,
    GICD_BASE,
    GICR_BASE,
    Addr,
    DeviceType,
    EventCounter,
    Group,
    Host,
    HostMsi,
    MsiRoute,
    Ram,
    Vcpu,
    Vgic,
    arch,
)

GITS: Final = 0x0808_0000
RAM: Final = 0x8000_0000
VALID: Final = 1 << 63
LPI: Final = 8192
SGI: Final = 3
NR_PENDING: Final = 64
IAR1: Final = arch.ICC_IAR1_EL1
EOIR1: Final = arch.ICC_EOIR1_EL1
NASSGIREQ: Final = 1 << 8


class Guest:
    """Two vCPUs, with `events` vectors forwarded to each, and SGIs without an active state."""

    def __init__(self, cpus: int, events: int) -> None:
        self.host = Host(Machine(cpus, memory=Memory(1 << 38), v4=V4Config(), its=[ItsConfig()]), vgic_v4_enable=True)
        ram = Ram()
        ram.add(RAM, 16 << 20)
        ram.write(RAM, bytes([0xA1]) * 0x1_0000)
        self.vm = Vgic(self.host, memory=ram)
        for _ in range(2):
            self.vm.create_vcpu()
        gic = self.vm.create_device(DeviceType.VGIC_V3)
        gic.set_attr(Group.ADDR, Addr.V3_DIST, GICD_BASE)
        gic.set_attr(Group.ADDR, Addr.V3_REDIST, GICR_BASE)
        gic.set_attr(Group.CTRL, CTRL_INIT)
        self.vm.create_device(DeviceType.ITS).set_attr(Group.ADDR, Addr.ITS, GITS)
        for n, vcpu in enumerate(self.vm.vcpus):
            redist = GICR_BASE + n * 0x2_0000
            vcpu.enter(0)
            vcpu.write(redist + 0x70, 8, RAM | 15)
            vcpu.write(redist + 0x78, 8, RAM + 0x10_0000 * (n + 1) | 1 << 62)
            vcpu.write(redist, 4, 1)
            vcpu.msr(arch.ICC_PMR_EL1, 0xF8)
            vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
            vcpu.exit()
        vcpu = self.vcpu = self.vm.vcpus[0]
        vcpu.enter(0)
        vcpu.write(GITS + 0x80, 8, VALID | RAM + 0x40_0000 | 15)
        vcpu.write(GITS + 0x100, 8, VALID | RAM + 0x50_0000)
        vcpu.write(GITS + 0x108, 8, VALID | RAM + 0x60_0000)
        vcpu.write(GITS, 4, 1)
        commands = [(0x08, 8, VALID | RAM + 0x70_0000, 0), (0x09, 0, VALID, 0), (0x09, 0, VALID | 1 << 16 | 1, 0)]
        commands += [(0x0A, LPI + n << 32 | n, n // events, 0) for n in range(2 * events)]
        words = b"".join(word.to_bytes(8, "little") for command in commands for word in command)
        ram.write(RAM + 0x40_0000, words)
        vcpu.write(GITS + 0x88, 8, len(words))
        vcpu.write(GICD_BASE, 4, 0x12 | NASSGIREQ)
        vcpu.exit()
        self.vm.set_gsi_routing([MsiRoute(n, GITS + 0x1_0040, n, 0) for n in range(2 * events)])
        self.vectors = [self.vector(n) for n in range(2 * events)]

    def vector(self, n: int) -> HostMsi:
        """A vector of a device, forwarded to event n of the guest's."""
        fd = EventCounter()
        msi = self.host.request_msi(1, n, vectors=256)
        self.vm.irqfd(fd, n)
        self.vm.add_producer(fd, msi)
        assert msi.direct is not None, "measured something else"
        return msi


def vlpi(host: Host, msi: HostMsi, vcpu: Vcpu) -> int:
    host.msi(msi)
    intid = vcpu.mrs(IAR1)
    vcpu.msr(EOIR1, intid)
    return intid


def vsgi(sender: Vcpu, target: Vcpu) -> int:
    sender.msr(arch.ICC_SGI1R_EL1, SGI << 24 | 0b10)
    intid = target.mrs(IAR1)
    target.msr(EOIR1, intid)
    return intid


def change_residency(vcpus: tuple[Vcpu, Vcpu]) -> None:
    """Each vCPU in turn is preempted by the other."""
    for vcpu in vcpus:
        vcpu.enter()
        vcpu.exit()
        vcpu.put()


def test_v4_vlpi(row: RowFixture) -> None:
    """A device's message to a running vCPU, acknowledged and completed by its guest; the VM's lock is on.

    Unit: one message.  Expect: constant; no exit, no list register.
    """
    guest = Guest(1, 1)
    guest.vcpu.enter()
    before = guest.vcpu.cost.copy()
    taken = row("v4_vlpi")(vlpi, guest.host, guest.vectors[0], guest.vcpu)
    spent = guest.vcpu.cost.diff(before)
    assert (taken, spent.entries, spent.lr_writes) == (LPI, 0, 0), "measured something else"


def test_v4_vsgi(row: RowFixture) -> None:
    """A guest's SGI to a running vCPU, acknowledged and completed there; the VM's lock is on.

    Unit: one write of ICC_SGI1R_EL1, whose trap writes GITS_SGIR.  Expect: constant; no exit of the target.
    """
    guest = Guest(2, 1)
    sender, target = guest.vm.vcpus
    sender.enter(0)
    target.enter(1)
    before = target.cost.copy()
    taken = row("v4_vsgi")(vsgi, sender, target)
    spent = target.cost.diff(before)
    assert (taken, spent.entries, spent.lr_writes) == (SGI, 0, 0), "measured something else"


def test_v4_residency_64_pending(row: RowFixture) -> None:
    """Two vCPUs take turns on a physical CPU, each with 64 vLPIs pending; the VM's lock is on.

    Unit: one put and one entry, exit included.  Expect: the same with nothing pending; no ITS command.
    """
    guest = Guest(1, NR_PENDING)
    for msi in guest.vectors:
        guest.host.msi(msi)
    first, second = guest.vm.vcpus
    first.put()
    commands = guest.host.machine.itss[0].cost.commands
    row("v4_residency_64_pending", per=2)(change_residency, (first, second))
    assert guest.host.machine.itss[0].cost.commands == commands, "measured something else"
    pending = [len(vpe.pending) for vpe in guest.host.machine.vpes.by_key.values()]
    assert pending == [NR_PENDING] * 2, "measured something else"
