"""Which register an access reaches, what it traps to, and which lines the PE sees.

Rows are in the notation of rig.py.
"""

from typing import Final

import pytest

from hw import Machine, Memory, Pe, PhysConfig, VirtConfig, arch
from tests.unit.hw.rig import Rig, decode, host_rig, read, write

# The two interfaces hold different values, so a read shows which one answered
APART = "PMR=0xF0; IGRPEN1=1; VMCR=0x5094000B; AP0R0=0x40"  # virtual: PMR 0x50, BPR0 4, BPR1 5, both groups, AP0R0

ROUTES = {
    "R01 FMO=0 IMO=0: all physical": (
        "g.PMR→0xF0; g.RPR→0xFF; g.BPR0→2; g.BPR1→3; g.IGRPEN0→0; g.IGRPEN1→1; g.C_AP0R0→0"
    ),
    "R02 FMO=0 IMO=1: Group 1 and the common ones virtual": (
        "imo=1; g.PMR→0x50; g.RPR→0x30; g.BPR0→2; g.BPR1→5; g.IGRPEN0→0; g.IGRPEN1→1; g.C_AP0R0→0"
    ),
    "R03 FMO=1 IMO=0: Group 0 and the common ones virtual": (
        "fmo=1; g.PMR→0x50; g.RPR→0x30; g.BPR0→4; g.BPR1→3; g.IGRPEN0→1; g.C_AP0R0→0x40"
    ),
    "R04 FMO=1 IMO=1: all virtual": (
        "fmo=1; imo=1; g.PMR→0x50; g.RPR→0x30; g.BPR0→4; g.BPR1→5; g.IGRPEN0→1; g.IGRPEN1→1; g.C_AP0R0→0x40"
    ),
    "R05 EL2 reaches the physical interface": (
        "imo=1; fmo=1; PMR→0xF0; RPR→0xFF; BPR0→2; BPR1→3; SRE_EL1→7; SRE_EL2→0xF"
    ),
    "R06 TC": (
        "imo=1; fmo=1; HCR=0x400; g.PMR→TRAP_EL2; g.RPR→TRAP_EL2; g.CTLR→TRAP_EL2; g.DIR=1 TRAP_EL2; "
        "g.SGI0R=0 TRAP_EL2; g.SGI1R=0 TRAP_EL2; g.ASGI1R=0 TRAP_EL2; "
        "g.BPR0→4; g.BPR1→5; g.IAR0→1023; g.IAR1→1023; g.HPPIR0→1023; g.HPPIR1→1023; g.IGRPEN0→1; g.IGRPEN1→1; "
        "g.C_AP0R0→0x40; g.C_AP1R0→0x0"
    ),
    "R07 TALL0": (
        "imo=1; fmo=1; HCR=0x800; g.BPR0→TRAP_EL2; g.IGRPEN0→TRAP_EL2; g.HPPIR0→TRAP_EL2; g.IAR0→TRAP_EL2; "
        "g.EOIR0=1 TRAP_EL2; g.C_AP0R0→TRAP_EL2; g.PMR→0x50; g.RPR→0x30; g.BPR1→5; g.IAR1→1023; g.EOIR1=1023; "
        "g.HPPIR1→1023; g.IGRPEN1→1; g.C_AP1R0→0x0"
    ),
    "R08 TALL1": (
        "imo=1; fmo=1; HCR=0x1000; g.BPR1→TRAP_EL2; g.IGRPEN1→TRAP_EL2; g.HPPIR1→TRAP_EL2; g.IAR1→TRAP_EL2; "
        "g.EOIR1=1 TRAP_EL2; g.C_AP1R0→TRAP_EL2; g.PMR→0x50; g.RPR→0x30; g.BPR0→4; g.IAR0→1023; g.EOIR0=1023; "
        "g.HPPIR0→1023; g.IGRPEN0→1; g.C_AP0R0→0x40"
    ),
    "R09 TDIR": (
        "imo=1; fmo=1; HCR=0x4000; g.DIR=1 TRAP_EL2; g.PMR→0x50; g.RPR→0x30; g.CTLR→0x8C00; g.IAR1→1023; g.EOIR1=1023; "
        "g.IAR0→1023; g.BPR0→4; g.BPR1→5"
    ),
    "R10 TC acts with En=0 and nothing virtual": (
        "HCR=0x400; g.PMR→TRAP_EL2; g.RPR→TRAP_EL2; g.DIR=1 TRAP_EL2; g.SGI1R=0 TRAP_EL2"
    ),
    "R11 SGI1R has no virtual form: one routing bit is enough to trap": (
        "g.SGI1R=0x03000001; P3→1; unpend3; fmo=1; g.SGI1R=0x03000001 TRAP_EL2 0x623A3016; fmo=0; imo=1; "
        "g.SGI1R=0x03000001 TRAP_EL2 0x623A3016; fmo=1; g.SGI1R=0x03000001 TRAP_EL2 0x623A3016; P3→0"
    ),
    "R12 a best interrupt in a group that is not routed hides the other": (
        "VMCR=0xF84C000B; AP0R0=0; HCR=0x1; LR0=0x5080000000000028; LR1=0x4040000000000029; imo=1; lines→none; "
        "imo=0; fmo=1; lines→vFIQ; imo=1; lines→vFIQ; LR1=0; lines→vIRQ; imo=0; lines→none"
    ),
    "R13 HCR_EL2.VI and VF": (
        "imo=1; fmo=1; VMCR=0; vi=1; g.ISR→0x80; lines→vIRQ; vi=0; vf=1; g.ISR→0x40; lines→vFIQ; ISR→0x0"
    ),
    "VI and VF are nothing without IMO and FMO": "vi=1; vf=1; lines→none; g.ISR→0x0",
    "F14 the SRE check comes before the EL2 traps": (
        "imo=1; fmo=1; HCR=0x1C00; sre_el1=6; g.IAR1→TRAP_EL1 0x62303019; g.EOIR1=1 TRAP_EL1 0x62323018; "
        "g.PMR→TRAP_EL1; g.SGI1R=0 TRAP_EL1; g.SRE→0x6"
    ),
    "what does not exist is UNDEFINED whatever traps": (
        "imo=1; fmo=1; HCR=0x1C00; g.PMR→TRAP_EL2; g.EOIR1→UNDEFINED; g.DIR→UNDEFINED; g.SGI1R→UNDEFINED; "
        "g.IAR1=1 UNDEFINED; g.RPR=1 UNDEFINED; g.HPPIR0=1 UNDEFINED; g.NMIAR1→UNDEFINED"
    ),
    "F13 active-priority registers beyond the implemented are UNDEFINED": (
        "g.C_AP0R1→UNDEFINED; C_AP1R1→UNDEFINED; C_AP1R3=0 UNDEFINED; imo=1; fmo=1; g.C_AP0R1→UNDEFINED; "
        "g.C_AP1R1=0 UNDEFINED; AP1R1→UNDEFINED; AP0R3=0 UNDEFINED; LR4→UNDEFINED; LR15=0 UNDEFINED"
    ),
    "ICH_* is UNDEFINED at EL1": (
        "g.ICH_HCR_EL2→UNDEFINED; g.ICH_LR0_EL2=1 UNDEFINED; g.ICH_VTR_EL2→UNDEFINED; g.SRE_EL2→UNDEFINED"
    ),
    "ICH_VTR and the status registers are read-only": (
        "VTR→0x90B80003; VTR=0 UNDEFINED; ELRSR=0 UNDEFINED; MISR=0 UNDEFINED"
    ),
    "EL2 with ICC_SRE_EL2.SRE=0 traps to itself": (
        "sre_el2=0xE; IAR1→TRAP_EL2 0x62303019; PMR=0 TRAP_EL2 0x6230100C; HCR→TRAP_EL2; LR0=1 TRAP_EL2; SRE_EL2→0xE; "
        "SRE_EL1→0x7; EOIR1→UNDEFINED; sre_el2=0xF; HCR→0x0"
    ),
    "ICC_SRE_EL1 is never virtual, and is kept to EL2 by ICC_SRE_EL2.Enable": (
        "imo=1; fmo=1; HCR=0x1C00; g.SRE→7; g.SRE=0; g.SRE→7; SRE_EL2=7; g.SRE→TRAP_EL2 0x623A3019; "
        "g.SRE=0 TRAP_EL2 0x623A3018; SRE_EL2→7; SRE_EL1→7; SRE_EL2=0; SRE_EL2→7; SRE_EL2=0xF; g.SRE→7"
    ),
    "TGE with E2H: nothing is virtual": "imo=1; fmo=1; tge=1; e2h=1; g.PMR→0xF0; g.BPR0→2; g.BPR1→3; lines→none",
    "TGE without E2H: both groups are routed to EL2, yet EL1 sees no line": (
        "tge=1; g.PMR→0x50; g.BPR0→4; g.BPR1→5; imo=1; vi=1; lines→none"
    ),
    "EL3 does not exist with one security state": (
        "m.PMR→UNDEFINED; m.CTLR_EL3→UNDEFINED; m.SRE_EL3=0xF UNDEFINED; CTLR_EL3→UNDEFINED; g.CTLR_EL3→UNDEFINED"
    ),
    "the physical interface at EL1 is the hypervisor's own": (
        "g.PMR=0x80; PMR→0x80; g.CTLR=0x0; pend45; g.IAR1→1023; g.PMR=0xF0; lines→IRQ; g.ISR→0x80; g.IAR1→45; A45→1; "
        "g.EOIR1=45; A45→0"
    ),
    "ISR_EL1 at EL1 shows the virtual line of a class routed to EL2": (
        "pend45; g.ISR→0x80; ISR→0x80; imo=1; g.ISR→0x0; ISR→0x80; imo=0; g.ISR→0x80"
    ),
}


@pytest.mark.parametrize("accesses", ROUTES.values(), ids=ROUTES)
def test_route(accesses: str) -> None:
    host_rig().run(f"{APART}; {accesses}")


SYNDROMES: Final = {
    "g.PMR": ("→", 0x6230100D),
    "g.PMR ": ("=", 0x6230100C),
    "g.RPR": ("→", 0x62363017),
    "g.CTLR": ("→", 0x62383019),
    "g.DIR": ("=", 0x62323016),
    "g.SGI1R": ("=", 0x623A3016),
    "g.IAR0": ("→", 0x62303011),
    "g.EOIR0": ("=", 0x62323010),
    "g.HPPIR0": ("→", 0x62343011),
    "g.BPR0": ("→", 0x62363011),
    "g.C_AP0R0": ("→", 0x62383011),
    "g.IGRPEN0": ("→", 0x623C3019),
    "g.IAR1": ("→", 0x62303019),
    "g.EOIR1": ("=", 0x62323018),
    "g.HPPIR1": ("→", 0x62343019),
    "g.BPR1": ("→", 0x62363019),
    "g.C_AP1R0": ("→", 0x62303013),
    "g.IGRPEN1": ("→", 0x623E3019),
}


@pytest.mark.parametrize(("name", "row"), SYNDROMES.items(), ids=[f"{n} {r[0]}" for n, r in SYNDROMES.items()])
def test_syndrome(name: str, row: tuple[str, int]) -> None:
    """ESR_EL2 of an access with Rt = x0, all classes trapped."""
    pe = Machine().pes[0]
    pe.virt.write_hcr(arch.HCR_TC | arch.HCR_TALL0 | arch.HCR_TALL1)
    sign, esr = row
    outcome = read(pe, name.strip()) if sign == "→" else write(pe, name.strip(), 0)
    assert (outcome, pe.esr) == (arch.TRAP_EL2, esr)


SECURITY = {
    "SCR_EL3.FIQ keeps Group 0 to EL3, also from EL2": (
        "scr_fiq=1; g.IAR0→TRAP_EL3 0x62303011; g.BPR0=3 TRAP_EL3; IAR0→TRAP_EL3; g.PMR→0xE0; g.IAR1→1023"
    ),
    "SCR_EL3.IRQ keeps Group 1 to EL3": "scr_irq=1; g.IAR1→TRAP_EL3 0x62303019; IAR1→TRAP_EL3; g.IAR0→1023; g.PMR→0xF0",
    "both keep the common registers and SGIs to EL3": (
        "scr_fiq=1; scr_irq=1; g.PMR→TRAP_EL3; g.RPR→TRAP_EL3; g.DIR=1 TRAP_EL3; g.SGI1R=0 TRAP_EL3; PMR→TRAP_EL3"
    ),
    "a virtual register is not kept to EL3": "scr_fiq=1; scr_irq=1; imo=1; fmo=1; g.PMR→0x0; g.IAR0→1023; g.IAR1→1023",
    "EL2 traps come before EL3's": "scr_irq=1; HCR=0x1000; g.IAR1→TRAP_EL2",
    "Secure EL1 without EEL2 always reaches the physical interface, untrapped": (
        "imo=1; fmo=1; HCR=0x1C00; scr_ns=0; g.PMR→0xF0; g.BPR0→2; g.IAR1→1023; vi=1; lines→none"
    ),
    "with EEL2 Secure EL1 is virtualised and trapped": (
        "imo=1; fmo=1; HCR=0x1C00; scr_ns=0; scr_eel2=1; g.PMR→TRAP_EL2; HCR=0x1; g.PMR→0x0; vi=1; lines→vIRQ"
    ),
    "F07 the Secure virtual interface has Group 0's minimum for BPR1": (
        "imo=1; fmo=1; scr_eel2=1; scr_ns=0; g.BPR1=0; g.BPR1→2; scr_ns=1; g.BPR1→3"
    ),
    "F08 Secure BPR1 under CBPR is BPR0": (
        "imo=1; fmo=1; scr_eel2=1; scr_ns=0; VMCR=0x00800010; g.BPR1→4; g.BPR1=6; g.BPR0→6; g.BPR1→6"
    ),
    "ICC_SRE_EL3.Enable keeps the others to EL3": (
        "SRE_EL2→0xF; m.SRE_EL3=7; m.SRE_EL3→7; SRE_EL2→TRAP_EL3; SRE_EL1=7 TRAP_EL3; g.SRE→TRAP_EL3; m.SRE_EL2→0xF; "
        "m.SRE_EL1→7; m.SRE_EL3=0xF; SRE_EL2→0xF"
    ),
    "EL3 reaches both interfaces": "m.PMR→0xF0; m.ICH_VTR_EL2→0x90B80003; m.ICH_HCR_EL2=1; HCR→1; m.EOIR1→UNDEFINED",
    "ISR_EL1 at EL3 is the physical one": "imo=1; vi=1; g.ISR→0x80; m.ISR→0x0",
}


@pytest.mark.parametrize("accesses", SECURITY.values(), ids=SECURITY)
def test_security(accesses: str) -> None:
    """Two security states."""
    host_rig(phys=PhysConfig(single_security=False)).run(accesses)


LEGACY = {
    "F09 a GICv2-style guest: VMCR holds VFIQEn and VAckCtl, Group 0 is a vIRQ": (
        "imo=1; fmo=1; amo=1; SRE_EL1=0; SRE_EL1→6; VMCR=0xF8000001; VMCR→0xF84C0001; HCR=1; LR0=0x4080000000000028; "
        "lines→vIRQ; VMCR=0xF8000005; VMCR→0xF84C0005; g.IAR0→TRAP_EL1"
    ),
    "F10 VMCR written while SRE is still set": (
        "imo=1; fmo=1; amo=1; VMCR=0xF8000001; SRE_EL1=0; VMCR→0xF84C0009; HCR=1; LR0=0x4080000000000028; lines→vFIQ"
    ),
    "SRE cannot be cleared unless everything is routed to EL2": (
        "imo=1; fmo=1; SRE_EL1=0; SRE_EL1→7; amo=1; SRE_EL1=6; SRE_EL1→6"
    ),
    "SRE can be set again at any time": (
        "imo=1; fmo=1; amo=1; SRE_EL1=0; imo=0; fmo=0; SRE_EL1=1; SRE_EL1→7; g.PMR→0xF0"
    ),
    "EL2's own SRE can be cleared": "SRE_EL2=8; SRE_EL2→0xE; PMR→TRAP_EL2; SRE_EL2=1; SRE_EL2→7; PMR→0xF0",
}


@pytest.mark.parametrize("accesses", LEGACY.values(), ids=LEGACY)
def test_legacy(accesses: str) -> None:
    """`sre_legacy`: ICC_SRE_EL1.SRE exists as a bit."""
    host_rig(VirtConfig(sre_legacy=True)).run(accesses)


def test_el0_reaches_nothing() -> None:
    pe = Machine().pes[0]
    for encoding in arch.SYSREG_NAMES:
        assert (pe.mrs_el0(encoding), pe.msr_el0(encoding, 0)) == (arch.UNDEFINED, arch.UNDEFINED)


TAKEN = {
    #  set                      irq target, taken; virq taken
    "masked by PSTATE.I when EL1 takes it": ("pstate_i=1", 1, False, False),
    "taken by EL1": ("pstate_i=0", 1, True, False),
    "not masked when EL2 takes it; the virtual one is": ("imo=1; vi=1; pstate_i=1", 2, True, False),
    "EL1 takes the virtual one": ("imo=1; vi=1", 2, True, True),
    "TGE alone routes to EL2": ("tge=1; vi=1; pstate_i=1", 2, True, False),
    "EL3 takes it": ("imo=1; scr_irq=1; pstate_i=1", 3, True, False),
}


@pytest.mark.parametrize("row", TAKEN.values(), ids=TAKEN)
def test_what_the_pe_takes(row: tuple[str, int, bool, bool]) -> None:
    controls, target, taken, virtual = row
    rig = host_rig()
    rig.run(f"pend45; {controls}")
    pe = rig.machine.pes[0]
    assert (pe.irq_target(), pe.irq_taken(), pe.virq_taken()) == (target, taken, virtual)


def test_fiq_is_routed_and_masked_alike() -> None:
    rig = host_rig(phys=PhysConfig(single_security=False))
    pe = rig.machine.pes[0]
    rig.machine.dist.write(arch.GICD_IGROUPR + 4, 4, 0, secure=True)
    rig.run("m.PMR=0xF0; m.IGRPEN0=1; pend45; lines→FIQ; pstate_f=1")
    assert (pe.fiq_target(), pe.fiq_taken()) == (1, False)
    pe.fmo = pe.vf = True
    assert (pe.fiq_target(), pe.fiq_taken(), pe.vfiq_taken()) == (2, True, False)
    pe.pstate_f = False
    assert pe.vfiq_taken()
    pe.scr_fiq = True
    assert pe.fiq_target() == 3


class Recorder:
    """Remembers the lines at each change."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def lines_changed(self, pe: Pe) -> None:
        self.seen.append(pe.lines())


def test_watcher_is_told_of_changes_and_of_nothing_else() -> None:
    rig = host_rig()
    pe = rig.machine.pes[0]
    watcher = pe.watcher = Recorder()
    rig.run("imo=1; fmo=1; VMCR=0xF84C000A; HCR=1; LR0=0x5080000000000028; g.RPR→0xFF; g.IAR1→40; g.EOIR1=40")
    rig.run("pend45; pend45; PMR=0xA0; PMR=0xF0; line26=1")
    assert watcher.seen == [4, 0, 1, 0, 1]
    pe.virt.write_lr(0, 41, True, False, 0x80, 1, False, 0, False)
    pe.poll_lines()
    assert watcher.seen[-1] == 5, "the fast path is polled for"


def test_watcher_of_another_pe_sees_spis_come_and_go() -> None:
    rig = host_rig(cpus=2)
    first, second = rig.machine.pes
    watcher = first.watcher = Recorder()
    rig.machine.dist.write(arch.GICD_IROUTER + 8 * 45, 8, arch.IROUTER_IRM)
    rig.run("pend45; 1:IAR1→45; pend45; 1:EOIR1=45; 1:DIR=45")
    assert watcher.seen == [1, 0, 1]
    first.watcher = None
    rig.run("unpend45")
    assert watcher.seen == [1, 0, 1], "no longer watching"
    assert second.watcher is first.watcher is None


def test_barriers_are_logged_on_request() -> None:
    pe = Machine().pes[0]
    pe.isb()
    pe.barriers = []
    pe.isb()
    pe.dsb()
    assert pe.barriers == ["isb", "dsb"]


def test_accesses_are_counted_where_they_arrive() -> None:
    rig = Rig()
    pe = rig.machine.pes[0]
    rig.run("g.IAR1→1023; g.EOIR1=1; PMR=0; imo=1; fmo=1; g.IAR1→1023; g.PMR=0; HCR=0; VTR→0x90B80003; SRE_EL2→0xF")
    rig.run("SRE_EL1=7; g.DIR→UNDEFINED")
    counted = {name: n for name, n in pe.cost.as_dict().items() if n}
    expected = {"icc_reads": 1, "icc_writes": 2, "icv_reads": 1, "icv_writes": 1, "hcr_writes": 1, "vtr_reads": 1}
    assert counted == expected | {"sre_reads": 1, "sre_writes": 1}
    trapped = pe.cost.total()
    pe.virt.tall1 = True
    pe.mrs_el1(arch.ICC_IAR1_EL1)
    assert pe.cost.total() == trapped, "a trapped access reaches no register"


def test_hot_accesses_equal_the_general_ones() -> None:
    """IAR1 and EOIR1 take a short cut when they are virtual; the outcome is that of the table."""
    rig = host_rig(VirtConfig(n_lr=1))
    pe = rig.machine.pes[0]
    rig.run("imo=1; fmo=1; VMCR=0xF84C000A; HCR=1; LR0=0x5080000000000028")
    before = pe.virt.snapshot()
    _, iar = decode("g.IAR1")
    assert pe.mrs_el1(iar) == 40
    after = pe.virt.snapshot()
    pe.virt.restore(before)
    assert pe.virt.read_icv(iar) == 40
    assert pe.virt.snapshot() == after


def test_memory_is_the_machines() -> None:
    memory = Memory(1 << 20)
    machine = Machine(2, memory=memory)
    assert machine.memory is memory
    assert all(pe.redist.lpis.memory is memory for pe in machine.pes)
