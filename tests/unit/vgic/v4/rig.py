"""A host with GICv4, guests with an ITS on it, devices whose vectors go there; and what the host told the hardware.

Room:    under the tests of vgic/v4.
Owns:    the log of ITS commands, by name, as they enter the queues.
Never:   computes an expected value.
Holds:   after every step the machine, the vPEs and the misuse log are sound.
"""

from collections.abc import Sequence
from typing import Final

from hw import GicVersion, Its, ItsConfig, Machine, Memory, PhysConfig, V4Config, VirtConfig, arch
from hw import arch4 as a
from tests.unit.vgic.its.rig import DOORBELL, ENABLED, ItsRig, mapc, mapd, mapti
from vgic import EventCounter, Host, HostMsi, MsiRoute, PinRoute
from vgic.v4.forward import Vlpi
from vgic.v4.hostgic import HostGic
from vgic.v4.vm import ItsVm
from vgic.v4.vpe import Vpe

DEV: Final = 16
LPI: Final = 8192
VGRP1: Final = a.VPENDBASER_VGRP1EN


class CommandLog:
    """The commands that were put into the queue of each ITS, as the hardware will read them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.read = [its.read(a.GITS_CWRITER, 8) for its in machine.itss]

    def words(self, its: int = 0) -> list[tuple[int, int, int, int]]:
        """New ones since the last time."""
        unit: Its = self.machine.itss[its]
        queue = unit.read(a.GITS_CBASER, 8) & a.PA_4K
        end = unit.read(a.GITS_CWRITER, 8)
        found = []
        at = self.read[its]
        while at != end:
            w = [self.machine.memory.read(queue + at + 8 * n, 8) for n in range(4)]
            found.append((w[0], w[1], w[2], w[3]))
            at = (at + 32) % unit.queue_size
        self.read[its] = end
        return found

    def names(self, its: int = 0) -> list[str]:
        """Their names."""
        return [a.COMMAND_NAMES[words[0] & 0xFF] for words in self.words(its)]

    def clear(self) -> None:
        for its in self.machine.itss:
            self.words(its.number)


def make_host(
    cpus: int = 4,
    v4: V4Config | None = None,
    its: Sequence[ItsConfig] = (ItsConfig(),),
    virt: VirtConfig | None = None,
    enable: bool = True,
    strict: bool = True,
) -> Host:
    """A host with GICv4.1 unless `v4` says otherwise."""
    machine = Machine(cpus, virt, memory=Memory(1 << 38), v4=v4 or V4Config(), its=its, strict=strict)
    return Host(machine, vgic_v4_enable=enable)


def host40(direct_lpi: bool = True, its: Sequence[ItsConfig] = (ItsConfig(),), cpus: int = 4) -> Host:
    """A host with GICv4.0."""
    phys = PhysConfig(direct_lpi=direct_lpi)
    machine = Machine(
        cpus, phys=phys, memory=Memory(1 << 38), v4=V4Config(version=GicVersion.V4_0), its=its, strict=True
    )
    return Host(machine, vgic_v4_enable=True)


class V4Rig(ItsRig):
    """A GICv3 guest on such a host."""

    def __init__(self, vcpus: int = 2, host: Host | None = None, bare: bool = False) -> None:
        self.v4host = host or make_host()
        super().__init__(vcpus, host=self.v4host, bare=bare)
        self.machine = self.v4host.machine
        self.log = CommandLog(self.machine)
        self.misuse_allowed = {"M-35"}  # GICv4.1's vPEs are unmapped while their tables are read
        self.fds: dict[int, EventCounter] = {}
        self.msis: dict[int, HostMsi] = {}
        self.routes: dict[int, MsiRoute | PinRoute] = {}

    @property
    def gicv4(self) -> HostGic:
        gic = self.v4host.gic
        assert gic is not None
        return gic

    @property
    def direct(self) -> ItsVm:
        direct = self.dist.direct
        assert isinstance(direct, ItsVm)
        return direct

    def vpe(self, n: int = 0) -> Vpe:
        return self.direct.vpes[n]

    def check(self) -> None:
        self.vm.check()
        self.machine.check()
        records = [record for record in self.machine.misuse.records if record.code not in self.misuse_allowed]
        assert not records, records
        if isinstance(self.dist.direct, ItsVm):
            self.dist.direct.check()
            counts = [0] * len(self.direct.vpes)
            for irq in self.dist.lpis.ascending():
                if isinstance(irq.direct, Vlpi):
                    assert not irq.pending_latch
                    counts[irq.direct.vpe.vcpu.index] += 1
                    byte = self.machine.memory.read(self.direct.vct + irq.intid - LPI, 1)
                    assert byte == irq.direct.byte, "P13"
            assert counts == [vpe.vlpis for vpe in self.direct.vpes], "P10"

    # -- devices ---------------------------------------------------------------------------------

    def map_lpi(self, n: int = 0, target: int = 0, byte: int = ENABLED) -> None:
        """The guest maps event n of DEV to LPI + n, in collection `target`."""
        self.configure(LPI + n, byte)
        if DEV not in self.its.maps.devices:
            self.do(mapd(DEV, 8))
        self.do(mapc(target, target), mapti(DEV, n, LPI + n, target))

    def vector(self, n: int = 0, devid: int | None = None, its: int = 0, cpu: int = 0) -> HostMsi:
        """VFIO requests vector n of a device, and the VMM binds it to a GSI that goes to event n of the guest's DEV."""
        fd = EventCounter()

        def fired() -> None:
            fd.signal()
            self.vm.irqfd_fired(fd)

        msi = self.v4host.request_msi(DEV if devid is None else devid, n, fired, its=its, cpu=cpu)
        self.fds[n] = fd
        self.msis[n] = msi
        self.routes[n] = MsiRoute(n, DOORBELL, n, DEV)
        self.vm.set_gsi_routing(list(self.routes.values()))
        self.vm.irqfd(fd, n)
        return msi

    def forward(self, n: int = 0) -> int:
        return self.vm.add_producer(self.fds[n], self.msis[n])

    def forwarded(self, n: int = 0, target: int = 0, byte: int = ENABLED) -> HostMsi:
        """All of it."""
        self.map_lpi(n, target, byte)
        msi = self.vector(n)
        assert self.forward(n) == 0
        self.check()
        return msi

    def msi_from(self, *vectors: int) -> None:
        for n in vectors:
            self.v4host.msi(self.msis[n])
        self.check()

    # -- vCPUs -----------------------------------------------------------------------------------

    def run(self, n: int = 0, cpu: int | None = None) -> None:
        self.vcpus[n].enter(cpu)
        self.check()

    def wfi(self, n: int = 0) -> bool:
        """The guest executes WFI; whether the vCPU blocks."""
        self.vcpus[n].exit()
        blocks = not self.vcpus[n].pending()
        self.check()
        return blocks

    def take(self, n: int = 0) -> int:
        """The guest acknowledges and ends an interrupt."""
        vcpu = self.vcpus[n]
        intid = vcpu.mrs(arch.ICC_IAR1_EL1)
        if intid < 1020 or intid >= 8192:
            vcpu.msr(arch.ICC_EOIR1_EL1, intid)
        self.check()
        return intid

    def vct_byte(self, intid: int = LPI) -> int:
        return self.machine.memory.read(self.direct.vct + intid - LPI, 1)
