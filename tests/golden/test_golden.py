"""Every trace recorded on a real KVM replays, through the public interface, without a difference."""

from pathlib import Path
from typing import Final

import pytest

from vgic.cli.replay import replay_trace
from vgic.cli.report import describe
from vgic.cli.trace_file import read_trace

HERE: Final = Path(__file__).resolve().parent
TRACES: Final = {str(path.relative_to(HERE)): path for path in sorted(HERE.rglob("*.jsonl.gz"))}
V2_TRACES: Final = {name: path for name, path in TRACES.items() if name.startswith("v2/")}


@pytest.mark.parametrize("path", TRACES.values(), ids=TRACES)
def test_golden(path: Path) -> None:
    result = replay_trace(read_trace(path), limit=3)
    assert not result.mismatches, f"\n{describe(result)}"


@pytest.mark.parametrize("host", ["v2", "v3"])
def test_there_are_traces(host: str) -> None:
    assert [name for name in TRACES if name.startswith(f"{host}/")], f"no trace below {HERE / host}"


# The same GICv2 guests on a GICv3 host with the compatibility interface

COMPATIBLE: Final = {
    "GICV_IIDR names the hardware, which is another": (
        {"op": "read", "addr": "0x80100fc", "size": 4, "expect": {"value": "0x2043b"}},
        {"value": "0x3043b"},
    ),
    "such a host has GICv3 devices: the VM is only too late for one": (
        {"op": "create_device", "type": "v3", "expect": {"ret": -19}},
        {"ret": -17},
    ),
    "such a host runs more than 8 vCPUs ...": (
        {"op": "create_vm", "vcpus": 9, "expect": {"ret": -22}},
        {"ret": 0},
    ),
    "... which are then too many for a GICv2": (
        {"op": "create_device", "type": "v2", "expect": {"ret": 0}},
        {"ret": -7},
    ),
}
"""Why an answer differs: the step, whichever vCPU does it, and what comes instead.  There is no other reason."""

DIFFERENCES: Final = {"v2-reset": 1, "v2-uaccess": 3}
"""How many steps differ in each trace of a kind; none in those of other kinds."""


@pytest.mark.parametrize("path", V2_TRACES.values(), ids=V2_TRACES)
def test_gicv2_on_gicv3(path: Path) -> None:
    """APR has no row: with 5 preemption bits it is one register on both hosts (see test_cpuif for more bits)."""
    result = replay_trace(read_trace(path), limit=0, on="v3")
    known = list(COMPATIBLE.values())
    for mismatch in result.mismatches:
        step = {name: value for name, value in mismatch.step.fields.items() if name != "vcpu"}
        assert (step, mismatch.got) in known, f"\n{describe(result)}"
    kind = "-".join(path.name.split("-")[:2])
    assert len(result.mismatches) == DIFFERENCES.get(kind, 0), f"\n{describe(result)}"


# The same GICv3 guests on hosts that inject directly: the guest cannot tell, but for what it is told

V3_TRACES: Final = {name: path for name, path in TRACES.items() if name.startswith("v3/")}

TOLD: Final = {
    "GICD_TYPER2.nASSGIcap: the host has GICv4.1, and offers SGIs without active state": (
        {"op": "read", "addr": "0x800000c", "size": 4, "expect": {"value": "0x0"}},
        {"value": "0x100"},
    ),
}
"""Why an answer differs on GICv4.1.  There is no other reason; on GICv4.0 there is none."""


@pytest.mark.parametrize("on", ["v4.0", "v4.1"])
@pytest.mark.parametrize("path", V3_TRACES.values(), ids=V3_TRACES)
def test_gicv3_on_gicv4(path: Path, on: str) -> None:
    result = replay_trace(read_trace(path), limit=0, on=on)
    known = list(TOLD.values()) if on == "v4.1" else []
    for mismatch in result.mismatches:
        step = {name: value for name, value in mismatch.step.fields.items() if name != "vcpu"}
        assert (step, mismatch.got) in known, f"\n{describe(result)}"
    reads = path.name.startswith("v3-reset") and on == "v4.1"
    assert len(result.mismatches) == reads, f"\n{describe(result)}"
