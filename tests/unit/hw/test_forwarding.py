"""A physical interrupt forwarded to a guest with the HW bit, and the maintenance interrupt.

Rows are in the notation of rig.py on the host that host_rig() sets up: SPIs 45 and 46 edge, PPI 26
level, SGI 3; PMR 0xF0, EOImode 1.  The guest has its Group 1 enabled and PMR 0xF8.
    HL = 0x70A0002D00000040: pending, HW, pINTID 45, vINTID 64, priority 0xA0
"""

from typing import NamedTuple

import pytest

from hw import PhysConfig, VirtConfig, arch
from tests.unit.hw.rig import Rig, configure, enable_lpis, host_rig

GUEST = "imo=1; fmo=1; VMCR=0xF84C000A"
TAKEN = "pend45; lines→IRQ; HPPIR1→45; P45→1; A45→0; IAR1→45; P45→0; A45→1; RPR→0xA0; EOIR1=45; RPR→0xFF; A45→1"
FORWARDED = f"{GUEST}; {TAKEN}; HCR=0x1; LR0=0x70A0002D00000040; lines→vIRQ"

SCENARIOS = {
    "P01 a forwarded SPI is deactivated by the guest's EOI": (
        f"{FORWARDED}; g.IAR1→64; LR0→0xB0A0002D00000040; A45→1; g.EOIR1=64; LR0→0x30A0002D00000040; AP1R0→0x0; "
        "ELRSR→0xF; EISR→0x0; MISR→0x0; A45→0; lines→none"
    ),
    "P02 an edge while it is forwarded waits for the guest": (
        f"{FORWARDED}; pend45; P45→1; A45→1; lines→vIRQ; IAR1→1023; g.IAR1→64; lines→none; g.EOIR1=64; P45→1; A45→0; "
        "lines→IRQ; IAR1→45"
    ),
    "P03 a guest with EOImode 1 deactivates with DIR": (
        f"{FORWARDED}; g.CTLR=0x2; g.IAR1→64; g.EOIR1=64; LR0→0xB0A0002D00000040; A45→1; g.DIR=64; "
        "LR0→0x30A0002D00000040; A45→0"
    ),
    "P04 a guest that ends another INTID deactivates nothing": (
        f"{FORWARDED}; g.IAR1→64; g.EOIR1=65; LR0→0xB0A0002D00000040; HCR→0x08000001; A45→1"
    ),
    "P05 a level still high is pending again after the guest's EOI": (
        f"{GUEST}; line26=1; lines→IRQ; IAR1→26; P26→1; A26→1; EOIR1=26; lines→none; HCR=0x1; LR0=0x70A0001A0000001A; "
        "g.IAR1→26; g.EOIR1=26; P26→1; A26→0; lines→IRQ; HPPIR1→26; line26=0; P26→0; lines→none"
    ),
    "P06 a level that falls before the guest's EOI is gone": (
        f"{GUEST}; line26=1; IAR1→26; EOIR1=26; HCR=0x1; LR0=0x70A0001A0000001A; g.IAR1→26; line26=0; P26→0; A26→1; "
        "g.EOIR1=26; A26→0; lines→none"
    ),
    "P07 underflow raises the maintenance interrupt, and clearing UIE lowers it": (
        f"{GUEST}; HCR=0x3; P25→1; lines→IRQ; HPPIR1→25; IAR1→25; RPR→0x80; HCR=0x1; P25→0; A25→1; EOIR1=25; DIR=25; "
        "A25→0; lines→none"
    ),
    "P08 the maintenance interrupt needs En": "HCR=0x2; P25→0; lines→none; HCR=0x3; P25→1; lines→IRQ",
    "P09 a host with EOImode 0 deactivates with EOIR": "CTLR=0x0; pend45; IAR1→45; EOIR1=45; A45→0; RPR→0xFF",
    "P10 EOIR of another INTID drops all the same": "pend45; IAR1→45; EOIR1=46; RPR→0xFF; A45→1",
    "P11 DIR of an inactive interrupt does nothing": "DIR=45; P45→0; A45→0; lines→none; pend45; DIR=45; P45→1; A45→0",
    "P12 a hypervisor that drops the LR has to deactivate": (f"{FORWARDED}; LR0=0x0; lines→none; A45→1; DIR=45; A45→0"),
    "P13 an LR with EOI raises the maintenance interrupt once ended": (
        f"{GUEST}; HCR=0x1; LR0=0x5080020000000028; g.IAR1→40; P25→0; MISR→0x0; g.EOIR1=40; EISR→0x1; ELRSR→0xE; "
        "MISR→0x1; P25→1; lines→IRQ; LR0=0x0; EISR→0x0; ELRSR→0xF; P25→0; lines→none"
    ),
    "P14 PMR masks a priority equal to it, but HPPIR does not look": (
        "PMR=0xA0; pend45; lines→none; HPPIR1→45; IAR1→1023; PMR=0xA8; lines→IRQ; IAR1→45"
    ),
    "P15 equal priorities: lowest INTID, one at a time, both active after the drop": (
        "pend46; pend45; IAR1→45; IAR1→1023; EOIR1=45; IAR1→46; A45→1; A46→1"
    ),
    "P16 an SGI to oneself": "SGI1R=0x03000001; P3→1; IAR1→3; P3→0; A3→1; EOIR1=3; DIR=3; A3→0",
    "clearing En alone lowers the maintenance interrupt, setting it again raises it": (
        f"{GUEST}; HCR=0x1; LR0=0x1080020000000028; P25→1; HCR=0x0; P25→0; lines→none; HCR=0x1; P25→1"
    ),
    "a maintenance interrupt is no trap: a spurious acknowledge if its cause went away": (
        "HCR=0x3; lines→IRQ; HCR=0x0; IAR1→1023; RPR→0xFF"
    ),
    "a host below the maintenance priority does not see it": "PMR=0x80; HCR=0x3; P25→1; lines→none; HPPIR1→25",
    "an invalid pINTID ends in the virtual interface alone": (
        f"{GUEST}; HCR=0x1; LR0=0x70A003FF00000040; g.IAR1→64; g.EOIR1=64; LR0→0x30A003FF00000040; lines→none"
    ),
    "a pINTID beyond the last SPI ends in the virtual interface alone": (
        f"{GUEST}; HCR=0x1; LR0=0x70A0032000000040; g.IAR1→64; g.EOIR1=64; LR0→0x30A0032000000040; lines→none"
    ),
}


@pytest.mark.parametrize("accesses", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(accesses: str) -> None:
    host_rig().run(accesses)


class Step(NamedTuple):
    """One row of the guide's table: what is done, and what holds then."""

    action: str
    p: str  # physical SPI 45, as ISPENDR and ISACTIVER show it
    rpr: str  # ICC_RPR_EL1
    lr: str  # State of LR0
    lines: str


PENDING, ACTIVE, INACTIVE = "P45→1; A45→0", "P45→0; A45→1", "P45→0; A45→0"
STATES = {(False, False): "Invalid", (True, False): "Pending", (False, True): "Active", (True, True): "P+A"}

STEPS = {
    "0 idle, the guest runs": Step(GUEST, INACTIVE, "0xFF", "Invalid", "none"),
    "1 the device asserts, the distributor forwards": Step("line45=1", PENDING, "0xFF", "Invalid", "IRQ"),
    "2 the PE takes the IRQ to EL2, whatever PSTATE.I": Step("pstate_i=1", PENDING, "0xFF", "Invalid", "IRQ"),
    "3a EL2 acknowledges": Step("IAR1→45", ACTIVE, "0xA0", "Invalid", "none"),
    "3b EL2 drops the priority": Step("EOIR1=45", ACTIVE, "0xFF", "Invalid", "none"),
    "4 EL2 writes the list register": Step("LR0=0x70A0002D00000040; HCR=0x1", ACTIVE, "0xFF", "Pending", "vIRQ"),
    "5 the guest unmasks and takes the vIRQ": Step("pstate_i=0", ACTIVE, "0xFF", "Pending", "vIRQ"),
    "6 the guest acknowledges": Step("g.IAR1→64", ACTIVE, "0xFF", "Active", "none"),
    "7 the guest ends it, and both are inactive": Step("g.EOIR1=64", INACTIVE, "0xFF", "Invalid", "none"),
}


def test_forwarding_step_by_step() -> None:
    """The sequence of Arm's virtualization guide (Learn the architecture: GICv3, section 3.3)."""
    rig = host_rig()
    pe = rig.machine.pes[0]
    for name, step in STEPS.items():
        rig.run(f"{step.action}; {step.p}; RPR→{step.rpr}; lines→{step.lines}")
        lr = pe.virt.lrs[0]
        assert STATES[lr.pending, lr.active] == step.lr, name
        assert pe.irq_taken() == (step.lines == "IRQ"), name
        assert pe.virq_taken() == (step.lines == "vIRQ" and not pe.pstate_i), name
    assert pe.virt.read_elrsr() == 0xF, "reusable"
    assert not pe.virt.maintenance(), "a hardware deactivation owes no notification"


def test_without_hw_deactivation_the_physical_interrupt_stays_active() -> None:
    rig = host_rig(VirtConfig(hw_deactivation=False))  # P18
    rig.run(f"{FORWARDED}; g.IAR1→64; g.EOIR1=64; LR0→0x30A0002D00000040; A45→1; DIR=45; A45→0")


def test_physical_lpi_has_no_active_state() -> None:
    """P17: acknowledging clears the pending bit, EOIR drops, DIR means nothing."""
    rig = host_rig()
    enable_lpis(rig, rig.machine.pes[0], {8192: 0xA1})
    rig.run(
        "lpi8192; PL8192→1; lines→IRQ; HPPIR1→8192; IAR1→8192; PL8192→0; RPR→0xA0; lines→none; IAR1→1023; "
        "lpi8192; PL8192→1; lines→none; EOIR1=8192; RPR→0xFF; lines→IRQ; DIR=8192; PL8192→1; IAR1→8192"
    )
    assert all(rig.bit(rig.machine.pes[0], arch.GICD_ISACTIVER, n) == 0 for n in range(128))


GROUPS = "IGRPEN0=0; IGRPEN1=1"
TWO_GROUPS = {
    "P22 a best interrupt in a disabled group hides all others": (
        f"{GROUPS}; pend2; pend3; HPPIR0→1023; HPPIR1→1023; IAR1→1023; lines→none"
    ),
    "P23 enabling its group uncovers it, then the next": (
        f"{GROUPS}; IGRPEN0=1; pend2; pend3; HPPIR0→2; HPPIR1→1023; IAR1→1023; lines→FIQ; IAR0→2; lines→none; EOIR0=2; "
        "RPR→0xFF; lines→IRQ; IAR1→3"
    ),
    "P24 EOIR of the other group does nothing at all": (
        f"{GROUPS}; pend3; IAR1→3; RPR→0x80; EOIR0=3; RPR→0x80; EOIR1=3; RPR→0xFF"
    ),
}


@pytest.mark.parametrize("accesses", TWO_GROUPS.values(), ids=TWO_GROUPS)
def test_groups(accesses: str) -> None:
    """SGI 2 is Group 0 with priority 0x40, SGI 3 is Group 1 with priority 0x80."""
    rig = host_rig()
    pe = rig.machine.pes[0]
    configure(rig, pe, 2, 0x40, 0)
    configure(rig, pe, 3, 0x80, 1)
    rig.run(accesses)


def test_secure_interrupts_are_not_deactivated_by_a_guest() -> None:
    """With two security states the HW bit reaches Non-secure Group 1 only."""
    rig = host_rig(phys=PhysConfig(single_security=False))
    dist = rig.machine.dist
    dist.write(arch.GICD_IGROUPR + 4, 4, 1 << 45 - 32, secure=True)  # 46 becomes Group 0
    dist.write(arch.GICD_ISACTIVER + 4, 4, 3 << 45 - 32, secure=True)
    rig.run(f"{GUEST}; HCR=0x1; LR0=0x70A0002D00000040; LR1=0x70A0002E00000041; g.IAR1→64; g.EOIR1=64; A45→0")
    rig.run("g.IAR1→65; g.EOIR1=65; LR1→0x30A0002E00000041; A46→1")


def test_a_forwarded_ppi_is_that_of_the_pe_where_the_guest_ends_it() -> None:
    rig = host_rig(cpus=2)
    rig.run("line26=1; 1:line26=1; IAR1→26; EOIR1=26; 1:IAR1→26; 1:EOIR1=26")
    rig.run(
        "1:imo=1; 1:VMCR=0xF84C000A; 1:HCR=0x1; 1:LR0=0x70A0001A0000001A; 1:g.IAR1→26; 1:g.EOIR1=26; A26→1; 1:A26→0"
    )


def test_rig_is_what_it_says() -> None:
    """The notation itself: an access that differs from its row fails."""
    with pytest.raises(AssertionError, match="IAR1→45"):
        Rig().run("IAR1→45")
