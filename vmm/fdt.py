"""A device tree, flattened into the blob that a guest is given.

Room:    the floor; dtree says what is in the tree.
Never:   knows a property's meaning.
Holds:   what `flatten` returns is a blob of version 17, compatible back to 16: header, an empty memory reservation
         map, structure, strings, in this order; everything is big-endian.

Source: Devicetree Specification 0.4, Flattened Devicetree (DTB) Format.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

MAGIC: Final = 0xD00D_FEED
HEADER: Final = Struct(">10I")
"""magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version, last_comp_version, boot_cpuid_phys,
size_dt_strings, size_dt_struct."""
_RESERVATIONS: Final = bytes(16)  # only the entry that ends the map
_VERSION: Final = 17
_COMPATIBLE: Final = 16
_BEGIN_NODE: Final = 1
_END_NODE: Final = 2
_PROP: Final = 3
_END: Final = 9

EMPTY: Final = b""
"""The value of a property that is true by being there."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node: `name` with its unit address, properties and children in the order in which they are written."""

    name: str
    properties: Mapping[str, bytes]
    children: Sequence["Node"] = ()


def cells(*values: int) -> bytes:
    """Return a value of 32-bit cells."""
    return b"".join(value.to_bytes(4, "big") for value in values)


def pairs(*values: int) -> bytes:
    """Return a value of 64-bit numbers: each two cells, the upper one first."""
    return b"".join(value.to_bytes(8, "big") for value in values)


def strings(*texts: str) -> bytes:
    """Return a value of one or several strings.  What came undecodable from a command line goes out as it came."""
    assert not any("\0" in text for text in texts), f"a string ends at its first NUL: {texts!r}"
    return b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in texts)


def flatten(root: Node) -> bytes:
    """Return the blob of the tree below `root`, whose own name is empty."""
    structure = bytearray()
    names = _Names()
    _write(root, structure, names)
    structure += cells(_END)
    at_structure = HEADER.size + len(_RESERVATIONS)
    at_strings = at_structure + len(structure)
    total = at_strings + len(names.data)
    header = HEADER.pack(
        MAGIC,
        total,
        at_structure,
        at_strings,
        HEADER.size,
        _VERSION,
        _COMPATIBLE,
        0,
        len(names.data),
        len(structure),
    )
    return b"".join((header, _RESERVATIONS, structure, names.data))


class _Names:
    """The strings block: each property name once."""

    __slots__ = ("_at", "data")

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self.data = bytearray()

    def at(self, name: str) -> int:
        """Return the offset of `name`."""
        if name not in self._at:
            self._at[name] = len(self.data)
            self.data += name.encode() + b"\0"
        return self._at[name]


def _write(node: Node, structure: bytearray, names: _Names) -> None:
    structure += cells(_BEGIN_NODE) + _padded(strings(node.name))
    for name, value in node.properties.items():
        structure += cells(_PROP, len(value), names.at(name)) + _padded(value)
    for child in node.children:
        _write(child, structure, names)
    structure += cells(_END_NODE)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
