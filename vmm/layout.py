"""Where a guest finds RAM, frames and devices, and which interrupts they use: QEMU's virt board, as far as it goes.

Room:    the floor.
Owns:    every address and interrupt number that the device tree tells the guest.
"""

from typing import Final

GICD_BASE: Final = 0x0800_0000
GICC_BASE: Final = 0x0801_0000
GITS_BASE: Final = 0x0808_0000
GICR_BASE: Final = 0x080A_0000
GICR_STRIDE: Final = 0x2_0000
"""Bytes of one vCPU's redistributor."""
GITS_TRANSLATER: Final = GITS_BASE + 0x1_0040
"""The ITS's doorbell."""

UART_BASE: Final = 0x0900_0000
RTC_BASE: Final = 0x0901_0000
MSI_BASE: Final = 0x0902_0000
"""The test device that sends MSIs."""
VIRTIO_BASE: Final = 0x0A00_0000
"""A page that reads as zero, where kvm-unit-tests' micro-bench looks for a virtio device."""

RAM_BASE: Final = 0x4000_0000
FLAT_OFFSET: Final = 0x8_0000
"""A flat image lies, and is entered, this far into RAM."""
IMAGE_OFFSET: Final = 0x20_0000
"""A Linux Image lies here when its header asks for no other offset."""
DTB_LIMIT: Final = 0x800_0000
"""The device tree ends, and the initrd begins, this far into RAM; halfway when RAM is smaller."""

UART_SPI: Final = 33
RTC_SPI: Final = 34
SPIS: Final = 96
"""SPIs that the distributor implements."""

PPI_SECURE_PHYS: Final = 29
PPI_PHYS: Final = 30
PPI_VIRT: Final = 27
PPI_HYP: Final = 26
"""The generic timer's INTIDs."""

MAX_CPUS: Final = (UART_BASE - GICR_BASE) // GICR_STRIDE
"""How many redistributors there is room for."""

MIB: Final = 1 << 20
MAX_RAM: Final = 64 << 30
