"""A saved machine as members and as a file: what was damaged is refused, whatever was."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vmm.moving import BUDGET, MIB, run_guest, stay
from vmm.cli.statefile import from_bytes, to_bytes, write
from vmm.config import IrqChip, MachineConfig
from vmm.guests import image
from vmm.loader import Images
from vmm.machine import Machine
from vmm.outcome import End
from vmm.snapshot import MachineState, SnapshotError, Through, restore, save
from vmm.statefile import MACHINE, VERSION, from_members, to_members

CONFIG: Final = MachineConfig(cpus=2, ram=4 * MIB, irqchip=IrqChip.GICV3_ITS, budget=BUDGET, slice_length=20_000)


def silent(_: int) -> None:
    """Where nobody looks at the console."""


def state_of(through: Through) -> MachineState:
    machine = Machine(CONFIG, Images(firmware=image("lpi")), lambda byte: machine.pause() if byte == 10 else None)
    for _ in range(9):
        assert machine.run().end is End.MARK
    machine.warn("a warning, é")
    return save(machine, through, b"the last line\n")


STATES: Final = {through.value: state_of(through) for through in Through}
FILES: Final = {name: to_bytes(state) for name, state in STATES.items()}


@pytest.mark.parametrize("name", STATES)
def test_nothing_is_lost(name: str) -> None:
    assert from_members(to_members(STATES[name])) == STATES[name]
    assert from_bytes(FILES[name]) == STATES[name]
    assert to_bytes(from_bytes(FILES[name])) == FILES[name], "the same state is the same file"


def test_a_file_is_an_archive_that_others_can_open() -> None:
    with zipfile.ZipFile(io.BytesIO(FILES["snapshot"])) as archive:
        assert set(archive.namelist()) == {MACHINE, "cpu0", "cpu1", "vgic.json", "console", "ram"}
        assert archive.read("vgic.json").decode() == to_members(STATES["snapshot"])["vgic.json"].decode()


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_do_not_matter(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[name])
    # an archive's own numbers lie at its end and before its members; elsewhere is compressed data, all of a kind
    places = st.one_of(
        st.integers(0, len(damaged) - 1), st.integers(0, 99), st.integers(len(damaged) - 500, len(damaged) - 1)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(places)] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))
    try:
        state = from_bytes(bytes(damaged[:cut]))
    except SnapshotError:
        return
    assert state == STATES[name]


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_a_forged_description_is_refused_or_a_machine(name: str, data: st.DataObject) -> None:
    """Somebody changed a value and made the checksum fit."""
    members = to_members(STATES[name])
    envelope = json.loads(members[MACHINE])
    place: Any = envelope["machine"]  # Any: JSON
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, dict | list) and inner) or data.draw(st.integers(0, 9)) == 0:
            break
        place = inner
    place[key] = data.draw(JSON)
    text = json.dumps(envelope["machine"], sort_keys=True, separators=(",", ":"))
    envelope["checksum"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    members[MACHINE] = json.dumps(envelope).encode()
    with suppress(SnapshotError):
        state = from_members(members)
        if state.config.cpus <= 8 and state.config.ram <= 64 * MIB:
            restore(state, silent)


def envelope(**changes: object) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[MACHINE] = json.dumps(json.loads(members[MACHINE]) | changes).encode()

    return change


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


def damaged(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members[name] = bytes([members[name][0] ^ 1]) + members[name][1:]

    return change


REFUSALS: Final[dict[str, tuple[Callable[[dict[str, bytes]], None], str]]] = {
    "another format": (envelope(format="vgic-state"), "machine.json: it does not say that its format"),
    "another version": (envelope(version=VERSION + 1), f"machine.json: version {VERSION + 1} is unknown"),
    "another checksum": (envelope(checksum="sha256:0"), "machine.json: its checksum is"),
    "no description": (without(MACHINE), "machine.json: it is missing"),
    "no JSON": (lambda members: members.update({MACHINE: b"{"}), "machine.json: it is no JSON"),
    "deep JSON": (lambda members: members.update({MACHINE: b"[" * 100_000}), "machine.json: it is no JSON"),
    "no core": (without("cpu1"), "cpu1: it is missing"),
    "a damaged core": (damaged("cpu1"), "cpu1: it is not what machine.json says it is"),
    "damaged RAM": (damaged("ram"), "ram: it is not what machine.json says it is"),
    "no interrupt controller": (without("vgic.json"), "vgic.json: it is missing"),
    "something else": (lambda members: members.update({"x": b""}), "x: machine.json does not know it"),
}


@pytest.mark.parametrize(("change", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_where(change: Callable[[dict[str, bytes]], None], words: str) -> None:
    members = to_members(STATES["snapshot"])
    change(members)
    with pytest.raises(SnapshotError) as refused:
        from_members(members)
    assert str(refused.value).startswith(words)


# -- files ---------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "saved"
    file.write_bytes(b"an older one")
    write(STATES["snapshot"], file)
    assert from_bytes(file.read_bytes()) == STATES["snapshot"]
    with pytest.raises(OSError, match="No such file"):
        write(STATES["snapshot"], tmp_path / "nowhere" / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"], "no temporary file is left"


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    write(STATES["snapshot"], link)
    assert link.is_symlink()
    assert from_bytes((tmp_path / "target").read_bytes()) == STATES["snapshot"]


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = to_bytes(STATES["snapshot"])
    reader = os.open(pipe, os.O_RDWR)
    write(STATES["snapshot"], pipe)
    assert pipe.is_fifo()
    assert os.read(reader, len(data) + 1) == data
    os.close(reader)


def test_a_guest_that_goes_through_files_cannot_tell() -> None:
    def through_file(machine: Machine, output: Callable[[int], None]) -> Machine:
        return restore(from_bytes(to_bytes(save(machine))), output)

    assert run_guest("mark", CONFIG, through_file, 80) == run_guest("mark", CONFIG, stay, 80)
