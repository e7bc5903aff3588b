"""The rows of test_rows.py with a GICv2 guest: acknowledge and EOI are loads and stores that hit GICV.

Each is judged beside the GICv3 row of the same run, which says what is done; here is what differs.
"""

from typing import Final

from tests.bench.guest import GICD, PRIORITIES, enter_exit, held, set_up_spis
from tests.bench.measure import RowFixture
from vgic import Vcpu, Vgic

GICC: Final = 0x0801_0000
CTLR: Final = GICC + 0x00
PMR: Final = GICC + 0x04
IAR: Final = GICC + 0x0C
EOIR: Final = GICC + 0x10
SGIR: Final = GICD + 0xF00
TO_OTHERS: Final = 1 << 24 | 3
MOST: Final = 8
"""vCPUs of a GICv2."""


def make_vm(vcpus: int = 1, spis: int = 960, *, level: bool = False, threads: bool = True) -> Vgic:
    """A VM whose guest has enabled everything: priorities 0xA0, all SPIs edge (or level) to vCPU 0."""
    vm = Vgic.gicv2(vcpus=vcpus, spis=spis, threads=threads)
    for n, vcpu in enumerate(vm.vcpus):
        vcpu.enter()
        vcpu.write(PMR, 4, 0xF8)
        vcpu.write(CTLR, 4, 1)
        for at in range(0, 32, 4):
            vcpu.write(GICD + 0x400 + at, 4, PRIORITIES)
        if n == 0:
            set_up_spis(vcpu, spis, level=level)
            vcpu.write(GICD, 4, 1)
        vcpu.exit()
    return vm


def deliver(vm: Vgic, vcpu: Vcpu, intid: int) -> int:
    vm.inject(intid, True)
    vcpu.enter()
    taken = vcpu.read(IAR, 4)
    vcpu.write(EOIR, 4, taken)
    vcpu.exit()
    return taken


def test_v2_entry_exit_empty_unlocked(row: RowFixture) -> None:
    """Unit: one entry+exit.  Expect: as a GICv3 guest's."""
    vcpu = make_vm(threads=False).vcpus[0]
    writes = vcpu.pe.cost.lr_writes
    row("v2_entry_exit_empty_unlocked")(enter_exit, vcpu)
    assert vcpu.pe.cost.lr_writes == writes, "measured something else"


def test_v2_entry_exit_empty_locked(row: RowFixture) -> None:
    """Unit: one entry+exit.  Expect: as a GICv3 guest's."""
    vcpu = make_vm().vcpus[0]
    entries = vcpu.pe.cost.entries
    row("v2_entry_exit_empty_locked")(enter_exit, vcpu)
    assert vcpu.pe.cost.entries > entries, "measured something else"


def test_v2_edge_spi(row: RowFixture) -> None:
    """Unit: one interrupt.  Expect: the window's test and GICV's table above a GICv3 guest's."""
    vm = make_vm()
    assert row("v2_edge_spi")(deliver, vm, vm.vcpus[0], 100) == 100, "measured something else"


def test_v2_level_spi_eoi_callback(row: RowFixture) -> None:
    """Unit: one interrupt.  Expect: the window's test and GICV's table above a GICv3 guest's."""
    vm = make_vm(level=True)
    vm.add_ack_notifier(100, lambda intid: vm.inject(intid, False))
    assert row("v2_level_spi_eoi_callback")(deliver, vm, vm.vcpus[0], 100) == 100, "measured something else"
    assert not vm.vcpus[0].ap_list, "the line is still high"


def test_v2_entry_exit_4_held(row: RowFixture) -> None:
    """Unit: one entry+exit.  Expect: a call more for each list register, which may hold an SGI."""
    vcpu = held(make_vm(level=True), 4)
    writes = vcpu.pe.cost.lr_writes
    entries = vcpu.pe.cost.entries
    row("v2_entry_exit_4_held")(enter_exit, vcpu)
    assert vcpu.pe.cost.lr_writes - writes == 8 * (vcpu.pe.cost.entries - entries), "measured something else"


def test_v2_per_queued_of_256(row: RowFixture) -> None:
    """Unit: one queued interrupt.  Expect: linear; sources are counted as well."""
    vcpu = held(make_vm(level=True), 256)
    row("v2_per_queued_of_256", per=252)(enter_exit, vcpu)
    assert len(vcpu.ap_list) == 256, "measured something else"


def broadcast(vm: Vgic) -> None:
    vm.vcpus[0].write(SGIR, 4, TO_OTHERS)


def broadcast_and_complete(vm: Vgic) -> int:
    broadcast(vm)
    done = 0
    for vcpu in vm.vcpus[1:]:
        vcpu.enter()
        taken = vcpu.read(IAR, 4)
        vcpu.write(EOIR, 4, taken)
        vcpu.exit()
        done += taken == 3
    return done


def test_v2_sgi_broadcast_sent_per_target(row: RowFixture) -> None:
    """By one write of GICD_SGIR to the 7 others that a GICv2 can have.

    Unit: one target.  Expect: linear in the targets.
    """
    vm = make_vm(vcpus=MOST, spis=32)
    vm.vcpus[0].enter()
    row("v2_sgi_broadcast_sent_per_target", per=MOST - 1)(broadcast, vm)
    assert all(len(vcpu.ap_list) == 1 for vcpu in vm.vcpus[1:]), "measured something else"


def test_v2_sgi_broadcast_complete_per_target(row: RowFixture) -> None:
    """Unit: one target.  Expect: linear in the targets."""
    vm = make_vm(vcpus=MOST, spis=32)
    vm.vcpus[0].enter()
    done = row("v2_sgi_broadcast_complete_per_target", per=MOST - 1)(broadcast_and_complete, vm)
    assert done == MOST - 1, "measured something else"


def test_v2_isenabler_read(row: RowFixture) -> None:
    """Unit: one access.  Expect: the window's test above a GICv3 guest's."""
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert row("v2_isenabler_read")(vcpu.read, GICD + 0x104, 4) == 0xFFFF_FFFF, "measured something else"


def test_v2_isenabler_write(row: RowFixture) -> None:
    """Unit: one access.  Expect: the window's test above a GICv3 guest's."""
    vcpu = make_vm().vcpus[0]
    vcpu.enter()
    assert row("v2_isenabler_write")(vcpu.write, GICD + 0x104, 4, 0xFFFF_FFFF), "measured something else"


def make_large_vm() -> Vgic:
    return Vgic.gicv2(vcpus=4, spis=960)


def test_v2_vm_4_vcpus_960_spis_create(row: RowFixture) -> None:
    """Unit: one VM.  Expect: as a GICv3's."""
    assert len(row("v2_vm_4_vcpus_960_spis_create")(make_large_vm).vcpus) == 4, "measured something else"


def test_v2_vm_4_vcpus_960_spis_size(row: RowFixture) -> None:
    """Unit: one VM.  Expect: as a GICv3's."""
    assert len(row("v2_vm_4_vcpus_960_spis_size").size(make_large_vm).vcpus) == 4, "measured something else"
