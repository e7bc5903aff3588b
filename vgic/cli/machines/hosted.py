"""A VM on a host that has a device to give it: what the host, its device's interrupts and its scheduler do.

Room:    above the checks' board, which it extends; `kinds` says which hosts there are.
Owns:    the vectors of the device, and the count of each exit's cause.
Holds:   each vCPU has a physical CPU; one more is idle until a vCPU moves there; the last runs no guest: the host takes
         its device's interrupts there.  So an interrupt that the host takes and an exit of a guest are never the same
         event, and both are counted.

An exit is for a trapped access (the library counts those), for a WFI that traps, or for a physical interrupt: the IPI
of a kick, the maintenance interrupt, the scheduler's timer.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from hw import Account, ItsConfig, Machine, Memory, V4Config, VirtConfig
from vgic import EventCounter, Host, HostMsi, MsiRoute
from vgic.cli.checks.board import GITS_BASE, GITS_TRANSLATER, Board

DEVID: Final = 16
"""The device's DeviceID, to the host and to the guest."""

_SPIS: Final = 64
_MEMORY: Final = 1 << 36


class Window(NamedTuple):
    """Where the guest finds registers of a device; `traps`: the VMM handles each access, the guest being outside."""

    base: int
    size: int
    read: Callable[[int, int], int]  # offset, bytes
    write: Callable[[int, int, int], None]  # offset, bytes, value
    traps: bool


class HostedBoard(Board):
    """A GICv3 guest with an ITS; the host's GIC is a GICv4 if `v4` says so.

    alone  whether each physical CPU has one vCPU and nothing else to run; KVM need not trap its WFI then.
    """

    __slots__ = ("_routes", "_vectors", "alone", "blocked", "host", "windows")

    host: Host
    v4: V4Config | None = None

    def __init__(self, cpus: int, lrs: int = 4, *, alone: bool = False) -> None:
        """Build the VM up to the point where its vCPUs can be entered."""
        self.alone = alone
        self.blocked = [False] * cpus  # which CPUs left the guest for a WFI
        self._vectors: dict[int, HostMsi] = {}
        self.windows: list[Window] = []
        self._routes: dict[int, MsiRoute] = {}
        super().__init__(cpus, lrs, _SPIS)

    def make_host(self) -> Host:
        """Return the host."""
        virt = VirtConfig(n_lr=self.lrs)
        machine = Machine(self.spare + 1, virt, memory=Memory(_MEMORY), v4=self.v4, its=(ItsConfig(),))
        self.host = Host(machine, vgic_v4_enable=self.v4 is not None)
        return self.host

    @property
    def idle(self) -> int:
        """The physical CPU that has nothing to do, unless a vCPU moves there."""
        return self.cpus

    @property
    def spare(self) -> int:
        """The physical CPU that runs no guest."""
        return self.cpus + 1

    @property
    def misuse(self) -> list[str]:
        """What the hypervisor did wrong, as the GIC saw it."""
        return [str(record) for record in self.host.machine.misuse.records]

    def account(self) -> Account:
        """What the machine has done until now."""
        return self.host.machine.account()

    # -- the device ------------------------------------------------------------------------------

    def assign(self, vector: int, eventid: int) -> bool:
        """Have a vector of the device go to the guest's event; whether hardware delivers it.

        The guest has mapped that event.  Without direct injection the host takes it, and an irqfd passes it on.
        """
        fd = EventCounter()
        msi = self.host.request_msi(DEVID, vector, self._handler(fd), cpu=self.spare)
        self._vectors[vector] = msi
        self._routes[vector] = MsiRoute(vector, GITS_BASE + GITS_TRANSLATER, eventid, DEVID)
        self.vm.set_gsi_routing(list(self._routes.values()))
        self.vm.irqfd(fd, vector)
        return self.vm.add_producer(fd, msi) == 0 and msi.direct is not None

    def _handler(self, fd: EventCounter) -> Callable[[], None]:
        """What the host does when it has taken the interrupt of a vector: VFIO's handler."""

        def fired() -> None:
            fd.signal()
            self.vm.irqfd_fired(fd)

        return fired

    def send(self, vector: int) -> None:
        """The device sends the message of a vector."""
        self.host.msi(self._vectors[vector])

    def message(self, eventid: int) -> None:
        """The device writes GITS_TRANSLATER of the host's ITS, when it may: vector n is the host's event n."""
        self.send(eventid)

    def load(self, cpu: int, gpa: int, size: int) -> int:
        """Return what a load reads, of a frame or of a device; or a negative number if neither is there."""
        window = self._window(gpa)
        if window is None:
            return super().load(cpu, gpa, size)
        if window.traps:
            super().load(cpu, gpa, size)
        return window.read(gpa - window.base, size)

    def store(self, cpu: int, gpa: int, size: int, value: int) -> bool:
        """Store; False if neither a frame nor a device is there."""
        window = self._window(gpa)
        if window is None:
            return super().store(cpu, gpa, size, value)
        if window.traps:
            super().store(cpu, gpa, size, value)
        window.write(gpa - window.base, size, value)
        return True

    def _window(self, gpa: int) -> "Window | None":
        for window in self.windows:
            if window.base <= gpa < window.base + window.size:
                return window
        return None

    # -- the host's scheduler --------------------------------------------------------------------

    def enter(self, cpu: int) -> None:
        """Enter the guest; kicks until now are served by that."""
        self.blocked[cpu] = False
        super().enter(cpu)

    def exit(self, cpu: int) -> None:
        """Leave the guest for a physical interrupt."""
        self.vm.vcpus[cpu].cost.exits_irq += 1
        super().exit(cpu)

    def wfi(self, cpu: int) -> bool:
        """The guest executes WFI, which traps unless KVM's policy lets it wait in the guest."""
        vcpu = self.vm.vcpus[cpu]
        if not vcpu.traps_wfi(self.alone):
            return False
        vcpu.cost.exits_wfi += 1
        self.blocked[cpu] = True
        super().exit(cpu)
        return True

    def preempt(self, cpu: int) -> None:
        """Take a running vCPU off its physical CPU for something else; `enter` or `move` brings it back."""
        self.exit(cpu)
        self.vm.vcpus[cpu].put()

    def move(self, cpu: int) -> None:
        """Enter the guest of a preempted vCPU on the idle physical CPU, or where it first was if it is there."""
        vcpu = self.vm.vcpus[cpu]
        self.kicked[cpu] = False
        vcpu.enter(self.idle if vcpu.pe.index == cpu else cpu)
