"""Snapshots: the whole interrupt state of a VM, as a value and as a JSON text.

Room:    above the snapshot package, below vm.
Holds:   from_json(s.to_json()) == s.  A Snapshot makes sense in itself, whatever text it was read from.
         The text has a line for each interrupt, always in the same order, so that two of them can be compared as text.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Final, final

from vgic.dist import Dist
from vgic.errors import StateError
from vgic.snapshot.apply import apply
from vgic.snapshot.capture import capture
from vgic.snapshot.check import check
from vgic.snapshot.fit import fit
from vgic.snapshot.forms import Json, ProblemError, show
from vgic.snapshot.records import VmRecord
from vgic.snapshot.schema import VERSION, decode, encode
from vgic.snapshot.text import Difference, differences, summary
from vgic.vcpu import VcpuGic

FORMAT: Final = "vgic-state"
_ENVELOPE: Final = ("format", "version", "checksum", "state")
_INDENT: Final = 1


@final
class Snapshot:
    """The interrupt state of one VM at one moment; made by `Vgic.save` or `Snapshot.from_json`, never changes.

    Two are equal when a guest could not tell them apart (and hosts and embedder's names are the same, too).
    """

    __slots__ = ("_vm",)

    def __init__(self, vm: VmRecord) -> None:
        """Wrap records that were checked."""
        self._vm = vm

    @property
    def version(self) -> int:
        """The version of the format."""
        return VERSION

    @property
    def vcpu_ids(self) -> tuple[int, ...]:
        """The vCPUs' ids, in order of creation."""
        return tuple(vcpu.vcpu_id for vcpu in self._vm.vcpus)

    def __eq__(self, other: object) -> bool:
        return self._vm == other._vm if isinstance(other, Snapshot) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._vm)

    def __repr__(self) -> str:
        return f"<Snapshot: {self.summary().splitlines()[0]}>"

    def to_json(self) -> str:
        """Return the text: format, version, checksum, and the state, a line for each interrupt."""
        state = encode(self._vm)
        envelope: dict[str, Json] = {
            "format": FORMAT,
            "version": VERSION,
            "checksum": _checksum(state),
            "state": state,
        }
        return "".join(_lines(envelope, 0)) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Snapshot":
        """Read a text that `to_json` wrote; layout and the order of members do not matter.

        Errors: StateError, which says where, for anything else: no JSON, another format or version, a wrong checksum,
        missing, unknown or impossible values, contradictions.
        """
        envelope = _envelope(_parse(text))
        state = envelope["state"]
        try:
            vm = decode(state)
        except ProblemError as problem:
            raise StateError(problem.where or "state", problem.why) from None
        except RecursionError:
            raise StateError("state", "it is nested too deep") from None
        found = _checksum(state)
        check(vm)
        if envelope["checksum"] != found:
            raise StateError("checksum", f"{show(envelope['checksum'])}, but that of the state is {found}")
        return cls(vm)

    def summary(self) -> str:
        """Return a few lines for people: the VM, its vCPUs, and the interrupts that are pending, active or listed."""
        return summary(self._vm)

    def differences(self, newer: "Snapshot") -> list[Difference]:
        """Return what differs in `newer`, in the order of the text; none exactly when the two are equal."""
        return list(differences(encode(self._vm), encode(newer._vm)))


def save(dist: Dist) -> Snapshot:
    """Return the state of a VM, whose vCPUs are put for it.  Errors: EBUSY while one is in the guest; EIO."""
    return Snapshot(capture(dist))


def check_restore(dist: Dist, snapshot: Snapshot) -> None:
    """Raise what forbids restoring.  Errors: EIO, EBUSY, StateError."""
    fit(dist, snapshot._vm)


def restore(dist: Dist, snapshot: Snapshot, created: list[VcpuGic]) -> None:
    """Build what `check_restore` accepted; `created` are the VM's vCPUs, if it has none yet."""
    apply(dist, snapshot._vm, created)


# -- the text ----------------------------------------------------------------------------------


def _parse(text: str | bytes) -> Json:
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        tree: Json = json.loads(text, object_pairs_hook=_members, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise StateError(f"byte {error.start}", "the text is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise StateError(f"line {error.lineno}, column {error.colno}", f"the text is no JSON: {error.msg}") from None
    except ProblemError as problem:
        raise StateError("the text", problem.why) from None
    except ValueError as error:
        raise StateError("the text", str(error)) from None
    except RecursionError:
        raise StateError("the text", "it is nested too deep") from None
    return tree


def _members(pairs: list[tuple[str, Json]]) -> Json:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ProblemError(f"an object has member {show(twice)} twice")
    return members


def _constant(name: str) -> Json:
    raise ProblemError(f"{name} is no JSON number")


def _envelope(tree: Json) -> dict[str, Json]:
    if not isinstance(tree, dict):
        raise StateError("the text", "it is no JSON object")
    if tree.get("format") != FORMAT:
        raise StateError("format", f"{show(tree.get('format'))} is not {FORMAT!r}")
    version = tree.get("version")
    if type(version) is not int or version != VERSION:
        raise StateError("version", f"{show(version)} is unknown: this library reads version {VERSION}")
    for name in _ENVELOPE:
        if name not in tree:
            raise StateError(name, "it is missing")
    for name in tree:
        if name not in _ENVELOPE:
            raise StateError(show(name), "there is no such member")
    return tree


def _checksum(state: Json) -> str:
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()


_DUMPS: Final = json.JSONEncoder().encode


def _lines(value: Json, depth: int) -> Iterator[str]:
    """Write what holds a list of objects over several lines, everything else on one."""
    if not _is_deep(value):
        yield _DUMPS(value)
        return
    inner, outer = "\n" + " " * _INDENT * (depth + 1), "\n" + " " * _INDENT * depth
    if isinstance(value, dict):
        separator = "{"
        for name, member in value.items():
            yield f"{separator}{inner}{_DUMPS(name)}: "
            yield from _lines(member, depth + 1)
            separator = ","
        yield outer + "}"
    elif isinstance(value, list):
        separator = "["
        for each in value:
            yield separator + inner
            yield from _lines(each, depth + 1)
            separator = ","
        yield outer + "]"


def _is_deep(value: Json) -> bool:
    if isinstance(value, dict):
        return any(isinstance(member, dict | list) and _is_deep(member) for member in value.values())
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)
