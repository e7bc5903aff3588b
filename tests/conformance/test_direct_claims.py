"""What direct injection is for: which interrupts cost the hypervisor nothing, and what the others cost.

Sources: Arm, Learn the architecture, GICv3 and v4, Virtualization (default doorbells: at most one between residencies);
KVM's vgic_v4_load(), vgic_v4_put(), kvm_vcpu_should_clear_twi().
"""

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

import pytest

from hw import TraceLog, arch4
from vgic.cli.comparison.workloads import (
    BURST,
    WORKLOADS,
    Bench,
    Measured,
    measure,
    msi_burst,
    msi_moved,
    msi_preempted,
    msi_running,
    msi_wfi,
)
from vgic.cli.figures import exits, hypervisor_entries
from vgic.cli.machines.kinds import KINDS

N: Final = 48


def run(workload: str, kind: str, cpus: int = 4) -> Measured:
    return measure(workload, kind, N, cpus, 4, 1)


@pytest.mark.parametrize("kind", ["4", "4.1"])
@pytest.mark.parametrize("workload", ["msi-running", "msi-wfi-alone"])
def test_a_vlpi_to_a_resident_vpe_does_not_enter_the_hypervisor(workload: str, kind: str) -> None:
    """Nor does one to a vCPU that waits in the guest, which KVM lets it if it has its physical CPU for itself."""
    it = run(workload, kind)
    pes, gic = it.account.pes, it.account.gic
    assert hypervisor_entries(it.account) == exits(it.account) == pes.entries == 0
    assert pes.total() == pes.icv_reads + pes.icv_writes, "no access of the hypervisor's to any register"
    assert (pes.lr_writes, pes.doorbells, gic.commands, gic.default_doorbells, gic.individual_doorbells) == (0,) * 5
    assert pes.direct_acks == it.delivered == N


def test_a_vsgi_traps_once_and_needs_no_list_register() -> None:
    it = run("ipi", "4.1")
    pes = it.account.pes
    assert (pes.exits_sysreg, exits(it.account), it.account.gic.vsgis) == (N, N, N), "the sender's, and no other"
    assert (pes.lr_reads, pes.lr_writes, pes.phys_acks, pes.direct_acks) == (0, 0, 0, N)


@pytest.mark.parametrize("cpus", [2, 5])
def test_a_broadcast_vsgi_traps_once_for_all(cpus: int) -> None:
    it = run("ipi-broadcast", "4.1", cpus)
    pes = it.account.pes
    assert pes.exits_sysreg * (cpus - 1) == it.delivered
    assert (exits(it.account), pes.lr_writes) == (pes.exits_sysreg, 0)
    assert it.account.gic.vsgis == pes.direct_acks == it.delivered


class Path(NamedTuple):
    """For one interrupt: exits for a trap, for a physical interrupt, for WFI; host interrupts; list-register writes."""

    traps: float
    irqs: float
    wfis: float
    host: float
    lrs: float


SOFTWARE: Final = {
    "msi-running": Path(0, 1, 0, 1, 2),
    "msi-preempted": Path(0, 1, 0, 1, 2),
    "msi-moved": Path(0, 1, 0, 1, 2),
    "msi-wfi": Path(0, 0, 1, 1, 2),
    "ipi": Path(1, 1, 0, 0, 2),
    "ipi-broadcast": Path(1 / 3, 1, 0, 0, 2),
}
DIRECT: Final = {
    "msi-running": Path(0, 0, 0, 0, 0),
    "msi-preempted": Path(0, 1, 0, 0, 0),
    "msi-moved": Path(0, 1, 0, 0, 0),
    "msi-wfi": Path(0, 0, 1, 1, 0),
    "msi-wfi-alone": Path(0, 0, 0, 0, 0),
    "msi-burst": Path(0, 0, 1 / BURST, 1 / BURST, 0),
}
DIRECT_SGIS: Final = {"ipi": Path(1, 0, 0, 0, 0), "ipi-broadcast": Path(1 / 3, 0, 0, 0, 0)}
PATHS: Final = (
    [(kind, name, path) for kind in ("2", "3") for name, path in SOFTWARE.items()]
    + [(kind, name, path) for kind in ("4", "4.1") for name, path in DIRECT.items()]
    + [("4", name, SOFTWARE[name]) for name in ("ipi", "ipi-broadcast")]
    + [("4.1", name, path) for name, path in DIRECT_SGIS.items()]
)


@pytest.mark.parametrize(("kind", "workload", "path"), PATHS, ids=[f"{kind} {name}" for kind, name, _ in PATHS])
def test_what_each_path_costs(kind: str, workload: str, path: Path) -> None:
    """A list register is written twice: to fill it, and to clear it after."""
    it = run(workload, kind)
    pes = it.account.pes
    each = (pes.exits_mmio + pes.exits_sysreg, pes.exits_irq, pes.exits_wfi, pes.phys_acks, pes.lr_writes)
    assert Path(*(count / it.delivered for count in each)) == pytest.approx(path)
    assert pes.exits_host == 0, "every exit has a cause"


@pytest.mark.parametrize("kind", ["4", "4.1"])
def test_a_vcpu_that_moves_takes_its_doorbell_along(kind: str) -> None:
    """One VMOVP and its VSYNC for each move; within a group GICv4.1 could do without, but KVM has not since 2024."""
    it = run("msi-moved", kind)
    assert it.account.gic.by_command == {arch4.VMOVP: N, arch4.VSYNC: N}


@pytest.mark.parametrize("kind", ["2", "3"])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_without_direct_injection_the_hypervisor_is_always_entered(workload: str, kind: str) -> None:
    it = run(workload, kind)
    assert exits(it.account) > 0
    assert it.account.pes.direct_acks == 0


STEPS: Final[tuple[Callable[[Bench, Random], None], ...]] = (msi_running, msi_preempted, msi_moved, msi_wfi, msi_burst)


@pytest.mark.parametrize("seed", range(8))
def test_at_most_one_default_doorbell_between_residencies(seed: int) -> None:
    """Whatever comes while a vPE is away; and none unless it was asked for: when its vCPU blocks."""
    random = Random(seed)
    bench = Bench("4.1", 2, 4)
    bench.board.host.machine.trace = trace = TraceLog()
    blocked = bench.board.account().pes.exits_wfi
    for _ in range(30):
        random.choice(STEPS)(bench, random)
    rung: dict[object, int] = {}
    doorbells = 0
    for event in trace.named("resid", "doorbell"):
        vpe = event[2] if event[0] == "resid" else event[1]
        if event[0] == "doorbell":
            doorbells += 1
            rung[vpe] = rung.get(vpe, 0) + 1
            assert event[2] == "default"
            assert rung[vpe] == 1, "the second since it was resident"
        else:
            rung[vpe] = 0
    assert 0 < doorbells <= bench.board.account().pes.exits_wfi - blocked
    assert bench.board.misuse == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_mix_takes_the_same_interrupts_on_every_machine(kind: str) -> None:
    assert run("mix", kind).delivered == run("mix", "3").delivered


def test_the_mix_costs_less_from_machine_to_machine() -> None:
    entries = [hypervisor_entries(run("mix", kind).account) for kind in ("3", "4", "4.1")]
    assert entries == sorted(entries, reverse=True)
    assert len(set(entries)) == 3
