"""The physical CPU interface: its registers, its rules, and two security states' views of it.

Rows are in the notation of rig.py, on the host that host_rig() sets up.
"""

import pytest

from hw import PhysConfig, arch
from tests.unit.hw.rig import Rig, configure, host_rig

REGISTERS = {
    "CTLR: CBPR, EOImode and PMHE are writable": (
        "CTLR=0xFFFFFFFF; CTLR→0x00048C43; CTLR=0; CTLR→0x00048C00; CTLR=2; CTLR→0x00048C02"
    ),
    "PMR has the implemented bits": "PMR=0xFF; PMR→0xF8; PMR=0x7; PMR→0x0; PMR=0x1F0; PMR→0xF0",
    "binary points have minima": "BPR0=0; BPR1=0; BPR0→2; BPR1→3; BPR0=0xF; BPR1=4; BPR0→7; BPR1→4",
    "BPR1 under CBPR follows BPR0 and ignores writes": (
        "BPR0=4; CTLR=3; BPR1→5; BPR1=7; BPR0→4; BPR1→5; BPR0=7; BPR1→7; CTLR=2; BPR1→3"
    ),
    "IGRPEN has one bit": "IGRPEN0=3; IGRPEN0→1; IGRPEN1=2; IGRPEN1→0",
    "active priorities can be written and make the running priority": (
        "C_AP0R0=0x10000; RPR→0x80; C_AP1R0=0x100; RPR→0x40; C_AP0R0→0x10000; C_AP1R0→0x100; C_AP1R0=0; RPR→0x80"
    ),
    "idle": "RPR→0xFF; HPPIR0→1023; HPPIR1→1023; IAR0→1023; IAR1→1023; lines→none",
    "ICC_SRE_EL2 is RAO but for Enable": "SRE_EL2→0xF; SRE_EL2=0; SRE_EL2→0x7; SRE_EL2=8; SRE_EL2→0xF",
    "one direction each": (
        "EOIR0→UNDEFINED; EOIR1→UNDEFINED; DIR→UNDEFINED; SGI1R→UNDEFINED; SGI0R→UNDEFINED; ASGI1R→UNDEFINED; "
        "IAR0=0 UNDEFINED; IAR1=0 UNDEFINED; HPPIR0=0 UNDEFINED; HPPIR1=0 UNDEFINED; RPR=0 UNDEFINED"
    ),
}


@pytest.mark.parametrize("accesses", REGISTERS.values(), ids=REGISTERS)
def test_register(accesses: str) -> None:
    host_rig().run(accesses)


RULES = {
    "a better interrupt preempts, and they end in order": (
        "pend45; IAR1→45; pend3; lines→IRQ; IAR1→3; RPR→0x60; C_AP1R0→0x00101000; EOIR1=3; RPR→0xA0; EOIR1=45; RPR→0xFF"
    ),
    "an equal one does not": "pend45; IAR1→45; pend46; lines→none; HPPIR1→46; IAR1→1023",
    "the binary point groups priorities": "BPR1=7; pend45; IAR1→45; RPR→0x80; pend3; lines→IRQ; IAR1→3; RPR→0x0",
    "and withholds preemption inside a group": "BPR1=7; line26=1; IAR1→26; pend45; lines→none; IAR1→1023",
    "special INTIDs end nothing": "pend45; IAR1→45; EOIR1=1023; RPR→0xA0; EOIR1=1020; RPR→0xA0; DIR=1023; A45→1",
    "upper bits of EOIR and DIR do not exist": "pend45; IAR1→45; EOIR1=0xFF00002D; RPR→0xFF; DIR=0xFF00002D; A45→0",
    "an INTID that does not exist still drops": "pend45; IAR1→45; EOIR1=900; RPR→0xFF; DIR=900; A45→1",
    "EOIR with nothing active does nothing": "CTLR=0; pend45; EOIR1=45; P45→1; A45→0; RPR→0xFF",
    "EOIR with EOImode 0 deactivates what it names": (
        "CTLR=0; pend45; pend46; IAR1→45; EOIR1=46; A45→1; EOIR1=45; A45→1"
    ),
    "DIR with EOImode 0 is ignored": "pend45; IAR1→45; CTLR=0; DIR=45; A45→1; CTLR=2; DIR=45; A45→0",
    "DIR may come before EOIR": "pend45; IAR1→45; DIR=45; A45→0; RPR→0xA0; EOIR1=45; RPR→0xFF",
    "reading for the other group acknowledges nothing": "pend45; IAR0→1023; P45→1; lines→IRQ",
    "ISACTIVER holds an interrupt back without a running priority": (
        "pend45; IAR1→45; EOIR1=45; pend45; lines→none; DIR=45; lines→IRQ"
    ),
}


@pytest.mark.parametrize("accesses", RULES.values(), ids=RULES)
def test_rule(accesses: str) -> None:
    host_rig().run(accesses)


def test_priority_of_the_mask_is_never_signalled() -> None:
    rig = host_rig()
    configure(rig, rig.machine.pes[0], 45, 0xF8, 1)
    rig.run("PMR=0xFF; pend45; HPPIR1→45; lines→none; IAR1→1023")


def test_priority_ff_is_never_selected() -> None:
    rig = host_rig(phys=PhysConfig(phys_pri_bits=8))
    configure(rig, rig.machine.pes[0], 45, 0xFF, 1)
    rig.run("PMR=0xFF; pend45; HPPIR1→1023; lines→none")


PREEMPTION_BITS = {
    #              bits  AP register, bit   BPR0, BPR1
    "5 bits": (5, "C_AP1R0→0x00010000", "BPR0→2; BPR1→3; C_AP1R1→UNDEFINED"),
    "6 bits": (6, "C_AP1R1→0x00000002", "BPR0→1; BPR1→2; C_AP1R2→UNDEFINED"),
    "7 bits": (7, "C_AP1R2→0x00000008", "BPR0→0; BPR1→1; C_AP1R3→0"),
    "8 bits, of which 7 preempt": (8, "C_AP1R2→0x00000008", "BPR0→0; BPR1→1; C_AP1R3→0"),
}


@pytest.mark.parametrize("row", PREEMPTION_BITS.values(), ids=PREEMPTION_BITS)
def test_preemption_bits(row: tuple[int, str, str]) -> None:
    bits, active, minima = row
    rig = host_rig(phys=PhysConfig(phys_pri_bits=bits))
    configure(rig, rig.machine.pes[0], 45, 0x86, 1)
    rig.run(f"BPR0=0; BPR1=0; {minima}; pend45; IAR1→45; {active}; EOIR1=45; RPR→0xFF")


# Two security states: SPI 45 is Non-secure, 46 Secure Group 1, SGI 2 Group 0


def two_states() -> Rig:
    """The host in Non-secure state; everything enabled and unmasked; EL3 with EOImode 1 as well."""
    rig = host_rig(phys=PhysConfig(single_security=False))
    dist = rig.machine.dist
    dist.write(arch.GICD_CTLR, 4, 7, secure=True)
    dist.write(arch.GICD_IGROUPR + 4, 4, 1 << 45 - 32, secure=True)
    dist.write(arch.GICD_IGRPMODR + 4, 4, 1 << 46 - 32, secure=True)
    configure(rig, rig.machine.pes[0], 2, 0x40, 0)
    rig.machine.pes[0].redist.write(arch.GICR_IGROUPR0, 4, 0xFFFF_FFFB, secure=True)
    rig.run("m.PMR=0xF0; m.IGRPEN0=1; m.IGRPEN1_EL3=3; m.CTLR_EL3=0x1C")
    return rig


STATES = {
    "Non-secure Group 1 is an IRQ in its own state": (
        "pend45; lines→IRQ; HPPIR1→45; IAR1→45; RPR→0xA0; C_AP1R0→0x100000"
    ),
    "and an FIQ in Secure state": "pend45; scr_ns=0; lines→FIQ; HPPIR1→1023; IAR1→1023; HPPIR0→1023",
    "Secure Group 1 is an FIQ in Non-secure state": "pend46; lines→FIQ; HPPIR1→1023; IAR1→1023; HPPIR0→1023; IAR0→1023",
    "and an IRQ in its own": "pend46; scr_ns=0; lines→IRQ; HPPIR1→46; IAR1→46; EOIR1=46; DIR=46; A46→0",
    "Group 0 is an FIQ, and Secure state's": "pend2; lines→FIQ; IAR0→1023; scr_ns=0; lines→FIQ; IAR1→1023; IAR0→2",
    "EL3 learns of Secure Group 1 as 1020": "pend46; m.HPPIR0→1020; m.IAR0→1020; P46→1; m.IAR1→1023",
    "EL3 learns of Non-secure Group 1 as 1021": "pend45; m.HPPIR0→1021; m.IAR0→1021; P45→1",
    "EL3 that cannot be signalled reads 1023": "m.PMR=0x10; pend45; m.HPPIR0→1021; m.IAR0→1023",
    "EL3 acknowledges Group 0 and, of the bank that NS selects, Group 1": (
        "pend2; m.IAR0→2; m.EOIR0=2; m.DIR=2; A2→0; pend45; m.IAR1→45; m.EOIR1=45; scr_ns=0; pend46; "
        "m.IAR1→46; m.EOIR1=46"
    ),
    "Non-secure EOIR0 does nothing": "C_AP0R0=0x100; EOIR0=2; RPR→0x40; scr_ns=0; EOIR0=2; RPR→0xFF",
    "EOIR1 drops only its own state's": (
        "pend46; scr_ns=0; IAR1→46; scr_ns=1; EOIR1=46; RPR→0xA0; scr_ns=0; EOIR1=46; RPR→0xFF"
    ),
    "Non-secure DIR leaves Secure interrupts active": (
        "pend46; scr_ns=0; IAR1→46; EOIR1=46; scr_ns=1; DIR=46; A46→1; scr_ns=0; CTLR=2; DIR=46; A46→0"
    ),
    "Secure DIR deactivates Non-secure ones": "pend45; IAR1→45; EOIR1=45; scr_ns=0; DIR=45; A45→0",
    "banked: IGRPEN1, BPR1, CTLR, AP1R": (
        "scr_ns=0; IGRPEN1=0; BPR1=0; BPR1→2; CTLR=0; C_AP1R0=0x2; scr_ns=1; IGRPEN1→1; BPR1→3; CTLR→0x00048C02; "
        "C_AP1R0→0x0; RPR→0x8; m.IGRPEN1_EL3→1"
    ),
    "common to both: PMR, BPR0, IGRPEN0": (
        "scr_ns=0; PMR=0x80; BPR0=5; IGRPEN0=0; scr_ns=1; PMR→0x80; BPR0→5; IGRPEN0→0"
    ),
    "EL3 sees every state's controls": (
        "m.CTLR_EL3=0xFFFFFFFF; m.CTLR_EL3→0x00048C5F; CTLR→0x00048C43; CTLR=0; CTLR→0x00048C40; "
        "m.CTLR_EL3→0x00048C4D; "
        "scr_ns=0; CTLR→0x00048C43"
    ),
    "CTLR_EL3 and IGRPEN1_EL3 are EL3's alone": "CTLR_EL3→UNDEFINED; CTLR_EL3=0 UNDEFINED; g.IGRPEN1_EL3→UNDEFINED",
    "EL3 has its own EOImode": "m.CTLR_EL3=0; pend2; m.IAR0→2; m.EOIR0=2; A2→0",
    "Secure BPR1 has Group 0's minimum and mask": (
        "scr_ns=0; BPR1=0; BPR1→2; BPR1=4; pend46; IAR1→46; RPR→0xA0; C_AP1R0→0x100000"
    ),
    "Secure BPR1 under CBPR is BPR0": "scr_ns=0; BPR0=4; CTLR=3; BPR1→4; BPR1=6; BPR0→6; BPR1→6; scr_ns=1; BPR1→3",
    "SCR_EL3.FIQ shifts Non-secure PMR and RPR": (
        "scr_fiq=1; PMR→0xE0; RPR→0xFF; pend45; IAR1→45; RPR→0x40; scr_ns=0; PMR→0xF0; RPR→0xA0"
    ),
    "a shifted PMR write stays in the lower half": "scr_fiq=1; PMR=0x80; PMR→0x80; scr_fiq=0; PMR→0xC0",
    "and is ignored while Secure state masks all of it": (
        "m.PMR=0x40; scr_fiq=1; PMR→0x0; PMR=0xF0; PMR→0x0; m.PMR→0x40; m.PMR=0x80; PMR→0x0; PMR=0xF0; m.PMR→0xF8"
    ),
    "a Secure running priority is 0 to Non-secure state": (
        "scr_ns=0; pend2; IAR0→2; RPR→0x40; scr_ns=1; scr_fiq=1; RPR→0x0"
    ),
}


@pytest.mark.parametrize("accesses", STATES.values(), ids=STATES)
def test_security_states(accesses: str) -> None:
    two_states().run(accesses)


SGIS = {
    #  from, register     SGI 0: G0   SGI 1: Secure G1   SGI 2: Non-secure G1
    "Secure SGI0R": (0, "SGI0R", (1, 0, 0)),
    "Secure SGI1R": (0, "SGI1R", (1, 1, 0)),
    "Secure ASGI1R": (0, "ASGI1R", (0, 0, 1)),
    "Non-secure SGI0R": (1, "SGI0R", (0, 0, 0)),
    "Non-secure SGI1R": (1, "SGI1R", (0, 0, 1)),
    "Non-secure ASGI1R": (1, "ASGI1R", (0, 0, 0)),
}


@pytest.mark.parametrize("row", SGIS.values(), ids=SGIS)
def test_sgi_reaches_only_groups_its_sender_may(row: tuple[int, str, tuple[int, int, int]]) -> None:
    state, register, pending = row
    rig = two_states()
    it = rig.machine.pes[0].redist
    it.write(arch.GICR_IGROUPR0, 4, 4, secure=True)
    it.write(arch.GICR_IGRPMODR0, 4, 2, secure=True)
    rig.run(f"scr_ns={state}")
    for sgi, wanted in enumerate(pending):
        rig.run(f"{register}={sgi << 24 | 1}; P{sgi}→{wanted}")


ONE_STATE = {
    "SGI0R: Group 0 only": ("SGI0R", (1, 0)),
    "SGI1R: either group": ("SGI1R", (1, 1)),
    "ASGI1R: Group 0 only": ("ASGI1R", (1, 0)),
}


@pytest.mark.parametrize("row", ONE_STATE.values(), ids=ONE_STATE)
def test_sgi_groups_with_one_security_state(row: tuple[str, tuple[int, int]]) -> None:
    register, pending = row
    rig = host_rig()
    rig.machine.pes[0].redist.write(arch.GICR_IGROUPR0, 4, 2)
    for sgi, wanted in enumerate(pending):
        rig.run(f"{register}={sgi << 24 | 1}; P{sgi}→{wanted}")
