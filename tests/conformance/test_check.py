"""`vgic check`: every check passes on every machine, and says so as kvm-unit-tests does."""

from typing import Final, NamedTuple

import pytest

from hw import Machine, VirtConfig
from vgic import Host
from vgic.cli.check import run_checks
from vgic.cli.checks import CHECKS, checks_of
from vgic.cli.checks.board import Board, BoardV2, BoardV2OnV3
from vgic.cli.checks.report import PASSED, SKIPPED


class Asserting(Board):
    """A board that asserts the invariants of library and hardware after every exit."""

    def exit(self, cpu: int) -> None:
        super().exit(cpu)
        self.vm.check()
        self.vm.host.machine.check()


class AssertingV2(Asserting, BoardV2):
    """The same with a GICv2."""


class AssertingV2OnV3(Asserting, BoardV2OnV3):
    """The same with a GICv2 on a GICv3."""


V2_BOARDS: Final[dict[str, type[Asserting]]] = {"GICv2": AssertingV2, "GICv2 on GICv3": AssertingV2OnV3}
V3_CHECKS: Final = checks_of("v3")
V2_CHECKS: Final = checks_of("v2")


@pytest.mark.parametrize("lrs", [1, 2, 4, 16], ids="lrs={}".format)
@pytest.mark.parametrize("cpus", [1, 2, 4, 8], ids="cpus={}".format)
@pytest.mark.parametrize("name", V3_CHECKS)
def test_every_check_passes(name: str, cpus: int, lrs: int) -> None:
    """Those of the ITS want four CPUs; they say so, and pass over the rest."""
    lines: list[str] = []
    status = PASSED if cpus >= CHECKS[name].cpus else SKIPPED
    assert run_checks([name], cpus, lrs, build=Asserting, write=lines.append) == status, "\n".join(lines)


@pytest.mark.parametrize("lrs", [1, 4], ids="lrs={}".format)
@pytest.mark.parametrize("cpus", [1, 3, 4, 8], ids="cpus={}".format)
@pytest.mark.parametrize("name", V2_CHECKS)
@pytest.mark.parametrize("board", V2_BOARDS.values(), ids=V2_BOARDS)
def test_every_check_passes_with_a_gicv2(board: type[Asserting], name: str, cpus: int, lrs: int) -> None:
    lines: list[str] = []
    assert run_checks([name], cpus, lrs, gic="v2", build=board, write=lines.append) == PASSED, "\n".join(lines)


@pytest.mark.parametrize("spis", [64, 960], ids="spis={}".format)
def test_a_gicv2_with_few_and_many_interrupts(spis: int) -> None:
    lines: list[str] = []
    assert run_checks(V2_CHECKS, spis=spis, gic="v2", build=AssertingV2, write=lines.append) == PASSED, lines


@pytest.mark.parametrize("spis", [64, 256, 864, 896, 960], ids="spis={}".format)
def test_the_slip_of_the_setup_loop_hurts_nobody(spis: int) -> None:
    """gicv3_enable_defaults() writes all ones past IGROUPR; how far depends on the number of INTIDs."""
    lines: list[str] = []
    assert run_checks(V3_CHECKS, spis=spis, build=Asserting, write=lines.append) == PASSED, "\n".join(lines)


def test_cpus_of_several_clusters() -> None:
    """SGI1R names CPUs of one Aff1 only."""
    lines: list[str] = []
    assert run_checks(["ipi", "affinity"], 40, write=lines.append) == PASSED, "\n".join(lines)


class Hosts(NamedTuple):
    """A host unlike the default."""

    virt: VirtConfig = VirtConfig()
    group0_trap: bool = False
    group1_trap: bool = False
    common_trap: bool = False


HOSTS: Final = {
    "Group 0 trapped": Hosts(group0_trap=True),
    "Group 1 trapped": Hosts(group1_trap=True),
    "common registers trapped": Hosts(common_trap=True),
    "all trapped": Hosts(group0_trap=True, group1_trap=True, common_trap=True),
    "8 priority bits, 7 of them preempt": Hosts(VirtConfig(pri_bits=8, pre_bits=7)),
    "16-bit INTIDs": Hosts(VirtConfig(id_bits=16)),
}


@pytest.mark.parametrize("row", HOSTS.values(), ids=HOSTS)
def test_checks_pass_on_other_hosts(row: Hosts) -> None:
    class OtherHost(Asserting):
        def make_host(self) -> Host:
            machine = Machine(cpus=self.cpus, virt=row.virt)
            return Host(machine, group0_trap=row.group0_trap, group1_trap=row.group1_trap, common_trap=row.common_trap)

    lines: list[str] = []
    assert run_checks(V3_CHECKS, build=OtherHost, write=lines.append) == PASSED, "\n".join(lines)
