"""The LPI rows of rows.py: messages, their delivery, the command queue, and what an LPI weighs."""

from array import array
from random import Random
from typing import Final

import pytest

from hw import Machine
from tests.bench.measure import RowFixture
from vgic import GICD_BASE, GICR_BASE, Addr, DeviceType, Group, Host, Ram, Vcpu, Vgic, arch
from vgic.ids import CTRL_INIT

GITS: Final = 0x0808_0000
DOORBELL: Final = GITS + 0x1_0040
RAM: Final = 0x8000_0000
CONFIG: Final = RAM + 0x10_0000
PENDING: Final = RAM + 0x20_0000
QUEUE: Final = RAM + 0x30_0000
DEVICES: Final = RAM + 0x40_0000
COLLECTIONS: Final = RAM + 0x50_0000
ITTS: Final = RAM + 0x100_0000
QUEUE_SIZE: Final = 1 << 20
VALID: Final = 1 << 63
FIRST_LPI: Final = 8192


class Guest:
    """A VM whose guest sends commands to its ITS; one collection, to vCPU 0."""

    def __init__(self) -> None:
        self.ram = Ram()
        self.ram.add(RAM, 256 << 20)
        self.vm = Vgic(Host(Machine(cpus=1)), memory=self.ram)
        self.vcpu: Vcpu = self.vm.create_vcpu(0)
        vgic = self.vm.create_device(DeviceType.VGIC_V3)
        vgic.set_attr(Group.NR_IRQS, 0, 64)
        vgic.set_attr(Group.ADDR, Addr.V3_DIST, GICD_BASE)
        vgic.set_attr(Group.ADDR, Addr.V3_REDIST, GICR_BASE)
        vgic.set_attr(Group.CTRL, CTRL_INIT)
        self.vm.create_device(DeviceType.ITS).set_attr(Group.ADDR, Addr.ITS, GITS)
        self.ram.write(CONFIG, bytes([0xA1]) * 0x1_0000)
        self.at = 0
        self.intid = FIRST_LPI
        vcpu = self.vcpu
        vcpu.enter()
        vcpu.write(GICD_BASE, 4, 0x12)
        vcpu.msr(arch.ICC_PMR_EL1, 0xF8)
        vcpu.msr(arch.ICC_IGRPEN1_EL1, 1)
        vcpu.write(GICR_BASE + 0x70, 8, CONFIG | 15)
        vcpu.write(GICR_BASE + 0x78, 8, PENDING | 1 << 62)
        vcpu.write(GICR_BASE, 4, 1)
        vcpu.write(GITS + 0x80, 8, VALID | QUEUE | 0xFF)
        vcpu.write(GITS + 0x100, 8, VALID | DEVICES | 7)
        vcpu.write(GITS + 0x108, 8, VALID | COLLECTIONS)
        vcpu.write(GITS, 4, 1)
        self.command(0x09, 0, VALID)

    def command(self, *words: int) -> None:
        """Put a command in the queue and have it executed."""
        self.ram.write(QUEUE + self.at, b"".join(word.to_bytes(8, "little") for word in (*words, 0)))
        self.at = (self.at + 32) % QUEUE_SIZE
        self.vcpu.write(GITS + 0x88, 8, self.at)

    def map_device(self, devid: int, events: int, bits: int) -> None:
        """MAPD, and MAPTI for events 0 to `events` - 1."""
        self.command(0x08 | devid << 32, bits - 1, VALID | ITTS + devid * (8 << bits))
        for eventid in range(events):
            self.command(0x0A | devid << 32, eventid | self.intid << 32, 0)
            self.intid += 1


def mapped(devices: int = 50, events: int = 1000, bits: int = 16) -> Guest:
    guest = Guest()
    for devid in range(devices):
        guest.map_device(devid, events, bits)
    return guest


def test_msi_cached(row: RowFixture) -> None:
    """A message to a pending LPI, its translation cached, of 50,000 mapped.

    Unit: one message.  Expect: constant.
    """
    vm = mapped().vm
    assert row("msi_cached")(vm.signal_msi, DOORBELL, 5, 3) == 1, "measured something else"


def test_msi_uncached(row: RowFixture) -> None:
    """The same, with the cache emptied before.

    Unit: one message.  Expect: grows with the logarithm of what is mapped.
    """
    guest = mapped()
    its = guest.vcpu.dist.its_list[0]

    def message() -> int:
        its.drop_cache()
        return guest.vm.signal_msi(DOORBELL, 5, 3)

    assert row("msi_uncached")(message) == 1, "measured something else"


def test_msi_to_eoi(row: RowFixture) -> None:
    """A message, entry, IAR, EOIR, exit.

    Unit: one interrupt.  Expect: constant.
    """
    guest = mapped()
    vm, vcpu = guest.vm, guest.vcpu
    vcpu.exit()

    def deliver() -> int:
        vm.signal_msi(DOORBELL, 5, 3)
        vcpu.enter()
        taken = vcpu.mrs(arch.ICC_IAR1_EL1)
        vcpu.msr(arch.ICC_EOIR1_EL1, taken)
        vcpu.exit()
        return taken

    assert row("msi_to_eoi")(deliver) == FIRST_LPI + 3005, "measured something else"


class Messages:
    """One message after another, to each LPI in turn."""

    def __init__(self, events: int, at_random: bool) -> None:
        self.guest = mapped(events=events)
        order = [devid << 16 | eventid for devid in range(50) for eventid in range(events)]
        if at_random:
            Random(1).shuffle(order)
        self.order = array("I", order)  # numbers lie side by side: what is not at hand are the LPIs, not these
        self.at = 0
        self.its = self.guest.vcpu.dist.its_list[0]
        for _ in order:
            self.cached()

    def cached(self) -> int:
        at = self.at
        self.at = at + 1 if at + 1 < len(self.order) else 0
        number = self.order[at]
        return self.guest.vm.signal_msi(DOORBELL, number & 0xFFFF, number >> 16)

    def uncached(self) -> int:
        self.its.drop_cache()
        return self.cached()


ORDERS: Final = {"in_order": False, "at_random": True}
EVENTS: Final = {1000: 20, 50_000: 1000}  # by LPIs, of each of 50 devices


@pytest.mark.parametrize("lpis", EVENTS)
@pytest.mark.parametrize("order", ORDERS)
def test_msi_cached_of(lpis: int, order: str, row: RowFixture) -> None:
    """Messages to one LPI after the other, all pending, translations cached.

    Unit: one message.  Expect: the same however many are mapped, but for the processor's caches.
    """
    messages = Messages(EVENTS[lpis], ORDERS[order])
    assert row(f"msi_cached_{order}_of_{lpis}")(messages.cached) == 1, "measured something else"


@pytest.mark.parametrize("lpis", EVENTS)
@pytest.mark.parametrize("order", ORDERS)
def test_msi_uncached_of(lpis: int, order: str, row: RowFixture) -> None:
    """The same, with the cache emptied before each.

    Unit: one message.  Expect: a search that grows with the logarithm of what is mapped, and the processor's caches.
    """
    messages = Messages(EVENTS[lpis], ORDERS[order])
    messages.uncached()  # forgets all: in the first message measured, that would have few and short rounds chosen
    assert row(f"msi_uncached_{order}_of_{lpis}")(messages.uncached) == 1, "measured something else"


def test_mapti(row: RowFixture) -> None:
    """A MAPTI through the queue, the write of GITS_CWRITER included.

    Unit: one command.  Expect: constant.  A DISCARD between two of them makes room; it is not free, so it counts too:
    the row is half of the pair.
    """
    guest = mapped()
    commands = [
        b"".join(word.to_bytes(8, "little") for word in words)
        for words in ((0x0A | 3 << 32, 2000 | 60000 << 32, 0, 0), (0x0F | 3 << 32, 2000, 0, 0))
    ]
    for at in range(0, QUEUE_SIZE, 64):
        guest.ram.write(QUEUE + at, b"".join(commands))
    if guest.at % 64:
        guest.command(0x05, 0, 0)
        guest.ram.write(QUEUE + guest.at - 64, b"".join(commands))

    def pair() -> None:
        for _ in range(2):
            guest.at = (guest.at + 32) % QUEUE_SIZE
            guest.vcpu.write(GITS + 0x88, 8, guest.at)

    used = guest.vm.its_budget.used
    row("mapti", per=2)(pair)
    assert guest.vm.its_budget.used == used, "measured something else"


def test_bytes_per_lpi(row: RowFixture) -> None:
    """What 50 devices with 1,000 events each keep allocated, ITE included, the translation cache empty.

    Unit: one LPI, the VM's own memory spread over them.  Expect: constant.
    """
    assert row("bytes_per_lpi", per=50_000).size(mapped).intid == FIRST_LPI + 50_000, "measured something else"


def one_event_each() -> Guest:
    return mapped(devices=40_000, events=1, bits=1)


def test_bytes_per_lpi_one_event_a_device(row: RowFixture) -> None:
    """What 40,000 devices with one event each keep allocated.

    Unit: one LPI, its device included.  Expect: constant.
    """
    guest = row("bytes_per_lpi_one_event_a_device", per=40_000).size(one_event_each)
    assert guest.intid == FIRST_LPI + 40_000, "measured something else"
