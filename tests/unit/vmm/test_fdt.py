"""The writer of flattened device trees: what is written is read back."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vmm.blob import Read, read_blob
from vmm.fdt import EMPTY, Node, cells, flatten, pairs, strings

VALUES: Final = {
    "cells": (cells(1, 0xFFFF_FFFF), b"\0\0\0\1\xff\xff\xff\xff"),
    "pairs": (pairs(0x1_0000_0002), b"\0\0\0\1\0\0\0\2"),
    "no values": (cells(), b""),
    "a string": (strings("ab"), b"ab\0"),
    "several strings": (strings("a", "", "b"), b"a\0\0b\0"),
    "text that was no UTF-8 on the command line": (strings("\udcff"), b"\xff\0"),
    "a flag": (EMPTY, b""),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_values(value: tuple[bytes, bytes]) -> None:
    assert value[0] == value[1]


def test_a_string_with_a_nul_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="first NUL"):
        strings("a\0b")


def test_each_property_name_is_stored_once() -> None:
    tree = Node("", {"reg": cells(1)}, [Node(f"n@{n}", {"reg": cells(n)}) for n in range(5)])
    assert flatten(tree).count(b"reg\0") == 1


NAMES: Final = st.text("abcdefghij-,.@0123456789", min_size=1, max_size=31)
TREES: Final = st.recursive(
    st.builds(Read, st.dictionaries(NAMES, st.binary(max_size=9), max_size=4), st.just({})),
    lambda below: st.builds(
        Read, st.dictionaries(NAMES, st.binary(max_size=9), max_size=3), st.dictionaries(NAMES, below, max_size=3)
    ),
)


def node(name: str, tree: Read) -> Node:
    return Node(name, tree.properties, [node(child, below) for child, below in tree.children.items()])


@given(TREES)
def test_what_is_written_is_read_back(tree: Read) -> None:
    assert read_blob(flatten(node("", tree))) == tree
