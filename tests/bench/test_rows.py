"""The rows of rows.py, one test for each.  Run: make bench.  Compare with another revision: compare.py.

A row is a test called test_<row id> that builds its state, hands one operation to `row`, and proves what was measured.
"""

from typing import Final

from tests.bench.guest import GICD, PRIORITIES, enter_exit, held, set_up_spis
from tests.bench.measure import RowFixture
from tests.bench.unit import Bare
from vgic import Vcpu, Vgic, arch

GICR: Final = 0x080A_0000
IAR1: Final = arch.ICC_IAR1_EL1
EOIR1: Final = arch.ICC_EOIR1_EL1
SPURIOUS: Final = 1023


def make_vm(vcpus: int = 1, spis: int = 960, *, level: bool = False, threads: bool = True) -> Vgic:
    """A VM whose guest has enabled everything: priorities 0xA0, all SPIs edge (or level) to vCPU 0."""
    vm = Vgic.gicv3(vcpus=vcpus, spis=spis, threads=threads)
    for n, vcpu in enumerate(vm.vcpus):
        vcpu.enter()
        vcpu.msr(arch.ICC_PMR_EL1, 0xF8)
        vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
        for at in range(0, 32, 4):
            vcpu.write(GICR + n * 0x2_0000 + 0x1_0400 + at, 4, PRIORITIES)
        if n == 0:
            set_up_spis(vcpu, spis, level=level)
            vcpu.write(GICD, 4, 0x12)
        vcpu.exit()
    return vm


def deliver(vm: Vgic, vcpu: Vcpu, intid: int) -> int:
    vm.inject(intid, True)
    vcpu.enter()
    taken = vcpu.mrs(IAR1)
    vcpu.msr(EOIR1, taken)
    vcpu.exit()
    return taken


def test_bare_method_call(row: RowFixture) -> None:
    """The unit itself, measured as a row.

    Unit: one call of an empty method.  Expect: 1, or the two timing loops differ.
    """
    assert row("bare_method_call")(Bare().m) is None, "measured something else"


def test_entry_exit_empty_unlocked(row: RowFixture) -> None:
    """One guest entry and exit with nothing queued, in a VM without a lock.

    Unit: one entry+exit.  Expect: constant, no list register touched.
    """
    vcpu = make_vm(threads=False).vcpus[0]
    writes = vcpu.pe.cost.lr_writes
    row("entry_exit_empty_unlocked")(enter_exit, vcpu)
    assert vcpu.pe.cost.lr_writes == writes, "measured something else"


def test_entry_exit_empty_locked(row: RowFixture) -> None:
    """One guest entry and exit with nothing queued, in a VM with a lock.

    Unit: one entry+exit.  Expect: two acquisitions more than without the lock.
    """
    vcpu = make_vm().vcpus[0]
    entries = vcpu.pe.cost.entries
    row("entry_exit_empty_locked")(enter_exit, vcpu)
    assert vcpu.pe.cost.entries > entries, "measured something else"


def test_edge_spi(row: RowFixture) -> None:
    """An edge SPI from the device to the guest's EOI: inject, entry, IAR, EOIR, exit.

    Unit: one interrupt.  Expect: constant, whatever the number of SPIs.
    """
    vm = make_vm()
    assert row("edge_spi")(deliver, vm, vm.vcpus[0], 100) == 100, "measured something else"


def test_level_spi_eoi_callback(row: RowFixture) -> None:
    """A level SPI whose device lowers the line when told of the EOI: raise, entry, IAR, EOIR, exit.

    Unit: one interrupt.  Expect: constant.
    """
    vm = make_vm(level=True)
    vm.add_ack_notifier(100, lambda intid: vm.inject(intid, False))
    assert row("level_spi_eoi_callback")(deliver, vm, vm.vcpus[0], 100) == 100, "measured something else"
    assert not vm.vcpus[0].ap_list, "the line is still high"


def test_entry_exit_4_held(row: RowFixture) -> None:
    """One guest entry and exit with 4 level SPIs held high in 4 list registers.

    Unit: one entry+exit.  Expect: linear in the list registers used.
    """
    vcpu = held(make_vm(level=True), 4)
    writes = vcpu.pe.cost.lr_writes
    entries = vcpu.pe.cost.entries
    row("entry_exit_4_held")(enter_exit, vcpu)
    assert vcpu.pe.cost.lr_writes - writes == 8 * (vcpu.pe.cost.entries - entries), "measured something else"


def test_per_queued_of_256(row: RowFixture) -> None:
    """One guest entry and exit with 256 level SPIs held high, 4 list registers, above the same with 4.

    Unit: one queued interrupt.  Expect: linear: the sort decision, the sort and the prune look at each.
    """
    vcpu = held(make_vm(level=True), 256)
    row("per_queued_of_256", per=252)(enter_exit, vcpu)
    assert len(vcpu.ap_list) == 256, "measured something else"


def broadcast(vm: Vgic) -> None:
    vm.vcpus[0].msr(arch.ICC_SGI1R_EL1, 1 << 40 | 3 << 24)


def broadcast_and_complete(vm: Vgic) -> int:
    broadcast(vm)
    done = 0
    for vcpu in vm.vcpus[1:]:
        vcpu.enter()
        taken = vcpu.mrs(IAR1)
        vcpu.msr(EOIR1, taken)
        vcpu.exit()
        done += taken == 3
    return done


def test_sgi_broadcast_sent_per_target(row: RowFixture) -> None:
    """An SGI from one vCPU to the 8 others, by one write of ICC_SGI1R_EL1: the trap included.

    Unit: one target.  Expect: linear in the targets.
    """
    vm = make_vm(vcpus=9, spis=32)
    vm.vcpus[0].enter()
    row("sgi_broadcast_sent_per_target", per=8)(broadcast, vm)
    assert all(len(vcpu.ap_list) == 1 for vcpu in vm.vcpus[1:]), "measured something else"


def test_sgi_broadcast_complete_per_target(row: RowFixture) -> None:
    """The same, and each target enters, acknowledges, completes and exits.

    Unit: one target.  Expect: linear in the targets.
    """
    vm = make_vm(vcpus=9, spis=32)
    vm.vcpus[0].enter()
    assert row("sgi_broadcast_complete_per_target", per=8)(broadcast_and_complete, vm) == 8, "measured something else"


def test_isenabler_read(row: RowFixture) -> None:
    """A 32-bit read of GICD_ISENABLER1 with an empty ap_list: the trap's sync and flush included.

    Unit: one access.  Expect: linear in the interrupts covered.
    """
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert row("isenabler_read")(vcpu.read, GICD + 0x104, 4) == 0xFFFF_FFFF, "measured something else"


def test_isenabler_write(row: RowFixture) -> None:
    """A 32-bit write of GICD_ISENABLER1 that enables 32 SPIs with an empty ap_list, the trap included.

    Unit: one access.  Expect: linear in the bits set.
    """
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert row("isenabler_write")(vcpu.write, GICD + 0x104, 4, 0xFFFF_FFFF), "measured something else"


def make_large_vm() -> Vgic:
    return Vgic.gicv3(vcpus=4, spis=960)


def test_vm_4_vcpus_960_spis_create(row: RowFixture) -> None:
    """Create a VM with 4 vCPUs and 960 SPIs, ready to enter, machine included.

    Unit: one VM.  Expect: linear in the interrupts.
    """
    assert len(row("vm_4_vcpus_960_spis_create")(make_large_vm).vcpus) == 4, "measured something else"


def test_vm_4_vcpus_960_spis_size(row: RowFixture) -> None:
    """What a VM with 4 vCPUs and 960 SPIs keeps allocated, machine included.

    Unit: one VM.  Expect: linear in the interrupts.
    """
    assert len(row("vm_4_vcpus_960_spis_size").size(make_large_vm).vcpus) == 4, "measured something else"
