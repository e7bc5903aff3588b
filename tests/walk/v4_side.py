"""One VM of the walk that compares direct injection with list registers: its host, its guest's ITS, its vectors.

Room:    under v4_walk; the guest's tables and commands are the ITS tests'.
Never:   compares anything; knows the other side.
"""

from typing import Final, final

from hw import Machine
from hw.arch import ICC_EOIR1_EL1, ICC_IAR1_EL1, ICC_SGI1R_EL1
from tests.unit.vgic.its.rig import (
    CONFIG,
    CWRITER,
    DOORBELL,
    Command,
    PatchyRam,
)
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig
from vgic import EventCounter, Host, HostMsi, MsiRoute, Snapshot, Vcpu, Vgic
from vgic.dist import Dist
from vgic.irq import Irq
from vgic.its.state import Its

NR_VECTORS: Final = 4
SPURIOUS: Final = 1023


@final
class Side:
    """A VM and its host; built by a guest's driver, or from what another one saved."""

    def __init__(self, host: Host, vcpus: int, moved: "tuple[Snapshot, PatchyRam] | None" = None) -> None:
        self.host = host
        if moved is None:
            rig = V4Rig(vcpus, host=host)
            self.vm: Vgic = rig.vm
            self.ram: PatchyRam = rig.memory
        else:
            snapshot, self.ram = moved
            self.vm = Vgic(host, threads=False, memory=self.ram)
            self.vm.restore(snapshot)
        self.machine: Machine = host.machine
        self.vcpus: tuple[Vcpu, ...] = self.vm.vcpus
        self.dist: Dist = self.vcpus[0].dist
        self.its: Its = self.dist.its_list[0]
        self.kicked: set[int] = set()
        self.vm.kick = self.kicked.add
        self.fds: list[EventCounter] = []
        self.msis: list[HostMsi] = []
        self.produced: set[int] = set()
        for n in range(NR_VECTORS):
            self._vector(n)
        self.vm.set_gsi_routing([MsiRoute(n, DOORBELL, n, DEV) for n in range(NR_VECTORS)])
        for n, fd in enumerate(self.fds):
            self.vm.irqfd(fd, n)

    def _vector(self, n: int) -> None:
        fd = EventCounter()

        def fired() -> None:
            fd.signal()
            self.vm.irqfd_fired(fd)

        its = n % len(self.machine.itss)
        self.fds.append(fd)
        self.msis.append(self.host.request_msi(100 + its, n, fired, its=its, cpu=n % len(self.machine.pes)))

    def leave(self) -> "tuple[Snapshot, PatchyRam]":
        """Save the VM, end it, give its vectors back."""
        saved = self.vm.save()
        self.vm.destroy()
        for msi in self.msis:
            self.host.free_msi(msi)
        return saved, self.ram

    # What the guest does

    def commands(self, *commands: Command) -> None:
        at = self.its.read(self.vcpus[0], CWRITER, 8)
        for command in commands:
            data = b"".join(word.to_bytes(8, "little") for word in command)
            self.ram.ram.write(self.its.queue + at, data)
            at = (at + 32) % self.its.queue_size
        self.its.write(self.vcpus[0], CWRITER, 8, at)

    def configure(self, n: int, byte: int) -> None:
        self.ram.ram.write(CONFIG + n, bytes([byte]))

    def gicr(self, of: int, offset: int, value: int, size: int = 4) -> None:
        frame = self.vcpus[of].redist
        assert frame is not None
        frame.write(self.vcpus[of], offset, size, value)

    def gicd(self, offset: int, value: int) -> None:
        assert self.dist.frame is not None
        self.dist.frame.write(self.vcpus[0], offset, 4, value)

    def acknowledge(self, v: int) -> int:
        return self.vcpus[v].mrs(ICC_IAR1_EL1)

    def explained(self, v: int) -> list[int]:
        """Those of which an explanation says that the guest of a vCPU takes them now."""
        vcpu = self.vcpus[v]
        known = [*range(16), *(irq.intid for irq in self.dist.lpis.ascending())]
        return [intid for intid in known if self.vm.explain(intid, vcpu).delivered]

    def end(self, v: int, intid: int) -> None:
        self.vcpus[v].msr(ICC_EOIR1_EL1, intid)

    def send(self, v: int, sgi: int, targets: int) -> None:
        self.vcpus[v].msr(ICC_SGI1R_EL1, sgi << 24 | targets)

    # What comes from outside

    def strike(self, n: int) -> None:
        if n < NR_VECTORS:
            self.host.msi(self.msis[n])
        else:
            self.vm.signal_msi(DOORBELL, n, DEV)

    def produce(self, n: int) -> None:
        """VFIO attaches; anew where the guest has unmapped the event and mapped it again."""
        irq = self.lpi(n)
        if n in self.produced and irq is not None and irq.direct is None:
            self.withdraw(n)
        if n not in self.produced and self.vm.add_producer(self.fds[n], self.msis[n]) == 0:
            self.produced.add(n)

    def withdraw(self, n: int) -> None:
        if n in self.produced:
            self.vm.remove_producer(self.fds[n])
            self.produced.discard(n)

    def withdraw_all(self) -> None:
        for n in range(NR_VECTORS):
            self.withdraw(n)

    # Running

    def pause(self) -> list[Vcpu]:
        """Take every vCPU out of its guest; return those."""
        running = [vcpu for vcpu in self.vcpus if vcpu.in_guest]
        for vcpu in running:
            vcpu.exit()
        return running

    def resume(self, running: list[Vcpu]) -> None:
        for vcpu in running:
            vcpu.enter()
        self.heed()

    def everybody(self) -> None:
        """Each vCPU runs for a moment, so that nothing stays on a list where it was, but belongs no more."""
        running = [(vcpu, vcpu.pe.index) for vcpu in self.pause()]
        for vcpu in self.vcpus:
            vcpu.enter()
            vcpu.exit()
        for vcpu, cpu in running:
            vcpu.enter(cpu)
        self.heed()

    def heed(self) -> None:
        """Whoever was kicked, or asked to come out, leaves the guest and comes back."""
        for vcpu in self.vcpus:
            if vcpu.in_guest and (vcpu.index in self.kicked or vcpu.maintenance()):
                vcpu.exit()
                vcpu.enter()
        self.kicked.clear()

    def lpi(self, n: int) -> Irq | None:
        return self.dist.lpis.get(LPI + n)
