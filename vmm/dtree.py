"""The device tree of the board: layout, in the words of the devicetree bindings.

Room:    above layout, config and fdt; below loader.
Owns:    what the guest is told.
Holds:   the same configuration gives the same bytes.

The empty page for micro-bench is not described: nothing is there.
"""

from typing import Final

from vmm.config import ConfigError, IrqChip, MachineConfig
from vmm.devices.device import PAGE
from vmm.fdt import EMPTY, Node, cells, flatten, pairs, strings
from vmm.layout import (
    GICC_BASE,
    GICD_BASE,
    GICR_BASE,
    GICR_STRIDE,
    GITS_BASE,
    MSI_BASE,
    PPI_HYP,
    PPI_PHYS,
    PPI_SECURE_PHYS,
    PPI_VIRT,
    RAM_BASE,
    RTC_BASE,
    RTC_SPI,
    UART_BASE,
    UART_SPI,
)

MODEL: Final = "vgic,toy"
GICD_V2_SIZE: Final = 0x1000
GICC_SIZE: Final = 0x2000
GICD_V3_SIZE: Final = 0x1_0000
GITS_SIZE: Final = 0x2_0000
UART_CLOCK: Final = 24_000_000

# phandles
_GIC: Final = 1
_CLOCK: Final = 2
_ITS: Final = 3

# The first two cells of an interrupt specifier, and its flags
_SPI: Final = 0
_PPI: Final = 1
_LEVEL_HIGH: Final = 4
_FIRST_PPI: Final = 16
_FIRST_SPI: Final = 32

# Fixed, so that two runs are equal; not zero, which would switch KASLR off.
_KASLR_SEED: Final = 0x5EED_0F_7E57_AB1E
_RNG_SEED: Final = bytes(range(0x60, 0x80))


def affinity(index: int) -> int:
    """Return Aff3.Aff2.Aff1.Aff0 of a vCPU, as KVM numbers them: 16 to an Aff1 cluster.  GICv2's eight fit in one."""
    return index >> 4 << 8 | index & 0xF


def build_dtb(config: MachineConfig, *, params: str, initrd: tuple[int, int] | None, frequency: int) -> bytes:
    """Return the flattened device tree.

    params     the command line
    initrd     its first address, and the one after its last
    frequency  of the generic timer, in Hz

    Errors: ConfigError if `params` cannot be a string in a device tree.
    """
    if "\0" in params:
        raise ConfigError(f"the command line {params!r} contains a NUL")
    return flatten(
        Node(
            "",
            {
                "model": strings(MODEL),
                "compatible": strings(MODEL),
                "#address-cells": cells(2),
                "#size-cells": cells(2),
                "interrupt-parent": cells(_GIC),
            },
            (
                _chosen(params, initrd),
                Node(
                    f"memory@{RAM_BASE:x}",
                    {"device_type": strings("memory"), "reg": pairs(RAM_BASE, config.ram)},
                ),
                _cpus(config.cpus),
                Node(
                    "psci",
                    {"compatible": strings("arm,psci-1.0", "arm,psci-0.2"), "method": strings("hvc")},
                ),
                _timer(config, frequency),
                _gic(config),
                Node(
                    "apb-pclk",
                    {
                        "compatible": strings("fixed-clock"),
                        "#clock-cells": cells(0),
                        "clock-frequency": cells(UART_CLOCK),
                        "clock-output-names": strings("clk24mhz"),
                        "phandle": cells(_CLOCK),
                    },
                ),
                _primecell("pl011", UART_BASE, UART_SPI, ("uartclk", "apb_pclk")),
                _primecell("pl031", RTC_BASE, RTC_SPI, ("apb_pclk",)),
                Node(
                    f"msi-source@{MSI_BASE:x}",
                    {"compatible": strings("vgic,msi-source"), "reg": pairs(MSI_BASE, PAGE)},
                ),
            ),
        )
    )


def _chosen(params: str, initrd: tuple[int, int] | None) -> Node:
    properties = {
        "bootargs": strings(params),
        "stdout-path": strings(f"/pl011@{UART_BASE:x}"),
        "kaslr-seed": pairs(_KASLR_SEED),
        "rng-seed": _RNG_SEED,
    }
    if initrd is not None:
        properties["linux,initrd-start"] = pairs(initrd[0])
        properties["linux,initrd-end"] = pairs(initrd[1])
    return Node("chosen", properties)


def _cpus(count: int) -> Node:
    return Node(
        "cpus",
        {"#address-cells": cells(1), "#size-cells": cells(0)},
        [
            Node(
                f"cpu@{aff:x}",
                {
                    "device_type": strings("cpu"),
                    "compatible": strings("arm,armv8"),
                    "reg": cells(aff),
                    "enable-method": strings("psci"),
                },
            )
            for aff in map(affinity, range(count))
        ],
    )


def _timer(config: MachineConfig, frequency: int) -> Node:
    flags = _LEVEL_HIGH
    if config.irqchip is IrqChip.GICV2:
        flags |= (1 << config.cpus) - 1 << 8  # which CPUs' PPIs they are
    intids = (PPI_SECURE_PHYS, PPI_PHYS, PPI_VIRT, PPI_HYP)  # in the binding's order
    return Node(
        "timer",
        {
            "compatible": strings("arm,armv8-timer"),
            "interrupts": b"".join(cells(_PPI, intid - _FIRST_PPI, flags) for intid in intids),
            "clock-frequency": cells(frequency),
            "always-on": EMPTY,
        },
    )


def _gic(config: MachineConfig) -> Node:
    v2 = config.irqchip is IrqChip.GICV2
    properties = {
        "compatible": strings("arm,cortex-a15-gic" if v2 else "arm,gic-v3"),
        "#address-cells": cells(2),
        "#size-cells": cells(2),
        "#interrupt-cells": cells(3),
        "interrupt-controller": EMPTY,
        "phandle": cells(_GIC),
        "ranges": EMPTY,
        "reg": pairs(GICD_BASE, GICD_V2_SIZE, GICC_BASE, GICC_SIZE)
        if v2
        else pairs(GICD_BASE, GICD_V3_SIZE, GICR_BASE, config.cpus * GICR_STRIDE),
    }
    children = []
    if config.irqchip is IrqChip.GICV3_ITS:
        children.append(
            Node(
                f"msi-controller@{GITS_BASE:x}",
                {
                    "compatible": strings("arm,gic-v3-its"),
                    "reg": pairs(GITS_BASE, GITS_SIZE),
                    "msi-controller": EMPTY,
                    "#msi-cells": cells(1),
                    "phandle": cells(_ITS),
                },
            )
        )
    return Node(f"interrupt-controller@{GICD_BASE:x}", properties, children)


def _primecell(part: str, base: int, intid: int, clocks: tuple[str, ...]) -> Node:
    return Node(
        f"{part}@{base:x}",
        {
            "compatible": strings(f"arm,{part}", "arm,primecell"),
            "reg": pairs(base, PAGE),
            "interrupts": cells(_SPI, intid - _FIRST_SPI, _LEVEL_HIGH),
            "clocks": cells(_CLOCK) * len(clocks),
            "clock-names": strings(*clocks),
        },
    )
