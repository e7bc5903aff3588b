"""The console: bytes as they are, marks and their replies."""

import re
from hashlib import blake2b

import pytest

from vmm.cli.console import Console, Reply, parse_reply


def put(console: Console, text: bytes) -> None:
    for byte in text:
        console.put(byte)


def test_lines_are_shown_as_they_end_and_the_rest_at_the_next_look() -> None:
    shown: list[bytes] = []
    console = Console(shown.append)
    put(console, b"one\r\ntwo\n> ")
    assert shown == [b"one\r\n", b"two\n"]
    assert console.midline
    console.flush()
    assert shown[2:] == [b"> "]
    console.flush()
    assert len(shown) == 3, "nothing new"


def test_a_line_without_end_is_shown_and_kept_nowhere() -> None:
    shown: list[bytes] = []
    console = Console(shown.append)
    put(console, b"x" * 10_000)
    assert sum(map(len, shown)) >= 8_192
    assert console.kept == b""


def test_the_hash_is_of_all_bytes() -> None:
    console = Console(keep=True)
    put(console, b"one\ntwo\xff")
    assert console.digest() == blake2b(b"one\ntwo\xff", digest_size=16).hexdigest()
    assert (console.count, bytes(console.kept)) == (8, b"one\ntwo\xff")


def test_replies_are_due_in_the_order_their_marks_were_printed() -> None:
    login, shell = Reply("login: ", b"root\n"), Reply("# ", b"ls\n")
    console = Console(replies=[shell, login])
    assert console.take_due() == []
    put(console, b"login: # login: ")
    assert console.take_due() == [login, shell, login]
    assert console.take_due() == []


REPLIES = {
    "ready=go": Reply("ready", b"go"),
    r"a\=b=c=d\n": Reply("a=b", b"c=d\n"),
    r"\x3e\x20=\r\t\e\0\\": Reply("> ", b"\r\t\x1b\0\\"),
    "schön=ü": Reply("schön", "ü".encode()),
    "mark=": Reply("mark", b""),
}


@pytest.mark.parametrize(("text", "reply"), REPLIES.items(), ids=REPLIES)
def test_a_reply_is_parsed(text: str, reply: Reply) -> None:
    assert parse_reply(text) == reply


@pytest.mark.parametrize(
    ("text", "why"),
    {
        "": "is not MARK=TEXT",
        "mark": "is not MARK=TEXT",
        "=text": "is not MARK=TEXT",
        r"a=\q": r"\q is no escape",
    }.items(),
)
def test_a_reply_that_makes_no_sense(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_reply(text)


def test_a_backslash_at_the_end_is_no_escape() -> None:
    with pytest.raises(ValueError, match="is no escape"):
        parse_reply("a=b\\")
