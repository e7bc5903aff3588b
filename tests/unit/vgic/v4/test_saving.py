"""Saving what hardware has pending, by KVM's tables and as a snapshot; and building it again, here or elsewhere."""

import errno
import json

import pytest

from hw import GicVersion, Machine, V4Config, arch
from hw import arch4 as a
from tests.unit.vgic.its.rig import mapc, movi
from tests.unit.vgic.rig import outcome
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig, host40, make_host
from vgic import Group, Host, Snapshot, StateError, Vgic
from vgic.v4.registers import NASSGIREQ
from vgic.v4.vsgi import Vsgi

GICD_CTLR = 0x0800_0000
GICR_SGI = 0x1_0000
GICR_0 = 0x080A_0000


def stopped(rig: V4Rig) -> None:
    for vcpu in rig.vcpus:
        if vcpu.in_guest:
            vcpu.exit()


def test_pending_tables() -> None:
    """B49: hardware writes its tables when the last mapping goes, and is given them back as they are."""
    rig = V4Rig()
    rig.forwarded(0)
    rig.forwarded(1)
    rig.forwarded(2, target=1)
    rig.run()
    stopped(rig)
    rig.msi_from(1, 2)
    rig.set_pending_bit(LPI)
    rig.log.clear()
    assert rig.save_pending() == 0
    words = [each for each in rig.log.words() if each[0] & 0xFF == a.VMAPP]
    unmapped, mapped = words[:2], words[2:]
    assert [each[0] >> 8 & 3 for each in (*unmapped, *mapped)] == [1, 1, 1, 1], "Alloc, and never PTZ"
    assert [each[2] >> 63 for each in (*unmapped, *mapped)] == [0, 0, 1, 1]
    assert [rig.pending_bit(LPI), rig.pending_bit(LPI + 1), rig.pending_bit(LPI + 2, 1)] == [False, True, True]
    assert rig.save_pending() == 0, "it may be asked again"
    rig.run(0)
    rig.run(1, 1)
    assert [rig.take(0), rig.take(0), rig.take(1), rig.take(1)] == [LPI + 1, 1023, LPI + 2, 1023]
    rig.check()


def test_a_doorbell_is_not_lost_while_tables_are_read() -> None:
    """The mapping takes a pending doorbell along, so the host takes that before."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    assert rig.wfi()
    rig.kicks.clear()
    rig.machine.itss[0].msi(DEV, 0)
    assert rig.kicks == [], "no CPU has looked yet"
    assert rig.save_pending() == 0
    assert rig.kicks == [0]
    assert rig.vcpus[0].pending()


def test_gicv40_cannot_tell() -> None:
    """B50: nothing is said of forwarded LPIs, and the ITS's tables are refused."""
    rig = V4Rig(host=host40())
    rig.forwarded()
    rig.msi_from(0)
    rig.set_pending_bit(LPI)
    assert rig.save() == errno.EACCES
    assert outcome(rig.vm.save) == errno.EACCES
    rig.log.clear()
    assert rig.save_pending() == 0
    assert (rig.pending_bit(LPI), rig.log.names()) == (False, [])
    rig.vm.remove_producer(rig.fds[0])
    assert rig.save() == 0
    rig.vm.save()


def test_when_it_is_refused() -> None:
    """B51: and a save that fails gives the tables back all the same."""
    rig = V4Rig()
    rig.forwarded()
    rig.run()
    assert rig.save_pending() == errno.EBUSY
    rig.vcpus[0].exit()
    rig.msi_from(0)
    rig.set_gicr(0, 0, size=4)
    rig.set_gicr(0x78, 0x7000_0000)
    assert rig.save_pending() == errno.EFAULT
    rig.run()
    assert rig.take() == LPI
    rig.check()


def test_nassgireq_by_registers() -> None:
    """B52: stored, and done at the first entry."""
    rig = V4Rig()
    rig.gic.set_attr(Group.DIST_REGS, 0, 0x12 | NASSGIREQ)
    rig.gic.set_attr(Group.REDIST_REGS, GICR_SGI + 0x200, 1 << 2)
    assert rig.gic.get_attr(Group.DIST_REGS, 0) == 0x52 | NASSGIREQ
    rig.run()
    assert isinstance(rig.found(2).direct, Vsgi)
    assert rig.take() == 2


def busy_guest(nassgireq: bool = True) -> tuple[V4Rig, Snapshot]:
    """A VM with pending vLPIs and SGIs, and what it saves."""
    rig = V4Rig()
    for n in range(3):
        rig.forwarded(n, target=n % 2)
    rig.map_lpi(3)
    rig.run(0, 0)
    rig.run(1, 1)
    if nassgireq:
        rig.vcpus[0].write(GICD_CTLR, 4, 0x10)
        rig.vcpus[0].write(GICD_CTLR, 4, 0x12 | NASSGIREQ)
    rig.vcpus[0].msr(arch.ICC_SGI1R_EL1, 4 << 24 | 0b10)
    stopped(rig)
    rig.msi_from(0, 1)
    rig.msi(DEV, 3)
    before = [(irq.intid, irq.direct) for irq in rig.dist.lpis.ascending()]
    snapshot = rig.vm.save()
    assert [(irq.intid, irq.direct) for irq in rig.dist.lpis.ascending()] == before, "a save changes nothing"
    rig.check()
    return rig, snapshot


def pended(vm: Vgic) -> list[list[int]]:
    """What each guest takes, in order."""
    found = []
    for vcpu in vm.vcpus:
        vcpu.enter()
        taken = []
        while (intid := vcpu.mrs(arch.ICC_IAR1_EL1)) != 1023:
            vcpu.msr(arch.ICC_EOIR1_EL1, intid)
            taken.append(intid)
        found.append(taken)
        vcpu.exit()
    return found


def restored(snapshot: Snapshot, rig: V4Rig, host: Host) -> Vgic:
    vm = Vgic(host, threads=False, memory=rig.memory)
    vm.restore(Snapshot.from_json(snapshot.to_json()))
    return vm


def test_a_snapshot_has_what_hardware_had() -> None:
    """P21: here, and on another host, which pushes it to its hardware."""
    rig, snapshot = busy_guest()
    other = make_host()
    vm = restored(snapshot, rig, other)
    assert vm.save() == snapshot
    assert [sorted(each) for each in pended(vm)] == [[LPI, LPI + 3], [4, LPI + 1]]
    assert pended(rig.vm) == [[LPI + 3, LPI], [4, LPI + 1]], "between equals list registers come first"
    assert not other.machine.misuse.records
    assert vm.vcpus[1].private[4].direct is not None


def test_what_was_listed_elsewhere_before_hardware_had_it() -> None:
    """It is listed once: where it goes, or that vCPU, blocked in its next life, would not know of it."""
    rig = V4Rig()
    rig.map_lpi()
    rig.vector()
    rig.msi_from(0)
    assert [irq.intid for irq in rig.vcpus[0].ap_list] == [LPI]
    assert rig.forward() == 0, "now it is pending in hardware, and vCPU 0 has not looked at its list"
    rig.do(mapc(1, 1), movi(DEV, 0, 1))
    saved = Snapshot.from_json(rig.vm.save().to_json())
    vm = Vgic(Host(Machine(4)), memory=rig.memory)
    vm.restore(saved)
    assert [vcpu.pending() for vcpu in vm.vcpus] == [False, True]
    vm.vcpus[1].enter(1)
    assert vm.vcpus[1].mrs(arch.ICC_IAR1_EL1) == LPI
    rig.vm.restore(saved)
    rig.run(1)
    assert [rig.take(1), rig.take(1)] == [LPI, 1023]


@pytest.mark.parametrize("host", ["v3", "v4.0", "v4.1"])
def test_it_moves_between_hosts(host: str) -> None:
    """Without nASSGIreq nothing binds the guest to GICv4.1."""
    rig, snapshot = busy_guest(nassgireq=False)
    there = {"v3": lambda: Host(Machine(4)), "v4.0": host40, "v4.1": make_host}[host]()
    vm = restored(snapshot, rig, there)
    assert vm.save() == snapshot
    assert [sorted(each) for each in pended(vm)] == [[LPI, LPI + 3], [4, LPI + 1]]
    assert snapshot.to_json().count("nassgireq") == 0
    back = restored(vm.save(), rig, make_host())
    assert pended(back) == [[], []]


@pytest.mark.parametrize("host", ["v3", "v4.0", "an older CPU interface"])
def test_a_guest_without_active_sgis_needs_such_a_host(host: str) -> None:
    rig, snapshot = busy_guest()
    there = make_host(v4=V4Config(version=GicVersion.V4_0)) if host == "v4.0" else Host(Machine(4))
    if host.startswith("an"):
        there = make_host(v4=V4Config(vsgi=False))
    vm = Vgic(there, threads=False, memory=rig.memory)
    with pytest.raises(StateError, match="nassgireq"):
        vm.restore(snapshot)
    assert vm.vcpus == ()


def test_vectors_go_to_the_guest_again() -> None:
    """A restore into the same VM: its producers are still there, and what is pending moves back to hardware."""
    rig, snapshot = busy_guest()
    assert pended(rig.vm) == [[LPI + 3, LPI], [4, LPI + 1]]
    rig.vm.restore(snapshot)
    rig.check()
    assert [rig.lpi(LPI + n).direct is not None for n in range(4)] == [True, True, True, False]
    assert not any(rig.lpi(LPI + n).pending_latch for n in range(3))
    assert rig.vm.save() == snapshot
    assert pended(rig.vm) == [[LPI + 3, LPI], [4, LPI + 1]]
    rig.run(0, 0)
    rig.msi_from(0)
    assert rig.take() == LPI
    assert rig.msis[0].taken == 0


def test_what_came_back_from_hardware_before_is_not_the_restored_guests() -> None:
    """An SGI that was returned pending while the distributor was disabled waits for the enable, or for a restore."""
    rig = V4Rig()
    rig.run(0, 0)
    rig.vcpus[0].write(GICD_CTLR, 4, 0x10)
    rig.vcpus[0].write(GICD_CTLR, 4, 0x12 | NASSGIREQ)
    stopped(rig)
    quiet = rig.vm.save()
    rig.run(1, 1)
    rig.vcpus[1].msr(arch.ICC_SGI1R_EL1, 5 << 24 | 1)
    rig.vcpus[1].write(GICD_CTLR, 4, 0x10)
    assert rig.vcpus[0].private[5].pending_latch, "it came back"
    stopped(rig)
    rig.vm.restore(quiet)
    rig.run(0, 0)
    for value in (0x10, 0x12):
        rig.vcpus[0].write(GICD_CTLR, 4, value)
    assert rig.take() == 1023
    rig.check()


@pytest.mark.parametrize("looks", [False, True])
def test_what_came_back_from_hardware_is_saved(looks: bool) -> None:
    """The guest disables the distributor and nASSGIreq while an SGI is pending; enables it in another life.

    looks   the vCPU has been in its guest in between, so that its list was pruned.
    """
    rig = V4Rig()
    rig.run(0, 0)
    rig.vcpus[0].write(GICR_0 + 0x1_0100, 4, 0xFFFF)  # GICR_ISENABLER0
    rig.vcpus[0].write(GICD_CTLR, 4, 0x10)
    rig.vcpus[0].write(GICD_CTLR, 4, 0x12 | NASSGIREQ)
    stopped(rig)
    rig.vcpus[0].put()
    rig.run(1, 1)
    rig.vcpus[1].msr(arch.ICC_SGI1R_EL1, 5 << 24 | 1)
    rig.vcpus[1].write(GICD_CTLR, 4, 0x10)
    stopped(rig)
    vm = restored(rig.vm.save(), rig, make_host())
    vcpu = vm.vcpus[0]
    if looks:
        vcpu.enter(0)
        vcpu.exit()
        vm = restored(vm.save(), rig, make_host())
        vcpu = vm.vcpus[0]
    vcpu.enter(0)
    vcpu.write(GICD_CTLR, 4, 0x12)
    vcpu.exit()
    vcpu.enter(0)
    assert [vcpu.mrs(arch.ICC_IAR1_EL1), vcpu.mrs(arch.ICC_IAR1_EL1)] == [5, 1023]
    vm.check()


def test_a_restored_vcpu_asks_anew_before_it_blocks() -> None:
    rig, snapshot = busy_guest()
    assert [vcpu.pending() for vcpu in rig.vcpus] == [True, True]
    pended(rig.vm)
    assert [vcpu.pending() for vcpu in rig.vcpus] == [False, False]
    rig.kicks.clear()
    rig.vm.restore(snapshot)
    assert rig.kicks == [], "a restore calls no port"
    assert [vcpu.pending() for vcpu in rig.vcpus] == [True, True]


def test_a_host_without_room_changes_nothing() -> None:
    rig, snapshot = busy_guest()
    small = make_host(v4=V4Config(vpeid_bits=1))
    assert small.gic is not None
    first = Vgic.gicv3(1, host=small, threads=False)
    vm = Vgic(small, threads=False, memory=rig.memory)
    assert outcome(vm.restore, snapshot) == errno.ENOMEM
    assert (vm.vcpus, small.gic.vpeids.used) == ((), 1)
    first.destroy()
    vm.restore(snapshot)
    assert small.gic.vpeids.used == 2


@pytest.mark.parametrize("at", ["before it is initialised", "with a GICv2"])
def test_nassgireq_that_contradicts_itself(at: str) -> None:
    _, snapshot = busy_guest()
    vm = Vgic.gicv2(1) if at == "with a GICv2" else Vgic()
    envelope = json.loads(vm.save().to_json())
    assert '"nassgireq": true' in snapshot.to_json()
    envelope["state"]["distributor"]["nassgireq"] = True
    with pytest.raises(StateError, match=r"distributor\.nassgireq"):
        Snapshot.from_json(json.dumps(envelope))
