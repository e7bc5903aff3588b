"""`vgic replay`: what it finds, how it says so, and how it ends."""

import gzip
import io
import json
from pathlib import Path
from typing import Final, NamedTuple, TypedDict

import pytest

from vgic.cli.main import main
from vgic.cli.report import CLEAR_LINE, Progress
from vgic.cli.trace_file import Json, JsonObject

HEADER: Final[JsonObject] = {"trace": "made-up", "host": "v3", "about": "a unit test", "format": 1}
NEW: Final[JsonObject] = {
    "op": "new",
    "irqchip": "v3",
    "vcpus": 2,
    "nr_irqs": 96,
    "its": False,
    "init": True,
    "expect": {"ret": 0},
}
TYPER: Final[JsonObject] = {"op": "read", "vcpu": 0, "addr": "0x8000004", "size": 4, "expect": {"value": "0x480002"}}
WRONG: Final[JsonObject] = {**TYPER, "expect": {"value": "0x1"}}
ENABLE: Final[JsonObject] = {
    "op": "write",
    "vcpu": 0,
    "addr": "0x8000000",
    "size": 4,
    "value": "0x12",
    "expect": {},
}
MSI: Final[JsonObject] = {"op": "signal_msi", "addr": "0x8090040", "data": 1, "devid": 2, "flags": 1}
GIC_TYPER: Final[JsonObject] = {"dev": "gic", "group": 1, "attr": "0x4"}


class Found(TypedDict):
    line: int
    op: str
    expected: Json
    got: JsonObject


class Replayed(TypedDict):
    file: str
    steps: int
    matched: int
    mismatches: list[Found]


class Output(TypedDict):
    """What --json writes."""

    traces: list[Replayed]
    steps: int
    matched: int


def trace(folder: Path, *steps: Json, header: Json = HEADER, name: str = "made-up.jsonl") -> Path:
    """Write a trace file."""
    path = folder / name
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (header, *steps)))
    return path


def replay_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Output]:
    """Run the command with --json."""
    status = main(["replay", "--json", *map(str, arguments)])
    out: Output = json.loads(capsys.readouterr().out)
    return status, out


# -- single steps: what is executed gives what is recorded -------------------------------------------


class Row(NamedTuple):
    """Steps after NEW, the last of which gives `got`."""

    steps: tuple[JsonObject, ...]
    got: JsonObject


OUTCOMES: Final = {
    "a read gives its value": Row((TYPER,), {"value": "0x480002"}),
    "a write gives nothing": Row((ENABLE,), {}),
    "no frame claims the access": Row(({**TYPER, "addr": "0x9000000"},), {"unclaimed": True}),
    "nor a store": Row(({**ENABLE, "addr": "0x9000000"},), {"unclaimed": True}),
    "a system register reads": Row(({"op": "mrs", "vcpu": 1, "reg": "ICC_SRE_EL1"},), {"value": "0x7"}),
    "a system register is written": Row(
        (
            {"op": "msr", "vcpu": 1, "reg": "ICC_PMR_EL1", "value": "0xff"},
            {"op": "mrs", "vcpu": 1, "reg": "ICC_PMR_EL1"},
        ),
        {"value": "0xf8"},
    ),
    "a register a guest has not is undefined": Row(
        ({"op": "mrs", "vcpu": 0, "reg": "ICC_SRE_EL2"},), {"undefined": True}
    ),
    "a line is driven": Row(({"op": "irq_line", "irq": "0x1000028", "level": 1},), {"ret": 0}),
    "a line that is not there": Row(({"op": "irq_line", "irq": "0x10003e8", "level": 1},), {"ret": -22}),
    "a CPU line of an in-kernel irqchip": Row(({"op": "irq_line", "irq": "0x0", "level": 1},), {"ret": -6}),
    "an attribute is read": Row(({"op": "attr_get", **GIC_TYPER},), {"value": "0x480002"}),
    "an attribute is set": Row(({"op": "attr_set", **GIC_TYPER, "value": "0x0"},), {"ret": 0}),
    "an attribute is there": Row(({"op": "attr_has", **GIC_TYPER},), {"ret": 0}),
    "an attribute is not there": Row(({"op": "attr_has", **GIC_TYPER, "group": 9},), {"ret": -6}),
    "region 0 is asked for by default": Row(
        ({"op": "attr_get", "dev": "gic", "group": 0, "attr": "0x5"},), {"value": "0x80a0000"}
    ),
    "another region by the buffer": Row(
        ({"op": "attr_get", "dev": "gic", "group": 0, "attr": "0x5", "value": "0x1"},), {"ret": -2}
    ),
    "a vCPU comes too late": Row(({"op": "create_vcpu"},), {"ret": -16}),
    "a second GIC": Row(({"op": "create_device", "type": "v3"},), {"ret": -17}),
    "a GICv2 on this host": Row(({"op": "create_device", "type": "v2"},), {"ret": -19}),
    "a new VM takes the place of the old": Row(({"op": "create_vm", "vcpus": 3}, {"op": "create_vcpu"}), {"ret": 0}),
    "too many vCPUs": Row(({"op": "create_vm", "vcpus": 513},), {"ret": -22}),
    "those that were created stay": Row(
        ({"op": "create_vm", "vcpus": 513}, {"op": "mrs", "vcpu": 511, "reg": "ISR_EL1"}), {"value": "0x0"}
    ),
    "a VM without a GIC claims nothing": Row(({"op": "create_vm", "vcpus": 1}, TYPER), {"unclaimed": True}),
    "a GIC without addresses": Row(
        ({"op": "create_vm", "vcpus": 1}, {"op": "create_device", "type": "v3"}, TYPER), {"err": -6}
    ),
    "the first entry killed the VM": Row(
        ({"op": "create_vm", "vcpus": 1}, {"op": "create_device", "type": "v3"}, TYPER, TYPER), {"err": -5}
    ),
    "an ITS": Row(({"op": "create_device", "type": "its"},), {"ret": 0}),
    "a VM with an ITS": Row(
        ({**NEW, "its": True}, {"op": "attr_get", "dev": "its", "group": 0, "attr": "0x4"}), {"value": "0x8080000"}
    ),
    "an attribute of an ITS that is not there": Row(
        ({"op": "attr_has", **GIC_TYPER, "dev": "its"},), {"malformed": "the VM has no device 'its'"}
    ),
    "a message to a disabled ITS": Row(({**NEW, "its": True}, MSI), {"ret": -16}),
    "a message without an ITS": Row((MSI,), {"ret": -19}),
    "RAM is zero": Row(({"op": "mem_read", "addr": "0x83fffff8", "size": 8},), {"value": "0x0"}),
    "RAM is written, little-endian": Row(
        (
            {"op": "mem_write", "addr": "0x80400000", "size": 4, "value": "0x1020304"},
            {"op": "mem_read", "addr": "0x80400000", "size": 1},
        ),
        {"value": "0x4"},
    ),
    "RAM is filled": Row(
        (
            {"op": "mem_fill", "addr": "0x80400000", "size": 4, "value": 90},
            {"op": "mem_read", "addr": "0x80400000", "size": 8},
        ),
        {"value": "0x5a5a5a5a"},
    ),
    "a new VM has new RAM": Row(
        (
            {"op": "mem_fill", "addr": "0x80400000", "size": 4, "value": 90},
            NEW,
            {"op": "mem_read", "addr": "0x80400000", "size": 8},
        ),
        {"value": "0x0"},
    ),
    "no RAM to read": Row(({"op": "mem_read", "addr": "0x84000000", "size": 8},), {"ret": -14}),
    "no RAM to write": Row(({"op": "mem_write", "addr": "0x0", "size": 8, "value": "0x0"},), {"ret": -14}),
    "no RAM to fill": Row(({"op": "mem_fill", "addr": "0x80000000", "size": 1 << 40, "value": 0},), {"ret": -14}),
    "an entry of a routing table": Row(({"op": "route_irqchip", "gsi": 1, "pin": 2000},), {"ret": 0}),
    "a table with a pin that is not there": Row(
        ({"op": "route_irqchip", "gsi": 1, "pin": 2000}, {"op": "set_routing"}), {"ret": -22}
    ),
    "each table starts empty": Row(
        ({"op": "route_irqchip", "gsi": 1, "pin": 2000}, {"op": "set_routing"}, {"op": "set_routing"}), {"ret": 0}
    ),
    "an irqfd raises its GSI's pin": Row(
        (
            {"op": "route_irqchip", "gsi": 9, "pin": 3},
            {"op": "set_routing"},
            {"op": "irqfd", "gsi": 9, "resample": False},
            {"op": "irqfd_signal", "gsi": 9},
            {"op": "read", "vcpu": 0, "addr": "0x8000204", "size": 4},
        ),
        {"value": "0x8"},
    ),
    "an irqfd sends its GSI's message": Row(
        (
            {**NEW, "its": True},
            {"op": "route_msi", "gsi": 9, "addr": "0x8090040", "data": 1, "devid": 2},
            {"op": "set_routing"},
            {"op": "irqfd", "gsi": 9, "resample": True},
            {"op": "irqfd_signal", "gsi": 9},
        ),
        {"ret": 0},
    ),
    "a resample eventfd that was not signalled": Row(
        ({"op": "irqfd", "gsi": 4, "resample": True}, {"op": "irqfd_resampled", "gsi": 4}), {"value": "0x0"}
    ),
    "an irqfd before init": Row(({**NEW, "init": False}, {"op": "irqfd", "gsi": 4, "resample": True}), {"ret": -11}),
    "an operation that is not there": Row(({"op": "sleep"},), {"unsupported": "sleep"}),
}


@pytest.mark.parametrize("row", OUTCOMES.values(), ids=OUTCOMES)
def test_outcome(row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[Json] = [{**step, "expect": None} for step in (NEW, *row.steps)]
    _, out = replay_json(capsys, trace(tmp_path, *steps))
    mismatches = out["traces"][0]["mismatches"]
    assert len(mismatches) == len(steps), "null is never what a step gives"
    assert mismatches[-1]["got"] == row.got


MALFORMED: Final[dict[str, tuple[Json, str]]] = {
    "not an object": ([1], "?"),
    "a number": (1, "?"),
    "no op": ({"expect": {}}, "?"),
    "an op that is no string": ({"op": 1, "expect": {}}, "?"),
    "no address": ({"op": "read", "vcpu": 0, "size": 4, "expect": {"value": "0x0"}}, "read"),
    "an address that is a number": ({**TYPER, "addr": 4}, "read"),
    "an address that is no number": ({**TYPER, "addr": "here"}, "read"),
    "a negative address": ({**TYPER, "addr": "-0x8000004"}, "read"),
    "an address of 65 bits": ({**TYPER, "addr": "0x10000000008000004"}, "read"),
    "a size there is not": ({**TYPER, "size": 3}, "read"),
    "a size that is true": ({**TYPER, "size": True}, "read"),
    "no vCPU": ({**TYPER, "vcpu": 2}, "read"),
    "a negative vCPU": ({**TYPER, "vcpu": -1}, "read"),
    "a register there is not": ({"op": "mrs", "vcpu": 0, "reg": "ICC_NOT_EL1", "expect": {}}, "mrs"),
    "a value that is null": ({**ENABLE, "value": None}, "write"),
    "a line word of 33 bits": ({"op": "irq_line", "irq": "0x100000000", "level": 1, "expect": {"ret": 0}}, "irq_line"),
    "a device there is not": ({"op": "attr_get", **GIC_TYPER, "dev": "disk", "expect": {"ret": 0}}, "attr_get"),
    "an ITS as irqchip": ({**NEW, "irqchip": "its"}, "new"),
    "an irqfd there is not": ({"op": "irqfd_signal", "gsi": 1, "expect": {"ret": 0}}, "irqfd_signal"),
    "a device of 33 bits": ({**MSI, "devid": 1 << 32, "expect": {"ret": 0}}, "signal_msi"),
    "a byte of 9 bits": (
        {"op": "mem_fill", "addr": "0x80400000", "size": 1, "value": 256, "expect": {"ret": 0}},
        "mem_fill",
    ),
    "a value wider than its size": (
        {"op": "mem_write", "addr": "0x80400000", "size": 1, "value": "0x100", "expect": {"ret": 0}},
        "mem_write",
    ),
    "a type there is not": ({"op": "create_device", "type": "v9", "expect": {"ret": 0}}, "create_device"),
    "its that is neither": ({**NEW, "its": 0}, "new"),
    "no expectation": ({"op": "create_vcpu"}, "create_vcpu"),
    "an expectation that is no object": ({**TYPER, "expect": "0x480002"}, "read"),
    "a value expected that is no number": ({**TYPER, "expect": {"value": "many"}}, "read"),
    "a character that cannot be printed": ({"op": "\ud800\x1b", "expect": {}}, "\ud800\x1b"),
}


@pytest.mark.parametrize(("step", "op"), MALFORMED.values(), ids=MALFORMED)
def test_malformed_step_is_a_mismatch(step: Json, op: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = trace(tmp_path, NEW, step, TYPER)
    assert main(["replay", str(path)]) == 1
    assert "2 of 3 steps matched" in capsys.readouterr().out
    status, out = replay_json(capsys, path)
    assert (status, out["steps"], out["matched"]) == (1, 3, 2), "the steps around it are replayed"
    (mismatch,) = out["traces"][0]["mismatches"]
    assert (mismatch["line"], mismatch["op"]) == (3, op)


def test_before_the_first_vm_nothing_can_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early: JsonObject = {"op": "irq_line", "irq": "0x1000028", "level": 1, "expect": {"ret": 0}}
    status, out = replay_json(capsys, trace(tmp_path, early, TYPER, NEW, TYPER))
    assert (status, out["matched"]) == (1, 2)


# -- the report -------------------------------------------------------------------------------------


def test_all_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = trace(tmp_path, NEW, ENABLE, {**TYPER, "expect": {"value": "0X00480002"}})
    assert main(["replay", str(path)]) == 0
    out, err = capsys.readouterr()
    assert out == f"ok      {path}: 3 of 3 steps matched\ntraces: 1 match, 0 differ; 3 of 3 steps matched\n"
    assert err == "", "no progress unless on a terminal"


def test_mismatch_shows_step_expected_got_and_what_led_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trace(tmp_path, NEW, *[ENABLE] * 6, WRONG)
    assert main(["replay", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"differs {path}: 7 of 8 steps matched"
    assert lines[1:4] == [
        '  line 9: read(vcpu=0, addr="0x8000004", size=4)',
        '      expected {"value": "0x1"}',
        '      got      {"value": "0x480002"}',
    ]
    assert [line.split(":")[1].strip() for line in lines[4:9]] == [f"line {n}" for n in range(4, 9)]
    assert lines[9:] == ["traces: 0 match, 1 differ; 7 of 8 steps matched"]


def test_texts_are_shown_as_a_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step: JsonObject = {"op": "debug_state", "expect": {"text": "Distributor\n===========\nvgic_model:\tGICv2\n"}}
    assert main(["replay", str(trace(tmp_path, NEW, step))]) == 1
    out = capsys.readouterr().out
    assert "    -vgic_model:\tGICv2\n" in out
    assert "    +vgic_model:\tGICv3\n" in out
    assert "===========" not in out.split("@@", 2)[2].split("\n    +nr_spis")[0], "lines that agree are left out"


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = trace(tmp_path, NEW, WRONG)
    assert replay_json(capsys, path) == (
        1,
        {
            "traces": [
                {
                    "file": str(path),
                    "steps": 2,
                    "matched": 1,
                    "mismatches": [
                        {"line": 3, "op": "read", "expected": {"value": "0x1"}, "got": {"value": "0x480002"}}
                    ],
                }
            ],
            "steps": 2,
            "matched": 1,
        },
    )


@pytest.mark.parametrize(
    ("arguments", "found", "matched"), [((), 10, 1), (("--limit", "2"), 2, 1), (("--limit", "0"), 12, 2)]
)
def test_limit(
    arguments: tuple[str, ...], found: int, matched: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trace(tmp_path, NEW, *[WRONG] * 12, TYPER)
    status, out = replay_json(capsys, *arguments, path)
    assert status == 1
    assert len(out["traces"][0]["mismatches"]) == found
    assert (out["steps"], out["matched"]) == (14, matched), "steps that were not replayed are not matched"


def test_limit_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["replay", "--limit", "1", str(trace(tmp_path, NEW, WRONG, TYPER))])
    assert "the last 1 steps were not replayed" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["-1", "few"])
def test_limit_that_is_none(limit: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", f"--limit={limit}", str(tmp_path)])
    assert ended.value.code == 2


# -- hosts ------------------------------------------------------------------------------------------

HEADER_V2: Final[JsonObject] = {**HEADER, "host": "v2"}
NEW_V2: Final[JsonObject] = {**NEW, "irqchip": "v2"}
CPUIF_IIDR: Final[JsonObject] = {
    "op": "read",
    "vcpu": 0,
    "addr": "0x80100fc",
    "size": 4,
    "expect": {"value": "0x2043b"},
}

ON_GICV2: Final = {
    "GICD_TYPER counts CPUs": Row(({**TYPER, "addr": "0x8000004"},), {"value": "0x22"}),
    "GICV is where the guest has GICC": Row((CPUIF_IIDR,), {"value": "0x2043b"}),
    "user space's GICC is another": Row(
        ({"op": "attr_get", "dev": "gic", "group": 2, "attr": "0xfc"},), {"value": "0x4b2043b"}
    ),
    "no system registers": Row(({"op": "mrs", "vcpu": 0, "reg": "ICC_PMR_EL1"},), {"undefined": True}),
    "no GICv3": Row(({"op": "create_device", "type": "v3"},), {"ret": -19}),
    "no ninth vCPU": Row(({"op": "create_vm", "vcpus": 9},), {"ret": -22}),
    "a line initialises": Row(
        ({**NEW_V2, "init": False}, {"op": "irq_line", "irq": "0x1000028", "level": 1}), {"ret": 0}
    ),
}


@pytest.mark.parametrize("row", ON_GICV2.values(), ids=ON_GICV2)
def test_outcome_on_a_gicv2(row: Row, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[Json] = [{**step, "expect": None} for step in (NEW_V2, *row.steps)]
    _, out = replay_json(capsys, trace(tmp_path, *steps, header=HEADER_V2))
    assert out["traces"][0]["mismatches"][-1]["got"] == row.got


def test_on_another_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The compatibility interface of a GICv3 gives the same answers, but its own IIDR."""
    path = trace(tmp_path, NEW_V2, {**TYPER, "expect": {"value": "0x22"}}, CPUIF_IIDR, header=HEADER_V2)
    assert replay_json(capsys, path)[0] == 0
    status, out = replay_json(capsys, "--on", "v3", path)
    assert (status, out["matched"]) == (1, 2)
    assert out["traces"][0]["mismatches"][0]["got"] == {"value": "0x3043b"}


def test_on_its_own_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace of a GICv3 host stays on the recorded one, which has no compatibility interface."""
    path = trace(tmp_path, NEW, {"op": "create_device", "type": "v2", "expect": {"ret": -19}})
    assert replay_json(capsys, "--on", "v3", path)[0] == 0


# -- files ------------------------------------------------------------------------------------------


def test_folder_is_searched_and_a_file_replayed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside = tmp_path / "b"
    inside.mkdir()
    plain = trace(inside, NEW, TYPER)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "notes.txt").write_text("not a trace")
    status, out = replay_json(capsys, tmp_path, plain)
    assert (status, out["steps"], out["matched"]) == (0, 4, 4)
    assert [found["file"] for found in out["traces"]] == [str(packed), str(plain)]


GOOD: Final = f"{json.dumps(HEADER)}\n{json.dumps(NEW)}\n".encode()

UNREADABLE: Final[dict[str, tuple[str, bytes]]] = {
    "not gzip": ("made-up.jsonl.gz", GOOD),
    "cut off gzip": ("made-up.jsonl.gz", gzip.compress(GOOD)[:-12]),
    "damaged gzip": ("made-up.jsonl.gz", gzip.compress(GOOD)[:15] + b"\xff" * 20),
    "not text": ("made-up.jsonl", b"\xff\xfe"),
    "not JSON": ("made-up.jsonl", b"once upon a time\n"),
    "not JSON later on": ("made-up.jsonl", GOOD + b'{"op": "read"'),
    "nested too deep": ("made-up.jsonl", b"[" * 100_000),
    "empty": ("made-up.jsonl", b""),
    "no header": ("made-up.jsonl", json.dumps(NEW).encode()),
    "a header that is no object": ("made-up.jsonl", b"[]"),
    "an unknown format": ("made-up.jsonl", json.dumps({**HEADER, "format": 2}).encode()),
    "an unknown host": ("made-up.jsonl", json.dumps({**HEADER, "host": "v5"}).encode()),
}


@pytest.mark.parametrize(("name", "content"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_file(name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    good = trace(tmp_path, NEW, WRONG, name="good.jsonl")
    assert main(["replay", str(path), str(good)]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"vgic replay: {path}"), "it says which file"
    assert "1 unreadable; 1 of 2 steps matched" in out, "the other file is replayed"


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_nothing_to_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["replay", "--json", str(tmp_path / name)])
    out, err = capsys.readouterr()
    assert (status, json.loads(out)) == (2, {"traces": [], "steps": 0, "matched": 0})
    assert str(tmp_path) in err


# -- progress ---------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal() -> None:
    stream = Terminal()
    progress = Progress(stream, 2)
    progress.show("one")
    progress.clear()
    progress.show("two")
    assert stream.getvalue() == f"{CLEAR_LINE}1/2 one{CLEAR_LINE}{CLEAR_LINE}2/2 two"
