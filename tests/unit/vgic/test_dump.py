"""KVM's debugfs file `vgic-state`, and the same facts for tools."""

import json
from typing import Final

import pytest

from vgic import CTRL_INIT, Group, Vgic, arch
from vgic.dump import IrqState
from vgic.ids import V3
from vgic.vm import GICD_BASE

LEGEND: Final = """
P=pending_latch, L=line_level, A=active
E=enabled, H=hw, C=config (level=1, edge=0)
G=group
"""
COLUMNS: Final = " TYP   ID TGT_ID PLAEHCG     HWID   TARGET SRC PRI VCPU_ID\n" + "-" * 64 + "\n"


def head(spis: int, enabled: int) -> str:
    return f"Distributor\n===========\nvgic_model:\tGICv3\nnr_spis:\t{spis}\nnr_lpis:\t0\nenabled:\t{enabled}\n{LEGEND}"


def busy() -> Vgic:
    """Return a VM with something in every column: what each line says is in `CHANGED`."""
    vm = Vgic.gicv3(2, spis=32, lrs=4)
    vcpu, other = vm.vcpus
    other.map_irq(27, 27)
    vcpu.enter()
    vcpu.write(GICD_BASE, 4, arch.GICD_CTLR_ENABLE_GRP1)
    vcpu.write(GICD_BASE + arch.GICD_ISENABLER + 4, 4, 0b1111)
    vcpu.write(GICD_BASE + arch.GICD_ICFGR + 8, 4, 0b1000)
    vcpu.write(GICD_BASE + arch.GICD_IPRIORITYR + 32, 4, 0xA0_F8_08_40)
    vcpu.write(GICD_BASE + arch.GICD_IGROUPR + 4, 4, 0xFFFF_FFFE)
    vcpu.write(GICD_BASE + arch.GICD_IROUTER + 8 * 33, 8, 0x00_0001)
    vcpu.write(GICD_BASE + arch.GICD_IROUTER + 8 * 34, 8, 0xC0_FFEE)
    vcpu.write(GICD_BASE + arch.GICD_ISACTIVER + 4, 4, 0b1000)
    vcpu.msr(arch.ICC_SGI1R_EL1, 15 << arch.SGIR_INTID_SHIFT | 0b10)
    vcpu.exit()
    vm.inject(32)
    vm.inject(33)
    vm.inject(20, vcpu=vcpu)
    return vm


CHANGED: Final = [
    "       PPI   20      0 0100011        0        0   0   0      -1 ",
    "       SGI   15      1 1001001        0        1   0   0       1 ",
    "       PPI   27      1 0000111       27        1   0   0      -1 ",
    "       SPI   32      0 0101010        0        0   0  64       0 ",
    "       SPI   33      1 1001001        0        1   0   8       1 ",
    "       SPI   34     -1 0001011        0   c0ffee   0 248      -1 ",
    "       SPI   35      0 0011011        0        0   0 160       0 ",
]


def test_a_fresh_vm_prints_what_kvm_prints() -> None:
    sgis = "".join(f"       SGI {i:4}      0 0001001        0        0   0   0      -1 \n" for i in range(16))
    ppis = "".join(f"       PPI {i:4}      0 0000011        0        0   0   0      -1 \n" for i in range(16, 32))
    spis = "".join(f"       SPI {i:4}      0 0000001        0        0   0   0      -1 \n" for i in range(32, 96))
    expected = f"{head(64, 0)}\nVCPU 0{COLUMNS}{sgis}{ppis}\nSPI  0{COLUMNS}{spis}"
    assert Vgic.gicv3(1).debug_state() == expected


def test_every_column_shows_what_happened() -> None:
    vm = busy()
    lines = vm.debug_state().splitlines()
    assert "enabled:\t1" in lines
    assert [line for line in lines if line in CHANGED] == CHANGED
    fresh = Vgic.gicv3(2, spis=32).debug_state().splitlines()
    others = [line for line in lines if line not in fresh and line not in CHANGED]
    # the ICFGR write made 36 to 47 level, too
    assert others == ["enabled:\t1", *(line.replace("0000001", "0000011") for line in fresh if 36 <= spi(line) < 48)]


def spi(line: str) -> int:
    """Return the INTID of an SPI's line, or -1."""
    return int(line.split()[1]) if line.startswith("       SPI ") else -1


def test_more_than_ten_vcpus_keep_the_columns() -> None:
    lines = Vgic.gicv3(11).debug_state().splitlines()
    assert "VCPU10 TYP   ID TGT_ID PLAEHCG     HWID   TARGET SRC PRI VCPU_ID" in lines
    assert "       PPI   31     10 0000011        0        a   0   0      -1 " in lines


def test_a_guest_that_runs_is_not_folded_for_it() -> None:
    vm = busy()
    latched = "       SPI   33      1 1001001        0        1   0   8       1 "
    assert latched in vm.debug_state()
    vm.vcpus[1].enter()
    assert latched.replace("1001001", "0001001") in vm.debug_state(), "the edge is in a list register"
    vm.vcpus[1].exit()
    assert latched in vm.debug_state()


def test_without_vcpus_there_are_only_spis() -> None:
    vm = Vgic()
    vm.create_device(V3).set_attr(Group.CTRL, CTRL_INIT)
    spis = "".join(f"       SPI {i:4}     -1 0000001        0        0   0   0      -1 \n" for i in range(32, 256))
    assert vm.debug_state() == f"{head(224, 0)}\nSPI  0{COLUMNS}{spis}"


@pytest.mark.parametrize("vcpus", [0, 1])
def test_before_init_there_is_only_the_distributor(vcpus: int) -> None:
    vm = Vgic()
    vm.create_device(V3)
    for _ in range(vcpus):
        vm.create_vcpu()
    assert vm.debug_state() == head(0, 0)
    assert not vm.state()["vcpus"]
    assert not vm.state()["spis"]


def test_before_there_is_a_vgic_the_model_is_none() -> None:
    assert "vgic_model:\tnone\n" in Vgic().debug_state()


def row(irq: IrqState) -> list[str]:
    """Return what the text must say of an interrupt, column by column."""
    flags = [irq["pending_latch"], irq["line_level"], irq["active"], irq["enabled"], irq["hw"]]
    text = "".join(str(int(flag)) for flag in [*flags, irq["trigger"] == "level", irq["group"] == 1])
    vcpus = [str(-1 if index is None else index) for index in (irq["target"], irq["queued_on"])]
    numbers = [str(irq["hwintid"]), f"{irq['route']:x}", f"{irq['source']:x}", str(irq["priority"])]
    return [irq["type"], str(irq["intid"]), vcpus[0], text, *numbers, vcpus[1]]


def test_json_says_what_the_text_says() -> None:
    vm = busy()
    state = json.loads(json.dumps(vm.state()))
    assert state == vm.state()
    text = vm.debug_state().splitlines()
    irqs = [irq for vcpu in vm.state()["vcpus"] for irq in vcpu["interrupts"]] + vm.state()["spis"]
    assert [row(irq) for irq in irqs] == [line.split() for line in text if line.startswith("       ")]
    dist = vm.state()["distributor"]
    assert dist == {"model": "GICv3", "initialized": True, "nr_spis": 32, "nr_lpis": 0, "enabled": True}


def test_json_adds_who_the_vcpus_are_and_in_what_order_they_hold_interrupts() -> None:
    vm = busy()
    vm.vcpus[1].enter()
    first, second = vm.state()["vcpus"]
    assert (first["index"], first["vcpu_id"], first["affinity"], first["mode"]) == (0, 0, 0, "loaded")
    assert (second["index"], second["vcpu_id"], second["affinity"], second["mode"]) == (1, 1, 1, "in guest")
    assert first["ap_list"] == [35, 32]
    assert second["ap_list"] == [15, 33]
