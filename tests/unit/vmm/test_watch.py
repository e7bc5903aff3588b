"""What the console watch finds in a guest's output, and how little of it it keeps."""

import sys
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.watch import LINES, LONGEST, ConsoleWatch


def watched(output: bytes, mark: str = "") -> tuple[ConsoleWatch, list[int]]:
    """A watch that saw `output`, and after how many bytes the mark was complete."""
    watch = ConsoleWatch(mark)
    found = [at for at, byte in enumerate(output, 1) if watch.feed(byte)]
    return watch, found


STATUSES: Final[dict[str, tuple[bytes, int | None]]] = {
    "passed": (b"PASS: x\n\nEXIT: STATUS=1\n", 1),
    "failed, with carriage return": (b"EXIT: STATUS=3\r\n", 3),
    "the last one counts": (b"EXIT: STATUS=1\nEXIT: STATUS=127\n", 127),
    "no end of line yet": (b"EXIT: STATUS=1", None),
    "not at the start of a line": (b"> EXIT: STATUS=1\n", None),
    "not at the end of a line": (b"EXIT: STATUS=1 or so\n", None),
    "no number": (b"EXIT: STATUS=\n", None),
    "too large for a process: not taken for a pass": (b"EXIT: STATUS=257\n", 255),
    "negative: not taken for a pass": (b"EXIT: STATUS=-255\n", 255),
    "larger than any number": (b"EXIT: STATUS=" + b"1" * 5000 + b"\n", None),
    "at the end of a line that was cut": (b"EXIT: STATUS=1" + b"\r" * 2000 + b"x\n", None),
    "no output": (b"", None),
}


@pytest.mark.parametrize("row", STATUSES.values(), ids=STATUSES)
def test_status(row: tuple[bytes, int | None]) -> None:
    assert watched(row[0])[0].status == row[1]


MARKS: Final[dict[str, tuple[str, bytes, list[int]]]] = {
    "in the middle of a line": ("press a key", b"now press a key to", [15]),
    "across lines": ("a\nb", b"xa\nb", [4]),
    "each time": ("ab", b"abab", [2, 4]),
    "overlapping itself": ("aa", b"aaa", [2, 3]),
    "after a false start": ("aab", b"aaab", [4]),
    "one byte": ("!", b"hi!", [3]),
    "not in ASCII": ("ü", "für".encode(), [3]),
    "not there": ("ab", b"a b", []),
    "none": ("", b"anything", []),
}


@pytest.mark.parametrize("row", MARKS.values(), ids=MARKS)
def test_mark(row: tuple[str, bytes, list[int]]) -> None:
    mark, output, want = row
    assert watched(output, mark)[1] == want


@given(mark=st.text("ab", min_size=1, max_size=5), output=st.text("ab\n", max_size=60))
def test_the_mark_is_found_wherever_a_search_finds_it(mark: str, output: str) -> None:
    assert watched(output.encode(), mark)[1] == [at for at in range(1, len(output) + 1) if output[:at].endswith(mark)]


SHOWN: Final[dict[str, tuple[bytes, list[str]]]] = {
    "nothing": (b"", []),
    "a line": (b"one\n", ["one"]),
    "an unfinished line": (b"one\ntwo", ["one", "two"]),
    "an empty line": (b"one\n\n", ["one", ""]),
    "carriage returns": (b"one\r\n", ["one"]),
    "a tab": (b"a\tb\n", ["a\tb"]),
    "what would clear the terminal": (b"\x1b[2J\x07\n", ["?[2J?"]),
    "no UTF-8": (b"a\xffb\n", ["a\ufffdb"]),
    "a long line": (b"x" * 5000 + b"\ny\n", ["x" * LONGEST + "...", "y"]),
    "a line of just the greatest length": (b"x" * LONGEST + b"\n", ["x" * LONGEST]),
    "the last ones": (b"".join(b"%d\n" % n for n in range(100)), [str(n) for n in range(100 - LINES, 100)]),
    "the last ones and an unfinished one": (
        b"".join(b"%d\n" % n for n in range(100)) + b"end",
        [*(str(n) for n in range(101 - LINES, 100)), "end"],
    ),
}


@pytest.mark.parametrize("row", SHOWN.values(), ids=SHOWN)
def test_lines(row: tuple[bytes, list[str]]) -> None:
    assert watched(row[0])[0].lines() == row[1]


def test_output_without_end_takes_no_memory() -> None:
    watch = ConsoleWatch("never")
    for _ in range(100_000):
        watch.feed(0x78)
    assert sum(sys.getsizeof(line) for line in watch.lines()) < 4 * LONGEST
