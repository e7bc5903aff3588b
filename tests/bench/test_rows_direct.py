"""The rows of rows.py for direct injection: GICv4.1 hardware alone, without a hypervisor above it."""

from typing import Final

from hw import ItsConfig, Machine, Pe, V4Config, arch, arch4
from hw.its import Its
from tests.bench.measure import RowFixture

CONFIG: Final = 0x10_0000
PENDING: Final = 0x20_0000
QUEUE: Final = 0x40_0000
DEVICES: Final = 0x50_0000
COLLECTIONS: Final = 0x60_0000
VPECT: Final = 0x70_0000
VCT: Final = 0x100_0000
VPT: Final = 0x200_0000
ITT: Final = 0x300_0000
VLPI: Final = 8192
SGI: Final = 3
NR_PENDING: Final = 64
RESIDENT: Final = arch4.VALID | arch4.VPENDBASER_VGRP1EN
VPENDBASER: Final = arch4.GICR_VPENDBASER
IAR1: Final = arch.ICC_IAR1_EL1
EOIR1: Final = arch.ICC_EOIR1_EL1


class Bench:
    """One PE and one ITS; vPEs 0 and 1 are mapped, events 0 and up of device n to the vLPIs of vPE n."""

    def __init__(self, events: int) -> None:
        self.machine = Machine(1, v4=V4Config(), its=[ItsConfig()])
        self.pe: Pe = self.machine.pes[0]
        self.its: Its = self.machine.itss[0]
        self.at = 0
        redist, its, memory = self.pe.redist, self.its, self.machine.memory
        self.pe.imo = True
        self.pe.virt.write_vmcr(0xF84C_000A)
        self.pe.virt.write_hcr(arch.HCR_EN)
        redist.write(arch.GICR_PROPBASER, 8, CONFIG | 15)
        redist.write(arch.GICR_PENDBASER, 8, PENDING)
        redist.write(arch.GICR_CTLR, 4, 1)
        redist.write(arch4.GICR_VPROPBASER, 8, arch4.VALID | VPECT)
        its.write(arch4.GITS_CBASER, 8, arch4.VALID | QUEUE | 0xF)
        for n, table in enumerate((DEVICES, COLLECTIONS, VPECT + 0x1_0000)):
            its.write(arch4.GITS_BASER + 8 * n, 8, arch4.VALID | table | 15)
        its.write(arch4.GITS_CTLR, 4, 1)
        for vpe in (0, 1):
            memory.write_bytes(VCT + 0x1_0000 * vpe, bytes([0xA3]) * events)
            vct, vpt = VCT + 0x1_0000 * vpe, VPT + 0x1_0000 * vpe
            self.command(arch4.VMAPP | arch4.VMAPP_ALLOC | vct, vpe << 32 | 1023, arch4.VALID, vpt | 15)
            self.command(arch4.VSGI | arch4.VSGI_ENABLE | arch4.VSGI_GROUP | SGI << 32, vpe << 32, 0, 0)
            self.command(arch4.MAPD | vpe << 32, 7, arch4.VALID | ITT + 0x1_0000 * vpe, 0)
            for event in range(events):
                self.command(arch4.VMAPTI | vpe << 32, vpe << 32 | event, 1023 << 32 | VLPI + event, 0)

    def command(self, *words: int) -> None:
        """Have a command executed."""
        data = b"".join(word.to_bytes(8, "little") for word in words)
        self.machine.memory.write_bytes(QUEUE + self.at, data)
        self.at += 32
        self.its.write(arch4.GITS_CWRITER, 8, self.at)
        assert not self.its.errors, "a command failed"


def complete(pe: Pe) -> int:
    intid = pe.mrs_el1(IAR1)
    pe.msr_el1(EOIR1, intid)
    return intid


def vlpi(its: Its, pe: Pe) -> int:
    its.msi(0, 0)
    return complete(pe)


def vsgi(its: Its, pe: Pe) -> int:
    its.write(arch4.GITS_SGIR, 8, SGI)
    return complete(pe)


def test_direct_vlpi(row: RowFixture) -> None:
    """A device's MSI to the resident vPE, acknowledged and completed by its guest.

    Unit: one MSI.  Expect: constant, no list register, no memory.
    """
    bench = Bench(1)
    bench.pe.redist.write(VPENDBASER, 8, RESIDENT)
    taken = row("direct_vlpi")(vlpi, bench.its, bench.pe)
    cost = bench.pe.cost
    assert (taken, cost.lr_writes, cost.doorbells) == (VLPI, 0, 0), "measured something else"


def test_direct_vsgi(row: RowFixture) -> None:
    """An SGI for the resident vPE, sent through GITS_SGIR, acknowledged and completed by its guest.

    Unit: one write of GITS_SGIR.  Expect: as a vLPI, and the decoding of the write.
    """
    bench = Bench(1)
    bench.pe.redist.write(VPENDBASER, 8, RESIDENT)
    taken = row("direct_vsgi")(vsgi, bench.its, bench.pe)
    assert (taken, bench.pe.cost.lr_writes) == (SGI, 0), "measured something else"


def change_residency(pe: Pe) -> None:
    redist = pe.redist
    vpe = redist.read(VPENDBASER, 8) & 1
    redist.write(VPENDBASER, 8, vpe | arch4.VPENDBASER_PENDING_LAST)
    while redist.read(VPENDBASER, 8) & arch4.VPENDBASER_DIRTY:
        pass
    redist.write(VPENDBASER, 8, RESIDENT | vpe ^ 1)


def test_residency_64_pending(row: RowFixture) -> None:
    """One vPE leaves and another becomes resident, each with 64 vLPIs pending.

    Unit: both writes of GICR_VPENDBASER, and the polls.  Expect: the same with nothing pending.
    """
    bench = Bench(NR_PENDING)
    for vpe in (0, 1):
        for event in range(NR_PENDING):
            bench.its.msi(vpe, event)
    bench.pe.redist.write(VPENDBASER, 8, RESIDENT)
    row("residency_64_pending")(change_residency, bench.pe)
    assert [len(vpe.pending) for vpe in bench.machine.vpes.by_key.values()] == [NR_PENDING] * 2, "something else"
    assert complete(bench.pe) == VLPI
