"""A vPE of GICv4.0: its doorbell is masked unless it is blocked, by itself or through the proxy's events."""

import pytest

from hw import GicVersion, ItsConfig, V4Config
from tests.unit.vgic.v4.rig import LPI, V4Rig, host40, make_host

V40 = V4Config(version=GicVersion.V4_0)
GICD_CTLR = 0x0800_0000


@pytest.mark.parametrize("direct_lpi", [True, False])
def test_the_doorbell_of_gicv40_is_masked_unless_blocked(direct_lpi: bool) -> None:
    """B57: at the load, and cleared; unmasked before the vPE leaves."""
    rig = V4Rig(host=host40(direct_lpi))
    rig.forwarded()
    rig.run()
    assert rig.wfi()
    rig.kicks.clear()
    rig.msi_from(0)
    assert (rig.kicks, rig.vpe().doorbells) == ([0], 1)
    rig.map_lpi(1)
    rig.vector(1)
    assert rig.forward(1) == 0
    rig.msi_from(1)
    assert rig.vpe().doorbells == 1, "the handler masked it"
    rig.run()
    assert [rig.take(), rig.take(), rig.take()] == [LPI, LPI + 1, 1023]
    assert not rig.machine.pes[0].irq()
    rig.check()


@pytest.mark.parametrize("direct_lpi", [True, False])
def test_a_preempted_vcpu_of_gicv40_is_not_told(direct_lpi: bool) -> None:
    """B58: the doorbell rings, but is masked; the load clears it."""
    rig = V4Rig(host=host40(direct_lpi))
    rig.forwarded()
    rig.run()
    rig.vcpus[0].exit()
    rig.vcpus[0].put()
    rig.kicks.clear()
    rig.msi_from(0)
    assert (rig.kicks, rig.vpe().doorbells) == ([], 0)
    rig.run()
    assert rig.take() == LPI
    assert rig.wfi()
    assert rig.vpe().doorbells == 0, "the one before is forgotten"


def test_more_vpes_than_the_proxy_has_events() -> None:
    """B59: one that needs an event takes that of another, whose doorbell goes on working."""
    rig = V4Rig(vcpus=4, host=host40(False, cpus=2))
    for n in range(4):
        rig.forwarded(n, target=n)
    rig.log.clear()
    for n in range(4):
        rig.run(n, 0)
        assert rig.wfi(n)
    assert rig.log.names().count("DISCARD") >= 2
    rig.kicks.clear()
    rig.msi_from(*range(4))
    assert sorted(rig.kicks) == [0, 1, 2, 3]
    for n in range(4):
        rig.run(n, n % 2)
        assert rig.take(n) == LPI + n
        rig.vcpus[n].exit()


def test_gicv40_without_vlpis_yet() -> None:
    """A lazy VM runs before its vPEs are mapped anywhere."""
    lazy = ItsConfig(vmovp=False)
    rig = V4Rig(host=host40(its=(lazy, lazy)))
    rig.run(0, 1)
    rig.vcpus[0].exit()
    assert not rig.vcpus[0].pending()
    rig.forwarded()
    rig.msi_from(0)
    assert rig.vpe().doorbells == 1


def test_gicv40_disables_the_distributor() -> None:
    """No group enables in VPENDBASER: the guest's interface alone gates; enabling kicks who has something."""
    rig = V4Rig(host=make_host(v4=V40))
    rig.forwarded()
    rig.run()
    assert rig.wfi()
    rig.msi_from(0)
    rig.dist.enabled = False
    assert not rig.vcpus[0].pending()
    rig.run(1, 1)
    rig.kicks.clear()
    rig.vcpus[1].write(GICD_CTLR, 4, 0x12)
    assert 0 in rig.kicks
