"""A reader of flattened device trees, as small and as strict as the specification lets it be."""

from dataclasses import dataclass
from struct import unpack_from


@dataclass(frozen=True)
class Read:
    """A node as read back: properties and children by name."""

    properties: dict[str, bytes]
    children: dict[str, "Read"]

    def __getitem__(self, path: str) -> "Read":
        node = self
        for name in path.strip("/").split("/"):
            node = node.children[name]
        return node

    def cells(self, name: str) -> list[int]:
        value = self.properties[name]
        return [cell for (cell,) in (unpack_from(">I", value, at) for at in range(0, len(value), 4))]

    def pairs(self, name: str) -> list[int]:
        value = self.properties[name]
        return [pair for (pair,) in (unpack_from(">Q", value, at) for at in range(0, len(value), 8))]

    def strings(self, name: str) -> list[str]:
        value = self.properties[name]
        assert value.endswith(b"\0")
        return value[:-1].decode("utf-8", "surrogateescape").split("\0")


def read_blob(blob: bytes) -> Read:
    """Read the whole blob; every part lies where the header says, aligned, and is used up."""
    magic, total, structure, strings, reserved, version, compatible, boot, strings_size, size = unpack_from(
        ">10I", blob
    )
    assert (magic, total, version, compatible, boot) == (0xD00DFEED, len(blob), 17, 16, 0)
    assert reserved % 8 == 0
    assert unpack_from(">2Q", blob, reserved) == (0, 0)
    assert structure % 4 == 0
    assert structure + size <= strings
    assert strings + strings_size == total
    at = structure
    roots: dict[str, Read] = {}
    path = [Read({}, roots)]
    while True:
        (token,) = unpack_from(">I", blob, at)
        at += 4
        if token == 1:
            end = blob.index(b"\0", at)
            node = Read({}, {})
            name = blob[at:end].decode()
            assert name not in path[-1].children
            path[-1].children[name] = node
            path.append(node)
            at = end // 4 * 4 + 4
        elif token == 2:
            path.pop()
        elif token == 3:
            length, where = unpack_from(">2I", blob, at)
            name = blob[strings + where : blob.index(b"\0", strings + where)].decode()
            assert name not in path[-1].properties
            assert not path[-1].children, "properties come before children"
            path[-1].properties[name] = blob[at + 8 : at + 8 + length]
            at += 8 + (length + 3) // 4 * 4
        else:
            assert token == 9
            break
    assert at == structure + size
    assert len(path) == 1
    assert list(roots) == [""]
    return roots[""]
