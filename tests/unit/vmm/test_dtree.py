"""The board's device tree, read back: every address and interrupt that a guest relies on."""

import shutil
import subprocess
from typing import Final

import pytest

from tests.unit.vmm.blob import Read, read_blob
from vmm.config import ConfigError, IrqChip, MachineConfig
from vmm.dtree import affinity, build_dtb
from vmm.layout import MIB

FREQUENCY: Final = 100_000_000
CHIPS: Final = {chip.value: chip for chip in IrqChip}


def blob(
    chip: IrqChip = IrqChip.GICV3_ITS, cpus: int = 2, params: str = "", initrd: tuple[int, int] | None = None
) -> bytes:
    return build_dtb(MachineConfig(cpus=cpus, irqchip=chip), params=params, initrd=initrd, frequency=FREQUENCY)


def tree(
    chip: IrqChip = IrqChip.GICV3_ITS, cpus: int = 2, params: str = "", initrd: tuple[int, int] | None = None
) -> Read:
    return read_blob(blob(chip, cpus, params, initrd))


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_dtc_reads_it_without_a_warning(chip: IrqChip) -> None:
    dtc = shutil.which("dtc")
    if dtc is None:
        pytest.skip("dtc is not installed: apt-get install device-tree-compiler")
    made = blob(chip, cpus=8, params="console=ttyAMA0", initrd=(0x4800_0000, 0x4800_0001))
    ran = subprocess.run([dtc, "-I", "dtb", "-O", "dts"], input=made, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_the_same_configuration_gives_the_same_bytes() -> None:
    assert blob(params="a") == blob(params="a")


def test_ram() -> None:
    made = build_dtb(MachineConfig(ram=6 * MIB), params="", initrd=None, frequency=FREQUENCY)
    assert read_blob(made)["memory@40000000"].pairs("reg") == [0x4000_0000, 6 * MIB]


def test_the_command_line_and_the_console_are_chosen() -> None:
    chosen = tree(params='console=ttyAMA0 x="a b" \udcff')["chosen"]
    assert chosen.strings("bootargs") == ['console=ttyAMA0 x="a b" \udcff']
    (console,) = chosen.strings("stdout-path")
    assert tree()[console].strings("compatible") == ["arm,pl011", "arm,primecell"]
    assert len(chosen.properties["rng-seed"]) == 32
    assert chosen.pairs("kaslr-seed") != [0]
    assert not any("initrd" in name for name in chosen.properties)


def test_a_command_line_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigError, match="NUL"):
        blob(params="a\0b")


def test_the_initrd_is_told_by_its_first_address_and_the_one_after_its_last() -> None:
    chosen = tree(initrd=(0x4800_0000, 0x4800_0123))["chosen"]
    assert chosen.pairs("linux,initrd-start") == [0x4800_0000]
    assert chosen.pairs("linux,initrd-end") == [0x4800_0123]


AFFINITIES: Final = {
    "the first": (0, 0),
    "the last of the first cluster": (15, 15),
    "the first of the second": (16, 0x100),
    "the last of all": (114, 0x702),
}


@pytest.mark.parametrize("row", AFFINITIES.values(), ids=AFFINITIES)
def test_cpus_are_named_after_their_affinity_and_started_by_psci(row: tuple[int, int]) -> None:
    index, aff = row
    cpus = tree(IrqChip.GICV3, cpus=115)["cpus"]
    assert affinity(index) == aff
    cpu = cpus.children[f"cpu@{aff:x}"]
    assert list(cpus.children)[index] == f"cpu@{aff:x}"
    assert (cpu.cells("reg"), cpu.strings("enable-method"), cpu.strings("device_type")) == ([aff], ["psci"], ["cpu"])
    assert (cpus.cells("#address-cells"), cpus.cells("#size-cells"), len(cpus.children)) == ([1], [0], 115)


def test_psci_is_called_by_hvc() -> None:
    psci = tree()["psci"]
    assert (psci.strings("compatible"), psci.strings("method")) == (["arm,psci-1.0", "arm,psci-0.2"], ["hvc"])


TIMERS: Final = {
    "GICv3": (IrqChip.GICV3, 4, 0x4),
    "GICv2, three CPUs": (IrqChip.GICV2, 3, 0x704),
    "GICv2, eight CPUs": (IrqChip.GICV2, 8, 0xFF04),
}


@pytest.mark.parametrize("row", TIMERS.values(), ids=TIMERS)
def test_the_timers_are_level_ppis(row: tuple[IrqChip, int, int]) -> None:
    chip, cpus, flags = row
    timer = tree(chip, cpus)["timer"]
    assert timer.strings("compatible") == ["arm,armv8-timer"]
    assert timer.cells("interrupts") == [1, 13, flags, 1, 14, flags, 1, 11, flags, 1, 10, flags]
    assert timer.cells("clock-frequency") == [FREQUENCY]


GICS: Final = {
    "GICv2": (IrqChip.GICV2, "arm,cortex-a15-gic", [0x0800_0000, 0x1000, 0x0801_0000, 0x2000]),
    "GICv3": (IrqChip.GICV3, "arm,gic-v3", [0x0800_0000, 0x1_0000, 0x080A_0000, 0x6_0000]),
    "GICv3 and ITS": (IrqChip.GICV3_ITS, "arm,gic-v3", [0x0800_0000, 0x1_0000, 0x080A_0000, 0x6_0000]),
}


@pytest.mark.parametrize("row", GICS.values(), ids=GICS)
def test_the_gic(row: tuple[IrqChip, str, list[int]]) -> None:
    chip, compatible, reg = row
    root = tree(chip, cpus=3)
    gic = root["interrupt-controller@8000000"]
    assert (gic.strings("compatible"), gic.pairs("reg"), gic.cells("#interrupt-cells")) == ([compatible], reg, [3])
    assert "interrupt-controller" in gic.properties
    assert gic.cells("phandle") == root.cells("interrupt-parent")
    assert list(gic.children) == (["msi-controller@8080000"] if chip is IrqChip.GICV3_ITS else [])


def test_the_its() -> None:
    its = tree()["interrupt-controller@8000000/msi-controller@8080000"]
    assert its.strings("compatible") == ["arm,gic-v3-its"]
    assert (its.pairs("reg"), its.cells("#msi-cells")) == ([0x0808_0000, 0x2_0000], [1])
    assert "msi-controller" in its.properties


DEVICES: Final = {
    "the console": ("pl011@9000000", 0x0900_0000, [0, 1, 4], ["uartclk", "apb_pclk"]),
    "the clock": ("pl031@9010000", 0x0901_0000, [0, 2, 4], ["apb_pclk"]),
}


@pytest.mark.parametrize("row", DEVICES.values(), ids=DEVICES)
def test_primecells(row: tuple[str, int, list[int], list[str]]) -> None:
    name, base, interrupt, clocks = row
    root = tree()
    device = root[name]
    assert (device.pairs("reg"), device.cells("interrupts")) == ([base, 0x1000], interrupt)
    assert device.strings("clock-names") == clocks
    assert device.cells("clocks") == root["apb-pclk"].cells("phandle") * len(clocks)
    assert root["apb-pclk"].cells("clock-frequency") == [24_000_000]


def test_the_msi_source_is_there_and_nothing_is_at_the_empty_page() -> None:
    root = tree()
    assert root["msi-source@9020000"].pairs("reg") == [0x0902_0000, 0x1000]
    assert not any("a000000" in name for name in root.children)
