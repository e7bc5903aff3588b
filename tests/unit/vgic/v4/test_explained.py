"""Why an interrupt that hardware delivers is not delivered."""

import pytest

from hw import arch
from tests.unit.vgic.its.rig import ENABLED
from tests.unit.vgic.v4.rig import DEV, LPI, V4Rig

GICD_CTLR = 0x0800_0000


@pytest.mark.parametrize(
    ("shut", "gate"),
    [
        ("nothing", None),
        ("not pending", "pending"),
        ("disabled", "enabled"),
        ("another vCPU", "target"),
        ("distributor", "distributor"),
        ("priority mask", "priority mask"),
        ("put", "vCPU"),
    ],
)
def test_why_a_direct_lpi_is_not_delivered(shut: str, gate: str | None) -> None:
    rig = V4Rig()
    rig.forwarded(byte=ENABLED & ~1 if shut == "disabled" else ENABLED)
    if shut == "distributor":
        rig.dist.enabled = False
    rig.run()
    if shut != "not pending":
        rig.msi_from(0)
    if shut == "priority mask":
        rig.vcpus[0].msr(arch.ICC_PMR_EL1, 0x10)
    if shut == "put":
        rig.vcpus[0].exit()
        rig.vcpus[0].put()
    before = rig.machine.pes[0].cost.copy()
    told = rig.vm.explain(LPI, rig.vcpus[shut == "another vCPU"])
    assert (None if told.first_block is None else told.first_block.name) == gate
    assert "Hardware delivers it" in str(told)
    assert "LPI" in told.gates[0].sentence
    assert rig.machine.pes[0].cost.diff(before).total() == 0


def test_why_a_direct_sgi_of_group_0_is_not_delivered() -> None:
    rig = V4Rig()
    rig.run()
    rig.vcpus[0].write(GICD_CTLR, 4, 0x10)
    rig.vcpus[0].write(GICD_CTLR, 4, 0x112)
    rig.set_gicr(0x1_0080, 0, size=4)
    rig.vcpus[0].msr(arch.ICC_SGI1R_EL1, 3 << 24 | 1)
    told = rig.vm.explain(3, rig.vcpus[0]).first_block
    assert told is not None
    assert "Group 0" in told.sentence


def test_what_hardware_offers_comes_before_a_list_register() -> None:
    rig = V4Rig()
    rig.forwarded(byte=0x21)
    rig.map_lpi(1)
    assert rig.msi(DEV, 1) == 1
    rig.run()
    rig.msi_from(0)
    told = rig.vm.explain(LPI + 1, rig.vcpus[0]).first_block
    assert told is not None
    assert (told.name, "INTID 8192 comes first" in told.sentence) == ("most urgent", True)
    assert rig.vm.explain(LPI, rig.vcpus[0]).delivered
    assert rig.take() == LPI
