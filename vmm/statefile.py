"""A saved machine as named members, each some bytes: what the command line keeps in one file.

Room:    beside snapshot; below the command line, which makes a zip archive of the members.
Never:   reads or writes a file.
Holds:   from_members(to_members(state)) == state.  What `to_members` cannot have returned gives SnapshotError.

    machine.json  format, version, checksum; configuration, engine, everything small; where the pieces of RAM lie;
                  size and hash of every other member
    vgic.json     the interrupt controller as vgic.Snapshot writes it, for `vgic state`
    kvm.json      ... or in KVM's formats: device, group, attribute, value of every step
    cpu<n>        a core, as the engine keeps it
    ram           the pieces, one after the other
    console       the end of what the guest printed
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from vgic import Snapshot, VgicError
from vmm.config import ConfigError
from vmm.configjson import as_json, from_json
from vmm.devices.device import Json
from vmm.devices.saved import Saved
from vmm.kvmstate import KvmState
from vmm.rampages import Piece
from vmm.snapshot import MachineState, SnapshotError

FORMAT: Final = "vgic-machine"
VERSION: Final = 1
MACHINE: Final = "machine.json"
_VGIC, _KVM, _RAM, _CONSOLE = "vgic.json", "kvm.json", "ram", "console"
_MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF


def to_members(state: MachineState) -> dict[str, bytes]:
    """Return a state's members, the first of which says what the others are."""
    others = {f"cpu{index}": core for index, core in enumerate(state.cores)}
    if isinstance(state.gic, Snapshot):
        others[_VGIC] = state.gic.to_json().encode("ascii")
    else:
        others[_KVM] = json.dumps(state.gic.steps).encode("ascii")
    others[_CONSOLE] = state.console
    others[_RAM] = b"".join(data for _, data in state.ram)
    body: dict[str, Json] = {
        "config": {**as_json(state.config)},
        "engine": state.engine,
        "parts": dict(state.parts),
        "ram": [[gpa, len(data)] for gpa, data in state.ram],
        "members": {name: _described(data) for name, data in others.items()},
    }
    envelope = {"format": FORMAT, "version": VERSION, "checksum": _checksum(body), "machine": body}
    return {MACHINE: json.dumps(envelope, indent=1).encode("ascii"), **others}


def from_members(members: Mapping[str, bytes]) -> MachineState:
    """Return the state whose members these are.  Errors: SnapshotError."""
    try:
        return _decoded(members)
    except ConfigError as error:
        raise SnapshotError(MACHINE, str(error)) from None


# -- reading -------------------------------------------------------------------------------------


def _decoded(members: Mapping[str, bytes]) -> MachineState:
    body = _body(_parsed(MACHINE, _member(members, MACHINE)))
    saved = Saved("the machine", body)
    config = from_json(saved.members("config"))
    engine = saved.text("engine")
    parts = saved.members("parts")
    layout = _layout(saved.items("ram"))
    _check_members(members, saved.members("members"))
    saved.finish()
    return MachineState(
        config,
        engine,
        parts,
        tuple(_member(members, f"cpu{index}") for index in range(config.cpus)),
        _gic(members),
        _pieces(_member(members, _RAM), layout),
        _member(members, _CONSOLE),
    )


def _parsed(name: str, data: bytes) -> Json:
    try:
        tree: Json = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise SnapshotError(name, f"it is no JSON: {error}") from None
    return tree


def _body(tree: Json) -> Mapping[str, Json]:
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise SnapshotError(MACHINE, f"it does not say that its format is {FORMAT!r}")
    if tree.get("version") != VERSION:
        raise SnapshotError(MACHINE, f"version {tree.get('version')!r:.40} is unknown: this is version {VERSION}")
    body = tree.get("machine")
    if not isinstance(body, dict):
        raise SnapshotError(MACHINE, "there is no machine in it")
    try:
        found = _checksum(body)
    except RecursionError:
        raise SnapshotError(MACHINE, "it is nested too deep") from None
    if tree.get("checksum") != found:
        raise SnapshotError(MACHINE, f"its checksum is {found}, not {tree.get('checksum')!r:.80}")
    return body


def _check_members(members: Mapping[str, bytes], described: Mapping[str, Json]) -> None:
    """Every member is there, whole, and none besides."""
    for name in sorted({*members, *described} - {MACHINE}):
        if name not in described:
            raise SnapshotError(name, f"{MACHINE} does not know it")
        if _described(_member(members, name)) != described[name]:
            raise SnapshotError(name, f"it is not what {MACHINE} says it is: it is damaged")


def _member(members: Mapping[str, bytes], name: str) -> bytes:
    if name not in members:
        raise SnapshotError(name, "it is missing")
    return members[name]


def _layout(items: list[Json]) -> list[tuple[int, int]]:
    """Return where each piece of RAM lies and its size."""
    layout = []
    for item in items:
        numbers = _numbers(item, 2)
        if numbers is None:
            raise SnapshotError(MACHINE, f"ram: {item!r:.40} is no address and size")
        layout.append((numbers[0], numbers[1]))
    return layout


def _pieces(ram: bytes, layout: list[tuple[int, int]]) -> tuple[Piece, ...]:
    if sum(size for _, size in layout) != len(ram):
        raise SnapshotError(_RAM, f"it has {len(ram)} bytes, {MACHINE} another number")
    pieces: list[Piece] = []
    at = 0
    for gpa, size in layout:
        pieces.append((gpa, ram[at : at + size]))
        at += size
    return tuple(pieces)


def _gic(members: Mapping[str, bytes]) -> Snapshot | KvmState:
    if _KVM not in members:
        try:
            return Snapshot.from_json(_member(members, _VGIC))
        except VgicError as error:
            raise SnapshotError(_VGIC, str(error)) from None
    if _VGIC in members:
        raise SnapshotError(_KVM, f"there is a {_VGIC}, too")
    tree = _parsed(_KVM, members[_KVM])
    steps = [_numbers(item, 4) for item in tree] if isinstance(tree, list) else [None]
    if None in steps:
        raise SnapshotError(_KVM, "it is no list of device, group, attribute and value")
    return KvmState(tuple((step[0], step[1], step[2], step[3]) for step in steps if step is not None))


def _numbers(item: Json, count: int) -> list[int] | None:
    """Return `count` numbers of up to 64 bits, if the item is a list of them."""
    if not isinstance(item, list) or len(item) != count:
        return None
    numbers = [each for each in item if type(each) is int and 0 <= each <= _MASK64]
    return numbers if len(numbers) == count else None


def _described(data: bytes) -> Json:
    return [len(data), "sha256:" + hashlib.sha256(data).hexdigest()]


def _checksum(body: Mapping[str, Json]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()
