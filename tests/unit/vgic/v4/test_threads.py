"""Devices and vCPUs in threads of their own: no message is lost between them, and no wake-up."""

from sys import getswitchinterval, setswitchinterval
from threading import Event, Thread

import pytest

from hw import GicVersion, V4Config, arch
from tests.unit.vgic.its.rig import DOORBELL
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, make_host
from vgic import EventCounter, MsiRoute, Vgic

MESSAGES = 300
VECTORS = 32
PATIENCE = 20  # seconds, for a machine that is busy


@pytest.mark.parametrize("version", [GicVersion.V4_0, GicVersion.V4_1])
def test_every_message_arrives(version: GicVersion) -> None:
    rig = V4Rig(vcpus=1, host=make_host(v4=V4Config(version=version)))
    rig.map_lpi()
    saved = rig.vm.save()
    rig.vm.destroy()
    host = rig.v4host
    vm = Vgic(host, memory=rig.memory)
    vm.restore(saved)
    vcpu = vm.vcpus[0]
    kicked, taken, stop = Event(), Event(), Event()
    vm.kick = lambda _: kicked.set()
    fd = EventCounter()
    vector = host.request_msi(DEV, 0)
    vm.set_gsi_routing([MsiRoute(0, DOORBELL, 0, DEV)])
    vm.irqfd(fd, 0)
    assert vm.add_producer(fd, vector) == 0
    count = 0

    def guest() -> None:
        """Sleep, wake, take; as a VMM's thread does."""
        nonlocal count
        while not stop.is_set():
            vcpu.enter()
            while (intid := vcpu.mrs(arch.ICC_IAR1_EL1)) == LPI:
                vcpu.msr(arch.ICC_EOIR1_EL1, intid)
                count += 1
                taken.set()
            vcpu.exit()
            kicked.clear()
            if not vcpu.pending():
                kicked.wait(PATIENCE)

    thread = Thread(target=guest)
    thread.start()
    arrived = 0
    for _ in range(MESSAGES):
        taken.clear()
        host.msi(vector)
        if not taken.wait(PATIENCE):
            break
        arrived += 1
    stop.set()
    kicked.set()
    thread.join()
    assert (arrived, count, vector.taken) == (MESSAGES, MESSAGES, 0)
    assert not host.machine.misuse.records


def test_devices_in_several_threads() -> None:
    """Interrupts of one physical CPU, sent and taken by several threads at once: each is taken, by one of them."""
    host = make_host()
    vectors = [host.request_msi(3, n) for n in range(VECTORS)]
    its = host.machine.itss[0]
    gic = host.gic
    assert gic is not None
    failures: list[BaseException] = []

    def device() -> None:
        try:
            for _ in range(MESSAGES):
                with gic.lock:
                    for vector in vectors[1:]:
                        its.msi(3, vector.eventid)
                host.msi(vectors[0])
        except RuntimeError as raised:
            failures.append(raised)

    threads = [Thread(target=device) for _ in range(4)]
    interval = getswitchinterval()
    setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        setswitchinterval(interval)
    assert not failures
    taken = [vector.taken for vector in vectors]
    host.take_interrupts()
    assert [vector.taken for vector in vectors] == taken, "nothing was left"
    host.machine.check()
